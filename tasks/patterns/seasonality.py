"""Seasonality: how much of a series repeats with the hour, the day or the week."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from tasks.patterns.clock import WEEKDAYS, clock_text, local_s, weekday
from tasks.patterns.finding import Finding
from tasks.patterns.inputs import DAY_S, HOUR_S, WEEK_S, Floats, PatternInput, SearchSettings
from tasks.patterns.statistics import adjusted_p_values, row_blocks, running_sums, standardised

# Only clocks that people and schedulers live by, with the phases each is cut into; few cycles bear few phases.
_CLOCKS = ((HOUR_S, 12, "hour"), (DAY_S, 48, "day"), (WEEK_S, 14, "week"))
_MIN_CYCLES = 3
_MAX_CYCLES = 48
_MIN_REPEATED = 0.05
_N_ROTATIONS = 1999
_N_HARMONICS = 8
_CLIP = 8.0


@dataclass(frozen=True)
class Profiles:
    """Mean of every series in every cycle and phase of one clock: `cells` is (n_series, n_cycles, n_phases).

    `first_cycle` numbers the cycles on the wall clock. Trend is out already; a phase without data is 0.
    """

    period_s: float
    name: str
    first_cycle: int
    cells: Floats

    @cached_property
    def repeated(self) -> Floats:
        """Share of variance that the mean of the other cycles predicts, per series; below 0 where it misleads."""
        n_cycles = self.cells.shape[1]
        squares = (self.cells**2).sum(axis=(1, 2))
        of_sums = (self.cells.sum(axis=1) ** 2).sum(axis=1)
        left = (n_cycles**2 * squares - n_cycles * of_sums) / (n_cycles - 1) ** 2
        return np.where(squares > 0, 1.0 - left / np.where(squares > 0, squares, 1.0), 0.0)

    @cached_property
    def mean(self) -> Floats:
        mean: Floats = self.cells.mean(axis=1)
        return mean


def find_seasonality(frame: PatternInput, settings: SearchSettings, seed: int) -> list[Finding]:
    """Return one finding per series and clock (hour, day, week) whose profile predicts cycles it was not made from.

    At least three cycles and 5 % of the variance are asked for, and that independent rotations of the cycles do not
    repeat as well (`seed` draws them), corrected over all series and clocks.
    """
    if frame.values.size == 0:
        return []
    candidates: list[tuple[Profiles, int, int, float]] = []
    scales: list[Floats] = []
    for block in row_blocks(len(frame.names)):
        scaled, _, scale = standardised(frame.values[block], _CLIP)
        scales.append(scale)
        for profiles in clock_profiles(frame, scaled, settings.timezone):
            rows = np.flatnonzero(profiles.repeated >= _MIN_REPEATED)
            p_values = rotation_p_values(profiles.cells[rows], np.random.default_rng(seed))
            candidates += [
                (profiles, int(row), int(row) + block.start, float(p)) for row, p in zip(rows, p_values, strict=True)
            ]
    # In the order of clocks, then of series, however they were cut into blocks.
    candidates.sort(key=lambda each: (each[0].period_s, each[2]))
    n_untested = len(frame.names) * len(_CLOCKS) - len(candidates)
    q_values = adjusted_p_values(np.array([p for *_, p in candidates] + [1.0] * n_untested))
    scale = np.concatenate(scales)
    return [
        _finding(profiles, place, p, frame.names[row], float(scale[row]), settings.timezone)
        for (profiles, place, row, p), q in zip(candidates, q_values, strict=False)
        if q <= settings.false_discovery_rate
    ]


def clock_profiles(frame: PatternInput, scaled: Floats, zone: str) -> list[Profiles]:
    """Return the profiles of `scaled` (n_series, n_steps) for every clock with enough cycles, shortest first.

    What one clock repeats is taken out before the next is looked at, so the week shows only what the day does not.
    """
    rest, profiles_found = scaled, []
    for period_s, n_phases, name in _CLOCKS:
        phases = min(n_phases, int(period_s / frame.step_s + 1e-9))
        if phases < 3 or scaled.shape[1] * frame.step_s < _MIN_CYCLES * period_s:
            continue
        turns = local_s(frame.step_times_s, zone if period_s >= DAY_S else "UTC") / period_s
        cycles = np.floor(turns + 1e-9).astype(int)
        at_phase = np.clip(((turns - cycles) * phases + 1e-6).astype(int), 0, phases - 1)
        flat = rest - _moving_mean(rest, round(period_s / frame.step_s))
        cells = _cell_means(flat, cycles - cycles[0], at_phase, phases)
        profiles = Profiles(period_s, name, int(cycles[0]), cells)
        profiles_found.append(profiles)
        repeats = profiles.repeated[:, None] >= _MIN_REPEATED
        rest = np.where(repeats, rest - profiles.mean[:, at_phase], rest)
    return profiles_found


def rotation_p_values(cells: Floats, rng: np.random.Generator) -> Floats:
    """Return how often cycles rotated at random repeat as well as they do in step; `cells` as in `Profiles`.

    The sum over cycles decides how well they repeat, and a rotation only turns the phases of its harmonics, so all
    rotations of all series are a few small matrix products.
    """
    n_series, n_cycles, n_phases = cells.shape
    if n_series == 0:
        return np.empty(0)
    group = -(-n_cycles // _MAX_CYCLES)
    kept = n_cycles // group * group
    grouped = cells[:, :kept].reshape(n_series, -1, group, n_phases).mean(axis=2)
    harmonics = np.fft.rfft(grouped, axis=2)[:, :, 1 : _N_HARMONICS + 1]
    turns = np.exp(-2j * np.pi * np.arange(n_phases) / n_phases)
    rotations = rng.integers(0, n_phases, size=(_N_ROTATIONS, grouped.shape[1]))
    in_step = (np.abs(harmonics.sum(axis=1)) ** 2).sum(axis=1)
    rotated = np.zeros((_N_ROTATIONS, n_series))
    for k in range(harmonics.shape[2]):
        rotated += np.abs(turns[(k + 1) * rotations % n_phases] @ harmonics[:, :, k].T) ** 2
    as_well: Floats = (rotated >= in_step * (1 - 1e-9)).sum(axis=0)
    return (1.0 + as_well) / (1.0 + _N_ROTATIONS)


def _cell_means(values: Floats, cycles: np.ndarray, at_phase: np.ndarray, phases: int) -> Floats:
    """Return (n_series, n_cycles, n_phases) means, only of cycles of which most phases lie inside the window."""
    n_series, n_cycles = len(values), int(cycles[-1]) + 1
    cell = cycles * phases + at_phase
    cells = np.arange(n_series)[:, None] * (n_cycles * phases) + cell
    seen = np.isfinite(values)
    size = n_series * n_cycles * phases
    count = np.bincount(cells[seen], minlength=size)
    total = np.bincount(cells[seen], weights=values[seen], minlength=size)
    means = (total / np.maximum(count, 1)).reshape(n_series, n_cycles, phases)
    covered = np.bincount(np.unique(cell) // phases, minlength=n_cycles) >= 0.75 * phases
    # With one whole cycle and two halves left there is nothing to validate on; keep what makes at least two.
    return means[:, covered] if covered.sum() >= 2 else means


def _moving_mean(values: Floats, window: int) -> Floats:
    """Return the centred mean over `window` steps of what is there, shorter at the ends."""
    n_steps = values.shape[1]
    width = min(window, n_steps)
    sums, counts = running_sums(values)
    means = (sums[:, width:] - sums[:, :-width]) / np.maximum(counts[:, width:] - counts[:, :-width], 1)
    low = np.clip(np.arange(n_steps) - window // 2, 0, n_steps - width)
    mean: Floats = means.take(low, axis=1)
    return mean


def _finding(profiles: Profiles, row: int, p_value: float, name: str, scale: float, zone: str) -> Finding:
    repeated, profile = float(profiles.repeated[row]), profiles.mean[row]
    phases = len(profile)
    high_s, low_s = (float((at + 0.5) / phases * profiles.period_s) for at in (profile.argmax(), profile.argmin()))
    return Finding(
        kind="seasonality",
        subject=name,
        statement=(
            f"{name} follows the {profiles.name}: {100 * repeated:.0f} % of the variation repeats, highest "
            f"{_at(high_s, profiles, zone)}, lowest {_at(low_s, profiles, zone)}."
        ),
        strength=float(np.clip(repeated, 0.0, 1.0)),
        p_value=p_value,
        evidence={
            "clock": profiles.name,
            "repeated_share": repeated,
            "cycles": profiles.cells.shape[1],
            "swing": float(np.ptp(profile)) * scale,
            "high_phase_s": high_s,
            "low_phase_s": low_s,
            "timezone": zone,
        },
        period_s=profiles.period_s,
    )


def _at(phase_s: float, profiles: Profiles, zone: str) -> str:
    if profiles.period_s == HOUR_S:
        return f"{phase_s / 60:.0f} min past"
    if profiles.period_s == DAY_S:
        return f"around {clock_text(phase_s)} ({zone})"
    # Weeks are counted from the epoch, a Thursday.
    return f"on {WEEKDAYS[int(weekday(np.array(phase_s)))]}s"
