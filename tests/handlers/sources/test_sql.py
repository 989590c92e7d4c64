"""The sql source, against SQLite, DuckDB and, where it is installed, a PostgreSQL server of its own."""

from __future__ import annotations

import asyncio
import glob
import os
import shutil
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import asyncpg
import pytest

from handlers import discover_sources
from storage.engine.protocol import connect
from storage.errors import ForeactError, TransientError
from storage.records import Sample
from tests.conftest import free_port
from tests.handlers.conftest import TICK

PULL = discover_sources()["sql"].pull
ROWS = [
    (f"{TICK - timedelta(minutes=minutes):%Y-%m-%d %H:%M:%S}", region, 10.0 * minutes, minutes)
    for minutes in (3, 2, 1)
    for region in ("eu", "us")
]
QUERY = "SELECT ts, region, amount, n FROM orders WHERE ts > :since AND ts <= :until ORDER BY ts, region"


def pull(url: str, since_s: float | None = -150, **options: Any) -> list[Sample]:
    since = None if since_s is None else TICK + timedelta(seconds=since_s)
    given = {"url": url, "queries": {"orders": QUERY}, **options}
    return [each for each in PULL(given, since, TICK) if isinstance(each, Sample)]


@pytest.fixture
def sqlite(tmp_path: Path) -> str:
    with sqlite3.connect(tmp_path / "orders.db") as database:
        database.execute("CREATE TABLE orders (ts TEXT, region TEXT, amount REAL, n INTEGER)")
        database.executemany("INSERT INTO orders VALUES (?, ?, ?, ?)", ROWS)
    database.close()
    return f"sqlite:///{tmp_path}/orders.db"


@pytest.fixture
def duckdb(tmp_path: Path) -> str:
    pytest.importorskip("duckdb_engine", reason="duckdb-engine is not installed: pip install duckdb-engine")
    connection = connect(str(tmp_path / "orders.duckdb"))
    connection.execute("CREATE TABLE orders (ts TIMESTAMPTZ, region VARCHAR, amount DECIMAL(9, 2), n BIGINT)")
    connection.executemany("INSERT INTO orders VALUES (?, ?, ?, ?)", [(f"{ts}+00", *rest) for ts, *rest in ROWS])
    connection.close()
    return f"duckdb:///{tmp_path}/orders.duckdb"


