"""How large each picture is made: by numbers, without a framework."""

import dataclasses

import numpy as np
import pytest
from PIL import Image

import isostyle
from isostyle.network import COMPACT
from isostyle.published import D2L, find
from isostyle.sizes import LongSide
from isostyle.transfer import plan


def test_a_kept_aspect_is_not_warned_of(photograph):
    settings = dataclasses.replace(D2L, size=LongSide(100))
    pictures = {"content": photograph, "style": Image.new("RGB", (2000, 330))}
    assert plan.changed_aspects(pictures, plan.plan(pictures, settings, COMPACT)) == []


def sizes(settings, **pictures):
    return {role: planned.final for role, planned in plan.plan(pictures, settings, COMPACT).items()}


WIDE, TALL = Image.new("RGB", (90, 60)), Image.new("RGB", (50, 80))


@pytest.mark.parametrize(
    ("recipe", "content", "style"),
    [
        ("d2l", (300, 450), (300, 450)),
        ("isostyle", (341, 512), (512, 320)),
        ("wei", (90, 135), (90, 135)),
        ("lookcc", (60, 90), (80, 50)),
        ("gatys2016", (60, 90), (60, 90)),
        ("tutorial-square", (512, 512), (512, 512)),
    ],
)
def test_each_recipe_s_sizes(recipe, content, style):
    """Of a content image of 60x90 and a style image of 80x50, height x width; wei's 400 is cut to the longer side, 90."""
    assert sizes(find(recipe), content=WIDE, style=TALL) == {"content": content, "style": style}


@pytest.mark.parametrize(
    ("recipe", "style"),
    [
        ("d2l", (600, 900)),
        ("isostyle", (1024, 640)),
        ("wei", (180, 270)),
        ("lookcc", (160, 100)),
        ("gatys2016", (120, 180)),
        ("tutorial-square", (1024, 1024)),
    ],
)
def test_a_style_scale_multiplies_each_recipe_s_size_of_the_style_image_alone(recipe, style):
    content = sizes(find(recipe), content=WIDE, style=TALL)["content"]
    scaled = dataclasses.replace(find(recipe), style_scale=2)
    assert sizes(scaled, content=WIDE, style=TALL) == {"content": content, "style": style}


@pytest.mark.parametrize("recipe", ["d2l", "isostyle", "wei", "tutorial"])
def test_a_style_image_with_a_rule_of_its_own_follows_no_other(recipe):
    own = dataclasses.replace(find(recipe), style_size=LongSide(700))
    assert sizes(own, content=WIDE, style=TALL)["style"] == (700, 438)


def test_a_recipe_of_two_images_of_one_size_asks_for_that_before_the_style_image_is_scaled():
    scaled = dataclasses.replace(find("tutorial"), style_scale=0.5)
    assert sizes(scaled, content=WIDE, style=WIDE) == {"content": (128, 192), "style": (64, 96)}
    with pytest.raises(isostyle.InputError, match="128x192 and 204x128; the recipe tutorial-square crops both"):
        sizes(scaled, content=WIDE, style=TALL)


@pytest.mark.parametrize("change", [{"style_scale": 0.25}, {"style_size": LongSide(12)}], ids=["scaled", "of its own"])
def test_a_style_image_that_becomes_too_small_is_refused(change):
    recipe = dataclasses.replace(find("isostyle"), size=LongSide(48), **change)
    with pytest.raises(isostyle.InputError, match="the style image would be resized to 12x8 pixels .*; relu5_1 needs at least"):
        sizes(recipe, content=WIDE, style=TALL)


def test_a_style_image_is_scaled_at_each_level_of_a_pyramid():
    recipe = dataclasses.replace(find("isostyle"), style_scale=2)
    at_half = plan.plan({"content": WIDE, "style": TALL}, recipe, COMPACT, share=0.5)
    assert (at_half["content"].final, at_half["style"].final) == ((170, 256), (512, 320))


def test_a_painting_that_is_enlarged_for_its_strokes_has_no_more_detail_and_that_is_said():
    def said(**change):
        recipe = dataclasses.replace(D2L, **change)
        return plan.enlarged(TALL, plan.plan({"content": WIDE, "style": TALL}, recipe, COMPACT)["style"], recipe)

    assert said(style_size=LongSide(160)) == [
        "style 80x50 enlarged to 160x100 (height x width): it has no more detail than its 80x50 pixels"
    ]
    assert said(style_scale=2)
    assert said(style_size=LongSide(64)) == []
    # As ever: nobody has asked for a size.
    assert said() == []


def test_pictures_that_are_squeezed_to_two_sizes_are_said_in_one_line():
    recipe, pictures = dataclasses.replace(D2L, style_scale=2), {"content": TALL, "style": TALL}
    assert plan.changed_aspects(pictures, plan.plan(pictures, recipe, COMPACT)) == [
        "aspect changed: content 80x50 squeezed to 300x450 and style 80x50 squeezed to 600x900 (height x width)"
    ]


def test_the_tutorial_refuses_pictures_of_unequal_size_and_names_the_recipe_that_crops_them():
    with pytest.raises(isostyle.InputError, match="128x192 and 204x128; the recipe tutorial-square crops both"):
        sizes(find("tutorial"), content=WIDE, style=TALL)


def margins(side, share=1.0):
    recipe = dataclasses.replace(find("isostyle"), size=LongSide(side))
    pictures = {"content": Image.new("RGB", (800, 400)), "style": Image.new("RGB", (400, 400))}
    planned = plan.plan(pictures, recipe, COMPACT, share=share)
    return [(planned[role].margin, planned[role].canvas) for role in ("content", "style")]


def test_a_margin_adds_to_every_side_of_both_pictures():
    assert margins(512) == [(16, (288, 544)), (16, (544, 544))]


def test_a_coarse_level_has_its_share_of_the_margin():
    assert margins(512, 0.5) == [(8, (144, 272)), (8, (272, 272))]


def test_a_small_picture_has_a_margin_of_an_eighth():
    assert margins(64) == [(4, (40, 72)), (8, (80, 80))]


def test_a_square_is_cut_out_of_the_middle():
    picture = Image.fromarray(np.arange(60 * 90 * 3, dtype=np.uint32).reshape(60, 90, 3).astype(np.uint8))
    cut = plan.fit(picture, plan.Resizing((60, 90), (60, 60)))
    np.testing.assert_array_equal(np.asarray(cut), np.asarray(picture)[:, 15:75])
