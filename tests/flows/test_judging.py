"""Acts judged on a real store: what is fixed before them, and what becomes of data and claims that are not sound."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from settings import load_settings
from storage.facts import EARLY_VERDICTS, INSIGHTS
from storage.records import (
    NOTHING,
    Belief,
    Forecast,
    Objective,
    Outcome,
    ReceiptStatus,
    Sample,
    Verdict,
)
from tasks.execute.task import act_once
from tasks.learn import replay
from tasks.learn.knowledge import current_learner, learned_strategies, observations_of, realised_by_action
from tasks.learn.task import learn
from tasks.measure.data_around_act import DataAroundAct
from tasks.measure.preregister import fix_before_act
from tasks.measure.task import measure
from tests.flows.test_stages import HISTORY, MINUTE, OneAct, forecast_of, noise, outcome_of
from tests.tasks.execute.acts import TICK, action_of, receipt_of

CYCLE = "cycle-0"
OBJECTIVES = (
    Objective(name="cpu", metric="cpu_usage", bound=90, guards=("throughput",), horizon_s=1_800),
    Objective(name="flow", metric="throughput", bound=10, side="above"),
)


@pytest.fixture
def bench(tmp_path: Path) -> OneAct:
    return OneAct(load_settings(tmp_path, home=tmp_path, objectives=OBJECTIVES, use_default_objectives=False))


def quiet(bench: OneAct, levels: dict[str, float], hours: int = HISTORY // 60) -> None:
    """Record quiet hours of some metrics and forecast more of the same, all in one cycle."""
    for seed, (series, level) in enumerate(levels.items()):
        bench.record(series, noise(60 * hours, level, seed), TICK - (60 * hours - 1) * MINUTE)
    bench.store.forecasts.append([forecast_of(series, level) for series, level in levels.items()], CYCLE)


def after(bench: OneAct, series: str, level: float, minutes: int = 30, seed: int = 9) -> None:
    bench.record(series, noise(minutes, level, seed), TICK + MINUTE)


def begun(bench: OneAct, **changes: Any) -> None:
    """Write down what an act will be judged by, as it begins, and then that it was done."""
    action = action_of(**changes)
    fix_before_act(bench.context(TICK), action)
    bench.act(action, TICK)


def judged(bench: OneAct, minutes: int = 30) -> dict[str, Outcome]:
    return {each.series: each for each in measure.fn(bench.context(TICK + minutes * MINUTE))}


def told(bench: OneAct, minutes: int = 30) -> dict[str, Any]:
    learn.fn(bench.context(TICK + minutes * MINUTE))
    found = bench.store.facts.get(INSIGHTS)
    assert found is not None
    return found


def test_what_an_act_is_judged_by_is_written_before_its_intent(bench: OneAct) -> None:
    quiet(bench, {"cpu_usage": 50, "throughput": 100, "disk": 7})
    bench.store.actions.append([action_of(guards=("throughput",), horizon_s=900)], CYCLE)
    (view,) = bench.store.actions.due(TICK)
    bench.clock.now = TICK
    act_once(bench.context(TICK), view, fix_before_act)
    estimand = bench.store.outcomes.estimand("a")
    assert estimand is not None
    assert (estimand.forecast_cycle_id, estimand.issued_at, estimand.horizon_steps) == (CYCLE, TICK, 15)
    assert estimand.window_steps == 15
    assert estimand.better == "lower"
    assert estimand.guards == ("throughput",)
    assert estimand.side_effects == ("disk",)
    intent_at = bench.store.engine.rows("SELECT recorded_at FROM intents")[0][0]
    fixed_at = bench.store.engine.rows("SELECT recorded_at FROM estimands")[0][0]
    assert fixed_at <= intent_at


def test_later_forecasts_and_a_longer_past_do_not_move_what_was_fixed(bench: OneAct) -> None:
    quiet(bench, {"cpu_usage": 50}, hours=2)
    begun(bench, horizon_s=900)
    fixed = bench.store.outcomes.estimand("a")
    assert fixed is not None
    assert fixed.window_steps == 5, "two hours support no more"
    bench.record("cpu_usage", noise(600, 50, 5), TICK - 12 * 60 * MINUTE)
    later = Forecast(**forecast_of("cpu_usage", 10).model_dump() | {"issued_at": TICK + MINUTE})
    bench.store.forecasts.append([later], "cycle-later")
    after(bench, "cpu_usage", 40)
    outcome = judged(bench)["cpu_usage"]
    assert outcome.evidence["window_steps"] == 5
    assert outcome.evidence["forecast_cycle_id"] == CYCLE
    assert outcome.evidence["fixed_at"] is not None
    assert outcome.low is not None
    assert outcome.high is not None
    assert outcome.low < -10 < outcome.high


def test_only_the_first_word_counts(bench: OneAct) -> None:
    quiet(bench, {"cpu_usage": 50})
    first = fix_before_act(bench.context(TICK), action_of())
    fix_before_act(bench.context(TICK + MINUTE), action_of(horizon_s=60))
    assert bench.store.outcomes.estimand("a") == first


@pytest.mark.parametrize("changes", [{"undo_of": "b"}, {"dry_run": True}, {"series": None}])
def test_what_cannot_change_anything_is_not_judged(bench: OneAct, changes: dict[str, Any]) -> None:
    quiet(bench, {"cpu_usage": 50})
    assert fix_before_act(bench.context(TICK), action_of(**changes)) is None


@pytest.mark.parametrize("damage", ["DELETE FROM estimands", "UPDATE estimands SET body = '{}'"])
def test_a_lost_or_corrupt_estimand_is_said_so(bench: OneAct, damage: str) -> None:
    quiet(bench, {"cpu_usage": 50})
    begun(bench)
    bench.store.engine.rows(damage)
    after(bench, "cpu_usage", 40)
    outcome = judged(bench)["cpu_usage"]
    assert outcome.verdict is Verdict.IMPROVED
    assert "missing or unreadable" in outcome.reason
    assert outcome.evidence["fixed_at"] is None


def test_forecasts_that_were_really_issued_are_what_an_act_is_held_against(bench: OneAct) -> None:
    """The forecaster in use says 55 where 50 comes: what it always misses is no effect of the act."""
    quiet(bench, {"cpu_usage": 50})
    for n in range(1, 61):
        issued = Forecast(**forecast_of("cpu_usage", 55).model_dump() | {"issued_at": TICK - 10 * n * MINUTE})
        bench.store.forecasts.append([issued], f"cycle-{n}")
    newest = Forecast(**forecast_of("cpu_usage", 55).model_dump() | {"issued_at": TICK + timedelta(seconds=1)})
    bench.store.forecasts.append([newest], "cycle-now")
    action = action_of()
    fix_before_act(bench.context(TICK + timedelta(seconds=1)), action)
    bench.act(action, TICK + timedelta(seconds=1))
    after(bench, "cpu_usage", 50)
    outcome = judged(bench)["cpu_usage"]
    assert outcome.verdict is Verdict.NO_EFFECT
    assert outcome.estimate == pytest.approx(0, abs=1.5)


@pytest.mark.parametrize(("seen", "verdict"), [(range(1, 8), Verdict.IMPROVED), (range(1, 4), Verdict.UNKNOWN)])
def test_a_metric_that_stops_is_waited_for_and_then_said_so(bench: OneAct, seen: range, verdict: Verdict) -> None:
    quiet(bench, {"cpu_usage": 50})
    begun(bench)
    bench.record("cpu_usage", noise(len(seen), 40), TICK + MINUTE)
    assert judged(bench, minutes=11) == {}, "what is late may still come"
    outcome = judged(bench, minutes=20)["cpu_usage"]
    assert outcome.verdict is verdict
    assert f"{len(seen)} of 10 steps after the action were observed" in outcome.reason


def test_values_that_come_late_are_measured(bench: OneAct) -> None:
    quiet(bench, {"cpu_usage": 50})
    begun(bench)
    assert judged(bench, minutes=12) == {}
    after(bench, "cpu_usage", 40)
    outcome = judged(bench, minutes=14)["cpu_usage"]
    assert outcome.verdict is Verdict.IMPROVED
    assert "steps after the action were observed" not in outcome.reason


def test_missing_data_is_no_success_teaches_nothing_and_is_counted_apart(bench: OneAct) -> None:
    quiet(bench, {"cpu_usage": 50})
    begun(bench)
    judged(bench, minutes=20)
    rate = told(bench)["action_success_rates"]["restart"]
    assert (rate["rate"], rate["count"], rate["undecided"], rate["verdicts"]) == (0.0, 0, 1, {"unknown": 1})
    assert bench.store.outcomes.belief() is None


def test_a_claim_that_contradicts_is_kept_and_decides_nothing(bench: OneAct) -> None:
    quiet(bench, {"cpu_usage": 50})
    action = action_of()
    fix_before_act(bench.context(TICK), action)
    bench.store.actions.append([action], CYCLE)
    claimed = {"cpu_usage": -0.5, "query_time": -0.2}
    bench.store.actions.finish(receipt_of("a", TICK).model_copy(update={"claimed_impact": claimed}))
    after(bench, "cpu_usage", 60)
    outcome = judged(bench)["cpu_usage"]
    assert outcome.verdict is Verdict.WORSE
    assert outcome.claimed == -0.5
    assert outcome.evidence["claim"]["agreement"] == "contradicts"
    assert outcome.evidence["claims"]["query_time"]["agreement"] == "not measured"
    assert "claimed -50.0%" in outcome.reason
    found = told(bench)
    assert found["contradicted_claims"][0]["action"] == "restart"
    assert found["action_success_rates"]["restart"]["rate"] == 0
    assert found["effects"][0]["effect_sd_units"] < 0


def test_an_act_that_failed_is_a_failure_even_where_the_metric_got_better(bench: OneAct) -> None:
    quiet(bench, {"cpu_usage": 50})
    fix_before_act(bench.context(TICK), action_of())
    bench.act(action_of(), TICK, ReceiptStatus.FAILED)
    after(bench, "cpu_usage", 40)
    judged(bench)
    found = told(bench)
    assert found["action_success_rates"]["restart"]["rate"] == 0
    assert found["common_failures"][0]["action"] == "restart"


def test_every_metric_that_was_forecast_is_measured_beside_the_target(bench: OneAct) -> None:
    quiet(bench, {"cpu_usage": 50, "throughput": 100, "disk": 7, "fan": 30})
    begun(bench, guards=("throughput",))
    for series, level in {"cpu_usage": 40, "throughput": 100, "disk": 7, "fan": 45}.items():
        after(bench, series, level)
    found = judged(bench)
    assert {series: outcome.role for series, outcome in found.items()} == {
        "cpu_usage": "target",
        "throughput": "guard",
        "disk": "side_effect",
        "fan": "side_effect",
    }
    assert found["fan"].verdict is Verdict.WORSE
    assert found["disk"].verdict is not Verdict.WORSE
    changes = {each["series"]: each for each in told(bench)["contributions"]}
    assert changes["fan"]["low"] < 15 < changes["fan"]["high"]
    assert changes["disk"]["low"] < 0 < changes["disk"]["high"]
    assert not changes["disk"]["is_clear"]
    assert [each.series for each in bench.store.outcomes.latest(10)] == ["cpu_usage", "throughput"]
    assert len(bench.store.outcomes.of_action("a")) == 4


def test_a_side_effect_with_two_possible_causes_is_confounded(bench: OneAct) -> None:
    quiet(bench, {"cpu_usage": 50, "memory": 10, "fan": 30})
    begun(bench)
    begun(bench, action_id="b", name="scale", series="memory")
    for series, level in {"cpu_usage": 40, "memory": 10, "fan": 45}.items():
        after(bench, series, level)
    found = measure.fn(bench.context(TICK + 30 * MINUTE))
    verdicts = {(each.action, each.series): each.verdict for each in found}
    assert verdicts["restart", "fan"] is verdicts["scale", "fan"] is Verdict.CONFOUNDED
    assert verdicts["restart", "cpu_usage"] is Verdict.IMPROVED


def test_doing_nothing_is_measured_on_its_metric_alone(bench: OneAct) -> None:
    quiet(bench, {"cpu_usage": 50, "fan": 30})
    begun(bench, name=NOTHING)
    after(bench, "cpu_usage", 50)
    after(bench, "fan", 30)
    assert set(judged(bench)) == {"cpu_usage"}


def test_a_control_explains_what_would_have_come_anyway(tmp_path: Path) -> None:
    """Requests drive the load; they rose as the act was done, which did nothing."""
    settings = load_settings(
        tmp_path,
        home=tmp_path,
        objectives=OBJECTIVES,
        use_default_objectives=False,
        actions={"restart": {"controls": ["requests"]}},
    )
    bench, rng = OneAct(settings), np.random.default_rng(0)
    shared = np.repeat(rng.normal(0, 6, (HISTORY + 30) // 15), 15)
    shared[-30:] = 15.0
    for series, level in (("cpu_usage", 50.0), ("requests", 200.0)):
        values = level + shared + rng.normal(0, 0.5, len(shared))
        bench.record(series, values, TICK - (HISTORY - 1) * MINUTE)
    bench.store.forecasts.append([forecast_of("cpu_usage", 50), forecast_of("requests", 200)], CYCLE)
    begun(bench)
    outcome = judged(bench)["cpu_usage"]
    assert outcome.evidence["controls"] == ["requests"]
    assert outcome.verdict is not Verdict.WORSE
    assert outcome.estimate == pytest.approx(0, abs=2)


def test_what_stood_high_before_the_act_is_held_against_other_highs(bench: OneAct) -> None:
    quiet(bench, {"cpu_usage": 50})
    bench.record("cpu_usage", np.array([70.0]), TICK + timedelta(seconds=-1))
    begun(bench)
    after(bench, "cpu_usage", 50)
    evidence = judged(bench)["cpu_usage"].evidence
    assert evidence["trigger"] == "high"
    assert evidence["triggered_windows"] >= 5


def _recorded(bench: OneAct, series: str, values: np.ndarray[Any, Any], before: int) -> None:
    """Record values a minute apart, `before` of them up to the act, and a forecast every ten minutes: as now."""
    bench.record(series, values[:before], TICK - (before - 1) * MINUTE)
    steady = np.diff(values[:before]).mean()
    for n in range(60, -1, -1):
        now = float(values[before - 1 - 10 * n])
        point = now + steady * np.arange(1, 61)
        issued = forecast_of(series, now).model_dump() | {
            "issued_at": TICK - 10 * n * MINUTE,
            "point": point,
            "quantiles": point[:, None] + np.array([-1.0, 0.0, 1.0]),
            "levels": (0.05, 0.5, 0.95),
        }
        bench.store.forecasts.append([Forecast(**issued)], f"cycle-{60 - n}")


def test_a_metric_that_never_moved_and_falls_by_half_got_better_by_a_number_that_people_can_read(
    bench: OneAct,
) -> None:
    level = 0.1 + 0.2
    values = np.full(HISTORY + 40, level) + 1e-16 * np.arange(HISTORY + 40)
    values[HISTORY:] = level / 2
    _recorded(bench, "cpu_usage", values, HISTORY)
    begun(bench)
    bench.record("cpu_usage", values[HISTORY : HISTORY + 30], TICK + MINUTE)
    outcome = judged(bench)["cpu_usage"]
    assert outcome.verdict is Verdict.IMPROVED
    assert "it never moved in" in outcome.reason
    assert outcome.estimate == pytest.approx(-level / 2)
    assert outcome.effect_sd_units is not None
    assert abs(outcome.effect_sd_units) <= 1_000
    (effect,) = told(bench)["effects"]
    assert all(abs(effect[name]) <= 2_000 for name in ("effect_sd_units", "low", "high"))


def test_an_effect_of_an_older_row_that_was_divided_by_nothing_is_shown_as_a_large_one() -> None:
    old = outcome_of(1).model_dump(mode="json") | {"effect_sd_units": -3.9e15, "standard_error_sd_units": 2e13}
    read = Outcome.model_validate(old)
    assert (read.effect_sd_units, read.standard_error_sd_units) == (-2_000, 2_000)


@pytest.mark.parametrize(("factor", "verdict"), [(1.0, Verdict.NO_EFFECT), (0.5, Verdict.IMPROVED)])
def test_a_counter_is_judged_by_its_growth(bench: OneAct, factor: float, verdict: Verdict) -> None:
    rate = np.random.default_rng(3).poisson(100, HISTORY + 40).astype(float)
    rate[HISTORY:] *= factor
    _recorded(bench, "errors_total", np.cumsum(rate), HISTORY)
    begun(bench, series="errors_total", guards=())
    bench.record("errors_total", np.cumsum(rate)[HISTORY : HISTORY + 30], TICK + MINUTE)
    outcome = judged(bench)["errors_total"]
    assert outcome.verdict is verdict
    assert "judged by its growth a step" in outcome.reason
    assert outcome.low is not None
    assert outcome.high is not None
    assert outcome.low <= 100 * (factor - 1) <= outcome.high


def states(bench: OneAct) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what is believed, as it was learned step by step and as all outcomes replayed say."""
    belief = bench.store.outcomes.belief()
    assert belief is not None
    return belief.state, replay(observations_of(bench.store.outcomes.targets())).to_record()


