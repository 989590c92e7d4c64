"""The command line commands the stack of its own folder and no other; and keeps its keys."""

from __future__ import annotations

import stat
import subprocess
from datetime import datetime
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli import mcp_server
from cli.app import app
from cli.client import desk
from settings import load_settings
from storage import ForeactError, open_store
from storage.records import Autonomy
from tasks.authority import judge_proposer, proposer_level
from tests.api import worlds
from tests.api.test_process import facade
from tests.e2e.conftest import command, environment
from tests.handlers.conftest import Server, server

__all__ = ["server"]


@pytest.mark.slow
def test_the_stack_of_another_folder_is_refused_in_one_line(tmp_path: Path) -> None:
    mine, other = tmp_path / "mine", tmp_path / "other"
    mine.mkdir()
    other.mkdir()
    with facade(other) as (_, client):
        (mine / "foreact.toml").write_text((other / "foreact.toml").read_text())
        for settings in (load_settings(mine), load_settings(other)):
            if settings.folder == other:
                with desk(settings) as ask:
                    assert ask.is_live
                    ask.post("/mode", {"autonomous": False})
                continue
            with pytest.raises(ForeactError) as refusal, desk(settings):
                pass
            assert refusal.value.code == "another_stack"
            assert str(other) in str(refusal.value)
            assert "\n" not in str(refusal.value)
        CliRunner().invoke(app, ["-C", str(mine), "mode", "stop", "--note", "smoke"])
        stops = [load_settings(folder).kill_switch_path.exists() for folder in (mine, other)]
        assert stops == [True, False], "whoever answers or not, this folder's loop is to stop"
        CliRunner().invoke(app, ["-C", str(mine), "mode", "release", "--note", "put out"])
        assert not load_settings(mine).kill_switch_path.exists()
        (entry,) = [
            each for each in client.get("/api/autonomous/audit").json()["entries"] if each["verb"] == "set mode"
        ]
        assert entry["actor"].startswith("cli")
        readable = [each for each in (other / ".foreact").iterdir() if each.stat().st_mode & 0o077]
        assert readable == []
        assert stat.S_IMODE((other / ".foreact").stat().st_mode) == 0o700


def test_what_commands_write_is_their_users_alone(tmp_path: Path) -> None:
    home, put_back = tmp_path / ".foreact", tmp_path / "put back"
    (tmp_path / "foreact.toml").write_text("[server]\nport = 1\n")
    put_back.mkdir()
    copy = str(tmp_path / "copy.duckdb")
    for words in (["mode", "stop", "--note", "smoke"], ["backup", copy], ["-C", str(put_back), "restore", copy]):
        subprocess.run(command(*words), cwd=tmp_path, env=environment(), umask=0o022, check=True)
    assert (home / "STOP").exists()
    assert (put_back / ".foreact" / "foreact.duckdb").exists()
    written = [home, *home.rglob("*"), *put_back.rglob("*"), *tmp_path.glob("copy*")]
    assert [str(each) for each in written if each.stat().st_mode & 0o077] == []


def test_a_key_that_is_revoked_takes_with_it_what_its_proposals_earned(tmp_path: Path, tick: datetime) -> None:
    def keys(*words: str) -> Autonomy:
        assert CliRunner().invoke(app, ["-C", str(tmp_path), "keys", *words]).exit_code == 0
        with open_store(load_settings(tmp_path).database_path) as store:
            return proposer_level(store, "planner").level

    assert keys("add", "planner") is Autonomy.APPROVE
    with open_store(load_settings(tmp_path).database_path) as store:
        store.actions.append([worlds.an_action("action-1", tick, proposed_by="planner")], "by-hand")
        judge_proposer(store, "planner", Autonomy.AUTO, "its acts helped")
    assert keys("rotate", "planner") is Autonomy.AUTO
    assert keys("revoke", "planner") is Autonomy.APPROVE
    assert keys("add", "planner") is Autonomy.APPROVE


@pytest.mark.parametrize("key", ["", "foreact_of-some-kind"])
def test_each_request_of_an_agent_says_that_it_is_one(
    tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    async def ask(desk: mcp_server.Desk, by: str) -> None:
        with desk() as facade:
            facade.get("/goals")

    monkeypatch.setattr(mcp_server, "serve", ask)
    words = ["-C", str(tmp_path), "mcp", "--url", server.url, "--key", key]
    assert CliRunner().invoke(app, words).exit_code == 0
    (request,) = server.requests
    sent = {name.lower(): value for name, value in request.headers.items()}
    assert sent["x-foreact-agent"] == "mcp"
    assert ("authorization" in sent) == bool(key)


def test_keys_are_made_listed_rotated_and_revoked(tmp_path: Path) -> None:
    def told(*words: str) -> str:
        answer = CliRunner().invoke(app, ["-C", str(tmp_path), "keys", *words])
        assert answer.exit_code == 0, answer.exception
        return answer.output

    assert "no API keys" in told()
    first = told("add", "grafana", "--role", "viewer").splitlines()[0]
    assert first.startswith("foreact_")
    assert first not in (tmp_path / ".foreact" / "keys.json").read_text()
    assert told("rotate", "grafana").splitlines()[0] != first
    assert told("list").count("viewer") == 2
    told("revoke", "grafana")
    assert "no API keys" in told()
    for words, code in ((["revoke", "grafana"], "key_unknown"), (["add", "x", "--role", "king"], "role_unknown")):
        refused = CliRunner().invoke(app, ["-C", str(tmp_path), "keys", *words])
        assert isinstance(refused.exception, ForeactError)
        assert refused.exception.code == code
