"""Recurring events: do they fall into one short arc of some clock period?"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from math import ceil, exp, lgamma, log

import numpy as np

from tasks.patterns.clock import WEEKDAYS, clock_text, duration_text, local_s, unix_s, utc_offset_s, weekday
from tasks.patterns.finding import Finding
from tasks.patterns.inputs import DAY_S, HOUR_S, WEEK_S, Floats, PatternInput, SearchSettings
from tasks.patterns.statistics import adjusted_p_values

PERIODS_S = tuple(hours * HOUR_S for hours in (0.5, 1, 2, 3, 4, 6, 8, 12, 24, 168))
# Days and weeks may follow the wall clock or UTC.
_N_CLOCKS = len(PERIODS_S) + 2
_WIDEST_ARC = 0.12
_MIN_CYCLES = 3
_MIN_HIT_RATIO = 0.6
# All events, and so many of them that stray ones between may be left out.
_SHARES_IN_ARC = (1.0, 0.8, 0.6)
# After this many misses in a row, less likely than this, the habit counts as given up.
_GIVEN_UP_P = 0.01


@dataclass(frozen=True)
class Recurrence:
    """A period whose arc of `width` (share of the period, starting at phase `start`) holds the events.

    `wall_s` are the events on the clock the period follows, `cycles` the cycle each lies in, `in_arc` whether it lies
    in the arc; `last_cycle` is the last one whose arc has passed.
    """

    period_s: float
    zone: str
    width: float
    start: float
    p_value: float
    wall_s: Floats
    in_arc: np.ndarray
    cycles: Floats
    last_cycle: float

    @cached_property
    def hit_cycles(self) -> Floats:
        return np.unique(self.cycles[self.in_arc])

    @property
    def n_cycles(self) -> int:
        return int(self.last_cycle - self.hit_cycles[0]) + 1

    @property
    def hit_ratio(self) -> float:
        hits = self.hit_cycles
        return min(1.0, float((hits <= self.last_cycle).sum()) / max(self.n_cycles, 1))

    @property
    def missed_in_a_row(self) -> int:
        return max(0, int(self.last_cycle - self.hit_cycles[-1]))

    @property
    def given_up(self) -> bool:
        return (1 - min(self.hit_ratio, 0.95)) ** self.missed_in_a_row < _GIVEN_UP_P

    @cached_property
    def centre(self) -> float:
        """The usual phase, as a share of the period counted from the start of the arc's cycle."""
        return float(np.median(((self.wall_s / self.period_s - self.start) % 1.0)[self.in_arc]))


@dataclass(frozen=True)
class _Arc:
    """The shortest arc of a clock that holds enough of the events, whose times on that clock are `wall_s`."""

    period_s: float
    zone: str
    p_value: float
    width: float
    start: float
    wall_s: Floats


def find_recurrences(frame: PatternInput, settings: SearchSettings, tick_s: float) -> list[Finding]:
    """Return one finding per event type that keeps to a clock period, with its next occurrence after `tick_s`.

    Only events up to `tick_s` count, at least four weeks back. P-values are Bonferroni-corrected over the periods and
    Benjamini-Hochberg-corrected over the event types.
    """
    recurrences: list[tuple[str, Recurrence | None]] = []
    for kind, times in frame.events_between(tick_s - settings.recurrence_window_s, tick_s).items():
        recurrences.append((kind, recurrence_of(times, settings, tick_s)))
    p_values = adjusted_p_values(np.array([best.p_value if best else 1.0 for _, best in recurrences]))
    return [
        _finding(kind, best, float(p), tick_s)
        for (kind, best), p in zip(recurrences, p_values, strict=True)
        if best is not None and p <= settings.recurrence_alpha
    ]


