"""Anomalies: steps far outside what the series itself does in its wildest moments."""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from tasks.patterns.clock import moment_text
from tasks.patterns.finding import Finding
from tasks.patterns.inputs import DAY_S, Floats, PatternInput, SearchSettings
from tasks.text import number

_TAIL_QUANTILE = 0.995
_TAIL_STEPS = 2016
# The tail moves slowly: taking it every so many steps is twelve times cheaper than at each.
_TAIL_EVERY = 12
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
    rows = _worth_a_look(frame, settings, width - looked_at) if newest_steps is not None else range(len(frame.values))
    since = 0 if newest_steps is None else max(0, width - looked_at - quiet)
    findings: list[Finding] = []
    if not len(rows):
        return findings
    scores = anomaly_scores(frame.values[rows], since)
    alerts = np.zeros(scores.shape, dtype=bool)
    alerts[:, since:] = alert_scores(scores[:, since:], quiet) >= settings.anomaly_threshold
    alerts[:, : max(0, width - looked_at)] = False
    gap_steps = max(1, int(settings.burst_s / frame.step_s))
    for place, row in enumerate(rows):
        if alerts[place].any():
            episodes = _episodes(np.flatnonzero(alerts[place]), gap_steps)
            findings += [_finding(frame, settings, int(row), steps, scores[place]) for steps in episodes]
    return findings


def _worth_a_look(frame: PatternInput, settings: SearchSettings, since: int) -> NDArray[np.intp]:
    """Return the rows with a score since a step that may be an alert: mostly none, and then nothing else is needed."""
    scores = anomaly_scores(frame.values, since)[:, since:]
    return np.flatnonzero((scores >= settings.anomaly_threshold).any(axis=1))


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
    padded = np.pad(scores, ((0, 0), (quiet, 0)))[:, :-1]
    before = sliding_window_view(padded, quiet, axis=1).max(axis=2)
    return np.where(scores > before, scores, 0.0)


def _last_seen(values: Floats) -> Floats:
    """Return for each step the newest value before it, NaN where the last few steps are all missing."""
    previous = np.full_like(values, np.nan)
    for lag in range(1, min(_MAX_GAP_STEPS, values.shape[1] - 1) + 1):
        previous[:, lag:] = np.where(np.isnan(previous[:, lag:]), values[:, :-lag], previous[:, lag:])
    return previous


def _rolling_tail(sizes: Floats, since: int = 0) -> Floats:
    """Return the tail quantile of the sizes before each step, refreshed every few steps; NaN without enough of them."""
    tail = np.full_like(sizes, np.nan)
    skipped = max(0, since - _MIN_HISTORY) // _TAIL_EVERY * _TAIL_EVERY
    for step in range(_MIN_HISTORY + skipped, sizes.shape[1], _TAIL_EVERY):
        tail[:, step : step + _TAIL_EVERY] = _tail(sizes[:, max(0, step - _TAIL_STEPS) : step])[:, None]
    return tail


def _tail(sizes: Floats) -> Floats:
    count = np.isfinite(sizes).sum(axis=1)
    ranks = np.ceil(_TAIL_QUANTILE * np.maximum(count - 1, 0)).astype(int)
    # NaN sorts last, so a row's rank counts from its own values only.
    tail = np.partition(sizes, np.unique(ranks), axis=1)[np.arange(len(sizes)), ranks]
    for row in np.flatnonzero(tail == 0):
        # A series that almost never moves is judged by the moves it made.
        moves = sizes[row][sizes[row] > 0]
        tail[row] = np.median(moves) if len(moves) else 0.0
    return np.where(count >= _MIN_HISTORY, tail, np.nan)


def _episodes(steps: NDArray[np.intp], gap_steps: int) -> list[NDArray[np.intp]]:
    return np.split(steps, np.flatnonzero(np.diff(steps) > gap_steps) + 1)


def _finding(
    frame: PatternInput, settings: SearchSettings, row: int, steps: NDArray[np.intp], scores: Floats
) -> Finding:
    # The first step and not the largest: coming back from a spike can be the larger step, to a value that is normal.
    name, at, score = frame.names[row], int(steps[0]), float(scores[steps].max())
    value = float(frame.values[row, at])
    expected = float(_last_seen(frame.values[row : row + 1])[0, at])
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
