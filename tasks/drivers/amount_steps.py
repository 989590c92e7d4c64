"""Step an amount of which no response is known: toward relief while a bound breaks, back while nothing does.

An amount is an ordered quantity: what fell short says that more was needed, what sufficed that no more was. So what
each hour of the day needed is learned from both sides, like a value that was only ever seen censored, and is asked for
again before that hour: half-way between what fell short and what sufficed, one step less for every day since.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from math import comb
from typing import Literal

import numpy as np

from storage.records import BoolArray, FloatArray

CALM = 0.25
"""The share of the way from its best to its bound within which a metric is well."""

_BEST = 0.05
_AT_BEST = 0.01
_MOSTLY = 0.5
_MOST_DAYS = 7
_MOST_TRIES = 4
_RELIEF_S = 7_200.0
_STIRRED_S, _RESTED_S = 3_600.0, 1_800.0
_FEWEST_VOTES = 5
_ALPHA = 0.05
_USUALLY, _JUMP_RATIO = 0.95, 2.0


class Move(StrEnum):
    """Where an amount should go: toward relief, back, or nowhere.

    It waits where more could be given back once the last change is old enough, and is hopeless where nothing helped.
    """

    RELIEVE = "relieve"
    STAY = "stay"
    WAIT = "wait"
    GIVE_BACK = "give back"
    HOPELESS = "hopeless"


AS_FAR = "it is as far as it may go"


@dataclass(frozen=True)
class StepTaken:
    """A move, the place among the allowed amounts that it leads to, and why in a few plain words."""

    move: Move
    to: int
    reason: str


@dataclass(frozen=True)
class Shortfall:
    """How likely the present amount falls short within a while, and in how many steps of the history's grid."""

    probability: float
    in_steps: int


@dataclass(frozen=True)
class StrainHistory:
    """How strained a bounded metric was and which amount was there, both (n_steps,) on one grid, oldest first.

    `strain` is 0 where the metric is at its best, 1 at its bound and more beyond; `place` counts the allowed amounts
    from 0 to `last_place`, each next one nearer to relief. `strain_now` and `now` are the present values of both. What
    is added works after `latency` steps, and the next look is after `turn` steps; a day has `day` steps of `step_s`.
    """

    strain: FloatArray
    place: FloatArray
    strain_now: float
    now: int
    last_place: int
    latency: int
    turn: int
    day: int
    step_s: float

    @property
    def settling(self) -> int:
        """Return in how many steps a change has come to work and has been looked at."""
        return self.latency + 2 * self.turn

    @cached_property
    def working(self) -> FloatArray:
        """Return the place (n_steps,) of the amount that worked: what was added counts after its latency."""
        shifted = [_earlier(self.place, steps) for steps in range(self.latency + 1)]
        return np.asarray(np.min(shifted, axis=0))

    @cached_property
    def rise(self) -> FloatArray:
        """Return by how much the strain grew in each step (n_steps,)."""
        return np.diff(self.strain, prepend=self.strain[:1])

    @cached_property
    def is_calm(self) -> BoolArray:
        """Mark the steps (n_steps,) in which the metric was well."""
        return self.strain <= CALM

    @cached_property
    def well(self) -> float:
        """Return the strain up to which the metric is well enough for less: its best, where it mostly rests there.

        What rests tells by the first sign of life that there is nothing more to spare, long before its bound.
        """
        return _AT_BEST if (self.strain <= _AT_BEST).mean() >= _MOSTLY else CALM

    @cached_property
    def least_needed(self) -> FloatArray:
        """Return the place (n_steps,) above the one that fell short in a step; -inf where none did.

        It falls short where the metric is beyond its bound and not on the way back, or would be after one more step.
        """
        is_short = (self.strain > 1) & (self.rise >= 0) | ~self.is_calm & (self.rise > 0) & (
            self.strain + self.rise > 1
        )
        return np.where(is_short, np.floor(self.working) + 1.0, -np.inf)

    @property
    def is_settled(self) -> bool:
        """Tell whether all that was added works."""
        return bool(self.working[-1] >= self.now - 1e-9)


