"""Who said what the loop may do: the configuration, a person by switch, and the loop by what was measured.

The cautious word counts, and of two that disagree the newer one: what was switched on or earned does not outlive a
change of the configuration that says otherwise.
"""

from __future__ import annotations

from collections.abc import Collection
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta

from handlers import ActionHandler, ActionsByName
from settings import Settings
from storage import Store
from storage.actions import ActionView
from storage.errors import ForeactError
from storage.facts import (
    EARNED_LEVELS,
    MODE,
    OUT_OF_DEPTH,
    PROPOSERS,
    EarnedLevel,
    OutOfDepth,
    ProposerLevel,
    Switch,
)
from storage.records import NOTHING, Action, Autonomy, GoalType, metric_of

NOT_HEARD_FOR = timedelta(days=7)
"""How long the proposals of one are refused whose acts were of no use; then it may begin anew."""


def is_switched_on(settings: Settings, store: Store) -> bool:
    """Tell whether the loop may act by itself, a kill switch aside.

    Off by switch is off until it is switched on again. On by switch counts while the configuration allows it, or did
    not allow it when it was switched on either: a person then knew and said otherwise.
    """
    configured = settings.agent.autonomous_mode
    kept = store.facts.get(MODE)
    if kept is None:
        return configured
    return kept.autonomous and (configured or not kept.configured)


def is_autonomous(settings: Settings, store: Store) -> bool:
    """Tell whether the loop may act by itself: the switch in force, and no kill switch."""
    return is_switched_on(settings, store) and not settings.kill_switch_path.exists()


def hold_everything(settings: Settings, reason: str) -> None:
    """Put the kill-switch file in place, and the reason into it where the disk has room: the file is what counts."""
    path = settings.kill_switch_path
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    path.touch()
    with suppress(OSError):
        path.write_text(f"{reason}\n", encoding="utf-8")


def release_everything(settings: Settings) -> None:
    """Take the kill-switch file away."""
    settings.kill_switch_path.unlink(missing_ok=True)


def switch(settings: Settings, store: Store, autonomous: bool, by: str) -> None:
    """Turn the loop's permission to act by itself on or off, and keep what the configuration said at the time."""
    store.facts.set(MODE, Switch(autonomous, settings.agent.autonomous_mode), by)


def note_configuration(settings: Settings, store: Store) -> None:
    """Take note that the configuration allows what a switch had allowed against it, so that it can forbid it anew."""
    kept = store.facts.get(MODE)
    if kept is not None and settings.agent.autonomous_mode and not kept.configured:
        switch(settings, store, kept.autonomous, "configuration")


def level_in_force(
    store: Store, goal_type: GoalType | None, action: ActionHandler, planned: Autonomy | None = None
) -> Autonomy:
    """Return what the loop may do with a pair: what it earned since the level was configured, else as configured.

    Where neither is so it is as `planned`, or as the action says of itself; but what cannot be undone does nothing
    alone before a person has said so. Its `highest_level` is never exceeded. What only reports asks nobody: it may
    always, unless it is configured to observe.
    """
    configured = action.configured_level
    if action.informs_only:
        is_held = Autonomy.OBSERVE in {configured, action.highest_level}
        return Autonomy.OBSERVE if is_held else Autonomy.AUTO
    own = min(Autonomy.APPROVE, Autonomy(action.level), key=_rank) if _is_unasked(action) else Autonomy(action.level)
    level = Autonomy(configured or planned or own)
    earned = store.facts.get(EARNED_LEVELS.of(f"{goal_type}:{action.name}")) if goal_type else None
    if earned is not None and earned.configured == configured:
        level = earned.level
    return min(level, Autonomy(action.highest_level or level), key=_rank)


def _rank(level: Autonomy) -> int:
    return level.rank


def _is_unasked(action: ActionHandler) -> bool:
    """Tell whether an action is code of this installation that cannot be undone: the code has no say in that."""
    return bool(action.source) and not action.reversible


WORLD = "world"
"""What is out of its depth where all is."""


