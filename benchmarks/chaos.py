"""Breaks things on purpose, again and again, and counts what was lost: `make chaos`, or `python -m benchmarks.chaos`.

    python -m benchmarks.chaos --rounds 10 --seed 3

A process that owns the database writes samples, plans acts and carries them out, says what is durable, and is killed
at a moment of chance; the next one goes on with the file, its clock an hour ahead or behind now and then. At the end
everything that was acknowledged must be there, nothing done twice, and every act have one receipt that is true. Beside
that logs are damaged, the disk fills up, the file is deleted, handlers misbehave, an old schema is brought up to date.
The same seed gives the same faults, though not at the same statements. Exit code 1 where anything was lost.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

PROJECT = Path(__file__).parents[1]
MARK = "FOREACT_CHAOS"
LIFE_S = (0.05, 3.0)
READY_S = 120.0
AWAY_S = 180.0
MANY_ROUNDS = 50
"""From so many rounds of kills on, the Prefect server is away for three minutes; else more briefly."""
STACK_S = 1_500.0
SHIFTS_S = (0, 0, 0, 3_600, -3_600)
ZOMBIE_S, LOOK_S = 10.0, 2.0
"""So long a process that ended may wait for its parent to take note, and how often it is looked for."""
NO_FAKE_TIME = "libfaketime is not installed; the clock that the loop is given was shifted instead"
SKIPPED = {
    "file system made read-only under an open database": "Linux refuses to remount one that is written to",
}


@dataclass
class Row:
    """One kind of fault in the table at the end."""

    fault: str
    rounds: int = 0
    checked: int = 0
    troubles: list[str] = field(default_factory=list)
    skipped: str = ""

    def expect(self, holds: bool, trouble: str) -> None:
        """Count one thing looked at, and note it where it does not hold."""
        self.checked += 1
        if not holds:
            self.troubles.append(trouble)


def main() -> None:
    """Break, count, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--life", nargs="+", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.life:
        from benchmarks import chaos_lives

        getattr(chaos_lives, options.life[0])(*options.life[1:])
        return
    begun_s, rng = time.monotonic(), random.Random(options.seed)
    few = max(2, options.rounds // 10)
    whole_stack_s = AWAY_S if options.rounds >= MANY_ROUNDS else 20.0
    with tempfile.TemporaryDirectory() as name, watched_for_zombies() as zombies:
        rows = [
            *kills(Path(name) / "kills", options.rounds, rng),
            damaged_logs(Path(name) / "logs", few, rng),
            full_disks(Path(name) / "full", max(few, len(FULL_IN))),
            *(one_life(Path(name), kind, fault) for kind, fault in LIVES.items()),
            whole_stack(whole_stack_s),
        ]
    left = [process for process in psutil.process_iter() if _is_ours(process)]
    rows.append(Row("processes left at the end", 1, 1, [f"{each.pid} {each.name()}" for each in left]))
    rows.append(zombies)
    report(rows, options.seed, time.monotonic() - begun_s)
    sys.exit(any(row.troubles for row in rows))


LIVES = {
    "lost_file": "database file deleted under the owner",
    "two_owners": "a second owner of the same file",
    "bad_handlers": "handlers that hang, fork, eat memory, print binary, are killed",
    "bad_sources": "source away, dripping, 400 MB, lying",
    "read_only": "folder read-only, then not",
    "old_schemas": "upgrade from every earlier schema, with data",
}


def kills(folder: Path, rounds: int, rng: random.Random) -> Iterator[Row]:
    """Kill a process that writes and acts, round after round on one file; look at the end what is there."""
    folder.mkdir()
    lost, twice, loop = Row("kill -9: samples acknowledged"), Row("kill -9: acts"), Row("kill -9: time to go on")
    clock = Row("kill -9, clock of the machine an hour ahead or behind", skipped="" if fake_time(1) else NO_FAKE_TIME)
    sampled, planned = 0, set[str]()
    for number in range(rounds):
        shift_s, seed = rng.choice(SHIFTS_S), rng.randrange(10**6)
        # Where the clock of the machine cannot be set for one process, the one that it is given is.
        given_s = 0 if fake_time(shift_s) else shift_s
        with life("work", folder, number, seed, given_s, sampled, clock_s=shift_s) as process:
            begun_s, row = time.monotonic(), clock if shift_s else loop
            row.rounds += 1
            row.expect(_line(process).startswith("ready"), f"round {number} did not get ready")
            row.expect(time.monotonic() - begun_s < READY_S, f"round {number} took too long")
            deadline_s = time.monotonic() + rng.uniform(*LIFE_S)
            for line in _lines_until(process, deadline_s):
                kind, _, rest = line.partition(" ")
                sampled = int(rest) if kind == "sampled" else sampled
                planned |= {rest.strip()} if kind == "planned" else set()
            process.kill()
    with life("settle", folder, sampled) as process:
        end = json.loads(_line(process))
    marks, statuses = end["marks"], end["statuses"]
    lost.rounds = twice.rounds = rounds
    lost.checked = sampled
    lost.troubles += [f"{sampled - end['samples']} of {sampled} samples are gone"] if end["samples"] < sampled else []
    twice.expect(len(marks) == len(set(marks)), f"{len(marks) - len(set(marks))} acts were done twice")
    twice.expect(end["broken_line"] is None, f"the audit trail is broken at {end['broken_line']}")
    for action in planned:
        status = statuses.get(action)
        is_true = status == ("succeeded" if action in marks else "skipped") or status == "unknown"
        twice.expect(is_true, f"{action} ended as {status}, though it was {'' if action in marks else 'not '}done")
    yield from (lost, twice, loop, clock)


def damaged_logs(folder: Path, rounds: int, rng: random.Random) -> Row:
    """Damage the log that a killed process left, in another way each round."""
    row = Row("log torn, flipped, zeroed", rounds)
    for number in range(rounds):
        place = folder / str(number)
        place.mkdir(parents=True)
        sampled = 0
        with life("work", place, number, rng.randrange(10**6), 0, 0) as process:
            _line(process)
            for line in _lines_until(process, time.monotonic() + 1.0):
                sampled = int(line.split()[1]) if line.startswith("sampled") else sampled
            process.kill()
        log = place / "f.duckdb.wal"
        held = bytearray(log.read_bytes()) if log.exists() else bytearray()
        at = rng.randrange(len(held) // 2, max(len(held), 1)) if held else 0
        kind = ("torn", "flipped", "zeroed")[number % 3]
        if kind == "torn":
            held = held[:at]
        elif held:
            held[at : at + (1 if kind == "flipped" else 500)] = (
                bytes([held[at] ^ 0x55]) if kind == "flipped" else bytes(min(500, len(held) - at))
            )
        log.write_bytes(held)
        with life("look", place) as process:
            said = json.loads(_line(process) or "{}")
        row.expect(said.get("is_prefix") is True, f"round {number}, {kind}: {said or 'not opened'}")
        is_told = said.get("samples", 0) >= sampled or bool(said.get("told"))
        row.expect(is_told, f"round {number}, {kind}: a loss was not told")
    return row


FULL_IN = ("write", "checkpoint", "temp")


def full_disks(folder: Path, rounds: int) -> Row:
    """Let the disk be full for a while, with another number of bytes left each time."""
    row = Row("disk full in write, checkpoint and temporary files")
    for number in range(rounds):
        where = FULL_IN[number % len(FULL_IN)]
        told = one_life(folder, "full_disk", row.fault, folder / str(number), where, number)
        row.rounds, row.checked = row.rounds + 1, row.checked + told.checked
        row.troubles += [f"round {number}, {where}: {trouble}" for trouble in told.troubles]
        row.skipped = told.skipped or row.skipped
    return row


def one_life(folder: Path, kind: str, fault: str, *arguments: object) -> Row:
    """Let one process go through a fault and say itself what does not hold; each line is one thing looked at."""
    place, *more = arguments or (folder / kind,)
    row = Row(fault, 1)
    Path(str(place)).mkdir(parents=True)
    deadline_s = time.monotonic() + READY_S
    with life(kind, place, *more) as process:
        for line in _lines_until(process, deadline_s):
            told = json.loads(line)
            if "skipped" in told:
                row.skipped = told["skipped"]
                continue
            row.expect(told["holds"], told["what"])
        is_over = time.monotonic() < deadline_s
        if not is_over:
            process.kill()
    row.expect(is_over, f"it was not over after {READY_S:.0f} s")
    row.expect(process.returncode == 0, f"it ended with {process.returncode}")
    return row


STACK_TESTS = ("tests/e2e/test_survival.py", "tests/api/background/test_tend_starter.py")


def whole_stack(away_s: float) -> Row:
    """Kill the parts of a whole stack, let its database fail and its Prefect server stand still: the tests of that.

    And of a cycle that takes longer than its interval, into which nothing is started.
    """
    row = Row("whole stack: kill -9 of each part, fatal error, Prefect away, long cycle", 1)
    command = [sys.executable, "-m", "pytest", *STACK_TESTS, "-n0", "-v", "-rfEs", "-p", "no:cacheprovider"]
    environment = {**os.environ, "FOREACT_TEST_AWAY_S": str(away_s), "FOREACT_TEST_THOROUGH": "1"}
    try:
        done = subprocess.run(
            command, cwd=PROJECT, env=environment, capture_output=True, text=True, timeout=STACK_S + away_s
        )
    except subprocess.TimeoutExpired:
        row.expect(False, f"it took longer than {STACK_S + away_s:.0f} s")
        return row
    counts = {word: int(count) for count, word in re.findall(r"(\d+) (passed|failed|errors?)", done.stdout)}
    row.checked = sum(counts.values())
    row.troubles += [line for line in done.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))]
    row.skipped = "; ".join(line for line in done.stdout.splitlines() if line.startswith("SKIPPED"))
    if done.returncode and not row.troubles:
        row.troubles.append(f"the tests ended with {done.returncode}")
    return row


