"""A backtest can be looked at, read by machines, compared, and made to fail a build."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from cli import show
from cli.app import app
from flows.backtest import backtest
from flows.reports.compare import conditions, failures, refuse_comparisons
from flows.reports.episodes import Episode, false_alarms
from flows.reports.pages import write_page
from flows.reports.results import FIGURES, BacktestReport, Comparison
from flows.simulate import simulate
from settings import load_settings
from storage import ForeactError, Store, open_store
from storage.records import Goal, GoalState, GoalType, GoalView, Objective, ObjectiveKind, Sample
from tests.api.dashboard.browser import BROWSER, PICTURES, browser
from tests.flows.worlds import MINUTE, OBJECTIVE, START, ClimbingLoad, overrides, ticks

END = START + 480 * MINUTE


def history() -> list[Sample]:
    return [each for each in ClimbingLoad().observe(END) if isinstance(each, Sample)]


@pytest.fixture(scope="module")
def store() -> Store:
    opened = open_store(clock=lambda: START + timedelta(days=1))
    opened.samples.append(history())
    return opened


@pytest.fixture(scope="module")
def watchful(store: Store, tmp_path_factory: pytest.TempPathFactory) -> BacktestReport:
    folder = tmp_path_factory.mktemp("watchful")
    settings = load_settings(folder, home=folder, **overrides("shed"))
    return backtest(store, settings, START, END, every_s=1_200, configuration="watchful")


@pytest.fixture(scope="module")
def blind(store: Store, tmp_path_factory: pytest.TempPathFactory) -> BacktestReport:
    folder = tmp_path_factory.mktemp("blind")
    goals_off = {"forecasting": {"goal_setter": {"auto_goal_setting": False}}}
    settings = load_settings(folder, home=folder, **overrides("shed", **goals_off))
    return backtest(store, settings, START, END, every_s=2_400, configuration="blind")


def test_a_report_says_for_each_objective_what_became_of_its_breaches(watchful: BacktestReport) -> None:
    (figures,) = watchful.by_objective
    assert (figures.objective, figures.missed, figures.false_alarms) == ("load", 0, 0)
    assert figures.foretold == figures.breaches == len(watchful.episodes)
    assert watchful.summary()["breach_minutes"] > 10


def test_a_pace_of_more_turns_than_are_taken_is_widened_and_said(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("flows.backtest.MOST_TICKS", 4)
    report = backtest(store, load_settings(tmp_path, home=tmp_path, **overrides()), START, END, every_s=0.001)
    assert report.simulation.ticks <= 4
    assert (report.summary()["every_s"], report.summary()["asked_every_s"]) == (7_200, 0.001)
    show.backtest(report)
    assert "at most 2,000 are taken" in capsys.readouterr().out
    assert "at most 2,000 turns" in write_page(report, tmp_path / "one.html").read_text()


@pytest.mark.parametrize(
    ("start", "end", "why"),
    [
        (START - timedelta(days=3), START, "Nothing was recorded between 2026-02-27 00:00 and 2026-03-02 00:00 UTC."),
        (END, END + timedelta(days=1), "Nothing was recorded between 2026-03-02 08:00 and 2026-03-03 08:00 UTC."),
        (END - 5 * MINUTE, END, "Less than one turn of 600 s was recorded between 2026-03-02 07:55"),
    ],
)
def test_a_span_without_history_is_refused_in_a_sentence(
    store: Store, tmp_path: Path, start: datetime, end: datetime, why: str
) -> None:
    with pytest.raises(ForeactError) as refusal:
        backtest(store, load_settings(tmp_path, home=tmp_path, **overrides()), start, end, every_s=600)
    assert refusal.value.code == "history_empty"
    assert why in str(refusal.value)


def test_an_empty_span_is_refused_before_what_lies_before_it_is_read(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(store.samples), "columns", lambda *given: pytest.fail("history was read"))
    with pytest.raises(ForeactError, match="Nothing was recorded"):
        backtest(store, load_settings(tmp_path, home=tmp_path, **overrides()), END, END + timedelta(days=1))


def test_actions_that_would_have_been_done_are_counted_and_priced(watchful: BacktestReport) -> None:
    assert {each.action for each in watchful.actions} == {"shed"}
    assert watchful.summary()["actions_by_name"] == {"shed": len(watchful.actions)}
    assert watchful.summary()["cost"] == 0


def test_limits_bind_in_a_backtest_as_they_would_have(watchful: BacktestReport, store: Store, tmp_path: Path) -> None:
    """An act that is only rehearsed counts as done there, or a breach that lasts would be answered at every turn."""
    given = overrides("shed")
    given["actions"] = {"shed": given["actions"]["shed"] | {"rate_limits": ["1/day"], "cost": 0.01}}
    report = backtest(store, load_settings(tmp_path, home=tmp_path, **given), START, END, every_s=1_200)
    assert len(watchful.actions) > len(report.actions) == 1
    assert report.summary()["cost"] == 0.01
    gaps = [later.at - earlier.at for earlier, later in pairwise(watchful.actions)]
    assert min(gaps) >= timedelta(seconds=1_200)


def test_a_backtest_offers_no_action_that_is_not_set_up(watchful: BacktestReport) -> None:
    """Reniced would be processes that nobody allowed: live, nothing is proposed without `allow_names`."""
    planned = {view.action.name for view in watchful.simulation.actions}
    assert planned <= {"shed", "nothing", "analyze_processes", "free_memory_report"}


def test_a_page_is_one_file_that_loads_nothing(watchful: BacktestReport, blind: BacktestReport, tmp_path: Path) -> None:
    for page in (
        write_page(watchful, tmp_path / "deep" / "one.html"),
        write_page(Comparison(watchful, blind), tmp_path / "two.html"),
    ):
        text = page.read_text()
        assert not re.search(r"""(src|href)=|url\(|@import|<script""", text)
        assert text.count("<svg") >= 1
        assert "load: load" in text
        (style,), (policy,) = (
            re.findall(r"(?s)<style>(.*?)</style>", text),
            re.findall(r'Policy" content="(.*?)">', text),
        )
        digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
        assert policy.startswith(f"default-src 'none'; style-src 'sha256-{digest}'")
        assert "style=" not in text


@pytest.mark.skipif(BROWSER is None, reason="there is no Chromium here")
def test_a_report_keeps_nobody_out_light_or_dark_wide_or_narrow(
    watchful: BacktestReport, blind: BacktestReport, tmp_path: Path
) -> None:
    reports = {"one": watchful, "two": Comparison(watchful, blind), "simulation": watchful.simulation}
    found: dict[tuple[str, str, int], list[str]] = {}
    with browser(tmp_path / "browser") as tab:
        for name, report in reports.items():
            tab.open(write_page(report, tmp_path / f"{name}.html", watchful.objectives).as_uri())
            for theme, width in (("light", 1_280), ("dark", 1_280), ("light", 390), ("dark", 390)):
                tab.resize(width, 900)
                tab.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": theme}])
                found[name, theme, width] = tab.grave()
                if tab.run("document.documentElement.scrollWidth") > width:
                    found[name, theme, width].append("scrolls sideways")
                if PICTURES:
                    tab.picture(PICTURES / f"report-{name}-{theme}-{width}.png")
            assert tab.complaints() == []
    assert {look: told for look, told in found.items() if told} == {}


def test_a_simulation_has_a_page_and_json_too(tmp_path: Path) -> None:
    settings = load_settings(tmp_path, home=tmp_path, **overrides("shed"))
    report = simulate(ClimbingLoad(), settings, ticks(8, 300, 20))
    page = write_page(report, tmp_path / "simulation.html", settings.objectives).read_text()
    assert "<svg" in page
    assert json.loads(report.to_json())["summary"] == report.summary()


def test_a_simulation_says_what_broke_and_what_was_foretold(tmp_path: Path) -> None:
    """Nobody sheds the load that climbs from 45 by 0.12 a minute, so that it goes over its bound for good."""
    report = simulate(ClimbingLoad(), load_settings(tmp_path, home=tmp_path, **overrides()), ticks(44))
    assert report.breaches == {"load": len(report.episodes)}
    assert report.episodes
    assert START + 340 * MINUTE < report.episodes[0].start < START + 400 * MINUTE
    assert report.lead_time_s is not None
    assert report.lead_time_s > 0
    assert report.missed == ()
    told = json.loads(report.to_json())
    assert told["summary"]["missed_breaches"] == 0
    assert told["summary"]["median_lead_time_s"] == report.lead_time_s
    assert [each["warning"] for each in told["episodes"]] == [each.warning for each in report.episodes]
    assert told["objectives"][0]["breaches"] == len(report.episodes)


def test_a_simulation_without_goals_has_missed_its_breaches(tmp_path: Path) -> None:
    given = overrides(forecasting={"goal_setter": {"auto_goal_setting": False}})
    report = simulate(ClimbingLoad(), load_settings(tmp_path, home=tmp_path, **given), ticks(44))
    assert report.missed == report.episodes != ()
    assert report.lead_time_s is None


def test_two_configurations_give_a_difference(watchful: BacktestReport, blind: BacktestReport) -> None:
    both = Comparison(watchful, blind)
    found = {name: (one, other, change) for name, one, other, change in both.rows()}
    breaches = len(watchful.episodes)
    assert found["missed_breaches"] == (0, len(blind.episodes), len(blind.episodes))
    assert len(both.only(watchful)) == breaches
    assert both.only(blind) == []
    assert json.loads(both.to_json())["difference"]["foretold_breaches"] == -breaches


def test_conditions_fail_a_build_in_words(watchful: BacktestReport, blind: BacktestReport) -> None:
    assert failures(conditions("missed>0, false-alarms>5"), watchful) == []
    (line,) = failures(conditions("missed>0"), blind)
    assert line == f"missed>0: missed_breaches is {len(blind.episodes)}"
    assert failures(conditions("missed>against"), blind, watchful) == [line.replace(">0", ">against")]
    assert failures(conditions("lead<60"), blind) == []


@pytest.mark.parametrize("text", ["missed", "missed>", "happiness>0", "missed=>1", "missed>many", "missed>nan"])
def test_a_condition_that_cannot_be_read_is_refused_with_what_there_is(text: str) -> None:
    with pytest.raises(ForeactError) as caught:
        conditions(text)
    assert caught.value.code == "condition_unknown"
    assert "missed-breaches" in caught.value.remedy


def test_a_comparison_with_nothing_is_refused() -> None:
    with pytest.raises(ForeactError) as caught:
        refuse_comparisons(conditions("cost>against"))
    assert caught.value.code == "condition_needs_two"


@given(st.sampled_from(FIGURES), st.sampled_from(["<", "<=", "==", ">=", ">"]), st.integers(-5, 5), st.integers(-5, 5))
def test_a_condition_is_met_as_arithmetic_says(figure: str, sign: str, limit: int, found: int) -> None:
    (condition,) = conditions(f"{figure.replace('_', '-')} {sign} {limit}")
    truth = {"<": found < limit, "<=": found <= limit, "==": found == limit, ">=": found >= limit, ">": found > limit}
    assert condition.is_met({figure: found}, None) is truth[sign]
    assert not condition.is_met({figure: None}, None)


def test_a_second_goal_for_a_breach_under_way_is_no_false_alarm() -> None:
    def goal(name: str, minute: int, closed: int) -> GoalView:
        goal = Goal(
            goal_id=name,
            goal_type=GoalType.BOTTLENECK_PREVENTION,
            description=name,
            cause=name,
            objective="load",
            series="load",
            severity=0.5,
            probability=0.9,
            urgency=0.5,
            priority=0.2,
            created_at=START + minute * MINUTE,
            deadline=START + closed * MINUTE,
        )
        state = GoalState.EXPIRED
        return GoalView(goal=goal, state=state, progress=0, reason="", since=START + closed * MINUTE)

    broken = Episode("load", "load", START + 100 * MINUTE, START + 160 * MINUTE, "first", 600.0)
    views = [goal("first", 90, 120), goal("second", 130, 150), goal("wrong", 300, 350)]
    assert [view.goal.goal_id for view in false_alarms(views, [broken], END)] == ["wrong"]


def a_goal(**changes: object) -> GoalView:
    goal = Goal(
        goal_id="goal",
        goal_type=GoalType("OF_A_NEW_RULE"),
        description="",
        cause="",
        objective="load",
        series="load",
        severity=0.5,
        probability=0.9,
        urgency=0.5,
        priority=0.2,
        created_at=START,
        deadline=START + 50 * MINUTE,
    )
    goal = goal.model_copy(update=changes)
    return GoalView(goal=goal, state=GoalState.EXPIRED, progress=0, reason="", since=START + 60 * MINUTE)


@pytest.mark.parametrize(
    ("changes", "is_one"),
    [
        ({}, True),
        ({"informs": True}, False),
        ({"because": {"is_broken_now": True}}, False),
        ({"because": {"forecast": {}}}, False),
        ({"because": {"forecast": {"breach_probability": 0.9}}}, True),
        ({"objective": "disk"}, False),
    ],
)
def test_a_goal_is_a_false_alarm_by_what_it_says_whatever_rule_set_it(changes: dict[str, object], is_one: bool) -> None:
    bounded = Objective(name="load", metric="load", bound=1)
    full = Objective(name="disk", metric="load", bound=1, kind=ObjectiveKind.CAPACITY)
    assert bool(false_alarms([a_goal(**changes)], [], END, [bounded, full])) is is_one


def test_a_goal_with_members_is_about_each_series_of_its_objective() -> None:
    members = ('load{pod="a"}', 'load{pod="b"}')
    view = a_goal(series=members[0], members=members)
    broken = Episode("load", 'load{pod="c"}', START + 10 * MINUTE, START + 30 * MINUTE, None, None)
    assert false_alarms([view], [broken], END) == []
    assert false_alarms([a_goal(series=members[0])], [broken], END) == [a_goal(series=members[0])]


def test_what_was_recorded_before_the_span_is_known_to_the_loop(store: Store, tmp_path: Path) -> None:
    settings = load_settings(tmp_path, home=tmp_path, **overrides())
    late = backtest(store, settings, START + 400 * MINUTE, END, every_s=1_200)
    assert late.simulation.first_tick == START + 420 * MINUTE
    first = late.simulation.store.forecasts.of_cycle(late.simulation.store.cycles.latest(10)[-1].cycle_id)
    assert first[0].refusal is None


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("settings.utc_now", lambda: END)
    with open_store(tmp_path / ".foreact" / "foreact.duckdb", clock=lambda: END) as store:
        store.samples.append(history())
    (tmp_path / "foreact.toml").write_text(configuration(OBJECTIVE.bound))
    (tmp_path / "loose.toml").write_text(configuration(99.0))
    return tmp_path


def configuration(bound: float) -> str:
    objective = f'[[objectives]]\nname = "load"\nmetric = "load"\nbound = {bound}\nseverity = 0.7\nhorizon_s = 3600\n'
    return f"use_default_objectives = false\n[agent]\nanalysis_interval_minutes = 40\n{objective}"


def command(folder: Path, *words: str) -> Any:
    return CliRunner().invoke(app, ["-C", str(folder), "backtest", "--days", "0.4", *words])


def test_the_command_writes_a_page_and_its_exit_code_is_for_a_build(folder: Path) -> None:
    answer = command(folder, "--fail-on", "breaches>0")
    assert answer.exit_code == 1
    assert "failed: breaches>0" in answer.output
    (page,) = (folder / ".foreact" / "reports").glob("backtest-*.html")
    assert "load: load" in page.read_text()


def test_the_command_compares_two_files(folder: Path) -> None:
    words = ("--against", str(folder / "loose.toml"), "--html", str(folder / "two.html"), "--json")
    answer = command(folder, *words, "--fail-on", "breaches<against")
    assert answer.exit_code == 0, answer.output
    told = json.loads(answer.stdout)
    assert told["one"]["configuration"] == "foreact.toml"
    assert told["other"]["configuration"] == "loose.toml"
    assert told["difference"]["breaches"] < 0
    assert (folder / "two.html").exists()


def test_a_configuration_that_is_not_there_is_refused(folder: Path) -> None:
    answer = command(folder, "--config", str(folder / "gone.toml"))
    assert isinstance(answer.exception, ForeactError)
    assert answer.exception.code == "configuration_missing"


def test_a_report_can_be_told_apart_by_its_configuration(watchful: BacktestReport) -> None:
    assert replace(watchful, configuration="x").to_record()["configuration"] == "x"
