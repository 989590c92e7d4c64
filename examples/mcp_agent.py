"""A small agent over MCP: `python examples/mcp_agent.py FOLDER` proposes what the plan weighed for a goal.

A language model would choose in the place of `choose`. The key of an agent is read from FOREACT_KEY.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import tempfile
from typing import Any

from mcp.client import Client
from mcp.client.stdio import StdioServerParameters, stdio_client


async def main(folder: str) -> None:
    """Read the goals, choose, propose, and print what foreact says to it."""
    command = ["-m", "cli.app", "-C", folder, "mcp", "--name", "example"]
    server = StdioServerParameters(command=sys.executable, args=command, env=dict(os.environ))
    async with Client(stdio_client(server)) as foreact:
        goals = (await ask(foreact, "goals"))["goals"]
        if not goals:
            print("There is no open goal: nothing needs to be done.")
            return
        chosen = choose(await ask(foreact, "goal", goal_id=goals[0]["goal_id"]))
        if chosen is None:
            print(f"{goals[0]['description']}: the plan weighed nothing that could help.")
            return
        answer = await foreact.call_tool("propose", {"goal_id": goals[0]["goal_id"], **chosen})
        print(answer.content[0].text)  # type: ignore[union-attr]


async def ask(foreact: Client, tool: str, **given: Any) -> dict[str, Any]:
    """Return what a tool answers."""
    answer = await foreact.call_tool(tool, given)
    text = answer.content[0].text  # type: ignore[union-attr]
    if answer.is_error:
        sys.exit(text)
    return dict(json.loads(text))


def choose(goal: dict[str, Any]) -> dict[str, Any] | None:
    """Choose of what the newest plan weighed the alternative that is worth most."""
    weighed = [each for decision in goal["decisions"][:1] for each in decision["alternatives"] if each["value"] > 0]
    best = max(weighed, key=lambda each: each["value"], default=None)
    if best is None:
        return None
    reason = f"Of {len(weighed)} alternatives it is worth most: {best['value']:.2f}."
    return {"action": best["action"], "params": best["params"], "reason": reason}


if __name__ == "__main__":
    if len(sys.argv) > 1:
        asyncio.run(main(sys.argv[1]))
    else:
        with tempfile.TemporaryDirectory() as empty:
            print("Without a folder it asks a foreact that knows nothing yet.")
            asyncio.run(main(empty))
