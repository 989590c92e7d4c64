"""How honest is the measurement? Placebo actions on real series, and the worked examples of CausalImpact.

    python -m benchmarks.impact [--data ../shared/data] [--series 80] [--half b] [--seed 0]

The loop runs over recorded series, a turn every half hour, and does nothing. Then `placebo_trials`, which is what
`foreact evaluate --placebo` calls, measures acts that never were, as the loop measures its own: every effect found is
false. Placebos lie at random moments, and at moments at which the metric had just gone high, which is when a loop acts.
Series are halved by name: nothing is tuned on half b. A before/after t-test on the same windows is printed beside it.
"""

from __future__ import annotations

import argparse
import csv
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
from scipy.special import stdtr

from benchmarks.forecast_sets import DEFAULT_DATA, half_of
from benchmarks.rolling import DAY_STEPS, FloatArray, recorded_series
from flows.simulate import simulate
from flows.wiring import live_context
from handlers.worlds.replay import Recording, ReplayWorld
from settings import Settings, load_settings
from storage import Store
from storage.records import Outcome, Sample, Verdict
from storage.samples import SampleColumns
from tasks.measure import (
    Control,
    Effect,
    ErrorLedger,
    PlaceboTrial,
    build_ledger,
    measure_effect,
    placebo_trials,
    shared_ratio,
    widening,
)

HORIZONS = (20, 60, 200)
STEP = timedelta(minutes=5)
START = datetime(2026, 3, 2, tzinfo=UTC)
EVERY_STEPS = 6
SERIES_STEPS = 8 * DAY_STEPS
FIRST_TURN = 3 * DAY_STEPS
PLACEBOS = 15
BARS = {"random": 0.06, "high": 0.10}
LEAST_COVERAGE, LEAST_FOUND = 0.87, 0.85


@dataclass(frozen=True)
class Placebo:
    """What was found where nothing had been done, and whether a shift of two standard deviations would have shown."""

    series: str
    horizon: int
    placed: str
    is_false_alarm: bool
    covers: bool
    reach: float
    in_errors: float
    finds_shift: bool
    t_test_alarm: bool
    verdict: Verdict


def observed_loop(series: Sequence[tuple[str, FloatArray]], settings: Settings) -> Store:
    """Run the loop over series without any action; return its store."""
    samples = sorted(
        (
            Sample(metric=name, value=float(value), ts=START + STEP * step)
            for name, values in series
            for step, value in enumerate(values[:SERIES_STEPS])
            if np.isfinite(value)
        ),
        key=lambda sample: sample.ts,
    )
    ticks = [START + STEP * step for step in range(FIRST_TURN, SERIES_STEPS, EVERY_STEPS)]
    return simulate(ReplayWorld(Recording(SampleColumns.of(samples))), settings, ticks, actions={}).store


def plain_settings(folder: Path, horizon: int = HORIZONS[0]) -> Settings:
    """Return the defaults, with a horizon in steps."""
    return load_settings(
        folder,
        home=folder,
        use_default_objectives=False,
        executor={"measure_horizon_seconds": horizon * STEP.total_seconds()},
    )


def placebos(
    series: Sequence[tuple[str, FloatArray]], folder: Path, seed: int, horizons: Sequence[int] = HORIZONS
) -> Iterator[Placebo]:
    """Put placebo actions on series at every horizon, at random and right after they went high."""
    named = {f"{name}#{place}": values for place, (name, values) in enumerate(series)}
    metrics = {f"series_{place}": name for place, name in enumerate(named)}
    store = observed_loop(list(zip(metrics, named.values(), strict=True)), plain_settings(folder))
    end = START + STEP * (SERIES_STEPS - 1)
    for horizon in horizons:
        context = live_context(plain_settings(folder, horizon), store, end, actions={})
        for trial in placebo_trials(context, list(metrics), PLACEBOS, seed):
            if trial.outcome.standard_error is not None:
                name = metrics[trial.act.series]
                yield _placebo(trial, name, named[name], horizon)
    store.close()


