"""The normative formulas, by values worked out by hand and by central differences."""

import numpy as np
import pytest

from isostyle import losses

#: Two channels of two pixels: X X^T = [[1 + 4, 3 + 8], [3 + 8, 9 + 16]].
FEATURE = np.array([1.0, 2.0, 3.0, 4.0]).reshape(1, 2, 1, 2)
PRODUCT = np.array([[5.0, 11.0], [11.0, 25.0]])


@pytest.mark.parametrize(("divisor", "number"), [("chw", 4), ("hw", 2), ("1", 1)])
def test_gram_by_hand(divisor, number):
    np.testing.assert_array_equal(losses.gram(FEATURE, divisor), PRODUCT / number)


@pytest.mark.parametrize(("reduction", "number"), [("mean", 1 / 4), ("half-sum", 1 / 2)])
def test_content_loss_by_hand(reduction, number):
    assert losses.content_loss(FEATURE, np.zeros_like(FEATURE), reduction) == (1 + 4 + 9 + 16) * number


@pytest.mark.parametrize(
    ("reduction", "number"), [("mean", 1 / 2**2), ("mean/chw", 1 / 2**2 / (2 * 2)), ("quarter-sum", 1 / (4 * 2**2 * 2**2))]
)
def test_style_loss_by_hand(reduction, number):
    """The Gram matrices differ by 4 in one corner; C = 2 and H W = 2."""
    target = np.array([[5.0, 11.0], [11.0, 21.0]])
    assert losses.style_loss(FEATURE, target, "1", reduction) == 4**2 * number


def test_a_relative_content_loss_is_a_share_of_the_targets_squares():
    assert losses.content_loss(FEATURE, 2 * FEATURE, "relative") == 1 / 4


def test_a_relative_style_loss_is_a_share_of_the_targets_squares():
    assert losses.style_loss(FEATURE, 2 * PRODUCT, "1", "relative") == 1 / 4


def test_a_relative_loss_of_an_empty_target_is_the_sum_of_squares():
    """A ReLU may silence a whole map, and 1 / 0 would make the picture NaN."""
    assert losses.content_loss(FEATURE, np.zeros_like(FEATURE), "relative") == 1 + 4 + 9 + 16
    assert losses.style_loss(FEATURE, np.zeros_like(PRODUCT), "1", "relative") == np.square(PRODUCT).sum()


def test_total_variation_of_a_checkerboard_by_hand():
    """Every pair of neighbors differs by 1: both means are 1, and half their sum is 1."""
    board = np.indices((6, 8)).sum(axis=0) % 2
    assert losses.tv_loss(np.stack([board] * 3)[None].astype(float)) == 1


def test_total_variation_of_a_ramp_counts_each_axis_by_its_own_mean():
    """Rows rise by 2, columns by 0: half of (2 + 0)."""
    ramp = np.repeat(2.0 * np.arange(5)[:, None], 9, axis=1)
    assert losses.tv_loss(np.stack([ramp] * 3)[None]) == 1


RANDOM = np.random.RandomState(0)
X, OTHER = RANDOM.standard_normal((2, 1, 3, 4, 5))
TARGET_MOMENTS = losses.moments(0.5 * OTHER + 0.3)


