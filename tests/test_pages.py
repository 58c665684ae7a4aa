"""TIFFs of several pages, pyramids, previews and raw data: which picture is meant, and what is said."""

import struct

import numpy as np
import pytest
from conftest import run
from picture_files import Page, plain, tiff_of_pages
from PIL import Image

from isostyle import InputError
from isostyle.cli import batch as batch_cli
from isostyle.cli import batch_plan
from isostyle.images import decode, pages
from isostyle.style_networks.photographs import scan

RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)
REDUCED, MASK = {254: 1}, {254: 4}
SENSOR = np.full((48, 64, 1), 90, np.uint8)
#: What cameras write: a small preview, and raw data in it.
DNG = (Page(plain(RED, 6, 8), REDUCED, [Page(SENSOR, {254: 0}, photometric=32803)]),)


def read(*given, **how):
    return decode.read(tiff_of_pages(*given, **how), "it")


def color(found):
    return tuple(np.asarray(found.pixels)[0, 0])


@pytest.mark.parametrize(
    ("given", "taken", "line"),
    [
        ([Page(plain(RED))], RED, None),
        ([Page(plain(RED)), Page(plain(BLUE)), Page(plain(GREEN))], RED, "it: page 1 of 3 was taken"),
        ([Page(plain(RED)), Page(plain(BLUE, 12, 16), REDUCED), Page(plain(BLUE, 6, 8), REDUCED)], RED, None),
        ([Page(plain(BLUE, 6, 8), REDUCED), Page(plain(RED))], RED, None),
        ([Page(plain(BLUE, 6, 8), {255: 2}), Page(plain(RED)), Page(plain(BLUE))], RED, "it: page 1 of 2 was taken"),
        ([Page(plain(BLUE, 6, 8), REDUCED, [Page(plain(RED))])], RED, None),
        ([Page(plain(RED), inner=[Page(plain(BLUE, 12, 16), REDUCED)])], RED, None),
        ([Page(plain(BLUE, 6, 8), inner=[Page(plain(RED))])], RED, None),
        ([Page(plain(RED)), Page(plain(BLUE), MASK)], RED, None),
        ([Page(plain(BLUE, 6, 8), REDUCED), Page(plain(RED), REDUCED)], RED, "it: page 2 of 2 was taken"),
    ],
    ids=[
        "one",
        "three pages",
        "a pyramid",
        "a preview first",
        "a preview by the older tag",
        "in the preview's SubIFDs",
        "a pyramid in SubIFDs",
        "a preview that does not say so",
        "a mask",
        "nothing but previews",
    ],
)
@pytest.mark.parametrize("how", [{}, {"order": ">"}, {"big": True}], ids=["little", "big endian", "BigTIFF"])
def test_the_first_picture_of_full_resolution_is_taken_and_said_if_there_are_several(given, taken, line, how):
    found = read(*given, **how)
    assert color(found) == taken
    assert found.lines == ((line,) if line else ())


def test_a_picture_in_another_is_turned_as_that_says():
    values = plain(BLUE)
    values[0, 0] = RED
    found = read(Page(plain(GREEN, 6, 8), REDUCED | {274: 6}, [Page(values)]))
    assert found.pixels.size == (24, 32)
    assert tuple(np.asarray(found.pixels)[0, -1]) == RED


@pytest.mark.parametrize(
    "given",
    [
        DNG,
        (Page(plain(RED, 6, 8), {}, [Page(SENSOR, photometric=32803)]),),
        (Page(plain(RED, 6, 8), REDUCED, [Page(plain(RED, 48, 64), {254: 0}, photometric=34892)]),),
        (Page(SENSOR, photometric=32803), Page(plain(RED, 6, 8), REDUCED)),
    ],
    ids=["DNG", "a preview that does not say so", "linear", "raw data first"],
)
def test_raw_data_is_refused_and_no_preview_is_painted(given):
    with pytest.raises(InputError, match="it is a raw photograph, .* export it as a TIFF of 16 bits, or as a JPEG"):
        read(*given)


