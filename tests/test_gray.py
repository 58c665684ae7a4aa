"""Gray in, gray out: of a gray photograph and a gray painting a run makes a gray picture, however it goes."""

import json

import numpy as np
import pytest
from conftest import run
from PIL import Image

import isostyle
from isostyle.images import arrays, decode
from isostyle.images.gray import LUMINANCE, is_gray
from isostyle.recipe import NAMED_STARTS

QUICK = {"size": 48, "steps": 2, "pyramid": False}


def values(phase=0.0):
    y, x = np.mgrid[0:60, 0:80]
    return (127 + 120 * np.sin(x / 5 + y / 7 + phase)).astype(np.uint8)


def picture(mode="L", phase=0.0):
    """A gray picture of waves."""
    if mode == "I;16":
        return Image.fromarray(values(phase).astype(np.uint16) * 257)
    return Image.fromarray(values(phase)).convert(mode)


def colored(phase=0.0):
    return Image.fromarray(np.stack([values(phase), values(phase + 1), values(phase + 2)], -1))


def chroma(found):
    """By how much the channels of a picture or an array of samples differ, at the most."""
    return int(np.ptp(np.asarray(found)[..., :3].astype(int), axis=-1).max())


# Which are gray


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16"])
def test_a_picture_without_color_is_gray_whatever_its_mode(mode):
    assert is_gray(decode.read(picture(mode)).pixels)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_one_colored_pixel_makes_a_picture_one_of_color(dtype):
    most = 1 if dtype == np.float32 else np.iinfo(dtype).max
    array = np.repeat((values() / 255 * most).astype(dtype)[..., None], 3, axis=-1)
    assert is_gray(decode.read(array).pixels)
    array[59, 79, 2] = array[59, 79, 0] * 0.5 + 0.1 * most
    assert not is_gray(decode.read(array).pixels)


def test_channels_that_a_profile_s_rounding_parts_are_gray():
    array = np.repeat(values()[..., None], 3, axis=-1)
    array[..., 2] += 1
    assert is_gray(decode.read(array).pixels)
    array[..., 2] += 1
    assert not is_gray(decode.read(array).pixels)


# Which gray


@pytest.mark.parametrize("space", ["normalized", "unit"])
def test_a_pixel_becomes_the_gray_of_its_luminance(space):
    pixel = np.array([0.2, 0.4, 0.9])
    image = arrays.scaled(pixel[None, None], space).transpose(2, 0, 1)[None]
    assert arrays.rounded(image, space, gray=True)[0, 0].tolist() == [round(65535 * float(pixel @ LUMINANCE))] * 3


def test_a_gray_pixel_stays_what_it_is():
    image = arrays.to_array(picture("RGB"), "float64")
    assert arrays.to_picture(image, gray=True).tobytes() == picture("RGB").tobytes()


# Runs


def test_gray_pictures_become_a_gray_one(backend, tmp_path):
    result = isostyle.stylize(picture(), picture("RGB", 1), backend=backend.name, **QUICK)
    assert chroma(arrays.to_picture(result.image)) > 0  # what was optimized has colors
    assert chroma(result.picture) == 0
    assert result.gray is result.manifest["result"]["gray"] is True
    for bits in (8, 16):
        result.save(tmp_path / "out.png", bits=bits)
        assert chroma(decode.read(tmp_path / "out.png").eight_bits) == 0
    assert chroma(decode.read(tmp_path / "out.png").pixels.samples) == 0


@pytest.mark.parametrize("start", NAMED_STARTS)
def test_every_start_ends_in_gray(any_backend, start):
    result = isostyle.stylize(picture(), picture(phase=1), init=start, backend=any_backend, **QUICK)
    assert chroma(result.picture) == 0


@pytest.mark.parametrize(
    "changes",
    [{"pyramid": [(0.75, 2)]}, {"tile": 32}, {"recipe": "gatys2016", "optimizer": "adam"}, {"precision": "fast"}],
    ids=lambda changes: next(iter(changes)),
)
def test_every_way_of_a_run_ends_in_gray(any_backend, changes):
    result = isostyle.stylize(picture(), picture(phase=1), backend=any_backend, **{**QUICK, **changes})
    assert chroma(result.picture) == 0


@pytest.mark.parametrize("role", ["content", "style", "init"])
def test_one_picture_of_color_lets_the_result_have_some(any_backend, role):
    given = {"content": picture(), "style": picture(phase=1), "init": picture(phase=2)}
    result = isostyle.stylize(**{**given, role: colored()}, backend=any_backend, **QUICK)
    assert result.gray is False
    assert chroma(result.picture) > 0


def test_gray_is_kept_beside_alpha(any_backend, tmp_path):
    given = picture("LA")
    given.putalpha(Image.fromarray(values(2)))
    isostyle.stylize(given, picture(phase=1), backend=any_backend, **QUICK).save(tmp_path / "out.png", bits=16)
    with Image.open(tmp_path / "out.png") as made:
        assert made.mode == "RGBA"
        assert chroma(made) == 0


def test_stages_a_resumed_and_a_repeated_run_are_gray_too(any_backend, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    picture().save("photo.png")
    picture(phase=1).save("painting.png")
    flags = ["--size", "48", "--pyramid=none", "--backend", any_backend]
    assert (
        run(["run", "photo.png", "painting.png", "-o", "out.png", "--steps", "4", "--save-every", "2", *flags], capsys)[0] == 0
    )
    assert chroma(Image.open("out-0002.png")) == chroma(Image.open("out.png")) == 0
    assert run(["rerun", "out.json", "-o", "again.png"], capsys)[0] == 0
    assert chroma(Image.open("again.png")) == 0

    def stop(event):
        if event.evaluation == 2:
            raise KeyboardInterrupt

    given = {"backend": any_backend, "checkpoint": "run.checkpoint", "callback": stop, **QUICK}
    with pytest.raises(isostyle.Interrupted) as stopped:
        isostyle.stylize("photo.png", "painting.png", **given)
    assert chroma(stopped.value.result.picture) == 0
    assert chroma(isostyle.resume("run.checkpoint").picture) == 0


def test_a_batch_is_gray_too(any_backend, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    picture().save("photo.png")
    picture(phase=1).save("painting.png")
    flags = ["--", "--size", "48", "--pyramid=none", "--steps", "1", "--backend", any_backend]
    assert run(["batch", "--content", "photo.png", "--style", "painting.png", "-o", "out", *flags], capsys)[0] == 0
    assert chroma(Image.open("out/photo-painting.png")) == 0
    assert json.loads((tmp_path / "out" / "photo-painting.json").read_text())["result"]["gray"] is True