def test_beliefs_replay_from_the_outcomes_to_the_same_numbers_late_ones_included(bench: OneAct) -> None:
    rng = np.random.default_rng(3)
    for cycle in range(6):
        now = TICK + cycle * 60 * MINUTE
        bench.clock.now = now
        fresh = [
            outcome_of(10 * cycle + n, float(rng.normal(0.5, 0.3)), measured_at=now, action=f"act-{n % 3}")
            for n in range(4)
        ]
        late = outcome_of(1_000 + cycle, 0.1, measured_at=TICK - 60 * MINUTE, acted_at=TICK - 90 * MINUTE)
        bench.store.outcomes.append([*fresh, late, fresh[0]], f"cycle-{cycle}")
        bench.store.outcomes.append(fresh, f"again-{cycle}")
        learn.fn(bench.context(now))
        step_by_step, replayed = states(bench)
        assert step_by_step == replayed
    assert step_by_step["outcome_count"] == 30
    counts = [count for (count,) in bench.store.engine.rows("SELECT outcome_count FROM beliefs ORDER BY recorded_at")]
    assert counts == [5, 10, 15, 20, 25, 30], "every belief is kept"


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE beliefs SET body = '{}'",
        'UPDATE beliefs SET body = \'{"belief_id": 7, "state": []}\', outcome_count = 999999',
        'UPDATE beliefs SET body = json_merge_patch(body, \'{"state": {"rate": 1e9}}\')',
    ],
)
def test_a_belief_row_that_cannot_be_read_is_replaced_by_what_the_outcomes_say(bench: OneAct, damage: str) -> None:
    bench.store.outcomes.append([outcome_of(1), outcome_of(2, 0.1)], "cycle-1")
    sound = learn.fn(bench.context(TICK))
    assert sound is not None
    bench.store.engine.rows(damage)
    assert current_learner(bench.context(TICK + MINUTE)).to_record() == sound.state
    healed = learn.fn(bench.context(TICK + 2 * MINUTE))
    assert healed is not None
    assert healed.state == sound.state
    assert learn.fn(bench.context(TICK + 3 * MINUTE)) is None
    notes = [line for line in bench.store.audit.latest() if line.verb == "belief replayed"]
    assert len(notes) == 1
    assert "Replayed from 2 outcomes" in notes[0].detail["note"]


