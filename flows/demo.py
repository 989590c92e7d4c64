"""The loop on a simulated web shop, for a newcomer to look at: two weeks in a minute, and nothing real is touched."""

from __future__ import annotations

import shutil
from datetime import datetime, timedelta
from pathlib import Path

from flows.reports.results import SimulationReport
from flows.simulate import Progress, simulate
from handlers.worlds.shop import CONFIGURATION, Shop
from settings import CONFIG_NAME, Settings, load_settings


def lay_out(folder: Path) -> Settings:
    """Prepare a folder for a fresh demo and return its settings; a configuration changed by hand is kept."""
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / CONFIG_NAME).exists():
        shutil.copyfile(CONFIGURATION, folder / CONFIG_NAME)
    settings = load_settings(folder)
    shutil.rmtree(settings.home, ignore_errors=True)
    settings.home.mkdir(parents=True)
    return settings


def play(
    settings: Settings, end: datetime, days: float, seed: int = 0, progress: Progress | None = None
) -> SimulationReport:
    """Run the loop over the last `days` of the shop, up to `end`, and keep all of it in the settings' database."""
    every = timedelta(seconds=settings.analysis_interval_s)
    count = max(1, int(timedelta(days=days) / every))
    ticks = [end - every * back for back in range(count - 1, -1, -1)]
    return simulate(Shop(ticks[0] - every, seed=seed), settings, ticks, settings.database_path, progress=progress)
