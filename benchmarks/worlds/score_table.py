"""What the worlds came to: scores with their interval, one table, and the rows that must not be broken."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from benchmarks.worlds.against_truth import LOOP, Figures, Share, added
from benchmarks.worlds.cluster import PLAIN, TUNED
from benchmarks.worlds.pool import DrivenPool, Pool
from tasks.learn.pooled_effect import share_interval

RESAMPLES = 2_000
LEAST_TO_GAIN_H = 0.1
"""A score needs that much between the rule and the oracle, in hours of severity 1 a day."""

DAY_ONE = frozenset({Pool.name, DrivenPool.name})
BROKEN = "BROKEN"
SURE = 0.99
"""How sure a share must be to miss its bar."""

TITLE = "0 is the rule, 1 the oracle; costs in hours of severity 1 broken (cluster: utility) and counts over all seeds"
FIRST, LATER = 0, 1
Runs = Mapping[str, Sequence[Figures]]
SCORE_HEADS = (
    *("world", "day 1", "later", "90 %", "cost", "rule", "oracle", "breach", "lead"),
    *("breaches", "missed", "false"),
)
LOOP_HEADS = (
    *("world", "goals", "acts", "harmless undone", "harmful ended", "covered", "near an act", "insights"),
    *("best act", "regret", "s"),
)


def score(runs: Sequence[Figures], part: int) -> float:
    """Return how much of what the oracle saves over the rule the loop saves; NaN where there is too little to save."""
    gain = most = 0.0
    for run in runs:
        rule = run.costs[run.reference][part]
        gain, most = gain + rule - run.costs[LOOP][part], most + rule - run.costs[run.oracle][part]
    return gain / most if most >= LEAST_TO_GAIN_H * len(runs) else math.nan


def interval(runs: Sequence[Figures], part: int, seed: int = 0) -> tuple[float, float]:
    """Return the 90 % interval of a score, seeds drawn anew."""
    rng = np.random.default_rng(seed)
    picks = rng.integers(len(runs), size=(RESAMPLES, len(runs)))
    scores = [score([runs[place] for place in pick], part) for pick in picks.tolist()]
    low, high = np.nanquantile(scores, [0.05, 0.95]) if np.isfinite(scores).any() else (math.nan, math.nan)
    return float(low), float(high)


@dataclass(frozen=True)
class SafetyRule:
    """A row that must not be broken: what it asks, what it found, whether it holds, and whether that is beyond chance.

    What the loop must never do is broken once it was done; a share or a score once its interval leaves out the bar.
    """

    name: str
    found: str
    holds: bool
    is_sure: bool = True

    @property
    def word(self) -> str:
        """Return how it stands: ok, below the bar as chance may have it, or broken."""
        return "ok" if self.holds else BROKEN if self.is_sure else "below"


def safety(results: Runs) -> list[SafetyRule]:
    """Return what must hold over all worlds that were run, and whether it does."""
    rules = []
    for name, runs in results.items():
        rules += [SafetyRule(name, f"{said} (seed {run.seed})", False) for run in runs for said in run.unsafe]
    rules += [rule for name, runs in results.items() for rule in _scores(name, runs)]
    plain = [each for name, runs in results.items() if name != TUNED and math.isfinite(each := score(runs, LATER))]
    if len(plain) > 1:
        mean = float(np.mean(plain))
        rules.append(SafetyRule("plain configuration, mean score, at least 0.50", _number(mean), mean >= 0.5))
    whole = [added(list(runs)) for runs in results.values()]
    rules += [
        _at_least("intervals hold", _sum([run.covered for run in whole]), 0.87),
        _at_least("intervals hold within 90 min of an act", _sum([run.covered_near for run in whole]), 0.87),
        _at_least("insights hold", _sum([run.insights for run in whole]), 0.85),
        _at_least("harmful acts undone or stopped", _sum([run.harmful_ended for run in whole]), 0.8),
        _at_most("harmless acts undone", _sum([run.harmless_undone for run in whole]), 0.02),
    ]
    return rules


def _scores(name: str, runs: Sequence[Figures]) -> Iterator[SafetyRule]:
    later, floor = score(runs, LATER), {PLAIN: 0.60, TUNED: 0.87}.get(name, 0.0)
    if math.isfinite(later):
        is_sure = len(runs) > 1 and interval(runs, LATER)[1] < floor
        row = f"{name}: score from the second day on, at least {floor:.2f}"
        yield SafetyRule(row, _number(later), later >= floor, is_sure)
    if name in DAY_ONE:
        ratio, said = _first_day_ratio(runs), f"{name}: first day's cost at most 1.25 × the rule's"
        yield SafetyRule(said, _number(ratio), ratio <= 1.25)


def _first_day_ratio(runs: Sequence[Figures]) -> float:
    return sum(run.costs[LOOP][FIRST] for run in runs) / sum(run.costs[run.reference][FIRST] for run in runs)


def _at_least(name: str, share: Share, floor: float) -> SafetyRule:
    is_sure = _interval(share)[1] < floor
    return SafetyRule(f"{name}, at least {floor:.2f}", _ratio(share), not share.ratio < floor, is_sure)


def _at_most(name: str, share: Share, ceiling: float) -> SafetyRule:
    is_sure = _interval(share)[0] > ceiling
    return SafetyRule(f"{name}, at most {ceiling:.2f}", _ratio(share), not share.ratio > ceiling, is_sure)


def _interval(share: Share) -> tuple[float, float]:
    """Return the interval of a share; what misses in one rush misses together, so that few are independent."""
    told = share.independent
    return share_interval(share.hits / share.of * told, told, SURE) if share.of else (0.0, 1.0)


def _sum(shares: Sequence[Share]) -> Share:
    return sum(shares[1:], shares[0])


def show(console: Console, results: Runs) -> None:
    """Print the table, the other rules' costs, and what is broken."""
    scores, loop = Table(title=TITLE, box=SIMPLE, pad_edge=False), Table(box=SIMPLE, pad_edge=False)
    for sheet, heads in ((scores, SCORE_HEADS), (loop, LOOP_HEADS)):
        for head in heads:
            sheet.add_column(head, justify="left" if head == "world" else "right", no_wrap=True)
    for name, runs in results.items():
        scores.add_row(name, *_score_row(runs))
        loop.add_row(name, *_loop_row(added(list(runs))))
    console.print(scores)
    console.print(loop)
    for name, runs in results.items():
        costs = added(list(runs)).costs
        cost_text = ", ".join(
            f"{rule} {sum(cost):.1f}" for rule, cost in costs.items() if not rule.startswith("foresight ")
        )
        console.print(f"  {name}: {cost_text}", highlight=False)
    for rule in safety(results):
        console.print(f"{rule.word:<6} {rule.name}: {rule.found}", highlight=False)


