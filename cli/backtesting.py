"""`foreact backtest`: one configuration over history, recorded here or kept by a Prometheus, or two, and a review."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from cli import show
from cli.progress import progress
from flows.backtest import backtest, page_of
from flows.change_review import NamedSettings, replays_of_prometheus, review_of
from flows.prometheus_history import PrometheusQuestion
from flows.reports.compare import Condition, failures, refuse_comparisons
from flows.reports.pages import write_page
from flows.reports.pull_request import WORSE, PullRequestReview
from flows.reports.results import BacktestReport, Comparison
from flows.side_by_side import side_by_side
from flows.wiring import open_configured_store
from settings import Settings, load_settings
from storage.errors import ForeactError


@dataclass(frozen=True)
class Asked:
    """The request: span, interval, configurations, the files of page and markdown, and where the history is."""

    folder: Path
    end: datetime
    days: float
    every_s: float | None
    config: Path | None
    against: Path | None
    page: Path | None
    markdown: Path | None = None
    prometheus: PrometheusQuestion | None = None

    @property
    def start(self) -> datetime:
        """Return when the span begins."""
        return self.end - timedelta(days=self.days)


@dataclass(frozen=True)
class BacktestVerdict:
    """The result; `failed` names the conditions that fail the build, `review` is there where a change was reviewed."""

    report: BacktestReport
    comparison: Comparison | None
    page: Path
    failed: Sequence[str]
    review: PullRequestReview | None = None
    notes: tuple[str, ...] = ()

    @property
    def exit_code(self) -> int:
        """Return 1 where a condition holds, else 3 where the change is worse, else 0."""
        if self.failed:
            return 1
        return WORSE if self.review is not None and self.review.worsened() else 0

    def to_json(self) -> str:
        """Return all of it as JSON."""
        if self.review is None or self.comparison is None:
            return (self.comparison or self.report).to_json()
        record = self.comparison.to_record() | {"review": self.review.to_record()}
        return json.dumps(record, default=str, indent=2)


def run(asked: Asked, fail_conditions: Sequence[Condition]) -> BacktestVerdict:
    """Replay the history once for each configuration, and write the page."""
    _refuse_what_cannot_be(asked)
    if asked.against is None:
        refuse_comparisons(fail_conditions)
    first = NamedSettings(_settings(asked.folder, asked.config), _name(asked.config))
    other = NamedSettings(_settings(asked.folder, asked.against), _name(asked.against)) if asked.against else None
    reports, notes = _replayed(asked, [first, other] if other else [first])
    comparison = Comparison(*reports) if len(reports) == 2 else None
    page = write_page(comparison or reports[0], asked.page or page_of(first.settings, asked.end))
    failed = failures(fail_conditions, *reports)
    review = None
    if other is not None and (asked.prometheus is not None or asked.markdown is not None):
        review = review_of(other.settings, first.settings, (reports[1], reports[0]), notes)
        _keep(review, asked, page_of(first.settings, asked.end))
    return BacktestVerdict(reports[0], comparison, page, failed, review, notes)


def _keep(review: PullRequestReview, asked: Asked, page: Path) -> None:
    """Write a review for the pull request, and where the pages of this folder look for it."""
    if asked.markdown is not None:
        asked.markdown.write_text(review.to_markdown(), encoding="utf-8")
    kept = page.with_name(page.name.replace("backtest-", "review-")).with_suffix(".json")
    kept.parent.mkdir(parents=True, exist_ok=True)
    record = review.to_record() | {"at": asked.end, "markdown": review.to_markdown()}
    kept.write_text(json.dumps(record, default=str), encoding="utf-8")


def _refuse_what_cannot_be(asked: Asked) -> None:
    """Raise before anything is read where the request cannot be answered."""
    if asked.markdown is not None and asked.against is None:
        raise ForeactError(
            "markdown_needs_two", "A review needs a configuration to compare with.", "Name it: --against FILE."
        )
    if asked.markdown is not None and not asked.markdown.absolute().parent.is_dir():
        raise ForeactError("folder_not_found", f"There is no folder {asked.markdown.parent}.", "Create it first.")


def _replayed(asked: Asked, configurations: list[NamedSettings]) -> tuple[list[BacktestReport], tuple[str, ...]]:
    """Return the backtest of each configuration, and what is to be said of where the history came from."""
    if asked.prometheus is None:
        return [_replay(asked, each.settings, each.name) for each in configurations], ()
    replays, notes = replays_of_prometheus(configurations, asked.prometheus, asked.start, asked.end, asked.every_s)
    names = " and ".join(each.name for each in configurations)
    with progress(f"replaying with {names}") as advance:
        return side_by_side(replays, advance), notes


def tell(answer: BacktestVerdict) -> None:
    """Print the figures, next to those of the other configuration if there is one."""
    if answer.review is not None:
        show.say(answer.review.to_markdown())
    elif answer.comparison is None:
        show.backtest(answer.report)
    else:
        show.comparison(answer.comparison)
    show.say(f"report: {answer.page}")


def _replay(asked: Asked, settings: Settings, name: str) -> BacktestReport:
    with open_configured_store(settings) as store, progress(f"replaying with {name}") as advance:
        return backtest(
            store, settings, asked.start, asked.end, every_s=asked.every_s, configuration=name, progress=advance
        )


def _settings(folder: Path, config: Path | None) -> Settings:
    if config is not None and not config.is_file():
        raise ForeactError(
            "configuration_missing", f"There is no file {config}.", "Name a file in the format of foreact.toml."
        )
    return load_settings(folder, config=config)


def _name(config: Path | None) -> str:
    return config.name if config else "foreact.toml"