def recurrence_of(times_s: Floats, settings: SearchSettings, tick_s: float) -> Recurrence | None:
    """Return the best-supported period of sorted event times, or None where no period qualifies.

    Arc test: the chance that some arc of share w holds m of n uniform phases is at most n C(n-1, m-1) w^(m-1), the
    union over the events the arc may start at (Naus, The distribution of the size of the maximum cluster of points on
    a line, JASA 1965). It is taken for three shares m/n, hence another factor 3.
    """
    times = collapse_bursts(times_s, settings.burst_s)
    if len(times) < max(settings.min_occurrences, 3):
        return None
    arcs = _arcs(tuple(times.tolist()), settings.timezone)
    qualified = (recurrence for arc in arcs if (recurrence := _qualified(arc, tick_s)) is not None)
    return min(qualified, key=lambda recurrence: recurrence.p_value, default=None)


@lru_cache(maxsize=64)
def _arcs(times_s: tuple[float, ...], zone: str) -> tuple[_Arc, ...]:
    """Return the best arc of every clock that has a short one; kept, since turns are many and events few."""
    times = np.array(times_s)
    arcs = (
        _best_arc(times, period_s, zone)
        for period_s, zone in _clocks(times, zone)
        if times[-1] - times[0] >= (_MIN_CYCLES - 1.5) * period_s
    )
    return tuple(arc for arc in arcs if arc is not None)


def _clocks(times_s: Floats, zone: str) -> list[tuple[float, str]]:
    """Return (period, zone) of every clock to try: days and weeks in local time, also in UTC where DST parts them."""
    clocks = [(period_s, zone if period_s >= DAY_S else "UTC") for period_s in PERIODS_S]
    if np.ptp(utc_offset_s(times_s, zone)) > 0:
        clocks += [(period_s, "UTC") for period_s in PERIODS_S if period_s >= DAY_S]
    return clocks


def collapse_bursts(times_s: Floats, burst_s: float) -> Floats:
    """Return the first event of every burst: events closer than `burst_s` to the one before belong to it."""
    if len(times_s) == 0:
        return times_s
    return times_s[np.concatenate(([True], np.diff(times_s) > burst_s))]


def _best_arc(times: Floats, period_s: float, zone: str) -> _Arc | None:
    wall = local_s(times, zone)
    phases = np.sort(wall / period_s % 1.0)
    n = len(phases)
    best: tuple[float, float, float] | None = None
    for m in sorted({max(3, ceil(share * n)) for share in _SHARES_IN_ARC}):
        width, start = _shortest_arc(phases, m)
        p_value = _arc_p_value(n, m, max(width, 1.0 / period_s))
        if width <= _WIDEST_ARC and (best is None or p_value < best[0]):
            best = (p_value, width, start)
    return None if best is None else _Arc(period_s, zone, *best, wall)


def _shortest_arc(phases: Floats, m: int) -> tuple[float, float]:
    """Return (width, start) of the shortest arc of the unit circle that holds m of the sorted phases."""
    around = np.concatenate((phases, phases + 1.0))
    widths = around[m - 1 : m - 1 + len(phases)] - phases
    first = int(np.argmin(widths))
    return float(widths[first]), float(phases[first])


def _arc_p_value(n: int, m: int, width: float) -> float:
    log_choose = lgamma(n) - lgamma(m) - lgamma(n - m + 1)
    log_p = log(len(_SHARES_IN_ARC) * n * _N_CLOCKS) + log_choose + (m - 1) * log(width)
    return exp(min(log_p, 0.0))


def _qualified(arc: _Arc, tick_s: float) -> Recurrence | None:
    turns = arc.wall_s / arc.period_s - arc.start
    tick_turns = float(local_s(np.array(tick_s), arc.zone)) / arc.period_s - arc.start
    recurrence = Recurrence(
        period_s=arc.period_s,
        zone=arc.zone,
        width=arc.width,
        start=arc.start,
        p_value=arc.p_value,
        wall_s=arc.wall_s,
        # The tolerance keeps the two events that span the arc inside it, whatever the rounding.
        in_arc=(turns + 1e-9) % 1.0 <= arc.width + 2e-9,
        cycles=np.floor(turns + 1e-9),
        last_cycle=np.floor(tick_turns - arc.width),
    )
    enough = len(recurrence.hit_cycles) >= _MIN_CYCLES and recurrence.hit_ratio >= _MIN_HIT_RATIO
    return recurrence if enough else None


