"""Style networks: the oracle by hand and by central differences, every backend against it, and training, step by step."""

import dataclasses
import math
import subprocess
import sys

import numpy as np
import pytest
from conftest import EPS, relative_error
from style_files import RESIDUAL

from isostyle.conformance import condition
from isostyle.conformance.inputs import STYLE, shipped_inputs
from isostyle.conformance.make_inputs import style_parameters
from isostyle.conformance.oracle import transform as oracle_transform
from isostyle.conformance.oracle.engine import OracleEngine
from isostyle.conformance.oracle.transform import OracleTransform
from isostyle.errors import InputError
from isostyle.published import D2L
from isostyle.recipe import AdamSettings, Constant, StepDecay
from isostyle.style_networks.trainer import NonFiniteTraining, Trainer, TrainingRecipe, first_parameters
from isostyle.transform_network import JOHNSON, NARROW, TransformNetwork, is_own, mixed

#: Sides that leave 1, 2, 3 and 0 over 4, and the least.
SIZES = [(5, 5), (6, 7), (16, 19), (21, 18)]
#: In learning rates, root mean square by parameter. The parameters' own rounding is 1e-4 of one in float32; no decision is
#: close here, so that none is turned.
STEP_BOUND = {"float32": 0.01, "float64": 1e-9}


@pytest.fixture(scope="module")
def parameters():
    """Of a small network, every one of them unlike what it would be if it were left out."""
    return style_parameters(np.random.RandomState(1))


@pytest.fixture(scope="module")
def exact(parameters):
    return {name: array.astype(np.float64) for name, array in parameters.items()}


@pytest.fixture(scope="module")
def oracle():
    return OracleTransform(STYLE)


def pair(size, seed=0):
    """A noise image, on which no channel is flat, and a cotangent of its size."""
    random = np.random.RandomState(seed)
    return tuple(random.standard_normal((1, 3, *size)).astype(np.float32).astype(np.float64) for _ in range(2))


def tensors(transform, arrays):
    return {name: transform.tensor(array) for name, array in arrays.items()}


# The oracle, by hand


@pytest.mark.parametrize("network", [JOHNSON, NARROW, RESIDUAL], ids=["paper", "narrow", "residual"])
def test_the_oracle_s_stages_are_those_of_core_s_table(network):
    steps = oracle_transform.steps(network.blocks, network.skips, network.residual)
    names = oracle_transform.Step._fields
    assert [tuple(step) for step in steps] == [tuple(getattr(stage, name) for name in names) for stage in network.stages]


def test_reflection_does_not_repeat_the_border_pixel():
    assert oracle_transform.reflected(4, 2).tolist() == [2, 1, 0, 1, 2, 3, 2, 1]
    assert oracle_transform.reflected(5, 4).tolist() == [4, 3, 2, 1, 0, 1, 2, 3, 4, 3, 2, 1, 0]
    assert oracle_transform.reflected(2, 1).tolist() == [1, 0, 1, 0]


def test_enlarging_repeats_each_pixel_and_drops_an_odd_last_one():
    assert oracle_transform.enlarged(5).tolist() == [0, 0, 1, 1, 2]


def test_a_pixel_that_was_repeated_gets_the_sum_of_its_copies_gradients():
    cotangent = np.arange(1.0, 7.0).reshape(1, 1, 1, 6)
    found = oracle_transform.taken_backward(cotangent, np.arange(1), np.array([1, 0, 0, 1, 2, 1]), (1, 1, 1, 3))
    assert found.ravel().tolist() == [2 + 3, 1 + 4 + 6, 5]


def test_a_stride_of_two_begins_with_the_first_window():
    x = np.arange(25.0).reshape(1, 1, 5, 5)
    kernel = np.zeros((1, 1, 3, 3))
    kernel[0, 0, 0, 0] = 1
    assert oracle_transform.convolve(x, kernel, 2)[0, 0].tolist() == [[0, 2], [10, 12]]


@pytest.mark.parametrize("stride", [1, 2])
def test_both_transposes_of_a_convolution(stride):
    random = np.random.RandomState(0)
    x, weight = random.standard_normal((1, 3, 8, 7)), random.standard_normal((4, 3, 3, 3))
    y = oracle_transform.convolve(x, weight, stride)
    cotangent = random.standard_normal(y.shape)
    expected = pytest.approx((y * cotangent).sum(), rel=1e-12)
    assert (x * oracle_transform.convolve_backward(cotangent, weight, stride, x.shape)).sum() == expected
    assert (weight * oracle_transform.convolve_weight_backward(cotangent, x, 3, stride)).sum() == expected


