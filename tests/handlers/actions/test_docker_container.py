"""Containers through Docker's HTTP interface: a real daemon where one can be started, and what it cannot show."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from handlers import discover_actions
from handlers.sandbox.parent import CallResult, call
from storage.records import ReceiptStatus
from tests.handlers.conftest import Request, Server, context_for, make_goal, wait_until

DOCKER = discover_actions()["docker_container"]
MIB, NANO = 2**20, 10**9


@pytest.fixture(scope="module")
def daemon() -> Iterator[Path]:
    """Start a daemon of its own, without a network, with an image of one program; return its socket."""
    programs = {name: shutil.which(name) for name in ("dockerd", "busybox")}
    missing = [name for name, path in programs.items() if path is None]
    if missing or os.getuid() != 0:
        pytest.skip(f"needs root, and {', '.join(missing) or 'nothing else'}: apt install docker.io busybox-static")
    # A socket's path may hold about a hundred characters.
    home = Path(tempfile.mkdtemp(prefix="dk-"))
    command = ["dockerd", "--host", f"unix://{home}/s", "--data-root", f"{home}/data", "--exec-root", f"{home}/exec"]
    quiet = ["--pidfile", f"{home}/pid", "--bridge=none", "--iptables=false", "--ip6tables=false"]
    with (home / "log").open("wb") as log:
        process = subprocess.Popen([*command, *quiet, "--storage-driver=vfs"], stdout=log, stderr=log)
    try:
        if not wait_until(lambda: _answers(home / "s") or process.poll() is not None, 40) or process.poll() is not None:
            pytest.skip(f"dockerd does not run here: {(home / 'log').read_text()[-300:]}")
        _import_image(home / "s", Path(str(programs["busybox"])))
        yield home / "s"
    finally:
        process.terminate()
        process.wait(30)
        shutil.rmtree(home, ignore_errors=True)


def client(socket: Path) -> httpx.Client:
    return httpx.Client(transport=httpx.HTTPTransport(uds=str(socket)), base_url="http://docker", timeout=60)


def _answers(socket: Path) -> bool:
    if not socket.is_socket():
        return False
    try:
        with client(socket) as http:
            return http.get("/_ping").is_success
    except httpx.HTTPError:
        return False


def _import_image(socket: Path, busybox: Path) -> None:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        tar.add(busybox.resolve(), "bin/busybox")
    with client(socket) as http:
        answer = http.post("/images/create", params={"fromSrc": "-", "repo": "sleeper"}, content=packed.getvalue())
        answer.raise_for_status()


@pytest.fixture
def web(daemon: Path) -> Iterator[dict[str, Any]]:
    """Run a container `web` that sleeps, and return the options by which it is reached."""
    body = {"Image": "sleeper", "Cmd": ["/bin/busybox", "sleep", "300"], "HostConfig": {"NetworkMode": "none"}}
    with client(daemon) as http:
        http.post("/containers/create", params={"name": "web"}, json=body).raise_for_status()
        http.post("/containers/web/start").raise_for_status()
        yield {"container": "web", "host": f"unix://{daemon}", "stop_timeout_s": 0}
        http.delete("/containers/web", params={"force": True})


def do(options: dict[str, Any], phase: Any = "run", before: Any = None, **params: Any) -> CallResult:
    return call(DOCKER, phase, params, before, context_for(options=options), 60)


def limits(options: dict[str, Any]) -> dict[str, int]:
    with client(Path(options["host"].removeprefix("unix://"))) as http:
        config = http.get("/containers/web/json").json()["HostConfig"]
        return {key: config[key] for key in ("NanoCpus", "Memory", "MemorySwap")}


@pytest.mark.slow
def test_a_container_is_restarted_and_seen_to_be(web: dict[str, Any]) -> None:
    before = do(web, "capture").value
    assert do(web, "check", before).status is ReceiptStatus.SKIPPED
    result = do(web)
    assert result.succeeded, result.detail
    assert do(web, "check", before).status is ReceiptStatus.SUCCEEDED
    assert do(web, "undo", before).status is ReceiptStatus.FAILED


@pytest.mark.slow
def test_cpus_and_memory_are_set_seen_and_given_back(web: dict[str, Any]) -> None:
    options, asked = {**web, "operation": "resources"}, {"cpus": 0.5, "memory_mb": 64}
    before = do(options, "capture", **asked).value
    assert before is not None
    assert before["resources"] == {"NanoCpus": 0, "Memory": 0, "MemorySwap": 0}
    assert do(options, "check", before, **asked).status is ReceiptStatus.SKIPPED
    result = do(options, **asked)
    assert result.succeeded, result.detail
    assert "0.5 CPUs and 64 MiB" in result.detail
    assert limits(options) == {"NanoCpus": NANO // 2, "Memory": 64 * MIB, "MemorySwap": -1}
    assert do(options, "check", before, **asked).status is ReceiptStatus.SUCCEEDED
    assert do(options, **asked).status is ReceiptStatus.SKIPPED
    undone = do(options, "undo", before, **asked)
    assert undone.succeeded, undone.detail
    assert limits(options)["NanoCpus"] == (os.cpu_count() or 1) * NANO
    assert limits(options)["Memory"] > 500 * MIB
    assert do(options, "undo", before, **asked).status is ReceiptStatus.SKIPPED


@pytest.mark.slow
def test_a_planned_amount_is_of_what_is_configured(web: dict[str, Any]) -> None:
    options = {**web, "operation": "resources", "amount_of": "memory_mb"}
    assert do(options, amount=128).succeeded
    assert limits(options)["Memory"] == 128 * MIB
    first = do(options, "capture", amount=256).value
    assert do(options, amount=256).succeeded
    assert do(options, "undo", first, amount=256).succeeded
    assert limits(options)["Memory"] == 128 * MIB


@pytest.mark.slow
def test_a_container_that_is_not_there_is_said(web: dict[str, Any]) -> None:
    result = do({**web, "container": "wbe"})
    assert result.status is ReceiptStatus.FAILED
    assert "404 Not Found: No such container: wbe" in result.detail
    too_much = do({**web, "operation": "resources"}, cpus=10_000.0 / 11)
    assert too_much.status is ReceiptStatus.FAILED
    assert "CPU" in too_much.detail


@pytest.mark.slow
def test_a_rehearsal_changes_nothing(web: dict[str, Any]) -> None:
    options = {**web, "operation": "resources"}
    rehearsed = DOCKER.run({"cpus": 0.5}, context_for(options=options, dry_run=True))
    assert rehearsed.detail == "Dry run: would give web 0.5 CPUs."
    assert limits(options)["NanoCpus"] == 0


def test_where_docker_does_not_listen_it_says_where(tmp_path: Path) -> None:
    result = do({"container": "web", "host": f"unix://{tmp_path}/no.sock"})
    assert result.status is ReceiptStatus.FAILED
    assert "does not listen" in result.detail


@pytest.mark.parametrize("name", ["db", "../info", "web/../db", "web?x=1", "-web", "a b"])
def test_a_container_that_is_not_allowed_is_refused_before_docker_is_asked(name: str, server: Server) -> None:
    options = {"container": "web", "containers": ["web-*"], "host": server.url}
    result = DOCKER.run({"container": name}, context_for(options=options))
    assert result.detail.startswith("Refused")
    assert server.requests == []


@pytest.mark.parametrize("asked", [{"cpus": 0}, {"cpus": 3}, {"memory_mb": 5}, {"memory_mb": 4_000}, {"cpus": "x"}])
def test_more_than_is_allowed_is_refused(asked: dict[str, Any], server: Server) -> None:
    options = {"container": "web", "operation": "resources", "most_cpus": 2, "most_memory_mb": 2_000}
    result = DOCKER.run(asked, context_for(options={**options, "host": server.url}))
    assert result.detail.startswith(f"Refused: {next(iter(asked))}")
    assert server.requests == []


def inspected(**config: Any) -> str:
    state = {"Status": "running", "StartedAt": "2026-03-01T00:00:00Z"}
    return json.dumps(
        {"Id": "abc", "State": state, "HostConfig": {"NanoCpus": 0, "Memory": 0, "MemorySwap": 0, **config}}
    )


def test_a_proxy_that_allows_only_reading_is_told_from_docker(server: Server) -> None:
    def answer(request: Request) -> tuple[int, str]:
        return (200, inspected()) if request.method == "GET" else (403, "<html>Request forbidden</html>")

    server.answer = answer
    result = do({"container": "web", "host": server.url.replace("http", "tcp")})
    assert result.status is ReceiptStatus.FAILED
    assert "403" in result.detail
    assert "allow it there" in result.detail


def test_a_container_with_a_quota_of_another_kind_is_left_alone(server: Server) -> None:
    server.answer = lambda request: (200, inspected(CpuQuota=50_000))
    result = do({"container": "web", "operation": "resources", "host": server.url}, cpus=1)
    assert "--cpu-quota" in result.detail
    assert {request.method for request in server.requests} == {"GET"}


def test_swap_keeps_its_distance_from_memory(server: Server) -> None:
    server.answer = lambda request: (200, inspected(Memory=100 * MIB, MemorySwap=150 * MIB))
    result = do({"container": "web", "operation": "resources", "host": server.url}, memory_mb=200)
    assert result.succeeded, result.detail
    assert json.loads(server.requests[-1].body) == {"Memory": 200 * MIB, "MemorySwap": 250 * MIB}


def test_only_resources_can_be_undone_and_are_proposed() -> None:
    assert not replace(DOCKER, option_values={"container": "web"}).reversible
    assert replace(DOCKER, option_values={"operation": "resources"}).reversible
    options = {"container": "web", "operation": "resources", "cpus": 2}
    (proposed,) = DOCKER.propose(make_goal(), context_for(options=options))
    assert (proposed.params, proposed.target) == ({"container": "web", "cpus": 2}, "container:web")
