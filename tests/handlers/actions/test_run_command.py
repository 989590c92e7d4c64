"""Programs run as lists of words, with typed parameters and limits, by the real system."""

from __future__ import annotations

import hashlib
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from handlers import ActionHandler, discover_actions
from handlers.sandbox.parent import CallResult, call
from handlers.support.programs import filled
from storage.records import ReceiptStatus
from tests.handlers.conftest import context_for, make_goal, wait_until

RUN = discover_actions()["run_command"]
ECHO = "/bin/echo"
SCRIPTS = tempfile.TemporaryDirectory()


def run(params: dict[str, Any] | None = None, phase: Any = "run", before: Any = None, **options: Any) -> CallResult:
    return call(RUN, phase, params or {}, before, context_for(options=options), 30)


def python(text: str, *words: str) -> list[str]:
    """Return how a file of code is run: a parameter may follow a file, never code among the words."""
    file = Path(SCRIPTS.name) / f"{hashlib.sha256(text.encode()).hexdigest()[:12]}.py"
    file.write_text(text)
    return [sys.executable, str(file), *words]


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=60).filter(lambda text: text[:1] != "-"))
def test_whatever_a_parameter_holds_it_stays_within_its_one_word(text: str) -> None:
    template = ["/usr/bin/tool", "--name={name}", "{name}", "{{x}"]
    with pytest.raises(ValueError, match=r"\{x\}"):
        filled(template, {"name": text})
    assert filled(template[:3], {"name": text}) == ["/usr/bin/tool", f"--name={text}", text]


@pytest.mark.parametrize(
    "text", ["$(id)", "a; touch /tmp/x", "`id`", "a b", "{other}", "é 'x' \"y\"", "| cat /etc/passwd"]
)
def test_no_shell_reads_what_a_parameter_holds(text: str) -> None:
    parameters = {"name": {}, "other": {"default": "secret"}}
    result = run({"name": text}, argv=python("import sys; print(sys.argv[1:])", "{name}"), parameters=parameters)
    assert result.succeeded, result.detail
    assert result.evidence["output"] == str([text])


@pytest.mark.parametrize(
    ("said", "value", "why"),
    [
        ({"type": "integer", "least": 1, "most": 5}, 6, "less than or equal to 5"),
        ({"type": "integer"}, "many", "valid integer"),
        ({"type": "number"}, float("nan"), "finite"),
        ({"type": "boolean"}, "perhaps", "boolean"),
        ({"choices": ["eu", "us"]}, "mars", "'eu' or 'us'"),
        ({"pattern": "^[a-z]+$"}, "A1", "match pattern"),
        ({}, "--force", "begin with a dash"),
        ({}, "a\nb", "control characters"),
        ({}, "x" * 201, "at most 200 characters"),
        ({"type": "list"}, "x", "type is one of"),
        ({"typ": "string"}, "x", "beside it may stand"),
    ],
)
def test_a_value_that_its_parameter_does_not_allow_is_refused_and_nothing_runs(
    said: dict[str, Any], value: Any, why: str, tmp_path: Path
) -> None:
    mark = tmp_path / "ran"
    argv = python("import pathlib, sys; pathlib.Path(sys.argv[1]).touch()", str(mark), "{word}")
    result = run({"word": value}, argv=argv, parameters={"word": said})
    assert result.status is ReceiptStatus.FAILED
    assert result.detail.startswith("Refused: ")
    assert why in result.detail
    assert not mark.exists()


def test_what_is_refused_is_not_repeated_since_it_may_be_secret() -> None:
    result = run({"word": "-hunter2"}, argv=[ECHO, "{word}"], parameters={"word": {}})
    assert "word" in result.detail
    assert "hunter2" not in json.dumps([result.detail, result.evidence])


def test_a_parameter_that_is_not_described_is_refused() -> None:
    assert "other" in run({"other": 1}, argv=[ECHO, "hi"]).detail


