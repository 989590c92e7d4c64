"""When does foreact doubt what it learned? An act that helped and then harms, forecasts that begin to miss.

Run it with `python examples/out_of_depth.py`.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tasks.learn.drift import HARM_LIMIT, MISS_LIMIT, ActSeen, after_look, harm_evidence


def main() -> None:
    """Print when evidence reaches its limit."""
    acts = [ActSeen(is_harm=False, effect=1.2, error=0.4, believed=1.2)] * 12
    print(f"after 12 acts that helped: evidence {harm_evidence(acts):.1f} of {HARM_LIMIT:.0f}")
    acts.append(ActSeen(is_harm=True, effect=-2.6, error=0.4, believed=1.2))
    print(f"after one that plainly harmed: evidence {harm_evidence(acts):.0f}, so it asks before the next")

    rng = np.random.default_rng(1)
    misses = [*rng.lognormal(-0.7, 0.4, 72), *rng.lognormal(0.4, 0.4, 24)]
    evidence = 0.0
    for hour, miss in enumerate(misses):
        evidence = after_look(evidence, miss, misses[:hour])
        if evidence >= MISS_LIMIT:
            print(f"misses tripled in hour 72, noticed in hour {hour}")
            break


if __name__ == "__main__":
    main()
