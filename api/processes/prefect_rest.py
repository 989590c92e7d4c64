"""The few requests to the Prefect server that the supervisor needs; importing prefect would cost it 80 MB."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

import httpx

from api.prefect_client import LOOP_TAGS, CsrfToken
from api.processes.layout import POOL
from handlers.support.prefect_reader import OTHERWISE

FoundT = TypeVar("FoundT")

UNFINISHED = ("RUNNING", "PENDING", "CANCELLING")
PAGE = 200
MADE_UP_FOR = (LOOP_TAGS, {"foreact", "upkeep"})
"""The tags of deployments whose next run does all that an earlier one would have done."""


@dataclass(frozen=True)
class Run:
    """A flow run as far as the supervisor looks at it."""

    id: str
    name: str
    deployment_id: str
    state: str
    due_at: datetime | None
    tags: tuple[str, ...] = ()

    @property
    def is_made_up_for(self) -> bool:
        """Tell whether a later run does all that this one would have done."""
        return any(set(self.tags) >= tags for tags in MADE_UP_FOR)


class PrefectRest:
    """A client of one Prefect server, for the flow runs of one work pool."""

    def __init__(self, api_url: str, headers: Mapping[str, str] | None = None, pool: str = POOL) -> None:
        self._client = httpx.AsyncClient(
            base_url=api_url.rstrip("/"), timeout=10, trust_env=False, auth=CsrfToken(headers)
        )
        self._pool = pool

    async def is_healthy(self) -> bool:
        """Tell whether the server answers."""
        try:
            return (await self._client.get("/health", timeout=3)).is_success
        except httpx.HTTPError:
            return False

    async def unfinished(self) -> list[Run]:
        """Return the runs of our pool that count as being executed."""
        return await self._runs({"state": {"type": {"any_": UNFINISHED}}})

    async def missed(self, now: datetime) -> list[Run]:
        """Return the runs of our pool which should have started before now, the newest first."""
        return await self._runs(
            {"state": {"type": {"any_": ["SCHEDULED"]}}, "next_scheduled_start_time": {"before_": now.isoformat()}}
        )

    async def ended(self, deployment_id: str, since: datetime) -> set[str]:
        """Return the state types in which runs of a deployment ended that were begun after a moment."""
        body = {
            "flow_runs": {"start_time": {"after_": since.isoformat()}},
            "deployments": {"id": {"any_": [deployment_id]}},
            "limit": PAGE,
        }
        begun = await self._found(body, lambda row: (str(row["state_type"]), row["run_count"]))
        return {state for state, count in begun if count} & {"COMPLETED", "FAILED", "CRASHED"}

    async def end(self, runs: Sequence[Run], state: str, message: str, name: str = "") -> None:
        """Set runs to a final state, whatever they claim; their concurrency slots are free at once."""
        wanted = {"type": state.upper(), "name": name or state.title(), "message": message}
        for run in runs:
            body = {"state": wanted, "force": True}
            (await self._client.post(f"/flow_runs/{run.id}/set_state", json=body)).raise_for_status()

    async def pause_pool(self, is_paused: bool) -> None:
        """Keep the worker from starting anything new, or let it again."""
        answer = await self._client.patch(f"/work_pools/{self._pool}", json={"is_paused": is_paused})
        answer.raise_for_status()

    async def close(self) -> None:
        """Let go of the connections."""
        await self._client.aclose()

    async def _runs(self, which: Mapping[str, Any]) -> list[Run]:
        body = {
            "flow_runs": which,
            "work_pools": {"name": {"any_": [self._pool]}},
            "sort": "EXPECTED_START_TIME_DESC",
            "limit": PAGE,
        }
        return await self._found(body, _run)

    async def _found(self, body: Mapping[str, Any], read: Callable[[Mapping[str, Any]], FoundT]) -> list[FoundT]:
        """Ask for flow runs; raises httpx.HTTPError where there is no answer, or one that is not as Prefect has it."""
        answer = await self._client.post("/flow_runs/filter", json=body)
        answer.raise_for_status()
        try:
            return [read(row) for row in answer.json()]
        except OTHERWISE as trouble:
            raise httpx.DecodingError(f"This is no list of flow runs: {trouble!r:.100}") from trouble


def _run(row: Mapping[str, Any]) -> Run:
    due = row.get("expected_start_time")
    return Run(
        id=str(row["id"]),
        name=str(row["name"]),
        deployment_id=str(row.get("deployment_id") or ""),
        state=str(row["state_type"]),
        due_at=datetime.fromisoformat(due.replace("Z", "+00:00")) if due else None,
        tags=tuple(row.get("tags") or ()),
    )
