"""Any function, Prefect task or flow, tracked: how long it took and whether it failed become metrics and events.

`@observed` does it in place. `OrchestratorWithAutonomousAgent` runs registered agents by name, each as a Prefect run
of its own, and tells them what is predicted and which goals are open.
"""

from __future__ import annotations

import functools
import inspect
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, ParamSpec, Protocol, TypeVar, cast, overload

import httpx
from prefect import Flow, Task, flow
from prefect.context import FlowRunContext, TaskRunContext
from prefect.settings import PREFECT_API_URL, temporary_settings

from flows.agent import GoalDrivenAgent
from flows.wiring import open_configured_store
from settings import Settings, settings_in_force, utc_now
from storage import ForeactError
from storage.records import Event, Sample

logger = logging.getLogger(__name__)

P = ParamSpec("P")
R = TypeVar("R")

DURATION = "run_duration_seconds"
FAILURE = "run_failed_ratio"


class Recorder(Protocol):
    """Where observations go."""

    def record(self, samples: list[Sample], events: list[Event]) -> None:
        """Keep what was observed."""
        ...


class StoreRecorder:
    """Writes to the configured store, opened for each observation: a flow may run anywhere."""

    def record(self, samples: list[Sample], events: list[Event]) -> None:
        """Keep what was observed."""
        with open_configured_store(settings_in_force()) as store:
            store.samples.append(samples)
            store.events.append(events)


@dataclass(frozen=True)
class AgentRecorder:
    """Writes to an agent's own store."""

    agent: GoalDrivenAgent

    def record(self, samples: list[Sample], events: list[Event]) -> None:
        """Keep what was observed."""
        self.agent.store.samples.append(samples)
        self.agent.store.events.append(events)


@contextmanager
def observing(name: str, recorder: Recorder, clock: Callable[[], datetime] = utc_now) -> Any:
    """Observe what happens inside a `with`: one duration, one failure flag, one event; errors go on their way."""
    started_s, failed = time.perf_counter(), ""
    try:
        yield
    except BaseException as trouble:
        failed = type(trouble).__name__
        raise
    finally:
        duration_s, now, labels = time.perf_counter() - started_s, clock(), {"run": name}
        samples = [
            Sample(metric=DURATION, value=duration_s, ts=now, labels=labels, unit="seconds"),
            Sample(metric=FAILURE, value=float(bool(failed)), ts=now, labels=labels, unit="ratio"),
        ]
        detail = {"duration_s": round(duration_s, 6), "error": failed, **_run_ids()}
        kind = "run_failed" if failed else "run_finished"
        _keep(recorder, samples, [Event(event_type=f"{kind}:{name}", ts=now, metadata=detail)])


def _keep(recorder: Recorder, samples: list[Sample], events: list[Event]) -> None:
    """Record what was observed; where that fails, what was observed is none the worse for it."""
    try:
        recorder.record(samples, events)
    except Exception as trouble:
        logger.warning("%s could not be recorded: %s: %s", events[0].event_type, type(trouble).__name__, trouble)


@overload
def observed(function: Callable[P, R], /) -> Callable[P, R]: ...
@overload
def observed(
    *, name: str | None = None, recorder: Recorder | None = None
) -> Callable[[Callable[P, R]], Callable[P, R]]: ...
def observed(
    function: Callable[..., Any] | None = None, /, *, name: str | None = None, recorder: Recorder | None = None
) -> Any:
    """Track a function or flow, sync or async, in place.

    Use it below `@flow` or `@task` (`@flow` then `@observed`), or around a finished flow. The series are
    `run_duration_seconds{run="name"}` and `run_failed_ratio{run="name"}`.
    """
    if function is None:
        return lambda inner: observed_as(inner, name, recorder or StoreRecorder())
    return observed_as(function, name, recorder or StoreRecorder())


def observed_as(function: Callable[..., Any], name: str | None, recorder: Recorder) -> Callable[..., Any]:
    """Return `function` with every call observed under `name` (its own where None)."""
    known_as = name or str(getattr(function, "name", None) or getattr(function, "__name__", "run"))
    inner = function.fn if isinstance(function, Flow | Task) else function
    if inspect.iscoroutinefunction(inner):

        @functools.wraps(inner)
        async def observed_async(*args: Any, **kwargs: Any) -> Any:
            with observing(known_as, recorder):
                return await function(*args, **kwargs)

        return observed_async

    @functools.wraps(inner)
    def observed_sync(*args: Any, **kwargs: Any) -> Any:
        with observing(known_as, recorder):
            return function(*args, **kwargs)

    return observed_sync


