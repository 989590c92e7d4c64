"""`foreact keys`."""

from __future__ import annotations

from contextlib import suppress
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from cli.options import Json, settings_here, tell

EXAMPLE = "foreact keys add grafana --role viewer"


class KeyDeed(StrEnum):
    """What can be done with keys."""

    LIST = "list"
    ADD = "add"
    ROTATE = "rotate"
    REVOKE = "revoke"


def run(
    deed: Annotated[
        KeyDeed, typer.Argument(metavar="[list|add|rotate|revoke]", help="What to do; default: list.")
    ] = KeyDeed.LIST,
    name: Annotated[str, typer.Argument(help="Name of its owner, as the audit trail shows it.")] = "",
    role: Annotated[str | None, typer.Option(help="viewer, operator or admin; default: operator.")] = None,
    overlap_hours: Annotated[
        float, typer.Option(min=0, max=720, help="How long the old key still works after a rotation.")
    ] = 24.0,
    json: Json = False,
) -> None:
    """List, add, rotate or revoke API keys. A change takes effect at once."""
    from datetime import timedelta

    from api import access
    from cli import show
    from settings import utc_now
    from storage.errors import ForeactError, TransientError

    settings, now = settings_here(), utc_now()
    file = access.key_file(settings)
    keys, text = access.read_keys(file), ""
    if role is not None and role not in list(access.Role):
        raise ForeactError("role_unknown", f"There is no role {role}.", "Use viewer, operator or admin.")
    match deed:
        case KeyDeed.LIST:
            rows = [(key.name, key.role, show.moment(key.created_at), show.moment(key.expires_at)) for key in keys]
            heads = ("name", "role", "made (UTC)", "ends (UTC)")
            told = [
                {"name": key.name, "role": key.role, "created_at": key.created_at, "expires_at": key.expires_at}
                for key in keys
            ]
            tell(told, json, lambda: show.table("", heads, rows, "There are no API keys."))
            return
        case KeyDeed.ADD:
            left, text = access.with_key(keys, name, access.Role(role or "operator"), now)
            _forget(settings.database_path, name, access.person())
        case KeyDeed.ROTATE:
            overlap = timedelta(hours=overlap_hours)
            left, text = access.rotated(keys, name, now, overlap, access.Role(role) if role else None)
        case KeyDeed.REVOKE:
            left = access.without_key(keys, name)
    access.write_keys(file, left)
    if deed is KeyDeed.REVOKE:
        # Where the store cannot be asked now, it is forgotten before anybody else gets the name.
        with suppress(ForeactError, TransientError):
            _forget(settings.database_path, name, access.person())
    said = f"{text}\nThis key of {name} is shown once and kept nowhere." if text else f"{name} has no key any more."
    tell({"name": name, "key": text or None}, json, lambda: show.say(said))


def _forget(database: Path, name: str, by: str) -> None:
    """Forget what an earlier holder of a name earned by its proposals: whoever gets a key of that name begins anew."""
    from storage import open_store
    from tasks.authority import forget_proposer

    if database.exists():
        with open_store(database) as store:
            forget_proposer(store, name, by)
