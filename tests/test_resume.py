"""Runs that survive: from a checkpoint a run goes on, bit by bit as if it had never stopped."""

import dataclasses
import json
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from conftest import BACKENDS, THREADS, draw, obtain, run, stopped_by_ctrl_c
from PIL import Image

import isostyle
from isostyle import InputError
from isostyle.cli.main import main
from isostyle.recipe import AdamSettings, Constant, LbfgsSettings, Level
from isostyle.system.tensors import tensors_file
from isostyle.transfer import checkpoint as run_checkpoint
from isostyle.transfer import history as run_history
from isostyle.transfer import run as running
from isostyle.transfer.descent import ExplodingLoss

#: Small enough for a second, large enough for conv5_1.
SIZE = (32, 48)
SEARCHING = LbfgsSettings(history=3, line_search="strong-wolfe")
RUNS = {
    "adam": {"steps": 5},
    "lbfgs": {"steps": 23, "optimizer": LbfgsSettings(history=3, iterations=4)},
    "a line search": {"steps": 12, "optimizer": SEARCHING},
    "a pyramid of adam": {"steps": 3, "pyramid": [Level(0.8, 2)], "optimizer": AdamSettings(0.3)},
    "a pyramid": {"steps": 8, "pyramid": [Level(0.7, 5), Level(0.8, 4)], "optimizer": SEARCHING},
    "averages": {"steps": 3, "recipe": "crowsonkb", "pyramid": [Level(0.7, 2)]},
    "float64": {"steps": 3, "dtype": "float64"},
    "tiles": {"steps": 2, "tile": 32},
    "larger strokes": {"steps": 2, "style_scale": 1.5},
    "a style image's own size": {"steps": 2, "style_size": (40, 56)},
    "a clamped image": {"steps": 6, "recipe": "tutorial", "optimizer": LbfgsSettings(iterations=3)},
}


@pytest.fixture
def pictures(tmp_path):
    """Two files, so that a checkpoint can name them."""
    for name, phase in (("content", 0.0), ("style", 1.5)):
        draw(tmp_path / f"{name}.png", phase)
    return tmp_path / "content.png", tmp_path / "style.png"


def small(**options):
    """The arguments of a run of a second; with one level, unless ``options`` say otherwise."""
    return {"size": SIZE, "threads": THREADS, "pyramid": False, **options}


def stop_at(evaluation):
    """A callback that stops the run there, as Ctrl-C does."""

    def callback(event):
        if event.evaluation == evaluation:
            raise KeyboardInterrupt

    return callback


def interrupted(pictures, path, evaluation, **options):
    with pytest.raises(isostyle.Interrupted):
        isostyle.stylize(*pictures, checkpoint=path, callback=stop_at(evaluation), **small(**options))


@pytest.mark.parametrize("kind", RUNS)
def test_a_run_that_goes_on_is_bit_identical_wherever_it_was_stopped(backend, kind, pictures, tmp_path):
    options = {"backend": backend.name, **RUNS[kind]}
    whole = isostyle.stylize(*pictures, **small(**options))
    evaluations = [row["evaluation"] for row in whole.history]
    for evaluation in evaluations[:-1] if backend.name == "torch" else evaluations[1:-1:3]:
        interrupted(pictures, tmp_path / "run.ckpt", evaluation, **options)
        resumed = isostyle.resume(tmp_path / "run.ckpt")
        assert resumed.image.tobytes() == whole.image.tobytes(), evaluation
        assert json.dumps(resumed.history) == json.dumps(whole.history), evaluation
        assert resumed.manifest["losses"] == whole.manifest["losses"]


def test_a_run_may_be_stopped_many_times(any_backend, pictures, tmp_path):
    options = {"backend": any_backend, "steps": 6}
    whole = isostyle.stylize(*pictures, **small(**options))
    path = tmp_path / "run.ckpt"
    interrupted(pictures, path, 2, **options)
    for evaluation in (3, 6):
        with pytest.raises(isostyle.Interrupted):
            isostyle.resume(path, callback=stop_at(evaluation))
    resumed = isostyle.resume(path)
    assert resumed.image.tobytes() == whole.image.tobytes()
    assert len(resumed.history) == len(whole.history)


