"""Memory runs out: a framework's error, or Python's, is one sentence.

MXNet's engine starts, and BLAS takes its buffers, when a framework is loaded: without them a matrix product that gets no memory
never ends, or ends the process.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import BACKENDS, obtain
from test_train import OPTIONS, photographs, style_file  # noqa: F401 - fixtures

from isostyle import registry
from isostyle.cli import main as main_cli
from isostyle.style_networks import train as training
from isostyle.style_networks.trainer import Trainer

#: From here on the process may take no more than half of a buffer of OpenBLAS.
LIMIT = """
import resource
with open("/proc/self/statm") as file:
    most = int(file.read().split()[0]) * resource.getpagesize() + 16 * 10**6
resource.setrlimit(resource.RLIMIT_AS, (most, most))
"""
AFTER_A_FRAMEWORK = f"""
import sys
import numpy
from isostyle import registry
from isostyle.weights import store
compact = store.load("compact")
engine = registry.load(sys.argv[1], 1).prepare(compact.network, compact.parameters, device="cpu", dtype="float64")
small, feature = numpy.eye(3), engine.tensor(numpy.ones((1, 3, 2, 2)))
{LIMIT}
print((small @ small).sum(), engine.array(engine.gram(feature, "1")).sum())
"""
AFTER_A_PICTURE = f"""
import numpy
from isostyle.images import decode
decode.read(numpy.zeros((2, 2, 3), "uint8"))
small = numpy.eye(3)
{LIMIT}
print((small @ small).sum())
"""
needs_limits = pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs /proc and limits of address space")


def printed(program, *arguments):
    """The words that a program prints."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", program, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


@needs_limits
@pytest.mark.parametrize("name", BACKENDS)
def test_matrix_products_have_their_buffer_once_a_framework_is_loaded(name):
    """Without it NumPy's never ends or ends the process, and MXNet's calls a null pointer (allocation.take_buffers)."""
    obtain(name)
    assert printed(AFTER_A_FRAMEWORK, name) == ["3.0", "36.0"]


@needs_limits
def test_matrix_products_have_their_buffer_once_a_picture_is_asked_for():
    assert printed(AFTER_A_PICTURE) == ["3.0"]


def test_a_training_for_which_there_is_no_memory_ends_in_one_sentence_and_keeps_a_checkpoint(
    any_backend,
    style_file,  # noqa: F811
    photographs,  # noqa: F811
    monkeypatch,
    capsys,
):
    step, steps = Trainer.step, []

    def fail(self, *arguments):
        steps.append(0)
        if len(steps) == 4:
            raise RuntimeError("cannot allocate 9000 bytes\nsecond line")
        return step(self, *arguments)

    monkeypatch.setattr(Trainer, "step", fail)
    output = style_file.with_name("out.safetensors")
    told = ["--steps", "9", "--backend", any_backend, "-o", str(output), "--quiet", *OPTIONS]
    with pytest.raises(SystemExit) as ended:
        main_cli.main(["train", str(style_file), str(photographs), *told])
    assert ended.value.code == 1
    where = f"isostyle: {any_backend} failed at 2 photographs of 32x32: cannot allocate 9000 bytes"
    assert capsys.readouterr().err == f"{where}; {training.LESS_MEMORY}\n"
    assert not output.exists()
    assert output.with_name("out.safetensors.checkpoint").exists()


# The sentence


def test_no_memory_is_one_sentence(monkeypatch, capsys):
    def fail(*arguments, **options):
        raise MemoryError

    monkeypatch.setattr(main_cli.cli, "main", fail)
    with pytest.raises(SystemExit) as ended:
        main_cli.main(["run", "a.png", "b.png"])
    assert ended.value.code == 1
    assert capsys.readouterr().err == f"isostyle: out of memory; {main_cli.LESS_MEMORY}\n"


def test_other_errors_of_a_programmer_keep_their_traceback(monkeypatch):
    def fail(*arguments, **options):
        raise RuntimeError("a mistake of ours")

    monkeypatch.setattr(main_cli.cli, "main", fail)
    with pytest.raises(RuntimeError, match="of ours"):
        main_cli.main(["run", "a.png", "b.png"])


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (MemoryError(), "toy failed at size 3x4: out of memory; try less"),
        (RuntimeError("cannot allocate 9 bytes\nat place"), "toy failed at size 3x4: cannot allocate 9 bytes; try less"),
        (
            RuntimeError(
                'Traceback (most recent call last):\n  File "x.h", line 74\nMXNetError: Failed to allocate CPU Memory\n'
            ),
            "toy failed at size 3x4: MXNetError: Failed to allocate CPU Memory; try less",
        ),
        (
            RuntimeError("MXNetError: could not create a primitive"),
            "toy failed at size 3x4: MXNetError: could not create a primitive; try less",
        ),
        (
            RuntimeError("\n\n(ResourceExhausted) Out of memory"),
            "toy failed at size 3x4: (ResourceExhausted) Out of memory; try less",
        ),
        (RuntimeError("not today"), "toy failed at size 3x4: not today"),
        (KeyError(), "toy failed at size 3x4: KeyError"),
    ],
    ids=["Python", "torch", "MXNet", "oneDNN", "Paddle", "anything else", "nothing"],
)
def test_a_framework_s_words_become_one_sentence_which_advises_where_memory_lacks(error, said):
    assert str(registry.failure("toy", "size 3x4", error, "try less")) == said
