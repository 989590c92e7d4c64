"""What the loop keeps of itself: its cycles, its patterns, the switches in force, and the audit trail."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any

from storage.engine.protocol import Engine
from storage.records import Cycle
from storage.table import Clock, RecordTable, append_few


class CycleTable:
    """The `cycles` and `cycle_stages` tables."""

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self._engine, self._clock = engine, clock
        self._cycles = RecordTable(engine, clock, "cycles", Cycle, first_by=("cycle_id",))
        self._begun: tuple[str, datetime] | None = None
        self._measured_at: datetime | None = None

    def begin(self, cycle: Cycle) -> bool:
        """Record that a cycle runs; False where this (agent, tick) already ran or runs."""
        is_new = bool(self._cycles.append([cycle]))
        self._engine.when_written(partial(self._note_begun, cycle))
        return is_new

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
        if "measure" in names:
            self._engine.when_written(partial(self._note_measured, cycle_id))

    def _note_begun(self, cycle: Cycle) -> None:
        self._begun = cycle.cycle_id, cycle.tick

    def _note_measured(self, cycle_id: str) -> None:
        if self._begun is not None and self._begun[0] == cycle_id:
            self._measured_at = max(self._begun[1], self._measured_at or self._begun[1])

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
        if self._engine.is_alone and self._measured_at is not None and self._measured_at < tick:
            return self._measured_at
        sql = """SELECT max(tick) FROM cycles SEMI JOIN (FROM cycle_stages WHERE stage = 'measure') USING (cycle_id)
                 WHERE tick < $tick"""
        found: datetime | None = self._engine.rows(sql, {"tick": tick})[0][0]
        return found

    def latest(self, limit: int = 1, *, whole: bool = False) -> list[Cycle]:
        """Return the newest cycles, newest first; with `whole` those in which all stages ran, live or simulated."""
        tail = "WHERE NOT $whole OR kind <> 'tend' ORDER BY tick DESC, recorded_at DESC LIMIT $limit"
        return self._cycles.select(tail, {"whole": whole, "limit": limit})

    def get(self, cycle_id: str) -> Cycle | None:
        """Return one cycle, or None."""
        return self._cycles.get(cycle_id)

    def count(self) -> int:
        """Count whole cycles."""
        return self._cycles.count("kind <> 'tend'")
