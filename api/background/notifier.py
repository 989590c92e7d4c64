"""Telling those outside what was decided: every line of the audit trail as a Prefect event, the grave ones to people.

The audit trail is the one list of all that the loop and people decide, so nothing has to remember to tell.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

import httpx

from api.background.alerts import Alerts
from api.background.notifications import Notification
from api.facade import Facade
from api.prefect_client import CsrfToken, authorization, needs_certificates
from storage.errors import TransientError
from storage.facts import CONFIGURATION_TROUBLE, LINE_TOLD_TO_PREFECT

logger = logging.getLogger(__name__)

TIMEOUT_S = 10.0


class Notifier:
    """Looks at what is new in the audit trail and tells it."""

    def __init__(self, facade: Facade) -> None:
        self._facade = facade
        self._alerts = Alerts(lambda: facade.in_force, facade.store, facade.clock, "facade")
        self._for_prefect: list[Notification] = []
        self._head: tuple[int, str] | None = None

    def step(self) -> None:
        """Tell what is new; raises where Prefect does not take it, and tells that again at the next beat."""
        self._alerts.look_at_the_kill_switch()
        self._look_at_the_configuration()
        self._keep_the_head()
        closed = self._alerts.closed()
        self._for_prefect += closed
        self._alerts.tell(closed)
        self._tell_prefect([*self._alerts.new_lines(LINE_TOLD_TO_PREFECT), *self._for_prefect])

    def _keep_the_head(self) -> None:
        """Write the newest line's hash into the log as well: who rewrites the trail would have to change that too."""
        head = self._facade.store.audit.note_head()
        if head is not None and head != self._head:
            self._head = head
            logger.info("audit trail: line %d has the hash %s", *head)

    def _look_at_the_configuration(self) -> None:
        """Say once when foreact.toml cannot be used any more; the loop goes on with the last that could."""
        facts = self._facade.store.facts
        trouble = self._facade.trouble or ""
        if trouble != (facts.get(CONFIGURATION_TROUBLE) or ""):
            facts.set(CONFIGURATION_TROUBLE, trouble, "notifier")
            verb = "configuration unusable" if trouble else "configuration usable again"
            self._facade.store.audit.append("facade", verb, "foreact.toml", {"trouble": trouble})

    def _tell_prefect(self, news: Sequence[Notification]) -> None:
        if not news:
            return
        agent = self._facade.settings.agent.name
        url = f"{self._facade.settings.prefect_url.rstrip('/')}/events"
        try:
            told = [each.as_prefect_event(agent) for each in news]
            token = CsrfToken(authorization(self._facade.settings))
            verify = needs_certificates(url)
            answer = httpx.post(url, json=told, timeout=TIMEOUT_S, trust_env=False, auth=token, verify=verify)
            answer.raise_for_status()
        except httpx.HTTPError as trouble:
            raise TransientError(f"{url} does not take events: {type(trouble).__name__}") from trouble
        self._for_prefect.clear()
        self._alerts.move(LINE_TOLD_TO_PREFECT, news)