def test_a_belief_of_more_outcomes_than_there_are_is_told_by_its_digest(bench: OneAct) -> None:
    bench.store.outcomes.append([outcome_of(1)], "cycle-1")
    learn.fn(bench.context(TICK))
    forged = Belief(belief_id="forged", at=TICK, outcome_count=50, state={"version": 1, "outcome_count": 50})
    bench.clock.now = TICK + MINUTE
    bench.store.outcomes.believe(forged, "cycle-2")
    assert current_learner(bench.context(TICK + 2 * MINUTE)).outcome_count == 1


def test_what_outcomes_say_of_strategies_and_predictions_is_kept_for_the_planner(bench: OneAct) -> None:
    rng = np.random.default_rng(0)
    made = [
        outcome_of(
            n,
            float((0.9 if strategy == "SCHEDULED" else 0.1) + rng.normal(0, 0.1)),
            strategy=strategy,
            evidence={"predicted_sd_units": 0.5},
        )
        for n, strategy in enumerate(["IMMEDIATE", "SCHEDULED"] * 8)
    ]
    bench.store.outcomes.append(made, "cycle-1")
    learn.fn(bench.context(TICK))
    advice = learned_strategies(bench.context(TICK))
    goal_type = "BOTTLENECK_PREVENTION"
    assert advice.choose(goal_type, "IMMEDIATE", ["IMMEDIATE", "SCHEDULED"]).strategy == "SCHEDULED"
    assert advice.choose(goal_type, "IMMEDIATE", ["IMMEDIATE"]).strategy == "IMMEDIATE"
    assert advice.best(goal_type) == "SCHEDULED"
    gain = realised_by_action(bench.context(TICK))["restart"]
    assert (gain.count, gain.predicted) == (16, 8.0)
    assert gain.realised == pytest.approx(8.0, abs=0.5)


