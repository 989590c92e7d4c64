"""What the processes of the crash lab do: plan, run the execute stage, die at a chosen point, and tell what is so."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from flows.cycle import acting, bare
from flows.wiring import live_context
from handlers import from_callable
from settings import load_settings
from storage import Store, open_store
from storage.records import Sample
from tasks.context import Context
from tasks.execute.task import execute
from tasks.interventions.undo import plan_undo
from tests.tasks.execute.acts import SERIES, TICK, action_of, goal_of, opening

Turn = Callable[[Context], Any]

LATER = timedelta(seconds=60)


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def handler_of(folder: Path, point: str) -> Any:
    """Return an action that writes a line when it acts and when it is undone, and kills its caller where it is told."""
    file, kill = str(folder / "marks"), signal.SIGKILL

    def note(word: str, params: Mapping[str, Any]) -> None:
        with open(file, "a") as lines:
            lines.write(f"{word} {params['id']}\n")

    def act(word: str, params: Mapping[str, Any]) -> dict[str, Any]:
        first = params["id"] == "a0"
        if first and point == f"before the effect of {word}":
            os.kill(os.getppid(), kill)
            time.sleep(5)
        note(word, params)
        if first and point == f"after the effect of {word}":
            os.kill(os.getppid(), kill)
            time.sleep(5)
        return {"success": True}

    def check(params: Mapping[str, Any], before: Mapping[str, Any], context: Any) -> str:
        words = Path(file).read_text().splitlines() if Path(file).exists() else []
        is_in_place = f"act {params['id']}" in words and f"undo {params['id']}" not in words
        return "succeeded" if is_in_place else "skipped"

    hooks = {"check": check, "undo": lambda params, before, context: act("undo", params)}
    meta: dict[str, Any] = {"default_level": "auto", "cooldown_s": 0.0, "rate_limits": (), "timeout_s": 20.0}
    return from_callable("mark", lambda params, goal_id: act("act", params), hooks=hooks, **meta)


def arm(store: Store, point: str) -> None:
    """Make the store kill this process just before or after a durable step."""

    def deadly(name: str, step: Callable[..., Any]) -> Callable[..., Any]:
        def run(*row: Any) -> Any:
            if point == f"before {name}":
                die()
            done = step(*row)
            if point == f"after {name}":
                die()
            return done

        return run

    store.actions.claim = deadly("the intent", store.actions.claim)
    store.audit.append = deadly("the audit line", store.audit.append)
    store.actions.finish = deadly("the receipt", store.actions.finish)


def execute_due(context: Context) -> None:
    """Run the execute stage as a turn does."""
    execute.fn(context, acting(bare))


def turn(folder: Path, store: Store, tick: datetime, point: str = "", begin: Turn = execute_due) -> None:
    """Run the stage, or what prepares for it, at a tick."""
    limits = {"rate_limits": ["1000/day"], "blast_radius": 1_000}
    settings = load_settings(folder, home=folder, executor=limits)
    actions = {"mark": handler_of(folder, point)}
    context = live_context(settings, store, tick, actions=actions, now=lambda: tick)
    store.samples.append([Sample(metric=SERIES, value=50.0, ts=tick)])
    arm(store, point)
    begin(context)


def open_at(folder: Path, tick: datetime) -> Store:
    """Open the file in `folder`, at a moment."""
    return open_store(folder / "loop.duckdb", clock=lambda: tick)


def plan(folder: Path, actions: int) -> None:
    """Plan some actions for one goal."""

    def begin(context: Context) -> None:
        goal = goal_of()
        context.store.goals.append([goal], [opening(goal)], "cycle-1")
        wanted = [
            action_of(f"a{n}", name="mark", target=f"t{n}", params={"id": f"a{n}"}, priority=0.9 - n / 10)
            for n in range(actions)
        ]
        context.store.actions.append(wanted, "cycle-1")

    with open_at(folder, TICK) as store:
        turn(folder, store, TICK, begin=begin)


def plan_undos(folder: Path) -> None:
    """Carry out what is planned, and plan to undo it."""

    def begin(context: Context) -> None:
        execute_due(context)
        for view in context.store.actions.latest(100):
            plan_undo(context, view, "it got worse")

    with open_at(folder, TICK) as store:
        turn(folder, store, TICK, begin=begin)


def carry_out(folder: Path, point: str) -> None:
    """Carry out what is planned, and die at a point."""
    tick = TICK + LATER
    with open_at(folder, tick) as store:
        turn(folder, store, tick, point)


def clear_up(folder: Path) -> dict[str, Any]:
    """Run two more turns, some minutes apart; return what was so before and after them."""
    ticks = [TICK + 3 * LATER, TICK + 6 * LATER]
    now = ticks[0]
    with open_store(folder / "loop.duckdb", clock=lambda: now) as store:
        died = state(folder, store)
        for now in ticks:
            turn(folder, store, now)
        return {"died": died, "after": state(folder, store)}


def state(folder: Path, store: Store) -> dict[str, Any]:
    """Return what is on record, and what was really done."""
    views = store.actions.latest(100)
    return {
        "receipts": {v.action.action_id: v.receipt.status if v.receipt else None for v in views},
        "undo_of": {v.action.action_id: v.action.undo_of for v in views},
        "intents": sorted(v.action.action_id for v in views if v.intent),
        "audited": sorted(
            {e.subject for e in store.audit.latest(1_000) if e.verb in {"acted", "undone", "undo failed"}}
        ),
        "broken_line": store.audit.first_broken_line(),
        "marks": (folder / "marks").read_text().splitlines() if (folder / "marks").exists() else [],
    }
