"""Recipes: published numbers, digests, schedules, sizes."""

import dataclasses
import math

import pytest

from isostyle import InputError
from isostyle.published import D2L, ISOSTYLE, RECIPES, find
from isostyle.recipe import LATER, AdamSettings, Constant, LbfgsSettings, Level, Reporting, StepDecay
from isostyle.sizes import AsIs, ExactSize, LongSide, ShortSide, Square

#: As manifests had it before recipes had a style scale.
DIGEST_OF_D2L = "4bf8d6b8216372fd8eb07aa053614697901ee907459a07b5d097758ae41ffe99"


def test_d2l_as_published():
    assert [tap for tap, _ in D2L.style_layers] == ["conv1_1", "conv2_1", "conv3_1", "conv4_1", "conv5_1"]
    assert D2L.content_layers == (("conv4_4", 1.0),)
    assert (D2L.content_weight, D2L.style_weight, D2L.tv_weight) == (1, 10 * 1e3, 10)
    assert D2L.optimizer == AdamSettings(0.3, 0.9, 0.999, 1e-8)
    assert (D2L.steps, D2L.schedule, D2L.size) == (500, StepDecay(50, 0.8), ExactSize(300, 450))
    assert (D2L.gram_divisor, D2L.start) == ("chw", "content")


def test_the_default_comes_first_and_its_losses_are_relative():
    """So no network's loudness, and no painting's, changes how they balance."""
    assert next(iter(RECIPES.values())) is ISOSTYLE
    assert (ISOSTYLE.content_reduction, ISOSTYLE.style_reduction) == ("relative", "relative")


@pytest.mark.parametrize(
    "change",
    [
        {"steps": 499},
        {"tv_weight": 10.000001},
        {"gram_divisor": "hw"},
        {"start": "noise"},
        {"style_layers": D2L.style_layers[:-1]},
        {"optimizer": AdamSettings(0.3, epsilon=1e-7)},
        {"schedule": StepDecay(51, 0.8)},
        {"size": LongSide(450)},
        {"pyramid": (Level(0.5, 1),)},
        {"margin": 3},
        {"style_scale": 2.0},
        {"style_size": LongSide(700)},
        {"first_padding": "replicate"},
        {"variation": "squared"},
        {"pooling": "average-doubled"},
        {"average_decay": 0.9},
        {"carries_moments": True},
    ],
    ids=lambda change: next(iter(change)),
)
def test_the_digest_changes_with_every_number(change):
    assert dataclasses.replace(D2L, **change).digest != D2L.digest


def test_recipes_from_before_a_value_could_be_chosen_have_their_old_digest():
    """Of d2l: it stands in manifests."""
    assert D2L.digest == "4bf8d6b8216372fd8eb07aa053614697901ee907459a07b5d097758ae41ffe99"
    assert not LATER.keys() & D2L.as_dict().keys()


def test_an_average_of_what_l_bfgs_makes_is_refused():
    with pytest.raises(InputError, match="an average, and moments that go on, are Adam's"):
        dataclasses.replace(find("tutorial"), average_decay=0.9)


def test_a_wasserstein_distance_of_other_than_means_is_refused():
    with pytest.raises(InputError, match="wasserstein takes means over pixels: its Gram divisor is 'hw'"):
        dataclasses.replace(D2L, style_reduction="wasserstein")


def test_the_digest_does_not_tell_whole_numbers_from_equal_ones():
    whole = dataclasses.replace(D2L, style_weight=10_000, content_layers=(("conv4_4", 1),))
    assert whole.digest == D2L.digest


def test_a_recipe_without_a_style_scale_has_the_digest_that_it_had_before_there_was_one():
    """Manifests, checkpoints and style networks have it."""
    assert D2L.digest == DIGEST_OF_D2L
    assert "style_scale" not in D2L.as_dict()


def test_the_levels_of_a_recipe_end_with_the_full_size():
    recipe = dataclasses.replace(D2L, pyramid=(Level(0.25, 3), Level(0.5, 2)), steps=4)
    assert [(share, level.steps, level.pyramid) for share, level in recipe.levels] == [
        (0.25, 3, ()),
        (0.5, 2, ()),
        (1.0, 4, ()),
    ]
    assert recipe.updates == 9


def test_a_line_search_of_a_clamped_image_is_refused():
    with pytest.raises(InputError, match="an image that is clamped has no line search"):
        dataclasses.replace(find("tutorial"), optimizer=LbfgsSettings(line_search="strong-wolfe"))


def test_the_digest_does_not_change_with_prose():
    assert dataclasses.replace(D2L, name="x", source="y", notes=(), report=Reporting(1, 1, ())).digest == D2L.digest


@pytest.mark.parametrize(("step", "rate"), [(0, 0.3), (49, 0.3), (50, 0.24), (99, 0.24), (100, 0.192), (499, 0.3 * 0.8**9)])
def test_the_learning_rate_decays_after_every_fifty_steps_and_compounds(step, rate):
    assert D2L.schedule.rate(0.3, step) == pytest.approx(rate, rel=1e-15)


@pytest.mark.parametrize(
    ("size", "fitted"),
    [
        (ExactSize(300, 450), (300, 450)),
        (LongSide(450), (300, 450)),
        (LongSide(100), (67, 100)),
        (LongSide(1800), (1200, 1800)),
        (ShortSide(300), (300, 450)),
        (ShortSide(301), (301, 451)),  # 451.5, truncated as torchvision's Resize does
        (ShortSide(512, pixels_without_gpu=128), (128, 192)),
        (ShortSide(400, at_most_long_side=True), (400, 600)),
        (ShortSide(1000, at_most_long_side=True), (900, 1350)),
        (Square(512), (512, 512)),
        (AsIs(), (600, 900)),
    ],
)
def test_sizes_are_height_by_width(size, fitted):
    assert size.fit(height=600, width=900) == fitted