@pytest.mark.parametrize(
    ("loss", "gradient", "rest"),
    [
        *(
            pytest.param(losses.content_loss, losses.content_loss_gradient, (OTHER, r), id=f"content-{r}")
            for r in ("mean", "half-sum", "relative")
        ),
        *(
            pytest.param(losses.style_loss, losses.style_loss_gradient, (losses.gram(OTHER, d), d, r), id=f"style-{d}-{r}")
            for d in ("chw", "hw", "1")
            for r in ("mean", "mean/chw", "quarter-sum", "relative")
        ),
        pytest.param(losses.style_loss, losses.style_loss_gradient, (TARGET_MOMENTS, "hw", "wasserstein"), id="wasserstein"),
        pytest.param(losses.tv_loss, losses.tv_loss_gradient, (), id="tv"),
        pytest.param(losses.tv_loss, losses.tv_loss_gradient, ("squared",), id="tv-squared"),
        pytest.param(losses.tv_loss, losses.tv_loss_gradient, ("half-sum",), id="tv-half-sum"),
    ],
)
def test_gradients_agree_with_central_differences(loss, gradient, rest):
    h = 1e-6
    numeric = np.zeros_like(X)
    for place in np.ndindex(X.shape):
        step = np.zeros_like(X)
        step[place] = h
        numeric[place] = (loss(X + step, *rest) - loss(X - step, *rest)) / (2 * h)
    np.testing.assert_allclose(gradient(X, *rest), numeric, rtol=1e-6, atol=1e-8)


def test_the_kink_of_total_variation_has_slope_zero():
    np.testing.assert_array_equal(losses.tv_loss_gradient(np.ones((1, 3, 4, 4))), 0)


def test_moments_by_hand():
    """Two pixels: products over 2, then means."""
    np.testing.assert_array_equal(losses.moments(FEATURE), np.column_stack([PRODUCT / 2, [1.5, 3.5]]))


def test_moments_of_two_halves_of_a_map_are_those_of_the_whole_on_average():
    halves = losses.moments(X[:, :, :2]), losses.moments(X[:, :, 2:])
    np.testing.assert_allclose((halves[0] + halves[1]) / 2, losses.moments(X), rtol=1e-14)


def test_the_wasserstein_distance_of_gaussians_along_the_axes_is_that_of_means_and_standard_deviations():
    """Means 1 and 2 apart, variances 4 and 9 against 1 and 1 (each with epsilon): (1 + 4 + 1^2 + 2^2) / 2, nearly."""
    mine = np.array([[4.0 + 1, 2.0, 1.0], [2.0, 9.0 + 4, 2.0]])
    theirs = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    deviations = np.sqrt(np.array([4.0, 9.0]) + 1e-4) - np.sqrt(1 + 1e-4)
    assert losses.wasserstein_loss(mine, theirs) == pytest.approx((5 + np.square(deviations).sum()) / 2, rel=1e-12)


def test_the_wasserstein_distance_of_a_map_from_itself_is_nothing():
    assert abs(losses.style_loss(X, losses.moments(X), "hw", "wasserstein")) < 1e-14


def test_a_silent_channel_leaves_the_wasserstein_distance_finite():
    """A ReLU may silence a whole map: without epsilon its covariance has no inverse."""
    silent = X * np.array([1.0, 0.0, 0.0])[:, None, None]
    gradient = losses.style_loss_gradient(silent, TARGET_MOMENTS, "hw", "wasserstein")
    assert np.isfinite(gradient).all()


def test_half_sum_variation_leaves_out_the_last_row_and_column():
    """A step of 1 between two columns of three rows, three channels: two of three rows count."""
    step = np.tile([0.0, 1.0], (3, 1))
    assert losses.tv_loss(np.stack([step] * 3)[None], "half-sum") == 3 * 2 / 2


def test_squared_variation_by_hand():
    """A step of 1 between two columns of three rows. To the right 3 of 6 differences, along each diagonal 4 of 12."""
    step = np.tile([0.0, 1.0], (3, 1))
    assert losses.tv_loss(np.stack([step] * 3)[None], "squared") == pytest.approx(2 * (3 / 6 / 3 + 2 * 4 / 12 / 12), rel=1e-15)


@pytest.mark.parametrize(
    ("terms", "name"),
    [
        ({"content/conv4_4": 1.0, "total": 1.0}, None),
        ({"content/conv4_4": 1.0, "tv": np.nan, "total": np.nan}, "tv"),
        ({"tv": 3e38, "total": np.inf}, "total"),
    ],
)
def test_the_term_at_fault_is_named_before_the_total(terms, name):
    assert losses.first_non_finite(terms) == name
