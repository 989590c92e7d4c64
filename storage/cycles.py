"""Cycles, and the stages that finished in each."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from storage.engine.protocol import Columns, Engine, Followed
from storage.open_predictions import LAST, NEVER
from storage.records import Cycle
from storage.table import Clock, RecordTable, append_few


@dataclass(frozen=True)
class LastMeasured:
    """The newest tick of a turn that measured, and the cycle that began last, with its tick.

    No stage is done of a cycle that has not begun.
    """

    newest: datetime | None
    begun: tuple[str | None, datetime | None]


class CycleTable:
    """The `cycles` and `cycle_stages` tables."""

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self._engine, self._clock = engine, clock
        self._cycles = RecordTable(engine, clock, "cycles", Cycle, first_by=("cycle_id",))
        tables = ("cycles", "cycle_stages")
        self._measured = Followed(tables, self._read_measured, _measured_since, widen=lambda _: (LAST,))

    def begin(self, cycle: Cycle) -> bool:
        """Record that a cycle runs; False where this (agent, tick) already ran or runs."""
        return bool(self._cycles.append([cycle]))

    def stages_done(self, cycle_id: str, stages: Sequence[tuple[str, datetime, float, Mapping[str, Any]]]) -> None:
        """Record stages that finished: name, moment, duration in seconds, and what each came to."""
        if not stages:
            return
        names, moments, taken_s, summaries = zip(*stages, strict=True)
        columns = {
            "cycle_id": [cycle_id] * len(stages),
            "stage": list(names),
            "recorded_at": list(moments),
            "duration_s": list(taken_s),
            "summary": [json.dumps(summary, default=str) for summary in summaries],
        }
        append_few(self._engine, "cycle_stages", columns)

    def stages(self, cycle_id: str) -> list[dict[str, Any]]:
        """Return the finished stages of a cycle in order."""
        sql = """SELECT stage, recorded_at, duration_s, summary FROM cycle_stages
                 WHERE cycle_id = $cycle_id ORDER BY recorded_at, rowid"""
        rows = self._engine.recall(
            ("cycle_stages",), ("stages", cycle_id), lambda: self._engine.rows(sql, {"cycle_id": cycle_id})
        )
        return [
            {"stage": stage, "finished_at": at, "duration_s": duration_s, "summary": json.loads(summary)}
            for stage, at, duration_s, summary in rows
        ]

    def measured_before(self, tick: datetime) -> datetime | None:
        """Return the tick of the last turn before one that measured, and so looked at what was done."""
        newest = self._engine.follow(self._measured, tick).newest
        return newest if newest is None or newest < tick else self._read_measured(tick).newest

    def _read_measured(self, before: datetime) -> LastMeasured:
        sql = """SELECT max(tick) FILTER (stage IS NOT NULL), arg_max(cycle_id, c.rowid), arg_max(tick, c.rowid)
                 FROM cycles c LEFT JOIN (FROM cycle_stages WHERE stage = 'measure') USING (cycle_id)
                 WHERE tick < $before"""
        newest, *begun = self._engine.rows(sql, {"before": before})[0]
        return LastMeasured(newest, tuple(begun))

    def latest(self, limit: int = 1, *, whole: bool = False) -> list[Cycle]:
        """Return the newest cycles, newest first; with `whole` those in which all stages ran, live or simulated."""
        tail = "WHERE NOT $whole OR kind <> 'tend' ORDER BY tick DESC, recorded_at DESC LIMIT $limit"
        return self._cycles.select(tail, {"whole": whole, "limit": limit})

    def page(self, text: str, limit: int, offset: int = 0) -> tuple[list[Cycle], int]:
        """Return some of the whole cycles that contain a text, newest first, and how many do."""
        return self._cycles.page(text, "tick DESC, recorded_at DESC", limit, offset, "kind <> 'tend'")

    def get(self, cycle_id: str) -> Cycle | None:
        """Return one cycle, or None."""
        return self._cycles.get(cycle_id)

    def count(self) -> int:
        """Count whole cycles."""
        return self._cycles.count("kind <> 'tend'")


def _measured_since(known: LastMeasured, table: str, new: Columns) -> LastMeasured | None:
    """Follow the stages of the cycle that began last: of another one it is not known when it ran."""
    if table == "cycles":
        return replace(known, begun=(new["cycle_id"][-1], new["tick"][-1]))
    measured = {cycle_id for cycle_id, stage in zip(new["cycle_id"], new["stage"], strict=True) if stage == "measure"}
    if not measured:
        return known
    cycle_id, tick = known.begun
    return replace(known, newest=max(known.newest or NEVER, tick)) if tick and measured == {cycle_id} else None
