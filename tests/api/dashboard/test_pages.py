"""The pages show what the store knows, say what to do where it knows nothing, and load nothing from elsewhere."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from xml.etree import ElementTree

import numpy as np
import pytest
from fastapi.testclient import TestClient
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from api.dashboard import charts, formatting
from settings import Settings
from storage import Store
from storage.records import Breach
from tests.api import worlds

finite = st.floats(-1e300, 1e300, allow_nan=False)


@pytest.fixture
def lived(store: Store, tick: datetime) -> None:
    worlds.samples(store, tick)
    worlds.a_turn(store, tick)
    worlds.a_history(store, tick)


PAGES = ("/", "/live", "/live?show_all=true", "/docs", "/goals/goal-1", "/actions/action-1", "/actions/action-2")


@pytest.mark.usefixtures("lived")
@pytest.mark.parametrize("path", PAGES)
def test_a_page_is_whole_and_loads_nothing_from_elsewhere(client: TestClient, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 200
    assert "default-src 'self'" in answer.headers["content-security-policy"]
    loaded = re.findall(r"(?:src|href|data-source|data-post)=\"([^\"]+)\"", answer.text)
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
        "−0.2 <span",
        "improved",
        'data-post="/api/autonomous/actions/action-2/undo"',
        "deploy comes every hour",
        'role="switch" aria-checked="true"',
    ):
        assert expected in text


@pytest.mark.usefixtures("lived")
def test_a_goals_page_tells_the_decision_in_words(client: TestClient) -> None:
    text = client.get("/goals/goal-1").text
    assert "Renicing is worth most." in text
    assert "worth less" in text
    assert 'data-post="/api/autonomous/goals/goal-1/cancel"' in text


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
    assert '<path class="history"' in text
    assert '<path class="forecast"' in text
    assert "action taken" in text


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
    point=arrays(float, st.integers(0, 40), elements=finite),
    bounds=st.lists(finite, max_size=3),
    unit=st.sampled_from(["", "ratio", "bytes", "ms"]),
)
def test_any_numbers_make_a_chart_that_parses(
    history: np.ndarray, point: np.ndarray, bounds: list[float], unit: str
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
    )
    drawn = charts.forecast_chart(lines, 'a "chart" & more')
    assert ElementTree.fromstring(drawn).tag == "svg"
    coordinates = [float(n) for n in re.findall(r'[xy][12]?="(-?[\d.e+]+|nan|inf)"', drawn)]
    assert np.isfinite(coordinates).all()


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
