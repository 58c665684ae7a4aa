"""Tiles: their geometry, and that a picture in tiles has the whole picture's targets, losses and gradient, on each backend."""

import dataclasses
import functools
import math

import numpy as np
import pytest
from conftest import EPS, obtain, relative_error
from hypothesis import given, settings
from hypothesis import strategies as st

from isostyle import losses, tiles
from isostyle.conformance.cases import EVERY_KIND_OF_TAP, SHALLOW, SHALLOW_HELD, SHALLOW_RELATIVE, SHALLOW_SUMS
from isostyle.network import COMPACT, VGG19
from isostyle.published import D2L, RECIPES
from isostyle.tiles import TiledEngine
from isostyle.transfer.descent import run

#: Of a gradient in float64, relative L2: the same numbers are added up, in another order.
GRADIENT_EPS = 64
TERM_EPS = 64
#: Larger than a tile with the halo of conv5_1 on both sides, 16 + 2 * 80, and odd.
SHAPE, STYLE_SHAPE = (1, 3, 195, 219), (1, 3, 131, 170)
RECIPES_IN_TILES = {
    "crowsonkb, Wasserstein distances": (RECIPES["crowsonkb"], 48),
    "d2l": (D2L, 16),
    "tutorial, unit space": (RECIPES["tutorial"], 48),
    "gatys2016, average pooling": (RECIPES["gatys2016"], 64),
    "lookcc, content without gradient": (RECIPES["lookcc"], 100),
    "every kind of tap": (EVERY_KIND_OF_TAP, 64),
    "shallow": (SHALLOW, 50),
    "shallow sums": (SHALLOW_SUMS, 37),
    "shallow, held": (SHALLOW_HELD, 128),
    "shallow, relative": (SHALLOW_RELATIVE, 37),
}
TAPS = st.sampled_from([layer.name for layer in VGG19.layers])


@pytest.fixture(scope="module")
def pictures():
    """content, style and image; the style's statistics are far from the image's, so that their difference does not cancel."""
    random = np.random.RandomState(5)
    smooth = np.cumsum(random.standard_normal(STYLE_SHAPE), axis=3) / 4
    return random.standard_normal(SHAPE), smooth, random.standard_normal(SHAPE) * 1.5


def evaluated(engine, recipe, pictures):
    content, style, image = pictures
    targets = engine.targets(recipe, content, style)
    evaluation = engine.objective(recipe, targets)(engine.tensor(image))
    terms = {name: float(value) for name, value in evaluation.terms.items()}
    return targets, terms, engine.array(evaluation.gradient)


def same_numbers(found, expected):
    for targets, others in ((found[0].content, expected[0].content), (found[0].style, expected[0].style)):
        for tap, array in others.items():
            assert relative_error(targets[tap], array) < TERM_EPS * EPS["float64"], tap
    assert list(found[1]) == list(expected[1])
    for name, value in expected[1].items():
        assert found[1][name] == pytest.approx(value, rel=TERM_EPS * EPS["float64"], abs=0), name
    assert relative_error(found[2], expected[2]) < GRADIENT_EPS * EPS["float64"]


@pytest.fixture(scope="module")
def whole_pictures(reference, pictures):
    """What the oracle finds of a recipe, once for all backends."""
    return functools.cache(lambda recipe: evaluated(reference, recipe, pictures))


# Geometry


def test_the_radius_is_the_sum_of_all_convolutions_reach():
    """conv5_1: two convolutions in the image, two at half its size, four at a quarter, four at an eighth, one at a 16th."""
    assert tiles.radius_of(VGG19, ["conv5_1"]) == 2 * 1 + 2 * 2 + 4 * 4 + 4 * 8 + 1 * 16 == 70
    assert tiles.grid_of(VGG19, ["conv5_1"]) == 16
    assert tiles.halo_of(VGG19, ["conv5_1"]) == 80


def test_the_deepest_tap_decides():
    assert tiles.halo_of(COMPACT, ["conv1_1", "conv3_1", "relu2_1"]) == tiles.halo_of(COMPACT, ["conv3_1"]) == 12


