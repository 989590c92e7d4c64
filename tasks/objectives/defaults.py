"""Objectives where nobody has set any: for the host's own metrics, and for those of the documented examples."""

from __future__ import annotations

from storage.records import Objective, ObjectiveKind

_HOUR_S = 3_600.0
_DAY_S = 24 * _HOUR_S


def default_objectives() -> tuple[Objective, ...]:
    """Return the objectives for this host's own metrics; nobody knows what others should be but their owner."""
    return (
        Objective(
            name="cpu-not-saturated",
            metric="cpu_used_ratio",
            bound=0.9,
            severity=0.7,
            guards=("memory_used_ratio",),
            description="Keep CPU time free for requests.",
        ),
        Objective(
            name="load-within-cores",
            metric="load1_per_core",
            bound=1.5,
            severity=0.5,
            description="Avoid a long queue of runnable processes.",
        ),
        Objective(
            name="memory-not-exhausted",
            metric="memory_used_ratio",
            bound=0.92,
            severity=0.8,
            guards=("cpu_used_ratio",),
            description="Avoid swapping and the out-of-memory killer.",
        ),
        Objective(
            name="swap-unused",
            metric="swap_used_ratio",
            bound=0.6,
            severity=0.5,
            description="Swap is for emergencies.",
        ),
        Objective(
            name="disk-not-full",
            metric="disk_used_ratio",
            kind=ObjectiveKind.CAPACITY,
            bound=0.9,
            severity=0.8,
            horizon_s=14 * _DAY_S,
            description="Know two weeks ahead when a disk runs out.",
        ),
        Objective(
            name="memory-headroom",
            metric="memory_used_ratio",
            kind=ObjectiveKind.HEADROOM,
            bound=0.85,
            severity=0.3,
            horizon_s=_DAY_S,
            description="Leave memory for one more task at peak use.",
        ),
    )


def example_objectives() -> tuple[Objective, ...]:
    """Return objectives for the metrics that the documented examples record: percentages, milliseconds, a spend rate.

    They are in force for `GoalDrivenAgent`, and where `use_default_objectives` is "examples".
    """
    return (
        Objective(name="cpu-usage-below-90", metric="cpu_usage", bound=90, severity=0.7),
        Objective(name="memory-usage-below-90", metric="memory_usage", bound=90, severity=0.7),
        Objective(
            name="cpu-usage-headroom",
            metric="cpu_usage",
            kind=ObjectiveKind.HEADROOM,
            bound=75,
            severity=0.3,
            horizon_s=_DAY_S,
        ),
        Objective(name="latency-below-500ms", metric="latency", bound=500, severity=0.7),
        Objective(
            name="latency-p95-below-200ms",
            metric="latency",
            kind=ObjectiveKind.PERCENTILE,
            bound=200,
            target_ratio=0.95,
            severity=0.5,
            horizon_s=_HOUR_S,
        ),
        Objective(
            name="latency-slo-99-within-300ms",
            metric="latency",
            kind=ObjectiveKind.SLO,
            bound=300,
            target_ratio=0.99,
            severity=0.8,
            window_s=7 * _DAY_S,
        ),
        Objective(
            name="monthly-cost-within-budget",
            metric="cost_per_hour",
            kind=ObjectiveKind.BUDGET,
            bound=1_000,
            severity=0.5,
            horizon_s=_DAY_S,
        ),
    )
