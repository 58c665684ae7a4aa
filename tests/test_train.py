"""Training a style network, from the call to the file, and on from a checkpoint."""

import dataclasses
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from conftest import BACKENDS, DEEP, obtain, run
from picture_files import painting
from PIL import Image
from style_files import TINY, write_photographs

from isostyle import InputError, published
from isostyle.cli import train as train_cli
from isostyle.optim import Adam
from isostyle.style_networks import checkpoint as training_state
from isostyle.style_networks import file as style_network
from isostyle.style_networks import train as training
from isostyle.style_networks.file import StyleNetwork
from isostyle.style_networks.train import TrainingInterrupted, train
from isostyle.style_networks.trainer import NonFiniteTraining, Trainer, first_parameters
from isostyle.style_networks.training_inputs import held_out, read_inputs
from isostyle.system.tensors import tensors_file
from isostyle.transform_network import TransformNetwork, is_own

SHAPES = TINY.network.shapes(1)
#: The same on the command line.
OPTIONS = ["--width", "2,3,4", "--blocks", "1", "--batch", "2", "--crop", "32", "--style-size", "40", "--every", "2"]


@pytest.fixture
def photographs(tmp_path):
    return write_photographs(tmp_path / "photos")


@pytest.fixture
def style_file(tmp_path):
    path = tmp_path / "waves.png"
    y, x = np.mgrid[0:40, 0:50]
    Image.fromarray((127 + 120 * np.stack([np.sin(x / 2), np.cos(y / 3), np.sin(x * y / 50)], -1)).astype(np.uint8)).save(path)
    return path


def test_the_losses_fall(any_backend, style_file, photographs):
    steps = []
    recipe = dataclasses.replace(TINY, steps=12, optimizer=dataclasses.replace(TINY.optimizer, learning_rate=1e-2))
    made = train(style_file, photographs, recipe=recipe, backend=any_backend, callback=steps.append)
    totals = [step.event.terms["total"] for step in steps]
    assert len(totals) == 12
    assert np.mean(totals[-3:]) < 0.9 * np.mean(totals[:3])
    assert all(np.isfinite(array).all() for array in made.parameters.values())


def test_a_training_resumed_from_its_checkpoint_is_bit_identical(backend, style_file, photographs, tmp_path):
    arguments = {"backend": backend.name, "every": 2, "threads": 1}
    whole = train(style_file, photographs, recipe=TINY, **arguments)
    half = dataclasses.replace(TINY, steps=2)
    train(style_file, photographs, recipe=half, checkpoint=tmp_path / "c", **arguments)
    resumed = train(style_file, photographs, recipe=TINY, checkpoint=tmp_path / "c", resume=True, **arguments)
    assert style_network.dump(resumed) == style_network.dump(whole)


@pytest.mark.slow
@pytest.mark.parametrize("name", BACKENDS)
def test_a_training_that_is_killed_and_resumed_is_bit_identical(name, style_file, photographs, tmp_path):
    obtain(name)
    options = [*OPTIONS, "--steps", "40", "--backend", name, "--threads", "1"]
    command = [sys.executable, "-m", "isostyle", "train", str(style_file), str(photographs), *options]
    subprocess.run([*command, "-o", str(tmp_path / "whole.safetensors")], check=True, capture_output=True)
    output, checkpoint = tmp_path / "killed.safetensors", tmp_path / "killed.safetensors.checkpoint"
    process = subprocess.Popen([*command, "-o", str(output)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not checkpoint.exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert checkpoint.exists()
    assert not output.exists(), "it was killed before its end, or there would be nothing to prove"
    subprocess.run([*command, "-o", str(output), "--resume"], check=True, capture_output=True)
    assert output.read_bytes() == (tmp_path / "whole.safetensors").read_bytes()


def test_a_finished_training_can_be_trained_on(any_backend, style_file, photographs, tmp_path):
    half = dataclasses.replace(TINY, steps=2)
    train(style_file, photographs, recipe=half, backend=any_backend, checkpoint=tmp_path / "c")
    made = train(style_file, photographs, recipe=TINY, backend=any_backend, checkpoint=tmp_path / "c", resume=True)
    assert made.training["steps"] == 4


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"recipe": dataclasses.replace(TINY, batch=3)}, "was trained with batch 2, not 3"),
        ({"recipe": dataclasses.replace(TINY, steps=1)}, "has 2 steps already"),
        ({"recipe": dataclasses.replace(TINY, network=TransformNetwork((2, 3, 5), 1))}, "another network"),
        ({"recipe": dataclasses.replace(TINY, losses=published.PAINTERLY)}, "was trained with losses.name 'one-pass'"),
        ({"recipe": dataclasses.replace(TINY, seed=1)}, "was trained with seed 0, not 1"),
        ({"style": Image.new("RGB", (50, 40), "red")}, "other style images"),
    ],
    ids=["batch", "steps", "network", "losses", "seed", "style"],
)
def test_a_checkpoint_of_another_training_is_refused(any_backend, style_file, photographs, tmp_path, change, message):
    half = dataclasses.replace(TINY, steps=2)
    train(style_file, photographs, recipe=half, backend=any_backend, checkpoint=tmp_path / "c")
    arguments = {"style": style_file, "recipe": TINY, "backend": any_backend, "checkpoint": tmp_path / "c", **change}
    with pytest.raises(InputError, match=message):
        train(photographs=photographs, resume=True, **arguments)


