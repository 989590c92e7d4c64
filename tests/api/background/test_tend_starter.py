"""Between cycles `tend` runs when something is due, and never otherwise."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import pytest

from api.background.tend_starter import TendStarter, due
from api.facade import Facade
from api.prefect_client import Started
from settings import Settings
from storage import ForeactError, Store
from storage.records import Approval, Autonomy, Intent, ReceiptStatus
from tasks.authority import switch
from tests.api import worlds
from tests.api.conftest import RecordingTrigger
from tests.api.worlds import SERIES
from tests.tasks.interventions.test_act_window import estimand_of

MINUTE = timedelta(minutes=1)


@dataclass
class Hands:
    """A clock that is set by hand."""

    now: datetime

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def hands(tick: datetime) -> Hands:
    return Hands(tick)


@pytest.fixture
def facade(settings: Settings, store: Store, trigger: RecordingTrigger, hands: Hands) -> Facade:
    return Facade(settings, store, trigger, hands, started_at=hands.now)


def plan(store: Store, at: datetime, action_id: str = "action-1", **changes: Any) -> None:
    store.actions.append([worlds.an_action(action_id, at, **changes)], "cycle-1")


def approve(store: Store, at: datetime, approved: bool = True) -> None:
    store.actions.approve(
        Approval(action_id="action-1", approved=approved, by="ada", at=at, expires_at=at + timedelta(hours=1))
    )


def finish(store: Store, at: datetime, action_id: str = "action-1", before: dict[str, Any] | None = None) -> None:
    store.actions.claim(Intent(action_id=action_id, at=at, before=before or {}))
    store.actions.finish(worlds.a_receipt(action_id, at).model_copy(update={"undo": None}))


def test_nothing_is_due_on_an_empty_store(facade: Facade, tick: datetime, trigger: RecordingTrigger) -> None:
    TendStarter(facade).step()
    assert due(facade, tick) is None
    assert trigger.calls == []


def test_an_action_that_nobody_approved_is_not_due(facade: Facade, store: Store, tick: datetime) -> None:
    plan(store, tick)
    plan(store, tick, "action-2", level=Autonomy.RECOMMEND)
    assert due(facade, tick) is None


def test_an_approved_action_is_due(facade: Facade, store: Store, tick: datetime) -> None:
    plan(store, tick)
    approve(store, tick)
    need = due(facade, tick)
    assert need is not None
    assert need.reason == "due action"


def test_a_rejected_action_is_not_due(facade: Facade, store: Store, tick: datetime) -> None:
    plan(store, tick)
    approve(store, tick, approved=False)
    assert due(facade, tick) is None


def test_an_automatic_action_is_due_at_its_time_and_not_after_it_expired(
    facade: Facade, store: Store, tick: datetime
) -> None:
    plan(store, tick + 5 * MINUTE, level=Autonomy.AUTO)
    assert due(facade, tick + 4 * MINUTE) is None
    assert due(facade, tick + 5 * MINUTE) is not None
    assert due(facade, tick + 66 * MINUTE) is None


def test_without_autonomy_only_what_a_person_approved_is_due(facade: Facade, store: Store, tick: datetime) -> None:
    plan(store, tick, level=Autonomy.AUTO)
    switch(facade.settings, store, False, "ada")
    assert due(facade, tick) is None
    approve(store, tick)
    assert due(facade, tick) is not None


def test_under_the_kill_switch_no_action_is_due(
    facade: Facade, settings: Settings, store: Store, tick: datetime
) -> None:
    plan(store, tick, level=Autonomy.AUTO)
    settings.kill_switch_path.touch()
    assert due(facade, tick) is None


def test_a_measuring_window_is_due_when_it_is_over(facade: Facade, store: Store, tick: datetime) -> None:
    plan(store, tick - timedelta(hours=1), level=Autonomy.AUTO, guards=(), horizon_s=600)
    finish(store, tick)
    assert due(facade, tick + 9 * MINUTE) is None
    need = due(facade, tick + 10 * MINUTE)
    assert need is not None
    assert need.reason == "matured window"
    action = worlds.an_action("action-1", tick)
    store.outcomes.append([worlds.an_outcome(action, tick)], "cycle-1")
    assert due(facade, tick + 10 * MINUTE) is None


def test_an_action_without_a_metric_is_never_measured(facade: Facade, store: Store, tick: datetime) -> None:
    plan(store, tick, level=Autonomy.AUTO, series=None, guards=())
    finish(store, tick)
    assert due(facade, tick + timedelta(days=1)) is None


def test_guards_are_watched_while_an_act_is_young(facade: Facade, store: Store, tick: datetime) -> None:
    plan(store, tick, level=Autonomy.AUTO)
    finish(store, tick, before={"nice": 0})
    need = due(facade, tick + 2 * MINUTE)
    assert need is not None
    assert need.reason == "guard window"
    assert due(facade, tick + 6 * MINUTE) is None, "the stabilisation time is over, and the window is not yet"


def test_an_undone_act_is_not_guarded_any_more_but_measured_up_to_then(
    facade: Facade, store: Store, tick: datetime
) -> None:
    plan(store, tick, level=Autonomy.AUTO)
    finish(store, tick, before={"nice": 0})
    undo = worlds.an_undo(store, "action-1", tick)
    assert due(facade, tick - MINUTE) is None, "it is watched no more once its undo is planned"
    finish(store, tick, undo.action_id)
    need = due(facade, tick + 2 * MINUTE)
    assert need is not None
    assert need.reason == "matured window"


@pytest.mark.parametrize("status", [ReceiptStatus.FAILED, ReceiptStatus.UNKNOWN])
def test_what_the_loop_would_not_undo_is_not_guarded(
    facade: Facade, store: Store, tick: datetime, status: ReceiptStatus
) -> None:
    plan(store, tick, level=Autonomy.AUTO)
    store.actions.claim(Intent(action_id="action-1", at=tick, before={"nice": 0}))
    store.actions.finish(worlds.a_receipt("action-1", tick, status))
    assert due(facade, tick + 2 * MINUTE) is None


def watched_minutes(facade: Facade, tick: datetime) -> list[int]:
    return [minute for minute in range(10) if due(facade, tick + minute * MINUTE) is not None]


def test_an_act_is_guarded_while_measure_could_find_harm(facade: Facade, store: Store, tick: datetime) -> None:
    """Five steps tell, seven are watched, of the metric and of its guards; the stabilisation time is five minutes."""
    plan(store, tick, level=Autonomy.AUTO)
    finish(store, tick, before={"nice": 0})
    guards = ("memory_used_ratio",)
    store.outcomes.fix(estimand_of(action_id="action-1", issued_at=tick, series=SERIES, guards=guards), "cycle-1")
    assert watched_minutes(facade, tick) == [5, 6, 7]
    store.forecasts.append([worlds.a_forecast(SERIES, tick), worlds.a_forecast(*guards, tick, step_s=12)], "cycle-1")
    assert watched_minutes(facade, tick) == [1, 2, 3, 4, 5, 6, 7]


def test_without_a_stabilisation_time_only_cycles_look_at_guards(
    settings: Settings, store: Store, trigger: RecordingTrigger, tick: datetime
) -> None:
    executor = settings.executor.model_copy(update={"stabilisation_seconds": 0})
    unguarded = Facade(settings.model_copy(update={"executor": executor}), store, trigger, lambda: tick, tick)
    plan(store, tick, level=Autonomy.AUTO)
    finish(store, tick, before={"nice": 0})
    store.outcomes.fix(estimand_of(action_id="action-1", issued_at=tick, series=SERIES), "cycle-1")
    assert watched_minutes(unguarded, tick) == []


def test_tend_starts_at_most_once_in_an_interval(
    facade: Facade, store: Store, trigger: RecordingTrigger, hands: Hands
) -> None:
    watcher = TendStarter(facade)
    plan(store, hands.now, level=Autonomy.AUTO)
    watcher.step()
    plan(store, hands.now, "action-2", level=Autonomy.AUTO)
    hands.now += 0.5 * MINUTE
    watcher.step()
    assert len(trigger.calls) == 1
    hands.now += 0.5 * MINUTE
    watcher.step()
    assert [call[0] for call in trigger.calls] == ["tend", "tend"]
    assert len({call[2] for call in trigger.calls}) == 2


def test_a_clock_that_is_set_back_does_not_keep_the_watcher_waiting(
    facade: Facade, store: Store, hands: Hands, trigger: RecordingTrigger, tick: datetime
) -> None:
    """Under the old key Prefect would hand out the run of the first time."""
    plan(store, tick - timedelta(days=2), level=Autonomy.AUTO, expires_at=tick + timedelta(days=1))
    watcher = TendStarter(facade)
    watcher.step()
    hands.now = tick - timedelta(days=1)
    watcher.step()
    hands.now = tick
    watcher.step()
    assert len(trigger.calls) == 3
    assert len({key for _, _, key in trigger.calls}) == 3


def test_an_act_dated_by_a_clock_years_ahead_is_not_guarded_for_ever(
    facade: Facade, store: Store, tick: datetime
) -> None:
    plan(store, tick, level=Autonomy.AUTO)
    finish(store, tick + timedelta(days=4_000), before={"nice": 0})
    assert due(facade, tick) is None


def test_what_stays_due_is_looked_at_less_and_less(
    facade: Facade, store: Store, trigger: RecordingTrigger, hands: Hands
) -> None:
    watcher = TendStarter(facade)
    plan(store, hands.now, level=Autonomy.AUTO, expires_at=hands.now + timedelta(days=1))
    starts = []
    for minute in range(60):
        before = len(trigger.calls)
        watcher.step()
        if len(trigger.calls) > before:
            starts.append(minute)
        hands.now += MINUTE
    assert starts == [0, 1, 3, 7, 15, 31]


def test_the_watcher_tries_again_when_prefect_is_back(
    facade: Facade, store: Store, trigger: RecordingTrigger, hands: Hands
) -> None:
    watcher = TendStarter(facade)
    plan(store, hands.now, level=Autonomy.AUTO)
    trigger.is_away = True
    with pytest.raises(ForeactError):
        watcher.step()
    trigger.is_away = False
    watcher.step()
    assert len(trigger.calls) == 1


def test_failed_acts_are_measured_too(facade: Facade, store: Store, tick: datetime) -> None:
    plan(store, tick, level=Autonomy.AUTO)
    store.actions.finish(worlds.a_receipt("action-1", tick, ReceiptStatus.FAILED))
    assert due(facade, tick + timedelta(hours=1)) is not None


def test_nothing_is_started_into_a_turn_that_takes_longer_than_its_interval(
    facade: Facade, store: Store, trigger: RecordingTrigger, hands: Hands
) -> None:
    watcher = TendStarter(facade)
    plan(store, hands.now, level=Autonomy.AUTO)
    trigger.under_way = Started("run-0", "")
    for _ in range(5):
        hands.now += MINUTE
        watcher.step()
    assert not trigger.calls
    trigger.under_way = None
    watcher.step()
    assert len(trigger.calls) == 1
