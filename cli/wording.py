"""What the REST interface recommends, in the words of the command line: the one place where both are known."""

from __future__ import annotations

import re

_REQUEST = re.compile(r"(GET|POST|PUT|DELETE) /api/autonomous/([\w/{}?=-]+)")
_COMMANDS: tuple[tuple[str, str], ...] = (
    (r"GET goals\?state=all", "foreact goals --all"),
    (r"GET goals/\{\w+\}", "foreact goal ID"),
    (r"GET goals/([\w-]+)", r"foreact goal \1"),
    (r"GET goals", "foreact goals"),
    (r"GET actions\?available=true", "foreact rollout"),
    (r"GET actions/([\w-]+)", r"foreact actions \1"),
    (r"GET actions", "foreact actions"),
    (r"GET outcomes", "foreact actions"),
    (r"GET objectives", "foreact objectives"),
    (r"GET predictions", "foreact forecast"),
    (r"GET cycles", "foreact status"),
    (r"GET shared", "foreact shared"),
    (r"POST metrics", "foreact import FILE"),
    (r"POST analysis/trigger", "foreact cycle"),
)


def in_commands(text: str) -> str:
    """Return a sentence with every request that it recommends as the command that does the same."""
    return _REQUEST.sub(lambda match: _command(match[1], match[2]) or match[0], text)


def requests_without_command(text: str) -> list[str]:
    """Return the requests in a text that no command is known for."""
    return [match[0] for match in _REQUEST.finditer(text) if _command(match[1], match[2]) is None]


def _command(verb: str, path: str) -> str | None:
    for pattern, command in _COMMANDS:
        if (match := re.fullmatch(pattern, f"{verb} {path}")) is not None:
            return f"`{match.expand(command)}`"
    return None
