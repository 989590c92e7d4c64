"""Review a change of the configuration: `python examples/change_review.py` prints what a pull request would show.

It runs by itself in less than a minute, in a folder of its own. Of a Prometheus of yours,
`foreact backtest --prometheus URL --against main.toml --markdown review.md` writes the same.
"""

from __future__ import annotations

import math
import tempfile
from datetime import UTC, datetime, timedelta
from typing import Any

from flows.change_review import review_of
from flows.side_by_side import Replayed, side_by_side
from settings import Settings, load_settings
from storage.records import Sample
from storage.samples import SampleColumns

END = datetime(2026, 3, 4, tzinfo=UTC)


def configured(folder: str, bound: float) -> Settings:
    """Return settings with one objective, and an action that would serve it."""
    objective: dict[str, Any] = {"name": "load", "metric": "load", "bound": bound, "horizon_s": 7_200}
    action = {"goal_types": ["BOTTLENECK_PREVENTION"], "metrics": ["load"], "candidates": [{}]}
    return load_settings(home=folder, use_default_objectives=False, objectives=[objective], actions={"shed": action})


def main() -> None:
    """Take two days of a load that swings by the day through two bounds."""
    history = [
        Sample(metric="load", value=60 + 25 * math.sin(step / 46) + step % 3, ts=END - timedelta(minutes=5 * step))
        for step in reversed(range(576))
    ]
    with tempfile.TemporaryDirectory() as folder:
        before, after = configured(folder, 88.0), configured(folder, 84.0)
        samples = SampleColumns.of(history)
        start = END - timedelta(days=1)
        replays = [
            Replayed(each, name, samples, start, END, 7_200)
            for each, name in ((before, "main.toml"), (after, "foreact.toml"))
        ]
        one, other = side_by_side(replays)
        print(review_of(before, after, (one, other)).to_markdown())


if __name__ == "__main__":
    main()
