"""An undo is the same action whoever asks for it, and what cannot be taken back is refused in one place."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from storage import ForeactError
from storage.actions import ActionView
from storage.records import Autonomy, ReceiptStatus, Strategy
from tasks.interventions.undo import keeps_state, may_try_again, may_undo_unasked, undo_of
from tests.tasks.execute.acts import HOUR, TICK, done, waiting

ACT: dict[str, Any] = {"level": Autonomy.APPROVE, "strategy": Strategy.SCHEDULED, "priority": 0.2}


def test_an_undo_is_due_at_once_before_all_else_and_allowed() -> None:
    act = done(TICK, **ACT)
    undo = undo_of(act, TICK + HOUR, is_reversible=True)
    changed = {name for name, value in undo.model_dump().items() if value != act.action.model_dump()[name]}
    assert changed == {"action_id", "undo_of", "level", "strategy", "created_at", "due_at", "expires_at", "priority"}
    assert (undo.undo_of, undo.level, undo.priority) == ("earlier", Autonomy.AUTO, 1.0)
    assert (undo.due_at, undo.expires_at) == (TICK + HOUR, TICK + HOUR + timedelta(days=1))


def test_an_act_has_one_undo_whenever_it_is_asked_for() -> None:
    first, later = (undo_of(done(TICK), TICK + n * HOUR, is_reversible=True) for n in (0, 1))
    assert first.action_id == later.action_id


@pytest.mark.parametrize(
    ("view", "is_reversible", "code", "because"),
    [
        (waiting(), True, "nothing_to_undo", "a has not run yet."),
        (done(TICK, ReceiptStatus.FAILED), True, "nothing_to_undo", "earlier ended as failed."),
        (done(TICK, ReceiptStatus.DRY_RUN), True, "nothing_to_undo", "earlier ended as dry_run."),
        (done(TICK, undo_of="b"), True, "is_undo", "earlier is itself an undo."),
        (done(TICK), False, "irreversible", "restart cannot be undone."),
    ],
)
def test_what_cannot_be_taken_back_is_refused_with_the_reason(
    view: ActionView, is_reversible: bool, code: str, because: str
) -> None:
    with pytest.raises(ForeactError) as refusal:
        undo_of(view, TICK, is_reversible=is_reversible)
    assert (refusal.value.code, refusal.value.message, refusal.value.status) == (code, because, 409)
    assert not may_undo_unasked(view, is_reversible=is_reversible)


def test_what_may_have_been_done_is_undone_only_when_a_person_asks() -> None:
    view = done(TICK, ReceiptStatus.UNKNOWN)
    assert undo_of(view, TICK, is_reversible=True).undo_of == "earlier"
    assert not may_undo_unasked(view, is_reversible=True)
    assert may_undo_unasked(done(TICK), is_reversible=True)


def test_the_state_to_go_back_to_is_kept_by_the_intent_or_by_the_receipt() -> None:
    view = done(TICK)
    assert view.intent is not None
    assert view.receipt is not None
    assert not keeps_state(view)
    before = ActionView(view.action, None, view.intent.model_copy(update={"before": {"nice": 0}}), view.receipt)
    ticket = ActionView(view.action, None, view.intent, view.receipt.model_copy(update={"undo": {}}))
    assert keeps_state(before)
    assert keeps_state(ticket)


def test_an_undo_that_the_world_refuses_is_tried_again_ever_more_rarely_and_three_times_at_most() -> None:
    refused = done(TICK, ReceiptStatus.FAILED, undo_of="a")
    assert may_try_again([], TICK)
    assert [may_try_again([refused], TICK + timedelta(minutes=n)) for n in (4, 5)] == [False, True]
    assert [may_try_again([refused] * 2, TICK + timedelta(minutes=n)) for n in (9, 10)] == [False, True]
    assert not may_try_again([refused] * 3, TICK + 9 * HOUR)


@pytest.mark.parametrize("status", [ReceiptStatus.SUCCEEDED, ReceiptStatus.UNKNOWN, ReceiptStatus.SKIPPED])
def test_an_undo_that_was_done_or_may_have_been_is_not_tried_again(status: ReceiptStatus) -> None:
    assert not may_try_again([done(TICK, status, undo_of="a")], TICK + 9 * HOUR)
    assert not may_try_again([waiting(undo_of="a")], TICK + 9 * HOUR)


def test_a_further_try_of_an_undo_is_another_action() -> None:
    tries = {undo_of(done(TICK), TICK, is_reversible=True, tries_before=n).action_id for n in range(3)}
    assert len(tries) == 3
