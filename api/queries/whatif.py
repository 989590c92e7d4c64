"""What if: asked of the system's twin, which is the planner's own simulation of it; nothing is done or recorded."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from math import isfinite
from typing import TYPE_CHECKING, Any

from api.facade import Facade
from api.models.whatif import BreachShown, FanShown, GainShown, PastWhatIfs, WhatIfAnswer
from api.queries.asked import context_of
from handlers.contract.action import AMOUNT
from storage.errors import ForeactError
from storage.records import Candidate, metric_of
from tasks.text import number, percent, unit_of, value

if TYPE_CHECKING:
    from handlers import ActionHandler
    from tasks.forecast import Outlook
    from tasks.plan import PlanProblem
    from tasks.plan.what_if import Fan, WhatIf

EARLY_BY = timedelta(minutes=1)
"""A moment that was now when it was asked for is still now."""


def answer(
    facade: Facade,
    action: str,
    at: datetime | None = None,
    target: str = "",
    params: str | None = None,
    *,
    registered: Mapping[str, ActionHandler] | None = None,
) -> WhatIfAnswer:
    """Return what an action at a moment is believed to change; it is one of those found here, or `registered`.

    Raises `action_not_registered`, `whatif_params` where the parameters are no JSON object, `whatif_no_forecast` and
    `whatif_outside` where the moment is not among what is foretold.
    """
    # Loaded where it is needed: the facade hardly ever foretells anything itself.
    from tasks.forecast.task import foretold
    from tasks.measure import fan_widening
    from tasks.monitor.task import frames_now
    from tasks.plan import amount_now, next_amount, what_if
    from tasks.plan.task import problem

    context, given = context_of(facade, registered), _params(params)
    if action not in context.actions:
        remedy = "GET /api/autonomous/actions?available=true lists them."
        raise ForeactError("action_not_registered", f"There is no action {action[:100]!r} here.", remedy, status=422)
    outlook, _ = foretold(context, frames_now(context))
    moment = _within(outlook, context.tick, at)
    question = problem(context, tuple(facade.store.goals.open()), outlook)
    known = next_amount(
        question, context.actions[action].variants(Candidate(action=action, target=target, params=given))
    )
    start_s, wider = (moment - context.tick).total_seconds(), fan_widening(facade.store.outcomes.what_ifs())
    found = what_if(question, outlook.by_series(), known, start_s, widening=wider)
    return WhatIfAnswer(
        action=action,
        target=target,
        params=known.params,
        at=moment,
        sentence=_sentence(known, found, context.actions[action].sets, amount_now(question, action)),
        metrics=[_shown(each, context.tick) for each in found.fans],
        breaches=[BreachShown(**vars(each)) for each in found.breaches],
        gains=[GainShown(**vars(each)) for each in found.gains],
        notes=list(_silent(question, known)),
        past=past(facade),
    )


def past(facade: Facade) -> PastWhatIfs:
    """Return how often what came after acts lay in the band that was foretold with them."""
    told = facade.store.outcomes.what_ifs()
    held, seen = sum(each["held"] for each in told), sum(each["seen"] for each in told)
    return PastWhatIfs(observations=seen, coverage_90=held / seen if seen else None)


def _params(given: str | None) -> dict[str, Any]:
    try:
        params = json.loads(given or "{}")
    except ValueError:
        params = None
    if not isinstance(params, dict):
        raise ForeactError("whatif_params", f"{given!r:.100} is no JSON object.", 'Write it as in {"amount": 4}.')
    amount = params.get(AMOUNT, 0)
    if not isinstance(amount, int | float) or not isfinite(amount):
        raise ForeactError("whatif_params", f"{amount!r:.100} is no amount.", 'Give a number, as in {"amount": 4}.')
    return params


def _within(outlook: Outlook, tick: datetime, at: datetime | None) -> datetime:
    """Return the moment that is asked for, now where none is; raises where nothing is foretold of it."""
    ends = [each.at_step(len(each.point) - 1) for each in outlook.by_series().values()]
    if not ends:
        detail = "Nothing is forecast yet, so nothing can be said of an act."
        raise ForeactError(
            "whatif_no_forecast", detail, "Record metrics first: a forecast takes 30 samples.", status=409
        )
    moment = at or tick
    if not tick - EARLY_BY <= moment < max(ends):
        detail = f"{moment.isoformat()} is not among what is foretold, which is from now to {max(ends).isoformat()}."
        raise ForeactError("whatif_outside", detail, "Choose a moment in between.", status=422)
    return max(moment, tick)


def _sentence(known: Candidate, found: WhatIf, sets: str | None, now: float | None) -> str:
    said = [_moved(known, sets, now)] if sets is not None and AMOUNT in known.params else []
    if not found.fans:
        said.append(
            f"Nothing is believed of {known.action} here yet: no effect of it was measured, and none that it declares "
            f"is on a metric that is forecast. `expected_effect` under [actions.{known.action}] says what you expect."
        )
    said += [_said(each) for each in found.fans]
    said += [
        f"{each.objective} on {each.series} breaks in {percent(each.with_act)} of the futures, without it in "
        f"{percent(each.without)}."
        for each in found.breaches
    ]
    return " ".join(said)


def _moved(known: Candidate, sets: str, now: float | None) -> str:
    to = number(float(known.params[AMOUNT]), 3)
    if now is None:
        return f"{sets} would be {to}; what it is now is not recorded."
    return f"{sets} goes from {number(now, 3)} to {to}."


def _said(fan: Fan) -> str:
    unit = unit_of(fan.series)
    if fan.change is None:
        middle = len(fan.levels) // 2
        before, after = (value(float(each[-1, middle]), unit, digits=3) for each in (fan.without, fan.with_act))
        return f"{fan.series} is then {after} at the end of the horizon, without it {before}."
    mean, sd = (value(each, unit, digits=3) for each in fan.change)
    return f"{fan.series} is believed to change by {mean} (± {sd}) while it works."


def _shown(fan: Fan, tick: datetime) -> FanShown:
    return FanShown(
        series=fan.series,
        timestamps=[tick + timedelta(seconds=each) for each in fan.times_s.tolist()],
        levels=list(fan.levels),
        without=fan.without.tolist(),
        with_act=fan.with_act.tolist(),
        change=fan.change[0] if fan.change else None,
        doubt=fan.change[1] if fan.change else None,
    )


def _silent(question: PlanProblem, known: Candidate) -> Iterator[str]:
    """Yield a sentence for each metric that an action is known to change and that is not forecast now."""
    forecast = {name for series in question.paths for name in (series, metric_of(series))}
    declared = {*known.expected_effect, *known.expected_change}
    measured = {series for action, series in question.changes if action == known.action}
    for name in sorted(declared | measured):
        if name not in forecast and "*" not in name:
            why = "it has too few samples, or is silent"
            yield f"{name} is not forecast: {why}. What {known.action} does to it is left out."