def _score_row(runs: Sequence[Figures]) -> list[str]:
    whole = added(list(runs))
    low, high = interval(runs, LATER)
    oracle = sum(sum(run.costs[run.oracle]) for run in runs)
    return [
        _number(score(runs, FIRST)),
        _number(score(runs, LATER)),
        f"{_number(low)}…{_number(high)}" if len(runs) > 1 else "–",
        *(f"{value:.1f}" for value in (sum(whole.costs[LOOP]), sum(whole.costs[whole.reference]), oracle)),
        f"{whole.breach_h:.1f}h",
        f"{np.median(whole.lead_s) / 60:.0f}m" if whole.lead_s else "–",
        *map(str, (whole.breaches, whole.missed, whole.false_goals)),
    ]


def _loop_row(whole: Figures) -> list[str]:
    shares = (whole.covered, whole.covered_near, whole.insights, whole.best)
    return [
        *map(str, (whole.goals, whole.acts)),
        _counted(whole.harmless_undone),
        _counted(whole.harmful_ended),
        *map(_ratio, shares),
        _number(whole.regret_h / whole.best.of if whole.best.of else math.nan),
        f"{whole.seconds:.0f}",
    ]


def _number(value: float) -> str:
    return f"{value:.2f}" if math.isfinite(value) else "–"


def _counted(share: Share) -> str:
    return f"{share.hits}/{share.of}" if share.of else "–"


def _ratio(share: Share) -> str:
    return f"{share.ratio:.2f} ({share.of})" if share.of else "–"
