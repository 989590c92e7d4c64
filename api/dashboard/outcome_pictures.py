"""The picture of an outcome: what was seen, what would have been, and what fills the gap between them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

import numpy as np
from markupsafe import Markup

from api.dashboard.chart_data import ChartData
from api.dashboard.formatting import value
from api.dashboard.outcome_chart import OutcomeLines, outcome_chart
from api.facade import Facade
from api.queries.outcomes import existing
from api.queries.series import JudgedWindow, SeriesContext, SeriesEvent, SeriesFan
from storage.records import FloatArray, Outcome

PICTURE_SPANS = 3
FEWEST_BEFORE_STEPS = 40
MOST_BEFORE_STEPS = 600


def picture(facade: Facade, outcome_id: str) -> str:
    """Return the picture of an outcome as an SVG document; raises `outcome_unknown`."""
    return outcome_chart(outcome_lines(facade, existing(facade, outcome_id)), stands_alone=True)


def drawn(facade: Facade, outcome: Outcome) -> Markup:
    """Return the picture of an outcome as a part of a page."""
    return outcome_chart(outcome_lines(facade, outcome))


def target_pictures(facade: Facade, outcomes: Sequence[Outcome], most: int = 6) -> list[tuple[Outcome, Markup]]:
    """Return the newest outcomes on targets and guards with their pictures, newest first."""
    shown = sorted((each for each in outcomes if each.role != "side_effect"), key=lambda each: each.measured_at)
    return [(each, drawn(facade, each)) for each in reversed(shown[-most:])]


def outcome_lines(facade: Facade, outcome: Outcome) -> OutcomeLines:
    """Gather what the picture of an outcome shows; what is no longer kept, or never was, is left blank."""
    evidence = outcome.evidence
    step_s = float(evidence.get("step_s") or max(1.0, outcome.horizon_s / 10))
    expected, low, high = (_numbers(evidence.get(name)) for name in ("forecast", "low", "high"))
    low, high = (band if len(band) == len(expected) else np.full(len(expected), np.nan) for band in (low, high))
    steps = len(expected) or max(1, round(outcome.horizon_s / step_s))
    first_at = datetime.fromisoformat(evidence["first_at"]) if evidence.get("first_at") else None
    first_at = first_at or outcome.acted_at + timedelta(seconds=step_s)
    end = first_at + timedelta(seconds=step_s * (steps - 1))
    before = min(max(PICTURE_SPANS * steps, FEWEST_BEFORE_STEPS), MOST_BEFORE_STEPS)
    frame = facade.store.samples.frame([outcome.series], end, step_s, before + steps)
    seen_s = end.timestamp() - step_s * np.arange(before + steps, dtype=np.float64)[::-1]
    return OutcomeLines(
        title=f"{outcome.action} on {outcome.series}: {outcome.verdict}",
        caption=_caption(outcome),
        verdict=str(outcome.verdict),
        unit="",
        acted_s=outcome.acted_at.timestamp(),
        seen_s=seen_s,
        seen=frame.row(outcome.series),
        after_s=seen_s[-steps:] if len(expected) else np.zeros(0),
        expected=expected,
        low=low,
        high=high,
        window_steps=int(evidence.get("window_steps") or 0),
        mean_expected=_number(evidence.get("expected")),
        estimate=_number(outcome.estimate),
        effect_low=_number(outcome.low),
        effect_high=_number(outcome.high),
    )


def chart_of(facade: Facade, outcome: Outcome) -> ChartData:
    """Return what the chart of an outcome shows: what was seen, and the forecast without the act."""
    lines = outcome_lines(facade, outcome)
    at_s, has_band = lines.after_s.tolist(), bool(np.isfinite(lines.low).any())
    band = [lines.low.tolist(), lines.high.tolist()] if has_band else []
    fan = SeriesFan(at_s, lines.expected.tolist(), [0.05, 0.95] if has_band else [], band, "", "")
    act = SeriesEvent("act", lines.acted_s, outcome.action, f"/actions/{outcome.action_id}")
    context = SeriesContext(lines.unit, fan if at_s else None, [], [act], _judged(lines))
    return ChartData(float(lines.seen_s[0]) - 1, None, lines.seen_s.tolist(), lines.seen.tolist(), context)


def _judged(lines: OutcomeLines) -> JudgedWindow | None:
    steps = min(lines.window_steps, len(lines.after_s))
    if not steps or not np.isfinite(lines.mean_expected + lines.estimate):
        return None
    actual = lines.mean_expected + lines.estimate
    return JudgedWindow(lines.acted_s, float(lines.after_s[steps - 1]), lines.mean_expected, actual)


def _caption(outcome: Outcome) -> str:
    if outcome.low is None or outcome.estimate is None:
        return f"{outcome.verdict}: {outcome.reason}"
    ratio = outcome.evidence.get("relative_ratio")
    share = f" ({ratio:+.1%})" if isinstance(ratio, float) else ""
    return (
        f"effect {value(outcome.estimate)}{share}, 90 % interval {value(outcome.low)} to {value(outcome.high)}; "
        f"{outcome.reason}"
    )


def _numbers(values: Sequence[float | None] | None) -> FloatArray:
    return np.array([np.nan if each is None else each for each in values or ()], dtype=np.float64)


def _number(amount: object) -> float:
    return float(amount) if isinstance(amount, int | float) else float("nan")
