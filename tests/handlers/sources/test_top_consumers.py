"""Who used most of this host is noted where one of its metrics stands out, by process name alone."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime, timedelta

import psutil
import pytest

from api.background.sampler import Sampler
from handlers.support.top_consumers import FEWEST_VALUES, MOST, ConsumerWatch
from storage import Store
from storage.events import TopConsumers
from storage.records import Sample

SECRET = "token=a1b2c3d4"


@pytest.fixture
def busy() -> Iterator[psutil.Process]:
    """Run processes that keep a core busy, with a secret on their command line."""
    code = "while True: sum(range(10_000))"
    running = [subprocess.Popen([sys.executable, "-c", code, SECRET]) for _ in range(2)]
    try:
        yield psutil.Process(running[0].pid)
    finally:
        for each in running:
            each.kill()
            each.wait()


def cpu(value: float, at: datetime) -> list[Sample]:
    return [Sample(metric="cpu_used_ratio", value=value, ts=at, unit="ratio")]


def test_a_busy_process_is_noted_by_name_and_its_command_line_is_not(busy: psutil.Process, tick: datetime) -> None:
    (noted,) = ConsumerWatch(over_s=1.0).look(cpu(0.95, tick))
    mine = next(each for each in noted.consumers if each.name == busy.name())
    assert mine.processes >= 2
    assert mine.cpu_cores > 0.05
    assert len(noted.consumers) <= MOST
    assert SECRET not in noted.model_dump_json()


def test_nothing_is_noted_of_a_quiet_host_or_of_other_metrics(tick: datetime) -> None:
    watch = ConsumerWatch()
    quiet = (watch.look(cpu(0.3 + 0.01 * (n % 3), tick + timedelta(seconds=10 * n))) for n in range(60))
    assert not any(quiet)
    assert watch.look([Sample(metric="latency", value=1e9, ts=tick)]) == []


def test_what_is_far_above_usual_is_noted_below_nine_tenths_as_well(tick: datetime) -> None:
    watch = ConsumerWatch(over_s=0.05)
    for n in range(FEWEST_VALUES):
        assert not watch.look(cpu(0.1, tick + timedelta(seconds=n)))
    assert watch.look(cpu(0.6, tick + timedelta(minutes=1)))


def test_while_it_lasts_it_is_noted_every_five_minutes(tick: datetime) -> None:
    watch = ConsumerWatch(over_s=0.05)
    noted = [bool(watch.look(cpu(0.99, tick + timedelta(minutes=n)))) for n in range(11)]
    assert noted == [n % 5 == 0 for n in range(11)]


class _Full:
    def sample(self, tick: datetime) -> list[Sample]:
        return cpu(0.97, tick)


def test_the_sampler_keeps_what_was_noted(store: Store, tick: datetime) -> None:
    Sampler(_Full(), store, lambda: tick, 10, ConsumerWatch(over_s=0.2)).step()
    (noted,) = store.consumers.between(tick - timedelta(minutes=1), tick)
    assert isinstance(noted, TopConsumers)
    assert (noted.series, noted.by, noted.value) == ("cpu_used_ratio", "cpu", 0.97)
