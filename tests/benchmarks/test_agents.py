"""Agents that share a budget, in short: near the best division, and never above what there is, whoever is killed."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.agents import kills
from benchmarks.agents.counted import CountedPool
from benchmarks.agents.joint import Town, best_value, run_town

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
TOWN = Town(sites=4, total=12, history_minutes=600, turns=24)


def test_agents_that_share_get_more_than_equal_parts_and_never_hold_more_than_there_is() -> None:
    best, shared, equal = best_value(TOWN), run_town(TOWN, "shared"), run_town(TOWN, "equal split")
    assert shared.most_out <= TOWN.total
    assert equal.value < shared.value <= best
    assert shared.value >= 0.85 * best, "the first turns, in which shares move, are a sixth of these"


def test_a_dozen_kills_lead_to_no_overrun_and_no_act_twice(tmp_path: Path) -> None:
    (tmp_path / kills.COORDINATOR).mkdir()
    result = kills.run_kills(tmp_path, 12, seed=3)
    assert result.most <= result.total
    assert (result.twice, result.untrue) == ((), ())
    assert result.leases > 4
    assert result.acts > 4


def test_what_is_held_at_once_and_what_is_done_twice_is_found(tmp_path: Path) -> None:
    pool = CountedPool(tmp_path)
    for holder, count, act in (("a", 4, "1"), ("b", 7, "2"), ("b", 5, "2"), ("a", 1, "3")):
        pool.set(holder, count, act)
    assert (pool.counts(), pool.most(), pool.done_twice()) == ({"a": 1, "b": 5}, 11, ["2"])
