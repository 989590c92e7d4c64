"""A work pool on a real Prefect server: deployments, runs, and a worker that only waits as long as it is told to."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

import httpx

from handlers.support.prefect_reader import CsrfToken


class PrefectPool:
    """A pool with a limit; the server itself says which runs its worker may take."""

    def __init__(self, url: str, name: str, limit: int) -> None:
        self.name = name
        self._client = httpx.Client(base_url=url, auth=CsrfToken(), timeout=15, trust_env=False)
        self.lengths_s: dict[str, float] = {}
        self.ids: dict[str, str] = {}
        self._stop = threading.Event()
        self.post("work_pools/", {"name": name, "type": "process", "concurrency_limit": limit})

    def post(self, path: str, body: Any) -> Any:
        return self.ask("POST", path, body).json()

    def ask(self, method: str, path: str, body: Any = None) -> httpx.Response:
        """Ask the server, again while it is busy: one on SQLite says so when another writer holds its database."""
        for _ in range(40):
            with contextlib.suppress(httpx.TimeoutException):
                answer = self._client.request(method, path, json=body)
                if answer.status_code != httpx.codes.SERVICE_UNAVAILABLE:
                    assert answer.is_success, answer.text
                    return answer
            time.sleep(0.5)
        raise AssertionError(f"the Prefect server stays busy: {method} {path}")

    def set_limit(self, limit: int) -> None:
        self.ask("PATCH", f"work_pools/{self.name}", {"concurrency_limit": limit})

    def deploy(self, name: str, length_s: float, tags: tuple[str, ...] = ()) -> None:
        """Make a deployment, flow/name, whose runs take so long."""
        flow, _, deployment = name.partition("/")
        body = {
            "name": deployment,
            "flow_id": self.post("flows/", {"name": flow})["id"],
            "work_pool_name": self.name,
            "tags": list(tags),
            "enforce_parameter_schema": False,
        }
        self.ids[name] = self.post("deployments/", body)["id"]
        self.lengths_s[self.ids[name]] = length_s

    def run(self, name: str, in_s: float = 0.0) -> dict[str, Any]:
        """Ask for a run, due now or later."""
        state: dict[str, Any] = {"type": "SCHEDULED"}
        key = uuid4().hex
        if in_s:
            at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + in_s))
            state["state_details"] = {"scheduled_time": at}
        return dict(
            self.post(f"deployments/{self.ids[name]}/create_flow_run", {"state": state, "idempotency_key": key})
        )

    def read(self, run_id: str) -> dict[str, Any]:
        return dict(self.ask("GET", f"flow_runs/{run_id}").json())

    def delete(self, run_id: str) -> None:
        self.ask("DELETE", f"flow_runs/{run_id}")

    def wait_for(self, *run_ids: str, within_s: float = 120.0) -> None:
        give_up_s = time.monotonic() + within_s
        while time.monotonic() < give_up_s:
            if all(self.read(each)["state_type"] in {"COMPLETED", "FAILED"} for each in run_ids):
                return
            time.sleep(0.5)
        raise AssertionError(f"runs did not end within {within_s:g} s")

    @contextmanager
    def worker(self) -> Iterator[None]:
        thread = threading.Thread(target=self._work, daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._stop.set()
            thread.join(30)
            self._client.close()

    def _work(self) -> None:
        ends: dict[str, float] = {}
        while not self._stop.wait(0.5):
            for run_id in [each for each, end_s in ends.items() if time.monotonic() >= end_s]:
                del ends[run_id]
                self._set(run_id, "COMPLETED")
            for row in self.post(f"work_pools/{self.name}/get_scheduled_flow_runs", {"scheduled_before": _now()}):
                run = row["flow_run"]
                if run["id"] not in ends:
                    self._set(run["id"], "PENDING")
                    self._set(run["id"], "RUNNING")
                    ends[run["id"]] = time.monotonic() + self.lengths_s[run["deployment_id"]]

    def _set(self, run_id: str, kind: str) -> None:
        self.post(f"flow_runs/{run_id}/set_state", {"state": {"type": kind}, "force": True})


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
