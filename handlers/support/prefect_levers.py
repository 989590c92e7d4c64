"""What can be turned on a Prefect server, as its REST interface has it, with Prefect's own client and credentials."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import httpx
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.exceptions import PrefectException
from prefect.settings import PREFECT_API_KEY, PREFECT_API_URL, temporary_settings

from handlers.contract.results import CallFailedError

MOST_RUNS = 50
UNBEGUN = ("SCHEDULED",)


@dataclass(frozen=True)
class PrefectServer:
    """One server that is asked."""

    client: SyncPrefectClient

    def ask(self, method: Any, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """Send a request and return what the answer holds; raises CallFailedError with the server's reason."""
        try:
            response = self.client.request(method, path, json=body)  # type: ignore[arg-type]
            return response.json() if response.content else None
        except httpx.HTTPStatusError as error:
            raise CallFailedError(_said(method, path, error.response), error.response.status_code) from None
        except (httpx.HTTPError, PrefectException, ValueError) as error:
            raise CallFailedError(f"The Prefect server does not answer: {type(error).__name__}.") from None

    def deployment(self, name: str) -> dict[str, Any]:
        """Return a deployment by its name, flow/deployment; raises CallFailedError where there is none."""
        if not re.fullmatch(r"[^/?#%]+/[^/?#%]+", name):
            raise CallFailedError(f"{name!r} is no name of a deployment; write it as flow/deployment.")
        found: dict[str, Any] = self.ask("GET", f"/deployments/name/{name}")
        return found

    def runs(
        self, deployment_id: str, states: tuple[str, ...], sort: str, limit: int = MOST_RUNS
    ) -> list[dict[str, Any]]:
        """Return the runs of a deployment that are in one of some types of states."""
        body = {
            "deployments": {"id": {"any_": [deployment_id]}},
            "flow_runs": {"state": {"type": {"any_": list(states)}}},
            "sort": sort,
            "limit": limit,
        }
        found: list[dict[str, Any]] = self.ask("POST", "/flow_runs/filter", body)
        return found

    def run(self, flow_run_id: str) -> dict[str, Any]:
        """Return one run; raises CallFailedError where there is none."""
        if not re.fullmatch(r"[0-9a-fA-F-]{32,36}", flow_run_id):
            raise CallFailedError(f"{flow_run_id!r} is no id of a flow run.")
        found: dict[str, Any] = self.ask("GET", f"/flow_runs/{flow_run_id}")
        return found

    def set_state(self, flow_run_id: str, state: Mapping[str, Any], *, force: bool = False) -> str:
        """Ask for a state of a run and return an empty text, or why the server did not give it."""
        body = {"state": dict(state), "force": force}
        answer = self.ask("POST", f"/flow_runs/{flow_run_id}/set_state", body)
        if answer.get("status") == "ACCEPT":
            return ""
        return str((answer.get("details") or {}).get("reason") or f"the server answered {answer.get('status')}")


@contextmanager
def prefect_server(options: Mapping[str, Any]) -> Iterator[PrefectServer]:
    """Open the server of the options, or the one that Prefect itself is set to.

    Raises CallFailedError where there is none: Prefect would start one of its own for a moment, which knows nothing.
    """
    given = {PREFECT_API_URL: options.get("api_url"), PREFECT_API_KEY: options.get("api_key")}
    with temporary_settings({key: str(value) for key, value in given.items() if value}):
        if not PREFECT_API_URL.value():
            raise CallFailedError("No Prefect server is known. Set PREFECT_API_URL, or api_url for this action.")
        try:
            with get_client(sync_client=True) as client:
                yield PrefectServer(client)
        except (httpx.HTTPError, PrefectException) as error:
            raise CallFailedError(f"The Prefect server does not answer: {type(error).__name__}.") from None


@dataclass(frozen=True)
class Dial:
    """One number that a server keeps: where it is read and set, and what people call it."""

    label: str
    path: str
    field: str
    read_at: tuple[str, ...]

    def value(self, server: PrefectServer) -> int | None:
        """Return the number now, None where nothing is limited."""
        found = server.ask("GET", self.path)
        for part in self.read_at:
            found = (found or {}).get(part)
        return None if found is None else int(found)

    def set(self, server: PrefectServer, value: int | None) -> None:
        """Set the number, or take the limit away."""
        server.ask("PATCH", self.path, {self.field: value})


