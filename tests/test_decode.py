"""Decoding: every row of docs/pictures.md's first table, with a file of that kind and the values that it holds."""

import hashlib
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import BACKENDS, obtain
from picture_files import ADOBE, chunk, icc_chunk, needs, png, profile, saved, srgb_of, tiff, turned_exif, waves
from PIL import Image, ImageCms

import isostyle
from isostyle import InputError
from isostyle.images import arrays, decode
from isostyle.images.deep import Deep

WHITE = (255, 255, 255)
#: Reads a picture, and says by how many bytes the most memory that the process ever had grew, and the digest of its pixels.
PEAK = """
import sys
from isostyle.images import decode

def peak():
    lines = open("/proc/self/status").read().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))

before = peak()
picture = decode.read(sys.argv[1]).pixels
digest = decode.pixels_sha256(picture)
print(peak() - before, digest)
"""


def read(data, name="'picture'"):
    return decode.read(data, name)


def samples(found):
    """Of a picture that kept its 16 bits: (H, W, 3)."""
    assert isinstance(found.pixels, Deep)
    return found.pixels.samples


def eight(found):
    """Of a picture of 8 bits, (H, W, 3)."""
    assert isinstance(found.pixels, Image.Image)
    assert found.pixels.mode == "RGB"
    return np.asarray(found.pixels)


# Formats


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("PNG", {}),
        ("TIFF", {}),
        ("TIFF", {"compression": "tiff_lzw"}),
        ("TIFF", {"compression": "tiff_adobe_deflate"}),
        ("WEBP", {"lossless": True}),
        ("BMP", {}),
        ("PPM", {}),
        ("JPEG2000", {}),
        ("TGA", {}),
    ],
)
def test_a_format_without_loss_is_read_to_the_bit(kind, options):
    needs(kind)
    values = waves(3, np.uint8)
    np.testing.assert_array_equal(eight(read(saved(Image.fromarray(values), kind, **options))), values)


@pytest.mark.parametrize("kind", ["JPEG", "WEBP", "AVIF"])
def test_a_format_with_loss_is_read_within_what_it_loses(kind):
    needs(kind)
    y, x = np.mgrid[0:40, 0:60]
    values = np.stack([x * 4, y * 6, 255 - x * 2], -1).astype(np.uint8)
    found = eight(read(saved(Image.fromarray(values), kind, quality=100)))
    assert abs(found.astype(int) - values).mean() < 2


def test_a_file_is_known_by_what_it_holds_and_not_by_its_name(tmp_path):
    (tmp_path / "really.jpg").write_bytes(saved(Image.fromarray(waves(3, np.uint8)), "PNG"))
    np.testing.assert_array_equal(np.asarray(decode.read_rgb(tmp_path / "really.jpg")), waves(3, np.uint8))


# 16 bits


def test_a_png_with_16_bits_of_rgb_keeps_them():
    np.testing.assert_array_equal(samples(read(png(waves(), 2))), waves())


def test_a_png_with_16_bits_of_gray_keeps_them():
    np.testing.assert_array_equal(samples(read(png(waves(1), 0))), np.repeat(waves(1), 3, axis=2))


def test_a_png_with_16_bits_of_rgb_and_alpha_keeps_them():
    values = waves(4)
    found = read(png(values, 6))
    np.testing.assert_array_equal(samples(found), values[..., :3])
    np.testing.assert_allclose(np.asarray(found.alpha), values[..., 3] / 257, atol=0.51)


def test_a_png_with_16_bits_of_gray_and_alpha_keeps_them():
    values = waves(2)
    found = read(png(values, 4))
    np.testing.assert_array_equal(samples(found), np.repeat(values[..., :1], 3, axis=2))
    np.testing.assert_allclose(np.asarray(found.alpha), values[..., 1] / 257, atol=0.51)


