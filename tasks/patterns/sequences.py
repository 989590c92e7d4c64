"""Sequences: event B follows event A within a short time more often than chance puts it there."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from itertools import permutations

import numpy as np

from tasks.patterns.clock import duration_text
from tasks.patterns.finding import Finding
from tasks.patterns.inputs import DAY_S, Floats, PatternInput, SearchSettings
from tasks.patterns.statistics import adjusted_p_values

_CELLS_PER_WINDOW = 30
_MAX_CELLS = 2**17
# Pairs that even the sharpest bound cannot call unlikely are spared the shift test.
_SCREEN_P = 0.05


@dataclass(frozen=True)
class Sequence:
    """How often `first` was followed by `then` within the window, and how often shifted times would be.

    `expected` is the mean count under the shifts; `confounded` says that whole-day shifts could not be asked, or would
    not have told the two from a common clock.
    """

    first: str
    then: str
    count: int
    n_first: int
    delays_s: Floats
    expected: float
    p_value: float
    confounded: bool


def find_sequences(
    frame: PatternInput, settings: SearchSettings, tick_s: float, recurrent: Collection[str] = ()
) -> list[Finding]:
    """Return one finding per ordered pair of event types whose succession beats circular shifts of the second.

    A pair must also beat shifts by whole days, or two habits of the working day would look like cause and effect; only
    where both are in `recurrent`, so that whole days change nothing, is it reported as not told from the clock.

    Looks at the newest `settings.time_window_hours` up to `tick_s`. Where the first event has just happened and the
    second is still due, the finding says when. The false discovery rate over all pairs is that of the settings.
    """
    events = {
        kind: times
        for kind, times in frame.events_between(tick_s - settings.window_s, tick_s).items()
        if len(times) >= max(settings.min_occurrences, 3)
    }
    if len(events) < 2:
        return []
    start_s = min(float(times[0]) for times in events.values())
    if tick_s - start_s < 4 * settings.sequence_window_s:
        return []
    sequences = _tested_pairs(events, _Cells(start_s, tick_s, settings.sequence_window_s), recurrent)
    n_untested = len(events) * (len(events) - 1) - len(sequences)
    p_values = np.array([sequence.p_value for sequence in sequences] + [1.0] * n_untested)
    return [
        _finding(sequence, float(q), events[sequence.first][-1], settings, tick_s)
        for sequence, q in zip(sequences, adjusted_p_values(p_values), strict=False)
        if q <= settings.false_discovery_rate and sequence.count >= settings.min_occurrences
    ]


def followers(first_s: Floats, then_s: Floats, window_s: float) -> Floats:
    """Return for each sorted `first_s` the delay to the next of the sorted `then_s`, NaN beyond `window_s`."""
    position = np.searchsorted(then_s, first_s, side="right")
    following = np.append(then_s, np.inf)[position]
    delays: Floats = following - first_s
    return np.where(delays <= window_s, delays, np.nan)


def _tested_pairs(events: Mapping[str, Floats], cells: _Cells, recurrent: Collection[str]) -> list[Sequence]:
    covered = {kind: cells.covered_before(times) for kind, times in events.items()}
    counts = {kind: cells.counts(times) for kind, times in events.items()}
    tested = []
    for first, then in permutations(events, 2):
        delays = followers(events[first], events[then], cells.window_s)
        count, n_first = int(np.isfinite(delays).sum()), len(delays)
        if _binomial_bound(count, n_first, float(covered[then].mean())) > _SCREEN_P:
            continue
        at_shifts = cells.correlate(counts[first], covered[then])
        p_value, expected = cells.p_value(count, cells.far_shifts(at_shifts))
        same_time = cells.whole_day_shifts(at_shifts)
        tied_to_clock = len(same_time) == 0 or (first in recurrent and then in recurrent)
        if not tied_to_clock:
            same_time_p, same_time_expected = cells.p_value(count, same_time)
            p_value, expected = max(p_value, same_time_p), max(expected, same_time_expected)
        seen = delays[np.isfinite(delays)]
        tested.append(Sequence(first, then, count, n_first, seen, expected, p_value, tied_to_clock))
    return tested


class _Cells:
    """The span cut into cells a thirtieth of the window long, on which all circular shifts are counted at once."""

    def __init__(self, start_s: float, end_s: float, window_s: float) -> None:
        # Whole days keep the clock in step where a shift wraps around the end.
        n_days = round((end_s - start_s) / DAY_S)
        start_s = end_s - n_days * DAY_S if n_days >= 2 else start_s
        self.n = int(np.clip(np.ceil((end_s - start_s) / window_s * _CELLS_PER_WINDOW), 2, _MAX_CELLS))
        self.edges_s = np.linspace(start_s, end_s, self.n + 1)
        self.cell_s = (end_s - start_s) / self.n
        self.window_s = window_s
        self.window_cells = int(np.ceil(window_s / self.cell_s))

    def counts(self, times_s: Floats) -> Floats:
        return np.histogram(times_s, bins=self.edges_s)[0].astype(float)

    def covered_before(self, times_s: Floats) -> Floats:
        """Return the share of each cell that lies at most the window before one of the sorted times."""
        starts = np.maximum(times_s - self.window_s, np.concatenate(([self.edges_s[0]], times_s[:-1])))
        starts, ends = np.clip(starts, *self.edges_s[[0, -1]]), np.clip(times_s, *self.edges_s[[0, -1]])
        knots = np.column_stack((starts, ends)).ravel()
        lengths = np.column_stack((np.zeros_like(starts), np.maximum(ends - starts, 0.0))).ravel()
        share: Floats = np.diff(np.interp(self.edges_s, knots, np.cumsum(lengths))) / self.cell_s
        return share

    def correlate(self, counts: Floats, covered: Floats) -> Floats:
        """Return the number of first events that a shift of the covered cells by 0, 1, … cells would hit."""
        product = np.fft.rfft(counts) * np.conj(np.fft.rfft(covered))
        return np.fft.irfft(product, self.n)

    def far_shifts(self, at_shifts: Floats) -> Floats:
        """Return the counts at shifts that no longer overlap the true alignment."""
        return at_shifts[self.window_cells : self.n - self.window_cells + 1]

    def whole_day_shifts(self, at_shifts: Floats) -> Floats:
        """Return the counts at shifts by whole days, give or take two windows; empty within the first two days."""
        days = np.arange(1, round(self.n * self.cell_s / DAY_S)) * DAY_S / self.cell_s
        nearby = np.arange(-2 * self.window_cells, 2 * self.window_cells + 1)
        return at_shifts[(np.round(days).astype(int)[:, None] + nearby).ravel() % self.n]

    def p_value(self, count: int, shifted: Floats) -> tuple[float, float]:
        """Return (p-value, mean count) of `count` among counts at consecutive shifts.

        A week holds only a few hundred shifts that differ by a window, so where hardly any of them reaches `count`
        its chance is read off a gamma distribution with the shifts' mean and variance.
        """
        from scipy.special import gammaincc  # 0.2 s to import, and most cycles have no pair to test

        n_windows = len(shifted) / self.window_cells
        if n_windows < 4:
            return 1.0, float(count)
        mean = max(float(shifted.mean()), 1e-9)
        variance = max(float(shifted.var()), 0.05 * mean)
        reached = float((shifted >= count - 1e-6).mean()) * n_windows
        if reached > 10:
            return (1.0 + reached) / (1.0 + n_windows), mean
        return float(gammaincc(mean**2 / variance, max(count - 0.5, 0.0) * mean / variance)), mean


def _binomial_bound(count: int, n: int, share: float) -> float:
    """Return Chernoff's upper bound of the chance that `count` or more of n succeed with probability `share`."""
    observed = count / max(n, 1)
    share = min(max(share, 1e-12), 1 - 1e-12)
    if observed <= share:
        return 1.0
    divergence = observed * np.log(observed / share)
    if observed < 1:
        divergence += (1 - observed) * np.log((1 - observed) / (1 - share))
    return float(np.exp(-n * divergence))


