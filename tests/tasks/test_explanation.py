"""What only explains a result may fail without taking the result along."""

from __future__ import annotations

import logging

import pytest

from storage import TransientError
from tasks.stage import explanation


def failing(trouble: Exception) -> str:
    raise trouble


def test_a_fault_in_an_explanation_leaves_the_result_and_a_line_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR):
        assert explanation("why", lambda: failing(KeyError("requests")), "kept") == "kept"
    assert "why" in caplog.text
    assert "KeyError" in caplog.text


def test_what_may_pass_is_tried_again_with_the_stage() -> None:
    with pytest.raises(TransientError):
        explanation("why", lambda: failing(TransientError("busy")), "kept")
