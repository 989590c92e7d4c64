"""Talk to a running foreact: `with foreact.connect(url) as loop:`; `@foreact.observed` tracks your functions and flows.

What is recorded is kept when the call returns. What the server refuses is a `Refused`, which says why and what to do.
"""

from __future__ import annotations

from foreact.connection import Loop, Refused, connect
from foreact.observe import observed
from foreact.records import Act, Breach, Goal, Metric, Predictions, SeriesForecast

__all__ = [
    "Act",
    "Breach",
    "Goal",
    "Loop",
    "Metric",
    "Predictions",
    "Refused",
    "SeriesForecast",
    "connect",
    "observed",
]
