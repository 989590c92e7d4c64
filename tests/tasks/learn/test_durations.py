"""How long an act works is learned where nobody says, and counts from the next turn on."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from handlers.worlds.replay import Recording, ReplayWorld
from settings import Settings, load_settings
from storage import Store, open_store
from storage.facts import DURATIONS, DurationLook
from storage.records import Estimand, Receipt, ReceiptStatus, Sample
from tasks.configured_actions import actions_in_force, declared_actions, usual_durations_s
from tasks.context import Context, cycle_of
from tasks.learn.durations import learn_durations
from tests.api.worlds import an_action

NOW = datetime(2026, 3, 10, tzinfo=UTC)
STEP = timedelta(minutes=5)
STEPS = 5 * 288
ACTED_AT = [NOW - timedelta(hours=hours) for hours in (50, 43, 35, 29, 20, 11, 5)]
DECLARED = {"metrics": ["load"], "candidates": [{}]}


@pytest.fixture
def store() -> Store:
    """Return a store of a load that seven acts of `shed` lowered for 40 minutes each."""
    opened = open_store(clock=lambda: NOW)
    rng, wander, samples = np.random.default_rng(1), 0.0, []
    for step in range(STEPS):
        ends = NOW - STEP * (STEPS - 1 - step)
        wander = 0.95 * wander + rng.normal(0, 2)
        shed = sum(at < ends <= at + timedelta(minutes=40) for at in ACTED_AT)
        samples.append(Sample(metric="load", value=100 + wander - 20 * shed, ts=ends))
    opened.samples.append(samples)
    for number, at in enumerate(ACTED_AT):
        acted(opened, number, at)
    return opened


def acted(store: Store, number: int, at: datetime) -> None:
    key = f"act {number}"
    action = an_action(key, at, name="shed", series="load", guards=())
    store.actions.append([action], "cycle")
    store.actions.finish(Receipt(action_id=key, status=ReceiptStatus.SUCCEEDED, started_at=at, finished_at=at))
    store.outcomes.fix(
        Estimand(
            action_id=key,
            series="load",
            better="lower",
            fixed_at=at,
            forecast_cycle_id="cycle",
            issued_at=at,
            step_s=STEP.total_seconds(),
            horizon_steps=2,
            window_steps=2,
        ),
        "cycle",
    )


def settings(folder: Path, **actions: object) -> Settings:
    return load_settings(folder, home=folder, use_default_objectives=False, actions=actions)


def turn(store: Store, settings: Settings) -> Context:
    actions = actions_in_force(settings, store, declared_actions(settings))
    cycle = cycle_of(settings, store, NOW, "replay", "a turn")
    return Context(store, ReplayWorld(Recording()), settings, cycle, actions)


def test_a_length_that_nobody_declared_counts_from_the_next_turn_on(store: Store, tmp_path: Path) -> None:
    options = settings(tmp_path, shed=DECLARED)
    context = turn(store, options)
    assert context.actions["shed"].duration_s is None
    learn_durations(context)
    assert turn(store, options).actions["shed"].duration_s == pytest.approx(2_400, rel=0.15)
    assert [(line.verb, line.subject) for line in store.audit.latest(1)] == [("duration learned", "shed")]


def test_what_is_declared_goes_before_what_was_learned(store: Store, tmp_path: Path) -> None:
    learn_durations(turn(store, settings(tmp_path, shed=DECLARED)))
    declared = settings(tmp_path, shed=DECLARED | {"duration_seconds": 7_200.0})
    assert turn(store, declared).actions["shed"].duration_s == 7_200
    learn_durations(turn(store, declared))
    assert not store.facts.get(DURATIONS)


def test_it_is_asked_again_only_once_there_are_a_quarter_more_acts(store: Store, tmp_path: Path) -> None:
    options = settings(tmp_path, shed=DECLARED)
    learn_durations(turn(store, options))
    looked = store.facts.get(DURATIONS)
    acted(store, 7, NOW - timedelta(hours=2))
    learn_durations(turn(store, options))
    assert store.facts.get(DURATIONS) == looked
    acted(store, 8, NOW - timedelta(hours=1))
    learn_durations(turn(store, options))
    assert (store.facts.get(DURATIONS) or {})["shed"].acts == 9


def test_an_action_whose_length_is_unknown_is_taken_to_work_as_long_as_those_that_taught_it(
    store: Store, tmp_path: Path
) -> None:
    options = settings(tmp_path, shed=DECLARED, stir=DECLARED, cure=DECLARED)
    assert usual_durations_s(store, turn(store, options).actions) == {}
    looks = {"shed": DurationLook(7, NOW, 2_400.0), "cure": DurationLook(4, NOW, stays=True)}
    store.facts.set(DURATIONS, looks)
    assert usual_durations_s(store, turn(store, options).actions) == {"stir": 2_400.0}
