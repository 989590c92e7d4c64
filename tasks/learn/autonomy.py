"""How much an action may do by itself for a goal type: earned by measured results, and lost by them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from storage.records import Autonomy
from tasks.learn.outcome_rows import OutcomeRow, once_each
from tasks.learn.pooled_effect import always_valid_low, pooled_effect
from tasks.text import chance, percent

EFFECT_LIMIT_SD = 2.0


@dataclass(frozen=True)
class Thresholds:
    """What promotion asks for and what demotion follows on."""

    fewest_forecasts: int = 20
    coverage_low: float = 0.80
    coverage_high: float = 0.98
    coverage_lost: float = 0.70
    fewest_outcomes: int = 8
    highest_failure_ratio: float = 0.10
    fewest_undos: int = 2
    lowest_undo_ratio: float = 0.90
    recent: int = 5
    worse_lost: int = 2
    failures_lost: int = 3
    useless_after: int = 20
    useful_sd: float = 0.1


DEFAULTS = Thresholds()


@dataclass(frozen=True)
class TrackRecord:
    """What is known of a (goal type, action) pair when its autonomy is reviewed.

    `coverage_ratio` is the measured share of values inside the 90 % forecast interval over `forecasts`
    resolved forecasts; `lead_time_s` how long before a breach its goals were raised (median),
    `needed_lead_s` how long the action takes to work. `effect_*` are in sd of the metric, positive toward
    the goal; `effect_surely_above` holds at every review at once. `recent_*` count the last five outcomes,
    newest included. `is_said` tells whether the level in force is one that was said, and not earned.
    """

    action: str
    goal_type: str
    is_reversible: bool
    is_tested: bool
    is_said: bool = False
    forecasts: int = 0
    coverage_ratio: float = 0.0
    lead_time_s: float = 0.0
    needed_lead_s: float = 0.0
    outcomes: int = 0
    effect_mean: float = float("nan")
    effect_high: float = float("inf")
    effect_surely_above: float = float("-inf")
    failure_ratio: float = 0.0
    recent_worse: int = 0
    recent_failures: int = 0
    undos: int = 0
    undo_ratio: float = 0.0

    def to_record(self) -> dict[str, Any]:
        """Return plain JSON values for the audit row; None for what is not known."""
        return {
            name: None if isinstance(value, float) and not np.isfinite(value) else value
            for name, value in asdict(self).items()
        }


@dataclass(frozen=True)
class Review:
    """What a review decided: the level from now on, and why; where it stays, what the next level still needs."""

    level: Autonomy
    reason: str
    is_changed: bool
    missing: tuple[str, ...] = ()


def gather(
    rows: Sequence[OutcomeRow],
    action: str,
    goal_type: str,
    *,
    is_reversible: bool,
    is_tested: bool,
    is_said: bool = False,
    forecasts: int = 0,
    coverage_ratio: float = 0.0,
    lead_time_s: float = 0.0,
    needed_lead_s: float = 0.0,
    undos: int = 0,
    undo_ratio: float = 0.0,
    thresholds: Thresholds = DEFAULTS,
) -> TrackRecord:
    """Gather the evidence on a pair from outcomes in the order recorded; other pairs' are left out."""
    mine = [row for row in once_each(rows) if (row.action, row.goal_type) == (action, goal_type)]
    measured = [row for row in mine if row.is_measured]
    # As in the beliefs: one freak outcome must not earn a promotion.
    effects = np.clip([row.effect_sd_units for row in measured], -EFFECT_LIMIT_SD, EFFECT_LIMIT_SD)
    errors = np.array([row.se_sd_units for row in measured])
    windows = np.array([row.past_windows for row in measured])
    pooled = pooled_effect(effects, errors, past_windows=windows) if measured else None
    recent = mine[-thresholds.recent :]
    return TrackRecord(
        action,
        goal_type,
        is_reversible,
        is_tested,
        is_said,
        forecasts,
        coverage_ratio,
        lead_time_s,
        needed_lead_s,
        len(measured),
        pooled.mean if pooled else float("nan"),
        pooled.high if pooled else float("inf"),
        always_valid_low(effects, errors, past_windows=windows),
        sum(row.is_failure for row in mine) / len(mine) if mine else 0.0,
        sum(row.did_harm for row in recent),
        sum(row.is_failure for row in recent),
        undos,
        undo_ratio,
    )


def review(level: Autonomy, evidence: TrackRecord, thresholds: Thresholds = DEFAULTS) -> Review:
    """Decide a pair's level from its evidence: down as soon as results say so, up one step when all agree.

    What cannot be undone or has not gone through once earns no more than `approve`. A level that was said is kept,
    whatever it is, until the action is measured to do harm: whoever said it knew what is not measured yet. The step to
    `auto` asks for an effect that is above zero at every review at once, so looking often cannot promote an
    action that does nothing.
    """
    ceiling = Autonomy.AUTO if evidence.is_reversible and evidence.is_tested else Autonomy.APPROVE
    fallen, why = _lost(level, evidence, thresholds)
    if fallen is not level:
        return Review(fallen, why, True)
    if level.rank > ceiling.rank and not evidence.is_said:
        cause = "cannot be undone" if not evidence.is_reversible else "has never succeeded"
        return Review(ceiling, f"{evidence.action} {cause}", True)
    if level is Autonomy.AUTO:
        return Review(level, "no evidence against it", False)
    next_level = list(Autonomy)[level.rank + 1]
    if next_level.rank > ceiling.rank:
        cause = "cannot be undone" if not evidence.is_reversible else "has never succeeded"
        rest = _missing(next_level, evidence, thresholds) if evidence.is_reversible else []
        return Review(level, f"{evidence.action} {cause}: it stays at {level}", False, (_cure(evidence), *rest))
    missing = _missing(next_level, evidence, thresholds)
    if missing:
        return Review(level, f"{next_level} still needs: {'; '.join(missing)}", False, tuple(missing))
    return Review(next_level, _earned(next_level, evidence), True)