def test_it_is_written_every_so_often(any_backend, pictures, tmp_path):
    seen = {}

    def callback(event):
        path = tmp_path / "run.ckpt"
        seen[event.evaluation] = run_checkpoint.load(path).history[-1]["evaluation"] if path.exists() else None

    path = tmp_path / "run.ckpt"
    options = small(steps=5, backend=any_backend)
    isostyle.stylize(*pictures, checkpoint=path, checkpoint_every=2, callback=callback, **options)
    assert seen == {1: None, 2: None, 3: 2, 4: 2, 5: 4, 6: 4}


def test_without_a_checkpoint_nothing_is_written(any_backend, pictures, tmp_path):
    before = sorted(tmp_path.iterdir())
    isostyle.stylize(*pictures, **small(steps=2, backend=any_backend))
    assert sorted(tmp_path.iterdir()) == before


def test_pictures_without_a_file_are_to_be_handed_over_again(any_backend, pictures, tmp_path):
    images = [np.asarray(Image.open(path)) for path in pictures]
    whole = isostyle.stylize(*images, **small(steps=3, backend=any_backend))
    interrupted(images, tmp_path / "c", 2, steps=3, backend=any_backend)
    with pytest.raises(InputError, match=r"run had no file; hand it over again, as 'content'"):
        isostyle.resume(tmp_path / "c")
    resumed = isostyle.resume(tmp_path / "c", content=images[0], style=pictures[1])
    assert resumed.image.tobytes() == whole.image.tobytes()


@pytest.mark.parametrize("role", [0, 1], ids=["content", "style"])
def test_another_picture_in_the_place_of_one_is_refused(any_backend, pictures, tmp_path, role):
    interrupted(pictures, tmp_path / "c", 2, steps=3, backend=any_backend)
    changed = np.array(Image.open(pictures[role]))
    changed[0, 0, 0] ^= 1
    Image.fromarray(changed).save(pictures[role])
    with pytest.raises(InputError, match=r"\.png' is not the (content|style) image that this run began with"):
        isostyle.resume(tmp_path / "c")


def test_another_network_is_refused(any_backend, pictures, tmp_path):
    interrupted(pictures, tmp_path / "c", 2, steps=3, backend=any_backend)
    found = run_checkpoint.load(tmp_path / "c")
    other = dataclasses.replace(found, settings={**found.settings, "network_sha256": "0" * 64})
    (tmp_path / "c").write_bytes(run_checkpoint.dump(other))
    with pytest.raises(InputError, match="the network 'compact' is not the one that this run began with"):
        isostyle.resume(tmp_path / "c")


def test_another_framework_takes_over_and_both_are_named(pictures, tmp_path):
    """Within what the conformance suite allows for steps of Adam that are no longer the first: a quarter of the range."""
    names = [name for name in BACKENDS if obtain(name)]
    if len(names) < 2:
        pytest.skip("one framework cannot take over from itself")
    one, other = names[:2]
    options = {"steps": 4, "dtype": "float64"}
    whole = isostyle.stylize(*pictures, **small(backend=one, **options))
    interrupted(pictures, tmp_path / "c", 2, backend=one, **options)
    lines = []
    resumed = isostyle.resume(tmp_path / "c", backend=other, log=lines.append)
    assert np.abs(resumed.image - whole.image).max() < 1e-6  # float64, learning rate 0.3
    assert [each["name"] for each in resumed.manifest["backends"]] == [one, other]
    assert any("not to the same bits" in line for line in lines)


def test_an_error_of_the_disk_does_not_end_the_run(any_backend, pictures, tmp_path):
    lines = []
    folder = tmp_path / "gone"
    folder.mkdir()

    def callback(event):
        if event.evaluation == 1:
            folder.rmdir()

    result = isostyle.stylize(
        *pictures,
        size=SIZE,
        pyramid=False,
        steps=3,
        backend=any_backend,
        checkpoint=folder / "c",
        checkpoint_every=2,
        callback=callback,
        log=lines.append,
    )
    assert result.manifest["steps_done"] == 3
    assert any("cannot be written" in line for line in lines)


# Divergence


