"""The three kinds of trouble: a refusal is raised, a bad result is a value, transient I/O is retried."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from storage.private import masked


class ForeactError(Exception):
    """A refusal: what was asked cannot be done, why, and what to do about it.

    `code` is stable and machine-readable; `message` says what happened in one line, without secrets; `remedy` says what
    to do.
    """

    def __init__(self, code: str, message: str, remedy: str = "", *, status: int = 400) -> None:
        self.message = masked(message)
        super().__init__(self.message)
        self.code = code
        self.remedy = remedy
        self.status = status

    def __str__(self) -> str:
        return f"{self.message} {self.remedy}".strip()


class TransientError(Exception):
    """I/O that may succeed when tried again, told without secrets; the only error that tasks retry."""

    def __init__(self, message: str) -> None:
        super().__init__(masked(message))


def describe(errors: Sequence[Mapping[str, Any]]) -> str:
    """Say in one line what pydantic found wrong with the first bad field, and how many more there are."""
    first = errors[0]
    where = ".".join(str(part) for part in first["loc"] if part not in ("body", "query", "path")) or "body"
    more = f" ({len(errors) - 1} more)" if len(errors) > 1 else ""
    return f"{where}: {first['msg'].removeprefix('Value error, ')}{more}."
