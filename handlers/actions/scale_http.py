"""Set how many there are of something, over any HTTP interface that shows a count and takes one."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from handlers.contract.action import AMOUNT, ActionContext, CheckAnswer, Params
from handlers.contract.registration import action
from handlers.contract.results import ActionResult, CallFailedError
from handlers.support.counts import CountRange, step_of
from handlers.support.http_calls import ask, client_of, refused, shown

if TYPE_CHECKING:
    import httpx
    from pydantic import BaseModel

    from storage.records import Candidate, Goal

LEAST, MOST = 1, 20
TRIES = 5
ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"
KUBERNETES = {
    "server": "https://kubernetes.default.svc",
    "path": "spec.replicas",
    "version_path": "metadata.resourceVersion",
    "method": "PATCH",
    "content_type": "application/merge-patch+json",
    "token_file": f"{ACCOUNT}/token",
    "ca_file": f"{ACCOUNT}/ca.crt",
}
"""How Kubernetes has it; https://kubernetes.io/docs/reference/kubernetes-api/ (subresource scale of apps/v1)."""

REMEDIES = {
    401: "The token is not accepted: renew it (headers or token_file).",
    403: "Its permissions do not cover this; Kubernetes needs get and patch on the scale subresource.",
    404: "There is no such thing there: correct the name or the address.",
    409: "Others keep changing it at the same time; try again later.",
    422: "The other side does not accept this count.",
}
REMEDY = "Set kubernetes or url under [actions.scale_http], or under a section that uses it, in foreact.toml."


@dataclass(frozen=True)
class _Count:
    """A count as it was read, with the version that a change must name where the other side knows versions."""

    value: int
    version: Any = None
    etag: str | None = None


@dataclass(frozen=True)
class _Place:
    """Where a count is read and set, and how it lies in what is read."""

    url: str
    set_url: str
    method: str
    path: tuple[str, ...]
    version_path: tuple[str, ...]
    content_type: str
    body: Any
    range: CountRange

    def read(self, client: httpx.Client) -> _Count:
        """Return the count now; raises CallFailedError where there is none."""
        response = ask(client, "GET", self.url)
        if not response.is_success:
            raise refused(response, REMEDIES.get(response.status_code, ""))
        content = _content(response)
        value = _at(content, self.path)
        # Kubernetes leaves a replica count of 0 out.
        if value is None and isinstance(_at(content, self.path[:-1]), Mapping):
            value = 0
        if isinstance(value, bool) or not isinstance(value, int | float) or value != int(value):
            raise CallFailedError(f"GET {shown(self.url)} shows no count at path = {'.'.join(self.path)!r}.")
        version = _at(content, self.version_path) if self.version_path else None
        return _Count(int(value), version, response.headers.get("ETag"))

    def write(self, client: httpx.Client, value: int, seen: _Count) -> httpx.Response:
        """Ask for a count, if nobody has changed it since it was seen, as far as the other side can tell."""
        body = _filled(self.body, value) if self.body is not None else _nested(self.path, value)
        if seen.version is not None and self.body is None:
            body = _merged(body, _nested(self.version_path, seen.version))
        headers = {"Content-Type": self.content_type}
        if seen.etag and not seen.etag.startswith("W/"):
            headers["If-Match"] = seen.etag
        return ask(client, self.method, self.set_url, content=json.dumps(body), headers=headers)


def _model(options: Params) -> type[BaseModel]:
    return CountRange.of(options, LEAST, MOST).model(
        "ScaleParameters",
        "how many there shall be",
        "how many more there shall be, fewer where it is negative",
    )