def _earlier(values: FloatArray, steps: int) -> FloatArray:
    return np.concatenate([np.repeat(values[:1], steps), values[: len(values) - steps]])


def strain_of(values: FloatArray, bound: float, side: Literal["below", "above"]) -> FloatArray:
    """Return how strained a metric (n_steps,) is: 0 at its best usual value, 1 at its bound; NaN as recorded.

    Where even its best is beyond the bound, the scale is its spread, or the bound itself.
    """
    beyond = values - bound if side == "below" else bound - values
    seen = beyond[np.isfinite(beyond)]
    room = -float(np.quantile(seen, _BEST)) if len(seen) else 0.0
    scale = next((each for each in (room, float(np.std(seen)) if len(seen) else 0.0, abs(bound)) if each > 1e-9), 1.0)
    return 1.0 + beyond / scale


def next_step(seen: StrainHistory) -> StepTaken:
    """Return the next move of an amount: never away from relief while the bound is broken or about to be.

    Toward relief it goes to what past days needed from now on, or else by one, and by twice the last step where that
    works and has not helped. It goes back by one once the metric has been well all the while that a change needs to be
    seen, and at once where the day before was well with that amount.
    """
    wanted = min(seen.last_place, _needed(seen, 0))
    if is_hopeless(seen):
        return StepTaken(Move.HOPELESS, seen.now, f"the last {_MOST_TRIES} steps toward relief did not help")
    if wanted > seen.now:
        return StepTaken(Move.RELIEVE, int(wanted), "past days needed that much at this time")
    if is_strained(seen):
        return _toward_relief(seen)
    return _back(seen, wanted)


def is_strained(seen: StrainHistory) -> bool:
    """Tell whether the bound is broken and nothing has begun to help, or will be before a change could work."""
    if max(seen.strain_now, seen.strain[-1]) > 1:
        falls = -float(seen.rise[-1])
        return falls <= 0 or seen.strain_now - falls * 2 * seen.settling > 1
    return _breaks_in(seen) <= seen.latency + seen.turn


def shortfall(seen: StrainHistory, steps: int) -> Shortfall | None:
    """Return how likely the present amount falls short within `steps`; None where no day says anything of it.

    Days on which more was needed at this time, against days on which no more sufficed (Jeffreys' prior). A rise that
    reaches the bound within the time a change takes counts like a day.
    """
    soonest = _breaks_in(seen)
    short, enough = 0, 0
    for days in range(1, _MOST_DAYS + 1):
        first = len(seen.strain) - days * seen.day
        if first < 0:
            break
        window = slice(first, min(first + max(steps, seen.settling + 1), len(seen.strain)))
        later = np.flatnonzero(seen.least_needed[window] > seen.now)
        if len(later) and _relieved_at(seen, first + int(later[0]), seen.now + 1) is not None:
            short, soonest = short + 1, min(soonest, float(later[0]))
        elif seen.is_calm[window].all() and seen.working[window].max() <= seen.now + 0.5:
            enough += 1
    short += _breaks_in(seen) <= seen.latency + seen.turn
    if short + enough == 0:
        return None
    return Shortfall((short + 0.5) / (short + enough + 1.0), int(min(soonest, steps)))


def is_hopeless(seen: StrainHistory) -> bool:
    """Tell whether the last steps toward relief worked and none helped, though the amount has doubled since."""
    first = max(1, len(seen.place) - seen.day)
    raised = first + np.flatnonzero(np.diff(np.round(seen.place))[first - 1 :] > 0)
    tries = [step for step in raised.tolist() if seen.strain[step - 1] > 1 and step + seen.settling < len(seen.place)]
    for unhelped, step in enumerate(reversed(tries), start=1):
        after = seen.strain[step + seen.latency : step + seen.latency + 1 + 3 * seen.settling]
        if after.min() < min(1.0, 0.98 * after[0]) or after.min() < 0.98 * seen.strain[step - 1]:
            return False
        if unhelped >= _MOST_TRIES and seen.now + 1 >= min(2 * (seen.place[step - 1] + 1), seen.last_place + 1):
            return True
    return False


