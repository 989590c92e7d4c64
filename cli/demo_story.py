"""`foreact demo`: a fortnight of a simulated shop, with and without foreact, told and then served in the dashboard."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from api.prefect_client import Started
from cli import show
from flows import demo_picture
from flows.demo import DemoReport
from flows.reports.pages import write_page
from settings import Settings
from storage.errors import ForeactError

WEEKS = ("  first week", "  after it")


class StoppedClock:
    """A trigger for a facade with a stopped clock: it starts nothing and says why."""

    def running(self, deployment: str, but: str | None = None) -> Started | None:
        """Return None: nothing runs here."""
        return None

    def run(self, deployment: str, parameters: Mapping[str, Any] | None = None, key: str | None = None) -> Started:
        """Refuse."""
        raise ForeactError(
            "demo_stands_still",
            "The demo is over; it runs no more cycles.",
            "Run `foreact up` to watch a real system.",
            status=409,
        )


@dataclass(frozen=True)
class DemoFiles:
    """Where the picture of a demo, the same for a narrow screen, and the report of its loop lie."""

    picture: Path
    narrow: Path
    report: Path


def write_files(report: DemoReport, folder: Path) -> DemoFiles:
    """Write the pictures and the report into a folder; they load nothing and stay readable when the demo has ended."""
    picture, narrow = folder / "demo.svg", folder / "demo-narrow.svg"
    picture.write_text(demo_picture.draw(report), encoding="utf-8")
    narrow.write_text(demo_picture.draw(report, demo_picture.NARROW), encoding="utf-8")
    simulation = report.simulation
    return DemoFiles(picture, narrow, write_page(simulation, folder / "report.html", simulation.objectives))


def story(report: DemoReport, seed: int) -> None:
    """Print the ways beside each other, then what was learned and what another seed may show."""
    show.table("", *_table(report), "")
    show.say("")
    for sentence in demo_picture.sentences(report):
        show.say(sentence)
    loop = report.simulation
    foretold = sum(not view.goal.because.get("is_broken_now") for view in loop.goals)
    show.say(f"Goals set: {len(loop.goals)}; before anything was broken: {foretold}.")
    show.say(f"This is seed {seed}; another shop: foreact demo --seed {seed + 1}")


def _table(report: DemoReport) -> tuple[Sequence[str], list[tuple[str, ...]]]:
    """Return the heads and rows of the ways beside each other."""
    return ("the same days", *(way.name for way in report.ways)), list(_rows(report))


def _rows(report: DemoReport) -> Iterator[tuple[str, ...]]:
    yield "late minutes", *(f"{way.late_minutes:,.0f}" for way in report.ways)
    weeks = report.weeks()
    for head, week in zip(WEEKS, weeks, strict=False) if len(weeks) > 1 else ():
        yield head, *(f"{way.late_minutes_between(*week):,.0f}" for way in report.ways)
    yield "acts", *(str(len(way.acts)) for way in report.ways)
    yield "cost of both", *(f"{way.cost:,.0f}" for way in report.ways)


def serve(settings: Settings, now: datetime, port: int, report: DemoReport, files: DemoFiles) -> None:
    """Serve the comparison, the dashboard and the API over the data of the demo until Ctrl-C."""
    import uvicorn

    from api.app import create_app
    from api.dashboard import demo_page

    app = create_app(settings, trigger=StoppedClock(), clock=lambda: now)
    demo_page.add(app, files.picture, files.narrow, *_table(report))
    try:
        uvicorn.run(app, host=settings.server.host, port=port, log_level="warning", access_log=False)
    except KeyboardInterrupt:
        return
