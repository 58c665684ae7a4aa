"""HEIC and HEIF pictures: turned once, in sRGB's colors, all their bits; and what is said without the extra."""

import io

import numpy as np
import pytest
from picture_files import ADOBE, heic, heic_of_samples, heic_of_several, profile, saved, srgb_of, turned_exif, waves
from PIL import Image

from isostyle import InputError
from isostyle.images import decode, exif, heif

#: Of 255: what HEVC leaves of a color, at its best quality.
COLOR = 3


@pytest.fixture(autouse=True)
def _with_pi_heif():
    pytest.importorskip("pi_heif")


def quadrants():
    """Red, black / white, blue; another in every corner, however it is turned."""
    picture = Image.new("RGB", (64, 32))
    for place, color in (((0, 0), "red"), ((0, 16), "white"), ((32, 16), "blue")):
        picture.paste(color, (*place, place[0] + 32, place[1] + 16))
    return picture


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_picture_is_turned_once_and_its_exif_is_kept(orientation):
    """The file says it twice, by irot or imir and in its EXIF, as telephones do."""
    data = heic(quadrants(), exif=turned_exif(orientation))
    assert (b"irot" in data or b"imir" in data) == (orientation != 1)
    found = decode.read(data)
    expected = exif.upright(Image.open(io.BytesIO(saved(quadrants(), "PNG", exif=turned_exif(orientation)))))
    assert found.pixels.size == expected.size
    assert np.abs(np.asarray(found.pixels).astype(int) - np.asarray(expected)).max() <= COLOR


def test_colors_of_a_profile_become_srgb_s():
    color = (200, 60, 60)
    found = decode.read(heic(Image.new("RGB", (32, 32), color), icc_profile=profile(primaries=ADOBE)))
    expected = 255 * srgb_of(np.array(color) / 255, ADOBE, 2.2)
    assert np.abs(np.asarray(found.pixels)[16, 16] - expected).max() <= COLOR


def test_ten_bits_are_read_and_the_largest_is_white():
    values = waves(size=(32, 48))
    values[:8] = 65535
    found = decode.read(heic_of_samples(values, "RGB;16")).pixels.samples
    assert found.max() == 65535
    assert len(np.unique(found)) > 256
    assert np.abs(found.astype(int) - values).mean() < 257  # less than a step of 8 bits


def test_transparency_is_kept_beside_the_colors():
    found = decode.read(heic(Image.new("RGBA", (32, 32), (255, 0, 0, 100))))
    np.testing.assert_allclose(np.asarray(found.pixels)[0, 0], (255, 0, 0), atol=COLOR)
    np.testing.assert_allclose(np.asarray(found.alpha), 100, atol=COLOR)


def test_the_size_of_a_turned_picture_is_that_of_its_pixels(tmp_path):
    (tmp_path / "a.heic").write_bytes(heic(quadrants(), exif=turned_exif()))
    assert decode.header(tmp_path / "a.heic").size == (32, 64)


def test_without_the_extra_one_sentence_names_it(tmp_path, monkeypatch):
    (tmp_path / "a.heic").write_bytes(heic(quadrants()))
    monkeypatch.setattr(heif, "is_installed", lambda: False)
    monkeypatch.delitem(Image.OPEN, heif.FORMAT, raising=False)
    with pytest.raises(InputError, match=r"a.heic' is a HEIC picture, and they need pip install 'isostyle\[heif\]'"):
        decode.read(tmp_path / "a.heic")


def test_the_primary_picture_of_several_is_taken_and_said():
    found = decode.read(heic_of_several("red", "blue", "lime", primary=1), "it")
    assert found.lines == ("it: picture 2 of 3 was taken",)
    assert np.asarray(found.pixels)[16, 16].argmax() == 2


def test_a_broken_picture_is_one_sentence():
    with pytest.raises(InputError, match="'x' cannot be decoded, and may be broken or truncated"):
        decode.read_picture(heic(quadrants())[:300], "'x'")
