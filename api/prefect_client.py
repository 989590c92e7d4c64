"""Starting deployments of the Prefect server by name."""

from __future__ import annotations

import base64
import logging
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import wraps
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar
from uuid import uuid4

import httpx

from handlers import ActionHandler
from handlers.actions.run_deployment import action_of
from handlers.support.prefect_blocks import PrefectBlocks
from handlers.support.prefect_reader import OTHERWISE, CsrfToken, ask_patiently, needs_certificates
from plugins import tell
from settings import Settings, child_environment, utc_now
from storage.errors import ForeactError
from storage.private import kept_secret, without_login

__all__ = [
    "CsrfToken",
    "PrefectTrigger",
    "Started",
    "Trigger",
    "authorization",
    "deployed_actions",
    "login_of_own_server",
    "needs_certificates",
]

logger = logging.getLogger(__name__)

Given = ParamSpec("Given")
AnswerT = TypeVar("AnswerT")

ACTION_TAG = "foreact-action"
TIMEOUT_S = 10.0

LOOP_TAGS = {"foreact", "loop"}
WAITS = "AwaitingConcurrencySlot"
"""The name of the state that Prefect gives a run which is due while another one has the place of its deployment."""
SKIPPED = "Another run of this deployment was still under way when this one was due; the next one goes on from there."

ANCHOR = "2020-01-01T00:00:00+00:00"
"""A fixed anchor keeps the runs on the clock's grid across restarts."""
BY_INTERVAL = "interval"
"""The slug of the schedule that follows the setting, as prefect.yaml has it."""


def schedules_of_cycle(settings: Settings) -> list[dict[str, Any]]:
    """Return the schedules that the cycle is to have, as prefect.yaml writes them: that of its interval, or none."""
    is_on = settings.forecasting.auto_analysis_enabled
    return [{"slug": BY_INTERVAL, "interval": settings.analysis_interval_s, "anchor_date": ANCHOR}] if is_on else []


def as_prefect_answers(
    method: Callable[Concatenate[PrefectTrigger, Given], AnswerT],
) -> Callable[Concatenate[PrefectTrigger, Given], AnswerT]:
    """Have a method say in one line that what answers it is no Prefect API, such as the page of a proxy."""

    @wraps(method)
    def asked(self: PrefectTrigger, /, *args: Given.args, **kwargs: Given.kwargs) -> AnswerT:
        try:
            return method(self, *args, **kwargs)
        except OTHERWISE as trouble:
            raise ForeactError(
                "prefect_no_api",
                f"{self.address} answers otherwise than a Prefect API does: {trouble!r:.100}.",
                "Correct `prefect_api_url`; it ends in /api, as in http://127.0.0.1:4200/api.",
                status=503,
            ) from trouble

    return asked


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


def login_of_own_server(settings: Settings) -> str | None:
    """Return the login of the Prefect server that this stack starts, made where there is none; None if it asks none."""
    file = settings.prefect_login_path
    return None if file is None else f"foreact:{kept_secret(file)}"


def authorization(settings: Settings) -> dict[str, str]:
    """Return the header by which the Prefect server knows us: our own server's login, or that of the environment."""
    environment = child_environment({})
    basic = login_of_own_server(settings)
    if basic is None and settings.prefect_api_url is not None:
        if key := environment.get("PREFECT_API_KEY"):
            return {"Authorization": f"Bearer {key}"}
        basic = environment.get("PREFECT_API_AUTH_STRING")
    return {"Authorization": f"Basic {base64.b64encode(basic.encode()).decode()}"} if basic else {}


def our_blocks(settings: Settings) -> PrefectBlocks:
    """Return the blocks of the Prefect server that this stack runs on."""
    return PrefectBlocks(settings.prefect_url, authorization(settings))


