"""multiprocessing: a process that was forked from one that painted, and errors that go from one process to another."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys

import numpy as np
import pytest
from conftest import BACKENDS, obtain
from PIL import Image
from style_files import random_style

import isostyle
from isostyle import InputError, registry
from isostyle.errors import FrameworkFailure
from isostyle.style_networks.train import TrainingInterrupted
from isostyle.style_networks.trainer import NonFiniteTraining
from isostyle.transfer.descent import ExplodingLoss
from isostyle.transfer.result import Interrupted, Result, Stopped

#: A child that does not answer has this long.
PATIENCE = 60
#: Paint here, then in a pool that was forked from here, and print what comes of it: by a new call, and by what was made here.
POOL = """
import multiprocessing, os, sys
os.environ.pop("OMP_NUM_THREADS", None)
sys.path.insert(0, sys.argv[3])
import numpy as np, isostyle
from style_files import random_style
name, threads = sys.argv[1], int(sys.argv[2])
picture = np.random.RandomState(0).randint(0, 256, (96, 96, 3), np.uint8)
applier = isostyle.Applier(random_style(), backend=name, threads=threads)
def paint(way):
    try:
        if way == "applier":
            return applier(picture).picture.tobytes()
        few = {"size": 96, "steps": 1, "pyramid": False}
        return isostyle.stylize(picture, picture[::-1], backend=name, threads=threads, **few).image.tobytes()
    except isostyle.InputError as error:
        return str(error)
ways = ["applier", "stylize"]
here = [paint(way) for way in ways]
pool = multiprocessing.get_context("fork").Pool(1)
there = pool.map(paint, ways)
pool.close()
pool.join()
print("equal" if here == there else there)
"""


def forked(name, threads, tests):
    command = [sys.executable, "-c", POOL, name, str(threads), str(tests)]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=PATIENCE).stdout.strip()


@pytest.mark.parametrize("name", BACKENDS)
def test_a_forked_process_paints_the_same_with_one_thread(name, request):
    obtain(name)
    assert forked(name, 1, request.path.parent) == "equal"


@pytest.mark.parametrize("name", BACKENDS)
def test_a_forked_process_is_told_to_be_spawned_where_there_were_several_threads(name, request):
    obtain(name)
    said = f"{name} computed with 2 threads in the process that this one was forked from"
    assert forked(name, 2, request.path.parent).count(said) == 2


def test_a_fork_of_a_fork_may_use_more_threads_but_not_hand_them_on(monkeypatch, any_backend):
    monkeypatch.setattr(registry, "_computed", {any_backend: (os.getpid() + 1, 1)})
    isostyle.apply(random_style(), np.full((24, 24, 3), 99, np.uint8), backend=any_backend, threads=2)
    assert registry._computed == {any_backend: (os.getpid(), 2)}
    monkeypatch.setattr(os, "getpid", lambda: 1)
    with pytest.raises(InputError, match="use multiprocessing's start method 'spawn'"):
        registry.load(any_backend, 1)


RESULT = Result(Image.new("RGB", (2, 2)), np.zeros((1, 3, 2, 2)), [], {"schema": "x"})
ERRORS = [
    InputError("no such file"),
    FrameworkFailure("torch failed"),
    ExplodingLoss(9.0, 1.0, 3),
    NonFiniteTraining("style", 1.0, 2),
    Stopped(ExplodingLoss(9.0, 1.0, 3), RESULT),
    Interrupted(RESULT),
    TrainingInterrupted(random_style(), 4),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_an_error_reaches_another_process_whole(error):
    """A multiprocessing.Pool waits forever for an error that cannot be made there."""
    found = pickle.loads(pickle.dumps(error))
    assert type(found) is type(error)
    assert str(found) == str(error)
    assert found.__dict__.keys() == error.__dict__.keys()


def test_a_picture_arrives_with_the_error_that_ended_it():
    found = pickle.loads(pickle.dumps(ERRORS[4]))
    assert found.result.picture.tobytes() == RESULT.picture.tobytes()
