"""What the CPU is: who makes it and what it can do. Frameworks choose their kernels by it, and not always well."""

from __future__ import annotations

from functools import cache
from pathlib import Path

#: Linux's; elsewhere nothing is known.
CPUINFO = Path("/proc/cpuinfo")


@cache
def name() -> str:
    """``AMD EPYC 7763``, ...; empty where nothing is known."""
    return _field("model name")


@cache
def vendor() -> str:
    """``AuthenticAMD``, ``GenuineIntel``, ...; empty where nothing is known."""
    return _field("vendor_id")


@cache
def flags() -> frozenset[str]:
    """``avx2``, ``amx_bf16``, ...; empty where nothing is known."""
    return frozenset(_field("flags").split())


def _field(wanted: str) -> str:
    """The first processor's entry ``wanted``."""
    try:
        lines = CPUINFO.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    return next((value.strip() for key, _, value in (line.partition(":") for line in lines) if key.strip() == wanted), "")