def test_other_policies_are_estimated_anew_with_every_tenth_outcome(bench: OneAct) -> None:
    def estimated() -> object:
        learn.fn(bench.context(TICK))
        return (bench.store.facts.get(INSIGHTS) or {})["off_policy"]

    before = [{"policy": "as estimated before"}]
    bench.store.facts.set(INSIGHTS, {"off_policy": before})
    bench.store.outcomes.append([outcome_of(n) for n in range(8)], "cycle-1")
    assert estimated() == before
    bench.store.outcomes.append([outcome_of(8)], "cycle-2")
    assert estimated() == before
    bench.store.outcomes.append([outcome_of(n) for n in range(9, 12)], "cycle-3")
    assert estimated() == []


def test_what_is_predicted_of_an_act_is_what_was_believed_as_it_began(bench: OneAct) -> None:
    quiet(bench, {"cpu_usage": 50})
    assert fix_before_act(bench.context(TICK), action_of()).predicted_sd_units is None  # type: ignore[union-attr]


def test_a_sample_series_of_another_step_is_measured_over_the_same_time(bench: OneAct) -> None:
    quiet(bench, {"cpu_usage": 50})
    bench.record("slow", noise(200, 5), TICK - 199 * 5 * MINUTE, 5 * MINUTE)
    bench.store.forecasts.append([forecast_of("slow", 5, steps=12, step_s=300)], "cycle-slow")
    begun(bench, guards=("slow",))
    after(bench, "cpu_usage", 40)
    bench.record("slow", noise(4, 25), TICK + 5 * MINUTE, 5 * MINUTE)
    found = judged(bench)
    assert found["slow"].evidence["step_s"] == 300
    assert found["slow"].evidence["window_steps"] == 2
    assert found["slow"].estimate == pytest.approx(20, abs=2)


