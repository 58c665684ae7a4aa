"""Each backend alone, against the float64 reference: features, Gram matrices, losses, gradients, steps.

Tolerances are in units of the dtype's machine epsilon (eps) and come from the measurements in docs/numerics.md.
"""

from __future__ import annotations

import dataclasses
import importlib
import itertools

import numpy as np
import pytest
from conftest import BACKENDS, EPS, obtain, relative_error

from isostyle import losses
from isostyle.conformance.oracle import optimizers as oracle
from isostyle.published import D2L
from isostyle.transfer.descent import NonFiniteLoss, run

#: Correct gradients stay below 6 eps where no ReLU or pooling decision flips, as at this size; a wrong kernel, tap or
#: factor is off by 1e-4 at the least.
GRADIENT_EPS = 64
LOSS_EPS = 64
TOTAL_EPS = 32


@pytest.fixture
def engine(backend, network, parameters, dtype):
    return backend.prepare(network, parameters, device="cpu", dtype=dtype)


@pytest.fixture
def engine32(backend, network, parameters):
    return backend.prepare(network, parameters, device="cpu", dtype="float32")


@pytest.fixture
def engine64(backend, network, parameters):
    return backend.prepare(network, parameters, device="cpu", dtype="float64")


@pytest.fixture
def module(backend):
    """The backend's loss functions."""
    return importlib.import_module(f"{type(backend).__module__}.losses")


# Tensors


def test_tensor_and_array_are_copies_and_keep_the_dtype(engine, dtype):
    array = np.arange(12, dtype=dtype).reshape(1, 3, 2, 2)
    tensor = engine.tensor(array)
    array[:] = -1
    back = engine.array(tensor)
    assert back.dtype == dtype
    np.testing.assert_array_equal(back.ravel(), np.arange(12))


def test_an_array_handed_out_does_not_change_with_its_tensor(engine):
    tensor = engine.tensor(np.ones((1, 3, 2, 2)))
    kept = engine.array(tensor)
    tensor += 1
    np.testing.assert_array_equal(kept, 1)


def test_features_of_a_transposed_hwc_picture_are_those_of_its_contiguous_copy(engine32, noisy):
    """torch would keep the strides and run channels-last kernels, which give other bits; a negative stride it refuses."""
    transposed = np.ascontiguousarray(noisy[0].transpose(1, 2, 0)).transpose(2, 0, 1)[None]
    mirrored = np.ascontiguousarray(noisy[..., ::-1])[..., ::-1]
    expected = engine32.array(engine32.features(engine32.tensor(noisy), ["conv5_1"])["conv5_1"])
    for image in (transposed, mirrored):
        tensor = engine32.tensor(image)
        np.testing.assert_array_equal(engine32.array(engine32.features(tensor, ["conv5_1"])["conv5_1"]), expected)
        if hasattr(tensor, "is_contiguous"):
            assert tensor.is_contiguous()


# Features


def test_features_of_every_layer_agree_with_the_reference(engine, reference, network, noisy, dtype):
    names = [layer.name for layer in network.layers]
    expected = reference.maps(noisy, names)
    found = engine.features(engine.tensor(noisy), names)
    assert set(found) == set(names)
    convolutions = 0
    for layer in network.layers:
        convolutions += layer.kind == "conv"
        array = engine.array(found[layer.name])
        assert array.shape == expected[layer.name].shape
        # Rounding adds up over the convolutions passed: at most 7.2 eps were seen after 12.
        assert relative_error(array, expected[layer.name]) < 4 * (1 + convolutions) * EPS[dtype], layer.name


def test_a_tapped_convolution_keeps_its_negative_values(engine, noisy):
    """torchvision's in-place ReLU overwrites them, which is how d2l's PyTorch tab differs from the other two."""
    found = engine.features(engine.tensor(noisy), ["conv1_1", "relu1_1", "conv5_1"])
    assert engine.array(found["conv1_1"]).min() < 0
    assert engine.array(found["relu1_1"]).min() == 0


def test_layers_beyond_the_deepest_tap_are_not_computed(engine, noisy, network, parameters, backend):
    shallow = {name: array for name, array in parameters.items() if name.startswith(("conv1", "conv2_1"))}
    engine = backend.prepare(network, shallow, device="cpu", dtype="float32")
    assert set(engine.features(engine.tensor(noisy), ["conv2_1"])) == {"conv2_1"}


