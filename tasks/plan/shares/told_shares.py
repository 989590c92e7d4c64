"""How a budget is shared, in plain English."""

from __future__ import annotations

from collections.abc import Sequence

from storage.facts import BudgetShares, ChildShare
from storage.records import SharedBudget
from tasks.text import listed, number

_MOST_NAMED = 4


def sentence_of(shares: BudgetShares, budget: SharedBudget) -> str:
    """Say what is left of a budget, who gets how much of it and why, and who is lost."""
    said = [_left(shares, budget), _given(shares), _price(shares), *_lost(shares)]
    return " ".join(each for each in said if each)


def _left(shares: BudgetShares, budget: SharedBudget) -> str:
    if budget.is_of_minutes:
        whole = f"{_amount(shares, shares.limit)} in {number(budget.days)} days"
    else:
        whole = f"{_amount(shares, shares.limit)}"
    used = f"{shares.budget}: {whole}, {number(shares.used, 3)} used"
    if shares.left < 0:
        return f"{used}, which is {number(-shares.left, 3)} more than there is."
    return f"{used}, {number(shares.left, 3)} left."


def _given(shares: BudgetShares) -> str:
    parts = sorted((part for part in shares.parts if part.share > 0), key=lambda part: -part.share)
    if not parts:
        return "" if shares.unit == "minutes" and shares.left <= 0 else "Nobody needs any of it now."
    named = [f"{part.name} {number(part.share, 3)}" for part in parts[:_MOST_NAMED]]
    more = f" and {len(parts) - _MOST_NAMED} others the rest" if len(parts) > _MOST_NAMED else ""
    given = f"Until the horizon it is shared as {', '.join(named)}{more}"
    saving = [part for part in shares.parts if part.share < part.foreseen - 1e-9 and not part.lost]
    if shares.unit == "minutes" and saving and _keeps_most(parts):
        return f"{given}: a minute of {_keeps_most(parts)} is dearest to save, one of {_names(saving)} is cheaper."
    if shares.unit != "minutes" and saving:
        return f"{given}; {_names(saving)} would take more."
    return f"{given}."


def _keeps_most(parts: Sequence[ChildShare]) -> str:
    """Return which part goes without saving all that it could, as it may have what it needs; empty if none does."""
    return next((part.name for part in parts if part.share >= part.foreseen - 1e-9 and not part.lost), "")


def _price(shares: BudgetShares) -> str:
    said = [_over(shares)] if shares.over > 0 else []
    if shares.price > 0:
        unit = "minute" if shares.unit == "minutes" else "unit of cost"
        said.append(f"One more {unit} would save {number(shares.price, 2)}.")
    weighed = sorted((part for part in shares.parts if part.weight > 1.0), key=lambda part: -part.weight)[:_MOST_NAMED]
    if weighed:
        factors = ", ".join(f"{part.name} {number(part.weight, 3)} times" for part in weighed)
        said.append(f"So long, their goals count more: {factors}.")
    return " ".join(said) or "That covers what is foreseen."


def _over(shares: BudgetShares) -> str:
    if shares.unit == "minutes":
        return f"As foreseen, {number(shares.over, 3)} min more will be broken than are left, whatever pays is done."
    return f"That is {number(shares.over, 3)} too much: nothing is added until some is given back."


def _lost(shares: BudgetShares) -> list[str]:
    unit = " min" if shares.unit == "minutes" else ""
    return [
        f"{part.name} is lost ({part.lost}): "
        + (
            f"{number(part.share, 3)}{unit} are set aside for it before the others share."
            if part.share > 0
            else "its share goes to the others."
        )
        for part in shares.parts
        if part.lost
    ]


def _names(parts: Sequence[ChildShare]) -> str:
    return listed([part.name for part in parts[:_MOST_NAMED]])


def _amount(shares: BudgetShares, amount: float) -> str:
    return f"{number(amount)} {'min' if shares.unit == 'minutes' else 'an hour'}"
