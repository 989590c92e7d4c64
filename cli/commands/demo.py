"""`foreact demo`."""

from __future__ import annotations

from typing import Annotated

import typer

from cli.options import Where

EXAMPLE = "foreact demo --days 7"


def run(
    days: Annotated[float, typer.Option(min=0.1, max=60, help="Days to simulate.")] = 14.0,
    seed: Annotated[int, typer.Option(help="Random seed; another seed gives another shop.")] = 0,
    look: Annotated[bool, typer.Option(help="Serve the dashboard afterwards.")] = True,
) -> None:
    """Run the loop on a simulated web shop: two weeks in a minute. Nothing real is touched."""
    from api.processes.preflight import free_port_from
    from cli import demo_story, show
    from cli.progress import progress
    from flows.demo import lay_out, play
    from settings import utc_now

    folder, end = Where.folder / ".foreact" / "demo", utc_now().replace(second=0, microsecond=0)
    settings = lay_out(folder)
    port = free_port_from(settings.server.host, settings.server.port) if look else settings.server.port
    show.say("A web shop has a rush every evening. Three actions are available; foreact must find out which one helps.")
    with progress(f"simulating {days:g} days") as advance:
        report = play(settings, end, days, seed, advance)
    demo_story.story(report)
    report.store.close()
    show.say(f"Data and configuration are in {folder}. Change foreact.toml there and run the demo again.")
    if look:
        show.say(f"Dashboard: http://{settings.server.host}:{port}/ (Ctrl-C stops it)")
        demo_story.serve(settings, end, port)
