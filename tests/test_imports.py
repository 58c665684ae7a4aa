"""What importing isostyle imports: each in a fresh interpreter."""

import os
import subprocess
import sys

import pytest
from conftest import BACKENDS, obtain

FRAMEWORKS = {"torch", "mxnet", "paddle"}


def modules_after(statement):
    code = f"{statement}\nimport sys\nprint(' '.join(sorted({{name.partition('.')[0] for name in sys.modules}})))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(result.stdout.split("\n")[-2].split()), result.stderr


def test_importing_isostyle_imports_no_framework_and_not_even_numpy():
    modules, _ = modules_after("import isostyle")
    assert not modules & (FRAMEWORKS | {"numpy", "PIL", "matplotlib", "rich", "requests"})


def test_the_command_line_s_help_imports_no_framework_and_not_even_numpy():
    for option in ("--help", "--version"):
        modules, _ = modules_after(f"from isostyle.cli.main import main\ntry: main(['{option}'])\nexcept SystemExit: pass")
        assert not modules & (FRAMEWORKS | {"numpy", "PIL", "matplotlib", "requests"})


def test_every_public_name_is_there_and_imports_no_framework():
    modules, _ = modules_after("import isostyle\nfor name in isostyle.__all__: getattr(isostyle, name)")
    assert not modules & FRAMEWORKS


@pytest.mark.parametrize("name", BACKENDS)
def test_loading_a_backend_loads_no_other_and_prints_nothing(name):
    obtain(name)
    modules, stderr = modules_after(f"from isostyle import registry\nregistry.load('{name}', 2)")
    assert modules & FRAMEWORKS == {name}
    assert stderr == ""


#: Runs a convolution and a matrix product, then counts the threads that the process has.
COUNT_THREADS = """
import os, sys
os.environ.pop("OMP_NUM_THREADS", None)
import numpy as np
from isostyle import registry
from isostyle.weights import store
chosen = store.load("compact")
backend = registry.load(sys.argv[1], int(sys.argv[2]))
with registry.own_state(backend, "cpu"):
    engine = backend.prepare(chosen.network, chosen.parameters, device="cpu", dtype="float32")
    feature = engine.features(engine.tensor(np.ones((1, 3, 128, 128))), ["conv2_1"])["conv2_1"]
    engine.array(engine.gram(feature, "1"))
print(len(os.listdir("/proc/self/task")))
"""


@pytest.mark.parametrize("name", BACKENDS)
@pytest.mark.skipif(not os.path.isdir("/proc/self/task"), reason="threads are counted in /proc, which is Linux's")
@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="one core: MKL starts no second thread")
def test_a_backend_gets_the_threads_that_were_asked_for(name):
    """Paddle falls back to one thread, and MXNet takes half the cores, if nobody says how many before they are imported."""
    obtain(name)
    counts = [
        int(subprocess.run([sys.executable, "-c", COUNT_THREADS, name, n], capture_output=True, text=True, check=True).stdout)
        for n in ("1", "2")
    ]
    assert counts[1] > counts[0]
