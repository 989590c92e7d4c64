"""Every snippet of the documentation can be used as it stands: configuration is read, Python runs, commands exist.

Commands are read here as a shell and foreact read them, requests as the REST interface does; `make guides` types them.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import re
import shlex
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import jsonschema
import pytest
import typer
import yaml
from typer._click.exceptions import MissingParameter, UsageError

from api.app import create_app
from cli.app import app
from handlers import discover_actions, discover_sources
from handlers.unknown_keys import unread
from settings import load_settings
from tests import PROJECT, run_in

PAGES = sorted({*PROJECT.glob("*.md"), *PROJECT.glob("*/*.md"), *(PROJECT / "docs").rglob("*.md")})
FENCE = re.compile(r"^```(\w*)(?: (\S+))?\n(.*?)^```$", re.DOTALL | re.MULTILINE)
HERE = r"(localhost|127\.0\.0\.1):\d"
WRITTEN_BY_CODE = "command-line.md"
TELEGRAF = "[[outputs.influxdb_v2]]"
"""Begins a snippet that is for another program."""


def name_of(page: Path) -> str:
    """Return the name of a page of docs/, and of any other the path: there are several README.md."""
    return page.name if page.parent.name == "docs" else str(page.relative_to(PROJECT))


def snippets(*languages: str) -> list[Any]:
    """Return the blocks of these languages, with page and number as id."""
    return [
        pytest.param(block, id=f"{name_of(page)}-{number}")
        for page in PAGES
        for number, (language, _, block) in enumerate(FENCE.findall(page.read_text(encoding="utf-8")))
        if language in languages
    ]


@pytest.mark.parametrize("text", [each for each in snippets("toml") if TELEGRAF not in each.values[0]])
def test_every_configuration_is_one_that_foreact_reads_whole(text: str, tmp_path: Path) -> None:
    (tmp_path / "foreact.toml").write_text(text)
    settings = load_settings(tmp_path)
    assert settings.folder == tmp_path
    ours = {"orders", "add_workers", "add_server"}  # written by the guides, or by the reader
    known, sources = discover_actions(), discover_sources()
    options = {name: each for name, each in settings.options_to_read.items() if name not in ours}
    pulled = {name: each for name, each in settings.sources.items() if name not in ours}
    assert list(unread(options, pulled, known, sources)) == []


@pytest.mark.parametrize("text", snippets("yaml"))
def test_every_yaml_snippet_can_be_read(text: str) -> None:
    assert list(yaml.safe_load_all(text))


def test_the_snippet_for_telegraf_can_be_read() -> None:
    (text,) = (each.values[0] for each in snippets("toml") if TELEGRAF in each.values[0])
    assert tomllib.loads(text)["outputs"]["influxdb_v2"]


@pytest.mark.parametrize("text", snippets("sh"))
def test_every_command_line_is_one_that_a_shell_and_foreact_take(text: str, rest: dict[str, Any]) -> None:
    checked = subprocess.run(["bash", "-n"], input=text, capture_output=True, text=True)
    assert checked.stderr == ""
    for words in commands_of(text):
        if words[:1] == ["foreact"] and "--help" not in words:
            parse(words[1:])
        if words[:1] == ["curl"]:
            ask(words, rest)
        if words[:1] == ["make"]:
            assert re.search(rf"^{words[1]}:", (PROJECT / "Makefile").read_text(), re.MULTILINE), words


@pytest.mark.parametrize("page", [page for page in PAGES if page.name != WRITTEN_BY_CODE], ids=name_of)
def test_every_command_that_a_sentence_or_an_output_names_is_one(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    named = [*re.findall(r"`(foreact [^`]+)`", text), *re.findall(r"^\$ (foreact .+)$", text, re.MULTILINE)]
    named += [line for language, _, block in FENCE.findall(text) if not language for line in block.splitlines()]
    for words in (words for each in named for words in commands_of(each)):
        if words[0] == "foreact" and len(words) > 1 and not words[1].startswith("-"):
            with contextlib.suppress(MissingParameter):  # a sentence names a command without what it is about
                parse(words[1:])


def test_commands_and_requests_that_foreact_would_refuse_are_found(rest: dict[str, Any]) -> None:
    for line in ("foreact status && foreact goals --never", "if true; then FOREACT_X=1 foreact forecst cpu; fi"):
        *_, wrong = (words for words in commands_of(line) if words[0] == "foreact")
        with pytest.raises(UsageError):
            parse(wrong[1:])
    for path, body in {"metrics": '{"metric_nam": "latency", "value": 1}', "never": "{}"}.items():
        with pytest.raises((AssertionError, jsonschema.ValidationError)):
            ask(["curl", "-X", "POST", f"localhost:5003/api/autonomous/{path}", "-d", body], rest)


def commands_of(text: str) -> Iterator[list[str]]:
    """Yield the words of each command, without what stands before it; none of a text over several lines."""
    for line in re.sub(r"\\\n\s*", "", text).splitlines():
        lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
        lexer.whitespace_split = True
        try:
            words = list(lexer)
        except ValueError:
            continue
        for is_between, group in itertools.groupby(words, lambda word: set(word) <= set("|&;<>()")):
            command = list(itertools.dropwhile(_is_before, group))
            if command and not is_between:
                yield [command[0].removeprefix(".venv/bin/"), *command[1:]]


def _is_before(word: str) -> bool:
    return word in {"then", "else", "do", "!", "sudo", "exec", "time"} or bool(re.fullmatch(r"\w+=.*", word))


def parse(words: list[str]) -> None:
    """Fail where the command line would refuse these words."""
    group: Any = typer.main.get_command(app)
    context = group.make_context("foreact", list(words), resilient_parsing=False)
    name, command, rest = group.resolve_command(context, [*context._protected_args, *context.args])
    assert command is not None, words
    command.make_context(name, list(rest), parent=context)


@pytest.fixture(scope="module")
def rest(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Return what the REST interface says of itself."""
    return create_app(load_settings(tmp_path_factory.mktemp("rest"))).openapi()


