"""`python -m benchmarks.composed`: pairs that help where no single act does, and sequences that are killed.

First small worlds in which `front` or `back` alone changes nothing and both together do: how many acts are tried until
the pair is chosen for its worth. Then a sequence of three acts whose process gets `kill -9` at every moment in turn:
what it changed must be restored or accounted for, and nothing done twice. It ends with 1 where a bar is missed.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import warnings
from collections import Counter
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.composed.found import BARRED, MOST_TRIES, WORLDS, FoundPair, find

ROOT = Path(__file__).resolve().parents[2]
KILLS = 200
ALONE = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


def main() -> int:
    """Run both parts, print what they came to, and tell whether the bars hold."""
    options, console = _options(), Console()
    holds = [] if options.only == "kills" else [_pairs(console, options.world, options.seeds, options.days)]
    holds += [] if options.only == "pairs" else [_kills(console, options.kills, options.seed)]
    return int(not all(holds))


def _pairs(console: Console, asked: list[str] | None, seeds: int, days: float) -> bool:
    warnings.simplefilter("ignore")
    names = [name for name in WORLDS if not asked or any(part in name for part in asked)]
    found = [find(name, seed, days) for name in names for seed in range(seeds)]
    table = Table("world", "seed", "tries until found", "of them pairs", "cost", "nothing done", "oracle")
    for each in found:
        table.add_row(*_row(each))
    console.print(table)
    barred = [each for each in found if each.world in BARRED]
    missed = [each for each in found if each.is_missed]
    for each in missed:
        console.print(f"BROKEN {each.world}, seed {each.seed}: not found within {MOST_TRIES} tries")
    console.print(
        f"found within {MOST_TRIES} tries: {len(barred) - len(missed)} of {len(barred)} to which the bar applies"
    )
    return not missed


def _row(each: FoundPair) -> tuple[str, ...]:
    tries = "never" if each.tries is None else str(each.tries)
    costs = (f"{cost:.1f}" for cost in (each.cost, each.without, each.oracle))
    return each.world, str(each.seed), tries, str(each.pairs), *costs


def _kills(console: Console, count: int, seed: int) -> bool:
    """Have the lab kill so many lives; it forks, so it is a process of its own with one thread."""
    began_s = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-W", "ignore", "-m", "benchmarks.composed.killed", folder, str(count), str(seed)]
        done = subprocess.run(command, cwd=ROOT, env={**os.environ, **ALONE}, stdout=subprocess.PIPE, text=True)
    told = [json.loads(line) for line in done.stdout.splitlines()]
    ends: dict[str, Counter[str]] = {}
    for each in told:
        ends.setdefault(each["scenario"], Counter())[each["how"] or "open"] += 1
    for scenario, counts in sorted(ends.items()):
        console.print(f"{scenario}: {', '.join(f'{count} {how}' for how, count in sorted(counts.items()))}")
    troubles = [(each["scenario"], each["killed_at"], said) for each in told for said in each["troubles"]]
    for scenario, killed_at, said in troubles[:10]:
        console.print(f"BROKEN {scenario}, killed at {killed_at}: {said}")
    killed = sum(len(each["killed_at"]) for each in told)
    seconds = time.monotonic() - began_s
    console.print(f"{killed} kills in {len(told)} rounds, {len(troubles)} troubles, seed {seed}, {seconds:.0f} s")
    return done.returncode == 0 and killed >= count and not troubles


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.composed", description=__doc__)
    parser.add_argument("--only", choices=("pairs", "kills"), help="one of the two parts")
    parser.add_argument("--world", nargs="*", help=f"only those whose name holds one of these: {'; '.join(WORLDS)}")
    parser.add_argument("--seeds", type=int, default=3, help="seeds of each world")
    parser.add_argument("--days", type=float, default=2.0, help="how long each world lasts")
    parser.add_argument("--kills", type=int, default=KILLS, help="how many lives are killed")
    parser.add_argument("--seed", type=int, default=1, help="of the moments at which they are")
    return parser.parse_args()


if __name__ == "__main__":
    raise SystemExit(main())
