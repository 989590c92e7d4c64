"""`python -m benchmarks.control`: a web cluster on real traffic under each policy, and what each is worth.

Score 0 is the reactive policy, 1 is perfect foresight, paired by day. Results are kept under benchmarks/results.
It ends with 1 where the autoscaler that is fed our p90 misses its bar. `--quick` runs no loop, only the autoscalers.
"""

from __future__ import annotations

import argparse
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import repeat
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks.cluster.simulator import ClusterConfig
from benchmarks.control.contenders import FED, FORESIGHT, PLAIN, REACTIVE, TUNED, measure
from benchmarks.control.run import RunResult
from benchmarks.control.traffic import MATCH_DAYS, OTHER_DAYS, Calendar

ROOT = Path(__file__).resolve().parents[2]
CACHE = ROOT / "benchmarks" / "results" / "control"
Job = tuple[str, int]
BARS = {FED: 0.40}
AUTOSCALERS = [REACTIVE, "HPA", FED, FORESIGHT]


def main() -> int:
    """Run what is missing, print the tables; return 1 where a bar is missed over all days."""
    options = _options()
    calendar = Calendar.load(options.data, options.calendar_seed)
    groups = _groups(calendar, options.days)
    config = ClusterConfig(boot_delay_s=options.boot)
    jobs = [(day, seed) for days in groups.values() for day in days for seed in range(options.seeds)]
    work = partial(_measure, options=options, config=config)
    results: Results = {}
    if options.jobs > 1:
        with ProcessPoolExecutor(options.jobs) as pool:
            pairs = zip(jobs, pool.map(work, jobs), strict=True)
            results = dict(track(pairs, total=len(jobs), description="days"))
    else:
        results = {job: work(job) for job in track(jobs, description="days")}
    console = Console(width=120)
    console.print(
        f"peak {options.peak:g} requests/s scaled by the {options.scale_from}, "
        f"boot {options.boot:g} s, {options.seeds} seeds"
    )
    for name, days in groups.items():
        _print_group(console, name, {job: results[job] for job in jobs if job[0] in days})
    short = missed(results)
    for name, score in short.items():
        console.print(f"bar missed: {name} gains {score:.2f} over all days, {BARS[name]:.2f} are asked for")
    return int(bool(short))


def missed(results: Results) -> dict[str, float]:
    """Return the score over all days of each policy that misses its bar."""
    run = [name for name in BARS if name in next(iter(results.values()))]
    scores = {name: float(np.mean([*day_scores(results, name).values()])) for name in run}
    return {name: score for name, score in scores.items() if score < BARS[name]}


def _measure(job: Job, options: argparse.Namespace, config: ClusterConfig) -> dict[str, RunResult]:
    calendar = Calendar.load(options.data, options.calendar_seed)
    episode = calendar.episode(*job, peak=options.peak, scale_from=options.scale_from)
    # foreact is always shown both ways: as tuned for this cluster, and as a new user configures it.
    names = [*options.policies, TUNED, PLAIN, REACTIVE, FORESIGHT] if options.policies else None
    names = AUTOSCALERS if options.quick else names
    return measure(episode, config, CACHE, names)


def _groups(calendar: Calendar, chosen: str) -> dict[str, list[str]]:
    """Return the days to run, in groups: match days and others of the recording, or three made-up days."""
    if chosen not in {"match", "other", "all"}:
        return {"chosen days": chosen.split(",")}
    if MATCH_DAYS[0] not in calendar.names:
        return {"made-up days": calendar.names[-3:]}
    groups = {"match days": list(MATCH_DAYS), "other days": list(OTHER_DAYS)}
    return {name: days for name, days in groups.items() if chosen in {"all", name.split()[0]}}


def _print_group(console: Console, name: str, results: Results) -> None:
    policies = list(next(iter(results.values())))
    days = sorted({day for day, _ in results})
    columns = ["policy", "score", "90 % of days", "utility", "late", "servers", "dimmer", "actions"]
    sheet = Table(title=f"{name}: {', '.join(day.removeprefix('1998-') for day in days)}")
    for column, side in zip(columns, ["left", *repeat("right", len(columns) - 1)], strict=True):
        sheet.add_column(column, justify=side)  # type: ignore[arg-type]
    for row in table(results, policies):
        means = row.means
        figures = [f"{row.score:.2f}", f"{row.low:.2f} to {row.high:.2f}", f"{means.utility:.0f}"]
        counts = [f"{means.late_periods:.1f}", f"{means.servers:.2f}", f"{means.dimmer:.2f}"]
        sheet.add_row(row.policy, *figures, *counts, f"{means.actions:.0f}")
    console.print(sheet)
    for policy in policies:
        scores = day_scores(results, policy)
        console.print(f"  {policy:<24}" + "  ".join(f"{scores[day]:6.2f}" for day in days))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.control", description=__doc__)
    parser.add_argument("--data", type=Path, default=ROOT / "../shared/data", help="folder of the recordings")
    parser.add_argument("--days", default="all", help="match, other, all, or dates with commas between")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--peak", type=float, default=240.0, help="requests/s in the busiest period")
    parser.add_argument("--boot", type=float, default=180.0, help="boot delay in seconds")
    parser.add_argument("--scale-from", choices=["day", "past"], default="day")
    parser.add_argument("--policies", nargs="*", help="only these, besides foreact, reactive and foresight")
    parser.add_argument("--quick", action="store_true", help="the autoscalers only, fed and not, between 0 and 1")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--calendar-seed", type=int, default=0, help="seed of made-up days")
    return parser.parse_args()


Results = dict[tuple[str, int], dict[str, RunResult]]
"""What each policy reached, by (day, seed)."""
RESAMPLES = 4000


@dataclass(frozen=True)
class PolicyRow:
    """One policy over a set of days: its score with a 90 % interval, and its mean figures."""

    policy: str
    score: float
    low: float
    high: float
    means: RunResult


def day_scores(results: Results, policy: str) -> dict[str, float]:
    """Return each day's score: gains over the reactive policy, summed over seeds, as a share of foresight's."""
    gains: dict[str, list[float]] = {}
    for (day, _), by_policy in results.items():
        floor = by_policy[REACTIVE].utility
        gain, most = gains.setdefault(day, [0.0, 0.0])
        gains[day] = [gain + by_policy[policy].utility - floor, most + by_policy[FORESIGHT].utility - floor]
    return {day: gain / most for day, (gain, most) in gains.items()}


def table(results: Results, policies: list[str], seed: int = 0) -> list[PolicyRow]:
    """Return a row a policy; the interval comes from drawing days anew, for days differ and seeds hardly do."""
    rng = np.random.default_rng(seed)
    rows = []
    for policy in policies:
        scores = np.array(list(day_scores(results, policy).values()))
        draws = rng.choice(scores, size=(RESAMPLES, len(scores))).mean(axis=1)
        low, high = np.quantile(draws, [0.05, 0.95])
        rows.append(PolicyRow(policy, float(scores.mean()), float(low), float(high), _means(results, policy)))
    return rows


def _means(results: Results, policy: str) -> RunResult:
    runs = [by_policy[policy] for by_policy in results.values()]
    names = RunResult.__dataclass_fields__
    return RunResult(**{name: float(np.mean([getattr(one, name) for one in runs])) for name in names})


if __name__ == "__main__":
    raise SystemExit(main())