def _run_ids() -> dict[str, str]:
    task_run, flow_run = TaskRunContext.get(), FlowRunContext.get()
    ids: dict[str, str] = {}
    if flow_run is not None and flow_run.flow_run is not None:
        ids["flow_run_id"] = str(flow_run.flow_run.id)
    if task_run is not None:
        ids["task_run_id"] = str(task_run.task_run.id)
    return ids


@dataclass
class OrchestratorWithAutonomousAgent:
    """Runs agents by name, tracked, with what the autonomous agent knows in their context.

    The five configurations are those of the original interface; the last three go to `GoalDrivenAgent`. Agents are
    registered with `register_agent`: an async function, a function, a Prefect task or flow that takes
    `(task_description, context)`.
    """

    performance_monitor_config: Mapping[str, Any] = field(default_factory=dict)
    config_manager_config: Mapping[str, Any] = field(default_factory=dict)
    forecasting_config: Mapping[str, Any] = field(default_factory=dict)
    executor_config: Mapping[str, Any] = field(default_factory=dict)
    agent_config: Mapping[str, Any] = field(default_factory=dict)
    agent: GoalDrivenAgent | None = None
    agents: dict[str, Callable[..., Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.agent is None:
            self.agent = GoalDrivenAgent(self.forecasting_config, self.executor_config, self.agent_config)

    def register_agent(self, name: str, run: Callable[..., Any]) -> None:
        """Make an agent known by name."""
        self.agents[name] = run

    async def execute_with_autonomous_behavior(
        self, agent_name: str, task_description: str, context: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """Run a registered agent as a tracked Prefect run and return its result beside what it was told.

        The agent finds `predictions`, `goals` and `predicted_state` in its context beside what was given. Raises
        `agent_unknown` for a name that nobody registered; what the agent itself raises is recorded and passed on.
        """
        if agent_name not in self.agents:
            names = ", ".join(sorted(self.agents)) or "none yet"
            raise ForeactError(
                "agent_unknown",
                f"There is no agent named {agent_name}.",
                f"Call register_agent({agent_name!r}, run) first; known: {names}.",
                status=404,
            )
        agent = cast(GoalDrivenAgent, self.agent)
        whole_context = {**(context or {}), **_situation(agent)}
        started_at = agent._clock()
        with at_running_server(agent.settings), observing(agent_name, AgentRecorder(agent), agent._clock):
            result = await _as_run(agent_name, self.agents[agent_name])(task_description, whole_context)
        return {
            "agent_name": agent_name,
            "result": result,
            "started_at": started_at,
            "finished_at": agent._clock(),
            "context": whole_context,
        }


@contextmanager
def at_running_server(settings: Settings) -> Iterator[None]:
    """Send flow runs to the Prefect server of this folder's stack while it runs; elsewhere Prefect decides."""
    if settings.prefect_api_url or not _answers(settings.prefect_url):
        yield
        return
    with temporary_settings({PREFECT_API_URL: settings.prefect_url}):
        yield


def _answers(api_url: str) -> bool:
    try:
        return httpx.get(f"{api_url}/health", timeout=0.5, trust_env=False).is_success
    except httpx.HTTPError:
        return False


def _situation(agent: GoalDrivenAgent) -> dict[str, Any]:
    predictions = agent.get_predictions()
    return {
        "predictions": predictions,
        "goals": agent.get_goal_overview()["goals"],
        "predicted_state": predictions.get("predicted_state"),
    }


def _as_run(name: str, run: Callable[..., Any]) -> Callable[..., Any]:
    """Make a Prefect run of an agent: a flow stays what it is, all else becomes a flow of its own."""
    if isinstance(run, Flow) and run.isasync:
        return cast(Callable[..., Any], run)

    async def call(task_description: str, context: dict[str, Any]) -> Any:
        outcome = run(task_description, context)
        return await outcome if inspect.isawaitable(outcome) else outcome

    return cast(
        Callable[..., Any],
        flow(name=name, flow_run_name="{task_description}", validate_parameters=False, persist_result=False)(call),
    )