@given(
    length=st.integers(1, 700), tile=st.integers(1, 800), grid=st.sampled_from([1, 2, 4, 8, 16, 32]), cells=st.integers(0, 8)
)
def test_windows_of_an_axis_make_it_up_on_the_grid(length, tile, grid, cells):
    found = tiles.spans(length, tile, grid, halo := cells * grid)
    assert [found[0].begin, *(span.end for span in found)] == [*(span.begin for span in found), length]
    most = math.ceil(tile / grid) * grid
    for span in found:
        assert span.begin % grid == span.first % grid == 0
        assert 0 <= span.first <= max(0, span.begin - halo)
        assert length >= span.last >= min(length, span.end + halo)
        assert span.last == length or span.last % grid == 0
        # The last one has the rest, too.
        assert 0 < span.end - span.begin <= most + (grid - 1 if span.end == length else 0)
    # As few shapes as can be, and none larger than a window in the middle.
    assert len({span.last - span.first for span in found}) <= 2
    assert all(span.last - span.first <= most + 2 * halo + grid - 1 for span in found)


@given(size=st.tuples(st.integers(32, 300), st.integers(32, 300)), tile=st.integers(1, 400), tap=TAPS)
@settings(deadline=None)
def test_windows_make_up_the_map_of_every_layer_once(size, tile, tap):
    """Odd sizes, too: a pool drops the last row of the picture, and of the last window, but of no other."""
    for layer in VGG19.cut([tap]):
        whole = np.zeros((1, 1, size[0] >> layer.halvings, size[1] >> layer.halvings), int)
        for window in tiles.windows(*size, VGG19, [tap], tile):
            crop = whole[window.crop_of(layer.halvings)]
            assert crop.shape[2:] == tuple(side >> layer.halvings for side in window.shape)
            crop[window.core_of(layer.halvings)] += 1
        assert (whole == 1).all(), layer.name


def test_a_tile_as_large_as_the_picture_is_one_window_without_halo():
    (window,) = tiles.windows(45, 51, VGG19, ["conv5_1"], 64)
    assert (window.shape, window.has_halo) == ((45, 51), False)


# The numbers


@pytest.mark.parametrize(("recipe", "tile"), RECIPES_IN_TILES.values(), ids=RECIPES_IN_TILES)
def test_the_oracle_in_tiles_finds_what_it_finds_as_a_whole(reference, network, pictures, whole_pictures, recipe, tile):
    same_numbers(evaluated(TiledEngine(reference, network, tile), recipe, pictures), whole_pictures(recipe))


@pytest.mark.parametrize(("recipe", "tile"), RECIPES_IN_TILES.values(), ids=RECIPES_IN_TILES)
def test_a_backend_in_tiles_finds_what_the_oracle_finds_as_a_whole(
    backend, network, parameters, pictures, whole_pictures, recipe, tile
):
    """Held to the oracle: torch's and Paddle's own Gram matrices of whole maps are up to 160 eps off, for MKL adds up all
    pixels one after another; sums of tiles are not."""
    engine = backend.prepare(network, parameters, device="cpu", dtype="float64")
    same_numbers(evaluated(TiledEngine(engine, network, tile), recipe, pictures), whole_pictures(recipe))


@pytest.mark.parametrize("recipe", [SHALLOW, SHALLOW_HELD, D2L], ids=lambda recipe: recipe.name)
def test_a_backend_in_tiles_finds_what_it_finds_as_a_whole(backend, network, parameters, pictures, recipe):
    engine = backend.prepare(network, parameters, device="cpu", dtype="float64")
    whole, tiled = (evaluated(each, recipe, pictures) for each in (engine, TiledEngine(engine, network, 64)))
    same_numbers(tiled, whole)


def test_a_halo_one_step_of_the_grid_smaller_is_not_enough(backend, network, parameters, pictures, monkeypatch):
    engine = backend.prepare(network, parameters, device="cpu", dtype="float64")
    _, _, gradient = evaluated(engine, SHALLOW, pictures)
    enough = tiles.halo_of
    monkeypatch.setattr(tiles, "halo_of", lambda network, taps: enough(network, taps) - tiles.grid_of(network, taps))
    _, _, tiled_gradient = evaluated(TiledEngine(engine, network, 32), SHALLOW, pictures)
    assert relative_error(tiled_gradient, gradient) > 1e6 * EPS["float64"]