def most_harmless(strain: FloatArray, place: FloatArray, latency: int, turn: int) -> int | None:
    """Return the highest place that another bound bears; None where no raise of the amount was seen to break it.

    `strain` (n_steps,) is of that bound, up to now. A raise did if the bound was kept just before and broken as soon as
    it worked, by a jump that does not come by itself: half-way between the two places is borne, until seen otherwise.
    """
    reach, most = latency + 2, np.inf
    changed = np.flatnonzero(np.abs(np.diff(place)) > 0.5) + 1
    is_free = np.ones(len(strain), dtype=bool)
    for step in changed.tolist():
        is_free[step : step + reach + 1] = False
    moves = np.abs(strain[reach:] - strain[:-reach])[is_free[reach:]]
    usual = float(np.quantile(moves, _USUALLY)) if len(moves) else np.inf
    for step in changed[place[changed] > place[changed - 1]].tolist():
        worked = strain[step + latency : step + latency + 1 + turn]
        before, after = strain[step - 1], float(worked.max(initial=0.0))
        if before <= 1.0 < after and after - before > _JUMP_RATIO * usual:
            most = min(most, np.floor((place[step - 1] + place[step]) / 2))
    return int(most) if np.isfinite(most) else None


def seen_direction(strain: FloatArray, amount: FloatArray, latency: int) -> int:
    """Return 1 where more of an amount (n_steps,) relieved, -1 where it strained, 0 where that cannot be told.

    Each change that stands alone votes: by how much the strain ran on otherwise than before it. A sign test decides.
    """
    changed = np.flatnonzero(np.abs(np.diff(amount)) > 1e-9) + 1
    reach, votes = latency + 2, list[bool]()
    for step in changed.tolist():
        alone = np.count_nonzero(np.abs(changed - step) <= reach) == 1
        if not alone or step - 1 - reach < 0 or step + latency + 1 >= len(strain):
            continue
        before, run_up = strain[step - 1], strain[step - 1] - strain[step - 1 - reach]
        turned = strain[step + latency + 1] - before - run_up
        if abs(turned) > 0.05:
            votes.append(bool((turned < 0) == (amount[step] > amount[step - 1])))
    return _sign(sum(votes), len(votes))


def _sign(ayes: int, count: int) -> int:
    most = max(ayes, count - ayes)
    by_chance = sum(comb(count, each) for each in range(most, count + 1)) / 2.0**count if count else 1.0
    if count < _FEWEST_VOTES or by_chance > _ALPHA:
        return 0
    return 1 if ayes > count - ayes else -1


def _breaks_in(seen: StrainHistory) -> float:
    """Return in how many steps the present rise reaches the bound; infinite where there is none."""
    rise = float(seen.rise[-1])
    if seen.is_calm[-1] or rise <= 0:
        return np.inf
    return max(0.0, (1.0 - max(seen.strain_now, float(seen.strain[-1]))) / rise)


def _needed(seen: StrainHistory, ahead: int) -> float:
    """Return the place that past days needed `ahead` steps from now, half-way to what then sufficed; -inf for none.

    Every day since takes a step off, so that what is needed no more is found out.
    """
    most = -np.inf
    for days in range(1, _MOST_DAYS + 1):
        first = len(seen.strain) + ahead - days * seen.day
        if first < 0:
            break
        least = float(seen.least_needed[first : first + seen.settling + 1].max(initial=-np.inf))
        enough = _relieved_at(seen, first, least) if np.isfinite(least) else None
        if enough is not None:
            most = max(most, np.ceil(least + (enough - least) / 2) - (days - 1))
    return float(most)


