"""`foreact demo`."""

from __future__ import annotations

from typing import Annotated

import typer

from cli.options import Where

EXAMPLE = "foreact demo --days 7"


def run(
    days: Annotated[float, typer.Option(min=0.1, max=60, help="How many days of it.")] = 14.0,
    seed: Annotated[int, typer.Option(help="Another seed is another shop.")] = 0,
    look: Annotated[bool, typer.Option(help="Serve the dashboard afterwards.")] = True,
) -> None:
    """Show the loop on a simulated web shop: two weeks in a minute; nothing real is touched."""
    from api.processes.preflight import free_port_from
    from cli import demo_story, show
    from cli.progress import progress
    from flows.demo import lay_out, play
    from settings import utc_now

    folder, end = Where.folder / ".foreact" / "demo", utc_now().replace(second=0, microsecond=0)
    settings = lay_out(folder)
    port = free_port_from(settings.server.host, settings.server.port) if look else settings.server.port
    show.say(
        "A web shop has a rush every evening. Three things can be done; only one of them helps, and nobody says which."
    )
    with progress(f"{days:g} days of it") as advance:
        report = play(settings, end, days, seed, advance)
    demo_story.story(report)
    report.store.close()
    show.say(f"All of it lies in {folder}: change its foreact.toml and run the demo again.")
    if look:
        show.say(f"Look at it: http://{settings.server.host}:{port}/ (Ctrl-C ends it)")
        demo_story.serve(settings, end, port)