def test_no_gradient_is_computed_for_the_weights(engine32, content, style, noisy):
    """All three tabs of d2l compute them, for nothing."""
    engine32.objective(D2L, engine32.targets(D2L, content, style))(engine32.tensor(noisy))
    for name, tensor in engine32.parameters.items():
        trained = {
            "torch": lambda tensor: tensor.requires_grad,
            "mxnet": lambda tensor: tensor.grad is not None,
            "paddle": lambda tensor: not tensor.stop_gradient,
        }[type(tensor).__module__.partition(".")[0]]
        assert not trained(tensor), name


# Gram matrices and losses


@pytest.mark.parametrize("divisor", ["chw", "hw", "1"])
def test_gram_agrees_with_its_definition(engine, divisor, dtype):
    feature = np.random.RandomState(3).standard_normal((1, 5, 17, 13)).astype(np.float32)
    expected = losses.gram(feature.astype(np.float64), divisor)
    found = engine.array(engine.gram(engine.tensor(feature), divisor))
    assert found.shape == (5, 5)
    # Off the diagonal the sums cancel, so errors are measured against the diagonal.
    scale = np.sqrt(np.outer(np.diag(expected), np.diag(expected)))
    assert (np.abs(found - expected) / scale).max() < 16 * EPS[dtype]


def test_means_of_millions_of_elements_are_exact(engine32, module):
    """Paddle's float32 mean() is off by 174 eps at a million elements; the total variation of a large photograph has more."""
    random = np.random.RandomState(4)
    image = random.standard_normal((1, 3, 600, 900)).astype(np.float32)
    feature = random.standard_normal((1, 16, 300, 450)).astype(np.float32)
    found = {
        "tv": module.tv_loss(engine32.tensor(image)),
        "content": module.content_loss(engine32.tensor(feature), engine32.tensor(feature * 0.5), "mean"),
    }
    expected = {
        "tv": losses.tv_loss(image.astype(np.float64)),
        "content": losses.content_loss(feature.astype(np.float64), feature * 0.5, "mean"),
    }
    for name, tensor in found.items():
        assert float(tensor) == pytest.approx(expected[name], rel=16 * EPS["float32"]), name


def test_content_loss_of_the_content_image_itself_is_zero(engine, content, style):
    """MXNet computes targets with other convolution kernels, and so other bits, unless it is told that it trains."""
    targets = engine.targets(D2L, content, style)
    assert float(engine.objective(D2L, targets)(engine.tensor(content)).terms["content/conv4_4"]) == 0


def test_content_loss_of_the_content_image_itself_is_zero_with_the_shipped_network(backend, photograph):
    from isostyle.images import arrays
    from isostyle.weights import store

    chosen = store.load("compact")
    engine = backend.prepare(chosen.network, chosen.parameters, device="cpu", dtype="float32")
    image = arrays.to_array(arrays.resize(photograph, 96, 80), "float32")
    targets = engine.targets(D2L, image, image)
    assert float(engine.objective(D2L, targets)(engine.tensor(image)).terms["content/conv4_4"]) == 0


def test_mxnet_computes_its_targets_in_training_mode(network, parameters, content, style):
    """The other kernels are chosen on CPUs with AVX-512 only; on others the mode itself is all that can be seen."""
    if "mxnet" not in BACKENDS:
        pytest.skip("mxnet is not among ISOSTYLE_TEST_BACKENDS")
    engine = obtain("mxnet").prepare(network, parameters, device="cpu", dtype="float32")
    from mxnet import autograd

    modes, plain = [], engine.features

    def watched(*given):
        modes.append((autograd.is_training(), autograd.is_recording()))
        return plain(*given)

    engine.features = watched
    engine.targets(D2L, content, style)
    assert modes == [(True, False)] * 2


@pytest.mark.parametrize("divisor", ["chw", "hw", "1"])
def test_targets_agree_with_the_reference(engine, reference, content, style, divisor, dtype):
    recipe = dataclasses.replace(D2L, gram_divisor=divisor)
    found, expected = engine.targets(recipe, content, style), reference.targets(recipe, content, style)
    for mine, theirs in ((found.content, expected.content), (found.style, expected.style)):
        assert set(mine) == set(theirs)
        for tap in mine:
            assert relative_error(mine[tap], theirs[tap]) < 128 * EPS[dtype], tap


