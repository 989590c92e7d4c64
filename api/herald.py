"""Telling those outside what was decided: every line of the audit trail as a Prefect event, the grave ones to people.

The audit trail is the one list of all that the loop and people decide, so nothing has to remember to tell. How far it
was told is a fact in the store: after a restart nothing is told twice or left out.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import timedelta

import httpx

from api.deps import Facade
from api.news import News, is_at_least, of_closed_goal, of_line
from api.objectives import settings_now
from handlers import ActionContext
from handlers.actions.notify import notify
from handlers.isolate import call
from storage.errors import TransientError

logger = logging.getLogger(__name__)

MOST_LINES = 500
CLOSED_FOR = timedelta(days=2)
TIMEOUT_S = 10.0
ATTEMPTS = 3
EVENTS_FACT, ALERTS_FACT, CLOSED_FACT, STOPPED_FACT, TROUBLE_FACT = (
    f"herald.{each}" for each in ("events", "alerts", "closed", "stopped", "trouble")
)


class Herald:
    """Looks at what is new in the audit trail and tells it."""

    def __init__(self, facade: Facade) -> None:
        self._facade = facade
        self._failed = 0
        self._for_people: list[News] = []
        self._for_prefect: list[News] = []

    def step(self) -> None:
        """Tell what is new; raises where Prefect does not take it, and tells that again at the next beat."""
        self._look_at_the_kill_switch()
        self._look_at_the_configuration()
        closed = self._closed()
        self._for_people += closed
        self._for_prefect += closed
        self._tell_people([*self._new_lines(ALERTS_FACT), *self._for_people])
        self._tell_prefect([*self._new_lines(EVENTS_FACT), *self._for_prefect])

    def _look_at_the_kill_switch(self) -> None:
        facts, path = self._facade.store.facts, self._facade.settings.kill_switch_path
        is_stopped = path.exists()
        if is_stopped != facts.get(STOPPED_FACT, False):
            facts.set(STOPPED_FACT, is_stopped, "herald")
            verb = "kill switch on" if is_stopped else "kill switch off"
            self._facade.store.audit.append("facade", verb, str(path))

    def _look_at_the_configuration(self) -> None:
        """Say once when foreact.toml cannot be used any more; the loop goes on with the last that could."""
        facts = self._facade.store.facts
        trouble = "; ".join(settings_now(self._facade)[1])
        if trouble != facts.get(TROUBLE_FACT, ""):
            facts.set(TROUBLE_FACT, trouble, "herald")
            verb = "configuration unusable" if trouble else "configuration usable again"
            self._facade.store.audit.append("facade", verb, "foreact.toml", {"trouble": trouble})

    def _new_lines(self, cursor: str) -> list[News]:
        """Return the news of lines after a cursor, oldest first; at the very first look nothing is new."""
        store = self._facade.store
        newest = store.audit.latest(1)
        last = newest[0].seq if newest else 0
        told = store.facts.get(cursor)
        if told is None:
            store.facts.set(cursor, last, "herald")
            return []
        if told >= last:
            return []
        lines = store.audit.latest(min(MOST_LINES, last - told))
        return [of_line(line) for line in reversed(lines) if line.seq > told]

    def _closed(self) -> list[News]:
        """Return the news of goals that came to their end since the last look."""
        store = self._facade.store
        recent = {view.goal.goal_id: view for view in store.goals.recent(self._facade.clock() - CLOSED_FOR)}
        known = store.facts.get(CLOSED_FACT)
        if known is None or set(recent) != set(known):
            store.facts.set(CLOSED_FACT, sorted(recent), "herald")
        new = [view for goal_id, view in recent.items() if known is not None and goal_id not in known]
        return [of_closed_goal(view) for view in sorted(new, key=lambda view: view.since)]

    def _tell_people(self, news: Sequence[News]) -> None:
        """Send one message with all that is grave enough; a service that is away is asked a few times."""
        options = self._facade.settings.alerts
        grave = [each for each in news if is_at_least(each.severity, options.minimum_severity)]
        if grave and options.urls:
            title = f"foreact: {grave[0].sentence}"[:120] if len(grave) == 1 else f"foreact: {len(grave)} alerts"
            body = "\n".join(f"{each.at:%Y-%m-%d %H:%M:%S} UTC {each.severity}: {each.sentence}" for each in grave)
            self._failed = 0 if self._reaches_anybody(title, body) else self._failed + 1
            if 0 < self._failed < ATTEMPTS:
                return
            self._failed = 0
        self._for_people.clear()
        self._move(ALERTS_FACT, news)

    def _reaches_anybody(self, title: str, body: str) -> bool:
        """Send a message as the action `notify` does, in a process that can be ended and takes its memory with it."""
        context = ActionContext(
            tick=self._facade.clock(), options={"urls": list(self._facade.settings.alerts.urls)}, goal_id="alert"
        )
        result = call(notify.handler, "run", {"title": title, "body": body}, None, context)
        if not result.succeeded:
            logger.warning("not everybody could be alerted: %s", result.detail)
        return any(service["sent"] for service in result.evidence.get("services", ()))

    def _tell_prefect(self, news: Sequence[News]) -> None:
        if not news:
            return
        agent = self._facade.settings.agent.name
        url = f"{self._facade.settings.prefect_url.rstrip('/')}/events"
        try:
            answer = httpx.post(
                url, json=[each.as_prefect_event(agent) for each in news], timeout=TIMEOUT_S, trust_env=False
            )
            answer.raise_for_status()
        except httpx.HTTPError as trouble:
            raise TransientError(f"{url} does not take events: {type(trouble).__name__}") from trouble
        self._for_prefect.clear()
        self._move(EVENTS_FACT, news)

    def _move(self, cursor: str, news: Sequence[News]) -> None:
        lines = [each.payload["line"] for each in news if "line" in each.payload]
        if lines:
            self._facade.store.facts.set(cursor, max(lines), "herald")
