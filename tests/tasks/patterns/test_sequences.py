"""Sequences: power, false discoveries under bursts and working hours, and the follow-up that is due."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks import patterns_worlds as worlds
from benchmarks.patterns_worlds import END_S
from tasks.patterns import SearchSettings, find_patterns
from tasks.patterns.finding import Finding
from tasks.patterns.inputs import DAY_S, Floats
from tasks.patterns.sequences import find_sequences, followers

SETTINGS = SearchSettings()


@pytest.mark.parametrize("shape", ["poisson", "bursty", "daily"])
def test_chains_are_found_and_shared_habits_are_not(shape: str) -> None:
    false, power = [], []
    for run in range(40):
        world = worlds.sequence_world(np.random.default_rng(run), shape=shape)
        found = {(f.evidence["first"], f.evidence["then"]) for f in find_sequences(world.frame, SETTINGS, END_S)}
        # What a chain does backwards within the window is neither true nor false.
        false.append(sum((b, a) not in world.truth for a, b in found - world.truth) / max(len(found), 1))
        power.append(len(found & world.truth) / len(world.truth))
    assert np.mean(false) <= 0.10
    assert np.mean(power) >= 0.88


@pytest.mark.parametrize("shape", ["poisson", "bursty", "daily"])
def test_events_without_chains_give_no_sequence_as_a_rule(shape: str) -> None:
    alarms = [
        bool(
            find_sequences(
                worlds.sequence_world(np.random.default_rng(run), shape=shape, n_chains=0).frame, SETTINGS, END_S
            )
        )
        for run in range(40)
    ]
    assert np.mean(alarms) <= 0.15


def _chain(first_s: Floats, delay_s: float) -> list[Finding]:
    times = np.concatenate((first_s, first_s[:-1] + delay_s))
    types = ["deploy"] * len(first_s) + ["alert"] * (len(first_s) - 1)
    return list(find_patterns(worlds.frame_of(np.empty((0, 0)), types, times), SETTINGS, END_S, 0))


def test_a_follow_up_that_is_due_is_predicted() -> None:
    first_s = np.append(np.sort(END_S - np.random.default_rng(0).uniform(0.2, 6.9, 15) * DAY_S), END_S - 120.0)
    finding = next(f for f in _chain(first_s, 600.0) if f.subject == "deploy → alert")
    assert finding.next_at_s == pytest.approx(END_S + 480.0)
    assert finding.evidence["median_delay_s"] == pytest.approx(600.0)
    assert finding.evidence["confounded_with_time_of_day"] is False


def test_two_nightly_jobs_are_said_not_to_be_told_from_their_common_clock() -> None:
    finding = next(f for f in _chain(END_S - DAY_S * np.arange(7)[::-1] - 7200.0, 600.0) if f.kind == "sequence")
    assert finding.evidence["confounded_with_time_of_day"] is True
    assert "time of day" in finding.statement


def test_an_event_at_the_same_instant_does_not_follow() -> None:
    delays = followers(np.array([0.0, 10.0, 20.0]), np.array([10.0, 25.0]), 12.0)
    np.testing.assert_array_equal(delays, [10.0, np.nan, 5.0])
