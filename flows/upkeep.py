"""Upkeep: forget what is older than the configuration keeps, and check that the record still holds together."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.states import Completed, Failed

from flows.wiring import open_configured_store
from settings import Settings, settings_in_force, utc_now
from storage import Store
from storage.retention import Lifetimes, checkpoint, forget

ARCHIVED_EVERY = timedelta(days=30)
MOST_PAGES = 100
"""Of each kind."""
KINDS_OF_PAGES = ("backtest-*.html", "review-*.json")


@flow(name="upkeep", description=__doc__, validate_parameters=False)
async def upkeep() -> State[Any]:
    """Prune, compact and self-check, once a day."""
    settings = settings_in_force()
    with open_configured_store(settings) as store:
        report = look_after(store, settings)
    if report["broken_audit_line"]:
        return Failed(
            message=f"The audit trail is broken at line {report['broken_audit_line']}: that line was changed."
        )
    return Completed(message=f"{report}")


def look_after(store: Store, settings: Settings, now: datetime | None = None) -> dict[str, Any]:
    """Prune what is too old, compact the file, and verify the audit trail; return what was found."""
    now = now or utc_now()
    kept = settings.storage
    forgotten = forget(store.engine, now, Lifetimes(kept.samples_days, kept.forecasts_days, kept.records_days))
    archived = store.audit.archive(now - timedelta(days=kept.records_days), ARCHIVED_EVERY)
    not_compacted = checkpoint(store.engine)
    pages_removed = sum(_remove_all_but_newest(settings.home / "reports", kind) for kind in KINDS_OF_PAGES)
    return {
        "broken_audit_line": store.audit.first_broken_line(),
        "actions_without_receipt": len([view for view in store.actions.pending() if view.intent is not None]),
        "cycles": store.cycles.count(),
        "forgotten": forgotten,
        "audit_lines_archived": archived,
        "pages_removed": pages_removed,
        "not_compacted": not_compacted,
    }


def _remove_all_but_newest(folder: Path, kind: str) -> int:
    pages = sorted(folder.glob(kind), key=lambda page: page.stat().st_mtime, reverse=True)
    for page in pages[MOST_PAGES:]:
        page.unlink(missing_ok=True)
    return len(pages[MOST_PAGES:])
