"""Tools by which an AI agent reads, proposes and approves: each is one request to the facade, none goes around it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import anyio
import anyio.to_thread
from mcp import types
from mcp.server.lowlevel import Server
from mcp.server.stdio import stdio_server
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from cli.client import FacadeClient
from handlers.contract.parameters import checked
from settings import VERSION
from storage.errors import ForeactError, TransientError

INSTRUCTIONS = """\
foreact forecasts a system, sets goals before an objective breaks, acts, and measures what each act changed.
Read goals and predictions first. To help with an open goal, propose one of the registered actions, with its parameters
and a reason. A person approves it, or it runs by itself once what you proposed was measured to help. After eight acts
of no use your proposals are refused for a week. You cannot approve what you proposed, and without an API
key of your own you cannot approve or reject anything."""


def _id(text: str) -> str:
    if not re.fullmatch(r"[\w.:-]{1,200}", text):
        raise ValueError("this is no id; goals and actions list them")
    return text


Id = Annotated[str, AfterValidator(_id)]
Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=2_000)]


class _Given(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Nothing(_Given):
    """A tool without arguments."""


class GoalsGiven(_Given):
    """Which goals."""

    state: Literal["open", "closed", "all"] = "open"


class GoalGiven(_Given):
    """One goal."""

    goal_id: Id


class PredictionsGiven(_Given):
    """How far ahead, and of which series the values."""

    hours: float = Field(default=6, gt=0, le=720)
    series: str | None = Field(default=None, max_length=10_000, description="Without it: state, breaches, series names")


class ActionsGiven(_Given):
    """How many of the newest actions."""

    limit: int = Field(default=10, ge=1, le=100)
    available: bool = Field(default=False, description="Also list what may be proposed, with its parameters")


class LimitGiven(_Given):
    """How many of the newest."""

    limit: int = Field(default=20, ge=1, le=200)


class ProposeGiven(_Given):
    """An action for an open goal, and why."""

    goal_id: Id
    action: str = Field(min_length=1, max_length=200, description="A registered action: actions(available=true)")
    params: dict[str, Any] = Field(default_factory=dict, description="As the schema of the action has them")
    reason: Text = Field(description="Why this helps; people read it")


class AnswerGiven(_Given):
    """An action that waits for an answer, and a reason."""

    action_id: Id
    note: Text


Ask = Callable[[FacadeClient, dict[str, Any], str], Any]


@dataclass(frozen=True)
class Tool:
    """A tool: what it takes, and the request that it makes for the one named; `changes` tells whether it only reads."""

    name: str
    summary: str
    given: type[BaseModel]
    ask: Ask
    changes: bool = False

    @property
    def described(self) -> types.Tool:
        """Return how an agent sees it."""
        hints = types.ToolAnnotations(
            read_only_hint=not self.changes, destructive_hint=self.changes, idempotent_hint=True, open_world_hint=False
        )
        schema = self.given.model_json_schema()
        return types.Tool(name=self.name, description=self.summary, input_schema=schema, annotations=hints)


def _predictions(ask: FacadeClient, given: dict[str, Any], by: str) -> Any:
    answer = ask.get("/predictions", horizon_hours=given["hours"], series=given["series"])
    if given["series"] is None:
        # The values of all series would be more than an agent can read.
        answer["series"] = [each["series"] for each in answer["series"]]
    return answer


def _propose(ask: FacadeClient, given: dict[str, Any], by: str) -> Any:
    body = {name: given[name] for name in ("action", "params", "reason")}
    return ask.post(f"/goals/{given['goal_id']}/propose", {**body, "by": by})


def _answer(verb: str) -> Ask:
    return lambda ask, given, by: ask.post(f"/actions/{given['action_id']}/{verb}", {"note": given["note"], "by": by})


TOOLS = {
    each.name: each
    for each in (
        Tool("status", "Is it well: mode, counts, what waits.", Nothing, lambda ask, _, by: ask.get("/status")),
        Tool("goals", "The goals, most important first.", GoalsGiven, lambda ask, it, by: ask.get("/goals", **it)),
        Tool(
            "goal",
            "One goal: its reason, decisions with alternatives, actions and their measured effects.",
            GoalGiven,
            lambda ask, it, by: ask.get(f"/goals/{it['goal_id']}"),
        ),
        Tool("predictions", "What will happen, with intervals and likely breaches.", PredictionsGiven, _predictions),
        Tool(
            "actions",
            "The newest actions and how they stand; with available=true what may be proposed, with its parameters.",
            ActionsGiven,
            lambda ask, it, by: ask.get("/actions", **{**it, "available": str(it["available"]).lower()}),
        ),
        Tool(
            "insights",
            "What was learned: which actions work, for what, and which do not.",
            Nothing,
            lambda ask, _, by: ask.get("/executor/insights"),
        ),
        Tool("audit", "Who decided what, newest first.", LimitGiven, lambda ask, it, by: ask.get("/audit", **it)),
        Tool(
            "proposers",
            "Who proposes, what their proposals may lead to now, and why.",
            Nothing,
            lambda ask, _, by: ask.get("/proposers"),
        ),
        Tool("propose", "Propose a registered action for an open goal.", ProposeGiven, _propose, changes=True),
        Tool(
            "approve",
            "Approve an action that waits, proposed by another; needs an API key.",
            AnswerGiven,
            _answer("approve"),
            True,
        ),
        Tool("reject", "Reject an action that waits; needs an API key.", AnswerGiven, _answer("reject"), True),
    )
}

Desk = Callable[[], AbstractContextManager[FacadeClient]]


def answered(desk: Desk, by: str, name: str, given: Mapping[str, Any]) -> types.CallToolResult:
    """Return what a tool answers; a refusal is one sentence that says what to do, never an exception."""
    tool = TOOLS.get(name)
    if tool is None:
        return _refused(f"There is no tool {name[:100]!r}; there are {', '.join(TOOLS)}.")
    try:
        asked = checked(tool.given, given, {})
        with desk() as ask:
            if tool.changes and not ask.is_live:
                return _refused("foreact is not running here, so nothing was changed. Start it with `foreact up`.")
            answer = tool.ask(ask, asked, by)
    except ValueError as trouble:
        return _refused(f"{name} was not done: {str(trouble).splitlines()[0]}")
    except (ForeactError, TransientError) as trouble:
        return _refused(str(trouble))
    said = answer.get("note") or answer.get("done", "") if tool.changes else json.dumps(answer, separators=(",", ":"))
    return types.CallToolResult(content=[types.TextContent(type="text", text=said)], structured_content=answer)


def _refused(sentence: str) -> types.CallToolResult:
    return types.CallToolResult(content=[types.TextContent(type="text", text=sentence)], is_error=True)


async def serve(desk: Desk, by: str) -> None:
    """Answer the agent at standard input and output until it closes them; one request at a time."""
    one_at_a_time = anyio.CapacityLimiter(1)

    async def list_tools(_: Any, __: types.PaginatedRequestParams | None) -> types.ListToolsResult:
        return types.ListToolsResult(tools=[each.described for each in TOOLS.values()])

    async def call_tool(_: Any, params: types.CallToolRequestParams) -> types.CallToolResult:
        given = params.arguments or {}
        return await anyio.to_thread.run_sync(answered, desk, by, params.name, given, limiter=one_at_a_time)

    server: Server[Any] = Server(
        "foreact", version=VERSION, instructions=INSTRUCTIONS, on_list_tools=list_tools, on_call_tool=call_tool
    )
    async with stdio_server() as (incoming, outgoing):
        await server.run(incoming, outgoing, server.create_initialization_options())
