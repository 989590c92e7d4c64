"""The worlds are what they say they are: their truth can be asked, and who knows it beats who does not."""

from __future__ import annotations

import math
from datetime import timedelta
from itertools import pairwise

import numpy as np
import pytest

from benchmarks.worlds.__main__ import WORLDS
from benchmarks.worlds.acts import GOOD_HOSTS, HOSTS, Flip, FourActs, OpposedActs, Pair, Shifts, Targets
from benchmarks.worlds.against_truth import LOOP, Figures, Share, plain_settings, run_world
from benchmarks.worlds.disk import PRUNE, USED, Disk
from benchmarks.worlds.faults import Faults
from benchmarks.worlds.policies import play, run_out
from benchmarks.worlds.pool import AGE, WORKERS, Pool
from benchmarks.worlds.score_table import FIRST, LATER, interval, safety, score
from benchmarks.worlds.simulated_world import THURSDAY, SteppedWorld, WorldCommand
from storage.records import Action, Autonomy, GoalType, ReceiptStatus, Sample

DAYS = 1.5
HOUR_STEPS = 12


def idle(world: SteppedWorld, turns: int = 0) -> SteppedWorld:
    """Return a world after its history and some turns without an act."""
    for _ in world.observe(world.ticks[turns]):
        pass
    return world


def shown(world: SteppedWorld, policy: str) -> list[dict[str, float]]:
    return [dict(step.values) for step in play(world, world.policies()[policy]).steps]


@pytest.mark.parametrize("kind", WORLDS.values(), ids=WORLDS)
def test_who_knows_the_future_beats_every_rule(kind: type[SteppedWorld]) -> None:
    costs = {
        name: float(play(w := kind(1, DAYS), w.policies()[name]).costs().sum()) for name in kind(1, DAYS).policies()
    }
    knowing = min(cost for name, cost in costs.items() if name.startswith(("oracle", "foresight")))
    assert knowing <= min(costs.values()) + 1e-9, costs


@pytest.mark.parametrize("kind", WORLDS.values(), ids=WORLDS)
def test_the_same_seed_gives_the_same_world(kind: type[SteppedWorld]) -> None:
    rule = kind.reference
    first, again, other = (shown(kind(seed, 0.5), rule) for seed in (1, 1, 2))
    np.testing.assert_equal(first, again)
    assert any(one != two for one, two in zip(first, other, strict=True))


@pytest.mark.parametrize("kind", WORLDS.values(), ids=WORLDS)
def test_a_new_user_could_have_written_its_configuration(
    kind: type[SteppedWorld], tmp_path_factory: pytest.TempPathFactory
) -> None:
    world = kind(0, DAYS)
    settings = plain_settings(world, tmp_path_factory.mktemp("plain"))
    assert set(settings.actions) == {command.name for command in world.commands()}
    assert all(action.is_declared for action in settings.actions.values())
    metrics = {name.partition("{")[0] for name in idle(world).steps[0].values}
    assert {objective.metric for objective in settings.objectives} <= metrics


@pytest.mark.parametrize("kind", WORLDS.values(), ids=WORLDS)
def test_without_its_only_act_a_world_is_as_if_nobody_had_acted(kind: type[SteppedWorld]) -> None:
    world, untouched = idle(kind(3, 0.5)), run_out(kind(3, 0.5))
    world.obey(world.commands()[0])
    instead = world.without(world.done[0], 2 * HOUR_STEPS)
    expected = untouched.steps[world.first : world.first + len(instead)]
    np.testing.assert_equal([dict(step.values) for step in instead], [dict(step.values) for step in expected])


def ratio(world: SteppedWorld, series: str, first: int, count: int, *names: str) -> float:
    """Return by how much acts done now multiply a series, over `count` steps from `first` steps on."""
    at = world.now
    for name in names:
        world.obey(WorldCommand(name, series=series))
    with_it = world.ahead(world.state, at, first + count, {})[first:]
    without = world.ahead(world.done[0].before, at, first + count, {})[first:]
    world.done.clear()
    return float(np.mean([a.values[series] / b.values[series] for a, b in zip(with_it, without, strict=True)]))


NIGHT, NOON = 0, 36
ACTION = Action(
    action_id="act",
    name="shed",
    goal_id="goal",
    goal_type=GoalType.BOTTLENECK_PREVENTION,
    plan_id="plan",
    decision_id="decision",
    series="latency",
    level=Autonomy.AUTO,
    created_at=THURSDAY,
    due_at=THURSDAY,
    expires_at=THURSDAY,
)


