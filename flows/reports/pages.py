"""Reports as pages: one HTML file each, drawn here, which loads nothing."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from api import dashboard
from api.dashboard import charts, formatting
from api.dashboard.drawing import style_of_pages
from api.dashboard.timeline import NARROW, Mark, Stretch, Timeline, timeline
from flows.reports.episodes import Episode
from flows.reports.results import BacktestReport, Comparison, SimulationReport
from settings import VERSION
from storage.records import NOTHING, GoalView, Objective, Outcome
from storage.samples import SeriesInfo
from tasks.text import span

Report = SimulationReport | BacktestReport | Comparison

HERE = Path(dashboard.__file__).parent
MOST_CHARTS, MOST_ROWS = 24, 200
CHART_STEPS = 1_500
_TONES = {"foretold": "warn", "late": "bad", "missed": "bad"}


@dataclass(frozen=True)
class MetricDrawing:
    """A metric over the whole time, under the objective that it has, for a wide screen and for a narrow one."""

    title: str
    caption: str
    svg: Markup
    narrow_svg: Markup


def write_page(report: Report, file: Path, objectives: Sequence[Objective] = ()) -> Path:
    """Write one HTML file that shows all of a report and loads nothing; return where.

    Of a simulation those metrics are drawn that have one of the `objectives`; a backtest knows its own.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(_page(report, objectives), encoding="utf-8")
    return file


def _page(report: Report, objectives: Sequence[Objective]) -> str:
    match report:
        case BacktestReport():
            return backtest_page(report)
        case Comparison():
            return comparison_page(report)
        case SimulationReport():
            return simulation_page(report, objectives)


def backtest_page(report: BacktestReport) -> str:
    """Return a backtest as one HTML page."""
    return _render("backtest.html", report=report, figures=report.summary(), drawings=backtest_drawings(report))


def comparison_page(comparison: Comparison) -> str:
    """Return two backtests beside each other as one HTML page."""
    both = [
        (report.configuration, report.summary(), backtest_drawings(report), comparison.only(report))
        for report in (comparison.one, comparison.other)
    ]
    return _render("comparison.html", comparison=comparison, both=both)


def simulation_page(report: SimulationReport, objectives: Sequence[Objective]) -> str:
    """Return a simulation as one HTML page."""
    alarms = frozenset(view.goal.goal_id for view in report.false_alarms)
    drawings = _drawings(report, objectives, report.episodes, alarms)
    outcomes = sorted(
        (each for each in report.outcomes if each.role == "target" and each.action != NOTHING),
        key=lambda each: each.acted_at,
    )
    return _render("simulation.html", report=report, figures=report.summary(), drawings=drawings, outcomes=outcomes)


def backtest_drawings(report: BacktestReport) -> list[MetricDrawing]:
    """Draw every metric that has an objective, those with breaches first."""
    alarms = frozenset(view.goal.goal_id for view in report.false_alarms)
    return _drawings(report.simulation, report.objectives, report.episodes, alarms)


def _drawings(
    report: SimulationReport, objectives: Sequence[Objective], episodes: Sequence[Episode], alarms: frozenset[str]
) -> list[MetricDrawing]:
    spans = report.store.samples.spans(report.first_tick, report.last_tick)
    pairs = [(o, info) for o in objectives if o.kind.is_drawn_as_line for info in spans if o.matches(info.series)]
    broken = {(each.objective, each.series) for each in episodes}
    meant = {(view.goal.objective, view.goal.series) for view in report.goals}

    def rank(pair: tuple[Objective, SeriesInfo]) -> tuple[bool, bool, str]:
        key = (pair[0].name, pair[1].series)
        return key not in broken, key not in meant, pair[1].series

    return [_drawing(report, o, info, episodes, alarms) for o, info in sorted(pairs, key=rank)[:MOST_CHARTS]]