def test_instance_normalization_by_hand():
    """Mean 2, and the variance of the population, 5 / 4: not 5 / 3."""
    found, root = oracle_transform.standardized(np.array([0.5, 1.5, 2.5, 3.5]).reshape(1, 1, 2, 2))
    assert root.item() == math.sqrt(5 / 4 + 2**-17)
    assert found.ravel().tolist() == pytest.approx(
        [-1.5 / root.item(), -0.5 / root.item(), 0.5 / root.item(), 1.5 / root.item()]
    )


@pytest.mark.parametrize("spread", [1.0, 2e-3], ids=["usual", "as small as epsilon's root"])
def test_the_gradient_of_instance_normalization_agrees_with_central_differences(spread):
    random = np.random.RandomState(3)
    x, cotangent, direction = (random.standard_normal((1, 2, 3, 4)) for _ in range(3))
    x = x * spread
    h = 1e-6 * spread
    up, down = ((oracle_transform.standardized(x + sign * h * direction)[0] * cotangent).sum() for sign in (1, -1))
    found = oracle_transform.standardized_backward(cotangent, *oracle_transform.standardized(x))
    assert (up - down) / (2 * h) == pytest.approx((found * direction).sum(), rel=1e-7)


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_the_gradient_of_every_parameter_agrees_with_central_differences(oracle, exact, size):
    image, cotangent = pair(size)
    transformed, vjp = oracle.vjp(exact, image)
    gradient = vjp(cotangent)
    assert transformed.shape == image.shape
    random = np.random.RandomState(5)
    h = 1e-6
    for name, array in exact.items():
        direction = random.standard_normal(array.shape)
        up, down = ((oracle.apply({**exact, name: array + sign * h * direction}, image) * cotangent).sum() for sign in (1, -1))
        expected = (gradient[name] * direction).sum()
        assert (up - down) / (2 * h) == pytest.approx(expected, rel=1e-5, abs=1e-6), name


def test_the_derivative_of_a_style_network_s_relu_at_0_is_0(oracle, exact):
    """A scale and a shift of 0 make every input of the first ReLU 0."""
    image, cotangent = pair((6, 7))
    still = {**exact, "down1.scale": np.zeros(4), "down1.shift": np.zeros(4)}
    _, vjp = oracle.vjp(still, image)
    np.testing.assert_array_equal(vjp(cotangent)["down1.shift"], 0)


def test_the_oracle_of_style_networks_imports_neither_training_nor_optimizers():
    code = "import isostyle.conformance.oracle.transform, sys; print(*(name for name in sys.modules if 'isostyle' in name))"
    names = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"isostyle.style_networks.trainer", "isostyle.optim", "isostyle.backends"} & set(names)


# How much rounding is magnified


def test_a_nearly_flat_picture_magnifies_rounding(oracle, exact):
    """Its channels vary by a hundredth of what they are."""
    image, _ = pair((16, 19))
    usual, flat = (
        condition.conditions(condition.transformed(oracle, exact, picture))["image~condition"]
        for picture in (image, 1 + image / 100)
    )
    assert flat > 10 * usual


def test_a_close_decision_of_a_style_network_is_noticed_and_turned(oracle, exact):
    """Just above 0 with the decision turned is what just below 0 is."""
    image, cotangent = pair((16, 19), seed=2)
    before = oracle.maps(exact, image)["down1/sum"][0, 0, 7, 5]

    def moved(distance):
        shift = exact["down1.shift"].copy()
        shift[0] += distance - before
        return {**exact, "down1.shift": shift}

    above, below = moved(1e-9), moved(-1e-9)
    maps = oracle.maps(above, image)
    index = np.ravel_multi_index((0, 0, 7, 5), maps["down1/sum"].shape)
    turned = oracle.backward(above, maps, cotangent, {"down1": [index]})["down1.shift"]
    expected = oracle.backward(below, oracle.maps(below, image), cotangent)["down1.shift"]
    assert relative_error(turned, expected) < 1e-6
    found = condition.conditions(condition.taken_back(oracle, above, image, cotangent))
    assert found["~close"] == 1
    assert found["down1.shift~turned"] == pytest.approx(
        relative_error(expected, oracle.backward(above, maps, cotangent)["down1.shift"]), rel=1e-6
    )


def test_total_variation_with_a_turned_decision_has_the_other_sign():
    image = np.array([[1.0, 3.0], [2.0, 7.0]]).reshape(1, 1, 2, 2)
    # Down: 1 and 4, a mean of 2. The derivative of |x| for the first turns from 1 to -1, half of the mean's, of a weight of 8.
    found = condition.turned_variation(image, 8.0, {"tv/2": [0]})
    assert found[0, 0].tolist() == [[4.0, 0.0], [-4.0, 0.0]]


