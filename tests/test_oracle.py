"""The oracle itself: by hand, by central differences, by values recorded from torch, and against torch in float64."""

import dataclasses
import itertools
import subprocess
import sys

import numpy as np
import pytest
from conftest import FUNCTIONS, RECORDED, SEARCHES, relative_error, valley
from PIL import Image

from isostyle import losses
from isostyle.conformance.oracle import engine as oracle
from isostyle.conformance.oracle import gaussians, optimizers, pictures
from isostyle.images import arrays
from isostyle.network import COMPACT, VGG16, VGG19, Network
from isostyle.published import D2L, RECIPES
from isostyle.recipe import AdamSettings, LbfgsSettings, StepDecay

# Layers, by hand


def test_convolution_is_cross_correlation_with_zero_padding():
    x = np.array([[[[1.0, 2.0], [3.0, 4.0]]]])
    kernel = np.arange(9.0).reshape(1, 1, 3, 3)
    # Top left: 4*1 + 5*2 + 7*3 + 8*4 = 67, and 0.5 for the bias; a kernel turned by 180 degrees would give 13.5.
    np.testing.assert_array_equal(oracle.convolve(x, kernel, np.array([0.5]))[0, 0], [[67.5, 57.5], [37.5, 27.5]])


def test_a_convolution_that_repeats_the_border_sees_no_edge_in_a_flat_image():
    flat = oracle.convolve(np.ones((1, 1, 3, 3)), np.ones((1, 1, 3, 3)), np.zeros(1), "replicate")
    np.testing.assert_array_equal(flat, np.full((1, 1, 3, 3), 9.0))


def test_convolution_adds_up_input_channels_and_keeps_output_channels_apart():
    x = np.array([1.0, 10.0]).reshape(1, 2, 1, 1)
    kernel = np.zeros((3, 2, 3, 3))
    kernel[:, :, 1, 1] = [[1, 0], [0, 1], [2, 3]]
    np.testing.assert_array_equal(oracle.convolve(x, kernel, np.zeros(3)).ravel(), [1, 10, 32])


def test_convolution_backward_is_the_transpose():
    random = np.random.RandomState(0)
    x, y = random.standard_normal((1, 3, 5, 4)), random.standard_normal((1, 2, 5, 4))
    weight = random.standard_normal((2, 3, 3, 3))
    for padding in ("zeros", "replicate"):
        forward = (oracle.convolve(x, weight, np.zeros(2), padding) * y).sum()
        assert forward == pytest.approx((x * oracle.convolve_backward(y, weight, padding)).sum(), rel=1e-12)


def test_the_oracle_s_distance_of_gaussians_is_core_s():
    """By singular values here, by eigenvalues there."""
    random = np.random.RandomState(4)
    found, target = random.standard_normal((2, 1, 5, 4, 6))
    moments = gaussians.moments(found), gaussians.moments(target)
    loss, gradient = gaussians.distance(*moments)
    np.testing.assert_allclose(moments[0], losses.moments(found), rtol=1e-13)
    assert loss == pytest.approx(losses.wasserstein_loss(*moments), rel=1e-12)
    np.testing.assert_allclose(gradient, losses.wasserstein_loss_gradient(*moments), atol=1e-10)
    np.testing.assert_allclose(gaussians.backward(gradient, found), losses.moments_gradient(found, gradient), atol=1e-13)


def test_relu_has_gradient_zero_at_zero():
    np.testing.assert_array_equal(oracle.relu_backward(np.ones(3), np.array([-1.0, 0.0, 2.0])), [0, 0, 1])


def test_pooling_drops_an_odd_last_column():
    x = np.array([[[[1.0, 5.0, 9.0], [3.0, 2.0, 9.0]]]])
    np.testing.assert_array_equal(oracle.pool(x), [[[[5.0]]]])


def test_pooling_sends_the_gradient_to_the_first_of_equal_maxima():
    x = np.array([[[[1.0, 7.0], [7.0, 7.0]]]])
    np.testing.assert_array_equal(oracle.pool_backward(np.array([[[[2.0]]]]), x), [[[[0.0, 2.0], [0.0, 0.0]]]])


