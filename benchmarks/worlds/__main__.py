"""`python -m benchmarks.worlds`: small worlds with a known truth, the loop in each as a new user configures it.

A score of 0 is the rule that people use today, 1 an oracle that knows the world and its future. `--quick` runs one seed
of two days. It ends with 1 where a row is broken beyond chance, naming it.
"""

from __future__ import annotations

import argparse
import json
import os
import warnings
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.progress import track

from benchmarks.worlds import acts, bloat, cluster, disk, faults, healthy_fleet, pool, saturation, stalled, work_pool
from benchmarks.worlds.against_truth import Figures, run_world
from benchmarks.worlds.score_table import BROKEN, Runs, safety, show
from benchmarks.worlds.simulated_world import SteppedWorld

ROOT = Path(__file__).resolve().parents[2]
QUICK_DAYS = 2.0
LONGER = frozenset(
    each.name
    for each in (
        *(
            disk.IrreversibleDisk,
            acts.Flip,
            acts.Unsaid,
            acts.Lingering,
            acts.Outlasting,
            acts.TriedPair,
            acts.DeclaredPair,
        ),
        *(faults.PainfulFaults, faults.SparseFaults, bloat.Bloat, saturation.Saturation),
    )
)
"""Worlds that two days hardly tell from the one that they vary, or that `make bench-composed` judges."""

WORLDS: dict[str, type[SteppedWorld]] = {
    kind.name: kind
    for kind in (
        *(
            pool.Pool,
            pool.DrivenPool,
            disk.Disk,
            disk.IrreversibleDisk,
            disk.DeclaredDisk,
            healthy_fleet.HealthyFleet,
            healthy_fleet.YoungFleet,
        ),
        *(acts.FourActs, acts.Flip, acts.Unsaid, acts.Late, acts.Lingering, acts.Outlasting, acts.TwoActs),
        *(
            acts.OpposedActs,
            acts.DeclaredConflict,
            acts.Targets,
            acts.Shifts,
            acts.Pair,
            acts.TriedPair,
            acts.DeclaredPair,
        ),
        *(faults.Faults, faults.PainfulFaults, faults.SparseFaults, faults.CountedFaults, stalled.Stalled),
        *(bloat.Bloat, saturation.Saturation, work_pool.Flows),
    )
}
NAMES = (cluster.PLAIN, cluster.TUNED, *WORLDS)
Job = tuple[str, int]


def main() -> int:
    """Run, print the table, and say what is broken."""
    options = _options()
    known = [name for name in NAMES if not options.quick or name not in LONGER]
    names = [name for name in known if not options.world or any(part in name for part in options.world)]
    jobs = [(name, seed) for name in names for seed in range(options.seeds or (1 if options.quick else 3))]
    work = partial(measure, days=options.days or (QUICK_DAYS if options.quick else None), data=options.data)
    console = Console(width=max(150, Console().width))
    if options.jobs > 1:
        with ProcessPoolExecutor(options.jobs) as workers:
            runs = list(track(workers.map(work, jobs), total=len(jobs), description="worlds"))
    else:
        runs = [work(job) for job in track(jobs, description="worlds")]
    results: Runs = {name: [each for each in runs if each.world == name] for name in names}
    show(console, results)
    if options.json:
        options.json.write_text(json.dumps([each.to_record() for each in runs], indent=2))
    return int(any(rule.word == BROKEN for rule in safety(results)))


def measure(job: Job, days: float | None, data: Path) -> Figures:
    """Run one seed of one world, for so many days or as long as the world asks for."""
    name, seed = job
    # What a library warns of inside the loop would hide the table.
    warnings.simplefilter("ignore")
    if name not in WORLDS:
        return cluster.run(name, seed, data)
    return run_world(WORLDS[name], seed, days or WORLDS[name].usual_days)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.worlds", description=__doc__)
    parser.add_argument("--world", nargs="*", help=f"only those whose name holds one of these: {'; '.join(NAMES)}")
    parser.add_argument(
        "--quick", action="store_true", help=f"one seed, two days, without {' and '.join(sorted(LONGER))}"
    )
    parser.add_argument("--seeds", type=int, help="3, or 1 with --quick")
    parser.add_argument("--days", type=float, help=f"{QUICK_DAYS:g} with --quick, else what each world asks for")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes")
    parser.add_argument("--json", type=Path, help="write all figures to this file")
    parser.add_argument("--data", type=Path, default=ROOT / "../shared/data", help="folder of the recordings")
    return parser.parse_args()


if __name__ == "__main__":
    raise SystemExit(main())
