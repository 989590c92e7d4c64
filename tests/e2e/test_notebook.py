"""The notebook beside a running stack: every cell runs, and what it started is listed with the other runs."""

from __future__ import annotations

import json
import subprocess
import sys

from tests.e2e.conftest import PROJECT, Stack, environment, wait_for

NOTEBOOK = PROJECT / "examples" / "notebook.ipynb"
RUN_CELLS = """
import ast, asyncio, inspect, json, sys
cells = [cell for cell in json.load(open(sys.argv[1]))["cells"] if cell["cell_type"] == "code"]
names = {}
async def run():
    for cell in cells:
        code = compile("".join(cell["source"]), cell["id"], "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        done = eval(code, names)
        if inspect.isawaitable(done):
            await done
asyncio.run(run())
print(names["state"].type.value, names["state"].message)
"""


def test_every_cell_of_the_notebook_runs_beside_the_stack(stack: Stack) -> None:
    wait_for("a forecast of the CPU", lambda: "cpu_used_ratio" in json.dumps(stack.api("/predictions")), 90)
    done = subprocess.run(
        [sys.executable, "-c", RUN_CELLS, str(NOTEBOOK)],
        cwd=stack.folder,
        env=environment(MPLBACKEND="Agg"),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1].startswith("COMPLETED cycle-")
    assert "cycle notebook" in [run["name"] for run in stack.runs("COMPLETED")]
