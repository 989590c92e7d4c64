"""The deployments are described once for a process and once for a Docker work pool, and that is all they differ in."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import prefect
import pytest
import yaml

from api.processes.layout import OUR_PACKAGES
from api.processes.register import deployments, schedule_of
from settings import Settings
from tests import PROJECT

HERE, IN_DOCKER = PROJECT / "prefect.yaml", PROJECT / "prefect-docker.yaml"
DOCKERS = Path(prefect.__file__).parent / "server/api/collections_data/views/aggregate-worker-metadata.json"


def rows(file: Path) -> dict[str, dict[str, Any]]:
    return {row["name"]: row for row in yaml.safe_load(file.read_text())["deployments"]}


def docker_template() -> dict[str, Any]:
    """Return how a work pool of Docker's starts runs, unless people change it."""
    known = json.loads(DOCKERS.read_text())
    return dict(known["prefect-docker"]["docker"]["default_base_job_configuration"])


def without(row: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name not in names}


def test_on_a_docker_pool_they_are_the_same() -> None:
    here, there = rows(HERE), rows(IN_DOCKER)
    apart = ("work_pool", "description")
    assert [without(row, *apart) for row in here.values()] == [without(row, *apart) for row in there.values()]
    assert {row["work_pool"]["name"] for row in there.values()} == {"foreact-docker"}


def test_a_docker_worker_takes_what_it_is_told_of_the_container() -> None:
    known = docker_template()["variables"]
    for row in rows(IN_DOCKER).values():
        jsonschema.validate(row["work_pool"]["job_variables"], known | {"additionalProperties": False})


def test_what_our_packages_log_in_a_container_reaches_prefect_as_elsewhere() -> None:
    told = [row["work_pool"]["job_variables"]["env"] for row in rows(IN_DOCKER).values()]
    assert told == [{"PREFECT_LOGGING_EXTRA_LOGGERS": OUR_PACKAGES}] * 4


@pytest.mark.parametrize("minutes", [1, 60])
def test_every_schedule_has_a_slug_and_the_cycles_follows_the_setting(minutes: int) -> None:
    settings = Settings(agent={"analysis_interval_minutes": minutes})
    told = {row["name"]: [schedule_of(each) for each in row["schedules"]] for row in deployments(HERE, settings)}
    assert {name: [each.slug for each in all_of] for name, all_of in told.items()} == {
        name: [each["slug"] for each in row["schedules"]] for name, row in rows(HERE).items()
    }
    (schedule,) = told["cycle"]
    assert (schedule.slug, schedule.schedule.interval.total_seconds()) == ("interval", 60 * minutes)


@pytest.mark.parametrize("file", [HERE, IN_DOCKER])
@pytest.mark.parametrize("name", ["cycle", "tend", "backtest"])
def test_a_run_that_would_overlap_is_never_cancelled(name: str, file: Path) -> None:
    """A backtest waits for the one before; turns of the loop, which would pile up, are skipped."""
    assert rows(file)[name]["concurrency_limit"] == {"limit": 1, "collision_strategy": "ENQUEUE"}
