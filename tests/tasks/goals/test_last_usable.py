"""While foreact.toml is broken, the last one that could be used is in force, in every process and after any restart."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from settings import KEPT_NAME, load_settings, settings_in_force
from storage import ForeactError

GOOD = '[[objectives]]\nname = "mine"\nmetric = "m"\nbound = 5\n'
BROKEN = '[[objectives]]\nname = "mine"\nmetric = "m"\nbund = 5\n'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / ".foreact").mkdir()
    write(tmp_path, GOOD)
    return tmp_path


def write(folder: Path, text: str) -> None:
    (folder / "foreact.toml").write_text(text)


def names(folder: Path) -> list[str]:
    return [each.name for each in settings_in_force(folder).objectives]


def test_the_last_usable_one_stays_in_force_and_why_is_said(folder: Path) -> None:
    usable = settings_in_force(folder)
    assert usable.trouble == ""
    write(folder, BROKEN)
    now = settings_in_force(folder)
    assert now.hash == usable.hash
    assert "foreact.toml: objectives.0.bound" in now.trouble
    assert "docs/configuration.md" in now.trouble
    write(folder, GOOD.replace("mine", "other"))
    assert names(folder) == ["other"]
    assert settings_in_force(folder).trouble == ""


def test_a_process_that_starts_while_it_is_broken_knows_it_too(folder: Path) -> None:
    settings_in_force(folder)
    write(folder, "[executor")
    code = "import settings; s = settings.settings_in_force(); print(s.objectives[0].name, '|', s.trouble)"
    done = subprocess.run(
        [sys.executable, "-c", code], env={"FOREACT_FOLDER": str(folder)}, capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("mine | ")
    assert "not valid TOML" in done.stdout


def test_an_unusable_one_is_never_kept(folder: Path) -> None:
    settings_in_force(folder)
    write(folder, BROKEN)
    settings_in_force(folder)
    assert (folder / ".foreact" / KEPT_NAME).read_text() == GOOD
    assert (folder / ".foreact" / KEPT_NAME).stat().st_mode & 0o077 == 0


def test_broken_from_the_start_is_refused(folder: Path) -> None:
    write(folder, BROKEN)
    with pytest.raises(ForeactError, match=r"objectives\.0\.bound"):
        settings_in_force(folder)


def test_one_that_no_longer_fits_this_version_is_not_used_and_the_file_is_blamed(folder: Path) -> None:
    (folder / ".foreact" / KEPT_NAME).write_text("gone = 1")
    write(folder, BROKEN)
    with pytest.raises(ForeactError, match=r"objectives\.0\.bound"):
        settings_in_force(folder)


def test_without_a_file_the_defaults_are_what_was_usable_last(folder: Path) -> None:
    settings_in_force(folder)
    (folder / "foreact.toml").unlink()
    settings_in_force(folder)
    write(folder, BROKEN)
    assert names(folder) == []


def test_what_the_broken_file_forbids_counts_all_the_same(folder: Path) -> None:
    settings_in_force(folder)
    write(folder, BROKEN + "[agent]\nautonomous_mode = false\n[executor]\ndry_run = true\nmargin = 1\n")
    now = settings_in_force(folder)
    assert (now.agent.autonomous_mode, now.executor.dry_run) == (False, True)
    write(folder, BROKEN + "[agent]\nautonomous_mode = 'off'\n[executor]\ndry_run = false\n")
    assert settings_in_force(folder).agent.autonomous_mode


def test_a_home_that_the_file_names_is_looked_into(folder: Path) -> None:
    (folder / "data").mkdir()
    write(folder, f'home = "data"\n{GOOD}')
    settings_in_force(folder)
    write(folder, f'home = "data"\n{BROKEN}')
    assert names(folder) == ["mine"]


def test_no_home_is_made_by_looking(tmp_path: Path) -> None:
    write(tmp_path, GOOD)
    assert settings_in_force(tmp_path).objectives == load_settings(tmp_path).objectives
    assert not (tmp_path / ".foreact").exists()


def test_the_command_line_tells_and_still_stops_the_loop(folder: Path) -> None:
    settings_in_force(folder)
    write(folder, BROKEN)

    def foreact(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "cli.app", "-C", str(folder), *words],
            env={"FOREACT_SERVER__PORT": "1", "HOME": str(folder)},
            capture_output=True,
            text=True,
            check=False,
        )

    off = foreact("mode", "off")
    assert off.returncode == 0
    assert "objectives.0.bound" in off.stderr
    told = json.loads(foreact("status", "--json").stdout)
    assert told["autonomous_mode"] is False
    assert "objectives.0.bound" in told["configuration_trouble"]
    checked = foreact("doctor")
    assert checked.returncode == 1
    assert "wrong configuration" in " ".join(checked.stdout.split())
    refused = foreact("up")
    assert refused.returncode == 1
    assert len(refused.stderr.strip().splitlines()) == 1
    assert "objectives.0.bound" in refused.stderr
