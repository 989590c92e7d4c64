"""`foreact forecast`."""

from __future__ import annotations

from typing import Annotated

import typer

from cli.options import Json, complete_metric, settings_here, tell

EXAMPLE = "foreact forecast cpu_used_ratio --hours 6"
MOST_HOURS = 720.0


def run(
    metric: Annotated[
        str | None,
        typer.Argument(
            metavar="[METRIC]",
            help="A metric or series such as 'cpu*'; without one: all.",
            autocompletion=complete_metric,
        ),
    ] = None,
    hours: Annotated[float, typer.Option(min=0.01, max=MOST_HOURS, help="How far ahead.")] = 24.0,
    json: Json = False,
) -> None:
    """Draw the past and the forecast of a metric, with its bounds."""
    from cli import forecast_view, show
    from cli.client import desk

    settings = settings_here()
    with desk(settings) as ask:
        answer = ask.get("/predictions", horizon_hours=hours)
        objectives = ask.get("/objectives")["objectives"] if metric is not None else []
    if metric is None or not answer["series"]:
        tell(answer, json, lambda: forecast_view.listed(answer))
        return
    series = forecast_view.with_history(settings, forecast_view.meant(answer["series"], metric))
    names = {each["series"] for each in series}
    breaches = [each for each in answer["breaches"] if each["series"] in names]
    if json:
        tell(answer | {"series": series, "breaches": breaches}, json, lambda: None)
        return
    for each in series[: forecast_view.MOST_DRAWN]:
        forecast_view.drawn(each, objectives, [one for one in breaches if one["series"] == each["series"]])
    if len(series) > forecast_view.MOST_DRAWN:
        show.say(f"{len(series) - forecast_view.MOST_DRAWN} more match; name one series to see it.")
