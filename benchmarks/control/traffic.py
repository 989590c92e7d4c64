"""The days of the closed-loop benchmark: World Cup 98 traffic where it is present, made-up days where it is not.

A recorded day (its clock an hour ahead of the recording) is compressed from 24 h to 6300 s; every policy gets the
four days before it, at the same scale, as its history.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.cluster.demand import Demand, poisson_arrivals, synthetic_days
from benchmarks.cluster.simulator import Requests
from storage.records import FloatArray

DAY_S = 6300.0
PERIOD_S = 60.0
PERIODS_PER_DAY = 105
HISTORY_DAYS = 4
MINUTES = 1440
RECORDING = Path("traffic") / "wc98_minute_to_0614.csv.gz"
MATCH_DAYS = ("1998-06-11", "1998-06-13", "1998-06-14")
OTHER_DAYS = (
    "1998-05-20",
    "1998-05-23",
    "1998-05-26",
    "1998-05-29",
    "1998-06-01",
    "1998-06-04",
    "1998-06-07",
    "1998-06-10",
)
"""Every third day before the match days: chosen by the calendar, not by the outcome."""


@dataclass(frozen=True)
class TrafficDay:
    """One day to be run: its demand, its arrivals under a seed, and what a policy may know of the days before.

    `history` is (420,): the mean request rate of each 60 s period of the four days before, oldest first.
    """

    day: str
    seed: int
    demand: Demand
    history: FloatArray

    @cached_property
    def requests(self) -> Requests:
        """Return the requests of the day, drawn from its demand."""
        return Requests.draw(poisson_arrivals(self.demand, self.seed), self.seed)

    @property
    def rates(self) -> FloatArray:
        """Return the true mean rate of each period: what perfect foresight sees."""
        return self.demand.mean_rates(PERIOD_S)

    @property
    def fingerprint(self) -> str:
        """Return a hash of everything that decides the run's input."""
        digest = hashlib.sha256(self.demand.rates.tobytes() + self.history.tobytes())
        return f"{self.day}-{self.seed}-{digest.hexdigest()[:12]}"


class Calendar:
    """Whole days of request counts a minute, each as a demand of 6300 s at its own scale."""

    def __init__(self, days: dict[str, Demand]) -> None:
        self._days = days

    @classmethod
    def load(cls, data: Path, seed: int = 0) -> Calendar:
        """Read the recording under `data`, or make up thirty days where it is absent."""
        path = data / RECORDING
        return cls.from_recording(path) if path.exists() else cls.synthetic(seed)

    @classmethod
    def from_recording(cls, path: Path) -> Calendar:
        """Read minute counts; a day of which more than an hour is missing is left out."""
        counts = pd.read_csv(path, parse_dates=["minute"])
        local = counts["minute"] + pd.Timedelta(hours=1)
        minute_of_day = (local.dt.hour * 60 + local.dt.minute).to_numpy()
        days = {}
        for date, rows in counts.groupby(local.dt.strftime("%Y-%m-%d").to_numpy()):
            if len(rows) < MINUTES - 60:
                continue
            requests = np.zeros(MINUTES)
            requests[minute_of_day[rows.index]] = rows["count"].to_numpy()
            step_s = DAY_S / MINUTES
            days[str(date)] = Demand(requests / step_s, step_s)
        return cls(days)

    @classmethod
    def synthetic(cls, seed: int = 0, day_count: int = 30) -> Calendar:
        """Make up days, named by number."""
        made = synthetic_days(day_count, steps=MINUTES, day_s=DAY_S, seed=seed)
        return cls({f"synthetic-{number:02d}": day for number, day in enumerate(made)})

    @property
    def names(self) -> list[str]:
        """Return the days that have four days before them, in order."""
        return list(self._days)[HISTORY_DAYS:]

    def episode(self, day: str, seed: int, *, peak: float = 240.0, scale_from: str = "day") -> TrafficDay:
        """Prepare a day, scaled so that its busiest period (or its past's: `scale_from="past"`) has `peak`/s."""
        names = list(self._days)
        position = names.index(day)
        if position < HISTORY_DAYS:
            raise ValueError(f"{day} has fewer than {HISTORY_DAYS} days before it")
        past = [self._days[name] for name in names[position - HISTORY_DAYS : position]]
        history = np.concatenate([one.mean_rates(PERIOD_S) for one in past])
        today = self._days[day]
        busiest = float((today.mean_rates(PERIOD_S) if scale_from == "day" else history).max())
        return TrafficDay(day, seed, today.scaled(peak / busiest), history * (peak / busiest))
