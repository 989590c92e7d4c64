"""Reading the options of a source: each is of the type of its default, or refused by name."""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, TypeVar

from storage.errors import ForeactError

MOST = 1e9
"""Thirty years of seconds, or what no memory holds of anything else."""
NO_TABLE: Mapping[str, str] = MappingProxyType({})
NO_TEXTS: tuple[str, ...] = ()

Value = TypeVar("Value")


def option(options: Mapping[str, Any], name: str, default: Value) -> Value:
    """Return one option as its default's type: a whole or other number from 0 on, text, a list or a table of texts.

    What is left out or None is the default. Raises `option_invalid`, which shows numbers only: text may be secret.
    """
    given = options.get(name)
    return default if given is None else _as(default, name, given)


def headers_in(options: Mapping[str, Any]) -> Mapping[str, str]:
    """Return the HTTP headers of the options; raises `option_invalid` where one cannot be sent."""
    headers = option(options, "headers", NO_TABLE)
    if not all(each.isascii() and each.isprintable() for pair in headers.items() for each in pair):
        raise _refusal("headers", "a table of plain ASCII texts", '{ X-Scope-OrgID = "shop" }')
    return headers


def _as(default: Any, name: str, given: Any) -> Any:
    if isinstance(default, int | float):
        return _number(default, name, given)
    if isinstance(default, str):
        if not _is_text(given):
            raise _refusal(name, "text", '"…"')
        return given
    if isinstance(default, tuple):
        if not (isinstance(given, list | tuple) and all(map(_is_text, given))):
            raise _refusal(name, "a list of texts", '["…"]')
        return tuple(given)
    if not (isinstance(given, Mapping) and all(_is_text(each) for pair in given.items() for each in pair)):
        raise _refusal(name, "a table of texts", '{ name = "…" }')
    return given


def _number(default: float, name: str, given: Any) -> float:
    try:
        number = math.nan if isinstance(given, bool) else float(given)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    is_whole = isinstance(default, int)
    if not 0 <= number <= MOST or (is_whole and number % 1):
        wanted = f"{'a whole number' if is_whole else 'a number'} from 0 to {MOST:,.0f}"
        raise _refusal(name, wanted, f"{default:g}", f" = {given!r:.40}")
    return type(default)(number)


def _is_text(given: Any) -> bool:
    # No address, header or name of a file holds a zero.
    return isinstance(given, str) and "\0" not in given


def _refusal(name: str, wanted: str, example: str, shown: str = "") -> ForeactError:
    return ForeactError("option_invalid", f"{name}{shown} is not {wanted}.", f"Write it as in {name} = {example}.")
