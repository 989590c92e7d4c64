"""`foreact backtest`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli.options import Json, Where

EXAMPLE = "foreact backtest --days 30 --every-minutes 60 --fail-on 'missed>0, false-alarms>5'"


def run(
    days: Annotated[float, typer.Option(min=0.01, help="How far back.")] = 7.0,
    every_minutes: Annotated[float | None, typer.Option(min=0.1, help="A turn of the loop every so often.")] = None,
    config: Annotated[Path | None, typer.Option(help="A file in place of foreact.toml.")] = None,
    against: Annotated[Path | None, typer.Option(help="A second configuration to compare with.")] = None,
    fail_on: Annotated[str, typer.Option(help="Conditions that make the exit code 1: missed>0,cost>against")] = "",
    html: Annotated[Path | None, typer.Option(help="Where the page goes; by default beside the data.")] = None,
    json: Json = False,
) -> None:
    """Replay recorded history through the loop: which goals, when, and what it would have done."""
    from cli import backtesting
    from flows.reports.compare import conditions
    from settings import utc_now

    wanted, every_s = conditions(fail_on), every_minutes * 60 if every_minutes else None
    asked = backtesting.Asked(Where.folder, utc_now(), days, every_s, config, against, html)
    answer = backtesting.run(asked, wanted)
    if json:
        typer.echo(answer.to_json())
    else:
        backtesting.tell(answer)
    for line in answer.failed:
        typer.echo(f"failed: {line}", err=True)
    if answer.failed:
        raise typer.Exit(1)