@pytest.fixture
def wild(any_backend, monkeypatch):
    """Runs whose totals explode from evaluation 16 on if the learning rate is above 0.1."""
    climb = running.climb

    def told(*arguments):
        for event in climb(*arguments):
            explodes = event.evaluation > 15 and event.learning_rate > 0.1
            yield dataclasses.replace(event, terms={**event.terms, "total": 1e9}) if explodes else event

    monkeypatch.setattr(running, "climb", told)
    return {"backend": any_backend, "recipe": "d2l", "size": SIZE, "steps": 20, "optimizer": AdamSettings(0.3)}


def test_a_total_that_explodes_ends_the_run_and_keeps_the_last_good_picture(wild, pictures):
    with pytest.raises(isostyle.Stopped, match=r"the total became 1e\+09 at step 15, \d+ times what it was") as caught:
        isostyle.stylize(*pictures, **wild)
    assert caught.value.result.manifest["steps_done"] == 14


def test_retry_goes_on_from_the_last_good_state_at_half_the_rate(wild, pictures):
    """0.3 and 0.15 explode, 0.075 does not: back to evaluation 10, twice."""
    lines = []
    result = isostyle.stylize(*pictures, on_divergence="retry", log=lines.append, **wild)
    assert [row["evaluation"] for row in result.history] == list(range(1, 22))
    assert [row["learning_rate"] for row in result.history] == [0.3] * 10 + [0.075] * 11
    assert len(result.manifest["diverged"]) == 2
    assert sum("once more from evaluation 10, at the learning rate" in line for line in lines) == 2
    assert result.manifest["recipe"]["optimizer"]["learning_rate"] == 0.075


def test_retry_gives_up_in_the_end(any_backend, pictures, monkeypatch):
    attempts = []
    monkeypatch.setattr(run_history, "require_sane", lambda row, totals: attempts.append(1) or explode(row))
    with pytest.raises(isostyle.Stopped, match="try a smaller learning rate"):
        isostyle.stylize(*pictures, **small(backend=any_backend, steps=2, on_divergence="retry"))
    assert len(attempts) == 1 + running.RETRIES


def explode(row):
    raise ExplodingLoss(1e9, 1.0, row["step"])


# Files


@pytest.fixture
def checkpoint(any_backend, pictures, tmp_path):
    interrupted(pictures, tmp_path / "c", 2, steps=3, backend=any_backend)
    return tmp_path / "c"


def test_a_file_has_the_same_bytes_for_the_same_run(checkpoint):
    found = run_checkpoint.load(checkpoint)
    assert run_checkpoint.dump(found) == checkpoint.read_bytes()


@pytest.mark.parametrize("at", [0.3, 0.9], ids=["metadata", "numbers"])
def test_a_damaged_file_is_refused(checkpoint, at):
    data = bytearray(checkpoint.read_bytes())
    place = data.index(b"relu4_2") if at < 0.5 else int(at * len(data))
    data[place] ^= 1
    checkpoint.write_bytes(data)
    with pytest.raises(InputError, match="is damaged: it is not what was saved"):
        isostyle.resume(checkpoint)


