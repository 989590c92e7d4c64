"""Every snippet of the documentation can be used as it stands: configuration is read, Python runs, commands exist."""

from __future__ import annotations

import itertools
import re
import shlex
import subprocess
import tomllib
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import typer
import yaml

from api.app import create_app
from cli.app import app
from handlers import discover_actions, discover_sources
from handlers.unknown_keys import unread
from settings import load_settings
from tests import PROJECT, run_in

PAGES = [*sorted((PROJECT / "docs").rglob("*.md")), *(PROJECT / each for each in ("README.md", "client/README.md"))]
FENCE = re.compile(r"^```(\w+)(?: (\S+))?\n(.*?)^```$", re.DOTALL | re.MULTILINE)
TELEGRAF = "[[outputs.influxdb_v2]]"
"""Begins a snippet that is for another program."""


def snippets(*languages: str) -> list[Any]:
    """Return the blocks of these languages, with page and number as id."""
    return [
        pytest.param(block, id=f"{page.name}-{number}")
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
def test_every_command_line_is_one_that_a_shell_and_foreact_take(text: str, tmp_path: Path) -> None:
    checked = subprocess.run(["bash", "-n"], input=text, capture_output=True, text=True)
    assert checked.stderr == ""
    for words in map(words_of, re.sub(r"\\\n\s*", "", text).splitlines()):
        if words[:1] == ["foreact"] and "--help" not in words:
            parse(words[1:])
        if words[:1] == ["curl"]:
            address = next(urlsplit(word) for word in words if "localhost:5003" in word or "127.0.0.1:" in word)
            method = words[words.index("-X") + 1] if "-X" in words else "GET"
            assert address.port != 5003 or is_served(method, address.path, tmp_path), words
        if words[:1] == ["make"]:
            assert re.search(rf"^{words[1]}:", (PROJECT / "Makefile").read_text(), re.MULTILINE), words


def words_of(line: str) -> list[str]:
    """Return the words of a line's first command without its comment; none of a quoted text of several lines."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    try:
        words = list(itertools.takewhile(lambda word: not set(word) <= set("|&;<>"), lexer))
    except ValueError:
        return []
    return [word.removeprefix(".venv/bin/") for word in words]


def parse(words: list[str]) -> None:
    """Fail where the command line would refuse these words."""
    group: Any = typer.main.get_command(app)
    context = group.make_context("foreact", list(words), resilient_parsing=False)
    name, command, rest = group.resolve_command(context, [*context._protected_args, *context.args])
    assert command is not None, words
    command.make_context(name, list(rest), parent=context)


def is_served(method: str, path: str, folder: Path) -> bool:
    """Tell whether an address is one of the REST interface or of the pages."""
    paths = create_app(load_settings(folder)).openapi()["paths"]
    asked = [each for each in paths if re.fullmatch(re.sub(r"{\w+}", "[^/]+", each), path)]
    return path in {"/", "/docs"} or any(method.lower() in paths[each] for each in asked)


# What snippets of the pages about pure functions take for given: data that a reader has.
GIVEN = {
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


def name_of(page: Path) -> str:
    """Return the name of a page of docs/, and of any other the path: there are several README.md."""
    return page.name if page.parent.name == "docs" else str(page.relative_to(PROJECT))


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
