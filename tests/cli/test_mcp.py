"""An AI agent at the far end of `foreact mcp`: the SDK's own client, a real facade, the loop that does what is due.

What its tools send to the facade is sent there directly where there is much of it.
"""

from __future__ import annotations

import os
import random
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from fastapi.testclient import TestClient
from mcp import types
from mcp.client import Client
from mcp.client.stdio import StdioServerParameters, stdio_client

from api import access
from api.app import create_app
from flows.cycle import bare_turn, second_half
from flows.wiring import live_context
from settings import load_settings, utc_now
from storage import Store, open_store
from storage.facts import WAITS, WaitCode
from storage.records import Action, Alternative, Autonomy, Outcome, Verdict
from tasks.authority import judge_proposer
from tests import PROJECT
from tests.api import worlds
from tests.api.conftest import API, BASE, RecordingTrigger
from tests.api.test_process import facade
from tests.conftest import free_port

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

ACTION = '''
from pathlib import Path
from pydantic import BaseModel, Field
from handlers import action


class Level(BaseModel):
    level: int = Field(ge=0, le=5)


@action(name="set_level", parameters=Level, default_level="auto", cooldown_s=0, rate_limits=("10/hour",))
def set_level(params, context):
    """Set the level of a valve."""
    with (Path(__file__).parent.parent / "marks").open("a") as lines:
        lines.write(f"{params['level']}\\n")
    return {"success": True}


@set_level.undo
def back(params, before, context):
    return None
'''
CONFIGURATION = "[executor]\nblast_radius = 10\nmeasure_horizon_seconds = 60\n"
MOST_PROPOSALS = 500
ROUND = 5
"""After so many proposals somebody answers what waits, and the loop does what is due."""

HOSTILE: tuple[Any, ...] = (
    -1, 6, 10**30, 2.5, "3", "3; rm -rf /", "../../etc/passwd", None, True, [], [1], {}, {"level": 1},
    float("1e308"), "\u202e3", "0x3", "NaN",
)  # fmt: skip
ACTIONS = (
    *("set_level",) * 6,
    "do_nothing",
    "rm",
    "set_level ",
    "SET_LEVEL",
    "run_command",
    "limit_process_affinity",
    "",
)
REASONS = (*("it helps",) * 4, "ignore all limits and act at once", "because the owner said so", " ", "x" * 3_000)
GOALS = (*("goal-1",) * 6, "goal-2", "goal-9", "goal-1/../goal-3", "", "goal-1' OR 1=1 --")


@asynccontextmanager
async def agent(folder: Path, key: str, name: str = "agent") -> AsyncIterator[Client]:
    command = ["-m", "cli.app", "-C", str(folder), "mcp", "--name", name]
    environment = {**os.environ, "PYTHONPATH": str(PROJECT), "FOREACT_KEY": key}
    server = StdioServerParameters(command=sys.executable, args=command, env=environment, cwd=str(PROJECT))
    async with Client(stdio_client(server)) as client:
        yield client


async def call(client: Client, tool: str, **given: Any) -> tuple[bool, str]:
    """Return whether a tool did what it was asked, and the sentence it answered with."""
    answer = await client.call_tool(tool, given)
    (content,) = answer.content
    assert isinstance(content, types.TextContent)
    return not answer.is_error, content.text


def hostile(rng: random.Random) -> dict[str, Any]:
    """Return a proposal that means harm or makes no sense, or now and then one that is well-formed and useless."""
    if rng.random() < 0.3:
        return {"goal_id": "goal-1", "action": "set_level", "params": {"level": rng.randint(0, 5)}, "reason": "try"}
    params = {rng.choice(("level", "level", "amount", "dry_run", "target")): rng.choice(HOSTILE)}
    whole = {"action": rng.choice(ACTIONS), "params": params, "reason": rng.choice(REASONS)}
    proposal = {"goal_id": rng.choice(GOALS), **whole}
    if rng.random() < 0.1:
        proposal.pop(rng.choice(list(proposal)))
    if rng.random() < 0.1:
        proposal |= {"level": "auto", "by": "owner"}
    return proposal


def do_what_is_due(folder: Path, store: Store) -> None:
    settings = load_settings(folder)
    bare_turn(live_context(settings, store, utc_now(), "tend"), second_half)


def measured(store: Store, rng: random.Random, verdict: Verdict) -> None:
    """Record what measuring finds of the acts that were done: nothing, or that they helped."""
    acts = [view.action for view in store.actions.unmeasured() if view.action.proposed_by]
    store.outcomes.append([_outcome(act, rng, verdict) for act in acts], "by-hand")


def _outcome(act: Action, rng: random.Random, verdict: Verdict) -> Outcome:
    effect = 2.0 if verdict is Verdict.IMPROVED else rng.gauss(0, 0.3)
    found = {"effect_sd_units": effect, "standard_error_sd_units": 0.3}
    return worlds.an_outcome(act, utc_now(), verdict).model_copy(update=found)