def test_a_photograph_more_or_less_is_another_training(any_backend, style_file, photographs, tmp_path):
    half = dataclasses.replace(TINY, steps=2)
    train(style_file, photographs, recipe=half, backend=any_backend, checkpoint=tmp_path / "c")
    next(photographs.iterdir()).unlink()
    with pytest.raises(InputError, match="other photographs"):
        train(style_file, photographs, recipe=TINY, backend=any_backend, checkpoint=tmp_path / "c", resume=True)


def test_a_damaged_checkpoint_is_refused(any_backend, style_file, photographs, tmp_path):
    half = dataclasses.replace(TINY, steps=2)
    path = tmp_path / "c"
    train(style_file, photographs, recipe=half, backend=any_backend, checkpoint=path)
    data = bytearray(path.read_bytes())
    for changed, message in ((data[:-100], "not a training's checkpoint"), (b"", "not a training's checkpoint")):
        path.write_bytes(changed)
        with pytest.raises(InputError, match=message):
            training_state.load(path, SHAPES)
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(InputError, match="is damaged"):
        training_state.load(path, SHAPES)


def test_a_checkpoint_of_an_older_version_is_refused_in_one_sentence(any_backend, style_file, photographs, tmp_path):
    path = tmp_path / "c"
    train(style_file, photographs, recipe=dataclasses.replace(TINY, steps=1), backend=any_backend, checkpoint=path)
    path.write_bytes(path.read_bytes().replace(b"isostyle.training/3", b"isostyle.training/2"))
    with pytest.raises(InputError, match="is a training's checkpoint of another version of isostyle: .* 'isostyle.training/2'"):
        training_state.load(path, SHAPES)


def test_a_checkpoint_that_is_nested_too_deeply_is_refused(tmp_path):
    path = tmp_path / "c"
    path.write_bytes(tensors_file({}, {"schema": "isostyle.training/3", "step": "1", "tensors_sha256": "", "settings": DEEP}))
    with pytest.raises(InputError, match="has metadata that cannot be used: it is nested too deeply"):
        training_state.load(path, SHAPES)
    assert training_state.progress_of(path) is None


def test_held_out_photographs_are_a_tenth_and_at_most_ten():
    assert len(held_out(5, 0)) == 0
    assert len(held_out(20, 0)) == 2
    assert len(held_out(1000, 0)) == 10
    assert held_out(1000, 0) != held_out(1000, 1)


def test_held_out_photographs_are_looked_at_and_never_trained_on(any_backend, style_file, photographs, monkeypatch):
    seen = set()
    before = training.Cutter.photograph

    def photograph(self, number):
        seen.add(self.files[number].name)
        return before(self, number)

    monkeypatch.setattr(training.Cutter, "photograph", photograph)
    steps = []
    train(style_file, photographs, recipe=dataclasses.replace(TINY, steps=12), backend=any_backend, callback=steps.append)
    held = {sorted(path.name for path in photographs.iterdir())[i] for i in held_out(20, 0)}
    assert len(seen) == 18
    assert not held & seen
    assert steps[-1].held_out is not None
    assert len(steps[-1].samples()) == 2


