"""What an action is, as configured, is decided once: the configuration's word, else its own, else the default."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handlers import ActionHandler, elsewhere, from_callable
from handlers.contract.action import ActionTraits
from settings import ActionSettings, Settings, load_settings
from storage import ForeactError
from storage.records import Autonomy, Candidate, GoalType
from tasks.configured_actions import EFFECTS, configured_actions, declared_actions
from tests import IS_THOROUGH, PROJECT, copy_project

ROOMS = ("cli", "flows", "api", "tasks", "handlers", "storage", "benchmarks", "examples")
RESOLVER = PROJECT / "tasks" / "configured_actions.py"
TRAITS = {each.name: each.type for each in fields(ActionTraits)}
NUMBERS = st.floats(0.1, 1e6)
NAMES = st.lists(st.sampled_from(["load", "busy_*", "free"]), min_size=1, unique=True).map(tuple)
LEVELS = st.sampled_from([str(level) for level in Autonomy])
VALUES: dict[Any, st.SearchStrategy[Any]] = {
    "bool": st.booleans(),
    "float": NUMBERS,
    "float | None": NUMBERS,
    "str | None": st.sampled_from(["servers", "workers"]),
    "LevelName": LEVELS,
    "LevelName | None": LEVELS,
    "Names": NAMES,
    "tuple[GoalTypeName, ...]": st.lists(st.sampled_from(list(GoalType)), min_size=1, unique=True).map(tuple),
    "tuple[RateLimit, ...]": st.lists(st.sampled_from(["1/hour", "7/day"]), min_size=1, unique=True).map(tuple),
    "Mapping[str, float]": st.dictionaries(st.sampled_from(["load", "free"]), NUMBERS, min_size=1),
    "Amounts": st.integers(2, 9).map(lambda most: tuple(float(each) for each in range(1, most + 1))),
}


def values(draw: Any) -> dict[str, Any]:
    """Return values for some of the traits."""
    wanted = draw(st.sets(st.sampled_from(sorted(TRAITS))))
    return {name: draw(VALUES[TRAITS[name]]) for name in sorted(wanted)}


def key_of(trait: str) -> str:
    return trait.removesuffix("_s") + "_seconds" if trait.endswith("_s") else trait


def written(traits: dict[str, Any]) -> dict[str, Any]:
    """Return traits as somebody writes them under `[actions.NAME]`."""
    keys = {key_of(name): value for name, value in traits.items()}
    if "amounts" in keys:
        keys |= {"amounts": {"least": 1, "most": traits["amounts"][-1]}}
    return keys


def configuration(**actions: dict[str, Any]) -> Settings:
    return load_settings(PROJECT / "tests", actions=actions)


def handler(**facts: Any) -> ActionHandler:
    """Return a registered action; its level is given as its decorator takes it."""
    if "level" in facts:
        facts["default_level"] = facts.pop("level")
    return from_callable("scale", lambda params, goal_id: {"success": True}, **facts)


@given(st.data())
def test_of_every_trait_the_configured_value_goes_before_the_actions_own_and_that_before_the_default(data: Any) -> None:
    said, own = data.draw(st.composite(values)()), data.draw(st.composite(values)())
    if "amounts" in said:
        said.setdefault("sets", "servers")
    registered = handler(**own)
    if said.keys() & set(EFFECTS):
        said = {name: {} for name in EFFECTS} | said
    settings = configuration(scale=written({name: value for name, value in said.items() if value != {}}))
    for known, default in (({"scale": registered}, handler()), ({}, elsewhere("scale"))):
        resolved = configured_actions(settings, known)["scale"]
        expected = said | {name: own[name] for name in own.keys() - said.keys() if known}
        for name in TRAITS:
            assert getattr(resolved, name) == expected.get(name, getattr(default, name)), name
        assert resolved.configured_level == said.get("level")
        assert configured_actions(settings, {"scale": resolved})["scale"] == resolved


def test_every_trait_is_a_key_of_the_configuration_and_nothing_else_is() -> None:
    assert set(ActionSettings.model_fields) == {key_of(name) for name in TRAITS}


@pytest.mark.parametrize("trait", TRAITS)
def test_a_trait_of_another_type_is_refused_by_its_key(trait: str) -> None:
    with pytest.raises(ForeactError, match=rf"actions\.scale\.{key_of(trait)}"):
        configuration(scale={key_of(trait): object()})


def test_there_is_an_entry_for_what_is_configured_and_an_answer_for_what_nobody_knows() -> None:
    settings = configuration(away={"enabled": False, "cooldown_seconds": 60, "site": "north"})
    actions = configured_actions(settings, {"scale": handler()})
    assert list(actions) == ["scale", "away"]
    assert (actions["away"].enabled, actions["away"].cooldown_s, actions["away"].level) == (False, 60, "approve")
    assert actions["away"].option_values == {"site": "north"}
    unknown = actions["nobody knows it"]
    assert (unknown.enabled, unknown.cooldown_s, unknown.rate_limits, unknown.latency_s) == (True, 0, (), 0)
    assert not unknown.reversible
    assert list(actions) == ["scale", "away"]


def test_a_declared_action_is_what_its_declaration_says() -> None:
    declared = {"candidates": [{"n": 1}], "risk": "high", "reversible": False, "level": "recommend"}
    settings = configuration(drain=declared, scale={"sets": "servers", "amounts": {"least": 1, "most": 2}}, other={})
    actions = declared_actions(settings)
    assert set(actions) == {"drain", "scale"}
    drain, scale = actions["drain"], actions["scale"]
    assert (drain.risk, drain.reversible, drain.candidates, drain.target) == ("high", False, ({"n": 1},), "drain")
    assert (scale.risk, scale.reversible, scale.candidates, scale.level) == ("low", True, ({},), "auto")
    assert configured_actions(settings, actions)["drain"].level == "recommend"


def test_what_is_configured_goes_before_what_a_candidate_says_and_that_before_what_its_action_says() -> None:
    known = {"scale": handler(latency_s=5.0, cost=0.5, expected_effect={"load": -1.0})}
    action = configured_actions(configuration(scale={"latency_seconds": 60}), known)["scale"]
    (offered,) = action.variants(Candidate(action="scale", latency_s=10, cost=0.1))
    assert (offered.latency_s, offered.cost, offered.expected_effect) == (60, 0.1, {"load": -1.0})


def reads(path: Path) -> Iterator[str]:
    """Yield each place that reads the actions of a configuration, whatever the configuration is called there."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Attribute) and node.attr in {"action", "actions"}:
            holder = ast.unparse(node.value).rpartition(".")[2]
            if "settings" in holder or holder == "in_force":
                yield f"{path.relative_to(PROJECT)}:{node.lineno}"