@pytest.mark.parametrize(
    "data",
    [b"FUJIFILMCCD-RAW 0201", b"IIRO\x08\0\0\0", b"IIU\0\x18\0\0\0", b"\0\0\0\x18ftypcrx \0\0\0\1", b"II*\0\x10\0\0\0CR\x02\0"],
    ids=["Fujifilm", "Olympus", "Panasonic", "Canon 3", "Canon 2"],
)
def test_a_camera_s_file_is_known_by_its_first_bytes(data):
    with pytest.raises(InputError, match="it is a raw photograph"):
        decode.read(data + bytes(40), "it")


@pytest.mark.parametrize("data", [tiff_of_pages(Page(plain(RED))), b"anything"], ids=["TIFF", "unknown"])
@pytest.mark.parametrize("look", [decode.read, decode.header])
def test_a_camera_s_file_is_known_by_its_suffix(tmp_path, data, look):
    (tmp_path / "a.NEF").write_bytes(data)
    with pytest.raises(InputError, match="a.NEF' is a raw photograph"):
        look(tmp_path / "a.NEF")


def test_a_jpeg_with_a_camera_s_suffix_is_read(tmp_path):
    Image.new("RGB", (20, 20)).save(tmp_path / "a.dng", "JPEG")
    assert decode.read(tmp_path / "a.dng").pixels.size == (20, 20)


def test_directories_that_lead_to_themselves_end():
    data = bytearray(tiff_of_pages(Page(plain(RED)), Page(plain(BLUE))))
    (start,) = struct.unpack_from("<I", data, 4)
    data[-4:] = struct.pack("<I", start)
    assert decode.read(bytes(data), "it").lines == ("it: page 1 of 2 was taken",)


def test_a_broken_directory_behind_the_first_is_left_out():
    data = bytearray(tiff_of_pages(Page(plain(RED))))
    data[-4:] = struct.pack("<I", 10**8)
    assert decode.read(bytes(data), "it").lines == ()


def test_no_more_directories_are_looked_at_than_a_file_may_have(monkeypatch):
    monkeypatch.setattr(pages, "MOST", 3)
    found = read(*[Page(plain(RED))] * 5)
    assert found.lines == ("it: page 1 of 3 or more was taken",)


# In the commands


@pytest.fixture
def many(tmp_path, monkeypatch):
    """photos/ with a TIFF of two pages, its preview first, and a picture."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "photos"
    folder.mkdir()
    two = tiff_of_pages(Page(plain(RED, 6, 8), REDUCED), Page(plain(RED, 40, 60)), Page(plain(BLUE, 40, 60)))
    (folder / "a.tif").write_bytes(two)
    Image.effect_noise((60, 40), 90).convert("RGB").save(folder / "b.png")
    return folder


def test_a_folder_to_train_on_measures_the_picture_that_is_meant_and_says_which(many):
    found = scan(many, 32)
    assert [path.name for path in found.files] == ["a.tif", "b.png"]
    assert found.lines == ("1 of the photographs hold several pictures, of which one was taken (a.tif: page 1 of 2)",)


def test_raw_data_in_a_folder_to_train_on_is_skipped_with_the_reason(many):
    (many / "raw.tif").write_bytes(tiff_of_pages(*DNG))
    assert "is a raw photograph" in scan(many, 32).skipped[many / "raw.tif"]


def test_batch_says_once_which_picture_is_taken(many):
    runs = batch_plan.every_pair(["photos"], ["photos/a.tif", "photos/b.png"], many, [])
    assert batch_cli.which_pictures(runs) == ["'photos/a.tif': page 1 of 2 was taken"]


def test_run_says_which_picture_is_taken(many, any_backend, capsys):
    options = ["--size", "48", "--steps", "1", "--pyramid", "none", "--backend", any_backend]
    code, _, err = run(["run", "photos/a.tif", "photos/b.png", *options], capsys)
    assert code == 0, err
    assert "'photos/a.tif': page 1 of 2 was taken" in err
