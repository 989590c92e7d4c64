"""Starting deployments of the Prefect server by name."""

from __future__ import annotations

import time
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol
from uuid import uuid4

import httpx

from settings import utc_now
from storage.errors import ForeactError

TIMEOUT_S = 10.0
BUSY_PAUSES_S = (0.2, 0.5, 1.0)
"""A Prefect server on SQLite answers 503 while another writer holds its database."""


@dataclass(frozen=True)
class Started:
    """A flow run that was asked for, and where people see it."""

    flow_run_id: str
    url: str


class Trigger(Protocol):
    """Something that starts a deployment."""

    def run(self, deployment: str, parameters: Mapping[str, Any] | None = None, key: str | None = None) -> Started:
        """Start a deployment (`cycle`, `tend`, `upkeep`, `backtest`); equal keys give the same run.

        Raises `prefect_unreachable` or `deployment_unknown`.
        """
        ...

    def running(self, deployment: str, but: str | None = None) -> Started | None:
        """Return the run of a deployment that is under way, unless it was started with the key `but`; else None."""
        ...


class CsrfToken(httpx.Auth):
    """Sends the token without which a server takes no change; it is fetched when the server refuses one."""

    requires_response_body = True

    def __init__(self) -> None:
        self._headers = {"Prefect-Csrf-Client": str(uuid4())}

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response]:
        """Send a request, once more with a token where it is refused for want of one."""
        if request.method == "GET":
            yield request
            return
        request.headers.update(self._headers)
        answer = yield request
        if answer.status_code != httpx.codes.FORBIDDEN:
            return
        base = str(request.url).partition("/api/")[0]
        query = {"client": self._headers["Prefect-Csrf-Client"]}
        own = {name: request.headers[name] for name in ("Authorization",) if name in request.headers}
        token = yield httpx.Request("GET", f"{base}/api/csrf-token", params=query, headers=own)
        if token.is_success:
            self._headers["Prefect-Csrf-Token"] = str(token.json()["token"])
            request.headers.update(self._headers)
            yield request


class PrefectTrigger:
    """The Prefect server's own REST interface.

    Two plain requests do what `run_deployment` does: importing prefect would cost this process 44 MB.
    """

    def __init__(self, api_url: str, ui_url: str | None = None) -> None:
        """Bind the API, as in `http://127.0.0.1:4200/api`; the UI lies beside it unless it is named."""
        self.ui_url = ui_url or api_url.rstrip("/").removesuffix("/api")
        self._api = httpx.Client(base_url=api_url, timeout=TIMEOUT_S, trust_env=False, auth=CsrfToken())
        self._ids: dict[str, str] = {}

    def run(self, deployment: str, parameters: Mapping[str, Any] | None = None, key: str | None = None) -> Started:
        """Start a deployment; one that was registered anew under another id is looked up again."""
        # With a key of its own a request that is tried again cannot start a second run.
        body = {"parameters": dict(parameters or {}), "idempotency_key": key or uuid4().hex}
        was_cached = deployment in self._ids
        answer = self._post(deployment, body)
        if answer.status_code == 404 and was_cached:
            self._ids.pop(deployment, None)
            answer = self._post(deployment, body)
        if answer.is_error:
            raise _refused(deployment, answer)
        return self._started(answer.json())

    def running(self, deployment: str, but: str | None = None) -> Started | None:
        """Return the run that holds the deployment's place, unless it was started with the key `but`; else None.

        One that is due and waits for the worker counts as well: it will hold the place before a later one can.
        """
        under_way = {
            "state": {"type": {"any_": ["SCHEDULED", "PENDING", "RUNNING", "CANCELLING"]}},
            "expected_start_time": {"before_": utc_now().isoformat()},
        }
        body = {"flow_runs": under_way, "deployments": {"id": {"any_": [self._id_of(deployment)]}}}
        answer = self._ask("POST", "/flow_runs/filter", body)
        if answer.is_error:
            raise _refused(deployment, answer)
        others = [run for run in answer.json() if but is None or run.get("idempotency_key") != but]
        return self._started(others[0]) if others else None

    def close(self) -> None:
        """Let go of the connections."""
        self._api.close()

    def _started(self, run: Mapping[str, Any]) -> Started:
        return Started(str(run["id"]), f"{self.ui_url}/runs/flow-run/{run['id']}")

    def _post(self, deployment: str, body: Mapping[str, Any]) -> httpx.Response:
        return self._ask("POST", f"/deployments/{self._id_of(deployment)}/create_flow_run", body)

    def _id_of(self, deployment: str) -> str:
        if deployment not in self._ids:
            answer = self._ask("GET", f"/deployments/name/{deployment}/{deployment}")
            if answer.is_error:
                raise _refused(deployment, answer)
            self._ids[deployment] = str(answer.json()["id"])
        return self._ids[deployment]

    def _ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> httpx.Response:
        try:
            for pause_s in BUSY_PAUSES_S:
                answer = self._api.request(method, path, json=body)
                if answer.status_code != httpx.codes.SERVICE_UNAVAILABLE:
                    return answer
                time.sleep(pause_s)
            return self._api.request(method, path, json=body)
        except httpx.HTTPError as trouble:
            raise ForeactError(
                "prefect_unreachable",
                f"The Prefect server at {self._api.base_url} does not answer ({type(trouble).__name__}).",
                "Start it with `foreact up`, or correct `prefect_api_url`; then try again.",
                status=503,
            ) from trouble


def _refused(deployment: str, answer: httpx.Response) -> ForeactError:
    if answer.status_code == 404:
        return ForeactError(
            "deployment_unknown",
            f"The Prefect server has no deployment {deployment}/{deployment}.",
            "`foreact up` registers the deployments; wait until it has.",
            status=503,
        )
    return ForeactError(
        "prefect_refused",
        f"The Prefect server answered {answer.status_code} to starting {deployment}: {answer.text[:200]}",
        "See the log of the Prefect server.",
        status=503,
    )
