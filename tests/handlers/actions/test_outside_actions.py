"""Actions that report to people or ask other systems, against a real HTTP server."""

from __future__ import annotations

import json
from typing import Any

import pytest

from handlers import discover_actions
from handlers.sandbox.parent import call
from storage.records import ReceiptStatus
from tests.handlers.conftest import Request, Server, context_for, make_goal

ACTIONS = discover_actions()
NOTIFY, WEBHOOK = ACTIONS["notify"], ACTIONS["call_webhook"]


def test_the_busiest_process_is_reported_with_figures(spinner: Any) -> None:
    result = call(ACTIONS["analyze_processes"], "run", {"count": 50, "over_s": 0.5}, None, context_for())
    assert result.succeeded
    cores = {entry["pid"]: entry["cpu_cores"] for entry in result.evidence["by_cpu"]}
    assert cores[spinner.pid] > 0.2
    assert result.evidence["process_count"] > 2


def test_the_memory_report_adds_up() -> None:
    evidence = call(ACTIONS["free_memory_report"], "run", {"count": 3}, None, context_for()).evidence
    assert 0 < evidence["available_bytes"] < evidence["total_bytes"]
    assert evidence["used_ratio"] == pytest.approx(1 - evidence["available_bytes"] / evidence["total_bytes"], abs=1e-3)
    held = [program["memory_bytes"] for program in evidence["largest_programs"]]
    assert held == sorted(held, reverse=True)
    assert len(held) == 3


def test_a_message_reaches_the_service(server: Server) -> None:
    context = context_for(options={"urls": [server.url.replace("http://", "json://") + "/alerts"]})
    result = call(NOTIFY, "run", {"title": "Disk", "body": "full on Friday"}, None, context)
    assert result.succeeded, result.detail
    message = json.loads(server.requests[0].body)
    assert (message["title"], message["message"]) == ("Disk", "full on Friday")


def test_without_a_service_the_message_is_skipped_with_the_remedy() -> None:
    result = call(NOTIFY, "run", {}, None, context_for())
    assert result.status is ReceiptStatus.SKIPPED
    assert "foreact.toml" in result.detail
    assert NOTIFY.propose(make_goal(), context_for()) == []


def test_a_service_that_fails_is_named_without_its_secrets(server: Server) -> None:
    server.answer = lambda request: (500, "no")
    good = server.url.replace("http://", "json://user:hunter2@") + "/hunter2"
    urls = [good, "ntfys://hunter2", "nonsense"]
    result = call(NOTIFY, "run", {"title": "Disk"}, None, context_for(options={"urls": urls}))
    assert result.status is ReceiptStatus.FAILED
    assert "0 of 3 service(s)" in result.detail
    assert "json://…: the service did not accept the message" in result.detail
    assert "Apprise does not support this URL" in result.detail
    assert "hunter2" not in json.dumps([result.detail, result.evidence])


def test_a_goal_is_put_into_words_for_people(server: Server) -> None:
    context = context_for(options={"urls": [server.url]})
    params = NOTIFY.propose(make_goal(), context)[0].params
    assert "Probability 90%" in params["body"]


def test_a_webhook_gets_the_body_and_the_key_that_makes_it_the_same_call(server: Server) -> None:
    context = context_for(options={"url": f"{server.url}/scale", "headers": {"Authorization": "Bearer s3cret"}})
    result = call(WEBHOOK, "run", {"body": {"replicas": 3}}, None, context)
    assert result.succeeded
    request = server.requests[0]
    assert (request.method, request.path) == ("POST", "/scale")
    assert request.headers["idempotency-key"] == "action-1"
    assert request.headers["authorization"] == "Bearer s3cret"
    assert json.loads(request.body)["body"] == {"replicas": 3}
    assert "s3cret" not in json.dumps([result.detail, result.evidence])