def test_the_transparent_color_of_a_png_with_16_bits_is_compared_in_16_bits():
    values = waves()
    values[0, 0], values[0, 1] = (30000, 20000, 10000), (30000, 20000, 10001)
    found = read(png(values, 2, chunk(b"tRNS", struct.pack(">3H", 30000, 20000, 10000))))
    assert samples(found)[0, 1].tolist() == [30000, 20000, 10001]
    assert (found.alpha.getpixel((0, 0)), found.alpha.getpixel((1, 0))) == (0, 255)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("how", [{}, {"deflate": True}, {"deflate": True, "predictor": 2}], ids=str)
def test_a_tiff_with_16_bits_of_rgb_keeps_them(order, how):
    np.testing.assert_array_equal(samples(read(tiff(waves(), order=order, **how))), waves())


@pytest.mark.parametrize("order", ["<", ">"])
def test_a_tiff_with_16_bits_of_rgb_and_alpha_keeps_them(order):
    values = waves(4)
    found = read(tiff(values, order=order, extra=(2,)))
    np.testing.assert_array_equal(samples(found), values[..., :3])
    np.testing.assert_allclose(np.asarray(found.alpha), values[..., 3] / 257, atol=0.51)


@pytest.mark.parametrize("order", ["<", ">"])
def test_a_tiff_with_16_bits_of_gray_keeps_them(order):
    found = samples(read(tiff(waves(1), photometric=1, order=order)))
    np.testing.assert_array_equal(found, np.repeat(waves(1), 3, axis=2))


@pytest.mark.parametrize("values", [65535 - waves(1), ((65535 - waves(1)) / 65535).astype(np.float32)], ids=["16", "float"])
def test_a_tiff_in_which_0_is_white_is_not_a_negative(values):
    found = samples(read(tiff(values, photometric=0)))
    np.testing.assert_array_equal(found, np.repeat(waves(1), 3, axis=2))


def test_a_tiff_with_16_bits_in_planes_and_without_compression_is_refused():
    with pytest.raises(InputError, match=r"has 16 bits in planes \(PlanarConfiguration 2\)"):
        read(tiff(waves(), planar=2))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_of_16_bits_is_what_it_is_of_8(orientation):
    turned = read(tiff(waves(), tags=[(274, 3, (orientation,))]))
    stored = Image.fromarray(np.rint(waves() / 257).astype(np.uint8))
    upright = read(saved(stored, "PNG", exif=turned_exif(orientation)))
    np.testing.assert_array_equal(np.asarray(turned.eight_bits), np.asarray(upright.pixels))


def test_all_16_bits_reach_the_float_image():
    values = np.full((20, 20, 3), 32768, np.uint16)
    values[..., 1] += 1
    array = arrays.to_array(read(png(values, 2)).pixels, "float64", "unit")
    np.testing.assert_array_equal(array[0, :, 0, 0], np.array([32768, 32769, 32768]) / 65535)


def test_resizing_16_bits_is_resizing_8_with_finer_steps():
    values = waves(3, np.uint8)
    plain = np.asarray(arrays.resize(Image.fromarray(values), 12, 17)).astype(int)
    deep = arrays.resize(Deep(values.astype(np.uint16) * 257), 12, 17)
    assert abs(deep.samples / 257 - plain).max() <= 1
    assert (deep.samples % 257).any()


@pytest.mark.parametrize("dtype", [np.uint16, np.float32, np.float64])
def test_arrays_keep_16_bits(dtype):
    given = waves(3, dtype)
    expected = given if dtype == np.uint16 else np.rint(given.astype(np.float64) * 65535)
    np.testing.assert_array_equal(samples(decode.read(given)), expected)


# Floats


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("how", [{}, {"deflate": True}, {"deflate": True, "predictor": 2}], ids=str)
def test_a_float_tiff_with_colors_is_read_as_16_bits(order, how):
    values = waves(3, np.float32)
    found = read(tiff(values, order=order, **how))
    np.testing.assert_array_equal(samples(found), np.rint(values.astype(float) * 65535))


