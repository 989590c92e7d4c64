"""`foreact up`."""

from __future__ import annotations

from cli.options import Where

EXAMPLE = "foreact up"


def run() -> None:
    """Start everything here: Prefect server, facade, dashboard, worker; until Ctrl-C."""
    from api.serve import up as serve
    from settings import load_settings

    serve(load_settings(Where.folder), Where.folder)
