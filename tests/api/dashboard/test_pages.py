"""The pages show what the store knows, say what to do where it knows nothing, and load nothing from elsewhere."""

from __future__ import annotations

import ast
import itertools
import json
import re
from datetime import datetime, timedelta
from html import unescape
from pathlib import Path
from urllib.parse import urljoin
from xml.etree import ElementTree

import numpy as np
import pytest
from fastapi.testclient import TestClient
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from api.app import create_app
from api.dashboard import charts, formatting
from api.dashboard.drawing import STATIC
from api.dashboard.outcome_pictures import SIZE
from api.dashboard.timeline import Mark, Stretch, Timeline, timeline
from api.prefect_client import Started
from api.queries.series import JudgedWindow
from settings import Settings, load_settings
from storage import Store
from storage.facts import BACKTEST_PROGRESS, BacktestProgress
from storage.records import Breach, FlipPoint, GoalState, Pattern, Verdict
from tests.api import worlds
from tests.api.conftest import BASE, RecordingTrigger
from tests.test_borders import modules

finite = st.floats(-1e300, 1e300, allow_nan=False)


@pytest.fixture
def lived(store: Store, tick: datetime) -> None:
    worlds.samples(store, tick)
    worlds.a_turn(store, tick)
    worlds.a_history(store, tick)


PAGES = ("/", "/live", "/live?known=goals.00000000", "/docs", "/goals/goal-1", "/actions/action-1", "/actions/action-2")