def test_the_file_says_where_the_network_comes_from(any_backend, style_file, photographs):
    made = train(style_file, photographs, recipe=TINY, backend=any_backend)
    again = style_network.parse(style_network.dump(made), "again")
    assert again.name == "waves"
    assert [each["name"] for each in again.training["backends"]] == [any_backend]
    assert again.training["recipe"]["losses"]["name"] == "one-pass"
    assert again.training["photographs"] == {**again.training["photographs"], "used": 18, "held_out": 2, "skipped": 0}
    assert again.history[-1]["held_out"] > 0
    assert again.digest == made.digest


def test_a_diverging_training_names_what_broke_and_keeps_the_checkpoint(
    any_backend, style_file, photographs, tmp_path, monkeypatch
):
    half = dataclasses.replace(TINY, steps=2)
    path = tmp_path / "c"
    train(style_file, photographs, recipe=half, backend=any_backend, checkpoint=path)
    kept = path.read_bytes()
    monkeypatch.setattr(
        Adam, "update", lambda self, state, gradient: {**state, "step": state["step"] + 1, "image": gradient / 0.0}
    )
    with pytest.raises(NonFiniteTraining, match=r"the parameter down1.weight became (nan|inf) at step 2 "):
        train(style_file, photographs, recipe=TINY, backend=any_backend, checkpoint=path, resume=True, every=1)
    assert path.read_bytes() == kept


def test_losses_that_are_not_finite_end_a_training(any_backend, style_file, photographs, tmp_path):
    wild = dataclasses.replace(TINY, steps=20, optimizer=dataclasses.replace(TINY.optimizer, learning_rate=1e30))
    with pytest.raises(NonFiniteTraining, match=r"became (nan|inf|-inf) at step \d+"):
        train(style_file, photographs, recipe=wild, backend=any_backend)


def test_ctrl_c_keeps_network_and_checkpoint(any_backend, style_file, photographs, tmp_path):
    def stop(progress):
        if progress.event.step == 2:
            raise KeyboardInterrupt

    with pytest.raises(TrainingInterrupted) as caught:
        train(style_file, photographs, recipe=TINY, backend=any_backend, checkpoint=tmp_path / "c", callback=stop)
    assert caught.value.step == 3
    assert training_state.load(tmp_path / "c", SHAPES).step == 3
    assert caught.value.style.training["steps"] == 3


def test_the_command_writes_the_network_and_sheets_of_samples(any_backend, style_file, photographs, tmp_path, capsys):
    (photographs / "broken.jpg").write_bytes(b"no picture")
    output = tmp_path / "out.safetensors"
    code, out, err = run(
        [
            "train",
            style_file,
            photographs,
            "-o",
            output,
            "--backend",
            any_backend,
            "--steps",
            5,
            *OPTIONS,
            "--samples",
            tmp_path / "s",
        ],
        capsys,
    )
    assert code == 0, err
    assert "wrote" in out
    assert "18 photographs, 2 held out, 1 skipped" in err
    assert "broken.jpg" in err
    assert "eta" in err
    assert style_network.load(output).training["steps"] == 5
    sheets = ["step-000002.jpg", "step-000004.jpg", "step-000005.jpg"]  # every so many steps, and of the finished network
    assert sorted(path.name for path in (tmp_path / "s").iterdir()) == sheets


def test_a_held_out_photograph_that_breaks_off_is_skipped(any_backend, style_file, photographs):
    """Its header is good; that its picture is not shows when it is decoded."""
    path = sorted(photographs.iterdir())[min(held_out(20, 0))]
    path.write_bytes(path.read_bytes()[:-200])
    lines, seen = [], []
    made = train(style_file, photographs, recipe=TINY, backend=any_backend, log=lines.append, callback=seen.append)
    assert "18 photographs, 2 held out, 0 skipped" in lines
    assert made.training["photographs"] == {**made.training["photographs"], "used": 18, "held_out": 1, "skipped": 1}
    assert any(path.name in line and line.startswith("skipped") for line in lines)
    assert len(seen[-1].samples()) == 1


