"""Runs facade and store on one machine, the worker on another, and Prefect on PostgreSQL: `make two-machines`.

The machines are two network namespaces that see each other and nothing else; between them goes TLS alone, by stunnel,
where each side accepts the one certificate of the other. What it does is what `docs/production.md` tells to do. It
needs root, `ip`, `stunnel`, `openssl` and PostgreSQL, and says so where one is missing.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

from api.processes.layout import new_layout, process_environment
from settings import load_settings

PROJECT = Path(__file__).parents[1]
HUB, REMOTE = "foreact-hub", "foreact-remote"
HUB_ADDRESS, REMOTE_ADDRESS = "10.213.77.1", "10.213.77.2"
PREFECT_PORT, PREFECT_TLS, STORE_TLS = 4200, 4443, 7443
READY_S, CYCLE_S = 180.0, 300.0
TOML = f"""prefect_api_url = "http://127.0.0.1:{PREFECT_PORT}/api"
[sampler]
interval_seconds = 1
"""


def main() -> None:
    """Set all up, wait for a cycle of the remote worker, say what was found."""
    missing = unmet()
    if missing:
        print(f"skipped: {missing}")
        return
    with ExitStack() as stack:
        place = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="foreact-two-")))
        place.chmod(0o755)
        findings = run(place, stack)
    for what, holds in findings.items():
        print(f"{'holds' if holds else 'TROUBLE':9}{what}")
    sys.exit(not all(findings.values()))


def unmet() -> str:
    """Return what is missing here, or nothing."""
    if os.geteuid():
        return "network namespaces are made by root alone"
    programs = [name for name in ("ip", "openssl", "stunnel", "runuser") if shutil.which(name) is None]
    programs += [] if postgres() else ["PostgreSQL"]
    if programs:
        return f"not installed: {', '.join(programs)}"
    tried = subprocess.run(["ip", "netns", "add", HUB], capture_output=True, text=True)
    subprocess.run(["ip", "netns", "del", HUB], capture_output=True)
    return f"no network namespaces: {tried.stderr.strip()}" if tried.returncode else ""


def postgres() -> Path | None:
    """Return the folder with PostgreSQL's programs, which Debian keeps off the path."""
    return max(Path("/usr/lib/postgresql").glob("*/bin"), default=None)


def run(place: Path, stack: ExitStack) -> dict[str, bool]:
    """Start both machines in a folder; return what was looked at and whether it holds."""
    networks(stack)
    certificates(place)
    hub_folder, remote_folder = place / "srv", place / "remote"
    for folder in (hub_folder, remote_folder):
        (folder / ".foreact" / "logs").mkdir(parents=True, mode=0o700)
        (folder / "foreact.toml").write_text(TOML)
    environment = process_environment(new_layout(load_settings(hub_folder), hub_folder))
    database = start_postgres(place, stack)
    server = {**environment, "PREFECT_API_DATABASE_CONNECTION_URL": database}
    begin(stack, HUB, server, sys.executable, "-m", "api.processes.prefect_server", "127.0.0.1", str(PREFECT_PORT))
    begin(stack, HUB, environment, sys.executable, "-P", "-m", "api.app")
    address = hub_folder / ".foreact" / "foreact.owner.json"
    until("the facade", address.exists, READY_S)
    owner = json.loads(address.read_text())
    tunnels(place, stack, int(owner["uri"].rpartition(":")[2]))
    until("the Prefect server", lambda: asked(HUB, "/health") == "true", READY_S)
    # Where the tunnel to the owner begins; without `pid`, since the owner is no process of this machine.
    del owner["pid"]
    (remote_folder / ".foreact" / address.name).write_text(json.dumps(owner))
    mounted = (
        f"mount --bind {remote_folder} {hub_folder} && exec {sys.executable} -m prefect worker start --pool foreact"
    )
    begin(stack, REMOTE, environment, "sh", "-c", f"{mounted} --type process")
    subprocess.run([*inside(HUB), sys.executable, "-m", "api.processes.register"], env=environment, check=True)
    query = json.dumps(
        {"flow_runs": {"state": {"type": {"any_": ["COMPLETED"]}}}, "flows": {"name": {"any_": ["cycle"]}}}
    )
    done = until("a cycle", lambda: json.loads(asked(REMOTE, "/flow_runs/filter", query) or "[]"), CYCLE_S)
    status = json.loads(fetched(HUB, "http://127.0.0.1:5003/api/autonomous/cycles") or "{}")
    return looked(done, status, remote_folder, place)


def looked(done: Any, status: Mapping[str, Any], remote: Path, place: Path) -> dict[str, bool]:
    """Return what holds after the first cycle."""
    count = "SELECT count(*) FROM flow_run"
    sql = ["runuser", "-u", "postgres", "--", "psql", "-h", str(place / "pg"), "-Atc", count, "prefect"]
    counted = subprocess.run(sql, capture_output=True, text=True)
    own = ("-cert", f"{place}/{REMOTE}.pem", "-key", f"{place}/{REMOTE}.key")
    return {
        "a cycle of the remote worker completed": bool(done),
        "it is in the store of the hub": bool(status.get("cycles")),
        "the remote machine has no database of its own": not list(remote.rglob("*.duckdb")),
        "its log of flow runs lies with it": (remote / ".foreact" / "logs" / "flows.log").exists(),
        "Prefect's flow runs are in PostgreSQL": int(counted.stdout.strip() or 0) > 0,
        "who has the certificate is answered by the store": "HTTP/1" in greeted(own),
        "who has none is not": "HTTP/1" not in greeted(()),
        "nothing but TLS is open to the other machine": not fetched(REMOTE, f"http://{HUB_ADDRESS}:5003/healthz"),
    }


