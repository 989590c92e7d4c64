"""How a stage becomes a Prefect task: retried with back-off where I/O may pass, timed, and on record."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

from prefect import Task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun
from prefect.context import TaskRunContext
from prefect.logging import get_run_logger
from prefect.tasks import exponential_backoff

from storage import TransientError
from tasks.context import Context
from tasks.stage_story import told

logger = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")

RETRIES = 3
FIRST_PAUSE_S = 2
STAGE_TIMEOUT_S = 300.0

Body = Callable[Concatenate[Context, P], T]


def stage(
    name: str, summarise: Callable[[Any], Mapping[str, Any]], *, timeout_s: float = STAGE_TIMEOUT_S
) -> Callable[[Body[P, T]], Task[Concatenate[Context, P], T]]:
    """Make a Prefect task of a stage's body: the only place that says how stages are run.

    Only `TransientError` is tried again; all else is a fault that another try would repeat. What `summarise` makes
    of the result is kept with the cycle. Results are not cached: the store is what makes a second run harmless.
    """

    def decorate(body: Body[P, T]) -> Task[Concatenate[Context, P], T]:
        @wraps(body)
        def timed(context: Context, *args: P.args, **kwargs: P.kwargs) -> T:
            started_s = time.perf_counter()
            result = body(context, *args, **kwargs)
            summary = summarise(result)
            context.report(name, time.perf_counter() - started_s, summary)
            say(told(name, summary))
            return result

        return Task(
            fn=timed,
            name=name,
            task_run_name=f"{name} {{context.cycle_id}}",
            retries=RETRIES,
            retry_delay_seconds=exponential_backoff(FIRST_PAUSE_S),
            retry_jitter_factor=0.5,
            retry_condition_fn=_may_pass,
            timeout_seconds=timeout_s,
            cache_policy=NO_CACHE,
            persist_result=False,
        )

    return decorate


def say(sentence: str) -> None:
    """Log what was done, if there is something to say: in the Prefect task run that did it, where there is one.

    Prefect keeps what is logged there, and of all other loggers warnings alone.
    """
    if sentence:
        (logger if TaskRunContext.get() is None else get_run_logger()).info("%s", sentence)


def explanation(what: str, find: Callable[[], T], without: T) -> T:
    """Return what explains a result, or `without` where finding that failed: what was decided counts more than why.

    A failure is logged with its traceback; `TransientError` passes, so that the stage is tried again.
    """
    try:
        return find()
    except TransientError:
        raise
    except Exception:
        logger.exception("%s: not told this time; the turn goes on", what)
        return without


def _may_pass(task: Task[Any, Any], task_run: TaskRun, state: State[Any]) -> bool:
    """Tell whether what went wrong may pass by itself."""
    return isinstance(state.data, TransientError)