def deployed_actions(
    api_url: str, taken: Container[str] = (), own: Mapping[str, str] | None = None
) -> dict[str, ActionHandler]:
    """Return an action for each deployment tagged `foreact-action`, by its name; in full where that is taken.

    `own` are the headers by which the server knows us. A server that does not answer gives none and leaves a line in
    the log, and so does a deployment whose parameters have a schema that is none.
    """
    server = PrefectTrigger(api_url, own=own)
    try:
        found = server.tagged(ACTION_TAG)
    except ForeactError as trouble:
        logger.warning("deployments tagged %s are left out: %s", ACTION_TAG, trouble.message)
        return {}
    finally:
        server.close()
    actions: dict[str, ActionHandler] = {}
    for full, each in found.items():
        try:
            action = action_of(full, _first_line(each), each.get("parameter_openapi_schema") or {})
        except ValueError as trouble:
            tell(f"{full}, tagged {ACTION_TAG}, is left out: {trouble}. Correct it and deploy it anew.", None)
            continue
        name = full if action.name in taken or action.name in actions else action.name
        actions[name] = replace(action, name=name)
    return actions


def _first_line(deployment: Mapping[str, Any]) -> str:
    return str(deployment.get("description") or "").strip().partition("\n")[0]


class PrefectTrigger:
    """The Prefect server's own REST interface.

    Two plain requests do what `run_deployment` does: importing prefect would cost this process 44 MB.
    """

    def __init__(self, api_url: str, ui_url: str | None = None, own: Mapping[str, str] | None = None) -> None:
        """Bind the API, as in `http://127.0.0.1:4200/api`; the UI lies beside it unless it is named.

        `own` are the headers by which the server knows us.
        """
        self.address = without_login(api_url).rstrip("/")
        self.ui_url = ui_url or self.address.removesuffix("/api")
        verify = needs_certificates(api_url)
        self._api = httpx.Client(
            base_url=api_url, timeout=TIMEOUT_S, trust_env=False, auth=CsrfToken(own), verify=verify
        )
        self._ids: dict[str, str] = {}

    @as_prefect_answers
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

    @as_prefect_answers
    def running(self, deployment: str, but: str | None = None) -> Started | None:
        """Return the run that holds the deployment's place, unless it was started with the key `but`; else None.

        One that is due and waits for the worker counts as well: it will hold the place before a later one can. One that
        waits for another run does not: of the loop it will be skipped.
        """
        under_way = {
            "state": {
                "type": {"any_": ["SCHEDULED", "PENDING", "RUNNING", "CANCELLING"]},
                "name": {"not_any_": [WAITS]},
            },
            "expected_start_time": {"before_": utc_now().isoformat()},
        }
        body = {"flow_runs": under_way, "deployments": {"id": {"any_": [self._id_of(deployment)]}}}
        answer = self._ask("POST", "/flow_runs/filter", body)
        if answer.is_error:
            raise _refused(deployment, answer)
        others = [run for run in answer.json() if but is None or run.get("idempotency_key") != but]
        return self._started(others[0]) if others else None

    @as_prefect_answers
    def skip_waiting(self) -> None:
        """End the turns of the loop that wait for another one: completed, as `Skipped`, since the next does their work.

        A Prefect server that `foreact up` starts does so itself, from the first.
        """
        waiting = {"tags": {"all_": sorted(LOOP_TAGS)}, "state": {"name": {"any_": [WAITS]}}}
        found = self._ask("POST", "/flow_runs/filter", {"flow_runs": waiting})
        if found.is_error:
            raise _refused("cycle", found)
        skipped = {"state": {"type": "COMPLETED", "name": "Skipped", "message": SKIPPED}, "force": True}
        for run in found.json():
            self._change("cycle", "POST", f"/flow_runs/{run['id']}/set_state", skipped)

    @as_prefect_answers
    def keep_schedules(self, deployment: str, schedules: Sequence[Mapping[str, Any]]) -> bool:
        """Give a deployment these interval schedules and no others; return whether it had other ones.

        One that people paused stays paused, whatever its interval becomes and wherever this is cut short.
        """
        answer = self._ask("GET", f"/deployments/name/{deployment}/{deployment}")
        if answer.is_error:
            raise _refused(deployment, answer)
        known = answer.json()["schedules"]
        if [_kept(each) for each in known] == [(each["slug"], each["interval"]) for each in schedules]:
            return False
        path, is_active = f"/deployments/{answer.json()['id']}", not known or any(each["active"] for each in known)
        paused = {each["slug"] for each in known if not each["active"]}
        if schedules:
            wanted = [_as_prefect_has_it(each, is_active and each["slug"] not in paused) for each in schedules]
            self._change(deployment, "PATCH", path, {"schedules": wanted})
            if any(each["slug"] is None for each in known):
                return True  # with one of no slug among them Prefect has replaced them all
        # What people paused is known by the schedules there are: the others go when the wanted ones are there.
        slugs = {each["slug"] for each in schedules}
        for other in (each for each in known if each["slug"] not in slugs):
            self._change(deployment, "DELETE", f"{path}/schedules/{other['id']}")
        return True

    def _change(self, deployment: str, method: str, path: str, body: Mapping[str, Any] | None = None) -> None:
        changed = self._ask(method, path, body)
        if changed.is_error:
            raise _refused(deployment, changed)

    @as_prefect_answers
    def tagged(self, tag: str) -> dict[str, Mapping[str, Any]]:
        """Return every deployment with a tag by its name, flow/deployment, sorted by it."""
        found = self._ask("POST", "/deployments/filter", {"deployments": {"tags": {"all_": [tag]}}, "limit": 200})
        if found.is_error:
            raise _refused(f"those tagged {tag}", found)
        if not found.json():
            return {}
        flow_ids = sorted({str(each["flow_id"]) for each in found.json()})
        flows = self._ask("POST", "/flows/filter", {"flows": {"id": {"any_": flow_ids}}, "limit": 200})
        if flows.is_error:
            raise _refused(f"those tagged {tag}", flows)
        names = {str(flow["id"]): str(flow["name"]) for flow in flows.json()}
        by_name = {f"{names[str(each['flow_id'])]}/{each['name']}": each for each in found.json()}
        return dict(sorted(by_name.items()))

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
            return ask_patiently(self._api, method, path, body)
        except httpx.HTTPError as trouble:
            raise ForeactError(
                "prefect_unreachable",
                f"The Prefect server at {self._api.base_url} does not answer ({type(trouble).__name__}).",
                "Start it with `foreact up`, or correct `prefect_api_url`; then try again.",
                status=503,
            ) from trouble


