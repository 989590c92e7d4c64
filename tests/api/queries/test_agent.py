"""The documented answers about the agent as a whole carry the documented keys and what the store knows."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from fastapi.testclient import TestClient

from api.background.alerts import Alerts
from api.prefect_client import Started
from settings import Settings
from storage import Store
from storage.facts import BACKTEST, INSIGHTS, PLACEBOS, PlaceboFigures, PlaceboRate
from storage.records import NOTHING
from tasks.learn.outcome_rows import OutcomeRow
from tasks.learn.reports.insights import insights
from tests.api import worlds
from tests.api.conftest import API, RecordingTrigger


@pytest.fixture
def lived(store: Store, tick: datetime) -> None:
    worlds.samples(store, tick)
    worlds.a_turn(store, tick)
    worlds.a_history(store, tick)
    store.facts.set(INSIGHTS, insights([OutcomeRow.of(each) for each in store.outcomes.targets()]))


@pytest.mark.usefixtures("lived")
def test_status_counts_metrics_goals_and_actions(client: TestClient, store: Store) -> None:
    status = client.get(f"{API}/status").json()
    assert status["running"] is True
    assert status["uptime_seconds"] == 0
    assert status["active_goals"] == 2
    assert status["statistics"]["series_known"] == len(store.samples.known()) > 0
    assert status["statistics"]["goals_created"] == 3
    assert status["statistics"]["goals_achieved"] == 1
    assert status["statistics"]["actions_executed"] == 2
    assert status["statistics"]["actions_succeeded"] == 1
    assert status["pending_approvals"] == 1
    assert status["last_cycle"]["cycle_id"] == "cycle-1"
    assert status["mode"]["autonomous"] is status["autonomous_mode"] is True


@pytest.mark.usefixtures("lived")
def test_the_report_has_the_documented_keys(client: TestClient) -> None:
    report = client.get(f"{API}/report").json()
    assert report["agent_status"]["running"] is True
    assert report["agent_status"]["uptime_seconds"] == 0
    assert report["goals"]["total_active_goals"] == 2
    assert report["forecasting_report"]["prediction"]["predicted_state"] == "degraded"
    assert report["forecasting_report"]["prediction"]["probability"] == 0.65
    assert report["executor_state"]["statistics"]["success_rate"] == 0.5
    assert report["insights"]["action_success_rates"]["renice_process"]["rate"] == 1.0
    assert report["last_cycle"]["duration_s"] == 0.75


def test_the_report_tells_of_the_newest_placebo_check(client: TestClient, store: Store, tick: datetime) -> None:
    rate = PlaceboRate(40, 2, 36)
    found = PlaceboFigures(tick, 5, rate, rate, 0, 1.1, 0.2, "Doing nothing was taken for an effect in 5 %.")
    store.facts.set(PLACEBOS, found)
    for told in (client.get(f"{API}/report").json()["insights"], client.get(f"{API}/executor/insights").json()):
        assert told["placebo_check"]["random"] == {"count": 40, "false_alarms": 2, "covered": 36}
        assert told["placebo_check"]["widening"] == 1.1
    assert found.sentence in client.get("/").text


def test_everything_answers_on_an_empty_store(client: TestClient) -> None:
    report = client.get(f"{API}/report").json()
    assert report["goals"] == {"total_active_goals": 0, "goals": [], "conflicts": []}
    assert report["forecasting_report"]["prediction"]["predicted_state"] == "unknown"
    assert report["executor_state"]["statistics"]["success_rate"] == 0.0
    assert client.get(f"{API}/executor/insights").json() == insights([]), "the shape is that of the learn stage"
    assert "analysis/trigger" in client.get(f"{API}/patterns").json()["note"]
    assert client.get(f"{API}/audit", params={"verify": True}).json()["verified"] is True
    for path in ("actions", "cycles", "backtests"):
        assert client.get(f"{API}/{path}").json()[path] == []


@pytest.mark.usefixtures("lived")
def test_executor_statistics_tell_success_from_improvement(client: TestClient) -> None:
    statistics = client.get(f"{API}/executor/statistics").json()
    assert statistics["success_rate"] == 0.5
    assert statistics["improved_rate"] == 0.5
    assert statistics["average_execution_seconds"] == 2
    assert statistics["pending_approvals"] == statistics["pending_actions"] == 1
    assert statistics["measured_actions"] == 2
    assert statistics["verdicts"] == {"improved": 1}, "what failed has no say about the metric"


def test_outcomes_speak_for_themselves_while_learning_is_off(client: TestClient, store: Store, tick: datetime) -> None:
    worlds.a_history(store, tick)
    assert client.get(f"{API}/executor/insights").json()["action_success_rates"]["renice_process"]["rate"] == 1


def test_receipts_are_counted_once_however_often_it_is_asked(client: TestClient, store: Store, tick: datetime) -> None:
    worlds.a_history(store, tick)
    path = f"{API}/executor/statistics"
    assert client.get(path).json() == client.get(path).json()
    late = worlds.an_action("action-4", tick - timedelta(hours=12))
    undo, nothing = worlds.an_undo(store, "action-2", tick), worlds.an_action("action-6", tick, name=NOTHING)
    store.actions.append([late, nothing], "cycle-1")
    for action in (late, undo, nothing):
        store.actions.finish(worlds.a_receipt(action.action_id, action.created_at))
    told = client.get(path).json()
    assert (told["actions_executed"], told["actions_succeeded"]) == (3, 2)
    assert (told["actions_undone"], told["held_back"]) == (1, 1)
    assert client.get(f"{API}/status").json()["statistics"]["actions_executed"] == 3


@pytest.mark.usefixtures("lived")
def test_insights_have_the_documented_shape(client: TestClient) -> None:
    told = client.get(f"{API}/executor/insights").json()
    assert told["action_success_rates"]["notify"]["rate"] == 0
    assert told["common_failures"][0]["action"] == "notify"
    assert told["common_failures"][0]["count"] == 1


def test_the_mode_is_kept_shown_and_audited(client: TestClient) -> None:
    answer = client.post(f"{API}/mode", json={"autonomous": False, "by": "ada"})
    assert answer.json()["autonomous"] is False
    assert client.get(f"{API}/status").json()["mode"]["acts"] is False
    (entry,) = client.get(f"{API}/audit").json()["entries"]
    assert (entry["actor"], entry["verb"], entry["detail"]) == ("local (ada)", "set mode", {"autonomous": False})
    assert client.post(f"{API}/mode", json={"autonomous": True}).json()["acts"] is True


@pytest.mark.parametrize("body", [{}, {"autonomous": "yes"}, {"autonomous": 1}, {"autonomous": None}, {"on": True}])
def test_a_mode_that_is_no_boolean_is_refused(client: TestClient, body: dict[str, object]) -> None:
    assert client.post(f"{API}/mode", json=body).status_code == 422


def test_everything_is_stopped_and_released_with_a_name_and_a_reason(
    client: TestClient, settings: Settings, store: Store
) -> None:
    assert client.post(f"{API}/stop", json={"by": "ada"}).status_code == 422
    stopped = client.post(f"{API}/stop", json={"by": "ada", "note": "smoke in the rack"}).json()
    assert (stopped["acts"], stopped["kill_switch"], settings.kill_switch_path.exists()) == (False, True, True)
    assert stopped["note"].endswith("removed. local (ada): smoke in the rack")
    Alerts(lambda: settings, store, store.clock, "notifier").look_at_the_kill_switch()
    client.post(f"{API}/stop", json={"by": "bob", "note": "again"})
    released = client.post(f"{API}/stop", json={"by": "bob", "note": "put out", "release": True}).json()
    assert (released["acts"], settings.kill_switch_path.exists()) == (True, False)
    lines = [(e["actor"], e["verb"], e["detail"]["note"]) for e in client.get(f"{API}/audit").json()["entries"]]
    assert lines == [
        ("local (bob)", "kill switch off", "put out"),
        ("local (bob)", "kill switch on", "again"),
        ("local (ada)", "kill switch on", "smoke in the rack"),
    ]


def test_the_kill_switch_file_is_shown(client: TestClient, settings: Settings) -> None:
    settings.kill_switch_path.touch()
    mode = client.get(f"{API}/status").json()["mode"]
    assert (mode["autonomous"], mode["acts"], mode["kill_switch"]) == (True, False, True)
    assert str(settings.kill_switch_path) in mode["note"]


def test_analysis_is_started_through_prefect(client: TestClient, trigger: RecordingTrigger) -> None:
    answer = client.post(f"{API}/analysis/trigger", headers={"Idempotency-Key": "once"})
    assert answer.status_code == 202
    assert answer.json()["flow_run_url"].endswith("/runs/flow-run/run-1")
    assert trigger.calls == [("cycle", {"reason": "request"}, "once")]


def test_while_a_cycle_runs_analysis_is_refused_and_that_run_named(
    client: TestClient, trigger: RecordingTrigger
) -> None:
    trigger.under_way = Started("run-7", "http://127.0.0.1:4200/runs/flow-run/run-7")
    answer = client.post(f"{API}/analysis/trigger")
    assert (answer.status_code, answer.json()["code"]) == (409, "cycle_running")
    assert "run-7" in answer.json()["detail"]
    assert answer.json()["remedy"].endswith("/runs/flow-run/run-7")
    assert trigger.calls == []
    again = client.post(f"{API}/analysis/trigger", headers={"Idempotency-Key": "run-7"})
    assert again.status_code == 202, "who asks again with the same key is told of the same run"


def test_without_prefect_analysis_says_so(client: TestClient, trigger: RecordingTrigger) -> None:
    trigger.is_away = True
    answer = client.post(f"{API}/analysis/trigger")
    assert (answer.status_code, answer.json()["code"]) == (503, "prefect_unreachable")


def test_a_backtest_is_started_through_prefect(client: TestClient, trigger: RecordingTrigger) -> None:
    assert client.post(f"{API}/backtests", json={"days": 30}).status_code == 202
    assert trigger.calls == [("backtest", {"days": 30.0}, None)]
    assert client.post(f"{API}/backtests", json={"days": -1}).status_code == 422


def test_while_a_backtest_runs_another_is_refused_and_that_run_named(
    client: TestClient, trigger: RecordingTrigger
) -> None:
    trigger.under_way = Started("run-7", "http://127.0.0.1:4200/runs/flow-run/run-7")
    answer = client.post(f"{API}/backtests", json={"days": 1})
    assert (answer.status_code, answer.json()["code"]) == (409, "backtest_running")
    assert "run-7" in answer.json()["detail"]
    assert trigger.calls == []


def test_the_newest_backtest_can_be_read(client: TestClient, store: Store) -> None:
    store.facts.set(BACKTEST, {"breaches": 3})
    answer = client.get(f"{API}/backtests").json()
    assert answer == {"backtests": [{"breaches": 3}], "progress": None, "reports": []}


@pytest.mark.usefixtures("lived")
def test_cycles_decisions_and_patterns_can_be_read(client: TestClient) -> None:
    assert [c["cycle_id"] for c in client.get(f"{API}/cycles").json()["cycles"]] == ["cycle-1"]
    stages = client.get(f"{API}/cycles/cycle-1").json()["stages"]
    assert [s["stage"] for s in stages] == ["monitor", "forecast", "goals"]
    decision = client.get(f"{API}/decisions/decision-1").json()
    assert [a["action"] for a in decision["alternatives"]] == ["renice_process", "nothing"]
    assert client.get(f"{API}/patterns").json()["patterns"][0]["statement"] == "deploy comes every hour"


@pytest.mark.usefixtures("lived")
def test_prometheus_reads_the_figures(client: TestClient) -> None:
    client.post(f"{API}/metrics", json={"metric_name": "m", "value": 1})
    text = client.get("/metrics").text
    for line in (
        "foreact_goals_created_total 3.0",
        'foreact_goals{state="achieved"} 1.0',
        'foreact_actions_total{status="failed"} 1.0',
        "foreact_cycle_duration_seconds 0.75",
        "foreact_samples_total 1.0",
        "foreact_pending_approvals 1.0",
        'foreact_predicted_state_probability{state="degraded"} 0.65',
        'foreact_breach_probability{objective="cpu-not-saturated"} 0.7',
    ):
        assert line in text
    assert "process_resident_memory_bytes" in text


def test_health_and_readiness(client: TestClient) -> None:
    assert client.get("/healthz").json()["status"] == "ok"
    assert client.get("/readyz").json()["checks"] == {"store": "ok", "tend_starter": "ok", "cache_refresher": "ok"}
    client.app.state.facade.checks["tend_starter"] = lambda: False  # type: ignore[attr-defined]
    answer = client.get("/readyz")
    assert (answer.status_code, answer.json()["detail"]) == (503, "Not running: tend_starter.")