def greeted(words: tuple[str, ...]) -> str:
    """Return what the store's end of the tunnel says to a program on the other machine that asks as HTTP does."""
    command = [*inside(REMOTE), "openssl", "s_client", "-connect", f"{HUB_ADDRESS}:{STORE_TLS}", "-quiet", *words]
    asked_for = "GET / HTTP/1.0\r\nHost: localhost\r\n\r\n"
    return subprocess.run(command, input=asked_for, capture_output=True, text=True, timeout=30).stdout


def networks(stack: ExitStack) -> None:
    """Make two namespaces with a cable between them."""
    ends = ((HUB, HUB_ADDRESS), (REMOTE, REMOTE_ADDRESS))
    for name, _ in ends:
        subprocess.run(["ip", "netns", "add", name], check=True)
        stack.callback(subprocess.run, ["ip", "netns", "del", name])
    cable = f"ip link add veth0 netns {HUB} type veth peer name veth0 netns {REMOTE}"
    subprocess.run(cable.split(), check=True)
    for name, address in ends:
        for words in (f"addr add {address}/24 dev veth0", "link set veth0 up", "link set lo up"):
            subprocess.run(["ip", "-n", name, *words.split()], check=True)


def certificates(place: Path) -> None:
    """Make a key and a certificate for each machine."""
    for name in (HUB, REMOTE):
        command = (
            f"openssl req -x509 -newkey rsa:2048 -nodes -days 30 -subj /CN={name} -keyout {name}.key -out {name}.pem"
        )
        subprocess.run(command.split(), cwd=place, check=True, capture_output=True)


def tunnels(place: Path, stack: ExitStack, store_port: int) -> None:
    """Start stunnel on both sides: TLS between the machines, each with the other's certificate and no other."""
    ways = (("prefect", PREFECT_TLS, PREFECT_PORT), ("store", STORE_TLS, store_port))
    for name, other in ((HUB, REMOTE), (REMOTE, HUB)):
        lines = [
            "foreground = yes",
            "debug = warning",
            "pid =",
            f"cert = {place}/{name}.pem",
            f"key = {place}/{name}.key",
        ]
        lines += [f"CAfile = {place}/{other}.pem", "verifyPeer = yes"]
        for way, tls, plain in ways:
            own = (f"{HUB_ADDRESS}:{tls}", f"127.0.0.1:{plain}")
            accept, connect = own if name == HUB else (own[1], own[0])
            lines += [f"[{way}]", f"accept = {accept}", f"connect = {connect}"]
            lines += ["client = yes"] if name == REMOTE else []
        (place / f"{name}.conf").write_text("\n".join(lines) + "\n")
        begin(stack, name, dict(os.environ), "stunnel", str(place / f"{name}.conf"))


def start_postgres(place: Path, stack: ExitStack) -> str:
    """Start PostgreSQL in a folder, reachable by its socket alone; return the address of its database for Prefect."""
    folder, programs = place / "pg", postgres()
    folder.mkdir()
    shutil.chown(folder, "postgres", "postgres")
    own = ["runuser", "-u", "postgres", "--"]
    data = str(folder / "data")
    subprocess.run([*own, f"{programs}/initdb", "-D", data], check=True, capture_output=True)
    control = [*own, f"{programs}/pg_ctl", "-D", data, "-w", "-l", str(folder / "log")]
    subprocess.run([*control, "-o", f"-c listen_addresses='' -k {folder}", "start"], check=True, capture_output=True)
    stack.callback(subprocess.run, [*control, "-m", "immediate", "stop"], capture_output=True)
    subprocess.run([*own, f"{programs}/createdb", "-h", str(folder), "prefect"], check=True)
    return f"postgresql+asyncpg://postgres@/prefect?host={folder}"


def inside(name: str) -> list[str]:
    """Return the words that run a command on one of the machines."""
    return ["ip", "netns", "exec", name]


def begin(stack: ExitStack, name: str, environment: Mapping[str, str], *command: str) -> None:
    """Start a program on a machine, which is ended with all that it started."""
    process = subprocess.Popen(
        [*inside(name), *command], env=dict(environment), cwd=PROJECT, start_new_session=True, stdout=subprocess.DEVNULL
    )
    stack.callback(end, process)


def end(process: subprocess.Popen[bytes]) -> None:
    """End a program and its session."""
    for number in (15, 9):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            continue


def fetched(name: str, url: str, body: str | None = None) -> str:
    """Return what an address answers to a program on a machine; nothing where it does not."""
    program = "import sys, httpx; u, *b = sys.argv[1:]; h = {'Content-Type': 'application/json'}; print("
    program += "(httpx.post(u, content=b[0], headers=h) if b else httpx.get(u, timeout=3)).text)"
    words = [sys.executable, "-c", program, url, *([body] if body is not None else [])]
    return subprocess.run([*inside(name), *words], capture_output=True, text=True).stdout.strip()


def asked(name: str, path: str, body: str | None = None) -> str:
    """Return what the Prefect server answers to a program on a machine."""
    return fetched(name, f"http://127.0.0.1:{PREFECT_PORT}/api{path}", body)


def until(what: str, look: Callable[[], Any], within_s: float) -> Any:
    """Return what `look` finds as soon as it is true; ends the program where that takes too long."""
    ends_s = time.monotonic() + within_s
    while time.monotonic() < ends_s:
        if found := look():
            return found
        time.sleep(1)
    raise SystemExit(f"TROUBLE: {what} did not come within {within_s:.0f} s")


if __name__ == "__main__":
    main()
