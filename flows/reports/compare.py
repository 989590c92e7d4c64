"""Two backtests of the same history side by side, and what a build server is to make of one."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from flows.reports.results import FIGURES, BacktestReport
from storage import ForeactError

AGAINST = "against"
_SHORT = {"missed": "missed_breaches", "late": "late_breaches", "foretold": "foretold_breaches"}
_SHORT |= {"lead": "median_lead_time_s", "actions": "actions_taken"}
_CONDITION = re.compile(r"^\s*([a-z_ -]+?)\s*(<=|>=|==|<|>)\s*([a-z0-9.+-]+)\s*$")
_TESTS: dict[str, Callable[[float, float], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
}


@dataclass(frozen=True)
class Condition:
    """A figure, a comparison and a limit: a number, or the same figure of the other configuration."""

    text: str
    figure: str
    sign: str
    limit: float | None

    def is_met(self, figures: Mapping[str, Any], against: Mapping[str, Any] | None) -> bool:
        """Tell whether the figures are as the condition says; a figure that there is not meets none."""
        figure = figures[self.figure]
        limit = self.limit if self.limit is not None else (against or {}).get(self.figure)
        return figure is not None and limit is not None and _TESTS[self.sign](float(figure), float(limit))


def conditions(text: str) -> list[Condition]:
    """Read conditions as in `missed>0, false-alarms>5, lead<300, cost>against`.

    Raises `condition_unknown` for one that cannot be read.
    """
    return [_condition(part) for part in text.split(",") if part.strip()]


def _condition(text: str) -> Condition:
    match = _CONDITION.match(text)
    name = re.sub(r"[ -]", "_", match[1]) if match else ""
    figure = _SHORT.get(name, name)
    if match is None or figure not in FIGURES or not _is_limit(match[3]):
        names = ", ".join(sorted({*FIGURES, *_SHORT})).replace("_", "-")
        raise ForeactError(
            "condition_unknown",
            f"{text.strip()!r} is not a condition.",
            f"Write FIGURE, one of < <= == >= >, and a number or `{AGAINST}`. Figures: {names}.",
        )
    return Condition(text.strip(), figure, match[2], None if match[3] == AGAINST else float(match[3]))


def _is_limit(text: str) -> bool:
    try:
        return text == AGAINST or float(text) == float(text)
    except ValueError:
        return False


def refuse_comparisons(conditions_given: Sequence[Condition]) -> None:
    """Raise `condition_needs_two` where a condition speaks of another configuration: there is none."""
    if any(each.limit is None for each in conditions_given):
        raise ForeactError("condition_needs_two", "There is nothing to compare against.", "Name it: --against FILE.")


def failures(
    conditions_given: Sequence[Condition], report: BacktestReport, against: BacktestReport | None = None
) -> list[str]:
    """Return a line for each condition that holds, and so fails the build."""
    figures, others = report.summary(), against.summary() if against else None
    return [
        f"{each.text}: {each.figure} is {figures[each.figure]:g}"
        for each in conditions_given
        if each.is_met(figures, others)
    ]
