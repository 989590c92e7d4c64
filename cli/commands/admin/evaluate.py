"""`foreact evaluate`."""

from __future__ import annotations

from typing import Annotated

import typer

from cli.options import Json, settings_here, tell

EXAMPLE = "foreact evaluate --days 7 --with darts:ExponentialSmoothing"


def run(
    days: Annotated[float, typer.Option(min=0.01, help="Days of history.")] = 7.0,
    horizon: Annotated[
        int | None, typer.Option(min=1, max=2016, help="Steps to forecast; default: as configured.")
    ] = None,
    origins: Annotated[int, typer.Option(min=1, max=200, help="Number of forecasts per series.")] = 8,
    extra: Annotated[list[str] | None, typer.Option("--with", help="A further forecaster; can be repeated.")] = None,
    series: Annotated[str, typer.Option(help="Which series, such as 'cpu*'.")] = "*",
    placebo: Annotated[
        bool, typer.Option("--placebo", help="Measure acts that never were: how often is an effect seen in nothing?")
    ] = False,
    json: Json = False,
) -> None:
    """Compare forecasters on your metrics. With --placebo: how honest are measured effects?"""
    from cli.evaluation import Question, evaluate_store, evaluations
    from cli.progress import progress
    from flows.wiring import open_configured_store
    from settings import utc_now

    if placebo:
        _check_placebos(days, series, json)
        return
    options = settings_here().forecasting.forecaster
    question = Question(days, horizon or options.horizon_steps, origins, tuple(extra or ()), series)
    with open_configured_store(settings_here()) as store, progress("evaluating") as advance:
        evaluated = list(evaluate_store(store, utc_now(), question, options, advance))
    tell([each.plain() for each in evaluated], json, lambda: evaluations(evaluated))


def _check_placebos(days: float, series: str, json: bool) -> None:
    from cli.placebos import PlaceboQuestion, check_placebos, plain, tell_placebos
    from cli.progress import progress
    from flows.wiring import open_configured_store
    from settings import utc_now

    settings = settings_here()
    with open_configured_store(settings) as store, progress("measuring placebos") as advance:
        found = check_placebos(store, settings, utc_now(), PlaceboQuestion(days, series, settings.agent.seed), advance)
    tell(plain(found), json, lambda: tell_placebos(found))
