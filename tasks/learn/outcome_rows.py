"""A measured outcome as the learning stage reads it, and what may be learned from it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, tzinfo
from math import isfinite

from storage.records import NOTHING, Outcome, ReceiptStatus, Verdict
from tasks.learn.beliefs import Observation
from tasks.maintenance import hour_of_day

DAY_S = 86_400.0
JUDGED = frozenset({Verdict.IMPROVED, Verdict.NO_EFFECT, Verdict.WORSE})
MEASURED = JUDGED | {Verdict.INCONCLUSIVE}
FAILED = frozenset({ReceiptStatus.FAILED, ReceiptStatus.TIMED_OUT, ReceiptStatus.UNKNOWN})
NOT_DONE = frozenset({ReceiptStatus.SKIPPED, ReceiptStatus.DRY_RUN})


@dataclass(frozen=True)
class OutcomeRow:
    """One outcome: what was done, for which kind of goal, how it ended and what it changed.

    `effect` is in the metric's unit, positive where it went up; `effect_sd_units` and `se_sd_units` are in
    its standard deviations, positive toward the goal; NaN where not measured. `at_s` is when was acted, in
    epoch seconds. `claimed_ratio` is the relative change the handler itself reported, `measured_ratio` what
    was measured, `predicted_sd_units` what was believed of the action when it began, `past_windows` how many
    windows without an action it was held against, `harmed_guard` whether it made a guard metric worse, `series` what
    it was to move, `target` what was acted on, empty where not known, `off_usual_sd` how far it stood out. With `steps`
    it is that of a sequence, which says nothing of one action alone.
    """

    outcome_id: str
    action: str
    goal_type: str
    strategy: str
    verdict: Verdict
    at_s: float
    status: ReceiptStatus = ReceiptStatus.SUCCEEDED
    effect: float = float("nan")
    effect_sd_units: float = float("nan")
    se_sd_units: float = float("nan")
    duration_s: float = 0.0
    propensity: float = 1.0
    error: str = ""
    claimed_ratio: float | None = None
    measured_ratio: float | None = None
    contradicts: bool = False
    predicted_sd_units: float = float("nan")
    past_windows: float = float("nan")
    harmed_guard: bool = False
    series: str = ""
    target: str = ""
    off_usual_sd: float = 0.0
    steps: tuple[str, ...] = ()

    @property
    def did_harm(self) -> bool:
        """Tell whether its metric, or one that it must not harm, demonstrably got worse."""
        return self.verdict is Verdict.WORSE or self.harmed_guard

    @property
    def is_measured(self) -> bool:
        """Tell whether the outcome has a number and an interval that nothing else disturbed."""
        has_numbers = isfinite(self.effect_sd_units) and isfinite(self.se_sd_units) and self.se_sd_units >= 0
        return self.verdict in MEASURED and has_numbers and self.status not in NOT_DONE

    @property
    def is_failure(self) -> bool:
        """Tell whether the act itself went wrong, whatever happened to the metric."""
        return self.status in FAILED

    @property
    def is_judged(self) -> bool:
        """Tell whether it counts for a success rate: it failed, or its effect was decided either way."""
        return self.is_failure or (self.status not in NOT_DONE and self.verdict in JUDGED)

    @property
    def is_success(self) -> bool:
        """Tell whether the act went through and demonstrably moved the metric toward the goal."""
        return not self.is_failure and self.status not in NOT_DONE and self.verdict is Verdict.IMPROVED

    @staticmethod
    def of(outcome: Outcome, harmful: Collection[str] = (), targets: Mapping[str, str] | None = None) -> OutcomeRow:
        """Read a stored outcome; `harmful` are the acts that made a guard metric worse, `targets` what acts acted on.

        Both go by the id of the action.
        """
        ratio = outcome.evidence.get("relative_ratio")
        return OutcomeRow(
            outcome.outcome_id,
            outcome.action,
            str(outcome.goal_type),
            str(outcome.strategy),
            outcome.verdict,
            outcome.acted_at.timestamp(),
            outcome.status,
            _number(outcome.estimate),
            _number(outcome.effect_sd_units),
            _number(outcome.standard_error_sd_units),
            outcome.duration_s,
            outcome.propensity,
            outcome.reason,
            outcome.claimed,
            float(ratio) if isinstance(ratio, int | float) else None,
            _contradicts(outcome, ratio),
            _number(outcome.evidence.get("predicted_sd_units")),
            _number(outcome.evidence.get("past_windows")),
            outcome.action_id in harmful,
            outcome.series,
            (targets or {}).get(outcome.action_id, ""),
            float(outcome.evidence.get("off_usual_sd") or 0.0),
            outcome.steps,
        )


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) else float("nan")


def _contradicts(outcome: Outcome, ratio: object) -> bool:
    claim = outcome.evidence.get("claim")
    if isinstance(claim, dict):
        return claim.get("agreement") == "contradicts"
    if outcome.claimed is None or not isinstance(ratio, int | float) or not outcome.estimate:
        return False
    if outcome.low is None or outcome.high is None:
        return False
    # What takes the metric's unit to a relative change takes the interval there as well.
    low, high = sorted((outcome.low * ratio / outcome.estimate, outcome.high * ratio / outcome.estimate))
    return not low <= outcome.claimed <= high


def once_each(rows: Iterable[OutcomeRow]) -> list[OutcomeRow]:
    """Drop outcomes that come a second time, keeping the first of each id and the order."""
    return list({row.outcome_id: row for row in reversed(list(rows))}.values())[::-1]


def observations(rows: Iterable[OutcomeRow], zone: tzinfo = UTC) -> list[Observation]:
    """Return what outcomes teach about actions, in the order given and each once; hours are those of a time zone.

    An outcome without a number, or one that another action disturbed, teaches nothing; nor does that of a sequence of
    any one action.
    """
    return [
        Observation(
            row.outcome_id,
            row.action,
            row.goal_type,
            hour_of_day(row.at_s, zone),
            row.effect_sd_units,
            row.se_sd_units,
            row.series,
            row.target,
            row.off_usual_sd,
        )
        for row in once_each(rows)
        if row.is_measured and not row.steps
    ]


def is_action(row: OutcomeRow) -> bool:
    """Tell whether something was done, rather than nothing on purpose."""
    return row.action != NOTHING