def _drawing(
    report: SimulationReport,
    objective: Objective,
    info: SeriesInfo,
    episodes: Sequence[Episode],
    alarms: frozenset[str],
) -> MetricDrawing:
    span_s = max(60.0, (report.last_tick - report.first_tick).total_seconds())
    step_s = max(info.interval_s, span_s / CHART_STEPS)
    steps = int(span_s / step_s) + 1
    frame = report.store.samples.frame([info.series], report.last_tick, step_s, steps)
    own = [each for each in episodes if (each.objective, each.series) == (objective.name, info.series)]
    goals = [view for view in report.goals if (view.goal.objective, view.goal.series) == (objective.name, info.series)]
    lines = Timeline(
        unit=info.unit,
        moments_s=charts.moments_s(report.last_tick, step_s, steps),
        values=frame.values[0],
        bound=objective.bound,
        stretches=tuple(_stretch(each) for each in own),
        goals=tuple(_goal_mark(view, alarms, own) for view in goals),
        acts=tuple(_act_marks(report, info.series)),
    )
    drawn = timeline(lines, info.series), timeline(lines, info.series, NARROW)
    return MetricDrawing(f"{objective.name}: {info.series}", _caption(goals, own), *drawn)


def _stretch(episode: Episode) -> Stretch:
    lead_s = episode.lead_time_s
    how = "missed" if lead_s is None else f"{span(abs(lead_s))} {'of warning' if lead_s > 0 else 'late'}"
    text = f"broken {_when(episode.start)} to {_when(episode.end)}: {how}"
    return Stretch(episode.start.timestamp(), episode.end.timestamp(), _TONES[episode.warning], text)


def _goal_mark(view: GoalView, alarms: frozenset[str], own: Sequence[Episode]) -> Mark:
    goal = view.goal
    tone = "plain" if goal.goal_id in alarms else "good" if any(e.goal_id == goal.goal_id for e in own) else "calm"
    verdict = " (false alarm)" if goal.goal_id in alarms else ""
    text = f"{_when(goal.created_at)} {goal.goal_type}{verdict}: {goal.description}"
    return Mark(goal.created_at.timestamp(), tone, text)


def _act_marks(report: SimulationReport, series: str) -> list[Mark]:
    return [
        Mark(view.receipt.finished_at.timestamp(), "calm", f"{_when(view.receipt.finished_at)} {view.action.name}")
        for view in report.actions
        if view.receipt
        and view.action.series == series
        and view.action.name != NOTHING
        and str(view.receipt.status) in ("succeeded", "dry_run", "failed")
    ]


def _caption(goals: Sequence[GoalView], own: Sequence[Episode]) -> str:
    missed = sum(each.warning == "missed" for each in own)
    counted = f"{len(own)} breach{'' if len(own) == 1 else 'es'}{f', {missed} missed' if missed else ''}"
    return f"{counted}; {len(goals)} goal{'' if len(goals) == 1 else 's'}"


def _when(moment: datetime) -> str:
    return f"{moment:%d %b %H:%M}"


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(HERE / "templates"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    environment.filters |= {
        "value": formatting.value,
        "span": span,
        "tone": formatting.tone,
        "when": _when,
        "title_case": formatting.title,
    }
    environment.filters |= {"words": lambda name: str(name).replace("_", " ")}
    environment.globals |= {"version": VERSION, "most_rows": MOST_ROWS, "interval": effect_interval}
    return environment


def effect_interval(outcome: Outcome) -> Markup | str:
    """Draw an effect with its interval where there is one."""
    if outcome.effect_sd_units is None or outcome.standard_error_sd_units is None:
        return ""
    return charts.interval(
        outcome.effect_sd_units, outcome.standard_error_sd_units, formatting.tone(str(outcome.verdict))
    )


def _render(template: str, **values: Any) -> str:
    style = style_of_pages("report.css")
    allowed = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    page = _environment().get_template(f"report/{template}")
    return page.render(style=Markup(style), style_hash=allowed, **values)