def ask(words: list[str], rest: dict[str, Any]) -> None:
    """Fail where the REST interface would not take this request of `curl`: its address or its body."""
    address = next(urlsplit(f"http://{word.removeprefix('http://')}") for word in words if re.search(HERE, word))
    if address.port != 5003 or address.path in {"/", "/docs"}:
        return
    body = words[words.index("-d") + 1] if "-d" in words else None
    method = words[words.index("-X") + 1].lower() if "-X" in words else "post" if body else "get"
    served = [each for each in rest["paths"] if re.fullmatch(re.sub(r"{\w+}", "[^/]+", each), address.path)]
    operations = [rest["paths"][each][method] for each in served if method in rest["paths"][each]]
    assert operations, words
    if wanted := operations[0].get("requestBody"):
        schema = wanted["content"]["application/json"]["schema"]
        jsonschema.validate(json.loads(body or "null"), {**schema, "components": rest["components"]})


# What snippets of the pages about pure functions take for given: data that a reader has.
GIVEN = {
    "composed-plans.md": "replica_answers = lambda: True\n",
    "measuring.md": """
import numpy as np
chance = np.random.default_rng(0)
history = chance.normal(100, 5, 2016); origins = np.arange(600, 1900, 60)
past_forecasts = np.full((len(origins), 60), 100.0); steps_under_an_action = np.zeros(2016, bool)
observed = chance.normal(80, 5, 60); forecast = np.full(60, 100.0); sd = 5.0
""",
    "patterns.md": """
import numpy as np
names = ["a", "b"]; values = np.random.default_rng(0).normal(size=(2, 500)); tick_s = end_s = 1.77e9; step_s = 300.0
event_types = ["deploy"] * 9; event_times_s = end_s - 3_600.0 * np.arange(9)
""",
    "learning.md": "rows = []\n",
    "planning.md": """
import numpy as np
driver_paths = np.full((50, 20), 60.0); amounts = np.arange(1.0, 9.0)
""",
    "forecasting.md": """
from datetime import UTC, datetime, timedelta
from flows.agent import GoalDrivenAgent
now = datetime(2026, 3, 2, tzinfo=UTC); yesterday = now - timedelta(days=1)
agent = GoalDrivenAgent(clock=lambda: now)
for step in range(600):
    agent.record_metric("cpu_used_ratio", 0.5 + step % 12 / 50, timestamp=now - timedelta(minutes=5 * (600 - step)))
for moment in (yesterday - timedelta(hours=1), now - timedelta(minutes=1)):
    agent.run_cycle(moment)
""",
}

RUN = GIVEN.keys() | {"simulation.md", "README.md"}


@pytest.mark.slow
@pytest.mark.parametrize("page", [each for each in PAGES if name_of(each) in RUN], ids=name_of)
def test_python_of_the_pages_runs(page: Path, tmp_path: Path) -> None:
    (block,) = (text for language, _, text in FENCE.findall(page.read_text()) if language == "python")
    (tmp_path / "snippet.py").write_text(GIVEN.get(name_of(page), "") + block)
    done = run_in(tmp_path, "snippet.py")
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_the_pipeline_to_try_deadlines_with_is_a_flow(tmp_path: Path) -> None:
    text = (PROJECT / "docs" / "prefect-deadlines.md").read_text()
    ((name, block),) = [(name, block) for _, name, block in FENCE.findall(text) if name.endswith(".py")]
    (tmp_path / name).write_text(block)
    done = run_in(tmp_path, "-c", f"import {Path(name).stem} as it; print(it.load.name)")
    assert done.stdout == "load\n", done.stderr


def test_no_python_of_the_pages_is_forgotten() -> None:
    """What is shown of the others is run by tests/test_guides.py, tests/e2e and tests/api."""
    guides = {"write-an-action.md", "write-a-source.md", "watch-my-service.md", "prefect-deadlines.md"}
    pages = {name_of(page) for page in PAGES if any(each[0] == "python" for each in FENCE.findall(page.read_text()))}
    assert pages == guides | {"goals.md", "client/README.md"} | RUN


def test_the_first_screen_of_readme_starts_foreact_and_the_rest_is_short() -> None:
    first, _, rest = (PROJECT / "README.md").read_text().partition("\n---\n")
    assert len(first.splitlines()) <= 30
    assert "docs/demo.svg" in first
    commands = [words for block in re.findall(r"```sh\n(.*?)```", first, re.DOTALL) for words in commands_of(block)]
    assert ["foreact", "demo"] in commands
    assert ["make", "up"] in commands
    assert len(rest.strip().splitlines()) <= 150
