"""What the machine says about memory, and amounts of it as text."""

from __future__ import annotations

import contextlib
import re
import sys
from collections.abc import Iterable
from functools import partial
from pathlib import Path

import psutil

from isostyle.checks import plain
from isostyle.errors import InputError, shown
from isostyle.system import allocation

if sys.platform != "win32":
    import resource

#: Buffers that depend on no picture, and memory that was freed in pieces into which nothing larger fits: programs keep what is
#: freed (:mod:`isostyle.system.allocation`).
CONSTANT = 256 * 2**20
#: Of what is free, the share that isostyle allows itself.
SHARE_OF_FREE = 0.9


def allowance(max_memory: str | int | None, *, on_cpu: bool, ask: bool) -> tuple[int | None, str]:
    """Bytes that may be taken beyond what the process has already, and what to call them; None if there is no limit.

    ``max_memory`` is a limit for the whole process, as :func:`parse` takes it. Without one the system is asked what is free, if
    that is wanted (``ask``); it says nothing of a device's own memory. Raises InputError for a limit that cannot be used.
    """
    if on_cpu:
        # What an earlier run has left is free, although the process still has it.
        allocation.give_back_freed_memory()
    if max_memory is None:
        limit = int(SHARE_OF_FREE * available()) if on_cpu and ask else None
        return limit, "" if limit is None else f"the {text_of(limit)} that can be used"
    most, used = parse(max_memory), resident() if on_cpu else 0
    if most <= used:
        raise InputError(f"the memory limit of {text_of(most)} is less than the {text_of(used)} that the program itself takes")
    return most - used, f"the {text_of(most - used)} that the memory limit leaves ({text_of(most)}, {text_of(used)} in use)"


class Allowance:
    """:func:`allowance` over many pictures: asked anew as the process grows."""

    def __init__(self, max_memory: str | int | None, *, on_cpu: bool, ask: bool) -> None:
        """Raises InputError as :func:`allowance`."""
        self.strict = max_memory is not None
        self.ask = partial(allowance, max_memory, on_cpu=on_cpu, ask=ask)
        self.asked, self.resident = self.ask(), resident()

    def now(self) -> tuple[int | None, str]:
        """As :func:`allowance`, before a picture of another size than the last one.

        What pictures of many sizes leave is freed in pieces that fit no other. To give it back takes time, for the next picture
        fetches it anew: so that is done for a limit of the user's, or when much has come together.

        Raises InputError as :func:`allowance`.
        """
        if self.strict or resident() > self.resident + CONSTANT:
            self.asked, self.resident = self.ask(), resident()
        return self.asked


def parse(amount: str | int) -> int:
    """Bytes, from a number of them or from a text as ``4GiB``, ``512 MiB`` or ``1.5GB``. Raises InputError if it is neither."""
    amount = plain(amount)
    if isinstance(amount, int) and not isinstance(amount, bool) and amount > 0:
        return amount
    if isinstance(amount, str):
        found = re.fullmatch(r"([0-9]{1,15}(?:\.[0-9]{1,15})?) ?([KMGT])(I?)B", amount.strip().upper())
        if found and (count := int(float(found[1]) * (1024 if found[3] else 1000) ** (" KMGT".index(found[2])))) > 0:
            return count
    raise InputError(f"the memory must be a number with KiB, MiB, GiB, MB or GB, as 4GiB, not {shown(amount)}")


def text_of(count: int) -> str:
    """4.2 GiB, 310 MiB."""
    return f"{count / 2**30:.1f} GiB" if count >= 2**30 else f"{max(count, 0) / 2**20:.0f} MiB"


def resident() -> int:
    """Bytes of memory that this process has now."""
    return int(psutil.Process().memory_info().rss)


def peak() -> int:
    """The most bytes of memory that this process has had."""
    if sys.platform == "win32":
        return int(psutil.Process().memory_info().peak_wset)
    # Linux counts into getrusage's, and not into VmHWM, what the parent had before it started this process.
    with contextlib.suppress(OSError):
        status = Path("/proc/self/status").read_text()
        if found := re.search(r"^VmHWM:\s*(\d+) kB", status, flags=re.MULTILINE):
            return int(found[1]) * 1024
    largest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return largest if sys.platform == "darwin" else largest * 1024


def available(proc: Path = Path("/proc"), cgroups: Path = Path("/sys/fs/cgroup")) -> int:
    """Bytes that can be had without swapping, on this machine and in the control groups of this process (Linux)."""
    return max(0, min([int(psutil.virtual_memory().available), *left_in_groups(proc, cgroups)]))


def left_in_groups(proc: Path, cgroups: Path) -> Iterable[int]:
    """What each control group above this process leaves (version 2: memory.max; version 1: memory.limit_in_bytes)."""
    listing = proc / "self" / "cgroup"
    for line in listing.read_text().splitlines() if listing.exists() else []:
        _, controllers, path = line.split(":", 2)
        if controllers and "memory" not in controllers.split(","):
            continue
        limit, usage = ("memory.limit_in_bytes", "memory.usage_in_bytes") if controllers else ("memory.max", "memory.current")
        place = (cgroups / "memory" if controllers else cgroups) / path.lstrip("/")
        # In a container the path may be the host's, which is not there; then the root is the container's own.
        for group in (place, *place.parents):
            # A group without a limit has no such file, or it says "max".
            with contextlib.suppress(OSError, ValueError):
                # Files that are only cached count as usage, and go when memory is needed.
                statistics = dict(row.split() for row in (group / "memory.stat").read_text().splitlines())
                cached = int(statistics.get("total_inactive_file", statistics.get("inactive_file", 0)))
                yield int((group / limit).read_text()) - int((group / usage).read_text()) + cached
