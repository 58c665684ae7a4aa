"""Folders of photographs to train on."""

import os

import numpy as np
import pytest
from PIL import Image, ImageFile

from isostyle import InputError
from isostyle.style_networks.photographs import Crop, Cutter, cut, places, scan
from isostyle.style_networks.trainer import TrainingRecipe


def picture(height, width, seed=0):
    return Image.fromarray(np.random.RandomState(seed).randint(0, 256, (height, width, 3), np.uint8))


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "more").mkdir()
    picture(40, 60).save(tmp_path / "b.png")
    picture(50, 40, 1).save(tmp_path / "more" / "a.png")
    picture(15, 90, 2).save(tmp_path / "tiny.png")
    (tmp_path / "broken.jpg").write_bytes(b"no picture")
    (tmp_path / "notes.txt").write_text("no photograph, and not counted")
    return tmp_path


def test_photographs_in_inner_folders_come_in_the_order_of_their_names(folder):
    assert [path.name for path in scan(folder, 32, recursive=True).files] == ["b.png", "a.png"]


def test_broken_and_tiny_files_are_skipped_with_their_reasons(folder):
    skipped = {path.name: why for path, why in scan(folder, 32).skipped.items()}
    assert set(skipped) == {"broken.jpg", "tiny.png"}
    assert "broken.jpg' is not a picture that can be read" in skipped["broken.jpg"]
    assert skipped["tiny.png"] == "15x90 pixels are too few for a crop of 32"


def test_photographs_are_measured_by_their_headers_alone(folder, monkeypatch):
    """A folder of thousands is looked at in seconds, and Ctrl-C need not wait for it."""
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda self: pytest.fail("decoded"))
    assert len(scan(folder, 32, recursive=True).files) == 2


def test_pipes_and_hidden_files_are_no_photographs(folder):
    picture(40, 60).save(folder / ".thumbnail.png")
    (folder / ".trash").mkdir()
    picture(40, 60).save(folder / ".trash" / "old.png")
    os.mkfifo(folder / "pipe.jpg")
    found = scan(folder, 32, recursive=True)
    assert [path.name for path in found.files] == ["b.png", "a.png"]
    assert {path.name for path in found.skipped} == {"broken.jpg", "tiny.png"}
    assert "1 no regular files (pipe.jpg)" in found.lines[0]


@pytest.mark.parametrize("name", ["", "nothing", "b.png"])
def test_a_folder_that_is_empty_or_missing_is_refused(folder, tmp_path, name):
    (tmp_path / "nothing").mkdir(exist_ok=True)
    with pytest.raises(InputError, match="holds no photograph" if name != "b.png" else "there is no folder"):
        scan(tmp_path / name, 1000 if name == "" else 32)


def test_each_photograph_comes_once_in_an_epoch():
    numbers = [crop.photograph for crop in places(0, 7, 0, 21)]
    assert [sorted(numbers[i : i + 7]) for i in (0, 7, 14)] == [list(range(7))] * 3
    assert numbers[:7] != numbers[7:14]


def test_crops_depend_on_their_number_and_the_seed_alone():
    assert places(3, 7, 5, 4) == places(3, 7, 0, 9)[5:]
    assert places(3, 7, 5, 4) != places(4, 7, 5, 4)


def test_crops_lie_anywhere_and_half_of_them_are_mirrored():
    crops = places(0, 5, 0, 400)
    for values in ([crop.down for crop in crops], [crop.right for crop in crops]):
        assert min(values) < 0.02 < 0.98 < max(values)
    assert 160 < sum(crop.mirrored for crop in crops) < 240


def test_crops_are_taken_from_as_near_as_from_afar():
    near = [crop.near for crop in places(0, 5, 0, 400)]
    assert min(near) < 0.02 < 0.98 < max(near)
    assert 0.45 < np.mean(near) < 0.55


def test_a_crop_is_cut_where_it_says():
    given = picture(64, 66)
    pixels = np.asarray(given)
    for crop, expected in (
        (Crop(0, 0.0, 0.0, False, 1.0), pixels[:32, :32]),
        (Crop(0, 1.0, 1.0, False, 1.0), pixels[32:, 34:]),
        (Crop(0, 0.0, 0.0, True, 1.0), pixels[:32, :32][:, ::-1]),
    ):
        found = cut(given, crop, 32, zoom=2.0)
        assert found.shape == (1, 3, 32, 32)
        restored = found[0].transpose(1, 2, 0) * np.array((0.229, 0.224, 0.225)) + np.array((0.485, 0.456, 0.406))
        np.testing.assert_allclose(restored * 255, expected, atol=1e-3)


@pytest.mark.parametrize("side", [20, 40, 400])
def test_a_crop_shows_a_whole_photograph_or_a_part_of_it_however_large_that_is(side):
    """The left half is white: of what is seen from afar as of its enlarged middle. Of the left quarter, all is."""
    plain = np.zeros((side, side, 3), np.uint8)
    plain[:, : side // 2] = 255
    for right, near, light in ((0.5, 0.0, 0.5), (0.5, 1.0, 0.5), (0.0, 1.0, 1.0)):
        found = cut(Image.fromarray(plain), Crop(0, 0.5, right, False, near), 32, zoom=4.0)
        assert np.mean(found[0, 0] > 0) == pytest.approx(light, abs=0.04)


def test_each_crop_gets_some_noise_of_its_own(tmp_path):
    Image.new("RGB", (64, 64), (124, 116, 104)).save(tmp_path / "flat.png")
    recipe = TrainingRecipe(crop=32, batch=2, noise=0.1)
    crops = next(Cutter((tmp_path / "flat.png",), recipe, skip=pytest.fail).steps(0))
    assert [crop.std() for crop in crops] == pytest.approx([0.1, 0.1], rel=0.1)
    assert not np.array_equal(*crops)


def test_steps_begun_anywhere_are_those_of_a_whole_run(folder):
    files = scan(folder, 32).files

    def steps(first, count):
        made = Cutter(files, TrainingRecipe(crop=32, batch=3), skip=lambda path, why: pytest.fail(why)).steps(first)
        return [next(made) for _ in range(count)]

    whole = steps(0, 4)
    for ours, theirs in zip(steps(2, 2), whole[2:], strict=True):
        np.testing.assert_array_equal(np.stack(ours), np.stack(theirs))


def test_a_photograph_that_breaks_off_is_named_once_and_the_next_takes_its_place(tmp_path):
    picture(40, 40).save(tmp_path / "whole.jpg")
    data = (tmp_path / "whole.jpg").read_bytes()
    (tmp_path / "cut-off.jpg").write_bytes(data[: len(data) * 3 // 4])
    files = scan(tmp_path, 32).files
    assert len(files) == 2
    told = []
    made = Cutter(files, TrainingRecipe(crop=32, batch=2), skip=lambda path, why: told.append(path.name)).steps(0)
    for _ in range(3):
        assert len(next(made)) == 2
    assert told == ["cut-off.jpg"]


def test_a_folder_whose_photographs_all_break_off_ends_the_training_with_a_reason(tmp_path):
    picture(40, 40).save(tmp_path / "a.jpg")
    data = (tmp_path / "a.jpg").read_bytes()
    (tmp_path / "a.jpg").write_bytes(data[: len(data) * 3 // 4])
    made = Cutter(scan(tmp_path, 32).files, TrainingRecipe(crop=32, batch=1), skip=lambda path, why: None).steps(0)
    with pytest.raises(InputError, match="none of the photographs can be decoded"):
        next(made)
