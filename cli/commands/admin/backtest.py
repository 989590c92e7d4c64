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
    prometheus: Annotated[str | None, typer.Option(help="Address of a Prometheus to read the history from.")] = None,
    query: Annotated[
        list[str] | None,
        typer.Option(help="NAME=PROMQL, instead of the configured queries; may be repeated.", metavar="NAME=PROMQL"),
    ] = None,
    step: Annotated[float, typer.Option(min=1, help="Seconds between two points of Prometheus.")] = 300.0,
    markdown: Annotated[
        Path | None, typer.Option(help="File for a review of the change, for a pull request; wants --against.")
    ] = None,
    html: Annotated[Path | None, typer.Option(help="File for the HTML report; default: in the data folder.")] = None,
    json: Json = False,
) -> None:
    """Replay history: what foreact would have foreseen and done.

    With --against and --prometheus or --markdown the change is reviewed; exit code 3 if it is worse.
    """
    from cli import backtesting
    from flows.prometheus_history import PrometheusQuestion, queries_from
    from flows.reports.compare import conditions
    from settings import utc_now
    from storage.errors import ForeactError

    fail_conditions, every_s = conditions(fail_on), every_minutes * 60 if every_minutes else None
    if query and prometheus is None:
        raise ForeactError("query_needs_prometheus", "A query is asked of a Prometheus.", "Name it: --prometheus URL.")
    where = PrometheusQuestion(prometheus, queries_from(query or ()), step) if prometheus is not None else None
    asked = backtesting.Asked(Where.folder, utc_now(), days, every_s, config, against, html, markdown, where)
    answer = backtesting.run(asked, fail_conditions)
    if json:
        typer.echo(answer.to_json())
    else:
        backtesting.tell(answer)
    for line in answer.failed:
        typer.echo(f"failed: {line}", err=True)
    for note in answer.notes:
        typer.echo(f"note: {note}", err=True)
    if answer.exit_code:
        raise typer.Exit(answer.exit_code)
