"""`foreact backtest`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli.options import Json, Where

EXAMPLE = "foreact backtest --days 30 --every-minutes 60 --fail-on 'missed>0, false-alarms>5'"


def run(
    days: Annotated[float, typer.Option(min=0.01, help="Days of history.")] = 7.0,
    every_minutes: Annotated[float | None, typer.Option(min=0.1, help="Minutes between turns of the loop.")] = None,
    config: Annotated[Path | None, typer.Option(help="Configuration to use instead of foreact.toml.")] = None,
    against: Annotated[Path | None, typer.Option(help="A second configuration to compare with.")] = None,
    fail_on: Annotated[str, typer.Option(help="Exit with 1 if one of these holds: missed>0,cost>against")] = "",
    html: Annotated[Path | None, typer.Option(help="File for the HTML report; default: in the data folder.")] = None,
    json: Json = False,
) -> None:
    """Replay history: the goals and actions it would have led to."""
    from cli import backtesting
    from flows.reports.compare import conditions
    from settings import utc_now

    fail_conditions, every_s = conditions(fail_on), every_minutes * 60 if every_minutes else None
    asked = backtesting.Asked(Where.folder, utc_now(), days, every_s, config, against, html)
    answer = backtesting.run(asked, fail_conditions)
    if json:
        typer.echo(answer.to_json())
    else:
        backtesting.tell(answer)
    for line in answer.failed:
        typer.echo(f"failed: {line}", err=True)
    if answer.failed:
        raise typer.Exit(1)
