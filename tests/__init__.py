"""The tests, laid out like the rooms they test."""

from __future__ import annotations

import gc
import os
import shutil
import subprocess
import sys
import warnings
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
IS_THOROUGH = bool(os.environ.get("FOREACT_TEST_THOROUGH"))


def sized(usual: int, thorough: int) -> int:
    """Return how often a test tries something: more often under `make thorough`, which takes about an hour longer."""
    return thorough if IS_THOROUGH else usual


def forget_clients() -> None:
    """Let go of the sockets that Prefect's own clients leave to the garbage collector: no later test is at fault."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


def copy_project(folder: Path) -> Path:
    """Copy the files that git knows, or would take, into a folder; return it."""
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listed, cwd=PROJECT, capture_output=True, text=True, check=True).stdout.split("\0")
    for name in filter(None, names):
        if (PROJECT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(PROJECT / name, folder / name)
    return folder


def run_in(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """Run Python in a copy of the project, with the modules of the copy."""
    environment = {**os.environ, "PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run([sys.executable, *command], cwd=folder, env=environment, capture_output=True, text=True)
