"""What the caller has set in a framework changes no number, and is there again afterwards."""

from __future__ import annotations

import contextlib
import importlib
import json
import signal
import subprocess
import sys
import threading

import numpy as np
import pytest
from caller_states import SEEN, STATES, WORST
from conftest import BACKENDS, obtain
from PIL import Image
from style_files import SMALL, random_style

import isostyle
from isostyle.style_networks.train import train
from isostyle.style_networks.trainer import TrainingRecipe
from isostyle.system.settings import Setting, as_wanted

RANDOM = np.random.RandomState(0)
PHOTOGRAPH, PAINTING = (RANDOM.randint(0, 256, (40, 48, 3), np.uint8) for _ in range(2))
FEW = {"size": 48, "steps": 2, "pyramid": False, "threads": 2}
TINY = TrainingRecipe(network=SMALL, steps=2, batch=1, crop=32, style_size=40)
EACH_STATE = [pytest.param(name, state, id=f"{name}-{state}") for name in BACKENDS for state in STATES[name]]


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photographs")
    for i in range(10):
        Image.fromarray(np.roll(PHOTOGRAPH, i, axis=1)).save(folder / f"{i}.png")
    return folder


def stylized(name, photographs):
    return isostyle.stylize(PHOTOGRAPH, PAINTING, backend=name, **FEW).image.tobytes()


def applied(name, photographs):
    return isostyle.apply(random_style(), PHOTOGRAPH, backend=name, threads=2).picture.tobytes()


def trained(name, photographs):
    made = train(PAINTING, photographs, recipe=TINY, backend=name, threads=2)
    return b"".join(made.parameters[key].tobytes() for key in sorted(made.parameters))


@pytest.fixture(scope="module")
def outside(photographs):
    """What a call makes where the caller has set nothing; computed once."""
    known = {}

    def made(call, name):
        if (call, name) not in known:
            known[call, name] = call(name, photographs)
        return known[call, name]

    return made


@pytest.mark.parametrize("call", [stylized, applied, trained])
@pytest.mark.parametrize(("name", "state"), EACH_STATE)
def test_the_same_bits_come_out_in_every_state_which_is_there_again_afterwards(name, state, call, photographs, outside):
    obtain(name)
    framework = importlib.import_module(name)
    expected = outside(call, name)
    with STATES[name][state](framework):
        before = SEEN[name](framework)
        assert call(name, photographs) == expected
        assert SEEN[name](framework) == before


@pytest.mark.parametrize("name", BACKENDS)
def test_resume_and_rerun_have_a_state_of_their_own_too(name, tmp_path):
    obtain(name)
    framework, files = importlib.import_module(name), (tmp_path / "photo.png", tmp_path / "painting.png")
    for path, pixels in zip(files, (PHOTOGRAPH, PAINTING), strict=True):
        Image.fromarray(pixels).save(path)
    whole = isostyle.stylize(*files, backend=name, checkpoint=tmp_path / "c", checkpoint_every=1, **FEW)
    (tmp_path / "m.json").write_text(json.dumps(whole.manifest))
    with STATES[name][WORST[name]](framework):
        before = SEEN[name](framework)
        assert np.array_equal(isostyle.resume(tmp_path / "c").image, whole.image)
        assert isostyle.rerun(tmp_path / "m.json").verdict == "bit-identical"
        assert SEEN[name](framework) == before


@pytest.mark.parametrize("name", BACKENDS)
def test_a_callback_has_the_callers_state_and_may_ask_for_the_picture(name):
    obtain(name)
    framework, seen = importlib.import_module(name), []

    def look(event):
        assert np.isfinite(event.image()).all()
        assert event.position is None or event.position()
        seen.append(SEEN[name](framework))

    with STATES[name][WORST[name]](framework):
        before = SEEN[name](framework)
        isostyle.stylize(PHOTOGRAPH, PAINTING, backend=name, callback=look, **FEW)
    assert seen == [before] * 3


@pytest.mark.parametrize("name", BACKENDS)
def test_a_callback_of_a_training_may_ask_for_samples_in_its_own_state(name, photographs):
    obtain(name)
    framework, seen = importlib.import_module(name), []

    def look(progress):
        if progress.samples is not None:
            seen.append(len(progress.samples()))

    with STATES[name][WORST[name]](framework):
        train(PAINTING, photographs, recipe=TINY, backend=name, threads=2, callback=look)
    assert seen == [1]