@pytest.mark.parametrize("divisor", ["chw", "hw", "1"])
def test_terms_and_gradient_agree_with_the_reference(engine, reference, content, style, noisy, divisor, dtype):
    recipe = dataclasses.replace(D2L, gram_divisor=divisor, content_weight=0.7, style_weight=20.0, tv_weight=3.0)
    targets = reference.targets(recipe, content, style)
    evaluation = reference.evaluate(recipe, targets, noisy)
    terms, gradient = evaluation.terms, evaluation.gradient
    found = engine.objective(recipe, targets)(engine.tensor(noisy))
    assert list(found.terms) == list(terms)
    for name, value in found.terms.items():
        bound = TOTAL_EPS if name == "total" else LOSS_EPS
        assert float(value) == pytest.approx(terms[name], rel=bound * EPS[dtype]), name
    assert relative_error(engine.array(found.gradient), gradient) < GRADIENT_EPS * EPS[dtype]


def test_relative_losses_and_their_gradient_agree_with_the_reference(engine, reference, content, style, noisy, dtype):
    recipe = dataclasses.replace(D2L, content_reduction="relative", style_reduction="relative", style_weight=2.0, tv_weight=0.1)
    targets = reference.targets(recipe, content, style)
    expected = reference.evaluate(recipe, targets, noisy)
    found = engine.objective(recipe, targets)(engine.tensor(noisy))
    for name, value in found.terms.items():
        bound = TOTAL_EPS if name == "total" else LOSS_EPS
        assert float(value) == pytest.approx(expected.terms[name], rel=bound * EPS[dtype]), name
    assert relative_error(engine.array(found.gradient), expected.gradient) < GRADIENT_EPS * EPS[dtype]


def test_a_relative_loss_of_an_empty_target_is_finite(engine64, module, content):
    feature, empty = engine64.tensor(content), engine64.tensor(np.zeros_like(content))
    matrix = engine64.tensor(np.zeros((content.shape[1],) * 2))
    assert float(module.content_loss(feature, empty, "relative")) == pytest.approx(np.square(content).sum())
    assert 0 < float(module.style_loss(feature, matrix, "hw", "relative")) < np.inf


@pytest.mark.parametrize("term", ["content", "style", "tv"])
def test_the_gradient_of_each_term_alone_agrees_with_the_reference(engine64, reference, content, style, noisy, term):
    weights = {f"{name}_weight": float(name == term) for name in ("content", "style", "tv")}
    recipe = dataclasses.replace(D2L, **weights)
    targets = reference.targets(recipe, content, style)
    gradient = reference.evaluate(recipe, targets, noisy).gradient
    found = engine64.objective(recipe, targets)(engine64.tensor(noisy))
    assert relative_error(engine64.array(found.gradient), gradient) < GRADIENT_EPS * EPS["float64"]


def test_float32_gradient_puts_each_pixel_s_share_where_it_belongs(engine32, reference, content, style, noisy):
    """MXNet's record(train_mode=False) sends max-pooling's gradients to the wrong pixels, with the right sum."""
    recipe = dataclasses.replace(D2L, style_weight=0.0, tv_weight=0.0)
    targets = reference.targets(recipe, content, style)
    gradient = reference.evaluate(recipe, targets, noisy).gradient
    found = engine32.array(engine32.objective(recipe, targets)(engine32.tensor(noisy)).gradient)
    assert relative_error(found, gradient) < GRADIENT_EPS * EPS["float32"]


def test_d2l_counts_its_style_loss_ten_thousandfold(engine64, module, reference, content, style, noisy):
    """1e3 in d2l's text, times the ten of its `10 * styles_l`."""
    targets = reference.targets(D2L, content, style)
    terms = engine64.objective(D2L, targets)(engine64.tensor(noisy)).terms
    feature = engine64.features(engine64.tensor(noisy), ["conv2_1"])["conv2_1"]
    plain = float(module.style_loss(feature, engine64.tensor(targets.style["conv2_1"]), "chw", "mean"))
    assert float(terms["style/conv2_1"]) == pytest.approx(1e4 * plain, rel=1e-12)