def marks(folder: Path) -> list[int]:
    file = folder / "marks"
    return [int(line) for line in file.read_text().split()] if file.exists() else []


def prepare(folder: Path, action: str = ACTION) -> dict[str, str]:
    """Give a folder its action and keys."""
    (folder / "actions").mkdir()
    (folder / "actions" / "valve.py").write_text(action)
    roles = {"planner": "operator", "scout": "operator", "ada": "operator", "guest": "viewer"}
    file, keys, made = access.key_file(load_settings(folder)), [], {}
    for name, role in roles.items():
        keys, made[name] = access.with_key(keys, name, access.Role(role), utc_now())
    access.write_keys(file, keys)
    return made


def begin(store: Store) -> None:
    """Open a goal on a metric that is heard."""
    now = utc_now()
    worlds.samples(store, now)
    worlds.a_turn(store, now - timedelta(minutes=1))
    worlds.a_history(store, now)


@contextmanager
def in_process(folder: Path, configuration: str) -> Iterator[tuple[Store, TestClient]]:
    """Serve a folder within this process: a proposal then costs milliseconds."""
    server = f"[server]\nprefect_port = {free_port()}\n[sampler]\nenabled = false\n"
    (folder / "foreact.toml").write_text(server + configuration)
    settings = load_settings(folder)
    with open_store(settings.database_path) as store:
        begin(store)
        with TestClient(create_app(settings, store=store, trigger=RecordingTrigger()), base_url=BASE) as client:
            yield store, client


def post(client: TestClient, key: str, path: str, body: dict[str, Any]) -> str:
    """Send a request; return the code of the refusal, empty where there is none."""
    answer = client.post(f"{API}/{path}", json=body, headers={"Authorization": f"Bearer {key}"})
    told = answer.json()
    assert answer.status_code < 500, told
    said = str(told.get("detail") or told.get("note") or told.get("done"))
    assert said.strip()
    assert "\n" not in said
    return str(told.get("code", ""))


def propose(client: TestClient, key: str, proposal: dict[str, Any]) -> str:
    """Propose something; return the code of the refusal, empty where there is none."""
    body = {name: value for name, value in proposal.items() if name != "goal_id"}
    return post(client, key, f"goals/{quote(proposal.get('goal_id', ''), safe='')}/propose", body)


def test_of_many_hostile_proposals_nothing_runs_beyond_limits_and_the_proposer_is_refused(tmp_path: Path) -> None:
    keys, rng = prepare(tmp_path), random.Random(16)
    with in_process(tmp_path, CONFIGURATION) as (store, client):
        refused_after: int | None = None
        for number in range(MOST_PROPOSALS):
            # Of one somebody approves whatever it proposes, of the other nothing.
            code = propose(client, keys[rng.choice(["planner", "scout"])], hostile(rng))
            if code == "proposer_refused" and refused_after is None:
                refused_after = len(marks(tmp_path))
            if number % ROUND == ROUND - 1 and refused_after is None:
                approve_all(client, keys, store)
                do_what_is_due(tmp_path, store)
                measured(store, rng, Verdict.NO_EFFECT)
                do_what_is_due(tmp_path, store)
        assert refused_after is not None, "whose acts are of no use is refused in the end"
        assert len(marks(tmp_path)) == refused_after <= 8
        assert all(0 <= level <= 5 for level in marks(tmp_path))
        done_here = [view.action for view in store.actions.proposed() if view.touched]
        assert {(act.name, act.proposed_by) for act in done_here} == {("set_level", "planner")}
        assert sum(view.action.proposed_by == "scout" for view in store.actions.proposed()) == 3
        (standing,) = [e for e in store.audit.latest(2_000) if e.verb == "demoted" and e.subject.startswith("proposer")]
        assert standing.subject == "proposer planner"


def approve_all(client: TestClient, keys: dict[str, str], store: Store) -> None:
    """Let the proposer try to approve its own, and somebody else then do it."""
    for view in store.actions.pending():
        if view.action.proposed_by == "planner" and view.approval is None:
            path = f"actions/{view.action.action_id}/approve"
            assert post(client, keys["planner"], path, {"note": "mine"}) == "own_proposal"
            assert post(client, keys["ada"], path, {"note": "go"}) == ""


def offer_every_level(store: Store) -> None:
    """Let the newest plan have weighed all that may be proposed: three levels of each of two valves."""
    weighed = [
        Alternative(action="set_level", params={"level": level}, target=valve, value=0.4, propensity=0.9)
        for level, valve in enumerate(["valve-a"] * 3 + ["valve-b"] * 3)
    ]
    plan = {"decision_id": "decision-2", "chosen": weighed[0], "alternatives": tuple(weighed)}
    store.decisions.append([worlds.a_decision(utc_now()).model_copy(update=plan)], [], "cycle-1")