def _placebo(trial: PlaceboTrial, name: str, values: FloatArray, horizon: int) -> Placebo:
    outcome, now = trial.outcome, round((trial.act.moment - START) / STEP)
    sd = _metric_sd(outcome)
    low, high = outcome.low or 0.0, outcome.high or 0.0
    return Placebo(
        name,
        horizon,
        trial.act.placed,
        trial.is_false_alarm,
        low <= 0 <= high,
        trial.reach,
        trial.in_errors,
        high - 2 * sd < 0,
        t_test_p_value(values[max(0, now + 1 - horizon) : now + 1], values[now + 1 :][:horizon]) < 0.05,
        outcome.verdict,
    )


def _metric_sd(outcome: Outcome) -> float:
    """Return the metric's standard deviation, 0 where the outcome does not tell."""
    error, in_sd_units = outcome.standard_error, outcome.standard_error_sd_units
    return error / in_sd_units if error is not None and in_sd_units else 0.0


def t_test_p_value(before: FloatArray, after: FloatArray) -> float:
    """Return the p-value of Welch's t-test of two stretches of a metric, taking their values as
    independent."""
    variances = before.var(ddof=1) / len(before), after.var(ddof=1) / len(after)
    total = sum(variances)
    if total <= 0:
        return float(before[0] == after[0])
    freedom = total**2 / (variances[0] ** 2 / (len(before) - 1) + variances[1] ** 2 / (len(after) - 1))
    return float(2 * stdtr(freedom, -abs(after.mean() - before.mean()) / np.sqrt(total)))


def table(trials: list[Placebo]) -> str:
    """Lay the placebo results out, one line a horizon and placement; ± is one standard error over series."""
    lines = [
        f"{'horizon':>7} {'placed':>7} {'n':>5}  {'false alarms':>15} {'bar':>5} {'t-test':>7}  "
        f"{'90 % covers':>13} {'2-sd shifts':>11}  {'no effect':>9} {'inconclusive':>12}"
    ]
    for horizon in HORIZONS:
        for placed, bar in BARS.items():
            rows = [row for row in trials if row.horizon == horizon and row.placed == placed]
            if not rows:
                continue
            alarms = np.array([row.is_false_alarm for row in rows])
            lines.append(
                f"{horizon:>7} {placed:>7} {len(rows):>5}  "
                f"{alarms.mean():>7.3f} ± {clustered_error(rows):.3f} {bar:>5} "
                f"{np.mean([row.t_test_alarm for row in rows]):>7.3f}  "
                f"{np.mean([row.covers for row in rows]):>13.3f} "
                f"{np.mean([row.finds_shift for row in rows]):>11.3f}  "
                f"{np.mean([row.verdict is Verdict.NO_EFFECT for row in rows]):>9.2f} "
                f"{np.mean([row.verdict is Verdict.INCONCLUSIVE for row in rows]):>12.2f}"
            )
    return "\n".join(lines)


def clustered_error(rows: list[Placebo]) -> float:
    """Return the standard error of the false-alarm rate, taking each series as one cluster."""
    alarms = np.array([row.is_false_alarm for row in rows], dtype=np.float64)
    names = np.array([row.series for row in rows])
    off = alarms - alarms.mean()
    sums = [off[names == name].sum() for name in np.unique(names)]
    return float(np.sqrt(np.sum(np.square(sums))) / len(rows))


@dataclass(frozen=True)
class Example:
    """A worked example of CausalImpact: its file, target, controls, length of the part after, what R's run
    added, R's answer."""

    name: str
    target: str
    controls: tuple[str, ...]
    after_steps: int
    added: float
    r_effect: float
    r_is_significant: bool


# R's own summary of the first example has 3637 as the sum of what was observed, the file 3607: R's run added one
# to each of the 30 steps after the action, and so does this one.
EXAMPLES = (
    Example("arma_data", "y", ("X",), 30, 1.0, 0.89, True),
    Example("comparison_data", "CHANGED", ("NOT_CHANGED_1", "NOT_CHANGED_2", "NOT_CHANGED_3"), 18, 0.0, -657, False),
    Example("basque", "Basque", ("another",), 22, 0.0, -0.76, True),
)


def examples(data: Path) -> str:
    """Measure the worked examples and hold them against the R package's published summaries."""
    folder = data / "causalimpact"
    if not folder.exists():
        return "worked examples: the data is not here"
    lines = [
        f"{'example':>16} {'R effect':>9} {'R sig.':>7}  {'here':>9} {'90 % interval':>20} {'p':>6}  verdict, agreement"
    ]
    for example in EXAMPLES:
        with (folder / f"{example.name}.csv").open() as rows:
            columns = {
                name: np.array(values)
                for name, values in _columns(csv.DictReader(rows), (example.target, *example.controls)).items()
            }
        lines.append(_example_line(example, columns))
    return "\n".join(lines)


