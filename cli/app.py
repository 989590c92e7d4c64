"""`foreact`: every command asks the running facade, or reads the store itself if none runs."""

from __future__ import annotations

import json as json_module
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

# Everything else is imported inside the commands, so that `foreact --help` answers at once.
if TYPE_CHECKING:
    from settings import Settings

app = typer.Typer(
    name="foreact",
    help="Forecasts a system, sets goals before an objective breaks, acts, measures the effect and learns.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
Subject = Annotated[str, typer.Argument(metavar="ID", help="Id of a goal or an action.")]
Note = Annotated[str, typer.Option("--note", help="Your reason, for the audit trail.")]


class _Where:
    """The folder that the command works on."""

    folder: Path = Path()


def _tell_version(is_asked: bool) -> None:
    if is_asked:
        from settings import VERSION

        typer.echo(f"foreact {VERSION}")
        raise typer.Exit


@app.callback()
def _main(
    folder: Annotated[
        Path | None, typer.Option("--folder", "-C", help="Folder with foreact.toml; default: the current one.")
    ] = None,
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_tell_version, help="Print the version and exit.")
    ] = False,
) -> None:
    from settings import child_environment
    from storage.errors import ForeactError

    _Where.folder = Path(folder or child_environment({}).get("FOREACT_FOLDER", ".")).resolve()
    if not _Where.folder.is_dir():
        raise ForeactError(
            "folder_not_found",
            f"There is no folder {_Where.folder}.",
            "Create it first, or correct -C or FOREACT_FOLDER.",
        )


@app.command(epilog="Example: foreact up")
def up() -> None:
    """Start Prefect, worker, API and dashboard, until Ctrl-C."""
    from api.serve import up as serve
    from settings import load_settings

    serve(load_settings(_Where.folder), _Where.folder)


@app.command(epilog="Example: foreact demo --days 7")
def demo(
    days: Annotated[float, typer.Option(min=0.1, max=60, help="Days to simulate.")] = 14.0,
    seed: Annotated[int, typer.Option(help="Random seed; another seed gives another shop.")] = 0,
    look: Annotated[bool, typer.Option(help="Serve the dashboard afterwards.")] = True,
) -> None:
    """Run the loop on a simulated web shop: two weeks in a minute. Nothing real is touched."""
    from api.processes.preflight import free_port_from
    from cli import demo as told
    from cli import show
    from cli.progress import progress
    from flows.demo import lay_out, play
    from settings import utc_now

    folder, end = _where_to_play(), utc_now().replace(second=0, microsecond=0)
    settings = lay_out(folder)
    port = free_port_from(settings.server.host, settings.server.port) if look else settings.server.port
    show.say("A web shop has a rush every evening. Three actions are available; foreact must find out which one helps.")
    with progress(f"simulating {days:g} days") as advance:
        report = play(settings, end, days, seed, advance)
    told.story(report)
    report.store.close()
    show.say(f"Data and configuration are in {folder}. Change foreact.toml there and run the demo again.")
    if look:
        show.say(f"Dashboard: http://{settings.server.host}:{port}/ (Ctrl-C stops it)")
        told.serve(settings, end, port)


@app.command(epilog="Example: foreact status")
def status(json: Json = False) -> None:
    """Show mode, goals, actions and cycles at a glance."""
    from cli import show
    from cli.client import desk

    with desk(_settings(warns=False)) as ask:
        answer = ask.get("/status")
        _tell(answer, json, lambda: show.status(answer, ask.is_live))


@app.command(epilog="Example: foreact goals --all")
def goals(
    goal_id: Annotated[str | None, typer.Argument(help="Show one goal with its decisions and actions.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Include closed goals.")] = False,
    json: Json = False,
) -> None:
    """List open goals, most important first."""
    from cli import show
    from cli.client import desk

    with desk(_settings()) as ask:
        if goal_id is not None:
            answer = ask.get(f"/goals/{goal_id}")
            _tell(answer, json, lambda: show.goal(answer))
        else:
            answer = ask.get("/goals", state="all" if everything else "open")
            _tell(answer, json, lambda: show.goals(answer))


@app.command(epilog="Example: foreact actions --json")
def actions(limit: Annotated[int, typer.Option(min=1, max=500)] = 20, json: Json = False) -> None:
    """List the newest actions and those that wait for approval."""
    from cli import show
    from cli.client import desk

    with desk(_settings()) as ask:
        answer = ask.get("/actions", limit=limit)
        _tell(answer, json, lambda: show.actions(answer))


