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