@pytest.mark.parametrize(
    "argv",
    [
        ["{program}", "x"],
        ["/bin/sh", "-c", "echo {program}"],
        ["/usr/bin/env", "bash", "-ec", "echo {program}"],
        ["/usr/bin/timeout", "5", "bash", "{program}"],
        [sys.executable, "-c", "print('{program}')"],
        [sys.executable, "-c{program}"],
        ["/usr/bin/perl", "-e", "1", "-e", "{program}"],
        ["/usr/bin/awk", "{program}"],
        ["/bin/bash", "-o", "pipefail", "-c", "echo {program}"],
        ["/bin/bash", "-euo", "pipefail", "-c", "echo {program}"],
        ["/bin/bash", "-c", "--", "echo {program}"],
        ["/bin/bash", "-O", "extglob", "-c", "echo {program}"],
        ["/bin/bash", "--rcfile", "/dev/null", "-c", "echo {program}"],
        ["/bin/bash", "--init-file", "{program}"],
        ["/bin/sh", "-s", "{program}"],
        ["/bin/sh", "-c", 'eval "$1"', "_", "{program}"],
        [sys.executable, "-W", "ignore", "-c", "print('{program}')"],
        [sys.executable, "-X", "dev", "-m", "{program}"],
        ["/usr/bin/node", "--require", "x", "-p", "{program}"],
        ["/usr/bin/env", "{program}"],
        ["/usr/bin/env", "-S", "{program}"],
        ["/usr/bin/env", "A=1", "{program}"],
        ["/usr/bin/timeout", "5", "{program}"],
        ["/usr/bin/sudo", "-u", "www", "{program}"],
        ["/usr/bin/xargs", "-a", "/tmp/x", "{program}"],
        ["/usr/bin/nice", "-n", "5", "{program}"],
        ["/usr/bin/sed", "-n", "{program}", "/etc/hostname"],
        ["/usr/bin/ssh", "host", "{program}"],
        ["/usr/bin/ssh", "host", "bash", "-c", "{program}"],
        ["/no/such/program", "x"],
        "/bin/echo {program}",
    ],
)
def test_a_template_that_would_let_a_parameter_be_code_is_refused(argv: Any) -> None:
    result = run({"program": "id"}, argv=argv, parameters={"program": {}})
    assert result.status is ReceiptStatus.FAILED
    assert result.detail.startswith("Refused: ")


@pytest.mark.parametrize("before", [[], ["/usr/bin/env"], ["/usr/bin/timeout", "5"]])
def test_a_script_in_a_file_may_take_a_parameter_as_its_argument(before: list[str], tmp_path: Path) -> None:
    (tmp_path / "say.sh").write_text('echo "$1"')
    result = run(
        {"word": "$(id)"}, argv=[*before, "/bin/sh", str(tmp_path / "say.sh"), "{word}"], parameters={"word": {}}
    )
    assert result.evidence["output"] == "$(id)"


def test_code_that_holds_no_parameter_may_stand_among_the_words() -> None:
    assert run(argv=["/bin/bash", "-o", "pipefail", "-c", "echo hi"]).evidence["output"] == "hi"


@pytest.mark.parametrize("text", ["../etc/hostname", "..", "a/../b", "x=..", "/..", "a ../b", "abc/etc"])
def test_a_value_fits_its_pattern_as_a_whole_and_leads_out_of_no_folder(text: str) -> None:
    fits: list[dict[str, Any]] = [
        {"pattern": "[a-z]+"},
        {"pattern": "[a-z]|[b-y]+"},
        {} if ".." in text else {"pattern": "abc"},
    ]
    for said in fits:
        result = run({"name": text}, argv=[ECHO, "/srv/{name}"], parameters={"name": said})
        assert result.detail.startswith("Refused: "), result.detail
    assert run({"name": "abc"}, argv=[ECHO, "/srv/{name}"], parameters={"name": {"pattern": "[a-z]+"}}).succeeded


def test_two_values_that_lead_nowhere_may_not_do_so_together() -> None:
    options: dict[str, Any] = {"argv": [ECHO, "/srv/{a}{b}/x"], "parameters": {"a": {}, "b": {}}}
    assert "out of a folder" in run({"a": ".", "b": "."}, **options).detail
    assert run({"a": "1.", "b": ".5"}, **options).succeeded


