"""Secrets are blotted out wherever text is written for people: errors, refusals, alerts, the log, the audit trail."""

from __future__ import annotations

import json
import logging
import stat
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.processes.console import Console
from handlers.contract.action import ActionContext
from handlers.contract.registration import action
from handlers.contract.results import ActionResult
from handlers.contract.source import SourceHandler
from handlers.sandbox.parent import call
from handlers.worlds.live import LiveWorld
from settings import Settings, browsable, is_loopback, load_settings
from storage import ForeactError, TransientError
from storage.private import HIDDEN, kept_secret, mask_logs, masked, masked_in, secrets_in

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
SECRET = "hunter2-s3cr3t"

LEAKS = (
    f"http://reader:{SECRET}@127.0.0.1:9 does not answer",
    f"url = 'reader:{SECRET}@127.0.0.1:9090' is not an address",
    f"http://reader:p@{SECRET}@host/x",
    f"http://reader:p/{SECRET}#@host/x",
    f"http://{SECRET}@host/x",
    f"https://host/hook?token={SECRET}&q=1",
    f"https://host/hook?q=1&X-Amz-Signature={SECRET}",
    f"password={SECRET}",
    f'{{"api_key": "{SECRET}"}}',
    f"Authorization: Bearer {SECRET}",
    f"Illegal header value b'Basic {SECRET}'",
    f"postgresql+asyncpg://prefect:{SECRET}@db/prefect",
)


@pytest.mark.parametrize("text", LEAKS)
def test_a_secret_is_blotted_out_whatever_it_stands_in(text: str) -> None:
    for told in (
        masked(text),
        str(ForeactError("code", text, "")),
        str(TransientError(text)),
        masked_in([{"x": text}]),
    ):
        assert SECRET not in str(told)
        assert HIDDEN in str(told)


@pytest.mark.parametrize(
    "text",
    [
        "http://127.0.0.1:4200/api: does not answer",
        "item 3: timestamp: 2026-01-01T00:00:00+00:00 is in the future",
        'disk_used_ratio{mount="/"} is 0.9, wanted at most 0.85',
        "Write to ops@example.com at 12:30.",
        "https://host/x?query=up&step=60",
        "No token is needed; the key foreact.toml: agent.name",
    ],
)
def test_what_is_no_secret_stays_readable(text: str) -> None:
    assert masked(text) == text


@given(st.text(max_size=200))
def test_blotting_out_never_fails_and_once_is_enough(text: str) -> None:
    once = masked(text)
    assert masked(once) == once


words = st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=6, max_size=20).map("zq{}".format)


@given(words, words, st.sampled_from(["http://{}:{}@host:9090", "{}:{}@host", "amqp://{}:{}@host/v?x=1"]))
def test_every_login_of_an_address_is_a_secret_of_its_options(user: str, password: str, shape: str) -> None:
    url = shape.format(user, password)
    assert password in secrets_in({"url": url})
    assert password not in masked(f"no answer from {url}", secrets_in({"url": url}))
    assert password not in masked(f"bad login ({password})", secrets_in({"url": url}))


def test_what_stands_under_a_secrets_key_is_known_and_not_shown() -> None:
    options = {
        "headers": {"X-Own": SECRET},
        "auth": {"user": "ann", "password": "letmein99"},
        "urls": [f"slack://{SECRET}/b/c"],
        "queries": {"up": "up"},
        "token_ratio": 0.5,
    }
    assert {SECRET, "letmein99", f"slack://{SECRET}/b/c"} <= secrets_in(options)
    shown = masked_in(options)
    assert SECRET not in str(shown)
    assert (shown["queries"], shown["token_ratio"]) == ({"up": "up"}, 0.5)
    assert "letmein99" not in masked("refused ann letmein99", secrets_in(options))


def world(options: Mapping[str, Any], says: str) -> LiveWorld:
    def pull(options: Mapping[str, Any], since: datetime | None, until: datetime) -> list[Any]:
        raise RuntimeError(says)

    return LiveWorld({}, lambda: NOW, {"own": (SourceHandler("own", "", pull), options)})


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"url": f"http://reader:{SECRET}@host"}, f"login {SECRET} refused"),
        ({"headers": {"Authorization": f"Bearer {SECRET}"}}, f"cannot send {SECRET!r}"),
        ({"api_key": SECRET}, f"https://host/{SECRET}/query answered 403"),
        ({"api_key": "a/b+c=1"}, "https://host/x?k=a%2Fb%2Bc%3D1 answered 403"),
    ],
)
def test_trouble_with_a_source_is_told_without_its_secrets(options: dict[str, Any], says: str) -> None:
    seen = world(options, says)
    assert list(seen.observe(NOW)) == []
    (trouble,) = seen.troubles
    assert HIDDEN in trouble
    assert "RuntimeError" in trouble
    assert SECRET not in trouble
    assert "a%2Fb" not in trouble


