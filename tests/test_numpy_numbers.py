"""Numbers that are NumPy's, or anybody's: the Python functions take them, and what is written is that of Python's numbers."""

import dataclasses
import json
from fractions import Fraction

import numpy as np
import pytest
from PIL import Image
from style_files import random_style

import isostyle
from isostyle import InputError, registry
from isostyle.checks import plain
from isostyle.images.options import PictureOptions
from isostyle.published import D2L
from isostyle.recipe import AdamSettings, LbfgsSettings, Level, Reporting, StepDecay
from isostyle.recipe_text import to_toml
from isostyle.sizes import ExactSize, LongSide, ShortSide, Square
from isostyle.style_networks.trainer import TrainingRecipe
from isostyle.system import memory
from isostyle.tiles import parse_tile
from isostyle.transfer.override import override
from isostyle.transfer.request import Saving
from isostyle.transform_network import TransformNetwork

#: Of one value in Python's numbers, the same in NumPy's.
LIKE = {int: np.int64, float: np.float32, bool: np.bool_}


def picture(height=40, width=50):
    return Image.fromarray(np.random.RandomState(0).randint(0, 256, (height, width, 3), np.uint8))


def as_numpy(value):
    """``value`` with NumPy's numbers in place of Python's; float32 holds those of these tests exactly."""
    if isinstance(value, dict):
        return {key: as_numpy(entry) for key, entry in value.items()}
    if isinstance(value, tuple):
        return tuple(map(as_numpy, value))
    return LIKE[type(value)](value) if type(value) in LIKE else value


@pytest.mark.parametrize(
    "number", [np.int64(3), np.uint8(3), np.array(3), np.float32(0.5), np.float64(0.5), np.longdouble(0.5)]
)
def test_a_number_of_numpy_s_becomes_python_s(number):
    assert plain(number) == number.item()
    assert type(plain(number)) in (int, float)


def test_a_fraction_is_a_number_too_and_a_bool_stays_one():
    assert plain(Fraction(1, 2)) == 0.5
    assert plain(True) is True
    assert plain(np.bool_(False)) is False


@pytest.mark.parametrize("value", ["3", None, 10**400, Fraction(10**400), np.zeros(1), np.zeros((2, 3)), b"3"], ids=type)
def test_what_is_no_number_that_python_has_stays_as_it_is(value):
    assert plain(value) is value