def _cure(evidence: TrackRecord) -> str:
    return "an undo: without one a person is asked each time" if not evidence.is_reversible else "one run that succeeds"


def _lost(level: Autonomy, evidence: TrackRecord, limits: Thresholds) -> tuple[Autonomy, str]:
    """Return the level that bad results leave, and which; the same level where there are none."""
    falls: list[tuple[Autonomy, str]] = []
    if evidence.recent_worse >= limits.worse_lost:
        reason = f"{evidence.recent_worse} of its last {limits.recent} runs made things worse"
        falls.append((Autonomy.RECOMMEND, reason))
    if not evidence.is_said:
        falls += _unearned(evidence, limits)
    lower = [fall for fall in falls if fall[0].rank < level.rank]
    return min(lower, key=lambda fall: fall[0].rank) if lower else (level, "")


def _unearned(evidence: TrackRecord, limits: Thresholds) -> list[tuple[Autonomy, str]]:
    """Return the levels that an earned one falls to for results which are no harm, and why."""
    falls: list[tuple[Autonomy, str]] = []
    if evidence.undos and evidence.undo_ratio < 0.5:
        falls.append((Autonomy.RECOMMEND, f"only {percent(evidence.undo_ratio)} of its {evidence.undos} undos worked"))
    if evidence.recent_failures >= limits.failures_lost:
        falls.append((Autonomy.RECOMMEND, f"{evidence.recent_failures} of its last {limits.recent} runs failed"))
    if evidence.outcomes >= limits.useless_after and evidence.effect_high < limits.useful_sd:
        falls.append(
            (
                Autonomy.RECOMMEND,
                f"after {evidence.outcomes} outcomes its effect is at most {evidence.effect_high:.2f} sd",
            )
        )
    if evidence.forecasts >= limits.fewest_forecasts and evidence.coverage_ratio < limits.coverage_lost:
        falls.append(
            (
                Autonomy.APPROVE,
                f"the 90 % forecast interval contained only {percent(evidence.coverage_ratio)} of the values",
            )
        )
    return falls


def _missing(next_level: Autonomy, evidence: TrackRecord, limits: Thresholds) -> list[str]:
    """Say what the evidence lacks for a level."""
    checks = [
        (evidence.forecasts >= limits.fewest_forecasts, f"{limits.fewest_forecasts} verified forecasts"),
        (
            limits.coverage_low <= evidence.coverage_ratio <= limits.coverage_high,
            f"a forecast interval that contains about 90 % of the values (now {chance(evidence.coverage_ratio)})",
        ),
    ]
    if next_level.rank >= Autonomy.APPROVE.rank:
        enough = evidence.lead_time_s > evidence.needed_lead_s
        checks.append((enough, f"warnings more than {evidence.needed_lead_s:.0f} s ahead"))
        not_useless = evidence.outcomes < limits.useless_after or evidence.effect_high >= limits.useful_sd
        checks.append((not_useless, f"an effect ({evidence.outcomes} outcomes show none)"))
        checks.append((evidence.recent_worse < limits.worse_lost, "recent outcomes without harm"))
        checks.append((evidence.recent_failures < limits.failures_lost, "recent runs that succeeded"))
    if next_level is Autonomy.AUTO:
        undone = evidence.undos >= limits.fewest_undos and evidence.undo_ratio >= limits.lowest_undo_ratio
        checks += [
            (evidence.outcomes >= limits.fewest_outcomes, f"{limits.fewest_outcomes} measured outcomes"),
            (evidence.effect_surely_above > 0, "an effect that is certainly above zero"),
            (evidence.failure_ratio <= limits.highest_failure_ratio, "fewer failed runs"),
            (undone, f"{limits.fewest_undos} undos of which {percent(limits.lowest_undo_ratio)} worked"),
        ]
    return [what for holds, what in checks if not holds]


def _earned(next_level: Autonomy, evidence: TrackRecord) -> str:
    forecast = (
        f"{percent(evidence.coverage_ratio)} of values inside the 90 % interval over {evidence.forecasts} forecasts"
    )
    if next_level is Autonomy.RECOMMEND:
        return forecast
    lead = f"warnings {evidence.lead_time_s:.0f} s ahead"
    if next_level is Autonomy.APPROVE:
        return f"{forecast}, {lead}"
    return (
        f"{forecast}, {lead}, {evidence.outcomes} outcomes with a mean effect of {evidence.effect_mean:+.2f} sd, "
        f"certainly above {evidence.effect_surely_above:.2f}, and {percent(evidence.undo_ratio)} of {evidence.undos} "
        "undos worked"
    )