def test_a_portrait_keeps_its_aspect():
    assert LongSide(450).fit(height=900, width=600) == (450, 300)
    assert ShortSide(300).fit(height=900, width=600) == (450, 300)


def test_the_tutorial_s_pictures_are_larger_where_there_is_a_gpu():
    assert find("tutorial").size.fit(height=600, width=900, gpu=True) == (512, 768)


def test_a_square_is_scaled_by_its_shorter_side_before_it_is_cut_out():
    assert Square(512).scaled(height=600, width=900) == (512, 768)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"style_weight": -1.0}, "style weight must be a finite number of at least 0, not -1"),
        ({"tv_weight": math.nan}, "tv weight must be a finite number of at least 0, not nan"),
        ({"content_weight": math.inf}, "content weight must be"),
        ({"content_weight": 0.0, "style_weight": 0.0, "tv_weight": 0.0}, "all three weights are 0"),
        ({"steps": 0}, "number of steps must be a whole number of at least 1, not 0"),
        ({"optimizer": AdamSettings(0.0)}, "learning rate must be a finite number above 0, not 0"),
        ({"optimizer": AdamSettings(math.nan)}, "learning rate must be"),
        ({"steps": 2.5}, "number of steps must be a whole number"),
        ({"gram_divisor": "cwh"}, "Gram divisor must be one of chw, hw, 1, not 'cwh'"),
        ({"start": "contnet"}, "start must be one of content, style, noise"),
        ({"style_layers": ()}, "needs at least one style layer"),
        ({"style_layers": (("conv1_1", 1.0), ("conv1_1", 2.0))}, "each only once"),
        ({"content_layers": (("conv4_4", math.nan),)}, "weight of the content layer conv4_4 must be"),
        ({"schedule": StepDecay(0, 0.8)}, "number of steps between decays must be"),
        ({"schedule": StepDecay(50, 0.0)}, "factor of the schedule must be"),
        ({"size": ExactSize(0, 450)}, "size must be a whole number of at least 1 pixel, not 0"),
        ({"size": ShortSide(10, pixels_without_gpu=0)}, "size must be a whole number of at least 1 pixel, not 0"),
        ({"pooling": "mean"}, "pooling must be one of max, average, average-doubled, not 'mean'"),
        ({"content_reduction": "sum"}, "content reduction must be one of mean, half-sum, relative, not 'sum'"),
        (
            {"style_reduction": "sum"},
            "style reduction must be one of mean, mean/chw, quarter-sum, relative, wasserstein, not 'sum'",
        ),
        ({"space": "rgb"}, "space must be one of normalized, unit, not 'rgb'"),
        ({"clamped": True}, "only an image of the space 'unit' can be clamped"),
        ({"without_gradient": ("content", "style", "tv")}, "no term with a weight has a gradient"),
        ({"optimizer": LbfgsSettings()}, "L-BFGS has no schedule but 'constant'"),
        ({"optimizer": LbfgsSettings(history=0), "schedule": Constant()}, "history of L-BFGS must be"),
        (
            {"optimizer": LbfgsSettings(line_search="wolfe"), "schedule": Constant()},
            "line search of L-BFGS must be one of none, st",
        ),
        ({"optimizer": AdamSettings(0.3, beta2=1.0)}, "beta2 of Adam must be at least 0 and below 1, not 1"),
        ({"pyramid": (Level(1.0, 5),)}, "share of a level must be at least 0 and below 1, not 1"),
        ({"pyramid": (Level(0.0, 5),)}, "share of a level must be a finite number above 0, not 0"),
        ({"pyramid": (Level(0.5, 0),)}, "number of evaluations of a level must be a whole number of at least 1, not 0"),
        ({"pyramid": (Level(0.5, 5), Level(0.25, 5))}, "levels of a pyramid go from small to large, and not 0.5, 0.25"),
        ({"pyramid": (0.5, 5)}, "a pyramid is a tuple of levels"),
        ({"average_decay": 1.0}, "decay of the average must be at least 0 and below 1, not 1"),
        ({"margin": -1}, "the margin, if there is one, must be a whole number of at least 1 pixel, not -1"),
        ({"size": LongSide(-3)}, "size must be a whole number of at least 1 pixel, not -3"),
        ({"style_size": LongSide(0)}, "size must be a whole number of at least 1 pixel, not 0"),
        ({"style_size": "huge"}, "style size must be one of own, content, equal, not 'huge'"),
        ({"style_scale": 0.2}, "style scale must be from 0.25 to 4, not 0.2"),
        ({"style_scale": 4.5}, "style scale must be from 0.25 to 4, not 4.5"),
        ({"style_scale": math.nan}, "style scale must be from 0.25 to 4, not nan"),
        ({"style_scale": 2.0, "style_size": LongSide(700)}, "has a size of its own and a scale; a recipe has one of the two"),
    ],
)
def test_values_out_of_range_are_refused_by_name(change, sentence):
    with pytest.raises(InputError, match=sentence):
        dataclasses.replace(D2L, **change)


def test_an_unknown_recipe_is_answered_with_the_nearest():
    with pytest.raises(InputError, match="no recipe 'd21'; did you mean 'd2l'"):
        find("d21")


# Reports


@pytest.mark.parametrize(
    ("recipe", "reported"),
    [("d2l", [10, 20, 30]), ("tutorial", [50, 100, 150]), ("wei", [100, 200, 300]), ("lookcc", [1, 11, 21])],
)
def test_a_recipe_reports_at_the_evaluations_at_which_its_source_prints(recipe, reported):
    report = find(recipe).report
    assert [evaluation for evaluation in range(1, 400) if report.due(evaluation)][:3] == reported
