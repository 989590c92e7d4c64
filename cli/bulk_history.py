"""Import history that is much: Parquet files, and CSV files of many rows, read as whole columns."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np

from cli.history_file import MANY_ROWS, MOST_NAMED, Imported, further_remedies, unusable
from settings import utc_now
from storage import Store
from storage.files.data_files import FileLayout, SeriesColumns, read_series, told_row
from storage.sample_window import micros, moment_at

MANY_BYTES = 20_000_000


def is_bulk(file: Path) -> bool:
    """Tell whether a file is read as columns, which takes a tenth of the time."""
    return file.is_file() and file.stat().st_size > MANY_BYTES


def bring_in_bulk(store: Store, file: Path, unit: str = "", timezone: str = "UTC") -> Imported:
    """Record a file's samples and return what became of it; see `read_series` for its forms.

    A moment without a zone is told by the clock of `timezone`. What cannot be used is left out, of points of one series
    and moment the last counts. Importing the same file twice changes nothing. Raises `file_unusable`.
    """
    found = _without_unusable(read_series(str(file), FileLayout(timezone=timezone)), file)
    done = Imported(left_out=found.left_out, first_left_out=list(found.first_left_out), clock=found.clock)
    done.labels = tuple(dict.fromkeys(name for _, labels in found.identities for name in labels))
    done.remedy += further_remedies(found.is_wide, timezone == "UTC" and not found.names_zone)
    found, done.replaced = _last_of_each(found)
    for part in found.in_parts(unit):
        before = store.samples.recorded_values(part)
        is_known = before == part.values
        done.known += int(is_known.sum())
        done.replaced += int((~is_known & np.isfinite(before)).sum())
        done.recorded += store.samples.append_columns(part.where(~is_known))
        done.series.update(part.series)
    return done


def _without_unusable(found: SeriesColumns, file: Path) -> SeriesColumns:
    """Leave out points in the future and those whose names hold control characters; refuse a label that explodes."""
    _refuse_exploding_labels(found, file)
    latest_us = micros(utc_now() + timedelta(days=1))
    plain = np.array([all(map(str.isprintable, (name, *labels.values()))) for name, labels in found.identities])
    is_usable = (found.moments_us <= latest_us) & plain[found.places]
    if not is_usable.any() and len(found):
        earliest = moment_at(found.moments_us.min()).isoformat()
        raise unusable(file, f"all of its times lie in the future, or its names hold control characters: {earliest}")
    wrong = np.flatnonzero(~is_usable)
    told = [
        told_row(row, value, moment_at(at_us).isoformat())
        for row, value, at_us in zip(
            *(column[wrong[:MOST_NAMED]].tolist() for column in (found.rows, found.values, found.moments_us)),
            strict=True,
        )
    ]
    named = (*found.first_left_out, *told)[:MOST_NAMED]
    return replace(found.where(is_usable), left_out=found.left_out + len(wrong), first_left_out=named)


def _refuse_exploding_labels(found: SeriesColumns, file: Path) -> None:
    if len(found) < MANY_ROWS or len(found.identities) <= len(found) / 2:
        return
    for name in dict.fromkeys(name for _, labels in found.identities for name in labels):
        if len({labels.get(name) for _, labels in found.identities}) > len(found) / 2:
            raise unusable(
                file, f"as a label, its column {name!r} would make a series of almost every row; leave it out"
            )


def _last_of_each(found: SeriesColumns) -> tuple[SeriesColumns, int]:
    """Return the last point of each series and moment, and how many others had another value than the next."""
    ordered = found.where(np.lexsort((found.rows, found.moments_us, found.places)))
    is_same = np.zeros(len(ordered), dtype=bool)
    is_same[:-1] = (ordered.places[1:] == ordered.places[:-1]) & (ordered.moments_us[1:] == ordered.moments_us[:-1])
    differs = ordered.values[:-1] != ordered.values[1:]
    return ordered.where(~is_same), int((is_same[:-1] & differs).sum())
