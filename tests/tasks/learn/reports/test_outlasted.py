"""What stays long after an act is over was not the act's."""

from __future__ import annotations

import numpy as np
import pytest

from tasks.learn.reports.contribution import contributions
from tasks.learn.reports.outlasted import outlasted

HOUR_S = 3_600.0


def changes(role: str = "side_effect", action: str = "relieve") -> dict[str, list[object]]:
    """One act at 8 o'clock, measured over an hour."""
    return {
        "action": [action],
        "series": ["response"],
        "role": [role],
        "verdict": ["worse"],
        "estimate": [76.0],
        "standard_error": [3.0],
        "past_windows": [50.0],
        "acted_at_s": [8 * HOUR_S],
        "horizon_s": [HOUR_S],
    }


@pytest.mark.parametrize(
    ("role", "action", "moved_at_h", "seen_at_h", "expected"),
    [
        ("side_effect", "relieve", 8.1, 12.0, True),
        ("guard", "relieve", 8.1, 12.0, True),
        ("target", "relieve", 8.1, 12.0, False),  # what it is for is measured by itself
        ("side_effect", "resize", 8.1, 12.0, False),  # lasts for good: what stays may be its own
        ("side_effect", "relieve", 7.5, 12.0, False),  # moved before
        ("side_effect", "relieve", 9.5, 12.0, False),  # moved after
        ("side_effect", "relieve", 8.1, 10.5, False),  # it may still linger
    ],
)
def test_a_change_is_not_the_acts_where_the_level_stays_once_it_is_over(
    role: str, action: str, moved_at_h: float, seen_at_h: float, expected: bool
) -> None:
    lasting = {"response": np.array([moved_at_h * HOUR_S])}
    found = outlasted(changes(role, action), lasting, frozenset({"relieve"}), seen_at_h * HOUR_S)
    assert found.tolist() == [expected]


def test_another_series_that_moved_says_nothing() -> None:
    lasting = {"meter": np.array([8.1 * HOUR_S])}
    assert outlasted(changes(), lasting, frozenset({"relieve"}), 12 * HOUR_S).tolist() == [False]


def test_what_is_not_its_own_teaches_nothing_of_an_action() -> None:
    (counted,) = contributions(changes())
    (left_out,) = contributions(changes(), not_its_own=np.array([True]))
    assert (counted["count"], left_out["count"]) == (1, 0)
    assert left_out["verdicts"] == {"confounded": 1}
