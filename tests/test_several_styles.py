"""One network, several styles: each is a row of scales and shifts (Dumoulin, Shlens and Kudlur 2017)."""

import dataclasses

import numpy as np
import onnxruntime
import pytest
from conftest import run
from PIL import Image
from style_files import SMALL, TINY, random_style, write_photographs, write_style

import isostyle
from isostyle import InputError
from isostyle.conformance.oracle import transform as oracle_transform
from isostyle.images import arrays
from isostyle.style_networks import export
from isostyle.style_networks import file as style_network
from isostyle.style_networks.photographs import turns
from isostyle.style_networks.train import train
from isostyle.transform_network import is_own

NAMES = ("wave", "scream", "oak")


@pytest.fixture
def several():
    return random_style(styles=NAMES)


def picture(height=37, width=50):
    return Image.fromarray(np.random.RandomState(0).randint(0, 256, (height, width, 3), np.uint8))


# Choosing and mixing


def test_one_of_several_paints_as_a_network_of_its_row_alone(any_backend, several):
    alone = {name: array[1:2] if is_own(name) else array for name, array in several.parameters.items()}
    expected = dataclasses.replace(several, parameters=alone, styles={"scream": b""})
    made, same = (
        isostyle.apply(style, picture(), backend=any_backend, threads=1).picture.tobytes()
        for style in (several.mixed({"scream": 1.0}), expected)
    )
    assert made == same
    assert several.mixed({"scream": 1.0}).digest == expected.digest


def test_a_mixture_paints_what_the_oracle_paints(backend, several):
    weights = {"wave": 0.7, "oak": 0.4}
    mixture = several.mixed(weights)
    transform = backend.transform(SMALL, device="cpu", dtype="float64")
    parameters = {name: transform.tensor(array) for name, array in mixture.painting().items()}
    given = arrays.to_array(picture(), "float64")
    made = transform.array(transform.apply(parameters, transform.tensor(given)))
    mine = {name: array.astype(float) for name, array in several.parameters.items()}
    expected = oracle_transform.OracleTransform(SMALL).apply(oracle_transform.painting(mine, np.array([0.7, 0, 0.4])), given)
    # The mixture is rounded to float32 once, as every network's numbers are.
    np.testing.assert_allclose(made, expected, rtol=0, atol=1e-5)


def test_a_mixture_has_the_name_of_its_parts(several):
    assert several.mixed({"wave": 0.7, "oak": 0.3}).name == "wave:0.7,oak:0.3"
    assert several.mixed({"oak": 1.0}).name == "oak"


def test_a_network_of_several_styles_does_not_paint_until_one_is_named(any_backend, several):
    with pytest.raises(InputError, match=r"the network has 3 styles \(wave, scream, oak\): name one, as FILE#wave"):
        isostyle.apply(several, picture(), backend=any_backend)


# Files


def test_a_file_keeps_names_and_rows(tmp_path, several):
    several.save(tmp_path / "s.safetensors")
    found = style_network.load(tmp_path / "s.safetensors")
    assert (list(found.styles), found.digest) == (list(NAMES), several.digest)


def test_a_style_of_a_file_is_named_behind_a_hash(tmp_path, several):
    path = write_style(tmp_path / "s.safetensors", styles=NAMES)
    assert style_network.find(f"{path}#oak").digest == several.mixed({"oak": 1.0}).digest
    assert style_network.find(f"{path}#oak:0.5,wave:0.5").digest == several.mixed({"oak": 0.5, "wave": 0.5}).digest


def test_what_ships_may_be_several_styles_of_one_file(tmp_path, monkeypatch, several):
    folder = tmp_path / "data" / "styles"
    folder.mkdir(parents=True)
    monkeypatch.setattr(style_network.resources, "files", lambda package: tmp_path)
    write_style(folder / "many.safetensors", styles=NAMES)
    write_style(folder / "glass.safetensors")
    assert list(style_network.shipped()) == ["glass", "oak", "scream", "wave"]
    assert style_network.find("wave:0.7,scream:0.3").digest == several.mixed({"wave": 0.7, "scream": 0.3}).digest
    with pytest.raises(InputError, match="wave, glass are styles of 2 networks, which cannot be mixed"):
        style_network.find("wave:0.7,glass:0.3")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("#elm", "there is no style 'elm' in a network of wave, scream, oak"),
        ("#wave:x", "a mixture of styles is NAME:WEIGHT,NAME:WEIGHT, not 'wave:x'"),
        ("#wave:nan", "a mixture of styles is"),
        ("#wave:1,wave:2", "a mixture of styles is"),
        ("#wave:0,oak:0", "a mixture of styles needs a weight that is not 0"),
    ],
)
def test_a_mixture_that_says_nothing_is_refused(tmp_path, text, message):
    path = write_style(tmp_path / "s.safetensors", styles=NAMES)
    with pytest.raises(InputError, match=message):
        style_network.find(f"{path}{text}")


def test_apply_names_the_output_by_the_mixture(tmp_path, monkeypatch, any_backend, capsys):
    monkeypatch.chdir(tmp_path)
    write_style(tmp_path / "s.safetensors", styles=NAMES)
    picture().save("photo.png")
    code, _, err = run(["apply", "s.safetensors#wave:0.7,oak:0.3", "photo.png", "--backend", any_backend], capsys)
    assert code == 0, err
    assert (tmp_path / "photo-wave0.7-oak0.3.png").exists()


# ONNX


