"""What stands where a Prefect server should be is told in one line, whatever it answers, and ends no process."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from api.prefect_client import PrefectTrigger, deployed_actions
from api.processes.prefect_rest import PrefectRest
from handlers.support.prefect_blocks import PrefectBlocks
from settings import utc_now
from storage.errors import ForeactError
from tests.handlers.conftest import Server, server

__all__ = ["server"]

ANSWERS = {
    "page of a proxy": (200, "<html>Sign in</html>"),
    "half an answer": (200, '[{"id": "a", '),
    "rows of another kind": (200, '[{"index": 1}]'),
    "an object": (200, '{"ok": true}'),
    "a number": (200, "3"),
    "a page elsewhere": (303, ""),
}
ASKED: dict[str, Callable[[PrefectTrigger], Any]] = {
    "run": lambda prefect: prefect.run("cycle"),
    "running": lambda prefect: prefect.running("cycle"),
    "keep_schedules": lambda prefect: prefect.keep_schedules("cycle", []),
    "skip_waiting": lambda prefect: prefect.skip_waiting(),
    "tagged": lambda prefect: prefect.tagged("foreact-action"),
}


@pytest.fixture(params=ANSWERS)
def elsewhere(server: Server, request: pytest.FixtureRequest) -> str:
    """Serve something that is no Prefect API, and return its address."""
    server.answer = lambda _: ANSWERS[request.param]
    return server.url


@pytest.mark.parametrize("asked", ASKED)
def test_what_is_no_prefect_api_is_refused_with_the_remedy(elsewhere: str, asked: str) -> None:
    prefect = PrefectTrigger(elsewhere)
    with pytest.raises(ForeactError, match=r"answers otherwise than a Prefect API does.*it ends in /api") as refusal:
        ASKED[asked](prefect)
    prefect.close()
    assert (refusal.value.code, refusal.value.status) == ("prefect_no_api", 503)


def test_it_brings_no_actions_and_stops_no_turn(elsewhere: str, caplog: pytest.LogCaptureFixture) -> None:
    assert deployed_actions(elsewhere) == {}
    assert f"left out: {elsewhere} answers otherwise than a Prefect API does" in caplog.text


def test_a_block_is_told_to_be_unreadable(elsewhere: str) -> None:
    with pytest.raises(ForeactError, match=r"The block secret/db cannot be read: .* otherwise than a Prefect API"):
        PrefectBlocks(elsewhere).resolved({"password": {"block": "secret/db"}})


async def test_to_the_supervisor_it_is_a_server_that_is_away(elsewhere: str) -> None:
    prefect = PrefectRest(elsewhere)
    with pytest.raises(httpx.HTTPError):
        await prefect.unfinished()
    with pytest.raises(httpx.HTTPError):
        await prefect.ended("1", utc_now())
    await prefect.close()


def test_a_token_that_is_none_leaves_the_refusal_as_it_is(server: Server) -> None:
    server.answer = lambda request: (200, "<html>") if "csrf-token" in request.path else (403, "Missing CSRF token.")
    with pytest.raises(ForeactError, match="answered 403"):
        PrefectTrigger(f"{server.url}/api").tagged("foreact-action")
