"""Amounts, declared responses and seasons in foreact.toml: used as written, refused with file and key."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from api.processes.preflight import unread_in
from handlers import discover_actions
from handlers.contract.action import ActionContext
from handlers.contract.registration import action
from handlers.worlds.declared import DeclaredWorld
from settings import Amounts, load_settings
from storage import ForeactError
from storage.records import Action, Event, Receipt, Sample
from tasks.configured_actions import configured_actions, declared_actions
from tests.tasks.plan.worlds import goal_of

SCALE = """
[actions.scale]
sets = "servers"
amounts = { least = 1, most = 3 }
unit_cost = 0.02
most_up = 1
latency_seconds = 180
duration_seconds = 3600
metrics = ["load"]
"""

UNUSABLE = {
    "amounts of nothing": ("[actions.a]\namounts = { least = 1, most = 3 }", "actions.a", "sets"),
    "amounts that descend": ('[actions.a]\nsets = "s"\namounts = { least = 3, most = 1 }', "a.amounts", "least"),
    "a step of nothing": ('[actions.a]\nsets = "s"\namounts = { least = 1, most = 3, step = 0 }', "amounts.step", "0"),
    "a negative cost": ("[actions.a]\nunit_cost = -1", "actions.a.unit_cost", "0"),
    "a goal type that there is not": (
        '[actions.a]\ncandidates = [{}]\ngoal_types = ["WORLD_PEACE"]', "actions.a", "goal_types.0",
    ),
    "a latency that is no number": ('[actions.a]\ncandidates = [{}]\nlatency_seconds = "soon"', "actions.a", "latency"),
    "a season of nothing": ("[forecasting.forecaster]\nseasons_seconds = [0]", "seasons_seconds.0", "0"),
    "an hour taken for the day": (
        "[forecasting.forecaster]\nseasons_seconds = [3600, 86400]",
        "seasons_seconds",
        "name the main cycle",
    ),
    "three seasons": (
        "[forecasting.forecaster]\nseasons_seconds = [86400, 604800, 172800]",
        "seasons_seconds",
        "at most one longer one",
    ),
    "no season": ("[forecasting.forecaster]\nseasons_seconds = []", "seasons_seconds", "1"),
    "a driver without a capacity": (
        '[[objectives]]\nname = "a"\nmetric = "m"\nbound = 1\ndriver = "d"', "objectives.0", "capacity",
    ),
    "a response of an unknown form": (
        '[[objectives]]\nname = "a"\nmetric = "m"\nbound = 1\ndriver = "d"\ncapacity = "c"\n'
        'response = { form = "cubic" }', "objectives.0.response.form", "cubic",
    ),
    "a day that there is not": (
        '[executor]\nmaintenance = [{ start = "22:00", end = "23:00", days = ["sunndag"] }]',
        "executor.maintenance.0.days.0", "mon, tue",
    ),
    "a window on no day": (
        '[executor]\nmaintenance = [{ start = "22:00", end = "23:00", days = [] }]', "maintenance.0.days", "1",
    ),
    "a spread of nothing": ('[[objectives]]\nname = "a"\nmetric = "m"\nbound = 1\nspread = 0', "spread", "0"),
}  # fmt: skip


@pytest.mark.parametrize(("text", "key", "word"), UNUSABLE.values(), ids=UNUSABLE.keys())
def test_what_cannot_be_used_is_refused_with_file_and_key(tmp_path: Path, text: str, key: str, word: str) -> None:
    (tmp_path / "foreact.toml").write_text(text)
    with pytest.raises(ForeactError) as caught:
        load_settings(tmp_path)
    assert str(tmp_path / "foreact.toml") in caught.value.message
    assert key in caught.value.message
    assert word in caught.value.message


class Idle:
    """A world in which nothing happens."""

    def observe(self, tick: datetime) -> list[Sample | Event]:
        return []

    def act(self, action: Action, tick: datetime) -> Receipt:
        raise AssertionError("nothing is to be done here")


def test_amounts_become_candidates_of_a_declared_action(tmp_path: Path) -> None:
    (tmp_path / "foreact.toml").write_text(SCALE)
    settings = load_settings(tmp_path)
    actions = configured_actions(settings, declared_actions(settings))
    handler = actions["scale"]
    assert (handler.sets, handler.unit_cost, handler.most_up, handler.duration_s) == ("servers", 0.02, 1.0, 3600.0)
    (declared,) = DeclaredWorld(Idle(), actions).propose(goal_of(series="load"), datetime(2026, 1, 1, tzinfo=UTC))
    offered = handler.variants(declared)
    assert [each.params for each in offered] == [{"amount": 1.0}, {"amount": 2.0}, {"amount": 3.0}]
    assert {each.latency_s for each in offered} == {180.0}


SAID = """
[actions.call_webhook]
url = "http://127.0.0.1/act"
goal_types = ["BOTTLENECK_PREVENTION"]
metrics = "queue_length"
expected_change = { queue_length = -40 }
latency_seconds = 60
cost = 0.02
controls = "requests"
"""


def test_what_any_action_is_for_and_does_can_be_said_in_the_configuration(tmp_path: Path) -> None:
    (tmp_path / "foreact.toml").write_text(SAID)
    settings = load_settings(tmp_path)
    assert unread_in(settings) == []
    handler = configured_actions(settings, discover_actions())["call_webhook"]
    assert handler.goal_types == ("BOTTLENECK_PREVENTION",)
    assert (handler.metrics, handler.latency_s, handler.cost) == (("queue_length",), 60.0, 0.02)
    context = ActionContext(tick=datetime(2026, 1, 1, tzinfo=UTC), options=handler.option_values)
    (proposed,) = handler.propose(goal_of(series="queue_length"), context)
    (offered,) = handler.variants(proposed)
    assert (offered.expected_change, offered.cost) == ({"queue_length": -40}, 0.02)
    assert handler.controls == ("requests",)


def test_an_action_says_what_it_sets_in_its_decorator() -> None:
    @action(name="scale", sets="servers", unit_cost=0.02, most_up=2.0, duration_s=60.0)
    def scale(params: object, context: object) -> dict[str, bool]:
        """Go to a number of servers."""
        return {"success": True}

    assert (scale.handler.sets, scale.handler.most_up, scale.handler.duration_s) == ("servers", 2.0, 60.0)


def test_days_of_a_maintenance_window_may_be_written_in_full(tmp_path: Path) -> None:
    text = '[executor]\nmaintenance = [{ start = "22:00", end = "23:00", days = ["Sunday", "thurs", "mon"] }]'
    (tmp_path / "foreact.toml").write_text(text)
    (window,) = load_settings(tmp_path).executor.maintenance
    assert window.days == ("sun", "thu", "mon")


def test_amounts_ascend_without_rounding_dust() -> None:
    assert Amounts(least=0, most=1, step=0.05).values == tuple(round(0.05 * n, 2) for n in range(21))