def _skipped_weekdays(recurrence: Recurrence) -> list[int]:
    """Return weekdays on which a daily event never happens although it had at least three chances each."""
    if recurrence.period_s != DAY_S or recurrence.n_cycles < 3 * 7:
        return []
    hits = recurrence.hit_cycles
    chances = np.arange(hits[0], recurrence.last_cycle + 1)
    days = weekday((chances + recurrence.start + recurrence.centre) * DAY_S).astype(int)
    hit = np.bincount(days[np.isin(chances, hits)], minlength=7)
    had = np.bincount(days, minlength=7)
    skipped = [day for day in range(7) if hit[day] == 0 and had[day] >= 3]
    kept = [day for day in range(7) if day not in skipped]
    return skipped if skipped and hit[kept].sum() >= 0.8 * had[kept].sum() else []


def _next_at_s(recurrence: Recurrence, skipped: list[int], tick_s: float) -> float | None:
    if recurrence.given_up:
        return None
    offset = recurrence.start + recurrence.centre
    done_until = recurrence.hit_cycles[-1]
    cycle = max(recurrence.last_cycle, done_until)
    for _ in range(10):
        wall = (cycle + offset) * recurrence.period_s
        at_s = unix_s(wall, recurrence.zone)
        if at_s > tick_s and cycle > done_until and int(weekday(np.array(wall))) not in skipped:
            return float(at_s)
        cycle += 1
    return None


def _finding(kind: str, recurrence: Recurrence, p_value: float, tick_s: float) -> Finding:
    skipped = _skipped_weekdays(recurrence)
    hits, cycles = len(recurrence.hit_cycles), max(recurrence.n_cycles, len(recurrence.hit_cycles))
    spread_s = recurrence.width * recurrence.period_s
    missed = recurrence.missed_in_a_row
    ending = f"; it missed the last {missed} and has probably stopped" if recurrence.given_up else ""
    statement = (
        f"'{kind}' happens {_when(recurrence, skipped)}: in {hits} of {cycles} cycles, "
        f"within {duration_text(spread_s)}{ending}."
    )
    in_arc_ratio = float(recurrence.in_arc.mean())
    return Finding(
        kind="recurrence",
        subject=kind,
        statement=statement,
        strength=float(np.clip(recurrence.hit_ratio * in_arc_ratio * (1 - recurrence.width), 0.0, 1.0)),
        p_value=p_value,
        evidence={
            "n_events": len(recurrence.wall_s),
            "in_arc_ratio": in_arc_ratio,
            "arc_s": spread_s,
            "cycles": cycles,
            "cycles_hit": hits,
            "missed_in_a_row": missed,
            "timezone": recurrence.zone,
            "skipped_weekdays": [WEEKDAYS[day] for day in skipped],
        },
        next_at_s=_next_at_s(recurrence, skipped, tick_s),
        period_s=recurrence.period_s,
    )


def _when(recurrence: Recurrence, skipped: list[int]) -> str:
    wall = (recurrence.hit_cycles[-1] + recurrence.start + recurrence.centre) * recurrence.period_s
    clock = f"around {clock_text(wall)} ({recurrence.zone})"
    if recurrence.period_s == WEEK_S:
        return f"every {WEEKDAYS[int(weekday(np.array(wall)))]} {clock}"
    if recurrence.period_s == DAY_S:
        return f"every day {clock}" + (f" except {', '.join(WEEKDAYS[day] for day in skipped)}" if skipped else "")
    return f"every {duration_text(recurrence.period_s)}, last {clock}"
