"""Rate limits as people write them: "3/hour" and "7/day", several at once."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import datetime, timedelta

from storage.errors import ForeactError

_UNITS_S = {"minute": 60, "hour": 3_600, "day": 86_400, "week": 604_800}
_LONGEST_TURN = timedelta(hours=1)
_LIMIT = re.compile(r"^\s*(\d+)\s*(?:/|per|a|an)\s*(minute|hour|day|week)\s*$")


def parse_limit(text: str) -> tuple[int, timedelta]:
    """Return how many acts a span allows; raises `rate_limit_invalid` on anything but "N/minute|hour|day|week"."""
    match = _LIMIT.match(text)
    if match is None:
        raise ForeactError("rate_limit_invalid", f"{text!r} is not a rate limit.", 'Write it like "3/hour" or "7/day".')
    return int(match[1]), timedelta(seconds=_UNITS_S[match[2]])


def exceeded(limits: Iterable[str], moments: Iterable[datetime], tick: datetime) -> str | None:
    """Return the first limit that one more act at `tick` would break, or None."""
    past = list(moments)
    for text in limits:
        most, span = parse_limit(text)
        if sum(is_within(moment, tick, span) for moment in past) >= most:
            return text
    return None


def is_within(moment: datetime, tick: datetime, span: timedelta) -> bool:
    """Tell whether an act that ended at `moment` falls into the span before `tick`.

    What ended after the tick counts: a turn's own acts do, and so does what a clock that was set back has left in the
    future. But what lies further ahead than the span, and than a turn can last, was dated by a clock that was wrong:
    it would count for ever.
    """
    return span > timedelta(0) and tick - span < moment <= tick + max(span, _LONGEST_TURN)
