"""An amount without a known response is stepped: never against a breach, further while nothing helps, and back."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from storage.records import FloatArray
from tasks.drivers.amount_steps import (
    CALM,
    Move,
    StrainHistory,
    is_hopeless,
    next_step,
    seen_direction,
    shortfall,
    strain_of,
)

DAY = 48


def history(
    strain: list[float] | FloatArray, place: list[float] | FloatArray | float = 5.0, **more: Any
) -> StrainHistory:
    """Return a history of half-hours, a place each or the same all the time; the values now are the last."""
    strained = np.asarray(strain, dtype=float)
    places = np.broadcast_to(np.asarray(place, dtype=float), strained.shape).copy()
    fields: dict[str, Any] = {
        "strain": strained,
        "place": places,
        "strain_now": float(strained[-1]),
        "now": round(float(places[-1])),
        "last_place": 20,
        "latency": 1,
        "turn": 1,
        "day": DAY,
        "step_s": 1_800.0,
    }
    return StrainHistory(**(fields | more))


WELL = [0.0] * 20


def test_strain_is_nothing_at_the_usual_best_and_one_at_the_bound() -> None:
    np.testing.assert_allclose(
        strain_of(np.array([0.0] * 10 + [50.0, 100.0]), 100.0, "below")[[0, -2, -1]], [0, 0.5, 1]
    )
    np.testing.assert_allclose(strain_of(np.array([9.0] * 10 + [5.0]), 5.0, "above")[[0, -1]], [0, 1])


def test_a_metric_that_never_moved_is_as_strained_as_it_is_beyond_its_bound() -> None:
    assert strain_of(np.full(10, 7.0), 5.0, "below")[-1] > 1
    assert strain_of(np.full(10, 5.0), 5.0, "below")[-1] == 1.0


def test_the_first_step_toward_relief_is_one() -> None:
    taken = next_step(history([*WELL, 0.6, 1.4]))
    assert (taken.move, taken.to) == (Move.RELIEVE, 6)


def test_a_rise_that_breaks_the_bound_before_a_change_could_work_is_met_beforehand() -> None:
    assert next_step(history([*WELL, 0.3, 0.7])).move is Move.RELIEVE
    assert next_step(history([*WELL, 0.3, 0.31])).move is Move.STAY


def test_nothing_is_added_while_what_was_added_does_not_work_yet() -> None:
    assert next_step(history([*WELL, 1.4, 1.6], [*[5.0] * 21, 6.0])).move is Move.STAY


def test_a_step_that_works_and_does_not_help_is_followed_by_one_twice_as_large() -> None:
    taken = next_step(history([*WELL, 1.4, 1.6, 1.8, 2.0], [*[5.0] * 21, 7.0, 7.0, 7.0]))
    assert (taken.move, taken.to) == (Move.RELIEVE, 11)


def test_a_breach_that_is_on_its_way_back_is_left_alone() -> None:
    assert next_step(history([*WELL, 2.0, 1.5])).move is Move.STAY


def test_it_goes_back_by_one_once_the_metric_was_well_all_the_while() -> None:
    taken = next_step(history(WELL))
    assert (taken.move, taken.to) == (Move.GIVE_BACK, 4)
    assert next_step(history(WELL, [*[6.0] * 19, 5.0])).move is Move.WAIT


def test_a_resting_metric_that_stirred_gives_nothing_back_though_it_is_far_from_its_bound() -> None:
    assert next_step(history(WELL)).move is Move.GIVE_BACK
    assert next_step(history([*WELL, 0.2, 0.0])).move is Move.STAY
    assert next_step(history([*WELL, 0.2, 0.0, 0.0, 0.0])).move is Move.GIVE_BACK


def test_a_metric_that_never_rests_is_well_within_a_quarter_of_the_way() -> None:
    moving = np.tile([0.05, 0.15, 0.1, 0.2], 6)
    assert next_step(history(moving)).move is Move.GIVE_BACK


def test_what_fell_short_is_tried_again_later_each_time() -> None:
    once = [*[0.0] * 10, 0.6, 1.4, *[0.0] * 9]
    assert next_step(history(once, [*[4.0] * 12, *[5.0] * 9])).move is Move.GIVE_BACK
    twice = [0.6, 1.4, 0.0, 0.0, 0.0, 0.0, *once[6:]]
    places = [4.0] * len(twice)
    places[-9:] = [5.0] * 9
    assert next_step(history(twice, places)).move is Move.STAY


def yesterday_short(at: int, enough: float) -> StrainHistory:
    """A day that was well with 5 but for a breach some half-hours from now, which more places ended."""
    strain, place = np.zeros(DAY + 4), np.full(DAY + 4, 5.0)
    strain[4 + at : 6 + at] = [1.5, 2.0]
    place[6 + at : 9 + at] = enough
    return history(strain, place)


def test_what_yesterday_needed_is_there_before_that_time() -> None:
    taken = next_step(yesterday_short(2, enough=9.0))
    assert taken.move is Move.RELIEVE
    assert 6 <= taken.to <= 9
    assert next_step(yesterday_short(12, enough=9.0)).move is not Move.RELIEVE


def test_days_that_fell_short_with_no_less_make_a_shortfall_likely_and_days_that_did_not_unlikely() -> None:
    short, well = shortfall(yesterday_short(6, enough=9.0), 10), shortfall(history(np.zeros(DAY + 4)), 10)
    assert short is not None
    assert well is not None
    assert short.probability > 0.5 > well.probability
    assert short.in_steps == 6
    assert shortfall(history(WELL), 10) is None


def test_an_amount_that_never_helped_is_given_up_after_a_few_tries_and_left_there() -> None:
    strain = [*WELL, *[2.0] * 24]
    place = [*[2.0] * 22, *[3.0] * 4, *[5.0] * 4, *[9.0] * 4, *[17.0] * 10]
    stuck = history(strain, place)
    assert is_hopeless(stuck)
    taken = next_step(stuck)
    assert (taken.move, taken.to) == (Move.HOPELESS, 17)
    assert "did not help" in taken.reason


def test_an_amount_that_helped_at_last_is_not_given_up() -> None:
    strain = [*WELL, *[2.0] * 18, 1.2, *[0.0] * 5]
    place = [*[2.0] * 22, *[3.0] * 4, *[5.0] * 4, *[9.0] * 4, *[17.0] * 10]
    assert not is_hopeless(history(strain, place))


def test_the_direction_is_told_by_changes_that_stand_alone_and_by_nothing_else() -> None:
    amount = np.repeat([5.0, 8.0] * 6, 12)
    relieved, noise = 3.0 - 0.2 * amount, np.random.default_rng(0).normal(0, 0.001, len(amount))
    assert seen_direction(relieved, amount, 0) == 1
    assert seen_direction(-relieved, amount, 0) == -1
    assert seen_direction(noise, amount, 0) == 0
    assert seen_direction(relieved[:30], amount[:30], 0) == 0


strains = st.lists(st.floats(-0.5, 4.0), min_size=4, max_size=3 * DAY)


@given(strains, st.data())
def test_no_move_leads_away_from_relief_while_the_bound_is_broken(strain: list[float], data: st.DataObject) -> None:
    place = data.draw(st.lists(st.integers(0, 20), min_size=len(strain), max_size=len(strain)))
    seen = history(strain, np.array(place, dtype=float), latency=data.draw(st.integers(0, 3)))
    taken = next_step(seen)
    assert 0 <= taken.to <= seen.last_place
    if seen.strain_now > 1:
        assert taken.to >= seen.now
    if taken.move is Move.GIVE_BACK:
        assert taken.to == seen.now - 1
        assert seen.strain_now <= CALM


@given(strains)
def test_what_is_as_far_as_it_may_go_stays_there(strain: list[float]) -> None:
    seen = replace(history(strain, 20.0), strain_now=2.0)
    assert next_step(seen).to == 20
