"""The wheel runs: installed alone, in a folder whose modules are called like ours."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

from tests import PROJECT, copy_project
from tests.e2e.conftest import environment, start_stack, wait_for

OURS = ("api", "cli", "flows", "handlers", "plugins", "settings", "storage", "tasks")


def built(place: Path) -> Path:
    """Build the wheel from a copy of the project, and return it."""
    source = copy_project(place)
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(place / "dist")]
    subprocess.run(build, cwd=source, check=True, capture_output=True)
    (wheel,) = (place / "dist").glob("*.whl")
    return wheel


def with_dependencies(place: Path) -> str:
    """Make an environment that has what is installed here and nothing of this folder; return its Python."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(place / "venv")], check=True)
    (packages,) = (place / "venv").glob("lib/python*/site-packages")
    # Only the folder itself is added: what is installed for development by a file of its own is not.
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib"))
    return str(place / "venv" / "bin" / "python")


def installed(place: Path) -> str:
    """Have pip install the wheel into an environment that has the dependencies."""
    wheel = built(place)
    assert licence_in(wheel) == (PROJECT / "LICENSE").read_text()
    python = with_dependencies(place)
    pip_in(python, "install", "--no-index", "--no-deps", str(wheel))
    return python


def licence_in(wheel: Path) -> str:
    with zipfile.ZipFile(wheel) as files:
        (name,) = [name for name in files.namelist() if name.endswith(".dist-info/licenses/LICENSE")]
        return files.read(name).decode()


def pip_in(python: str, *arguments: str) -> str:
    """Run pip on an environment; return what it says."""
    command = [sys.executable, "-m", "pip", "--python", python, "--disable-pip-version-check", *arguments]
    done = subprocess.run(command, capture_output=True, text=True)
    assert arguments[0] == "check" or done.returncode == 0, done.stderr
    return done.stdout


def test_the_client_installs_alone(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(build, cwd=copy_project(tmp_path / "source") / "client", check=True, capture_output=True)
    (wheel,) = tmp_path.glob("foreact_client-*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert licence_in(wheel) == (PROJECT / "LICENSE").read_text()
    assert {name.partition("/")[0].partition("-")[0] for name in names} == {"foreact", "foreact_client"}
    script = "import sys, foreact; foreact.connect().close(); print(sorted({'storage', 'pandas'} & set(sys.modules)))"
    environment = {"PYTHONPATH": str(wheel)}
    told = subprocess.run([sys.executable, "-P", "-c", script], env=environment, capture_output=True, text=True)
    assert told.stdout == "[]\n", told.stderr


def test_pip_would_install_the_wheel_on_what_the_lock_has_and_nothing_more(tmp_path: Path) -> None:
    wheel, python = built(tmp_path), with_dependencies(tmp_path)
    lines = (PROJECT / "requirements.lock").read_text().splitlines()
    # Without the hashes: the wheel, which was built just now, has none there.
    lock = [line.removesuffix("\\") for line in lines if line[:1].isalnum()]
    (tmp_path / "lock").write_text("\n".join(lock))
    told = pip_in(python, "install", "--dry-run", "--no-index", "-c", str(tmp_path / "lock"), str(wheel))
    (would,) = [line for line in told.splitlines() if line.startswith("Would install")]
    assert would == f"Would install foreact-{wheel.name.split('-')[1]}"


def test_an_installed_wheel_runs_beside_modules_of_the_same_names(tmp_path: Path) -> None:
    python = installed(tmp_path)
    where = subprocess.run(
        [python, "-P", "-c", "import settings; print(settings.__file__)"], capture_output=True, text=True, check=True
    )
    assert not where.stdout.startswith(str(PROJECT))
    # Of what else lies in this environment nothing is known here.
    assert [line for line in pip_in(python, "check").splitlines() if line.startswith("foreact ")] == []
    folder = tmp_path / "folder"
    folder.mkdir()
    for name in OURS:
        (folder / f"{name}.py").write_text("raise RuntimeError('a module of the user was taken for ours')\n")
    stack = start_stack(folder, python=python, PYTHONPATH="")
    try:
        assert "RuntimeError" not in stack.output
        wait_for("a second cycle", lambda: len(stack.runs("COMPLETED")) >= 2, 90)
        failed = [each for each in stack.api("/actions")["actions"] if each["status"] == "failed"]
        assert failed == []
        script = [str(Path(python).with_name("foreact")), "-C", str(folder), "status"]
        told = subprocess.run(script, cwd=folder, env=environment(PYTHONPATH=""), capture_output=True, text=True)
        assert told.returncode == 0, told.stderr
        assert (folder / ".foreact" / "foreact.duckdb").exists()
    finally:
        assert stack.stop() == 0, stack.output
