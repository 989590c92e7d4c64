"""Judge a change of the configuration: both over one history, and by the decisions that were logged here."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from flows.backtest import usable_actions
from flows.prometheus_history import PrometheusHistory, PrometheusQuestion, read_history, source_options
from flows.reports.pull_request import PullRequestReview, key_changes
from flows.reports.results import BacktestReport
from flows.side_by_side import Replayed
from flows.wiring import open_configured_store
from handlers import ActionsByName
from settings import Settings
from storage import Store
from storage.records import Autonomy, Decision
from storage.store import address_file
from tasks.learn.knowledge import observations_of
from tasks.learn.reports.configured_policy import ConfiguredPolicy, shares_of
from tasks.learn.reports.off_policy import (
    CrossFitted,
    LoggedDecision,
    PolicyChange,
    evaluate_change,
    propensities_of,
)

DECISIONS_LOOKED_AT = 200
TURNS = 360
"""A month is gone through in two-hourly turns unless something else is asked for."""
EARLIER = timedelta(days=7)
"""What a loop that runs knows of the time before: its working window."""


@dataclass(frozen=True)
class NamedSettings:
    """A configuration and the name of its file."""

    settings: Settings
    name: str


def replays_of_prometheus(
    configurations: list[NamedSettings],
    asked: PrometheusQuestion,
    start: datetime,
    end: datetime,
    every_s: float | None,
) -> tuple[list[Replayed], tuple[str, ...]]:
    """Read what each configuration asks Prometheus for, alike questions once, and return it to be replayed.

    The week before `start` is read as well, where it is still kept. Also returns what is to be said of the queries. A
    configuration without queries takes the other's. Raises what reading raises.
    """
    histories: dict[str, PrometheusHistory] = {}
    replays = []
    for each in configurations:
        options = source_options(each.settings, _with_queries(asked, each, configurations))
        key = repr(sorted(options.items()))
        if key not in histories:
            histories[key] = read_history(options, start - EARLIER, end)
        pace_s = every_s or max(each.settings.analysis_interval_s, (end - start).total_seconds() / TURNS)
        replays.append(Replayed(each.settings, each.name, histories[key].samples, start, end, pace_s))
    return replays, tuple(dict.fromkeys(note for each in histories.values() for note in each.notes))


def _with_queries(
    asked: PrometheusQuestion, own: NamedSettings, configurations: list[NamedSettings]
) -> PrometheusQuestion:
    configured = [each.settings.sources.get("prometheus", {}).get("queries") for each in (own, *configurations)]
    return replace(asked, queries=asked.queries or next(filter(None, configured), {}))


def review_of(
    before: Settings, after: Settings, reports: tuple[BacktestReport, BacktestReport], notes: tuple[str, ...] = ()
) -> PullRequestReview:
    """Return what is to be said of a change, given the backtests of both, in the same order."""
    logged, note = logged_change(before, after)
    return PullRequestReview(*reports, key_changes(before.shown(), after.shown()), logged, note, notes)


def logged_change(before: Settings, after: Settings) -> tuple[PolicyChange | None, str]:
    """Estimate the change on the decisions that were logged here; None, and why, where that cannot be done."""
    file = after.database_path
    if not file.exists() and not address_file(file).exists():
        return None, "No decision was logged here, so nothing is said of what the actions would have changed."
    with open_configured_store(after) as store:
        return change_on_log(store, before, after)


def change_on_log(store: Store, before: Settings, after: Settings) -> tuple[PolicyChange | None, str]:
    """Estimate the change on the newest decisions of a store; None, and why, where that cannot be done."""
    decided = store.outcomes.decided(DECISIONS_LOOKED_AT)
    zone = ZoneInfo(after.forecasting.pattern_recognizer.timezone)
    decision_of = {outcome.outcome_id: decision for outcome, decision in decided}
    seen = observations_of([outcome for outcome, _ in decided], store.outcomes.acted_on(), zone)
    logged = [LoggedDecision(each, propensities_of(decision_of[each.outcome_id])) for each in seen]
    usable = [each for each in logged if each.propensities.get(each.observation.action, 0.0) > 0]
    if not usable:
        return None, _why_none(len(decided), len(logged))
    policies = _policies(before, after)
    shares = [
        [_shares(store, policy, decision_of[each.observation.outcome_id], each) for each in usable]
        for policy in policies
    ]
    left_out = len(logged) - len(usable)
    note = f"{left_out} more decisions have no probability for what was done, and are left out." if left_out else ""
    return evaluate_change(CrossFitted(usable), *shares), note


def _why_none(decided: int, measured: int) -> str:
    if not decided:
        return "No decision that was logged here has an outcome yet."
    if not measured:
        return f"Of {decided} logged decisions no outcome could be measured yet."
    return f"Of {measured} logged decisions none has a probability above 0 for what was done."


def _shares(store: Store, policy: ConfiguredPolicy, decision: Decision, logged: LoggedDecision) -> dict[str, float]:
    view = store.goals.get(decision.goal_id)
    severity = view.goal.severity if view is not None else 0.0
    weighed = (decision.chosen, *decision.alternatives)
    return shares_of(policy, weighed, logged.observation.goal_type, severity)


def _policies(before: Settings, after: Settings) -> tuple[ConfiguredPolicy, ConfiguredPolicy]:
    """Return what decides the draw in two configurations; an act that neither knows is allowed in both."""
    known = [usable_actions(each) for each in (before, after)]
    costs = [{name: each.cost for name, each in actions.items()} for actions in known]
    changed = {name for name in costs[0].keys() & costs[1].keys() if costs[0][name] != costs[1][name]}
    one, other = (
        ConfiguredPolicy(
            _allowed(settings, actions),
            {name: cost for name, cost in own.items() if name in changed},
            settings.executor.holdout_ratio,
            frozenset(costs[0].keys() | costs[1].keys()),
        )
        for settings, actions, own in zip((before, after), known, costs, strict=True)
    )
    return one, other


def _allowed(settings: Settings, actions: ActionsByName) -> dict[str, frozenset[str]]:
    """Return the goal types that each action may serve beyond a recommendation; none where the agent may not act."""
    if not settings.agent.autonomous_mode:
        return {}
    return {
        name: frozenset(map(str, each.goal_types))
        for name, each in actions.items()
        if each.enabled and not each.informs_only and _may_act(each.level, each.highest_level)
    }


def _may_act(level: str, highest: str | None) -> bool:
    ranks = [Autonomy(each).rank for each in (level, highest) if each]
    return min(ranks) >= Autonomy.APPROVE.rank
