"""The learning benchmark decides by the loop's own rounds, and these learn faster than a success rate."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.learning import drawn_world, greedy_regret, learner_regret, random_regret


@pytest.mark.slow
def test_planning_rounds_regret_half_of_what_a_success_rate_does() -> None:
    worlds = [drawn_world(seed, flips=False) for seed in range(3)]
    learner, greedy, blind = (
        float(np.mean([chooser(world, seed) for seed, world in enumerate(worlds)]))
        for chooser in (learner_regret, greedy_regret, random_regret)
    )
    assert learner < 0.5 * greedy < 0.5 * blind