def test_weights_of_styles_are_an_input_of_the_model(any_backend, several):
    session = onnxruntime.InferenceSession(export.onnx_bytes(several), providers=["CPUExecutionProvider"])
    given = np.asarray(picture(), np.float32).transpose(2, 0, 1)[None] / 255
    found = session.run(None, {"image": given, "styles": np.array([0.7, 0, 0.4], np.float32)})[0]
    ours = isostyle.apply(several.mixed({"wave": 0.7, "oak": 0.4}), picture(), backend=any_backend, threads=1).picture
    apart = np.abs(np.rint(found[0].transpose(1, 2, 0) * 255) - np.asarray(ours).astype(int))
    assert apart.max() <= 1
    assert (apart == 0).mean() > 0.99


# Training


@pytest.fixture
def photographs(tmp_path):
    return write_photographs(tmp_path / "photos")


@pytest.fixture
def paintings(tmp_path):
    folder = tmp_path / "paintings"
    folder.mkdir()
    for i, name in enumerate(("waves", "dots")):
        picture = np.random.RandomState(i).randint(0, 256, (8, 10, 3), np.uint8)
        Image.fromarray(picture).resize((50, 40), Image.Resampling.BICUBIC if i else Image.Resampling.NEAREST).save(
            folder / f"{name}.png"
        )
    return folder


def both(paintings):
    return {name: paintings / f"{name}.png" for name in ("dots", "waves")}


def test_each_style_has_its_turn_once_in_an_epoch():
    found = turns(seed=5, styles=4, first=0, count=40)
    assert all(sorted(found[i : i + 4]) == [0, 1, 2, 3] for i in range(0, 40, 4))
    assert turns(seed=5, styles=4, first=17, count=6) == found[17:23]
    assert turns(seed=0, styles=1, first=3, count=5) == [0] * 5


def test_a_training_of_two_styles_moves_both_rows(any_backend, paintings, photographs):
    made = train(both(paintings), photographs, recipe=TINY, backend=any_backend)
    assert list(made.styles) == ["dots", "waves"]
    scales = made.parameters["down1.scale"]
    assert scales.shape == (2, 2)
    assert not np.array_equal(scales[0], scales[1])
    assert (scales != 1).all()
    assert sorted(made.training["styles"]) == ["dots", "waves"]


def test_a_training_of_two_styles_resumes_to_the_same_bits(any_backend, paintings, photographs, tmp_path):
    arguments = {"backend": any_backend, "every": 2, "threads": 1}
    whole = train(both(paintings), photographs, recipe=TINY, **arguments)
    half = dataclasses.replace(TINY, steps=2)
    train(both(paintings), photographs, recipe=half, checkpoint=tmp_path / "c", **arguments)
    resumed = train(both(paintings), photographs, recipe=TINY, checkpoint=tmp_path / "c", resume=True, **arguments)
    assert style_network.dump(resumed) == style_network.dump(whole)


def test_a_style_that_is_added_leaves_the_others_as_they_are(any_backend, paintings, photographs):
    paths = both(paintings)
    base = train(paths["dots"], photographs, recipe=TINY, backend=any_backend)
    made = train(paths["waves"], photographs, recipe=TINY, start=base, add=True, backend=any_backend)
    assert list(made.styles) == ["dots", "waves"]
    assert made.mixed({"dots": 1.0}).digest == base.digest
    assert not np.array_equal(made.parameters["down1.scale"][1], base.parameters["down1.scale"][0])
    assert made.training["added"][0]["steps"] == TINY.steps


def test_adding_a_style_resumes_to_the_same_bits(any_backend, paintings, photographs, tmp_path):
    paths = both(paintings)
    base = train(paths["dots"], photographs, recipe=TINY, backend=any_backend)
    arguments = {"start": base, "add": True, "backend": any_backend, "every": 2, "threads": 1}
    whole = train(paths["waves"], photographs, recipe=TINY, **arguments)
    half = dataclasses.replace(TINY, steps=2)
    train(paths["waves"], photographs, recipe=half, checkpoint=tmp_path / "c", **arguments)
    resumed = train(paths["waves"], photographs, recipe=TINY, checkpoint=tmp_path / "c", resume=True, **arguments)
    assert style_network.dump(resumed) == style_network.dump(whole)


def test_a_style_of_a_name_that_is_there_is_not_added(any_backend, paintings, photographs):
    paths = both(paintings)
    base = train(paths["dots"], photographs, recipe=TINY, backend=any_backend)
    with pytest.raises(InputError, match="the network has a style 'dots' already; name the new one otherwise"):
        train(paths["dots"], photographs, recipe=TINY, start=base, add=True, backend=any_backend)


def test_the_command_trains_a_folder_of_paintings_and_adds_one(
    any_backend,
    paintings,
    photographs,
    tmp_path,
    capsys,
):
    first, second = tmp_path / "two.safetensors", tmp_path / "three.safetensors"
    common = ["--backend", any_backend, "--steps", 3, "--batch", 2, "--crop", 32, "--style-size", 40, "--every", 2]
    code, _, err = run(["train", paintings, photographs, "-o", first, *common, "--width", "2,3,4", "--blocks", 1], capsys)
    assert code == 0, err
    (tmp_path / "lines.png").write_bytes((paintings / "dots.png").read_bytes())
    code, out, err = run(["train", tmp_path / "lines.png", photographs, "-o", second, *common, "--add-to", first], capsys)
    assert code == 0, err
    assert list(style_network.load(first).styles) == ["dots", "waves"]
    assert list(style_network.load(second).styles) == ["dots", "waves", "lines"]
    (this,) = style_network.load(second).training["added"]
    assert f"wrote {second}: 3 steps, " in out
    assert f" -> {this['history'][-1]['held_out']:.4g}" in out
    assert run(["styles", second], capsys)[1].startswith(f"{second} styles dots, waves, lines; ")
