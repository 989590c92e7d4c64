"""Moving old files out of the way, and back, without ever following a link or leaving the folder.

Every path is opened one part at a time below an open folder, and a part that is a symbolic link is refused, so
that nobody can redirect a move by swapping a folder for a link while it runs.
"""

from __future__ import annotations

import errno
import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath

QUARANTINE = ".foreact-quarantine"
STAMP = "%Y%m%dT%H%M%S"
FOLDER_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW


@dataclass(frozen=True)
class OldFile:
    """A file that is old enough, by its path below the root."""

    path: str
    size_bytes: int
    modified_at: datetime


def find_old(root: Path, patterns: tuple[str, ...], older_than: datetime, limit: int) -> list[OldFile]:
    """Return up to `limit` regular files below `root` last changed before `older_than`, oldest first.

    A file's name must match every pattern. Links, other file systems and quarantines are left out.
    """
    old_files = []
    device = os.stat(root).st_dev
    for folder, folders, names, folder_fd in os.fwalk(root, follow_symlinks=False):
        folders[:] = sorted(name for name in folders if name != QUARANTINE and _is_on(device, name, folder_fd))
        for name in names:
            if not all(fnmatchcase(name, pattern) for pattern in patterns):
                continue
            try:
                status = os.stat(name, dir_fd=folder_fd, follow_symlinks=False)
            except OSError:
                continue
            if stat.S_ISREG(status.st_mode) and status.st_mtime < older_than.timestamp():
                path = os.path.relpath(os.path.join(folder, name), root)
                old_files.append(OldFile(path, status.st_size, datetime.fromtimestamp(status.st_mtime, UTC)))
    return sorted(old_files, key=lambda file: (file.modified_at, file.path))[:limit]


def folder_name(tick: datetime, action_id: str) -> str:
    """Return the name of an action's own folder in the quarantine; it begins with the time it was filled."""
    safe = "".join(letter if letter.isalnum() or letter in "-_" else "_" for letter in action_id)
    return f"{tick.astimezone(UTC):{STAMP}}-{safe or 'unnamed'}"


def move_out(root: Path, files: list[OldFile], folder: str) -> tuple[list[OldFile], list[str]]:
    """Move files into a folder of the quarantine, under the same paths; returns those moved and what failed."""
    moved, failed = [], []
    with _opened(root, (QUARANTINE, folder), create=True) as into:
        for file in files:
            parts = PurePosixPath(file.path)
            try:
                with (
                    _opened(root, parts.parent.parts) as source,
                    _opened(into, parts.parent.parts, create=True) as target,
                ):
                    _move_without_replacing(parts.name, source, target)
                moved.append(file)
            except OSError as error:
                failed.append(f"{file.path}: {error.strerror}")
    return moved, failed


def move_back(root: Path, folder: str) -> tuple[list[str], list[str]]:
    """Move everything in a quarantine folder back to where it was; never over a file that is there now."""
    restored, failed = [], []
    with _opened(root, (QUARANTINE,)) as quarantine:
        for path in held(root, folder):
            parts = PurePosixPath(path)
            try:
                with (
                    _opened(quarantine, (folder, *parts.parent.parts)) as source,
                    _opened(root, parts.parent.parts, create=True) as target,
                ):
                    _move_without_replacing(parts.name, source, target)
                restored.append(path)
            except OSError as error:
                failed.append(f"{path}: {error.strerror}")
        if not failed:
            shutil.rmtree(folder, ignore_errors=True, dir_fd=quarantine)
    return restored, failed


def held(root: Path, folder: str) -> list[str]:
    """Return the paths of the files that a quarantine folder holds, relative to it."""
    try:
        with _opened(root, (QUARANTINE, folder)) as base:
            return sorted(os.path.normpath(os.path.join(where, name)) for where, name, _ in _files_below(base))
    except OSError:
        return []


def quarantines(root: Path) -> dict[str, datetime]:
    """Return the folders of the quarantine with the time at which each was filled, oldest first."""
    try:
        with _opened(root, (QUARANTINE,)) as base, os.scandir(base) as entries:
            names = sorted(entry.name for entry in entries if entry.is_dir(follow_symlinks=False))
    except OSError:
        return {}
    filled = {}
    for name in names:
        try:
            filled[name] = datetime.strptime(name.partition("-")[0], STAMP).replace(tzinfo=UTC)
        except ValueError:
            continue
    return filled


def purge(root: Path, folders: list[str]) -> int:
    """Delete quarantine folders for good; returns the bytes freed."""
    freed = 0
    for folder in folders:
        with _opened(root, (QUARANTINE, folder)) as base:
            freed += sum(size for _, _, size in _files_below(base))
        with _opened(root, (QUARANTINE,)) as quarantine:
            shutil.rmtree(folder, dir_fd=quarantine)
    return freed


def _files_below(base: int) -> Iterator[tuple[str, str, int]]:
    for where, _, names, folder_fd in os.fwalk(".", follow_symlinks=False, dir_fd=base):
        for name in names:
            yield where, name, os.stat(name, dir_fd=folder_fd, follow_symlinks=False).st_size


def _is_on(device: int, name: str, folder_fd: int) -> bool:
    try:
        status = os.stat(name, dir_fd=folder_fd, follow_symlinks=False)
    except OSError:
        return False
    return stat.S_ISDIR(status.st_mode) and status.st_dev == device


@contextmanager
def _opened(root: Path | int, parts: tuple[str, ...], *, create: bool = False) -> Iterator[int]:
    """Open a folder below another one part at a time; OSError where a part is a link or is no plain name."""
    folder_fd = os.dup(root) if isinstance(root, int) else os.open(root, FOLDER_FLAGS)
    try:
        for part in parts:
            if "/" in part or part in {"", ".", ".."}:
                raise OSError(errno.EINVAL, f"{part!r} is no name of a folder")
            if create:
                with suppress(FileExistsError):
                    os.mkdir(part, 0o700, dir_fd=folder_fd)
            deeper = os.open(part, FOLDER_FLAGS, dir_fd=folder_fd)
            os.close(folder_fd)
            folder_fd = deeper
        yield folder_fd
    finally:
        os.close(folder_fd)


def _move_without_replacing(name: str, source: int, target: int) -> None:
    """Move a file within its file system; unlike a rename this fails where the name is taken."""
    try:
        os.link(name, name, src_dir_fd=source, dst_dir_fd=target, follow_symlinks=False)
    except FileExistsError:
        # An earlier move that was killed half way left both names on the one file.
        if not _is_same_file(name, source, target):
            raise
    except OSError as error:
        if error.errno not in {errno.EPERM, errno.ENOTSUP, errno.EMLINK} or _exists(name, target):
            raise
        os.rename(name, name, src_dir_fd=source, dst_dir_fd=target)
        return
    os.unlink(name, dir_fd=source)


def _is_same_file(name: str, first: int, second: int) -> bool:
    one, other = (os.stat(name, dir_fd=folder, follow_symlinks=False) for folder in (first, second))
    return os.path.samestat(one, other)


def _exists(name: str, folder: int) -> bool:
    try:
        os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True
