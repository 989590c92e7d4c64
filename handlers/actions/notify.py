"""Tell people, through any of the services that Apprise knows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from handlers.contract.action import ActionContext, Params
from handlers.contract.registration import action
from handlers.contract.results import ActionResult

if TYPE_CHECKING:
    from storage.records import Candidate, Goal

_WEIGHTS = {"warning": "warning", "critical": "failure"}
REMEDY = "Add at least one Apprise URL under [actions.notify] urls in foreact.toml."


@action(
    name="notify",
    default_level="auto",
    risk="low",
    timeout_s=30.0,
    cooldown_s=900.0,
    rate_limits=("6/hour", "30/day"),
    informs_only=True,
    explains_dry_run=True,
    needs=("urls",),
    options={
        "urls": "Apprise URLs of the recipients; none by default",
        "title": "default title of messages; foreact",
    },
    example_params={"title": "Disk will be full on Friday", "body": "disk_used_ratio reaches 0.95 in 3 days."},
)
def notify(params: Params, context: ActionContext) -> ActionResult:
    """Send a message to every configured service; without one it is skipped."""
    urls = [str(url) for url in context.options.get("urls") or ()]
    if not urls:
        return ActionResult(True, f"Nothing was sent: no service is configured. {REMEDY}", skipped=True)
    title = str(params.get("title") or context.options.get("title") or "foreact")
    body = str(params.get("body") or f"Goal {context.goal_id or 'unknown'} needs attention.")
    if context.dry_run:
        return ActionResult(True, f"Dry run: would send {title!r} to {len(urls)} service(s).")
    weight = str(params.get("weight") or "info")
    outcomes = [_send(url, title, body, weight) for url in urls]
    failed = [outcome for outcome in outcomes if not outcome["sent"]]
    detail = f"Sent {title!r} to {len(outcomes) - len(failed)} of {len(outcomes)} service(s)."
    if failed:
        detail += " " + "; ".join(f"{outcome['service']}: {outcome['reason']}" for outcome in failed) + "."
    return ActionResult(success=not failed, detail=detail, evidence={"services": outcomes})


@notify.propose
def _propose(goal: Goal, context: ActionContext) -> list[Candidate]:
    from storage.records import Candidate

    if not context.options.get("urls"):
        return []
    body = f"{goal.description}\nProbability {goal.probability:.0%}, deadline {goal.deadline:%Y-%m-%d %H:%M} UTC."
    return [Candidate(action="notify", params={"title": goal.description[:120], "body": body}, target="people")]


def _send(url: str, title: str, body: str, weight: str) -> dict[str, Any]:
    """Send to one service, with Apprise's word for how grave it is; of its URL, where any part may be a secret, nothing
    but the scheme leaves this function."""
    import apprise

    scheme, separator, _ = url.partition("://")
    name = f"{scheme[:20]}://…" if separator else "…"
    service = apprise.Apprise.instantiate(url, suppress_exceptions=True)
    if service is None:
        return {"service": name, "sent": False, "reason": "Apprise does not support this URL"}
    notifier = apprise.Apprise()
    notifier.add(service)
    sent = notifier.notify(body=body, title=title, notify_type=_WEIGHTS.get(weight, "info"))
    return {"service": name, "sent": bool(sent), "reason": "" if sent else "the service did not accept the message"}