def fake_time(shift_s: float) -> dict[str, str]:
    """Return an environment in which the clock of the machine is shifted for a process; empty without libfaketime."""
    found = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
    if not found or not shift_s:
        return {}
    # The monotonic clock is shifted as well: told to leave it alone, libfaketime breaks `time.sleep`.
    return {"LD_PRELOAD": str(found[0]), "FAKETIME": f"{shift_s:+.0f}s"}


@contextmanager
def life(kind: str, *arguments: object, clock_s: float = 0) -> Iterator[subprocess.Popen[str]]:
    """Run one process of `chaos_lives`, its clock ahead by so much; its standard output is read line by line."""
    command = [sys.executable, "-m", "benchmarks.chaos", "--life", kind, *map(str, arguments)]
    process = subprocess.Popen(
        command,
        cwd=PROJECT,
        env={**os.environ, **fake_time(clock_s), MARK: "1", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE if kind == "work" else None,
        text=True,
    )
    try:
        yield process
    except BaseException:
        process.kill()
        raise
    finally:
        process.communicate()


def _line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline()


def _lines_until(process: subprocess.Popen[str], deadline_s: float) -> Iterator[str]:
    """Return whole lines until a moment, or the end of the process; what it said before the kill counts as well."""
    import selectors

    assert process.stdout is not None
    handle, held = process.stdout.fileno(), ""
    with selectors.DefaultSelector() as selector:
        selector.register(handle, selectors.EVENT_READ)
        while (left_s := deadline_s - time.monotonic()) > 0:
            if selector.select(left_s):
                data = os.read(handle, 65_536).decode()
                if not data:
                    return
                *lines, held = (held + data).split("\n")
                yield from lines


@contextmanager
def watched_for_zombies() -> Iterator[Row]:
    """Look meanwhile for processes below this one that ended and of which their living parent takes no note."""
    row, is_over, since = Row("zombies", 1), threading.Event(), dict[tuple[int, float], float]()

    def watch() -> None:
        while not is_over.wait(LOOK_S):
            look_for_zombies(row, since, time.monotonic())

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield row
    finally:
        is_over.set()
        thread.join()


def look_for_zombies(row: Row, since: dict[tuple[int, float], float], now_s: float) -> None:
    """Count a look, and note who has been a zombie for too long; `since` holds when each was first seen as one."""
    found = {}
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):
            if process.status() == psutil.STATUS_ZOMBIE:
                found[process.pid, process.create_time()] = f"{process.pid} {process.name()} of {process.ppid()}"
    for key in since.keys() - found.keys():
        del since[key]
    late = [said for key, said in found.items() if now_s - since.setdefault(key, now_s) > ZOMBIE_S]
    row.checked += 1
    row.troubles += [said for said in late if said not in row.troubles]


def _is_ours(process: psutil.Process) -> bool:
    try:
        return MARK in process.environ() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def report(rows: list[Row], seed: int, taken_s: float, say: Callable[[str], Any] = print) -> None:
    """Print the table."""
    say(f"{'fault':66}{'rounds':>7}{'checked':>9}  result")
    for row in rows:
        say(f"{row.fault:66}{row.rounds:>7}{row.checked:>9}  {_verdict(row)}")
        for trouble in row.troubles[:5]:
            say(f"    {trouble}")
    for fault, why in SKIPPED.items():
        say(f"{fault:66}{'-':>7}{'-':>9}  skipped: {why}")
    say(f"seed {seed}, {taken_s:.0f} s")


def _verdict(row: Row) -> str:
    if row.troubles:
        return "TROUBLE"
    return f"skipped: {row.skipped}" if row.skipped else "holds"


if __name__ == "__main__":
    main()