@pytest.mark.parametrize("network", [VGG19, VGG16, COMPACT], ids=lambda network: network.name)
def test_the_oracle_s_order_of_layers_is_that_of_core_s_table(network):
    assert list(oracle.layers(network)) == [(layer.name, layer.kind) for layer in network.layers]


def test_the_oracle_computes_no_layer_beyond_the_deepest_tap(reference, noisy):
    assert list(reference.maps(noisy, ["pool1"]))[-1] == "pool1"


# Gradients


def test_no_decision_of_the_noisy_image_is_close(reference, noisy):
    """Float32 features are right to 5e-7 of their root mean square."""
    assert reference.least_margin(noisy, ["conv5_1"]) > 5e-5


def moved_to_a_close_decision(reference, noisy, distance):
    """One pixel's blue value, moved until a ReLU of the first layer is undecided but for ``distance``."""
    weight = reference.parameters["conv1_1.weight"]
    before = reference.maps(noisy, ["conv1_1"])["conv1_1"][0, 0, 20, 30]
    moved = noisy.copy()
    moved[0, 2, 20, 30] -= (before - distance) / weight[0, 2, 1, 1]
    return moved


def test_a_decision_that_is_made_closer_is_noticed(reference, noisy):
    assert 0 < reference.least_margin(moved_to_a_close_decision(reference, noisy, 1e-9), ["relu1_1"]) < 1e-7


def test_a_turned_decision_gives_the_gradient_of_the_other_side(reference, content, style, noisy):
    """Just above 0 with the decision turned is what just below 0 is: what rounding would do to it."""
    above, below = (moved_to_a_close_decision(reference, noisy, distance) for distance in (1e-9, -1e-9))
    targets = reference.targets(D2L, content, style)
    maps = reference.maps(above, D2L.taps)
    _, gradients = reference.terms(D2L, targets, maps, above)
    index = np.ravel_multi_index((0, 0, 20, 30), maps["conv1_1"].shape)
    turned = reference.backward(D2L, maps, gradients, {"relu1_1": [index]})
    expected = reference.evaluate(D2L, targets, below).gradient
    assert relative_error(turned, expected) < 1e-6
    assert relative_error(reference.backward(D2L, maps, gradients), expected) > 1e-5


def test_a_turned_pooling_window_sends_its_gradient_to_the_second_largest():
    x = np.array([[[[1.0, 7.0], [6.0, 2.0]]]])
    np.testing.assert_array_equal(oracle.pool_backward(np.array([[[[2.0]]]]), x, [0]), [[[[0.0, 0.0], [2.0, 0.0]]]])


def in_space(recipe, image):
    """A normalized image in the recipe's space."""
    return image if recipe.space == "normalized" else image * pictures.STD[:, None, None] + pictures.MEAN[:, None, None]


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=lambda recipe: recipe.name)
def test_gradient_agrees_with_central_differences(reference, content, style, noisy, recipe):
    """Of all terms that move the image: lookcc's content does not."""
    recipe = dataclasses.replace(recipe, content_weight=0.0 if "content" in recipe.without_gradient else recipe.content_weight)
    content, style, noisy = (in_space(recipe, image) for image in (content, style, noisy))
    targets = reference.targets(recipe, content, style)
    gradient = reference.evaluate(recipe, targets, noisy).gradient
    random = np.random.RandomState(2)
    h = 1e-7
    for _ in range(5):
        direction = random.standard_normal(noisy.shape)
        up = reference.evaluate(recipe, targets, noisy + h * direction).terms["total"]
        down = reference.evaluate(recipe, targets, noisy - h * direction).terms["total"]
        assert (up - down) / (2 * h) == pytest.approx((gradient * direction).sum(), rel=1e-5)