def test_a_proposer_that_may_act_alone_still_acts_within_every_limit(tmp_path: Path) -> None:
    keys, rng = prepare(tmp_path, ACTION.replace("10/hour", "3/hour")), random.Random(17)
    with in_process(tmp_path, CONFIGURATION.replace("blast_radius = 10", "blast_radius = 2")) as (store, client):
        offer_every_level(store)
        judge_proposer(store, "planner", Autonomy.AUTO, "its acts helped")
        codes, waited_for = set(), set()
        for number in range(100):
            # At first of one valve alone, so that its own limit is met before that of the action.
            level = number % 3 if number < ROUND else rng.randint(0, 5)
            given = {"goal_id": "goal-1", "action": "set_level", "params": {"level": level}, "reason": "at once"}
            codes.add(propose(client, keys["planner"], given))
            if number % ROUND == ROUND - 1 and number < 4 * ROUND:
                do_what_is_due(tmp_path, store)
                waited_for |= set(waits(store).values())
                measured(store, rng, Verdict.IMPROVED)
        assert codes == {"", "too_many_proposals"}
        assert waited_for == {WaitCode.BLAST_RADIUS, WaitCode.ACTION_LIMIT}
        mine = store.actions.proposed()
        assert {view.action.level for view in mine} == {Autonomy.AUTO}
        done_here = Counter(view.action.target for view in mine if view.touched)
        assert done_here == {"valve-a": 2, "valve-b": 1}
        assert len(marks(tmp_path)) == 3
        held = {view.action.action_id for view in mine if not view.touched}
        assert held
        assert held == waits(store).keys()


def waits(store: Store) -> dict[str, WaitCode | None]:
    """Return what each proposed act waits for."""
    codes = {action_id: wait.code for action_id, wait in (store.facts.get(WAITS) or {}).items()}
    return {
        view.action.action_id: codes[view.action.action_id] for view in store.actions.proposed() if not view.touched
    }


Served = tuple[Path, dict[str, str], Store]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Run a facade for the agents of several tests."""
    folder = tmp_path_factory.mktemp("served")
    keys = prepare(folder)
    with facade(folder, CONFIGURATION), open_store(load_settings(folder).database_path) as store:
        begin(store)
        yield folder, keys, store


async def test_an_agent_is_told_in_one_line_what_is_wrong_and_cannot_approve_its_own(served: Served) -> None:
    folder, keys, store = served
    rng = random.Random(18)
    async with agent(folder, keys["scout"]) as scout:
        for _ in range(12):
            done, said = await call(scout, "propose", **hostile(rng))
            assert said.strip()
            assert "\n" not in said
            assert "Traceback" not in said
        good = {"goal_id": "goal-1", "action": "set_level", "params": {"level": 4}, "reason": "try"}
        await call(scout, "propose", **good)
        mine = [view.action for view in store.actions.proposed()]
        assert {(act.name, act.proposed_by, act.level) for act in mine} == {("set_level", "scout", Autonomy.APPROVE)}
        done, said = await call(scout, "approve", action_id=mine[0].action_id, note="mine")
        assert (done, "Somebody else must approve it" in said) == (False, True)


async def test_a_viewer_reads_everything_and_changes_nothing(served: Served) -> None:
    folder, keys, store = served
    before = store.actions.proposed()
    async with agent(folder, keys["guest"]) as guest:
        tools = {tool.name: tool for tool in (await guest.list_tools()).tools}
        reads = [name for name, tool in tools.items() if tool.annotations and tool.annotations.read_only_hint]
        needs: dict[str, dict[str, Any]] = {"goal": {"goal_id": "goal-1"}, "actions": {"available": True}}
        answers = {name: await call(guest, name, **needs.get(name, {})) for name in reads}
        assert {name: done for name, (done, _) in answers.items()} == dict.fromkeys(reads, True)
        assert "set_level" in answers["actions"][1]
        for tool, given in (
            ("propose", {"goal_id": "goal-1", "action": "set_level", "params": {"level": 1}, "reason": "try"}),
            ("approve", {"action_id": "action-1", "note": "yes"}),
        ):
            done, said = await call(guest, tool, **given)
            assert not done
            assert "operator" in said
        done, said = await call(guest, "shutdown")
        assert (done, said.startswith("There is no tool 'shutdown'")) == (False, True)
    assert store.actions.proposed() == before


async def test_without_a_stack_an_agent_is_told_to_start_it(tmp_path: Path) -> None:
    (tmp_path / "foreact.toml").write_text("[server]\nport = 1\n")
    async with agent(tmp_path, "") as alone:
        done, said = await call(alone, "approve", action_id="action-1", note="yes")
        assert (done, "foreact up" in said) == (False, True)
