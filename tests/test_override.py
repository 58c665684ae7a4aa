"""A recipe with some of its values replaced: by numbers, without a framework."""

import dataclasses

import pytest

import isostyle
from isostyle.published import D2L, find
from isostyle.recipe import AdamSettings, Constant, LbfgsSettings, Level
from isostyle.transfer import override


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"pooling": "average"}, {"pooling": "average"}),
        ({"style_layers": {"relu2_1": 0.5}}, {"style_layers": (("relu2_1", 0.5),)}),
        ({"content_layers": (("conv4_2", 1.0),)}, {"content_layers": (("conv4_2", 1.0),)}),
        ({"content_layers": [("conv4_2", 1)]}, {"content_layers": (("conv4_2", 1.0),)}),
        ({"size": isostyle.ShortSide(64)}, {"size": isostyle.ShortSide(64)}),
        ({"optimizer": "lbfgs"}, {"optimizer": LbfgsSettings(), "schedule": Constant()}),
        ({"optimizer": "lbfgs", "learning_rate": 0.5}, {"optimizer": LbfgsSettings(0.5), "schedule": Constant()}),
        (
            {"optimizer": "lbfgs", "line_search": "strong-wolfe", "lbfgs_history": 20},
            {"optimizer": LbfgsSettings(history=20, line_search="strong-wolfe"), "schedule": Constant()},
        ),
        (
            {"pyramid": True},
            {
                "pyramid": override.PYRAMID,
                "optimizer": LbfgsSettings(history=20, line_search="strong-wolfe"),
                "schedule": Constant(),
                "steps": override.PYRAMID_STEPS,
            },
        ),
        (
            {"pyramid": [(0.5, 3)], "optimizer": "lbfgs"},
            {
                "pyramid": (Level(0.5, 3),),
                "optimizer": LbfgsSettings(history=20, line_search="strong-wolfe"),
                "schedule": Constant(),
                "steps": override.PYRAMID_STEPS,
            },
        ),
        (
            {"pyramid": [(0.5, 3)], "optimizer": LbfgsSettings()},
            {"pyramid": (Level(0.5, 3),), "optimizer": LbfgsSettings(), "schedule": Constant()},
        ),
        ({"pyramid": [(0.5, 3)], "optimizer": "adam"}, {"pyramid": (Level(0.5, 3),)}),
        ({"style_size": 700}, {"style_size": isostyle.LongSide(700)}),
        ({"style_size": (30, 40)}, {"style_size": isostyle.ExactSize(30, 40)}),
        ({"style_size": "content"}, {"style_size": "content"}),
        ({"style_scale": 2}, {"style_scale": 2.0}),
        ({"pyramid": False}, {}),
        ({"optimizer": "adam"}, {}),
        ({"learning_rate": 0.1}, {"optimizer": AdamSettings(0.1)}),
    ],
    ids=str,
)
def test_an_override_changes_what_it_names_and_nothing_else(changes, expected):
    found, wanted = override.override("d2l", **changes), dataclasses.replace(D2L, **expected)
    assert found.digest == wanted.digest
    # What computes something else does not claim to be the published recipe.
    assert (found.name, found.source) == (
        ("d2l", D2L.source) if found.digest == D2L.digest else ("d2l-changed", "d2l, changed")
    )


def test_a_pyramid_of_a_clamped_recipe_keeps_its_optimizer():
    found = override.override("tutorial", pyramid=True)
    assert (found.optimizer, found.steps, found.pyramid) == (
        find("tutorial").optimizer,
        find("tutorial").steps,
        override.PYRAMID,
    )


@pytest.mark.parametrize("start", ["noise", "uniform-noise", "style"])
def test_a_start_with_nothing_of_the_photograph_begins_at_coarser_levels(start):
    levels = (Level(0.125, 100), Level(0.25, 60), Level(0.5, 60))
    assert override.override("isostyle", start=start).pyramid == levels
    assert override.override(override.override("isostyle", start=start), start=start).pyramid == levels
    assert override.override("isostyle", start=start, pyramid=[(0.5, 20)]).pyramid == (Level(0.5, 20),)
    assert override.override("d2l", start=start).pyramid == ()


@pytest.mark.parametrize("start", ["content", "content+noise", "image"])
def test_a_start_with_the_photograph_has_the_recipe_s_levels(start):
    assert override.override("isostyle", start=start).pyramid == find("isostyle").pyramid


@pytest.mark.parametrize("bad", [3, [3], [(0.5, 3, 4)], "half"])
def test_a_pyramid_of_something_else_is_refused(bad):
    with pytest.raises(isostyle.InputError, match="a pyramid is"):
        override.override("d2l", pyramid=bad)


def test_adam_in_place_of_lbfgs_has_a_learning_rate_that_fits_the_space():
    assert override.override("tutorial", optimizer="adam").optimizer == AdamSettings(0.07)
    assert override.override("gatys2016", optimizer="adam").optimizer == AdamSettings(0.3)


def test_a_size_of_the_style_image_s_own_takes_the_place_of_a_recipe_s_scale():
    scaled = dataclasses.replace(D2L, style_scale=2)
    assert override.override(scaled, style_size=700).style_scale == 1


def test_a_style_size_of_something_else_is_refused():
    with pytest.raises(isostyle.InputError, match="the style size must be .height, width., or one number"):
        override.override("d2l", style_size=(1, 2, 3))


def test_an_unknown_optimizer_is_refused():
    with pytest.raises(isostyle.InputError, match="optimizer must be adam or lbfgs, not 'sgd'"):
        override.override("d2l", optimizer="sgd")
