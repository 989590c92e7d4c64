"""What every action and every source keeps to; a new file is found and tested by itself."""

from __future__ import annotations

import json
import pickle
import re
import subprocess
import sys
from dataclasses import FrozenInstanceError, replace
from pathlib import Path

import cloudpickle
import pytest

import handlers
from handlers import ActionHandler, SourceHandler, discover_actions, discover_sources
from handlers.contract.source import source
from handlers.sandbox.parent import call
from storage.records import Autonomy, ReceiptStatus
from tasks.goals import goal_types
from tests.handlers.conftest import context_for, make_goal

ACTIONS, SOURCES = discover_actions(), discover_sources()
FOLDER = Path(handlers.__file__).parent


@pytest.fixture(params=sorted(ACTIONS))
def action(request: pytest.FixtureRequest) -> ActionHandler:
    return ACTIONS[request.param]


@pytest.fixture(params=sorted(SOURCES))
def a_source(request: pytest.FixtureRequest) -> SourceHandler:
    return SOURCES[request.param]


def test_each_file_holds_the_one_action_of_its_name() -> None:
    assert set(ACTIONS) == {path.stem for path in (FOLDER / "actions").glob("[!_]*.py")}


def test_each_file_holds_the_one_source_of_its_name() -> None:
    assert set(SOURCES) == {path.stem for path in (FOLDER / "sources").glob("[!_]*.py")}


def test_it_is_documented_in_whole_sentences(action: ActionHandler) -> None:
    assert action.summary.endswith(".")
    assert sys.modules[action.source.partition(":")[0]].__doc__


def test_its_limits_are_set_and_can_be_read(action: ActionHandler) -> None:
    assert 0 < action.timeout_s <= 600
    assert action.cooldown_s > 0
    assert action.rate_limits
    assert all(re.fullmatch(r"[1-9]\d*/(minute|hour|day)", limit) for limit in action.rate_limits)
    assert action.risk in {"low", "medium", "high"}
    assert Autonomy(action.level).rank <= Autonomy(action.highest_level or Autonomy.AUTO).rank
    assert set(action.goal_types) <= goal_types()


def test_every_option_that_it_reads_is_described(action: ActionHandler) -> None:
    assert options_read_in(action.source.partition(":")[0]) <= set(action.options)


def options_read_in(module: str) -> set[str]:
    text = Path(sys.modules[module].__file__ or "").read_text()
    return set(re.findall(r"options(?:\.get\(|\[|, )\"(\w+)\"", text))


def test_its_example_parameters_are_json(action: ActionHandler) -> None:
    assert json.loads(json.dumps(action.example_params)) == action.example_params


def test_only_what_changes_nothing_or_is_reversible_acts_by_itself_at_first(action: ActionHandler) -> None:
    assert Autonomy(action.level).rank <= Autonomy.APPROVE.rank or action.informs_only


def test_an_undo_comes_with_capture_and_check(action: ActionHandler) -> None:
    has = {name for name in ("undo", "capture", "check") if getattr(action.hooks, name) is not None}
    assert has in ({"undo", "capture", "check"}, {"check"}, set())
    if action.reversible:
        assert "undo" in has


def test_what_only_informs_promises_no_effect(action: ActionHandler) -> None:
    if action.informs_only:
        assert action.expected_effect == {}
        assert not action.reversible


def test_with_no_options_it_refuses_skips_or_only_reports_but_never_raises(action: ActionHandler) -> None:
    for params in (dict(action.example_params), {}):
        result = call(action, "run", params, None, context_for(), 20)
        if not action.informs_only:
            assert result.status in {ReceiptStatus.FAILED, ReceiptStatus.SKIPPED}
        assert result.status is not ReceiptStatus.TIMED_OUT
        assert result.detail.endswith((".", ":")) or result.detail
        json.dumps(result.evidence)


def test_a_dry_run_succeeds_at_nothing(action: ActionHandler) -> None:
    result = call(action, "run", action.example_params, None, context_for(dry_run=True), 20)
    assert result.status in {ReceiptStatus.DRY_RUN, ReceiptStatus.FAILED, ReceiptStatus.SKIPPED}


def test_it_proposes_nothing_that_the_options_do_not_allow(action: ActionHandler) -> None:
    proposed = action.propose(make_goal(), context_for())
    assert proposed == [] or action.informs_only
    assert all(candidate.action == action.name for candidate in proposed)


def test_what_it_needs_is_an_option_without_which_it_proposes_nothing(action: ActionHandler) -> None:
    assert set(action.needs) <= action.options.keys()
    assert action.is_ready == (not action.needs)
    assert all(replace(action, option_values={name: "set"}).is_ready for name in action.needs)
    if action.needs:
        assert action.propose(make_goal(), context_for()) == []


def test_what_it_captures_for_a_target_that_is_not_there_is_json(action: ActionHandler) -> None:
    result = call(action, "capture", action.example_params, None, context_for(), 20)
    assert result.status is ReceiptStatus.SUCCEEDED
    assert json.loads(json.dumps(result.value)) == result.value


def test_it_goes_to_another_process_and_stays_as_it_is(action: ActionHandler) -> None:
    context = context_for()
    assert pickle.loads(cloudpickle.dumps(action)).name == action.name
    assert pickle.loads(pickle.dumps(context)) == context
    with pytest.raises(FrozenInstanceError):
        action.name = "other"  # type: ignore[misc]


def test_a_source_is_documented_and_has_an_interval(a_source: SourceHandler) -> None:
    assert a_source.summary.endswith(".")
    assert a_source.interval_s > 0


def test_every_option_that_a_source_reads_is_described(a_source: SourceHandler) -> None:
    assert options_read_in(a_source.pull.__module__) <= set(a_source.options)


def test_a_source_can_be_made_of_any_function() -> None:
    @source(name="nothing", interval_s=5)
    def nothing(options, since, until):  # type: ignore[no-untyped-def]
        """Give nothing."""
        return []

    assert (nothing.name, nothing.summary, nothing.interval_s) == ("nothing", "Give nothing.", 5)


def test_importing_the_handlers_stays_light() -> None:
    ask = "import sys, handlers, handlers.sandbox.child; print(' '.join(sys.modules))"
    modules = subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True, check=True).stdout.split()
    assert not {"apprise", "httpx", "psutil", "prefect", "numpy", "pydantic", "storage.records"} & set(modules)


def test_no_handler_module_imports_a_database_and_only_the_levers_of_prefect_import_it() -> None:
    texts = {path: path.read_text() for path in FOLDER.rglob("*.py")}
    assert [path.name for path, text in texts.items() if re.search(r"^\s*(import|from) duckdb", text, re.M)] == []
    on_prefect = {path.name for path, text in texts.items() if re.search(r"^\s*(import|from) prefect", text, re.M)}
    assert on_prefect <= {"run_deployment.py", "prefect_levers.py"}
