"""When the learned policy may choose for a type of goal, and when that is taken back."""

from __future__ import annotations

from dataclasses import dataclass

from storage.facts import LateStanding
from tasks.learn.late.sequential_value import LateValue
from tasks.text import number

FIRST_LOOK, LOOKS = 60, 5
"""It is looked at with 60 choices, and whenever they have doubled since, five times at most."""
CHANCE = 0.05
"""How often a policy that is no better may ever be admitted, all looks together."""
CHANCE_KEPT = 0.05
FEWEST_FOLLOWED = 10


@dataclass(frozen=True)
class LateVerdict:
    """Whether the learned policy may choose, how many looks were spent, the bound that was asked, and why."""

    is_admitted: bool
    looks: int
    low: float | None
    sentence: str


def look_due(choices: int, looks: int) -> bool:
    """Tell whether the next look at whether to admit is due, with so many choices logged and looks spent."""
    return _looks_at(choices) > looks


def _looks_at(choices: int) -> int:
    """Return how many looks so many choices are worth; those that were missed are spent as well."""
    return sum(choices >= FIRST_LOOK * 2**look for look in range(LOOKS))


def judge_late(
    before: LateStanding | None, choices: int, value: LateValue | None, since: LateValue | None
) -> LateVerdict:
    """Decide on a type of goal from the newest estimate, and from that of the time since it was admitted.

    Admission asks that the lower bound is above zero, at looks that are few and share one small chance of being wrong.
    It stays while the 95 % bound is above zero and the time since does not show that the planner is better.
    """
    looks, is_admitted = (before.looks, before.is_admitted) if before else (0, False)
    is_look = look_due(choices, looks)
    spent = max(looks, _looks_at(choices))
    if value is None or value.followed < FEWEST_FOLLOWED:
        return LateVerdict(False, spent if value is not None else looks, None, _too_few(choices, value))
    low = value.low(CHANCE_KEPT if is_admitted or not is_look else CHANCE / LOOKS)
    told = f"{number(value.mean)} h less broken for each of {value.choices} choices, at least {number(low)}"
    if is_admitted and since is not None and since.high(CHANCE_KEPT) < 0:
        return LateVerdict(False, spent, low, "Taken back: since it chooses, the planner would have done better.")
    if is_admitted and low <= 0:
        return LateVerdict(False, spent, low, f"Taken back: its bound no longer holds ({told}).")
    if is_admitted or (is_look and low > 0):
        return LateVerdict(True, spent, low, f"It chooses: {told}.")
    return LateVerdict(False, spent, low, f"A shadow: {told}; {_next_look(spent)}.")


def _too_few(choices: int, value: LateValue | None) -> str:
    if value is None:
        return f"A shadow: {choices} choices were logged, from too few days or with too little after them."
    if not value.differing:
        return f"A shadow: it would have done the same in all of {value.choices} choices."
    return (
        f"A shadow: it would have done otherwise in {value.differing} of {value.choices} choices, and in "
        f"{value.followed} of them that was done; {FEWEST_FOLLOWED} are needed."
    )


def _next_look(spent: int) -> str:
    if spent >= LOOKS:
        return "all looks are spent"
    return f"the next look that can admit it is with {FIRST_LOOK * 2**spent} choices"
