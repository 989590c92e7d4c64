"""Execute: run due actions behind every guard, with an intent before and a receipt after."""

from tasks.execute.guards import Circumstances, GuardAnswer, Ruling, effective_level, judge
from tasks.execute.limits import exceeded, parse_limit

__all__ = [
    "Circumstances",
    "GuardAnswer",
    "Ruling",
    "effective_level",
    "exceeded",
    "judge",
    "parse_limit",
]
