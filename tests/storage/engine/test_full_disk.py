"""A full disk: refused as such, nothing acknowledged lost, and the next write goes on once there is room."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

from storage import open_store
from storage.engine.protocol import is_fatal, refusal_for
from storage.errors import ForeactError, TransientError
from tests import PROJECT

LIFE = """
import resource, signal, sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from storage import ForeactError, TransientError, open_store, own_store
from storage.records import Sample

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
path, start = Path(sys.argv[1]), datetime(2026, 1, 1, tzinfo=UTC)
store, acknowledged, told = own_store(path), 0, set()
fatal = []
store.engine.on_fatal = fatal.append

def put(seconds):
    global acknowledged
    store.samples.append([Sample(metric="m", value=1.0, ts=start + timedelta(seconds=k)) for k in range(2_000)])
    acknowledged += 2_000

def limit(size):
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))

put(0)
store.probe_write()
# The kernel refuses to let any file grow beyond this, as a full disk does.
limit(400_000)
for k in range(20):
    try:
        put(k)
        if sys.argv[2] == "checkpoint":
            store.engine.rows("CHECKPOINT")
    except (ForeactError, TransientError) as refusal:
        told.add(getattr(refusal, "code", "transient"))
limit(0)
try:
    store.probe_write()
except (ForeactError, TransientError) as refusal:
    told.add("probe " + getattr(refusal, "code", "transient"))
limit(resource.RLIM_INFINITY)
if fatal:
    store.close()
    store = own_store(path)
put(99)
store.probe_write()
((count,),) = store.engine.rows("SELECT count(*) FROM samples")
store.close()
with open_store(path) as again:
    ((kept,),) = again.engine.rows("SELECT count(*) FROM samples")
print(sorted(told), bool(fatal), count >= acknowledged, kept == count)
"""


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ("write", "['disk_full', 'probe disk_full'] False True True"),
        ("checkpoint", "['disk_full', 'probe disk_full'] True True True"),
    ],
)
def test_a_full_disk_is_refused_as_one_and_nothing_acknowledged_is_lost(tmp_path: Path, where: str, said: str) -> None:
    command = [sys.executable, "-c", LIFE, str(tmp_path / "f.duckdb"), where]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == said, done.stderr


@pytest.mark.parametrize(
    ("text", "kind", "ends"),
    [
        ("Could not write file: No space left on device", 507, False),
        ("This limit was set by the 'max_temp_directory_size' setting", 507, False),
        ("Cannot open file: Read-only file system", 507, False),
        ("database has been invalidated because of a previous fatal error", TransientError, True),
        ("been invalidated … Original error: No space left on device", 507, True),
        ("Corrupt database file: computed checksum 1 does not match stored checksum 2", TransientError, True),
        ("Conflict on tuple deletion", None, False),
    ],
)
def test_what_is_told_of_trouble_with_the_disk_says_what_to_do(text: str, kind: object, ends: bool) -> None:
    trouble = duckdb.IOException(text)
    refusal = refusal_for(trouble)
    found = refusal.status if isinstance(refusal, ForeactError) else type(refusal) if refusal else None
    assert (found, is_fatal(trouble)) == (kind, ends)


def test_once_there_was_no_room_for_temporary_files_they_are_made_as_soon_as_there_is(tmp_path: Path) -> None:
    spills = "SELECT count(*) FROM (SELECT DISTINCT hash(i) FROM range(1_500_000) t(i))"
    with open_store(tmp_path / "f.duckdb") as store:
        for setting in ("threads = 1", "memory_limit = '25MB'", "max_temp_directory_size = '0KB'"):
            store.engine.rows(f"SET {setting}")
        with pytest.raises(ForeactError) as refusal:
            store.engine.rows(spills)
        assert refusal.value.code == "disk_full"
        assert store.engine.rows(spills) == [(1_500_000,)]
