"""What must hold before anything is started; each refusal is one line that says what to do."""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import psutil

from api.access import refuse_open_doors
from api.processes.layout import Layout
from settings import Settings, utc_now
from storage import ForeactError, holder_of, is_reserved

PORTS_TRIED = 20
ANY_PORT = 0


@contextlib.contextmanager
def hold(layout: Layout) -> Iterator[None]:
    """Make the folders, take the folder's lock, and see that the database and the ports are free.

    Raises `folder_not_writable`, `keys_needed`, `already_running`, `store_in_use`, `host_unusable` or `port_in_use`.
    """
    _make_folders(layout)
    refuse_open_doors(layout.settings, utc_now())
    with _locked(layout.lock, layout.folder):
        _check_database(layout.settings.database_path)
        _check_ports(layout)
        yield


def _make_folders(layout: Layout) -> None:
    try:
        for folder in (layout.home, layout.logs, layout.prefect_home):
            folder.mkdir(parents=True, exist_ok=True)
            if folder.stat().st_uid == os.geteuid():
                folder.chmod(0o700)
            if not os.access(folder, os.W_OK | os.X_OK):
                raise PermissionError(13, "Permission denied", str(folder))
        layout.lock.touch()
    except OSError as trouble:
        raise ForeactError(
            "folder_not_writable",
            f"{trouble.filename or layout.home} is not writable: {trouble.strerror}.",
            "Make it writable, or choose another folder with FOREACT_HOME.",
        ) from None


@contextlib.contextmanager
def _locked(lock: Path, folder: Path) -> Iterator[None]:
    with lock.open("r+") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = handle.read().strip() or "unknown"
            raise ForeactError(
                "already_running",
                f"foreact is already running in {folder} (process {holder}).",
                "Use that one, or stop it with Ctrl-C first.",
                status=409,
            ) from None
        handle.truncate(0)
        handle.write(str(os.getpid()))
        handle.flush()
        yield


def is_running(layout: Layout) -> bool:
    """Tell whether a stack runs in this folder."""
    return is_reserved(layout.settings.database_path)


def unread_in(settings: Settings) -> list[str]:
    """Return a sentence for each action, source or option in the configuration that nobody reads.

    Those of your own that cannot be imported come first.
    """
    # Imported late: the supervisor, which lives as long as the stack, is spared the handlers.
    from handlers import discover_actions, discover_sources
    from handlers.unknown_keys import unread

    troubles: list[str] = []
    actions, sources = discover_actions(settings.folder, troubles), discover_sources(settings.folder, troubles)
    return [*troubles, *unread(settings.options_to_read, settings.sources, actions, sources)]


def _check_database(path: Path) -> None:
    holder = holder_of(path)
    if holder is not None:
        raise ForeactError(
            "store_in_use",
            f"{path} is in use by {holder}.",
            "Stop that process first; most likely a notebook or a script runs its own agent.",
            status=409,
        )


def _check_ports(layout: Layout) -> None:
    server = layout.settings.server
    addresses = [(server.host, server.port, "server.port", "dashboard and API")]
    if layout.owns_server:
        addresses.append((server.prefect_host, server.prefect_port, "server.prefect_port", "Prefect server"))
    for place in addresses:
        check_port(*place)


def check_port(host: str, port: int, key: str, what: str) -> None:
    """Raise `host_unusable` or `port_in_use` where nothing of ours could listen; `key` would name another port."""
    trouble = port_trouble(host, port)
    if trouble and (why := port_trouble(host, ANY_PORT)):
        raise ForeactError(
            "host_unusable",
            f"Nothing can listen at {host} ({what}): {why}.",
            f"Set `{key.removesuffix('port')}host` in foreact.toml to an address of this machine.",
            status=409,
        )
    if trouble:
        raise ForeactError(
            "port_in_use",
            f"Port {port} ({what}) cannot be used: {trouble}.",
            f"Stop the program that uses it, or set `{key}` in foreact.toml.",
            status=409,
        )


def free_port_from(host: str, first: int) -> int:
    """Return the first of the next ports that nobody listens on; raises `port_in_use` where there is none."""
    for port in range(first, min(first + PORTS_TRIED, 65_536)):
        if port_trouble(host, port) is None:
            return port
    check_port(host, first, "server.port", "dashboard and API")
    return first  # it was let go of meanwhile


def port_trouble(host: str, port: int) -> str | None:
    """Return why nobody can listen there now, or None."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as trouble:
            return f"{trouble.strerror or trouble}{_holder(port)}".lower()
    return None


def _holder(port: int) -> str:
    with contextlib.suppress(psutil.Error, OSError):
        for connection in psutil.net_connections("tcp"):
            is_it = connection.status == psutil.CONN_LISTEN and connection.laddr and connection.laddr.port == port
            if is_it and connection.pid:
                return f" by {psutil.Process(connection.pid).name()} (process {connection.pid})"
    return ""