def _finding(
    sequence: Sequence, q_value: float, last_first_s: float, settings: SearchSettings, tick_s: float
) -> Finding:
    share = sequence.count / sequence.n_first
    expected = sequence.expected / sequence.n_first
    delay_s = float(np.median(sequence.delays_s))
    doubt = "; the time of day may explain both" if sequence.confounded else ""
    return Finding(
        kind="sequence",
        subject=f"{sequence.first} → {sequence.then}",
        statement=(
            f"'{sequence.then}' follows '{sequence.first}' within {duration_text(settings.sequence_window_s)} in "
            f"{sequence.count} of {sequence.n_first} cases ({100 * expected:.0f} % expected by chance), usually after "
            f"{duration_text(delay_s)}{doubt}."
        ),
        strength=float(np.clip((share - expected) / max(1 - expected, 1e-9), 0.0, 1.0)),
        p_value=sequence.p_value,
        evidence={
            "first": sequence.first,
            "then": sequence.then,
            "count": sequence.count,
            "n_first": sequence.n_first,
            "share": share,
            "expected_share": expected,
            "median_delay_s": delay_s,
            "window_s": settings.sequence_window_s,
            "q_value": q_value,
            "confounded_with_time_of_day": sequence.confounded,
        },
        next_at_s=_due_at_s(float(last_first_s), delay_s, tick_s),
    )


def _due_at_s(last_first_s: float, delay_s: float, tick_s: float) -> float | None:
    due_s = last_first_s + delay_s
    return due_s if due_s > tick_s else None
