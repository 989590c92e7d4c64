"""The processes that `benchmarks.chaos` starts and breaks: each says in lines what is durable by now."""

from __future__ import annotations

import contextlib
import json
import os
import random
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import psutil

from api.background.file_watch import FileWatch
from flows.cycle import acting, bare
from flows.wiring import live_context
from handlers import ActionHandler, from_callable
from handlers.contract.action import ActionContext
from handlers.sandbox.parent import call
from settings import load_settings, utc_now
from storage import ForeactError, Store, TransientError, open_store, own_store
from storage.engine.damage import log_of
from storage.engine.local import LocalEngine
from storage.engine.protocol import connect
from storage.migrations import MIGRATIONS
from storage.records import Action, Autonomy, Belief, Goal, GoalState, GoalType, Outcome, Sample, Transition, Verdict
from tasks.execute.task import execute
from tasks.monitor.task import monitor

START = datetime(2026, 1, 1, tzinfo=UTC)
BATCH = 40
HOUR = timedelta(hours=1)
GOAL = "goal-1"
DATABASE = "f.duckdb"
SECOND = """
import sys
from pathlib import Path
from storage import ForeactError, own_store
try:
    own_store(Path(sys.argv[1]))
except ForeactError as refusal:
    print(refusal.code)
"""


def tell(line: str) -> None:
    """Say something that is durable by now."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def looked(what: str, holds: bool) -> None:
    """Say what was looked at, and whether it holds."""
    tell(json.dumps({"what": what, "holds": bool(holds)}))


def work(folder: str, number: str, seed: str, shift_s: str, _sampled: str) -> None:
    """Write samples, plan acts and carry them out until killed."""
    place, rng, shift = Path(folder), random.Random(int(seed)), timedelta(seconds=float(shift_s))

    def clock() -> datetime:
        return utc_now() + shift

    with own_store(place / DATABASE, clock=clock) as store:
        first = _count(store)
        tell("ready")
        for turn in range(10_000):
            _sample(store, first + turn * BATCH)
            tell(f"sampled {first + (turn + 1) * BATCH}")
            action_id = f"a-{number}-{turn}"
            _plan(store, action_id, clock())
            tell(f"planned {action_id}")
            if rng.random() < 0.5:
                _execute(place, store, clock)
            if rng.random() < 0.05:
                store.engine.rows("CHECKPOINT")


def settle(folder: str, _sampled: str) -> None:
    """Go on three hours later, and say what is on record and what was really done."""
    place, ahead = Path(folder), [3 * HOUR]

    def clock() -> datetime:
        return utc_now() + ahead[0]

    with own_store(place / DATABASE, clock=clock) as store:
        for _ in range(3):
            _execute(place, store, clock)
            ahead[0] += HOUR / 4
        views = store.actions.latest(1_000_000)
        statuses = {view.action.action_id: view.receipt.status if view.receipt else None for view in views}
        tell(
            json.dumps(
                {
                    "samples": _prefix(store),
                    "marks": _marks(place),
                    "statuses": statuses,
                    "broken_line": store.audit.first_broken_line(),
                }
            )
        )


def look(folder: str) -> None:
    """Open a file whose log was damaged, and say what is there."""
    with open_store(Path(folder) / DATABASE) as store:
        told = [str(entry.detail) for entry in store.audit.latest() if entry.verb == "damage set aside"]
        samples, count = _prefix(store), _count(store)
    tell(json.dumps({"samples": samples, "is_prefix": samples == count, "told": told}))


def full_disk(folder: str, where: str, number: str) -> None:
    """Fill the disk, with some bytes left; write, and see that it goes on once there is room.

    Where file systems can be mounted it is a small one that is really full, else no file may grow for a while.
    """
    place = Path(folder)
    with _mounted(place, DISK) as is_mounted:
        if not is_mounted:
            tell(json.dumps({"skipped": "file systems are mounted by root alone; files could not grow instead"}))
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        path, fatal = place / DATABASE, list[str]()
        store = own_store(path)
        assert isinstance(store.engine, LocalEngine)
        store.engine.on_fatal = fatal.append
        _sample(store, 0)
        held = _fill(place, int(number) * 7_001 % SPARE_BYTES) if is_mounted else None
        if held is None:
            _limit((log_of(path).stat().st_size if log_of(path).exists() else 0) + 5_000)
        acknowledged, told = _until_refused(store, where)
        _limit(resource.RLIM_INFINITY)
        if held is not None:
            held.unlink()
        # A fatal error ends the facade, which is started again: until then it may answer 503 as well.
        looked(f"it is refused with {sorted(told)}, fatal {fatal}", told == {507} or (fatal and told == {503, 507}))
        if fatal:
            store.close()
            store = own_store(path)
        first = _count(store)
        looked(f"of {acknowledged} acknowledged samples there are {first}", first >= acknowledged)
        _sample(store, first)
        if where == "temp":
            looked("what needed room is answered once there is some", store.engine.rows(SPILLS) == [(SPILLED,)])
        store.close()
        with open_store(path) as again:
            looked("it goes on", _prefix(again) == first + BATCH)


DISK, SPARE_BYTES, REFUSALS = "200m", 60_000, 3
SPILLED = 4_000_000
SPILLS = f"SELECT count(*) FROM (SELECT DISTINCT hash(i) FROM range({SPILLED}) t(i))"
"""A question whose answer needs more memory than it is given, and so temporary files beside the database."""


def _until_refused(store: Store, where: str) -> tuple[int, set[int]]:
    """Write, and do what needs room, until it was refused some times; return what was acknowledged, and how."""
    acknowledged, told, refusals = BATCH, set[int](), 0
    if where == "temp":
        store.engine.rows("SET threads = 1")
        store.engine.rows("SET memory_limit = '60MB'")
    for _ in range(2_000):
        try:
            if where == "temp":
                store.engine.rows(SPILLS)
            _sample(store, acknowledged)
            acknowledged += BATCH
            if where == "checkpoint":
                store.engine.rows("CHECKPOINT")
        except (ForeactError, TransientError) as refusal:
            refusals += 1
            told.add(getattr(refusal, "status", 503))
        if refusals == REFUSALS:
            break
    return acknowledged, told


def _fill(place: Path, spare_bytes: int) -> Path:
    """Write a file until the file system is full, and give back some bytes."""
    file = place / "filler"
    with file.open("wb", buffering=0) as filler, contextlib.suppress(OSError):
        while filler.write(b"x" * 4_096):
            pass
    os.truncate(file, max(0, file.stat().st_size - spare_bytes))
    return file


@contextlib.contextmanager
def _mounted(place: Path, size: str) -> Iterator[bool]:
    """Mount a small file system meanwhile, where this user may."""
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "none", str(place)], capture_output=True)
    try:
        yield mounted.returncode == 0
    finally:
        if mounted.returncode == 0:
            subprocess.run(["umount", "-l", str(place)], check=True)


def lost_file(folder: str) -> None:
    """Delete the database under its owner, and see that all of it is written anew."""
    path = Path(folder) / DATABASE
    with own_store(path) as store:
        _sample(store, 0)
        assert isinstance(store.engine, LocalEngine)
        ended: list[bool] = []
        watch = FileWatch(store.engine, path, lambda: ended.append(True))
        path.unlink()
        _sample(store, BATCH)
        watch.step()
    looked("the process is asked to end", bool(ended))
    with open_store(path) as store:
        looked("all acknowledged samples are in the new file", _prefix(store) == 2 * BATCH)


def two_owners(folder: str) -> None:
    """Open a file that another process owns."""
    path = Path(folder) / DATABASE
    with own_store(path) as store:
        second = subprocess.run([sys.executable, "-c", SECOND, str(path)], capture_output=True, text=True)
        looked("the second is refused as store_in_use", second.stdout.strip() == "store_in_use")
        _sample(store, 0)
    with open_store(path) as again:
        looked("the first goes on", _prefix(again) == BATCH)


EATEN_MB = 500.0


def bad_handlers(folder: str) -> None:
    """Call handlers that misbehave."""
    limit_s = 1.5
    for name, body, status in (
        ("hangs", "__import__('time').sleep(600)", "timed_out"),
        ("forks", "__import__('subprocess').Popen(['sleep', '600'], start_new_session=True).wait()", "timed_out"),
        ("eats memory", "[b'x' * 10**7 for _ in iter(int, 1)]", "failed"),
        ("prints binary", "__import__('os').write(1, bytes(range(256)) * 40)", "succeeded"),
        ("is killed", "__import__('os').kill(__import__('os').getpid(), 9)", "unknown"),
    ):
        names: dict[str, Any] = {}
        source = f"def handler(params, goal_id):\n    {body}\n    return {{'success': True}}"
        exec(source, names)
        begun_s = time.monotonic()
        wait_s = limit_s if status == "timed_out" else 20.0
        context = ActionContext(tick=START, options={}, goal_id=GOAL, action_id="a")
        found = call(from_callable("bad", names["handler"], memory_mb=EATEN_MB), "run", {}, None, context, wait_s)
        looked(f"a handler that {name} ends as {found.status}, not {status}", found.status == status)
        is_refused = "more memory than it may take" in found.detail
        looked(f"a handler that {name} is told {found.detail}", is_refused == (name == "eats memory"))
        looked(f"a handler that {name} holds nobody up", time.monotonic() - begun_s < wait_s + 15)
        left = psutil.Process().children(recursive=True)
        looked(f"a handler that {name} leaves {left}", not left)
        json.dumps(found.evidence).encode()


def bad_sources(folder: str) -> None:
    """Pull from a server that is away, drips, sends 400 MB or lies, and after each from one that is well."""
    with _source_server() as server, open_store(Path(folder) / DATABASE) as store:
        address = f"http://127.0.0.1:{server.server_port}"
        for number, (name, url) in enumerate(
            {
                "is away": "http://127.0.0.1:9",
                "drips": f"{address}/drip",
                "sends 400 MB": f"{address}/flood",
                "sends a page": f"{address}/page",
                "sends half an answer": f"{address}/half",
                "hangs up": f"{address}/torn",
                "sends words for numbers": f"{address}/words",
            }.items()
        ):
            tick, begun_s, memory = START + number * HOUR, time.monotonic(), psutil.Process().memory_info().rss
            _pull(Path(folder), store, url, tick)
            looked(f"a source that {name} holds nobody up", time.monotonic() - begun_s < 4 * SOURCE_S + 10)
            grown = psutil.Process().memory_info().rss - memory
            looked(f"a source that {name} takes {grown / 1e6:.0f} MB of memory", grown < 350e6)
            lines = [line for line in store.audit.latest(20) if line.verb == "source failed"]
            looked(f"of a source that {name} it is told", len(lines) > 0 and str(lines[0].detail) != "{}")
            looked(f"nothing of a source that {name} is recorded", _count(store) == number)
            _pull(Path(folder), store, address, tick + HOUR / 2)
            looked(f"after a source that {name} the next answer is recorded", _count(store) == number + 1)


SOURCE_S = 2.0


def _pull(place: Path, store: Store, url: str, tick: datetime) -> None:
    queries = {"numbers": "up"}
    source = {"url": url, "queries": queries, "mode": "instant", "timeout_s": SOURCE_S, "interval_s": 60}
    settings = load_settings(place, home=place, sources={"prometheus": source}, use_default_objectives=False)
    bare(monitor, live_context(settings, store, tick, actions={}))


class _Source(BaseHTTPRequestHandler):
    """Answers well, or badly in the way that the address names."""

    def do_GET(self) -> None:
        """Answer."""
        kind, query = self.path.split("/")[1], parse_qs(urlsplit(self.path).query)
        value = [float(query["time"][0]), "many" if kind == "words" else "1"]
        data = {"resultType": "vector", "result": [{"metric": {}, "value": value}]}
        well = json.dumps({"status": "success", "data": data}).encode()
        body = {"page": b"<html>Sign in</html>", "half": well[: len(well) // 2]}.get(kind, well)
        self.send_response(200)
        self.send_header("Content-Type", "text/html" if kind == "page" else "application/json")
        self.send_header("Content-Length", str({"flood": 400_000_000, "drip": 10_000}.get(kind, len(body))))
        self.end_headers()
        with contextlib.suppress(OSError):
            if kind == "drip":
                for _ in range(100):
                    self.wfile.write(b" ")
                    time.sleep(SOURCE_S / 10)
            elif kind == "flood":
                for _ in range(400):
                    self.wfile.write(b" " * 1_000_000)
            else:
                self.wfile.write(body[: len(body) // 2] if kind == "torn" else body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextlib.contextmanager
def _source_server() -> Iterator[ThreadingHTTPServer]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Source)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()


def read_only(folder: str) -> None:
    """Open a database on a file system that is read-only, and again once it can be written."""
    place = Path(folder) / "mounted"
    place.mkdir()
    with _mounted(place, "64m") as is_mounted:
        if not is_mounted:
            tell(json.dumps({"skipped": "file systems can be mounted by root alone"}))
            return
        path = place / DATABASE
        with own_store(path) as store:
            _sample(store, 0)
        subprocess.run(["mount", "-o", "remount,ro", str(place)], check=True)
        for name, open_it in {"its owner": own_store, "who looks": open_store}.items():
            try:
                open_it(path).close()
                said = "nothing"
            except ForeactError as refusal:
                said = refusal.code
            looked(f"{name} is told {said}", said in {"folder_not_writable", "store_not_writable"})
        subprocess.run(["mount", "-o", "remount,rw", str(place)], check=True)
        with own_store(path) as store:
            looked("all is there once it can be written again", _prefix(store) == BATCH)
            _sample(store, BATCH)
            looked("it goes on", _prefix(store) == 2 * BATCH)


def old_schemas(folder: str) -> None:
    """Make a database of every earlier schema with rows in each table that matters, and open it."""
    files = sorted(MIGRATIONS.glob("*.sql"))
    newest = int(files[-1].name.partition("_")[0])
    with open_store(clock=lambda: START) as past:
        _live_a_little(Path(folder), past)
        for known in range(1, len(files) + 1):
            path = Path(folder) / f"{known}.duckdb"
            _old_database(path, files[:known], past)
            with open_store(path) as store:
                ((version,),) = store.engine.rows("SELECT max(version) FROM schema_versions")
                looked(f"schema {known} is brought to {newest}", version == newest)
                looked(f"schema {known}: samples are read", _count(store) == 3)
                (forecast,) = store.forecasts.of_cycle("c")
                looked(f"schema {known}: a forecast is read", forecast.quantiles.tolist() == [[0.0, 1.0, 2.0]] * 2)
                for what, read in READ_AGAIN.items():
                    looked(f"schema {known}: {what} are as they were", bool(read(past)) and read(store) == read(past))
                looked(f"schema {known}: the audit trail is whole", store.audit.first_broken_line() is None)
                _sample(store, 100)
                looked(f"schema {known}: it goes on", _count(store) == 3 + BATCH)


READ_AGAIN: dict[str, Callable[[Store], object]] = {
    "goals": lambda store: store.goals.all(),
    "moves of goals": lambda store: store.goals.transitions(GOAL),
    "actions and receipts": lambda store: store.actions.latest(9),
    "outcomes": lambda store: store.outcomes.of_action("a"),
    "beliefs": lambda store: store.outcomes.belief(),
    "lines of the audit trail": lambda store: [line for line in store.audit.latest() if line.at == START],
}


def _live_a_little(place: Path, store: Store) -> None:
    """Let there be a goal, an act for it that was carried out, its outcome, and what was learned from that."""
    _plan(store, "a", START)
    _execute(place, store, lambda: START)
    view = store.actions.get("a")
    assert view is not None
    act = view.action
    outcome = Outcome(
        outcome_id="o",
        action_id=act.action_id,
        action=act.name,
        goal_id=act.goal_id,
        goal_type=act.goal_type,
        strategy=act.strategy,
        series="old",
        measured_at=START,
        acted_at=START - HOUR,
        horizon_s=600,
        estimate=-0.2,
        verdict=Verdict.IMPROVED,
    )
    store.outcomes.append([outcome], "cycle-1")
    store.outcomes.believe(Belief(belief_id="b", at=START, outcome_count=1, state={"mark": [1.0, 2.0]}), "cycle-1")


SINCE_THE_FIRST = (
    "goals",
    "goal_transitions",
    "actions",
    "intents",
    "receipts",
    "outcomes",
    "beliefs",
    "audit",
)
"""Tables that have been there, with these columns, from the first schema on."""


def _old_database(path: Path, files: list[Path], past: Store) -> None:
    connection = connect(str(path))
    connection.execute("CREATE TABLE schema_versions (version INTEGER PRIMARY KEY, applied_at TIMESTAMPTZ)")
    for file in files:
        for statement in filter(str.strip, file.read_text().split(";\n")):
            connection.execute(statement)
        connection.execute(f"INSERT INTO schema_versions VALUES ({int(file.name.partition('_')[0])}, now())")
        if file is files[0]:
            connection.execute("INSERT INTO samples SELECT 7, now(), i, now() FROM range(3) t(i)")
            connection.execute("INSERT INTO series VALUES (7, 'old', 'old', '{}', '', now())")
            connection.execute("INSERT INTO facts VALUES (1, 'mode.autonomous', now(), 'ada', 'true')")
            connection.execute(
                """INSERT INTO forecasts (cycle_id, recorded_at, series, issued_at, step_s, levels, point, quantiles,
                   method) VALUES ('c', now(), 'old', now(), 300, [0.05, 0.5, 0.95], [1, 1], [0, 1, 2, 0, 1, 2], 'm')"""
            )
            for table in SINCE_THE_FIRST:
                rows = past.engine.rows(f"SELECT * FROM {table}")
                connection.executemany(f"INSERT INTO {table} VALUES ({', '.join('?' * len(rows[0]))})", rows)
    connection.close()


def _sample(store: Store, first: int) -> None:
    moments = ((k, START + timedelta(seconds=k)) for k in range(first, first + BATCH))
    store.samples.append([Sample(metric="m", value=float(k), ts=at) for k, at in moments])


def _count(store: Store) -> int:
    return int(store.engine.rows("SELECT count(*) FROM samples")[0][0])


def _prefix(store: Store) -> int:
    """Return how many samples there are from the first on, each once; 0 where one is missing or there twice."""
    sql = "SELECT count(*), count(DISTINCT value), coalesce(max(value) + 1, 0) FROM samples"
    ((count, distinct, end),) = store.engine.rows(sql)
    return int(count) if count == distinct == end else 0


def _plan(store: Store, action_id: str, at: datetime) -> None:
    if store.goals.get(GOAL) is None:
        fields = {"severity": 0.5, "probability": 0.5, "urgency": 0.5, "priority": 0.5}
        goal = Goal(
            goal_id=GOAL,
            goal_type=GoalType.BOTTLENECK_PREVENTION,
            description="Stay alive",
            cause="chaos",
            created_at=at,
            deadline=at + 1_000 * HOUR,
            **fields,
        )
        opening = Transition(goal_id=GOAL, state=GoalState.ACTIVE, at=at, reason="begun", progress=0.0)
        store.goals.append([goal], [opening], "cycle-1")
    action = Action(
        action_id=action_id,
        name="mark",
        goal_id=GOAL,
        goal_type=GoalType.BOTTLENECK_PREVENTION,
        plan_id="plan-1",
        decision_id="decision-1",
        target=action_id,
        params={"id": action_id},
        level=Autonomy.AUTO,
        created_at=at,
        due_at=at - 2 * HOUR,
        expires_at=at + 100 * HOUR,
    )
    store.actions.append([action], "cycle-1")


def _execute(place: Path, store: Store, clock: Callable[[], datetime]) -> None:
    limits = {"rate_limits": ["1000000/day"], "blast_radius": 1_000_000}
    settings = load_settings(place, home=place, executor=limits)
    context = live_context(settings, store, clock(), actions={"mark": _marking(place)}, now=clock)
    execute.fn(context, acting(bare))


def _marking(place: Path) -> ActionHandler:
    """Return an action that writes a line, a moment after it began and a moment before it answers."""
    file = str(place / "marks")

    def act(params: Mapping[str, Any], goal_id: str) -> dict[str, Any]:
        time.sleep(random.random() * 0.05)
        with open(file, "a") as lines:
            lines.write(f"{params['id']}\n")
        time.sleep(random.random() * 0.05)
        return {"success": True}

    def check(params: Mapping[str, Any], before: Mapping[str, Any], context: Any) -> str:
        words = Path(file).read_text().split() if Path(file).exists() else []
        return "succeeded" if params["id"] in words else "skipped"

    meta: dict[str, Any] = {"default_level": "auto", "cooldown_s": 0.0, "rate_limits": (), "timeout_s": 20.0}
    return from_callable("mark", act, hooks={"check": check}, **meta)


def _marks(place: Path) -> list[str]:
    file = place / "marks"
    return file.read_text().split() if file.exists() else []


def _limit(size: int) -> None:
    """Let no file grow beyond a size: the kernel refuses it as it refuses a write to a full disk."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
