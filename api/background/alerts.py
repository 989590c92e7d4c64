"""Telling people what was decided: of every line of the audit trail, and every goal that ended, what is grave enough.

How far it was told is a fact in the store, so that whoever tells next (a facade, a notebook's agent, either after a
restart) tells nothing twice and leaves nothing out.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from api.approval_links import links_for
from api.background.notifications import (
    SEVERITIES,
    WAITING,
    Notification,
    Severity,
    is_at_least,
    of_closed_goal,
    of_line,
)
from handlers import ActionContext
from handlers.actions.notify import notify
from handlers.sandbox.parent import call
from settings import Settings
from storage import Store
from storage.facts import CLOSED_GOALS, KILL_SWITCH, LINE_TOLD_TO_PEOPLE, Fact
from tasks.authority import as_it_stands
from tasks.configured_actions import configured_actions

logger = logging.getLogger(__name__)

MOST_LINES = 500
CLOSED_FOR = timedelta(days=2)
ATTEMPTS = 3


class Alerts:
    """Looks at what is new and tells people; `by` is who looks, for the audit trail."""

    def __init__(self, settings: Callable[[], Settings], store: Store, clock: Callable[[], datetime], by: str) -> None:
        """Bind the store and the clock; `settings` gives those in force, for whom to tell may change meanwhile."""
        self._settings, self._store, self._clock, self._by = settings, store, clock, by
        self._failed = 0
        self._untold: list[Notification] = []

    def step(self) -> None:
        """Tell what is new; the very first look at a store finds nothing new."""
        self.look_at_the_kill_switch()
        self.tell(self.closed())

    def look_at_the_kill_switch(self) -> None:
        """Put into the audit trail that the file came or went."""
        facts, path = self._store.facts, self._settings().kill_switch_path
        is_stopped = path.exists()
        if is_stopped != (facts.get(KILL_SWITCH) or False):
            facts.set(KILL_SWITCH, is_stopped, "notifier")
            verb = "kill switch on" if is_stopped else "kill switch off"
            self._store.audit.append(self._by, verb, str(path))

    def new_lines(self, cursor: Fact[int]) -> list[Notification]:
        """Return the news of lines after a cursor, oldest first; at the very first look nothing is new."""
        newest = self._store.audit.latest(1)
        last = newest[0].seq if newest else 0
        last_seq = self._store.facts.get(cursor)
        if last_seq is None:
            self._store.facts.set(cursor, last, "notifier")
            return []
        if last_seq >= last:
            return []
        lines = self._store.audit.latest(min(MOST_LINES, last - last_seq))
        return [of_line(line) for line in reversed(lines) if line.seq > last_seq]

    def move(self, cursor: Fact[int], news: Sequence[Notification]) -> None:
        """Remember that the lines among some news were told."""
        lines = [each.payload["line"] for each in news if "line" in each.payload]
        if lines:
            self._store.facts.set(cursor, max(lines), "notifier")

    def closed(self) -> list[Notification]:
        """Return the news of goals that came to their end since the last look."""
        recent = {view.goal.goal_id: view for view in self._store.goals.recent(self._clock() - CLOSED_FOR)}
        told_before = self._store.facts.get(CLOSED_GOALS)
        if told_before is None or set(recent) != set(told_before):
            self._store.facts.set(CLOSED_GOALS, sorted(recent), "notifier")
        new = [view for goal_id, view in recent.items() if told_before is not None and goal_id not in told_before]
        return [of_closed_goal(view) for view in sorted(new, key=lambda view: view.since)]

    def tell(self, closed: Sequence[Notification]) -> None:
        """Send one message with all that is grave enough; a service that is away is asked a few times."""
        self._untold += closed
        news = [*self.new_lines(LINE_TOLD_TO_PEOPLE), *self._untold]
        options = self._settings().alerts
        grave = [each for each in news if is_at_least(each.severity, options.minimum_severity)]
        if grave and options.urls:
            title = f"foreact: {grave[0].sentence}"[:120] if len(grave) == 1 else f"foreact: {len(grave)} alerts"
            body = "\n".join(self._line(each) for each in grave)
            weight = max((each.severity for each in grave), key=SEVERITIES.index)
            self._failed = 0 if self._reaches_anybody(title, body, weight) else self._failed + 1
            if 0 < self._failed < ATTEMPTS:
                return
            self._failed = 0
        self._untold.clear()
        self.move(LINE_TOLD_TO_PEOPLE, news)

    def _line(self, news: Notification) -> str:
        """Return what is told of one thing; what waits for an answer brings the links that give it."""
        line = f"{news.at:%Y-%m-%d %H:%M:%S} UTC {news.severity}: {news.sentence}"
        view = self._store.actions.get(news.subject) if news.event == WAITING else None
        settings, now = self._settings(), self._clock()
        if view is not None:
            view = as_it_stands(settings, configured_actions(settings), self._store, view)
        links = links_for(settings, view, now) if view is not None and view.awaits_approval(now) else None
        return line if links is None else f"{line}\n  Approve: {links[0]}\n  Reject: {links[1]}"

    def _reaches_anybody(self, title: str, body: str, weight: Severity) -> bool:
        """Send a message as the action `notify` does, in a process that can be ended and takes its memory with it."""
        context = ActionContext(
            tick=self._clock(), options={"urls": list(self._settings().alerts.urls)}, goal_id="alert"
        )
        result = call(notify.handler, "run", {"title": title, "body": body, "weight": weight}, None, context)
        if not result.succeeded:
            logger.warning("some alerts were not delivered: %s", result.detail)
        return any(service["sent"] for service in result.evidence.get("services", ()))
