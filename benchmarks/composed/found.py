"""How many tries it takes until the pair is found that helps where no single act does."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

from benchmarks.worlds.acts import DeclaredPair, Pair, PairAmongFour, TriedPair
from benchmarks.worlds.against_truth import plain_settings
from benchmarks.worlds.policies import play, run_out
from flows.simulate import simulate
from storage.records import NOTHING, Decision

HELPING = frozenset({"front", "back"})
WORLDS: dict[str, type[Pair]] = {kind.name: kind for kind in (DeclaredPair, TriedPair, PairAmongFour)}
MOST_TRIES = 10
BARRED = frozenset({DeclaredPair.name, TriedPair.name})
"""Worlds to which the bar applies; among four acts there are six pairs, and the row shows how far that goes."""


@dataclass(frozen=True)
class FoundPair:
    """What one seed of a world came to: acts until the pair was chosen for its worth, None where it never was.

    `tries` counts every act tried, `pairs` those of two together; costs are in hours of severity 1 broken.
    """

    world: str
    seed: int
    tries: int | None
    pairs: int
    cost: float
    without: float
    oracle: float

    @property
    def is_found(self) -> bool:
        """Tell whether the pair was found within the bar."""
        return self.tries is not None and self.tries <= MOST_TRIES

    @property
    def is_missed(self) -> bool:
        """Tell whether a bar is missed by it."""
        return self.world in BARRED and not self.is_found


def find(name: str, seed: int, days: float) -> FoundPair:
    """Run the loop in a world, beside one that does nothing and one that knows the future."""
    world = WORLDS[name](seed, days)
    with tempfile.TemporaryDirectory() as folder:
        report = simulate(world, plain_settings(world, Path(folder)), world.ticks)
    run_out(world)
    decided = [each for each in reversed(report.store.decisions.latest(10_000)) if each.chosen.action != NOTHING]
    acted = {view.action.decision_id for view in report.store.actions.latest(10_000) if view.touched}
    tried = [each for each in decided if each.decision_id in acted]
    found = next((place for place, each in enumerate(tried) if _is_choice_of_pair(each)), None)
    pairs = sum(bool(each.chosen.steps) for each in tried[:found])
    others = (float(play(w := WORLDS[name](seed, days), w.policies()[rule]).costs().sum()) for rule in RULES)
    return FoundPair(name, seed, found, pairs, float(world.costs().sum()), *others)


RULES = ("nothing", "oracle")


def _is_choice_of_pair(decision: Decision) -> bool:
    """Tell whether the pair was taken since it was believed to be worth more than anything else."""
    best = max((each.value for each in decision.alternatives), default=0.0)
    return set(decision.chosen.steps) == HELPING and decision.chosen.value > max(best, 0.0)
