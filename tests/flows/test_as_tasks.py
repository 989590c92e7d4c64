"""As Prefect tasks inside an async flow, as the loop runs live, stages hand on results; a failure holds up no other."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from prefect import Task, flow
from prefect.cache_policies import NO_CACHE

from flows.cycle import LIGHT, AsTasks
from tests import forget_clients


@pytest.fixture(scope="module", autouse=True)
def prefect_server() -> Iterator[None]:
    from prefect.testing.utilities import prefect_test_harness

    with prefect_test_harness(server_startup_timeout=60):
        yield
    forget_clients()


def _double(number: int) -> int:
    if number < 0:
        raise ValueError("negative")
    return 2 * number


STAGE: Task[Any, Any] = Task(fn=_double, name="double", cache_policy=NO_CACHE, persist_result=False)


@flow(name="three stages", **LIGHT)
async def three_stages(numbers: list[int]) -> list[object]:
    run, seen = AsTasks(), list[object]()
    for number in numbers:
        try:
            seen.append(run(STAGE, number))
        except ValueError as trouble:
            seen.append(str(trouble))
    return seen


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
async def test_results_are_handed_on_and_what_failed_holds_up_nothing_after_it() -> None:
    assert await three_stages([1, 2, 3]) == [2, 4, 6]
    assert await three_stages([1, -1, 3, 4]) == [2, "negative", 6, 8]
