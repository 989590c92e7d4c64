"""The forecast stage: quantiles, joint paths, breaches and the overall state; the ledger of past errors grows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from storage.forecasts import Spread
from storage.records import BoolArray, Frame, Objective, Pattern
from storage.state_predictions import RawState
from tasks.context import Context
from tasks.forecast.allocation import give_back_freed_memory
from tasks.forecast.batch import ForecastBatch
from tasks.forecast.fleet.level_shifts import known_changes
from tasks.forecast.fleet.stocks import emptied_by
from tasks.forecast.fleet_snapshot import FleetSnapshot
from tasks.forecast.local_clock import on_todays_clock
from tasks.forecast.model_store import StoredModels, keep_pace, serving_of, stored_models
from tasks.forecast.risk.crossings import crossings
from tasks.forecast.risk.outlook import FramePaths, Outlook, breaches_at, forecasts_of, predicted_state
from tasks.forecast.shards import FleetQuestion, RunShards, forecast_sharded, in_process
from tasks.forecast.verification.resolved import CALIBRATED_METHOD
from tasks.forecast.verification.settle import settle, settled
from tasks.interventions.recent import effects_in, lasting_acts, passing_acts
from tasks.interventions.removed_from_history import without_effects
from tasks.objectives.in_force import objectives_in_force
from tasks.stage import stage

__all__ = ["forecast", "settle"]

LARGE_FLEET_SERIES = 1_000
SHARD_SERIES = 100  # fewer in a shard take less time than handing them over


def _summary(outlook: Outlook) -> Mapping[str, Any]:
    summary = {
        "forecasts": sum(forecast.refusal is None for forecast in outlook.forecasts),
        "refusals": sum(forecast.refusal is not None for forecast in outlook.forecasts),
        "likely_breaches": sum(breach.probability >= 0.5 for breach in outlook.breaches),
        "state": outlook.state.state,
    }
    return summary | ({"notes": list(outlook.notes)} if outlook.notes else {})


@stage("forecast", _summary)
def forecast(
    context: Context,
    frames: tuple[Frame, ...],
    patterns: tuple[Pattern, ...] = (),
    run_shards: RunShards = in_process,
) -> Outlook:
    """Forecast every window, read each objective off the joint paths, and settle forecasts that matured."""
    outlook, models = foretold(context, frames, patterns, run_shards)
    became = settled(context, len(outlook.forecasts))

    def write() -> None:
        _record(context, outlook, models)
        keep_pace(context, models.pace)
        became.record(context.store)

    context.store.together(write)
    return outlook


def foretold(
    context: Context,
    frames: Sequence[Frame],
    patterns: Sequence[Pattern] = (),
    run_shards: RunShards = in_process,
) -> tuple[Outlook, StoredModels]:
    """Return what a turn foretells of its windows, and the models that it did it with; nothing is recorded."""
    objectives = objectives_in_force(context.settings, context.store)
    models = stored_models(context, frames, objectives)
    batches = _batches(context, frames, objectives, models, patterns, run_shards)
    parts = [
        FramePaths(frame, batch, tuple(crossings(frame, batch, objectives)), kept.blocks)
        for frame, batch, kept in zip(frames, batches, models.fleets, strict=True)
    ]
    return _outlook(context, parts, models), models


def _batches(
    context: Context,
    frames: Sequence[Frame],
    objectives: Sequence[Objective],
    models: StoredModels,
    patterns: Sequence[Pattern],
    run_shards: RunShards,
) -> tuple[ForecastBatch, ...]:
    options, acts, lasting = context.settings.forecasting.forecaster, passing_acts(context), lasting_acts(context)
    serving, batches = serving_of(context), []
    for frame, kept in zip(frames, models.fleets, strict=True):
        effects = effects_in(frame, acts)
        question = FleetQuestion(
            frame=frame,
            history=on_todays_clock(emptied_by(without_effects(frame, effects), lasting), context.zone).values,
            rows=np.arange(len(frame.series)),
            serving=serving,
            horizon=options.horizon_steps,
            seed=context.cycle.seed,
            state=kept.state,
            zone=context.zone,
            changed_at=known_changes(frame, patterns),
            effects=effects,
        )
        count = min(options.shards, len(frame.series) // SHARD_SERIES)
        watched = _watched(frame, objectives)
        batches.append(forecast_sharded(question, watched, count=count, run=run_shards, pace=models.pace))
        if len(frame.series) >= LARGE_FLEET_SERIES:
            give_back_freed_memory()
    return tuple(batches)


def _watched(frame: Frame, objectives: Sequence[Objective]) -> BoolArray:
    """Tell which rows (n,) of a frame objectives are about, or what drives them: others' paths are hardly asked for."""
    named = [each.measured for each in objectives] + [each.driver for each in objectives if each.driver]
    is_watched = np.zeros(len(frame.series), dtype=bool)
    is_watched[sorted(frame.index.meant_by_any(named))] = True
    return is_watched


def _outlook(context: Context, parts: Sequence[FramePaths], models: StoredModels) -> Outlook:
    needed = context.settings.forecasting.state_needs
    state, raw = predicted_state(parts, context.tick, models.state, context.cycle.seed, needed)
    return Outlook(
        frames=tuple(part.frame for part in parts),
        batches=tuple(part.batch for part in parts),
        forecasts=tuple(each for part in parts for each in forecasts_of(part.frame, part.batch)),
        breaches=tuple(each for part in parts for each in breaches_at(part.frame, part.crossings, models.breach)),
        state=state,
        raw_state=raw,
        notes=models.notes,
    )


def _record(context: Context, outlook: Outlook, models: StoredModels) -> None:
    """Write what was foretold; a turn that is tried again finds its state there."""
    raw = RawState(outlook.raw_state.unhealthy, outlook.raw_state.critical) if outlook.raw_state else None
    store = context.store.forecasts
    if store.states.append(outlook.state, context.cycle_id, raw):
        store.append_new(outlook.forecasts, context.cycle_id, _spreads(outlook, models.fleets))
        store.breaches.append(outlook.breaches, context.cycle_id)


def _spreads(outlook: Outlook, fleets: Sequence[FleetSnapshot]) -> dict[str, Spread]:
    """Return by series what makes a forecast count for calibration; only the seasonal method takes offsets."""
    spreads: dict[str, Spread] = {}
    for frame, batch, kept in zip(outlook.frames, outlook.batches, fleets, strict=True):
        offsets = kept.state.offsets if kept.state.offsets.any() else None
        for row, series in enumerate(frame.series):
            takes_offsets = batch.method[row].startswith(CALIBRATED_METHOD)
            spreads[series] = Spread(float(batch.scale[row]), offsets if takes_offsets else None)
    return spreads
