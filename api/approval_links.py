"""Signed links that answer for one waiting action with one tap, without a key; whoever holds one may use it, once.

What a link may do is signed into it: yes or no, to which action, until when. That it is used once needs no list: the
first answer to an action counts, whoever gives it.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from settings import Settings
from storage.actions import ActionView
from storage.errors import ForeactError
from storage.private import kept_secret

ADDRESS = "/answer"
PARAMETER = "a"
_ID_CHARS = 8
MOST_CHARS = 600


@dataclass(frozen=True)
class ApprovalLink:
    """What a link says: a yes or a no to one action, until a moment; `link_id` names it in the audit trail."""

    action_id: str
    approves: bool
    expires_at: datetime
    link_id: str


def links_for(settings: Settings, view: ActionView, now: datetime) -> tuple[str, str] | None:
    """Return the addresses that approve and reject an action; None where nobody outside could open them.

    They end with the action, and no later than an approval would.
    """
    if not settings.server.public_url:
        return None
    lasts = timedelta(seconds=settings.executor.approval_expires_seconds)
    ends = min(now + lasts, view.action.expires_at)
    base = f"{settings.server.public_url.rstrip('/')}{ADDRESS}?{PARAMETER}="
    approve, reject = (base + _signed(settings, view.action.action_id, yes, ends) for yes in (True, False))
    return approve, reject


def read_link(settings: Settings, text: str, now: datetime) -> ApprovalLink:
    """Return what a link says; raises `link_invalid` or `link_expired`."""
    said, _, given = text[:MOST_CHARS].partition(".")
    seal = _seal(settings, said)
    if not hmac.compare_digest(seal.encode(), given.encode()):
        raise ForeactError(
            "link_invalid", "This link was not made here, or was changed.", "Open it as it was sent.", status=403
        )
    try:
        action_id, yes, ends_s = json.loads(_decoded(said))
    except (ValueError, binascii.Error):
        raise ForeactError("link_invalid", "This link cannot be read.", "Open it as it was sent.", status=403) from None
    link = ApprovalLink(str(action_id), bool(yes), datetime.fromtimestamp(ends_s, UTC), seal[:_ID_CHARS])
    if now >= link.expires_at:
        raise ForeactError(
            "link_expired",
            f"This link ended at {link.expires_at:%Y-%m-%d %H:%M} UTC.",
            "Answer on the page of the action, while it waits.",
            status=410,
        )
    return link


def _signed(settings: Settings, action_id: str, yes: bool, ends: datetime) -> str:
    said = _encoded(json.dumps([action_id, int(yes), int(ends.timestamp())], separators=(",", ":")).encode())
    return f"{said}.{_seal(settings, said)}"


def _seal(settings: Settings, said: str) -> str:
    key = kept_secret(settings.home / "links.key")
    return _encoded(hmac.new(key.encode(), f"approval-link:{said}".encode(), hashlib.sha256).digest())


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
