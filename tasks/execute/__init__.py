"""Execute: carry out what is due, behind every guard, with an intent before and a receipt after."""

from tasks.execute.guards import WAITS_FACT, ActionLimits, Answer, Circumstances, Ruling, effective_level, judge
from tasks.execute.limits import exceeded, parse_limit
from tasks.execute.maintenance import open_until, spans_between

__all__ = [
    "WAITS_FACT",
    "ActionLimits",
    "Answer",
    "Circumstances",
    "Ruling",
    "effective_level",
    "exceeded",
    "judge",
    "open_until",
    "parse_limit",
    "spans_between",
]
