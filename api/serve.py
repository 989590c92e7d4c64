"""`foreact up`: start the process group of a folder and stay until Ctrl-C."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from api.prefect_client import authorization
from api.processes.console import Console
from api.processes.layout import new_layout
from api.processes.preflight import hold
from settings import Settings


def up(settings: Settings, folder: Path) -> None:
    """Run the stack of a folder until a signal stops it.

    Raises `folder_not_writable`, `already_running`, `port_in_use`, `not_ready` or `process_gave_up`.
    """
    os.umask(0o077)  # what the stack writes is its user's alone
    layout = new_layout(settings, folder)
    with hold(layout):
        console = Console(layout.logs)
        # Imported late, so that a refusal costs nothing.
        from api.processes.prefect_rest import PrefectRest
        from api.processes.supervisor import Supervisor

        async def run() -> None:
            await Supervisor(layout, console, PrefectRest(settings.prefect_url, authorization(settings))).run()

        try:
            asyncio.run(run())
        finally:
            console.close()
