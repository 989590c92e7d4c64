"""What is out of its depth asks first and says so, until there was calm or a person says otherwise."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest

from handlers import ActionsByName, elsewhere
from storage import ForeactError
from storage.facts import EARLY_VERDICTS, WAITS, ToldEarly, WaitCode
from storage.records import Autonomy, Forecast, GoalType, Objective, Outcome, ReceiptStatus, Sample, Strategy, Verdict
from tasks.authority import WORLD, level_now, lose_depth, out_of_depth, regain_depth, trust_again
from tasks.interventions.matured import doubted_until
from tasks.learn import watch_depth
from tests.tasks.execute.acts import GOAL, HOUR, MINUTE, SERIES, TICK, action_of, answer_of
from tests.tasks.execute.conftest import Desk

TYPE = GoalType.BOTTLENECK_PREVENTION
PAIR = f"action:{TYPE}:restart"
UNTIL = TICK + timedelta(days=3)
WHY = "It is not as it was."


@pytest.mark.parametrize("key", [WORLD, f"metric:{SERIES}", PAIR])
def test_what_is_out_of_its_depth_waits_for_a_person_and_says_why(desk: Desk, key: str) -> None:
    desk.plan(action_of())
    lose_depth(desk.store, key, UNTIL, WHY)
    assert desk.execute() == {}
    waits = desk.store.facts.get(WAITS) or {}
    assert waits["a"].reason == f"It waits for approval. {WHY}"
    desk.store.actions.approve(answer_of())
    assert list(desk.execute()) == ["a"]


@pytest.mark.parametrize(
    "key", ["metric:another", f"action:{TYPE}:another", f"action:{GoalType.SLA_MAINTENANCE}:restart"]
)
def test_what_is_not_concerned_acts_as_before(desk: Desk, key: str) -> None:
    desk.plan(action_of())
    lose_depth(desk.store, key, UNTIL, WHY)
    assert list(desk.execute()) == ["a"]


def test_an_amount_that_aims_at_no_metric_goes_by_that_of_its_goal(desk: Desk) -> None:
    desk.plan(action_of(series=None))
    lose_depth(desk.store, f"metric:{SERIES}", UNTIL, WHY)
    assert desk.execute() == {}


def test_an_undo_is_not_held_up(desk: Desk) -> None:
    desk.register(desk.marking(), hooks={"undo": lambda params, before, context: {"success": True}})
    desk.plan(action_of())
    desk.execute()
    undo = desk.plan_undo("a")
    lose_depth(desk.store, WORLD, UNTIL, WHY)
    assert list(desk.execute()) == [undo.action_id]


def test_what_only_reports_goes_on(desk: Desk) -> None:
    lose_depth(desk.store, WORLD, UNTIL, WHY)
    actions = ActionsByName(tell=elsewhere("tell", informs_only=True), restart=elsewhere("restart", level="auto"))
    assert level_now(desk.store, TYPE, actions["tell"], ()) is Autonomy.AUTO
    assert level_now(desk.store, TYPE, actions["restart"], ()) is Autonomy.APPROVE


@pytest.mark.parametrize(("key", "level"), [(WORLD, "auto"), (f"metric:{SERIES}", "auto"), (PAIR, "approve")])
def test_what_a_person_gave_the_level_auto_asks_first_only_where_its_own_acts_harm(
    desk: Desk, key: str, level: str
) -> None:
    given = replace(elsewhere("restart", level="auto"), configured=frozenset({"level"}))
    lose_depth(desk.store, key, UNTIL, WHY)
    assert level_now(desk.store, TYPE, given, [SERIES]) == level


def test_a_persons_word_ends_it_and_is_kept(desk: Desk) -> None:
    desk.plan(action_of())
    lose_depth(desk.store, PAIR, UNTIL, WHY)
    trust_again(desk.store, PAIR, "ada", "I changed the limit")
    assert list(desk.execute()) == ["a"]
    (line,) = [line for line in desk.store.audit.latest(9) if line.verb == "in depth again"]
    assert (line.actor, line.subject, line.detail) == ("ada", PAIR, {"note": "I changed the limit"})
    with pytest.raises(ForeactError, match="not out of its depth"):
        trust_again(desk.store, PAIR, "ada", "again")


def test_what_was_to_be_asked_for_is_decided_anew_once_it_need_not_be(desk: Desk) -> None:
    lose_depth(desk.store, f"metric:{SERIES}", UNTIL, WHY)
    desk.plan(action_of(level=Autonomy.APPROVE))
    assert desk.execute() == {}
    desk.clock.now += MINUTE
    trust_again(desk.store, f"metric:{SERIES}", "ada", "it is a release")
    (receipt,) = desk.execute().values()
    assert receipt.status is ReceiptStatus.SKIPPED
    assert "decided anew" in receipt.detail


def test_calm_ends_it_and_says_so_once(desk: Desk) -> None:
    lose_depth(desk.store, PAIR, UNTIL, WHY)
    desk.clock.now = UNTIL
    assert out_of_depth(desk.store) == {}
    regain_depth(desk.store)
    regain_depth(desk.store)
    assert [line.verb for line in desk.store.audit.latest(9)] == ["in depth again", "out of depth"]


def harmful_outcome(number: int, effect: float) -> Outcome:
    return Outcome(
        outcome_id=f"outcome-{number}",
        action_id=f"act-{number}",
        action="restart",
        goal_id=GOAL,
        goal_type=TYPE,
        strategy=Strategy.IMMEDIATE,
        series=SERIES,
        measured_at=TICK + number * HOUR,
        acted_at=TICK + number * HOUR,
        horizon_s=3_600,
        estimate=-effect,
        effect_sd_units=effect,
        standard_error_sd_units=0.4,
        verdict=Verdict.WORSE if effect < 0 else Verdict.IMPROVED,
        evidence={"predicted_sd_units": 1.2},
    )


def acts(desk: Desk, effects: list[float]) -> None:
    desk.register(desk.marking(), runs_in_process=True)
    for number, effect in enumerate(effects):
        desk.clock.now = TICK + number * HOUR
        desk.hear(desk.clock.now)
        desk.plan(action_of(f"act-{number}", desk.clock.now))
        assert list(desk.execute()) == [f"act-{number}"]
        desk.store.outcomes.append([harmful_outcome(number, effect)], "cycle-1")


def test_an_act_that_helped_and_plainly_harms_now_is_not_repeated_unasked(desk: Desk) -> None:
    acts(desk, [1.1, 1.3, 1.2, 1.4, 1.2, 1.3, 1.1, 1.2, 1.2])
    watch_depth(desk.context(), is_news=True)
    assert out_of_depth(desk.store) == {}
    desk.store.outcomes.append([harmful_outcome(9, -2.6)], "cycle-1")
    desk.plan(action_of("act-9", desk.clock.now))
    desk.execute()
    watch_depth(desk.context(), is_news=True)
    assert list(out_of_depth(desk.store)) == [PAIR]
    assert "(the last one -2.6 sd, +1.2 expected)" in out_of_depth(desk.store)[PAIR].reason
    trust_again(desk.store, PAIR, "ada", "I know why")
    watch_depth(desk.context(), is_news=True)
    assert out_of_depth(desk.store) == {}


def doubted(desk: Desk) -> None:
    """Live through acts that helped and one that harmed, by chance or not, and begin the next before it is measured."""
    acts(desk, [1.2, 1.1, 1.3, 1.2])
    desk.clock.now += HOUR
    desk.hear(desk.clock.now)
    for name in ("act-4", "act-5"):
        desk.plan(action_of(name, desk.clock.now))
        desk.execute()
    desk.store.outcomes.append([harmful_outcome(4, -0.9)], "cycle-1")
    watch_depth(desk.context(), is_news=True)
    desk.plan(action_of("act-6", desk.clock.now))


def test_an_action_that_seems_to_harm_waits_until_its_last_act_is_measured(desk: Desk) -> None:
    doubted(desk)
    assert out_of_depth(desk.store) == {}
    assert desk.execute() == {}
    assert (desk.store.facts.get(WAITS) or {})["act-6"].code is WaitCode.DOUBT
    desk.store.outcomes.append([harmful_outcome(5, 1.2)], "cycle-1")
    watch_depth(desk.context(), is_news=True)
    assert list(desk.execute()) == ["act-6"]


def test_one_act_at_a_time_is_measured_while_an_action_seems_to_harm(desk: Desk) -> None:
    acts(desk, [1.2, 1.1, 1.3, 1.2, -0.9])
    watch_depth(desk.context(), is_news=True)
    for name, is_done in (("act-5", True), ("act-6", False)):
        desk.plan(action_of(name, desk.clock.now))
        assert (list(desk.execute()) == [name]) == is_done


def test_an_action_that_seems_to_harm_waits_until_what_it_did_is_over(desk: Desk) -> None:
    acts(desk, [1.2, 1.1, 1.3, 1.2, -0.9])
    watch_depth(desk.context(), is_news=True)
    begun_at = desk.clock.now
    desk.register(desk.marking(), runs_in_process=True, duration_s=HOUR.total_seconds())
    for passed, is_done in ((HOUR, False), (2 * HOUR, True)):
        desk.clock.now = begun_at + passed
        desk.hear(desk.clock.now)
        desk.plan(action_of("act-5", desk.clock.now))
        assert (list(desk.execute()) == ["act-5"]) == is_done


def test_a_persons_yes_outranks_a_doubt(desk: Desk) -> None:
    doubted(desk)
    desk.store.actions.approve(answer_of("act-6", at=desk.clock.now))
    assert list(desk.execute()) == ["act-6"]


def test_a_doubt_ends_by_itself_where_the_measurement_never_comes(desk: Desk) -> None:
    doubted(desk)
    (until,) = doubted_until(desk.store, desk.clock.now, {}).values()
    desk.clock.now = until
    assert doubted_until(desk.store, desk.clock.now, {}) == {}


def test_acts_for_the_worse_add_up_though_the_last_one_alone_proves_nothing(desk: Desk) -> None:
    acts(desk, [1.1, 1.3, 1.2, 1.4, 1.2, 1.3, 1.1, 1.2, -0.9, -0.7])
    desk.store.outcomes.append(
        [harmful_outcome(9, -0.7).model_copy(update={"verdict": Verdict.INCONCLUSIVE})], "cycle-2"
    )
    watch_depth(desk.context(), is_news=True)
    assert list(out_of_depth(desk.store)) == [PAIR]


def test_a_doubt_ends_with_learning(desk: Desk) -> None:
    doubted(desk)
    desk.overrides = {"executor": {"enable_learning": False}}
    watch_depth(desk.context(), is_news=False)
    assert list(desk.execute()) == ["act-6"]


def test_amounts_are_not_doubted_as_the_next_step_may_be_the_one_back(desk: Desk) -> None:
    doubted(desk)
    desk.register(desk.marking(), runs_in_process=True, sets="replicas")
    watch_depth(desk.context(), is_news=True)
    assert list(desk.execute()) == ["act-6"]


def test_what_is_clear_before_a_window_is_over_counts_at_once(desk: Desk) -> None:
    acts(desk, [1.2, 1.1, 1.3, 1.2])
    desk.plan(action_of("act-4", desk.clock.now))
    desk.execute()
    desk.store.facts.set(EARLY_VERDICTS, {"act-4": ToldEarly(Verdict.WORSE, desk.clock.now, 5, "Clear: worse.")})
    watch_depth(desk.context(), is_news=True)
    assert list(doubted_until(desk.store, desk.clock.now, {})) == [f"{TYPE}:restart"]


def hours(
    desk: Desk, first: int, count: int, spread: float, names: tuple[str, ...] = (SERIES,), step: timedelta = 5 * MINUTE
) -> None:
    """Live through some hours: what is seen spreads by so much around what is foretold, whose interval is ± 1.6."""
    rng, context = np.random.default_rng(first), desk.context()
    for hour in range(first, first + count):
        at = TICK + hour * HOUR
        desk.clock.now = at
        for name in names:
            noise = rng.normal(0, spread, HOUR // step)
            seen = [Sample(metric=name, value=50 + x, ts=at - HOUR + step * (i + 1)) for i, x in enumerate(noise)]
            desk.store.samples.append(seen)
        watch_depth(replace(context, cycle=context.cycle.model_copy(update={"tick": at})), is_news=False)
        quantiles = np.tile([48.4, 50.0, 51.6], (24, 1))
        issued = [
            Forecast(
                series=name,
                issued_at=at,
                step_s=step.total_seconds(),
                levels=(0.05, 0.5, 0.95),
                point=quantiles[:, 1],
                quantiles=quantiles,
                method="seasonal",
            )
            for name in names
        ]
        desk.store.forecasts.append_new(issued, f"cycle-{hour}", {})


@pytest.mark.parametrize("step", [5 * MINUTE, MINUTE], ids=["reaching two hours", "reaching 24 minutes"])
def test_forecasts_that_miss_three_times_as_far_are_noticed_within_a_day_and_say_so(
    desk: Desk, step: timedelta
) -> None:
    desk.overrides = {
        "objectives": (Objective(name="cpu", metric=SERIES, bound=90.0),),
        "use_default_objectives": False,
    }
    hours(desk, 0, 34, 1.0, step=step)
    assert out_of_depth(desk.store) == {}
    hours(desk, 34, 20, 3.0, step=step)
    assert list(out_of_depth(desk.store)) == [f"metric:{SERIES}"]
    assert "half-widths" in out_of_depth(desk.store)[f"metric:{SERIES}"].reason


def test_values_within_an_interval_that_was_too_wide_before_are_no_news(desk: Desk) -> None:
    desk.overrides = {
        "objectives": (Objective(name="cpu", metric=SERIES, bound=90.0),),
        "use_default_objectives": False,
    }
    hours(desk, 0, 40, 0.1)
    hours(desk, 40, 40, 1.4)
    assert out_of_depth(desk.store) == {}


def test_series_that_are_all_replaced_are_noticed_once_and_not_every_day_where_that_is_usual(desk: Desk) -> None:
    desk.overrides = {
        "objectives": (Objective(name="cpu", metric=SERIES, bound=90.0),),
        "use_default_objectives": False,
    }

    def pods(day: int) -> tuple[str, ...]:
        return tuple(f'{SERIES}{{pod="{day}-{n}"}}' for n in range(5))

    for day in (0, 24):
        hours(desk, day, 3, 1.0, pods(0))
    assert out_of_depth(desk.store) == {}
    hours(desk, 48, 3, 1.0, pods(1))
    assert list(out_of_depth(desk.store)) == [WORLD]
    trust_again(desk.store, WORLD, "ada", "a release")
    for day in (2, 3, 4):
        hours(desk, 24 * day + 6, 3, 1.0, pods(day))
    assert out_of_depth(desk.store) == {}


def test_where_learning_is_off_levels_stay(desk: Desk) -> None:
    desk.overrides = {"executor": {"enable_learning": False}}
    acts(desk, [1.1] * 8 + [-2.6])
    watch_depth(desk.context(), is_news=True)
    assert out_of_depth(desk.store) == {}
