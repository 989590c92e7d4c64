"""A goal on a metric of this host says who used most of it when it went wrong."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import pytest

from flows.wiring import live_context
from settings import load_settings
from storage import Store
from storage.events import Consumer, TopConsumers
from tasks.causes.in_force import with_causes
from tests.api.worlds import a_goal

EATER = Consumer(name="eater", processes=3, cpu_cores=1.9, memory_bytes=250_000_000, io_bytes_per_second=0.0)


def because(store: Store, folder: Path, tick: datetime, series: str) -> dict[str, object]:
    context = live_context(load_settings(folder, home=folder), store, tick, "simulation")
    goal = a_goal("goal-1", tick).model_copy(update={"series": series})
    (explained,) = with_causes(context, [goal], ())
    return explained.because


def note(at: datetime) -> TopConsumers:
    return TopConsumers(series="cpu_used_ratio", at=at, value=0.97, by="cpu", consumers=(EATER,))


def test_it_names_them_in_a_sentence(store: Store, tick: datetime, tmp_path: Path) -> None:
    store.consumers.append([note(tick - timedelta(minutes=3))])
    told = because(store, tmp_path, tick, "load1_per_core")["top_consumers"]
    assert isinstance(told, dict)
    assert told["sentence"] == "At 11:57 UTC most was used by eater (3 processes) with 1.9 cores."


@pytest.mark.parametrize(("series", "minutes"), [("latency", 3), ("memory_used_ratio", 3), ("cpu_used_ratio", 45)])
def test_other_metrics_and_old_notes_say_nothing(
    store: Store, tick: datetime, tmp_path: Path, series: str, minutes: int
) -> None:
    store.consumers.append([note(tick - timedelta(minutes=minutes))])
    assert "top_consumers" not in because(store, tmp_path, tick, series)
