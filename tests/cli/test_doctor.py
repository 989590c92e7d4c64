"""`foreact doctor` walks from samples to what was learned, and names the first link that fails, and its remedy."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from api.processes.layout import new_layout
from cli import diagnosis
from cli.app import app
from cli.checks import examine, loop_state
from cli.diagnosis import Diagnosis, LoopState, remedy_of_wait, why_no_goals, why_not_acted, why_nothing_learned
from settings import Settings, load_settings, utc_now
from storage import Store, open_store
from storage.facts import WAITS, Wait, WaitCode
from storage.records import NOTHING, Autonomy, Breach, GoalState, Objective, ReceiptStatus, Verdict
from tasks.text import moment
from tests import PROJECT
from tests.api import worlds

NOW = utc_now().replace(microsecond=0)
OBJECTIVE = '[[objectives]]\nname = "cpu"\nmetric = "cpu_used_ratio"\nbound = 0.9\n'
USED_UP = Wait("The limit of 30/hour for all actions is used up.", WaitCode.LIMIT_OF_ALL)
READY = '[actions.renice_process]\nallow_names = ["burner"]\n'
Fill = Callable[[Store], None]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "foreact.toml").write_text("[server]\nport = 1\n")
    return tmp_path


def state_of(folder: Path, *fills: Fill, toml: str = OBJECTIVE, **changes: Any) -> LoopState:
    (folder / "foreact.toml").write_text(f"use_default_objectives = false\n{toml}\n[server]\nport = 1\n")
    settings = load_settings(folder)
    with open_store() as store:
        for fill in fills:
            fill(store)
        return replace(loop_state(settings, store, NOW, is_running=False), **changes)


def plenty(store: Store) -> None:
    worlds.samples(store, NOW)


def a_cycle(store: Store) -> None:
    plenty(store)
    worlds.a_turn(store, NOW)


def a_goal(store: Store) -> None:
    a_cycle(store)
    store.goals.append([worlds.a_goal("goal-1", NOW)], [worlds.a_move("goal-1", GoalState.ACTIVE, NOW)], "cycle-1")


def waiting(level: Autonomy, **changes: Any) -> Fill:
    def fill(store: Store) -> None:
        a_goal(store)
        store.actions.append([worlds.an_action("action-1", NOW, level=level, **changes)], "cycle-1")

    return fill


def done(status: ReceiptStatus = ReceiptStatus.SUCCEEDED, ago: timedelta = worlds.MINUTE) -> Fill:
    def fill(store: Store) -> None:
        a_goal(store)
        action = worlds.an_action("action-2", NOW - ago, level=Autonomy.AUTO)
        store.actions.append([action], "cycle-1")
        store.actions.claim(worlds.Intent(action_id=action.action_id, at=NOW - ago, before={}))
        store.actions.finish(worlds.a_receipt(action.action_id, NOW - ago, status))

    return fill


def measured(verdict: Verdict, reason: str = "") -> Fill:
    def fill(store: Store) -> None:
        done()(store)
        view = store.actions.get("action-2")
        assert view is not None
        outcome = worlds.an_outcome(view.action, NOW, verdict).model_copy(update={"reason": reason})
        store.outcomes.append([outcome], "cycle-1")

    return fill


NO_GOALS: tuple[tuple[str, tuple[Fill, ...], str, str, str], ...] = (
    ("nothing is recorded", (), OBJECTIVE, "nothing is recorded", "foreact up"),
    (
        "all is older than a day",
        (lambda store: worlds.samples(store, NOW - timedelta(days=3)),),
        OBJECTIVE,
        "nothing was recorded in the last day",
        "foreact up",
    ),
    (
        "too few samples",
        (lambda store: worlds.samples(store, NOW, count=10),),
        OBJECTIVE,
        "cpu_used_ratio has 10",
        "about 20 minutes to wait",
    ),
    ("no objectives", (plenty,), "", "no objectives", "use_default_objectives = true"),
    (
        "objectives of other metrics",
        (plenty,),
        OBJECTIVE.replace("cpu_used", "memory_used"),
        "objectives name memory_used_ratio; recorded is cpu_used_ratio",
        'metric = "cpu_used_ratio"',
    ),
    ("no cycle", (plenty,), OBJECTIVE, "no cycle has run yet", "foreact up"),
    (
        "goals are switched off",
        (a_cycle,),
        f"{OBJECTIVE}[forecasting.goal_setter]\nauto_goal_setting = false\n",
        "switched off",
        "auto_goal_setting = true in [forecasting.goal_setter]",
    ),
    (
        "its series was not forecast yet",
        (a_cycle, lambda store: worlds.samples(store, NOW, series="queue_length")),
        OBJECTIVE.replace("cpu_used_ratio", "queue_length"),
        "did not forecast queue_length yet",
        "foreact up",
    ),
    (
        "its forecast is refused",
        (a_cycle, lambda store: worlds.samples(store, NOW, series="short_series")),
        OBJECTIVE.replace("cpu_used_ratio", "short_series"),
        "short_series: 12 samples, 30 are needed",
        "foreact forecast",
    ),
    ("nothing is foretold to break", (a_cycle,), OBJECTIVE, "no objective is foretold to break", "foreact forecast"),
)


@pytest.mark.parametrize(
    ("fills", "toml", "says", "mends"), [row[1:] for row in NO_GOALS], ids=[r[0] for r in NO_GOALS]
)
def test_without_goals_the_first_link_that_does_not_hold_is_named(
    folder: Path, fills: tuple[Fill, ...], toml: str, says: str, mends: str
) -> None:
    cause = why_no_goals(state_of(folder, *fills, toml=toml))
    assert says in cause.text
    assert mends in cause.remedy


OF_MINE: tuple[tuple[str, str, Fill, str, str], ...] = (
    ("it is not recorded", "cpu_used", plenty, "mine: nothing of cpu_used was recorded", 'metric = "cpu_used_ratio"'),
    ("it has no forecast", "short_series", lambda store: worlds.samples(store, NOW, series="short_series"),
     "mine: no forecast of short_series: 12 samples, 30 are needed", "foreact forecast"),
    ("it came after the cycle", "queue", lambda store: worlds.samples(store, NOW, series="queue"),
     "mine: the newest cycle did not forecast queue yet", "foreact up"),
    ("it is far from its bound", "cpu_used_ratio", plenty, "foreact goals; beside them none is", "foreact forecast"),
)  # fmt: skip


@pytest.mark.parametrize(("metric", "fill", "says", "mends"), [row[1:] for row in OF_MINE], ids=[r[0] for r in OF_MINE])
def test_beside_a_busy_host_each_objective_of_a_person_is_judged(
    folder: Path, metric: str, fill: Fill, says: str, mends: str
) -> None:
    mine = OBJECTIVE.replace('"cpu"', '"mine"').replace("cpu_used_ratio", metric)
    cause = why_no_goals(state_of(folder, done(), fill, toml=OBJECTIVE + mine))
    assert cause.text.startswith("1 open")
    assert says in cause.text
    assert mends in cause.remedy


def test_a_deadline_that_hears_of_no_run_names_the_source(folder: Path) -> None:
    deadline = '[[objectives]]\nname = "nightly"\nkind = "deadline"\ndeployment = "load/nightly"\nbound = 60\n'
    cause = why_no_goals(state_of(folder, a_cycle, toml=OBJECTIVE + deadline))
    assert cause.text.startswith("nightly: nothing of prefect_run_age_seconds")
    assert cause.remedy.startswith("[sources.prefect_runs]")


def test_cycles_that_begin_and_do_not_end_are_named_with_the_stage_after_which_they_stop(folder: Path) -> None:
    def broken_off(store: Store) -> None:
        plenty(store)
        worlds.a_turn(store, NOW - timedelta(hours=6))
        store.cycles.stages_done("cycle-1", [("execute", NOW - timedelta(hours=6), 0.1, {})])
        cycle = store.cycles.latest()[0]
        store.cycles.begin(cycle.model_copy(update={"cycle_id": "cycle-2", "tick": NOW}))
        store.cycles.stages_done("cycle-2", [("monitor", NOW, 0.1, {}), ("forecast", NOW, 0.1, {})])

    cause = why_no_goals(state_of(folder, broken_off, is_running=True))
    assert cause.finding == "wrong"
    since = moment(NOW - timedelta(hours=6))
    assert f"no cycle has ended since {since}; the newest one stopped after forecast" in cause.text
    assert "no cycle has ended" not in why_no_goals(state_of(folder, broken_off)).text, "what is stopped ends nothing"
    recent = replace(state_of(folder, broken_off, is_running=True), now=NOW - timedelta(hours=6))
    assert "no cycle has ended" not in why_no_goals(recent).text


@pytest.mark.parametrize(
    ("probability", "finding", "says"),
    [(0.12, "ok", "at 12 %; a goal is set from 50 %"), (0.8, "note", "the next cycle sets a goal")],
)
def test_a_breach_under_its_threshold_is_no_trouble_and_one_over_it_awaits_the_next_cycle(
    folder: Path, probability: float, finding: str, says: str
) -> None:
    breach = Breach(objective="cpu", series=worlds.SERIES, probability=probability)
    cause = why_no_goals(state_of(folder, a_cycle, breaches=(breach,)))
    assert (cause.finding, says in cause.text) == (finding, True)


def test_a_running_stack_that_hears_nothing_any_more_is_wrong(folder: Path) -> None:
    old: Fill = lambda store: worlds.samples(store, NOW - timedelta(days=3))  # noqa: E731
    assert why_no_goals(state_of(folder, old)).finding == "note"
    assert why_no_goals(state_of(folder, old, is_running=True)).finding == "wrong"


NOT_ACTED: tuple[tuple[str, tuple[Fill, ...], str, dict[str, Any], str, str], ...] = (
    ("no goal", (a_cycle,), READY, {}, "no open goal", ""),
    (
        "it waits for approval",
        (waiting(Autonomy.APPROVE),),
        READY,
        {},
        "waits for approval",
        "foreact approve action-1",
    ),
    (
        "the mode is off",
        (waiting(Autonomy.AUTO),),
        f"{READY}level = 'auto'\n[agent]\nautonomous_mode = false\n",
        {},
        "Autonomous mode is off",
        "foreact mode on",
    ),
    (
        "its level only recommends",
        (waiting(Autonomy.RECOMMEND),),
        f"{READY}level = 'recommend'\n",
        {},
        "only a recommendation",
        'level = "approve" in [actions.renice_process]',
    ),
    (
        "a guard holds it",
        (
            waiting(Autonomy.AUTO),
            lambda store: store.facts.set(WAITS, {"action-1": USED_UP}),
        ),
        f"{READY}level = 'auto'\n",
        {},
        "30/hour for all actions",
        "rate_limits of [executor]",
    ),
    (
        "it is due and nobody runs",
        (waiting(Autonomy.AUTO),),
        f"{READY}level = 'auto'\n",
        {},
        "due and nobody carries it out",
        "foreact up",
    ),
    (
        "its hour has not come",
        (waiting(Autonomy.AUTO, due_at=NOW + worlds.MINUTE),),
        f"{READY}level = 'auto'\n",
        {},
        "is due at",
        "wait",
    ),
    ("no action is ready", (a_goal,), "", {}, "no action is ready", "in [actions."),
    (
        "dry runs",
        (done(ReceiptStatus.DRY_RUN),),
        f"{READY}[executor]\ndry_run = true\n",
        {},
        "dry runs",
        "dry_run = false in [executor]",
    ),
    ("a guard dropped it", (done(ReceiptStatus.SKIPPED),), READY, {}, "was skipped", "foreact actions action-2"),
    ("nothing was decided", (a_goal,), READY, {}, "nothing was decided", "foreact up"),
    (
        "doing nothing was worth most",
        (a_goal,),
        READY,
        {
            "decisions": [
                worlds.a_decision(NOW).model_copy(
                    update={
                        "chosen": worlds.Alternative(action=NOTHING, value=1, propensity=1),
                        "explanation": "No action helps.",
                        "blocked_by": ("cooldown",),
                    }
                )
            ]
        },
        "No action helps. Ruled out: cooldown.",
        "foreact goal goal-1",
    ),
)


@pytest.mark.parametrize(
    ("fills", "toml", "changes", "says", "mends"), [row[1:] for row in NOT_ACTED], ids=[row[0] for row in NOT_ACTED]
)
def test_without_acts_the_first_thing_that_holds_them_up_is_named(
    folder: Path, fills: tuple[Fill, ...], toml: str, changes: dict[str, Any], says: str, mends: str
) -> None:
    cause = why_not_acted(state_of(folder, *fills, toml=OBJECTIVE + toml, **changes))
    assert says in cause.text
    assert mends in cause.remedy


def test_what_one_goal_waits_for_is_told_though_others_were_acted_for(folder: Path) -> None:
    def a_second_goal(store: Store) -> None:
        done()(store)
        moved = [worlds.a_move("goal-2", GoalState.ACTIVE, NOW)]
        store.goals.append([worlds.a_goal("goal-2", NOW)], moved, "cycle-1")

    def its_action(store: Store) -> None:
        action = worlds.an_action("action-3", NOW, goal_id="goal-2", level=Autonomy.APPROVE)
        store.actions.append([action], "cycle-1")

    undecided = why_not_acted(state_of(folder, a_second_goal, toml=OBJECTIVE + READY))
    assert undecided.text == "1 carried out in the last day; nothing was decided for the open goals yet"
    waits = why_not_acted(state_of(folder, a_second_goal, its_action, toml=OBJECTIVE + READY))
    assert waits.text.startswith("1 carried out in the last day; renice_process (action-3): It waits for approval")
    assert "foreact approve action-3" in waits.remedy


def test_the_kill_switch_goes_before_all_else_and_is_removed_by_a_command(folder: Path) -> None:
    stop = load_settings(folder).kill_switch_path
    stop.parent.mkdir()
    stop.touch()
    assert why_not_acted(state_of(folder, waiting(Autonomy.APPROVE))) == Diagnosis(
        "note", "the kill switch is on", "foreact mode release --note REASON"
    )


def an_amount(store: Store) -> None:
    store.actions.append([worlds.an_action("amount", NOW, series=None, params={"amount": 4.0})], "cycle-1")
    store.actions.finish(worlds.a_receipt("amount", NOW))


NOTHING_LEARNED: tuple[tuple[str, tuple[Fill, ...], str, str, str], ...] = (
    ("learning is off", (), "[executor]\nenable_learning = false\n", "switched off", "enable_learning = true"),
    ("nothing was done", (a_goal,), "", "nothing was done", "`acts`"),
    ("a window is not over", (done(),), "", "the first window is over at", "wait "),
    ("nobody measured", (done(ago=3 * worlds.HOUR),), "", "nobody measured", "foreact up"),
    (
        "all are inconclusive",
        (measured(Verdict.INCONCLUSIVE, "too noisy"),),
        "",
        "1 of 1 outcomes are inconclusive: too noisy",
        "foreact evaluate --placebo",
    ),
    ("only amounts were set", (an_amount,), "", "amounts were set", "`driver` and `capacity`"),
    ("acts overlap", (measured(Verdict.CONFOUNDED),), "", "confounded", "max_concurrent_goals = 1"),
)


@pytest.mark.parametrize(
    ("fills", "toml", "says", "mends"), [row[1:] for row in NOTHING_LEARNED], ids=[row[0] for row in NOTHING_LEARNED]
)
def test_where_nothing_was_learned_it_is_told_what_is_missing(
    folder: Path, fills: tuple[Fill, ...], toml: str, says: str, mends: str
) -> None:
    cause = why_nothing_learned(state_of(folder, *fills, toml=OBJECTIVE + toml))
    assert says in cause.text
    assert mends in cause.remedy


def test_a_loop_that_works_is_told_so(folder: Path) -> None:
    state = state_of(folder, measured(Verdict.IMPROVED))
    walks = (why_no_goals, why_not_acted, why_nothing_learned)
    assert [walk(state).finding for walk in walks] == ["ok", "ok", "ok"]


@pytest.mark.parametrize("code", WaitCode)
def test_whatever_an_action_waits_for_has_a_remedy(folder: Path, code: WaitCode) -> None:
    view = state_of(folder, waiting(Autonomy.AUTO)).pending[0]
    assert not remedy_of_wait(Wait("It waits.", code), view).startswith("foreact actions action-")


def test_every_line_of_foreact_toml_that_is_recommended_names_a_key_that_there_is() -> None:
    text = (PROJECT / "cli" / "diagnosis.py").read_text()
    documented = "".join((PROJECT / "docs" / name).read_text() for name in ("configuration.md", "goals.md"))
    set_to, more = r"(\w+) = \S+ in \[", r"(?:a higher|a lower|more in|or change) (\w+)"
    keys = {*re.findall(set_to, text), *re.findall(more, text)}
    assert {"auto_goal_setting", "rate_limits", "blast_radius", "cooldown_seconds"} <= keys
    assert [key for key in keys if not re.search(rf"`(\w+\.)*{key}`|^{key} = ", documented, re.MULTILINE)] == []


def test_the_doctor_writes_nothing_where_nothing_was_recorded(tmp_path: Path) -> None:
    said = [check.what for check in examine(new_layout(load_settings(tmp_path), tmp_path))]
    assert said[-3:] == ["goals", "acts", "learning"]
    assert list(tmp_path.iterdir()) == []


def test_the_doctor_and_the_check_say_what_contradicts_itself_among_parents_and_budgets(tmp_path: Path) -> None:
    shop = '[[objectives]]\nname = "shop"\nmetric = "orders"\nbound = 1\nparent = "checkout"\n'
    part = '[[objectives]]\nname = "checkout"\nmetric = "latency"\nbound = 1\nparent = "shop"\n'
    (tmp_path / "foreact.toml").write_text(f"{shop}budget = {{ minutes = 43.2, days = 30 }}\n{part}")
    (found,) = (each for each in examine(new_layout(load_settings(tmp_path), tmp_path)) if each.what == "objectives")
    assert found.finding == "wrong"
    assert "each other's parents: shop → checkout → shop" in found.text
    checked = CliRunner().invoke(app, ["config", "check", "--json", "-C", str(tmp_path)])
    (trouble,) = json.loads(checked.stdout)["trouble"]
    assert (checked.exit_code, trouble) == (1, found.text)


def test_the_doctor_tells_programs_the_same(folder: Path, settings: Settings) -> None:
    with open_store(settings.database_path) as store:
        a_goal(store)
    answer = CliRunner().invoke(app, ["doctor", "--json", "-C", str(folder)])
    told = json.loads(answer.stdout)
    assert set(told) == {"is_well", "checks"}
    assert all(set(check) == {"what", "finding", "text", "remedy"} for check in told["checks"])
    assert answer.exit_code == (0 if told["is_well"] else 1)


@pytest.fixture
def settings(folder: Path) -> Settings:
    return load_settings(folder)


def test_an_objective_that_anything_means_is_heard(folder: Path) -> None:
    state = state_of(folder, plenty)
    assert set(diagnosis._heard(state)) == {worlds.SERIES}
    ratio = Objective(name="errors", metric="cpu_used_ratio", denominator="requests", bound=0.1)
    assert set(diagnosis._heard(replace(state, objectives=(ratio,)))) == {worlds.SERIES}


def test_the_login_of_a_prefect_server_that_does_not_answer_is_not_told(folder: Path) -> None:
    settings = load_settings(folder, prefect_api_url="http://ann:hunter2@127.0.0.1:9/api")
    (prefect,) = [each for each in examine(new_layout(settings, folder)) if each.what == "prefect"]
    assert "127.0.0.1:9/api does not answer" in prefect.text
    assert "hunter2" not in prefect.text
