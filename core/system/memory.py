"""What the machine says about memory, and amounts of it as text."""

from __future__ import annotations

import contextlib
import os
import re
import sys
from collections.abc import Iterable
from pathlib import Path

from isostyle.errors import InputError, shown
from isostyle.system import allocation

#: Buffers that depend on no picture, and memory that was freed in pieces into which nothing larger fits: programs keep what is
#: freed (:mod:`isostyle.system.allocation`).
CONSTANT = 256 * 2**20
#: Of what is free, the share that isostyle allows itself.
SHARE_OF_FREE = 0.9
UNITS = {"KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}


def allowance(max_memory: str | int | None, *, on_cpu: bool, ask: bool) -> tuple[int | None, str]:
    """Bytes that may be taken beyond what the process has already, and what to call them; None if there is no limit.

    Args:
        max_memory: of the whole process, as :func:`choose` has it.
        ask: whether the system is asked what is free, where ``max_memory`` does not say.

    Raises:
        InputError: ``max_memory`` cannot be used.
    """
    most = None if max_memory is None else parse(max_memory)
    if on_cpu and (most is not None or ask):
        # What a run before this one has left is free, although the process still has it.
        allocation.give_back_freed_memory()
    if most is not None:
        used = resident() if on_cpu else 0
        if most <= used:
            raise InputError(
                f"the {text_of(most)} of --max-memory are less than the {text_of(used)} that the program takes before it begins"
            )
        if not used:
            return most, f"the {text_of(most)} of --max-memory"
        return most - used, f"the {text_of(most - used)} that --max-memory leaves ({text_of(most)}, {text_of(used)} in use)"
    free = available() if on_cpu and ask else None
    if free is None:
        return None, ""
    limit = int(SHARE_OF_FREE * free)
    return limit, f"the {text_of(limit)} that can be used"


def parse(amount: str | int) -> int:
    """Bytes, from a number of them or from a text as ``4GiB``, ``512 MiB`` or ``1.5GB``."""
    if isinstance(amount, int) and not isinstance(amount, bool) and amount > 0:
        return amount
    if isinstance(amount, str):
        units = {unit.lower(): size for unit, size in UNITS.items()}
        found = re.fullmatch(r"([0-9]{1,15}(?:\.[0-9]{1,15})?) ?([KMGT]i?B)", amount.strip(), flags=re.IGNORECASE)
        if found and (count := int(float(found[1]) * units[found[2].lower()])) > 0:
            return count
    raise InputError(f"the memory must be a number with KiB, MiB, GiB, MB or GB, as 4GiB, not {shown(amount)}")


def text_of(count: int) -> str:
    """4.2 GiB, 310 MiB."""
    return f"{count / 2**30:.1f} GiB" if count >= 2**30 else f"{max(count, 0) / 2**20:.0f} MiB"


def resident() -> int:
    """Bytes of memory that this process has now; where only its peak is known (not Linux), that; 0 if nothing is."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return peak() or 0


def peak() -> int | None:
    """Largest resident size that this process has had, in bytes; None where the system does not tell (Windows).

    Linux counts what the parent had before it started this process into getrusage's, and not into VmHWM.
    """
    with contextlib.suppress(OSError, ValueError, IndexError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    try:
        import resource
    except ImportError:
        return None
    largest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return largest if sys.platform == "darwin" else largest * 1024


def available(proc: Path = Path("/proc"), cgroups: Path = Path("/sys/fs/cgroup")) -> int | None:
    """Bytes that can be had without swapping: what Linux says is available, and no more than this process's control groups
    allow; elsewhere all of the machine's memory; None if nothing is known."""
    try:
        fields = dict(line.split(":", 1) for line in (proc / "meminfo").read_text().splitlines() if ":" in line)
        found = [int(fields["MemAvailable"].split()[0]) * 1024]
    except (OSError, ValueError, KeyError, IndexError):
        try:
            found = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
        except (OSError, ValueError, AttributeError):
            return None
    return max(0, min(found + list(left_in_groups(proc, cgroups))))


def left_in_groups(proc: Path, cgroups: Path) -> Iterable[int]:
    """What each control group above this process leaves (version 2: memory.max; version 1: memory.limit_in_bytes)."""
    try:
        lines = (proc / "self" / "cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and "memory" not in controllers.split(","):
            continue
        root = cgroups / "memory" if controllers else cgroups
        limit, usage = ("memory.limit_in_bytes", "memory.usage_in_bytes") if controllers else ("memory.max", "memory.current")
        place = root / path.lstrip("/")
        # In a container the path may be the host's, which is not there; then the root is the container's own.
        for group in (place, *place.parents):
            try:
                # Files that are only cached count as usage, and go when memory is needed.
                statistics = dict(row.split() for row in (group / "memory.stat").read_text().splitlines())
                cached = int(statistics.get("total_inactive_file", statistics.get("inactive_file", 0)))
                yield int((group / limit).read_text()) - int((group / usage).read_text()) + cached
            except (OSError, ValueError):
                pass  # no such file, or "max": no limit
            if group == root:
                break