@pytest.mark.parametrize("order", ["<", ">"])
def test_a_float_tiff_with_the_predictor_for_floats_is_read(order):
    values = waves(3, np.float32)
    found = read(tiff(values, order=order, deflate=True, predictor=3))
    np.testing.assert_array_equal(samples(found), np.rint(values.astype(float) * 65535))


def test_a_float_tiff_with_alpha_keeps_it():
    values = waves(4, np.float32)
    found = read(tiff(values, extra=(2,)))
    np.testing.assert_array_equal(samples(found), np.rint(values[..., :3].astype(float) * 65535))
    np.testing.assert_allclose(np.asarray(found.alpha), values[..., 3] * 255, atol=0.51)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_of_a_float_tiff_is_what_it_is_of_8_bits(orientation):
    turned = read(tiff(waves(3, np.float32), tags=[(274, 3, (orientation,))]))
    stored = Image.fromarray(np.rint(waves(3, np.float32) * 255).astype(np.uint8))
    upright = read(saved(stored, "PNG", exif=turned_exif(orientation)))
    assert abs(np.asarray(turned.eight_bits).astype(int) - np.asarray(upright.pixels)).max() <= 1


def test_a_float_tiff_of_gray_is_read_as_16_bits():
    values = waves(1, np.float32)
    found = samples(read(tiff(values, photometric=1)))
    np.testing.assert_array_equal(found, np.repeat(np.rint(values.astype(float) * 65535), 3, axis=2))


@pytest.mark.parametrize(
    ("values", "how", "sentence"),
    [
        (waves(3, np.float32) * 255, {}, "floats must be in 0..1"),
        (np.full((5, 5, 3), np.nan, np.float32), {}, "NaN or infinite"),
        (np.full((5, 5, 1), np.inf, np.float32), {"photometric": 1}, "NaN or infinite"),
        (waves(3, np.float32), {"planar": 2}, "PlanarConfiguration 2"),
        (waves(3, np.float64), {}, "is not a picture that can be read"),
    ],
)
def test_floats_that_are_no_picture_are_refused_in_one_sentence(values, how, sentence):
    with pytest.raises(InputError, match=sentence):
        read(tiff(values, **how))


# Other modes


def test_lab_is_converted():
    """CIE L*a*b* (D50): white, the gray of 53.4 and a red of sRGB's, by CIE's formulas."""
    lab = np.array([[[255, 0, 0], [136, 0, 0], [138, 81, 70]]], np.uint8)  # L * 2.55; a and b as they are
    found = eight(read(tiff(np.repeat(lab, 4, axis=0), photometric=8)))[0].astype(int)
    np.testing.assert_allclose(found, [WHITE, (127, 127, 127), (255, 0, 0)], atol=6)


def test_one_bit_is_black_and_white():
    bits = waves(1, np.uint8)[..., 0] > 127
    found = eight(read(saved(Image.fromarray(bits), "TIFF", compression="group4")))
    np.testing.assert_array_equal(found, np.repeat(bits[..., None] * np.uint8(255), 3, axis=2))


def test_a_palette_with_shares_of_transparency_keeps_its_colors_and_alpha():
    picture = Image.fromarray(np.arange(3, dtype=np.uint8)[None].repeat(4, axis=0), "P")
    picture.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255])
    found = read(saved(picture, "PNG", transparency=bytes([0, 128, 255])))
    assert eight(found)[0, 1:].tolist() == [[0, 255, 0], [0, 0, 255]]
    assert list(np.asarray(found.alpha)[0]) == [0, 128, 255]


def test_an_alpha_that_hides_nothing_is_none():
    assert read(saved(Image.new("RGBA", (9, 9), (1, 2, 3, 255)), "PNG")).alpha is None


