"""What is set for the whole process, so that the frameworks are as fast as they can be: allocation, and MKL's kernels."""

from __future__ import annotations

import subprocess
import sys

import pytest
from conftest import BACKENDS, obtain

from isostyle.system import cpu

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
from isostyle.system import allocation
if sys.argv[1] == "keep" and not allocation.keep_freed_memory():
    sys.exit("this C library cannot be told to keep memory")
x = b"x" * 40_000_000
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    del x
    x = b"x" * 40_000_000
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""
#: Where the heap ends before and after 2.5 GiB are freed, none of which was touched.
HEAP = """
import ctypes, sys
from isostyle.system import allocation
if not allocation.keep_freed_memory():
    sys.exit("this C library cannot be told to keep memory")
library = ctypes.CDLL(None)
library.malloc.restype = library.sbrk.restype = ctypes.c_void_p
block = library.malloc(ctypes.c_size_t(5 * 2**29)) or sys.exit("the system does not promise 2.5 GiB")
ends = [library.sbrk(0)]
library.free(ctypes.c_void_p(block))
ends.append(library.sbrk(0))
allocation.give_back_freed_memory()
ends.append(library.sbrk(0))
print(*(end - ends[0] for end in ends))
"""
#: Pages that ten rounds of 40 MB take anew, where large blocks lie apart, where they are kept within that, and behind it.
APART = """
import resource, sys
from isostyle.system import allocation
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(10):
        x = b"x" * 40_000_000
        del x
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
if sys.argv[1] == "keep" and not allocation.keep_freed_memory():
    sys.exit("this C library cannot be told to keep memory")
found = []
with allocation.large_blocks(kept=False):
    found.append(faults())
    with allocation.large_blocks(kept=True):
        faults()
        found.append(faults())
faults()
print(*found, faults())
"""
MKL = """
import os
from isostyle.system import cpu
cpu.vendor = lambda: {vendor!r}
cpu.flags = lambda: frozenset({{"avx2"}})
import isostyle.backends.paddle.engine
print(os.environ.get("MKL_DEBUG_CPU_TYPE"))
"""


@pytest.fixture
def cpuinfo(tmp_path, monkeypatch):
    cpu._first.cache_clear()
    monkeypatch.setattr(cpu, "CPUINFO", tmp_path / "cpuinfo")
    yield tmp_path / "cpuinfo"
    cpu._first.cache_clear()


def test_the_first_processor_speaks_for_all(cpuinfo):
    cpuinfo.write_text(CPUINFO)
    assert cpu.vendor() == "AuthenticAMD"
    assert cpu.flags() == {"fpu", "sse", "avx2"}


def test_without_the_kernels_file_nothing_is_known_of_the_processor(cpuinfo):
    assert cpu.vendor() == ""
    assert cpu.flags() == frozenset()


def run(code, *arguments):
    done = subprocess.run([sys.executable, "-c", code, *arguments], check=False, capture_output=True, text=True)
    if "this C library" in done.stderr or "the system does not promise" in done.stderr:
        pytest.skip(done.stderr.strip())
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_kept_memory_causes_no_page_faults():
    assert int(run(FAULTS, "keep")) < 1000
    assert int(run(FAULTS, "give back")) > 20_000  # 100,000, or fewer with larger pages


def test_even_blocks_beyond_two_gib_are_kept_until_they_are_given_back():
    before, freed, given_back = map(int, run(HEAP).split())
    assert before == freed == 0
    assert given_back < -(2 * 2**30)


def test_large_blocks_lie_apart_for_as_long_as_they_are_asked_to():
    apart, kept_within, behind = map(int, run(APART, "keep").split())
    assert apart > 20_000
    assert kept_within < 1000
    assert behind < 1000


def test_a_program_that_keeps_nothing_is_left_as_it_is():
    """A library must not change its caller's allocator."""
    assert min(map(int, run(APART, "leave").split())) > 20_000


@pytest.mark.parametrize(("vendor", "kernels"), [("AuthenticAMD", "5"), ("GenuineIntel", "None")])
def test_paddles_mkl_is_told_of_avx2_on_other_processors_than_intels(vendor, kernels):
    if "paddle" not in BACKENDS:
        pytest.skip("paddle is not among ISOSTYLE_TEST_BACKENDS")
    obtain("paddle")
    # This process may have set it, and its children inherit it.
    forget = "import os\nos.environ.pop('MKL_DEBUG_CPU_TYPE', None)\n"
    assert run(forget + MKL.format(vendor=vendor)).splitlines()[-1] == kernels