# Backends


@pytest.fixture
def transform(backend, dtype):
    return backend.transform(STYLE, device="cpu", dtype=dtype)


@pytest.fixture
def style_transform(style_backend, dtype):
    return style_backend.transform(STYLE, device="cpu", dtype=dtype)


def test_the_output_has_the_input_s_size_whatever_it_is(style_backend, parameters):
    transform = style_backend.transform(STYLE, device="cpu", dtype="float32")
    mine = tensors(transform, parameters)
    for size in [(5, 5), (5, 9), (8, 6), (7, 13), *((height, 29 - height) for height in range(5, 25)), (24, 25)]:
        found = transform.array(transform.apply(mine, transform.tensor(pair(size)[0])))
        assert found.shape == (1, 3, *size)
        assert np.isfinite(found).all()


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_the_transformed_image_and_the_gradient_agree_with_the_oracle(transform, dtype, parameters, exact, oracle, size):
    image, cotangent = pair(size)
    mine = tensors(transform, parameters)
    found, vjp = transform.vjp(mine, transform.tensor(image))
    gradient = vjp(transform.tensor(cotangent))
    notes = condition.conditions(condition.taken_back(oracle, parameters, image, cotangent))
    assert dtype == "float64" or notes["~close"] == 0, "another seed, please"
    expected, vjp = oracle.vjp(exact, image)
    bound = 16 * condition.conditions(condition.transformed(oracle, parameters, image))["image~condition"]
    assert relative_error(transform.array(found), expected) < bound * EPS[dtype]
    assert list(gradient) == list(parameters)
    for name, x in vjp(cotangent).items():
        assert relative_error(transform.array(gradient[name]), x) < (8 + 16 * notes[f"{name}~condition"]) * EPS[dtype], name


@pytest.mark.parametrize("size", [*SIZES, (16, 12)], ids=str)
def test_one_pass_agrees_with_the_oracle(style_transform, dtype, parameters, exact, oracle, size):
    image, _ = pair(size)
    found = style_transform.array(style_transform.apply(tensors(style_transform, parameters), style_transform.tensor(image)))
    notes = condition.conditions(condition.transformed(oracle, parameters, image))
    assert found.dtype == dtype
    assert relative_error(found, oracle.apply(exact, image)) < 16 * notes["image~condition"] * EPS[dtype]


def test_each_call_has_the_parameters_that_it_is_given(style_transform, dtype, parameters):
    """Of one network, one after the other, and the first again."""
    image = style_transform.tensor(pair((9, 8))[0])
    first = tensors(style_transform, parameters)
    other = {**first, "out.bias": style_transform.tensor(parameters["out.bias"].astype(dtype) + 1)}
    made, moved, again = (style_transform.array(style_transform.apply(each, image)) for each in (first, other, first))
    np.testing.assert_allclose(moved, made + 1, rtol=0, atol=1e4 * EPS[dtype])
    np.testing.assert_array_equal(again, made)


def test_apply_and_vjp_give_the_same_image(transform, parameters):
    mine, image = tensors(transform, parameters), transform.tensor(pair((21, 18))[0])
    transformed, _ = transform.vjp(mine, image)
    np.testing.assert_array_equal(transform.array(transform.apply(mine, image)), transform.array(transformed))


def test_a_vector_jacobian_product_leaves_parameters_and_image_as_they_were(transform, dtype, parameters):
    mine = tensors(transform, parameters)
    given, cotangent = pair((9, 8))
    image = transform.tensor(given)
    _, vjp = transform.vjp(mine, image)
    vjp(transform.tensor(cotangent))
    np.testing.assert_array_equal(transform.array(image), given.astype(dtype))
    for name, array in parameters.items():
        np.testing.assert_array_equal(transform.array(mine[name]), array.astype(dtype))


def test_two_vector_jacobian_products_do_not_disturb_each_other(transform, parameters):
    """Each has its own picture; the first is asked for last."""
    mine = tensors(transform, parameters)
    given = [tuple(transform.tensor(x) for x in pair((9, 8), seed)) for seed in (0, 1)]
    alone = [transform.array(transform.vjp(mine, image)[1](cotangent)["down1.weight"]) for image, cotangent in given]
    products = [transform.vjp(mine, image)[1] for image, _ in given]
    found = [transform.array(products[i](given[i][1])["down1.weight"]) for i in (1, 0)]
    np.testing.assert_array_equal(found[::-1], alone)


