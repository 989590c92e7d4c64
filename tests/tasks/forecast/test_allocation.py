"""Memory for large results: written like any other, and given back when the result goes."""

from __future__ import annotations

import pickle

import numpy as np
import psutil
import pytest

from tasks.forecast.allocation import LEAST_BYTES, give_back_freed_memory, keep_freed_memory, unwritten


@pytest.mark.parametrize("rows", [3, 3 * LEAST_BYTES // 4096])
def test_an_array_of_any_size_can_be_written_and_travels_to_another_process(rows: int) -> None:
    array = unwritten((rows, 512), np.float64)
    array[:] = np.arange(rows)[:, None]
    assert array.dtype == np.float64
    assert array.flags.c_contiguous
    np.testing.assert_array_equal(
        pickle.loads(pickle.dumps(array)), np.repeat(np.arange(float(rows)), 512).reshape(rows, 512)
    )


def test_memory_goes_back_to_the_system_with_the_last_view_of_the_array() -> None:
    process, megabytes = psutil.Process(), 256
    before = process.memory_info().rss
    array = unwritten((megabytes, 1 << 18), np.float32)
    array[:] = 1
    view = array[0]
    del array
    assert process.memory_info().rss - before > 0.9 * megabytes * 2**20
    del view
    assert process.memory_info().rss - before < 0.1 * megabytes * 2**20


def test_what_was_freed_goes_back_to_the_system_when_told_to() -> None:
    keep_freed_memory()
    kept = [np.ones(1 << 17) for _ in range(40)]
    process, guard = psutil.Process(), np.ones(1 << 10)
    del kept
    before = process.memory_info().rss
    give_back_freed_memory()
    assert process.memory_info().rss <= before
    assert guard.all()
