"""What only its owner may read: files with a secret in them, and secrets in what is written for people."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import secrets
from collections.abc import Container, Iterable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

HIDDEN = "***"
LEAST_CHARS = 4
"""A shorter text is found in too many words to be blotted out wherever it stands."""
_SECRET_KEY = re.compile(
    r"(?i)pass(word|wd|phrase)?$|pwd$|secret|token|api_?-?key|access_?-?key|private_?-?key|(^|_)auth($|_)|authoriz|authentic|credential|"
    r"cookie|headers$|signature|^sig$|dsn$|alerts$|urls$"
)
_SECRET_WORD = re.compile(
    r"(?i)(\b[\w-]*(?:password|passwd|secret|token|api[_-]?key|access[_-]?key|authorization)[\w-]*[\"']?\s*[=:]\s*)"
    r"((?:bearer |basic )?)(\"[^\"]*\"?|'[^']*'?|[^\s,;&\"'}\])]+)"
)
_LOGIN_SCHEME = re.compile(r"(?i)\b(bearer|basic)(\s+)[\w.~+/=-]{8,}")
_USER_IN_URL = re.compile(r"([a-zA-Z][\w+.-]*://)[^\s\"'<>]*@")
_USER_ALONE = re.compile(r"(?<![\w/@.:+-])[^\s\"'<>/@:=,;()\[\]{}]+:(?!//)[^\s\"'<>@]+@(?=[\w\[])")
_QUERY_OF_URL = re.compile(r"([a-zA-Z][\w+.-]*://[^\s\"'<>?]*\?)([^\s\"'<>]*)")
_URL = re.compile(r"([a-zA-Z][\w+.-]*)://([^\s\"'<>]*)")
_HAS_A_HOST = re.compile(r"(?i)(https?|wss?|postgres(ql)?|mysql|mariadb|mssql|oracle|clickhouse|redis|amqps?)(\+\w+)?")
"""What follows the scheme of other addresses may be a token, as in those of Apprise."""
_HOST = re.compile(r"([\w.-]+|\[[0-9a-fA-F:.]+\])(:\d+)?")
_GIVEN_OPTIONS = frozenset({"actions", "sources"})


def masked(text: str, known: Iterable[str] = ()) -> str:
    """Return a text without the secrets that stand in it: this is the one place where they are blotted out.

    Blotted out are user and password of URLs, values of their queries that are named like a secret, values after
    `password=`, `token:` and the like, logins (`Bearer …`), and every text of `known`, encoded for a URL as well.
    """
    for secret in sorted(_forms(known), key=len, reverse=True):
        text = text.replace(secret, HIDDEN)
    if "@" in text:
        text = _USER_ALONE.sub(f"{HIDDEN}@", _USER_IN_URL.sub(rf"\1{HIDDEN}@", text))
    if "?" in text:
        text = _QUERY_OF_URL.sub(lambda match: match[1] + _masked_query(match[2]), text)
    return _LOGIN_SCHEME.sub(rf"\1\2{HIDDEN}", _SECRET_WORD.sub(rf"\1\2{HIDDEN}", text))


def masked_in(value: Any, known: Iterable[str] = ()) -> Any:
    """Return a value of JSON with the secrets in its texts blotted out; what stands under a secret's key wholly is."""
    known = tuple(known)
    if isinstance(value, str):
        return masked(value, known)
    if isinstance(value, Mapping):
        return {
            masked(key, known) if isinstance(key, str) else key: HIDDEN
            if is_secret_key(str(key)) and each and isinstance(each, str | list | tuple | Mapping)
            else masked_in(each, known)
            for key, each in value.items()
        }
    if isinstance(value, list | tuple):
        return type(value)([masked_in(each, known) for each in value]) if type(value) in (list, tuple) else value
    return value


def mask_logs(known: Iterable[str] = ()) -> None:
    """Blot secrets out of all that this process logs from now on, tracebacks too, whoever logs it and wherever to."""
    texts, as_written = tuple(known), logging.Formatter()

    def made(*args: Any, **kwargs: Any) -> logging.LogRecord:
        record = logging.LogRecord(*args, **kwargs)
        # Arguments that do not fit are the business of who writes it down.
        with contextlib.suppress(TypeError, ValueError, KeyError):
            record.msg, record.args = masked(record.getMessage(), texts), ()
        if record.exc_info:
            record.exc_text = masked(as_written.formatException(record.exc_info), texts)
        return record

    logging.setLogRecordFactory(made)


def shown_settings(settings: Mapping[str, Any], plain: Container[str]) -> dict[str, Any]:
    """Return settings as whoever may look at them sees them: of every address scheme and host alone.

    What actions and sources are given as options of their own may be a secret under any name: of those only numbers and
    switches are shown, and nothing of what stands in a table of theirs. `plain` are the keys that are no such options.
    """
    return {
        key: {name: _shown_options(options, plain) for name, options in value.items()}
        if key in _GIVEN_OPTIONS
        else _with_hosts_alone(masked_in(value))
        for key, value in settings.items()
    }


def without_login(url: str) -> str:
    """Return an address without the user and password in it, for a link that others see."""
    return _USER_IN_URL.sub(r"\1", url)


