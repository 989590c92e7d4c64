"""Sequences of actions: what became of each step, what actions declare, and what is believed of pairs."""

from __future__ import annotations

from datetime import timedelta

from api.facade import Facade
from api.models.sequences import ComposedPlans, DeclaredAction, SynergyShown
from api.queries.asked import context_of
from api.queries.goals import sequence
from tasks.interventions.declared_facts import declared_facts, doubts_about, unmet
from tasks.interventions.in_force import facts_in_force
from tasks.learn import Synergy

LOOK_BACK = timedelta(days=30)
MOST_SHOWN = 50
WIDTH_90 = 1.645
NONE = (
    "No action declares what it requires or provides, and pairs are not tried (executor.try_pairs): every plan is of "
    "single actions."
)


def composed_plans(facade: Facade) -> ComposedPlans:
    """Return what is declared, what is wrong with it, the newest sequences, and what is believed of pairs."""
    # Loaded where it is needed: what is believed brings the learner.
    from tasks.learn.knowledge import beliefs_of_pairs, current_learner

    context = context_of(facade)
    declared, held = declared_facts(context.actions), facts_in_force(context)
    ids = facade.store.actions.sequences(facade.clock() - LOOK_BACK, MOST_SHOWN)
    sequences = [sequence(facade, each, facade.clock()) for each in ids]
    tries = facade.in_force.executor.try_pairs
    synergies = beliefs_of_pairs(context, current_learner(context)).synergies()
    return ComposedPlans(
        declared=[
            DeclaredAction(
                name=name,
                requires=sorted(own.requires),
                provides=sorted(own.provides),
                lacks=list(unmet(held, own.requires)),
            )
            for name, own in sorted(declared.items())
        ],
        facts_held=sorted(held),
        doubts=list(doubts_about(context.actions)),
        tries_pairs=tries,
        sequences=[each for each in sequences if each is not None],
        synergies=[_shown(each) for each in synergies],
        note=None if declared or tries or sequences else NONE,
    )


def _shown(synergy: Synergy) -> SynergyShown:
    half = WIDTH_90 * synergy.sd
    return SynergyShown.model_validate(
        {
            "goal_type": synergy.goal_type,
            "actions": list(synergy.pair),
            "mean": synergy.mean,
            "low": synergy.mean - half,
            "high": synergy.mean + half,
            "count": synergy.count,
        }
    )
