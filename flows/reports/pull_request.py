"""A change of the configuration as a reviewer wants to read it: what it does to a month of history, as markdown."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime
from itertools import repeat
from typing import Any

import numpy as np

from flows.reports.results import BacktestReport, Comparison, ObjectiveFigures
from tasks.learn.reports.off_policy import PolicyChange
from tasks.special import stdtrit
from tasks.text import number, span

MOST_ROWS = 30
WORSE = 3
"""The exit code where a change is worse."""


@dataclass(frozen=True)
class FigureChange:
    """A figure before and after a change, and how sure their difference is.

    The 90 % interval takes each day of the history for one draw of what a day may be; None where there is no sum by
    day, or but one day.
    """

    name: str
    before: float | None
    after: float | None
    low: float | None
    high: float | None

    @property
    def difference(self) -> float | None:
        """Return how much more it is after the change; None where one of the two is not known."""
        return None if self.before is None or self.after is None else self.after - self.before


@dataclass(frozen=True)
class KeyChange:
    """A key of the configuration before and after; None where it is not set there."""

    key: str
    before: Any
    after: Any


@dataclass(frozen=True)
class PullRequestReview:
    """What a change of the configuration does: to recorded history, and to decisions that were logged.

    `logged` is None where none can be judged, and `logged_note` then says why.
    """

    before: BacktestReport
    after: BacktestReport
    keys: tuple[KeyChange, ...]
    logged: PolicyChange | None
    logged_note: str
    notes: tuple[str, ...] = ()

    @property
    def comparison(self) -> Comparison:
        """Return both backtests, the change first."""
        return Comparison(self.after, self.before)

    def figures(self) -> list[FigureChange]:
        """Return each figure before and after."""
        intervals = _intervals(self.before, self.after)
        rows = Comparison(self.before, self.after).rows()
        return [FigureChange(name, old, new, *intervals.get(name, (None, None))) for name, old, new, _ in rows]

    def worsened(self) -> list[str]:
        """Return a sentence for each way in which the change is worse; none where it is no worse.

        More breaches missed or noticed late; more false goals, and no breach foretold for them; or less achieved on
        logged decisions, by an interval wholly below 0. Breaches count of the objectives that broke alike in both:
        where a bound was moved, other breaches are meant.
        """
        missed, alarms, foretold = (
            sum(map(self._rise, self._alike(), repeat(of))) for of in (_unmet, _false, _foretold)
        )
        told = []
        if missed > 0:
            told.append(f"{_count(missed, 'breach', 'breaches')} more would be missed or noticed late.")
        if alarms > 0 and foretold <= 0:
            told.append(f"{_count(alarms, 'false goal', 'false goals')} more, and no breach foretold for that.")
        if self.logged is not None and self.logged.high < 0:
            told.append(f"On logged decisions it would have achieved less: {_achieved(self.logged)}.")
        return told

    def _alike(self) -> list[str]:
        """Return the objectives whose breaches are the same in both."""
        one, other = ({each.objective for each in side.by_objective} for side in (self.before, self.after))
        return sorted(name for name in one & other if _broken(self.before, name) == _broken(self.after, name))

    def _rise(self, objective: str, of: Callable[[ObjectiveFigures], int]) -> int:
        before, after = (
            next(each for each in side.by_objective if each.objective == objective)
            for side in (self.before, self.after)
        )
        return of(after) - of(before)

    def to_record(self) -> dict[str, Any]:
        """Return all of it, ready for JSON."""
        return {
            "before": self.before.configuration,
            "after": self.after.configuration,
            "worse": self.worsened(),
            "figures": [asdict(each) | {"difference": each.difference} for each in self.figures()],
            "configuration": [asdict(each) for each in self.keys],
            "logged_decisions": asdict(self.logged) if self.logged else None,
            "logged_note": self.logged_note,
            "notes": list(self.notes),
        }

    def to_markdown(self) -> str:
        """Return it as markdown for a pull request."""
        parts = [
            f"## foreact: `{self.after.configuration}` against `{self.before.configuration}`",
            self._verdict(),
            self._history(),
            _table(("", "before", "after", "change (90 %)"), map(_figure_row, self.figures())),
            self._objectives(),
            self._foretold(),
            self._acts(),
            f"### Logged decisions\n\n{self._logged()}",
            f"### What differs in the configuration\n\n{self._keys()}",
            "\n".join(f"* {note}" for note in self.notes),
        ]
        return "\n\n".join(part for part in parts if part) + "\n"

    def _verdict(self) -> str:
        worse = self.worsened()
        moved = sorted({each.objective for each in (*self.before.by_objective, *self.after.by_objective)})
        moved = [f"`{name}`" for name in moved if name not in self._alike()]
        left_out = f" {', '.join(moved)} cannot be compared: other breaches are meant." if moved else ""
        return ("**Worse.** " + " ".join(worse) if worse else "**No worse** on this history.") + left_out

    def _history(self) -> str:
        one = self.after
        days = (one.simulation.last_tick - one.simulation.first_tick).total_seconds() / 86_400
        return (
            f"{days:.1f} days to {one.end:%Y-%m-%d %H:%M} UTC, a turn every {span(one.every_s)}, "
            f"{len(one.simulation.store.samples.known())} series. Nothing was done."
        )

    def _objectives(self) -> str:
        before = {each.objective: each for each in self.before.by_objective}
        after = {each.objective: each for each in self.after.by_objective}
        rows = []
        for name in sorted({*before, *after}):
            both = [side.get(name) for side in (before, after)]
            counts = [
                [None if each is None else getattr(each, figure) for each in both]
                for figure in ("breaches", "foretold", "late", "missed", "false_alarms")
            ]
            rows.append((f"`{name}`", *(_arrow(*pair) for pair in counts)))
        heads = ("objective", "breaches", "foretold", "late", "missed", "false goals")
        return f"### Objectives\n\n{_table(heads, rows)}" if rows else ""

    def _foretold(self) -> str:
        both = self.comparison
        gained, lost = both.only(self.after), both.only(self.before)
        lines = [f"* foretold only now: {each}" for each in gained[:MOST_ROWS]]
        lines += [f"* foretold no more: {each}" for each in lost[:MOST_ROWS]]
        return "\n".join(lines)

    def _acts(self) -> str:
        before, after = (side.summary()["actions_by_name"] for side in (self.before, self.after))
        names = sorted({*before, *after})
        rows = [(f"`{name}`", before.get(name, 0), after.get(name, 0)) for name in names]
        text = _table(("action", "before", "after"), rows) if rows else "None of either would have run by itself."
        return f"### What would have been done\n\n{text}"

    def _logged(self) -> str:
        if self.logged is None:
            return self.logged_note
        if not self.logged.differing:
            return f"In all of {self.logged.decisions} logged decisions both would have done the same."
        return (
            f"In {self.logged.differing} of {self.logged.decisions} logged decisions the two would have done something "
            f"else. By them the change would have achieved {_achieved(self.logged)} (doubly robust; worth "
            f"{self.logged.informative:.0f} decisions{_unseen(self.logged)}). {self.logged_note}"
        ).strip()

    def _keys(self) -> str:
        if not self.keys:
            return "Nothing."
        rows = [(f"`{each.key}`", _code(each.before), _code(each.after)) for each in self.keys[:MOST_ROWS]]
        more = f"\n\nand {len(self.keys) - MOST_ROWS} more." if len(self.keys) > MOST_ROWS else ""
        return _table(("key", "before", "after"), rows) + more


def _broken(report: BacktestReport, objective: str) -> set[tuple[str, datetime]]:
    return {(each.series, each.start) for each in report.episodes if each.objective == objective}


def _unmet(figures: ObjectiveFigures) -> int:
    return figures.missed + figures.late


def _false(figures: ObjectiveFigures) -> int:
    return figures.false_alarms


def _foretold(figures: ObjectiveFigures) -> int:
    return figures.foretold


def key_changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[KeyChange, ...]:
    """Return what differs between two configurations as they are shown, by key; of objectives by their names."""
    one, other = dict(_flat(before, "")), dict(_flat(after, ""))
    return tuple(
        KeyChange(key, one.get(key), other.get(key)) for key in sorted({*one, *other}) if one.get(key) != other.get(key)
    )


def _flat(value: Any, key: str) -> Iterable[tuple[str, Any]]:
    if isinstance(value, list) and value and all(isinstance(each, Mapping) and "name" in each for each in value):
        value = {each["name"]: {name: part for name, part in each.items() if name != "name"} for each in value}
    if isinstance(value, Mapping) and value:
        for name, each in value.items():
            yield from _flat(each, f"{key}.{name}" if key else str(name))
    elif value not in ({}, [], None):
        yield key, value


def _intervals(before: BacktestReport, after: BacktestReport) -> dict[str, tuple[float, float]]:
    """Return the 90 % interval of the difference of each figure that is a sum over days."""
    days = sorted({*_days(before), *_days(after)})
    if len(days) < 2:
        return {}
    one, other = _by_day(before), _by_day(after)
    return {name: _interval(np.array([other[name].get(d, 0) - one[name].get(d, 0) for d in days])) for name in one}


def _interval(daily: np.ndarray[Any, Any]) -> tuple[float, float]:
    """Return that of the sum of daily differences, by Student's t."""
    total, half = float(daily.sum()), stdtrit(len(daily) - 1, 0.95) * float(np.sqrt(len(daily)) * daily.std(ddof=1))
    return total - half, total + half


