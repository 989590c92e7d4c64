"""From joint paths to what the loop asks: each objective's breach, the overall state, and how past ones fared."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from storage.records import Breach, Forecast, Frame, Objective, ObjectiveKind, StatePrediction
from tasks.forecast.batch import ForecastBatch
from tasks.forecast.recalibrate import Recalibration

STORED_LEVELS = (0.05, 0.5, 0.95)
CRITICAL_SEVERITY = 0.7
BOUNDED_KINDS = (ObjectiveKind.BOUND, ObjectiveKind.CAPACITY, ObjectiveKind.SLO)


@dataclass(frozen=True)
class Outlook:
    """All that one turn foretells; `batches` go with `frames` one to one."""

    frames: tuple[Frame, ...]
    batches: tuple[ForecastBatch, ...]
    forecasts: tuple[Forecast, ...]
    breaches: tuple[Breach, ...]
    state: StatePrediction

    def by_series(self) -> Mapping[str, Forecast]:
        """Return the forecasts by series, refused ones left out."""
        return {forecast.series: forecast for forecast in self.forecasts if forecast.refusal is None}

    def paths(self) -> dict[str, NDArray[np.float64]]:
        """Return joint sample paths (paths, steps) by series, refused ones left out."""
        return {
            series: batch.paths_of(row)
            for frame, batch in zip(self.frames, self.batches, strict=True)
            for row, series in enumerate(frame.series)
            if batch.refusals[row] is None
        }


def forecasts_of(frame: Frame, batch: ForecastBatch) -> list[Forecast]:
    """Return one record a series, with the few quantiles that are worth keeping."""
    columns = [int(np.argmin(np.abs(np.asarray(batch.levels) - level))) for level in STORED_LEVELS]
    return [
        Forecast(
            series=series,
            issued_at=frame.end,
            step_s=frame.step_s,
            levels=STORED_LEVELS,
            point=batch.point[row],
            quantiles=batch.quantiles[row][:, columns],
            method=batch.method[row],
            warnings=batch.warnings[row],
            refusal=batch.refusals[row],
        )
        for row, series in enumerate(frame.series)
    ]


def breaches_of(
    frame: Frame, batch: ForecastBatch, objectives: Iterable[Objective], recalibration: Recalibration = Recalibration()
) -> list[Breach]:
    """Return how likely each bounded objective breaks on each series it means, and when.

    Probabilities are recalibrated by how past ones fared; the raw ones are kept beside them.
    """
    found: list[Breach] = []
    for objective in objectives:
        rows = [row for row, series in enumerate(frame.series) if objective.matches(series)]
        if rows and objective.kind in BOUNDED_KINDS:
            found += _breaches(frame, batch, objective, rows, recalibration)
    return found


def _breaches(
    frame: Frame, batch: ForecastBatch, objective: Objective, rows: Sequence[int], recalibration: Recalibration
) -> list[Breach]:
    part = batch.take(list(rows))
    within = max(1, min(part.horizon, round(objective.horizon_s / frame.step_s)))
    upper, lower = (objective.bound, None) if objective.side == "below" else (None, objective.bound)
    probability, _ = part.breach(upper=upper, lower=lower, within=within)
    honest = recalibration.apply(probability)
    lead = part.lead_time(upper=upper, lower=lower, within=within)
    return [
        _breach(frame, objective, row, (honest[i], probability[i]), (lead.median[i], lead.low[i], lead.high[i]))
        for i, row in enumerate(rows)
    ]


def _breach(
    frame: Frame,
    objective: Objective,
    row: int,
    probabilities: tuple[float, float],
    steps: tuple[float, float, float],
) -> Breach:
    last_value, settled_value = _last_values(frame.values[row])
    broken = last_value is not None and not (objective.is_met(last_value) or objective.is_met(settled_value))
    expected_at, earliest_at, latest_at = (_moment(frame.end, frame.step_s, step) for step in steps)
    probability, raw = probabilities
    known = bool(np.isfinite(raw))
    return Breach(
        objective=objective.name,
        series=frame.series[row],
        probability=1.0 if broken else (float(probability) if known else 0.0),
        expected_at=frame.end if broken else expected_at,
        earliest_at=frame.end if broken else earliest_at,
        latest_at=latest_at,
        is_breached_now=broken,
        last_value=last_value,
        raw_probability=float(raw) if known else None,
    )


def _last_values(values: NDArray[np.float64]) -> tuple[float | None, float]:
    """Return the newest value and the median of the last three, so that one spike alone breaks nothing.

    The newest is None where the last five steps are silent: then nothing is known of now.
    """
    recent = values[-5:]
    seen = recent[np.isfinite(recent)]
    return (float(seen[-1]), float(np.median(seen[-3:]))) if len(seen) else (None, float("nan"))


def _moment(end: datetime, step_s: float, step: float) -> datetime | None:
    return end + timedelta(seconds=step_s * step) if np.isfinite(step) else None


def predicted_state(
    frames: Sequence[Frame], batches: Sequence[ForecastBatch], objectives: Sequence[Objective], tick: datetime
) -> StatePrediction:
    """Return the probability of each overall state within the objectives' horizons, by the worst-of rule.

    A joint path is critical when it breaks an objective of severity 0.7 or more, degraded when it breaks
    any other. Path s of every series was drawn from the same past origin, so objectives break together as
    they did before.
    """
    broken_by: list[tuple[float, NDArray[np.bool_]]] = []
    furthest_s = 0.0
    for frame, batch in zip(frames, batches, strict=True):
        for objective in objectives:
            for row, series in enumerate(frame.series):
                if objective.kind in BOUNDED_KINDS and objective.matches(series) and batch.refusals[row] is None:
                    within = max(1, min(batch.horizon, round(objective.horizon_s / frame.step_s)))
                    furthest_s = max(furthest_s, within * frame.step_s)
                    broken_by.append((objective.severity, _paths_broken(batch.paths_of(row)[:, :within], objective)))
    if not broken_by:
        return StatePrediction(
            at=tick, state="unknown", probabilities={}, reason="No objective has a forecast yet; record metrics first."
        )
    return _state(broken_by, tick + timedelta(seconds=furthest_s))


def _paths_broken(paths: NDArray[np.float64], objective: Objective) -> NDArray[np.bool_]:
    crossed = paths > objective.bound if objective.side == "below" else paths < objective.bound
    return np.asarray(crossed.any(axis=1))


def _state(broken_by: Sequence[tuple[float, NDArray[np.bool_]]], at: datetime) -> StatePrediction:
    count = max(len(broken) for _, broken in broken_by)
    critical, degraded = np.zeros(count, dtype=bool), np.zeros(count, dtype=bool)
    for severity, broken in broken_by:
        hit = np.resize(broken, count)
        critical |= hit & (severity >= CRITICAL_SEVERITY)
        degraded |= hit
    shares = {
        "healthy": float(np.mean(~degraded)),
        "degraded": float(np.mean(degraded & ~critical)),
        "critical": float(np.mean(critical)),
    }
    state = max(shares, key=lambda name: shares[name])
    reason = f"{shares[state]:.0%} of {count} joint paths over {len(broken_by)} objectives end there"
    return StatePrediction(at=at, state=state, probabilities=shares, reason=reason)
