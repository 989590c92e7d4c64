"""`foreact mode`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.options import Json, Note, settings_here, tell

if TYPE_CHECKING:
    from settings import Settings

EXAMPLE = "foreact mode off --note 'deploying by hand'"
SWITCHES = ("on", "off", "stop", "release", "show")


def run(
    switch: Annotated[
        str,
        typer.Argument(
            metavar="[on|off|stop|release|show]",
            help="off: it only recommends; on: it acts where levels allow it; stop: nothing at all is done, approved "
            "or not; release: ends the stop.",
        ),
    ] = "show",
    note: Note = "",
    json: Json = False,
) -> None:
    """Switch automatic actions on or off, or stop everything."""
    from cli import show
    from storage.errors import ForeactError

    if switch not in SWITCHES:
        raise ForeactError("mode_unknown", f"There is no mode {switch}.", f"Use one of {', '.join(SWITCHES)}.")
    if switch in ("stop", "release") and not note.strip():
        raise ForeactError("reason_missing", f"`foreact mode {switch}` needs a reason.", "Give it with --note.")
    answer = _answer(settings_here(), switch, note.strip())
    tell(answer, json, lambda: show.say(answer["note"]))


def _answer(settings: Settings, switch: str, note: str) -> Any:
    from cli.client import desk

    try:
        with desk(settings) as ask:
            if switch == "show":
                return ask.get("/status")["mode"]
            if switch in ("stop", "release"):
                return ask.post("/stop", {"note": note, "release": switch == "release"})
            return ask.post("/mode", {"autonomous": switch == "on", "note": note})
    except Exception as trouble:
        if switch not in ("stop", "release"):
            raise
        return _by_file(settings, switch == "stop", note, trouble)


def _by_file(settings: Settings, stops: bool, note: str, trouble: Exception) -> dict[str, str]:
    """Stop or release without facade and store: the file alone counts, and who runs next notes that it came or went."""
    from tasks.authority import hold_everything, release_everything

    if stops:
        hold_everything(settings, note)
    else:
        release_everything(settings)
    state = "in place" if stops else "gone"
    return {"note": f"The kill switch {settings.kill_switch_path} is {state}, by the file alone: {trouble}"}
