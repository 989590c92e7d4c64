"""How well does the pattern room find what is there, and how often what is not?

    python -m benchmarks.patterns [--data ../shared/data] [--repeats 100] [--seed 0]

Simulated worlds with known patterns give power and false alarms of every detector, each beside a simpler rule on the
same worlds; the recordings of the Numenta Anomaly Benchmark (a synthetic stand-in without them) score the anomalies;
one full cycle is timed. One table; the ratio is to the baseline of the same row.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

import numpy as np

from benchmarks import patterns_nab as nab
from benchmarks import patterns_worlds as worlds
from tasks.patterns import SearchSettings, find_patterns
from tasks.patterns.comovement import find_comovement, spearman
from tasks.patterns.effects import find_effects, jumps_at_every_step
from tasks.patterns.inputs import DAY_S, Floats
from tasks.patterns.level_changes import find_changes
from tasks.patterns.recurrence import collapse_bursts, recurrence_of
from tasks.patterns.seasonality import find_seasonality
from tasks.patterns.sequences import find_sequences, followers

SETTINGS = SearchSettings()


@dataclass(frozen=True)
class FigureRow:
    what: str
    here: float
    baseline: float
    baseline_name: str
    bar: str = ""


def main() -> None:
    """Run every part and print one table."""
    arguments = _arguments()
    parts: tuple[Callable[[argparse.Namespace], Iterator[FigureRow]], ...] = (
        recurrence_rows,
        effect_rows,
        sequence_rows,
        change_rows,
        season_rows,
        comovement_rows,
        anomaly_rows,
        time_rows,
    )
    print(f"{'what':58} {'here':>8} {'baseline':>9} {'ratio':>7}  {'bar':10} baseline is")
    for part in parts:
        for row in part(arguments):
            ratio = f"{row.here / row.baseline:7.2f}" if row.baseline else "      –"
            print(f"{row.what:58} {row.here:8.3f} {row.baseline:9.3f} {ratio}  {row.bar:10} {row.baseline_name}")


def recurrence_rows(arguments: argparse.Namespace) -> Iterator[FigureRow]:
    """Yield the share of nightly and weekly jobs found, and of irregular events mistaken for one."""
    jobs: dict[str, tuple[float, str, Callable[[np.random.Generator], Floats]]] = {
        "nightly, 10 min jitter, 15 % missing, 7 days": (DAY_S, "", lambda rng: worlds.nightly_job(rng, 7)),
        "nightly, 10 min jitter, 15 % missing, 14 days": (DAY_S, "≥ .98", lambda rng: worlds.nightly_job(rng, 14)),
        "nightly, 10 min jitter, 15 % missing, 28 days": (DAY_S, "≥ .98", lambda rng: worlds.nightly_job(rng, 28)),
        "the same with one stray run in ten days": (
            DAY_S,
            "",
            lambda rng: worlds.nightly_job(rng, 28, stray_per_day=0.1),
        ),
        "weekly, 10 min jitter, 4 weeks": (7 * DAY_S, "", lambda rng: worlds.weekly_job(rng, 4)),
    }
    for name, (period_s, bar, job) in jobs.items():
        periods = [_recurrence(job(_rng(arguments, run)), period_s) for run in range(arguments.repeats)]
        yield FigureRow(f"recurrence found: {name}", *np.mean(periods, axis=0), "gap variation", bar)
    for expected in (5, 20, 100, 1000):
        alarms = [
            _recurrence(worlds.irregular(_rng(arguments, run), expected), None) for run in range(arguments.repeats)
        ]
        yield FigureRow(
            f"recurrence false: {expected} Poisson events", *np.mean(alarms, axis=0), "gap variation", "≤ .01"
        )


def _recurrence(times: Floats, period_s: float | None) -> tuple[bool, bool]:
    """Return whether the arc test and a rule on the variation of gaps call `times` recurrent (with that period)."""
    recurrence = recurrence_of(times, SETTINGS, worlds.END_S)
    by_arc = recurrence is not None and recurrence.p_value <= SETTINGS.recurrence_alpha
    gaps = np.diff(collapse_bursts(times, SETTINGS.burst_s))
    by_gaps = len(gaps) >= 2 and float(gaps.std() / gaps.mean()) < 0.3
    if period_s is None:
        return by_arc, by_gaps
    return by_arc and recurrence is not None and recurrence.period_s == period_s, by_gaps


def effect_rows(arguments: argparse.Namespace) -> Iterator[FigureRow]:
    """Yield false discovery proportion and power of event → metric, beside a t-test per pair at 5 %."""
    repeats = max(arguments.repeats // 2, 10)
    for name, bars, options in (
        ("10 effects in 200 pairs", ("≤ .10", "≥ .90"), {}),
        ("the same, heavy tails", ("≤ .10", ""), {"heavy": True}),
        ("10 effects in 800 pairs", ("≤ .10", "≥ .90"), {"n_types": 40}),
    ):
        here, uncorrected = [], []
        for run in range(repeats):
            world = worlds.effect_world(_rng(arguments, run), **options)  # type: ignore[arg-type]
            effects = find_effects(world.frame, SETTINGS, worlds.END_S)
            pairs = {(str(f.evidence["event_type"]), str(f.evidence["metric"])) for f in effects}
            here.append(_rates(pairs, world.truth))
            uncorrected.append(_rates(_t_test_effects(world), world.truth))
        for column, rate in enumerate(("false discoveries", "power")):
            yield FigureRow(
                f"effect {rate}: {name}",
                float(np.mean(here, axis=0)[column]),
                float(np.mean(uncorrected, axis=0)[column]),
                "t-test at 5 %",
                bars[column],
            )


def _t_test_effects(world: worlds.PatternWorld) -> set[tuple[str, str]]:
    frame = world.frame
    jumps = jumps_at_every_step(frame.values, 6)
    types, effects = np.asarray(frame.event_types), set()
    for kind in np.unique(types):
        at = np.ceil((frame.event_times_s[types == kind] - frame.step_times_s[0]) / frame.step_s).astype(int)
        own = jumps[:, at[(at >= 6) & (at <= jumps.shape[1] - 6)]]
        t = own.mean(axis=1) / (own.std(axis=1, ddof=1) / np.sqrt(own.shape[1]))
        effects |= {(str(kind), frame.names[row]) for row in np.flatnonzero(np.abs(t) > 2.0)}
    return effects


def sequence_rows(arguments: argparse.Namespace) -> Iterator[FigureRow]:
    """Yield false discovery proportion and power of A → B, beside "twice as often as its rate says"."""
    for shape in ("poisson", "bursty", "daily"):
        here, by_lift = [], []
        for run in range(max(arguments.repeats // 2, 10)):
            world = worlds.sequence_world(_rng(arguments, run), shape=shape)
            sequences = find_sequences(world.frame, SETTINGS, worlds.END_S)
            here.append(_rates({(str(f.evidence["first"]), str(f.evidence["then"])) for f in sequences}, world.truth))
            by_lift.append(_rates(_lifted_pairs(world), world.truth))
        for column, rate, bar in ((0, "false discoveries", "≤ .10"), (1, "power", "≥ .90")):
            yield FigureRow(
                f"sequence {rate}: {shape} events",
                float(np.mean(here, axis=0)[column]),
                float(np.mean(by_lift, axis=0)[column]),
                "lift ≥ 2",
                bar,
            )


def _lifted_pairs(world: worlds.PatternWorld) -> set[tuple[str, str]]:
    events = world.frame.events_between(-np.inf, worlds.END_S)
    pairs = set()
    for first, first_s in events.items():
        for then, then_s in events.items():
            share = np.isfinite(followers(first_s, then_s, SETTINGS.sequence_window_s)).mean()
            by_rate = 1 - np.exp(-len(then_s) * SETTINGS.sequence_window_s / (7 * DAY_S))
            if first != then and share >= 2 * by_rate:
                pairs.add((first, then))
    return pairs


def _rates(claimed: set[tuple[str, str]], truth: frozenset[tuple[str, str]]) -> tuple[float, float]:
    """Return (share of false among found, share found of the true); a true pair reversed counts as neither."""
    false = [pair for pair in claimed if pair not in truth and pair[::-1] not in truth]
    return len(false) / max(len(claimed), 1), len(claimed & truth) / max(len(truth), 1)


def change_rows(arguments: argparse.Namespace) -> Iterator[FigureRow]:
    """Yield the share of level shifts placed within an hour, and shifts seen where there is none, a series."""
    repeats = max(arguments.repeats // 10, 5)
    for memory in (0.0, 0.8, 0.95):
        hits, extra, plain_hits, plain_extra = [], [], [], []
        for run in range(repeats):
            values, at = worlds.shift_world(_rng(arguments, run), memory)
            changes = [
                (f.subject, int(str(f.evidence["step"]))) for f in find_changes(worlds.frame_of(values), SETTINGS)
            ]
            plain = [(f"m{row}", step) for row, series in enumerate(values) for step in _plain_changes(series)]
            for pairs, hit, false in ((changes, hits, extra), (plain, plain_hits, plain_extra)):
                hit += [
                    any(name == f"m{row}" and abs(step - s) <= 12 for name, step in pairs) for row, s in enumerate(at)
                ]
                false.append(sum(int(name[1:]) >= len(at) for name, _ in pairs) / (len(values) - len(at)))
        name = f"2.5 sd, memory {memory:g}"
        yield FigureRow(f"change point found: {name}", float(np.mean(hits)), float(np.mean(plain_hits)), "BIC penalty")
        yield FigureRow(
            f"change points false a series: {name}", float(np.mean(extra)), float(np.mean(plain_extra)), "BIC penalty"
        )


def _plain_changes(series: Floats) -> list[int]:
    """Return change points under the usual penalty for independent noise, on the same means of four steps."""
    from ruptures import KernelCPD

    points = series[: len(series) // 4 * 4].reshape(-1, 4).mean(axis=1)
    variance = float(np.median(np.abs(np.diff(points))) / 0.6745) ** 2 / 2
    ends = KernelCPD(kernel="linear", min_size=3).fit(points).predict(pen=2 * np.log(len(points)) * variance)
    return [4 * end for end in ends[:-1]]


def season_rows(arguments: argparse.Namespace) -> Iterator[FigureRow]:
    """Yield how often a daily wave is found and one seen where there is none, beside in-sample variance ≥ 5 %."""
    for memory in (0.0, 0.8, 0.95):
        found, false, plain_found, plain_false = [], [], [], []
        for run in range(max(arguments.repeats // 10, 5)):
            values = worlds.noise(_rng(arguments, run), 20, 7 * worlds.DAY_STEPS, memory)
            values[:10] += np.sin(2 * np.pi * np.arange(values.shape[1]) / worlds.DAY_STEPS)
            rows = {
                int(f.subject[1:])
                for f in find_seasonality(worlds.frame_of(values), SETTINGS, run)
                if f.evidence["clock"] == "day"
            }
            by_day = values.reshape(20, 7, -1)
            explained = by_day.mean(axis=1).var(axis=1) / values.var(axis=1)
            for seen, hits, misses in (
                (rows, found, false),
                (set(np.flatnonzero(explained >= 0.05).tolist()), plain_found, plain_false),
            ):
                hits.append(sum(row < 10 for row in seen) / 10)
                misses.append(sum(row >= 10 for row in seen) / 10)
        yield FigureRow(
            f"season found: wave of 1 sd, memory {memory:g}", np.mean(found), np.mean(plain_found), "in sample"
        )
        yield FigureRow(f"season false: memory {memory:g}", np.mean(false), np.mean(plain_false), "in sample", "≤ .10")


def comovement_rows(arguments: argparse.Namespace) -> Iterator[FigureRow]:
    """Yield the share of unrelated pairs called related, beside rank correlations of levels, and of groups found."""
    false, by_level, hits = [], [], []
    for run in range(max(arguments.repeats // 5, 10)):
        rng = _rng(arguments, run)
        values = worlds.noise(rng, 20, 7 * worlds.DAY_STEPS, 0.95) + worlds.daily_waves(rng, 20, 7 * worlds.DAY_STEPS)
        pairs = np.triu_indices(20, 1)
        correlation, _ = spearman(values)
        # The usual p-value takes every step for independent.
        by_level.append(float((np.abs(correlation[pairs]) > 1.96 / np.sqrt(values.shape[1])).mean()))
        groups = find_comovement(worlds.frame_of(values), SETTINGS)
        false.append(sum(len(f.evidence["pairs"]) for f in groups) / len(pairs[0]))  # type: ignore[arg-type]
        values[:3] += worlds.noise(rng, 1, values.shape[1], 0.95)
        hits.append(any(f.subject == "m0, m1, m2" for f in find_comovement(worlds.frame_of(values), SETTINGS)))
    yield FigureRow(
        "co-movement false: unrelated pairs", float(np.mean(false)), float(np.mean(by_level)), "levels at 5 %"
    )
    yield FigureRow("co-movement found: group of three", float(np.mean(hits)), 0.0, "")


def anomaly_rows(arguments: argparse.Namespace) -> Iterator[FigureRow]:
    """Yield the NAB standard-profile score, window recall and false flags, at the best threshold and at the default."""
    present = (arguments.data / "nab" / "combined_windows.json").exists()
    recordings = nab.recorded(arguments.data) if present else nab.synthetic(arguments.seed)
    corpus = "NAB" if present else "synthetic NAB"
    detectors = {
        "residual ÷ tail, alerts": nab.room_alerts,
        "residual ÷ tail": nab.room_detector,
        "residual ÷ MAD": nab.residual_over_mad,
    }
    gaussian = [nab.windowed_gaussian(recording.values) for recording in recordings]
    base = nab.nab_score(recordings, gaussian)
    for name, detector in detectors.items():
        scores = [detector(recording.values) for recording in recordings]
        best = nab.nab_score(recordings, scores)
        threshold = f"best threshold {best.threshold:.2f}"
        yield FigureRow(f"{corpus} score: {name}, {threshold}", best.score, base.score, "windowed Gaussian")
        yield FigureRow(f"{corpus} window recall there", best.window_recall, base.window_recall, "windowed Gaussian")
        yield FigureRow(
            f"{corpus} false flag rate there, %", 100 * best.false_flag_rate, 100 * base.false_flag_rate, "same"
        )
        at_rate = nab.recall_at(recordings, scores)
        yield FigureRow(
            f"{corpus} window recall at .2 % false flags: {name}",
            at_rate,
            nab.recall_at(recordings, gaussian),
            "windowed Gaussian",
            "≥ .61",
        )
        if detector is nab.room_alerts:
            ours = nab.nab_score(recordings, scores, SETTINGS.anomaly_threshold)
            yield FigureRow(
                f"{corpus} score at the default threshold", ours.score, base.score, "windowed Gaussian, best"
            )


def time_rows(arguments: argparse.Namespace) -> Iterator[FigureRow]:
    """Yield the seconds of one cycle over 20 series × 2016 steps and 2,000 events, beside reading the input once."""
    rng = _rng(arguments, 0)
    values = worlds.noise(rng, 20, 2016, 0.8) + worlds.daily_waves(rng, 20, 2016)
    times = worlds.END_S - rng.random(2000) * 28 * DAY_S
    frame = worlds.frame_of(values, [f"e{kind}" for kind in rng.integers(0, 20, 2000)], times)
    find_patterns(frame, SETTINGS, worlds.END_S, 0)
    here = min(_seconds(lambda: find_patterns(frame, SETTINGS, worlds.END_S, 0)) for _ in range(5))
    sorting = min(_seconds(lambda: np.sort(values, axis=1)) for _ in range(5))
    yield FigureRow("seconds a cycle: 20 series × 2016, 2,000 events", here, sorting, "sorting the series", "< 0.5")


def _seconds(call: Callable[[], object]) -> float:
    start = perf_counter()
    call()
    return perf_counter() - start


def _rng(arguments: argparse.Namespace, run: int) -> np.random.Generator:
    return np.random.default_rng([arguments.seed, run])


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(__file__).parents[1] / "../shared/data")
    parser.add_argument("--repeats", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


if __name__ == "__main__":
    main()
