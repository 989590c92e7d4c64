"""`foreact mcp`."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Annotated

import typer

from cli.options import settings_here

if TYPE_CHECKING:
    from cli.client import FacadeClient

EXAMPLE = "foreact mcp --name planner"


def run(
    name: Annotated[str, typer.Option(help="Under which name this agent proposes.")] = "agent",
    url: Annotated[str | None, typer.Option(help="A foreact elsewhere; default: this folder.")] = None,
    key: Annotated[
        str | None, typer.Option(envvar="FOREACT_KEY", help="API key of the agent; without one it answers nothing.")
    ] = None,
) -> None:
    """Let an AI agent read, propose and approve, over MCP."""
    import anyio

    from api.access import AGENT_MARK
    from cli import mcp_server
    from cli.client import address_of, desk, desk_at

    settings = settings_here()

    def agents_desk() -> AbstractContextManager[FacadeClient]:
        if url or key:
            return desk_at(url or address_of(settings), key, AGENT_MARK)
        return desk(settings, AGENT_MARK)

    anyio.run(mcp_server.serve, agents_desk, name)
