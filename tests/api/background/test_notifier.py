"""What is decided is told: to Prefect as events, and what is grave to people; nothing twice, nothing left out."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import pytest
from prefect.events import Event

from api.background.notifications import SEVERITIES, Notification, of_line
from api.background.notifier import Notifier
from api.facade import Facade
from settings import Settings, load_settings
from storage import Store, TransientError
from storage.records import GoalState
from tests.api import worlds
from tests.api.conftest import RecordingTrigger
from tests.handlers.conftest import Request, Server, server

__all__ = ["server"]

FAILED_UNDO: Mapping[str, Any] = {
    "action": "resize",
    "target": "web",
    "status": "failed",
    "detail": "The volume is gone.",
    "remedy": "Look at it by hand.",
}


class NotifyingFacade:
    """A facade whose Prefect server and alert service are one local HTTP server."""

    def __init__(self, settings: Settings, store: Store, tick: datetime, server: Server, **alerts: Any) -> None:
        urls = [server.url.replace("http://", "json://") + "/people"]
        home = settings.home
        configured = load_settings(home, home=home, prefect_api_url=server.url, alerts={"urls": urls} | alerts)
        self.store, self.server, self.settings = store, server, configured
        self.notifier = Notifier(Facade(configured, store, RecordingTrigger(), lambda: tick, tick, follows_file=True))

    @property
    def events(self) -> list[dict[str, Any]]:
        asked = [json.loads(each.body) for each in self.server.requests if each.path == "/events"]
        return [event for batch in asked for event in batch]

    @property
    def alerts(self) -> list[str]:
        return [json.loads(each.body)["message"] for each in self.server.requests if each.path == "/people"]


@pytest.fixture
def desk(settings: Settings, store: Store, tick: datetime, server: Server) -> NotifyingFacade:
    desk = NotifyingFacade(settings, store, tick, server)
    desk.notifier.step()
    return desk


def test_what_was_decided_before_the_first_look_is_not_told(
    settings: Settings, store: Store, tick: datetime, server: Server
) -> None:
    store.audit.append("loop", "undo failed", "action-1", FAILED_UNDO)
    desk = NotifyingFacade(settings, store, tick, server)
    desk.notifier.step()
    desk.notifier.step()
    assert server.requests == []


def test_each_line_is_one_event_and_the_grave_ones_one_message(desk: NotifyingFacade) -> None:
    desk.store.audit.append("loop", "goal set", "goal-1", {"type": "SLA_MAINTENANCE", "description": "Keep it up"})
    desk.store.audit.append("loop", "acted", "action-1", {"action": "resize", "target": "web", "status": "succeeded"})
    desk.store.audit.append("loop", "undo failed", "action-2", FAILED_UNDO)
    desk.notifier.step()
    desk.notifier.step()
    assert [(each["event"], each["payload"]["severity"]) for each in desk.events] == [
        ("foreact.goal.proposed", "warning"),
        ("foreact.action.finished", "info"),
        ("foreact.undo.failed", "critical"),
    ]
    (message,) = desk.alerts
    assert message.endswith("critical: resize on web could not be undone. The volume is gone. Look at it by hand.")


def test_prefect_takes_the_events_as_they_are(desk: NotifyingFacade) -> None:
    desk.store.audit.append("ada", "set mode", "mode", {"autonomous": False})
    desk.notifier.step()
    (event,) = [Event.model_validate(each) for each in desk.events]
    assert event.event == "foreact.mode.changed"
    assert event.resource.id == "foreact.mode"
    assert event.payload["sentence"] == "ada changed the mode: foreact now only recommends."


def test_the_least_severity_decides_who_is_told(
    settings: Settings, store: Store, tick: datetime, server: Server
) -> None:
    desk = NotifyingFacade(settings, store, tick, server, minimum_severity="info")
    desk.notifier.step()
    store.audit.append("loop", "action planned", "action-7", {"action": "resize", "target": "web", "level": "approve"})
    store.audit.append("ada", "approve action", "action-7", {"note": "looks right"})
    desk.notifier.step()
    (message,) = desk.alerts
    assert "resize on web waits for your approval: foreact approve action-7" in message
    assert "ada approved action-7. looks right" in message


def test_events_that_prefect_did_not_take_are_told_again_under_the_same_id(desk: NotifyingFacade) -> None:
    desk.server.answer = lambda request: (503, "") if request.path == "/events" else (200, "{}")
    desk.store.audit.append("loop", "undo failed", "action-2", FAILED_UNDO)
    for _ in range(2):
        with pytest.raises(TransientError):
            desk.notifier.step()
    desk.server.answer = lambda request: (204, "")
    desk.notifier.step()
    desk.notifier.step()
    assert len(desk.events) == 3
    assert len({event["id"] for event in desk.events}) == 1
    assert len(desk.alerts) == 1


def test_a_restart_tells_nothing_twice_and_leaves_nothing_out(
    desk: NotifyingFacade, settings: Settings, store: Store, tick: datetime
) -> None:
    store.audit.append("loop", "undo failed", "action-1", FAILED_UNDO)
    desk.notifier.step()
    store.audit.append("loop", "undo failed", "action-2", FAILED_UNDO)
    NotifyingFacade(settings, store, tick, desk.server).notifier.step()
    assert [event["resource"]["prefect.resource.id"] for event in desk.events] == [
        "foreact.action-1",
        "foreact.action-2",
    ]
    assert len(desk.alerts) == 2


def test_a_service_that_is_away_is_asked_a_few_times_and_then_let_be(
    desk: NotifyingFacade, caplog: pytest.LogCaptureFixture
) -> None:
    def away(request: Request) -> tuple[int, str]:
        return (500, "no") if request.path == "/people" else (204, "")

    desk.server.answer = away
    desk.store.audit.append("loop", "undo failed", "action-1", FAILED_UNDO)
    for _ in range(6):
        desk.notifier.step()
    assert len(desk.alerts) == 3
    assert len(desk.events) == 1
    assert "some alerts were not delivered" in caplog.text


def test_the_end_of_a_goal_is_told_once(desk: NotifyingFacade, tick: datetime) -> None:
    goal = worlds.a_goal("goal-9", tick)
    desk.store.goals.append([goal], [worlds.a_move("goal-9", GoalState.ACTIVE, tick)], "cycle-1")
    desk.notifier.step()
    desk.store.goals.move([worlds.a_move("goal-9", GoalState.FAILED, tick)], "cycle-2")
    desk.notifier.step()
    desk.notifier.step()
    assert [event["event"] for event in desk.events] == ["foreact.goal.failed"]
    assert "Goal failed: Keep cpu_used_ratio below 0.9" in desk.alerts[0]


def test_the_kill_switch_file_is_told_and_audited_when_it_comes_and_when_it_goes(
    desk: NotifyingFacade, settings: Settings, store: Store
) -> None:
    settings.kill_switch_path.touch()
    desk.notifier.step()
    settings.kill_switch_path.unlink()
    desk.notifier.step()
    assert [event["event"] for event in desk.events] == ["foreact.kill_switch.on", "foreact.kill_switch.off"]
    assert [line.verb for line in store.audit.latest()] == ["kill switch off", "kill switch on"]
    assert len(desk.alerts) == 2


def test_a_configuration_that_cannot_be_used_any_more_is_told_once_and_when_it_can_be_again(
    desk: NotifyingFacade, settings: Settings
) -> None:
    file = settings.home / "foreact.toml"
    file.write_text('[executor]\nrate_limits = ["now and then"]')
    desk.notifier.step()
    desk.notifier.step()
    file.write_text(f"[alerts]\nurls = {json.dumps(list(desk.settings.alerts.urls))}")
    desk.notifier.step()
    broken, mended = desk.alerts
    assert "executor.rate_limits.0" in broken
    assert "write it like" in broken
    assert "can use again foreact.toml" in mended


def test_whom_to_tell_is_read_anew_from_a_changed_file(desk: NotifyingFacade, settings: Settings) -> None:
    others = [url.replace("/people", "/others") for url in desk.settings.alerts.urls]
    (settings.home / "foreact.toml").write_text(f"[alerts]\nurls = {json.dumps(others)}")
    desk.store.audit.append("loop", "undo failed", "action-1", FAILED_UNDO)
    desk.notifier.step()
    assert [each.path for each in desk.server.requests if each.path != "/events"] == ["/others"]


def test_a_message_is_as_grave_as_the_gravest_thing_in_it(desk: NotifyingFacade) -> None:
    desk.store.audit.append("loop", "undo failed", "action-1", FAILED_UNDO)
    desk.notifier.step()
    (sent,) = [json.loads(each.body) for each in desk.server.requests if each.path == "/people"]
    assert sent["type"] == "failure"


def test_an_undo_that_is_planned_names_the_action(store: Store) -> None:
    detail = {"action": "resize", "target": "web", "reason": "latency got worse"}
    told = of_line(store.audit.append("loop", "undo planned", "action-1", detail))
    assert told.sentence == "resize on web is being undone, because latency got worse. It was action-1."


@pytest.mark.parametrize(
    "verb", ["goal set", "acted", "undone", "undo planned", "promoted", "demoted", "drilled", "source failed", "new"]
)
def test_every_verb_has_an_event_a_severity_and_a_sentence(store: Store, verb: str) -> None:
    news: Notification = of_line(store.audit.append("loop", verb, "subject-1", {}))
    assert news.event.startswith("foreact.")
    assert news.severity in SEVERITIES
    assert news.sentence
