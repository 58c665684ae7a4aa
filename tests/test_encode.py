"""Encoding: every row of docs/pictures.md's second table, read back: pixels, bits, profile, EXIF, alpha."""

import io
import json
import os
import stat
import struct
import subprocess
import sys

import numpy as np
import pytest
from conftest import BACKENDS, obtain, stopped_by_ctrl_c
from picture_files import needs, saved, turned_exif, waves
from PIL import Image
from style_files import write_style
from test_cli import isostyle, names

import isostyle as package
from isostyle import InputError
from isostyle.images import arrays, decode, encode, icc, suffixes
from isostyle.images.arrays import Rounded
from isostyle.images.deep import Deep
from isostyle.images.encode import Finished
from isostyle.images.options import PictureOptions

QUICK = ["--size", "32x48", "--steps", "2", "--pyramid", "none", "--threads", "2", "--quiet"]
WITH_PROFILE = ["PNG", "JPEG", "WEBP", "TIFF", "AVIF"]


def camera_exif():
    """What a camera writes, with an orientation, a thumbnail's size and another color space."""
    exif = turned_exif(6)
    exif[0x010F], exif[0x0132], exif[0x8298] = "maker", "2020:02:03 04:05:06", "me"
    exif[0x8769] = {0x829A: 0.004, 0x8827: 200, 0xA001: 65535, 0xA002: 4000, 0xA003: 3000, 0x927C: b"notes"}
    exif[0x8825] = {1: "N", 2: (47.0, 22.0, 30.0)}
    return exif


def finished(alpha=False):
    """A picture of 16 bits, with alpha or without, and with a camera's EXIF."""
    deep = Deep(waves())
    layer = Image.fromarray(waves(1, np.uint8)[..., 0]) if alpha else None
    kept = decode.read(saved(Image.new("RGB", (8, 8)), "JPEG", exif=camera_exif()), "x").exif
    return Finished(deep.eight_bits(), deep, layer, kept)


def written(made, kind, **options):
    """Opened again by Pillow."""
    picture = Image.open(io.BytesIO(encode.encode(made, kind, PictureOptions(**options))))
    picture.load()
    return picture


def write(path, data):
    path.write_bytes(data)
    return path


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A working folder with a content image that has everything, a style image and a style network."""
    monkeypatch.chdir(tmp_path)
    values = waves(4, np.uint8, (60, 80))
    values[..., 3] = np.where(np.mgrid[0:60, 0:80][1] < 40, 0, 255)
    Image.fromarray(values).save("content.png", exif=camera_exif(), icc_profile=icc.srgb())
    Image.fromarray(waves(3, np.uint8, (60, 80))).save("style.png")
    write_style(tmp_path / "wave.safetensors")
    return tmp_path


def run(backend, *arguments):
    return isostyle("run", "content.png", "style.png", "--backend", backend, *QUICK, *arguments)


# Profile, and pixels


@pytest.mark.parametrize("kind", WITH_PROFILE)
def test_the_profile_of_srgb_goes_with_it(kind):
    needs(kind)
    assert written(finished(), kind).info["icc_profile"] == icc.srgb()


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_the_profile_goes_with_16_bits_too(kind):
    assert written(finished(), kind, bits=16).info["icc_profile"] == icc.srgb()


def test_the_profile_is_srgb_s_to_littlecms():
    assert icc.transform(icc.srgb(), "RGB") is None
    assert icc.curves_and_matrix(icc.srgb()) is None


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "BMP", "PPM", "TGA"])
def test_a_format_without_loss_has_the_pixels(kind):
    made = finished()
    np.testing.assert_array_equal(np.asarray(written(made, kind)), np.asarray(made.picture))


@pytest.mark.parametrize("kind", ["JPEG", "WEBP", "AVIF"])
def test_a_lower_quality_takes_fewer_bytes(kind):
    needs(kind)
    sizes = [len(encode.encode(finished(), kind, PictureOptions(quality=quality))) for quality in (20, 95)]
    assert sizes[0] < sizes[1]


@pytest.mark.parametrize("kind", WITH_PROFILE)
@pytest.mark.parametrize("bits", [8, 16])
def test_the_same_picture_makes_the_same_bytes(kind, bits):
    needs(kind)
    if bits == 16 and kind not in suffixes.WITH_SIXTEEN_BITS:
        pytest.skip("it has no 16 bits")
    options = PictureOptions(bits=bits)
    assert bytes(encode.encode(finished(alpha=True), kind, options)) == bytes(
        encode.encode(finished(alpha=True), kind, options)
    )


# 16 bits


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
@pytest.mark.parametrize("size", [(23, 31), (130, 5), (64, 64), (1, 1)])
def test_16_bits_are_read_back_to_the_bit(kind, size):
    deep = Deep(waves(size=size))
    data = bytes(encode.encode(Finished(deep.eight_bits(), deep), kind, PictureOptions(bits=16)))
    np.testing.assert_array_equal(decode.read(data, "x").pixels.samples, deep.samples)


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_pillow_reads_the_upper_eight_of_16_bits(kind):
    """Whatever else is wrong with a file, another's reader sees the picture."""
    picture = written(finished(), kind, bits=16)
    assert picture.mode == "RGB"
    np.testing.assert_array_equal(np.asarray(picture), waves() >> 8)


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_16_bits_with_alpha_are_rgba(kind):
    picture = written(finished(alpha=True), kind, bits=16)
    assert picture.mode == "RGBA"
    np.testing.assert_array_equal(np.asarray(picture)[..., 3], waves(1, np.uint8)[..., 0])
    np.testing.assert_array_equal(np.asarray(picture)[..., :3], waves() >> 8)


