"""Ask another system to act, by an HTTP POST that it can recognise when it comes twice."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from handlers.contract.action import ActionContext, CheckAnswer, Params, amount_in
from handlers.contract.registration import action
from handlers.contract.results import ActionResult
from handlers.support.http_calls import shown

if TYPE_CHECKING:
    import httpx

    from storage.records import Candidate, Goal

TIMEOUT_S = 10.0
KEPT_CHARS = 500
REMEDY = "Set url, or add a prefix of the URL to allow_urls, under [actions.call_webhook] in foreact.toml."


@action(
    name="call_webhook",
    default_level="approve",
    risk="medium",
    timeout_s=30.0,
    cooldown_s=300.0,
    rate_limits=("12/hour", "60/day"),
    latency_s=30.0,
    cost=0.1,
    explains_dry_run=True,
    needs=("url",),
    options={
        "url": "the address to POST to",
        "allow_urls": "prefixes of other addresses that parameters may name",
        "headers": "headers to send along, such as Authorization",
        "timeout_s": "seconds to wait for the answer; 10",
        "status_url": "address, with {action_id} in it, that answers 2xx if a call was carried out and 404 if not",
    },
    example_params={"body": {"replicas": 3}},
)
def call_webhook(params: Params, context: ActionContext) -> ActionResult:
    """POST a JSON body with the action's id as Idempotency-Key; any answer but 2xx is a failure.

    An amount that the planner chose (`sets` and `amounts` in the configuration) stands in it as `amount`.
    """
    import httpx

    url = str(params.get("url") or context.options.get("url") or "")
    refusal = _why_not(url, context)
    if refusal:
        return ActionResult(False, f"Refused: {refusal}", skipped=not url)
    if context.dry_run:
        with_amount = "".join(f" with {name} {value:g}" for name, value in amount_in(params).items())
        return ActionResult(True, f"Dry run: would POST to {_named(url)}{with_amount}.")
    try:
        with _client(context) as client:
            response = client.post(url, json=_body(params, context))
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        return ActionResult(False, f"POST to {_named(url)} failed: {type(error).__name__}: {error}".rstrip(": "))
    evidence = {"status_code": response.status_code, "answer": response.text[:KEPT_CHARS]}
    detail = f"POST to {_named(url)} was answered with {response.status_code} {response.reason_phrase}."
    return ActionResult(success=response.is_success, detail=detail, evidence=evidence)


@call_webhook.check
def _check(params: Params, before: Params, context: ActionContext) -> CheckAnswer:
    """Ask `status_url`, which holds {action_id}: 2xx says that it was done, 404 that it was not."""
    import httpx

    template = str(context.options.get("status_url") or "")
    if not template:
        return "unknown"
    try:
        with _client(context) as client:
            response = client.get(template.replace("{action_id}", context.action_id))
    except (httpx.HTTPError, httpx.InvalidURL):
        return "unknown"
    if response.is_success:
        return "succeeded"
    return "skipped" if response.status_code == httpx.codes.NOT_FOUND else "unknown"


@call_webhook.propose
def _propose(goal: Goal, context: ActionContext) -> list[Candidate]:
    from storage.records import Candidate

    url = str(context.options.get("url") or "")
    return [Candidate(action="call_webhook", target=f"webhook:{_named(url)}")] if url else []


def _named(url: str) -> str:
    """Return scheme and host of a URL: the path of many a webhook is a token."""
    return "/".join(shown(url).split("/")[:3])


def _client(context: ActionContext) -> httpx.Client:
    import httpx

    timeout = httpx.Timeout(float(context.options.get("timeout_s", TIMEOUT_S)), connect=5.0)
    headers = {str(name): str(value) for name, value in (context.options.get("headers") or {}).items()}
    # A redirect could lead past the list of what is allowed.
    return httpx.Client(
        timeout=timeout, follow_redirects=False, headers={**headers, "Idempotency-Key": context.action_id}
    )


def _body(params: Params, context: ActionContext) -> dict[str, Any]:
    about = {"action_id": context.action_id, "goal_id": context.goal_id, "series": context.series}
    return {**about, "tick": context.tick.isoformat(), "body": params.get("body"), **amount_in(params)}


def _why_not(url: str, context: ActionContext) -> str:
    import httpx

    if not url:
        return f"no URL is configured. {REMEDY}"
    try:
        target = httpx.URL(url)
        allowed = [httpx.URL(str(text)) for text in context.options.get("allow_urls") or ()]
    except httpx.InvalidURL as error:
        return f"{_named(url)} or an allowed URL cannot be read: {error}."
    if target.scheme not in {"http", "https"} or not target.host:
        return f"{_named(url)} is not an HTTP address."
    if url == context.options.get("url") or any(_begins_with(target, prefix) for prefix in allowed):
        return ""
    return f"{_named(url)} is not allowed. {REMEDY}"


def _begins_with(url: httpx.URL, prefix: httpx.URL) -> bool:
    """Tell whether scheme, host and port are the same and the path lies under the prefix's path."""
    if (url.scheme, url.host, url.port) != (prefix.scheme, prefix.host, prefix.port) or url.userinfo != prefix.userinfo:
        return False
    folder = prefix.path.rstrip("/")
    return ".." not in url.path.split("/") and (url.path == folder or url.path.startswith(f"{folder}/"))
