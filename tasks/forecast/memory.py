"""What the allocator keeps between blocks of series."""

from __future__ import annotations

import numpy as np

LARGEST_LESSON_BYTES = (32 << 20) - (64 << 10)  # glibc learns nothing from larger ones


def keep_freed_memory() -> None:
    """Let the allocator keep what one block of series frees for the next one, at most 64 MB.

    glibc hands memory back to the system beyond twice the largest mapped block that was freed, and faulting it in
    again took half the time of a forecast of twenty series. Freeing one large block, never touched, raises that
    limit (`M_MMAP_THRESHOLD` in mallopt(3)); with other allocators nothing happens.
    """
    np.empty(LARGEST_LESSON_BYTES, dtype=np.uint8)
