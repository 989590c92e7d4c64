"""What every table keeps and for how long, so that the file stays small; what is in force is never forgotten.

Rows end with what they belong to: what a cycle computed with the forecasts, what was decided and done with the record.
Of forecasts that have come due ever fewer are kept, since who learns from them looks at moments that lie far apart.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

import duckdb

from storage.engine.protocol import Engine

DUE = timedelta(hours=6)
"""So long after its last step a forecast is kept in any case: by then it is compared with what came."""
HOURLY = timedelta(days=8)
"""So long one an hour is kept: an act is compared with some hundred and sixty forecasts of the week before it."""
SUPERSEDED = timedelta(days=1)
REWRITTEN_RATIO = 0.2
"""A table that lost a larger part is written anew: DuckDB gives back the room of whole row groups alone."""
CHECKPOINT_TRIES = 6


@dataclass(frozen=True)
class Lifetimes:
    """How many days raw samples, what cycles computed, and the record of what was decided and done are kept."""

    samples_days: float
    forecasts_days: float
    records_days: float


@dataclass(frozen=True)
class RetentionRule:
    """Which rows of a table end, as SQL over the moments of `moments`; a keyless one may be written anew.

    `doomed` is None where all rows stay; `because` says why these go, or why all stay.
    """

    table: str
    doomed: str | None
    because: str
    is_keyless: bool = False


_DUE = "issued_at < $forecasts"
_COMPUTED = "recorded_at < $forecasts"
_FIRST = """SELECT arg_min(cycle_id, issued_at), series FROM forecasts WHERE {0}
            GROUP BY series, step_s, time_bucket(INTERVAL '{1} hours', issued_at)"""
_THINNED = f"""issued_at < $forecasts OR (matures_at < $due AND (cycle_id, series) NOT IN (
    {_FIRST.format("matures_at < $due AND issued_at >= $hourly", 1)}
    UNION ALL {_FIRST.format("issued_at < $hourly", 6)}
    UNION ALL SELECT body->>'$.forecast_cycle_id', series FROM estimands)
    AND cycle_id NOT IN (SELECT body->>'$.forecast_cycle_id' FROM estimands
                         WHERE action_id NOT IN (SELECT action_id FROM outcomes WHERE role = 'target')))"""
_ENDED = "action_id NOT IN (SELECT action_id FROM actions)"
_OPEN = "('proposed', 'active', 'blocked')"


def _not_newest(table: str, by: str) -> str:
    return f"{by} < (SELECT max(newer.{by}) FROM {table} newer WHERE newer.name = {table}.name)"


RULES = (
    RetentionRule("samples", "ts < $samples", "storage.samples_days", is_keyless=True),
    RetentionRule("events", "ts < $samples", "with the samples beside them"),
    RetentionRule(
        "series",
        "recorded_at < $samples AND series_id NOT IN (SELECT DISTINCT series_id FROM samples)",
        "no sample of it is left",
    ),
    RetentionRule(
        "forecasts", _THINNED, "storage.forecasts_days; of those due one an hour, then one in six", is_keyless=True
    ),
    RetentionRule(
        "errors",
        f"{_DUE} OR (matures_at < $due AND (cycle_id, series) NOT IN (SELECT (cycle_id, series) FROM forecasts))",
        "with their forecasts",
        is_keyless=True,
    ),
    RetentionRule("breaches", _COMPUTED, "with the forecasts they were read off"),
    RetentionRule("states", _COMPUTED, "with the forecasts they were read off"),
    RetentionRule("breach_results", _COMPUTED, "with the forecasts"),
    RetentionRule("state_results", _COMPUTED, "with the forecasts"),
    RetentionRule("patterns", _COMPUTED, "later cycles search anew"),
    RetentionRule("cycle_stages", _COMPUTED, "with what the cycle computed", is_keyless=True),
    RetentionRule(
        "fitted",
        f"recorded_at < $superseded AND {_not_newest('fitted', 'recorded_at')}",
        "a later fit is in force",
        is_keyless=True,
    ),
    RetentionRule(
        "facts",
        f"{_COMPUTED} AND {_not_newest('facts', 'seq')}",
        "a later value is in force",
        is_keyless=True,
    ),
    RetentionRule(
        "beliefs",
        f"{_COMPUTED} AND recorded_at < (SELECT max(recorded_at) FROM beliefs)",
        "a later belief is in force",
    ),
    RetentionRule("cycles", "recorded_at < $records", "storage.records_days"),
    RetentionRule("outcomes", "recorded_at < $records", "storage.records_days; beliefs hold what they taught"),
    RetentionRule(
        "actions",
        """recorded_at < $records AND action_id NOT IN (SELECT action_id FROM outcomes)
           AND action_id NOT IN (SELECT a.undo_of FROM actions a WHERE a.undo_of IS NOT NULL
                                 AND a.recorded_at >= $records)
           AND (expires_at < $records OR action_id IN (SELECT action_id FROM receipts))""",
        "storage.records_days, where nothing younger refers to it",
    ),
    RetentionRule("approvals", _ENDED, "with their action"),
    RetentionRule("intents", _ENDED, "with their action"),
    RetentionRule("receipts", _ENDED, "with their action"),
    RetentionRule("estimands", _ENDED, "with their action"),
    RetentionRule(
        "goals",
        f"""recorded_at < $records AND goal_id NOT IN (SELECT goal_id FROM actions) AND goal_id NOT IN
           (SELECT goal_id FROM goal_states WHERE state IN {_OPEN} OR since >= $records)""",
        "storage.records_days after it was closed",
    ),
    RetentionRule(
        "goal_transitions",
        "recorded_at < $records AND goal_id NOT IN (SELECT goal_id FROM goals)",
        "with their goal",
    ),
    RetentionRule(
        "decisions",
        f"{_COMPUTED} AND decision_id NOT IN (SELECT body->>'$.decision_id' FROM actions)",
        "no act came of it, or that is gone",
    ),
    RetentionRule(
        "plans",
        f"{_COMPUTED} AND plan_id NOT IN (SELECT body->>'$.plan_id' FROM actions)",
        "no act came of it, or that is gone",
    ),
    RetentionRule("top_consumers", "recorded_at < $hourly", "eight days: goals keep what was noted when they were set"),
    RetentionRule("choices", "recorded_at < $records", "storage.records_days"),
    RetentionRule(
        "shared_leases",
        """recorded_at < $superseded AND token NOT IN (SELECT max(newer.token) FROM shared_leases newer
           WHERE newer.budget = shared_leases.budget GROUP BY newer.holder)""",
        "a later lease of its holder is in force",
    ),
    RetentionRule("audit", None, "old lines move into archives, which `AuditTrail.archive` writes"),
    RetentionRule("schema_versions", None, "a row a release"),
)
"""In the order in which they are applied: what refers to other rows goes by what was left of these."""


def moments(now: datetime, lifetimes: Lifetimes) -> Mapping[str, datetime]:
    """Return the moments that rules name, by name."""
    return {
        "samples": now - timedelta(days=lifetimes.samples_days),
        "forecasts": now - timedelta(days=lifetimes.forecasts_days),
        "records": now - timedelta(days=max(lifetimes.records_days, lifetimes.forecasts_days)),
        "due": now - DUE,
        "hourly": now - HOURLY,
        "superseded": now - SUPERSEDED,
    }


def forget(engine: Engine, now: datetime, lifetimes: Lifetimes) -> dict[str, int]:
    """Forget what every table need not keep any more; return how many rows went, by table."""
    cuts, gone = moments(now, lifetimes), {}
    for rule in RULES:
        if rule.doomed is None:
            continue
        named = {name: at for name, at in cuts.items() if f"${name}" in rule.doomed}
        ((count,),) = engine.rows(f"SELECT count(*) FROM {rule.table} WHERE {rule.doomed}", named)
        if not count:
            continue
        engine.rows(f"DELETE FROM {rule.table} WHERE {rule.doomed}", named)
        gone[rule.table] = count
        ((left,),) = engine.rows(f"SELECT count(*) FROM {rule.table}")
        if rule.is_keyless and count > REWRITTEN_RATIO * left:
            _write_anew(engine, rule.table)
    return gone


def _write_anew(engine: Engine, table: str) -> None:
    """Write the rows of a table again behind the old ones, so that these lie in row groups without a living row."""
    ((last,),) = engine.rows(f"SELECT max(rowid) FROM {table}")
    if last is None:
        return
    with engine.transaction():
        engine.rows(f"INSERT INTO {table} FROM {table} WHERE rowid <= $last ORDER BY rowid", {"last": last})
        engine.rows(f"DELETE FROM {table} WHERE rowid <= $last", {"last": last})


def checkpoint(engine: Engine) -> str | None:
    """Write the log into the file and give back room at its end; return why that could not be done, or None."""
    for attempt in range(CHECKPOINT_TRIES):
        try:
            engine.rows("CHECKPOINT")
        except duckdb.Error as trouble:
            if attempt == CHECKPOINT_TRIES - 1:
                return str(trouble).splitlines()[0]
            # Writers that are at it now are done in a moment.
            time.sleep(0.1 * 2**attempt)
        else:
            return None
    return None