@pytest.fixture(scope="module")
def postgres_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Run PostgreSQL with a table of each kind of time; its server refuses to run as root."""
    found = sorted(glob.glob("/usr/lib/postgresql/*/bin/initdb"))
    initdb = shutil.which("initdb") or (found[-1] if found else None)
    if initdb is None:
        pytest.skip("PostgreSQL is not installed; on Debian: apt install postgresql")
    folder, port = tmp_path_factory.mktemp("postgres"), free_port()
    user: list[str] = []
    if os.getuid() == 0:
        user = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"]
        for each in (folder, *folder.parents):
            if each == Path("/tmp"):
                break
            each.chmod(0o755)
        shutil.chown(folder, "nobody", "nogroup")
    (folder / "password").write_text("secret-word\n")
    (folder / "password").chmod(0o644)
    make = [*user, initdb, "-D", f"{folder}/data", "-U", "test", "--auth=scram-sha-256", f"--pwfile={folder}/password"]
    subprocess.run(make, check=True, capture_output=True, cwd=folder)
    serve = [
        f"{Path(initdb).resolve().parent}/postgres",
        "-D",
        f"{folder}/data",
        "-p",
        str(port),
        "-k",
        f"{folder}/data",
    ]
    process = subprocess.Popen([*user, *serve], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=folder)
    try:
        yield fill_postgres(f"postgresql://test:secret-word@127.0.0.1:{port}/postgres")
    finally:
        process.terminate()
        process.wait(20)


def fill_postgres(url: str) -> str:
    async def fill() -> None:
        connection = await asyncpg.connect(url)
        for table, kind in (("orders", "TIMESTAMPTZ"), ("naive", "TIMESTAMP")):
            await connection.execute(f"CREATE TABLE {table} (ts {kind}, region TEXT, amount NUMERIC, n BIGINT)")
            for ts, region, amount, n in ROWS:
                await connection.execute(f"INSERT INTO {table} VALUES ('{ts}', '{region}', {amount}, {n})")
        await connection.close()

    for _ in range(100):
        try:
            asyncio.run(fill())
        except (OSError, asyncpg.PostgresError):
            time.sleep(0.1)
        else:
            return url
    raise AssertionError("PostgreSQL did not start")


def told(samples: list[Sample]) -> list[tuple[str, float, float]]:
    return [(sample.series, sample.value, (sample.ts - TICK).total_seconds()) for sample in samples]


EXPECTED = [
    (f'orders_{column}{{region="{region}"}}', value * minutes, -60.0 * minutes)
    for minutes in (2, 1)
    for region in ("eu", "us")
    for column, value in (("amount", 10.0), ("n", 1.0))
]


@pytest.mark.parametrize("kind", ["sqlite", "duckdb", "postgres_url"])
def test_rows_since_the_last_sample_are_read_from_every_database(kind: str, request: pytest.FixtureRequest) -> None:
    url = request.getfixturevalue(kind)
    assert told(pull(url)) == EXPECTED
    assert len(pull(url, since_s=None)) == 12
    assert pull(url, since_s=0) == []


def test_times_without_a_zone_are_compared_as_such(postgres_url: str) -> None:
    query = QUERY.replace("orders", "naive")
    assert told(pull(postgres_url, queries={"orders": query})) == EXPECTED


def test_one_number_has_the_name_of_its_query_or_of_its_metric_column(sqlite: str) -> None:
    count = "SELECT count(*) AS n FROM orders"
    assert told(pull(sqlite, queries={"order_count": count})) == [("order_count", 6, 0)]
    named = "SELECT region AS metric, max(n) AS value, count(*) AS rows FROM orders GROUP BY 1"
    found = pull(sqlite, queries={"q": named}, units={"eu": "minutes"})
    assert told(found) == [("eu", 3, 0), ("eu_rows", 3, 0), ("us", 3, 0), ("us_rows", 3, 0)]
    assert found[0].unit == "minutes"


def test_times_are_read_as_people_keep_them(sqlite: str) -> None:
    for expression in ("1772366340", "1772366340000", "'2026-03-01T11:59:00Z'", "'2026-03-01 12:59:00'"):
        found = pull(sqlite, queries={"q": f"SELECT {expression} AS ts, 1 AS value"}, timezone="Europe/Berlin")
        assert told(found) == [("q", 1, -60)], expression
    assert pull(sqlite, queries={"q": "SELECT NULL AS ts, 1 AS value"}) == []


@pytest.mark.parametrize("since_min", [0, 40, 70, 110, 130])
def test_the_hour_that_a_clock_shows_twice_is_read_once_each_time_wherever_a_pull_begins(
    tmp_path: Path, since_min: int
) -> None:
    begin, zone = datetime(2025, 10, 25, 23, 30, tzinfo=UTC), ZoneInfo("Europe/Berlin")
    moments = [begin + timedelta(minutes=20 * n) for n in range(10)]
    with sqlite3.connect(tmp_path / "local.db") as database:
        database.execute("CREATE TABLE orders (ts TEXT, n INTEGER)")
        rows = [(f"{each.astimezone(zone):%Y-%m-%d %H:%M:%S}", n) for n, each in enumerate(moments)]
        database.executemany("INSERT INTO orders VALUES (?, ?)", rows)
    database.close()
    query = "SELECT ts, n FROM orders WHERE ts > :since AND ts <= :until ORDER BY rowid"
    options = {"url": f"sqlite:///{tmp_path}/local.db", "queries": {"n": query}, "timezone": "Europe/Berlin"}
    since = begin + timedelta(minutes=since_min)
    assert [(each.ts, each.value) for each in PULL(options, since, moments[-1])] == [
        (each, n) for n, each in enumerate(moments) if each > since
    ]


def test_a_row_without_a_time_that_can_be_read_is_named_once_the_others_are_taken(sqlite: str) -> None:
    query = "SELECT CASE n WHEN 2 THEN 'soon' ELSE ts END AS ts, region, amount AS value FROM orders"
    taken: list[Any] = []
    # What `extend` was given before the refusal stays.
    with pytest.raises(ForeactError, match="gives 'soon' as a time, and 1 other rows as little") as refusal:
        taken.extend(PULL({"url": sqlite, "queries": {"orders": query}}, TICK - timedelta(hours=1), TICK))
    assert (refusal.value.code, len(taken)) == ("sql_no_time", 4)


def test_rows_that_are_to_come_are_counted_and_told_once_the_others_are_taken(sqlite: str) -> None:
    ahead = f"{datetime.now(UTC) + timedelta(hours=1):%Y-%m-%d %H:%M:%S}"
    query = f"SELECT CASE n WHEN 2 THEN '{ahead}' ELSE ts END AS ts, region, amount AS value FROM orders"
    taken: list[Any] = []
    with pytest.raises(ForeactError, match=f"2 values lie later than now, up to {ahead[:16]} UTC.*timezone") as refusal:
        taken.extend(PULL({"url": sqlite, "queries": {"orders": query}}, TICK - timedelta(hours=1), TICK))
    assert (refusal.value.code, len(taken)) == ("sql_clock", 4)


@pytest.mark.parametrize(
    ("change", "code", "said"),
    [
        ({"queries": {}}, "sql_queries", "no queries"),
        ({"url": "nonsense"}, "sql_url", "address"),
        ({"url": "postgresql://u@h:port/x"}, "sql_url", "address"),
        ({"url": "oracle://u:secret-word@h/d"}, "sql_driver", "no driver"),
        ({"url": "klingon://u:secret-word@h/d"}, "sql_driver", "no driver"),
        ({"queries": {"q": "SELECT FROM WHERE"}}, "sql_refused", "the query q"),
        ({"queries": {"q": "SELECT nothing FROM orders"}}, "sql_refused", "nothing"),
        ({"queries": {"q": "CREATE TABLE x (a INT)"}}, "sql_refused", "readonly"),
        ({"queries": {"q": "PRAGMA foreign_keys = ON"}}, "sql_no_rows", "no SELECT"),
        ({"queries": {"q": "SELECT ts, CAST(amount AS TEXT) AS amount FROM orders"}}, "sql_no_numbers", "text alone"),
        ({"queries": {"q": "SELECT 'soon' AS ts, 1 AS value"}}, "sql_no_time", "soon"),
        ({"max_rows": 3}, "sql_too_many_rows", "max_rows = 3"),
        ({"timezone": "Mars"}, "sql_timezone", "Mars"),
    ],
)
def test_what_cannot_work_is_refused_with_query_and_remedy(
    sqlite: str, change: dict[str, Any], code: str, said: str
) -> None:
    with pytest.raises(ForeactError) as refusal:
        pull(**{"url": sqlite, **change})
    assert (refusal.value.code, said in refusal.value.message) == (code, True), refusal.value.message
    assert refusal.value.remedy
    assert "secret-word" not in str(refusal.value)


def test_a_query_changes_nothing(sqlite: str, postgres_url: str) -> None:
    for query in ("DELETE FROM orders RETURNING n", "DROP TABLE orders"):
        with pytest.raises(ForeactError, match="readonly"):
            pull(sqlite, queries={"q": query})
        with pytest.raises(ForeactError, match="read-only"):
            pull(postgres_url, queries={"q": query})
    assert len(pull(sqlite, since_s=None)) == 12


def test_a_number_that_is_missing_for_once_is_no_trouble(sqlite: str) -> None:
    assert pull(sqlite, queries={"q": "SELECT 'eu' AS region, max(n) AS value FROM orders WHERE n > 9"}) == []


def test_a_wrong_password_is_refused_and_told_without_it(postgres_url: str) -> None:
    with pytest.raises(ForeactError, match="password authentication failed") as refusal:
        pull(postgres_url.replace("secret-word", "other-word"))
    assert "other-word" not in str(refusal.value)


def test_a_database_that_is_not_there_is_worth_another_try() -> None:
    with pytest.raises(TransientError, match="cannot be reached"):
        pull("postgresql://u:secret-word@127.0.0.1:9/d")


def test_a_query_that_takes_too_long_is_given_up(postgres_url: str, sqlite: str) -> None:
    endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 60000000) SELECT max(i) FROM n"
    with pytest.raises(TransientError, match="no answer in 0 s"):
        pull(sqlite, queries={"q": endless}, timeout_s=0)
    with pytest.raises(TransientError, match=r"no answer in 0\.5 s"):
        pull(postgres_url, queries={"q": "SELECT pg_sleep(20)"}, timeout_s=0.5)