def test_photographs_that_all_break_off_leave_nothing(any_backend, style_file, photographs, tmp_path):
    """A checkpoint of no step would only be in the way of the next training."""
    for path in photographs.iterdir():
        path.write_bytes(path.read_bytes()[:-200])
    lines = []
    with pytest.raises(InputError, match="none of the photographs can be decoded"):
        train(style_file, photographs, recipe=TINY, backend=any_backend, checkpoint=tmp_path / "c", log=lines.append)
    assert not (tmp_path / "c").exists()
    assert sum(line.count("00.jpg") for line in lines) == 1


def test_a_photograph_whose_name_is_no_utf_8_can_be_trained_on(any_backend, style_file, photographs, tmp_path):
    os.rename(photographs / "03.png", os.fsencode(photographs) + b"/caf\xe9.png")
    style = os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.png")
    style_file.rename(style)
    made = train(style, photographs, recipe=TINY, backend=any_backend)
    assert style_network.parse(style_network.dump(made), "again").name == "caf?"


def test_a_checkpoint_that_cannot_be_written_is_told_and_does_not_end_the_training(
    any_backend, style_file, photographs, tmp_path
):
    lines = []
    path = tmp_path / "gone" / "c"
    made = train(style_file, photographs, recipe=TINY, backend=any_backend, checkpoint=path, log=lines.append)
    assert made.training["steps"] == 4
    assert any("cannot be written" in line for line in lines)


def test_ctrl_c_while_held_out_photographs_are_looked_at_falls_before_the_step(
    any_backend, style_file, photographs, tmp_path, monkeypatch
):
    """Else the checkpoint would have the step, and its history not what was looked at after it."""

    def stop(self, parameters, photograph, style):
        raise KeyboardInterrupt

    monkeypatch.setattr(Trainer, "losses", stop)
    with pytest.raises(TrainingInterrupted) as caught:
        train(style_file, photographs, recipe=TINY, backend=any_backend, checkpoint=tmp_path / "c", every=2)
    assert caught.value.step == 1
    assert training_state.load(tmp_path / "c", SHAPES).step == 1


def test_a_training_can_begin_with_another_network(any_backend, style_file, photographs):
    """And goes on as if the other had been trained for this style."""
    other = train(style_file, photographs, recipe=dataclasses.replace(TINY, seed=5), backend=any_backend)
    seen = []
    made = train(style_file, photographs, recipe=TINY, start=other, backend=any_backend, callback=seen.append)
    before = {"training": other.training, "history": other.history}
    assert made.training["start"] == {"name": "waves", "parameters_sha256": other.digest, **before}
    fresh = []
    train(style_file, photographs, recipe=TINY, backend=any_backend, callback=fresh.append)
    assert seen[0].event.terms != fresh[0].event.terms
    assert 0 < moved(made, other, own=False) <= 1.01 * TINY.steps * TINY.optimizer.learning_rate


def moved(made, before, own):
    """The longest way that a scale or shift has gone, or with not ``own`` another parameter."""
    names = [name for name in made.parameters if is_own(name) == own]
    return max(np.abs(made.parameters[name] - before.parameters[name]).max() for name in names)


def test_scales_and_shifts_learn_faster_than_kernels(any_backend, style_file, photographs):
    """The first step of Adam is as long as the learning rate, whatever the gradient."""
    recipe = dataclasses.replace(TINY, steps=1, own_rate=5.0)
    start = StyleNetwork(TINY.network, first_parameters(TINY.network, 0), {"waves": b""}, {}, [])
    made = train(style_file, photographs, recipe=recipe, start=start, backend=any_backend)
    rate = TINY.optimizer.learning_rate
    assert moved(made, start, own=False) == pytest.approx(rate, rel=1e-3)
    assert moved(made, start, own=True) == pytest.approx(5 * rate, rel=1e-3)


