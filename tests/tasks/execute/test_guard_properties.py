"""Whatever the situation: nothing goes that must not, and every refusal has a reason."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from storage.actions import ActionView
from storage.records import Autonomy, ReceiptStatus
from tasks.execute.guards import Circumstances, GuardAnswer, judge
from tests.tasks.execute.acts import (
    FAILED,
    GOAL,
    HOUR,
    SERIES,
    TICK,
    action_of,
    answer,
    answer_of,
    done,
    limited,
    now,
    waiting,
)

levels = st.sampled_from(list(Autonomy))
approvals = st.one_of(st.none(), st.booleans())
offsets = st.integers(-7_200, 7_200).map(lambda s: timedelta(seconds=s))


@st.composite
def views(draw: Callable[..., Any]) -> ActionView:
    created = TICK + draw(offsets)
    action = action_of(
        at=created,
        level=draw(levels),
        name=draw(st.sampled_from(["restart", "scale"])),
        target=draw(st.sampled_from(["web", "db", ""])),
        goal_id=draw(st.sampled_from([GOAL, "gone"])),
        undo_of=draw(st.sampled_from([None, "b"])),
    )
    approved = draw(approvals)
    return waiting(action, None if approved is None else answer_of(approved=approved, at=TICK + draw(offsets)))


@st.composite
def histories(draw: Callable[..., Any]) -> tuple[ActionView, ...]:
    acts = draw(
        st.lists(
            st.tuples(
                offsets,
                st.sampled_from(list(ReceiptStatus)),
                st.sampled_from(["restart", "scale"]),
                st.sampled_from(["web", "db"]),
            ),
            max_size=8,
        )
    )
    ordered = sorted(acts, key=lambda act: act[0])
    return tuple(done(TICK + o, s, f"h{i}", name=n, target=t) for i, (o, s, n, t) in enumerate(ordered))


@st.composite
def situations(draw: Callable[..., Any]) -> Circumstances:
    restart = limited(
        enabled=draw(st.booleans()),
        cooldown_s=draw(st.sampled_from([0.0, 600.0])),
        rate_limits=draw(st.sampled_from([(), ("1/hour",), ("2/hour", "3/day")])),
    )
    return now(
        autonomous=draw(st.booleans()),
        kill_switch=draw(st.booleans()),
        maintenance_until=draw(st.sampled_from([None, TICK + HOUR])),
        finished=draw(histories()),
        silent_series=draw(st.sampled_from([frozenset(), frozenset([SERIES])])),
        actions=restart,
        rate_limits=draw(st.sampled_from([(), ("2/hour",), ("5/day",)])),
        blast_radius=draw(st.integers(1, 3)),
        breaker_failures=draw(st.integers(1, 3)),
    )


@given(view=views(), circumstances=situations())
def test_nothing_goes_while_the_kill_switch_is_on(view: ActionView, circumstances: Circumstances) -> None:
    assert answer(view, replace(circumstances, kill_switch=True)) is not GuardAnswer.GO


@given(view=views(), circumstances=situations())
def test_nothing_goes_by_itself_while_the_mode_is_off(view: ActionView, circumstances: Circumstances) -> None:
    assert answer(replace(view, approval=None), replace(circumstances, autonomous=False)) is not GuardAnswer.GO


@given(view=views(), circumstances=situations())
def test_what_goes_is_within_every_limit_and_still_wanted(view: ActionView, circumstances: Circumstances) -> None:
    if answer(view, circumstances) is not GuardAnswer.GO:
        return
    action = view.action
    assert action.expires_at >= TICK
    assert view.approval is None or view.approval.approved
    if action.undo_of is not None or action.dry_run:
        return
    acted = {ReceiptStatus.SUCCEEDED, FAILED, ReceiptStatus.TIMED_OUT, ReceiptStatus.UNKNOWN}
    acts = [(each.action, each.receipt) for each in circumstances.finished]
    ends = [(act, r.finished_at) for act, r in acts if r is not None and r.status in acted]
    last_hour = [act for act, end in ends if end > TICK - HOUR]
    assert action.goal_id in circumstances.open_goals
    assert circumstances.maintenance_until is None
    assert action.series not in circumstances.silent_series
    assert sum(act.target == action.target for act in last_hour if action.target) < circumstances.blast_radius
    if circumstances.rate_limits == ("2/hour",):
        assert len(last_hour) < 2
    if action.name == "restart":
        limits = circumstances.actions["restart"]
        assert limits.enabled
        same = [(act, end) for act, end in ends if act.name == "restart"]
        if "1/hour" in limits.rate_limits:
            assert not any(end > TICK - HOUR for _, end in same)
        cooling = [end for act, end in same if act.target == action.target]
        assert all(end + timedelta(seconds=limits.cooldown_s) <= TICK for end in cooling) or not limits.cooldown_s


@given(view=views(), circumstances=situations())
def test_every_refusal_has_a_reason(view: ActionView, circumstances: Circumstances) -> None:
    ruling = judge(view, circumstances)
    assert bool(ruling.reason) == (ruling.answer is not GuardAnswer.GO)