def limit_dial(server: PrefectServer, options: Mapping[str, Any]) -> Dial:
    """Return the concurrency limit that the options name: of a pool, a queue, a deployment, or a global one."""
    if options.get("work_pool"):
        name = _name(options["work_pool"])
        return Dial(
            f"the limit of work pool {name}", f"/work_pools/{name}", "concurrency_limit", ("concurrency_limit",)
        )
    if options.get("work_queue"):
        pool, queue = queue_of(options)
        path = f"/work_pools/{pool}/queues/{queue}"
        return Dial(f"the limit of work queue {pool}/{queue}", path, "concurrency_limit", ("concurrency_limit",))
    if options.get("deployment"):
        name = str(options["deployment"])
        path, read_at = f"/deployments/{server.deployment(name)['id']}", ("global_concurrency_limit", "limit")
        return Dial(f"the limit of deployment {name}", path, "concurrency_limit", read_at)
    name = _name(options["global_limit"])
    return Dial(f"the global limit {name}", f"/v2/concurrency_limits/{name}", "limit", ("limit",))


def queue_of(options: Mapping[str, Any]) -> tuple[str, str]:
    """Return the pool and the queue of the option work_queue, written pool/queue."""
    pool, _, queue = str(options["work_queue"]).partition("/")
    if not queue:
        raise CallFailedError(f"work_queue = {options['work_queue']!r} must be pool/queue.")
    return _name(pool), _name(queue)


def priorities(server: PrefectServer, pool: str) -> dict[str, int]:
    """Return the priority of every queue of a pool: 1 goes first."""
    queues = server.ask("POST", f"/work_pools/{_name(pool)}/queues/filter", {"limit": 200})
    return {str(queue["name"]): int(queue["priority"]) for queue in queues}


def set_priorities(server: PrefectServer, pool: str, wanted: Mapping[str, int]) -> None:
    """Set priorities, the first first: whoever gives way to one that is set moves behind it and is set after it."""
    for queue, priority in sorted(wanted.items(), key=lambda item: item[1]):
        server.ask("PATCH", f"/work_pools/{_name(pool)}/queues/{_name(queue)}", {"priority": priority})


def scheduled_at(moment: datetime) -> dict[str, Any]:
    """Return the state of a run that waits for a moment."""
    return {"type": "SCHEDULED", "name": "Scheduled", "state_details": {"scheduled_time": moment.isoformat()}}


def start_of(run: Mapping[str, Any]) -> datetime:
    """Return when a run that waits is to start."""
    return datetime.fromisoformat(str(run["next_scheduled_start_time"] or run["expected_start_time"]))


def waiting_within(server: PrefectServer, deployment: str, until: datetime) -> list[dict[str, Any]]:
    """Return the runs of a deployment that have not begun and are to start by a moment, the earliest first."""
    found = server.runs(server.deployment(deployment)["id"], UNBEGUN, "EXPECTED_START_TIME_ASC")
    return sorted((run for run in found if start_of(run) <= until), key=start_of)


def later(run: Mapping[str, Any], by_s: float, now: datetime) -> datetime:
    """Return when a run is to start that waits by so much longer, or less long: at once at the earliest."""
    by = timedelta(seconds=by_s)
    return max(now, start_of(run)) + by if by_s > 0 else max(now, start_of(run) + by)


def _name(text: Any) -> str:
    name = str(text)
    if not re.fullmatch(r"[^/%&><?#]+", name):
        raise CallFailedError(f"{name!r} is no name that a Prefect server knows.")
    return name


def _said(method: str, path: str, response: httpx.Response) -> str:
    try:
        detail = response.json()
        reason = str(detail.get("detail") or detail.get("exception_message") or detail)
    except (ValueError, AttributeError):
        reason = ""
    told = f"Prefect answered {method} {path} with {response.status_code}"
    return f"{told}: {' '.join(reason.split())[:300].rstrip('.')}." if reason else f"{told}."
