"""`foreact evaluate`."""

from __future__ import annotations

from typing import Annotated

import typer

from cli.options import Json, settings_here, tell

EXAMPLE = "foreact evaluate --days 7 --with darts:ExponentialSmoothing"


def run(
    days: Annotated[float, typer.Option(min=0.01, help="How far back.")] = 7.0,
    horizon: Annotated[
        int | None, typer.Option(min=1, max=2016, help="How many steps ahead; as configured unless given.")
    ] = None,
    origins: Annotated[int, typer.Option(min=1, max=200, help="How often to forecast.")] = 8,
    extra: Annotated[list[str] | None, typer.Option("--with", help="One more forecaster; may be repeated.")] = None,
    series: Annotated[str, typer.Option(help="Which series, such as 'cpu*'.")] = "*",
    json: Json = False,
) -> None:
    """Compare forecasters on the metrics recorded here: fleet, seasonal naive, and any you name."""
    from cli.evaluation import Question, evaluate_store
    from cli.progress import progress
    from cli.scoreboard import evaluations
    from flows.wiring import open_configured_store
    from settings import utc_now

    options = settings_here().forecasting.forecaster
    question = Question(days, horizon or options.horizon_steps, origins, tuple(extra or ()), series)
    with open_configured_store(settings_here()) as store, progress("evaluating") as advance:
        found = list(evaluate_store(store, utc_now(), question, options, advance))
    tell([each.plain() for each in found], json, lambda: evaluations(found))
