"""Samples from any database that SQLAlchemy reaches: what a query returns, row by row."""

from __future__ import annotations

import asyncio
import math
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from handlers.contract.source import source
from handlers.contract.source_options import NO_TABLE, option
from handlers.support.clocks import MOST_SKEW_S, wall_clock
from storage.errors import ForeactError, TransientError
from storage.files.data_files import MILLISECONDS_FROM, TIME_NAMES, VALUE, metric_name_in
from storage.files.local_times import LocalTimes
from storage.records import Sample

if TYPE_CHECKING:
    from sqlalchemy import URL, CursorResult, TextClause

REMEDY = "Correct it under [sources.sql] in foreact.toml."
NO_ZONE_WANTED = "offset-naive"
READ_ONLY = {"sqlite": "PRAGMA query_only = ON"}
"""SQLite is given back what was changed, but not tables that were made or dropped."""
LOGIN_WORDS = ("password", "authorization", "role", "access denied", "does not exist")


@dataclass(frozen=True)
class _Database:
    """The options, checked."""

    url: URL
    queries: Mapping[str, str]
    timeout_s: float
    lookback_s: float
    max_rows: int
    zone: tzinfo
    units: Mapping[str, str]

    @property
    def shown(self) -> str:
        return self.url.render_as_string(hide_password=True)


@dataclass(frozen=True)
class _Rows:
    """What a query gave; `time`, `metric` and `others` are places of columns."""

    names: Sequence[str]
    rows: Sequence[Sequence[Any]]

    @property
    def time(self) -> int | None:
        return next((self._lower.index(name) for name in TIME_NAMES if name in self._lower), None)

    @property
    def metric(self) -> int | None:
        found = metric_name_in(self._lower)
        return self._lower.index(found) if found else None

    @property
    def others(self) -> list[int]:
        return [place for place in range(len(self.names)) if place not in {self.time, self.metric}]

    @property
    def is_text_alone(self) -> bool:
        """Tell whether no row holds a number, nor a place that is empty for once."""
        places = self.others
        return bool(self.rows) and all(isinstance(row[place], str) for row in self.rows for place in places)

    @property
    def _lower(self) -> list[str]:
        return [name.lower() for name in self.names]


@source(
    name="sql",
    split_by="queries",
    interval_s=300.0,
    options={
        "url": "SQLAlchemy's address of the database, as postgresql://user:password@host/name",
        "queries": "table of name = SELECT; it may use :since and :until",
        "timeout_s": "seconds to wait for all answers; 30",
        "lookback_s": "seconds that :since lies back at the first pull; 86400",
        "max_rows": "how many rows one query may give; 100000",
        "timezone": "time zone of times without one; UTC",
        "units": "table of metric name = unit",
    },
)
def sql(options: Mapping[str, Any], since: datetime | None, until: datetime) -> Iterable[Sample]:
    """Run each configured query and take its rows: numbers are values, text is labels.

    A column named `ts`, `time` or alike holds the moment; without one it is `until`. A column `metric` names the
    metric, else the query does; of several numbers each but `value` adds its column to that. Nothing is committed.
    Raises TransientError where the database cannot be reached and ForeactError where a query or an option is wrong, or,
    after all else, where a row has no time that can be read or one that is to come, or a query gives text alone.
    """
    database = _check(options)
    after = since or until - timedelta(seconds=database.lookback_s)
    answers = _in_time(lambda: _answers(database, after, until), database)
    unread: list[str] = []
    # A cycle that had to wait asks about a moment that has passed: what came since then is no trouble.
    now, ahead = max(until, wall_clock()) + timedelta(seconds=MOST_SKEW_S), list[datetime]()
    for name, answer in answers:
        for sample in _samples(name, answer, database, until, unread):
            if after < sample.ts <= until:
                yield sample
            elif sample.ts > now:
                ahead.append(sample.ts)
    if ahead:
        message = f"{len(ahead)} values lie later than now, up to {max(ahead):%Y-%m-%d %H:%M} UTC, and are left out."
        remedy = "Set timezone, or the clock of whoever writes them; end the query with <= :until where they are plans."
        raise ForeactError("sql_clock", message, remedy)
    if unread:
        others = f", and {len(unread) - 1} other rows as little" if len(unread) > 1 else ""
        raise ForeactError("sql_no_time", f"{unread[0]}{others}.", "Return a timestamp, or seconds since 1970.")
    if (text_alone := next((name for name, answer in answers if answer.is_text_alone), None)) is not None:
        message = f"The query {text_alone} gives rows of text alone, so there is no value to record."
        raise ForeactError("sql_no_numbers", message, "Return a number, as in CAST(load AS DOUBLE PRECISION).")


