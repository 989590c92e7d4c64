"""Values, shares and spans read as people write them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from tasks.text import between, chance, limit, number, percent, span, unit_of, value


@pytest.mark.parametrize(
    ("amount", "unit", "said"),
    [
        (2.309e10, "bytes", "23.09 GB"),
        (0.5, "bytes", "0.5 B"),
        (1_619.2, "bytes/s", "1.619 kB/s"),
        (1.0, "ratio", "100 %"),
        (0.99752, "ratio", "99.75 %"),
        (0.99995, "ratio", "99.995 %"),
        (-0.034, "ratio", "−3.4 %"),
        (0.0354, "s", "35.4 ms"),
        (90.0, "s", "90 s"),
        (5_400.0, "seconds", "90 min"),
        (9_000.0, "s", "2.5 h"),
        (259_200.0, "s", "3 days"),
        (150.0, "ms", "150 ms"),
        (104.0, "processes", "104 processes"),
        (79.14, "percent", "79.14 %"),
        (float("nan"), "ratio", "unknown"),
    ],
)
def test_a_value_is_said_in_its_unit(amount: float, unit: str, said: str) -> None:
    assert value(amount, unit) == said


@pytest.mark.parametrize(
    ("amount", "said"),
    [(2.309e10, "23,090,000,000"), (0.25, "0.25"), (-1e-9, "−1.000e-09"), (12_345.6, "12,346"), (0.0, "0")],
)
def test_a_number_without_a_unit_is_written_out(amount: float, said: str) -> None:
    assert number(amount) == said


@pytest.mark.parametrize(
    ("share", "said"),
    [
        (0.0, "0 %"),
        (0.0035, "0.35 %"),
        (0.45, "45 %"),
        (0.993, "99.3 %"),
        (0.9995, "99.95 %"),
        (0.99999999, "100 %"),
        (1.0, "100 %"),
    ],
)
def test_a_share_near_all_is_told_from_all_of_it(share: float, said: str) -> None:
    assert percent(share) == said


@pytest.mark.parametrize(
    ("probability", "said"),
    [
        (0.0, "0 %"),
        (0.0004, "under 0.1 %"),
        (0.45, "45 %"),
        (0.993, "99.3 %"),
        (0.99957, "over 99.9 %"),
        (1.0, "100 %"),
    ],
)
def test_a_probability_is_said_no_finer_than_anybody_knows_it(probability: float, said: str) -> None:
    assert chance(probability) == said


@pytest.mark.parametrize(
    ("later_s", "said"),
    [
        (0, "at 2026-03-02 01:02:10 UTC"),
        (20, "between 2026-03-02 01:02:10 UTC and 2026-03-02 01:02:30 UTC"),
        (60, "between 2026-03-02 01:02 UTC and 2026-03-02 01:03 UTC"),
    ],
)
def test_two_moments_of_one_minute_are_told_apart_by_their_seconds(later_s: int, said: str) -> None:
    early = datetime(2026, 3, 2, 1, 2, 10, tzinfo=UTC)
    assert between(early, early + timedelta(seconds=later_s)) == said


def test_the_recorded_unit_counts_and_else_the_end_of_the_name() -> None:
    assert unit_of("latency", {"latency": "ms"}) == "ms"
    assert unit_of('disk_used_ratio{mount="/"}') == "ratio"
    assert unit_of("load1_per_core") == "per core"
    assert unit_of("network_sent_bytes_per_second") == "bytes/s"
    assert unit_of("orders") == ""
    assert limit("below", 0.9, unit_of("cpu_used_ratio")) == "at most 90 %"


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "1 s"),
        (42, "42 s"),
        (60, "1 minute"),
        (3_372, "56 minutes"),
        (3_590, "1 hour"),
        (5_400, "1.5 hours"),
        (86_000, "1 day"),
        (1e6, "12 days"),
    ],
)
def test_spans_read_as_people_say_them(seconds: float, said: str) -> None:
    assert span(seconds) == said
