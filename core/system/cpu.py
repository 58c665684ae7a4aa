"""What the CPU is: who makes it and what it can do. Frameworks choose their kernels by it, and not always well."""

from __future__ import annotations

from functools import cache
from pathlib import Path

#: Linux's; elsewhere nothing is known, and all answers are empty.
CPUINFO = Path("/proc/cpuinfo")


def name() -> str:
    """``AMD EPYC 7763``, ..."""
    return _first().get("model name", "")


def vendor() -> str:
    """``AuthenticAMD``, ``GenuineIntel``, ..."""
    return _first().get("vendor_id", "")


def flags() -> frozenset[str]:
    """``avx2``, ``amx_bf16``, ..."""
    return frozenset(_first().get("flags", "").split())


@cache
def _first() -> dict[str, str]:
    """The entries of the first processor."""
    try:
        text, _, _ = CPUINFO.read_text(encoding="utf-8", errors="replace").partition("\n\n")
    except OSError:
        return {}
    entries = (line.partition(":") for line in text.splitlines())
    return {key.strip(): value.strip() for key, _, value in entries}
