"""A backtest tells how far it has come, and how it ended."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from flows.backtest import told_of
from storage import ForeactError, Store, TransientError
from storage.facts import BACKTEST_PROGRESS, BacktestProgress


def test_it_tells_its_turns_some_fifty_times_and_that_it_is_over(store: Store, tick: datetime) -> None:
    seen, shown = [], list[float]()
    with told_of(store, tick, 7.0, shown.append) as progress:
        for turn in range(1, 2_001):
            progress(turn, 2_000)
            seen.append(store.facts.get(BACKTEST_PROGRESS))
    assert 50 <= len(set(seen)) <= 52
    assert store.facts.get(BACKTEST_PROGRESS) == BacktestProgress(tick, 7.0, 2_000, 2_000, is_over=True)
    assert (shown[0], shown[-1]) == (0.0, 100.0)
    assert shown == sorted(shown)
    assert 50 <= len(set(shown)) <= 52


def test_it_tells_why_it_ended_without_a_report(store: Store, tick: datetime) -> None:
    with pytest.raises(ForeactError), told_of(store, tick, 7.0):
        raise ForeactError("history_empty", "Nothing was recorded.", "Choose another span.")
    told = store.facts.get(BACKTEST_PROGRESS)
    assert told is not None
    assert told.is_over
    assert "Nothing was recorded." in told.trouble


def test_a_word_that_cannot_be_kept_neither_ends_it_nor_hides_what_did(
    store: Store, tick: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*given: Any) -> None:
        raise TransientError("the facade does not answer")

    monkeypatch.setattr(store.facts, "set", away)
    with told_of(store, tick, 7.0) as progress:
        progress(1, 1)
    with pytest.raises(ZeroDivisionError), told_of(store, tick, 7.0):
        raise ZeroDivisionError
