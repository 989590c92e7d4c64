"""The Numenta Anomaly Benchmark's scoring, written from its description, and detectors to compare.

Lavin and Ahmad, Evaluating real-time anomaly detection algorithms, ICMLA 2015, https://arxiv.org/abs/1510.03336
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tasks.patterns.anomalies import alert_scores, anomaly_scores
from tasks.patterns.inputs import Floats

Detector = Callable[[Floats], Floats]

# Weights of the standard profile.
A_TP, A_FP, A_FN = 1.0, 0.11, 1.0
PROBATION = 0.15
_PROBATION_ROWS = 5000


@dataclass(frozen=True)
class NabRecording:
    """One labelled series: `windows` are inclusive (first, last) rows of its anomalies."""

    name: str
    values: Floats
    windows: tuple[tuple[int, int], ...]

    @property
    def probation(self) -> int:
        return int(PROBATION * min(len(self.values), _PROBATION_ROWS))


@dataclass(frozen=True)
class NabScore:
    """A corpus score at its best threshold; `false_flag_rate` is flagged rows outside windows over all rows."""

    score: float
    threshold: float
    window_recall: float
    false_flag_rate: float


def recorded(data: Path) -> list[NabRecording]:
    """Return the recordings under `data`/nab with their labels."""
    labels = json.loads((data / "nab" / "combined_windows.json").read_text())
    return [_recording(path, labels) for path in sorted((data / "nab").glob("*/*.csv"))]


def synthetic(seed: int, n_recordings: int = 8, n_steps: int = 4000) -> list[NabRecording]:
    """Return a seeded stand-in: daily series of several characters, each with two spikes or jumps in a window."""
    recordings = []
    for number in range(n_recordings):
        rng = np.random.default_rng([seed, number])
        wave = np.sin(2 * np.pi * np.arange(n_steps) / 288)
        values = 10 + 2 * wave + rng.standard_t(3, n_steps) * rng.uniform(0.1, 0.5)
        windows = []
        for start in (1500, 3000):
            at = start + int(rng.integers(0, 300))
            values[at : at + (3 if number % 2 else 200)] += rng.choice([-1, 1]) * rng.uniform(6, 12)
            windows.append((at - 100, at + 100))
        recordings.append(NabRecording(f"synthetic-{number}", values, tuple(windows)))
    return recordings


def nab_score(recordings: Sequence[NabRecording], scores: Sequence[Floats], threshold: float | None = None) -> NabScore:
    """Return the normalised score (0 for no detection at all, 100 for a perfect one) of anomaly scores a row.

    One threshold serves all recordings: the given one, or the best, as NAB chooses it. Of several flags in a window
    the earliest (worthiest) counts; a flag outside costs up to `A_FP`, less shortly after a window.
    """
    n_windows = sum(len(recording.windows) for recording in recordings)
    flat, window, gain = _rows(recordings, scores)
    order = np.argsort(-flat, kind="stable")
    best = _Tally(n_windows)
    reached = best.snapshot(np.inf)
    tally = _Tally(n_windows)
    position = 0
    while position < len(order):
        level = flat[order[position]]
        if level <= 0 or (threshold is not None and level < threshold):
            break
        while position < len(order) and flat[order[position]] == level:
            tally.flag(int(window[order[position]]), float(gain[order[position]]))
            position += 1
        if threshold is not None or tally.total > reached[0]:
            reached = tally.snapshot(float(level))
    total, at_level, windows_hit, false_flags = reached
    n_rows = sum(len(recording.values) for recording in recordings)
    null = -A_FN * n_windows
    return NabScore(
        100.0 * (total - null) / (A_TP * n_windows - null), at_level, windows_hit / n_windows, false_flags / n_rows
    )


class _Tally:
    """The running corpus score as rows are flagged from the highest score down."""

    def __init__(self, n_windows: int) -> None:
        self.total = -A_FN * n_windows
        self._best: dict[int, float] = {}
        self._false_flags = 0

    def flag(self, window: int, gain: float) -> None:
        if window < 0:
            self.total += A_FP * gain
            self._false_flags += 1
        elif window not in self._best:
            self.total += A_FN + A_TP * gain
            self._best[window] = gain
        elif gain > self._best[window]:
            self.total += A_TP * (gain - self._best[window])
            self._best[window] = gain

    def snapshot(self, level: float) -> tuple[float, float, int, int]:
        return self.total, level, len(self._best), self._false_flags


def row_gains(recording: NabRecording) -> tuple[NDArray[np.intp], Floats]:
    """Return per row (number of the window it lies in, or −1; what flagging it is worth before weighting)."""
    n_rows = len(recording.values)
    window, gain = np.full(n_rows, -1), np.full(n_rows, -1.0)
    rows = np.arange(n_rows)
    for number, (first, last) in enumerate(recording.windows):
        width = last - first + 1
        window[first : last + 1] = number
        gain[first : last + 1] = _sigmoid((rows[first : last + 1] - last - 1) / width) / _sigmoid(np.array(-1.0))
        after = (rows[last + 1 :] - last) / max(width - 1, 1)
        gain[last + 1 :] = np.where(after > 3, -1.0, _sigmoid(after))
    return window, gain


def _rows(recordings: Sequence[NabRecording], scores: Sequence[Floats]) -> tuple[Floats, NDArray[np.intp], Floats]:
    flat, windows, gains, offset = [], [], [], 0
    for recording, own in zip(recordings, scores, strict=True):
        window, gain = row_gains(recording)
        flat.append(np.where(np.arange(len(own)) < recording.probation, 0.0, own))
        windows.append(np.where(window >= 0, window + offset, -1))
        gains.append(gain)
        offset += len(recording.windows)
    return np.concatenate(flat), np.concatenate(windows), np.concatenate(gains)


def _sigmoid(position: Floats) -> Floats:
    value: Floats = 2.0 / (1.0 + np.exp(5.0 * position)) - 1.0
    return value


def recall_at(recordings: Sequence[NabRecording], scores: Sequence[Floats], false_flag_rate: float = 0.002) -> float:
    """Return the share of windows flagged at the threshold that flags this share of all rows outside windows."""
    flat, window, _ = _rows(recordings, scores)
    outside = np.sort(flat[window < 0])[::-1]
    threshold = max(outside[int(false_flag_rate * len(flat))], 0.0)
    n_windows = sum(len(recording.windows) for recording in recordings)
    return len(np.unique(window[(flat > threshold) & (window >= 0)])) / n_windows


def room_detector(values: Floats) -> Floats:
    """The one-step residual over its own tail."""
    return anomaly_scores(values[None])[0]


def room_alerts(values: Floats) -> Floats:
    """The same as find_patterns raises it: what does not exceed the day before is silent."""
    return alert_scores(anomaly_scores(values[None]), 288)[0]


def residual_over_mad(values: Floats) -> Floats:
    """The one-step residual over the MAD of the day before."""
    errors = np.diff(values, prepend=values[0])
    scores = np.zeros(len(values))
    for step in range(48, len(values), 12):
        past = errors[max(0, step - 288) : step]
        mad = 1.4826 * np.median(np.abs(past - np.median(past)))
        scores[step : step + 12] = np.abs(errors[step : step + 12]) / max(mad, np.abs(past).mean(), 1e-9)
    return scores


def windowed_gaussian(values: Floats) -> Floats:
    """NAB's own simple baseline: |z| against the 6400 rows before, the window then moving in steps of 100."""
    centred = values - values.mean()
    sums, squares = (np.concatenate(([0.0], np.cumsum(power))) for power in (centred, centred**2))
    rows = np.arange(1, len(values))
    first = np.where(rows <= 6400, 0, (rows - 6400) // 100 * 100)
    last = np.where(rows <= 6400, rows, first + 6400)
    mean = (sums[last] - sums[first]) / (last - first)
    variance = (squares[last] - squares[first]) / (last - first) - mean**2
    deviation = np.sqrt(np.maximum(variance, 1e-12))
    return np.concatenate(([0.0], np.abs(centred[1:] - mean) / deviation))


def _recording(path: Path, labels: dict[str, list[list[str]]]) -> NabRecording:
    with path.open() as file:
        rows = list(csv.DictReader(file))
    at = np.array([_unix_s(row["timestamp"]) for row in rows])
    windows = [
        (int(np.searchsorted(at, _unix_s(first))), int(np.searchsorted(at, _unix_s(last), side="right")) - 1)
        for first, last in labels[f"{path.parent.name}/{path.name}"]
    ]
    return NabRecording(path.stem, np.array([float(row["value"]) for row in rows]), tuple(windows))


def _unix_s(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()
