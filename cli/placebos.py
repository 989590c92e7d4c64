"""`foreact evaluate --placebo`: how often the measurement of effects is wrong on the metrics of this store."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from fnmatch import fnmatchcase
from typing import Any

import numpy as np

from cli import show
from flows.backtest import rehearsal
from flows.wiring import live_context
from settings import Settings
from storage import Store
from storage.errors import ForeactError
from storage.facts import PLACEBOS, PlaceboFigures, PlaceboRate
from storage.records import Outcome, Verdict
from tasks.context import Context
from tasks.measure import PlaceboTrial, placebo_trials, shared_ratio, widening
from tasks.text import percent

MOST_SERIES = 40
PER_SERIES = 8
FEWEST_PLACEBOS = 20
REPLAY_EVERY_S = 1_800.0
Advance = Callable[[int, int], None]


@dataclass(frozen=True)
class PlaceboQuestion:
    """Which series to check, over how many days where their forecasts must be made anew, and the seed of the draw."""

    days: float
    series: str = "*"
    seed: int = 0


def check_placebos(
    store: Store, settings: Settings, now: datetime, question: PlaceboQuestion, advance: Advance | None = None
) -> PlaceboFigures:
    """Measure placebos on a store's own metrics, and keep the figures for the report and the insights.

    They are held against the forecasts that the loop issued; where it issued too few, the recorded history is replayed
    first, without acting. Raises `history_empty` where neither gives enough.
    """
    trials = _trials(live_context(settings, store, now, actions={}), question, advance)
    if len(trials) < FEWEST_PLACEBOS:
        replayed = rehearsal(store, settings, now - timedelta(days=question.days), now, REPLAY_EVERY_S, advance)
        trials = _trials(live_context(settings, replayed, now, actions={}), question, advance)
    if len(trials) < FEWEST_PLACEBOS:
        raise ForeactError(
            "history_empty",
            f"{len(trials)} placebos fit into the last {question.days:g} days; {FEWEST_PLACEBOS} are needed.",
            "Let foreact run for some days, or import history with `foreact import FILE`.",
        )
    found = figures(trials, now)
    store.facts.set(PLACEBOS, found)
    return found


def _trials(context: Context, question: PlaceboQuestion, advance: Advance | None) -> list[PlaceboTrial]:
    known = sorted(info.series for info in context.store.samples.known() if fnmatchcase(info.series, question.series))
    chosen = np.random.default_rng(question.seed).permutation(known)[:MOST_SERIES].tolist()
    return placebo_trials(context, chosen, PER_SERIES, question.seed, advance)


def figures(trials: Iterable[PlaceboTrial], now: datetime) -> PlaceboFigures:
    """Sum placebos up: one that had too short a past counts as undecided alone."""
    trials = list(trials)
    decided = [trial for trial in trials if _is_decided(trial.outcome)]
    by_series: dict[str, list[float]] = {}
    for trial in decided:
        by_series.setdefault(trial.act.series, []).append(trial.in_errors)
    placed = {name: _rate([each for each in decided if each.act.placed == name]) for name in ("random", "high")}
    return PlaceboFigures(
        at=now,
        series=len(by_series),
        random=placed["random"],
        after_high=placed["high"],
        undecided=len(trials) - len(decided),
        widening=widening(np.array([each.reach for each in decided])),
        shared_ratio=shared_ratio([np.array(each) for each in by_series.values()]),
        sentence=_sentence(placed["random"], placed["high"], len(by_series)),
    )


def _is_decided(outcome: Outcome) -> bool:
    return outcome.p_value is not None and outcome.verdict not in {Verdict.UNKNOWN, Verdict.CONFOUNDED}


def _rate(trials: Sequence[PlaceboTrial]) -> PlaceboRate:
    alarms = sum(each.is_false_alarm for each in trials)
    return PlaceboRate(len(trials), alarms, sum(each.reach <= 1 + 1e-9 for each in trials))


def _sentence(random: PlaceboRate, after_high: PlaceboRate, series: int) -> str:
    parts = [
        f"{percent(rate.false_alarm_ratio)} of {rate.count} placebos {where}"
        for rate, where in ((random, "at random moments"), (after_high, "right after a metric went high"))
        if rate.false_alarm_ratio is not None
    ]
    whole = PlaceboRate(random.count + after_high.count, 0, random.covered + after_high.covered).coverage_ratio
    if whole is None:
        return "No placebo had a past that is long enough to judge it."
    return (
        f"Doing nothing was taken for an effect in {' and '.join(parts)} on {series} metrics (aim: 6 % and 10 %); "
        f"{percent(whole)} of the 90 % intervals held zero."
    )


def plain(found: PlaceboFigures) -> dict[str, Any]:
    """Return the figures ready for JSON, rates included."""
    rates = {
        name: asdict(rate) | {"false_alarm_ratio": rate.false_alarm_ratio, "coverage_ratio": rate.coverage_ratio}
        for name, rate in (("random", found.random), ("after_high", found.after_high))
    }
    return asdict(found) | rates | {"at": found.at.isoformat()}


def tell_placebos(found: PlaceboFigures) -> None:
    """Print the figures and what they mean."""
    rows = [
        (where, rate.count, show.share(rate.false_alarm_ratio), aim, show.share(rate.coverage_ratio))
        for where, rate, aim in (
            ("at random", found.random, "6 %"),
            ("after it went high", found.after_high, "10 %"),
        )
    ]
    show.table("", ("placed", "placebos", "false alarms", "at most", "90 % intervals hold"), rows, "")
    show.say(found.sentence)
    if found.undecided:
        show.say(f"{found.undecided} more could not be judged: too little history without actions before them.")
    show.say(
        f"From now on the insights' intervals are {found.widening:.2f} times as wide, and count an error of "
        f"{found.shared_ratio:.2f} standard errors that all outcomes on a metric share."
    )