@pytest.mark.parametrize("stage", STYLE.stages, ids=lambda stage: stage.name)
def test_the_convolution_of_a_stage_alone(style_transform, dtype, parameters, exact, oracle, stage):
    window = np.random.RandomState(2).standard_normal((1, stage.in_channels, 12, 13)).astype(np.float32).astype(np.float64)
    mine = tensors(style_transform, parameters)
    found = style_transform.array(style_transform.convolve(mine, stage, style_transform.tensor(window)))
    assert relative_error(found, oracle.convolve(exact, stage, window)) < 8 * EPS[dtype]


def test_the_paper_s_network_runs(style_backend):
    transform = style_backend.transform(JOHNSON, device="cpu", dtype="float32")
    mine = tensors(transform, mixed(first_parameters(JOHNSON, 0), [1]))
    assert transform.array(transform.apply(mine, transform.tensor(pair((10, 13))[0]))).shape == (1, 3, 10, 13)


# The table


@pytest.mark.parametrize("size", [(4, 9), (9, 4), (1, 1)], ids=str)
def test_a_picture_below_the_least_side_is_refused(size):
    with pytest.raises(InputError, match="is too small for a style network: each side needs 5"):
        STYLE.sizes(*size)


def test_sizes_follow_the_halvings_up_and_down():
    sizes = NARROW.sizes(22, 17)
    assert [sizes[name] for name in ("down1", "down2", "down3", "block1_1", "up1", "up2", "out")] == [
        (22, 17), (22, 17), (11, 9), (6, 5), (6, 5), (11, 9), (22, 17),
    ]  # fmt: skip


def test_parameters_that_the_next_normalization_takes_away_do_not_exist():
    names = set(STYLE.parameter_shapes)
    assert {"down1.shift", "block1_1.shift", "block1_2.scale", "out.bias"} <= names
    assert not {"down1.bias", "block1_2.shift", "block2_2.shift", "out.scale", "out.shift"} & names


# Training


@pytest.fixture(scope="module")
def photographs():
    inputs = shipped_inputs()
    return [inputs.cut(variant)[0] for variant in ("21x18", "20x19")]


@pytest.fixture(scope="module")
def style_image():
    return shipped_inputs().arrays["odd/style"]


@pytest.fixture(scope="module")
def narrow():
    return shipped_inputs().network("narrow")


RECIPE = TrainingRecipe(D2L, STYLE, AdamSettings(1e-3), StepDecay(2, 0.5), steps=3, batch=2, crop=16)


def trainer_of(backend, narrow, style, dtype, recipe=RECIPE, fixed=None):
    engine = backend.prepare(narrow.network, narrow.parameters, device="cpu", dtype=dtype)
    styles = [style] if isinstance(style, np.ndarray) else style
    return Trainer(recipe, backend.transform(STYLE, device="cpu", dtype=dtype), engine, styles, fixed)


def test_three_steps_of_training_are_the_oracle_s(backend, dtype, narrow, style_image, photographs):
    start, styles = shipped_inputs().styles(), [style_image, photographs[0]]
    trainer = trainer_of(backend, narrow, styles, dtype)
    state, events = trainer.start(start), []
    for _ in range(3):
        state, event = trainer.step(state, photographs, [1, 0])
        events.append(event)
    walk = oracle_transform.train(
        OracleEngine(narrow.network, narrow.parameters), OracleTransform(STYLE), D2L, (RECIPE.optimizer, RECIPE.schedule),
        start, styles, [list(zip(photographs, [1, 0], strict=True))] * 3, RECIPE.own_rate,
    )  # fmt: skip
    assert [event.step for event in events] == [0, 1, 2]
    assert [event.learning_rate for event in events] == [1e-3, 1e-3, 5e-4]
    for event, expected in zip(events, walk[:-1], strict=True):
        assert event.terms == pytest.approx(expected.terms, rel=512 * EPS[dtype])
    for name, tensor in trainer.parameters(state).items():
        error = (trainer.transform.array(tensor) - walk[-1].parameters[name]) / 1e-3
        assert np.sqrt(np.square(error).mean()) < STEP_BOUND[dtype], name


def test_a_style_alone_is_learned_by_its_scales_and_shifts_as_with_all_else(backend, narrow, style_image, photographs):
    """What is fixed has no state; what is learned moves as it does where all is."""
    start = first_parameters(STYLE, 0)
    own = {name: array for name, array in start.items() if is_own(name)}
    shared = {name: array for name, array in start.items() if not is_own(name)}
    alone = trainer_of(backend, narrow, style_image, "float64", fixed=shared)
    together = trainer_of(backend, narrow, style_image, "float64")
    found, expected = alone.step(alone.start(own), photographs)[0], together.step(together.start(start), photographs)[0]
    assert set(found) == set(own)
    for name in own:
        assert np.array_equal(alone.transform.array(found[name]["image"]), together.transform.array(expected[name]["image"]))


