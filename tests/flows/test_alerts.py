"""People are told what is grave where no facade runs as well, once, and by one teller alone."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from flows.agent import GoalDrivenAgent
from flows.simulate import simulate
from settings import Settings, load_settings
from storage import Store, open_store, own_store
from tests.flows.worlds import ClimbingLoad, overrides, ticks
from tests.handlers.conftest import Server, server

__all__ = ["server"]


def told(server: Server) -> list[str]:
    return [json.loads(each.body)["message"] for each in server.requests]


@pytest.fixture
def settings(tmp_path: Path, server: Server) -> Settings:
    urls = [server.url.replace("http://", "json://") + "/people"]
    return load_settings(tmp_path, home=tmp_path, alerts={"urls": urls})


@pytest.fixture
def agent(settings: Settings, store: Store) -> Iterator[GoalDrivenAgent]:
    made = GoalDrivenAgent(settings=settings, store=store, world=ClimbingLoad())
    yield made
    made.stop()


def test_a_bare_agent_tells_what_is_grave_after_its_turn_and_only_once(
    agent: GoalDrivenAgent, settings: Settings, server: Server
) -> None:
    agent.run_cycle(ticks(1)[0])
    assert told(server) == []
    agent.set_autonomous_mode(False)
    settings.kill_switch_path.touch()
    for moment in ticks(3)[1:]:
        agent.run_cycle(moment)
    assert "only recommends" in "".join(told(server))
    assert "agent found the kill switch" in "".join(told(server))
    assert len("".join(told(server)).splitlines()) == 2


def test_an_agent_beside_a_running_stack_leaves_the_telling_to_it(settings: Settings, server: Server) -> None:
    with own_store(settings.database_path), open_store(settings.database_path) as attached:
        agent = GoalDrivenAgent(settings=settings, store=attached, world=ClimbingLoad())
        agent.run_cycle(ticks(1)[0])
        agent.set_autonomous_mode(False)
        agent.run_cycle(ticks(2)[1])
    assert told(server) == []


def test_a_simulation_tells_nobody_unless_its_world_is_real(tmp_path: Path, server: Server) -> None:
    urls = [server.url.replace("http://", "json://")]
    alerts = {"urls": urls, "minimum_severity": "info"}
    settings = load_settings(tmp_path, home=tmp_path, **overrides("shed", alerts=alerts))
    simulate(ClimbingLoad(start_level=75.0), settings, ticks(8))
    assert told(server) == []
    simulate(ClimbingLoad(start_level=75.0), settings, ticks(8), alerts=True)
    assert "New goal" in "".join(told(server))
