"""Backends, a small random network and pictures for every test.

Which backends are tested: those named in ISOSTYLE_TEST_BACKENDS (a missing one fails), or, if that is not set, those that are
installed (a missing one is skipped, with the reason). ISOSTYLE_TEST_BACKENDS= (empty) tests none.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from isostyle import registry
from isostyle.cli.main import main
from isostyle.conformance.inputs import NARROW
from isostyle.conformance.make_inputs import narrow_parameters
from isostyle.conformance.oracle.engine import OracleEngine
from isostyle.demo import inputs as demo
from isostyle.images import arrays

ASKED_FOR = os.environ.get("ISOSTYLE_TEST_BACKENDS")
BACKENDS = ("torch", "mxnet", "paddle") if ASKED_FOR is None else tuple(name for name in ASKED_FOR.split(",") if name)
#: Runs style networks alone, without any framework: its tests are run where there is none.
ONNX, FRAMEWORK = "onnx", "any framework"
#: One number for all tests, so that one process never needs a framework with two.
THREADS = 2

#: What torch's optimizers computed; scripts/record_optimizers.py made it.
RECORDED = json.loads(Path(__file__).with_name("data").joinpath("optimizers.json").read_text())

EPS = {"float32": float(np.finfo(np.float32).eps), "float64": float(np.finfo(np.float64).eps)}


def obtain(name):
    """The backend, or a skip with the reason; a backend that was asked for fails if it is missing."""
    if (ASKED_FOR is None or name == ONNX) and (reason := registry.why_missing(name)):
        pytest.skip(f"{name} is {reason}")
    backend = registry.load(name, THREADS)
    if name not in ENTERED:
        ENTERED[name] = STATES.enter_context(registry.own_state(backend, "cpu"))
    return backend


#: The frameworks' own states, which tests that call an engine are in, as core is; the whole process is the tests'.
STATES, ENTERED = contextlib.ExitStack(), {}


def pytest_unconfigure():
    STATES.close()


BACKEND_NAMES = frozenset(BACKENDS)
#: Tests of pictures, optimizers and weights: mxnet's environment, which alone has NumPy 1.23, runs them once more.
OLD_NUMPY = re.compile("test_(images|decode|encode|optim|losses|weights|checkpoints)")


@pytest.hookimpl(tryfirst=True)  # before -m selects
def pytest_collection_modifyitems(items):
    """Mark each test by what it asks for: each framework in turn, any one, or none."""
    for item in items:
        fixtures, asked = item.fixturenames, item.function.__code__.co_names
        if ONNX in texts(item):
            item.add_marker(pytest.mark.no_framework)
        elif {"backend", "style_backend"} & set(fixtures) or "obtain" in asked or not BACKEND_NAMES.isdisjoint(texts(item)):
            item.add_marker(pytest.mark.each_framework)
        elif {"any_backend", "any_style_backend"} & set(fixtures) or "importorskip" in asked:
            item.add_marker(pytest.mark.one_framework)
        else:
            item.add_marker(pytest.mark.no_framework)
            if OLD_NUMPY.match(item.path.name):
                item.add_marker(pytest.mark.old_numpy)


def texts(item):
    """The values of a parametrized test that may be a framework's name."""
    callspec = getattr(item, "callspec", None)
    return [value for value in callspec.params.values() if isinstance(value, str)] if callspec else []


def pytest_report_header():
    return f"ISOSTYLE_TEST_BACKENDS={ASKED_FOR}  NumPy {np.__version__}"


@pytest.fixture(params=BACKENDS)
def backend(request):
    """Each backend in turn."""
    return obtain(request.param)


@pytest.fixture(params=["float32", "float64"])
def dtype(request):
    return request.param


@pytest.fixture
def any_backend():
    """The name of one backend that is there, for tests of what all share."""
    for name in BACKENDS:
        if ASKED_FOR is not None or registry.why_missing(name) is None:
            return name
    pytest.skip("no backend is installed, or ISOSTYLE_TEST_BACKENDS asks for none")


@pytest.fixture(params=(*BACKENDS, ONNX))
def style_backend(request):
    """Each backend that has style networks in turn."""
    return obtain(request.param)


@pytest.fixture(params=[FRAMEWORK, ONNX])
def any_style_backend(request):
    """The name of one framework that is there, and onnx: for tests of what all share that have style networks."""
    if request.param == FRAMEWORK:
        return request.getfixturevalue("any_backend")
    obtain(ONNX)
    return ONNX


@pytest.fixture(scope="session")
def network():
    """VGG-19's table with few channels, all counts different, so that a swapped axis shows."""
    return NARROW


