"""What reading commands ask where no stack runs, answered from the store alone.

The web framework, which takes longer to load than any answer takes, is left out; what is not here goes through it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from pydantic import BaseModel

from api import queries
from api.facade import Facade

Query = Callable[..., BaseModel]


def _goals(facade: Facade, state: queries.goals.GoalFilter = "open") -> BaseModel:
    return queries.goals.overview(facade, state)


def _action(facade: Facade, action_id: str) -> BaseModel:
    from api.commands import operator

    return queries.goals.action_detail(facade, operator.existing(facade, action_id), facade.clock())


def _estimand(facade: Facade, action_id: str) -> BaseModel:
    from api.commands import operator

    return queries.estimands.of_action(facade, operator.existing(facade, action_id))


def _objectives(facade: Facade) -> BaseModel:
    from api.commands import objectives

    return objectives.listed(facade)


QUERIES: dict[str, Query] = {
    r"/status": queries.agent.status,
    r"/predictions": queries.forecasts.predictions,
    r"/goals": _goals,
    r"/goals/([\w-]+)": queries.goals.detail,
    r"/actions": queries.goals.latest_actions,
    r"/actions/(?!drills$)([\w-]+)": _action,
    r"/actions/([\w-]+)/estimand": _estimand,
    r"/objectives": _objectives,
    r"/patterns": queries.agent.patterns,
    r"/executor/insights": queries.agent.insights_and_drills,
    r"/audit": queries.agent.audit,
}
"""By path below `/api/autonomous`; its parts and the parameters of the request are the arguments."""


def read(facade: Facade, path: str, **params: Any) -> Any:
    """Return what a path answers, as JSON has it; LookupError where this module does not know it."""
    for pattern, query in QUERIES.items():
        if (match := re.fullmatch(pattern, path)) is not None:
            return query(facade, *match.groups(), **params).model_dump(mode="json", by_alias=True)
    raise LookupError(path)
