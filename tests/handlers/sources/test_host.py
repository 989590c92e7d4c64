"""The host sampler, on this very host."""

from __future__ import annotations

import math
import subprocess
import sys
import time
from collections import Counter
from datetime import timedelta
from typing import Any

import psutil
import pytest

from handlers import discover_sources
from handlers.sources import host
from handlers.sources.host import HostSampler, _rates, _Reading
from storage.records import Sample
from tests.handlers.conftest import TICK

ALWAYS = {"memory_used_ratio", "memory_available_bytes", "disk_used_ratio", "process_count", "load1_per_core"}


def by_metric(samples: list[Sample]) -> dict[str, list[Sample]]:
    found: dict[str, list[Sample]] = {}
    for sample in samples:
        found.setdefault(sample.metric, []).append(sample)
    return found


def test_rates_come_with_the_second_sample_and_levels_with_the_first() -> None:
    sampler = HostSampler()
    first = {sample.metric for sample in sampler.sample(TICK)}
    time.sleep(0.2)
    second = {sample.metric for sample in sampler.sample(TICK)}
    assert first >= ALWAYS
    assert not any(metric.startswith("cpu") or metric.endswith("per_second") for metric in first)
    assert second >= first | {"cpu_used_ratio", "cpu_core_used_ratio"}


def test_every_series_occurs_once_with_a_unit_and_a_finite_value() -> None:
    sampler = HostSampler()
    sampler.sample(TICK)
    time.sleep(0.2)
    samples = sampler.sample(TICK)
    assert max(Counter(sample.series for sample in samples).values()) == 1
    assert all(sample.unit and math.isfinite(sample.value) and sample.ts == TICK for sample in samples)
    ratios = [sample.value for sample in samples if sample.metric.endswith("_ratio")]
    assert all(0 <= value <= 1 for value in ratios)
    assert all(sample.value >= 0 for sample in samples)


def test_each_core_has_a_series_and_their_mean_is_the_cpu() -> None:
    sampler = HostSampler()
    sampler.sample(TICK)
    time.sleep(0.3)
    found = by_metric(sampler.sample(TICK))
    cores = found["cpu_core_used_ratio"]
    assert {sample.labels["core"] for sample in cores} == {str(core) for core in range(psutil.cpu_count() or 1)}
    mean = sum(sample.value for sample in cores) / len(cores)
    assert found["cpu_used_ratio"][0].value == pytest.approx(mean, abs=0.05)


def test_a_busy_core_shows() -> None:
    sampler = HostSampler()
    spin = subprocess.Popen([sys.executable, "-S", "-c", "while True: pass"])
    try:
        sampler.sample(TICK)
        time.sleep(0.5)
        used = by_metric(sampler.sample(TICK))["cpu_used_ratio"][0].value
    finally:
        spin.kill()
        spin.wait()
    assert used > 0.5 / (psutil.cpu_count() or 1)


def reading(at_s: float, read: int, busy_s: float = 0.0, total_s: float = 0.0) -> _Reading:
    return _Reading(at_s, ((busy_s, total_s),), {("disk_read_bytes_per_second", "device", "sda"): read})


def test_a_rate_is_the_difference_over_the_time_that_really_passed() -> None:
    rows = {row[0]: row[1] for row in _rates(reading(10, 1_000, 1, 10), reading(14, 9_000, 2, 14))}
    assert rows["disk_read_bytes_per_second"] == 2_000
    assert rows["cpu_used_ratio"] == 0.25


@pytest.mark.parametrize(
    "later",
    [
        reading(14, 500, 2, 14),
        reading(10, 9_000, 2, 14),
        _Reading(14, ((2, 14),), {("disk_read_bytes_per_second", "device", "sdb"): 9_000}),
    ],
)
def test_a_reset_a_standing_clock_and_a_new_device_give_no_rate(later: _Reading) -> None:
    assert [row[0] for row in _rates(reading(10, 1_000, 1, 10), later) if "bytes" in row[0]] == []


def test_a_core_taken_offline_gives_no_cpu_for_one_sample() -> None:
    two_cores = _Reading(10, ((1, 10), (1, 10)), {})
    assert list(_rates(two_cores, reading(14, 0, 2, 14))) == []


def test_pseudo_devices_and_loopback_are_left_out() -> None:
    labels = {value for sample in _two_samples() for value in sample.labels.values()}
    assert not any(
        label.startswith(("loop", "ram", "zram", "/proc", "/sys", "/snap")) or label == "lo" for label in labels
    )


@pytest.mark.parametrize("missing", ["swap_memory", "disk_io_counters", "net_io_counters", "disk_partitions"])
def test_a_container_without_some_counters_still_gives_the_others(
    monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    def fails(*args: Any, **kwargs: Any) -> None:
        raise FileNotFoundError("/proc/diskstats")

    monkeypatch.setattr(host.psutil, missing, fails)
    metrics = {sample.metric for sample in _two_samples()}
    assert metrics >= {"cpu_used_ratio", "memory_used_ratio", "process_count"}


def test_a_sample_costs_less_than_five_milliseconds_of_cpu() -> None:
    sampler = HostSampler()
    sampler.sample(TICK)
    started = time.process_time()
    for _ in range(50):
        sampler.sample(TICK)
    assert (time.process_time() - started) / 50 < 0.005


def test_the_source_gives_one_sample_with_rates() -> None:
    pulled = list(discover_sources()["host"].pull({"pause_s": 0.1}, TICK - timedelta(seconds=10), TICK))
    assert "cpu_used_ratio" in {item.metric for item in pulled if isinstance(item, Sample)}


def _two_samples() -> list[Sample]:
    sampler = HostSampler()
    sampler.sample(TICK)
    time.sleep(0.05)
    return sampler.sample(TICK)