def _in_time(ask: Callable[[], list[tuple[str, _Rows]]], database: _Database) -> list[tuple[str, _Rows]]:
    """Ask in a thread of its own: asynchronous drivers need a loop of their own, and others wait for ever."""
    outcome: list[list[tuple[str, _Rows]] | Exception] = []

    def run() -> None:
        try:
            outcome.append(ask())
        except Exception as trouble:
            outcome.append(trouble)

    thread = threading.Thread(target=run, name="sql_source", daemon=True)
    thread.start()
    thread.join(database.timeout_s + 1)
    if not outcome:
        raise _told(database, "", TimeoutError())
    if isinstance(outcome[0], Exception):
        raise outcome[0]
    return outcome[0]


def _answers(database: _Database, since: datetime, until: datetime) -> list[tuple[str, _Rows]]:
    try:
        if database.url.get_dialect().is_async:
            return asyncio.run(asyncio.wait_for(_ask_later(database, since, until), database.timeout_s))
        return _ask(database, since, until)
    except (ForeactError, TransientError):
        raise
    except Exception as trouble:  # drivers have errors of their own
        raise _told(database, "", trouble) from trouble


def _ask(database: _Database, since: datetime, until: datetime) -> list[tuple[str, _Rows]]:
    from sqlalchemy import create_engine, exc

    engine = create_engine(database.url)
    answers = []
    try:
        with engine.connect() as connection:
            if engine.name in READ_ONLY:
                connection.exec_driver_sql(READ_ONLY[engine.name])
            for name, query in database.queries.items():
                try:
                    statement = _statement(query, since, until, engine.name, database)
                    answers.append((name, _rows(name, connection.execute(*statement), database)))
                except exc.SQLAlchemyError as trouble:
                    raise _told(database, name, trouble) from trouble
    finally:
        engine.dispose()
    return answers


async def _ask_later(database: _Database, since: datetime, until: datetime) -> list[tuple[str, _Rows]]:
    from sqlalchemy.ext.asyncio import create_async_engine

    engine = create_async_engine(database.url, execution_options={"postgresql_readonly": True})
    try:
        return [(name, await _ask_one_later(engine, database, name, since, until)) for name in database.queries]
    finally:
        await engine.dispose()


async def _ask_one_later(engine: Any, database: _Database, name: str, since: datetime, until: datetime) -> _Rows:
    from sqlalchemy import exc

    for is_naive in (False, True):
        async with engine.connect() as connection:
            if engine.name in READ_ONLY:
                await connection.exec_driver_sql(READ_ONLY[engine.name])
            statement = _statement(database.queries[name], since, until, engine.name, database, is_naive)
            try:
                return _rows(name, await connection.execute(*statement), database)
            except exc.SQLAlchemyError as trouble:
                # A column without a time zone is not compared with a moment that has one.
                if NO_ZONE_WANTED not in str(trouble) or is_naive:
                    raise _told(database, name, trouble) from trouble
    raise AssertionError("unreachable")


def _statement(
    query: str, since: datetime, until: datetime, dialect: str, database: _Database, is_naive: bool = False
) -> tuple[TextClause, dict[str, Any]]:
    from sqlalchemy import text

    clause = text(query)
    known = {"since": since, "until": until}
    wanted: dict[str, Any] = {name: known[name] for name in clause.compile().params if name in known}
    # SQLite has no type for moments: people keep them as text.
    if is_naive or dialect == "sqlite":
        wanted = {name: _on_its_clock(moment, database.zone, name == "since") for name, moment in wanted.items()}
    if dialect == "sqlite":
        wanted = {name: f"{moment:%Y-%m-%d %H:%M:%S}" for name, moment in wanted.items()}
    return clause, wanted


def _on_its_clock(moment: datetime, zone: tzinfo, is_since: bool) -> datetime:
    """Return what a clock shows; in an hour that it shows twice, so much wider that no row of either is left out."""
    local = moment.astimezone(zone)
    first, second = (local.replace(fold=fold).utcoffset() or timedelta(0) for fold in (0, 1))
    if is_since or local.fold:
        local += (second - first) if is_since else (first - second)
    return local.replace(tzinfo=None)


