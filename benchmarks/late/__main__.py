"""`python -m benchmarks.late`: is what acts do hours later, or when repeated, learned, and nothing where nothing is?

A planner that goes by an act's first hour lives each world twice, with what was learned as a shadow and where it may
act once it is admitted. Then choices are logged in worlds in which no act does anything: how often what is learned
would be admitted there is to stay at 5 %. It ends with 1 where a bar is missed.
"""

from __future__ import annotations

import argparse
import warnings

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.late.late_worlds import WORLDS, AtOnce, NoEffect
from benchmarks.late.short_sighted import ShortSighted, TwoLives, run_both
from benchmarks.worlds.policies import play

MOST_FALSE_RATIO = 0.05
MOST_HARM_RATIO = 0.02
"""By how much it may cost more to let it act in a world without late effects."""


def main() -> int:
    """Run the worlds, print what they came to, and tell whether the bars hold."""
    options, console = _options(), Console()
    warnings.simplefilter("ignore")
    late = _worlds(console, options.world, options.seeds, options.days)
    null = _null(console, options.null_seeds, options.days) if not options.world else True
    return int(not (late and null))


def _worlds(console: Console, asked: list[str] | None, seeds: int, days: float) -> bool:
    kinds = [kind for name, kind in WORLDS.items() if not asked or any(part in name for part in asked)]
    table = Table("world", "admitted", "on day", "taken back", "cost as a shadow", "cost where it acts", "from then on")
    holds = True
    for kind in (each for each in kinds if each is not NoEffect):
        runs = [run_both(kind, seed, days) for seed in range(seeds)]
        table.add_row(kind.name, *_row(runs))
        more = sum(each.acting for each in runs) / sum(each.shadow for each in runs) - 1
        holds &= more <= MOST_HARM_RATIO if kind is AtOnce else more <= 0
    console.print(table)
    return holds


def _row(runs: list[TwoLives]) -> tuple[str, ...]:
    admitted = [each for each in runs if each.admitted_on]
    days = ", ".join(f"{each.admitted_on[0]:.0f}" for each in admitted)
    back = sum(len(each.taken_back_on) for each in runs)
    shadow, acting, before, after = np.mean(
        [[each.shadow, each.acting, each.shadow_after, each.acting_after] for each in runs], axis=0
    )
    counted = f"{len(admitted)} of {len(runs)}"
    return counted, days, str(back), f"{shadow:.1f}", f"{acting:.1f}", f"{before:.1f} → {after:.1f}"


def _null(console: Console, seeds: int, days: float) -> bool:
    """Tell whether a policy is admitted seldom enough where no act does anything; it never acts here."""
    planners = [ShortSighted(NoEffect(seed, days), acts=False) for seed in range(seeds)]
    for planner in planners:
        play(planner.world, planner)
    false = sum(bool(planner.admitted_on) for planner in planners)
    console.print(f"no act does anything: admitted in {false} of {seeds} worlds of {days:.0f} days")
    return false <= MOST_FALSE_RATIO * seeds


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.late", description=__doc__)
    parser.add_argument("--world", nargs="*", help=f"only those whose name holds one of these: {'; '.join(WORLDS)}")
    parser.add_argument("--seeds", type=int, default=4, help="seeds of each world")
    parser.add_argument("--null-seeds", type=int, default=60, help="seeds of the world without any effect")
    parser.add_argument("--days", type=float, default=60.0, help="how long each world lasts")
    return parser.parse_args()


if __name__ == "__main__":
    raise SystemExit(main())
