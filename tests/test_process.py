"""What is set for the whole process, so that the frameworks are as fast as they can be: allocation, and MKL's kernels."""

from __future__ import annotations

import subprocess
import sys

import pytest
from conftest import BACKENDS, obtain

from isostyle import allocation, processor

CPUINFO = """\
processor\t: 0
vendor_id\t: AuthenticAMD
flags\t\t: fpu sse avx2

processor\t: 1
vendor_id\t: SomebodyElse
flags\t\t: amx_bf16
"""
#: Ten rounds of 40 MB; each page of 4 KiB that is given back and taken again is a fault: 100,000 of them.
FAULTS = """
import resource, sys
from isostyle import allocation
if sys.argv[1] == "keep":
    assert allocation.keep_freed_memory()
x = b"x" * 40_000_000
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    del x
    x = b"x" * 40_000_000
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""
MKL = """
import os
from isostyle import processor
processor.vendor = lambda: {vendor!r}
processor.flags = lambda: frozenset({{"avx2"}})
import isostyle.backends.paddle_backend
print(os.environ.get("MKL_DEBUG_CPU_TYPE"))
"""


@pytest.fixture
def cpuinfo(tmp_path, monkeypatch):
    processor.vendor.cache_clear()
    processor.flags.cache_clear()
    monkeypatch.setattr(processor, "CPUINFO", tmp_path / "cpuinfo")
    yield tmp_path / "cpuinfo"
    processor.vendor.cache_clear()
    processor.flags.cache_clear()


def test_the_first_processor_speaks_for_all(cpuinfo):
    cpuinfo.write_text(CPUINFO)
    assert processor.vendor() == "AuthenticAMD"
    assert processor.flags() == {"fpu", "sse", "avx2"}


def test_without_the_kernels_file_nothing_is_known_of_the_processor(cpuinfo):
    assert processor.vendor() == ""
    assert processor.flags() == frozenset()


def run(code, *arguments):
    done = subprocess.run([sys.executable, "-c", code, *arguments], check=True, stdout=subprocess.PIPE, text=True)
    return done.stdout.strip()


@pytest.mark.skipif(not allocation.keep_freed_memory(), reason="this C library cannot be told to keep memory")
def test_kept_memory_causes_no_page_faults():
    assert int(run(FAULTS, "keep")) < 1000
    assert int(run(FAULTS, "give back")) > 20_000  # 100,000, or fewer with larger pages


@pytest.mark.parametrize(("vendor", "kernels"), [("AuthenticAMD", "5"), ("GenuineIntel", "None")])
def test_paddles_mkl_is_told_of_avx2_on_other_processors_than_intels(vendor, kernels):
    if "paddle" not in BACKENDS:
        pytest.skip("paddle is not among ISOSTYLE_TEST_BACKENDS")
    obtain("paddle")
    # This process may have set it, and its children inherit it.
    forget = "import os\nos.environ.pop('MKL_DEBUG_CPU_TYPE', None)\n"
    assert run(forget + MKL.format(vendor=vendor)).splitlines()[-1] == kernels