def _days(report: BacktestReport) -> Iterable[date]:
    first, last = report.simulation.first_tick.date(), report.simulation.last_tick.date()
    return [date.fromordinal(day) for day in range(first.toordinal(), last.toordinal() + 1)]


def _by_day(report: BacktestReport) -> dict[str, dict[date, float]]:
    episodes = report.episodes
    moments = {
        f"{warning}_breaches": [each.start.date() for each in episodes if each.warning == warning]
        for warning in ("foretold", "late", "missed")
    }
    moments["breaches"] = [each.start.date() for each in episodes]
    moments["false_alarms"] = [view.goal.created_at.date() for view in report.false_alarms]
    moments["goals"] = [view.goal.created_at.date() for view in report.simulation.goals]
    moments["actions_taken"] = [each.at.date() for each in report.actions]
    sums: dict[str, dict[date, float]] = {name: {} for name in (*moments, "cost")}
    for name, days in moments.items():
        for day in days:
            sums[name][day] = sums[name].get(day, 0.0) + 1.0
    for each in report.actions:
        sums["cost"][each.at.date()] = sums["cost"].get(each.at.date(), 0.0) + each.cost
    return sums


def _figure_row(change: FigureChange) -> tuple[str, ...]:
    is_time = change.name.endswith("_s")

    def shown(value: float | None) -> str:
        return "–" if value is None else _signless(value, is_time)

    difference = change.difference
    said = "–" if difference is None else _signed(difference, is_time)
    if change.low is not None and change.high is not None and difference:
        said += f" ({_signed(change.low)} to {_signed(change.high)})"
    name = change.name.removesuffix("_s").replace("_", " ")
    return name, shown(change.before), shown(change.after), said


def _signless(value: float, is_time: bool) -> str:
    if not is_time or not value:
        return number(value)
    return span(value) if value > 0 else f"{span(-value)} late"


def _signed(value: float, is_time: bool = False) -> str:
    sign = "+" if value > 0 else "−" if value < 0 else "±"
    return f"{sign}{span(abs(value)) if is_time and value else number(abs(value), 3)}"


def _achieved(logged: PolicyChange) -> str:
    return (
        f"{_signed(logged.difference)} standard deviations of the metric a decision "
        f"(90 %: {_signed(logged.low)} to {_signed(logged.high)})"
    )


def _unseen(logged: PolicyChange) -> str:
    if logged.unseen_ratio < 0.005:
        return ""
    return f"; {100 * logged.unseen_ratio:.0f} % of the change was never drawn, so there the model alone speaks"


def _count(count: int, one: str, many: str) -> str:
    return f"{count} {one if count == 1 else many}"


def _arrow(before: int | None, after: int | None) -> str:
    told = ["–" if each is None else str(each) for each in (before, after)]
    return told[0] if before == after else " → ".join(told)


def _code(value: Any) -> str:
    return "–" if value is None else f"`{str(value)[:80]}`"


def _table(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |" for line in lines)
