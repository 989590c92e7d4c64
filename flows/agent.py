"""The loop as an object, for notebooks and scripts: `GoalDrivenAgent`.

It runs the same turns as the Prefect flows, bare and in a thread of its own, over the same store: attached to a
running `foreact up`, or with the file to itself. What it tells is what the REST facade tells.
"""

from __future__ import annotations

import atexit
import json
import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any, TypeVar

from pydantic import ValidationError

from api import commands, queries
from api.background.alerts import Alerts
from api.background.tend_starter import due
from api.facade import Facade
from api.models.ingest import EventIn, MetricIn
from api.prefect_client import Started, Trigger
from flows.cycle import bare_turn, second_half
from flows.wiring import live_context, open_configured_store
from handlers import ActionHandler, discover_actions, from_callable
from handlers.worlds import World
from settings import Settings, load_settings, utc_now
from storage import Store
from storage.records import Autonomy

logger = logging.getLogger(__name__)

M = TypeVar("M", MetricIn, EventIn)


class GoalDrivenAgent:
    """Watches, forecasts, sets goals, acts, measures and learns, until it is stopped.

    The three dictionaries take the keys of the sections `[forecasting]`, `[executor]` and `[agent]` of foreact.toml and
    lie on top of that file. `store` and `world` are for tests and simulations.
    """

    def __init__(
        self,
        forecasting_config: Mapping[str, Any] | None = None,
        executor_config: Mapping[str, Any] | None = None,
        agent_config: Mapping[str, Any] | None = None,
        *,
        settings: Settings | None = None,
        store: Store | None = None,
        world: World | None = None,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        given = {"forecasting": forecasting_config, "executor": executor_config, "agent": agent_config}
        overrides: dict[str, Any] = {section: dict(part) for section, part in given.items() if part}
        self.settings = settings or load_settings(**overrides)
        self.actions: dict[str, ActionHandler] = discover_actions(self.settings.folder)
        self.store = store or open_configured_store(self.settings)
        if self.settings.use_default_objectives is True and self.store.engine.is_local:
            # The metrics of the documented examples have objectives here; where a stack runs, those of its file count.
            self.settings = self.settings.model_copy(update={"use_default_objectives": "examples"})
        self.executor = Executor(self)
        self._world, self._clock = world, clock
        self._facade = Facade(self.settings, self.store, _Inline(self), clock, clock())
        self._facade.checks["loop"] = lambda: self.is_running
        self._alerts = Alerts(lambda: self.settings, self.store, clock, "agent")
        self._stop = threading.Event()
        self._turning = threading.Lock()
        self._thread: threading.Thread | None = None

    @property
    def is_running(self) -> bool:
        """Tell whether the loop runs in the background."""
        return self._thread is not None and self._thread.is_alive()

    def start(self) -> None:
        """Begin: a whole turn now and every analysis interval, what is due in between."""
        if self.is_running:
            return
        self._stop.clear()
        self._thread = threading.Thread(target=self._loop, name="foreact-agent", daemon=True)
        self._thread.start()
        # A script that ends lets the turn under way end first: a thread cut off in native code aborts the process.
        atexit.register(self.close)

    def stop(self, timeout_s: float = 60.0) -> None:
        """End the loop after the turn that is under way; the store stays open for questions."""
        atexit.unregister(self.close)
        self._stop.set()
        if self._thread is not None:
            self._thread.join(timeout_s)

    def close(self) -> None:
        """Stop, and let go of the store."""
        self.stop()
        self.store.close()

    def record_metric(
        self,
        metric_name: str,
        value: float,
        timestamp: datetime | None = None,
        labels: Mapping[str, str] | None = None,
        unit: str = "",
    ) -> None:
        """Record one value; it is kept when this returns.

        Raises `item_invalid` for what is no finite number and `timestamp_out_of_range`, as REST does.
        """
        given = {"metric_name": metric_name, "value": _number(value), "timestamp": timestamp, "unit": unit}
        commands.ingest.record_metrics(
            self._facade, [_checked(MetricIn, {**given, "labels": dict(labels or {})})], is_list=False
        )

    def record_event(
        self, event_type: str, metadata: Mapping[str, Any] | None = None, timestamp: datetime | None = None
    ) -> None:
        """Record that something happened; it is kept when this returns. Raises as `record_metric` does."""
        given = {"event_type": event_type, "metadata": dict(metadata or {}), "timestamp": timestamp}
        commands.ingest.record_events(self._facade, [_checked(EventIn, given)], is_list=False)

    def register_action_handler(self, name: str, handler: Callable[..., Any], level: str = "auto", **meta: Any) -> None:
        """Offer an action to the planner: `handler(params, goal_id)` returning `{"success": bool, "impact": {…}}`.

        `level` is what may be done with it: observe, recommend, approve or auto. `meta` are further facts, as in
        `handlers.action`. The handler runs in this process, so that it can use what is at hand here; with
        `runs_in_process=False` it runs in one of its own, which can be ended when it hangs.
        """
        facts = {"runs_in_process": True, **meta}
        self.actions[name] = from_callable(name, handler, default_level=str(Autonomy(level)), **facts)

    def run_cycle(self, tick: datetime | None = None) -> dict[str, Any]:
        """Run one whole turn now and return the goals as they then stand."""
        self._turn("cycle", tick or self._clock())
        return self.get_goal_overview()

    def get_goal_overview(self) -> dict[str, Any]:
        """Return the open goals, most important first."""
        return queries.goals.overview(self._facade).model_dump(mode="json")

    def get_agent_status(self) -> dict[str, Any]:
        """Return whether it runs, since when, and what it has done."""
        return queries.agent.status(self._facade).model_dump(mode="json")

    def get_comprehensive_report(self) -> dict[str, Any]:
        """Return everything that the agent did and expects."""
        return queries.agent.report(self._facade).model_dump(mode="json")

    def get_predictions(self, horizon_hours: float = 24) -> dict[str, Any]:
        """Return the forecasts of the newest turn, cut to a horizon."""
        return queries.forecasts.predictions(self._facade, horizon_hours).model_dump(mode="json")

    def what_if(self, action: str, at: datetime | None = None, **params: Any) -> dict[str, Any]:
        """Tell what an action with some parameters would change at a moment, with it and without; nothing is done."""
        given = json.dumps(params)
        told = queries.whatif.answer(self._facade, action, at, params=given, registered=self.actions)
        return told.model_dump(mode="json")

    def set_autonomous_mode(self, autonomous: bool) -> None:
        """Let the loop act by itself, or only recommend."""
        from api.commands.operator import set_mode

        set_mode(self._facade, autonomous, "agent object")

    def _loop(self) -> None:
        due_s = time.monotonic()
        while not self._stop.is_set():
            whole = time.monotonic() >= due_s
            if whole:
                due_s = time.monotonic() + self.settings.analysis_interval_s
            is_whole = whole and self.settings.forecasting.auto_analysis_enabled
            try:
                self._turn("cycle" if is_whole else "tend", self._clock())
            except Exception:
                logger.exception("a cycle failed; the next one runs as planned")
            pause_s = min(self.settings.executor.execution_interval_seconds, due_s - time.monotonic())
            self._stop.wait(max(0.1, pause_s))

    def _turn(self, kind: str, tick: datetime) -> str:
        with self._turning, self._alerting():
            context = live_context(
                self.settings, self.store, tick, kind, actions=self.actions, world=self._world, now=self._clock
            )
            if kind == "cycle":
                self.store.cycles.begin(context.cycle)
                bare_turn(context)
            elif due(self._facade, tick) is not None:
                self.store.cycles.begin(context.cycle)
                bare_turn(context, second_half)
            return context.cycle_id

    @contextmanager
    def _alerting(self) -> Iterator[None]:
        """Tell people afterwards what a turn decided, also where it failed; a running facade does so itself."""
        if not self.settings.alerts.urls or not self.store.engine.is_local:
            yield
            return
        self._tell()
        try:
            yield
        finally:
            self._tell()

    def _tell(self) -> None:
        try:
            self._alerts.step()
        except Exception:
            logger.exception("notifications could not be sent; they are sent after the next cycle")


def _number(value: Any) -> Any:
    """Return numbers of any library as Python's; a truth value is none."""
    return value if isinstance(value, bool | str) or not hasattr(value, "__float__") else float(value)


def _checked(model: type[M], given: Mapping[str, Any]) -> M:
    try:
        return model.model_validate(given)
    except ValidationError as trouble:
        first = trouble.errors()[0]
        raise commands.ingest.unusable(first["msg"], None, first["loc"]) from None


class Executor:
    """What the agent's executing half knows of itself."""

    def __init__(self, agent: GoalDrivenAgent) -> None:
        self._agent = agent

    def get_statistics(self) -> dict[str, Any]:
        """Return what was executed, and how it went."""
        return queries.agent.executor_statistics(self._agent._facade).model_dump(mode="json")

    def get_learning_insights(self) -> dict[str, Any]:
        """Return what was learned about each action."""
        return queries.agent.insights(self._agent._facade)


class _Inline(Trigger):
    """Runs what the facade would ask Prefect for, here and now."""

    def __init__(self, agent: GoalDrivenAgent) -> None:
        self._agent = agent

    def running(self, deployment: str, but: str | None = None) -> Started | None:
        """Return None: nothing runs here."""
        return None

    def run(self, deployment: str, parameters: Mapping[str, Any] | None = None, key: str | None = None) -> Started:
        """Run a turn in this process; there is no page to look at."""
        kind = "cycle" if deployment == "cycle" else "tend"
        return Started(self._agent._turn(kind, self._agent._clock()), "")
