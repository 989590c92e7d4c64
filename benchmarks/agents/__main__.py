"""`python -m benchmarks.agents`: what agents that share a budget get of the joint optimum, and what kills do to it.

    python -m benchmarks.agents --turns 96 --seeds 1 --kills 200

Ends with 1 where agents get less than .95 of the best division, or where more was ever held than there is, an act was
done twice, or a receipt tells of what was not done.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.agents.joint import RULES, Town, TownResult, best_value, run_town
from benchmarks.agents.kills import COORDINATOR, run_kills

BAR = 0.95


def main() -> int:
    """Measure, print the tables, and return 1 where a bar is missed."""
    options = _options()
    console, troubles = Console(width=110), []
    if options.seeds:
        troubles += _joint(console, options.turns, options.seeds)
    if options.kills:
        troubles += _kills(console, options.kills, options.seed)
    for trouble in troubles:
        console.print(f"bar missed: {trouble}")
    return int(bool(troubles))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=96, help="turns of five minutes of the simulation")
    parser.add_argument("--seeds", type=int, default=1, help="simulated towns; 0 leaves them out")
    parser.add_argument("--kills", type=int, default=200, help="processes killed; 0 leaves that out")
    parser.add_argument("--seed", type=int, default=1, help="seed of the kills")
    return parser.parse_args()


def _joint(console: Console, turns: int, seeds: int) -> list[str]:
    towns = [Town(turns=turns, seed=seed) for seed in range(seeds)]
    best = sum(best_value(town) for town in towns)
    title = f"{towns[0].sites} agents share {towns[0].total} workers, {turns} turns of 5 minutes, {seeds} seeds"
    table = Table("rule", "of the joint optimum", "most workers out", "processor ms a turn", title=title)
    results: dict[str, list[TownResult]] = {}
    for rule in RULES:
        begun_s = time.process_time()
        results[rule] = [run_town(town, rule) for town in towns]
        share = sum(each.value for each in results[rule]) / best
        turn_ms = (time.process_time() - begun_s) * 1_000 / (turns * seeds * towns[0].sites)
        most = max(each.most_out for each in results[rule])
        table.add_row(rule, f"{share:.3f}", f"{most} of {towns[0].total}", f"{turn_ms:.0f}")
    console.print(table)
    share = sum(each.value for each in results["shared"]) / best
    most = max(each.most_out for each in results["shared"])
    short = [f"{share:.3f} of the joint optimum, {BAR} are asked for"] if share < BAR else []
    return [*short, *([f"{most} workers out, of {towns[0].total}"] if most > towns[0].total else [])]


def _kills(console: Console, kills: int, seed: int) -> list[str]:
    # A process that waits for another's threads would only seem to be killed at random.
    os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    begun_s = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / COORDINATOR).mkdir()
        result = run_kills(Path(folder), kills, seed)
    table = Table("kills", "most held", "acts", "of them more", "done twice", "untrue receipts", "leases", "s")
    table.title = f"kill -9 of a coordinator and four agents at random, seed {seed}"
    figures = (result.acts, result.rises, len(result.twice), len(result.untrue), result.leases)
    taken = f"{time.monotonic() - begun_s:.0f}"
    table.add_row(str(result.kills), f"{result.most} of {result.total}", *map(str, figures), taken)
    console.print(table)
    return result.troubles


if __name__ == "__main__":
    sys.exit(main())
