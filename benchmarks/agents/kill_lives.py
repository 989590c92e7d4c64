"""The processes that are killed: a facade that grants workers, and loops that hold some of them, each with its clock.

A minute of theirs is a fifth of a second of ours, so that leases of half an hour come and go within seconds.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from benchmarks.agents.counted import CountedPool
from benchmarks.agents.site_pool import START
from settings import Settings, load_settings
from storage.records import (
    Action,
    Autonomy,
    Candidate,
    Event,
    Goal,
    GoalState,
    GoalType,
    Intent,
    Receipt,
    ReceiptStatus,
    Sample,
    Transition,
)
from tasks.context import Context
from tasks.execute.task import act_once, execute
from tasks.sharing.task import ask_anew

SPEED = 300.0
TURN_MINUTES = 5
MOST, SAFE = 8, 1
ACT_S = 0.02


@dataclass(frozen=True)
class FastClock:
    """A clock that runs `SPEED` times as fast as ours since `begun_s`, off by `offset_s`, and by `drift_ratio` fast."""

    begun_s: float
    offset_s: float = 0.0
    drift_ratio: float = 0.0

    def __call__(self) -> datetime:
        passed_s = (time.time() - self.begun_s) * SPEED * (1 + self.drift_ratio)
        return START + timedelta(seconds=passed_s + self.offset_s)


@dataclass
class CountedSite:
    """A site that needs many workers for forty minutes in two hours, and few else; they are counted on disk."""

    name: str
    pool: CountedPool
    phase: int

    def observe(self, tick: datetime) -> Iterator[Sample | Event]:
        """Give the workers now."""
        yield Sample(metric="workers", value=float(self.pool.count(self.name)), ts=tick)

    def needed(self, at: datetime) -> int:
        """Return how many workers are needed."""
        return MOST if (int((at - START).total_seconds() // 2_400) + self.phase) % 3 == 0 else 2

    def propose(self, goal: Goal, tick: datetime) -> list[Candidate]:
        """Offer nothing: what is set is chosen by who looks after the site."""
        return []

    def capture(self, action: Action, tick: datetime) -> dict[str, Any]:
        """Return the count before an act."""
        return {"count": self.pool.count(self.name)}

    def check(self, action: Action, intent: Intent, tick: datetime) -> ReceiptStatus:
        """Look into the log whether an act that was interrupted took effect."""
        is_done = any(line["act"] == action.action_id for line in self.pool.lines())
        return ReceiptStatus.SUCCEEDED if is_done else ReceiptStatus.SKIPPED

    def act(self, action: Action, tick: datetime, before: Any = None) -> Receipt:
        """Set the workers, which takes a moment before and after."""
        count = int(before["count"] if action.undo_of else action.params["amount"])
        time.sleep(random.uniform(0, ACT_S))
        self.pool.set(self.name, count, action.action_id)
        time.sleep(random.uniform(0, ACT_S))
        return Receipt(action_id=action.action_id, status=ReceiptStatus.SUCCEEDED, started_at=tick, finished_at=tick)


def coordinate(folder: str, port: int, total: int, holders: list[str], begun_s: float) -> None:
    """Grant workers, as a facade on a port of this machine, until it is killed."""
    import logging

    import uvicorn

    from api.app import create_app

    logging.disable(logging.CRITICAL)
    terms = {"total": total, "unit": "workers", "lease_seconds": 1_800, "holders": holders}
    settings = load_settings(
        folder,
        home=Path(folder),
        sampler={"enabled": False},
        server={"port": port},
        prefect_api_url="http://127.0.0.1:9/api",
        shared={"workers": terms},
    )
    app = create_app(settings, clock=FastClock(begun_s))
    uvicorn.run(app, host="127.0.0.1", port=port, log_level="critical", access_log=False)


def look_after(folder: str, port: int, number: int, begun_s: float, offset_s: float, drift_ratio: float) -> None:
    """Hold some of the workers until it is killed: ask for a share, set what is needed of it, and so on.

    What is needed is known here and not foretold, so that a turn is short; all else is as in any turn.
    """
    import logging

    from flows.wiring import live_context
    from storage import open_store
    from tasks.configured_actions import declared_actions

    logging.disable(logging.CRITICAL)
    name, home = f"agent-{number}", Path(folder) / f"agent-{number}"
    home.mkdir(exist_ok=True)
    settings, clock = _settings(name, home, port), FastClock(begun_s, offset_s, drift_ratio)
    site = CountedSite(name, CountedPool(Path(folder) / "pool"), number)
    with open_store(home / "f.duckdb", clock) as store:
        while True:
            context = live_context(
                settings, store, clock(), "cycle", actions=declared_actions(settings), world=site, now=clock
            )
            store.cycles.begin(context.cycle)
            _turn(context, site)
            with (home / "turns").open("a") as turns:
                turns.write(".")


def _settings(name: str, home: Path, port: int) -> Settings:
    shared = {"coordinator": f"http://127.0.0.1:{port}", "actions": ["set_workers"], "safe": SAFE, "unit": "workers"}
    return load_settings(
        home,
        home=home,
        use_default_objectives=False,
        agent={"name": name, "analysis_interval_minutes": TURN_MINUTES},
        executor={"max_concurrent_goals": 10},
        actions={"set_workers": {"sets": "workers", "amounts": {"least": 1, "most": MOST}}},
        shared={"workers": shared},
    )


def _turn(context: Context, site: CountedSite) -> None:
    """Record the workers, ask for a share by what each would be worth, and set as many as are needed and may be."""
    store, tick = context.store, context.tick
    store.samples.append(list(site.observe(tick)))
    needed = site.needed(tick)
    worth = tuple((1.0, 1.0 - 0.1 * n) for n in range(needed))
    limit = ask_anew(context, "workers", context.settings.shared["workers"], lambda drawn: worth)
    here = site.pool.count(site.name)
    wanted = max(SAFE, min(needed, int(limit.most)))
    is_free = not any(view.action.name == "set_workers" for view in store.actions.pending())
    if wanted != here and is_free and not (limit.is_unknown and wanted > here):
        if store.goals.get("goal-workers") is None:
            opened = Transition(goal_id="goal-workers", state=GoalState.ACTIVE, at=tick, reason="at first")
            store.goals.append([_goal(tick)], [opened], context.cycle_id)
        store.actions.append([_action(f"{site.name}-{tick.isoformat()}", wanted, tick)], context.cycle_id)
    execute.fn(context, lambda each, view: act_once(each, view, lambda *_: None))


def _goal(at: datetime) -> Goal:
    return Goal(
        goal_id="goal-workers",
        goal_type=GoalType.CAPACITY_PLANNING,
        description="Enough workers",
        cause="workers",
        severity=0.5,
        probability=0.5,
        urgency=0.5,
        priority=0.5,
        created_at=at,
        deadline=at + timedelta(days=30),
    )


def _action(action_id: str, count: int, at: datetime) -> Action:
    return Action(
        action_id=action_id,
        name="set_workers",
        goal_id="goal-workers",
        goal_type=GoalType.CAPACITY_PLANNING,
        plan_id="plan",
        decision_id="decision",
        params={"amount": count},
        target="workers",
        level=Autonomy.AUTO,
        created_at=at,
        due_at=at,
        expires_at=at + timedelta(minutes=30),
    )
