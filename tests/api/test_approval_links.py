"""A link in an alert answers for one action with one tap, once; whatever else is tried with it is refused in a line."""

from __future__ import annotations

import re
import stat
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from urllib.parse import parse_qs, urlsplit

import pytest

from api.app import create_app
from api.approval_links import links_for
from api.background.notifier import Notifier
from api.facade import Facade
from settings import ServerSettings, Settings, load_settings
from storage import Store
from tests.api import worlds
from tests.api.conftest import RecordingTrigger, TestClient
from tests.handlers.conftest import Server, server

__all__ = ["server"]

PUBLIC = "https://foreact.example.com"


class StandingClock:
    """A clock that a test moves."""

    def __init__(self, at: datetime) -> None:
        self.at = at

    def __call__(self) -> datetime:
        return self.at


@pytest.fixture
def clock(tick: datetime) -> StandingClock:
    return StandingClock(tick)


@pytest.fixture
def reached(settings: Settings) -> Settings:
    return settings.model_copy(update={"server": ServerSettings(host="0.0.0.0", public_url=PUBLIC)})


@pytest.fixture
def phone(reached: Settings, store: Store, clock: StandingClock) -> Iterator[TestClient]:
    """Give a browser that has no key, to a facade that asks others for one; two actions wait there."""
    actions = [worlds.an_action(name, clock.at) for name in ("action-1", "action-2")]
    store.goals.append([worlds.a_goal("goal-1", clock.at)], [], "cycle-1")
    store.actions.append(actions, "cycle-1")
    app = create_app(reached, store=store, trigger=RecordingTrigger(), clock=clock)
    with TestClient(app, base_url=PUBLIC) as opened:
        yield opened


def link(settings: Settings, store: Store, now: datetime, action_id: str = "action-1", approves: bool = True) -> str:
    view = store.actions.get(action_id)
    assert view is not None
    links = links_for(settings, view, now)
    assert links is not None
    (text,) = parse_qs(urlsplit(links[0 if approves else 1]).query)["a"]
    return text


def tap(phone: TestClient, text: str, by: str = "", **more: str) -> tuple[int, str]:
    """Press the button as a browser does; return the status and what the page says."""
    answer = phone.post("/answer", data={"a": text, "by": by}, headers={"Origin": PUBLIC, **more})
    return answer.status_code, re.sub(r"\s+", " ", re.sub(r"<style>.*?</style>|<[^>]+>", " ", answer.text, flags=re.S))


def approved(store: Store, action_id: str = "action-1") -> bool | None:
    view = store.actions.get(action_id)
    assert view is not None
    return view.approval.approved if view.approval else None


@pytest.mark.parametrize("approves", [True, False])
def test_one_tap_without_a_key_answers_and_the_audit_trail_names_the_link_and_the_person(
    phone: TestClient, reached: Settings, store: Store, clock: StandingClock, approves: bool
) -> None:
    text = link(reached, store, clock.at, approves=approves)
    assert phone.get("/").status_code == 401
    page = phone.get("/answer", params={"a": text})
    assert page.status_code == 200
    assert page.text.count("<button") == 1
    assert re.search(r"the link ends <time datetime=[^>]+UTC\">in \d+ (minutes|hours?)", page.text), "in no zone"
    assert tap(phone, text, "Ada")[0] == 200
    assert approved(store) is approves
    line = next(each for each in store.audit.latest(5) if each.verb.endswith("action"))
    assert re.fullmatch(r"link:[\w-]{8} \(Ada\)", line.actor)
    assert store.audit.first_broken_line() is None


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_program_that_previews_the_link_answers_nothing(
    phone: TestClient, reached: Settings, store: Store, clock: StandingClock, method: str
) -> None:
    phone.request(method, "/answer", params={"a": link(reached, store, clock.at)})
    assert approved(store) is None


def test_a_link_is_used_once_and_its_other_half_falls_with_it(
    phone: TestClient, reached: Settings, store: Store, clock: StandingClock
) -> None:
    yes, no = (link(reached, store, clock.at, approves=each) for each in (True, False))
    assert tap(phone, yes)[0] == 200
    for text in (yes, no):
        status, said = tap(phone, text)
        assert status == 409
        assert "action-1 was approved by link:" in said
        assert phone.get("/answer", params={"a": text}).status_code == 409
    assert approved(store) is True
    assert sum(each.verb == "approve action" for each in store.audit.latest(20)) == 1


