"""One turn of the loop as people read it in Prefect: a name, a sentence, a summary and a board of goals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from storage.actions import ActionView
from storage.records import GoalView
from tasks.stage_story import counted, told
from tasks.text import moment, percent

MOST_ROWS = 50


@dataclass(frozen=True)
class CycleStory:
    """What a turn came to: its stages' summaries in order, the open goals, what was done and what waits for a person.

    `local` is the turn's moment in the users' zone, `page` the address of foreact's own page.
    """

    kind: str
    local: datetime
    stages: Sequence[Mapping[str, Any]]
    goals: Sequence[GoalView] = ()
    acts: Sequence[ActionView] = ()
    waiting: Sequence[ActionView] = ()
    page: str = ""
    cycle_id: str = ""

    @property
    def name(self) -> str:
        """Return the name of the turn's run: `cycle 14:05 · 2 goals · 1 act`."""
        parts = [counted(len(self.goals), "goal")] if self.goals else []
        parts += [counted(len(self.acts), "act")] if self.acts else []
        parts += [f"{len(self.waiting)} waiting"] if self.waiting else []
        return " · ".join([run_name(self.kind, self.local), *parts])

    @property
    def sentence(self) -> str:
        """Return what the turn came to, stage by stage, for the state of its run."""
        return " ".join(filter(None, (told(each["stage"], each["summary"]) for each in self.stages)))

    @property
    def markdown(self) -> str:
        """Return the summary: what stands, what was done, what waits, what each stage did and how long it took."""
        lines = [f"# {self.name}", "", self._headline(), ""]
        lines += [f"* {_of_goal(view)}" for view in self.goals[:MOST_ROWS]]
        for title, views in (("Done", self.acts), ("Waits for you", self.waiting)):
            lines += ["", f"## {title}", "", *(f"* {_of_act(view)}" for view in views)] if views else []
        lines += ["", "## Stages", "", "| stage | what it came to | seconds |", "|---|---|---|"]
        lines += [
            f"| {each['stage']} | {escaped(told(each['stage'], each['summary']))} | {each['duration_s']:.2f} |"
            for each in self.stages
        ]
        return "\n".join([*lines, "", *([f"[The page of foreact]({self.page})"] if self.page else [])])

    @property
    def board(self) -> list[dict[str, str]]:
        """Return the open goals as the rows of a table, most important first."""
        return [
            {
                "goal": view.goal.description,
                "type": str(view.goal.goal_type),
                "state": str(view.state),
                "progress": percent(view.progress),
                "breach": percent(view.goal.probability),
                "by": moment(view.goal.deadline),
                "page": f"{self.page}goals/{view.goal.goal_id}" if self.page else view.goal.goal_id,
            }
            for view in self.goals[:MOST_ROWS]
        ]

    @property
    def picture(self) -> str:
        """Return the address at which foreact draws what the turn foresaw."""
        return f"{self.page}cycles/{self.cycle_id}/forecast.svg"

    def _headline(self) -> str:
        if not self.goals:
            return "No goal is open."
        return f"{counted(len(self.goals), 'goal is', 'goals are')} open:"


def run_name(kind: str, local: datetime) -> str:
    """Return the name of a run that has just begun: what it is, and when, in the users' zone."""
    return f"{kind} {local:%H:%M}"


def escaped(text: str) -> str:
    """Return text of any origin so that markdown shows it as it is, on one line."""
    plain = " ".join(text.split())
    return "".join(f"\\{each}" if each in "\\`*_{}[]()<>#|!" else each for each in plain)


def _of_goal(view: GoalView) -> str:
    reason = str(view.goal.because.get("sentence", ""))
    return " ".join(filter(None, [f"**{escaped(view.goal.description)}** is {view.state}.", escaped(reason)]))


def _of_act(view: ActionView) -> str:
    status = str(view.receipt.status).replace("_", " ") if view.receipt else "to be approved"
    detail = f" ({view.receipt.detail})" if view.receipt and view.receipt.detail else ""
    return escaped(f"{view.action.title}: {status}{detail}")