@pytest.mark.parametrize("space", ["normalized", "unit"])
def test_16_bits_are_rounded_from_floats_and_clipped(space):
    values = np.array([0.5, -0.2, 1.7]).reshape(1, 3, 1, 1)
    given = (values - np.array(arrays.RGB_MEAN).reshape(1, 3, 1, 1)) / np.array(arrays.RGB_STD).reshape(1, 3, 1, 1)
    found = Rounded(given if space == "normalized" else values, space).rows(0, 1)
    assert found.tolist() == [[[32768, 0, 65535]]]


@pytest.mark.parametrize("name", ["out.jpg", "out.webp", "out.bmp"])
def test_16_bits_in_a_format_without_them_are_refused(tmp_path, name):
    with pytest.raises(InputError, match=f"16 bits a sample are written to .png and .tif, and '.*{name}' is neither"):
        encode.save(finished(), tmp_path / name, PictureOptions(bits=16))


# Alpha


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP", "AVIF", "TGA"])
def test_alpha_is_kept_where_the_format_can(kind):
    needs(kind)
    picture = written(finished(alpha=True), kind)
    assert picture.mode == "RGBA"
    found = np.asarray(picture)[..., 3].astype(int)
    assert abs(found - waves(1, np.uint8)[..., 0]).max() <= (12 if kind == "AVIF" else 0)


@pytest.mark.parametrize("kind", ["JPEG", "BMP", "PPM"])
def test_alpha_is_left_out_where_the_format_cannot(kind):
    assert written(finished(alpha=True), kind).mode == "RGB"


@pytest.mark.parametrize("bits", [8, 16])
def test_alpha_can_be_dropped(bits):
    assert written(finished(alpha=True), "PNG", alpha="drop", bits=bits).mode == "RGB"


# EXIF


@pytest.mark.parametrize("kind", WITH_PROFILE)
@pytest.mark.parametrize("bits", [8, 16])
def test_exif_is_kept_without_orientation_and_with_the_new_size(kind, bits):
    needs(kind)
    if bits == 16 and kind not in suffixes.WITH_SIXTEEN_BITS:
        pytest.skip("it has no 16 bits")
    found = written(finished(), kind, bits=bits).getexif()
    assert (found[0x010F], found[0x0132], found[0x8298]) == ("maker", "2020:02:03 04:05:06", "me")
    assert found.get(0x0112, 1) == 1
    inner = found.get_ifd(0x8769)
    assert (inner[0x8827], float(inner[0x829A]), inner[0x927C]) == (200, 0.004, b"notes")
    # sRGB, and the size of this picture
    assert (inner[0xA001], inner[0xA002], inner[0xA003]) == (1, 31, 23)
    assert (found.get_ifd(0x8825)[1], [float(value) for value in found.get_ifd(0x8825)[2]]) == ("N", [47.0, 22.0, 30.0])
    assert not found.get_ifd(0x0201)


@pytest.mark.parametrize("kind", WITH_PROFILE)
def test_exif_can_be_stripped(kind):
    needs(kind)
    found = written(finished(), kind, strip=True).getexif()
    assert not {0x010F, 0x0132, 0x8298, 0x8769, 0x8825} & set(found)


