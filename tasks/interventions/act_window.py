"""When the window of an act is over: until when its effect is measured, and until when it is watched for harm."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import ceil

from storage.actions import ActionView
from storage.records import Action, Estimand, Receipt

MOST_PATIENCE_S = 3_600.0
EARLIEST_STEPS, WATCHED_STEPS = 5, 7


@dataclass(frozen=True)
class MeasuringWindow:
    """From when to when the effect of an act counts; the last step that is judged ends at `last_step_at`.

    `step_s` is 0 where nothing says in which steps it is judged.
    """

    begins_at: datetime
    until: datetime
    last_step_at: datetime
    step_s: float

    @property
    def length_s(self) -> float:
        """Return for how long the effect counts."""
        return (self.until - self.begins_at).total_seconds()

    @property
    def steps(self) -> int:
        """Return how many steps fit between its beginning and the last step's end."""
        return round((self.last_step_at - self.begins_at).total_seconds() / self.step_s) if self.step_s else 0

    @property
    def ends_at(self) -> datetime:
        """Return the moment from which all that belongs to the window lies in the past."""
        return max(self.until, self.last_step_at)

    @property
    def waits_until(self) -> datetime:
        """Return until when a late last value is waited for: as long as the window was, an hour at most."""
        patience_s = min(MOST_PATIENCE_S, max(self.length_s, 2 * self.step_s)) if self.step_s else 0.0
        return self.ends_at + timedelta(seconds=patience_s)


def window_of(view: ActionView, estimand: Estimand | None, ended_at: datetime | None) -> MeasuringWindow | None:
    """Return the window of an act; None for one that was not carried out, or aims at no metric.

    It ends after the act's horizon, or at `ended_at`, when it was undone or another followed it. What adds to an amount
    has an effect only once it works, and is judged in steps from then on; other acts in the steps of the forecast that
    they are held against.
    """
    action, receipt, held = view.action, view.receipt, estimand.held if estimand else None
    if receipt is None or (action.series is None and held is None):
        return None
    begins_at = receipt.finished_at + timedelta(seconds=held.begins_after_s if held else 0.0)
    until = begins_at + timedelta(seconds=measured_for_s(action, estimand))
    if ended_at is not None:
        until = max(begins_at, min(until, ended_at))
    if estimand is None:
        return MeasuringWindow(begins_at, until, until, 0.0)
    first_at = begins_at if held else estimand.issued_at
    first, steps = steps_within(first_at, estimand.step_s, begins_at, until)
    last_step_at = first_at + timedelta(seconds=estimand.step_s * (first + steps))
    return MeasuringWindow(begins_at, until, last_step_at, estimand.step_s)


def measured_for_s(action: Action, estimand: Estimand | None) -> float:
    """Return how long after an act it is measured: for its horizon, or the shorter time that the past supported."""
    if estimand is None or action.least_horizon_s is None:
        return action.horizon_s
    fixed_s = estimand.horizon_steps * estimand.step_s
    return fixed_s if fixed_s <= action.horizon_s - estimand.step_s else action.horizon_s


def steps_within(first_at: datetime, step_s: float, begins_at: datetime, until: datetime) -> tuple[int, int]:
    """Return the first step, counted from `first_at`, that begins no earlier, and how many steps the time is long."""
    first = max(0, ceil((begins_at - first_at).total_seconds() / step_s))
    return first, max(1, round((until - begins_at).total_seconds() / step_s))


def horizon_ends_at(action: Action, receipt: Receipt) -> datetime:
    """Return until when an act is taken to have an effect, undone or not."""
    return receipt.finished_at + timedelta(seconds=action.horizon_s)


def waited_for_until(view: ActionView) -> datetime | None:
    """Return until when at most the outcome of an act is waited for; None for one that was not carried out."""
    longest = timedelta(seconds=view.action.horizon_s + MOST_PATIENCE_S)
    return view.receipt.finished_at + longest if view.receipt else None


def works_until(action: Action, receipt: Receipt, duration_s: float | None) -> datetime:
    """Return until when an act works: for its horizon, and as long as its effect is declared to last."""
    return receipt.finished_at + timedelta(seconds=max(action.horizon_s, duration_s or 0.0))


def watched_between(
    receipt: Receipt, stabilisation_s: float, steps_s: Collection[float], works_s: float = 0.0
) -> tuple[datetime, datetime]:
    """Return from when harm of an act can be seen, and until when it is watched, in metrics of these steps.

    It takes a few steps to tell; so it is watched for some more of them, as long as it works, and as is configured.
    """
    first_s, last_s = EARLIEST_STEPS * min(steps_s, default=0.0), WATCHED_STEPS * max(steps_s, default=0.0)
    return receipt.finished_at + timedelta(seconds=first_s), receipt.finished_at + timedelta(
        seconds=max(stabilisation_s, last_s, works_s)
    )
