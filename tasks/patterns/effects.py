"""Event → metric: does a metric step up or down when an event of one type happens?"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tasks.patterns.clock import duration_text
from tasks.patterns.finding import Finding
from tasks.patterns.inputs import DAY_S, Floats, PatternInput, SearchSettings
from tasks.patterns.recurrence import collapse_bursts
from tasks.patterns.statistics import (
    adjusted_p_values,
    minus_time_of_day,
    row_blocks,
    running_sums,
    shift_p_values,
    standardised,
)

_SAME_TIME_P = 0.05
_MIN_STEPS = 48


@dataclass(frozen=True)
class EventEffect:
    """What one event type does to one series, in units of the series' robust spread.

    `jump` is the mean jump at the events, `noise` the spread of jumps at any time; `same_time_p` is the p-value after
    what happens at each time of day on the other days is taken out.
    """

    event_type: str
    row: int
    n_events: int
    jump: float
    noise: float
    same_sign_ratio: float
    p_value: float
    q_value: float
    same_time_p: float
    keeps_to_clock: bool

    @property
    def confounded(self) -> bool:
        return self.keeps_to_clock or not self.same_time_p <= _SAME_TIME_P


def find_effects(
    frame: PatternInput, settings: SearchSettings, tick_s: float, recurrent: Collection[str] = ()
) -> list[Finding]:
    """Return one finding per (event type, series) whose jump at the events beats circular shifts of them.

    `recurrent` names the event types that keep to the clock; an effect of such an event cannot be told from the time
    of day, which the finding states. The false discovery rate is held at `settings.false_discovery_rate`.
    """
    window = max(2, round(settings.effect_window_s / frame.step_s))
    if frame.values.size == 0 or frame.values.shape[1] < max(_MIN_STEPS, 4 * window):
        return []
    events = _event_steps(frame, settings, tick_s, window)
    if not events:
        return []
    jumps, scale = np.empty(frame.values.shape), np.empty(len(frame.values))
    for block in row_blocks(len(frame.values)):
        scaled, _, scale[block] = standardised(frame.values[block])
        jumps[block] = jumps_at_every_step(scaled, window)
    effects = significant_effects(
        jumps,
        events,
        day=max(2, round(DAY_S / frame.step_s)),
        recurrent=recurrent,
        false_discovery_rate=settings.false_discovery_rate,
    )
    return [_finding(effect, frame, settings, float(scale[effect.row])) for effect in effects]


def significant_effects(
    jumps: Floats,
    events: Mapping[str, NDArray[np.intp]],
    *,
    day: int,
    recurrent: Collection[str],
    false_discovery_rate: float,
) -> list[EventEffect]:
    """Return the effects that survive Benjamini-Hochberg; `jumps` is (n_series, n_steps), `events` columns per type.

    The test shifts the events of a type together around the window, all shifts at once as one cross-correlation.
    Types in `recurrent` are shifted within one `day` (in steps) only, as whole days map them onto themselves; having
    so few shifts, they are corrected as a family of their own.
    """
    reach, day_reach = jumps.shape[1] // 2, min(day, jumps.shape[1]) // 2
    reaches = {kind: day_reach if kind in recurrent else reach for kind in events}
    noise, tests_of = np.empty(len(jumps)), np.ones((len(events), len(jumps)))
    for block in row_blocks(len(jumps)):
        observed = _Jumps(jumps[block])
        noise[block] = observed.noise
        for number, kind in enumerate(events):
            tests_of[number, block] = shift_p_values(observed.at_shifts(events[kind]), reaches[kind])
    effects = []
    for locked in (False, True):
        types = [kind for kind in events if (kind in recurrent) == locked]
        p_values = tests_of[[(kind in recurrent) == locked for kind in events]]
        q_values = adjusted_p_values(p_values)
        for k in np.flatnonzero((q_values <= false_discovery_rate).any(axis=1)):
            at = events[types[k]]
            rows = np.flatnonzero(q_values[k] <= false_discovery_rate)
            without_clock = _Jumps(minus_time_of_day(jumps[rows], day))
            same_time_p = shift_p_values(without_clock.at_shifts(at), reach)
            for row, same_time in zip(rows.tolist(), same_time_p.tolist(), strict=True):
                tests = (float(p_values[k, row]), float(q_values[k, row]), same_time)
                effects.append(_effect(types[k], row, jumps[row, at], float(noise[row]), tests, locked))
    return effects


def _effect(
    kind: str, row: int, jumps: Floats, noise: float, tests: tuple[float, float, float], keeps_to_clock: bool
) -> EventEffect:
    seen = jumps[np.isfinite(jumps)]
    jump = float(seen.mean())
    same_sign_ratio = float((np.sign(seen) == np.sign(jump)).mean())
    return EventEffect(kind, row, len(seen), jump, noise, same_sign_ratio, *tests, keeps_to_clock)


class _Jumps:
    """Jumps of all series at every step, ready to be averaged at any circular shift of a set of steps."""

    def __init__(self, jumps: Floats) -> None:
        seen = np.isfinite(jumps)
        filled = np.where(seen, jumps, 0.0)
        self._n_steps = jumps.shape[1]
        self._sums = np.fft.rfft(filled, axis=1)
        self._seen = np.fft.rfft(seen.astype(float), axis=1)
        count = np.maximum(seen.sum(axis=1), 1)
        self.noise = np.sqrt((filled**2).sum(axis=1) / count)

    def at_shifts(self, steps: NDArray[np.intp]) -> Floats:
        """Return mean jump × √number seen at every shift of `steps`; NaN where under half of them is seen."""
        events = np.zeros(self._n_steps)
        events[steps] = 1.0
        spectrum = np.conj(np.fft.rfft(events))
        total = np.fft.irfft(spectrum * self._sums, self._n_steps, axis=1)
        seen = np.round(np.fft.irfft(spectrum * self._seen, self._n_steps, axis=1))
        enough = seen >= max(2.0, 0.5 * len(steps))
        return np.where(enough, total / np.sqrt(np.where(enough, seen, 1.0)), np.nan)


def _event_steps(
    frame: PatternInput, settings: SearchSettings, tick_s: float, window: int
) -> dict[str, NDArray[np.intp]]:
    """Return per event type with enough events the first column at or after each of its bursts."""
    start_s = float(frame.step_times_s[0])
    n_steps = frame.values.shape[1]
    steps = {}
    for kind, times in frame.events_between(start_s - frame.step_s, min(tick_s, frame.end_s)).items():
        # The tolerance keeps an event that carries a sample's own time stamp in that sample's step.
        turns = (collapse_bursts(times, settings.burst_s) - start_s) / frame.step_s
        at = np.unique(np.ceil(turns - 1e-6).astype(int))
        at = at[(at >= window) & (at <= n_steps - window)]
        if len(at) >= max(settings.min_occurrences, 3):
            steps[kind] = at
    return steps


def jumps_at_every_step(values: Floats, window: int) -> Floats:
    """Return at each step the mean of the `window` steps from it on minus the mean of those before; NaN at the ends."""
    sums, counts = running_sums(values)
    sums, counts = sums[:, window:] - sums[:, :-window], counts[:, window:] - counts[:, :-window]
    means = np.divide(sums, counts, out=np.full_like(sums, np.nan), where=counts >= 0.5 * window)
    jumps = np.full_like(values, np.nan)
    jumps[:, window : values.shape[1] - window + 1] = means[:, window:] - means[:, :-window]
    return jumps


def _finding(effect: EventEffect, frame: PatternInput, settings: SearchSettings, scale: float) -> Finding:
    name, jump = frame.names[effect.row], effect.jump * scale
    doubt = "; the time of day may explain this" if effect.confounded else ""
    size = abs(effect.jump) / max(effect.noise, 1e-12)
    return Finding(
        kind="effect",
        subject=f"{effect.event_type} → {name}",
        statement=(
            f"{name} {'rises' if jump > 0 else 'falls'} by {frame.in_words(effect.row, abs(jump))} within "
            f"{duration_text(settings.effect_window_s)} of '{effect.event_type}' "
            f"(mean of {effect.n_events} events){doubt}."
        ),
        strength=size / (1.0 + size),
        p_value=effect.p_value,
        evidence={
            "event_type": effect.event_type,
            "metric": name,
            "effect": jump,
            "effect_in_spreads": effect.jump,
            "n_events": effect.n_events,
            "same_sign_ratio": effect.same_sign_ratio,
            "window_s": settings.effect_window_s,
            "q_value": effect.q_value,
            "same_time_of_day_p_value": effect.same_time_p,
            "confounded_with_time_of_day": effect.confounded,
        },
    )