def _rows(name: str, result: CursorResult[Any], database: _Database) -> _Rows:
    if not result.returns_rows:
        raise ForeactError("sql_no_rows", f"The query {name} returns no rows at all: it is no SELECT.", REMEDY)
    rows = result.fetchmany(database.max_rows + 1)
    if len(rows) > database.max_rows:
        detail = f"The query {name} gives more than max_rows = {database.max_rows} rows."
        raise ForeactError("sql_too_many_rows", detail, "Use :since in its WHERE, or increase max_rows.")
    return _Rows(tuple(result.keys()), [tuple(row) for row in rows])


def _samples(query: str, answer: _Rows, database: _Database, until: datetime, unread: list[str]) -> Iterator[Sample]:
    """Yield what the rows hold; one whose time cannot be read is skipped and leaves a sentence in `unread`."""
    time, metric, others = answer.time, answer.metric, answer.others
    times = LocalTimes(database.zone)
    for row in answer.rows:
        told = until if time is None else row[time]
        if told is None:
            continue
        numbers = {place: row[place] for place in others if isinstance(row[place], int | float | Decimal)}
        labels = {
            answer.names[place]: str(row[place]) for place in others if place not in numbers and row[place] is not None
        }
        named = str(row[metric]) if metric is not None else query
        try:
            at = times.read(_moment(told), (named, *labels.values()))
        except (ValueError, OverflowError, OSError):
            unread.append(f"The query {query} gives {told!r:.40} as a time")
            continue
        for place, value in numbers.items():
            name = (
                named if answer.names[place].lower() == VALUE or len(numbers) == 1 else f"{named}_{answer.names[place]}"
            )
            if math.isfinite(value):
                yield Sample(metric=name, value=float(value), ts=at, labels=labels, unit=database.units.get(name, ""))


def _moment(told: Any) -> datetime:
    """Return a moment, without a zone where none is told; ValueError, OverflowError or OSError for what is none."""
    if isinstance(told, int | float | Decimal) and not isinstance(told, bool):
        seconds = float(told)
        return datetime.fromtimestamp(seconds / 1_000 if abs(seconds) >= MILLISECONDS_FROM else seconds, UTC)
    if isinstance(told, date) and not isinstance(told, datetime):
        return datetime(told.year, told.month, told.day)  # noqa: DTZ001 - it is read by the clock of its zone
    return told if isinstance(told, datetime) else datetime.fromisoformat(str(told))


def _told(database: _Database, name: str, trouble: BaseException) -> ForeactError | TransientError:
    """Say what went wrong in one line, without the password; what may pass is a TransientError."""
    from sqlalchemy import exc

    reason = str(getattr(trouble, "orig", None) or trouble).strip().splitlines() or [type(trouble).__name__]
    said = reason[0].rpartition(">: ")[2].rstrip(".")
    if isinstance(trouble, exc.NoSuchModuleError | ModuleNotFoundError):
        detail = f"There is no driver for {database.shown}: {said}."
        return ForeactError("sql_driver", detail, "Install the driver of this database beside foreact.")
    is_login = any(word in said.lower() for word in LOGIN_WORDS)
    may_pass = not name or getattr(trouble, "connection_invalidated", False)
    if may_pass and not is_login:
        said = said if said and not isinstance(trouble, TimeoutError) else f"no answer in {database.timeout_s:g} s"
        return TransientError(f"The database {database.shown} cannot be reached: {said}")
    detail = f"The database {database.shown} refuses {'the query ' + name if name else 'the connection'}: {said}."
    return ForeactError("sql_refused", detail, REMEDY)


def _check(options: Mapping[str, Any]) -> _Database:
    from sqlalchemy import exc, make_url

    queries = option(options, "queries", NO_TABLE)
    if not queries:
        raise ForeactError("sql_queries", "There are no queries; give a table of name = SELECT.", REMEDY)
    try:
        url = make_url(option(options, "url", ""))
    except (exc.ArgumentError, ValueError):
        detail = "url is not the address of a database, as in postgresql://user@host/name."
        raise ForeactError("sql_url", detail, REMEDY) from None
    if url.drivername in {"postgres", "postgresql"}:
        # The driver that comes with Prefect: nothing has to be installed.
        url = url.set(drivername="postgresql+asyncpg")
    zone = option(options, "timezone", "UTC")
    try:
        known_zone = UTC if zone == "UTC" else ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ForeactError("sql_timezone", f"There is no time zone {zone!r}.", REMEDY) from None
    return _Database(
        url=url,
        queries=queries,
        timeout_s=option(options, "timeout_s", 30.0),
        lookback_s=option(options, "lookback_s", 86_400.0),
        max_rows=option(options, "max_rows", 100_000),
        zone=known_zone,
        units=option(options, "units", NO_TABLE),
    )