def test_only_the_settings_and_one_other_module_read_what_is_configured_of_actions() -> None:
    files = [path for room in ROOMS for path in (PROJECT / room).rglob("*.py")]
    assert list(reads(RESOLVER)), "it finds such places where there are some"
    assert [place for path in files if path != RESOLVER for place in reads(path)] == []


TRAIT = 'grace_s: float = field(default=7.0, metadata={"gt": 0})'
MEANING = "how long it is left alone"
ASK = """
import json, sys
from datetime import UTC, datetime
from pathlib import Path
import settings
from flows.wiring import live_context
from handlers import from_callable
from storage import ForeactError, open_store
from tasks.execute.situation import Silence, circumstances

folder = Path(sys.argv[1])
assert Path(settings.__file__).parent == Path.cwd(), "this is about the copy"
mine = from_callable("mine", lambda params, goal_id: {}, grace_s=9.0)
known = {"said": mine, "mine": mine, "plain": from_callable("plain", lambda params, goal_id: {})}
found = {}
with open_store() as store:
    context = live_context(settings.load_settings(folder), store, datetime(2026, 3, 2, tzinfo=UTC), actions=known)
    asked = circumstances(context, Silence())
    found["seen"] = {name: asked.actions[name].grace_s for name in ("said", "mine", "plain", "away")}
(folder / "foreact.toml").write_text("[actions.said]\\ngrace_seconds = -1")
try:
    settings.load_settings(folder)
except ForeactError as refused:
    found["refused"] = str(refused)
print(json.dumps(found))
"""


@pytest.mark.skipif(not IS_THOROUGH, reason="tests/test_adding.py adds one too: `make thorough`")
@pytest.mark.slow
def test_a_new_trait_is_one_line_and_its_sentence(tmp_path: Path) -> None:
    copy, folder = copy_project(tmp_path / "copy"), tmp_path / "folder"
    contract, after = copy / "handlers" / "contract" / "action.py", '    """whether it may be used at all"""\n'
    edited(contract, after, f'{after}    {TRAIT}\n    """{MEANING}"""\n')
    folder.mkdir()
    (folder / "foreact.toml").write_text("[actions.said]\ngrace_seconds = 3\n[actions.away]\nenabled = false\n")

    told = json.loads(run(copy, "-c", ASK, str(folder)).stdout.splitlines()[-1])
    assert told["seen"] == {"said": 3.0, "mine": 9.0, "plain": 7.0, "away": 7.0}
    assert f"{folder / 'foreact.toml'}: actions.said.grace_seconds: Input should be greater than 0" in told["refused"]

    held = (
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "tests/test_documentation.py",
        "-k",
        "an_action or reference",
    )
    undocumented = run(copy, *held, fails=True)
    assert undocumented.stdout.count("FAILED ") == 2
    assert "test_every_key_of_an_action_is_documented[grace_seconds]" in undocumented.stdout
    assert "test_the_reference_is_documented_as_the_code_has_it[configuration.md]" in undocumented.stdout
    run(copy, "docs/reference.py")
    run(copy, *held)


def edited(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert text.count(old) == 1
    file.write_text(text.replace(old, new))


def run(folder: Path, *arguments: str, fails: bool = False) -> subprocess.CompletedProcess[str]:
    done = subprocess.run([sys.executable, *arguments], cwd=folder, capture_output=True, text=True, check=False)
    assert (done.returncode != 0) == fails, done.stdout + done.stderr
    return done
