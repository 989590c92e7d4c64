"""Autonomy and strategies are earned by measured outcomes, and lost by them."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storage.records import Autonomy, ReceiptStatus, Verdict
from tasks.learn import observations, replay
from tasks.learn.autonomy import TrackRecord, gather, review
from tasks.learn.outcome_rows import OutcomeRow
from tasks.learn.strategy_advice import strategy_advice, strategy_learner
from tests import sized
from tests.tasks.learn.worlds import GOAL, row, rows_of

PROVED = TrackRecord(
    action="limit",
    goal_type=GOAL,
    is_reversible=True,
    is_tested=True,
    forecasts=50,
    coverage_ratio=0.9,
    lead_time_s=1_800,
    needed_lead_s=300,
    outcomes=12,
    effect_mean=0.8,
    effect_high=1.0,
    effect_surely_above=0.3,
    undos=3,
    undo_ratio=1.0,
)


def test_a_proved_pair_climbs_one_step_a_review() -> None:
    level = Autonomy.OBSERVE
    seen = []
    for _ in range(4):
        decided = review(level, PROVED)
        level = decided.level
        seen.append((str(level), decided.is_changed))
    assert seen == [("recommend", True), ("approve", True), ("auto", True), ("auto", False)]


@pytest.mark.parametrize("trait", ["is_reversible", "is_tested"])
def test_what_cannot_be_undone_or_was_never_tried_stays_below_auto(trait: str) -> None:
    evidence = replace(PROVED, **{trait: False})
    assert review(Autonomy.APPROVE, evidence).level is Autonomy.APPROVE
    fallen = review(Autonomy.AUTO, evidence)
    assert fallen.level is Autonomy.APPROVE
    assert fallen.is_changed


@pytest.mark.parametrize(
    ("change", "missing"),
    [
        ({"outcomes": 3}, "8 measured outcomes"),
        ({"effect_surely_above": -0.01}, "certainly above zero"),
        ({"failure_ratio": 0.3}, "failed runs"),
        ({"undos": 0}, "undos"),
        ({"forecasts": 5}, "verified forecasts"),
        ({"coverage_ratio": 0.75}, "forecast interval"),
        ({"lead_time_s": 100.0}, "warnings"),
    ],
)
def test_auto_is_refused_for_each_thing_that_is_missing(change: dict[str, float], missing: str) -> None:
    decided = review(Autonomy.APPROVE, replace(PROVED, **change))
    assert decided.level is Autonomy.APPROVE
    assert missing in decided.reason


@pytest.mark.parametrize(
    ("change", "level", "why"),
    [
        ({"recent_worse": 2}, Autonomy.RECOMMEND, "made things worse"),
        ({"recent_failures": 3}, Autonomy.RECOMMEND, "failed"),
        ({"undos": 4, "undo_ratio": 0.25}, Autonomy.RECOMMEND, "undos worked"),
        ({"outcomes": 25, "effect_high": 0.05}, Autonomy.RECOMMEND, "effect is at most"),
        ({"coverage_ratio": 0.6}, Autonomy.APPROVE, "forecast interval"),
    ],
)
def test_bad_results_take_autonomy_away_at_once(change: dict[str, float], level: Autonomy, why: str) -> None:
    decided = review(Autonomy.AUTO, replace(PROVED, **change))
    assert decided.level is level
    assert why in decided.reason
    assert decided.is_changed


def test_what_was_lost_is_not_given_back_by_the_same_evidence() -> None:
    harmful = replace(PROVED, recent_worse=2)
    fallen = review(Autonomy.AUTO, harmful).level
    assert review(fallen, harmful).level is fallen


def _gathered(rows: list[OutcomeRow], action: str) -> TrackRecord:
    return gather(
        rows,
        action,
        GOAL,
        is_reversible=True,
        is_tested=True,
        forecasts=50,
        coverage_ratio=0.9,
        lead_time_s=1_800,
        undos=5,
        undo_ratio=1.0,
    )


def test_an_action_that_does_nothing_never_reaches_auto_however_often_it_is_reviewed() -> None:
    reached = 0
    for seed in range(40):
        rows, level = rows_of({"null": 0.0}, 50, seed), Autonomy.OBSERVE
        for count in range(0, 51):
            level = review(level, _gathered(rows[:count], "null")).level
            reached += level is Autonomy.AUTO
    assert reached == 0


def test_an_action_that_works_reaches_auto_within_twenty_outcomes() -> None:
    for seed in range(10):
        rows, level = rows_of({"limit": 0.8}, 20, seed), Autonomy.OBSERVE
        for count in range(0, 21):
            level = review(level, _gathered(rows[:count], "limit")).level
        assert level is Autonomy.AUTO


def test_evidence_counts_each_outcome_once_and_only_the_pairs_own() -> None:
    rows = [row(i) for i in range(6)]
    other = [row(i, "renice", verdict=Verdict.WORSE) for i in range(6)]
    evidence = _gathered([*rows, *rows, *other], "limit")
    assert evidence.outcomes == 6
    assert evidence.recent_worse == 0
    failed = _gathered([*rows, row(9, status=ReceiptStatus.FAILED, verdict=Verdict.UNKNOWN)], "limit")
    assert failed.recent_failures == 1
    assert failed.failure_ratio == pytest.approx(1 / 7)


def test_evidence_without_outcomes_is_plain_json_for_the_audit() -> None:
    record = json.loads(json.dumps(_gathered([], "limit").to_record(), allow_nan=False))
    assert record["effect_mean"] is None
    assert record["outcomes"] == 0


@settings(max_examples=sized(30, 60), deadline=None)
@given(
    level=st.sampled_from(list(Autonomy)),
    reversible=st.booleans(),
    tested=st.booleans(),
    coverage=st.floats(0, 1),
    surely=st.floats(-1, 1),
    worse=st.integers(0, 5),
    failures=st.integers(0, 5),
)
def test_no_evidence_lifts_more_than_a_step_or_past_what_is_safe(
    level: Autonomy, reversible: bool, tested: bool, coverage: float, surely: float, worse: int, failures: int
) -> None:
    evidence = replace(
        PROVED,
        is_reversible=reversible,
        is_tested=tested,
        coverage_ratio=coverage,
        effect_surely_above=surely,
        recent_worse=worse,
        recent_failures=failures,
    )
    decided = review(level, evidence)
    assert decided.level.rank <= level.rank + 1
    assert decided.is_changed == (decided.level is not level)
    assert decided.reason
    if decided.level is Autonomy.AUTO:
        assert reversible
        assert tested
    if decided.level.rank > level.rank and decided.level is Autonomy.AUTO:
        assert surely > 0


def _strategies(immediate: float, scheduled: float, count: int, seed: int = 0) -> list[OutcomeRow]:
    rng = np.random.default_rng(seed)
    return [
        row(i, strategy=name, effect_sd_units=float(effect + rng.normal(0, 0.2)))
        for i, (name, effect) in enumerate([("IMMEDIATE", immediate), ("SCHEDULED", scheduled)] * count)
    ]


def test_outcomes_change_the_strategy_of_a_goal_type() -> None:
    choice = strategy_advice(_strategies(0.1, 0.8, 10)).choose(GOAL, "IMMEDIATE", ["IMMEDIATE", "SCHEDULED"])
    assert choice.strategy == "SCHEDULED"
    assert choice.is_adapted
    assert choice.better_ratio["SCHEDULED"] > 0.9


def test_the_proposed_strategy_stays_where_it_does_as_well() -> None:
    choice = strategy_advice(_strategies(0.8, 0.1, 10)).choose(GOAL, "IMMEDIATE", ["IMMEDIATE", "SCHEDULED"])
    assert choice.strategy == "IMMEDIATE"
    assert not choice.is_adapted


def test_few_outcomes_or_another_goal_type_change_nothing() -> None:
    allowed = ["IMMEDIATE", "SCHEDULED"]
    assert not strategy_advice(_strategies(0.1, 0.8, 4)).choose(GOAL, "IMMEDIATE", allowed).is_adapted
    assert not strategy_advice(_strategies(0.1, 0.8, 10)).choose("COST_REDUCTION", "IMMEDIATE", allowed).is_adapted
    assert not strategy_advice([]).choose(GOAL, "IMMEDIATE", allowed).is_adapted


def test_a_strategy_that_the_situation_forbids_is_not_taken() -> None:
    choice = strategy_advice(_strategies(0.1, 0.8, 10)).choose(GOAL, "IMMEDIATE", ["IMMEDIATE"])
    assert choice.strategy == "IMMEDIATE"


def test_a_strategy_earns_nothing_for_being_used_with_a_good_action() -> None:
    rng = np.random.default_rng(0)
    rows = [
        row(
            i,
            action,
            strategy="SCHEDULED" if action == "good" else "IMMEDIATE",
            effect_sd_units=float((0.9 if action == "good" else 0.0) + rng.normal(0, 0.2)),
        )
        for i, action in enumerate(["good", "useless"] * 20)
    ]
    actions = replay(observations(rows))
    allowed = ["IMMEDIATE", "SCHEDULED"]
    assert strategy_advice(rows).choose(GOAL, "IMMEDIATE", allowed).is_adapted
    assert not strategy_advice(rows, actions).choose(GOAL, "IMMEDIATE", allowed).is_adapted
    assert strategy_learner(rows, actions).outcome_count == 40


def test_an_action_that_makes_a_guard_metric_worse_loses_its_autonomy_however_well_it_serves_its_own() -> None:
    rows = [row(place, harmed_guard=place in (3, 5)) for place in range(6)]
    decided = review(Autonomy.AUTO, _gathered(rows, "limit"))
    assert decided.level is Autonomy.RECOMMEND
    assert decided.reason == "2 of its last 5 runs made things worse"


@pytest.mark.parametrize(
    "change",
    [
        {"is_reversible": False},
        {"is_tested": False},
        {"recent_failures": 3},
        {"outcomes": 25, "effect_high": 0.05},
        {"coverage_ratio": 0.6},
    ],
)
def test_a_level_that_was_said_is_kept_whatever_is_not_harm(change: dict[str, float]) -> None:
    decided = review(Autonomy.AUTO, replace(PROVED, is_said=True, **change))
    assert decided.level is Autonomy.AUTO
    assert not decided.is_changed


@pytest.mark.parametrize("reversible", [False, True])
def test_measured_harm_takes_a_level_away_that_was_said(reversible: bool) -> None:
    decided = review(Autonomy.AUTO, replace(PROVED, is_said=True, is_reversible=reversible, recent_worse=2))
    assert decided.level is Autonomy.RECOMMEND
    assert "made things worse" in decided.reason
