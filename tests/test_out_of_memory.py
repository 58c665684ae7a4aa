"""Memory runs out for real: a process that may take a little more than it has when its framework is loaded, and is told that it
may take what it likes.

What each framework does then, on a CPU (torch 2.13 and 2.15, mxnet 1.9.1, paddle 3.3): all raise an error, and none aborts, now
that MXNet's engine starts, and its BLAS takes its buffers, when it is loaded (MxnetBackend). MXNet, which computes later than
it is asked to, raised a second one when the program ended (mxnet_backend.forget_failures).

Who is refused first depends on the machine: with little to spare Python for a picture or a thread, with more the framework.
"""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import BACKENDS, obtain
from PIL import Image
from style_files import write_style
from test_train import OPTIONS, photographs, style_file  # noqa: F401 - fixtures

from isostyle import errors, registry
from isostyle.cli.main import main
from isostyle.style_networks import apply as applying
from isostyle.style_networks import train as training
from isostyle.style_networks.trainer import Trainer

#: The program: its framework and what reads pictures first, then the limit, then the command line.
PROGRAM = """
import resource, sys
from PIL import Image
from isostyle import registry
from isostyle.cli.main import main
backend, spare, *arguments = sys.argv[1:]
registry.load(backend, 1)
Image.init()
with open("/proc/self/statm") as file:
    most = int(file.read().split()[0]) * resource.getpagesize() + int(spare)
resource.setrlimit(resource.RLIMIT_AS, (most, most))
main(arguments)
"""
#: Of the photograph. A pass of a style network over it takes several times what it may.
SIZE = (2000, 3000)
#: Bytes that the program may take more than a framework does.
SPARE = (40 * 10**6, 200 * 10**6)
needs_limits = pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs /proc and limits of address space")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pixels = np.random.RandomState(0).randint(0, 256, (*SIZE, 3), np.uint8)
    Image.fromarray(pixels).save("photo.png", compress_level=1)
    Image.fromarray(pixels[:200, :300]).save("painting.png")
    write_style(tmp_path / "net.safetensors")
    return tmp_path


def limited(backend, spare, *arguments):
    """The exit code, and what stands on stderr, of a program that may take ``spare`` bytes more than a framework does."""
    command = [sys.executable, "-c", PROGRAM, backend, str(spare), *arguments, "--quiet", "--threads", "1", "--device", "cpu"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300, check=False)
    return done.returncode, done.stderr


def require_one_sentence(said, name, size, advice):
    """It is the framework's, with ``advice``, or that of a program which was refused by Python."""
    (line,) = said.splitlines()
    if line.startswith(f"isostyle: {name} failed at size {size}: "):
        assert line.endswith(f"; {advice}")
    else:
        assert line.startswith("isostyle: out of memory")
        assert line.endswith(f"; {errors.LESS_MEMORY}")


@needs_limits
@pytest.mark.slow
@pytest.mark.parametrize("spare", SPARE)
@pytest.mark.parametrize("name", BACKENDS)
def test_a_run_that_gets_no_memory_ends_in_one_sentence(folder, name, spare):
    obtain(name)
    told = ["--tile", "off", "--max-memory", "1000GB", "--size", "1000x1500", "--steps", "1", "-o", "out.png"]
    code, said = limited(name, spare, "run", "photo.png", "painting.png", "--backend", name, *told)
    assert code == 1, said
    require_one_sentence(said, name, "1000x1500", registry.LESS_MEMORY)
    assert not list(folder.glob("out.*"))


@needs_limits
@pytest.mark.slow
@pytest.mark.parametrize("spare", SPARE)
@pytest.mark.parametrize("name", BACKENDS)
def test_a_picture_for_which_a_style_network_gets_no_memory_ends_in_one_sentence(folder, name, spare):
    obtain(name)
    told = ["--tile", "off", "--max-memory", "1000GB", "-o", "out.png"]
    code, said = limited(name, spare, "apply", "net.safetensors", "photo.png", "--backend", name, *told)
    assert code == 1, said
    require_one_sentence(said, name, "2000x3000", applying.LESS_MEMORY)
    assert not list(folder.glob("out.*"))


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
        main(["train", str(style_file), str(photographs), *told])
    assert ended.value.code == 1
    where = f"isostyle: {any_backend} failed at 2 photographs of 32x32: cannot allocate 9000 bytes"
    assert capsys.readouterr().err == f"{where}; {training.LESS_MEMORY}\n"
    assert not output.exists()
    assert output.with_name("out.safetensors.checkpoint").exists()


# The sentence


def test_no_memory_for_an_import_is_one_sentence_too(monkeypatch, capsys):
    """Nothing is imported to say it."""

    def fail(*arguments, **options):
        raise MemoryError

    monkeypatch.setattr("isostyle.cli.main.cli.main", fail)
    monkeypatch.setitem(sys.modules, "isostyle.transfer.stylize", None)
    with pytest.raises(SystemExit) as ended:
        main(["run", "a.png", "b.png"])
    assert ended.value.code == 1
    assert capsys.readouterr().err == f"isostyle: out of memory; {errors.LESS_MEMORY}\n"


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("can't start new thread"),
        ImportError("libjpeg.so.62: failed to map segment from shared object"),
    ],
    ids=["thread", "library"],
)
def test_no_memory_for_a_thread_or_a_library_is_one_sentence_too(monkeypatch, capsys, error):
    def fail(*arguments, **options):
        raise error

    monkeypatch.setattr("isostyle.cli.main.cli.main", fail)
    with pytest.raises(SystemExit) as ended:
        main(["run", "a.png", "b.png"])
    assert ended.value.code == 1
    assert capsys.readouterr().err == f"isostyle: out of memory: {error}; {errors.LESS_MEMORY}\n"


def test_other_errors_of_a_programmer_keep_their_traceback(monkeypatch):
    def fail(*arguments, **options):
        raise RuntimeError("a mistake of ours")

    monkeypatch.setattr("isostyle.cli.main.cli.main", fail)
    with pytest.raises(RuntimeError, match="of ours"):
        main(["run", "a.png", "b.png"])


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
