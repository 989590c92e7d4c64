"""`foreact demo`."""

from __future__ import annotations

from typing import Annotated

import typer

from cli.options import Json, Where, tell

EXAMPLE = "foreact demo --days 7"


def run(
    days: Annotated[float, typer.Option(min=0.1, max=60, help="Days to simulate.")] = 14.0,
    seed: Annotated[int, typer.Option(help="Random seed; another seed gives another shop.")] = 0,
    look: Annotated[bool, typer.Option(help="Serve the dashboard afterwards, until Ctrl-C.")] = True,
    port: Annotated[
        int | None, typer.Option(min=1, max=65_535, help="Port of the dashboard; default: the next that is free.")
    ] = None,
    json: Json = False,
) -> None:
    """Run a simulated shop with and without foreact.

    Two weeks in a minute or two; nothing real is touched.
    """
    from api.processes.preflight import free_port_from, port_trouble
    from cli import demo_story, show
    from cli.progress import progress
    from flows import demo
    from storage.errors import ForeactError

    folder = Where.folder / ".foreact" / "demo"
    settings = demo.lay_out(folder)
    if look and port is not None and (trouble := port_trouble(settings.server.host, port)):
        raise ForeactError("port_in_use", f"Port {port} cannot be used: {trouble}.", "Name another with --port.")
    at = port or (free_port_from(settings.server.host, settings.server.port) if look else settings.server.port)
    say = (lambda text: None) if json else show.say
    say("A web shop has a rush every evening. Three actions are available; foreact must find out which one helps.")
    with progress(f"running {days:g} days of the shop") as advance:
        report = demo.play(settings, days, seed, advance)
    pages = demo_story.write_files(report, folder)
    tell(report.summary(), json, lambda: demo_story.story(report, seed))
    report.simulation.store.close()
    say(f"\nAs a picture: {pages.picture}\nWhat was seen, set and done: {pages.report}")
    say(f"Change {folder / 'foreact.toml'} and run it again, or start foreact for real: foreact up")
    if look:
        say(f"Both beside each other, and every goal, decision and effect: http://{settings.server.host}:{at}/demo")
        say("Ctrl-C ends it.")
        demo_story.serve(settings, demo.END, at, report, pages)
        say("The demo has ended. Look again: foreact demo. Watch this machine: foreact up")
