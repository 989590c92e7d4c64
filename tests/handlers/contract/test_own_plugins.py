"""Actions and sources that users wrote: in a folder beside foreact.toml, in an installed package, under other names."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import plugins
from handlers import discover_actions, discover_sources
from handlers.sandbox.parent import call
from handlers.unknown_keys import unread
from settings import load_settings
from storage.records import ReceiptStatus
from tasks.configured_actions import configured_actions
from tests.handlers.conftest import TICK, context_for, make_goal

DIM = '''"""Lamps."""

from pydantic import BaseModel, Field

from handlers import ActionContext, ActionResult, action

from .lamps import LAMPS


class Dimming(BaseModel):
    """How bright."""

    percent: int = Field(50, ge=0, le=100, description="how bright it is to be")


@action(name="dim_lamps", parameters=Dimming, needs=("room",), options={"room": "where"}, cost=0.01)
def dim_lamps(params, context):
    """Dim the lamps of a room."""
    return ActionResult(True, f"{len(LAMPS)} lamps in the {context.options.get('room')} at {params['percent']} %")


@dim_lamps.propose
def _propose(goal, context):
    return [{"action": "dim_lamps", "params": {"percent": 20}, "target": context.options["room"]}]
'''
TIDE = '''"""The tide."""

from handlers import source
from storage.records import Sample


@source(name="tide", options={"height": "in metres"})
def tide(options, since, until):
    """Tell how high the water stands."""
    yield Sample(metric="tide_m", ts=until, value=float(options["height"]))
'''


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "actions").mkdir()
    (tmp_path / "actions" / "dim.py").write_text(DIM)
    (tmp_path / "actions" / "lamps.py").write_text("LAMPS = ['desk', 'door']\n")
    (tmp_path / "sources").mkdir()
    (tmp_path / "sources" / "tide.py").write_text(TIDE)
    return tmp_path


def test_an_action_in_the_folder_is_found_and_runs_in_a_process_of_its_own(folder: Path) -> None:
    own = discover_actions(folder)["dim_lamps"]
    assert "dim_lamps" not in discover_actions()
    result = call(own, "run", {"percent": "30"}, None, context_for(options={"room": "hall"}), 60)
    assert result.succeeded, result.detail
    assert result.detail == "2 lamps in the hall at 30 %"
    assert "output" not in result.evidence
    assert own.parameter_schema["properties"]["percent"]["maximum"] == 100


def test_its_parameters_are_checked_and_filled_in_by_its_model(folder: Path) -> None:
    own, context = discover_actions(folder)["dim_lamps"], context_for(options={"room": "hall"})
    assert own.run({}, context).detail.endswith("at 50 %")
    refused = own.run({"percent": 300}, context)
    assert refused.detail == "Refused: percent: input should be less than or equal to 100."
    assert not own.run({"percent": 300}, context_for(options={"room": "hall"}, dry_run=True)).success


def test_a_file_that_changed_is_read_anew(folder: Path) -> None:
    file = folder / "actions" / "dim.py"
    assert discover_actions(folder)["dim_lamps"].summary == "Dim the lamps of a room."
    file.write_text(DIM.replace("Dim the lamps of a room.", "Dim every lamp of a room."))
    assert discover_actions(folder)["dim_lamps"].summary == "Dim every lamp of a room."


def test_a_source_in_the_folder_is_found_and_read(folder: Path) -> None:
    own = discover_sources(folder)["tide"]
    (sample,) = own.pull({"height": 2}, None, TICK)
    assert sample.model_dump(include={"metric", "value"}) == {"metric": "tide_m", "value": 2.0}
    assert "tide" not in discover_sources()


@pytest.mark.parametrize(
    "text",
    [
        "import handlers\n",
        "from handlers import on_push\n@on_push\ndef act(): ...\n",
        "from handlers.http import action\n@action\ndef act(): ...\n",
        "from handlers import action\naction('deploy')\n",
        "from .handlers import action\n@action\ndef act(): ...\n",
        "def action(f): return f\n@action\ndef act(): ...\nfrom handlers import run\n",
    ],
)
def test_a_file_of_another_project_is_not_run(folder: Path, text: str) -> None:
    mark = folder / "ran"
    (folder / "actions" / "theirs.py").write_text(f"import pathlib\npathlib.Path({str(mark)!r}).touch()\n{text}")
    troubles: list[str] = []
    assert "dim_lamps" in discover_actions(folder, troubles)
    assert not troubles
    assert not mark.exists()


@pytest.mark.parametrize(
    ("imported", "decorator"),
    [
        ("import handlers", "handlers.action"),
        ("from handlers import action as lever", "lever"),
        ("from handlers.contract.registration import action", "action"),
        ("import handlers.contract.registration as ours", "ours.action"),
    ],
)
def test_an_action_is_found_however_its_decorator_was_imported(folder: Path, imported: str, decorator: str) -> None:
    text = DIM.replace("from handlers import ActionContext, ActionResult, action", imported).replace("dim_", "light_")
    (folder / "actions" / "light.py").write_text(text.replace("@action(", f"@{decorator}("))
    assert "light_lamps" in discover_actions(folder)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("from handlers import action\nthis is no Python\n", "SyntaxError"),
        ("import no_such_module\n" + DIM, "ModuleNotFoundError"),
        ("raise SystemExit(3)\n" + DIM.partition("\n")[2], "SystemExit"),
        (DIM.replace('"dim_lamps"', '"notify"'), "there is another action called 'notify'"),
    ],
)
def test_a_file_that_cannot_be_used_is_named_and_the_others_go_on(folder: Path, text: str, why: str) -> None:
    bad = folder / "actions" / "bad.py"
    bad.write_text(text)
    troubles: list[str] = []
    found = discover_actions(folder, troubles)
    assert "dim_lamps" in found
    assert len(troubles) == 1
    assert str(bad) in troubles[0]
    assert why in troubles[0]


def test_a_file_that_has_nothing_to_do_with_us_is_not_even_run(folder: Path) -> None:
    (folder / "actions" / "deploy.py").write_text("raise SystemExit('not ours')\n")
    troubles: list[str] = []
    discover_actions(folder, troubles)
    assert troubles == []


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Install a package that names an action under the entry point group."""
    site = tmp_path / "site"
    (site / "lamps_1-1.0.dist-info").mkdir(parents=True)
    (site / "lamps_1-1.0.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: lamps-1\nVersion: 1.0\n")
    points = "[foreact.actions]\ndim = lamps_plugin\nbroken = lamps_plugin:nothing_there\n"
    (site / "lamps_1-1.0.dist-info" / "entry_points.txt").write_text(points)
    (site / "lamps_plugin.py").write_text(DIM.replace("from .lamps import LAMPS", "LAMPS = [1]"))
    monkeypatch.syspath_prepend(str(site))
    plugins._entry_points.cache_clear()
    yield site
    sys.modules.pop("lamps_plugin", None)
    plugins._entry_points.cache_clear()


