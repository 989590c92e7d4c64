"""All that the guards look at, gathered from the store, the settings and the handlers as it is now."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from storage.records import metric_of
from tasks.authority import is_autonomous
from tasks.context import Context
from tasks.execute.guards import Circumstances
from tasks.interventions.matured import doubted_until
from tasks.interventions.recent import passes_after_s
from tasks.maintenance import open_until

HISTORY_DAYS = 8
SILENT_AFTER_S = 600.0
SILENT_AFTER_GAPS = 5


@dataclass(frozen=True)
class Silence:
    """The series that were heard once and are not any more, and the metrics of which no series is heard."""

    series: frozenset[str] = frozenset()
    metrics: frozenset[str] = frozenset()


def silence_now(context: Context) -> Silence:
    """Return what was quiet for five of its usual gaps, and for ten minutes at least."""
    samples, tick = context.store.samples, context.tick
    heard = {
        info.series
        for info in samples.spans(tick - timedelta(days=HISTORY_DAYS), tick)
        if info.last and (tick - info.last).total_seconds() <= max(SILENT_AFTER_S, SILENT_AFTER_GAPS * info.interval_s)
    }
    silent = frozenset(info.series for info in samples.known()) - heard
    return Silence(silent, frozenset(map(metric_of, silent)) - frozenset(map(metric_of, heard)))


def circumstances(context: Context, silence: Silence) -> Circumstances:
    """Return all that the guards look at, as it is now."""
    options, store = context.settings.executor, context.store
    return Circumstances(
        tick=context.tick,
        autonomous=is_autonomous(context.settings, store),
        kill_switch=context.settings.kill_switch_path.exists(),
        maintenance_until=open_until(options.maintenance, context.tick, context.zone),
        finished=context.finished(context.tick - timedelta(days=HISTORY_DAYS)),
        open_goals=frozenset(view.goal.goal_id for view in store.goals.open()),
        silent_series=silence.series,
        silent_metrics=silence.metrics,
        actions=context.actions,
        rate_limits=options.rate_limits,
        configured_limits=frozenset({"rate_limits", "blast_radius"} & options.model_fields_set),
        blast_radius=options.blast_radius,
        blast_radius_labels=options.blast_radius_labels,
        max_concurrent_goals=options.max_concurrent_goals,
        slot_s=options.execution_interval_seconds,
        breaker_failures=options.breaker_failures,
        breaker_s=options.breaker_seconds,
        doubted_until=doubted_until(store, context.tick, passes_after_s(context.actions)),
    )
