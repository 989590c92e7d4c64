"""A run of a deployment that will be late, or is: foreseen while it waits and while it runs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np

from storage.records import RUN_AGE, Goal, GoalType, Objective, series_key
from tasks.goals.evidence import Evidence, Proposal, Standing
from tasks.goals.standing import gone_standing, silence_of
from tasks.objectives.lateness import LateRun
from tasks.objectives.run_history import DeploymentRun
from tasks.text import between, chance, moment, span

GOAL_TYPE = GoalType("DEADLINE")


def propose(evidence: Evidence) -> Iterator[Proposal]:
    """Propose a goal per open run that is likelier to be late than is worth a warning, until its deadline has passed.

    The goal names the run: `because.inputs` holds its id, name, deployment, work pool and queue, for actions to go by.
    """
    for name, foretold in evidence.late_runs.items():
        objective = evidence.objective(name)
        for each in foretold if objective is not None else ():
            reading = evidence.latest(_age_of(each.run.deployment))
            is_heard = reading is not None and not reading.is_silent
            if is_heard and each.is_warned_of and evidence.tick.timestamp() < each.deadline_s:
                assert objective is not None
                yield _proposal(evidence, objective, each)


def standing(goal: Goal, evidence: Evidence) -> Standing:
    """Return how the goal stands: whether its run is done in time, and how likely it still is."""
    told = goal.because.get("inputs", {})
    deadline_s, name = goal.deadline.timestamp(), told.get("run")
    run = evidence.runs.run(told.get("flow_run_id"))
    if run is None or run.state == "cancelled":
        return gone_standing(f"the run {name} was cancelled or is no longer scheduled")
    if not run.is_open:
        return _ended(run, deadline_s)
    foretold = next(
        (each for each in evidence.late_runs.get(goal.objective or "", ()) if each.run.run_id == run.run_id), None
    )
    if evidence.tick.timestamp() >= deadline_s:
        return Standing(False, 1.0, 0.0, 0.0, f"{name} was not done by {moment(goal.deadline)}", is_over=True)
    if (silence := silence_of(goal, evidence)) is not None:
        return silence
    if foretold is None:
        return gone_standing(f"too little is known to foretell when {name} will be done")
    return Standing(
        is_met=not foretold.is_warned_of,
        probability=foretold.probability,
        approach=_approach(goal, foretold),
        held_s=0.0,
        statement=f"{name} {_state(foretold)}; it will be done by {_when(foretold.end_s)} or so and is "
        f"{chance(foretold.probability)} likely to miss {moment(goal.deadline)}",
    )


def _ended(run: DeploymentRun, deadline_s: float) -> Standing:
    end_s = float(run.end_s or 0.0)
    if run.state == "completed" and end_s <= deadline_s:
        # It is done: nothing can break that, and nothing needs to hold.
        return Standing(
            True, 0.0, 1.0, np.inf, f"{run.name} was done by {_when(end_s)}, {span(deadline_s - end_s)} early"
        )
    late = f", {span(end_s - deadline_s)} late" if end_s > deadline_s else ""
    return Standing(False, 1.0, 0.0, 0.0, f"{run.name} {run.state} at {_when(end_s)}{late}", is_over=True)


def _approach(goal: Goal, foretold: LateRun) -> float:
    """Return how much of the way from the probability at which the goal was set to none is done."""
    return float(np.clip(1 - foretold.probability / max(goal.probability, 1e-6), 0.0, 1.0))


def _proposal(evidence: Evidence, objective: Objective, each: LateRun) -> Proposal:
    run, deadline = each.run, datetime.fromtimestamp(each.deadline_s, UTC)
    earliest_to_latest = between(*(datetime.fromtimestamp(end_s, UTC) for end_s in (each.earliest_s, each.latest_s)))
    goal = f"{run.deployment} done by {moment(deadline)} (run {run.name})"
    sentence = (
        f"{run.name} of {run.deployment} is to be done by {moment(deadline)}. It {_state(each)}{_waits_for(each)}, and "
        f"by {each.n_past} past runs it will be done at {_when(each.end_s)}, {earliest_to_latest} in 8 of 10 cases: "
        f"it will be late with a probability of {chance(each.probability)}."
    )
    proposal = Proposal.on(
        objective,
        _age_of(run.deployment),
        method="run done by deadline",
        description=f"Get {goal}",
        sentence=sentence,
        probability=each.probability,
        deadline=deadline,
        inputs={
            "flow_run_id": run.run_id,
            "run": run.name,
            "deployment": run.deployment,
            "run_state": run.state,
            "work_pool": run.work_pool,
            "work_queue": run.work_queue,
            "due_at": _iso(run.due_s),
            "started_at": _iso(run.start_s),
            "ahead_in_queue": each.ahead_in_queue,
            "upstream": each.upstream,
            "warns_from": each.warns_from,
            "n_past_runs": each.n_past,
        },
        forecast={
            "probability": each.probability,
            "expected_end_at": _iso(each.end_s),
            "earliest_end_at": _iso(each.earliest_s),
            "latest_end_at": _iso(each.latest_s),
        },
        is_broken_now=False,
        baseline=max(0.0, evidence.tick.timestamp() - run.due_s),
    )
    # Without a bound the planner goes by the probability: no forecast of the metric knows of this run's deadline.
    return replace(proposal, cause=f"{objective.name}:{run.run_id}", bound=None)


def _age_of(deployment: str) -> str:
    return series_key(RUN_AGE, {"deployment": deployment})


def _state(each: LateRun) -> str:
    if each.run.start_s is not None:
        return f"has been running since {_when(each.run.start_s)}"
    if each.ahead_in_queue:
        return f"has not started and {each.ahead_in_queue} {'waits' if each.ahead_in_queue == 1 else 'wait'} before it"
    return f"is due at {_when(each.run.due_s)} and has not started"


def _waits_for(each: LateRun) -> str:
    return f" (it waits for {each.upstream})" if each.upstream else ""


def _when(at_s: float) -> str:
    return moment(datetime.fromtimestamp(at_s, UTC))


def _iso(at_s: float | None) -> str | None:
    return None if at_s is None else datetime.fromtimestamp(at_s, UTC).isoformat()