@pytest.mark.parametrize("printed", ["--no-preserve-root", "../../etc", "one\ntwo"])
def test_a_state_that_could_not_be_handed_back_stops_the_act_and_is_never_handed_back(printed: str) -> None:
    options: dict[str, Any] = {"argv": [ECHO], "undo_argv": [ECHO, "{before}"]}
    captured = run({}, "capture", capture_argv=python(f"print({printed!r})"), **options)
    assert captured.value is None
    assert "cannot be used as {before}" in captured.detail
    undone = run({}, "undo", {"before": printed}, **options)
    assert undone.detail.startswith("It cannot be undone: ")
    shown_only = run({}, "capture", argv=[ECHO], capture_argv=python(f"print({printed!r})"))
    assert shown_only.value == {"before": printed}


def test_a_state_that_holds_a_secret_is_not_kept_and_so_nothing_is_done() -> None:
    options: dict[str, Any] = {
        "argv": [ECHO],
        "undo_argv": [ECHO, "{before}"],
        "capture_argv": [ECHO, "password=hunter22"],
    }
    captured = run({}, "capture", **options)
    assert captured.value is None
    assert "holds a secret" in captured.detail
    assert "hunter22" not in captured.detail


def test_what_a_program_writes_is_shown_without_secrets() -> None:
    result = run(argv=[ECHO, "postgresql://me:hunter22@db/shop"])
    assert "hunter22" not in json.dumps([result.detail, result.evidence])


def test_a_value_goes_through_ssh_only_as_a_plain_word() -> None:
    options: dict[str, Any] = {"argv": ["/usr/bin/env", "ssh", "host", "uptime", "{word}"], "parameters": {"word": {}}}
    assert "word" in run({"word": "a; reboot"}, **options).detail
    assert "reboot" not in run({"word": "a; reboot"}, **options).detail


def test_a_program_that_does_not_end_is_ended_with_all_that_it_started() -> None:
    child = "[sys.executable, '-c', 'import time; time.sleep(61.5)']"
    text = f"import subprocess, sys, time; subprocess.Popen({child}, start_new_session=True); time.sleep(61.5)"
    started_s = time.monotonic()
    result = run(argv=python(text), timeout_s=1)
    assert result.status is ReceiptStatus.FAILED
    assert "did not end within 1 s" in result.detail
    assert time.monotonic() - started_s < 10
    assert wait_until(lambda: not [each for each in psutil.process_iter() if _sleeps(each)])


def _sleeps(process: psutil.Process) -> bool:
    try:
        return "time.sleep(61.5)" in " ".join(process.cmdline()) and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def test_a_program_that_wants_more_memory_than_it_may_have_fails() -> None:
    options = {"argv": python("x = b'1' * 400_000_000; print(len(x))")}
    assert run(**options, max_memory_mb=200).status is ReceiptStatus.FAILED
    assert "MemoryError" in run(**options, max_memory_mb=200).evidence["output"]
    assert run(**options, max_memory_mb=1_000).succeeded


def test_a_program_that_never_stops_writing_is_ended() -> None:
    result = run(argv=["/usr/bin/yes"], max_output_kb=100)
    assert "wrote more than 100,000 bytes" in result.detail
    assert len(result.evidence["output"]) <= 2_000


def test_a_program_gets_no_variable_but_those_that_are_configured_and_these_are_never_shown() -> None:
    os.environ["FOREACT_TEST_SECRET"] = "outer-secret"
    try:
        text = "import os, sys; print(dict(os.environ)); print(sys.argv[1])"
        options = {"argv": python(text, "Bearer s3cret-token"), "environment": {"TOKEN": "s3cret-token"}}
        result = run(**options)
    finally:
        del os.environ["FOREACT_TEST_SECRET"]
    told = json.dumps([result.detail, result.evidence])
    assert "TOKEN" in told
    assert "s3cret-token" not in told
    assert "outer-secret" not in told