@pytest.mark.usefixtures("lived")
@pytest.mark.parametrize("path", PAGES)
def test_a_page_is_whole_and_loads_nothing_from_elsewhere(client: TestClient, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 200
    assert "default-src 'self'" in answer.headers["content-security-policy"]
    loaded = re.findall(r"(?:src|href|data-source|data-post)=\"([^\"]+)\"", answer.text)
    head = client.head(path)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-type"] == answer.headers["content-type"]
    away = [each for each in loaded if not each.startswith(("/", "#", "http://127.0.0.1:4200/runs"))]
    assert away == []
    assert not re.search(r"\son\w+=|style=", answer.text), "inline script or style would be blocked"


@pytest.mark.parametrize("path", ["/static/foreact.css", "/static/foreact.js", "/static/foreact.svg"])
def test_style_and_script_are_served_and_name_no_other_host(client: TestClient, path: str) -> None:
    text = client.get(path).text
    assert re.findall(r"https?://(?!www\.w3\.org)", text) == []


@pytest.mark.usefixtures("lived")
def test_the_first_page_shows_goals_approvals_risks_and_outcomes(client: TestClient) -> None:
    text = client.get("/").text
    for expected in (
        "degraded <small>65 %</small>",
        "Keep cpu_used_ratio below 0.9",
        'data-post="/api/autonomous/actions/action-1/approve"',
        "70 % risk",
        ">−20 points</a>",
        "improved",
        'data-post="/api/autonomous/actions/action-2/undo"',
        "deploy comes every hour",
        'role="switch" aria-checked="true"',
    ):
        assert expected in text


@pytest.mark.usefixtures("lived")
def test_the_first_page_goes_from_what_is_now_over_what_waits_to_what_was_done_and_then_to_the_metrics(
    client: TestClient,
) -> None:
    heads = re.findall(r"<h2>([^<]+?) ?(?:<small|</h2>)", client.get("/").text)
    shown = [
        "Now",
        "Forecast",
        "Needs you",
        "Waiting for you",
        "Goals",
        "Actions",
        "Forecasts",
        "What works",
        "Patterns",
    ]
    assert [each for each in heads if each in shown] == shown


@pytest.mark.usefixtures("lived")
def test_a_goals_page_tells_the_decision_in_words(client: TestClient) -> None:
    text = client.get("/goals/goal-1").text
    assert "Renicing is worth most." in text
    assert "worth less" in text
    for verb in ("cancel", "approve"):
        assert f'data-post="/api/autonomous/goals/goal-1/{verb}"' in text


def test_a_goal_of_which_no_cause_is_named_has_a_page(client: TestClient, store: Store, tick: datetime) -> None:
    goal = worlds.a_goal("goal-7", tick, because={"causes": {"sentence": "No cause is named.", "ranked": []}})
    store.goals.append([goal], [worlds.a_move("goal-7", GoalState.ACTIVE, tick)], "cycle-1")
    assert "No cause is named." in client.get("/goals/goal-7").text


def test_an_actions_page_draws_what_was_expected_and_what_came(
    client: TestClient, store: Store, tick: datetime
) -> None:
    worlds.samples(store, tick)
    action = worlds.an_action("action-9", tick - timedelta(hours=1))
    store.actions.append([action], "cycle-1")
    store.actions.finish(worlds.a_receipt("action-9", tick - timedelta(minutes=30)))
    evidence = {"forecast": [0.5] * 10, "observed": [0.4] * 10, "step_s": 60}
    store.outcomes.append([worlds.an_outcome(action, tick).model_copy(update={"evidence": evidence})], "cycle-1")
    text = client.get("/actions/action-9").text
    assert 'src="/api/autonomous/outcomes/outcome-action-9/picture"' in text
    told = client.get("/outcomes/outcome-action-9/data").json()
    assert told["context"]["fan"]["point"] == [0.5] * 10
    assert (told["context"]["events"][0]["href"], told["now_s"]) == ("/actions/action-9", None)
    rows = client.get("/outcomes/outcome-action-9/data.csv").text.splitlines()
    assert sum(",observed," in row for row in rows) == len(told["at_s"]) == 50
    assert sum(row.endswith(",forecast,0.5,,") for row in rows) == 10, "no interval is known of it"
    assert 'data-source="/outcomes/outcome-action-9/data?"' in text


@pytest.mark.parametrize(
    ("count", "said"),
    [(0, "No data in the last hour"), (12, "30 samples are needed, 12 so far; about 18 minutes")],
)
def test_an_empty_page_says_what_to_do_next(
    client: TestClient, store: Store, tick: datetime, count: int, said: str
) -> None:
    worlds.samples(store, tick, count)
    text = client.get("/").text
    assert said in text
    assert "No goals yet" in text
    assert "No actions yet" in text


def test_a_risk_that_nothing_is_known_of_is_not_shown_as_none(client: TestClient, store: Store, tick: datetime) -> None:
    worlds.samples(store, tick)
    worlds.samples(store, tick, 12, "short_series")
    worlds.a_turn(store, tick)
    store.forecasts.breaches.append([Breach(objective="short", series="short_series", probability=0.0)], "cycle-1")
    text = client.get("/").text
    assert "risk not known yet" in text
    assert ">0 % risk" not in text


def test_the_kill_switch_cannot_be_overlooked(client: TestClient, settings: Settings) -> None:
    settings.kill_switch_path.touch()
    assert 'class="banner bad"' in client.get("/live").text


def test_what_was_recorded_cannot_become_markup(client: TestClient, store: Store, tick: datetime) -> None:
    evil = "<script>alert(1)</script>&'"
    worlds.samples(store, tick, 40, series=evil)
    store.goals.append(
        [worlds.a_goal("goal-1", tick, description=evil, because={"sentence": evil})],
        [worlds.a_move("goal-1", worlds.GoalState.ACTIVE, tick)],
        "cycle-1",
    )
    store.actions.append([worlds.an_action("action-1", tick, name=evil, target=evil, params={evil: evil})], "cycle-1")
    for path in ("/", "/goals/goal-1", "/actions/action-1"):
        text = client.get(path).text
        assert "<script>alert" not in text
        assert "&lt;script&gt;" in text


EVIL = """<meta http-equiv=refresh content=0><script>'"&"""


def test_no_text_of_a_chart_can_become_markup() -> None:
    """Units come from outside like names do: one redirected the first page, another ran in a backtest's."""
    minutes = 60.0 * np.arange(30)
    forecast = charts.Lines(
        EVIL,
        900.0,
        minutes[:15],
        minutes[:15],
        minutes[15:],
        minutes[15:],
        minutes[15:] - 9,
        minutes[15:] + 9,
        bounds=((EVIL, 800.0),),
        now_label=EVIL,
        judged=JudgedWindow(900.0, 1_200.0, 950.0, 940.0),
    )
    marks = (Mark(300.0, EVIL, EVIL),)
    past = Timeline(EVIL, minutes, minutes, 800.0, (Stretch(60.0, 600.0, EVIL, EVIL),), marks, marks)
    drawn = [
        charts.forecast_chart(forecast, EVIL),
        timeline(past, EVIL),
        charts.interval(1.0, 1.0, EVIL),
        charts.probability_bar({"healthy": 1.0, EVIL: 0.0}),
    ]
    for svg in drawn:
        tags = {each.tag.rpartition("}")[2] for each in ElementTree.fromstring(svg).iter()}
        assert tags <= {"svg", "g", "line", "text", "rect", "polygon", "path", "title", "circle", "style"}
        assert EVIL[:8] not in svg


def test_markup_is_made_by_the_templates_and_in_one_place_for_drawings() -> None:
    """Nobody puts a tag together by hand: what is left out of the escaping would be found by those who look for it."""
    makers = {}
    for module in modules():
        if module.path.parts[0] in ("tests", "docs", ".ci", "benchmarks"):
            continue
        for node in ast.walk(module.tree):
            texts = (
                [each.value for each in node.values if isinstance(each, ast.Constant)]
                if isinstance(node, ast.JoinedStr)
                else []
            )
            is_tag = any(isinstance(text, str) and re.search(r"<[a-z/]", text) for text in texts)
            is_markup = isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Markup"
            if is_tag or (is_markup and node.args):  # type: ignore[union-attr]
                makers[str(module.path)] = makers.get(str(module.path), 0) + 1
    assert makers == {
        "api/dashboard/drawing.py": 3,  # `element`
        "api/dashboard/formatting.py": 1,  # `code`, of what was escaped
        "api/dashboard/rendering.py": 1,  # a panel, from its template
        "flows/reports/pages.py": 1,  # our own style sheet
    }


def links_of(client: TestClient, path: str) -> set[str]:
    """Return where a page leads to within the facade; a page that is not there is a finding."""
    answer = client.get(path)
    assert answer.status_code == 200, path
    found = {unescape(each).partition("#")[0] for each in re.findall(r'<a [^>]*href="([^"]+)"', answer.text)}
    return {urljoin(path, each) for each in found if not each.startswith("http") and not each.endswith(".csv")} - {""}


@pytest.mark.usefixtures("lived")
def test_every_link_leads_to_a_page_and_what_belongs_together_is_linked_both_ways(
    client: TestClient, store: Store, tick: datetime
) -> None:
    daily = Pattern(
        pattern_id="p3", kind="seasonality", subject=worlds.SERIES, statement="it peaks at noon", strength=0.9
    )
    store.patterns.append([daily], "cycle-1")
    seasonal = worlds.a_goal("goal-9", tick, because={"inputs": {"pattern": "p1", "effect": "p3"}})
    store.goals.append([seasonal], [worlds.a_move("goal-9", GoalState.ACTIVE, tick)], "cycle-1")
    worlds.samples(store, tick, 12, "short_series")
    unclear = {"outcome_id": "unclear", "estimate": None, "low": None, "high": None, "effect_sd_units": None}
    failed = worlds.an_action("action-3", tick, name="notify")
    store.outcomes.append([worlds.an_outcome(failed, tick).model_copy(update={**unclear, "role": "guard"})], "cycle-1")
    leads: dict[str, set[str]] = {}
    ahead = {"/"}
    while ahead:
        path = ahead.pop()
        leads[path] = links_of(client, path)
        ahead |= leads[path] - leads.keys()
    metric, cycle, goal, decision = (
        f"/series/{worlds.SERIES}",
        "/cycles/cycle-1",
        "/goals/goal-1",
        "/decisions/decision-1",
    )
    together = (
        (metric, "/outcomes/outcome-action-2"),
        (metric, "/outcomes/unclear"),
        (metric, "/objectives/cpu-not-saturated"),
        (metric, "/patterns/p3"),
        (metric, goal),
        (metric, "/actions/action-2"),
        (cycle, goal),
        (cycle, decision),
        (goal, decision),
        (goal, "/actions/action-1"),
        (goal, "/objectives/cpu-not-saturated"),
        (decision, "/actions/action-1"),
        ("/actions/action-2", "/outcomes/outcome-action-2"),
        ("/actions/action-3", "/outcomes/unclear"),
        (goal, "/outcomes/outcome-action-2"),
        (cycle, "/actions/action-1"),
        (cycle, "/outcomes/outcome-action-2"),
        (cycle, "/patterns/p1"),
        ("/goals/goal-9", "/patterns/p1"),
        ("/goals/goal-9", "/patterns/p3"),
    )
    apart = [each for each in together if each[1] not in leads[each[0]] or each[0] not in leads[each[1]]]
    assert apart == []
    assert goal not in leads["/patterns/p3"], "a goal on the same metric was not set for it"


@pytest.mark.usefixtures("lived")
def test_the_search_finds_a_text_in_all_that_is_recorded(client: TestClient, store: Store) -> None:
    client.post("/api/autonomous/actions/action-1/approve", json={"note": "renice_process looks right"})
    text = client.get("/search?q=renice_process").text
    assert re.findall(r"<h2>([^<]+) <small", text) == ["Actions", "Decisions", "Outcomes", "Audit trail"]
    assert "/cycles/cycle-1" in client.get("/search?q=cycle-1").text
    assert store.outcomes.page("", limit=1, offset=1) == (store.outcomes.latest(9)[1:2], 2)
    assert "2 in all" in client.get("/outcomes").text


def test_every_operation_is_on_the_reference_page(client: TestClient) -> None:
    text = client.get("/docs").text
    for path, item in client.get("/openapi.json").json()["paths"].items():
        for method in item:
            assert f'id="{method}-{path}"' in text
    assert "horizon_hours" in text
    assert "&gt; 0, ≤ 720, default 24" in text
    assert "metric_name" in text


@given(
    history=arrays(float, st.integers(0, 40), elements=st.one_of(finite, st.just(float("nan")))),
    point=arrays(float, st.integers(0, 40), elements=st.one_of(finite, st.just(float("nan")))),
    bounds=st.lists(finite, max_size=3),
    judged=st.none() | st.builds(JudgedWindow, *[st.floats(0, 2e9)] * 2, *[finite] * 2),
    unit=st.sampled_from(["", "ratio", "bytes", "ms"]),
)
def test_any_numbers_make_a_chart_that_parses(
    history: np.ndarray, point: np.ndarray, bounds: list[float], judged: JudgedWindow | None, unit: str
) -> None:
    lines = charts.Lines(
        unit=unit,
        now_s=1e9,
        history_s=1e9 - np.arange(len(history), dtype=float)[::-1] * 60,
        history=history,
        future_s=1e9 + 60 * (1.0 + np.arange(len(point))),
        point=point,
        low=point - 1,
        high=point + 1,
        bounds=tuple(("<b>", bound) for bound in bounds),
        judged=judged,
    )
    drawn = charts.forecast_chart(lines, 'a "chart" & more')
    assert ElementTree.fromstring(drawn).tag == "svg"
    coordinates = [float(n) for n in re.findall(r'[xy][12]?="(-?[\d.e+]+|nan|inf)"', drawn)]
    assert np.isfinite(coordinates).all()


def test_an_interval_many_times_what_was_seen_leaves_the_history_to_be_read() -> None:
    at_s = 60.0 * np.arange(30)
    history = 120 + 20 * np.sin(np.arange(30))
    ahead = np.full(30, 120.0)
    lines = charts.Lines("ms", at_s[-1], at_s, history, at_s[-1] + 60 + at_s, ahead, ahead - 3_000, ahead + 90_000)
    drawn = charts.forecast_chart(lines, "young")
    (path,) = re.findall(r'class="history" d="([^"]+)"', drawn)
    heights = [float(each) for each in re.findall(r",([\d.]+)", path)]
    assert max(heights) - min(heights) > charts.HEIGHT / 8


@pytest.mark.parametrize(
    ("amount", "series", "said"),
    [
        (-60.72, "shop_response_ms", "−60.7 ms"),
        (7.9e-10, "disk_used_ratio", "0 points"),
        (-0.034, 'cpu_used_ratio{core="0"}', "−3.4 points"),
        (2.0, "orders", "2"),
        (None, "orders", "–"),
    ],
)
def test_a_change_is_told_in_the_unit_of_its_metric(amount: float | None, series: str, said: str) -> None:
    assert formatting.change(amount, series) == said


def test_what_a_stage_recorded_is_told_in_words() -> None:
    told = formatting.facts(
        {"likely_breaches": 1, "steps_s": [300.0], "actions": [], "kinds": {"shift": 2, "effect": 1}}
    )
    assert told == "likely breaches 1 · steps s 300 · kinds shift 2, effect 1"
    assert formatting.facts({}) == "nothing new"


@pytest.mark.usefixtures("lived")
def test_what_a_turn_foresaw_is_a_picture_that_needs_nothing_else(client: TestClient) -> None:
    answer = client.get("/cycles/cycle-1/forecast.svg")
    assert answer.headers["content-type"].startswith("image/svg+xml")
    svg = "{http://www.w3.org/2000/svg}"
    root = ElementTree.fromstring(answer.text)
    assert root.tag == f"{svg}svg"
    classes = {each.get("class") for each in root.iter()}
    assert {"chart", "history", "forecast", "band", "bound"} <= classes
    texts = {each.text for each in root.iter(f"{svg}text")}
    assert "What foreact foresaw at 2026-03-02 12:00 UTC" in texts
    assert any(text.startswith("cpu_used_ratio · 70 %") for text in texts if text)
    assert "@import" not in answer.text
    assert client.get("/cycles/cycle-0/forecast.svg").status_code == 404


@pytest.mark.parametrize(
    ("amount", "unit", "said"),
    [
        (0.712, "ratio", "71.2 %"),
        (2.5, "ratio", "250 %"),
        (-0.2, "", "−0.2"),
        (3.14e9, "bytes", "3.14 GB"),
        (1500.0, "bytes/s", "1.5 kB/s"),
        (150.0, "ms", "150 ms"),
        (None, "ms", "–"),
        (float("nan"), "", "–"),
    ],
)
def test_values_read_as_people_write_them(amount: float | None, unit: str, said: str) -> None:
    assert formatting.value(amount, unit) == said


def test_backticks_become_code_and_markup_does_not() -> None:
    assert formatting.code("say `foreact <x>` & wait") == "say <code>foreact &lt;x&gt;</code> &amp; wait"


@pytest.mark.usefixtures("lived")
def test_a_decisions_page_tells_what_would_have_changed_it_with_gain_and_cost(
    client: TestClient, store: Store, tick: datetime
) -> None:
    decision = worlds.a_decision(tick)
    flip = FlipPoint(
        varied="breach_probability", was=0.63, at=0.41, instead="nothing", sentence="It would have waited at 41 %."
    )
    chosen = decision.chosen.model_copy(update={"gain": 0.47, "cost": 0.07})
    told = decision.model_copy(update={"decision_id": "decision-9", "flip_points": (flip,), "alternatives": (chosen,)})
    store.decisions.append([told], [], "cycle-1")
    text = client.get("/decisions/decision-9").text
    assert "It would have waited at 41 %." in text
    assert '<td class="end">0.47</td><td class="end">0.07</td>' in text
    answer = client.get("/api/autonomous/decisions/decision-9").json()
    assert answer["flip_points"][0]["at"] == 0.41
    assert "What would have changed it" in client.get("/decisions/decision-1").text


@pytest.mark.usefixtures("lived")
def test_the_roll_out_tells_level_evidence_and_what_is_missing(client: TestClient) -> None:
    pairs = {
        (each["action"], each["goal_type"]): each for each in client.get("/api/autonomous/rollout").json()["pairs"]
    }
    pair = pairs["renice_process", "BOTTLENECK_PREVENTION"]
    assert (pair["level"], pair["next_level"], pair["evidence"]["outcomes"]) == ("approve", "auto", 1)
    assert "8 measured outcomes" in pair["missing"]
    text = client.get("/rollout?q=renice").text
    assert 'aria-current="step">approve</li>' in text
    assert "<li>8 measured outcomes</li>" in text
    assert "prune_directory" not in text
    whole = client.get("/rollout").text
    assert "not planned for any goal yet</summary>" in whole
    assert '<h2><a href="/actions?q=prune_directory">' not in whole, "an action nobody asked for is a line, not a card"


@pytest.mark.usefixtures("lived")
def test_decisions_that_chose_an_action_can_be_looked_at_alone(client: TestClient, store: Store) -> None:
    (acting,) = store.decisions.latest(10)
    idle = acting.model_copy(
        update={"decision_id": "idle", "chosen": acting.chosen.model_copy(update={"action": "nothing"})}
    )
    store.decisions.append([idle], [], "cycle-1")
    everything, acts = (client.get(f"/decisions{asked}").text for asked in ("", "?chosen=act"))
    assert ("2 in all" in everything, "nothing was done" in everything) == (True, True)
    assert ("1 in all" in acts, "nothing was done" in acts) == (True, False)


def test_the_settings_page_tells_what_comes_from_where_and_no_secret(
    store: Store, tick: datetime, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "foreact.toml").write_text(
        '[executor]\nblast_radius = 7\n[alerts]\nurls = ["json://user:geheim@host/x"]\n[sampler]\nenabled = false\n'
    )
    monkeypatch.setenv("FOREACT_AGENT__SEED", "12")
    app = create_app(load_settings(tmp_path), store=store, trigger=RecordingTrigger(), clock=lambda: tick)
    with TestClient(app, base_url=BASE) as opened:
        keys = {each["key"]: each for each in opened.get("/api/autonomous/configuration").json()["keys"]}
        pages = [opened.get(path).text for path in ("/settings", "/settings?all=true&q=agent", "/settings?q=zzz")]
    assert (keys["executor.blast_radius"]["value"], keys["executor.blast_radius"]["default"]) == (7, 3)
    assert keys["executor.blast_radius"]["comes_from"] == "foreact.toml"
    assert (keys["agent.seed"]["value"], keys["agent.seed"]["comes_from"]) == (12, "FOREACT_AGENT__SEED")
    assert keys["home"]["comes_from"] == keys["agent.name"]["comes_from"] == "default"
    assert (keys["agent.seed"]["is_read_anew"], keys["server.port"]["is_read_anew"]) == (True, False)
    assert "geheim" not in "".join(pages) + str(keys)
    assert "executor.blast_radius" in pages[0]
    assert "agent.name" not in pages[0]
    assert "agent.name" in pages[1]
    assert "No key contains this." in pages[2]


@pytest.mark.usefixtures("lived")
def test_the_audit_page_finds_lines_a_page_at_a_time_and_checks_all_on_request(
    client: TestClient, store: Store
) -> None:
    for number in range(60):
        store.audit.append("ada", "set mode", "mode", {"note": f"reason {number}"})
    first, second = client.get("/audit?q=ada").text, client.get("/audit?q=ada&page=2").text
    assert first.count("<td>set mode</td>") == 50
    assert second.count("<td>set mode</td>") == 10
    assert "reason 59" in first
    assert "Every line is as it was written." not in first
    assert "Every line is as it was written." in client.get("/audit?verify=true").text
    assert "No line contains this." in client.get("/audit?q=100%25").text


def test_the_audit_trail_leads_to_objectives_that_are_in_force_and_to_no_others(
    client: TestClient, store: Store
) -> None:
    for verb, name in (("set objective", "gone"), ("set objective", "cpu-not-saturated"), ("remove objective", "gone")):
        store.audit.append("ada", verb, name, {})
    for path in ("/audit", "/search?q=ada"):
        assert {each for each in links_of(client, path) if "/objectives/" in each} == {"/objectives/cpu-not-saturated"}


def test_an_objectives_page_lists_no_goals_of_another_whose_name_begins_alike(
    client: TestClient, store: Store, tick: datetime
) -> None:
    names = {"goal-1": "cpu-not-saturated", "goal-2": "cpu-not-saturated-at-night"}
    goals = [worlds.a_goal(goal_id, tick, objective=name) for goal_id, name in names.items()]
    store.goals.append(goals, [worlds.a_move(each, GoalState.ACTIVE, tick) for each in names], "cycle-1")
    for path in ("/objectives/cpu-not-saturated", "/goals?objective=cpu-not-saturated"):
        assert {each for each in links_of(client, path) if "/goals/" in each} == {"/goals/goal-1"}
    assert {"/goals/goal-1", "/goals/goal-2"} <= links_of(client, "/goals?q=cpu-not-saturated")


def test_backtests_tell_how_far_they_came_how_they_ended_and_show_their_reports(
    client: TestClient, store: Store, settings: Settings, trigger: RecordingTrigger, tick: datetime
) -> None:
    assert "None yet." in client.get("/backtests").text
    trigger.under_way = Started("run-9", "http://127.0.0.1:4200/runs/flow-run/run-9")
    store.facts.set(BACKTEST_PROGRESS, BacktestProgress(tick, 7.0, 40, 160))
    assert "40 of 160 turns" in client.get("/backtests").text
    trigger.under_way = None
    assert "Its run ended without a word" in client.get("/backtests").text
    folder = settings.home / "reports"
    folder.mkdir()
    (folder / "backtest-2026-03-02T12-00-00.html").write_text("<!doctype html><p>the report</p>")
    (settings.home / "secret.html").write_text("geheim")
    listed = client.get("/backtests").text
    assert "/backtests/backtest-2026-03-02T12-00-00.html" in listed
    assert ">2026-03-02 12:00:00 UTC</a>" in listed, "the page tells it in the viewer's zone"
    shown = client.get("/backtests/backtest-2026-03-02T12-00-00.html")
    assert "the report" in shown.text
    assert "sandbox" in shown.headers["content-security-policy"]
    for name in ("secret.html", "..%2Fsecret.html", "backtest-1.html"):
        assert client.get(f"/backtests/{name}").status_code == 404


def test_reviews_of_changes_are_shown_as_text_with_their_verdict(client: TestClient, settings: Settings) -> None:
    folder = settings.home / "reports"
    folder.mkdir(parents=True, exist_ok=True)
    record = {"at": "2026-03-02T12:00:00Z", "before": "main.toml", "after": "foreact.toml", "figures": []}
    record |= {"worse": ["2 breaches more would be missed."], "configuration": [], "logged_decisions": None}
    record |= {"logged_note": "", "notes": [], "markdown": "<script>alert(1)</script>"}
    (folder / "review-2026-03-02T12-00-00.json").write_text(json.dumps(record))
    page = client.get("/backtests").text
    assert "foreact.toml against main.toml" in page
    assert "2 breaches more would be missed." in page
    assert "<script>alert(1)" not in page
    (listed,) = client.get("/api/autonomous/backtests/reviews").json()["reviews"]
    assert listed["name"] == "review-2026-03-02T12-00-00"


LONG = (
    'limit_process_affinity on http_request_duration_seconds{handler="/api/orders",instance="web-01",job="shop"}: worse'
)
LETTERS = {"name": 15 / 12 * 1.06, "tick": 13 / 12 * SIZE, "key": 13 / 12, "caption": 13 / 12}
"""How much wider than a letter of 12 px the letters of each kind of words are."""


@pytest.mark.parametrize("acted_share", [0.02, 0.3, 0.75, 0.98])
def test_no_caption_of_an_outcomes_picture_is_cut_or_lies_over_another(
    client: TestClient, store: Store, tick: datetime, acted_share: float
) -> None:
    worlds.samples(store, tick)
    steps = max(1, round(60 * (1 - acted_share)))
    evidence = {"forecast": [0.5] * steps, "low": [0.4] * steps, "high": [0.6] * steps, "step_s": 60}
    reason = "p = 6.28e-08 against 49 past windows without an action, of which twelve lay in the same hours of the day"
    action, _, rest = LONG.partition(" on ")
    outcome = worlds.an_outcome(worlds.an_action("action-9", tick, name=action), tick)
    changes = {"series": rest.removesuffix(": worse"), "verdict": Verdict.WORSE, "reason": reason, "evidence": evidence}
    store.outcomes.append([outcome.model_copy(update={"action": action, **changes})], "cycle-1")
    root = ElementTree.fromstring(client.get(f"/api/autonomous/outcomes/{outcome.outcome_id}/picture").text)
    _, _, width, height = (float(each) for each in root.attrib["viewBox"].split())
    chart = next(each for each in root.iter() if each.tag.endswith("}svg") and each.get("width") and each is not root)
    ticks = {id(text) for text in chart.iter()}
    places: dict[float, list[tuple[float, float]]] = {}
    for text in (each for each in root.iter() if each.tag.endswith("}text")):
        x, top = float(text.attrib["x"]), float(text.attrib["y"])
        if id(text) in ticks:
            x, top = float(chart.attrib["x"]) + SIZE * x, float(chart.attrib["y"]) + SIZE * top
        wide = 6.9 * LETTERS[text.attrib["class"]] * len(text.text or "")
        left = x - {"start": 0.0, "middle": 0.5, "end": 1.0}[text.attrib.get("text-anchor", "start")] * wide
        assert top <= height
        assert left >= -1
        assert left + wide <= width + 1
        places.setdefault(top, []).append((left, left + wide))
    title = "".join(text.text or "" for text in root.iter() if text.get("class") == "name")
    assert title.replace(" ", "") == LONG.replace(" ", "")
    for row in map(sorted, places.values()):
        assert all(one[1] <= other[0] + 1 for one, other in itertools.pairwise(row))


AS_SEEN = {
    "protanopia": ((0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216), (-0.003882, -0.048116, 1.051998)),
    "deuteranopia": ((0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413), (-0.011820, 0.042940, 0.968881)),
}
"""Machado, Oliveira and Fernandes 2009, "A physiologically-based model for simulation of color vision deficiency"."""
LEAST_APART = 20.0
"""In CIELAB; 2.3 is what is just noticed, and signs are small."""


def lab_as_seen(colour: str, kind: str) -> np.ndarray:
    """Return a colour (#rrggbb) in CIELAB as someone with a kind of colour blindness sees it."""
    levels = np.array([int(colour[at : at + 2], 16) for at in (1, 3, 5)]) / 255
    linear = np.where(levels <= 0.04045, levels / 12.92, ((levels + 0.055) / 1.055) ** 2.4)
    to_xyz = np.array([(0.4125, 0.3576, 0.1804), (0.2127, 0.7152, 0.0722), (0.0193, 0.1192, 0.9503)])
    xyz = to_xyz @ np.clip(np.array(AS_SEEN[kind]) @ linear, 0, 1) / (0.9505, 1.0, 1.0888)
    root = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * root[1] - 16, 500 * (root[0] - root[1]), 200 * (root[1] - root[2])])


