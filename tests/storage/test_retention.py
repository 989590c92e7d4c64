"""What is kept, and for how long: every table has a rule, what is in force stays, and the file stays small."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from storage import Store, open_store
from storage.facts import STANDINGS
from storage.fitted import Fitted
from storage.forecasts import ForecastError
from storage.records import Event, Forecast, Sample
from storage.retention import RULES, Lifetimes, checkpoint, forget

NOW = datetime(2026, 6, 1, tzinfo=UTC)
KEPT = Lifetimes(90, 30, 365)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


class MovingClock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> MovingClock:
    return MovingClock()


@pytest.fixture
def store(tmp_path: Path, clock: MovingClock) -> Iterator[Store]:
    with open_store(tmp_path / "f.duckdb", clock) as opened:
        yield opened


def a_forecast(issued_at: datetime, series: str = "m", steps: int = 12, median: float = 0.0) -> Forecast:
    point = np.linspace(1, 2, steps)
    quantiles = np.stack([point - 1, point + median, point + 1], axis=1)
    return Forecast(
        series=series, issued_at=issued_at, step_s=300, levels=(0.05, 0.5, 0.95), point=point, quantiles=quantiles,
        method="seasonal", warnings=(), refusal=None,
    )  # fmt: skip


def issue(store: Store, clock: MovingClock, moments: list[datetime]) -> None:
    for moment in moments:
        clock.now = moment
        store.forecasts.append([a_forecast(moment)], f"c-{moment.isoformat()}")
        error = ForecastError(f"c-{moment.isoformat()}", "m", moment, 300, np.zeros(12), 0.9, False)
        store.forecasts.append_errors([error])
    clock.now = NOW


def issued(store: Store) -> list[datetime]:
    return [at for (at,) in store.engine.rows("SELECT issued_at FROM forecasts ORDER BY 1")]


def test_every_table_has_a_rule(store: Store) -> None:
    tables = {name for (name,) in store.engine.rows("SELECT table_name FROM duckdb_tables()")}
    assert tables == {rule.table for rule in RULES}


def test_a_table_that_is_written_anew_has_no_key(store: Store) -> None:
    keyed = {name for (name,) in store.engine.rows("SELECT table_name FROM duckdb_constraints()")}
    assert not keyed & {rule.table for rule in RULES if rule.is_keyless}


def test_of_forecasts_that_came_due_one_an_hour_is_kept_and_later_one_in_six_hours(
    store: Store, clock: MovingClock
) -> None:
    issue(store, clock, [NOW - 12 * DAY + k * timedelta(minutes=30) for k in range(24)])
    issue(store, clock, [NOW - 4 * DAY + k * timedelta(minutes=10) for k in range(18)])
    issue(store, clock, [NOW - 2 * HOUR + k * timedelta(minutes=10) for k in range(6)])
    forget(store.engine, NOW, KEPT)
    kept = issued(store)
    assert [at for at in kept if at < NOW - 8 * DAY] == [NOW - 12 * DAY + k * 6 * HOUR for k in range(2)]
    assert [at for at in kept if NOW - 8 * DAY < at < NOW - DAY] == [NOW - 4 * DAY + k * HOUR for k in range(3)]
    assert len([at for at in kept if at > NOW - DAY]) == 6
    ((without_forecast,),) = store.engine.rows(
        "SELECT count(*) FROM errors WHERE (cycle_id, series) NOT IN (SELECT (cycle_id, series) FROM forecasts)"
    )
    assert not without_forecast


def test_to_forget_twice_forgets_nothing_more(store: Store, clock: MovingClock) -> None:
    issue(store, clock, [NOW - 12 * DAY + k * timedelta(minutes=30) for k in range(500)])
    assert forget(store.engine, NOW, KEPT)
    kept = issued(store)
    assert not forget(store.engine, NOW, KEPT)
    assert issued(store) == kept


def test_a_series_goes_with_its_last_sample_and_is_known_again_with_the_next(store: Store, clock: MovingClock) -> None:
    for metric, age in (("old", 100 * DAY), ("young", HOUR)):
        clock.now = NOW - age
        store.samples.append([Sample(metric=metric, value=1.0, ts=clock.now)])
        store.events.append([Event(event_type=metric, ts=clock.now)])
    clock.now = NOW
    forget(store.engine, NOW, KEPT)
    assert [info.series for info in store.samples.known()] == ["young"]
    assert [event.event_type for event in store.events.between(NOW - 200 * DAY, NOW)] == ["young"]
    store.samples.append([Sample(metric="old", value=2.0, ts=NOW)])
    assert [info.series for info in store.samples.known()] == ["old", "young"]


def test_what_is_in_force_stays_however_old(store: Store, clock: MovingClock) -> None:
    clock.now = NOW - 400 * DAY
    for text in ("first", "second"):
        store.facts.set(STANDINGS, {"g": text})
        store.forecasts.fitted.keep(Fitted("fleet", clock.now, text))
        clock.now += HOUR
    clock.now = NOW
    assert {"facts": 1, "fitted": 1}.items() <= forget(store.engine, NOW, KEPT).items()
    assert store.facts.get(STANDINGS) == {"g": "second"}
    assert store.forecasts.fitted.get(["fleet"])["fleet"].body == "second"


def test_a_forecast_is_read_back_as_issued_with_and_without_its_median_in_the_bytes(store: Store) -> None:
    for number, median in enumerate((0.0, 0.25)):
        store.forecasts.append([a_forecast(NOW, median=median)], f"c{number}")
        (read,) = store.forecasts.of_cycle(f"c{number}")
        np.testing.assert_allclose(read.quantiles, a_forecast(NOW, median=median).quantiles, rtol=1e-6)
    ((with_point, apart),) = store.engine.rows("SELECT min(octet_length(band)), max(octet_length(band)) FROM forecasts")
    assert (with_point, apart) == (12 * 2 * 4, 12 * 3 * 4)


def test_the_file_gets_no_larger_with_every_day(store: Store, clock: MovingClock, tmp_path: Path) -> None:
    sizes, random = [], np.random.default_rng(0)
    for day in range(14):
        for hour in range(0, 24):
            moment = NOW + day * DAY + hour * HOUR
            clock.now = moment
            made = [a_forecast(moment, f"m{k}", 288) for k in range(10)]
            made = [each.model_copy(update={"point": random.normal(size=288)}) for each in made]
            store.forecasts.append(made, moment.isoformat())
        forget(store.engine, NOW + (day + 1) * DAY, Lifetimes(3, 3, 3))
        assert checkpoint(store.engine) is None
        sizes.append((tmp_path / "f.duckdb").stat().st_size)
    assert max(sizes[7:]) <= 1.35 * max(sizes[:7])
