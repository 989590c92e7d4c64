"""The sampler keeps its beat, loses nothing while the store is away, and says each trouble once."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.background.sampler import Beat, Sampler, Worker
from handlers.sources.host import HostSampler
from storage import Store, TransientError
from storage.records import Sample


class Counting:
    """A source that counts its own samples."""

    def __init__(self) -> None:
        self.count = 0

    def sample(self, tick: datetime) -> Sequence[Sample]:
        self.count += 1
        return [Sample(metric="m", value=self.count, ts=tick + timedelta(seconds=self.count))]


def test_samples_of_this_host_reach_the_store(store: Store, tick: datetime) -> None:
    sampler = Sampler(HostSampler(), store, lambda: tick, 10)
    sampler.step()
    # The kernel counts CPU time in hundredths of a second: sooner there is no difference to make a rate of.
    time.sleep(0.1)
    sampler.step()
    assert {"cpu_used_ratio", "memory_used_ratio"} <= set(store.samples.latest(tick - timedelta(minutes=1)))


def test_what_could_not_be_written_is_written_later(
    store: Store, tick: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    sampler = Sampler(Counting(), store, lambda: tick, 10)

    def away(samples: Sequence[Sample]) -> int:
        raise TransientError("away")

    with monkeypatch.context() as broken:
        broken.setattr(store.samples, "append", away)
        for _ in range(3):
            with pytest.raises(TransientError):
                sampler.step()
    sampler.step()
    written = store.samples.columns(tick - timedelta(hours=1), tick + timedelta(hours=1))
    assert list(written["value"]) == [1, 2, 3, 4]


def test_no_more_than_an_hour_is_kept(store: Store, tick: datetime, monkeypatch: pytest.MonkeyPatch) -> None:
    sampler = Sampler(Counting(), store, lambda: tick, 600)

    def away(samples: Sequence[Sample]) -> int:
        raise TransientError("away")

    with monkeypatch.context() as broken:
        broken.setattr(store.samples, "append", away)
        for _ in range(20):
            with pytest.raises(TransientError):
                sampler.step()
    sampler.step()
    written = store.samples.columns(tick - timedelta(hours=1), tick + timedelta(hours=1))
    assert list(written["value"]) == [16, 17, 18, 19, 20, 21]


@given(st.lists(st.floats(0, 35), min_size=1, max_size=30))
def test_beats_stay_on_the_grid_and_missed_ones_are_skipped(pauses: list[float]) -> None:
    now = 0.0
    beat = Beat(10, lambda: now)
    taken = []
    for busy_s in pauses:
        now += beat.wait_s()
        taken.append(now)
        now += busy_s
    assert all(abs(at / 10 - round(at / 10)) < 1e-9 for at in taken)
    assert all(later - earlier >= 10 - 1e-9 for earlier, later in pairwise(taken))


def test_a_worker_outlives_trouble_and_says_each_kind_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    done = threading.Event()
    steps = 0

    def step() -> None:
        nonlocal steps
        steps += 1
        if steps <= 3:
            raise TransientError("the store went away")
        done.set()

    worker = Worker("sampler", 0.01, step)
    worker.start()
    assert done.wait(5)
    deadline = time.monotonic() + 5
    while "well again" not in caplog.text and time.monotonic() < deadline:
        time.sleep(0.01)
    worker.stop()
    assert not worker.is_running()
    assert caplog.text.count("the store went away") == 1
    assert "recovered after 3 failures" in caplog.text
