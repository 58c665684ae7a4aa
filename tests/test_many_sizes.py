"""Pictures of many sizes, one after another: memory levels off, and its limit is that of the whole process."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from conftest import BACKENDS, obtain
from style_files import random_style

from isostyle import InputError
from isostyle.style_networks.apply import Applier
from isostyle.system import allocation, memory
from isostyle.system.memory import CONSTANT, Allowance

MIB = 2**20
#: Sixty sizes, then sixty others: by how many bytes the process grew meanwhile. MXNet without a bound for what it keeps of each
#: size grew by more than 130 MB, and with it by 8; torch, whose own bound is wider, by 16.
GROWTH = """
import sys
sys.path.insert(0, sys.argv[2])
import numpy as np
from isostyle.style_networks.apply import Applier
from isostyle.system import allocation, memory
from style_files import random_style
applier = Applier(random_style(), backend=sys.argv[1], threads=1)
def resident_after(widths):
    for width in widths:
        applier(np.full((32 + width % 11, width, 3), 99, np.uint8))
    allocation.give_back_freed_memory()
    return memory.resident()
first = resident_after(range(40, 100))
print(resident_after(range(100, 160)) - first)
"""
MOST_GROWTH = 50 * 10**6


@pytest.mark.parametrize("name", BACKENDS)
def test_sixty_sizes_more_leave_little_behind(name, request):
    obtain(name)
    command = [sys.executable, "-c", GROWTH, name, str(request.path.parent)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert int(done.stdout) < MOST_GROWTH


@pytest.fixture
def process(monkeypatch):
    """A process of 300 MiB, which a test may let grow, and how often it was asked to give back what it had freed."""
    process = {"resident": 300 * MIB, "given back": 0}
    monkeypatch.setattr(memory, "resident", lambda: process["resident"])
    monkeypatch.setattr(memory, "available", lambda: 1000 * MIB)
    monkeypatch.setattr(allocation, "give_back_freed_memory", lambda: process.update({"given back": process["given back"] + 1}))
    return process


def test_a_limit_counts_what_the_process_holds_now(process):
    allowance = Allowance(1000 * MIB, on_cpu=True, ask=True)
    assert allowance.now()[0] == 700 * MIB
    process["resident"] = 400 * MIB
    assert allowance.now()[0] == 600 * MIB


def test_a_process_that_outgrows_its_limit_says_so(process):
    allowance = Allowance(1000 * MIB, on_cpu=True, ask=True)
    process["resident"] = 1001 * MIB
    with pytest.raises(
        InputError, match="the memory limit of 1000 MiB is less than the 1001 MiB that the program itself takes"
    ):
        allowance.now()


def test_without_a_limit_freed_memory_is_given_back_when_much_has_come_together(process):
    allowance = Allowance(None, on_cpu=True, ask=True)
    process["resident"] += CONSTANT
    allowance.now()
    assert process["given back"] == 1  # at the beginning
    process["resident"] += 1
    allowance.now()
    assert process["given back"] == 2


def test_an_applier_asks_before_each_picture_of_another_size_than_the_last(any_backend, monkeypatch):
    applier = Applier(random_style(), backend=any_backend, threads=2)
    asked = []
    monkeypatch.setattr(applier.allowance, "now", lambda: asked.append(0) or (None, ""))
    for width in (40, 40, 50, 40):
        applier(np.full((32, width, 3), 99, np.uint8))
    assert len(asked) == 3
