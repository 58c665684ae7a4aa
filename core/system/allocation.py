"""How the C library's allocator treats freed memory: no number changes.

Keeping freed memory makes a step up to twice as fast. glibc gives a large block back to the system as soon as it is freed, and
asks for another one the next moment: each step of a style transfer then spends a good part of its time in page faults (a page
of 4 KiB is cleared by the kernel at its first touch; docs/fast.md counts them). The allocator can be told to keep what was
freed; the peak grows by a few per cent.
"""

from __future__ import annotations

import contextlib
import ctypes
from collections.abc import Iterator

# mallopt's parameters (glibc's malloc.h), and what they are set to.
#: How many blocks may be mapped by themselves: none; or glibc's own number.
M_MMAP_MAX, NO_MAPPING, MAPPINGS = -4, 0, 65536
#: From how many bytes on a block is mapped: the most that is allowed, half of what a thread's heap has at first.
M_MMAP_THRESHOLD, LARGE = -3, 32 * 2**20
#: From how many bytes on the free end of the heap is given back: never (2**31 - 1 would be 2 GiB).
M_TRIM_THRESHOLD, NEVER = -1, -1
#: By how many bytes the heap grows.
M_TOP_PAD, STRIDE = -2, 64 * 2**20

#: Whether :func:`keep_freed_memory` was called; and whether large blocks are kept at this moment.
keeps = kept_now = False


def keep_freed_memory() -> bool:
    """Tell the C library to keep freed memory for the process. For programs: a library should leave this to its caller.

    Returns whether it does. Only glibc can; on musl, macOS and Windows nothing changes.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return False
    global keeps, kept_now
    settings = ((M_MMAP_THRESHOLD, LARGE), (M_MMAP_MAX, NO_MAPPING), (M_TRIM_THRESHOLD, NEVER), (M_TOP_PAD, STRIDE))
    accepted = [mallopt(ctypes.c_int(name), ctypes.c_int(value)) == 1 for name, value in settings]
    keeps = kept_now = all(accepted)
    return keeps


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


def _keep_large_blocks(kept: bool) -> None:
    global kept_now
    if keeps and kept != kept_now:
        ctypes.CDLL(None).mallopt(ctypes.c_int(M_MMAP_MAX), ctypes.c_int(NO_MAPPING if kept else MAPPINGS))
        kept_now = kept


def give_back_freed_memory() -> None:
    """Give back now what was freed and kept: whole pages, and by glibc only."""
    with contextlib.suppress(AttributeError, OSError, TypeError):
        ctypes.CDLL(None).malloc_trim(ctypes.c_size_t(0))
