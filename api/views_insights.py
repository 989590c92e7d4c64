"""From outcomes to what was learned."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any

from storage.records import Outcome, ReceiptStatus, Verdict

_BAD = (ReceiptStatus.FAILED, ReceiptStatus.TIMED_OUT)


def insights(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Sum up outcomes by action."""
    by_action: dict[str, list[Outcome]] = defaultdict(list)
    for outcome in outcomes:
        by_action[outcome.action].append(outcome)
    failures = Counter(outcome.action for outcome in outcomes if outcome.status in _BAD)
    return {
        "action_success_rates": {action: _rate(found) for action, found in sorted(by_action.items())},
        "common_failures": [{"action": action, "count": count} for action, count in failures.most_common()],
    }


def _rate(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    improved = sum(outcome.verdict is Verdict.IMPROVED for outcome in outcomes)
    return {"rate": improved / len(outcomes), "improved": improved, "count": len(outcomes)}
