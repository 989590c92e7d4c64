"""When an action works best: a score for every slot of the day."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from storage.errors import ForeactError
from tasks.learn.beliefs import Learner
from tasks.learn.features import Situation
from tasks.special import ndtr


@dataclass(frozen=True)
class SlotScore:
    """What an action is believed to do in the slot of the day from `start_hour` on, in sd of the metric.

    `gain` is how much more that is than its average over the day, `better_ratio` the probability that it is
    more.
    """

    start_hour: float
    effect: float
    standard_deviation: float
    gain: float
    better_ratio: float


def slot_scores(learner: Learner, goal_type: str, action: str, *, slots: int = 8) -> tuple[SlotScore, ...]:
    """Score an action in each of `slots` equal parts of the day, by the effect believed at the part's middle.

    Returns the slots in the order of the day. Raises ForeactError `slots_invalid` for fewer than one.
    """
    if slots < 1:
        raise ForeactError("slots_invalid", f"A day cannot have {slots} slots.", "Ask for 1 to 24.")
    width = 24 / slots
    return tuple(_score(learner, goal_type, action, width * slot, width) for slot in range(slots))


def _score(learner: Learner, goal_type: str, action: str, start: float, width: float) -> SlotScore:
    here, all_day = Situation(goal_type, start + width / 2), Situation(goal_type)
    mean, deviation = learner.effects(here, [action])
    gain, doubt = learner.gain(here, action, action, all_day)
    better = ndtr(gain / doubt) if doubt > 0 else 0.5
    return SlotScore(start, float(mean[0]), float(deviation[0]), gain, better)


def best_slots(scores: Sequence[SlotScore], count: int = 3) -> tuple[SlotScore, ...]:
    """Return the `count` slots with the highest believed effect, best first."""
    return tuple(sorted(scores, key=lambda score: -score.effect)[:count])