def test_an_action_of_an_installed_package_is_found_and_one_that_is_not_there_is_named(package: Path) -> None:
    troubles: list[str] = []
    own = discover_actions(None, troubles)["dim_lamps"]
    assert own.source == "lamps_plugin:dim_lamps"
    assert call(own, "run", {}, None, context_for(), 60).detail == "1 lamps in the None at 50 %"
    assert len(troubles) == 1
    assert "lamps_plugin:nothing_there" in troubles[0]


def test_one_action_set_up_under_two_names_is_two_actions_each_with_its_own_options(folder: Path) -> None:
    (folder / "foreact.toml").write_text(
        '[actions.dim_hall]\nuses = "dim_lamps"\nroom = "hall"\nlevel = "auto"\n'
        '[actions.dim_attic]\nuses = "dim_lamps"\nroom = "attic"\ncost = 0.5\n'
        '[actions.dim_moon]\nuses = "dim_lapms"\nrom = "moon"\n'
    )
    settings = load_settings(folder)
    registered = discover_actions(folder)
    actions = configured_actions(settings, registered)
    hall, attic = actions["dim_hall"], actions["dim_attic"]
    assert (hall.level, attic.level, hall.cost, attic.cost) == ("auto", "approve", 0.01, 0.5)
    assert not actions["dim_lamps"].is_ready
    assert {name for name, each in actions.items() if each.is_carried_out_here} == {
        *registered,
        "dim_hall",
        "dim_attic",
    }
    for handler, room in ((hall, "hall"), (attic, "attic")):
        context = context_for(options=dict(handler.option_values))
        (offer,) = handler.propose(make_goal(), context)
        assert (offer.action, offer.target) == (handler.name, room)
        result = call(handler, "run", offer.params, None, context, 60)
        assert result.detail == f"2 lamps in the {room} at 20 %"
        assert result.status is ReceiptStatus.SUCCEEDED
    told = list(unread(settings.options_to_read, {}, registered, {}))
    assert told == ["[actions.dim_moon] uses dim_lapms, which is no registered action; did you mean dim_lamps?"]
    assert configured_actions(settings, actions)["dim_hall"] == hall


def test_what_is_found_costs_a_turn_next_to_nothing(folder: Path) -> None:
    import time

    discover_actions(folder)
    started_s = time.process_time()
    for _ in range(20):
        discover_actions(folder)
    assert (time.process_time() - started_s) / 20 < 0.02, os.getloadavg()