def test_a_training_cannot_begin_with_a_network_of_another_size(any_backend, style_file, photographs):
    other = train(style_file, photographs, recipe=dataclasses.replace(TINY, steps=1), backend=any_backend)
    larger = dataclasses.replace(TINY, network=TransformNetwork((2, 3, 5), 1))
    with pytest.raises(InputError, match="a training of 2-3-5 and 1 blocks cannot start from 'waves', which has 2-3-4"):
        train(style_file, photographs, recipe=larger, start=other, backend=any_backend)


def test_a_checkpoint_of_another_start_is_refused(any_backend, style_file, photographs, tmp_path):
    half, arguments = dataclasses.replace(TINY, steps=2), {"backend": any_backend, "checkpoint": tmp_path / "c"}
    other = train(style_file, photographs, recipe=half, **arguments)
    with pytest.raises(InputError, match="was trained with another start"):
        train(style_file, photographs, recipe=TINY, start=other, resume=True, **arguments)


def test_the_file_says_what_computed_it_one_after_another(any_backend, style_file, photographs, tmp_path):
    half, arguments = dataclasses.replace(TINY, steps=2), {"backend": any_backend, "checkpoint": tmp_path / "c"}
    train(style_file, photographs, recipe=half, threads=1, **arguments)
    lines = []
    made = train(style_file, photographs, recipe=TINY, threads=2, resume=True, log=lines.append, **arguments)
    assert [each["threads"] for each in made.training["backends"]] == [1, 2]
    assert any("not to the same bits" in line for line in lines)


