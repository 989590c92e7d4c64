"""What StatsD's lines come down to, and that nothing sent makes it more than it may be."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from hypothesis import given
from hypothesis import strategies as st

from api.app import create_app
from api.background import statsd_listener
from api.background.statsd_listener import _bound
from api.models.points import identity
from api.models.statsd_lines import MOST_MEMBERS, MOST_SERIES, MOST_SETS, MOST_VALUES, QUIET_S, StatsdBuffer
from settings import SamplerSettings, ServerSettings, load_settings
from storage import Store
from storage.records import series_key
from tests.api.conftest import BASE, RecordingTrigger
from tests.api.push.conftest import Live
from tests.conftest import free_port


def taken(buffer: StatsdBuffer, elapsed_s: float = 10.0, now_s: float = 0.0) -> Mapping[str, float]:
    found = {}
    for key, points in buffer.take(elapsed_s, now_s):
        metric, labels, _ = identity(key)
        assert isinstance(points, list)
        found[series_key(metric, labels)] = points[0][1]
    return found


def buffer_of(*lines: str) -> StatsdBuffer:
    buffer = StatsdBuffer()
    assert [why for line in lines if (why := buffer.add(line, 0.0))] == []
    return buffer


def test_a_counter_is_a_rate_that_accounts_for_sampling() -> None:
    assert taken(buffer_of("hits:3|c", "hits:1|c|@0.1", "hits:2|c|#env:prod,canary")) == {
        "hits_per_second": 1.3,
        'hits_per_second{canary="true",env="prod"}': 0.2,
    }


def test_a_counter_that_rests_is_zero_for_an_hour() -> None:
    buffer = buffer_of("hits:3|c")
    assert taken(buffer, now_s=10) == {"hits_per_second": 0.3}
    assert taken(buffer, now_s=20) == {"hits_per_second": 0.0}
    assert taken(buffer, now_s=QUIET_S + 1) == {"hits_per_second": 0.0}
    assert taken(buffer, now_s=QUIET_S + 2) == {}


def test_a_gauge_is_set_or_changed_and_told_when_it_was() -> None:
    buffer = buffer_of("queue:7|g", "queue:+3|g", "queue:-1|g")
    assert taken(buffer) == {"queue": 9}
    assert taken(buffer) == {}
    buffer.add("queue:+1|g", 0.0)
    assert taken(buffer) == {"queue": 10}


def test_a_timer_is_its_quantiles_largest_mean_and_rate() -> None:
    found = taken(buffer_of(*(f"took:{value}|ms" for value in range(101)), "took:100:100|h"))
    assert found["took_p50"] == 51
    assert found["took_max"] == 100
    assert found["took_mean"] == pytest.approx(5_250 / 103)
    assert found["took_per_second"] == 10.3


def test_a_set_counts_each_member_once() -> None:
    assert taken(buffer_of("users:a|s", "users:b|s", "users:a|s")) == {"users_count": 2}


@pytest.mark.parametrize(
    "line",
    ["", "hits", "hits:|c", "hits:x|c", "hits:1|x", "hits:nan|g", "hits:1|c|@0", "hits:1|c|@2", ":1|c", "a:1e999|g"],
)
def test_what_is_no_line_is_told(line: str) -> None:
    buffer = StatsdBuffer()
    assert buffer.add(line, 0.0)
    assert taken(buffer) == {}


def test_what_is_kept_is_bounded_whatever_is_sent() -> None:
    buffer = StatsdBuffer()
    for number in range(2 * MOST_SERIES):
        buffer.add(f"c{number}:1|c", 0.0)
        buffer.add("t:1|ms", 0.0)
    for number in range(2 * MOST_MEMBERS):
        buffer.add(f"s:{number}|s", 0.0)
    assert "more than 10,000 series" in buffer.add("another:1|g", 0.0)
    assert len(buffer.timers[(("__name__", "t"),)].values) == MOST_VALUES
    assert len(buffer.counts) + len(buffer.timers) + len(buffer.sets) <= MOST_SERIES
    assert taken(buffer)["t_per_second"] == 2 * MOST_SERIES / 10
    sets = StatsdBuffer()
    for number in range(2 * MOST_SETS):
        sets.add(f"s{number}:a|s", 0.0)
    assert len(sets.sets) == MOST_SETS


def test_the_times_kept_of_many_are_spread_over_all_of_them() -> None:
    buffer = StatsdBuffer()
    for number in range(20_000):
        buffer.add(f"took:{number}|ms", 0.0)
    found = taken(buffer)
    assert 8_000 < found["took_p50"] < 12_000
    assert 16_500 < found["took_p90"] < 19_500


@given(line=st.text(max_size=80), others=st.lists(st.sampled_from(["a:1|c", "a:1|g", "a:1|ms", "a:1|s"]), max_size=5))
def test_no_text_whatever_breaks_it(line: str, others: list[str]) -> None:
    buffer = StatsdBuffer()
    for each in (*others, line):
        buffer.add(each, 0.0)
    assert all(value == value for value in taken(buffer).values())


def test_datagrams_reach_the_store_and_refusals_are_counted(live: Live) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.sendto(b"queue:7|g\nnonsense\n\xff\xfe:1|c", ("127.0.0.1", live.statsd_port))
        assert live.wait_for("queue")["queue"] == 7


@pytest.mark.parametrize(
    ("server", "where"),
    [({"host": "0.0.0.0"}, "127.0.0.1"), ({"statsd_host": "127.0.0.2"}, "127.0.0.2")],
)
def test_statsd_is_taken_from_this_machine_alone_unless_its_own_host_says_otherwise(
    server: dict[str, str], where: str, tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    bound: list[str] = []

    def noted(host: str, port: int) -> socket.socket:
        bound.append(host)
        return _bound(host, port)

    monkeypatch.setattr(statsd_listener, "_bound", noted)
    settings = load_settings(
        tmp_path,
        home=tmp_path,
        sampler=SamplerSettings(enabled=False),
        server=ServerSettings(statsd_port=free_port(), **server),
    )
    with TestClient(create_app(settings, store=store, trigger=RecordingTrigger()), base_url=BASE):
        assert bound == [where]
