"""How the C library's allocator treats freed memory: no number changes. docs/fast.md says why a program should keep it."""

from __future__ import annotations

import contextlib
import ctypes
from collections.abc import Iterator, Mapping

# mallopt's parameters (glibc's malloc.h), and what they are set to.
#: How many blocks may be mapped by themselves: none; or glibc's own number.
M_MMAP_MAX, NO_MAPPING, MAPPINGS = -4, 0, 65536
#: From how many bytes on a block is mapped: the most that is allowed, half of what a thread's heap has at first.
M_MMAP_THRESHOLD, LARGE = -3, 32 * 2**20
#: From how many bytes on the free end of the heap is given back: never (2**31 - 1 would be 2 GiB).
M_TRIM_THRESHOLD, NEVER = -1, -1
#: By how many bytes the heap grows.
M_TOP_PAD, STRIDE = -2, 64 * 2**20
KEEP = {M_MMAP_THRESHOLD: LARGE, M_MMAP_MAX: NO_MAPPING, M_TRIM_THRESHOLD: NEVER, M_TOP_PAD: STRIDE}

#: Whether large blocks are kept at this moment; None if :func:`keep_freed_memory` was not called, or can do nothing here.
kept_now: bool | None = None


def keep_freed_memory() -> bool:
    """Tell the C library to keep freed memory for the process; whether it does: only glibc can. For programs: a library should
    leave this to its caller."""
    global kept_now
    kept_now = _accepted(KEEP) or None
    return kept_now is not None


@contextlib.contextmanager
def large_blocks(*, kept: bool) -> Iterator[None]:
    """While this lasts, large blocks are ``kept`` when they are freed, or given back at once.

    A run in tiles holds copies of a large picture, and makes and frees the smaller blocks of its tiles all the time: in one
    heap each kind leaves holes that the other does not fit into. Nothing changes unless :func:`keep_freed_memory` was called.
    """
    before = kept_now
    _keep_large_blocks(kept)
    try:
        yield
    finally:
        _keep_large_blocks(before)


def _keep_large_blocks(kept: bool | None) -> None:
    global kept_now
    if kept_now is not None and kept_now != kept:
        _accepted({M_MMAP_MAX: NO_MAPPING if kept else MAPPINGS})
        kept_now = kept


def _accepted(settings: Mapping[int, int]) -> bool:
    """Whether the C library takes settings of its allocator, each a parameter of mallopt's and a value."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return False
    return all(mallopt(name, value) == 1 for name, value in settings.items())


def give_back_freed_memory() -> None:
    """Give back now what was freed and kept: whole pages, and by glibc only."""
    with contextlib.suppress(AttributeError, OSError, TypeError):
        ctypes.CDLL(None).malloc_trim(ctypes.c_size_t(0))