@action(
    name="scale_http",
    default_level="approve",
    risk="medium",
    timeout_s=60.0,
    cooldown_s=300.0,
    rate_limits=("12/hour", "60/day"),
    latency_s=60.0,
    cost=0.05,
    explains_dry_run=True,
    needs=("kubernetes", "url"),
    parameters=_model,
    options={
        "kubernetes": "namespace/kind/name, as in shop/deployments/web; sets all below but least, most, by, headers",
        "server": "address of the Kubernetes API; https://kubernetes.default.svc",
        "url": "address that shows the count as JSON",
        "set_url": "address that takes it; url",
        "method": "PATCH, PUT or POST; PATCH",
        "path": "where the count stands, as in spec.replicas; count",
        "version_path": "where a version stands that a change must name, as in metadata.resourceVersion",
        "body": "what is sent, with {count} in it; the count at its path",
        "content_type": "of what is sent; application/merge-patch+json for PATCH, application/json otherwise",
        "least": "fewest that may be set; 1",
        "most": "most that may be set; 20",
        "by": "how many more are proposed where no amounts are planned",
        "headers": "headers to send along, such as Authorization",
        "token_file": "file of a bearer token, read at each call",
        "ca_file": "file of the certificates that the server is checked by",
        "timeout_s": "seconds to wait for each answer; 10",
    },
    example_params={"amount": 4},
)
def scale_http(params: Params, context: ActionContext) -> ActionResult:
    """Read a count and set another one; a change by somebody else in between is seen and the try repeated.

    `amount` says how many there shall be; without it `by` says how many more.
    """
    try:
        place = _place(context.options)
        with client_of(_access(context.options)) as client:
            return _set(client, place, params, context)
    except _UnsetError as missing:
        return ActionResult(False, f"Refused: {missing}", skipped=True)


def _set(client: httpx.Client, place: _Place, params: Params, context: ActionContext) -> ActionResult:
    for _ in range(TRIES):
        seen = place.read(client)
        wanted = _wanted(seen.value, params, place)
        if wanted == seen.value:
            return ActionResult(True, f"{shown(place.url)} has {wanted} already.", skipped=True)
        if context.dry_run:
            return ActionResult(True, f"Dry run: would set {shown(place.set_url)} from {seen.value} to {wanted}.")
        response = place.write(client, wanted, seen)
        if response.is_success:
            now = place.read(client).value
            evidence = {"before": seen.value, "asked": wanted, "now": now, "status_code": response.status_code}
            detail = f"Set {shown(place.set_url)} from {seen.value} to {wanted}."
            if now != wanted:
                detail += f" It shows {now} so far."
            return ActionResult(True, detail, evidence=evidence, undo={"set_to": wanted, "count": seen.value})
        if response.status_code not in {409, 412}:
            break
    raise refused(response, REMEDIES.get(response.status_code, ""))


@scale_http.capture
def _capture(params: Params, context: ActionContext) -> dict[str, Any]:
    try:
        place = _place(context.options)
    except _UnsetError:
        return {}
    with client_of(_access(context.options)) as client:
        count = place.read(client).value
    return {"count": count, "set_to": _wanted(count, params, place)}


@scale_http.check
def _check(params: Params, before: Params, context: ActionContext) -> CheckAnswer:
    with client_of(_access(context.options)) as client:
        count = _place(context.options).read(client).value
    if count == before.get("set_to"):
        return "succeeded"
    return "skipped" if count == before.get("count") else "unknown"


@scale_http.undo
def _undo(params: Params, before: Params, context: ActionContext) -> ActionResult:
    """Set the count back, but only while it is as the act left it: what somebody else set since is theirs."""
    if "count" not in before:
        return ActionResult(True, "Nothing was set.", skipped=True)
    count, set_to = int(before["count"]), int(before["set_to"])
    place = _place(context.options)
    with client_of(_access(context.options)) as client:
        for _ in range(TRIES):
            seen = place.read(client)
            if seen.value == count:
                return ActionResult(True, f"{shown(place.url)} has {count} again.", skipped=True)
            if seen.value != set_to:
                detail = f"{shown(place.url)} was set to {seen.value} since by somebody else; it is left so."
                return ActionResult(True, detail, skipped=True)
            if context.dry_run:
                return ActionResult(True, f"Dry run: would set {shown(place.set_url)} back to {count}.")
            response = place.write(client, count, seen)
            if response.is_success:
                return ActionResult(True, f"Set {shown(place.set_url)} back from {set_to} to {count}.")
            if response.status_code not in {409, 412}:
                break
        raise refused(response, REMEDIES.get(response.status_code, ""))


