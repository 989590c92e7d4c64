"""What the file says of the schedule is in force from the next cycle on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import pytest

from api.background.schedule_keeper import ScheduleKeeper
from api.facade import Facade
from api.prefect_client import PrefectTrigger
from settings import load_settings
from storage import Store
from storage.errors import ForeactError
from tests.tasks.forecast.loop import START


class Scheduler:
    """Holds the schedules of one deployment, as the Prefect server does."""

    def __init__(self) -> None:
        self.schedules: list[Mapping[str, Any]] = []
        self.is_registered = self.is_there = True
        self.looks_for_waiting = 0

    def keep_schedules(self, deployment: str, schedules: Sequence[Mapping[str, Any]]) -> bool:
        if not self.is_there:
            raise ForeactError("prefect_unreachable", "It does not answer.", "Start it.", status=503)
        if not self.is_registered:
            raise ForeactError("deployment_unknown", "There is none.", "Wait.", status=503)
        is_news, self.schedules = list(schedules) != self.schedules, list(schedules)
        return is_news

    def skip_waiting(self) -> None:
        self.looks_for_waiting += 1

    @property
    def intervals_s(self) -> list[float]:
        return [each["interval"] for each in self.schedules]


def keeper_in(folder: Path, store: Store) -> tuple[ScheduleKeeper, Scheduler]:
    settings, scheduler = load_settings(folder, home=folder), Scheduler()
    facade = Facade(settings, store, cast(Any, None), lambda: START, START, follows_file=True)
    return ScheduleKeeper(facade, cast(PrefectTrigger, scheduler)), scheduler


@pytest.mark.parametrize(
    ("text", "intervals_s"),
    [
        ("[agent]\nanalysis_interval_minutes = 1\n", [60.0]),
        ("[forecasting]\nanalysis_interval_minutes = 2\n", [120.0]),
        ("[forecasting]\nauto_analysis_enabled = false\n", []),
        ("", [3_600.0]),
    ],
)
def test_a_change_of_the_file_reaches_the_schedule(
    tmp_path: Path, store: Store, text: str, intervals_s: list[float]
) -> None:
    home = f'home = "{tmp_path}"\n'
    (tmp_path / "foreact.toml").write_text(home + "[agent]\nanalysis_interval_minutes = 5\n")
    keeper, scheduler = keeper_in(tmp_path, store)
    keeper.step()
    assert scheduler.intervals_s == [300.0]
    (tmp_path / "foreact.toml").write_text(home + text)
    keeper.step()
    assert scheduler.intervals_s == intervals_s
    keeper.step()
    told = [line.detail for line in store.audit.latest(10) if line.verb == "schedule set"]
    assert [each["interval_s"] for each in reversed(told)] == [300.0, *(intervals_s or [None])]


def test_before_the_deployments_are_registered_it_waits(tmp_path: Path, store: Store) -> None:
    keeper, scheduler = keeper_in(tmp_path, store)
    scheduler.is_registered = False
    keeper.step()
    scheduler.is_registered = True
    keeper.step()
    assert scheduler.intervals_s == [3_600.0]


def test_it_waits_quietly_for_the_first_answer_of_prefect_and_tells_when_there_is_none_any_more(
    tmp_path: Path, store: Store
) -> None:
    keeper, scheduler = keeper_in(tmp_path, store)
    scheduler.is_there = False
    keeper.step()
    scheduler.is_there = True
    keeper.step()
    assert scheduler.intervals_s == [3_600.0]
    scheduler.is_there = False
    with pytest.raises(ForeactError, match="does not answer"):
        keeper.step()


@pytest.mark.parametrize(("toml", "looks"), [("", 0), ('prefect_api_url = "http://prefect.example:4200/api"\n', 1)])
def test_turns_that_wait_are_looked_for_where_the_server_is_not_ours(
    tmp_path: Path, store: Store, toml: str, looks: int
) -> None:
    (tmp_path / "foreact.toml").write_text(toml)
    keeper, scheduler = keeper_in(tmp_path, store)
    keeper.step()
    assert scheduler.looks_for_waiting == looks
