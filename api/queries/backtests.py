"""Backtests: the newest one's figures and progress, the pages of all that were kept, and reviews of changes."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

from api.facade import Facade
from api.models.history import Backtests, ChangeReview, ChangeReviews
from storage.errors import ForeactError
from storage.facts import BACKTEST, BACKTEST_PROGRESS, BacktestProgress

MOST_REVIEWS = 20
_REPORT = re.compile(r"backtest-[0-9T-]{1,40}\.html")


def backtests(facade: Facade) -> Backtests:
    """Return the figures of the newest finished backtest, and how far one has come."""
    newest = facade.store.facts.get(BACKTEST)
    return Backtests(backtests=[newest] if newest else [], progress=_progress(facade), reports=_reports(facade))


def report_file(facade: Facade, name: str) -> Path:
    """Return the page of a backtest; raises `report_unknown`."""
    if _REPORT.fullmatch(name) is None or not (file := _folder(facade) / name).is_file():
        raise ForeactError("report_unknown", f"There is no report {name}.", "The list has those there are.", status=404)
    return file


def reviews(facade: Facade) -> ChangeReviews:
    """Return the newest reviews of changes that were made in this folder; one that cannot be read is left out."""
    files = sorted(_folder(facade).glob("review-*.json"), reverse=True)[:MOST_REVIEWS]
    return ChangeReviews(reviews=[review for file in files if (review := _review(file)) is not None])


def _review(file: Path) -> ChangeReview | None:
    try:
        return ChangeReview.model_validate({"name": file.stem} | json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return None


def _progress(facade: Facade) -> BacktestProgress | None:
    """Return how far the newest came; one whose run is gone without a word is over as well."""
    said = facade.store.facts.get(BACKTEST_PROGRESS)
    if said is None or said.is_over:
        return said
    try:
        is_gone = facade.trigger.running("backtest") is None
    except ForeactError:
        return said  # Prefect is away, and the run may go on without it
    return (
        replace(said, is_over=True, trouble="Its run ended without a word; Prefect has its log.") if is_gone else said
    )


def _folder(facade: Facade) -> Path:
    return facade.settings.home / "reports"


def _reports(facade: Facade) -> list[str]:
    """Return the names of the pages, newest first."""
    return sorted((file.name for file in _folder(facade).glob("backtest-*.html")), reverse=True)
