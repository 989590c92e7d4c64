"""What was learned, for people: success rates, failures, effects, timing, strategies, trend, convergence."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np

from storage.records import NOTHING, Verdict
from tasks.learn.beliefs import Learner
from tasks.learn.outcome_rows import DAY_S, OutcomeRow, is_action, once_each
from tasks.learn.pooled_effect import OwnError, pooled_effect, share_interval
from tasks.learn.reports.convergence import convergence
from tasks.learn.reports.realised import realised_gains
from tasks.learn.reports.timing import best_slots, slot_scores
from tasks.learn.strategy_advice import strategy_advice

Key = TypeVar("Key", bound=Hashable)

JUDGED_BY = 500
"""How many of the newest outcomes tell strategies apart; older ones have faded."""

NOTE_EMPTY = (
    "No action measured yet. Let foreact act (`foreact mode on`, or approve its recommendations); an outcome "
    "appears here when the action's window is over."
)
NOTE_FEW = "Fewer than ten decided outcomes so far: look at the intervals, not the rates."


def insights(
    rows: Iterable[OutcomeRow],
    learner: Learner | None = None,
    *,
    contributions: Sequence[Mapping[str, Any]] = (),
    off_policy: Sequence[Mapping[str, Any]] = (),
    utc_offset_s: float = 0.0,
    seed: int = 0,
    own: OwnError = OwnError(),
) -> dict[str, Any]:
    """Sum up what outcomes taught, as JSON-ready values.

    `rows` are outcomes on the metrics aimed at, in any order; one given twice counts once. `learner` adds
    best hours and convergence. Keys: `action_success_rates[action]` with `rate`, `count` and its 90 % interval;
    `common_failures` with `action`, `count`, `reason`; `average_duration_s`, `effects`, `best_hours`,
    `strategy_efficacy`, `strategy_advice`, `trend`, `convergence`, `predictions` (what was believed beside what was
    measured), `contradicted_claims`, `contributions` and `off_policy` as handed in, `placebo_check`, which readers
    fill in, and `note`, which says what to do next where there is too little to read. Without any outcome the
    shapes are the same and empty. `own` is what the measurements of this installation are off by: it widens every
    interval of a mean effect.
    """
    every = once_each(rows)
    acted = [row for row in every if is_action(row)]
    judged = sum(row.is_judged for row in acted)
    return {
        "action_success_rates": {
            action: success_rate(rows_of_action) for action, rows_of_action in sorted(_grouped(acted, _action).items())
        },
        "common_failures": common_failures(acted),
        "average_duration_s": {
            action: float(np.mean([row.duration_s for row in rows_of_action]))
            for action, rows_of_action in sorted(_grouped(acted, _action).items())
        },
        "effects": effects_by_pair(every, own),
        "best_hours": best_hours(acted, learner),
        "strategy_efficacy": strategy_efficacy(acted, own),
        "strategy_advice": {} if learner is None else strategy_advice(acted[-JUDGED_BY:], learner).to_record(),
        "trend": trend(acted, utc_offset_s, own),
        "convergence": [] if learner is None else settled(every, learner, seed),
        "predictions": {action: gain.to_record() for action, gain in sorted(realised_gains(acted).items())},
        "contradicted_claims": contradicted_claims(acted),
        "contributions": list(contributions),
        "off_policy": list(off_policy),
        "placebo_check": None,
        "outcomes": len(every),
        "note": NOTE_EMPTY if not acted else NOTE_FEW if judged < 10 else "",
    }


def success_rate(rows: Sequence[OutcomeRow]) -> dict[str, Any]:
    """Return the share of decided outcomes that improved the metric, with its 90 % interval.

    Decided means measured as improved, no effect or worse, or failed. What could not be decided is counted
    apart: it is neither success nor failure.
    """
    decided = [row for row in rows if row.is_judged]
    successes = sum(row.is_success for row in decided)
    low, high = share_interval(successes, len(decided))
    verdicts = Counter(str(row.verdict) for row in rows if not row.is_failure)
    return {
        "rate": successes / len(decided) if decided else 0.0,
        "low": low,
        "high": high,
        "count": len(decided),
        "undecided": len(rows) - len(decided),
        "failed": sum(row.is_failure for row in rows),
        "verdicts": dict(sorted(verdicts.items())),
    }


def common_failures(rows: Sequence[OutcomeRow]) -> list[dict[str, Any]]:
    """Return how often each action failed or made things worse, most often first, with the commonest
    reason."""
    bad = [row for row in rows if row.is_failure or row.verdict is Verdict.WORSE]
    listed = []
    for action, failures in _grouped(bad, _action).items():
        reasons = Counter(_reason(row) for row in failures)
        listed.append(
            {"action": action, "count": len(failures), "reason": min(reasons, key=lambda r: (-reasons[r], r))}
        )
    return sorted(listed, key=lambda failure: (-int(failure["count"]), str(failure["action"])))


def _reason(row: OutcomeRow) -> str:
    if row.is_failure:
        return row.error or f"the action {str(row.status).replace('_', ' ')}"
    return "it made the metric worse"


def effects_by_pair(rows: Sequence[OutcomeRow], own: OwnError = OwnError()) -> list[dict[str, Any]]:
    """Return the measured mean effect of each (action, goal type), in sd of the metric, positive toward the
    goal."""
    measured = _grouped((row for row in rows if row.is_measured), lambda row: (row.action, row.goal_type))
    return [
        {"action": action, "goal_type": goal_type, **_effect(rows_of_pair, own)}
        for (action, goal_type), rows_of_pair in sorted(measured.items())
    ]


def _effect(rows: Sequence[OutcomeRow], own: OwnError) -> dict[str, Any]:
    pooled = pooled_effect(
        np.array([row.effect_sd_units for row in rows]),
        np.array([row.se_sd_units for row in rows]),
        past_windows=np.array([row.past_windows for row in rows]),
        own=own,
    )
    units = [row.effect for row in rows if np.isfinite(row.effect)]
    return {
        "effect_sd_units": pooled.mean,
        "low": pooled.low,
        "high": pooled.high,
        "standard_error": pooled.standard_error,
        "between_sd": pooled.between_sd,
        "count": pooled.count,
        "mean_change": float(np.mean(units)) if units else None,
    }


def best_hours(rows: Sequence[OutcomeRow], learner: Learner | None) -> dict[str, list[dict[str, Any]]]:
    """Return each action's three best slots of the day for the goal type it served most, best first."""
    if learner is None:
        return {}
    hours_by_goal: dict[str, list[dict[str, Any]]] = {}
    for action, mine in sorted(_grouped((row for row in rows if row.is_measured), _action).items()):
        goals = Counter(row.goal_type for row in mine)
        goal_type = min(goals, key=lambda goal: (-goals[goal], goal))
        hours_by_goal[action] = [
            {
                "start_hour": slot.start_hour,
                "goal_type": goal_type,
                "effect_sd_units": slot.effect,
                "gain_sd_units": slot.gain,
                "better_ratio": slot.better_ratio,
            }
            for slot in best_slots(slot_scores(learner, goal_type, action))
        ]
    return hours_by_goal


