"""The reference itself, by hand and by central differences: a referee nobody checks is no referee."""

import numpy as np
import pytest
from reference import convolve, convolve_backward, corners, pool, pool_backward

from isostyle.recipe import D2L


def test_convolution_is_cross_correlation_with_zero_padding():
    x = np.array([[[[1.0, 2.0], [3.0, 4.0]]]])
    kernel = np.arange(9.0).reshape(1, 1, 3, 3)
    # Top left: 4*1 + 5*2 + 7*3 + 8*4 = 67, and 0.5 for the bias; a kernel turned by 180 degrees would give 13.5.
    np.testing.assert_array_equal(convolve(x, kernel, np.array([0.5]))[0, 0], [[67.5, 57.5], [37.5, 27.5]])


def test_convolution_backward_is_the_transpose():
    random = np.random.RandomState(0)
    x, y = random.standard_normal((1, 3, 5, 4)), random.standard_normal((1, 2, 5, 4))
    weight = random.standard_normal((2, 3, 3, 3))
    forward = (convolve(x, weight, np.zeros(2)) * y).sum()
    assert forward == pytest.approx((x * convolve_backward(y, weight)).sum(), rel=1e-12)


def test_pooling_drops_an_odd_last_column():
    x = np.array([[[[1.0, 5.0, 9.0], [3.0, 2.0, 9.0]]]])
    np.testing.assert_array_equal(pool(x), [[[[5.0]]]])


def test_pooling_sends_the_slope_to_the_first_of_equal_maxima():
    x = np.array([[[[1.0, 7.0], [7.0, 7.0]]]])
    np.testing.assert_array_equal(pool_backward(np.array([[[[2.0]]]]), x), [[[[0.0, 2.0], [0.0, 0.0]]]])


def test_no_decision_of_the_noisy_image_is_close(reference, noisy):
    """The least distance of a ReLU's input from 0, and of a pool's two largest values (unless equal), in root mean squares."""
    distances, before = [], None
    for name, x in reference.maps(noisy, ["conv5_1"]).items():
        scale = np.sqrt(np.square(x).mean())
        if name.startswith("conv") and name != "conv5_1":
            distances.append(np.abs(x).min() / scale)
        if name.startswith("pool"):
            *_, second, first = np.sort(corners(before), axis=0)
            distances.append((first - second)[first > second].min() / scale)
        before = x
    # Float32 features are right to 5e-7 of their root mean square.
    assert min(distances) > 5e-5


def test_gradient_agrees_with_central_differences(reference, content, style, noisy):
    targets = reference.targets(D2L, content, style)
    _, gradient = reference.evaluate(D2L, targets, noisy)
    random = np.random.RandomState(2)
    h = 1e-7
    for _ in range(5):
        direction = random.standard_normal(noisy.shape)
        up = reference.evaluate(D2L, targets, noisy + h * direction)[0]["total"]
        down = reference.evaluate(D2L, targets, noisy - h * direction)[0]["total"]
        assert (up - down) / (2 * h) == pytest.approx((gradient * direction).sum(), rel=1e-5)