def test_gradient_through_every_kind_of_tap_agrees_with_central_differences(reference, content, style, noisy):
    recipe = dataclasses.replace(
        D2L,
        content_layers=(("relu2_2", 1.0), ("pool3", 2.0)),
        style_layers=(("pool1", 1.0), ("relu3_1", 0.5)),
        style_weight=1.0,
    )
    targets = reference.targets(recipe, content, style)
    gradient = reference.evaluate(recipe, targets, noisy).gradient
    direction = np.random.RandomState(3).standard_normal(noisy.shape)
    h = 1e-7
    up, down = (reference.evaluate(recipe, targets, noisy + s * h * direction).terms["total"] for s in (1, -1))
    assert (up - down) / (2 * h) == pytest.approx((gradient * direction).sum(), rel=1e-5)


def test_an_image_in_0_to_1_has_the_terms_of_the_normalized_one(reference, content, style, noisy):
    unit = dataclasses.replace(D2L, space="unit", tv_weight=0.0)
    plain = dataclasses.replace(unit, space="normalized")
    expected = reference.evaluate(plain, reference.targets(plain, content, style), noisy)
    given = [in_space(unit, image) for image in (content, style, noisy)]
    found = reference.evaluate(unit, reference.targets(unit, *given[:2]), given[2])
    assert dict(found.terms) == pytest.approx(dict(expected.terms), rel=1e-12)
    np.testing.assert_allclose(found.gradient, expected.gradient / pictures.STD[:, None, None], rtol=1e-9, atol=1e-12)


def test_a_term_without_gradient_is_counted_and_moves_nothing(reference, content, style, noisy):
    recipes = RECIPES["lookcc"], RECIPES["lookcc-content"]
    targets = reference.targets(recipes[0], content, style)
    without, whole = (reference.evaluate(recipe, targets, noisy) for recipe in recipes)
    assert without.terms == whole.terms
    style_only = dataclasses.replace(recipes[1], content_weight=0.0)
    np.testing.assert_array_equal(without.gradient, reference.evaluate(style_only, targets, noisy).gradient)


def test_average_pooling_by_hand():
    x = np.array([[[[1.0, 7.0, 9.0], [6.0, 2.0, 9.0], [9.0, 9.0, 9.0]]]])
    np.testing.assert_array_equal(oracle.average(x), [[[[4.0]]]])
    np.testing.assert_array_equal(oracle.average_backward(np.array([[[[8.0]]]]), x)[0, 0], [[2, 2, 0], [2, 2, 0], [0, 0, 0]])


def test_the_total_is_the_sum_of_its_terms(reference, content, style, noisy):
    terms = reference.evaluate(D2L, reference.targets(D2L, content, style), noisy).terms
    assert terms["total"] == pytest.approx(sum(value for name, value in terms.items() if name != "total"), rel=1e-15)
    assert list(terms)[-1] == "total"


def test_terms_and_gradient_agree_with_torch_s_own_functions_and_autograd(reference, parameters, content, style, noisy):
    """torch in float64, written out here once more, with torch's convolution, pooling, losses and gradient."""
    torch = pytest.importorskip("torch", reason="torch is not installed: pip install 'isostyle[torch]'")
    functional = torch.nn.functional

    def maps(image):
        found, x = {}, image
        for name, kind in oracle.layers(reference.network):
            if kind == "conv":
                weight, bias = (torch.tensor(parameters[f"{name}.{part}"], dtype=torch.float64) for part in ("weight", "bias"))
                x = functional.conv2d(x, weight, bias, padding=1)
            else:
                x = functional.relu(x) if kind == "relu" else functional.max_pool2d(x, 2)
            found[name] = x
        return found

    def gram(feature):
        matrix = feature.flatten(2)[0]
        return matrix @ matrix.T / feature.numel()

    image = torch.tensor(noisy, requires_grad=True)
    mine, contents, styles = maps(image), maps(torch.tensor(content)), maps(torch.tensor(style))
    terms = {f"content/{tap}": functional.mse_loss(mine[tap], contents[tap]) for tap, _ in D2L.content_layers}
    terms |= {f"style/{tap}": 1e4 * functional.mse_loss(gram(mine[tap]), gram(styles[tap])) for tap, _ in D2L.style_layers}
    terms["tv"] = 5 * (image.diff(dim=2).abs().mean() + image.diff(dim=3).abs().mean())
    terms["total"] = sum(terms.values())
    terms["total"].backward()
    found = reference.evaluate(D2L, reference.targets(D2L, content, style), noisy)
    assert {name: float(value.detach()) for name, value in terms.items()} == pytest.approx(dict(found.terms), rel=1e-13)
    assert relative_error(image.grad.numpy(), found.gradient) < 1e-14


