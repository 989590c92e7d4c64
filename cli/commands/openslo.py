"""`foreact openslo`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from cli.options import Json, settings_here, tell

EXAMPLE = "foreact openslo slos.yaml"


def run(
    file: Annotated[
        Path | None, typer.Argument(help="OpenSLO v1 to set as objectives; without it those in force are printed.")
    ] = None,
    json: Json = False,
) -> None:
    """Import objectives from an OpenSLO file, or export them."""
    from api.access import person
    from cli.client import desk
    from storage.errors import ForeactError

    with desk(settings_here()) as ask:
        if file is None:
            answer = ask.get("/objectives/openslo")
            tell(answer, json, lambda: _show_document(answer))
            return
        try:
            text = file.read_text()
        except (OSError, UnicodeDecodeError) as trouble:
            raise ForeactError("file_unusable", f"{file} cannot be read: {trouble}.", "Name a YAML file.") from None
        answer = ask.post("/objectives/openslo", {"document": text, "by": person()})
    tell(answer, json, lambda: _show_set(answer))


def _show_document(answer: dict[str, Any]) -> None:
    typer.echo(answer["document"], nl=False)
    for line in answer["left_out"]:
        typer.echo(f"# left out: {line}")


def _show_set(answer: dict[str, Any]) -> None:
    from cli import show

    show.say(f"set {', '.join(answer['objectives'])}")
    for note in answer["notes"]:
        show.say(note)
    if answer["queries"]:
        typer.echo("put into foreact.toml:\n[sources.prometheus.queries]")
        for metric, query in answer["queries"].items():
            typer.echo(f"{metric} = '''{query}'''")
