"""Scores paired by day: 0 is the reactive policy, 1 is perfect foresight of the request rate."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from benchmarks.control.contenders import FORESIGHT, REACTIVE
from benchmarks.control.run import RunResult

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
