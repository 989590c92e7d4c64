"""`foreact backtest`: one configuration over recorded history, or two, with a page, JSON and an exit code."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from cli import show
from cli.progress import progress
from flows.backtest import backtest, page_of
from flows.reports.compare import Condition, failures, refuse_comparisons
from flows.reports.pages import write_page
from flows.reports.results import BacktestReport, Comparison
from flows.wiring import open_configured_store
from settings import Settings, load_settings
from storage.errors import ForeactError


@dataclass(frozen=True)
class Asked:
    """The request: span, interval, configurations and the file of the page."""

    folder: Path
    end: datetime
    days: float
    every_s: float | None
    config: Path | None
    against: Path | None
    page: Path | None


@dataclass(frozen=True)
class BacktestVerdict:
    """The result; `failed` names the conditions that fail the build."""

    report: BacktestReport
    comparison: Comparison | None
    page: Path
    failed: Sequence[str]

    def to_json(self) -> str:
        """Return all of it as JSON."""
        return (self.comparison or self.report).to_json()


def run(asked: Asked, fail_conditions: Sequence[Condition]) -> BacktestVerdict:
    """Replay the history once for each configuration, and write the page."""
    if asked.against is None:
        refuse_comparisons(fail_conditions)
    first = _settings(asked.folder, asked.config)
    report = _replay(asked, first, _name(asked.config))
    other = _replay(asked, _settings(asked.folder, asked.against), _name(asked.against)) if asked.against else None
    comparison = Comparison(report, other) if other else None
    page = write_page(comparison or report, asked.page or page_of(first, asked.end))
    return BacktestVerdict(report, comparison, page, failures(fail_conditions, report, other))


def tell(answer: BacktestVerdict) -> None:
    """Print the figures, next to those of the other configuration if there is one."""
    if answer.comparison is None:
        show.backtest(answer.report)
    else:
        show.comparison(answer.comparison)
    show.say(f"report: {answer.page}")


def _replay(asked: Asked, settings: Settings, name: str) -> BacktestReport:
    start = asked.end - timedelta(days=asked.days)
    with open_configured_store(settings) as store, progress(f"replaying with {name}") as advance:
        return backtest(store, settings, start, asked.end, every_s=asked.every_s, configuration=name, progress=advance)


def _settings(folder: Path, config: Path | None) -> Settings:
    if config is not None and not config.is_file():
        raise ForeactError(
            "configuration_missing", f"There is no file {config}.", "Name a file in the format of foreact.toml."
        )
    return load_settings(folder, config=config)


def _name(config: Path | None) -> str:
    return config.name if config else "foreact.toml"
