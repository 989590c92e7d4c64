"""What every command prints: at 80 columns for people, in shapes that stay for programs, and what mends a refusal."""

from __future__ import annotations

import json
import os
import pty
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from typer.testing import CliRunner

from cli import app as command_line
from cli.app import app
from cli.options import SHORTEST_HOURS
from cli.wording import in_commands, requests_without_command
from docs import command_line as reference
from settings import SamplerSettings, Settings, load_settings, utc_now
from storage import ForeactError, open_store
from storage.errors import TransientError
from storage.facts import BUDGET_SHARES, OBJECTIVES
from storage.records import Objective
from tests import PROJECT
from tests.api import worlds
from tests.api.dashboard.test_browser import FacadeOnPort
from tests.api.test_shares import CHECKOUT, SHARED, SHOP

Run = Callable[..., Result]
A_TERMINAL = {"COLUMNS": "80", "FORCE_COLOR": "1", "NO_COLOR": "1", "TERM": "xterm"}
LONG = 'http_request_duration_seconds{endpoint="/api/v2/customers/orders",instance="eu-central-1a-web-0017"}'


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    # A port on which nobody listens: the commands then work on the store itself.
    (tmp_path / "foreact.toml").write_text(
        f"[server]\nport = 1\n[[objectives]]\nname = 'answers-of-the-orders-within-the-promised-time'\n"
        f"metric = '{LONG}'\nbound = 0.25\n[sources.prometheus]\nurl = 'http://ada:s3cret-word@prom/'\n"
    )
    return load_settings(tmp_path)


@pytest.fixture
def run(settings: Settings) -> Run:
    now = utc_now()
    with open_store(settings.database_path) as store:
        worlds.samples(store, now, 240)
        worlds.samples(store, now, 240, series="http_request_duration_seconds")
        worlds.a_turn(store, now)
        worlds.a_history(store, now)
        worlds.a_ledger(store, now)
        store.audit.append("cli:ada", "set mode", "mode", {"autonomous": False})

    def invoke(*words: str, **options: Any) -> Result:
        return CliRunner().invoke(app, [*words, "-C", str(settings.folder)], **options)

    return invoke


@pytest.fixture
def plain(tmp_path: Path) -> Run:
    def invoke(*words: str) -> Result:
        return CliRunner().invoke(app, [*words, "-C", str(tmp_path)])

    return invoke


READING: Mapping[tuple[str, ...], set[str]] = {
    ("status",): {"agent", "mode", "statistics", "last_cycle", "pending_approvals", "warnings", "active_goals"},
    ("goals",): {"total_active_goals", "goals", "conflicts"},
    ("goals", "--all"): {"total_active_goals", "goals", "conflicts"},
    ("goal", "goal-1"): {"goal_id", "state", "because", "history", "decisions", "plans", "actions", "children"},
    ("actions",): {"actions"},
    ("actions", "action-2"): {"status", "needs_approval", "action", "approval", "intent", "receipt", "outcomes"},
    ("audit",): {"entries", "verified", "first_broken_line", "check"},
    ("mode",): {"autonomous", "acts", "kill_switch", "note"},
    ("patterns",): {"cycle_id", "patterns", "note"},
    ("rollout",): {"pairs", "note"},
    ("insights",): {"action_success_rates", "common_failures", "effects", "convergence", "outcomes", "note"},
    ("objectives",): {"objectives", "contradictions", "trouble", "shares"},
    ("forecast",): {"cycle_id", "series", "breaches", "predicted_state", "calibration", "note"},
    ("forecast", "cpu_used_ratio"): {"cycle_id", "series", "breaches", "predicted_state", "calibration", "note"},
    ("config", "show"): {"agent", "server", "sources", "objectives"},
    ("config", "show", "--all"): {"agent", "server", "sources", "objectives"},
    ("config", "check"): {"file", "is_valid", "trouble"},
    ("doctor",): {"is_well", "checks"},
}
ids = [" ".join(words) for words in READING]


def lines(answer: Result) -> list[str]:
    return re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", answer.output).splitlines()