def test_what_a_tiff_says_of_its_pixels_is_not_taken_for_exif():
    data = saved(Image.new("RGB", (50, 40)), "TIFF", compression="tiff_lzw", description="a text", software="a program")
    kept = decode.read(data, "x").exif
    picture = written(Finished(Image.new("RGB", (9, 8)), exif=kept), "TIFF")
    assert picture.size == (9, 8)
    assert (picture.tag_v2[270], picture.tag_v2[305]) == ("a text", "a program")


def test_exif_with_more_than_fits_loses_the_makers_notes():
    exif = camera_exif()
    exif[0x8769] = {0x8827: 200, 0x927C: bytes(65000)}
    exif[0x9C9C] = bytes(2000)
    data = saved(Image.new("RGB", (9, 9)), "PNG", exif=exif)
    found = written(Finished(Image.new("RGB", (9, 9)), exif=decode.read(data, "x").exif), "JPEG").getexif()
    assert found.get_ifd(0x8769)[0x8827] == 200
    assert 0x927C not in found.get_ifd(0x8769)


def test_a_thumbnail_is_not_kept():
    thumbnail = saved(Image.new("RGB", (8, 8), (255, 0, 0)), "JPEG")
    body = b"Exif\0\0MM\0\x2a\0\0\0\x08" + struct.pack(">H", 1) + struct.pack(">HHII", 0x010F, 2, 4, 0x61626300)
    body += struct.pack(">I", 26) + struct.pack(">H", 2)
    body += (
        struct.pack(">HHII", 0x0201, 4, 1, 56) + struct.pack(">HHII", 0x0202, 4, 1, len(thumbnail)) + b"\0\0\0\0" + thumbnail
    )
    data = saved(Image.new("RGB", (40, 30)), "JPEG", exif=body)
    assert thumbnail in data
    made = bytes(encode.encode(Finished(Image.new("RGB", (9, 8)), exif=decode.read(data, "x").exif), "JPEG", PictureOptions()))
    assert thumbnail not in made
    with Image.open(io.BytesIO(made)) as picture:
        assert picture.getexif()[0x010F] == "abc"
        assert not picture.getexif().get_ifd(1)


# Through the commands


@pytest.mark.parametrize("name", BACKENDS)
def test_a_run_keeps_alpha_exif_and_profile_and_its_manifest_says_how(folder, name):
    obtain(name)
    assert run(name, "-o", "out.png") == 0
    with Image.open("out.png") as picture:
        assert picture.mode == "RGBA"
        # The content is turned: what was transparent on the left is at the top.
        assert (picture.getpixel((24, 2))[3], picture.getpixel((24, 29))[3]) == (0, 255)
        assert picture.info["icc_profile"] == icc.srgb()
        assert picture.getexif()[0x010F] == "maker"
    told = json.loads((folder / "out.json").read_text())["output"]
    assert told == {"path": "out.png", "format": "PNG", "alpha": "keep", "bits": 8, "quality": 95, "strip": False}


@pytest.mark.parametrize("name", BACKENDS)
@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_a_run_writes_16_bits_of_its_floats(folder, name, suffix):
    obtain(name)
    results = []
    plain = encode.encode

    def spy(made, kind, options):
        results.append(made)
        return plain(made, kind, options)

    encode.encode = spy
    try:
        assert run(name, "-o", f"out.{suffix}", "--bits", "16", "--alpha", "drop") == 0
    finally:
        encode.encode = plain
    found = decode.read(folder / f"out.{suffix}").pixels.samples
    # What the content shows is at the bottom; what is transparent in it is laid on white.
    np.testing.assert_array_equal(found[24:], results[-1].deep.rows(24, 32))
    assert (found[:8] == 65535).all()
    assert (found % 257 != 0).any()  # more than 8 bits