def test_the_maps_of_a_picture_of_one_tile_are_computed_once(any_backend, network, parameters, pictures):
    engine = obtain(any_backend).prepare(network, parameters, device="cpu", dtype="float64")
    tiled = TiledEngine(engine, network, 512)
    content, style, image = pictures
    objective = tiled.objective(SHALLOW, tiled.targets(SHALLOW, content, style))
    asked = []
    vjp = engine.vjp
    engine.vjp = lambda *given: asked.append(given) or vjp(*given)
    objective(tiled.tensor(image))
    assert len(asked) == 1


def test_float32_in_tiles_is_float32(backend, network, parameters, pictures):
    engine = TiledEngine(backend.prepare(network, parameters, device="cpu", dtype="float32"), network, 64)
    targets, _, gradient = evaluated(engine, SHALLOW, pictures)
    assert {array.dtype.name for array in (*targets.content.values(), *targets.style.values(), gradient)} == {"float32"}


def test_an_image_that_is_evaluated_in_tiles_is_not_changed(backend, network, parameters, pictures):
    engine = TiledEngine(backend.prepare(network, parameters, device="cpu", dtype="float64"), network, 64)
    content, style, image = pictures
    tensor = engine.tensor(image)
    engine.objective(SHALLOW, engine.targets(SHALLOW, content, style))(tensor)
    np.testing.assert_array_equal(engine.array(tensor), image)


def test_a_run_in_tiles_makes_the_same_pictures(backend, network, parameters, pictures):
    """To 1e-8 of the learning rate, as for ten steps in docs/numerics.md."""
    content, style, start = pictures
    recipe = dataclasses.replace(SHALLOW, steps=3)
    engine = backend.prepare(network, parameters, device="cpu", dtype="float64")
    found = {}
    for name, each in (("whole", engine), ("tiled", TiledEngine(engine, network, 64))):
        events = list(run(each, recipe, each.targets(recipe, content, style), start))
        found[name] = [event.image() for event in events]
    for whole, tiled in zip(found["whole"], found["tiled"], strict=True):
        assert np.abs(whole - tiled).max() < 1e-8 * 0.3


# The vector-Jacobian product of a backend


def test_vjp_returns_the_features_and_their_vector_jacobian_product(backend, network, parameters, reference, noisy, dtype):
    engine = backend.prepare(network, parameters, device="cpu", dtype=dtype)
    recipe = dataclasses.replace(D2L, space="unit")
    taps = (("conv1_1", 1.0), ("relu2_1", 1.0), ("conv2_2", 1.0), ("pool2", 1.0))
    maps, vjp = engine.vjp(recipe, engine.tensor(noisy), taps)
    expected, expected_vjp = reference.vjp(recipe, noisy, taps)
    random = np.random.RandomState(1)
    cotangents = {tap: random.standard_normal(x.shape).astype(np.float32).astype(np.float64) for tap, x in expected.items()}
    for tap, x in expected.items():
        assert relative_error(engine.array(maps[tap]), x) < 64 * EPS[dtype]
    found = vjp({tap: engine.tensor(cotangent) for tap, cotangent in cotangents.items()})
    assert relative_error(engine.array(found), expected_vjp(cotangents)) < GRADIENT_EPS * EPS[dtype]


def test_a_cotangent_of_one_tap_goes_back_alone(backend, network, parameters, reference, noisy):
    engine = backend.prepare(network, parameters, device="cpu", dtype="float64")
    taps = (("conv1_1", 1.0), ("conv2_2", 1.0))
    _, vjp = engine.vjp(D2L, engine.tensor(noisy), taps)
    expected, expected_vjp = reference.vjp(D2L, noisy, taps)
    cotangent = np.random.RandomState(1).standard_normal(expected["conv1_1"].shape)
    found = vjp({"conv1_1": engine.tensor(cotangent)})
    assert relative_error(engine.array(found), expected_vjp({"conv1_1": cotangent})) < GRADIENT_EPS * EPS["float64"]


# Total variation


@pytest.mark.parametrize("height", [2, 63, 64, 65, 129])
def test_total_variation_by_strips_has_no_seam(height):
    image = np.random.RandomState(height).standard_normal((1, 3, height, 7))
    gradient = np.zeros_like(image)
    assert tiles.total_variation(image, gradient, 2.5) == pytest.approx(losses.tv_loss(image), rel=1e-14)
    np.testing.assert_allclose(gradient, 2.5 * losses.tv_loss_gradient(image), rtol=0, atol=1e-17)