def test_samples_recorded_twice_count_once(bench: OneAct) -> None:
    quiet(bench, {"cpu_usage": 50})
    begun(bench)
    after(bench, "cpu_usage", 90)
    bench.clock.now = TICK + MINUTE
    bench.store.samples.append([Sample(metric="cpu_usage", value=40.0, ts=TICK + n * MINUTE) for n in range(1, 31)])
    assert judged(bench)["cpu_usage"].verdict is Verdict.IMPROVED


def test_the_past_is_read_in_the_cycles_in_which_the_system_lives(tmp_path: Path) -> None:
    seasons = {"forecaster": {"seasons_seconds": [12_600, 6_300]}}
    bench = OneAct(load_settings(tmp_path, home=tmp_path, forecasting=seasons))
    quiet(bench, {"cpu_usage": 50}, hours=2)
    history = DataAroundAct(bench.context(TICK)).history(["cpu_usage"], forecast_of("cpu_usage", 50))
    assert history.season_lengths == (105, 210)


def test_how_small_an_effect_could_be_told_is_written_before_the_act_and_said_where_none_was(bench: OneAct) -> None:
    quiet(bench, {"cpu_usage": 50}, hours=10)
    begun(bench, horizon_s=1_800)
    estimand = bench.store.outcomes.estimand("a")
    assert estimand is not None
    assert estimand.detectable is not None
    assert estimand.detectable_sd_units is not None
    assert estimand.power_ratio is None, "nothing is believed of an act without a goal"
    assert 0 < estimand.detectable < 3
    after(bench, "cpu_usage", 50)
    outcome = judged(bench)["cpu_usage"]
    assert outcome.verdict in {Verdict.NO_EFFECT, Verdict.INCONCLUSIVE}
    assert "could hardly be detected" in outcome.reason
    assert outcome.evidence["detectable"] == estimand.detectable


def test_what_is_clear_before_the_end_is_told_once_to_people_and_teaches_nothing(bench: OneAct) -> None:
    quiet(bench, {"cpu_usage": 50}, hours=10)
    begun(bench, horizon_s=1_800)
    after(bench, "cpu_usage", 20)
    assert not judged(bench, minutes=3)
    assert not bench.store.facts.get(EARLY_VERDICTS)
    assert not judged(bench, minutes=8), "an outcome comes when the window is over"
    told_early = bench.store.facts.get(EARLY_VERDICTS)
    assert told_early is not None
    assert told_early["a"].verdict is Verdict.IMPROVED
    assert told_early["a"].steps < 30
    judged(bench, minutes=12)
    assert bench.store.facts.get(EARLY_VERDICTS) == told_early
    assert [line.verb for line in bench.store.audit.latest()].count("told early") == 1
    outcome = judged(bench)["cpu_usage"]
    assert outcome.evidence["early"]["verdict"] == "improved"
    assert outcome.evidence["observed_steps"] == outcome.evidence["window_steps"] > 20
    assert bench.store.facts.get(EARLY_VERDICTS) == {}