@scale_http.propose
def _propose(goal: Goal, context: ActionContext) -> list[Candidate]:
    from storage.records import Candidate

    try:
        place = _place(context.options)
    except _UnsetError:
        return []
    return [Candidate(action="scale_http", params=step_of(context.options), target=f"count:{shown(place.url)}")]


class _UnsetError(CallFailedError):
    """The configuration does not say what is to be scaled, or the parameters how."""


def _wanted(now: int, params: Params, place: _Place) -> int:
    if params.get(AMOUNT) is not None:
        return int(params[AMOUNT])
    if params.get("by") is None:
        raise _UnsetError("nobody says how many: set `sets` and `amounts`, or by, beside the address.")
    return place.range.moved(now, int(params["by"]))


def _place(options: Params) -> _Place:
    said = dict(options)
    if said.get("kubernetes"):
        said = {**KUBERNETES, **said, "url": _scale_url(said)}
    url = str(said.get("url") or "")
    if not url:
        raise _UnsetError(f"nothing is configured that could be scaled. {REMEDY}")
    if not url.startswith(("http://", "https://")):
        raise _UnsetError(f"{shown(url)} is not an HTTP address. {REMEDY}")
    method = str(said.get("method", "PATCH")).upper()
    usual = "application/merge-patch+json" if method == "PATCH" else "application/json"
    return _Place(
        url=url,
        set_url=str(said.get("set_url") or url),
        method=method,
        path=tuple(str(said.get("path", "count")).split(".")),
        version_path=tuple(str(said["version_path"]).split(".")) if said.get("version_path") else (),
        content_type=str(said.get("content_type", usual)),
        body=said.get("body"),
        range=CountRange.of(said, LEAST, MOST),
    )


def _scale_url(options: Params) -> str:
    parts = str(options["kubernetes"]).split("/")
    if len(parts) != 3 or not all(part.replace("-", "").replace(".", "").isalnum() for part in parts):
        raise _UnsetError(f"kubernetes = {options['kubernetes']!r} must be namespace/kind/name: shop/deployments/web.")
    namespace, kind, name = parts
    server = str(options.get("server") or KUBERNETES["server"]).rstrip("/")
    return f"{server}/apis/apps/v1/namespaces/{namespace}/{kind}/{name}/scale"


def _access(options: Params) -> dict[str, Any]:
    """Return by what the other side is reached; inside a cluster that is the account of the pod."""
    if not options.get("kubernetes"):
        return dict(options)
    is_elsewhere = bool(options.get("server"))
    own = {} if is_elsewhere else {key: KUBERNETES[key] for key in ("token_file", "ca_file")}
    return {**own, **options}


def _content(response: httpx.Response) -> Any:
    try:
        return response.json()
    except ValueError:
        url = shown(str(response.request.url))
        raise CallFailedError(f"GET {url} does not answer with JSON; set url to what shows the count.") from None


def _at(content: Any, path: tuple[str, ...]) -> Any:
    for part in path:
        if isinstance(content, list) and part.isdigit() and int(part) < len(content):
            content = content[int(part)]
        else:
            content = content.get(part) if isinstance(content, Mapping) else None
    return content


def _nested(path: tuple[str, ...], value: Any) -> dict[str, Any]:
    for part in reversed(path):
        value = {part: value}
    return dict(value)


def _merged(one: dict[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    both = {name: _merged(one[name], other[name]) for name in one.keys() & other.keys()}
    return {**one, **other, **both}


def _filled(template: Any, count: int) -> Any:
    """Return a body with the count where `{count}` stands: a number where that is all, else as text."""
    if isinstance(template, Mapping):
        return {key: _filled(value, count) for key, value in template.items()}
    if isinstance(template, list):
        return [_filled(value, count) for value in template]
    if template == "{count}":
        return count
    return template.replace("{count}", str(count)) if isinstance(template, str) else template
