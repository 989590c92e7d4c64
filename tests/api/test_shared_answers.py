"""Who asks the same within a moment shares an answer, and nobody is told what was so before something changed."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from api.access import Caller, Role
from api.app import create_app
from api.shared_answers import MOMENT_S, MOST_BYTES, SharedAnswers
from settings import Settings
from storage import Store, own_store
from storage.records import GoalState
from tests.api import worlds
from tests.api.conftest import API, BASE, RecordingTrigger, TestClient

READERS = 20


class NumberingApp:
    """An application that counts what it answers, each answer with its number."""

    def __init__(self, status: int = 200, length: int = 0) -> None:
        self.answered, self.status, self.body = 0, status, b"x" * length

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.answered += 1
        number = b"%d" % self.answered
        await asyncio.sleep(0)
        if scope["path"] == "/fails":
            raise RuntimeError("as told")
        await send({"type": "http.response.start", "status": self.status, "headers": []})
        await send({"type": "http.response.body", "body": number + self.body, "more_body": False})


class AskedOfShared:
    """A shared application with a clock and a number of changes that a test moves."""

    def __init__(self, app: NumberingApp) -> None:
        self.now_s, self.changes = 0.0, 0
        self.shared = SharedAnswers(app, lambda: self.changes, lambda: self.now_s)

    async def get(self, path: str = "/", method: str = "GET", **scope: Any) -> bytes:
        parts: list[bytes] = []

        async def send(message: Any) -> None:
            parts.append(message.get("body", b""))

        asked = {"type": "http", "method": method, "path": path, "query_string": b"", "headers": [], **scope}
        await self.shared(asked, None, send)  # type: ignore[arg-type]
        return b"".join(parts)

    async def at_once(self, count: int, path: str = "/") -> list[bytes | BaseException]:
        return await asyncio.gather(*(self.get(path) for _ in range(count)), return_exceptions=True)


async def test_many_who_ask_at_once_or_within_a_moment_cost_what_one_does() -> None:
    app = NumberingApp()
    asked = AskedOfShared(app)
    assert await asked.at_once(READERS) == [b"1"] * READERS
    asked.now_s += MOMENT_S / 2
    assert await asked.get() == b"1"
    asked.now_s += MOMENT_S
    assert await asked.get() == b"2"


async def test_no_answer_is_kept_for_longer_than_a_moment() -> None:
    asked = AskedOfShared(NumberingApp())
    assert await asked.get() == b"1"
    await asyncio.sleep(2 * MOMENT_S)
    assert await asked.get() == b"2", "it is gone, by whatever clock"


async def test_what_was_asked_before_a_write_answers_nobody_after_it() -> None:
    asked = AskedOfShared(NumberingApp())
    first = asyncio.ensure_future(asked.get())
    await asyncio.sleep(0)
    asked.changes += 1
    assert await asked.get() == b"2"
    assert await first == b"1"
    assert await asked.get() == b"2"
    assert await asked.get("/x", "POST") == b"3"
    assert await asked.get() == b"4", "what changes no row of the store may change something else"


@pytest.mark.parametrize(
    "other",
    [
        {"query_string": b"a=1"},
        {"headers": [(b"host", b"elsewhere")]},
        {"headers": [(b"range", b"bytes=0-1")]},
        {"foreact.caller": Caller(Role.VIEWER, lambda: "ada", "key-1")},
    ],
)
async def test_other_questions_and_callers_have_answers_of_their_own(other: dict[str, Any]) -> None:
    asked = AskedOfShared(NumberingApp())
    assert await asked.get() == b"1"
    assert await asked.get(**other) == b"2"
    assert await asked.get(headers=[(b"user-agent", b"any")]) == b"1"


@pytest.mark.parametrize("app", [NumberingApp(status=503), NumberingApp(length=MOST_BYTES)])
async def test_a_refusal_and_a_very_large_answer_are_for_who_asked(app: NumberingApp) -> None:
    asked = AskedOfShared(app)
    assert len(set(await asked.at_once(3))) == 3


async def test_who_waits_for_an_answer_that_fails_asks_for_himself() -> None:
    app = NumberingApp()
    assert [type(each) for each in await AskedOfShared(app).at_once(3, "/fails")] == [RuntimeError] * 3
    assert app.answered == 3


@pytest.fixture
def owned(tmp_path: Path, tick: datetime) -> Iterator[Store]:
    with own_store(tmp_path / "f.duckdb", clock=lambda: tick) as store:
        yield store


@pytest.fixture
def sharing(settings: Settings, owned: Store, trigger: RecordingTrigger, tick: datetime) -> Iterator[TestClient]:
    app = create_app(settings, store=owned, trigger=trigger, clock=lambda: tick, changes=lambda: owned.changes)
    with TestClient(app, base_url=BASE) as opened:
        yield opened


def test_a_facade_tells_what_was_just_written_and_said(sharing: TestClient, owned: Store, tick: datetime) -> None:
    for number in range(5):
        assert len(sharing.get(f"{API}/goals?state=all").json()["goals"]) == number
        owned.goals.append(
            [worlds.a_goal(f"goal-{number}", tick)],
            [worlds.a_move(f"goal-{number}", GoalState.ACTIVE, tick)],
            "cycle-1",
        )
    for is_on in (True, False, True):
        sharing.post(f"{API}/mode", json={"autonomous": is_on}).raise_for_status()
        assert sharing.get(f"{API}/status").json()["autonomous_mode"] is is_on
        sharing.post(f"{API}/stop", json={"release": not is_on, "by": "ada", "note": "a drill"}).raise_for_status()
        assert sharing.get(f"{API}/status").json()["mode"]["kill_switch"] is is_on


def test_to_see_whether_the_store_writes_makes_no_answer_old(owned: Store) -> None:
    before = owned.changes
    owned.probe_write()
    assert owned.changes == before
    owned.audit.append("ada", "said", "so")
    assert owned.changes > before