def _kept(schedule: Mapping[str, Any]) -> tuple[str | None, float | None]:
    """Return slug and interval of a schedule as Prefect has it."""
    interval = schedule["schedule"].get("interval")
    return schedule["slug"], None if interval is None else float(interval)


def _as_prefect_has_it(schedule: Mapping[str, Any], is_active: bool) -> dict[str, Any]:
    said = dict(schedule)
    return {"slug": said.pop("slug"), "schedule": said, "active": is_active}


def _refused(deployment: str, answer: httpx.Response) -> ForeactError:
    if answer.status_code == 404:
        return ForeactError(
            "deployment_unknown",
            f"The Prefect server has no deployment {deployment}/{deployment}.",
            "`foreact up` registers the deployments; wait until it has.",
            status=503,
        )
    if answer.status_code == httpx.codes.UNAUTHORIZED:
        return ForeactError(
            "prefect_login_refused",
            "The Prefect server does not accept this stack's login.",
            "Restart the stack with `foreact up`; for a server elsewhere set PREFECT_API_AUTH_STRING or "
            "PREFECT_API_KEY.",
            status=503,
        )
    return ForeactError(
        "prefect_refused",
        f"The Prefect server answered {answer.status_code} to starting {deployment}: {answer.text[:200]}",
        "See the log of the Prefect server.",
        status=503,
    )
