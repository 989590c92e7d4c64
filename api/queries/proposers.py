"""Who proposes, and what came of it."""

from __future__ import annotations

from collections import defaultdict

from api.facade import Facade
from api.models.proposals import Proposer, Proposers
from storage.actions import ActionView
from tasks.authority import proposer_level


def proposers(facade: Facade) -> Proposers:
    """Return those who proposed anything, by name, with what their proposals may lead to now."""
    unmeasured = {view.action.action_id for view in facade.store.actions.unmeasured()}
    views = defaultdict[str, list[ActionView]](list)
    for view in facade.store.actions.proposed():
        views[view.action.proposed_by].append(view)
    return Proposers(proposers=[_proposer(facade, name, views[name], unmeasured) for name in sorted(views)])


def _proposer(facade: Facade, name: str, views: list[ActionView], unmeasured: set[str]) -> Proposer:
    standing = proposer_level(facade.store, name)
    done = [view for view in views if view.touched is not None]
    return Proposer(
        name=name,
        level=standing.level,
        since=standing.since,
        reason=standing.reason,
        proposals=len(views),
        acts=len(done),
        measured=sum(view.action.action_id not in unmeasured for view in done),
    )