def test_equal_neighbors_have_no_gradient_of_total_variation(engine, content, style, dtype):
    recipe = dataclasses.replace(D2L, content_weight=0.0, style_weight=0.0)
    flat = np.full_like(content, 0.25)
    targets = engine.targets(recipe, content, style)
    gradient = engine.array(engine.objective(recipe, targets)(engine.tensor(flat)).gradient)
    np.testing.assert_array_equal(gradient, 0)


def test_the_same_evaluation_twice_gives_the_same_bits(engine32, content, style, noisy):
    objective = engine32.objective(D2L, engine32.targets(D2L, content, style))
    first, second = objective(engine32.tensor(noisy)), objective(engine32.tensor(noisy))
    assert [float(term) for term in first.terms.values()] == [float(term) for term in second.terms.values()]
    np.testing.assert_array_equal(engine32.array(first.gradient), engine32.array(second.gradient))


# Runs


def test_ten_steps_in_float64_agree_with_the_reference(engine64, reference, content, style, noisy):
    recipe = dataclasses.replace(D2L, steps=10, schedule=dataclasses.replace(D2L.schedule, every=4))
    targets = reference.targets(recipe, content, style)
    *_, last = run(engine64, recipe, targets, noisy)

    def evaluate(image):
        evaluation = reference.evaluate(recipe, targets, image)
        return evaluation.terms["total"], evaluation.gradient

    expected = next(itertools.islice(oracle.adam(evaluate, noisy, recipe.optimizer, recipe.schedule), 9, None))
    assert np.abs(last.image() - expected).max() < 1e-8 * recipe.optimizer.learning_rate


def test_adam_s_first_step_is_the_learning_rate_even_for_tiny_gradients(backend, network, parameters, dtype):
    """MXNet's own Adam moves by 0.24 of the learning rate where the gradient is 1e-7, because of where it adds epsilon."""
    from isostyle.interface import Evaluation
    from isostyle.optim import Adam

    engine = backend.prepare(network, parameters, device="cpu", dtype=dtype)
    gradient = np.array([1e-7, -1e-6, 1e-3, -1.0]).reshape(1, 1, 2, 2)
    adam = Adam(D2L.optimizer, D2L.schedule)
    state = adam.start(engine.tensor(np.zeros_like(gradient)))
    state = adam.step(state, lambda image: (image, Evaluation({}, engine.tensor(gradient)))).state
    expected = -0.3 * gradient / (np.abs(gradient) + 1e-8)
    np.testing.assert_allclose(engine.array(state["image"]), expected, rtol=64 * EPS[dtype])


def test_a_picture_kept_from_an_event_is_not_changed_by_later_steps(engine32, content, style, noisy):
    recipe = dataclasses.replace(D2L, steps=3)
    events = list(run(engine32, recipe, engine32.targets(recipe, content, style), noisy))
    np.testing.assert_array_equal(events[0].image(), noisy.astype(np.float32))
    assert len({event.image().tobytes() for event in events}) == 4


def test_a_pixel_that_is_not_a_number_stops_the_run(engine32, content, style, noisy):
    """Paddle's ReLU maps NaN to 0 and MXNet's pooling ignores it: losses alone do not always show it."""
    targets = engine32.targets(D2L, content, style)
    noisy = noisy.copy()
    noisy[0, 1, 20, 30] = np.nan
    with pytest.raises(NonFiniteLoss, match="at step 0"):
        list(run(engine32, dataclasses.replace(D2L, tv_weight=0.0), targets, noisy))


def test_a_diverging_run_names_the_term_and_the_step_and_keeps_the_last_good_picture(engine32, content, style, noisy):
    recipe = dataclasses.replace(D2L, optimizer=dataclasses.replace(D2L.optimizer, learning_rate=1e20))
    with pytest.raises(NonFiniteLoss) as caught:
        list(run(engine32, recipe, engine32.targets(recipe, content, style), noisy))
    assert caught.value.step == 1
    assert caught.value.term.startswith(("content/", "style/"))
    np.testing.assert_array_equal(caught.value.last_good.image(), noisy.astype(np.float32))


def test_devices_end_with_the_cpu_and_the_version_is_a_version(backend):
    assert backend.devices()[-1] == "cpu"
    assert backend.version()[0].isdigit()