# Optimizers


def test_adam_with_decay_is_what_torch_computed():
    given = iter(np.array(RECORDED["gradients"]))
    iterates = optimizers.adam(lambda x: (0.0, next(given)), np.zeros(3), AdamSettings(0.3), StepDecay(4, 0.8))
    np.testing.assert_allclose(list(itertools.islice(iterates, 10)), RECORDED["adam"], rtol=1e-13)


@pytest.mark.parametrize("history", [3, 100])
def test_lbfgs_takes_the_steps_that_torch_took(history):
    expected = RECORDED["lbfgs"][str(history)]
    iterates = optimizers.lbfgs(valley, np.array(RECORDED["start"]), rate=0.5, history=history)
    np.testing.assert_allclose(list(itertools.islice(iterates, len(expected) - 1)), expected[1:], rtol=1e-10)


def test_clamped_lbfgs_is_the_published_loop_of_the_tutorial():
    """torch.optim.LBFGS with a closure that clamps its parameter in place; scripts/record_optimizers.py asked torch."""
    expected = RECORDED["clamped lbfgs"]
    iterates = optimizers.lbfgs(valley, np.array(RECORDED["start"]), rate=0.5, clamped=True)
    np.testing.assert_allclose(list(itertools.islice(iterates, len(expected) - 1)), expected[1:], rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("run", SEARCHES)
def test_lbfgs_with_a_line_search_looks_where_torch_looked(run):
    looked = []

    def evaluate(x):
        looked.append(x)
        return FUNCTIONS[run["function"]](x)

    settings = LbfgsSettings(run["rate"], run["iterations"], run["history"], 0, 0, "strong-wolfe")
    walk = optimizers.lbfgs_with_line_search(evaluate, np.array(run["start"]), settings, len(run["points"]) - 1)
    np.testing.assert_allclose([*looked, walk.image], run["points"], rtol=1e-9, atol=1e-10)


def test_a_line_search_that_is_told_its_scale_first_moves_by_the_gradient_times_it():
    looked = []
    settings = LbfgsSettings(line_search="strong-wolfe")
    start = np.array(RECORDED["start"])
    optimizers.lbfgs_with_line_search(lambda x: looked.append(x) or valley(x), start, settings, 2, known=0.25)
    np.testing.assert_allclose(looked[1], start - 0.25 * valley(start)[1])


def mean_of_squares(x):
    """The least is at 2."""
    return ((x - 2) ** 2).mean(), 2 * (x - 2) / x.size


def test_a_pyramid_goes_on_from_the_picture_before_with_the_inverse_hessian_of_the_larger_one():
    """Of a mean of n squares that is n / 2 times the identity: one move leads to the minimum, at the second level, too."""

    def further(x):
        value, gradient = mean_of_squares(x - 1)
        return value, gradient

    settings = LbfgsSettings(line_search="strong-wolfe", tolerance_change=0)
    stages = [optimizers.Stage(mean_of_squares, 4, 2, 4), optimizers.Stage(further, 2, 4, 8)]
    walk = optimizers.climb(stages, np.zeros((1, 3, 2, 4)), settings)
    assert walk.image.shape == (1, 3, 4, 8)
    np.testing.assert_allclose(walk.image, 3, rtol=1e-6)
    assert walk.scale == pytest.approx(3 * 4 * 8 / 2)
    assert len(walk.steps) == len(walk.trials) == 4 + 2 + 1
    assert walk.steps == sorted(walk.steps)


def test_an_enlarged_image_by_hand():
    """Twice as wide: a quarter of one neighbor and three of the other, and at the edges the pixel itself; in float32."""
    found = pictures.enlarge(np.array([[0.1, 0.2, 0.4]]).reshape(1, 1, 1, 3), 1, 6)
    expected = np.array([0.1, 0.125, 0.175, 0.25, 0.35, 0.4])
    np.testing.assert_allclose(found.ravel(), expected, rtol=1e-7)
    np.testing.assert_array_equal(found, found.astype(np.float32))


def test_an_image_is_enlarged_as_pillow_does_it_bit_by_bit():
    image = np.random.RandomState(0).standard_normal((1, 3, 24, 32))
    np.testing.assert_array_equal(pictures.enlarge(image, 48, 64), arrays.resize_array(image, 48, 64).astype(np.float32))


@pytest.mark.parametrize(("update", "rate"), [(1, 0.3), (4, 0.3), (5, 0.24), (8, 0.24), (9, 0.192)])
def test_the_learning_rate_decays_after_every_fourth_update(update, rate):
    assert optimizers.learning_rate(AdamSettings(0.3), StepDecay(4, 0.8), update) == pytest.approx(rate, rel=1e-15)


# Pictures


def test_normalized_black_and_white_by_hand():
    pixels = np.array([[[0, 0, 0], [255, 255, 255]]], dtype=np.uint8)
    found = pictures.normalize(pixels)
    assert found.shape == (1, 3, 1, 2)
    np.testing.assert_allclose(found[0, :, 0, 0], [-0.485 / 0.229, -0.456 / 0.224, -0.406 / 0.225])
    np.testing.assert_allclose(found[0, :, 0, 1], [0.515 / 0.229, 0.544 / 0.224, 0.594 / 0.225])


def test_denormalizing_clips_and_rounds_to_the_nearest():
    values = (np.array([-1.0, 0.4 / 255, 0.6 / 255, 254.6 / 255, 2.0])[:, None] - pictures.MEAN) / pictures.STD
    np.testing.assert_array_equal(pictures.denormalize(values.T.reshape(1, 3, 1, 5))[0, :, 0], [0, 0, 1, 255, 255])


def test_halving_a_row_weighs_four_pixels_by_a_triangle():
    """Pixel 1 of 3, center at 3: pixels 1 to 4 at distances 1.5, .5, .5, 1.5 of 2, so weights 1, 3, 3, 1."""
    row = np.array([0, 8, 0, 16, 0, 0], dtype=np.uint8)
    found = pictures.resize(np.repeat(row[None, :, None], 3, axis=2), 1, 3)
    np.testing.assert_allclose(found[0, 1], (8 + 3 * 16) / 8)


@pytest.mark.parametrize("size", [(5, 7), (23, 11), (40, 60)])
def test_resizing_agrees_with_pillow(size):
    pixels = np.random.RandomState(0).randint(0, 256, (20, 30, 3)).astype(np.uint8)
    expected = np.asarray(arrays.resize(Image.fromarray(pixels), *size)).astype(float)
    # Pillow rounds twice, by half a step each.
    assert np.abs(pictures.resize(pixels, *size) - expected).max() < 1.25


# What it is not made of


def test_the_oracle_imports_neither_core_s_optimizers_nor_a_backend():
    code = "import isostyle.conformance.oracle.backend, sys; print(*sorted(name for name in sys.modules if 'isostyle' in name))"
    names = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "isostyle.losses" in names
    assert not {"isostyle.optim", "isostyle.backends", "isostyle.transfer", "isostyle.images.arrays"} & set(names)


def test_a_narrow_network_has_as_many_maps_as_layers(reference, noisy):
    deepest = reference.network.layers[-1].name
    assert isinstance(reference.network, Network)
    assert len(reference.maps(noisy, [deepest])) == len(reference.network.layers) + 1
