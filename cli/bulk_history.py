"""Import history that is much: Parquet files, and CSV files of many rows, read as whole columns."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from cli.history_file import Imported
from settings import utc_now
from storage import Store
from storage.data_files import FileLayout, read_series
from storage.errors import ForeactError

MANY_BYTES = 20_000_000


def is_bulk(file: Path) -> bool:
    """Tell whether a file is read as columns: row by row, its bad lines would be told one by one."""
    return file.is_file() and file.stat().st_size > MANY_BYTES


def bring_in_bulk(store: Store, file: Path, unit: str = "") -> Imported:
    """Record a file's samples and return what became of it; see `read_series` for its forms.

    A moment without a zone is in UTC. A value that is no finite number is left out. Importing the same file twice
    changes nothing. Raises `file_unusable`.
    """
    found = read_series(str(file), FileLayout())
    latest = datetime.fromtimestamp(found.moments_us.max() / 1e6, UTC) if len(found) else None
    if latest is not None and latest > utc_now() + timedelta(days=1):
        raise ForeactError(
            "file_unusable",
            f"{file} cannot be imported: it has times in the future, such as {latest.isoformat()}.",
            "Correct it, and import it again.",
        )
    done = Imported(left_out=found.left_out)
    for part in found.in_parts(unit):
        done.recorded += store.samples.append_columns(part)
        done.series.update(part.series)
    return done
