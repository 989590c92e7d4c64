"""Who made the shop slow? Three services, one of them slow for the last minutes: `python examples/causes.py`."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tasks.causes.graph import DependencyGraph
from tasks.causes.moves import Spans
from tasks.causes.ranking import Histories, rank_causes

SERVICES = ("shop", "cart", "db")


def main() -> None:
    """Print what explains that the shop is slow."""
    latency_ms = np.random.default_rng(1).normal([[200.0], [90.0], [30.0]], [[10.0], [5.0], [2.0]], (3, 300))
    latency_ms[:, -5:] += 250.0
    histories = Histories(SERVICES, latency_ms, SERVICES, ("latency",) * 3)
    graph = DependencyGraph({"shop": ("cart",), "cart": ("db",)})
    found = rank_causes(histories, "shop", graph, spans=Spans(before=6, after=2), moments=range(287, 299))
    for cause in found.causes:
        print(f"{' → '.join(cause.path)}: {cause.change:+.0f} ms, {cause.loudness:.0f} times what is rare for it")


if __name__ == "__main__":
    main()