@app.command(epilog="Example: foreact approve action-3f0c2a9d1b7e --set amount=4 --note 'looks right'")
def approve(
    subject: Subject,
    note: Note = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what it would do; it keeps waiting.")] = False,
    changes: Annotated[
        list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="Change a parameter; can be repeated.")
    ] = None,
) -> None:
    """Approve a waiting action, or all waiting actions of a goal."""
    if (dry_run or changes) and subject.startswith("goal"):
        from storage.errors import ForeactError

        raise ForeactError("not_an_action", f"{subject} is a goal.", "Name one action: `foreact actions` lists them.")
    _answer(subject, "approve?dry_run=true" if dry_run else "approve", note, _params(changes or []))


@app.command(epilog="Example: foreact cancel goal-3f0c2a9d1b7e --note 'planned maintenance'")
def cancel(subject: Subject, note: Note = "") -> None:
    """Cancel a goal, or reject a waiting action."""
    _answer(subject, "cancel" if subject.startswith("goal") else "reject", note)


@app.command(epilog="Example: foreact undo action-3f0c2a9d1b7e")
def undo(subject: Subject, note: Note = "") -> None:
    """Undo an action."""
    _answer(subject, "undo", note)


@app.command(epilog="Example: foreact mode off")
def mode(switch: Annotated[str, typer.Argument(metavar="on|off|show")] = "show") -> None:
    """Switch automatic actions on or off, or show the mode."""
    from cli import show
    from cli.client import desk, person
    from storage.errors import ForeactError

    if switch not in ("on", "off", "show"):
        raise ForeactError("mode_unknown", f"There is no mode {switch}.", "Use on, off or show.")
    with desk(_settings()) as ask:
        if switch == "show":
            show.say(ask.get("/status")["mode"]["note"])
        else:
            show.say(ask.post("/mode", {"autonomous": switch == "on", "by": person()})["note"])


@app.command(epilog="Example: foreact cycle")
def cycle() -> None:
    """Run one cycle now, in the stack or, if none runs, here."""
    from cli import show
    from cli.client import desk

    settings = _settings()
    with desk(settings) as ask:
        if ask.is_live:
            started = ask.post("/analysis/trigger")
            show.say(f"flow run {started['flow_run_id']}: {started['flow_run_url']}")
            return
    _cycle_here(settings)