@pytest.mark.parametrize("words", READING, ids=ids)
def test_what_a_person_reads_fits_80_columns_and_has_no_empty_beginning_or_end(
    run: Run, words: tuple[str, ...], settings: Settings
) -> None:
    shown = lines(run(*words, env=A_TERMINAL))
    whole = [str(settings.folder), LONG, "answers-of-the-orders-within-the-promised-time", "foreact.toml"]
    too_wide = [line for line in shown if len(line) > 80 and not any(part in line for part in whole)]
    assert too_wide == []
    assert shown[0].strip()
    assert shown[-1].strip()
    assert [line for line in shown if line != line.rstrip()] == []


@pytest.mark.parametrize("words", READING, ids=ids)
def test_what_a_program_reads_keeps_its_keys(run: Run, words: tuple[str, ...]) -> None:
    told = json.loads(run(*words, "--json").stdout)
    assert READING[words] <= told.keys()


def test_every_command_but_those_that_go_on_prints_json() -> None:
    group: Any = command_line.typer.main.get_command(app)
    without = {
        name for name, each in group.commands.items() if "--json" not in {o for p in each.params for o in p.opts}
    }
    assert without == {"up", "completion", "mcp"}


def test_words_are_never_broken_in_a_narrow_column(run: Run) -> None:
    text = run("objectives", env=A_TERMINAL).output
    assert "default" in text.split()
    assert "file" in text.split()


def test_objectives_say_how_a_budget_is_shared(run: Run, settings: Settings) -> None:
    with open_store(settings.database_path) as store:
        store.facts.set(OBJECTIVES.of("shop"), SHOP)
        store.facts.set(OBJECTIVES.of("checkout"), CHECKOUT)
        store.facts.set(BUDGET_SHARES, (SHARED,))
    assert SHARED.sentence in run("objectives").output.splitlines()


def test_before_the_first_cycle_the_status_says_so(plain: Run) -> None:
    said = {line.partition("  ")[0]: line.partition("  ")[2].strip() for line in plain("status").output.splitlines()}
    assert said["cycles"] == "none yet"
    assert said["waiting for you"] == "nothing"
    assert said["expected"].startswith("No forecast yet: nothing is recorded. `foreact import FILE`")


def test_the_status_says_what_will_happen_and_what_waits(run: Run) -> None:
    said = " ".join(run("status").output.split())
    assert "degraded (65 %): cpu-not-saturated is likely to break" in said
    assert "cpu_used_ratio breaks cpu-not-saturated with a probability of 70 %" in said
    assert "1 to approve (foreact actions)" in said


