"""Transparency: what is invisible influences nothing that is visible, and what is visible keeps its colors."""

import struct

import numpy as np
import pytest
from conftest import run
from picture_files import HIDDEN, OBJECT, chunk, cut_out, painting, png, saved, tiff, waves
from PIL import Image
from style_files import random_style, write_style

import isostyle
from isostyle.images import decode, encode, transparency
from isostyle.images.encode import Finished
from isostyle.images.options import PictureOptions

#: A run that keeps its content, but for rounding.
#: A run that moves nothing.
STILL = {
    "size": (48, 64), "steps": 1, "pyramid": False, "init": "content", "style_weight": 0, "tv_weight": 0, "learning_rate": 1e-6,
}  # fmt: skip
QUICK = {"size": (48, 64), "steps": 3, "pyramid": False}


# Which pixel is the nearest


@pytest.mark.parametrize("share", [0.02, 0.2, 0.7])
@pytest.mark.parametrize("size", [(1, 1), (1, 30), (30, 1), (13, 17), (70, 9)], ids=str)
def test_the_nearest_visible_pixel_is_found(size, share):
    visible = np.random.RandomState(sum(size)).uniform(size=size) < share
    visible[size[0] // 3, size[1] // 2] = True
    places = transparency.nearest(visible)
    rows, columns = places // size[1], places % size[1]
    row, column = np.mgrid[0 : size[0], 0 : size[1]]
    steps = [abs(row - y) + abs(column - x) for y, x in np.argwhere(visible)]
    assert visible[rows, columns].all()
    np.testing.assert_array_equal(abs(rows - row) + abs(columns - column), np.min(steps, axis=0))


# Files and arrays: hidden colors are replaced, visible ones kept


def rgba(hidden, most=255, dtype=np.uint8):
    """An array of the cut-out, its samples up to ``most``."""
    return (np.asarray(cut_out(hidden)) / 255 * most).astype(dtype)


def palette(hidden):
    picture = Image.fromarray((np.mgrid[0:20, 0:30][1] // 10).astype(np.uint8), "P")
    picture.putpalette([*hidden, *OBJECT, 0, 0, 255])
    return saved(picture, "PNG", transparency=bytes([0, 128, 255]))


def one_color_of_16_bits(hidden):
    values = waves(3, np.uint16, (20, 30))
    deep = tuple(257 * sample for sample in hidden)
    values[5:9, 4:20] = deep
    return png(values, 2, chunk(b"tRNS", struct.pack(">3H", *deep)))


SOURCES = {
    "png": lambda hidden: saved(cut_out(hidden), "PNG"),
    "tiff": lambda hidden: saved(cut_out(hidden), "TIFF"),
    "gray and alpha": lambda hidden: saved(cut_out(hidden).convert("LA"), "PNG"),
    "palette": palette,
    "PIL": cut_out,
    "16-bit png": lambda hidden: png(rgba(hidden, 65535, np.uint16), 6),
    "16-bit tiff": lambda hidden: tiff(rgba(hidden, 65535, np.uint16), extra=(2,)),
    "float tiff": lambda hidden: tiff(rgba(hidden, 1, np.float32), extra=(2,)),
    "one color of 16 bits": one_color_of_16_bits,
    "uint8": rgba,
    "uint16": lambda hidden: rgba(hidden, 65535, np.uint16),
    "floats": lambda hidden: rgba(hidden, 1, np.float32),
}


@pytest.mark.parametrize("source", SOURCES.values(), ids=SOURCES)
def test_hidden_colors_are_nowhere_in_a_picture(source):
    found = [decode.read(source(hidden)) for hidden in HIDDEN]
    digests = {decode.pixels_sha256(each.pixels) for each in found}
    assert len(digests) == 1
    assert np.asarray(found[0].alpha).min() == 0


def test_a_visible_pixel_keeps_its_color_and_a_hidden_one_has_that_of_the_nearest():
    row = [(9, 9, 9, 0), (1, 2, 3, 1), (4, 5, 6, 255), (9, 9, 9, 0), (9, 9, 9, 0), (7, 8, 9, 254)]
    found = np.asarray(decode.read(np.array([row], np.uint8)).pixels)[0].tolist()
    assert found == [[1, 2, 3], [1, 2, 3], [4, 5, 6], [4, 5, 6], [7, 8, 9], [7, 8, 9]]


def test_what_8_bits_of_alpha_hide_is_hidden_in_16(tmp_path):
    """Alpha is written in 8 bits: a share that becomes 0 there cannot be seen."""
    found = decode.read(png(np.array([[(1000, 0, 0, 128), (2000, 0, 0, 129)]], np.uint16), 6))
    assert found.pixels.samples[0, :, 0].tolist() == [2000, 2000]


@pytest.mark.parametrize("array", [np.zeros((9, 9, 4), dtype) for dtype in (np.uint8, np.uint16, np.float32)])
def test_a_picture_that_is_transparent_everywhere_is_one_sentence(array):
    with pytest.raises(isostyle.InputError, match="^the picture is transparent everywhere: there is nothing to be seen in it$"):
        decode.read(array, "the picture")


def test_a_transparent_file_is_refused_before_anything_is_written(folder, any_backend, capsys):
    Image.new("RGBA", (64, 64)).save("nothing.png")
    write_style(folder / "wave.safetensors")
    before = sorted(folder.iterdir())
    for command in (["run", "nothing.png", "photo.jpg"], ["run", "photo.jpg", "nothing.png"]):
        code, _, said = run([*command, "-o", "out.png", "--backend", any_backend], capsys)
        assert (code, "'nothing.png' is transparent everywhere" in said) == (2, True)
    code, _, said = run(["apply", "wave.safetensors", "nothing.png", "-o", "out.png", "--backend", any_backend], capsys)
    assert (code, "'nothing.png' is transparent everywhere" in said) == (2, True)
    assert sorted(folder.iterdir()) == before


# Runs


@pytest.mark.parametrize("role", ["content", "style", "init"])
def test_hidden_colors_of_no_picture_reach_a_run(backend, role):
    given = {"content": painting(), "style": painting(), "init": painting()}
    made = [isostyle.stylize(**{**given, role: cut_out(hidden)}, backend=backend.name, **QUICK) for hidden in HIDDEN[:2]]
    assert made[0].image.tobytes() == made[1].image.tobytes()


@pytest.mark.parametrize("size", [(60, 80), (24, 32)], ids=str)
def test_a_rim_keeps_the_object_s_color(backend, size):
    result = isostyle.stylize(cut_out((255, 255, 255), OBJECT), painting(), backend=backend.name, **{**STILL, "size": size})
    alpha = np.asarray(result.alpha)
    rim = (alpha > 0) & (alpha < 255)
    assert rim.any()
    assert abs(np.asarray(result.picture)[rim].astype(int) - OBJECT).max() <= 1


def test_a_hidden_margin_of_a_painting_changes_nothing(backend):
    bare = Image.new("RGBA", (120, 100))
    bare.paste(painting(), (30, 17))
    made = [isostyle.stylize(painting(), style, backend=backend.name, **QUICK) for style in (bare, painting())]
    assert made[0].image.tobytes() == made[1].image.tobytes()
    assert made[0].manifest["inputs"]["style"]["size"] == [60, 80]


def test_a_painting_goes_on_in_its_holes_as_in_a_mirror():
    stripes = np.repeat((np.arange(24) % 4 * 60).astype(np.uint8)[None, :, None], 12, axis=0).repeat(3, axis=2)
    alpha = Image.new("L", (24, 12), 255)
    alpha.paste(0, (10, 0, 14, 12))
    found = np.asarray(transparency.as_style(Image.fromarray(stripes), alpha))
    assert found[5, 10:14, 0].tolist() == stripes[5, [8, 7, 16, 15], 0].tolist()
    np.testing.assert_array_equal(found[:, :10], stripes[:, :10])


def test_a_repeated_run_of_a_transparent_picture_is_bit_identical(folder, any_backend, capsys):
    cut_out((0, 0, 0)).save("logo.png")
    cut_out((0, 0, 0)).save("painting.png")
    options = ["--size", "48", "--steps", "2", "--pyramid=none", "--backend", any_backend]
    assert run(["run", "logo.png", "painting.png", "-o", "out.png", *options], capsys)[0] == 0
    assert isostyle.rerun("out.json").verdict == "bit-identical"


def test_a_run_goes_on_with_no_other_alpha(any_backend, tmp_path):
    def stop(event):
        raise KeyboardInterrupt

    given = {"backend": any_backend, "checkpoint": tmp_path / "c", **QUICK}
    with pytest.raises(isostyle.Interrupted):
        isostyle.stylize(cut_out((0, 0, 0), OBJECT), painting(), callback=stop, **given)
    other = cut_out((0, 0, 0), OBJECT)
    other.putpixel((40, 30), (*OBJECT, 77))
    with pytest.raises(isostyle.InputError, match="the content image is not the content image that this run began with"):
        isostyle.resume(tmp_path / "c", content=other, style=painting())
    assert isostyle.resume(tmp_path / "c", content=cut_out((9, 9, 9), OBJECT), style=painting()).alpha is not None


def test_stages_have_the_alpha_of_the_result(folder, any_backend, capsys):
    cut_out((0, 0, 0)).save("logo.png")
    options = ["--size", "48", "--steps", "3", "--pyramid=0.5:2", "--save-every", "2", "--backend", any_backend]
    assert run(["run", "logo.png", "photo.jpg", "-o", "out.png", *options], capsys)[0] == 0
    stages = sorted(folder.glob("out-*.png"))
    assert stages
    for stage in stages:
        with Image.open(stage) as picture, Image.open("out.png") as result:
            expected = result.getchannel("A").resize(picture.size, Image.Resampling.BILINEAR)
            assert picture.getchannel("A").tobytes() == expected.tobytes()


# Style networks


@pytest.mark.parametrize("changes", [{}, {"tile": 32}, {"long_side": 40}, {"bits": 16}], ids=str)
def test_hidden_colors_do_not_reach_a_style_network(backend, changes):
    network = random_style()
    made = [isostyle.apply(network, cut_out(hidden), backend=backend.name, **changes) for hidden in HIDDEN[:2]]
    assert made[0].picture.tobytes() == made[1].picture.tobytes()
    assert made[0].manifest["input"]["pixels_sha256"] == made[1].manifest["input"]["pixels_sha256"]


# Files that are written


@pytest.mark.parametrize("bits", [8, 16])
def test_a_dropped_alpha_lays_the_painted_picture_on_white(bits):
    found = decode.read(rgba((0, 0, 0), 65535, np.uint16))
    made = Finished(found.eight_bits, found.pixels, found.alpha)
    written = decode.read(bytes(encode.encode(made, "PNG", PictureOptions("drop", bits)))).eight_bits
    share = np.asarray(found.alpha)[..., None] / 255
    expected = np.asarray(found.eight_bits) * share + 255 * (1 - share)
    np.testing.assert_allclose(np.asarray(written), expected, atol=1.01)


@pytest.mark.parametrize("kind", ["JPEG", "BMP", "PPM"])
def test_a_format_without_alpha_gets_the_picture_on_white(kind):
    found = decode.read(cut_out((0, 0, 0)))
    written = np.asarray(
        decode.read_rgb(bytes(encode.encode(Finished(found.pixels, None, found.alpha), kind, PictureOptions())))
    )
    assert written[0, 0].min() >= 250
