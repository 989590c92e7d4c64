"""Does the twin tell what comes? Bands foretold with acts in small worlds, against what then happened.

    python -m benchmarks.acts_foretold.twin [--days 2] [--seeds 2] [--world acts]

The loop runs in worlds that know what each act does, configured by objectives and actions alone. Before each act the
twin's fan with it is fixed, from the forecast and from what was believed then; after it, what came is held against the
90 % band. Beside it stands the band without the act, which is what one would expect of an act that does nothing. Ends
with 1 where the bands of all worlds together hold fewer than .87 or more than .93.
"""

from __future__ import annotations

import argparse
import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.worlds import acts
from benchmarks.worlds.against_truth import Share, plain_settings
from benchmarks.worlds.simulated_world import SteppedWorld
from flows.simulate import simulate
from storage.records import Outcome

LEAST, MOST = 0.87, 0.93
WORLDS: dict[str, type[SteppedWorld]] = {
    kind.name: kind for kind in (acts.FourActs, acts.Late, acts.Lingering, acts.TwoActs, acts.Targets)
}


def held(outcomes: Sequence[Outcome]) -> tuple[Share, Share]:
    """Return how many observations the bands with the acts held, and those without."""
    with_act, without = Share(), Share()
    for outcome in outcomes:
        told = outcome.evidence.get("what_if")
        if told is None:
            continue
        with_act += Share(told["held"], told["seen"])
        seen, low, high = (np.array(outcome.evidence[name], dtype=float) for name in ("observed", "low", "high"))
        known = np.isfinite(seen)
        without += Share(int(((seen >= low) & (seen <= high))[known].sum()), int(known.sum()))
    return with_act, without


def measured(kind: type[SteppedWorld], seed: int, days: float) -> tuple[int, Share, Share]:
    """Run the loop in a world; return how many acts were foretold, and what the bands held."""
    world = kind(seed, days)
    with tempfile.TemporaryDirectory() as folder:
        store = simulate(world, plain_settings(world, Path(folder)), world.ticks).store
        outcomes = store.outcomes.targets()
    return sum("what_if" in each.evidence for each in outcomes), *held(outcomes)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the worlds, print the table; return 1 where the bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--days", type=float, default=2.0)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--world", nargs="*", default=[""], help="only those whose name holds one of these")
    given = parser.parse_args(arguments)
    # What a library warns of inside the loop would hide the table.
    warnings.simplefilter("ignore")
    print(f"{'world':>32} {'acts':>5} {'observations':>12} {'with the act':>13} {'without it':>11}")
    total, plain, acted = Share(), Share(), 0
    for name, kind in WORLDS.items():
        if not any(part in name for part in given.world):
            continue
        runs = [measured(kind, seed, given.days) for seed in range(given.seeds)]
        count = sum(run[0] for run in runs)
        own, without = sum((run[1] for run in runs), Share()), sum((run[2] for run in runs), Share())
        print(f"{name:>32} {count:>5} {own.of:>12} {own.ratio:>13.3f} {without.ratio:>11.3f}", flush=True)
        total, plain, acted = total + own, plain + without, acted + count
    print(f"{'all':>32} {acted:>5} {total.of:>12} {total.ratio:>13.3f} {plain.ratio:>11.3f}   bar {LEAST} to {MOST}")
    return int(not LEAST <= total.ratio <= MOST)


if __name__ == "__main__":
    raise SystemExit(main())
