"""Configurations over one history, each in a process of its own: what all would search is found once."""

from __future__ import annotations

import multiprocessing
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from flows import side_by_side
from flows.backtest import backtest
from flows.side_by_side import FoundOnce, Replayed
from settings import Settings, load_settings
from storage import open_store
from storage.records import Sample
from storage.samples import SampleColumns

END = datetime(2026, 3, 20, tzinfo=UTC)
CONFIGURATION = """
use_default_objectives = false
[[objectives]]
name = "load"
metric = "load"
bound = {bound}
"""


def slowly_found(folder: Path, numbers: np.ndarray) -> float:
    """Return the sum, and leave a trace of who found it."""
    time.sleep(0.5)
    (folder / f"found-by-{multiprocessing.current_process().pid}").touch()
    return float(numbers.sum())


def ask(folder: Path) -> None:
    """Ask what another process asks at the same time."""
    assert FoundOnce(folder)(slowly_found, folder, numbers=np.arange(3)) == 3


def test_what_two_processes_ask_at_the_same_time_is_found_by_one(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    asking = [context.Process(target=ask, args=(tmp_path,)) for _ in range(2)]
    for process in asking:
        process.start()
    for process in asking:
        process.join()
    assert [process.exitcode for process in asking] == [0, 0]
    assert len(list(tmp_path.glob("found-by-*"))) == 1


def content_of(file: Path) -> str:
    return file.read_text()


def test_what_could_not_be_found_is_looked_for_by_the_next_who_asks(tmp_path: Path) -> None:
    once, file = FoundOnce(tmp_path), tmp_path / "file"
    with pytest.raises(FileNotFoundError):
        once(content_of, file)
    file.write_text("first")
    assert once(content_of, file) == "first"
    file.write_text("second")
    assert once(content_of, file) == "first"
    assert once(content_of, file.parent / "." / "file") == "first"
    assert once(Path.read_text, file) == "second"


def two_daily_series(days: int) -> SampleColumns:
    rng = np.random.default_rng(4)
    return SampleColumns.of(
        [
            Sample(
                metric="load",
                labels={"host": host},
                value=50 + 20 * float(np.sin(2 * np.pi * step / 48)) + float(rng.normal()),
                ts=END - timedelta(minutes=30 * (days * 48 - step)),
            )
            for step in range(days * 48)
            for host in ("a", "b")
        ]
    )


def with_bound(folder: Path, bound: float) -> Settings:
    folder.mkdir()
    (folder / "foreact.toml").write_text(CONFIGURATION.format(bound=bound))
    return load_settings(folder, home=folder)


def test_replays_side_by_side_come_to_what_each_comes_to_alone(tmp_path: Path) -> None:
    samples, start, every_s = two_daily_series(9), END - timedelta(days=1), 7_200.0
    configured = {name: with_bound(tmp_path / name, bound) for name, bound in (("one", 68.0), ("other", 60.0))}
    replays = [Replayed(settings, name, samples, start, END, every_s) for name, settings in configured.items()]
    together = side_by_side.side_by_side(replays)
    for name, settings, report in zip(configured, configured.values(), together, strict=True):
        with open_store() as store:
            store.samples.append_columns(samples)
            searching = side_by_side._searching_less(settings)
            alone = backtest(store, searching, start, END, every_s=every_s, configuration=name)
        assert report.to_json() == alone.to_json()
    assert together[0].simulation.goals != together[1].simulation.goals


def test_two_configurations_that_differ_in_bounds_alone_ask_the_same_of_patterns(tmp_path: Path) -> None:
    once, samples = FoundOnce(tmp_path / "found"), two_daily_series(9)
    once.folder.mkdir()
    kept = []
    for name, bound in (("one", 68.0), ("other", 60.0)):
        with open_store() as store:
            store.samples.append_columns(samples)
            backtest(store, with_bound(tmp_path / name, bound), END - timedelta(days=1), END, every_s=7_200, once=once)
        kept.append(sorted(place.name for place in once.folder.iterdir()))
    assert kept[0]
    assert kept[0] == kept[1]