def test_of_a_webhook_whose_path_is_a_token_only_the_host_is_told(server: Server) -> None:
    url = f"{server.url}/services/T0/hunter2"
    for given in ({"url": url}, {"url": url.replace(server.url, "http://127.0.0.1:9")}, {"url": url, "dry_run": True}):
        context = context_for(dry_run=given.pop("dry_run", False), options=given)
        result = call(WEBHOOK, "run", {}, None, context)
        assert "http://127.0.0.1:" in result.detail
        assert "hunter2" not in json.dumps([result.detail, result.evidence])
        assert "hunter2" not in WEBHOOK.propose(make_goal(), context)[0].target


def test_a_webhook_is_told_the_amount_that_was_planned(server: Server) -> None:
    context = context_for(options={"url": server.url})
    for amount in (4.0, 2.5):
        assert call(WEBHOOK, "run", {"amount": amount}, None, context).succeeded
    WEBHOOK.run({}, context)
    assert [json.loads(request.body).get("amount") for request in server.requests] == [4, 2.5, None]
    rehearsed = WEBHOOK.run({"amount": 4.0}, context_for(options={"url": server.url}, dry_run=True))
    assert "with amount 4" in rehearsed.detail


@pytest.mark.parametrize("status", [301, 400, 404, 500, 503])
def test_any_answer_but_success_is_a_failure_with_the_status(server: Server, status: int) -> None:
    server.answer = lambda request: (status, "/elsewhere")
    result = WEBHOOK.run({}, context_for(options={"url": server.url}))
    assert not result.success
    assert str(status) in result.detail
    assert len(server.requests) == 1


def test_a_webhook_that_nobody_answers_is_a_failure(server: Server) -> None:
    result = WEBHOOK.run({}, context_for(options={"url": "http://127.0.0.1:9/hook"}))
    assert not result.success
    assert "ConnectError" in result.detail


def test_a_webhook_that_takes_too_long_is_a_failure(server: Server) -> None:
    import time

    def dawdle(request: Request) -> tuple[int, str]:
        time.sleep(0.5)
        return 200, "{}"

    server.answer = dawdle
    result = WEBHOOK.run({}, context_for(options={"url": server.url, "timeout_s": 0.1}))
    assert not result.success
    assert "Timeout" in result.detail


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:1/hooks/../admin",
        "http://127.0.0.1:1/hooksmith",
        "http://127.0.0.1:2/hooks/a",
        "https://127.0.0.1:1/hooks/a",
        "http://127.0.0.1:1@evil.example/hooks/a",
        "file:///etc/passwd",
        "http://",
        "http://[::1",
    ],
)
def test_a_url_that_is_not_allowed_is_never_called(url: str) -> None:
    result = WEBHOOK.run({"url": url}, context_for(options={"allow_urls": ["http://127.0.0.1:1/hooks"]}))
    assert not result.success
    assert result.detail.startswith("Refused")


def test_a_url_under_an_allowed_one_is_called(server: Server) -> None:
    context = context_for(options={"allow_urls": [f"{server.url}/hooks"]})
    assert WEBHOOK.run({"url": f"{server.url}/hooks/scale?to=3"}, context).success
    assert server.requests[0].query == {"to": "3"}


@pytest.mark.parametrize(
    ("status", "found"),
    [(200, ReceiptStatus.SUCCEEDED), (404, ReceiptStatus.SKIPPED), (500, ReceiptStatus.UNKNOWN)],
)
def test_after_a_crash_the_other_system_is_asked_whether_it_was_done(
    server: Server, status: int, found: ReceiptStatus
) -> None:
    server.answer = lambda request: (status, "{}")
    context = context_for(options={"url": server.url, "status_url": f"{server.url}/done/{{action_id}}"})
    assert WEBHOOK.check({}, {}, context) is found
    assert (server.requests[0].method, server.requests[0].path) == ("GET", "/done/action-1")


def test_a_dry_run_of_a_webhook_sends_nothing(server: Server) -> None:
    context = context_for(options={"url": f"{server.url}/scale?token=s3cret"}, dry_run=True)
    result = call(WEBHOOK, "run", {}, None, context)
    assert result.status is ReceiptStatus.DRY_RUN
    assert "s3cret" not in result.detail
    assert server.requests == []