def _columns(rows: csv.DictReader[str], names: tuple[str, ...]) -> dict[str, list[float]]:
    table = list(rows)
    return {name: [float(row[name]) for row in table] for name in names}


def _example_line(example: Example, columns: dict[str, FloatArray]) -> str:
    after = example.after_steps
    now = len(columns[example.target]) - after - 1
    columns[example.target][now + 1 :] += example.added
    parts = {name: _issued(values, now, after) for name, values in columns.items()}
    forecast, ledger = parts[example.target]
    controls = [Control(name, columns[name][now + 1 :], *parts[name]) for name in example.controls]
    effect = measure_effect(columns[example.target][now + 1 :], forecast, ledger, controls=controls)
    line = (
        f"{example.name:>16} {example.r_effect:>9.2f} {example.r_is_significant!s:>7}  {effect.estimate:>9.2f} "
        f"{f'{effect.low:.2f} to {effect.high:.2f}':>20} {effect.p_value:>6.3f}  {effect.verdict}"
    )
    return f"{line}\n{'':>16} {_agreement(example, effect)}"


def _agreement(example: Example, effect: Effect) -> str:
    """Say whether sign and significance are those of R, and why where they are not."""
    used = ", ".join(effect.controls_used) or "none of use"
    about = (
        f"judged by {effect.window_steps} of {example.after_steps} steps against {effect.past_windows:.0f} "
        f"past windows, controls: {used}"
    )
    sign = "same sign" if effect.estimate * example.r_effect > 0 else "other sign"
    is_effect = effect.verdict in {Verdict.IMPROVED, Verdict.WORSE}
    if is_effect == example.r_is_significant:
        return f"{sign}, same significance ({about})"
    return f"{sign}, other significance: there is too little past to judge more ({about})"


def _issued(values: FloatArray, now: int, after: int) -> tuple[FloatArray, ErrorLedger]:
    """Forecast a short series by its mean so far, step by step; return the last forecast, and the others'
    ledger.

    The examples are too short to know any rhythm; as in the R package, it is the controls that explain them.
    """
    origins = np.arange(4, now + 1)
    means = np.cumsum(values)[origins] / (origins + 1)
    forecasts = np.repeat(means[:, None], after, axis=1)
    return forecasts[-1], build_ledger(values, forecasts, origins, steps_per_day=20, now=now)


def told_own_error(trials: list[Placebo]) -> str:
    """Say by what the insights' intervals would be widened on these series."""
    by_series: dict[str, list[float]] = {}
    for each in trials:
        by_series.setdefault(each.series, []).append(each.in_errors)
    factor = widening(np.array([each.reach for each in trials]))
    shared = shared_ratio([np.array(each) for each in by_series.values()])
    return (
        f"intervals hold .90 when {factor:.2f} times as wide; outcomes on a series share {shared:.2f} standard errors"
    )


def main() -> None:
    """Run the benchmark and print its tables."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    arguments.add_argument("--data", type=Path, default=DEFAULT_DATA)
    arguments.add_argument("--series", type=int, default=80)
    arguments.add_argument("--half", choices=("a", "b", "both"), default="b", help="b was not used for tuning")
    arguments.add_argument("--seed", type=int, default=0)
    given = arguments.parse_args()
    series = recorded_series(given.data, 2 * given.series, given.seed)
    series = [each for each in series if given.half in ("both", half_of(each[0]))][: given.series]
    with tempfile.TemporaryDirectory() as folder:
        trials = list(placebos(series, Path(folder), given.seed))
    print(
        f"{len(series)} series of half {given.half}, {len(trials)} placebo actions, a turn every {EVERY_STEPS} steps\n"
    )
    print(table(trials), end="\n\n")
    print(f"bars: coverage >= {LEAST_COVERAGE}; 2-sd shift found at horizon 60 >= {LEAST_FOUND}")
    print(told_own_error(trials), end="\n\n")
    print(examples(given.data))


if __name__ == "__main__":
    main()
