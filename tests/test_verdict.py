"""A run whose picture is worse than what it began with is a failure, and keeps the best picture that it had."""

import json

import numpy as np
import pytest
from conftest import run
from PIL import Image

import isostyle
from isostyle.recipe import AdamSettings
from isostyle.transfer.verdict import roughness

SMALL = {"size": (32, 48), "steps": 60}
#: Adam's steps of two ranges a pixel: every sample jumps from black to white and back.
WILD = {"recipe": "tutorial-square", "optimizer": AdamSettings(2.0)}
#: Steps too small to be seen.
STILL = {"recipe": "d2l", "optimizer": AdamSettings(1e-7)}


def painted(backend, **options):
    lines = []
    content, style = (Image.fromarray(pixels) for pixels in options.pop("of", pictures()))
    result = isostyle.stylize(content, style, backend=backend, log=lines.append, **{**SMALL, **options})
    return result, lines


def pictures():
    rows, columns = np.mgrid[:32, :48]
    smooth = np.stack([rows * 6, columns * 4, (rows + columns) * 3], axis=-1).astype(np.uint8)
    return smooth, np.ascontiguousarray(255 - smooth[::-1])


def alike():
    """A picture and its mirror image: their styles are nearly the same, and so nearly any other picture is worse."""
    smooth, _ = pictures()
    return smooth, np.ascontiguousarray(smooth[:, ::-1])


def test_a_clamped_run_that_explodes_is_stopped_and_keeps_its_best_picture(backend):
    with pytest.raises(
        isostyle.Stopped, match=r"the total ended at .* times where it began; try a smaller learning rate"
    ) as caught:
        painted(backend.name, of=alike(), **WILD)
    result = caught.value.result
    totals = [row["total"] for row in result.history]
    assert result.manifest["losses"]["last"]["total"] == min(totals) < totals[-1]
    assert "times where it began" in result.manifest["stopped_by"]


def test_a_run_that_is_tried_again_at_half_the_rate_begins_anew(any_backend):
    result, lines = painted(any_backend, **WILD, on_divergence="retry")
    assert result.manifest["recipe"]["optimizer"]["learning_rate"] < WILD["optimizer"].learning_rate
    assert any("once more from the beginning" in line for line in lines)


def test_a_picture_that_ends_as_noise_is_stopped(backend):
    """From noise, in steps that are too small: the total falls, and the noise stays."""
    with pytest.raises(isostyle.Stopped, match="the picture ended as noise"):
        painted(backend.name, recipe="tutorial-square", optimizer=AdamSettings(1e-4), init="noise")


def test_a_run_that_hardly_moves_says_so(backend):
    _, lines = painted(backend.name, **STILL)
    assert "the picture has hardly moved: the total fell by 0.0%" in lines[-1]


def test_a_run_that_moves_says_nothing(any_backend):
    _, lines = painted(any_backend, recipe="d2l")
    assert not [line for line in lines if "moved" in line]


def test_a_run_of_a_few_steps_is_no_failure_and_says_that_it_was_too_short(any_backend):
    _, lines = painted(any_backend, recipe="d2l", learning_rate=1.0, steps=5)
    assert "after 5 steps the total is" in lines[-1]


def test_a_run_of_a_few_steps_that_explodes_is_a_failure(any_backend):
    with pytest.raises(isostyle.Stopped, match="the total ended at .* times where it began"):
        painted(any_backend, recipe="d2l", learning_rate=50.0, steps=20)


def test_a_coarse_level_that_explodes_is_a_failure_whatever_the_last_one_does(any_backend):
    level = {"size": (64, 96), "pyramid": [(0.5, 60)], "steps": 5}
    with pytest.raises(isostyle.Stopped, match="times where it began"):
        painted(any_backend, of=alike(), **WILD | level)


def test_noise_that_went_in_may_come_out(any_backend):
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (32, 48, 3), dtype=np.uint8))
    isostyle.stylize(noise, noise, backend=any_backend, recipe="d2l", learning_rate=0.01, **SMALL)


def test_the_command_keeps_the_best_picture_and_ends_with_1(backend, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for name, pixels in zip(("photo.png", "painting.png"), alike(), strict=True):
        Image.fromarray(pixels).save(name)
    command = ["run", "photo.png", "painting.png", "-o", "out.png", "--recipe", "tutorial-square", "--optimizer", "adam"]
    command += ["--lr", "2", "--steps", "60", "--size", "32x48", "--backend", backend.name, "--quiet"]
    code, _, error = run(command, capsys)
    assert code == 1
    assert "times where it began" in error
    assert "is kept in 'out.png'" in error
    assert (tmp_path / "out.png").is_file()
    assert "times where it began" in json.loads((tmp_path / "out.json").read_text())["stopped_by"]


@pytest.mark.parametrize(
    ("pixels", "expected"),
    [
        pytest.param(np.zeros((8, 8, 3)), 0, id="black"),
        pytest.param(np.indices((8, 8)).sum(axis=0)[..., None] % 2 * np.full(3, 255), 1, id="checkerboard"),
        pytest.param(np.repeat(np.arange(0, 256, 51)[:, None, None], 6, axis=1) * np.ones(3), 0.1, id="ramp along one axis"),
    ],
)
def test_roughness_by_hand(pixels, expected):
    assert roughness(Image.fromarray(pixels.astype(np.uint8))) == pytest.approx(expected)