def test_a_link_ends(phone: TestClient, reached: Settings, store: Store, clock: StandingClock) -> None:
    text = link(reached, store, clock.at)
    clock.at += timedelta(hours=1)
    status, said = tap(phone, text)
    assert status == 410
    assert "This link ended at" in said
    assert approved(store) is None


@pytest.mark.parametrize("part", [0, 1])
def test_a_link_does_not_fit_another_action(
    phone: TestClient, reached: Settings, store: Store, clock: StandingClock, part: int
) -> None:
    mine, other = (link(reached, store, clock.at, name).split(".") for name in ("action-1", "action-2"))
    mine[part] = other[part]
    status, said = tap(phone, ".".join(mine))
    assert status == 403
    assert "was not made here, or was changed" in said
    assert (approved(store), approved(store, "action-2")) == (None, None)


@pytest.mark.parametrize("text", ["", ".", "x", "x.y", "é.é", "W10.", "a" * 600])
def test_what_is_no_link_is_refused(phone: TestClient, text: str) -> None:
    assert tap(phone, text)[0] == 403
    assert phone.get("/answer", params={"a": text}).status_code == 403


def test_a_link_made_with_another_key_is_refused(
    phone: TestClient, reached: Settings, store: Store, clock: StandingClock
) -> None:
    text = link(reached, store, clock.at)
    (reached.home / "links.key").unlink()
    assert tap(phone, text)[0] == 403


def test_of_taps_at_once_one_counts(phone: TestClient, reached: Settings, store: Store, clock: StandingClock) -> None:
    texts = [link(reached, store, clock.at, approves=each) for each in (True, False, True, False)]
    with ThreadPoolExecutor(4) as pool:
        statuses = sorted(status for status, _ in pool.map(lambda text: tap(phone, text), texts))
    assert statuses == [200, 409, 409, 409]
    answers = [each for each in store.audit.latest(20) if each.verb in ("approve action", "reject action")]
    assert len(answers) == 1


def test_a_page_of_another_site_cannot_press_the_button(
    phone: TestClient, reached: Settings, store: Store, clock: StandingClock
) -> None:
    assert tap(phone, link(reached, store, clock.at), Origin="https://evil.example")[0] == 403
    assert approved(store) is None


def test_the_page_behind_the_link_needs_nothing_else_and_says_whose_form_it_is(
    phone: TestClient, reached: Settings, store: Store, clock: StandingClock
) -> None:
    page = phone.get("/answer", params={"a": link(reached, store, clock.at)})
    assert not re.search(r"<script|<link|src=", page.text)
    assert page.headers["referrer-policy"] == "same-origin"
    assert "default-src 'none'" in page.headers["content-security-policy"]


def test_the_key_of_the_links_is_its_owners_alone(
    phone: TestClient, reached: Settings, store: Store, clock: StandingClock
) -> None:
    link(reached, store, clock.at)
    assert stat.S_IMODE((reached.home / "links.key").stat().st_mode) == 0o600


@pytest.mark.parametrize(("public_url", "has_links"), [(PUBLIC, True), ("", False)])
def test_an_alert_brings_the_links_where_others_can_open_them(
    settings: Settings, store: Store, tick: datetime, server: Server, public_url: str, has_links: bool
) -> None:
    people = server.url.replace("http://", "json://") + "/people"
    configured = load_settings(
        settings.home,
        home=settings.home,
        prefect_api_url=server.url,
        alerts={"urls": [people], "minimum_severity": "warning"},
        server={"public_url": public_url},
    )
    notifier = Notifier(Facade(configured, store, RecordingTrigger(), lambda: tick, tick))
    notifier.step()
    store.actions.append([worlds.an_action("action-1", tick)], "cycle-1")
    store.audit.append("loop", "action planned", "action-1", {"action": "renice_process", "level": "approve"})
    notifier.step()
    (told,) = [each.body for each in server.requests if each.path == "/people"]
    text = told.decode() if isinstance(told, bytes) else told
    assert (f"Approve: {PUBLIC}/answer?a=" in text) == has_links
    assert all("/answer?a=" not in str(each.body) for each in server.requests if each.path == "/events")


@pytest.mark.parametrize("public_url", ["foreact.example.com", "ftp://x", "https://u:p@x", "https://x/?a=1"])
def test_an_address_that_no_browser_could_open_is_refused(public_url: str) -> None:
    with pytest.raises(ValueError, match="public_url"):
        ServerSettings(public_url=public_url)