def strategy_efficacy(rows: Sequence[OutcomeRow], own: OwnError = OwnError()) -> dict[str, dict[str, Any]]:
    """Return what each strategy achieved: its success rate and the mean effect of its measured outcomes."""
    efficacy = {}
    for strategy, mine in sorted(_grouped(rows, lambda row: row.strategy).items()):
        measured = [row for row in mine if row.is_measured]
        efficacy[strategy] = success_rate(mine)
        if measured:
            efficacy[strategy] |= _effect(measured, own) | {"measured": len(measured)}
        efficacy[strategy]["count"] = len(mine)
    return efficacy


def trend(rows: Sequence[OutcomeRow], utc_offset_s: float = 0.0, own: OwnError = OwnError()) -> list[dict[str, Any]]:
    """Return, day by day, how many outcomes there were, the share that improved and the mean effect."""
    days = _grouped(rows, lambda row: int((row.at_s + utc_offset_s) // DAY_S))
    listed = []
    for day, mine in sorted(days.items()):
        measured = [row for row in mine if row.is_measured]
        effect = _effect(measured, own) if measured else {}
        listed.append(
            {
                "day_start_s": day * DAY_S - utc_offset_s,
                "outcomes": len(mine),
                "success_rate": success_rate(mine)["rate"],
                "effect_sd_units": effect.get("effect_sd_units"),
                "low": effect.get("low"),
                "high": effect.get("high"),
            }
        )
    return listed


def settled(rows: Sequence[OutcomeRow], learner: Learner, seed: int = 0) -> list[dict[str, Any]]:
    """Return, for each goal type, which action is believed best, how surely, and what is left to gain."""
    listed = []
    for goal_type, mine in sorted(_grouped(rows, lambda row: row.goal_type).items()):
        arms = [NOTHING, *sorted({row.action for row in mine if is_action(row)})]
        state = convergence(learner, goal_type, arms, seed)
        listed.append(
            {
                "goal_type": goal_type,
                "best": state.best,
                "best_ratio": state.best_ratio,
                "value_remaining_sd": state.value_remaining_sd,
                "is_settled": state.is_settled,
            }
        )
    return listed


def contradicted_claims(rows: Sequence[OutcomeRow]) -> list[dict[str, Any]]:
    """Return the actions whose handlers claimed changes that were not measured, most often first.

    Both figures are kept; verdicts and beliefs follow the measurement.
    """
    wrong = [row for row in rows if row.contradicts]
    listed = [
        {
            "action": action,
            "count": len(mine),
            "mean_claimed_ratio": float(np.mean([row.claimed_ratio or 0.0 for row in mine])),
            "mean_measured_ratio": float(np.mean([row.measured_ratio or 0.0 for row in mine])),
        }
        for action, mine in _grouped(wrong, _action).items()
    ]
    return sorted(listed, key=lambda entry: (-int(str(entry["count"])), str(entry["action"])))


def _action(row: OutcomeRow) -> str:
    return row.action


def _grouped(rows: Iterable[OutcomeRow], key: Callable[[OutcomeRow], Key]) -> dict[Key, list[OutcomeRow]]:
    groups: dict[Key, list[OutcomeRow]] = defaultdict(list)
    for row in rows:
        groups[key(row)].append(row)
    return dict(groups)