def test_the_alpha_of_a_turned_picture_is_turned_with_it():
    picture = Image.new("RGBA", (9, 5), (1, 2, 3, 255))
    picture.putpixel((0, 0), (1, 2, 3, 0))
    found = read(saved(picture, "PNG", exif=turned_exif(6)))
    assert found.alpha.size == found.pixels.size == (5, 9)
    assert found.alpha.getpixel((4, 0)) == 0


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "CMYK"])
@pytest.mark.parametrize("primaries", [None, ADOBE])
def test_a_picture_of_the_caller_s_is_not_changed(mode, primaries):
    picture = Image.fromarray(waves(3, np.uint8)).convert(mode)
    if primaries:
        picture.info["icc_profile"] = profile(primaries=primaries)
    before = picture.tobytes()
    found = decode.read(picture)
    assert found.pixels is not picture
    assert picture.tobytes() == before


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc")
@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_a_large_picture_is_read_without_a_copy(tmp_path, kind):
    """36 megapixels are 144 MB in Pillow; each copy is as many more. In a process of its own, whose peak is its own."""
    side, megabyte = 6000, 2**20
    picture = Image.new("RGB", (side, side), (90, 120, 60))
    picture.save(tmp_path / "large", kind)
    told = [sys.executable, "-c", PEAK, str(tmp_path / "large")]
    grown, digest = subprocess.run(told, capture_output=True, text=True, check=True).stdout.split()
    assert 0.9 * side**2 * 4 < int(grown) < 1.2 * side**2 * 4 + 16 * megabyte
    assert digest == decode.pixels_sha256(decode.read_rgb(tmp_path / "large"))


def test_the_digest_of_pixels_is_that_of_all_their_bytes():
    for values in (waves(3, np.uint8, size=(150, 31)), waves(size=(150, 31))):
        pixels = decode.read(values).pixels
        assert decode.pixels_sha256(pixels) == hashlib.sha256(values.tobytes()).hexdigest()


# Several frames


@pytest.mark.parametrize(
    ("kind", "unit"), [("GIF", "frame"), ("TIFF", "page"), ("PNG", "frame"), ("WEBP", "frame"), ("MPO", "picture")]
)
def test_the_first_of_several_frames_is_taken_and_said(kind, unit):
    frames = [Image.new("RGB", (20, 20), color) for color in ((255, 0, 0), (0, 0, 255))]
    how = {"lossless": True} if kind == "WEBP" else {}
    found = read(saved(frames[0], kind, save_all=True, append_images=frames[1:], **how), "'many'")
    assert eight(found)[0, 0].argmax() == 0
    assert found.lines == (f"'many': {unit} 1 of 2 was taken",)


@pytest.mark.parametrize("kind", ["GIF", "TIFF", "PNG", "WEBP", "JPEG", "ICO"])
def test_nothing_is_said_where_there_is_one_picture(kind):
    picture = Image.new("RGB", (16, 16), "red")
    how = {"sizes": [(16, 16)]} if kind == "ICO" else {}
    assert read(saved(picture, kind, **how), "'one'").lines == ()


def test_the_largest_of_an_icon_s_sizes_is_taken_and_said():
    found = read(saved(Image.new("RGB", (64, 64), "red"), "ICO", sizes=[(16, 16), (64, 64), (32, 32)]), "'icon'")
    assert found.pixels.size == (64, 64)
    assert found.lines == ("'icon': the largest of 3 sizes was taken",)


