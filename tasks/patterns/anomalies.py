"""Anomalies: steps far outside what the series itself does in its wildest moments."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tasks.patterns.clock import moment_text
from tasks.patterns.finding import Finding
from tasks.patterns.inputs import DAY_S, Floats, PatternInput, SearchSettings
from tasks.patterns.statistics import row_blocks, row_median
from tasks.text import number

_TAIL_QUANTILE = 0.995
_TAIL_STEPS = 2016
# The tail moves slowly: taking it every so many steps is twelve times cheaper than at each.
_TAIL_EVERY = 12
_TAIL_SIZES = int(np.ceil((1 - _TAIL_QUANTILE) * _TAIL_STEPS)) + 1
_MIN_HISTORY = 48
_MAX_GAP_STEPS = 3
_MAX_SCORE = 1e3
# Keeps sums and differences of values near the largest float finite; a power of two changes no ratio.
_HEADROOM = 2.0**-16
_ROUNDING = 1e-9


def find_anomalies(frame: PatternInput, settings: SearchSettings, newest_steps: int | None = None) -> list[Finding]:
    """Return one finding per episode of alerts inside the newest `settings.time_window_hours`, newest last.

    With `newest_steps`, only so many steps are looked at, against the same history: a tenth of the work for the last
    hour of a week.

    An alert is a step whose score reaches `settings.anomaly_threshold` and exceeds every score of the day before it:
    the echo of a larger anomaly is not news.
    """
    if frame.values.shape[1] <= _MIN_HISTORY:
        return []
    quiet, width = quiet_steps(frame.step_s), frame.values.shape[1]
    looked_at = min(int(settings.window_s / frame.step_s), width if newest_steps is None else newest_steps)
    rows = (
        _worth_a_look(frame, settings, width - looked_at) if newest_steps is not None else np.arange(len(frame.values))
    )
    since = 0 if newest_steps is None else max(0, width - looked_at - quiet)
    findings: list[Finding] = []
    gap_steps = max(1, int(settings.burst_s / frame.step_s))
    for block in row_blocks(len(rows)):
        scores = anomaly_scores(frame.values[rows[block]], since)
        alerts = np.zeros(scores.shape, dtype=bool)
        alerts[:, since:] = alert_scores(scores[:, since:], quiet) >= settings.anomaly_threshold
        alerts[:, : max(0, width - looked_at)] = False
        for place in np.flatnonzero(alerts.any(axis=1)).tolist():
            row = int(rows[block][place])
            episodes = _episodes(np.flatnonzero(alerts[place]), gap_steps)
            findings += [_finding(frame, settings, row, steps, scores[place]) for steps in episodes]
    return findings


def _worth_a_look(frame: PatternInput, settings: SearchSettings, since: int) -> NDArray[np.intp]:
    """Return the rows with a score since a step that may be an alert: mostly none, and then nothing else is needed."""
    is_worth = [
        (anomaly_scores(frame.values[block], since)[:, since:] >= settings.anomaly_threshold).any(axis=1)
        for block in row_blocks(len(frame.values))
    ]
    return np.flatnonzero(np.concatenate(is_worth)) if is_worth else np.empty(0, dtype=np.intp)


def quiet_steps(step_s: float) -> int:
    """Return how many steps an alert silences smaller ones: a day."""
    return int(np.clip(DAY_S / step_s, 1, _TAIL_STEPS))


def anomaly_scores(values: Floats, since: int = 0) -> Floats:
    """Return |step from the last value seen| ÷ the 99.5 % quantile of those before it, for (n_series, n_steps).

    Not a forecast's residual: that finds fewer of what people called anomalies (docs/patterns.md). The quantile is
    taken over up to 2016 steps that end before the step, so later data never changes an earlier score. Dividing by the
    tail instead of the MAD makes one threshold fit bursty and calm series alike: on the NAB files 70 points instead of
    13.
    Scores lie in [0, 1000]; 0 where the value, its predecessor or 48 steps before are missing, and before `since`.
    """
    small = np.where(np.isfinite(values), values, np.nan) * _HEADROOM
    previous = _last_seen(small)
    sizes = np.abs(small - previous)
    rounding = _ROUNDING * np.fmin(np.abs(small), np.abs(previous))
    usual = np.maximum(_rolling_tail(sizes, since), np.nan_to_num(rounding))
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        scores = sizes / usual
    return np.clip(np.nan_to_num(scores, nan=0.0, posinf=_MAX_SCORE), 0.0, _MAX_SCORE)


def alert_scores(scores: Floats, quiet: int) -> Floats:
    """Return `scores` with all set to 0 that do not exceed every score of the `quiet` steps before them."""
    # The largest of so many, by doubling: of one step, of two, of four, and of the rest once more.
    before = np.pad(scores, ((0, 0), (quiet, 0)))[:, :-1]
    width = 1
    while width < quiet:
        more = min(width, quiet - width)
        before = np.maximum(before[:, more:], before[:, : before.shape[1] - more])
        width += more
    return np.where(scores > before, scores, 0.0)


def _last_seen(values: Floats) -> Floats:
    """Return for each step the newest value before it, NaN where the last few steps are all missing."""
    previous = np.full_like(values, np.nan)
    for lag in range(1, min(_MAX_GAP_STEPS, values.shape[1] - 1) + 1):
        previous[:, lag:] = np.where(np.isnan(previous[:, lag:]), values[:, :-lag], previous[:, lag:])
    return previous


def _rolling_tail(sizes: Floats, since: int = 0) -> Floats:
    """Return the tail quantile of the sizes before each step, refreshed every few steps; NaN without enough of them.

    Only the largest few decide: while the past grows at one end, they are those of before and of what came since.
    """
    tail = np.full_like(sizes, np.nan)
    skipped = max(0, since - _MIN_HISTORY) // _TAIL_EVERY * _TAIL_EVERY
    largest, count, seen_to = np.empty((len(sizes), 0)), np.zeros(len(sizes), dtype=int), 0
    for step in range(_MIN_HISTORY + skipped, sizes.shape[1], _TAIL_EVERY):
        start = max(0, step - _TAIL_STEPS)
        if start > 0:
            largest, count, seen_to = largest[:, :0], np.zeros_like(count), start
        new = sizes[:, seen_to:step]
        largest = _largest(np.concatenate((largest, np.where(np.isfinite(new), new, -1.0)), axis=1))
        count, seen_to = count + np.isfinite(new).sum(axis=1), step
        tail[:, step : step + _TAIL_EVERY] = _tail(largest, count)[:, None]
    return tail


def _largest(sizes: Floats) -> Floats:
    """Return the largest of each row, in order, as many as can lie from the tail quantile on."""
    if sizes.shape[1] > 4 * _TAIL_SIZES:
        sizes = np.partition(sizes, sizes.shape[1] - _TAIL_SIZES, axis=1)[:, -_TAIL_SIZES:]
    return np.sort(sizes, axis=1)[:, -_TAIL_SIZES:]


def _tail(largest: Floats, count: NDArray[np.intp]) -> Floats:
    """Return the tail quantile of `count` sizes a row, of which the `largest` are given; -1 stands for none."""
    last = np.maximum(count - 1, 0)
    ranks = last - np.ceil(_TAIL_QUANTILE * last).astype(int)
    width = largest.shape[1]
    tail = largest[np.arange(len(largest)), width - 1 - np.minimum(ranks, width - 1)]
    still = np.flatnonzero((tail == 0) & (count >= _MIN_HISTORY))
    # A series that almost never moves is judged by the moves it made: all of them are among the largest.
    tail[still] = np.nan_to_num(row_median(np.where(largest[still] > 0, largest[still], np.nan)))
    return np.where(count >= _MIN_HISTORY, tail, np.nan)


def _episodes(steps: NDArray[np.intp], gap_steps: int) -> list[NDArray[np.intp]]:
    return np.split(steps, np.flatnonzero(np.diff(steps) > gap_steps) + 1)


def _finding(
    frame: PatternInput, settings: SearchSettings, row: int, steps: NDArray[np.intp], scores: Floats
) -> Finding:
    # The first step and not the largest: coming back from a spike can be the larger step, to a value that is normal.
    name, at, score = frame.names[row], int(steps[0]), float(scores[steps].max())
    value = float(frame.values[row, at])
    expected = float(_last_seen(frame.values[row : row + 1, max(0, at - _MAX_GAP_STEPS) : at + 1])[0, -1])
    at_s = float(frame.step_times_s[at])
    direction = "above" if value > expected else "below"
    return Finding(
        kind="anomaly",
        subject=name,
        statement=(
            f"{name} went to {frame.in_words(row, value)}, {direction} the expected {frame.in_words(row, expected)}, "
            f"at {moment_text(at_s, settings.timezone)} ({settings.timezone}): "
            f"{number(score, 3)} times its usual largest change."
        ),
        strength=score / (score + settings.anomaly_threshold),
        evidence={
            "at_s": at_s,
            "end_s": float(frame.step_times_s[steps[-1]]),
            "value": value,
            "expected": expected if np.isfinite(expected) else None,
            "score": score,
            "threshold": settings.anomaly_threshold,
            "method": "last value",
        },
    )