def test_sigterm_keeps_network_and_checkpoint(any_backend, style_file, photographs, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(train_cli.TrainingWatch, "line", lambda self, progress, done: os.kill(os.getpid(), signal.SIGTERM))
    output = tmp_path / "out.safetensors"
    code, _, err = run(["train", style_file, photographs, "-o", output, "--backend", any_backend, *OPTIONS], capsys)
    assert code == 143
    assert "interrupted after 1 steps" in err
    assert style_network.load(output).training["steps"] == 1


def test_resume_begins_where_there_is_nothing_to_go_on_from(any_backend, style_file, photographs, tmp_path, capsys):
    """So that a job's script can always pass it."""
    output = tmp_path / "out.safetensors"
    command = ["train", style_file, photographs, "-o", output, "--backend", any_backend, "--steps", 2, *OPTIONS, "--resume"]
    code, _, err = run(command, capsys)
    assert (code, "from the beginning" in err) == (0, True)
    code, _, err = run(command, capsys)
    assert (code, "going on from step 2" in err) == (0, True)


def test_sheets_of_another_training_are_not_overwritten(style_file, photographs, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / "step-000200.jpg").write_bytes(b"kept")
    code, _, err = run(["train", style_file, photographs, "--samples", "s"], capsys)
    assert (code, "has the samples of another training" in err) == (2, True)


def test_a_loss_network_is_an_input_and_not_overwritten(style_file, photographs, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my.safetensors").write_bytes(b"kept")
    command = ["train", style_file, photographs, "--network", "my.safetensors", "-o", "my.safetensors", "--force"]
    code, _, err = run(command, capsys)
    assert (code, "is an input; it is never overwritten" in err) == (2, True)


def test_a_network_or_a_checkpoint_is_not_overwritten_unasked(any_backend, style_file, photographs, tmp_path, capsys):
    output = tmp_path / "out.safetensors"
    command = ["train", style_file, photographs, "-o", output, "--backend", any_backend, "--steps", 2, *OPTIONS]
    assert run(command, capsys)[0] == 0
    code, _, err = run(command, capsys)
    assert code == 2
    assert "--resume" in err
    output.with_name(output.name + ".checkpoint").unlink()
    code, _, err = run(command, capsys)
    assert code == 2
    assert "exists already" in err


def test_a_finished_training_is_called_finished_and_another_one_that_can_go_on(
    any_backend, style_file, photographs, tmp_path, capsys
):
    output = tmp_path / "out.safetensors"
    command = ["train", style_file, photographs, "-o", output, "--backend", any_backend, "--steps", 2, *OPTIONS]
    assert run(command, capsys)[0] == 0
    _, _, err = run(command, capsys)
    assert "is of a training that is finished, after 2 steps: --resume with more --steps goes on, --force begins anew" in err
    output.with_name(output.name + ".checkpoint").write_bytes(b"half of one")
    _, _, err = run(command, capsys)
    assert "is of a training that can go on: --resume does so, --force begins anew" in err


@pytest.mark.parametrize(
    ("style", "folder", "message"),
    [
        ("nowhere.png", "photos", "there is no file 'nowhere.png'"),
        ("empty", "photos", "'empty' holds no painting"),
        ("waves.png", "nowhere", "there is no folder 'nowhere' of photographs"),
        ("waves.png", "empty", "'empty' holds no photograph"),
    ],
)
def test_pictures_that_are_not_there_are_named_before_a_checkpoint(
    style_file, photographs, tmp_path, capsys, monkeypatch, style, folder, message
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "out.safetensors.checkpoint").write_bytes(b"of another training")
    code, _, err = run(["train", style, folder, "-o", "out.safetensors"], capsys)
    assert (code, err) == (2, f"isostyle: {message}\n")


@pytest.mark.parametrize(("decay", "rates"), [("2:0.5", [2e-3, 2e-3, 1e-3, 1e-3]), ("off", [2e-3] * 4)])
def test_the_learning_rate_decays_as_asked(any_backend, style_file, photographs, tmp_path, capsys, monkeypatch, decay, rates):
    monkeypatch.setattr(training, "HISTORY_EVERY", 1)
    output = tmp_path / "out.safetensors"
    arguments = ["train", style_file, photographs, "-o", output, "--backend", any_backend, "--steps", 4, "--decay", decay]
    code, _, err = run([*arguments, *OPTIONS], capsys)
    assert code == 0, err
    assert [row["learning_rate"] for row in style_network.load(output).history] == rates


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--steps", "0"], "number of steps"),
        (["--crop", "3"], "a crop must have at least 5 pixels"),
        (["--crop", "8"], "need 16 pixels a side"),
        (["--width", "wide"], "--width takes narrow, paper, or three numbers"),
        (["--lr", "-1"], "learning rate"),
        (["--decay", "half"], "--decay takes steps and a factor, as 400:0.7, or off; not 'half'"),
        (["--decay", "0:0.5"], "number of steps between decays"),
        (["--recipe", "tutorial"], "cannot train a network"),
        (["--blocks", "-1"], "0 to 64 residual blocks, not -1"),
        (["--width", "0,24,48"], "three numbers of channels in 1..1024"),
        (["--seed", "-1"], "the seed must be a whole number in 0.."),
        (["--samples", "photos/samples"], "would become photographs to train on"),
        (["-o", "out.pt"], "does not end in .safetensors"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, list) else "",
)
def test_options_that_cannot_be_are_refused_in_one_sentence(
    style_file, photographs, tmp_path, capsys, monkeypatch, arguments, message
):
    monkeypatch.chdir(tmp_path)
    code, out, err = run(["train", style_file, photographs, *arguments], capsys)
    assert (code, out) == (2, "")
    assert message in err
    assert len(err.splitlines()) == 1
    assert not list(tmp_path.glob("*.safetensors*"))


def test_a_network_is_trained_on_what_is_visible_of_a_painting(photographs):
    bare = Image.new("RGBA", (120, 100))
    bare.paste(painting(), (30, 17))
    inputs = read_inputs(TINY, {"bare": bare}, photographs, "compact", None, add=False, recursive=False)
    assert inputs.styles["bare"].picture.tobytes() == painting().tobytes()


def test_a_photograph_that_is_transparent_everywhere_is_skipped(any_backend, photographs, style_file):
    for path in sorted(photographs.iterdir())[:4]:
        path.unlink()
        Image.new("RGBA", (44, 40)).save(path.with_suffix(".png"))
    lines = []
    recipe = dataclasses.replace(TINY, steps=8)
    train(style_file, photographs, recipe=recipe, backend=any_backend, log=lines.append)
    assert any("is transparent everywhere" in line for line in lines)
