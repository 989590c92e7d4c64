"""The three kinds of trouble: a refusal is raised, a bad result is a value, transient I/O is retried."""

from __future__ import annotations


class ForeactError(Exception):
    """A refusal: what was asked cannot be done, why, and what to do about it.

    `code` is stable and machine-readable; `message` says what happened in one line; `remedy` says what to do.
    """

    def __init__(self, code: str, message: str, remedy: str = "", *, status: int = 400) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.remedy = remedy
        self.status = status

    def __str__(self) -> str:
        return f"{self.message} {self.remedy}".strip()


class TransientError(Exception):
    """I/O that may succeed when tried again; the only error that tasks retry."""
