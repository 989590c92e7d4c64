"""The commands by which a person decides: what they do, and what they say when something is wrong."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from importlib import metadata
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from api.processes.layout import new_layout
from cli.app import app
from cli.checks import examine
from settings import VERSION, Settings, load_settings, utc_now
from storage import ForeactError, Store, open_store
from storage.facts import WAITS, Wait
from storage.records import Autonomy
from tasks.authority import is_autonomous
from tests.api import worlds

Run = Callable[..., Result]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    # A port on which nobody listens: the commands then work on the store itself.
    (tmp_path / "foreact.toml").write_text("[server]\nport = 1\n")
    return load_settings(tmp_path)


@pytest.fixture
def run(settings: Settings) -> Run:
    with open_store(settings.database_path) as store:
        now = utc_now()
        worlds.a_history(store, now)
        store.actions.append([worlds.an_action("action-late", now - timedelta(days=1))], "cycle-1")

    def invoke(*words: str) -> Result:
        return CliRunner().invoke(app, ["-C", str(settings.folder), *words])

    return invoke


def seen(settings: Settings, look: Callable[[Store], object]) -> object:
    with open_store(settings.database_path) as store:
        return look(store)


def test_mode_off_keeps_the_loop_from_acting_and_is_one_line_of_the_audit_trail(settings: Settings, run: Run) -> None:
    assert "Recommends only" in run("mode", "off").output
    assert seen(settings, lambda store: is_autonomous(settings, store)) is False
    assert "Recommends only" in run("mode").output
    assert seen(settings, lambda store: [line.verb for line in store.audit.latest()]) == ["set mode"]
    run("mode", "on", "--note", "all is well")
    assert seen(settings, lambda store: is_autonomous(settings, store)) is True
    assert seen(settings, lambda store: store.audit.latest(1)[0].detail["note"]) == "all is well"


def test_everything_is_stopped_and_released_for_a_reason_alone(settings: Settings, run: Run) -> None:
    assert isinstance(run("mode", "stop").exception, ForeactError)
    assert "does nothing until it is removed" in run("mode", "stop", "--note", "smoke").output
    assert seen(settings, lambda store: is_autonomous(settings, store)) is False
    run("mode", "release", "--note", "put out")
    assert seen(settings, lambda store: is_autonomous(settings, store)) is True
    lines = seen(settings, lambda store: [(line.verb, line.detail["note"]) for line in store.audit.latest()])
    assert lines == [("kill switch off", "put out"), ("kill switch on", "smoke")]


def test_everything_is_stopped_and_released_by_the_file_where_even_the_store_is_broken(settings: Settings) -> None:
    settings.database_path.parent.mkdir(parents=True, exist_ok=True)
    settings.database_path.write_bytes(b"no database" * 1_000)
    for switch, is_stopped in (("stop", True), ("release", False)):
        answer = CliRunner().invoke(app, ["-C", str(settings.folder), "mode", switch, "--note", "smoke"])
        assert "by the file alone" in " ".join(answer.output.split())
        assert settings.kill_switch_path.exists() is is_stopped


def test_the_doctor_names_actions_that_may_touch_no_process_yet(tmp_path: Path) -> None:
    (tmp_path / "foreact.toml").write_text('[actions.renice_process]\nallow_names = ["load"]\n')
    said = {check.what: check.text for check in examine(new_layout(load_settings(tmp_path), tmp_path))}
    assert said["action renice_process"] == "level approve; reversible"
    assert said["action pause_process"] == "level approve; reversible; proposes nothing without allow_names"


@pytest.mark.parametrize("command", ["up", "status", "demo"])
def test_a_folder_that_there_is_not_is_refused_and_not_made(tmp_path: Path, command: str) -> None:
    answer = CliRunner().invoke(app, ["-C", str(tmp_path / "typo"), command])
    assert isinstance(answer.exception, ForeactError)
    assert answer.exception.code == "folder_not_found"
    assert "typo" in str(answer.exception)
    assert not (tmp_path / "typo").exists()


def test_the_version_is_told_from_any_folder(tmp_path: Path) -> None:
    answer = CliRunner().invoke(app, ["-C", str(tmp_path / "typo"), "--version"])
    assert (answer.exit_code, answer.output) == (0, f"foreact {VERSION}\n")
    assert metadata.version("foreact") == VERSION


def test_a_mode_that_there_is_not_is_refused(run: Run) -> None:
    answer = run("mode", "sideways")
    assert isinstance(answer.exception, ForeactError)
    assert "on, off, stop" in answer.exception.remedy


def test_approve_and_cancel_are_durable_and_the_second_answer_is_told_so(settings: Settings, run: Run) -> None:
    assert "action-1: approved" in run("approve", "action-1", "--note", "looks right").output
    answer = run("cancel", "action-1")
    assert isinstance(answer.exception, ForeactError)
    assert "was approved by cli:" in answer.exception.message
    approval = seen(settings, lambda store: store.actions.get("action-1").approval)  # type: ignore[union-attr]
    assert approval.note == "looks right"  # type: ignore[attr-defined]


def test_an_approval_that_comes_too_late_is_told_so(run: Run) -> None:
    answer = run("approve", "action-late")
    assert isinstance(answer.exception, ForeactError)
    assert answer.exception.message == "action-late does not wait for approval: it is expired."


def test_a_dry_run_on_request_leaves_the_action_waiting(settings: Settings, run: Run) -> None:
    assert "dry run requested" in run("approve", "action-1", "--dry-run").output
    waiting = seen(settings, lambda store: [v.action.dry_run for v in store.actions.pending() if v.approval])
    assert waiting == [True]
    assert isinstance(run("approve", "goal-1", "--dry-run").exception, ForeactError)


def test_actions_say_what_they_wait_for(settings: Settings, run: Run) -> None:
    with open_store(settings.database_path) as store:
        store.facts.set(WAITS, {"action-1": Wait("It waits.")})
    assert "waiting for approval. It waits." in " ".join(run("actions").output.split())


def test_undo_is_planned_and_approved_at_once(settings: Settings, run: Run) -> None:
    assert "undo requested" in run("undo", "action-2").output
    undo = seen(settings, lambda store: store.actions.undo_for("action-2"))
    assert undo.approval.approved  # type: ignore[attr-defined]
    assert undo.action.level is Autonomy.AUTO  # type: ignore[attr-defined]


def test_cancelling_a_goal_rejects_what_waits_for_it(settings: Settings, run: Run) -> None:
    assert "goal-1: cancelled" in run("cancel", "goal-1").output
    approval = seen(settings, lambda store: store.actions.get("action-1").approval)  # type: ignore[union-attr]
    assert approval.approved is False  # type: ignore[attr-defined]


def test_audit_verify_says_whether_a_line_was_changed_and_so_does_the_exit_code(settings: Settings, run: Run) -> None:
    run("mode", "off")
    run("mode", "on")
    whole = run("audit", "--verify")
    assert (whole.exit_code, "The audit trail is intact." in whole.output) == (0, True)
    with open_store(settings.database_path) as store:
        store.engine.rows("UPDATE audit SET actor = 'nobody' WHERE seq = 1")
    broken = run("audit", "--verify")
    assert (broken.exit_code, "The audit trail was changed at line 1." in broken.output) == (1, True)
    assert run("audit").exit_code == 0


READING = (
    (("status",), "agent"),
    (("goals",), "goal-1"),
    (("goals", "--all"), "goal-1"),
    (("actions",), "action-1"),
    (("audit",), "No decisions yet."),
    (("mode",), "Acts automatically"),
    (("doctor",), "database"),
)


@pytest.mark.parametrize(("words", "shown"), READING, ids=[" ".join(words) for words, _ in READING])
def test_what_is_asked_is_answered_in_words(run: Run, words: tuple[str, ...], shown: str) -> None:
    answer = run(*words)
    assert not answer.exception or isinstance(answer.exception, SystemExit), answer.exception
    assert shown in answer.output


def test_a_goal_says_why_it_was_set_what_was_decided_and_what_acts_came_to(run: Run) -> None:
    said = " ".join(run("goals", "goal-1").output.split())
    assert "Reason: cpu_used_ratio is 0.7 and climbs." in said
    assert "Decision at" in said
    assert "succeeded. niced 4711" in said


def test_doctor_finds_a_typing_error_in_the_configuration_of_an_action(settings: Settings, run: Run) -> None:
    file = settings.folder / "foreact.toml"  # type: ignore[operator]
    file.write_text(file.read_text() + '[actions.renice_process]\nallow_name = ["x"]\n')
    answer = run("doctor")
    assert "did you mean allow_names?" in answer.output
    assert answer.exit_code == 1


def test_approve_takes_changed_parameters_as_people_type_them(settings: Settings, run: Run) -> None:
    answer = run("approve", "action-1", "--set", "nice=5", "--set", "why=load test")
    assert "approved. Not among the planned parameters: why." in answer.output
    kept = seen(settings, lambda store: store.actions.get("action-1").approval.params)  # type: ignore[union-attr]
    assert kept == {"nice": 5, "why": "load test"}


def test_a_change_that_sets_nothing_is_refused(run: Run) -> None:
    answer = run("approve", "action-1", "--set", "nice")
    assert isinstance(answer.exception, ForeactError)
    assert "'nice' sets nothing" in str(answer.exception)


def test_the_audit_trail_is_told_in_words(run: Run) -> None:
    run("cancel", "action-1", "--note", "not now")
    assert "rejected action-1. not now" in " ".join(run("audit").output.split())