def _relieved_at(seen: StrainHistory, first: int, least: float) -> float | None:
    """Return the lowest place, `least` or more, with which the strain fell again in the hours from a step on."""
    after = slice(first, first + seen.settling + 1 + round(_RELIEF_S / seen.step_s))
    working = seen.working[after][seen.is_calm[after] | (seen.rise[after] < 0)]
    enough = working[working >= least]
    return float(enough.min()) if len(enough) else None


def _toward_relief(seen: StrainHistory) -> StepTaken:
    if not seen.is_settled:
        return StepTaken(Move.STAY, seen.now, "what was added last does not work yet")
    if seen.now >= seen.last_place:
        return StepTaken(Move.STAY, seen.now, AS_FAR)
    last = _last_raise(seen)
    to = min(seen.last_place, seen.now + max(1, 2 * last))
    return StepTaken(Move.RELIEVE, to, "twice the last step, which did not help enough" if last else "one step")


def _last_raise(seen: StrainHistory) -> int:
    """Return by how much the amount was raised last in this strain, 0 where it was not."""
    reach = seen.latency + seen.turn
    lately = seen.place[-(2 * reach + 4) :]
    raised = np.flatnonzero(np.diff(lately) > 1e-9)
    if not len(raised):
        return 0
    last = int(raised[-1]) + 1
    return max(1, round(float(lately[last] - lately[max(0, last - max(1, reach))])))


def _back(seen: StrainHistory, wanted: float) -> StepTaken:
    lower = seen.now - 1
    if lower < 0:
        return StepTaken(Move.STAY, seen.now, "it is as low as it may go")
    if max(seen.strain[-1], seen.strain_now) > seen.well or _stirred_lately(seen):
        return StepTaken(Move.STAY, seen.now, "the metric is within its bound, but not well within it")
    if lower < wanted or _fell_short_lately(seen, lower):
        return StepTaken(Move.STAY, seen.now, "that much was needed lately, or at this time on past days")
    held = slice(-max(seen.settling, round(_RESTED_S / seen.step_s) if seen.well < CALM else 0), None)
    has_held = bool((seen.strain[held] <= seen.well).all() and (np.abs(seen.place[held] - seen.now) < 1e-9).all())
    if has_held or _sufficed_yesterday(seen, lower):
        return StepTaken(Move.GIVE_BACK, lower, "the metric is well within its bound, and stays so")
    return StepTaken(Move.WAIT, seen.now, "the last change is not old enough to tell what it did")


def _stirred_lately(seen: StrainHistory) -> bool:
    """Tell whether a metric that mostly rests did not rest with this amount, or more, within the last hour."""
    lately = slice(-max(seen.settling, round(_STIRRED_S / seen.step_s)), None)
    stirred = (seen.strain[lately] > seen.well) & (seen.working[lately] >= seen.now - 1e-9)
    return seen.well < CALM and bool(stirred.any())


def _fell_short_lately(seen: StrainHistory, place: int) -> bool:
    """Tell whether a place fell short too lately to be tried again: a while ago, twice as long for each time before."""
    half_day = seen.least_needed[-max(1, seen.day // 2) :]
    short = np.flatnonzero(half_day > place)
    if not len(short):
        return False
    patience = seen.latency + 6 * seen.turn
    times = 1 + int(np.count_nonzero(np.diff(short) > seen.settling))
    return bool(len(half_day) - int(short[-1]) <= patience * 2 ** (times - 1))


def _sufficed_yesterday(seen: StrainHistory, place: int) -> bool:
    first = len(seen.strain) - seen.day
    window = slice(first - 1, first + seen.settling + 1)
    return first >= 1 and bool(seen.is_calm[window].all() and seen.working[window].max() <= place + 1e-9)
