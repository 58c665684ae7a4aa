"""Memory runs out: a framework's error, or Python's, is one sentence."""

import pytest
from test_train import OPTIONS, photographs, style_file  # noqa: F401 - fixtures

from isostyle import registry
from isostyle.cli import main as main_cli
from isostyle.style_networks import train as training
from isostyle.style_networks.trainer import Trainer


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