def test_a_watched_status_goes_on_until_it_is_interrupted(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[float] = []

    def sleep(seconds: float) -> None:
        looks.append(seconds)
        if len(looks) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr("time.sleep", sleep)
    answer = run("status", "--watch", "--every", "7", "--json")
    assert (answer.exit_code, looks) == (0, [7, 7])
    assert answer.stdout.count('"pending_approvals"') == 2
    assert SHORTEST_HOURS < 1


def test_a_folder_is_named_before_a_command_or_after_it(settings: Settings, run: Run, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    here = str(settings.folder)
    before = CliRunner().invoke(app, ["-C", here, "goals", "--json"]).stdout
    assert before == run("goals", "--json").stdout
    assert before == CliRunner().invoke(app, ["-C", str(other), "goals", "--json", "--folder", here]).stdout
    assert "No open goals" in CliRunner().invoke(app, ["-C", here, "goals", "-C", str(other)]).stdout


REFUSALS = (
    (("goal", "nope"), "goal_unknown", "`foreact goals --all` lists them."),
    (("actions", "nope"), "action_unknown", "`foreact actions` lists the newest."),
    (("forecast", "cpu_used_ration"), "series_unknown", "Did you mean cpu_used_ratio?"),
    (("open",), "not_running", "`foreact up`"),
    (("export", "x.xlsx"), "form_unknown", "FILE.csv or FILE.parquet"),
    (("export", "x.csv", "--series", "nope*"), "series_unknown", "`foreact forecast` lists them."),
)


@pytest.mark.parametrize(("words", "code", "mends"), REFUSALS, ids=[" ".join(row[0]) for row in REFUSALS])
def test_a_refusal_names_a_command(run: Run, words: tuple[str, ...], code: str, mends: str) -> None:
    refusal = run(*words).exception
    assert isinstance(refusal, ForeactError)
    assert refusal.code == code
    assert mends in str(refusal)
    assert "/api/" not in str(refusal)


FAILURES = (
    (("statsu",), 2, "No such command 'statsu'. Did you mean 'status'? See `foreact --help`."),
    (("approve",), 2, "Missing argument 'ID'. See `foreact approve --help`."),
    (("goals", "--nope"), 2, "No such option: --nope. See `foreact goals --help`."),
    (("demo", "--days", "99"), 2, "See `foreact demo --help`."),
    (("completion", "ksh"), 2, "See `foreact completion --help`."),
    (("goal", "nope"), 1, "`foreact goals --all` lists them. [goal_unknown]"),
)


def printed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *words: str) -> tuple[Any, str]:
    """Run `foreact` as a shell does; return its exit code and the one line that it prints."""
    monkeypatch.setattr("sys.argv", ["foreact", *words])
    with pytest.raises(SystemExit) as end:
        command_line.main()
    (line,) = capsys.readouterr().err.splitlines()
    return end.value.code, line


@pytest.mark.parametrize(("words", "code", "ends"), FAILURES, ids=[" ".join(row[0]) for row in FAILURES])
def test_whatever_is_asked_wrongly_is_one_line_that_ends_with_a_command(
    words: tuple[str, ...],
    code: int,
    ends: str,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    told = printed(monkeypatch, capsys, "-C", str(settings.folder), *words)
    assert told[0] == code
    assert told[1].startswith("foreact: ")
    assert told[1].endswith(ends)


@pytest.mark.parametrize(
    ("trouble", "begins"),
    [
        (
            ZeroDivisionError("division by zero\nand more"),
            "foreact: ZeroDivisionError: division by zero. Details are",
        ),
        (TransientError("the store does not answer"), "foreact: the store does not answer. Try again in a moment; "),
    ],
    ids=["unexpected", "transient"],
)
def test_what_nobody_foresaw_is_one_line_and_its_origin_is_kept(
    trouble: Exception,
    begins: str,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    def fail(*_: Any) -> None:
        raise trouble

    monkeypatch.setattr("cli.client.desk", fail)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    code, line = printed(monkeypatch, capsys, "goals", "-C", str(settings.folder))
    assert code == 1
    assert line.startswith(begins)
    assert line.endswith("`foreact doctor` says what is amiss.")
    kept = [file.read_text() for file in tmp_path.glob("foreact-*.log")]
    assert ["in fail" in text for text in kept] == ([True] if isinstance(trouble, ZeroDivisionError) else [])


def test_where_not_even_the_origin_can_be_kept_what_went_wrong_is_told_still(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def fail(*_: Any) -> None:
        raise ZeroDivisionError("division by zero")

    monkeypatch.setattr("cli.client.desk", fail)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "gone"))
    said = printed(monkeypatch, capsys, "goals", "-C", str(tmp_path))
    assert said == (1, "foreact: ZeroDivisionError: division by zero. `foreact doctor` says what is amiss.")


def test_without_a_command_the_help_is_shown(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["foreact"])
    with pytest.raises(SystemExit) as end:
        command_line.main()
    assert (end.value.code or 0) == 0
    assert "Commands:" in capsys.readouterr().out


def test_every_request_that_the_interface_recommends_has_a_command() -> None:
    texts = [file.read_text() for file in sorted((PROJECT / "api").rglob("*.py")) if "routes" not in file.parts]
    texts += [(PROJECT / "api" / "routes" / "goals.py").read_text()]
    texts = [re.sub(r"\{[^{}]+\}", "x", text) for text in texts]
    assert sum("/api/autonomous/" in text for text in texts) > 4
    assert [request for text in texts for request in requests_without_command(text)] == []
    assert in_commands("GET /api/autonomous/goals/goal-7 shows it.") == "`foreact goal goal-7` shows it."


def test_cancel_and_reject_are_one_command_and_the_help_lists_one() -> None:
    listed = CliRunner().invoke(app, ["--help"]).output
    assert "reject" in listed
    assert "cancel" not in listed
    assert CliRunner().invoke(app, ["cancel", "--help"]).exit_code == 0


def test_every_line_of_the_help_is_whole() -> None:
    listed = CliRunner().invoke(app, ["--help"]).output
    assert "..." not in listed.partition("Commands:")[2]
    assert max(map(len, listed.splitlines())) <= 80


def test_every_command_has_an_example_that_it_would_take() -> None:
    group: Any = command_line.typer.main.get_command(app)
    for name, command in group.commands.items():
        example = command.epilog.removeprefix("Example: ")
        assert example.startswith(f"foreact {name}") or name in command_line.ALIASES, name
        known = {option for each in command.params for option in each.opts}
        assert [word for word in example.split() if word.startswith("--") and word not in known] == []
        assert all(each.help for each in command.params), name


def test_the_page_of_the_command_line_is_written_from_the_code() -> None:
    assert reference.PAGE.read_text() == reference.page()


def test_what_is_configured_is_shown_without_secrets(run: Run) -> None:
    for words in (("config",), ("config", "--json"), ("config", "show", "--all")):
        said = run(*words).output
        assert "s3cret-word" not in said
        assert "http://***@prom" in said
    assert "agent.seed" not in run("config").output
    assert "agent.seed" in run("config", "show", "--all").output


def test_a_configuration_that_cannot_be_used_is_told_and_ends_with_1(settings: Settings, run: Run) -> None:
    assert settings.folder is not None
    (settings.folder / "foreact.toml").write_text("[agent]\nautonomous = true\n")
    answer = run("config", "check", "--json")
    assert answer.exit_code == 1
    assert "there is no such key" in json.loads(answer.stdout)["trouble"][0]


def test_what_was_exported_can_be_imported_in_either_form(run: Run, tmp_path: Path) -> None:
    for form in ("csv", "parquet"):
        file, there = tmp_path / f"history.{form}", tmp_path / form
        there.mkdir()
        done = json.loads(run("export", str(file), "--json").stdout)
        assert (done["rows"], file.stat().st_size) == (480, done["size_bytes"])
        told = CliRunner().invoke(app, ["import", str(file), "-C", str(there), "--json"])
        assert json.loads(told.stdout)["recorded"] == 480, told.output
        assert isinstance(run("export", str(file)).exception, ForeactError)


BEFORE_TAB = {"bash": "", "zsh": "autoload -Uz compinit; compinit -u -D; ", "fish": ""}


@pytest.mark.parametrize("shell", BEFORE_TAB)
def test_tab_completes_a_command_in_a_shell_that_was_told_how(shell: str, tmp_path: Path) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed (Debian: apt install {shell})")
    told = tmp_path / "completion"
    told.write_text(CliRunner().invoke(app, ["completion", shell]).output)
    bare = [shell, *{"bash": ["--norc", "--noprofile", "-i"], "zsh": ["-f", "-i"], "fish": ["--no-config"]}[shell]]
    environment = {
        **os.environ,
        "PATH": f"{sys.prefix}/bin:{os.environ['PATH']}",
        "HOME": str(tmp_path),
        "TERM": "dumb",
    }
    if shell == "fish":  # it says on a word of its own what a TAB would offer
        ask = [*bare, "-c", f"source {told}; complete -C 'foreact statu'"]
        said = subprocess.run(ask, env=environment, capture_output=True, text=True).stdout
        assert said.split()[0] == "status"
        return
    terminal, inside = pty.openpty()
    with subprocess.Popen(
        bare, env=environment, stdin=inside, stdout=inside, stderr=inside, start_new_session=True
    ) as it:
        os.write(terminal, f"{BEFORE_TAB[shell]}source {told}; echo rea''dy\n".encode())
        _read_until(terminal, "\nready")
        os.write(terminal, b"foreact statu\t")
        _read_until(terminal, "foreact status")
        it.kill()
    os.close(inside)
    os.close(terminal)


def _read_until(terminal: int, wanted: str) -> None:
    """Read what a terminal shows until a text is there; the test's own time ends it."""
    shown = ""
    while wanted not in shown:
        shown += os.read(terminal, 4_096).decode().replace("\r", "")


@pytest.mark.usefixtures("run")
def test_a_shell_completes_what_the_stack_knows_and_names_of_commands_where_none_runs(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def offered(typed: str) -> list[str]:
        line = f"foreact -C {tmp_path} {typed}"
        monkeypatch.setenv("_FOREACT_COMPLETE", "complete_bash")
        monkeypatch.setenv("COMP_WORDS", line)
        monkeypatch.setenv("COMP_CWORD", str(len(line.split()) - 1))
        monkeypatch.setattr("sys.argv", ["foreact"])
        with pytest.raises(SystemExit):
            command_line.main()
        return capsys.readouterr().out.split()

    words = {"approve act": "action-1", "goal g": "goal-1", "forecast cpu": "cpu_used_ratio"}
    kept = settings.database_path.read_bytes()
    assert [offered(typed) for typed in (*words, "stat")] == [[], [], [], ["status"]]
    assert settings.database_path.read_bytes() == kept, "TAB opens no store"
    quiet = load_settings(tmp_path, sampler=SamplerSettings(enabled=False))
    with open_store(settings.database_path) as store, FacadeOnPort(store, quiet) as served:
        (tmp_path / "foreact.toml").write_text(f"[server]\nport = {served.port}\n")
        for typed, name in words.items():
            assert name in offered(typed)


def test_a_decision_is_told_to_programs(run: Run) -> None:
    told = json.loads(run("reject", "action-1", "--json").stdout)
    assert told["subject"] == "action-1"
    assert {"subject", "done", "action_ids", "flow_run_id", "note"} == told.keys()


def test_a_forecast_shows_history_interval_bound_and_how_likely_it_breaks(run: Run) -> None:
    said = run("forecast", "cpu_used_ratio").output
    assert "• recorded  ━ median  ░ 90 % interval  ┄ bound" in said
    assert "cpu-not-saturated: at most 90 %" in said
    assert "probability of 70 %" in said
    for glyph in "•━░┄│":
        assert said.count(glyph) > 1
    (series,) = json.loads(run("forecast", "cpu_used_ratio", "--json").stdout)["series"]
    assert len(series["history"]["values"]) == len(series["history"]["timestamps"]) > 100


def test_where_the_terminal_has_no_unicode_plain_letters_are_drawn(run: Run) -> None:
    answer = CliRunner(charset="ascii").invoke(app, ["forecast", "cpu_used_ratio", "-C", str(load_folder(run))])
    assert "o recorded  * median  : 90 % interval  - bound" in answer.output
    assert answer.output.isascii()


def load_folder(run: Run) -> Path:
    return Path(json.loads(run("config", "show", "--json").stdout)["home"]).parent


def test_a_series_without_forecast_says_why(run: Run) -> None:
    assert "short_series: no forecast. 12 samples, 30 are needed" in run("forecast", "short_series").output


def test_what_waits_comes_first_and_says_how_to_answer_it(run: Run, settings: Settings) -> None:
    with open_store(settings.database_path) as store:
        store.actions.append([worlds.an_action("action-9", utc_now() - timedelta(hours=2))], "cycle-1")
    first, answer, *_ = run("actions").output.splitlines()
    assert first.startswith("action-1  renice_process")
    assert "foreact approve action-1, or reject" in answer


def test_an_objective_keeps_its_shape() -> None:
    assert {"name", "metric", "bound", "side", "severity", "kind"} <= Objective.model_fields.keys()


def test_an_effect_without_an_interval_is_told_in_words() -> None:
    from cli.show import _effect

    few = {"series": "cpu", "estimate": 0.0, "low": None, "high": None, "verdict": "inconclusive", "reason": "few"}
    assert _effect(few) == "cpu: inconclusive. few"
    assert _effect(few | {"low": -1.0, "high": 2.0}) == "cpu: inconclusive, +0 (-1 to +2). few"