@pytest.mark.parametrize("kind", AS_SEEN)
@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
def test_the_colours_of_signs_differ_for_the_colour_blind(theme: int, kind: str) -> None:
    text = (STATIC / "foreact.css").read_text()
    found = {
        name: re.findall(rf"--{name}: ?(#[0-9a-f]{{6}})", text)[theme] for name in ("good", "warn", "bad", "accent")
    }
    seen = {name: lab_as_seen(colour, kind) for name, colour in found.items()}
    apart = {
        (one, other): float(np.linalg.norm(seen[one] - seen[other])) for one, other in itertools.combinations(seen, 2)
    }
    assert {pair: round(by, 1) for pair, by in apart.items() if by < LEAST_APART} == {}


def test_states_and_stretches_are_told_apart_without_their_colours() -> None:
    def signs(state: str) -> int:
        return str(charts.probability_bar({state: 1.0})).count("<line")

    assert len({signs(state) for state in ("healthy", "degraded", "critical", "unknown")}) == 4
    minutes = 60.0 * np.arange(30)
    drawn = {
        tone: str(timeline(Timeline("", minutes, minutes, stretches=(Stretch(60.0, 600.0, tone, ""),)), ""))
        for tone in ("warn", "bad")
    }
    assert {tone: text.count("unforetold") for tone, text in drawn.items()} == {"warn": 0, "bad": 1}
