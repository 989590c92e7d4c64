"""What a month will cost: spend so far, and the rest of the month at the present rate."""

from __future__ import annotations

import calendar
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np

from storage.records import FloatArray, metric_of
from tasks.goals.evidence import Evidence
from tasks.goals.statistics.measures import effective_size
from tasks.special import ndtr

_RATE_UNITS_S = {"_per_second": 1.0, "_per_minute": 60.0, "_per_hour": 3_600.0, "_per_day": 86_400.0}
_RECENT_HOURS = 14 * 24
_MIN_HOURS = 6


@dataclass(frozen=True)
class Projection:
    """A month's spend: so far, projected to its end with a standard error, and the present rate per hour.

    `rate_unit_s` is the unit of a spend rate, None for a cumulative spend; `unseen_hours` of the month were not
    recorded and are counted at the mean of those that were.
    """

    spent: float
    projected: float
    standard_error: float
    rate_per_hour: float
    hours_left: float
    rate_unit_s: float | None
    unseen_hours: float

    def probability(self, budget: float) -> float:
        """Return the chance that the month ends above a budget."""
        if self.spent > budget:
            return 1.0
        if self.standard_error <= 0:
            return float(self.projected > budget)
        return ndtr((self.projected - budget) / self.standard_error)

    def exhausted_in_hours(self, budget: float) -> float:
        """Return the hours until the budget is gone at the present rate, at most to the end of the month."""
        if self.spent >= budget or self.rate_per_hour <= 0:
            return 0.0 if self.spent >= budget else self.hours_left
        return min(self.hours_left, (budget - self.spent) / self.rate_per_hour)

    def sustainable(self, budget: float) -> float:
        """Return the bound on the metric itself: the rate that just keeps the budget, or the budget as it is."""
        if self.rate_unit_s is None:
            return budget
        per_hour = max(0.0, budget - self.spent) / max(self.hours_left, 1.0)
        return per_hour * self.rate_unit_s / 3_600


def rate_unit_s(series: str) -> float | None:
    """Return the unit of a spend rate, read off the metric's name; None means that it is a cumulative spend.

    `cost_usd_per_hour` is a rate; `cost_usd` or `cost_usd_total` is the spend so far, with or without a monthly reset.
    """
    name = metric_of(series)
    return next((unit for suffix, unit in _RATE_UNITS_S.items() if name.endswith(suffix)), None)


def month_of(tick: datetime) -> tuple[datetime, datetime]:
    """Return the start of the tick's calendar month and of the next, in UTC."""
    at = tick.astimezone(UTC)
    start = at.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    return start, start + timedelta(days=calendar.monthrange(at.year, at.month)[1])


def project(evidence: Evidence, series: str) -> Projection | None:
    """Return the month-end projection of a spend series from hourly means; None under six recorded hours."""
    window = evidence.window(series, 62 * 86_400.0)
    if window is None:
        return None
    hours = _hourly(window.values, window.step_s)
    unit_s = rate_unit_s(series)
    spends = hours * 3_600 / unit_s if unit_s is not None else _increments(hours)
    recent = spends[-_RECENT_HOURS:]
    recent = recent[np.isfinite(recent)]
    if len(recent) < _MIN_HOURS:
        return None
    start, end = month_of(evidence.tick)
    hours_gone = (evidence.tick - start).total_seconds() / 3_600
    hours_left = (end - evidence.tick).total_seconds() / 3_600
    rate = float(recent.mean())
    seen = spends[-max(1, round(hours_gone)) :]
    seen_hours = int(np.isfinite(seen).sum())
    unseen_hours = max(0.0, hours_gone - seen_hours)
    spent = float(np.nansum(seen)) + unseen_hours * rate
    if unit_s is None and (so_far := _month_to_date(hours, hours_gone)) is not None:
        spent, unseen_hours = so_far, 0.0
    return Projection(
        spent=spent,
        projected=spent + rate * hours_left,
        standard_error=_standard_error(recent, hours_left + unseen_hours),
        rate_per_hour=rate,
        hours_left=hours_left,
        rate_unit_s=unit_s,
        unseen_hours=unseen_hours,
    )


def _standard_error(spends: FloatArray, hours_ahead: float) -> float:
    """Return the standard error of the sum over the hours ahead: the mean's own, and the scatter of what comes."""
    share = effective_size(spends) / len(spends)
    spread = float(spends.std(ddof=1))
    return spread * float(np.sqrt(hours_ahead**2 / (len(spends) * share) + hours_ahead / share))


def _hourly(values: FloatArray, step_s: float) -> FloatArray:
    size = max(1, round(3_600 / step_s))
    count = len(values) // size
    grid = values[len(values) - count * size :].reshape(count, size)
    held = np.isfinite(grid).sum(axis=1)
    return np.where(held > 0, np.nansum(grid, axis=1) / np.maximum(held, 1), np.nan)


def _increments(totals: FloatArray) -> FloatArray:
    """Return what each hour added; an hour in which the total fell was a reset and is unknown."""
    added = np.diff(totals, prepend=np.nan)
    return np.where(added >= 0, added, np.nan)


def _month_to_date(totals: FloatArray, hours_gone: float) -> float | None:
    """Return a cumulative spend since the month began; None where its start was not recorded.

    A total that was reset within the first day counts from zero, one that runs on counts from where the month began.
    """
    gone = round(hours_gone)
    recorded = totals[np.isfinite(totals)]
    if len(totals) <= gone or len(recorded) == 0:
        return float(recorded[-1]) if len(recorded) and _starts_near_zero(recorded) else None
    month = totals[-(gone + 1) :]
    month = month[np.isfinite(month)]
    if len(month) == 0:
        return None
    fell = np.flatnonzero(np.diff(month) < 0)
    return float(month[-1]) if len(fell) else float(month[-1] - month[0])


def _starts_near_zero(totals: FloatArray) -> bool:
    return bool(totals[0] <= 0.05 * totals[-1])