def test_an_animation_that_breaks_off_is_its_first_picture():
    frames = [Image.effect_noise((40, 40), 90) for _ in range(3)]
    data = saved(frames[0], "GIF", save_all=True, append_images=frames[1:])
    found = read(data[: 2 * len(data) // 3], "'many'")
    assert np.array_equal(eight(found), eight(read(saved(frames[0], "GIF"))))
    assert found.lines[0].startswith("'many': frame 1 of ")


# Color profiles


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "JPEG", "WEBP"])
def test_colors_of_a_profile_become_srgb_s(kind):
    """Against the formulas, which LittleCMS is not asked for."""
    values = np.array([[200, 50, 50], [128, 128, 128], [90, 160, 90], [60, 60, 120]], np.uint8)
    picture = Image.fromarray(np.repeat(np.repeat(values[None], 16, axis=0), 16, axis=1))
    how = {"quality": 100, "subsampling": 0} if kind == "JPEG" else {"lossless": True} if kind == "WEBP" else {}
    found = eight(read(saved(picture, kind, icc_profile=profile(primaries=ADOBE), **how)))
    expected = 255 * srgb_of(values / 255, ADOBE, 2.2)
    np.testing.assert_allclose(found[8, 8::16], expected, atol=4 if kind == "JPEG" else 1.5)
    assert abs(expected - values).max() > 10


def test_colors_of_a_profile_become_srgb_s_in_16_bits():
    values = waves()
    found = samples(read(png(values, 2, icc_chunk(profile(primaries=ADOBE)))))
    # The two matrices of sRGB have other last digits, which shows where it is dark.
    np.testing.assert_allclose(found / 65535, srgb_of(values / 65535, ADOBE, round(2.2 * 256) / 256), atol=1.5e-3)


def test_colors_in_16_bits_are_those_that_littlecms_finds_in_8():
    values = waves(3, np.uint8)
    given = profile(primaries=ADOBE, gamma=1.8)
    plain = eight(read(saved(Image.fromarray(values), "PNG", icc_profile=given)))
    deep = read(png(values.astype(np.uint16) * 257, 2, icc_chunk(given))).eight_bits
    assert abs(np.asarray(deep).astype(int) - plain).max() <= 1


@pytest.mark.parametrize("deep", [False, True])
def test_a_profile_of_gray_is_converted(deep):
    given = profile(b"GRAY", gamma=1.0)
    value = np.full((9, 9, 1), 0.2140411 * 65535, np.uint16)  # sRGB's linear 0.5
    if deep:
        found = samples(read(png(value, 0, icc_chunk(given)))) / 257
    else:
        found = eight(read(saved(Image.fromarray(np.rint(value[..., 0] / 257).astype(np.uint8)), "PNG", icc_profile=given)))
    np.testing.assert_allclose(found, 127.5, atol=2)


def test_srgb_s_own_profile_changes_no_bit():
    values = waves(3, np.uint8)
    for given in (ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes(), isostyle.images.icc.srgb()):
        np.testing.assert_array_equal(eight(read(saved(Image.fromarray(values), "PNG", icc_profile=given))), values)
        np.testing.assert_array_equal(samples(read(png(waves(), 2, icc_chunk(given)))), waves())


def test_colors_beside_alpha_are_converted():
    values = np.full((9, 9, 4), (200, 30, 60, 128), np.uint8)
    given = profile(primaries=ADOBE)
    found, opaque = (read(saved(Image.fromarray(each), "PNG", icc_profile=given)) for each in (values, values[..., :3]))
    np.testing.assert_array_equal(eight(found), eight(opaque))


def lab_profile():
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()


@pytest.mark.parametrize(
    "given",
    [
        b"noise" * 100,
        b"short",
        profile(b"GRAY"),
        profile(primaries=ADOBE)[:200],
        profile(primaries=ADOBE).replace(b"RGB ", b"5CLR"),
        lab_profile(),
    ],
    ids=["noise", "short", "gray", "truncated", "five colors", "lab"],
)
@pytest.mark.parametrize("deep", [False, True])
def test_a_profile_that_cannot_be_used_is_ignored_and_said(given, deep):
    values = waves(3, np.uint16 if deep else np.uint8)
    data = png(values, 2, icc_chunk(given)) if deep else saved(Image.fromarray(values), "PNG", icc_profile=given)
    found = read(data, "'odd'")
    np.testing.assert_array_equal(samples(found) if deep else eight(found), values)
    (line,) = found.lines
    assert line.startswith("'odd' has a color profile that cannot be used: ")
    assert line.endswith("; its colors are taken for sRGB")


