"""``--style-scale`` and ``--style-size``: strokes grow, and the picture does not. (Sizes by numbers are in test_plan.py.)"""

import json

import pytest
from conftest import draw
from PIL import Image
from test_cli import QUICK, isostyle, names

import isostyle as package
from isostyle.images import arrays
from isostyle.published import D2L
from isostyle.recipe_text import to_toml

RUN = ["run", "photo.jpg", "painting.png", *QUICK]


@pytest.fixture
def pictures(tmp_path):
    for name, phase in (("content", 0.0), ("style", 1.5)):
        draw(tmp_path / f"{name}.png", phase)
    return [Image.open(tmp_path / f"{name}.png").convert("RGB") for name in ("content", "style")]


def manifest(folder):
    return json.loads((folder / "photo-painting.json").read_text())


def test_a_scaled_style_image_gives_the_picture_of_one_that_was_resized_before(backend, pictures):
    content, style = pictures
    how = {"backend": backend.name, "size": (32, 48), "steps": 2, "pyramid": False, "threads": 1}
    scaled = package.stylize(content, style, style_scale=1.5, **how)
    before = arrays.resize(style, 48, 72)
    assert scaled.manifest["inputs"]["style"]["resized_to"] == [48, 72]
    assert scaled.image.shape == (1, 3, 32, 48)
    assert scaled.image.tobytes() == package.stylize(content, before, style_size=package.AsIs(), **how).image.tobytes()


def test_another_scale_is_another_picture(backend, pictures):
    how = {"backend": backend.name, "size": (32, 48), "steps": 2, "pyramid": False, "threads": 1}
    found = {package.stylize(*pictures, style_scale=scale, **how).image.tobytes() for scale in (0.5, 1, 2)}
    assert len(found) == 3


def test_a_run_says_its_style_scale_in_the_manifest_and_a_run_without_one_does_not(folder, any_backend):
    assert isostyle(*RUN, "--backend", any_backend, "--style-scale", "1.5") == 0
    assert manifest(folder)["recipe"]["style_scale"] == 1.5
    assert manifest(folder)["inputs"]["style"]["resized_to"] == [48, 72]
    assert isostyle(*RUN, "--backend", any_backend, "--force") == 0
    assert "style_scale" not in manifest(folder)["recipe"]


@pytest.mark.parametrize(
    ("size", "expected"),
    [("60", [60, 47]), ("short:40", [51, 40]), ("40x64", [40, 64]), ("square:40", [40, 40]), ("as-is", [90, 70])],
)
def test_a_style_size_has_the_forms_of_a_size(folder, any_backend, size, expected):
    Image.effect_noise((70, 90), 80).convert("RGB").save("painting.png")
    assert isostyle(*RUN, "--backend", any_backend, "--style-size", size) == 0
    assert manifest(folder)["inputs"]["style"]["resized_to"] == expected
    assert manifest(folder)["size"] == [32, 48]


def test_a_painting_that_is_enlarged_is_said_to_have_no_more_detail(folder, any_backend, capsys):
    assert isostyle(*RUN, "--backend", any_backend, "--style-size", "180") == 0
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "enlarged" in line]
    assert line == "style 70x90 enlarged to 140x180 (height x width): it has no more detail than its 70x90 pixels"


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--style-scale", "2", "--style-size", "90"], "--style-size and --style-scale both say how large the style image is"),
        (["--style-scale", "5"], "the style scale must be from 0.25 to 4, not 5"),
        (["--style-size", "large"], "--style-size takes HEIGHTxWIDTH, as 300x450; N or long:N"),
        (["--style-size", "12"], "the style image would be resized to 9x12 pixels (height x width); relu5_1 needs at least"),
        (["--style-scale", "0.25"], "the style image would be resized to 8x12 pixels (height x width); relu5_1 needs at least"),
    ],
    ids=["both", "out of range", "no size", "a size too small", "a scale too small"],
)
def test_what_cannot_be_is_one_sentence_and_nothing_is_written(folder, any_backend, capsys, options, sentence):
    assert isostyle(*RUN, "--backend", any_backend, *options) == 2
    assert sentence in capsys.readouterr().err
    assert names(folder) == ["painting.png", "photo.jpg"]


def test_a_scale_beside_a_file_s_own_rule_is_refused(folder, capsys):
    (folder / "mine.toml").write_text('base = "d2l"\n[style_size]\nkind = "long-side"\npixels = 90\n')
    assert isostyle(*RUN, "--recipe", "mine.toml", "--style-scale", "2") == 2
    assert "the style image has a size of its own and a scale; a recipe has one of the two" in capsys.readouterr().err


def test_a_printed_recipe_says_how_a_style_image_is_scaled():
    assert "With style_scale = 2 it is twice as high and wide, and so are strokes." in to_toml(D2L)


def test_a_batch_makes_a_picture_anew_whose_style_scale_changed(folder, any_backend, capsys):
    command = ["batch", "--content", "photo.jpg", "--style", "painting.png", "--", *QUICK, "--backend", any_backend]
    assert isostyle(*command, "--style-scale", "1.5") == 0
    assert manifest(folder)["inputs"]["style"]["resized_to"] == [48, 72]
    assert isostyle(*command, "--style-scale", "1.5") == 0
    assert "was there" in capsys.readouterr().out
    assert isostyle(*command, "--style-scale", "2") == 1
    assert "exists already" in capsys.readouterr().out


def test_style_images_that_do_not_fit_go_in_tiles(folder, any_backend, capsys, monkeypatch):
    from isostyle.system import memory
    from isostyle.transfer import memory_plan

    monkeypatch.setattr(memory_plan, "CONSTANT", 0)
    monkeypatch.setattr(memory, "available", lambda: 80 * 10**6)
    layers = ["--style-layers", "conv1_1,conv2_1", "--content-layers", "conv2_2"]
    assert isostyle(*RUN, "--backend", any_backend, *layers) == 0
    assert manifest(folder)["tile"] is None
    assert isostyle(*RUN, "--backend", any_backend, *layers, "--style-size", "450", "--force") == 0
    assert manifest(folder)["tile"] > 0
