"""Who asks: API keys, hashed at rest, what each role may do, and the name under which an answer is kept."""

from __future__ import annotations

import base64
import binascii
import getpass
import hashlib
import hmac
import ipaddress
import json
import pwd
import secrets
import struct
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import cast

from settings import Settings, is_loopback
from storage import address_file
from storage.errors import ForeactError
from storage.private import write_private

PREFIX = "/api/autonomous"
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
OPEN_PATHS = frozenset({"/healthz", "/readyz"})
"""What a program that only watches whether the facade lives may ask without a key."""
SIGNED_PATHS = frozenset({"/answer"})
"""What needs no key because each request brings a signed permission of its own."""
KEY_SHAPE = "foreact_"
MOST_CLAIMED_CHARS = 80
AGENT_MARK = {"X-Foreact-Agent": "mcp"}
"""What `foreact mcp` sends with each request: where no API key says who it is, it is an agent and not its user."""
AGENT = "agent"


class Role(StrEnum):
    """What a caller may do: a viewer reads, an operator also records, answers and starts, an admin also sets what is
    wanted."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    ADMIN = "admin"

    def allows(self, needed: Role) -> bool:
        """Tell whether a caller of this role may do what another one is needed for."""
        ranks = list(Role)
        return ranks.index(self) >= ranks.index(needed)


def needed_role(method: str, path: str) -> Role:
    """Return the least role that a request needs."""
    if method in SAFE_METHODS:
        return Role.VIEWER
    return Role.ADMIN if path.startswith(f"{PREFIX}/objectives") else Role.OPERATOR


def may_agent_ask(method: str, path: str) -> bool:
    """Tell whether an agent without an API key may send a request: it reads and proposes."""
    return method in SAFE_METHODS or (path.startswith(f"{PREFIX}/goals/") and path.endswith("/propose"))


@dataclass(frozen=True)
class Caller:
    """Who sent a request; `identify` finds his name, which is asked for only where it is kept.

    `key` tells keys apart; without a key it is empty, "owner" for the command line, "agent" for `foreact mcp`.
    """

    role: Role
    identify: Callable[[], str]
    key: str = ""

    def named(self, claimed: str = "") -> str:
        """Return the name for the audit trail: who it is, and in brackets whom they say they are."""
        own = self.identify()
        said = "".join(each for each in claimed if each.isprintable() and each not in "()")[:MOST_CLAIMED_CHARS].strip()
        return own if said in ("", "api", own) else f"{own} ({said})"

    def proposer(self, claimed: str = "") -> str:
        """Return the name by which its proposals are judged.

        That of a key alone: what somebody says of himself costs nothing. Without a key it is all that tells apart.
        """
        return self.identify() if self.key not in ("", "owner", AGENT) else self.named(claimed)


def is_same(one: str, other: str) -> bool:
    """Tell whether two names are of the same caller, whatever either says of itself in brackets."""
    return one.partition(" (")[0] == other.partition(" (")[0]


@dataclass(frozen=True)
class ApiKey:
    """A key as it is kept: of the key itself only its SHA-256, which for 256 random bits tells nothing."""

    name: str
    role: Role
    sha256: str
    created_at: str
    expires_at: str | None = None

    def is_valid(self, now: datetime) -> bool:
        """Tell whether the key may still be used."""
        return self.expires_at is None or now < datetime.fromisoformat(self.expires_at)


def key_file(settings: Settings) -> Path:
    """Return the file with the keys of a stack."""
    return settings.home / "keys.json"


def read_keys(file: Path) -> tuple[ApiKey, ...]:
    """Return the keys in a file; raises `keys_unreadable`."""
    try:
        rows = json.loads(file.read_text())
        return tuple(ApiKey(**{**row, "role": Role(row["role"])}) for row in rows)
    except FileNotFoundError:
        return ()
    except (OSError, ValueError, TypeError, KeyError) as trouble:
        raise ForeactError(
            "keys_unreadable",
            f"{file} cannot be read ({type(trouble).__name__}).",
            "Remove it and make the keys anew with `foreact keys add NAME`.",
            status=503,
        ) from None


def with_key(keys: Sequence[ApiKey], name: str, role: Role, now: datetime) -> tuple[list[ApiKey], str]:
    """Return the keys with a new one of a name that is not taken, and its text, which is kept nowhere.

    Raises `key_name_unusable` or `key_exists`.
    """
    if not name or not name.isprintable() or len(name) > 60 or set(name) & set("():, "):
        remedy = "Choose up to 60 characters without spaces, brackets, commas and colons, as in grafana."
        raise ForeactError("key_name_unusable", f"{name!r} cannot be the name of a key.", remedy)
    if any(each.name == name and each.expires_at is None for each in keys):
        remedy = f"`foreact keys rotate {name}` replaces it, `foreact keys revoke {name}` takes it away."
        raise ForeactError("key_exists", f"There is a key {name} already.", remedy, status=409)
    text = KEY_SHAPE + secrets.token_urlsafe(32)
    return [*keys, ApiKey(name, role, _digest(text), now.isoformat(timespec="seconds"))], text


def rotated(
    keys: Sequence[ApiKey], name: str, now: datetime, overlap: timedelta, role: Role | None = None
) -> tuple[list[ApiKey], str]:
    """Return the keys with a new one for a name, whose older one goes on for a while; raises `key_unknown`."""
    old = _named(keys, name)[-1]
    ends = (now + overlap).isoformat(timespec="seconds")
    left = [replace(each, expires_at=each.expires_at or ends) if each.name == name else each for each in keys]
    return with_key([each for each in left if each.is_valid(now)], name, role or old.role, now)


def without_key(keys: Sequence[ApiKey], name: str) -> list[ApiKey]:
    """Return the keys without those of a name; raises `key_unknown`."""
    gone = _named(keys, name)
    return [each for each in keys if each not in gone]


def write_keys(file: Path, keys: Sequence[ApiKey]) -> None:
    """Keep keys in a file for its owner alone; a running facade goes by it from the next request on."""
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    write_private(file, json.dumps([asdict(each) for each in keys], indent=2) + "\n")


def refuse_open_doors(settings: Settings, now: datetime) -> None:
    """Raise `keys_needed` where others could reach the facade and there is no key to tell them apart."""
    if is_loopback(settings.server.host) or any(each.is_valid(now) for each in read_keys(key_file(settings))):
        return
    raise ForeactError(
        "keys_needed",
        f"server.host = {settings.server.host} lets others reach foreact, and there are no API keys.",
        'Make one with `foreact keys add NAME --role admin`, or set server.host = "127.0.0.1".',
    )


class Door:
    """Tells who sends a request, and whether a key is needed: where others reach the facade, or there ever were keys.

    A file of keys without a valid one lets nobody in: the last key of all is revoked because it should end.
    The keys are read anew when their file changes. The token of the file's owner, which only his own programs can read,
    is a key as well: so the command line needs none.
    """

    def __init__(self, settings: Settings, clock: Callable[[], datetime], known: Caller | None = None) -> None:
        """Bind the files of a stack; all requests are of the caller `known` where one is named."""
        self._keys, self._owner = key_file(settings), address_file(settings.database_path)
        self._is_loopback, self._clock, self._known = is_loopback(settings.server.host), clock, known
        self._read: dict[Path, tuple[tuple[int, int, int], object]] = {}

    @property
    def asks_for_keys(self) -> bool:
        """Tell whether a request without a key is refused."""
        return self._known is None and (not self._is_loopback or self._valid_keys() is not None)

    def caller(self, authorization: str, client: tuple[str, int] | None, is_marked: bool = False) -> Caller | None:
        """Return who sends a request with an Authorization header; None where a key is needed and none fits.

        An API key says who it is. What else `is_marked` as an agent's is of an agent, never of its user.
        """
        if self._known is not None:
            return self._known
        if given := _key_in(authorization):
            if self._is_owners(given):
                return _agent_of(person) if is_marked else Caller(Role.ADMIN, person, "owner")
            digest = _digest(given)
            if fitting := [each for each in self._valid_keys() or () if hmac.compare_digest(each.sha256, digest)]:
                return Caller(fitting[0].role, lambda: fitting[0].name, digest)
        if self.asks_for_keys:
            return None
        return _agent_of(lambda: local_user(client)) if is_marked else Caller(Role.ADMIN, lambda: local_user(client))

    def _valid_keys(self) -> list[ApiKey] | None:
        """Return the keys that may be used now; None where there is no file of keys."""
        keys = cast(tuple[ApiKey, ...] | None, self._follow(self._keys, read_keys, None))
        return None if keys is None else [each for each in keys if each.is_valid(self._clock())]

    def _is_owners(self, given: str) -> bool:
        token = cast(str, self._follow(self._owner, owner_token, ""))
        return bool(token) and hmac.compare_digest(token.encode(), given.encode())

    def _follow(self, file: Path, read: Callable[[Path], object], missing: object) -> object:
        """Return what a file holds, read once for each version of it."""
        try:
            state = file.stat()
        except FileNotFoundError:
            return missing
        except OSError:
            return read(file)
        version = (state.st_ino, state.st_size, state.st_mtime_ns)
        if file not in self._read or self._read[file][0] != version:
            self._read[file] = version, read(file)
        return self._read[file][1]


def owner_token(file: Path) -> str:
    """Return the token of the process that owns a database, from the file that its user alone can read; or nothing."""
    try:
        return str(json.loads(file.read_text())["token"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def person() -> str:
    """Return the name of the user, for the audit trail."""
    try:
        return f"cli:{getpass.getuser()}"
    except (KeyError, OSError):
        return "cli"


def local_user(client: tuple[str, int] | None) -> str:
    """Return the user of the program on this machine at the other end, as the kernel knows him; `local` where it does
    not."""
    try:
        uid = None if client is None else _owner_of_socket(*client)
        return "local" if uid is None else f"local:{pwd.getpwuid(uid).pw_name}"
    except (OSError, ValueError, KeyError):
        return "local"


def _agent_of(user: Callable[[], str]) -> Caller:
    """Return the agent that a user started without an API key, as `agent:USER`."""
    return Caller(Role.OPERATOR, lambda: AGENT + user().removeprefix("cli").removeprefix("local"), AGENT)


def _owner_of_socket(host: str, port: int) -> int | None:
    """Return the user id of the socket with a local address, from Linux's table of connections."""
    address = ipaddress.ip_address(host)
    packed = address.packed
    words = struct.unpack(f"={len(packed) // 4}I", packed)
    wanted = f"{''.join(f'{word:08X}' for word in words)}:{port:04X}"
    table = "/proc/net/tcp6" if address.version == 6 else "/proc/net/tcp"
    with open(table) as lines:
        for fields in (line.split() for line in lines):
            if fields[1] == wanted:
                return int(fields[7])
    return None


def _key_in(authorization: str) -> str:
    """Return the key in an Authorization header: a bearer token, or the password that a browser asks people for."""
    scheme, _, rest = authorization.partition(" ")
    if scheme.lower() == "bearer":
        return rest.strip()
    if scheme.lower() == "basic":
        try:
            return base64.b64decode(rest.strip(), validate=True).decode().partition(":")[2]
        except (binascii.Error, UnicodeDecodeError):
            return ""
    return ""


def _named(keys: Sequence[ApiKey], name: str) -> list[ApiKey]:
    named = [each for each in keys if each.name == name]
    if not named:
        raise ForeactError("key_unknown", f"There is no key {name}.", "`foreact keys` lists them.", status=404)
    return named


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
