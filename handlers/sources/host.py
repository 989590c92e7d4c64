"""What this host is doing: CPU, load, memory, swap, disks, network and processes."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any

import psutil

from handlers.contract.source import source
from handlers.contract.source_options import option
from storage.records import Sample

PSEUDO_DEVICES = ("loop", "ram", "zram", "fd", "sr", "dm-")
PSEUDO_INTERFACES = ("lo", "ifb", "dummy", "veth", "docker", "br-", "virbr", "cni", "tunl", "sit")
PULL_PAUSE_S = 0.5


@dataclass(frozen=True)
class _Reading:
    """Counters at one moment: seconds by core, bytes by device and interface."""

    at_s: float
    cores: tuple[tuple[float, float], ...]
    counters: dict[tuple[str, str, str], int]


@dataclass
class HostSampler:
    """Samples the host again and again; rates come from the difference to the sample before.

    The first sample has no rates. `clock_s` gives monotonic seconds.
    """

    clock_s: Callable[[], float] = time.monotonic
    _last: _Reading | None = field(default=None, repr=False)

    def sample(self, tick: datetime) -> list[Sample]:
        """Return one sample of each series, all stamped `tick`; what this host does not have is left out."""
        reading = _read(self.clock_s())
        readings = [*_levels(), *(_rates(self._last, reading) if self._last else ())]
        self._last = reading
        return [Sample(metric=m, value=v, ts=tick, labels=labels, unit=unit) for m, v, labels, unit in readings]


Row = tuple[str, float, dict[str, str], str]


def _levels() -> Iterator[Row]:
    cores = psutil.cpu_count() or 1
    if hasattr(os, "getloadavg"):
        yield "load1_per_core", os.getloadavg()[0] / cores, {}, "per core"  # a number, no share
    memory = psutil.virtual_memory()
    yield "memory_used_ratio", 1 - memory.available / memory.total, {}, "ratio"
    yield "memory_available_bytes", float(memory.available), {}, "bytes"
    swap = _quietly(psutil.swap_memory)
    if swap is not None and swap.total > 0:
        yield "swap_used_ratio", swap.used / swap.total, {}, "ratio"
    yield from _disks()
    yield "process_count", float(len(psutil.pids())), {}, "processes"


def _disks() -> Iterator[Row]:
    seen = set()
    for part in _quietly(psutil.disk_partitions) or ():
        if part.device in seen or os.path.basename(part.device).startswith(PSEUDO_DEVICES):
            continue
        usage = _quietly(partial(psutil.disk_usage, part.mountpoint))
        if usage is not None and usage.total > 0:
            seen.add(part.device)
            # As df does: what is reserved for root counts neither as used nor as free.
            yield "disk_used_ratio", usage.used / (usage.used + usage.free), {"mount": part.mountpoint}, "ratio"


def _rates(earlier: _Reading, later: _Reading) -> Iterator[Row]:
    busy = total = 0.0
    if len(earlier.cores) == len(later.cores):
        for core, (before, after) in enumerate(zip(earlier.cores, later.cores, strict=True)):
            core_busy, core_total = max(0.0, after[0] - before[0]), after[1] - before[1]
            if core_total > 0:
                yield "cpu_core_used_ratio", min(1.0, core_busy / core_total), {"core": str(core)}, "ratio"
                busy, total = busy + core_busy, total + core_total
    if total > 0:
        yield "cpu_used_ratio", min(1.0, busy / total), {}, "ratio"
    elapsed_s = later.at_s - earlier.at_s
    for key, value in later.counters.items():
        before_value = earlier.counters.get(key)
        # A counter that went back was reset: what it did in between is not known.
        if before_value is not None and value >= before_value and elapsed_s > 0:
            metric, label, name = key
            yield metric, (value - before_value) / elapsed_s, {label: name}, "bytes/s"


def _read(at_s: float) -> _Reading:
    counters: dict[tuple[str, str, str], int] = {}
    for device, io in (_quietly(lambda: psutil.disk_io_counters(perdisk=True)) or {}).items():
        if _is_whole_disk(device):
            counters["disk_read_bytes_per_second", "device", device] = io.read_bytes
            counters["disk_written_bytes_per_second", "device", device] = io.write_bytes
    for interface, net in (_quietly(lambda: psutil.net_io_counters(pernic=True)) or {}).items():
        if not interface.startswith(PSEUDO_INTERFACES):
            counters["network_received_bytes_per_second", "interface", interface] = net.bytes_recv
            counters["network_sent_bytes_per_second", "interface", interface] = net.bytes_sent
    cores = tuple(_busy_and_total_s(times) for times in _quietly(lambda: psutil.cpu_times(percpu=True)) or ())
    return _Reading(at_s, cores, counters)


def _busy_and_total_s(times: Any) -> tuple[float, float]:
    # The kernel counts guest time in user time as well.
    total = sum(times) - getattr(times, "guest", 0.0) - getattr(times, "guest_nice", 0.0)
    return total - times.idle - getattr(times, "iowait", 0.0), total


def _is_whole_disk(device: str) -> bool:
    """Tell whether it is a disk and not a partition of one, whose bytes would count twice."""
    if device.startswith(PSEUDO_DEVICES):
        return False
    return not os.path.isdir("/sys/block") or os.path.isdir(f"/sys/block/{device}")


def _quietly(read: Callable[[], Any]) -> Any:
    """Return what `read` returns, or None where this host or container does not have it."""
    try:
        return read()
    except (OSError, RuntimeError, NotImplementedError, AttributeError, psutil.Error):
        return None


@source(name="host", interval_s=10.0, options={"pause_s": "seconds between the two readings of a single pull; 0.5"})
def host(options: Mapping[str, Any], since: datetime | None, until: datetime) -> Iterable[Sample]:
    """Sample this host once; the rates are those of half a second."""
    sampler = HostSampler()
    sampler.sample(until)
    time.sleep(option(options, "pause_s", PULL_PAUSE_S))
    return sampler.sample(until)