@pytest.mark.parametrize(
    ("name", "turn", "first", "factor"),
    [
        ("shed", NOON, 0, 0.80),
        ("shed", NOON, HOUR_STEPS, 1.0),
        ("warm", NIGHT, 0, 0.75),
        ("warm", NOON, 0, 1.0),
        ("stir", NOON, 0, 1.0),
        ("churn", NOON, HOUR_STEPS // 2, 1.2),
        ("churn", NOON, HOUR_STEPS, 1.1),
    ],
)
def test_the_four_acts_do_what_is_said_of_them(name: str, turn: int, first: int, factor: float) -> None:
    assert ratio(idle(FourActs(0, DAYS), turn), "latency", first, HOUR_STEPS, name) == pytest.approx(factor)


def test_harm_that_comes_late_is_not_there_at_first() -> None:
    assert ratio(idle(FourActs(0, DAYS), NOON), "latency", 0, HOUR_STEPS // 2, "churn") == pytest.approx(1.0)


def test_after_the_flip_help_and_harm_have_changed_places() -> None:
    world = idle(Flip(0, DAYS), 100)
    assert world.now > world.flips_at  # type: ignore[attr-defined]
    assert ratio(world, "latency", HOUR_STEPS // 2, HOUR_STEPS, "shed") == pytest.approx(1.2)
    assert ratio(idle(Flip(0, DAYS), 100), "latency", 0, HOUR_STEPS, "churn") == pytest.approx(0.8)


def test_an_act_left_alone_is_judged_as_if_its_undo_had_not_come() -> None:
    world = idle(FourActs(0, DAYS), NOON)
    receipt = world.act(ACTION, world.ticks[NOON])
    assert receipt.status is ReceiptStatus.SUCCEEDED
    for _ in world.observe(world.ticks[NOON + 1]):
        pass
    undo = ACTION.model_copy(update={"action_id": "undo", "undo_of": ACTION.action_id})
    world.act(undo, world.ticks[NOON + 1])
    run_out(world)
    act = world.done[0]
    alone, without = (steps(act, HOUR_STEPS) for steps in (world.left_alone, world.without))
    np.testing.assert_allclose(
        [a.values["latency"] / b.values["latency"] for a, b in zip(alone, without, strict=True)], 0.8
    )
    seen = world.steps[act.at + 4 : act.at + HOUR_STEPS]
    assert [dict(step.values) for step in seen] == [dict(step.values) for step in without[4:]]


def test_neither_of_the_pair_helps_alone() -> None:
    assert ratio(idle(Pair(0, DAYS), NOON), "latency", 0, HOUR_STEPS, "front") > 0.97
    assert ratio(idle(Pair(0, DAYS), NOON), "latency", 0, HOUR_STEPS, "front", "back") == pytest.approx(0.8)


def test_what_helps_the_lesser_objective_costs_more_than_it_saves() -> None:
    world = idle(OpposedActs(0, DAYS), NOON)
    shed, nothing = (
        world.worth_of(world.state, world.now, [WorldCommand("shed")]),
        world.worth_of(world.state, world.now, []),
    )
    assert shed > nothing + 0.5


def test_a_restart_helps_three_hosts_and_a_deployment_one_metric() -> None:
    found = {host: ratio(idle(Targets(0, DAYS), NOON), host, 0, HOUR_STEPS, "restart") for host in HOSTS}
    assert {host for host, factor in found.items() if factor < 0.9} == GOOD_HOSTS
    assert ratio(idle(Targets(0, DAYS), NOON), "queue", 0, HOUR_STEPS, "redeploy") == pytest.approx(0.75)
    assert ratio(idle(Targets(0, DAYS), NOON), "latency", 0, HOUR_STEPS, "redeploy") == pytest.approx(1.2)


def test_the_office_opens_an_hour_earlier_in_utc_after_the_clock_change() -> None:
    load = Shifts(0, 3.0).base["office_load"][: 10 * 288].reshape(-1, 288)
    opens = [int(np.argmax(day > 60)) for day in load]
    assert np.median(opens[:8]) - np.median(opens[8:]) == pytest.approx(12, abs=2)


def test_a_silent_meter_reports_nothing() -> None:
    world = idle(Shifts(0, 3.0))
    meter = [each.ts for each in world.observe(world.end) if isinstance(each, Sample) and each.metric == "meter"]
    gaps = [later - earlier for earlier, later in pairwise(meter)]
    assert max(gaps) == timedelta(hours=6, minutes=5)


def test_workers_come_after_five_minutes_and_go_at_once() -> None:
    world = idle(Pool(0, 1.0))
    before = world.state.workers
    world.obey(WorldCommand("set_workers", before + 3.0))
    ahead = world.ahead(world.state, world.now, 6, {})
    assert {step.values[WORKERS] for step in ahead} == {before + 3}
    state = world.state.copy()
    for i in range(world.now, world.now + 6):
        assert state.workers == before
        world.step(state, i)
    assert state.workers == before + 3
    world.carry_out(state, world.now + 6, WorldCommand("set_workers", 2.0), "less")
    assert state.workers == 2


def test_a_queue_that_is_not_served_ages_a_minute_a_minute() -> None:
    world = idle(Pool(0, 1.0), 144)
    world.obey(WorldCommand("set_workers", 1.0))
    ages = [step.values[AGE] for step in world.ahead(world.state, world.now, 120, {})]
    assert ages[-1] - ages[59] > 50 * 60


def test_a_prune_frees_an_hour_later_and_cannot_be_taken_back() -> None:
    world = idle(Disk(0, DAYS))
    world.obey(WorldCommand(PRUNE))
    done = world.done[0]
    run_out(world)
    assert world.effect(done, USED, done.at, 12) == pytest.approx(0)
    assert -0.25 <= world.effect(done, USED, done.at + 13, 12) <= -0.05


def figures(loop: float, **more: object) -> Figures:
    costs = {LOOP: (loop, loop), "rule": (4.0, 4.0), "oracle": (1.0, 1.0)}
    return Figures("made up", 0, "rule", 2.0, costs, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(("cost", "expected"), [(4.0, 0.0), (1.0, 1.0), (2.5, 0.5), (7.0, -1.0)])
def test_the_rule_scores_0_and_the_oracle_1(cost: float, expected: float) -> None:
    runs = [figures(cost), figures(cost)]
    assert score(runs, FIRST) == score(runs, LATER) == pytest.approx(expected)
    assert interval(runs, LATER) == pytest.approx((expected, expected))


def test_where_there_is_nothing_to_save_there_is_no_score() -> None:
    costs = {LOOP: (0.0, 0.0), "rule": (0.0, 0.0), "oracle": (0.0, 0.0)}
    assert math.isnan(score([Figures("healthy", 0, "rule", 2.0, costs)], LATER))


def in_rushes(hits: list[int], of: int) -> Share:
    """So many hits in each of some rushes of one size."""
    return Share(sum(hits), of * len(hits), {str(place): (each, of) for place, each in enumerate(hits)})


@pytest.mark.parametrize(
    ("share", "independent"),
    [
        (Share(70, 100), 100),  # nothing known of what goes together
        (in_rushes([7] * 10, 10), 100),  # each rush is as all of them
        (in_rushes([10] * 7 + [0] * 3, 10), 9),  # a rush hits or misses as a whole: ten of them, less one for the mean
        (in_rushes([10] * 10, 10), 100),
        (Share(7, 10, {"0": (7, 10)}), 10),
    ],
)
def test_what_hits_and_misses_together_tells_as_much_as_one(share: Share, independent: float) -> None:
    assert share.independent == pytest.approx(independent)


def test_shares_of_one_rush_in_two_worlds_are_counted_in_it_together() -> None:
    first, second = Share(), Share()
    for share, hits in ((first, 3), (second, 1)):
        for place in range(4):
            share.count(place < hits, "noon")
    assert first + second == Share(4, 8, {"noon": (4, 8)})


@pytest.mark.parametrize(
    ("run", "named"),
    [
        (figures(2.0, unsafe=["3 acts on a healthy fleet"]), "made up"),
        (figures(5.0), "score from the second day on"),
        (figures(2.0, covered=Share(8, 10)), "intervals hold"),
        (figures(2.0, covered_near=Share(8, 10)), "90 min"),
        (figures(2.0, insights=Share(8, 10)), "insights"),
        (figures(2.0, harmful_ended=Share(7, 10)), "harmful acts"),
        (figures(2.0, harmless_undone=Share(1, 49)), "harmless acts"),
    ],
)
def test_a_row_that_is_broken_is_named(run: Figures, named: str) -> None:
    (broken,) = (rule for rule in safety({"made up": [run]}) if not rule.holds)
    assert named in broken.name


def test_nothing_is_broken_where_all_rows_hold() -> None:
    assert all(rule.holds for rule in safety({"made up": [figures(1.5, covered=Share(9, 10))]}))


@pytest.mark.parametrize(
    ("runs", "word"),
    [
        ([figures(2.0, unsafe=["a move against a breach"])], "BROKEN"),
        ([figures(2.0, covered=Share(8, 10))], "below"),
        ([figures(2.0, covered=Share(70, 100))], "BROKEN"),
        ([figures(2.0, covered=in_rushes([10] * 7 + [0] * 3, 10))], "below"),
        ([figures(2.0, harmless_undone=Share(1, 20))], "below"),
        ([figures(2.0, harmless_undone=Share(20, 200))], "BROKEN"),
        ([figures(5.0)], "below"),
        ([figures(5.0)] * 3, "BROKEN"),
    ],
)
def test_a_share_or_a_score_is_broken_only_beyond_chance(runs: list[Figures], word: str) -> None:
    (row,) = (rule for rule in safety({"made up": runs}) if not rule.holds)
    assert row.word == word


@pytest.mark.slow
def test_the_loop_is_held_against_what_its_acts_really_changed() -> None:
    found = run_world(FourActs, 0, 0.5)
    assert found.acts > 0
    assert found.best.of > 0
    assert found.covered.of > 0
    assert found.harmless_undone.of + found.harmful_ended.of <= found.acts
    assert set(found.costs) == {LOOP, "nothing", "threshold", "random", "success rate", "oracle"}


@pytest.mark.slow
def test_a_fault_like_none_before_is_ended_by_what_was_listed_for_it() -> None:
    found = run_world(Faults, seed=0, days=1.0)
    assert not found.unsafe
    assert sum(found.costs[LOOP]) < 0.25 * sum(found.costs["nothing"])
    assert found.covered.ratio >= 0.8