def test_a_command_that_fails_says_with_which_code_and_what_it_wrote() -> None:
    result = run(argv=python("import sys; print('disk full'); sys.exit(3)"))
    assert result.status is ReceiptStatus.FAILED
    assert "exited with code 3" in result.detail
    assert result.evidence["output"] == "disk full"


@pytest.fixture
def dial(tmp_path: Path) -> dict[str, Any]:
    """Return the options of a command that sets a number in a file, and can take it back."""
    file = tmp_path / "workers"
    file.write_text("2")
    write = python("import pathlib, sys; pathlib.Path(sys.argv[1]).write_text(sys.argv[2])", str(file))
    compare = "import pathlib, sys; sys.exit(0 if pathlib.Path(sys.argv[1]).read_text() == sys.argv[2] else 1)"
    return {
        "argv": [*write, "{amount}"],
        "capture_argv": ["/bin/cat", str(file)],
        "undo_argv": [*write, "{before}"],
        "check_argv": python(compare, str(file), "{amount}"),
        "file": file,
    }


def test_a_planned_amount_is_set_seen_and_taken_back(dial: dict[str, Any]) -> None:
    file = dial.pop("file")
    params = {"amount": 4.0}
    before = run(params, "capture", **dial).value
    assert before == {"before": "2"}
    assert run(params, "check", before, **dial).status is ReceiptStatus.SKIPPED
    assert run(params, **dial).succeeded
    assert file.read_text() == "4"
    assert run(params, "check", before, **dial).status is ReceiptStatus.SUCCEEDED
    for _ in range(2):
        assert run(params, "undo", before, **dial).succeeded
        assert file.read_text() == "2"


def test_it_can_be_undone_only_where_a_command_for_that_is_configured() -> None:
    from dataclasses import replace

    def with_options(**options: Any) -> ActionHandler:
        return replace(RUN, option_values=options)

    assert not with_options(argv=[ECHO]).reversible
    assert with_options(argv=[ECHO], undo_argv=[ECHO, "{before}"]).reversible


def test_a_state_that_cannot_be_read_stops_the_act_before_it() -> None:
    result = run({}, "capture", argv=[ECHO], capture_argv=["/bin/false"])
    assert result.value is None
    assert "state before cannot be read" in result.detail


def test_every_offer_is_proposed_and_a_wrong_one_proposes_nothing() -> None:
    options = {
        "argv": [ECHO, "{n}"],
        "parameters": {"n": {"type": "integer", "most": 3}},
        "offers": [{"n": 1}, {"n": 2}],
    }
    proposed = RUN.propose(make_goal(), context_for(options=options))
    assert [candidate.params for candidate in proposed] == [{"n": 1}, {"n": 2}]
    assert {candidate.target for candidate in proposed} == {"command:echo"}
    assert RUN.propose(make_goal(), context_for(options=options | {"offers": [{"n": 9}]})) == []


def test_a_rehearsal_says_the_very_words_and_runs_nothing() -> None:
    options = {"argv": ["/no/such/program"]}
    assert not RUN.run({}, context_for(options=options, dry_run=True)).success
    options = {"argv": [ECHO, "{n}"], "parameters": {"n": {"type": "integer"}}}
    assert RUN.run({"n": 2}, context_for(options=options, dry_run=True)).detail == "Dry run: would run /bin/echo 2."


def test_a_form_can_be_made_of_the_parameters() -> None:
    from dataclasses import replace

    count = {"type": "integer", "least": 1, "most": 5, "default": 2, "description": "workers"}
    options = {"argv": [ECHO], "parameters": {"n": count, "zone": {"choices": ["eu", "us"]}}}
    schema = replace(RUN, option_values=options).parameter_schema
    n = schema["properties"]["n"]
    assert (n["type"], n["minimum"], n["maximum"], n["default"], n["description"]) == ("integer", 1, 5, 2, "workers")
    assert schema["properties"]["zone"]["enum"] == ["eu", "us"]
    assert schema["required"] == ["zone"]
