"""`foreact up`."""

from __future__ import annotations

from cli.options import Where

EXAMPLE = "foreact up"


def run() -> None:
    """Start Prefect, worker, API and dashboard, until Ctrl-C."""
    from api.serve import up as serve
    from settings import load_settings

    serve(load_settings(Where.folder), Where.folder)
