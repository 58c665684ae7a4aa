"""Memory that a program keeps instead of giving it back: no number changes, and a step is up to twice as fast.

glibc gives a large block back to the system as soon as it is freed, and asks for another one the next moment: each step of a
style transfer then spends a good part of its time in page faults (a page of 4 KiB is cleared by the kernel at its first touch;
docs/fast.md counts them). The allocator can be told to keep what was freed; the peak grows by a few per cent.
"""

from __future__ import annotations

import contextlib
import ctypes

#: mallopt's parameters and what they are set to (glibc's malloc.h): no block is mapped by itself, ...
M_MMAP_MAX, NO_MAPPING = -4, 0
#: ... the heap's free end is never given back (2**31 - 1 would be a threshold of 2 GiB), ...
M_TRIM_THRESHOLD, NEVER = -1, -1
#: ... and grows by 64 MiB at a time.
M_TOP_PAD, STRIDE = -2, 64 * 2**20


def keep_freed_memory() -> bool:
    """Tell the C library to keep freed memory for the process. For programs: a library should leave this to its caller.

    Returns whether it could be told; only glibc can (not musl, macOS, Windows), and elsewhere nothing changes.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return False
    settings = ((M_MMAP_MAX, NO_MAPPING), (M_TRIM_THRESHOLD, NEVER), (M_TOP_PAD, STRIDE))
    accepted = [mallopt(ctypes.c_int(name), ctypes.c_int(value)) == 1 for name, value in settings]
    return all(accepted)


def give_back_freed_memory() -> None:
    """Give back now what was freed and kept, as far as glibc can: whole pages. Elsewhere nothing happens."""
    with contextlib.suppress(AttributeError, OSError, TypeError):
        ctypes.CDLL(None).malloc_trim(ctypes.c_size_t(0))