def test_options_reach_the_file(folder, any_backend):
    assert run(any_backend, "-o", "out.jpg", "--strip", "--quality", "30") == 0
    assert run(any_backend, "-o", "fine.jpg") == 0
    with Image.open("out.jpg") as picture:
        assert not picture.getexif()
    assert (folder / "out.jpg").stat().st_size < (folder / "fine.jpg").stat().st_size
    with Image.open("fine.jpg") as picture:
        assert picture.getexif()[0x010F] == "maker"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["-o", "out.jpg", "--bits", "16"], "16 bits a sample are written to .png and .tif, and 'out.jpg' is neither"),
        (["-o", "out.pdf"], "does not end in a picture format that can be written"),
        (["-o", "out.png", "--format", "jpg"], "--format is for standard output"),
        (["-o", "-", "--format", "xyz"], "--format 'xyz' is not a picture format"),
        (["-o", "-", "--save-every", "2"], "standard output has no place beside it"),
        (["-o", "out.png", "--bits", "12"], "'12' is not one of '8', '16'"),
        (["-o", "out.png", "--quality", "0"], "0 is not in the range"),
    ],
)
def test_options_that_cannot_be_are_refused_before_anything_runs(folder, capsys, arguments, sentence):
    before = names(folder)
    assert run("torch", *arguments) == 2
    assert sentence in capsys.readouterr().err
    assert names(folder) == before


def test_a_resumed_run_writes_what_the_whole_one_does(folder, any_backend):
    options = ["--bits", "16", "--strip", "--alpha", "drop"]
    content = "content.png"
    assert run(any_backend, "-o", "whole.tif", *options) == 0
    checkpoint = ["--checkpoint", "c", "--checkpoint-every", "1"]
    done = stopped_by_ctrl_c(
        ["run", content, "style.png", "-o", "out.tif", *checkpoint, "--backend", any_backend, *QUICK, *options]
    )
    assert done.returncode == 130, done.stderr
    (folder / "out.tif").unlink()
    assert isostyle("resume", "c", "--quiet", "--threads", "2", "--force") == 0
    assert (folder / "out.tif").read_bytes() == (folder / "whole.tif").read_bytes()


def test_a_rerun_writes_with_the_options_of_the_run(folder, any_backend):
    assert run(any_backend, "-o", "out.png", "--bits", "16", "--alpha", "drop", "--strip") == 0
    assert isostyle("rerun", "out.json", "-o", "again.png", "--quiet") == 0
    assert (folder / "out.png").read_bytes() == (folder / "again.png").read_bytes()


def test_a_batch_hands_the_options_on_and_knows_them_again(folder, any_backend, capsys):
    common = ["batch", "--content", "content.png", "--style", "style.png", "-o", "out", "--", "--backend", any_backend]
    quick = [option for option in QUICK if option != "--quiet"]
    assert isostyle(*common, *quick, "--bits", "16") == 0
    assert decode.read(folder / "out" / "content-style.png").pixels.samples.dtype == np.uint16
    capsys.readouterr()
    assert isostyle(*common, *quick, "--bits", "16") == 0
    assert "was there" in capsys.readouterr().out
    assert isostyle(*common, *quick, "--bits", "8") == 1  # it is another picture, and none is overwritten


def test_stages_have_the_bits_of_the_result(folder, any_backend):
    assert run(any_backend, "-o", "out.png", "--bits", "16", "--save-every", "1") == 0
    assert isinstance(decode.read(folder / "out-0001.png").pixels, Deep)


@pytest.mark.parametrize("tile", ["off", "16"])
def test_a_style_network_s_picture_keeps_alpha_exif_and_16_bits(folder, any_backend, tile):
    command = ["apply", "wave.safetensors", "content.png", "-o", "out.tif", "--bits", "16", "--backend", any_backend]
    assert isostyle(*command, "--threads", "2", "--tile", tile, "--quiet") == 0
    with Image.open("out.tif") as picture:
        assert (picture.mode, picture.size) == ("RGBA", (60, 80))
        assert picture.getexif()[0x010F] == "maker"
        assert (picture.getpixel((30, 2))[3], picture.getpixel((30, 75))[3]) == (0, 255)
    made = package.apply("wave.safetensors", "content.png", backend=any_backend, threads=2, tile=tile, bits=16)
    made.save("python.tif", bits=16)
    assert (folder / "out.tif").read_bytes() == (folder / "python.tif").read_bytes()


def test_a_style_network_s_alpha_is_shrunk_with_the_picture(folder, any_backend):
    command = ["apply", "wave.safetensors", "content.png", "-o", "out.png", "--long-side", "40", "--backend", any_backend]
    assert isostyle(*command, "--quiet") == 0
    with Image.open("out.png") as picture:
        assert (picture.mode, picture.size) == ("RGBA", (30, 40))


