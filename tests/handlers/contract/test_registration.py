"""How actions are made: decorated, of plain callables, and what is refused."""

from __future__ import annotations

import functools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handlers import ActionContext, ActionHandler, ActionResult, action, from_callable
from handlers.contract.results import to_result
from storage.records import Autonomy, Candidate, Goal, GoalType, ReceiptStatus
from tests.handlers.conftest import context_for, make_goal


def ok(params: dict[str, Any], goal_id: str) -> dict[str, Any]:
    return {"success": True, "impact": {"query_time": -0.2}}


def test_a_decorated_function_collects_its_hooks_and_can_still_be_called() -> None:
    @action(name="scale", goal_types=("CAPACITY_PLANNING",), metrics=("cpu_*",), default_level="recommend", cost=0.5)
    def scale(params: Any, context: ActionContext) -> ActionResult:
        """Add servers."""
        return ActionResult(success=True, detail=f"scaled to {params['servers']}")

    @scale.capture
    def capture(params: Any, context: ActionContext) -> dict[str, Any]:
        return {"servers": 2}

    @scale.check
    def check(params: Any, before: Any, context: ActionContext) -> ReceiptStatus:
        return ReceiptStatus.SUCCEEDED

    @scale.undo
    def undo(params: Any, before: Any, context: ActionContext) -> ActionResult:
        return ActionResult(success=True, detail=f"back to {before['servers']}")

    @scale.propose
    def propose(goal: Goal, context: ActionContext) -> list[Candidate]:
        return [Candidate(action="scale", params={"servers": 3})]

    handler, context = scale.handler, context_for()
    assert (handler.summary, handler.level) == ("Add servers.", Autonomy.RECOMMEND)
    assert set(handler.goal_types) == {GoalType.CAPACITY_PLANNING}
    assert handler.reversible
    assert handler.run({"servers": 3}, context) == scale({"servers": 3}, context)
    assert handler.undo({}, handler.capture({}, context), context).detail == "back to 2"
    assert handler.check({}, {}, context) is ReceiptStatus.SUCCEEDED
    capacity = make_goal(kind=GoalType.CAPACITY_PLANNING)
    (offered,) = handler.propose(capacity, context)
    assert [(c.params, c.cost) for c in handler.variants(offered)] == [({"servers": 3}, 0.5)]
    assert handler.propose(make_goal(), context) == []


def test_without_hooks_it_says_plainly_what_it_cannot_do() -> None:
    handler, context = from_callable("optimize", ok), context_for()
    assert not handler.reversible
    assert handler.undo({}, {}, context) == ActionResult(False, "optimize cannot be undone.")
    assert handler.capture({}, context) == {}
    assert handler.check({}, {}, context) is ReceiptStatus.UNKNOWN
    assert handler.drill(context) is None
    assert [candidate.params for candidate in handler.propose(make_goal(), context)] == [{}]


def test_a_proposal_that_fails_proposes_nothing_and_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    def fails(goal: Goal, context: ActionContext) -> list[Candidate]:
        raise OSError("no answer")

    assert from_callable("optimize", ok, hooks={"propose": fails}).propose(make_goal(), context_for()) == []
    assert "OSError: no answer" in caplog.text
    amiss = {"propose": lambda goal, context: ["restart it"]}
    assert from_callable("optimize", ok, hooks=amiss).propose(make_goal(), context_for()) == []
    assert "ValidationError" in caplog.text


def test_a_handler_is_reversible_only_where_undoing_is_permitted() -> None:
    @action(name="lower", undo_permitted=lambda: False)
    def lower(params: Any, context: ActionContext) -> ActionResult:
        return ActionResult(True)

    lower.undo(lambda params, before, context: ActionResult(True))
    assert not lower.handler.reversible


class Handling:
    def handle(self, params: dict[str, Any], goal_id: str) -> dict[str, Any]:
        return {"success": True, "detail": goal_id}

    def __call__(self, params: dict[str, Any], goal_id: str) -> dict[str, Any]:
        return {"success": True, "detail": f"called for {goal_id}"}


@pytest.mark.parametrize(
    ("fn", "detail"),
    [
        (ok, ""),
        (Handling().handle, "goal-1"),
        (Handling(), "called for goal-1"),
        (functools.partial(lambda extra, params, goal_id: {"success": True, "detail": extra}, "bound"), "bound"),
        (lambda *args: {"success": True, "detail": str(len(args))}, "2"),
        (lambda params, goal_id, extra=1: {"success": True, "detail": str(extra)}, "1"),
        (lambda params, context: {"success": True, "detail": context.action_id}, "action-1"),
    ],
)
def test_any_callable_of_two_arguments_is_taken(fn: Any, detail: str) -> None:
    result = from_callable("any", fn).run({}, context_for())
    assert result.success
    assert result.detail == detail


async def test_an_async_handler_runs_inside_a_running_event_loop_too() -> None:
    async def handler(params: dict[str, Any], goal_id: str) -> dict[str, Any]:
        return {"success": True, "detail": goal_id}

    assert from_callable("any", handler).run({}, context_for()).detail == "goal-1"


def test_a_handler_gets_a_copy_of_its_parameters() -> None:
    def spoil(params: dict[str, Any], goal_id: str) -> dict[str, Any]:
        params.clear()
        return {"success": True}

    params = {"a": 1}
    assert from_callable("any", spoil).run(params, context_for()).success
    assert params == {"a": 1}


@pytest.mark.parametrize("fn", [None, 3, "optimize", {"success": True}])
def test_what_cannot_be_called_is_refused_at_once(fn: Any) -> None:
    with pytest.raises(TypeError, match="cannot be called"):
        from_callable("wrong", fn)


def test_an_existing_handler_can_be_registered_under_another_name() -> None:
    handler = from_callable("one", ok, risk="low")
    renamed = from_callable("two", handler)
    assert isinstance(renamed, ActionHandler)
    assert (renamed.name, renamed.risk) == ("two", "low")


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.binary(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["success", "impact", "detail", "evidence", "undo", "skipped", "x"]), inner)
    ),
    max_leaves=12,
)


@given(anything)
def test_whatever_a_handler_returns_becomes_a_result_with_finite_claims(value: Any) -> None:
    result = to_result(value)
    assert isinstance(result, ActionResult)
    assert isinstance(result.success, bool)
    assert all(isinstance(change, float) and change - change == 0 for change in result.impact.values())
    assert result.success or result.detail or (isinstance(value, dict) and value["success"] is False)


@given(st.floats() | st.integers() | st.text() | st.none() | st.booleans())
def test_only_finite_numbers_pass_as_impact(change: Any) -> None:
    result = to_result({"success": True, "impact": {"cpu": change}})
    is_number = isinstance(change, (int, float)) and not isinstance(change, bool)
    assert result.success == (is_number and change - change == 0)