def level_now(
    store: Store,
    goal_type: GoalType | None,
    action: ActionHandler,
    metrics: Collection[str],
    planned: Autonomy | None = None,
) -> Autonomy:
    """Return the level in force of a pair for goals on some metrics: where it is out of its depth it asks first."""
    level = level_in_force(store, goal_type, action, planned)
    return min(level, Autonomy.APPROVE, key=_rank) if asks_first(store, goal_type, action, metrics) else level


def asks_first(
    store: Store, goal_type: GoalType | None, action: ActionHandler, metrics: Collection[str] = ()
) -> OutOfDepth | None:
    """Return why an action asks first although its level may allow more; None where it does not, or only reports.

    Where a person gave it the level `auto`, harm by its own acts alone makes it ask.
    """
    if action.informs_only:
        return None
    held, own = out_of_depth(store), f"action:{goal_type}:{action.name}"
    is_given = action.configured_level == "auto"
    keys = (own,) if is_given else (WORLD, *(f"metric:{metric}" for metric in metrics), own)
    return next((held[key] for key in keys if key in held), None)


def why_asked(actions: ActionsByName, store: Store, action: Action) -> str:
    """Return why an action waits that would else not have to; empty where its level alone says so."""
    found = asks_first(store, action.goal_type, actions[action.name], _metrics_of(store, action))
    return found.reason if found else ""


def _metrics_of(store: Store, action: Action) -> tuple[str, ...]:
    """Return the metric of an action's goal, where any is out of its depth: else nobody asks."""
    if not any(key.startswith("metric:") for key in out_of_depth(store)):
        return ()
    goal = None if action.series else store.goals.get(action.goal_id)
    series = action.series or (goal.goal.series if goal else None)
    return (metric_of(series),) if series else ()


def out_of_depth(store: Store) -> dict[str, OutOfDepth]:
    """Return what is out of its depth now, by `action:GOAL_TYPE:NAME`, `metric:NAME` or `world`."""
    now = store.clock()
    known = store.facts.matching(OUT_OF_DEPTH)
    return {key: each for key, each in known.items() if not each.is_over and now < each.until}


def last_out_of_depth(store: Store, key: str) -> OutOfDepth | None:
    """Return when something was last found out of its depth, over or not; None where it never was."""
    return store.facts.get(OUT_OF_DEPTH.of(key))


def lose_depth(store: Store, key: str, until: datetime, reason: str) -> None:
    """Have what is out of its depth ask first until there was calm, or a person says otherwise."""
    store.facts.set(OUT_OF_DEPTH.of(key), OutOfDepth(store.clock(), until, reason))
    store.audit.append("loop", "out of depth", key, {"reason": reason, "until": until.isoformat()})


def regain_depth(store: Store) -> None:
    """Note in the audit trail what had calm for long enough."""
    for key, each in store.facts.matching(OUT_OF_DEPTH).items():
        if not each.is_over and store.clock() >= each.until:
            _end(store, key, each, "loop", "nothing of the kind was found since")


def trust_again(store: Store, key: str, by: str, note: str) -> None:
    """Take a person's word that something is in its depth; raises `not_out_of_depth`."""
    held = out_of_depth(store)
    if key not in held:
        known = ", ".join(sorted(held)) or "nothing is"
        raise ForeactError("not_out_of_depth", f"{key} is not out of its depth.", f"What is: {known}.", status=404)
    _end(store, key, held[key], by, note)


def _end(store: Store, key: str, held: OutOfDepth, by: str, note: str) -> None:
    store.facts.set(OUT_OF_DEPTH.of(key), replace(held, until=store.clock(), is_over=True), by)
    store.audit.append(by, "in depth again", key, {"note": note})


def as_allowed_now(actions: ActionsByName, store: Store, view: ActionView) -> ActionView:
    """Return an action that waits, at no higher a level than is in force now: a word since it was planned counts.

    An undo keeps its level: it takes back what was allowed.
    """
    action = view.action
    level = level_now(store, action.goal_type, actions[action.name], _metrics_of(store, action), action.level)
    if action.proposed_by:
        level = min(level, proposer_level(store, action.proposed_by).level, key=_rank)
    if action.undo_of is not None or level.rank >= action.level.rank:
        return view
    return replace(view, action=action.model_copy(update={"level": level}))


