"""Runs on a real Prefect server with a full pool: the one that will be late is foreseen, named, and can be helped."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from benchmarks.deadlines_recording import from_server
from flows.cycle import bare_turn
from flows.wiring import live_context, live_world
from handlers import discover_sources
from handlers.contract.registration import from_callable
from settings import Settings, load_settings, utc_now
from storage import Store, open_store
from storage.records import Event, GoalView, Sample
from tasks.drivers.in_force import breaches_in_force
from tests import PROJECT
from tests.flows.prefect_pool import PrefectPool

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]
REPORT, BULK = "report/hourly", "bulk/copy"
BOUND_S = 15
GUIDE = (PROJECT / "docs" / "prefect-deadlines.md").read_text()


@pytest.fixture(scope="module")
def pool(prefect_url: str) -> Iterator[PrefectPool]:
    """Return a pool of one slot in which both deployments have run a few times."""
    pool = PrefectPool(prefect_url, "small", limit=1)
    pool.deploy(REPORT, 0.5)
    pool.deploy(BULK, 6.0)
    pool.deploy("cycle/cycle", 0.1, tags=("foreact", "loop"))
    with pool.worker():
        for name, count in ((REPORT, 5), (BULK, 3), ("cycle/cycle", 1)):
            for _ in range(count):
                pool.wait_for(pool.run(name)["id"])
        yield pool


def configured(folder: Path, prefect_url: str) -> Settings:
    """Return the configuration of the guide, on this server and in seconds."""
    (text,) = (each for each in re.findall(r"```toml\n(.*?)```", GUIDE, re.DOTALL) if "bound = 2_400" in each)
    source = "[sources.prefect_runs]\n"
    (folder / "foreact.toml").write_text(source + text.replace("bound = 2_400", f"bound = {BOUND_S}"))
    return load_settings(folder, home=folder, prefect_api_url=prefect_url, use_default_objectives=False)


def turn(settings: Settings, store: Store, offered: list[str]) -> list[GoalView]:
    def add_a_slot(params: Any, goal_id: str) -> dict[str, bool]:
        return {"success": True}

    handler = from_callable("add_a_slot", add_a_slot, goal_types=("DEADLINE",), metrics=("prefect_run_age_seconds",))
    context = live_context(settings, store, utc_now(), actions={"add_a_slot": handler})
    bare_turn(context)
    assert getattr(context.world, "troubles", []) == []
    goals = store.goals.all()
    offered += [each.action for view in goals for each in context.world.propose(view.goal, context.tick)]
    return list(goals)


def test_every_deployment_but_our_own_is_read_with_its_history(pool: PrefectPool, prefect_url: str) -> None:
    told = list(discover_sources()["prefect_runs"].pull({"api_url": prefect_url}, None, utc_now()))
    samples = [each for each in told if isinstance(each, Sample)]
    events = [each for each in told if isinstance(each, Event)]
    lengths = [each.value for each in samples if each.series == f'prefect_run_duration_seconds{{deployment="{BULK}"}}']
    assert len(lengths) == 3
    assert all(6.0 <= length < 30.0 for length in lengths)
    assert {each.labels["deployment"] for each in events} == {REPORT, BULK}
    assert sum(each.event_type == "prefect_run_completed" for each in events) == 8
    (slots,) = [each for each in samples if each.series == 'prefect_pool_slots{work_pool="small"}']
    assert slots.value == 1


def test_the_history_that_is_kept_to_be_judged_is_the_one_that_the_loop_reads(
    pool: PrefectPool, prefect_url: str
) -> None:
    known = from_server(prefect_url)
    ended = [run for run in known.runs if run.state == "completed"]
    assert sorted(run.deployment for run in ended) == [BULK] * 3 + [REPORT] * 5
    assert all(run.due_s <= float(run.start_s or 0) < float(run.end_s or 0) for run in ended)
    assert known.slots == {"small": 1.0}


def test_the_run_that_will_be_late_has_a_goal_before_its_deadline_and_is_in_time_with_another_slot(
    pool: PrefectPool, prefect_url: str, tmp_path: Path
) -> None:
    settings, store, offered = configured(tmp_path, prefect_url), open_store(), list[str]()
    assert turn(settings, store, offered) == []
    bulks = [pool.run(BULK)["id"] for _ in range(4)]
    late = pool.run(REPORT)
    (view,) = turn(settings, store, offered)
    goal, inputs, forecast = view.goal, view.goal.because["inputs"], view.goal.because["forecast"]
    assert (goal.goal_type, goal.objective) == ("DEADLINE", "report-within-40-min")
    assert (inputs["flow_run_id"], inputs["run"], inputs["work_pool"]) == (late["id"], late["name"], "small")
    assert late["name"] in goal.description
    assert goal.deadline > utc_now()
    assert offered == ["add_a_slot"]
    pool.set_limit(3)
    pool.wait_for(late["id"], *bulks)
    ended = datetime.fromisoformat(pool.read(late["id"])["end_time"].replace("Z", "+00:00"))
    assert ended < datetime.fromisoformat(forecast["earliest_end_at"])
    pool.set_limit(1)
    (view,) = turn(settings, store, offered)
    assert view.state == ("achieved" if ended <= goal.deadline else "failed")


def test_a_run_that_was_taken_back_is_no_longer_expected(pool: PrefectPool, prefect_url: str, tmp_path: Path) -> None:
    settings, store = configured(tmp_path, prefect_url), open_store()
    run = pool.run(REPORT, in_s=3_000)
    world = live_world(settings, store, {})
    for is_there in (True, False):
        context = live_context(settings, store, utc_now(), actions={}, world=world)
        bare_turn(context)
        foreseen = breaches_in_force(store, context.cycle_id)
        assert [each.objective for each in foreseen] == (["report-within-40-min"] if is_there else [])
        if is_there:
            pool.delete(run["id"])