def test_16_bits_through_a_style_network_into_jpegs_are_refused(folder, capsys):
    Image.new("RGB", (30, 30)).save("photo.jpg")
    assert isostyle("apply", "wave.safetensors", "photo.jpg", "style.png", "-o", "out", "--bits", "16") == 2
    assert "16 bits a sample are written to .png and .tif, and 'out/photo.jpg' is neither" in capsys.readouterr().err
    assert not (folder / "out").exists()


# From Python


def test_a_result_saves_itself(folder, any_backend):
    result = package.stylize("content.png", "style.png", size=(32, 48), steps=1, pyramid=False, backend=any_backend, threads=2)
    assert (result.picture.mode, result.picture.size, result.alpha.size) == ("RGB", (48, 32), (48, 32))
    result.save("out.png", bits=16, strip=True)
    with Image.open("out.png") as picture:
        assert (picture.mode, dict(picture.getexif())) == ("RGBA", {})
    np.testing.assert_array_equal(np.rint(decode.read(folder / "out.png").alpha), np.asarray(result.alpha))
    with pytest.raises(InputError, match="alpha must be keep or drop, not 'maybe'"):
        result.save("x.png", alpha="maybe")
    with pytest.raises(InputError, match="does not end in a picture format"):
        result.save("x.abc")


def test_a_folder_that_is_not_there_is_named_and_no_temporary_file(folder, any_backend):
    result = package.stylize("content.png", "style.png", size=(32, 48), steps=1, pyramid=False, backend=any_backend, threads=2)
    applied = package.apply("wave.safetensors", "style.png", backend=any_backend, threads=2)
    for each in (result, applied):
        with pytest.raises(InputError, match="there is no folder 'nodir' to write 'out.png' to"):
            each.save("nodir/out.png")


def test_a_picture_made_with_8_bits_is_not_saved_with_16(folder, any_backend):
    made = package.apply("wave.safetensors", "style.png", backend=any_backend, threads=2)
    with pytest.raises(InputError, match="was made with 8 bits a sample; make it with bits=16"):
        made.save("out.png", bits=16)
    assert not (folder / "out.png").exists()


# Names


@pytest.mark.parametrize("name", ["with spaces.png", "schönes Bild – 画.png", "-dash.png", "percent%20s.png"])
def test_names_of_any_kind_go_in_and_out(folder, any_backend, name):
    os.rename("content.png", name)
    command = ["run", "--backend", any_backend, *QUICK, "-o", f"./out {name}", "--", name, "style.png"]
    assert isostyle(*command) == 0
    assert (folder / f"out {name}").exists()


# Places that cannot take a picture


def test_a_write_protected_output_is_not_overwritten_even_with_force(folder, capsys):
    (folder / "out.png").write_bytes(b"mine")
    (folder / "out.png").chmod(stat.S_IRUSR)
    assert run("torch", "-o", "out.png", "--force") == 2
    assert "'out.png' is write-protected" in capsys.readouterr().err
    assert (folder / "out.png").read_bytes() == b"mine"


def test_a_pipe_or_a_device_is_not_replaced_by_a_file(folder, capsys):
    os.mkfifo("out.png")
    assert run("torch", "-o", "out.png", "--force") == 2
    assert "'out.png' is not a regular file, and cannot be replaced" in capsys.readouterr().err
    assert stat.S_ISFIFO((folder / "out.png").stat().st_mode)


def vanishing(folder, monkeypatch):
    """The folder ``gone`` goes when the picture is about to be written; temporary files go to ``tmp``."""
    (folder / "gone").mkdir()
    (folder / "tmp").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder / "tmp"))
    plain = encode.save

    def save(made, path, options):
        (folder / "gone").rmdir()
        plain(made, path, options)

    monkeypatch.setattr(encode, "save", save)


def test_a_picture_whose_folder_vanished_is_kept_with_its_manifest_alpha_and_bits(folder, any_backend, monkeypatch, capsys):
    vanishing(folder, monkeypatch)
    assert run(any_backend, "-o", "gone/out.tif", "--bits", "16") == 1
    (kept,) = (folder / "tmp").glob("out-*.png")
    said = capsys.readouterr().err
    assert f"cannot write 'gone/out.tif': No such file or directory; the picture is kept in '{kept}'" in said
    with Image.open(kept) as picture:
        assert (picture.mode, picture.getexif()[0x010F]) == ("RGBA", "maker")
    assert isinstance(decode.read(kept).pixels, Deep)
    assert json.loads(kept.with_suffix(".json").read_text())["steps_done"] == 2


