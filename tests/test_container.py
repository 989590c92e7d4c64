"""The container file copies what there is and enough to run, not as root, with its data in a volume."""

from __future__ import annotations

import re
import subprocess
import sys
from fnmatch import fnmatchcase
from pathlib import Path

from tests import PROJECT, copy_project

DOCKERFILE = (PROJECT / "Dockerfile").read_text()


def copied() -> list[str]:
    lines = re.findall(r"^COPY (.+) (\S+)$", DOCKERFILE, re.MULTILINE)
    return [name for sources, _ in lines for name in sources.split()]


def test_everything_that_is_copied_exists_and_is_not_ignored() -> None:
    allowed = [line[1:] for line in (PROJECT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    for name in copied():
        assert (PROJECT / name).exists(), name
        assert any(fnmatchcase(name, each) for each in allowed), name


def test_what_is_copied_is_enough_to_start(tmp_path: Path) -> None:
    whole, image = copy_project(tmp_path / "whole"), tmp_path / "image"
    image.mkdir()
    for name in copied():
        (whole / name).rename(image / name)
    environment = {"PYTHONPATH": str(image), "FOREACT_FOLDER": str(tmp_path), "PATH": "/usr/bin:/bin"}
    entry = re.findall(r'"([^"]+)"', re.findall(r"^ENTRYPOINT (.+)$", DOCKERFILE, re.MULTILINE)[0])
    command = [sys.executable, *entry[1:]]
    for arguments in (["--help"], ["status", "--help"]):
        told = subprocess.run([*command, *arguments], cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert told.returncode == 0, told.stderr
    script = "import flows.cycle, api.app, api.processes.register"
    told = subprocess.run(
        [sys.executable, "-P", "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert told.returncode == 0, told.stderr


def test_it_does_not_run_as_root_and_keeps_its_data_in_a_volume() -> None:
    users = re.findall(r"^USER (\S+)$", DOCKERFILE, re.MULTILINE)
    assert users[-1] not in ("root", "0")
    assert "\nVOLUME /data\n" in DOCKERFILE
    assert "FOREACT_FOLDER=/data" in DOCKERFILE