@app.command(epilog="Example: foreact backtest --days 30 --every-minutes 60 --fail-on 'missed>0, false-alarms>5'")
def backtest(
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

    wanted, every_s = conditions(fail_on), every_minutes * 60 if every_minutes else None
    asked = backtesting.Asked(_Where.folder, utc_now(), days, every_s, config, against, html)
    answer = backtesting.run(asked, wanted)
    if json:
        typer.echo(answer.to_json())
    else:
        backtesting.tell(answer)
    for line in answer.failed:
        typer.echo(f"failed: {line}", err=True)
    if answer.failed:
        raise typer.Exit(1)


@app.command(name="evaluate", epilog="Example: foreact evaluate --days 7 --with darts:ExponentialSmoothing")
def evaluate(
    days: Annotated[float, typer.Option(min=0.01, help="Days of history.")] = 7.0,
    horizon: Annotated[
        int | None, typer.Option(min=1, max=2016, help="Steps to forecast; default: as configured.")
    ] = None,
    origins: Annotated[int, typer.Option(min=1, max=200, help="Number of forecasts per series.")] = 8,
    extra: Annotated[
        list[str] | None, typer.Option("--with", help="A forecaster besides fleet and seasonal naive; can be repeated.")
    ] = None,
    series: Annotated[str, typer.Option(help="Which series, such as 'cpu*'.")] = "*",
    json: Json = False,
) -> None:
    """Compare forecasters on your recorded metrics."""
    from cli.evaluate import Question, evaluate_store
    from cli.progress import progress
    from cli.scoreboard import evaluations
    from flows.wiring import open_configured_store
    from settings import utc_now

    options = _settings().forecasting.forecaster
    question = Question(days, horizon or options.horizon_steps, origins, tuple(extra or ()), series)
    with open_configured_store(_settings()) as store, progress("evaluating") as advance:
        found = list(evaluate_store(store, utc_now(), question, options, advance))
    _tell([each.plain() for each in found], json, lambda: evaluations(found))


@app.command(name="import", epilog="Example: foreact import history.csv --unit ms")
def import_(
    file: Annotated[
        Path, typer.Argument(help="CSV: a column `ts`, and `metric` and `value` or one column per metric.")
    ],
    unit: Annotated[str, typer.Option(help="Unit of all values.")] = "",
) -> None:
    """Import history from a CSV file."""
    from cli import show
    from cli.history_file import bring_in
    from flows.wiring import open_configured_store

    with open_configured_store(_settings()) as store:
        recorded, left_out, series = bring_in(store, file, unit)
    rest = f"; skipped {left_out} without a finite value or a time" if left_out else ""
    show.say(f"imported {recorded} samples of {series} series{rest}")


@app.command(epilog="Example: foreact audit --verify")
def audit(
    verify: Annotated[bool, typer.Option("--verify", help="Check that no line was changed.")] = False,
    limit: Annotated[int, typer.Option(min=1, max=1000)] = 20,
    json: Json = False,
) -> None:
    """List decisions: what, by whom and when."""
    from cli import show
    from cli.client import desk

    with desk(_settings()) as ask:
        answer = ask.get("/audit", limit=limit, verify=verify)
    _tell(answer, json, lambda: show.audit(answer))
    if verify and not answer["verified"]:
        raise typer.Exit(1)


@app.command(epilog="Example: foreact doctor --drill")
def doctor(
    drill: Annotated[bool, typer.Option("--drill", help="Instead, run and undo each action on a safe target.")] = False,
) -> None:
    """Check the installation; exit code 1 if something is wrong."""
    from api.processes.layout import new_layout
    from cli import show
    from cli.checks import drills, examine

    is_well = True
    settings = _settings(warns=False)
    for check in drills(settings) if drill else examine(new_layout(settings, _Where.folder)):
        is_well = is_well and check.finding != "wrong"
        show.say(f"{check.finding:<6}{check.what:<30}{check.text}")
    if not is_well:
        raise typer.Exit(1)


def main() -> None:
    """Run a command; a refusal is one line and exit code 1."""
    try:
        app()
    except Exception as trouble:
        from storage.errors import ForeactError, TransientError

        if isinstance(trouble, ForeactError):
            sys.exit(f"foreact: {trouble} [{trouble.code}]")
        if isinstance(trouble, TransientError):
            sys.exit(f"foreact: {trouble}. Try again in a moment.")
        raise


def _settings(warns: bool = True) -> Settings:
    """Return the configuration in force; with an invalid one, people can still ask and stop the loop."""
    from settings import settings_in_force

    settings = settings_in_force(_Where.folder)
    if settings.trouble and warns:
        typer.echo(f"foreact: {settings.trouble} Until then the last usable configuration applies.", err=True)
    return settings


def _where_to_play() -> Path:
    return _Where.folder / ".foreact" / "demo"


def _tell(answer: Any, as_json: bool, show: Callable[[], None]) -> None:
    if as_json:
        typer.echo(json_module.dumps(answer, indent=2, default=str))
    else:
        show()


def _params(changes: list[str]) -> dict[str, Any]:
    """Read typed parameters: as JSON if possible, otherwise as text."""
    found: dict[str, Any] = {}
    for change in changes:
        name, sign, text = change.partition("=")
        if not (name and sign):
            from storage.errors import ForeactError

            raise ForeactError("parameter_unclear", f"{change!r} sets nothing.", "Write, for example, --set amount=4.")
        try:
            found[name] = json_module.loads(text)
        except ValueError:
            found[name] = text
    return found


def _answer(subject: str, verb: str, note: str, params: dict[str, Any] | None = None) -> None:
    from cli import show
    from cli.client import desk, person

    noun = "goals" if subject.startswith("goal") else "actions"
    with desk(_settings()) as ask:
        done = ask.post(
            f"/{noun}/{subject}/{verb}", {"by": person(), "note": note} | ({"params": params} if params else {})
        )
        show.say(f"{done['subject']}: {done['done']}. {done['note']}".strip())


def _cycle_here(settings: Settings) -> None:
    from cli import show
    from flows.agent import GoalDrivenAgent

    agent = GoalDrivenAgent(settings=settings)
    try:
        overview = agent.run_cycle()
    finally:
        agent.close()
    show.goals(overview)


if __name__ == "__main__":
    main()