def test_a_style_that_no_photograph_is_painted_in_does_not_move(backend, narrow, style_image, photographs):
    trainer = trainer_of(backend, narrow, [style_image, photographs[0]], "float32")
    state = trainer.start(first_parameters(STYLE, 0, styles=2))
    after, _ = trainer.step(state, photographs, [1, 1])
    for name in filter(is_own, state):
        before, now = (trainer.transform.array(each[name]["image"]) for each in (state, after))
        assert np.array_equal(before[0], now[0]), name
        assert not np.array_equal(before[1], now[1]), name


def test_a_step_is_the_same_bits_again_and_changes_no_state_that_it_was_given(backend, narrow, style_image, photographs):
    trainer = trainer_of(backend, narrow, style_image, "float32")
    state = trainer.start(first_parameters(STYLE, 0))
    found = []
    for _ in range(2):
        after, event = trainer.step(state, photographs)
        found.append((event, {name: trainer.transform.array(x).tobytes() for name, x in trainer.parameters(after).items()}))
    assert found[0] == found[1]


def test_a_batch_is_the_mean_of_its_photographs(backend, narrow, style_image, photographs):
    trainer = trainer_of(backend, narrow, style_image, "float64")
    state = trainer.start(first_parameters(STYLE, 0))
    _, both = trainer.step(state, photographs)
    alone = [trainer.step(state, [photograph])[1] for photograph in photographs]
    for name, value in both.terms.items():
        assert value == pytest.approx(sum(event.terms[name] for event in alone) / 2, rel=1e-12), name


def test_losses_without_gradient_are_those_with_it(backend, narrow, style_image, photographs):
    trainer = trainer_of(backend, narrow, style_image, "float64")
    parameters = trainer.parameters(trainer.start(first_parameters(STYLE, 0)))
    assert trainer.losses(parameters, photographs[0]) == trainer.evaluate(parameters, photographs[0])[0]


def test_training_brings_the_losses_down(backend, narrow, style_image, photographs):
    steady = dataclasses.replace(RECIPE, schedule=Constant())
    trainer = trainer_of(backend, narrow, style_image, "float32", steady)
    state, totals = trainer.start(first_parameters(STYLE, 0)), []
    for _ in range(12):
        state, event = trainer.step(state, photographs)
        totals.append(event.terms["total"])
    assert totals[-1] < 0.5 * totals[0]


def test_a_parameter_that_is_not_finite_ends_the_training_with_its_name(backend, narrow, style_image, photographs):
    trainer = trainer_of(backend, narrow, style_image, "float32")
    broken = first_parameters(STYLE, 0)
    broken["out.bias"][0] = np.nan
    with pytest.raises(NonFiniteTraining, match="became nan at step 0 of the training"):
        trainer.step(trainer.start(broken), photographs)


def test_first_parameters_depend_on_the_seed_alone_and_begin_with_a_faint_picture():
    one, again, other = (first_parameters(STYLE, seed) for seed in (3, 3, 4))
    assert {name: array.shape for name, array in one.items()} == STYLE.shapes(1)
    assert all(array.dtype == np.float32 for array in one.values())
    for name, array in one.items():
        np.testing.assert_array_equal(array, again[name])
        kind = name.rpartition(".")[2]
        if kind == "weight":
            assert not np.array_equal(array, other[name])
        else:
            assert set(array.ravel()) == {1.0 if kind == "scale" else 0.0}
    std = one["out.weight"].std() * math.sqrt(one["out.weight"][0].size)
    assert std == pytest.approx(0.1 * math.sqrt(2), rel=0.1)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"steps": 0}, "number of steps"),
        ({"batch": 0}, "number of photographs"),
        ({"crop": 4}, "at least 5 pixels a side, not 4"),
        ({"losses": dataclasses.replace(D2L, without_gradient=("content",))}, "cannot train a network"),
    ],
    ids=["no steps", "no photographs", "a crop too small for the network", "held terms"],
)
def test_a_training_that_cannot_be_is_refused(change, words):
    with pytest.raises(InputError, match=words):
        dataclasses.replace(RECIPE, **change).check()


def test_a_network_s_table_is_its_widths_and_blocks():
    assert TransformNetwork((4, 6, 8), 2) == STYLE
    assert len(STYLE.stages) == 3 + 2 * 2 + 3