def test_a_handler_that_prints_raises_or_returns_its_secret_does_not_give_it_away() -> None:
    @action(name="leaks")
    def leaks(params: Mapping[str, Any], context: ActionContext) -> ActionResult:
        return ActionResult(False, f"the server refused {SECRET}", evidence={"sent": [SECRET], "code": 403})

    result = call(leaks.handler, "run", {}, None, ActionContext(tick=NOW, options={"token": SECRET}))
    assert SECRET not in json.dumps([result.detail, result.evidence])
    assert result.evidence["code"] == 403


REFUSED = {
    "a source's table": ("[sources.own]\nurl = 'http://u:{0}@h'\n[agent]\nseed = 'x'\n", {}),
    "alerts that are no list": ("[alerts]\nurls = 'mailto://u:{0}@h'\n", {}),
    "a key of alerts that there is not": ("[alerts]\nurl = ['tgram://{0}/1']\n", {}),
    "a key that is named like a secret": ("[server]\npassword = '{0}'\n", {}),
    "a table that is none": ("sources = 'http://u:{0}@h'\n", {}),
    "a source that is no table": ("[sources]\nown = 'u:{0}@h'\n", {}),
    "JSON of alerts": ("", {"FOREACT_ALERTS__URLS": "mailto://u:{0}@h"}),
    "JSON of sources": ("", {"FOREACT_SOURCES": '{{"own": {{"headers": {{"X-Own": "{0}"}}'}),
    "a variable that is named like a secret": ("", {"FOREACT_SERVER__AUTH_TOKEN": "{0}"}),
}


@pytest.mark.parametrize("what", REFUSED)
def test_a_refused_configuration_does_not_echo_secrets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    text, variables = REFUSED[what]
    (tmp_path / "foreact.toml").write_text(text.format(SECRET))
    for name, value in variables.items():
        monkeypatch.setenv(name, value.format(SECRET))
    with pytest.raises(ForeactError) as refusal:
        load_settings(tmp_path)
    assert SECRET not in str(refusal.value)
    assert refusal.value.code == "configuration_invalid"


@pytest.fixture
def own_log_records() -> Iterator[None]:
    before = logging.getLogRecordFactory()
    yield
    logging.setLogRecordFactory(before)


def test_logs_are_written_without_secrets(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture, own_log_records: None
) -> None:
    table = f"[sources.own]\npassword = '{SECRET}'\n[alerts]\nurls = ['json://host/{SECRET}']\n"
    folder, logs = tmp_path / "folder", tmp_path / "logs"
    folder.mkdir()
    logs.mkdir()
    (folder / "foreact.toml").write_text(table)
    mask_logs(load_settings(folder).secrets())
    log = logging.getLogger("handlers.sources.own")
    log.warning("GET http://u:%s@h", "s3cr3t-of-another")
    log.warning("json://host/%s took %d %% of %s", SECRET, 5, SECRET)
    try:
        raise ValueError(SECRET)
    except ValueError:
        log.exception("failed critically")
    assert "Traceback" in caplog.text
    assert "5 %" in caplog.text
    assert "critically" in caplog.text
    assert "s3cr3t" not in caplog.text
    console = Console(logs)
    console.line("setup", f"cannot reach http://u:{SECRET}@h")
    console.close()
    assert SECRET not in capsys.readouterr().out + "".join(each.read_text() for each in logs.iterdir())


def test_a_secret_is_made_once_for_its_owner_alone(tmp_path: Path) -> None:
    file = tmp_path / "deep" / "key"
    made = kept_secret(file)
    assert kept_secret(file) == made
    assert len(made) > 40
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [each.name for each in file.parent.iterdir()] == ["key"]


def test_an_empty_file_holds_no_secret(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.touch()
    made = kept_secret(file)
    assert len(made) > 40
    assert kept_secret(file) == made


@pytest.mark.parametrize("host", ["host", "prefect_host", "statsd_host"])
def test_an_address_may_stand_in_brackets_as_in_urls(tmp_path: Path, host: str) -> None:
    server = load_settings(tmp_path, server={host: "[::1]"}).server
    assert getattr(server, host) == "::1"
    assert is_loopback(server.host)
    assert browsable(server.host) in {"[::1]", "127.0.0.1"}


@pytest.mark.parametrize("address", ["127.0.0.1", "localhost", "::1"])
def test_a_prefect_server_that_others_reach_must_ask_who_they_are(tmp_path: Path, address: str) -> None:
    assert load_settings(tmp_path, server={"prefect_host": address}).prefect_login_path is None
    with pytest.raises(ForeactError, match=r"set server\.prefect_auth"):
        load_settings(tmp_path, server={"prefect_host": "0.0.0.0"})
    asks: Settings = load_settings(tmp_path, server={"prefect_host": "0.0.0.0", "prefect_auth": True})
    assert asks.prefect_login_path is not None
    assert asks.prefect_url == "http://127.0.0.1:4200/api"
