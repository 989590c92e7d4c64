"""Pruning takes away what it says, nothing else, and brings it back."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from handlers import ActionContext, discover_actions
from handlers.sandbox.parent import call
from handlers.support.quarantine import QUARANTINE, find_old, folder_name, held, move_back, move_out
from storage.records import ReceiptStatus
from tests.handlers.conftest import TICK, context_for, make_goal

PRUNE = discover_actions()["prune_directory"]


def write(path: Path, days_old: float, text: str = "x") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    then = (TICK - timedelta(days=days_old)).timestamp()
    os.utime(path, (then, then), follow_symlinks=False)
    return path


def listing(root: Path) -> dict[str, str]:
    return {
        str(path.relative_to(root)): path.read_text()
        for path in root.rglob("*")
        if path.is_file() and QUARANTINE not in path.parts
    }


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "cache"
    write(folder / "old.tmp", 40, "old")
    write(folder / "deep" / "er" / "older.tmp", 90, "older")
    write(folder / "kept.log", 90)
    write(folder / "new.tmp", 3)
    return folder


def context(root: Path, **changes: Any) -> ActionContext:
    options = {"roots": [str(root)], "pattern": "*.tmp", "delete": True} | changes.pop("options", {})
    return context_for(options=options, **changes)


def test_old_files_go_to_quarantine_and_come_back(root: Path) -> None:
    params, original = {"root": str(root)}, listing(root)
    before = call(PRUNE, "capture", params, None, context(root)).value
    assert before is not None
    assert call(PRUNE, "check", params, before, context(root)).status is ReceiptStatus.SKIPPED
    done = call(PRUNE, "run", params, before, context(root))
    assert done.status is ReceiptStatus.SUCCEEDED, done.detail
    assert set(listing(root)) == {"kept.log", "new.tmp"}
    assert call(PRUNE, "check", params, before, context(root)).status is ReceiptStatus.SUCCEEDED
    assert call(PRUNE, "undo", params, before, context(root)).status is ReceiptStatus.SUCCEEDED
    assert listing(root) == original
    assert call(PRUNE, "undo", params, before, context(root)).status is ReceiptStatus.SKIPPED


@pytest.mark.parametrize("how", [{"options": {"delete": False}}, {"dry_run": True}])
def test_by_default_it_only_says_what_it_would_do(root: Path, how: dict[str, Any]) -> None:
    original = listing(root)
    result = PRUNE.run({"root": str(root)}, context(root, **how))
    assert "would move 2 file(s)" in result.detail
    assert [file["path"] for file in result.evidence["files"]] == ["deep/er/older.tmp", "old.tmp"]
    assert listing(root) == original
    assert not (root / QUARANTINE).exists()


def test_what_is_truthy_but_not_true_deletes_nothing(root: Path) -> None:
    assert PRUNE.run({"root": str(root), "delete": "yes"}, context(root)).skipped
    assert len(listing(root)) == 4


def test_parameters_can_spare_files_but_not_take_more_than_the_configuration_says(root: Path) -> None:
    spared = PRUNE.run({"root": str(root), "older_than_days": 60}, context(root, dry_run=True))
    assert spared.evidence["file_count"] == 1
    greedy = PRUNE.run({"root": str(root), "older_than_days": 0, "pattern": "*"}, context(root, dry_run=True))
    assert greedy.evidence["file_count"] == 2


@pytest.mark.parametrize("path", ["/", "/etc", "/usr/share", "/var", "/nowhere/at/all", "relative", "/tmp/../etc"])
def test_system_folders_are_refused_even_if_configured(path: str) -> None:
    result = PRUNE.run({"root": path}, context_for(options={"roots": [path], "delete": True}))
    assert not result.success
    assert result.detail.startswith("Refused")


def test_a_folder_below_a_configured_one_is_not_itself_configured(root: Path) -> None:
    for asked in (str(root / "deep"), f"{root}/", f"{root}/../other", None, 3):
        assert "not configured" in PRUNE.run({"root": asked}, context(root)).detail


def test_links_are_neither_followed_nor_moved(root: Path, tmp_path: Path) -> None:
    outside = write(tmp_path / "outside" / "precious.tmp", 90)
    (root / "link.tmp").symlink_to(outside)
    (root / "folder").symlink_to(outside.parent)
    assert PRUNE.run({"root": str(root)}, context(root)).success
    assert outside.exists()
    assert (root / "link.tmp").is_symlink()
    linked = tmp_path / "linked"
    linked.symlink_to(root)
    assert "symbolic link" in PRUNE.run({"root": str(linked)}, context(linked)).detail


def test_a_quarantine_that_is_a_link_is_not_used(root: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (root / QUARANTINE).symlink_to(elsewhere)
    original = listing(root)
    assert not PRUNE.run({"root": str(root)}, context(root)).success
    assert listing(root) == original
    assert list(elsewhere.iterdir()) == []


def test_a_file_that_came_back_meanwhile_is_not_overwritten_by_undo(root: Path) -> None:
    params = {"root": str(root)}
    before = PRUNE.capture(params, context(root))
    assert PRUNE.run(params, context(root)).success
    (root / "old.tmp").write_text("new content")
    result = PRUNE.undo(params, before, context(root))
    assert not result.success
    assert "old.tmp" in result.detail
    assert (root / "old.tmp").read_text() == "new content"
    assert held(root, before["folder"]) == ["old.tmp"]
    assert (root / "deep" / "er" / "older.tmp").read_text() == "older"


def test_a_quarantine_is_emptied_when_its_days_are_over_and_not_before(root: Path) -> None:
    params = {"root": str(root)}
    assert PRUNE.run(params, context(root)).success
    week = ActionContext(tick=TICK + timedelta(days=6.9), action_id="next", options=context(root).options)
    assert PRUNE.run(params, week).skipped
    later = ActionContext(tick=TICK + timedelta(days=7.1), action_id="last", options=context(root).options)
    before = PRUNE.capture(params, later)
    result = PRUNE.run(params, later)
    assert result.success
    assert result.evidence["freed_bytes"] == len("old") + len("older")
    assert PRUNE.check(params, before, later) is ReceiptStatus.SUCCEEDED
    assert list((root / QUARANTINE).iterdir()) == []


def test_a_move_that_was_killed_between_its_two_steps_is_neither_lost_nor_doubled(root: Path) -> None:
    folder = folder_name(TICK, "action-1")
    files = find_old(root, ("*.tmp",), TICK - timedelta(days=30), 100)
    move_out(root, files, folder)
    os.link(root / QUARANTINE / folder / "old.tmp", root / "old.tmp")
    restored, failed = move_back(root, folder)
    assert (sorted(restored), failed) == (["deep/er/older.tmp", "old.tmp"], [])
    assert (root / "old.tmp").stat().st_nlink == 1


def test_an_action_half_done_is_unknown_and_can_be_undone(root: Path) -> None:
    params = {"root": str(root)}
    before, original = PRUNE.capture(params, context(root)), listing(root)
    files = find_old(root, ("*.tmp",), TICK - timedelta(days=30), 100)
    move_out(root, files[:1], before["folder"])
    assert PRUNE.check(params, before, context(root)) is ReceiptStatus.UNKNOWN
    assert PRUNE.undo(params, before, context(root)).success
    assert listing(root) == original


def test_a_folder_with_old_files_is_proposed_for_the_file_system_it_lies_on(root: Path) -> None:
    proposed = PRUNE.propose(make_goal("disk_used_ratio"), context(root))
    assert [candidate.params for candidate in proposed] == [{"root": str(root)}]
    assert proposed[0].evidence["file_count"] == 2
    assert PRUNE.propose(make_goal('disk_used_ratio{mount="/proc"}'), context(root)) == []
    assert PRUNE.propose(make_goal("cpu_used_ratio"), context(root)) == []


names = st.text(alphabet="ab.-_ é*[", min_size=1, max_size=8).filter(lambda name: name not in {".", ".."})


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(st.lists(names, min_size=1, max_size=3).map("/".join), st.floats(0, 60), max_size=6))
def test_out_and_back_leaves_every_tree_as_it_was(tmp_path_factory: pytest.TempPathFactory, tree: Any) -> None:
    root = tmp_path_factory.mktemp("tree")
    for path, days_old in tree.items():
        try:
            write(root / path, days_old, path)
        except (NotADirectoryError, FileExistsError, IsADirectoryError):
            continue
    original, limit = listing(root), TICK - timedelta(days=30)
    old = find_old(root, (), limit, 100)
    moved, failed = move_out(root, old, "20260301T120000-x")
    assert (moved, failed) == (old, [])
    assert set(listing(root)) == set(original) - {file.path for file in old}
    assert move_back(root, "20260301T120000-x")[1] == []
    assert listing(root) == original
