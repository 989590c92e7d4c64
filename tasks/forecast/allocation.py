"""Memory for results that are too large for the allocator to have kept."""

from __future__ import annotations

import ctypes
import math
import mmap
from contextlib import suppress
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

LEAST_BYTES = 4 << 20  # below, numpy's own memory is made of plain pages, and often still warm
FLAGS = ("MAP_PRIVATE", "MAP_ANONYMOUS", "MAP_POPULATE")
Real = TypeVar("Real", np.float32, np.float64)


def unwritten(shape: tuple[int, ...], dtype: type[Real]) -> NDArray[Real]:
    """Return an array of any content, all of which the caller is going to write.

    numpy asks for huge pages. Where the system first has to make them (a virtual machine that gives freed memory back
    to its host, fragmented memory) they took six times as long as plain pages taken all at once (`MAP_POPULATE` in
    mmap(2)), which is what large arrays get here. Systems without that get numpy's own.
    """
    size = math.prod(shape) * np.dtype(dtype).itemsize
    if size < LEAST_BYTES or not all(hasattr(mmap, flag) for flag in FLAGS):
        return np.empty(shape, dtype)
    flags = sum(getattr(mmap, flag) for flag in FLAGS)
    return np.frombuffer(mmap.mmap(-1, size, flags=flags), dtype).reshape(shape)


LARGEST_LESSON_BYTES = (32 << 20) - (64 << 10)  # glibc learns nothing from larger ones


def keep_freed_memory() -> None:
    """Let the allocator keep what one block of series frees for the next one, at most 64 MB.

    glibc hands memory back to the system beyond twice the largest mapped block that was freed, and faulting it in
    again took half the time of a forecast of twenty series. Freeing one large block, never touched, raises that
    limit (`M_MMAP_THRESHOLD` in mallopt(3)); with other allocators nothing happens.
    """
    np.empty(LARGEST_LESSON_BYTES, dtype=np.uint8)


def give_back_freed_memory() -> None:
    """Hand back to the system what `keep_freed_memory` kept; with other allocators than glibc's nothing happens."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
