"""A process under supervision that keeps dying takes the others along, unless they can do without it."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from api.processes.console import Console
from api.processes.layout import new_layout
from api.processes.program import Child, Program, Restarts
from api.processes.supervisor import programs
from settings import Settings
from storage.errors import ForeactError


@pytest.fixture
def console(tmp_path: Path) -> Iterator[Console]:
    console = Console(tmp_path)
    yield console
    console.close()


def dying(folder: Path, console: Console, *, is_dispensable: bool) -> Child:
    command = (sys.executable, "-S", "-c", "print('no luck'); raise SystemExit(3)")
    program = Program("engine", command, is_one_shot=True, is_dispensable=is_dispensable)
    return Child(program, os.environ, folder, console, restarts=Restarts(first_s=0.0, most=1))


def test_a_process_that_keeps_dying_is_given_up(tmp_path: Path, console: Console) -> None:
    with pytest.raises(ForeactError, match="engine ended 2 times in a row; its last line was: no luck"):
        asyncio.run(dying(tmp_path, console, is_dispensable=False).run())


def test_where_the_others_can_do_without_it_that_is_said_once(
    tmp_path: Path, console: Console, capsys: pytest.CaptureFixture[str]
) -> None:
    asyncio.run(dying(tmp_path, console, is_dispensable=True).run())
    assert capsys.readouterr().out.count("Going on without it.") == 1


def test_of_a_stack_only_the_engine_is_dispensable(tmp_path: Path) -> None:
    layout = new_layout(Settings(), tmp_path)
    assert [program.name for program in programs(layout) if program.is_dispensable] == ["engine"]
