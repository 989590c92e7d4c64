"""Move old files of the configured folders into a quarantine, and empty the quarantine after some days."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from handlers.contract.action import ActionContext, CheckAnswer, Params
from handlers.contract.registration import action
from handlers.contract.results import ActionResult
from handlers.support.quarantine import OldFile, find_old, folder_name, held, move_back, move_out, purge, quarantines

if TYPE_CHECKING:
    from storage.records import Candidate, Goal

OLDER_THAN_DAYS = 30.0
QUARANTINE_DAYS = 7.0
MAX_FILES = 10_000
SHOWN_FILES = 50
NEVER_ITSELF = ("/", "/home", "/opt", "/run", "/srv", "/var")
NEVER_BELOW = ("/bin", "/boot", "/dev", "/etc", "/lib", "/lib64", "/proc", "/sbin", "/sys", "/usr")
MEGABYTE = 1_000_000
DRILL_PREFIX = "foreact-drill-"
REMEDY = "List it under [actions.prune_directory] roots in foreact.toml."


class _RefusedError(Exception):
    """What is asked for is not allowed; the message says why."""


@dataclass(frozen=True)
class _Job:
    """What one call would do: which files go into which quarantine folder, which quarantines are emptied."""

    root: Path
    files: list[OldFile]
    folder: str
    to_purge: list[str]
    older_than: datetime
    is_for_real: bool

    def describe(self, verb: str) -> str:
        size = sum(file.size_bytes for file in self.files) / MEGABYTE
        text = (
            f"{verb} {len(self.files)} file(s), {size:.1f} MB, last changed before {self.older_than:%Y-%m-%d %H:%M} "
            f"UTC, from {self.root} to its quarantine"
        )
        return text + (f" and empty {len(self.to_purge)} expired quarantine(s) for good" if self.to_purge else "")


@action(
    name="prune_directory",
    goal_types=("RESOURCE_OPTIMIZATION", "CAPACITY_PLANNING", "BOTTLENECK_PREVENTION", "COST_REDUCTION"),
    metrics=("disk_used_*", "disk_free_*", "*storage*"),
    default_level="approve",
    risk="high",
    timeout_s=120.0,
    cooldown_s=3_600.0,
    rate_limits=("2/hour", "6/day"),
    latency_s=60.0,
    cost=0.2,
    expected_effect={"disk_used_ratio": -0.5},
    explains_dry_run=True,
    needs=("roots",),
    options={
        "roots": "the folders that may be pruned, as absolute paths; none by default",
        "older_than_days": "days since the last change after which a file is old; 30",
        "pattern": "glob pattern that a file's name must match; any by default",
        "delete": "true moves the files, otherwise it only says which",
        "quarantine_days": "days after which the quarantine is emptied for good; 7",
        "max_files": "most files moved by one call; 10000",
    },
    example_params={"root": "/srv/app/cache", "older_than_days": 30, "pattern": "*.tmp", "delete": True},
)
def prune_directory(params: Params, context: ActionContext) -> ActionResult:
    """Take old files of an allowed folder away; without `delete = true` it only says what it would do.

    Files wait in a quarantine folder inside the root, from where undo brings them back; the space is freed when
    the quarantine is emptied, by a later call after `quarantine_days`.
    """
    try:
        job = _job(params, context)
    except _RefusedError as refusal:
        return ActionResult(False, f"Refused: {refusal}")
    files = [_shown(file) for file in job.files[:SHOWN_FILES]]
    evidence = {"root": str(job.root), "files": files, "file_count": len(job.files), "to_purge": job.to_purge}
    if context.dry_run:
        return ActionResult(True, f"Dry run: would {job.describe('move')}.", evidence=evidence)
    if not job.is_for_real:
        remedy = "Set delete = true to move them."
        return ActionResult(
            True, f"Nothing done: would {job.describe('move')}. {remedy}", evidence=evidence, skipped=True
        )
    if not job.files and not job.to_purge:
        return ActionResult(True, f"No file in {job.root} is old enough.", evidence=evidence, skipped=True)
    return _carry_out(job, evidence)


@prune_directory.capture
def _capture(params: Params, context: ActionContext) -> dict[str, Any]:
    try:
        job = _job(params, context)
    except _RefusedError:
        return {}
    return {"root": str(job.root), "folder": job.folder, "file_count": len(job.files), "to_purge": job.to_purge}


@prune_directory.check
def _check(params: Params, before: Params, context: ActionContext) -> CheckAnswer:
    if not before or not (root := Path(before["root"])).is_dir():
        return "unknown"
    moved, left = len(held(root, before["folder"])), quarantines(root)
    purged = sum(folder not in left for folder in before["to_purge"])
    if moved >= before["file_count"] and purged == len(before["to_purge"]) and moved + purged:
        return "succeeded"
    return "unknown" if moved or purged else "skipped"


@prune_directory.undo
def _undo(params: Params, before: Params, context: ActionContext) -> ActionResult:
    if not before:
        return ActionResult(True, "Nothing was moved.", skipped=True)
    root, folder = Path(before["root"]), str(before["folder"])
    waiting = held(root, folder)
    if not waiting:
        gone = "it expired or was undone before"
        return ActionResult(True, f"The quarantine {folder} of {root} is empty: {gone}.", skipped=True)
    if context.dry_run:
        return ActionResult(True, f"Dry run: would move {len(waiting)} file(s) back into {root}.")
    restored, failed = move_back(root, folder)
    detail = f"Moved {len(restored)} file(s) back into {root}."
    if failed:
        detail += f" {len(failed)} could not be moved back and stay in quarantine: {'; '.join(failed[:5])}."
    return ActionResult(success=not failed, detail=detail, evidence={"failed": failed[:SHOWN_FILES]})


@prune_directory.drill
def _drill(context: ActionContext) -> dict[str, Any]:
    """Prepare a folder with one old file; what drills that were cut short left is removed."""
    for left in drill_roots():
        shutil.rmtree(left, ignore_errors=True)
    root = Path(tempfile.mkdtemp(prefix=DRILL_PREFIX, dir=os.path.realpath(tempfile.gettempdir())))
    old = root / "old.tmp"
    old.write_text("A drill moves this file away and back.")
    os.utime(old, (0, 0))
    return {"root": str(root), "delete": True}


@prune_directory.clear
def _clear(params: Params, context: ActionContext) -> None:
    if Path(params["root"]) in drill_roots():
        shutil.rmtree(params["root"])


@prune_directory.propose
def _propose(goal: Goal, context: ActionContext) -> list[Candidate]:
    """Propose each configured folder, on the file system that the goal is about, that holds something old."""
    from storage.records import Candidate

    mount = re.search(r'mount="([^"]*)"', goal.series or "")
    candidates = []
    for root in context.options.get("roots") or ():
        try:
            job = _job({"root": root}, context)
        except _RefusedError:
            continue
        if not (job.files or job.to_purge) or (mount and not _is_on_mount(job.root, mount.group(1))):
            continue
        evidence = {"file_count": len(job.files), "bytes": sum(file.size_bytes for file in job.files)}
        params = {"root": str(job.root)}
        candidates.append(
            Candidate(action="prune_directory", params=params, target=f"folder:{job.root}", evidence=evidence)
        )
    return candidates


def _job(params: Params, context: ActionContext) -> _Job:
    is_drill = str(params.get("root")) in map(str, drill_roots())
    options = {} if is_drill else context.options
    root = (
        Path(params["root"])
        if is_drill
        else _allowed_root(params.get("root"), [str(path) for path in options.get("roots") or ()])
    )
    # The configuration is the bound: parameters may spare more, never take more.
    least_days = float(options.get("older_than_days", OLDER_THAN_DAYS))
    days = max(least_days, float(params.get("older_than_days", least_days)))
    patterns = tuple(str(source["pattern"]) for source in (options, params) if source.get("pattern"))
    older_than = context.tick - timedelta(days=days)
    quarantine_days = float(options.get("quarantine_days", QUARANTINE_DAYS))
    if quarantine_days <= 0:
        raise _RefusedError("quarantine_days must be more than 0, or the action could not be undone.")
    empty_before = context.tick - timedelta(days=quarantine_days)
    return _Job(
        root=root,
        files=find_old(root, patterns, older_than, int(options.get("max_files", MAX_FILES))),
        folder=folder_name(context.tick, context.action_id),
        to_purge=[name for name, filled in quarantines(root).items() if filled < empty_before],
        older_than=older_than,
        is_for_real=params.get("delete", options.get("delete")) is True,
    )


def _carry_out(job: _Job, evidence: dict[str, Any]) -> ActionResult:
    moved, failed = move_out(job.root, job.files, job.folder) if job.files else ([], [])
    freed = purge(job.root, job.to_purge)
    evidence |= {
        "quarantine": job.folder,
        "moved_count": len(moved),
        "failed": failed[:SHOWN_FILES],
        "freed_bytes": freed,
    }
    detail = (
        f"Moved {len(moved)} file(s) from {job.root} to its quarantine and freed {freed / MEGABYTE:.1f} MB for good."
    )
    if failed:
        detail += f" {len(failed)} could not be moved: {'; '.join(failed[:5])}."
    return ActionResult(success=not failed, detail=detail, evidence=evidence)


def drill_roots() -> list[Path]:
    """Return the folders that drills of this user made and that are still there."""
    folders = Path(os.path.realpath(tempfile.gettempdir())).glob(f"{DRILL_PREFIX}*")
    return [path for path in folders if path.is_dir() and not path.is_symlink() and path.stat().st_uid == os.getuid()]


def _allowed_root(asked: Any, roots: list[str]) -> Path:
    if not isinstance(asked, str) or asked not in roots:
        raise _RefusedError(f"the folder {asked!r} is not configured. {REMEDY}")
    root = Path(asked)
    if not root.is_absolute() or ".." in root.parts:
        raise _RefusedError(f"{asked} is not an absolute path.")
    if os.path.realpath(root) != os.path.normpath(root):
        raise _RefusedError(f"{asked} leads through a symbolic link. Name the folder itself.")
    if str(root) in NEVER_ITSELF or root == Path.home() or any(root.is_relative_to(path) for path in NEVER_BELOW):
        raise _RefusedError(f"{asked} belongs to the system or is a whole home folder.")
    if not root.is_dir():
        raise _RefusedError(f"there is no folder {asked}.")
    return root


def _is_on_mount(root: Path, mount: str) -> bool:
    try:
        return os.stat(root).st_dev == os.stat(mount).st_dev
    except OSError:
        return False


def _shown(file: OldFile) -> dict[str, Any]:
    return {"path": file.path, "bytes": file.size_bytes, "modified_at": file.modified_at.isoformat()}
