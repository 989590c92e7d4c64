"""Beliefs follow from the outcomes in the order recorded, and from nothing else."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storage.errors import ForeactError
from storage.records import NOTHING
from tasks.learn import HierarchicalLearner, Learner, Observation, Situation, observations, replay
from tasks.learn.beliefs import restore, unlearned
from tasks.maintenance import hour_of_day
from tests.tasks.learn.worlds import GOAL, observed, row

TRUTH = {NOTHING: 0.0, "useless": 0.0, "good": 0.8}
ARMS = list(TRUTH)


def _record(learner: Any) -> str:
    return json.dumps(learner.to_record(), sort_keys=True)


def test_effects_approach_the_truth_and_unseen_arms_keep_the_prior() -> None:
    learner = replay(observed(TRUTH, 40))
    mean, deviation = learner.effects(Situation(GOAL), [*ARMS, "never seen"])
    assert mean[2] - mean[1] == pytest.approx(0.8, abs=0.15)
    assert deviation[3] > 2 * deviation[2]
    gain, doubt = learner.gain(Situation(GOAL), "good", NOTHING)
    assert abs(gain - 0.8) < 3 * doubt


def test_replaying_outcomes_gives_the_same_numbers_to_the_last_bit() -> None:
    outcomes = observed(TRUTH, 10)
    stepwise: Any = HierarchicalLearner()
    for outcome in outcomes:
        stepwise = stepwise.update(outcome)
    assert _record(replay(outcomes)) == _record(stepwise)


def test_a_learner_restored_from_json_goes_on_to_the_same_numbers() -> None:
    outcomes = observed(TRUTH, 10)
    half = replay(outcomes[:15])
    restored = HierarchicalLearner.from_record(json.loads(json.dumps(half.to_record())))
    assert _record(replay(outcomes[15:], restored)) == _record(replay(outcomes))


def test_goal_types_and_actions_never_seen_before_are_learned_from() -> None:
    first = replay(observed(TRUTH, 5))
    strange = Observation("new", "dance", "MORALE", 3.0, 1.5, 0.1)
    learner = first.update(strange)
    assert learner.effects(Situation("MORALE"), ["dance"])[0][0] > 0.4
    assert _record(replay([*observed(TRUTH, 5), strange])) == _record(learner)


def test_an_update_leaves_the_old_learner_as_it_was() -> None:
    first = replay(observed(TRUTH, 3))
    before = _record(first)
    first.update(Observation("late", "good", GOAL, 1.0, 2.0, 0.1))
    assert _record(first) == before


def test_an_outcome_that_arrives_twice_counts_once() -> None:
    outcomes = observed(TRUTH, 4)
    assert _record(replay([*outcomes, *outcomes])) == _record(replay(outcomes))


def test_what_was_not_learned_yet_is_found_after_more_outcomes_than_are_remembered() -> None:
    outcomes = [Observation(f"o{i}", "good", GOAL, 0.0, 0.5, 0.5) for i in range(30)]
    short = replace(_as_learner(replay(outcomes[:25])), recent_ids=tuple(f"o{i}" for i in range(15, 25)))
    late = replace(outcomes[3], outcome_id="late")
    fresh = unlearned(short, [*outcomes[:20], late, *outcomes[20:]])
    assert [each.outcome_id for each in fresh] == ["late", *(f"o{i}" for i in range(25, 30))]
    assert unlearned(HierarchicalLearner(), outcomes) == outcomes


def _as_learner(learner: Any) -> HierarchicalLearner:
    assert isinstance(learner, HierarchicalLearner)
    return learner


def test_one_freak_outcome_does_not_outvote_the_others() -> None:
    sober = observed(TRUTH, 20)
    freak = Observation("freak", "useless", GOAL, 12.0, 400.0, 0.05)
    mean, _ = replay([*sober, freak]).effects(Situation(GOAL), ARMS)
    assert mean.argmax() == ARMS.index("good")


def test_old_outcomes_fade_so_a_change_is_noticed() -> None:
    before = observed({"a": 0.8, "b": 0.0}, 60)
    after = [replace(each, outcome_id=f"{each.outcome_id}'") for each in observed({"a": 0.0, "b": 0.8}, 60, seed=1)]
    mean, _ = replay([*before, *after]).effects(Situation(GOAL), ["a", "b"])
    assert mean[1] > mean[0]


def test_without_outcomes_the_belief_is_the_prior_and_fading_cannot_undercut_it() -> None:
    prior_mean, prior_sd = HierarchicalLearner().effects(Situation(GOAL), ["a"])
    assert prior_mean[0] == 0
    learner = replay(Observation(f"o{i}", "b", GOAL, 0.0, 0.0, 1.0) for i in range(400))
    assert learner.effects(Situation("OTHER"), ["a"])[1][0] < 1.2 * prior_sd[0]


def test_time_of_day_is_learned_and_averages_out_over_the_day() -> None:
    rng = np.random.default_rng(0)
    hours = rng.uniform(0, 24, 150)
    outcomes = [
        Observation(f"o{i}", "a", GOAL, float(hour), float(0.6 * np.sin(2 * np.pi * hour / 24)), 0.1)
        for i, hour in enumerate(hours)
    ]
    learner = replay(outcomes)
    assert learner.effects(Situation(GOAL, 6.0), ["a"])[0][0] == pytest.approx(0.6, abs=0.15)
    assert learner.effects(Situation(GOAL), ["a"])[0][0] == pytest.approx(0.0, abs=0.1)


@pytest.mark.parametrize(
    ("effect", "error", "hour"),
    [(np.nan, 0.1, 1.0), (np.inf, 0.1, 1.0), (0.1, np.nan, 1.0), (0.1, -1.0, 1.0), (0.1, 0.1, np.nan)],
)
def test_an_outcome_without_usable_numbers_is_refused(effect: float, error: float, hour: float) -> None:
    with pytest.raises(ForeactError) as refused:
        HierarchicalLearner().update(Observation("o", "a", GOAL, hour, effect, error))
    assert refused.value.code == "observation_invalid"


def _broken(record: dict[str, Any]) -> list[dict[str, Any]]:
    mean = [*record["mean"]]
    mean[0] += 1e-9
    return [
        {},
        {**record, "mean": mean},
        {**record, "digest": "0"},
        {**record, "features": record["features"][:-1]},
        {**record, "precision": "gone"},
        {name: value for name, value in record.items() if name != "rate"},
        {**record, "outcome_count": record["outcome_count"] + 1},
    ]


@pytest.mark.parametrize("place", range(7))
def test_a_corrupt_belief_row_is_refused_and_replayed_with_a_note(place: int) -> None:
    outcomes = observed(TRUTH, 6)
    sound = replay(outcomes)
    broken = _broken(sound.to_record())[place]
    with pytest.raises(ForeactError) as refused:
        HierarchicalLearner.from_record(broken)
    assert refused.value.code == "belief_corrupt"
    restored = restore(broken, outcomes)
    assert "Replayed from 18 outcomes" in restored.note
    assert _record(restored.learner) == _record(sound)


def test_a_sound_row_is_restored_without_a_note() -> None:
    outcomes = observed(TRUTH, 6)
    restored = restore(replay(outcomes).to_record(), [])
    assert not restored.note
    assert restored.learner.outcome_count == 18


def test_draws_agree_with_the_believed_means() -> None:
    learner = replay(observed(TRUTH, 20))
    mean, deviation = learner.effects(Situation(GOAL, 9.0), ARMS)
    draws = learner.draws(Situation(GOAL, 9.0), ARMS, 4_000, seed=1)
    assert draws.mean(axis=0) == pytest.approx(mean, abs=0.02)
    assert draws.std(axis=0) == pytest.approx(deviation, rel=0.1)


@settings(max_examples=25, deadline=None)
@given(
    outcomes=st.lists(
        st.builds(
            Observation,
            st.integers(0, 10_000).map(str),
            st.sampled_from([NOTHING, "a", "b", "c"]),
            st.sampled_from(["G1", "G2"]),
            st.floats(0, 24),
            st.floats(-1e6, 1e6),
            st.floats(0, 1e3),
        ),
        max_size=25,
    )
)
def test_whatever_comes_in_beliefs_stay_finite_and_restorable(outcomes: list[Observation]) -> None:
    learner = replay(outcomes)
    mean, deviation = learner.effects(Situation("G1", 4.0), [NOTHING, "a", "b"])
    assert np.isfinite(mean).all()
    assert (deviation > 0).all()
    assert _record(HierarchicalLearner.from_record(learner.to_record())) == _record(learner)


def seen_at(effects: dict[tuple[str, str], float], count: int = 4) -> Learner:
    """Learn from outcomes of one action, by the series and the target it was done to."""
    return replay(
        Observation(f"{series}-{target}-{i}", "redeploy", GOAL, 12.0, effect, 0.2, series, target)
        for i in range(count)
        for (series, target), effect in effects.items()
    )


def gain_at(learner: Learner, series: str, target: str = "") -> float:
    return learner.gain(Situation(GOAL, 12.0, series, target), "redeploy", NOTHING)[0]


def test_one_action_may_help_one_metric_and_harm_another() -> None:
    learner = seen_at({("queue", ""): 1.0, ("latency", ""): -1.0})
    assert gain_at(learner, "queue") > 0.5
    assert gain_at(learner, "latency") < -0.5


def test_one_action_may_be_good_for_few_targets_of_many_and_the_others_are_judged_by_all() -> None:
    hosts = {(f'load{{host="h{n}"}}', f"h{n}"): (1.0 if n < 3 else 0.0) for n in range(9)}
    learner = seen_at(hosts)
    assert min(gain_at(learner, *host) for host in list(hosts)[:3]) > 0.5
    assert max(abs(gain_at(learner, *host)) for host in list(hosts)[3:]) < 0.3
    assert 0.0 < gain_at(learner, 'load{host="new"}', "new") < 0.6


def test_an_action_never_tried_is_as_uncertain_as_it_was_before_any_outcome() -> None:
    learner = seen_at({("queue", ""): 1.0})
    place = Situation(GOAL, 12.0, "queue", "q")
    mean, doubt = learner.gain(place, "other", NOTHING)
    assert mean == 0.0
    assert doubt == pytest.approx(learner.doubt_before(place, "other"))
    assert learner.gain(place, "redeploy", NOTHING)[1] < learner.doubt_before(place, "redeploy")


@pytest.mark.parametrize(("month", "hour"), [(1, 10.5), (7, 11.5)])
def test_the_hour_of_an_act_is_that_of_local_clocks_also_where_they_are_changed(month: int, hour: float) -> None:
    at = datetime(2026, month, 5, 9, 30, tzinfo=UTC)
    assert hour_of_day(at.timestamp(), ZoneInfo("Europe/Berlin")) == hour
    (seen,) = observations([row(at_s=at.timestamp())], ZoneInfo("Europe/Berlin"))
    assert seen.hour == hour


def test_what_brings_back_a_metric_that_is_far_off_is_not_believed_to_change_one_that_is_not() -> None:
    far = [Observation(f"far-{i}", "restart", GOAL, 12.0, 5.0, 0.5, "errors", off_usual_sd=5.0) for i in range(4)]
    near = [Observation(f"near-{i}", "restart", GOAL, 12.0, 0.0, 0.3, "errors") for i in range(6)]
    learner = replay([*far, *near])
    off, _ = learner.gain(Situation(GOAL, 12.0, "errors", off_usual_sd=8.0), "restart", NOTHING)
    calm, _ = learner.gain(Situation(GOAL, 12.0, "errors"), "restart", NOTHING)
    assert off > 4
    assert abs(calm) < 0.5


def test_how_far_a_metric_was_off_bounds_what_one_outcome_may_say() -> None:
    def believed(off: float) -> float:
        seen = Observation("o", "restart", GOAL, 12.0, 400.0, 0.05, "errors", off_usual_sd=off)
        return float(replay([seen]).gain(Situation(GOAL, 12.0, "errors", off_usual_sd=off), "restart", NOTHING)[0])

    assert believed(0.0) <= 2
    assert 2 < believed(6.0) <= 6
