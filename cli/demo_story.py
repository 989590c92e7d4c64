"""`foreact demo`: the loop on a simulated shop, summarised and then served in the dashboard."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from api.prefect_client import Started
from cli import show
from flows.reports.results import SimulationReport
from settings import Settings
from storage.errors import ForeactError
from storage.records import NOTHING, Outcome


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


def story(report: SimulationReport) -> None:
    """Print actions with their effects in order, then what was learned."""
    rows = [
        (f"{outcome.acted_at:%a %d %H:%M}", outcome.action, _effect(outcome), str(outcome.verdict))
        for outcome in sorted(report.outcomes, key=lambda each: each.acted_at)
        if outcome.role == "target"
    ]
    show.table("Actions and their effects", ("when (UTC)", "action", "effect (90 %)", "verdict"), rows, "No actions.")
    show.say("")
    for line in _learned(report):
        show.say(line)


def _effect(outcome: Outcome) -> str:
    if outcome.estimate is None or outcome.low is None or outcome.high is None:
        return "unknown"
    return f"{outcome.estimate:+.0f} ({outcome.low:+.0f} to {outcome.high:+.0f})"


def _times(count: int) -> str:
    return {0: "never", 1: "once", 2: "twice"}.get(count, f"{count} times")


def _learned(report: SimulationReport) -> list[str]:
    tried = [outcome for outcome in report.outcomes if outcome.role == "target"]
    names = sorted({outcome.action for outcome in tried} - {NOTHING})
    counts = {name: [str(outcome.verdict) for outcome in tried if outcome.action == name] for name in names}
    lines = [
        f"{name}: used {_times(len(seen))}, improved {_times(seen.count('improved'))}" for name, seen in counts.items()
    ]
    foretold = [view for view in report.goals if not view.goal.because.get("is_broken_now")]
    return [*lines, f"{len(report.goals)} goals set, {len(foretold)} of them before anything was broken."]


def serve(settings: Settings, now: datetime, port: int) -> None:
    """Serve dashboard and API over the data of the demo until Ctrl-C."""
    import uvicorn

    from api.app import create_app

    app = create_app(settings, trigger=StoppedClock(), clock=lambda: now)
    uvicorn.run(app, host=settings.server.host, port=port, log_level="warning", access_log=False)
