"""Every guard, alone and together."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from handlers import ActionsByName, elsewhere
from handlers.contract.action import ActionTraits
from storage.actions import ActionView
from storage.records import NOTHING, Autonomy, ReceiptStatus
from tasks.execute.guards import Circumstances, GuardAnswer, judge
from tasks.execute.targets import labels_of
from tests.tasks.execute.acts import (
    FAILED,
    HOUR,
    MINUTE,
    SECOND,
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


def test_an_automatic_action_of_an_open_goal_goes() -> None:
    assert answer(waiting(), now()) is GuardAnswer.GO


def test_the_kill_switch_holds_everything_even_what_was_approved() -> None:
    for view in (waiting(), waiting(approval=answer_of()), waiting(undo_of="b")):
        ruling = judge(view, now(kill_switch=True))
        assert ruling.answer is GuardAnswer.WAIT
        assert "kill switch" in ruling.reason


def test_with_the_mode_off_an_automatic_action_is_a_recommendation() -> None:
    ruling = judge(waiting(), now(autonomous=False))
    assert ruling.answer is GuardAnswer.WAIT
    assert "recommendation" in ruling.reason


def test_a_persons_yes_outranks_the_mode() -> None:
    assert answer(waiting(approval=answer_of()), now(autonomous=False)) is GuardAnswer.GO


@pytest.mark.parametrize("level", list(Autonomy))
def test_only_auto_acts_without_a_person(level: Autonomy) -> None:
    alone, approved = waiting(level=level), waiting(action_of(level=level), answer_of())
    assert answer(alone, now()) is (GuardAnswer.GO if level is Autonomy.AUTO else GuardAnswer.WAIT)
    assert answer(approved, now()) is GuardAnswer.GO


def test_a_rejected_action_is_dropped_with_the_persons_name_and_words() -> None:
    ruling = judge(waiting(approval=answer_of(approved=False, note="Not today.")), now())
    assert ruling.answer is GuardAnswer.DROP
    assert ruling.reason == "ada rejected it. Not today."


def test_an_approval_given_after_the_action_expired_is_void() -> None:
    late = answer_of(at=TICK + 2 * HOUR, expires_at=TICK + 3 * HOUR)
    ruling = judge(waiting(approval=late), now())
    assert ruling.answer is GuardAnswer.DROP
    assert ruling.reason == "The approval came after the action expired."


def test_an_approval_that_ran_out_is_void() -> None:
    stale = answer_of(at=TICK - HOUR, expires_at=TICK - MINUTE)
    ruling = judge(waiting(approval=stale), now())
    assert ruling.answer is GuardAnswer.DROP
    assert ruling.reason == f"The approval expired at {TICK - MINUTE:%Y-%m-%d %H:%M} UTC before it could run."


def test_an_expired_action_is_dropped() -> None:
    ruling = judge(waiting(), now(tick=TICK + 2 * HOUR))
    assert ruling.answer is GuardAnswer.DROP
    assert "expired" in ruling.reason


def test_an_expired_undo_is_dropped() -> None:
    """Weeks later the state before the act is no longer the state to go back to."""
    assert answer(waiting(undo_of="b"), now(tick=TICK + 2 * HOUR)) is GuardAnswer.DROP


def test_an_action_whose_goal_has_closed_is_dropped() -> None:
    assert answer(waiting(), now(open_goals=frozenset())) is GuardAnswer.DROP


def test_an_undo_needs_no_open_goal_and_no_room_within_limits() -> None:
    busy = now(
        open_goals=frozenset(),
        maintenance_until=TICK + HOUR,
        silent_series=frozenset([SERIES]),
        rate_limits=("0/day",),
        actions=limited(cooldown_s=3_600),
        finished=(done(TICK - MINUTE),),
    )
    assert answer(waiting(undo_of="earlier"), busy) is GuardAnswer.GO


def test_an_action_that_is_switched_off_is_dropped_but_its_undo_goes() -> None:
    off = now(actions=limited(enabled=False))
    assert answer(waiting(), off) is GuardAnswer.DROP
    assert answer(waiting(undo_of="earlier"), off) is GuardAnswer.GO


def test_a_cooldown_holds_the_same_target_only() -> None:
    cooling = now(actions=limited(cooldown_s=600), finished=(done(TICK - 5 * MINUTE),))
    assert answer(waiting(), cooling) is GuardAnswer.WAIT
    assert answer(waiting(target="db"), cooling) is GuardAnswer.GO
    assert answer(waiting(), replace(cooling, tick=TICK + 5 * MINUTE)) is GuardAnswer.GO


@pytest.mark.parametrize("status", [ReceiptStatus.DRY_RUN, ReceiptStatus.SKIPPED])
def test_what_touched_nothing_starts_no_cooldown_and_uses_up_no_limit(status: ReceiptStatus) -> None:
    limits = limited(cooldown_s=600, rate_limits=("1/hour",))
    earlier = now(actions=limits, rate_limits=("1/hour",), blast_radius=1, finished=(done(TICK - MINUTE, status),))
    assert answer(waiting(), earlier) is GuardAnswer.GO


def test_of_several_rate_limits_the_one_that_is_used_up_holds() -> None:
    limits = limited(rate_limits=("3/hour", "7/day"))
    spread = tuple(done(TICK - hours * HOUR, action_id=f"b{hours}") for hours in range(2, 9))
    assert answer(waiting(), now(actions=limits, finished=spread[:6])) is GuardAnswer.GO
    ruling = judge(waiting(), now(actions=limits, finished=spread))
    assert ruling.answer is GuardAnswer.WAIT
    assert "7/day" in ruling.reason
    burst = tuple(done(TICK - n * MINUTE, action_id=f"b{n}") for n in (3, 2, 1))
    assert "3/hour" in judge(waiting(), now(actions=limits, finished=burst)).reason


def test_acts_that_ended_after_the_tick_of_this_turn_count() -> None:
    """A turn is judged by its scheduled moment, and what it just did ended seconds later."""
    just_now = tuple(done(TICK + timedelta(seconds=n), action_id=f"b{n}", target=f"t{n}") for n in (1, 2))
    assert answer(waiting(), now(rate_limits=("2/hour",), finished=just_now)) is GuardAnswer.WAIT


def test_the_limit_for_all_actions_counts_every_action() -> None:
    other = (done(TICK - MINUTE, name="scale", target="db"),)
    assert answer(waiting(), now(rate_limits=("1/hour",), finished=other)) is GuardAnswer.WAIT


def test_the_blast_radius_counts_all_actions_on_one_target() -> None:
    acts = tuple(done(TICK - n * MINUTE, action_id=f"b{n}", name=f"n{n}") for n in (3, 2, 1))
    ruling = judge(waiting(), now(blast_radius=3, finished=acts))
    assert ruling.answer is GuardAnswer.WAIT
    assert "web" in ruling.reason
    assert answer(waiting(target="db"), now(blast_radius=3, finished=acts)) is GuardAnswer.GO


def test_nothing_is_done_in_a_maintenance_window() -> None:
    ruling = judge(waiting(), now(maintenance_until=TICK + HOUR))
    assert ruling.answer is GuardAnswer.WAIT
    assert ruling.reason == f"A maintenance window is open until {TICK + HOUR:%Y-%m-%d %H:%M} UTC."


def test_a_silent_series_freezes_its_actions_as_they_are() -> None:
    ruling = judge(waiting(), now(silent_series=frozenset([SERIES])))
    assert ruling.answer is GuardAnswer.WAIT
    assert "no recent data" in ruling.reason
    assert answer(waiting(series="other"), now(silent_series=frozenset([SERIES]))) is GuardAnswer.GO


def test_a_guard_metric_that_is_silent_freezes_the_action() -> None:
    """A guard that cannot be seen cannot stop anything."""
    guarded = waiting(guards=("latency",))
    ruling = judge(guarded, now(silent_metrics=frozenset(["latency"])))
    assert ruling.answer is GuardAnswer.WAIT
    assert "latency" in ruling.reason
    assert (
        answer(waiting(guards=('latency{host="a"}',)), now(silent_series=frozenset(['latency{host="b"}'])))
        is GuardAnswer.GO
    )
    assert (
        answer(waiting(guards=('latency{host="a"}',)), now(silent_series=frozenset(['latency{host="a"}'])))
        is GuardAnswer.WAIT
    )


def in_zone(zone: str, target: str, at: datetime = TICK - MINUTE) -> ActionView:
    return done(at, action_id=f"{zone}-{target}", target=target, series=f'cpu_usage{{zone="{zone}"}}')


def test_the_blast_radius_of_a_label_counts_the_targets_that_share_it() -> None:
    acts = (in_zone("eu", "web-1"), in_zone("eu", "web-1"), in_zone("us", "web-7"))
    wide = now(finished=acts, blast_radius_labels={"zone": 1})
    ruling = judge(waiting(target="web-2", series='cpu_usage{zone="eu"}'), wide)
    assert ruling.answer is GuardAnswer.WAIT
    assert "zone eu" in ruling.reason
    assert answer(waiting(target="web-1", series='cpu_usage{zone="eu"}'), wide) is GuardAnswer.GO
    assert answer(waiting(target="web-2", series='cpu_usage{zone="asia"}'), wide) is GuardAnswer.GO
    assert answer(waiting(target="web-2"), wide) is GuardAnswer.GO
    long_ago = now(finished=(in_zone("eu", "web-1", TICK - 2 * HOUR),), blast_radius_labels={"zone": 1})
    assert answer(waiting(target="web-2", series='cpu_usage{zone="eu"}'), long_ago) is GuardAnswer.GO


def test_labels_are_read_from_parameters_target_and_series() -> None:
    reach = labels_of(
        action_of(
            series='cpu{zone="eu",host="a"}', target='web{host="b"}', params={"labels": {"rack": 7, "zone": "us"}}
        )
    )
    assert dict(reach.labels) == {"zone": "us", "host": "b", "rack": "7"}


def test_no_more_goals_are_acted_for_at_once_than_may_be() -> None:
    acts = tuple(
        done(TICK - 10 * SECOND, action_id=f"b{n}", goal_id=f"g{n}", name=f"n{n}", target="") for n in range(3)
    )
    busy = now(finished=acts, max_concurrent_goals=3, slot_s=60)
    ruling = judge(waiting(), busy)
    assert ruling.answer is GuardAnswer.WAIT
    assert "3 other goals" in ruling.reason
    assert answer(waiting(), replace(busy, max_concurrent_goals=4)) is GuardAnswer.GO
    assert answer(waiting(), replace(busy, tick=TICK + MINUTE)) is GuardAnswer.GO
    assert answer(waiting(series=None), busy) is GuardAnswer.GO
    assert answer(waiting(goal_id="g1"), replace(busy, open_goals=frozenset(["g1"]))) is GuardAnswer.GO


@pytest.mark.parametrize("status", [FAILED, ReceiptStatus.TIMED_OUT, ReceiptStatus.UNKNOWN])
def test_what_could_not_be_undone_is_not_done_again_before_a_person_approves_it(status: ReceiptStatus) -> None:
    stuck = done(TICK - MINUTE, status, "u", undo_of="b", target="db")
    ruling = judge(waiting(), now(finished=(stuck,)))
    assert ruling.answer is GuardAnswer.WAIT
    assert "Its undo failed" in ruling.reason
    assert answer(waiting(approval=answer_of()), now(finished=(stuck,))) is GuardAnswer.GO
    assert answer(waiting(name="scale"), now(finished=(stuck,))) is GuardAnswer.GO
    undone = done(TICK - SECOND, action_id="u2", undo_of="b2")
    assert answer(waiting(), now(finished=(stuck, undone))) is GuardAnswer.GO


def test_acts_dated_by_a_clock_that_was_years_ahead_hold_nothing_up() -> None:
    """They would use up limits and cooldowns until that year."""
    ahead = tuple(done(TICK + timedelta(days=4_000), FAILED, f"b{n}") for n in range(3))
    limits = limited(cooldown_s=600, rate_limits=("1/hour", "2/week"))
    after = now(finished=ahead, actions=limits, rate_limits=("1/day",), blast_radius=1, breaker_failures=3)
    assert answer(waiting(), after) is GuardAnswer.GO


def test_a_clock_set_back_a_little_forgets_no_act() -> None:
    recent = (done(TICK + 20 * MINUTE),)
    assert answer(waiting(), now(finished=recent, rate_limits=("1/hour",))) is GuardAnswer.WAIT
    assert answer(waiting(), now(finished=recent, actions=limited(cooldown_s=60))) is GuardAnswer.WAIT


def test_a_rehearsal_is_held_up_by_nothing_that_limits_touching() -> None:
    failures = tuple(done(TICK - n * MINUTE, FAILED, f"b{n}") for n in (3, 2, 1))
    busy = now(
        finished=failures,
        rate_limits=("0/day",),
        maintenance_until=TICK + HOUR,
        silent_series=frozenset([SERIES]),
        actions=limited(cooldown_s=3_600),
    )
    assert answer(waiting(dry_run=True), busy) is GuardAnswer.GO
    assert answer(waiting(dry_run=True), replace(busy, kill_switch=True)) is GuardAnswer.WAIT
    assert answer(waiting(dry_run=True, level=Autonomy.APPROVE), busy) is GuardAnswer.WAIT
    assert answer(waiting(dry_run=True, goal_id="gone"), busy) is GuardAnswer.DROP


def test_the_breaker_opens_after_failures_in_a_row_and_closes_after_a_while() -> None:
    failures = tuple(done(TICK - n * MINUTE, FAILED, f"b{n}") for n in (3, 2, 1))
    broken = now(finished=failures, breaker_failures=3, breaker_s=1_800)
    ruling = judge(waiting(), broken)
    assert ruling.answer is GuardAnswer.WAIT
    assert "3 times in a row" in ruling.reason
    later = replace(broken, tick=TICK + 29 * MINUTE)
    assert answer(waiting(), later) is GuardAnswer.GO
    again = (*failures, done(TICK + 29 * MINUTE, FAILED, "b0"))
    assert answer(waiting(), replace(later, tick=TICK + 30 * MINUTE, finished=again)) is GuardAnswer.WAIT


def test_a_success_resets_the_breaker_but_an_undo_or_a_dry_run_does_not() -> None:
    def mixed(middle: ActionView) -> Circumstances:
        acts = (done(TICK - 3 * MINUTE, FAILED, "b3"), middle, done(TICK - MINUTE, FAILED, "b1"))
        return now(finished=acts, breaker_failures=2)

    at = TICK - 2 * MINUTE
    assert answer(waiting(), mixed(done(at))) is GuardAnswer.GO
    assert answer(waiting(), mixed(done(at, undo_of="b9"))) is GuardAnswer.WAIT
    assert answer(waiting(), mixed(done(at, ReceiptStatus.DRY_RUN))) is GuardAnswer.WAIT


def test_the_breaker_of_one_action_leaves_others_alone() -> None:
    failures = tuple(done(TICK - n * MINUTE, FAILED, f"b{n}", name="scale") for n in (3, 2, 1))
    assert answer(waiting(), now(finished=failures)) is GuardAnswer.GO


@pytest.mark.parametrize("circumstances", [now(autonomous=False), now(kill_switch=True)])
def test_doing_nothing_needs_nobodys_leave(circumstances: Circumstances) -> None:
    assert answer(waiting(name=NOTHING), circumstances) is GuardAnswer.GO
    assert answer(waiting(name=NOTHING), now(maintenance_until=TICK + HOUR)) is GuardAnswer.WAIT


def amount_of(n: int, **changes: Any) -> ActionView:
    return done(TICK - n * MINUTE, action_id=f"set{n}", params={"amount": n}, **changes)


def test_limits_that_nobody_set_neither_bind_nor_count_the_steps_of_an_amount() -> None:
    stepped = limited(sets="workers", amounts=(1.0, 2.0), rate_limits=ActionTraits.rate_limits)
    often = tuple(amount_of(n) for n in range(12, 0, -1))
    after = now(actions=stepped, finished=often, rate_limits=("3/hour",), blast_radius=3)
    assert answer(waiting(params={"amount": 2}), after) is GuardAnswer.GO
    other = replace(after, actions=ActionsByName({**stepped, "reload": elsewhere("reload")}))
    assert answer(waiting(name="reload", target="db"), other) is GuardAnswer.GO


@pytest.mark.parametrize("limit", ["rate_limits", "blast_radius"])
def test_limits_on_all_actions_that_a_person_set_bind_the_steps_of_an_amount(limit: str) -> None:
    often = tuple(amount_of(n) for n in (3, 2, 1))
    after = now(
        actions=limited(sets="workers", amounts=(1.0, 2.0)),
        finished=often,
        rate_limits=("3/hour",) if limit == "rate_limits" else (),
        blast_radius=3,
        configured_limits=frozenset([limit]),
    )
    assert answer(waiting(params={"amount": 2}), after) is GuardAnswer.WAIT


def test_an_amounts_own_limit_that_a_person_or_its_author_set_and_its_cooldown_bind_it() -> None:
    for trait in (
        {"rate_limits": ("1/hour",)},
        {"rate_limits": ("1/hour",), "configured": frozenset(["rate_limits"])},
        {"cooldown_s": 600.0},
    ):
        held = now(actions=limited(sets="workers", amounts=(1.0,), **trait), finished=(amount_of(1),))
        assert answer(waiting(params={"amount": 1}), held) is GuardAnswer.WAIT


def test_the_circuit_breaker_holds_an_amount_whose_world_refuses_it() -> None:
    failures = tuple(done(TICK - n * MINUTE, FAILED, f"b{n}", params={"amount": n}) for n in (3, 2, 1))
    held = now(actions=limited(sets="workers", amounts=(1.0,)), finished=failures)
    assert "failed 3 times" in judge(waiting(params={"amount": 1}), held).reason