def test_the_last_of_several_that_can_be_made_is_kept_and_the_others_are_not_tried(folder, any_backend, monkeypatch, capsys):
    vanishing(folder, monkeypatch)
    (folder / "gone").rmdir()
    command = ["apply", "wave.safetensors", "content.png", "style.png", "-o", "gone", "--backend", any_backend, "--quiet"]
    assert isostyle(*command) == 1
    (kept,) = (folder / "tmp").glob("content-*.png")
    said = capsys.readouterr().err
    assert f"the picture is kept in '{kept}'; 0 of 2 are done, and --skip-existing goes on" in said


def test_where_a_picture_is_kept_is_said_although_the_manifest_cannot_be_written_either(
    folder, any_backend, monkeypatch, capsys
):
    """The folder goes between the first picture and the second."""
    (folder / "tmp").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder / "tmp"))
    plain = encode.save

    def save(made, path, options):
        if path.name == "style.png":
            (folder / "out").rename("elsewhere")
        plain(made, path, options)

    monkeypatch.setattr(encode, "save", save)
    command = ["apply", "wave.safetensors", "content.png", "style.png", "-o", "out", "--backend", any_backend, "--quiet"]
    assert isostyle(*command) == 1
    (kept,) = (folder / "tmp").glob("style-*.png")
    said = capsys.readouterr().err
    assert "FAILED out/manifest.json: the manifest cannot be written" in said
    assert f"the picture is kept in '{kept}'; 1 of 2 are done" in said.splitlines()[-1]


def test_a_picture_without_any_place_is_said_to_be_lost(monkeypatch, tmp_path):
    def full(*given, **options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("isostyle.system.files.write_atomically", full)
    why = OSError(28, "No space left on device")
    with pytest.raises(package.IsostyleError, match="there is no room for the picture anywhere else"):
        encode.keep_elsewhere(finished(), PictureOptions(), "out.png", "out", why)


def test_a_disk_that_is_really_full_leaves_nothing_half_written(folder, any_backend):
    """A limit on the size of files is met by the system itself."""
    code = (
        "import resource\n"
        "from isostyle.cli import main\n"
        "from isostyle.images import encode\n"
        "plain = encode.save\n"
        "def save(*given):\n"
        "    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))\n"
        "    try: plain(*given)\n"
        "    finally: resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)\n"
        "encode.save = save\n"
        f"main.main(['run', 'content.png', 'style.png', '-o', 'out.png', '--backend', '{any_backend}', *{QUICK!r}])"
    )
    (folder / "tmp").mkdir()
    environment = {**os.environ, "TMPDIR": str(folder / "tmp")}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 1, done.stderr
    assert "cannot write 'out.png': File too large; the picture is kept in" in done.stderr
    assert names(folder) == ["content.png", "style.png", "tmp", "wave.safetensors"]
    assert len(names(folder / "tmp")) == 2  # the picture, and its manifest


def test_a_manifest_that_cannot_be_written_does_not_hide_the_picture(folder, any_backend, monkeypatch, capsys):
    from isostyle.system import files

    plain = files.write_atomically

    def full(path, data):
        if path.suffix == ".json":
            raise OSError(28, "No space left on device")
        plain(path, data)

    monkeypatch.setattr(files, "write_atomically", full)
    assert run(any_backend, "-o", "out.png") == 1
    assert "the picture went to 'out.png', but 'out.json' cannot be written: No space left" in capsys.readouterr().err
    assert (folder / "out.png").exists()


# 24 megapixels


@pytest.mark.slow
def test_large_pictures_of_16_bits_are_read_and_written_in_strips():
    """Beside the samples (6 bytes a pixel), Pillow's picture and its upright copy (4 each) are held, and strips: 12.3 was
    seen. A whole picture of floats would be 12 more."""
    code = """
import numpy as np, io
from isostyle.images import decode, encode
from isostyle.images.deep import Deep
from isostyle.images.options import PictureOptions
from isostyle.system import memory
samples = np.zeros((4000, 6000, 3), np.uint16)
samples[::7] = 40000
deep = Deep(samples)
before = memory.peak()
picture = deep.eight_bits()
data = bytes(encode.encode(encode.Finished(picture, deep), "PNG", PictureOptions(bits=16)))
del picture
found = decode.read(data, "x").pixels
assert all((found.samples[i] == samples[i]).all() for i in range(0, 4000, 100))
print((memory.peak() - before) / samples[..., 0].size)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert float(done.stdout) < 6 + 14
