"""The loop: eight stages in order.

    monitor → patterns → forecast → goals → plan → execute → measure → learn

`turn` is the whole loop. It measures what the last turns did, and learns from that, before it forecasts and plans: so
nothing is foretold from a history that still holds an act's effect, nothing is planned by a belief that was just proved
wrong, and an undo that is due is carried out at once. What several agents share is asked for before the plan is made.
It runs in three ways: as Prefect tasks in the flow `cycle`, and as plain functions in a notebook and in replay and
simulation. `second_half` measures, learns and executes; the flow `tend` runs it between cycles when something is due.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from prefect import Task, flow
from prefect.client.schemas.objects import State
from prefect.context import FlowRunContext
from prefect.states import Completed
from prefect.utilities.annotations import quote

from flows.run_record import announce, publish, story_of
from flows.sharding import through_runner
from flows.wiring import live_context, open_configured_store
from settings import browsable, settings_in_force, utc_now
from storage.private import mask_logs
from tasks.context import Context
from tasks.execute.task import act_task, execute
from tasks.forecast import earlier_residuals
from tasks.forecast.shards import RunShards, in_process
from tasks.forecast.task import forecast
from tasks.goals.task import goals
from tasks.learn.task import learn
from tasks.measure import fix_before_act
from tasks.measure.task import measure
from tasks.monitor.task import monitor
from tasks.patterns.task import patterns
from tasks.plan.task import plan
from tasks.sharing.task import share

Run = Callable[..., Any]

logger = logging.getLogger(__name__)

LIGHT: dict[str, Any] = {
    "validate_parameters": False,
    # Nothing is kept there. Where no place is named, each run asks the server for one, three times over.
    "persist_result": False,
    "result_storage": Path(tempfile.gettempdir()),
}
"""What spares a run questions that have one answer here."""


def turn(run: Run, context: Context) -> None:
    """Run one turn of the loop; `run(stage, context, …)` says how a stage is run."""
    frames = run(monitor, context)
    found_patterns = run(patterns, context, frames, earlier_residuals)
    run(measure, context)
    run(learn, context)
    outlook = run(forecast, context, frames, found_patterns, _shards_with(run, context))
    open_goals = run(goals, context, outlook, found_patterns)
    if context.settings.shared:
        run(share, context, open_goals, outlook)
    run(plan, context, open_goals, outlook)
    run(execute, context, acting(run))


def second_half(run: Run, context: Context) -> None:
    """Measure acts whose window is over, learn from the outcomes, execute due actions."""
    run(measure, context)
    run(learn, context)
    run(execute, context, acting(run))


def bare(stage: Task[..., Any], *args: Any) -> Any:
    """Run a stage as the plain function it is."""
    return stage.fn(*args)


def bare_turn(context: Context, body: Callable[[Run, Context], None] = turn) -> None:
    """Run one turn, or its second half, as plain functions in this process."""
    with context.reports_together() as together:
        body(bare, together)


class AsTasks:
    """Runs each stage as a Prefect task after the one before, so that the graph of a run shows the loop.

    Arguments are handed over unlooked-at.
    """

    def __init__(self) -> None:
        self._before: list[State[Any]] = []

    def __call__(self, stage: Task[..., Any], *args: Any) -> Any:
        """Run a stage and return its result; what it raised is raised here."""
        done = stage(*(quote(argument) for argument in args), wait_for=self._before, return_state=True)
        if done.is_completed():
            # After what failed nothing could wait: an act that went wrong must not hold up the others.
            self._before = [done]
        # In an async flow it would else be a coroutine.
        return done.result(_sync=True)


def acting(run: Run) -> Callable[..., Any]:
    """Return how one action is carried out: by `run`, once it is written down what it will be judged by."""

    def act(*args: Any) -> Any:
        return run(act_task, *args, fix_before_act)

    return act


def _shards_with(run: Run, context: Context) -> RunShards:
    """Shards of a large fleet go through the flow's task runner; a bare turn, also one inside a flow, has none."""
    return in_process if run is bare else through_runner(context.settings.forecasting.forecaster)


@flow(name="cycle", flow_run_name="cycle {reason}", description=__doc__, **LIGHT)
async def cycle(reason: str = "schedule") -> State[Any]:
    """Run one turn of the loop for the scheduled moment; the same moment twice changes nothing twice."""
    return await _run("cycle", turn, reason)


@flow(name="tend", flow_run_name="tend {reason}", **LIGHT)
async def tend(reason: str = "due") -> State[Any]:
    """Measure, learn, and carry out what is due, without a new forecast."""
    return await _run("tend", second_half, reason)


async def _run(kind: str, body: Callable[[Run, Context], None], reason: str) -> State[Any]:
    settings = settings_in_force()
    mask_logs(settings.secrets())
    if settings.trouble:
        logger.warning("this cycle uses the last usable configuration: %s", settings.trouble)
    tick, flow_run_id = _scheduled_start()
    with open_configured_store(settings) as store:
        context = live_context(settings, store, tick, kind, flow_run_id)
        is_new = store.cycles.begin(context.cycle)
        if not is_new and _is_finished(context):
            return Completed(message=f"{context.cycle_id} already ran; nothing was repeated.")
        body(AsTasks(), context)
        story = story_of(context, f"http://{browsable(settings.server.host)}:{settings.server.port}/")
        announce(context, story, reason)
    await publish(story, flow_run_id)
    return Completed(message=story.sentence)


def _is_finished(context: Context) -> bool:
    return any(stage["stage"] == "execute" for stage in context.store.cycles.stages(context.cycle_id))


def _scheduled_start() -> tuple[datetime, str]:
    """Return the moment this flow run was scheduled for, read once, and its id."""
    run_context = FlowRunContext.get()
    if run_context is None or run_context.flow_run is None:
        return utc_now(), ""
    scheduled = run_context.flow_run.expected_start_time
    # Prefect hands out pendulum datetimes, whose arithmetic pydantic does not take for aware.
    tick = datetime.fromtimestamp(scheduled.timestamp(), UTC) if scheduled else utc_now()
    return tick, str(run_context.flow_run.id)
