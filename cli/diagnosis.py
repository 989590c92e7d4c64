"""Why nothing happens: the chain from samples to what was learned, walked to the first link that does not hold.

Each walk ends with one cause and what mends it: a command, or a line of foreact.toml.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from difflib import get_close_matches
from typing import Literal

from api.queries.forecasts import NEEDED_SAMPLES
from handlers import ActionsByName
from handlers.contract.action import AMOUNT
from settings import Settings
from storage.actions import ActionView
from storage.facts import Wait, WaitCode
from storage.records import NOTHING, Breach, Decision, GoalView, Objective, Outcome, ReceiptStatus, Verdict, metric_of
from storage.samples import SeriesInfo
from tasks.execute import held_by_level
from tasks.text import chance, moment, percent, span, value

Finding = Literal["ok", "note", "wrong"]
LATELY = timedelta(days=1)
MISSED_CYCLES = 4
"""So many may be missed: one that is long takes the place of others."""
DECIDED = (Verdict.IMPROVED, Verdict.NO_EFFECT, Verdict.WORSE)


@dataclass(frozen=True)
class Diagnosis:
    """What holds one part of the loop up, and the command or line of foreact.toml that mends it; or that it is well."""

    finding: Finding
    text: str
    remedy: str = ""


@dataclass(frozen=True)
class BrokenOff:
    """The newest cycle, which began and did not end: when the last one ended, and the stages that it got through."""

    last_whole_at: datetime
    stages: Sequence[str]


@dataclass(frozen=True)
class LoopState:
    """What there is of every link, as it was read: nothing is asked of a store or a clock from here on.

    `by_people` are the names of the objectives that a person gave, in the file or by hand; `spans` the series with
    samples in the last day, `refusals` the reason for every series of the newest cycle that has no forecast, else None;
    `decisions` the newest of each open goal; `waits` what actions that are due wait for; `windows` when the window of
    each act that is done and not measured is over.
    """

    settings: Settings
    now: datetime
    is_running: bool
    is_switched_on: bool
    known_series: int
    spans: Sequence[SeriesInfo]
    objectives: Sequence[Objective]
    by_people: Collection[str]
    cycles: int
    broken_off: BrokenOff | None
    refusals: Mapping[str, str | None]
    breaches: Sequence[Breach]
    open_goals: Sequence[GoalView]
    ended_goals: int
    decisions: Sequence[Decision]
    pending: Sequence[ActionView]
    waits: Mapping[str, Wait]
    finished: Sequence[ActionView]
    actions: ActionsByName
    windows: Mapping[str, datetime]
    outcomes: Sequence[Outcome]

    @property
    def start(self) -> str:
        """Return the command that has the next turn come."""
        return "foreact cycle" if self.is_running else "foreact up"


def why_no_goals(state: LoopState) -> Diagnosis:
    """Return what keeps goals from being set, for all or for one objective that a person gave; or that all is well."""
    count = len(state.open_goals)
    if (cause := next(filter(None, _links_to_goals(state)), None)) is not None:
        return replace(cause, text=f"{count} open; {cause.text}") if count else cause
    if not count:
        return _likely(state, [each.name for each in state.objectives])
    told, with_goal = f"{count} open: foreact goals", {view.goal.objective for view in state.open_goals}
    others = [each.name for each in _given(state) if each.name not in with_goal]
    if not others:
        return Diagnosis("ok", told)
    beside = _likely(state, others)
    return replace(beside, text=f"{told}; beside them {beside.text}")


def _given(state: LoopState) -> list[Objective]:
    """Return the objectives that a person gave: each is to come true, whatever the defaults of this host find."""
    return [each for each in state.objectives if each.name in state.by_people]


def _links_to_goals(state: LoopState) -> Iterator[Diagnosis | None]:
    yield _samples(state)
    yield _enough(state)
    yield _named(state)
    if state.cycles == 0:
        yield Diagnosis("note", "no cycle has run yet", state.start)
    if not state.settings.forecasting.goal_setter.auto_goal_setting:
        remedy = "auto_goal_setting = true in [forecasting.goal_setter]"
        yield Diagnosis("note", "setting goals is switched off", remedy)
    yield _broken_off(state)
    yield _each_given(state)
    yield _forecast(state)


def _broken_off(state: LoopState) -> Diagnosis | None:
    """Return that cycles begin and do not end, where a stack runs and several should have ended by now."""
    newest = state.broken_off
    if newest is None or not state.is_running:
        return None
    if (state.now - newest.last_whole_at).total_seconds() < MISSED_CYCLES * state.settings.analysis_interval_s:
        return None
    where = f"after {newest.stages[-1]}" if newest.stages else "in its first stage"
    text = f"no cycle has ended since {moment(newest.last_whole_at)}; the newest one stopped {where}"
    return Diagnosis(
        "wrong",
        text,
        "the flow run in the Prefect UI, or .foreact/logs, says why; after an upgrade run foreact up anew",
    )


def _samples(state: LoopState) -> Diagnosis | None:
    if state.spans:
        return None
    if state.known_series:
        text = f"{state.known_series} series are known, but nothing was recorded in the last day"
        remedy = "foreact up" if not state.is_running else "foreact doctor, where its line `sources` says what fails"
        return Diagnosis("wrong" if state.is_running else "note", text, remedy)
    how = "foreact up samples this host; foreact import FILE brings in history"
    if state.is_running:
        how = "enabled = true in [sampler], or add [sources.prometheus]; foreact import FILE brings in history"
    return Diagnosis("note", "nothing is recorded", how)


def _enough(state: LoopState) -> Diagnosis | None:
    if any(reason is None for reason in state.refusals.values()):
        return None
    best = max(state.spans, key=lambda info: info.count)
    if best.count >= NEEDED_SAMPLES:
        return None
    wait = f"about {span((NEEDED_SAMPLES - best.count) * best.interval_s)} to wait" if best.interval_s else "wait"
    text = f"no series has {NEEDED_SAMPLES} samples of the last day yet; {best.series} has {best.count}"
    return Diagnosis("note", text, f"{wait}, or foreact import FILE brings in history")


def _named(state: LoopState) -> Diagnosis | None:
    """Return what is wrong where no objective speaks of anything that is recorded."""
    if not state.objectives:
        return Diagnosis("note", "there are no objectives", "use_default_objectives = true, or add [[objectives]]")
    if _heard(state):
        return None
    metrics = sorted({metric_of(info.series) for info in state.spans})
    wanted = ", ".join(sorted({each.metric for each in state.objectives})[:3])
    near = next(filter(None, (_nearest(each.metric, metrics) for each in state.objectives)), None)
    recorded = ", ".join(dict.fromkeys([*filter(None, [near]), *metrics[:3]]))
    text = f"no objective names a recorded metric: objectives name {wanted}; recorded is {recorded}"
    return Diagnosis("note", text, f'metric = "{near or metrics[0]}" in [[objectives]]')


def _nearest(metric: str, recorded: Sequence[str]) -> str | None:
    """Return the recorded metric that was probably meant; None where none is near."""
    return next(iter(get_close_matches(metric_of(metric), recorded, n=1)), None)


def _heard(state: LoopState) -> dict[str, list[Objective]]:
    """Return the objectives of each recorded series that some objective names."""
    parts = {info.series: [each for each in state.objectives if _means(each, info.series)] for info in state.spans}
    return {series: objectives for series, objectives in parts.items() if objectives}


def _means(objective: Objective, series: str) -> bool:
    """Tell whether an objective looks at a series, or at a ratio that the series is the upper part of."""
    if objective.matches(series):
        return True
    return objective.denominator is not None and metric_of(objective.metric) == metric_of(series)


def _each_given(state: LoopState) -> Diagnosis | None:
    """Return what is wrong with the first objective of a person that nothing can come of."""
    causes = ((each, _hears_nothing(state, each) or _unseen(state, each)) for each in _given(state))
    troubled = [(objective, cause) for objective, cause in causes if cause]
    if not troubled:
        return None
    objective, cause = troubled[0]
    more = f"; {len(troubled) - 1} more objectives have such a trouble" if len(troubled) > 1 else ""
    return replace(cause, text=f"{objective.name}: {cause.text}{more}")


def _hears_nothing(state: LoopState, objective: Objective) -> Diagnosis | None:
    if any(_means(objective, info.series) for info in state.spans):
        return None
    text = f"nothing of {objective.measured} was recorded in the last day"
    if objective.kind.judges_runs:
        remedy = f"[sources.prefect_runs] in foreact.toml; {objective.deployment} is to be named as Prefect shows it"
        return Diagnosis("note", text, remedy)
    recorded = sorted({metric_of(info.series) for info in state.spans})
    near = _nearest(objective.metric, recorded)
    remedy = f'metric = "{near}" in [[objectives]]' if near else f"send {objective.metric}, or correct `metric`"
    return Diagnosis("note", text, remedy)


def _unseen(state: LoopState, objective: Objective) -> Diagnosis | None:
    """Return why nothing that an objective looks at has a forecast, where goals for it go by one."""
    if not objective.kind.has_breach_forecast:
        return None
    series = {info.series for info in state.spans if _means(objective, info.series)}
    series |= {each for each in state.refusals if objective.matches(each)}
    return _unforeseen(state, series)


def _forecast(state: LoopState) -> Diagnosis | None:
    """Return why nothing that any objective names has a forecast."""
    cause = _unforeseen(state, _heard(state).keys())
    return cause and replace(cause, text=f"nothing that an objective looks at has a forecast: {cause.text}")


def _unforeseen(state: LoopState, series: Set[str]) -> Diagnosis | None:
    """Return why none of these series has a forecast."""
    meant = {each: state.refusals[each] for each in series if each in state.refusals}
    if not meant:
        names = ", ".join(sorted(series)[:3])
        return Diagnosis("note", f"the newest cycle did not forecast {names} yet", state.start)
    reasons = {each: reason for each, reason in meant.items() if reason is not None}
    if len(reasons) < len(meant):
        return None
    name, reason = min(reasons.items())
    return Diagnosis("note", f"no forecast of {name}: {reason}", "foreact forecast")


def _likely(state: LoopState, names: Collection[str]) -> Diagnosis:
    """Return how far the likeliest breach of the named objectives is from a goal."""
    by_name = {each.name: each for each in state.objectives if each.name in names}
    known = [each for each in state.breaches if each.objective in by_name]
    ended = f"; {state.ended_goals} ended before" if state.ended_goals else ""
    if not known:
        return Diagnosis("ok", f"none is needed: no objective is foretold to break{ended}", "foreact forecast")
    top = max(known, key=lambda each: (each.is_breached_now, each.probability))
    objective = by_name[top.objective]
    if not top.is_breached_now and top.probability < objective.probability_threshold:
        text = (
            f"none is needed: likeliest is that {top.series} breaks {top.objective}, at {chance(top.probability)}; "
            f"a goal is set from {percent(objective.probability_threshold)}{ended}"
        )
        lower = f"to hear of it earlier: probability_threshold = {_rounded(top.probability)} in [[objectives]]"
        return Diagnosis("ok", text, lower)
    text = f"{top.series} breaks {top.objective} {'now' if top.is_breached_now else chance(top.probability)}"
    return Diagnosis("note", f"{text}; the next cycle sets a goal unless one ended just now{ended}", state.start)


def _rounded(probability: float) -> str:
    return value(max(0.01, round(probability, 2)), digits=2)


def why_not_acted(state: LoopState) -> Diagnosis:
    """Return what keeps something from being done for an open goal, or that nothing does."""
    done = [view for view in state.finished if view.touched is not None]
    told = f"{len(done)} carried out in the last day"
    served = {view.action.goal_id for view in done}
    idle = [view for view in state.open_goals if not view.goal.informs and view.goal.goal_id not in served]
    if (cause := next(filter(None, _links_to_acts(state, idle)), None)) is not None:
        return replace(cause, text=f"{told}; {cause.text}") if done else cause
    if done:
        return Diagnosis("ok", f"{told}: foreact actions")
    if not state.open_goals:
        return Diagnosis("ok", "there is no open goal to act for")
    return Diagnosis("ok", "the open goals only tell what keeps happening; nothing is to be done for them")


def _links_to_acts(state: LoopState, idle: Sequence[GoalView]) -> Iterator[Diagnosis | None]:
    """Walk to what holds up the goals that nothing was done for; what waits holds up any."""
    stop = state.settings.kill_switch_path
    if stop.exists():
        yield Diagnosis("note", "the kill switch is on", "foreact mode release --note REASON")
    yield _waiting(state)
    if not idle:
        return
    goal_ids = {view.goal.goal_id for view in idle}
    tried = [view for view in state.finished if view.action.goal_id in goal_ids]
    yield _dry(state, tried)
    yield _usable(state)
    yield _ended(tried, [view for view in state.pending if view.action.goal_id in goal_ids])
    yield _chosen(state, [each for each in state.decisions if each.goal_id in goal_ids])


def _waiting(state: LoopState) -> Diagnosis | None:
    """Return what the action waits for that is to be answered, or comes, first."""
    wanted = {view.goal.goal_id for view in state.open_goals}
    alive = [view for view in state.pending if view.action.goal_id in wanted and view.action.expires_at > state.now]
    pending = [view for view in alive if view.action.name != NOTHING]
    if not pending:
        return None
    view = min(pending, key=lambda each: each.action.due_at)
    action, more = view.action, f" (and {len(pending) - 1} more)" if len(pending) > 1 else ""
    name = f"{action.name} ({action.action_id}){more}"
    wait = state.waits.get(action.action_id) or held_by_level(view, state.is_switched_on)
    if wait is not None:
        return Diagnosis("note", f"{name}: {wait.reason}", remedy_of_wait(wait, view))
    if action.due_at > state.now:
        return Diagnosis("note", f"{name} is due at {moment(action.due_at)}", f"wait, or foreact goal {action.goal_id}")
    return Diagnosis("note", f"{name} is due and nobody carries it out", state.start)


_REMEDIES = {
    WaitCode.KILL_SWITCH: "remove the file that foreact doctor names",
    WaitCode.APPROVAL: 'foreact approve {id}; for good: level = "auto" in [actions.{name}]',
    WaitCode.MODE_OFF: "foreact mode on, or foreact approve {id}",
    WaitCode.RECOMMENDATION: 'foreact approve {id}; for good: level = "approve" in [actions.{name}]',
    WaitCode.MAINTENANCE: "wait, or change maintenance in [executor]",
    WaitCode.SILENCE: "foreact doctor, where its line `sources` says what fails",
    WaitCode.UNDO_FAILED: "foreact approve {id} once it can be undone again: foreact doctor --drill",
    WaitCode.DOUBT: "wait for the measurement, or foreact approve {id}",
    WaitCode.CONCURRENT_GOALS: "wait, or a higher max_concurrent_goals in [executor]",
    WaitCode.EARLIER_STEP: "wait: the step before it is not done, or does not work yet",
    WaitCode.FACTS: "wait, or see foreact doctor for what it requires",
    WaitCode.FAILURES: "foreact actions shows why it failed",
    WaitCode.COOLDOWN: "wait, or a lower cooldown_seconds in [actions.{name}]",
    WaitCode.ACTION_LIMIT: "wait, or more in rate_limits of [actions.{name}]",
    WaitCode.LIMIT_OF_ALL: "wait, or more in rate_limits of [executor]",
    WaitCode.BLAST_RADIUS: "wait, or a higher blast_radius in [executor]",
    WaitCode.BLAST_RADIUS_LABELS: "wait, or more in blast_radius_labels of [executor]",
}


def remedy_of_wait(wait: Wait, view: ActionView) -> str:
    """Return the command or line that mends what an action waits for."""
    remedy = "foreact actions {id}" if wait.code is None else _REMEDIES[wait.code]
    return remedy.format(id=view.action.action_id, name=view.action.name)


def _dry(state: LoopState, tried: Sequence[ActionView]) -> Diagnosis | None:
    dry = [view for view in tried if view.receipt and view.receipt.status is ReceiptStatus.DRY_RUN]
    if not dry:
        return None
    text = f"{len(dry)} actions of the last day were dry runs"
    if state.settings.executor.dry_run:
        return Diagnosis("note", text, "dry_run = false in [executor]")
    return Diagnosis("note", text, f"dry_run = false in [actions.{dry[-1].action.name}]")


def _usable(state: LoopState) -> Diagnosis | None:
    """Return what is missing where no action is ready that changes anything."""
    acting = {name: each for name, each in state.actions.items() if not each.informs_only}
    if any(each.enabled and each.is_ready for each in acting.values()):
        return None
    lacking = [name for name, each in sorted(acting.items()) if each.enabled]
    if not lacking:
        return Diagnosis("note", "every action is disabled", "enabled = true in [actions.NAME]")
    first = acting[lacking[0]]
    needs = ", ".join(f"{name} needs {' or '.join(acting[name].needs)}" for name in lacking[:3])
    return Diagnosis("note", f"no action is ready: {needs}", f"{first.needs[0]} = … in [actions.{lacking[0]}]")


def _ended(tried: Sequence[ActionView], pending: Sequence[ActionView]) -> Diagnosis | None:
    """Return why the newest action that a person or a guard could have let through did not run."""
    undone = [view for view in tried if view.receipt is not None and view.action.name != NOTHING]
    if undone and (last := undone[-1]).receipt is not None:
        text = f"{last.action.name} was {str(last.receipt.status).replace('_', ' ')}: {last.receipt.detail}"
        return Diagnosis("note", text.partition("\n")[0], f"foreact actions {last.action.action_id}")
    late = [view for view in pending if view.action.name != NOTHING]
    if late:
        view = late[-1]
        text = f"{view.action.name} ({view.action.action_id}) expired at {moment(view.action.expires_at)} unanswered"
        return Diagnosis("note", text, f'level = "auto" in [actions.{view.action.name}], or answer sooner')
    return None


def _chosen(state: LoopState, decisions: Sequence[Decision]) -> Diagnosis:
    """Return what was decided for the most important of these goals."""
    if not decisions:
        return Diagnosis("note", "nothing was decided for the open goals yet", state.start)
    waited = [each for each in decisions if each.chosen.action == NOTHING]
    decision = (waited or list(decisions))[0]
    blocked = f" Ruled out: {', '.join(decision.blocked_by[:3])}." if decision.blocked_by else ""
    text = f"doing nothing was worth most for {decision.goal_id}: {decision.explanation}{blocked}"
    return Diagnosis("note", text, f"foreact goal {decision.goal_id}")


def why_nothing_learned(state: LoopState) -> Diagnosis:
    """Return why no effect is known, or how many are."""
    decided = [each for each in state.outcomes if each.verdict in DECIDED and each.action != NOTHING]
    if decided:
        return Diagnosis("ok", f"{len(decided)} effects measured: foreact insights")
    return next(filter(None, _links_to_learning(state)))


def _links_to_learning(state: LoopState) -> Iterator[Diagnosis | None]:
    if not state.settings.executor.enable_learning:
        yield Diagnosis("note", "learning is switched off", "enable_learning = true in [executor]")
    yield _undecided(state)
    if state.windows:
        ends_at = min(state.windows.values())
        if ends_at > state.now:
            text = f"{len(state.windows)} acts are being measured; the first window is over at {moment(ends_at)}"
            yield Diagnosis("note", text, f"wait {span((ends_at - state.now).total_seconds())}")
        else:
            text = f"{len(state.windows)} windows are over, and nobody measured them"
            yield Diagnosis("note", text, state.start)
    if any(AMOUNT in each.action.params for each in state.finished):
        text = "amounts were set, and nothing says what they change of a metric, so no effect could be measured"
        yield Diagnosis("note", text, "name `driver` and `capacity` of the objective that they are for")
    yield Diagnosis("note", "nothing was done whose effect could be measured", "see the line `acts` above")


def _undecided(state: LoopState) -> Diagnosis | None:
    """Return why the outcomes that there are decide nothing."""
    tried = [each for each in state.outcomes if each.action != NOTHING]
    if not tried:
        return None
    verdicts = Counter(each.verdict for each in tried)
    verdict, count = verdicts.most_common(1)[0]
    reasons = Counter(each.reason for each in tried if each.verdict is verdict and each.reason)
    reason = f": {reasons.most_common(1)[0][0]}" if reasons else ""
    remedy = {
        Verdict.CONFOUNDED: "max_concurrent_goals = 1 in [executor], so that acts do not overlap",
        Verdict.INCONCLUSIVE: "wait for more acts; foreact evaluate --placebo says how small an effect is seen here",
        Verdict.UNKNOWN: "foreact forecast shows which metrics have forecasts to compare with",
    }.get(verdict, "foreact actions")
    return Diagnosis("note", f"{count} of {len(tried)} outcomes are {verdict}{reason}", remedy)
