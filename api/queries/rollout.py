"""How far each action may go for each type of goal: its level, the evidence, and what is missing for the next one."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from api.facade import Facade
from api.models.learned import Rollout, RolloutPair
from handlers import ActionsByName, discover_actions
from storage import Store
from tasks.configured_actions import configured_actions, declared_actions
from tasks.learn.outcome_rows import OutcomeRow
from tasks.learn.publish import PairStanding, standings

OUTCOMES_LOOKED_AT = 5_000


@dataclass(frozen=True)
class _Known:
    """What a reader has of a turn's context."""

    store: Store
    actions: ActionsByName
    tick: datetime


def rollout(facade: Facade) -> Rollout:
    """Return where each pair stands, by the rule by which the loop promotes and demotes."""
    settings = facade.in_force
    registered = {**discover_actions(settings.folder), **declared_actions(settings)}
    known = _Known(facade.store, configured_actions(settings, registered), facade.clock())
    harmful = facade.store.outcomes.harmful()
    rows = [OutcomeRow.of(each, harmful) for each in facade.store.outcomes.targets(newest=OUTCOMES_LOOKED_AT)]
    note = None if settings.executor.enable_learning else "Learning is off (executor.enable_learning): levels stay."
    return Rollout(pairs=[_pair(each) for each in standings(known, rows)], note=note)


def _pair(standing: PairStanding) -> RolloutPair:
    evidence = standing.evidence.to_record()
    for key in ("action", "goal_type"):
        evidence.pop(key)
    return RolloutPair(
        goal_type=standing.goal_type or None,
        action=standing.action,
        level=standing.level,
        next_level=standing.next_level,
        missing=list(standing.missing),
        reason=standing.reason,
        evidence=evidence,
    )