@pytest.mark.parametrize("raised", [KeyboardInterrupt, RuntimeError])
@pytest.mark.parametrize("name", BACKENDS)
def test_what_ends_a_call_early_leaves_the_callers_state(name, raised):
    obtain(name)
    framework = importlib.import_module(name)

    def end(event):
        raise raised

    with STATES[name][WORST[name]](framework):
        before = SEEN[name](framework)
        with pytest.raises((isostyle.Interrupted, RuntimeError)):
            isostyle.stylize(PHOTOGRAPH, PAINTING, backend=name, callback=end, **FEW)
        assert SEEN[name](framework) == before


@pytest.mark.parametrize("name", BACKENDS)
def test_ctrl_c_in_the_middle_of_an_evaluation_leaves_the_callers_state(name, monkeypatch):
    obtain(name)
    framework = importlib.import_module(name)
    engine = importlib.import_module(f"isostyle.backends.{name}.engine")

    def press(*arguments):
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(engine, "tv_loss", press)
    before, handler = SEEN[name](framework), signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            isostyle.stylize(PHOTOGRAPH, PAINTING, backend=name, **FEW)
    finally:
        signal.signal(signal.SIGINT, handler)
    assert SEEN[name](framework) == before


@pytest.mark.parametrize("name", BACKENDS)
def test_an_applier_works_in_a_thread_that_did_not_make_it(name):
    """MXNet keeps for each thread whether shapes are as NumPy has them."""
    obtain(name)
    applier = isostyle.Applier(random_style(), backend=name, threads=2)
    made = []
    thread = threading.Thread(target=lambda: made.append(applier(PHOTOGRAPH).picture.tobytes()))
    thread.start()
    thread.join()
    assert made == [applier(PHOTOGRAPH).picture.tobytes()]


#: A caller who imports the framework, calls, and finds what has changed. The signal is one that Paddle takes when imported.
FOUND = """
import importlib, json, os, signal, sys
sys.path.insert(0, sys.argv[2])
os.environ.pop("OMP_NUM_THREADS", None)
import numpy as np, isostyle
from caller_states import SEEN
from style_files import random_style
name, picture = sys.argv[1], np.full((24, 24, 3), 99, np.uint8)
with open(os.devnull, "w") as sys.stderr:
    framework = importlib.import_module(name)
before = {**SEEN[name](framework), "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS")}
isostyle.apply(random_style(), picture, backend=name, threads=2)
isostyle.stylize(picture, picture[::-1], backend=name, size=24, steps=1, pyramid=False, threads=2)
after = {**SEEN[name](framework), "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS")}
print(json.dumps([key for key in before if before[key] != after[key]]))
"""


@pytest.mark.parametrize("name", BACKENDS)
def test_a_program_that_called_isostyle_finds_its_framework_and_environment_as_they_were(name, request):
    obtain(name)
    command = [sys.executable, "-c", FOUND, name, str(request.path.parent)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert json.loads(done.stdout.splitlines()[-1]) == []


def test_sigterm_does_what_it_did_before_paddle_was_imported():
    """Paddle prints a trace of its own at SIGTERM, which ends every worker of a multiprocessing.Pool."""
    if "paddle" not in BACKENDS:
        pytest.skip("paddle is not among ISOSTYLE_TEST_BACKENDS")
    obtain("paddle")
    code = "from isostyle import registry\nimport os\nregistry.load('paddle', 1)\nos.kill(os.getpid(), 15)"
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (-signal.SIGTERM, "")


def test_a_setting_comes_back_even_if_a_later_one_cannot_be_set():
    kept = {"a": 1}

    def refuse(value):
        raise ValueError("frozen")

    settings = [Setting(lambda: kept["a"], lambda value: kept.update(a=value), 2), Setting(lambda: 0, refuse, 1)]
    with pytest.raises(ValueError, match="frozen"), as_wanted(*settings):
        pass
    assert kept == {"a": 1}


def test_a_setting_that_is_as_wanted_is_not_touched():
    with as_wanted(Setting(lambda: 1, pytest.fail, 1)), contextlib.nullcontext():
        pass