@pytest.mark.parametrize(
    "changes",
    [
        {"size": 300},
        {"size": (300, 450)},
        {"size": ShortSide(300, 200, at_most_long_side=True)},
        {"style_size": 300},
        {"style_size": (300, 450)},
        {"style_scale": 2.0},
        {"steps": 3},
        {"content_weight": 2.0, "style_weight": 1e4, "tv_weight": 0},
        {"content_layers": {"conv4_2": 0.5}, "style_layers": (("conv1_1", 1.0), ("conv2_1", 0.25))},
        {"learning_rate": 0.5},
        {"optimizer": "lbfgs", "lbfgs_history": 7},
        {"pyramid": ((0.25, 20), (0.5, 10))},
        {"pyramid": False},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_a_recipe_of_numpy_s_numbers_is_the_same_to_the_letter(changes):
    expected, found = override(D2L, **changes), override(D2L, **as_numpy(changes))
    assert found == expected
    assert found.digest == expected.digest
    assert to_toml(found) == to_toml(expected)
    assert str(found.optimizer) == str(expected.optimizer)


def test_a_size_may_be_an_array():
    assert override(D2L, size=np.array([300, 450])).size == ExactSize(300, 450)


@pytest.mark.parametrize(
    "part",
    [
        ExactSize(30, 40),
        LongSide(30),
        ShortSide(30, 20),
        Square(30),
        AdamSettings(0.5, 0.75, 0.5, 0.125),
        LbfgsSettings(0.5, 5, 7, 0.25, 0.125),
        StepDecay(5, 0.5),
        Level(0.5, 20),
        Reporting(1, 10, (("total", 0.5),)),
        TransformNetwork((2, 3, 4), 1),
        TrainingRecipe(steps=3, batch=2, crop=32, noise=0.0625, style_size=40, seed=1),
        PictureOptions(bits=16, quality=80, strip=True),
        dataclasses.replace(D2L, steps=3),
    ],
    ids=lambda part: type(part).__name__,
)
def test_every_part_of_a_recipe_holds_python_s_numbers(part):
    given = {field.name: as_numpy(getattr(part, field.name)) for field in dataclasses.fields(part) if field.init}
    found = type(part)(**given)
    assert json.dumps(dataclasses.asdict(found)) == json.dumps(dataclasses.asdict(part))


def test_what_is_no_dataclass_takes_numpy_s_numbers_too():
    assert repr(parse_tile(np.int64(64))) == "64"
    assert repr(memory.parse(np.int64(2**30))) == str(2**30)
    assert repr(Saving("x", np.int64(5), {"mine": np.float32(0.5)}).keep) == "{'mine': 0.5}"


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: override(D2L, steps=True), "number of steps must be a whole number of at least 1, not True"),
        (lambda: override(D2L, steps=np.bool_(True)), "number of steps must be a whole number of at least 1, not True"),
        (lambda: override(D2L, steps=np.float64(3)), "number of steps must be a whole number of at least 1, not 3.0"),
        (lambda: override(D2L, steps=np.int64(0)), "number of steps must be a whole number of at least 1, not 0"),
        (lambda: override(D2L, style_weight=np.float32("nan")), "style weight must be a finite number of at least 0, not nan"),
        (lambda: override(D2L, size=True), r"size must be \(height, width\), or one number for the longer side, not True"),
        (lambda: registry.start("torch", "cpu", True), "number of threads must be at least 1 and at most 1024, not True"),
        (lambda: isostyle.stylize("a", "b", seed=True), "seed must be a whole number in 0..4294967295, not True"),
    ],
)
def test_numbers_that_cannot_be_used_are_refused_whoever_made_them(call, sentence):
    with pytest.raises(InputError, match=sentence):
        call()


def test_a_run_and_its_manifest_are_the_same_with_numpy_s_numbers(any_backend, tmp_path):
    given = {"size": (32, 48), "steps": 2, "style_weight": 1e4, "seed": 3, "threads": 2, "tile": 32, "checkpoint_every": 1}
    given |= {"pyramid": False, "max_memory": 2**34, "init": "noise"}
    made = [
        isostyle.stylize(picture(), picture(), backend=any_backend, checkpoint=tmp_path / "run", **numbers)
        for numbers in (given, as_numpy(given))
    ]
    expected, found = (
        json.dumps({key: result.manifest[key] for key in ("recipe", "result", "seed", "threads", "tile")}) for result in made
    )
    assert found == expected


def test_apply_takes_numpy_s_numbers(any_backend, tmp_path):
    given = {"threads": 2, "tile": 16, "long_side": 25, "bits": 16, "max_memory": 2**34}
    expected, found = (
        isostyle.apply(random_style(), picture(), backend=any_backend, **numbers) for numbers in (given, as_numpy(given))
    )
    assert found.picture.tobytes() == expected.picture.tobytes()
    found.save(tmp_path / "out.png", bits=np.int64(16), quality=np.int64(90), strip=np.bool_(True))
    json.dumps(found.manifest)


def test_a_training_takes_numpy_s_numbers(any_backend, tmp_path):
    for i in range(2):
        picture().save(tmp_path / f"{i}.png")
    recipe = TrainingRecipe(
        network=TransformNetwork((np.int64(2), np.int64(3), np.int64(4)), np.int64(1)),
        steps=np.int64(1),
        batch=np.int64(1),
        crop=np.int64(32),
        style_size=np.int64(40),
        seed=np.int64(1),
    )
    made = isostyle.train(picture(), tmp_path, recipe=recipe, backend=any_backend, threads=np.int64(2), every=np.int64(1))
    made.save(tmp_path / "made.safetensors")