def test_half_a_file_is_refused(checkpoint):
    size = checkpoint.stat().st_size
    checkpoint.write_bytes(checkpoint.read_bytes()[: size // 2])
    words = f"is not a run's checkpoint, or not all of it: it is cut short: {size // 2} bytes are there, of at least {size}$"
    with pytest.raises(InputError, match=words):
        isostyle.resume(checkpoint)


def test_a_header_that_lies_is_called_damaged(checkpoint):
    data = checkpoint.read_bytes()
    checkpoint.write_bytes(data.replace(b'"data_offsets"', b'"data_offset$"'))
    with pytest.raises(InputError, match="it is damaged: its header does not describe what follows$"):
        isostyle.resume(checkpoint)


def test_a_picture_is_called_a_picture(tmp_path):
    Image.new("RGB", (8, 8)).save(tmp_path / "painting.jpg")
    with pytest.raises(InputError, match=r"painting\.jpg' is not a run's checkpoint: it is a JPEG picture$"):
        isostyle.resume(tmp_path / "painting.jpg")


def test_one_of_another_kind_is_refused(tmp_path):
    (tmp_path / "c").write_bytes(tensors_file({}, {"schema": "isostyle.training/1"}))
    with pytest.raises(InputError, match="is no checkpoint of a run: it is 'isostyle.training/1'"):
        isostyle.resume(tmp_path / "c")


@pytest.mark.parametrize(("edition", "age"), [(1, "an older"), (3, "a newer")])
def test_one_of_another_edition_is_refused(tmp_path, edition, age):
    (tmp_path / "c").write_bytes(tensors_file({}, {"schema": f"isostyle.run/{edition}"}))
    with pytest.raises(InputError, match=f"was written by {age} isostyle, and this one cannot go on from it"):
        isostyle.resume(tmp_path / "c")


def without(table, key):
    return {name: value for name, value in table.items() if name != key}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"settings": lambda found: without(found.settings, "seed")}, "seed"),
        ({"settings": lambda found: {**found.settings, "threads": "2"}}, "'2' is no threads of its settings"),
        ({"history": lambda found: []}, "its history are not those of a run"),
        ({"history": lambda found: [without(row, "tv") for row in found.history]}, "it has no 'tv'"),
        ({"inputs": lambda found: without(found.inputs, "style")}, "its inputs or its history are not those of a run"),
        ({"position": lambda found: dataclasses.replace(found.position, level=1)}, "a level that its recipe does not have"),
        (
            {"position": lambda found: dataclasses.replace(found.position, steps_before=-1)},
            "its position counts fewer than none",
        ),
        (
            {"position": lambda found: dataclasses.replace(found.position, state=without(found.position.state, "moment2"))},
            "it has no 'moment2'",
        ),
        (
            {"recipe": lambda found: dataclasses.replace(found.recipe, optimizer=LbfgsSettings(), schedule=Constant())},
            "it has no '(block|pairs|scale|move|gradient|total)'",
        ),
    ],
    ids=[
        "a setting that lacks",
        "a setting of another type",
        "no history",
        "a history without losses",
        "no style image",
        "a level too many",
        "fewer steps than none",
        "half an optimizer",
        "another optimizer",
    ],
)
def test_a_forged_file_is_refused(checkpoint, change, words):
    """Its digest is right; what it says cannot be."""
    found = run_checkpoint.load(checkpoint)
    other = dataclasses.replace(found, **{name: made(found) for name, made in change.items()})
    checkpoint.write_bytes(run_checkpoint.dump(other))
    with pytest.raises(InputError, match=words):
        isostyle.resume(checkpoint)


# The command line


def command(name, pictures, output, *options):
    return [
        *(sys.executable, "-m", "isostyle", "run", *map(str, pictures), "-o", str(output), "--backend", name, "--size", "64"),
        *("--threads", str(THREADS), *options),
    ]


def wait_for(path, process):
    deadline = time.monotonic() + 120
    while not path.exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    assert path.exists()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["Ctrl-C", "SIGTERM"])
def test_a_signal_keeps_picture_and_checkpoint_and_resume_goes_on(any_backend, pictures, tmp_path, capsys, number, code):
    whole, output, checkpoint = tmp_path / "whole.png", tmp_path / "out.png", tmp_path / "run.ckpt"
    # Enough steps that it is not at its end before the signal is there.
    options = ["--steps", "100", "--pyramid", "none", "--checkpoint", str(checkpoint), "--checkpoint-every", "2", "--history"]
    subprocess.run([*command(any_backend, pictures, whole), *options, str(tmp_path / "w.csv")], check=True, capture_output=True)
    options = [*options, str(tmp_path / "h.csv")]
    process = subprocess.Popen([*command(any_backend, pictures, output), *options], stderr=subprocess.PIPE, text=True)
    wait_for(checkpoint, process)
    process.send_signal(number)
    _, err = process.communicate()
    assert process.returncode == code, err
    assert output.exists()
    assert f"isostyle resume {checkpoint}" in err
    returned, _, err = run(["resume", checkpoint], capsys)
    assert returned == 0, err
    assert output.read_bytes() == whole.read_bytes()
    assert (tmp_path / "h.csv").read_bytes() == (tmp_path / "w.csv").read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("moment", [0.2, 0.5, 0.8])