def test_a_profile_of_cmyk_for_a_picture_in_rgb_is_ignored():
    given = bytearray(profile(primaries=ADOBE))
    given[16:20] = b"CMYK"
    found = read(saved(Image.new("RGB", (9, 9), (10, 20, 30)), "PNG", icc_profile=bytes(given)))
    assert found.pixels.getpixel((0, 0)) == (10, 20, 30)
    assert "it is for 'CMYK' colors" in found.lines[0]


def test_cmyk_without_a_profile_is_what_its_inks_leave():
    found = read(saved(Image.new("CMYK", (9, 9), (0, 51, 255, 51)), "TIFF"))
    np.testing.assert_allclose(eight(found)[0, 0], [255 * 0.8, 255 * 0.8 * 0.8, 0], atol=1)


# What runs make of them


@pytest.mark.parametrize("name", BACKENDS)
def test_a_run_begins_with_16_bits_and_says_what_was_read(tmp_path, name):
    obtain(name)
    values = waves(size=(40, 48))
    values[..., 0] = 32768 + np.arange(48) % 2  # gone if it were rounded to 8 bits
    (tmp_path / "deep.png").write_bytes(png(values, 2, icc_chunk(b"noise" * 100)))
    seen, said = [], []
    isostyle.stylize(
        tmp_path / "deep.png",
        waves(3, np.uint8, (40, 48)),
        backend=name,
        recipe="tutorial",
        size=isostyle.AsIs(),
        steps=1,
        optimizer="adam",
        threads=2,
        callback=lambda event: seen.append(event.image()),
        log=said.append,
    )
    np.testing.assert_allclose(seen[0][0], values.transpose(2, 0, 1) / 65535, atol=1e-7)
    assert any("has a color profile that cannot be used" in line for line in said)


# What is made to harm


@pytest.mark.parametrize("cut", [20, 60, 200, 1000])
@pytest.mark.parametrize("make", [lambda: png(waves(), 2), lambda: tiff(waves()), lambda: tiff(waves(3, np.float32))])
def test_a_truncated_file_of_16_bits_or_floats_is_one_sentence(make, cut):
    data = make()
    with pytest.raises(InputError) as caught:
        read(data[:cut] if data[:1] == b"\x89" else data[-cut:] if cut > 900 else data[:cut])
    assert "\n" not in str(caught.value)


def test_a_lying_head_of_a_float_tiff_takes_no_memory():
    data = bytearray(tiff(waves(3, np.float32)))
    start = struct.unpack_from("<I", data, 4)[0] + 2
    for place in (start, start + 12):  # width and height
        struct.pack_into("<HI", data, place + 2, 4, 1)
        struct.pack_into("<I", data, place + 8, 2**20)
    with pytest.raises(InputError, match="megapixels|cannot be decoded"):
        read(bytes(data))


def test_bytes_of_a_file_are_a_picture():
    data = saved(Image.fromarray(waves(3, np.uint8)), "PNG")
    np.testing.assert_array_equal(np.asarray(decode.read_rgb(data)), waves(3, np.uint8))
    with pytest.raises(InputError, match="the content image is not a picture"):
        decode.read(b"nothing", "the content image")


def test_a_damaged_checksum_is_an_error_not_a_picture():
    data = bytearray(png(waves(), 2))
    data[data.index(b"IHDR") + 17] ^= 1  # of the first chunk
    with pytest.raises(InputError):
        read(bytes(data))


def test_exif_that_is_broken_is_left_out():
    picture = saved(Image.fromarray(waves(3, np.uint8)), "PNG", exif=b"Exif\0\0MM\0\x2a\0\0\0\x08\0\x05broken")
    try:
        assert read(picture).exif is None
    except InputError as error:
        assert "\n" not in str(error)  # noqa: PT017 - an older Pillow does not decode it
