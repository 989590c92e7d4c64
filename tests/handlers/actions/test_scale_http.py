"""Counts set over HTTP: against a server that keeps a count as Kubernetes does, and against plain ones."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from handlers import discover_actions
from handlers.sandbox.parent import CallResult, call
from storage.records import ReceiptStatus
from tests.handlers.conftest import Request, Server, context_for, make_goal

SCALE = discover_actions()["scale_http"]
PATH = "/apis/apps/v1/namespaces/shop/deployments/web/scale"
TOKEN = "eyJhbGciOi.s3cret-token.xyz"


@dataclass
class Kubernetes:
    """The scale subresource of one Deployment, as the API server serves it.

    A change that names another resourceVersion than the present one is a conflict; everything that touches the object
    (its status too) gives it a new one. Who has no token gets 401, whose role lacks the verb 403.
    """

    replicas: int = 2
    version: int = 41
    verbs: set[str] = field(default_factory=lambda: {"get", "patch"})
    before_write: list[Callable[[Kubernetes], None]] = field(default_factory=list)

    def touch(self) -> None:
        """Change something else of the object, as the controller that writes its status does."""
        self.version += 1

    def answer(self, request: Request) -> tuple[int, str]:
        verb = {"GET": "get", "PATCH": "patch", "PUT": "update"}[request.method]
        if request.headers.get("authorization") != f"Bearer {TOKEN}":
            return _status(401, "Unauthorized", "Unauthorized")
        if request.path != PATH:
            return _status(404, "NotFound", f'deployments.apps "{request.path.split("/")[-2]}" not found')
        if verb not in self.verbs:
            user = "system:serviceaccount:shop:foreact"
            what = f'cannot {verb} resource "deployments/scale" in API group "apps" in the namespace "shop"'
            return _status(403, "Forbidden", f'deployments.apps "web" is forbidden: User "{user}" {what}')
        if verb == "get":
            return 200, json.dumps(self.scale)
        if self.before_write:
            self.before_write.pop(0)(self)
        return self._patched(request)

    def _patched(self, request: Request) -> tuple[int, str]:
        if request.headers["content-type"] != "application/merge-patch+json":
            return _status(415, "UnsupportedMediaType", "the body of the request was in an unknown format")
        patch = json.loads(request.body)
        named = patch.get("metadata", {}).get("resourceVersion")
        if named is not None and named != str(self.version):
            what = "the object has been modified; please apply your changes to the latest version and try again"
            return _status(409, "Conflict", f'Operation cannot be fulfilled on deployments.apps "web": {what}')
        replicas = patch.get("spec", {}).get("replicas", self.replicas)
        if replicas < 0:
            return _status(422, "Invalid", 'Scale.autoscaling "web" is invalid: spec.replicas: must be >= 0')
        if replicas != self.replicas:
            self.replicas = replicas
            self.touch()
        return 200, json.dumps(self.scale)

    @property
    def scale(self) -> dict[str, Any]:
        return {
            "kind": "Scale",
            "apiVersion": "autoscaling/v1",
            "metadata": {"name": "web", "namespace": "shop", "resourceVersion": str(self.version)},
            # A replica count of 0 is left out, as JSON of Go's omitempty is.
            "spec": {"replicas": self.replicas} if self.replicas else {},
            "status": {"replicas": self.replicas, "selector": "app=web"},
        }


def _status(code: int, reason: str, message: str) -> tuple[int, str]:
    return code, json.dumps({"kind": "Status", "status": "Failure", "message": message, "reason": reason, "code": code})


@pytest.fixture
def cluster(server: Server) -> Kubernetes:
    kubernetes = Kubernetes()
    server.answer = kubernetes.answer
    return kubernetes


@pytest.fixture
def options(server: Server, tmp_path: Path) -> dict[str, Any]:
    token = tmp_path / "token"
    token.write_text(f"{TOKEN}\n")
    return {"kubernetes": "shop/deployments/web", "server": server.url, "token_file": str(token)}


def run(options: dict[str, Any], amount: int | None = 4, phase: Any = "run", before: Any = None) -> CallResult:
    params = {} if amount is None else {"amount": amount}
    return call(SCALE, phase, params, before, context_for(options=options), 30)


def test_a_deployment_is_scaled_seen_and_scaled_back(cluster: Kubernetes, options: dict[str, Any]) -> None:
    before = run(options, phase="capture").value
    assert before == {"count": 2, "set_to": 4}
    assert run(options, phase="check", before=before).status is ReceiptStatus.SKIPPED
    assert run(options).succeeded
    assert cluster.replicas == 4
    assert run(options, phase="check", before=before).status is ReceiptStatus.SUCCEEDED
    assert run(options).status is ReceiptStatus.SKIPPED
    assert run(options, phase="undo", before=before).succeeded
    assert cluster.replicas == 2
    assert run(options, phase="undo", before=before).status is ReceiptStatus.SKIPPED
    assert cluster.replicas == 2


def test_a_count_that_is_left_out_is_none(cluster: Kubernetes, options: dict[str, Any]) -> None:
    cluster.replicas = 0
    assert run(options, 1).succeeded
    assert cluster.replicas == 1


def test_a_change_in_between_is_a_conflict_and_the_try_is_repeated(
    cluster: Kubernetes, options: dict[str, Any], server: Server
) -> None:
    cluster.before_write = [Kubernetes.touch, Kubernetes.touch]
    result = run(options)
    assert result.succeeded, result.detail
    assert cluster.replicas == 4
    assert [request.method for request in server.requests].count("PATCH") == 3


def test_one_more_is_one_more_than_what_somebody_else_set_in_between(
    cluster: Kubernetes, options: dict[str, Any]
) -> None:
    def scale_to_7(cluster: Kubernetes) -> None:
        cluster.replicas = 7
        cluster.touch()

    cluster.before_write = [scale_to_7]
    result = call(SCALE, "run", {"by": 1}, None, context_for(options=options), 30)
    assert result.succeeded, result.detail
    assert cluster.replicas == 8
    assert result.undo == {"set_to": 8, "count": 7}


def test_conflicts_without_end_are_a_failure_that_says_so(cluster: Kubernetes, options: dict[str, Any]) -> None:
    cluster.before_write = [Kubernetes.touch] * 50
    result = run(options)
    assert result.status is ReceiptStatus.FAILED
    assert "409 Conflict" in result.detail
    assert "Others keep changing it" in result.detail
    assert cluster.replicas == 2


def test_what_somebody_else_set_since_is_not_undone(cluster: Kubernetes, options: dict[str, Any]) -> None:
    before = run(options, phase="capture").value
    assert run(options).succeeded
    cluster.replicas = 9
    result = run(options, phase="undo", before=before)
    assert result.status is ReceiptStatus.SKIPPED
    assert "set to 9 since by somebody else" in result.detail
    assert cluster.replicas == 9


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"verbs": {"get"}}, "403 Forbidden: deployments.apps"),
        ({"verbs": set()}, "needs get and patch on the scale subresource"),
    ],
)
def test_a_role_that_lacks_a_verb_is_named(
    cluster: Kubernetes, options: dict[str, Any], change: dict[str, Any], why: str
) -> None:
    cluster.verbs = change["verbs"]
    result = run(options)
    assert result.status is ReceiptStatus.FAILED
    assert why in result.detail
    assert cluster.replicas == 2


def test_what_is_not_there_and_who_is_not_known_is_said(
    cluster: Kubernetes, options: dict[str, Any], tmp_path: Path
) -> None:
    missing = run({**options, "kubernetes": "shop/deployments/wbe"})
    assert '"wbe" not found' in missing.detail
    assert "correct the name" in missing.detail
    (tmp_path / "other").write_text("hunter2")
    stranger = run({**options, "token_file": str(tmp_path / "other")})
    assert "401" in stranger.detail
    assert "renew it" in stranger.detail
    without = run({**options, "token_file": str(tmp_path / "gone")})
    assert "cannot be read" in without.detail
    assert run({**options, "kubernetes": "web"}).status is ReceiptStatus.SKIPPED


def test_a_renewed_token_is_read_at_the_next_call(cluster: Kubernetes, options: dict[str, Any], tmp_path: Path) -> None:
    file = Path(options["token_file"])
    file.write_text("expired")
    assert "401" in run(options).detail
    file.write_text(TOKEN)
    assert run(options).succeeded


def test_no_secret_is_in_anything_that_is_told(cluster: Kubernetes, options: dict[str, Any], server: Server) -> None:
    server.answer = lambda request: (500, "boom")
    address = server.url.replace("http://", "http://user:hunter2@") + "/x?token=s3cret-token"
    secret = {"headers": {"Authorization": f"Bearer {TOKEN}"}, "url": address}
    told = [run(secret), run({**secret, "url": address.replace(server.url[7:], "127.0.0.1:9")}), run(options)]
    texts = json.dumps([[each.detail, each.evidence] for each in told])
    assert all(each.status is ReceiptStatus.FAILED for each in told)
    assert not any(word in texts for word in ("hunter2", "s3cret-token", "eyJhbGciOi"))


@pytest.mark.parametrize("amount", [0, 21, 2.5, -1])
def test_an_amount_outside_its_limits_is_refused(cluster: Kubernetes, options: dict[str, Any], amount: Any) -> None:
    result = run(options, amount)
    assert result.detail.startswith("Refused: amount")
    assert cluster.replicas == 2


def test_one_more_stays_within_the_limits_and_moves_nothing_that_stands_outside(
    cluster: Kubernetes, options: dict[str, Any]
) -> None:
    def more(by: int) -> ReceiptStatus:
        return call(SCALE, "run", {"by": by}, None, context_for(options={**options, "most": 3}), 30).status

    assert more(5) is ReceiptStatus.SUCCEEDED
    assert cluster.replicas == 3
    cluster.replicas = 12
    assert more(1) is ReceiptStatus.SKIPPED
    assert more(-1) is ReceiptStatus.SUCCEEDED
    assert cluster.replicas == 11


def plain(server: Server, body: dict[str, Any], etag: bool = False) -> dict[str, Any]:
    """Serve a JSON document that is replaced by what is put or patched into it."""

    def answer(request: Request) -> tuple[int, str]:
        if request.method != "GET":
            body.update(json.loads(request.body))
        return 200, json.dumps(body)

    server.answer = answer
    return body


def test_any_other_interface_is_told_by_paths_and_a_body(server: Server) -> None:
    pool = plain(server, {"pool": {"size": [3]}, "name": "ci"})
    options = {
        "url": f"{server.url}/pool",
        "path": "pool.size.0",
        "method": "PUT",
        "body": {"pool": {"size": ["{count}"]}, "note": "now {count}"},
    }
    result = run(options, 5)
    assert result.succeeded, result.detail
    assert pool == {"pool": {"size": [5]}, "name": "ci", "note": "now 5"}
    assert server.requests[1].headers["content-type"] == "application/json"


@pytest.mark.parametrize("content", ['{"count": "three"}', '{"count": 2.5}', '{"count": true}', "[]", "<html>", ""])
def test_what_shows_no_count_is_left_alone(server: Server, content: str) -> None:
    server.answer = lambda request: (200, content)
    result = run({"url": server.url})
    assert result.status is ReceiptStatus.FAILED
    assert {request.method for request in server.requests} == {"GET"}


def test_a_redirect_is_not_followed(server: Server) -> None:
    server.answer = lambda request: (302, f"{server.url}/elsewhere")
    assert "302" in run({"url": server.url}).detail
    assert len(server.requests) == 1


def test_it_proposes_what_is_configured_and_says_its_limits_as_a_form(options: dict[str, Any]) -> None:
    (planned,) = SCALE.propose(make_goal(), context_for(options=options))
    (more,) = SCALE.propose(make_goal(), context_for(options={**options, "by": 2}))
    assert (planned.params, more.params) == ({}, {"by": 2})
    assert planned.target.endswith(PATH)
    schema = replace(SCALE, option_values={"least": 2, "most": 8}).parameter_schema
    assert {"type": "integer", "minimum": 2, "maximum": 8} in schema["properties"]["amount"]["anyOf"]


def test_without_an_amount_nothing_is_set(cluster: Kubernetes, options: dict[str, Any]) -> None:
    result = run(options, None)
    assert result.status is ReceiptStatus.SKIPPED
    assert "nobody says how many" in result.detail
    assert cluster.replicas == 2