@pytest.mark.parametrize("name", BACKENDS)
def test_a_run_that_is_killed_and_resumed_is_bit_identical(name, pictures, tmp_path, capsys, moment):
    obtain(name)
    whole, output, checkpoint = tmp_path / "whole.png", tmp_path / "out.png", tmp_path / "run.ckpt"
    options = ["--steps", "40", "--pyramid", "none", "--checkpoint", str(checkpoint), "--checkpoint-every", "1", "--quiet"]
    subprocess.run([*command(name, pictures, whole), *options], check=True)
    process = subprocess.Popen([*command(name, pictures, output), *options])
    wait_for(checkpoint, process)
    time.sleep(moment)
    process.send_signal(signal.SIGKILL)
    process.wait()
    if output.exists():
        pytest.skip("it was finished before it could be killed")
    assert subprocess.run([sys.executable, "-m", "isostyle", "resume", str(checkpoint)], check=False).returncode == 0
    assert output.read_bytes() == whole.read_bytes()


def test_a_run_that_is_killed_while_its_picture_is_written_goes_on_and_then_the_checkpoint_is_gone(
    any_backend, pictures, tmp_path, capsys, monkeypatch
):
    class Killed(BaseException):
        pass

    def kill(*arguments):
        raise Killed

    whole, output, checkpoint = tmp_path / "whole.png", tmp_path / "out.png", tmp_path / "run.ckpt"
    options = ["--steps", "4", "--pyramid", "none", "--checkpoint", str(checkpoint), "--checkpoint-every", "2", "--quiet"]
    assert run([*command(any_backend, pictures, whole)[3:], *options], capsys)[0] == 0
    assert not checkpoint.exists()
    with monkeypatch.context() as context:
        context.setattr("isostyle.images.encode.save", kill)
        with pytest.raises(Killed):
            main([*command(any_backend, pictures, output)[3:], *options])
    assert not output.exists()
    assert run(["resume", checkpoint, "--quiet"], capsys)[0] == 0
    assert output.read_bytes() == whole.read_bytes()
    assert not checkpoint.exists()


def test_from_python_the_checkpoint_stays_until_the_picture_is_saved_by_whoever_called(any_backend, pictures, tmp_path):
    path, options = tmp_path / "run.ckpt", small(backend=any_backend, steps=4)
    whole = isostyle.stylize(*pictures, checkpoint=path, checkpoint_every=3, **options)
    assert isostyle.resume(path).image.tobytes() == whole.image.tobytes()
    assert path.exists()


def test_a_checkpoint_that_is_there_is_not_begun_anew(any_backend, pictures, checkpoint, tmp_path, capsys):
    arguments = ["run", *pictures, "-o", tmp_path / "o.png", "--backend", any_backend, "--checkpoint", checkpoint]
    code, _, err = run(arguments, capsys)
    assert code == 2
    assert f"`isostyle resume {checkpoint}` goes on from it, --force begins anew" in err


def test_resume_overwrites_nobody_s_picture(any_backend, pictures, checkpoint, tmp_path, capsys):
    (tmp_path / "mine.png").write_bytes(b"precious")
    code, _, err = run(["resume", checkpoint, "-o", tmp_path / "mine.png"], capsys)
    assert code == 2
    assert "exists already" in err
    assert (tmp_path / "mine.png").read_bytes() == b"precious"


def test_a_checkpoint_of_python_has_no_place_for_a_picture(checkpoint, capsys):
    code, _, err = run(["resume", checkpoint], capsys)
    assert code == 2
    assert "name the picture with -o" in err


def test_resume_leaves_the_manifest_of_a_picture_that_differs_in_suffix_only(any_backend, pictures, tmp_path, capsys):
    output, checkpoint = tmp_path / "r.png", tmp_path / "run.ckpt"
    options = ["--steps", "4", "--pyramid", "none", "--size", "48", "--checkpoint", checkpoint, "--checkpoint-every", "1"]
    stopped_by_ctrl_c(["run", *pictures, "-o", output, "--backend", any_backend, *options])
    output.unlink()
    other = '{"output": {"path": "r.jpg"}}'  # r.jpg was made meanwhile
    (tmp_path / "r.json").write_text(other)
    code, _, err = run(["resume", checkpoint], capsys)
    assert code == 0, err
    assert (tmp_path / "r.json").read_text() == other
    assert json.loads((tmp_path / "r.png.json").read_bytes())["steps_done"] == 4