@pytest.fixture(scope="session")
def parameters(network):
    """He-normal weights and small biases, from a seed."""
    return narrow_parameters(np.random.RandomState(0))


@pytest.fixture(scope="session")
def reference(network, parameters):
    """The float64 oracle; tests/test_oracle.py checks it."""
    return OracleEngine(network, parameters)


@pytest.fixture(scope="session")
def photograph():
    """The portrait that the demo uses, RGB."""
    pytest.importorskip("matplotlib")
    return demo.photograph()


@pytest.fixture(scope="session")
def content(photograph):
    """A normalized photograph, (1, 3, 48, 70), float32 values in a float64 array; 70 is odd after one pooling."""
    return arrays.to_array(arrays.resize(photograph, 48, 70), "float32").astype(np.float64)


@pytest.fixture(scope="session")
def style():
    """A normalized picture of colored waves, (1, 3, 50, 64)."""
    y, x = np.mgrid[0:50, 0:64]
    waves = np.stack([np.sin(x / 3 + y / 7), np.cos(x / 5 - y / 2), np.sin(x * y / 90)])[None]
    return (1.5 * waves).astype(np.float32).astype(np.float64)


@pytest.fixture(scope="session")
def noisy(content):
    """The content image plus noise: off the kinks of the total variation, where float32 and float64 part at once.

    Of 400 seeds, this one keeps every ReLU and pooling decision furthest from flipping, so that float32 decides as float64
    does on any processor; test_oracle.py checks the distance.
    """
    return (content + 0.3 * arrays.noise(content.shape, 276, "float64")).astype(np.float32).astype(np.float64)


@pytest.fixture
def folder(tmp_path, monkeypatch, photograph):
    """A working folder with a photograph and a painting."""
    monkeypatch.chdir(tmp_path)
    photograph.resize((128, 150)).save("photo.jpg")
    Image.effect_noise((90, 70), 80).convert("RGB").save("painting.png")
    return tmp_path


def draw(path, phase):
    """A small picture of waves, another for each phase, as a file."""
    y, x = np.mgrid[0:40, 0:60]
    waves = np.stack([np.sin(x / 5 + phase), np.cos(y / (3 + phase)), np.sin(x * y / 90 + phase)], -1)
    Image.fromarray((127 + 120 * waves).astype(np.uint8)).save(path)


def run(arguments, capsys):
    """`isostyle ARGUMENTS`: its exit code, and what it prints to the standard output and to the standard error."""
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    printed = capsys.readouterr()
    return ended.value.code, printed.out, printed.err


#: JSON and TOML that Python's own readers cannot follow to the bottom.
DEEP = "[" * 100_000 + "]" * 100_000


def stopped_by_ctrl_c(arguments, given=None):
    """`isostyle ARGUMENTS` as a process that Ctrl-C stops after the second evaluation."""
    code = (
        "from isostyle.cli.main import main\n"
        "from isostyle.transfer import run\n"
        "plain = run.climb\n"
        "def climb(*given):\n"
        "    for event in plain(*given):\n"
        "        yield event\n"
        "        if event.evaluation == 2: raise KeyboardInterrupt\n"
        "run.climb = climb\n"
        f"main({[str(argument) for argument in arguments]!r})"
    )
    return subprocess.run([sys.executable, "-c", code], input=given, capture_output=True, check=False)


def relative_error(found, expected):
    """Relative L2 distance."""
    return float(np.linalg.norm(np.asarray(found, np.float64) - expected) / np.linalg.norm(expected))


def valley(x):
    """The value of the function in scripts/record_optimizers.py, and its gradient by hand."""
    weights = np.arange(1, len(x) + 1)
    bend = x[1:] - x[:-1] ** 2 / 4
    gradient = weights * (x - 1) / 2
    gradient[1:] += 2 * bend
    gradient[:-1] -= bend * x[:-1]
    return (weights * (x - 1) ** 2).sum() / 4 + (bend**2).sum(), gradient


def waves(x):
    """The other function there, likewise."""
    gradient = x / 4 + 4 * np.cos(4 * x)
    gradient[1:] += x[:-1] / 8
    gradient[:-1] += x[1:] / 8
    return (x**2).sum() / 8 + np.sin(4 * x).sum() + (x[1:] * x[:-1]).sum() / 8, gradient


#: By the names that the recording has for them.
FUNCTIONS = {"valley": valley, "waves": waves}
#: What torch.optim.LBFGS with a line search evaluated, and what it was asked.
SEARCHES = [
    pytest.param(run, id=f"{run['function']}, history {run['history']}, blocks of {run['iterations']}, rate {run['rate']:g}")
    for run in RECORDED["searching lbfgs"]
]
