"""Forecasters by name, one file each; a new file is discovered.

`get("fleet")`, `get("seasonal_naive")`, `get("darts:ExponentialSmoothing", {"seasonal_periods": 24})`.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any, cast

from plugins import modules_of
from storage.errors import ForeactError
from tasks.forecast.forecasters.protocol import Forecaster, ForecasterFile

__all__ = ["Forecaster", "get", "names"]


def names() -> tuple[str, ...]:
    """All names that `get` answers to; one that takes a detail after a colon ends in it."""
    return tuple(sorted(_files()))


def get(name: str, options: Mapping[str, Any] | None = None) -> Forecaster:
    """The forecaster of a name, with options where it takes any.

    Raises ForeactError `unknown_forecaster` for a name no file answers to, and what the file raises for a
    detail or an option it does not know.
    """
    stem, colon, detail = name.partition(":")
    file = _files().get(stem + colon)
    if file is None:
        raise ForeactError(
            code="unknown_forecaster",
            message=f"There is no forecaster {name!r}.",
            remedy=f"Use one of {', '.join(names())}.",
        )
    return file.build(detail, options or {})


@cache
def _files() -> dict[str, ForecasterFile]:
    files: dict[str, ForecasterFile] = {}
    for file in modules_of(__name__):
        if hasattr(file, "NAMES"):
            files.update(dict.fromkeys(file.NAMES, cast(ForecasterFile, file)))
    return files
