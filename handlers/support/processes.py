"""Which processes may be acted on, and how one is named so that nobody else is ever hit.

A process is named by its pid and its start time, since pids are used again. It may be acted on only if the
configuration allows its name and its owner, and never if it belongs to the system or to foreact itself.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import PurePath
from typing import Any

import psutil

CLOCK_TOLERANCE_S = 0.05
DRILL_MARK = "foreact-drill-target"
DRILL_LIFETIME_S = 120


class NotAllowedError(Exception):
    """The process may not be acted on, or is not there any more; the message says why."""


@dataclass(frozen=True)
class Usage:
    """What one process used over a short interval: CPU in cores, memory and I/O in bytes; it may have ended since."""

    process: psutil.Process
    created_s: float
    name: str
    owner: str
    cpu_cores: float
    memory_bytes: int
    io_bytes_per_second: float

    def evidence(self) -> dict[str, Any]:
        """Return it as plain data that says which process it was."""
        return {
            "pid": self.process.pid,
            "create_time": self.created_s,
            "name": self.name,
            "owner": self.owner,
            "cpu_cores": round(self.cpu_cores, 3),
            "memory_bytes": self.memory_bytes,
            "io_bytes_per_second": round(self.io_bytes_per_second),
        }


def identity(process: psutil.Process) -> dict[str, Any]:
    """Return the parameters that name this process and no other."""
    return {"pid": process.pid, "create_time": process.create_time(), "name": process.name()}


def find(params: Mapping[str, Any]) -> psutil.Process | None:
    """Return the very process that the parameters name, or None if it has ended; ValueError for bad ones."""
    pid, created = params.get("pid"), params.get("create_time")
    if not isinstance(pid, int) or isinstance(pid, bool) or not isinstance(created, (int, float)):
        raise ValueError("the parameters need 'pid' (a whole number) and 'create_time' (seconds since 1970)")
    try:
        process = psutil.Process(pid)
        is_same = abs(process.create_time() - created) <= CLOCK_TOLERANCE_S
        return process if is_same and process.status() != psutil.STATUS_ZOMBIE else None
    except (psutil.NoSuchProcess, ValueError):
        return None


def find_allowed(params: Mapping[str, Any], options: Mapping[str, Any]) -> psutil.Process:
    """Return the process that the parameters name if it may be acted on; NotAllowedError says why not."""
    process = find(params)
    if process is None:
        raise NotAllowedError(f"Process {params['pid']} with that start time has ended.")
    reason = why_not(process, options)
    if reason:
        raise NotAllowedError(reason)
    return process


def why_not(process: psutil.Process, options: Mapping[str, Any], own_pids: set[int] | None = None) -> str:
    """Return why a process may not be acted on, or an empty text if it may."""
    try:
        return _why_not(process, options, _own_pids() if own_pids is None else own_pids)
    except psutil.AccessDenied:
        return f"Process {process.pid} belongs to another user and cannot be inspected."
    except psutil.NoSuchProcess:
        return f"Process {process.pid} has ended."


def _why_not(process: psutil.Process, options: Mapping[str, Any], own_pids: set[int]) -> str:
    name, owner, label = process.name(), process.username(), f"Process {process.pid} ({process.name()})"
    if process.pid <= 1 or _is_kernel_thread(process):
        return f"{label} belongs to the system."
    if is_drill_target(process):
        return ""
    if process.pid in own_pids:
        return f"{label} belongs to foreact itself."
    allowed_names = list(options.get("allow_names") or ())
    if not any(fnmatchcase(name, pattern) for pattern in allowed_names):
        return f"{label} is not allowed by name: allow_names is {allowed_names}. Add a pattern that matches it."
    commands = list(options.get("allow_commands") or ("*",))
    if not any(fnmatchcase(" ".join(process.cmdline()), pattern) for pattern in commands):
        return f"{label} is not allowed by command line: allow_commands is {commands}."
    owners = list(options.get("allow_owners") or (psutil.Process().username(),))
    if owner not in owners:
        return f"{label} belongs to {owner}; allow_owners is {owners}."
    return ""


def is_drill_target(process: psutil.Process) -> bool:
    """Tell whether it is a sleeper that `start_drill_target` started for this user."""
    return process.cmdline()[-1:] == [DRILL_MARK] and process.uids().real == os.getuid()


def start_drill_target() -> dict[str, Any]:
    """Start a process that only sleeps, and ends by itself, to practise on; returns its identity."""
    sleeper = f"import time; time.sleep({DRILL_LIFETIME_S})"
    start = '"$0" "$@" > /dev/null 2>&1 & echo $!'
    started = subprocess.run(
        ["/bin/sh", "-c", start, sys.executable, "-I", "-S", "-c", sleeper, DRILL_MARK],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        start_new_session=True,
        check=True,
    )
    process = psutil.Process(int(started.stdout))
    while process.cmdline()[-1:] != [DRILL_MARK]:
        time.sleep(0.005)
    return identity(process)


def end_drill_target(params: Mapping[str, Any]) -> None:
    """End the sleeper that was practised on, and nothing else; it may have been stopped."""
    target = find(params)
    if target is not None and is_drill_target(target):
        target.kill()


def with_children(process: psutil.Process, include_children: bool) -> list[psutil.Process]:
    """Return the process, and its living descendants where they are wanted too."""
    if not include_children:
        return [process]
    own = _own_pids()
    return [process, *(child for child in process.children(recursive=True) if child.pid not in own)]


def threads_of(process: psutil.Process) -> list[int]:
    """Return the ids of its threads: on Linux nice values and CPU affinity belong to each of them."""
    if sys.platform != "linux":
        return [process.pid]
    try:
        return [thread.id for thread in process.threads()]
    except psutil.Error:
        return []


def allowed(options: Mapping[str, Any]) -> list[psutil.Process]:
    """Return every running process that may be acted on."""
    if not options.get("allow_names"):
        return []
    own = _own_pids()
    return [
        process
        for process in psutil.process_iter()
        if _matches_name(process, options) and not why_not(process, options, own) and not _is_target(process)
    ]


def usage(processes: list[psutil.Process], over_s: float) -> list[Usage]:
    """Watch processes for `over_s` seconds and return what each used, highest CPU first."""
    started_s = time.monotonic()
    first = dict(_counters(processes))
    time.sleep(over_s)
    elapsed_s = time.monotonic() - started_s
    usages = []
    for process, (cpu_s, io_bytes) in _counters(list(first)):
        cpu_cores = max(0.0, cpu_s - first[process][0]) / elapsed_s
        io_rate = max(0.0, io_bytes - first[process][1]) / elapsed_s
        try:
            with process.oneshot():
                memory_bytes, created_s = process.memory_info().rss, process.create_time()
                usages.append(
                    Usage(process, created_s, process.name(), process.username(), cpu_cores, memory_bytes, io_rate)
                )
        except psutil.Error:
            continue
    return sorted(usages, key=lambda item: (-item.cpu_cores, item.process.pid))


def _counters(processes: list[psutil.Process]) -> Iterator[tuple[psutil.Process, tuple[float, float]]]:
    for process in processes:
        try:
            with process.oneshot():
                times = process.cpu_times()
                yield process, (times.user + times.system, _io_bytes(process))
        except psutil.Error:
            continue


def _io_bytes(process: psutil.Process) -> float:
    try:
        counters = process.io_counters()
    except (psutil.AccessDenied, AttributeError, NotImplementedError):
        return 0.0
    return float(counters.read_bytes + counters.write_bytes)


def _matches_name(process: psutil.Process, options: Mapping[str, Any]) -> bool:
    try:
        name = process.name()
    except psutil.Error:
        return False
    return any(fnmatchcase(name, pattern) for pattern in options["allow_names"])


def _is_target(process: psutil.Process) -> bool:
    try:
        return is_drill_target(process)
    except psutil.Error:
        return True


def _is_kernel_thread(process: psutil.Process) -> bool:
    return sys.platform == "linux" and (process.pid == 2 or process.ppid() == 2)


def _own_pids() -> set[int]:
    """Return this process, its ancestors and descendants, and all under the topmost ancestor that is foreact's."""
    this = psutil.Process()
    ancestors = this.parents()
    root = next((ancestor for ancestor in reversed(ancestors) if _is_ours(ancestor)), this)
    family = [this, *ancestors, *root.children(recursive=True)]
    return {process.pid for process in family}


def _is_ours(process: psutil.Process) -> bool:
    try:
        words = process.cmdline()
    except psutil.Error:
        return False
    program = PurePath(words[0]).name if words else ""
    if program.startswith("python") and len(words) > 1:
        if words[1] == "-m":
            return words[2:3] != [] and words[2].partition(".")[0] in {"api", "prefect"}
        program = PurePath(words[1]).name
    return program in {"foreact", "prefect"}