def _shown_options(options: Mapping[str, Any], plain: Container[str]) -> dict[str, Any]:
    return {
        key: _with_hosts_alone(masked_in(value))
        if key in plain
        else HIDDEN
        if is_secret_key(key) and value and value is not True
        else _shown_option(value)
        for key, value in options.items()
    }


def _shown_option(value: Any) -> Any:
    if isinstance(value, Mapping):
        return dict.fromkeys(value, HIDDEN)
    if isinstance(value, list | tuple):
        return [HIDDEN if isinstance(each, list | tuple | Mapping) else _shown_option(each) for each in value]
    if value is None or isinstance(value, bool | int | float):
        return value
    return _with_hosts_alone(value) if isinstance(value, str) and _URL.fullmatch(value) else HIDDEN


def _with_hosts_alone(value: Any) -> Any:
    """Return a value of JSON where of every address in its texts only scheme and host are left."""
    if isinstance(value, str):
        return _URL.sub(_host_alone, value)
    if isinstance(value, Mapping):
        return {key: _with_hosts_alone(each) for key, each in value.items()}
    return [_with_hosts_alone(each) for each in value] if isinstance(value, list | tuple) else value


def _host_alone(url: re.Match[str]) -> str:
    authority, *further = re.split("[/?#]", url[2], maxsplit=1)
    path = "".join(further)
    login, _, host = authority.rpartition("@")
    # An @ after a slash may end a password with a slash in it as well as stand in a path.
    if "@" in path or not _HAS_A_HOST.fullmatch(url[1]) or not _HOST.fullmatch(host):
        return f"{url[1]}://{HIDDEN}"
    return f"{url[1]}://{f'{HIDDEN}@' if login else ''}{host}{f'/{HIDDEN}' if path else ''}"


def is_secret_key(name: str) -> bool:
    """Tell whether what stands under a key is not to be shown: a password, a token, headers, where alerts go."""
    return _SECRET_KEY.search(name) is not None


def holds_secret(value: Any) -> bool:
    """Tell whether a text that a block holds stands in a value of JSON."""
    if isinstance(value, Mapping):
        return any(holds_secret(each) for each in value.values())
    return isinstance(value, SecretText) or (isinstance(value, list | tuple) and any(map(holds_secret, value)))


class SecretText(str):
    """A text that is a secret wherever it stands, because of where it comes from."""

    __slots__ = ()


def as_secret(value: Any) -> Any:
    """Return a value of JSON whose texts are secrets, under whatever key."""
    if isinstance(value, str):
        return SecretText(value)
    if isinstance(value, Mapping):
        return {key: as_secret(each) for key, each in value.items()}
    return [as_secret(each) for each in value] if isinstance(value, list | tuple) else value


def secrets_in(value: Any, is_secret: bool = False) -> frozenset[str]:
    """Return the texts in options that are secrets: those under a secret's key, of blocks, and logins in URLs."""
    if isinstance(value, Mapping):
        return frozenset().union(
            *(secrets_in(each, is_secret or is_secret_key(str(key))) for key, each in value.items())
        )
    if isinstance(value, list | tuple):
        return frozenset().union(*(secrets_in(each, is_secret) for each in value))
    if not isinstance(value, str):
        return frozenset()
    whole = (value, *value.split()[1:]) if is_secret or isinstance(value, SecretText) else ()
    login = () if is_secret else _login(value)
    return frozenset(map(str, (*whole, *login)))


def _login(text: str) -> Iterable[str]:
    """Return the password, and user and password together, of an address that has them."""
    before, at, _ = text.rpartition("@")
    login = before.partition("://")[2] or before
    user, colon, password = login.partition(":")
    return {login, password} if at and colon else ({user} if at and "://" in before else ())


def _forms(known: Iterable[str]) -> set[str]:
    plain = {each for each in known if len(each) >= LEAST_CHARS}
    return {form for each in plain for form in (each, quote(each, safe=""), unquote(each), each.strip()) if form}


def _masked_query(query: str) -> str:
    parts = (part.partition("=") for part in query.split("&"))
    return "&".join(
        f"{name}={HIDDEN}" if equals and is_secret_key(name) else name + equals + value for name, equals, value in parts
    )


def write_private(file: Path, text: str) -> None:
    """Write a file that only its user can read, in one step."""
    draft = _draft(file, text)
    draft.replace(file)


def kept_secret(file: Path, further: str = "") -> str:
    """Return the secret that a file holds; one that is not there is made for its owner: random, and then `further`.

    Of several processes that look at once all get the same. An empty file, as a failure of power may leave it, holds
    none: everyone would know it.
    """
    try:
        if kept := _text_in(file):
            return kept
        file.unlink()
    except FileNotFoundError:
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    draft = _draft(file, secrets.token_urlsafe(32) + further + "\n")
    try:
        os.link(draft, file)
    except FileExistsError:
        pass
    finally:
        draft.unlink()
    return _text_in(file)


def _text_in(file: Path) -> str:
    return file.read_text(errors="replace").strip()


def _draft(file: Path, text: str) -> Path:
    draft = file.with_name(f"{file.name}.{os.getpid()}.{secrets.token_hex(4)}")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as handle:
        handle.write(text)
        handle.flush()
        os.fsync(handle.fileno())
    return draft