def asks_no_more(settings: Settings, actions: ActionsByName, store: Store, view: ActionView) -> bool:
    """Tell whether an action waits for an answer only since something was out of its depth that is not any more.

    What others proposed, an undo, and a sequence keep the level that they were planned with.
    """
    action = view.action
    if view.approval is not None or action.proposed_by or action.undo_of is not None or action.sequence_id:
        return False
    was_lost = any(each.since <= action.created_at < each.until for each in store.facts.matching(OUT_OF_DEPTH).values())
    if (
        action.level is not Autonomy.APPROVE
        or not was_lost
        or out_of_depth(store)
        or not is_autonomous(settings, store)
    ):
        return False
    return level_now(store, action.goal_type, actions[action.name], _metrics_of(store, action)) is Autonomy.AUTO


def as_it_stands(settings: Settings, actions: ActionsByName, store: Store, view: ActionView) -> ActionView:
    """Return an action that has not begun as a person finds it: what may not be done alone waits for an answer.

    While the mode is off that is everything, undos as well, but doing nothing.
    """
    action = view.action
    if view.receipt is not None or view.intent is not None or action.name == NOTHING:
        return view
    allowed = as_allowed_now(actions, store, view)
    asks_nobody = is_switched_on(settings, store) or actions[action.name].informs_only
    if allowed.action.level is not Autonomy.AUTO or asks_nobody:
        return allowed
    return replace(allowed, action=allowed.action.model_copy(update={"level": Autonomy.APPROVE}))


def proposer_level(store: Store, proposer: str) -> ProposerLevel:
    """Return what the proposals of one may lead to now: approve at first, and again a week after they were refused."""
    now = store.clock()
    kept = store.facts.get(PROPOSERS.of(proposer))
    if kept is None:
        return ProposerLevel(Autonomy.APPROVE, now, "nothing it proposed was measured yet")
    if kept.level is Autonomy.OBSERVE and now >= kept.since + NOT_HEARD_FOR:
        return ProposerLevel(Autonomy.APPROVE, kept.since + NOT_HEARD_FOR, "it begins anew after a week")
    return kept


def counts_for(store: Store, action: Action) -> bool:
    """Tell whether a proposal counts for its proposer: of one that was refused for a while what came after does.

    What came before a key was revoked does not count for whoever has the name now.
    """
    kept = store.facts.get(PROPOSERS.of(action.proposed_by))
    if kept is None:
        return True
    return not _is_forgotten(kept, action) and (kept.level is not Autonomy.OBSERVE or action.created_at >= kept.since)


def _is_forgotten(kept: ProposerLevel, action: Action) -> bool:
    return kept.forgotten_until is not None and action.created_at <= kept.forgotten_until


def judge_proposer(store: Store, proposer: str, level: Autonomy, reason: str) -> None:
    """Put in force what the proposals of one may lead to from now on."""
    kept = store.facts.get(PROPOSERS.of(proposer))
    forgotten_until = kept.forgotten_until if kept else None
    store.facts.set(PROPOSERS.of(proposer), ProposerLevel(level, store.clock(), reason, forgotten_until))


def forget_proposer(store: Store, proposer: str, by: str) -> None:
    """Let the name of a key that ended begin anew: who gets it next has earned nothing by it."""
    kept = store.facts.get(PROPOSERS.of(proposer))
    mine = [view.action for view in store.actions.proposed() if view.action.proposed_by == proposer]
    if all(kept is not None and _is_forgotten(kept, action) for action in mine):
        return
    now, reason = store.clock(), "what its key earned ended with that key"
    store.facts.set(PROPOSERS.of(proposer), ProposerLevel(Autonomy.APPROVE, now, reason, now), by)
    store.audit.append(by, "forget proposer", f"proposer {proposer}", {"reason": reason})


def earn(store: Store, goal_type: GoalType, action: ActionHandler, level: Autonomy) -> None:
    """Put the level in force that a pair earned, or fell to, from the level configured now."""
    configured = Autonomy(action.configured_level) if action.configured_level else None
    store.facts.set(EARNED_LEVELS.of(f"{goal_type}:{action.name}"), EarnedLevel(level, configured))
