"""`foreact open`."""

from __future__ import annotations

from cli.options import Json, settings_here, tell

EXAMPLE = "foreact open"


def run(json: Json = False) -> None:
    """Open the dashboard in the browser, and print its address."""
    import webbrowser

    from cli import show
    from cli.client import desk
    from settings import browsable
    from storage.errors import ForeactError

    settings = settings_here(warns=False)
    with desk(settings) as ask:
        if not ask.is_live:
            raise ForeactError("not_running", "foreact is not running in this folder.", "Start it with `foreact up`.")
    address = f"http://{browsable(settings.server.host)}:{settings.server.port}/"
    is_opened = not json and webbrowser.open(address)
    tell({"url": address}, json, lambda: show.say(address if is_opened else f"{address} (no browser found here)"))
