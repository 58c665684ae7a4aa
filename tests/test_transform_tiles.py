"""Style networks in tiles: the index of what a tile needs, the statistics, and that the output is the whole picture's."""

import tracemalloc

import numpy as np
import pytest
from conftest import EPS, relative_error
from hypothesis import given, settings
from hypothesis import strategies as st
from style_files import RESIDUAL, SMALL, random_style

from isostyle.errors import InputError
from isostyle.style_networks.tiles import Statistics, TiledTransform, needed, tiles
from isostyle.transform_network import NARROW, Stage

#: Of an output in float64, relative L2: the same numbers, added up in another order; each normalization divides by what its
#: map spreads, and so keeps relative errors. Seen: torch 16, mxnet 6, paddle 8.
OUTPUT_EPS = 64
STAGES = {
    "9x9": Stage("down1", 3, 4, 9),
    "stride 2": Stage("down2", 4, 4, 3, stride=2),
    "3x3": Stage("block", 4, 4, 3),
    "restoring": Stage("up1", 4, 4, 3, restores="down3"),
}


def transform_of(backend, network, dtype, style):
    transform = backend.transform(network, device="cpu", dtype=dtype)
    return transform, {name: transform.tensor(array) for name, array in style.painting().items()}


def picture(size, seed=1):
    return np.random.RandomState(seed).standard_normal((1, 3, *size))


# Geometry


@pytest.mark.parametrize("stage", STAGES.values(), ids=STAGES)
@given(length=st.integers(5, 40), data=st.data())
@settings(max_examples=50, deadline=None)
def test_what_a_tile_needs_is_a_piece_of_the_repeated_and_padded_axis(stage, length, data):
    first = np.arange(-(-length // 2)).repeat(2)[:length] if stage.restores else np.arange(length)
    padded = np.pad(first, stage.padding, mode="reflect")
    outputs = -(-length // stage.stride)
    begin = data.draw(st.integers(0, outputs - 1))
    end = data.draw(st.integers(begin + 1, outputs))
    expected = padded[begin * stage.stride :][: (end - 1 - begin) * stage.stride + stage.kernel]
    np.testing.assert_array_equal(needed(slice(begin, end), stage, length), expected)


@given(height=st.integers(1, 50), width=st.integers(1, 50), side=st.integers(1, 60))
def test_tiles_make_up_the_map_once(height, width, side):
    covered = np.zeros((height, width), int)
    for rows, columns in tiles((height, width), side):
        covered[rows, columns] += 1
        assert rows.stop - rows.start <= side
        assert columns.stop - columns.start <= side
    assert (covered == 1).all()


# Statistics


@given(cuts=st.lists(st.integers(1, 39), unique=True, max_size=6))
@settings(deadline=None)
def test_statistics_of_pieces_are_those_of_the_whole(cuts):
    whole = np.random.RandomState(0).standard_normal((1, 3, 7, 40)) * [[[[1e-3]], [[1.0]], [[50.0]]]] + [
        [[[1000.0]], [[0.0]], [[-3.0]]]
    ]
    found = Statistics(3)
    for piece in np.split(whole, sorted(cuts), axis=3):
        found.add(piece)
    np.testing.assert_allclose(found.mean, whole.mean(axis=(0, 2, 3)), rtol=1e-14, atol=1e-14)
    # The first channel's mean is a million of its deviations: what rounding leaves of a difference is 1e-16 * 1e6 of it.
    np.testing.assert_allclose(found.variance, whole.var(axis=(0, 2, 3)), rtol=1e-9)


def test_statistics_of_float32_do_not_drift_over_a_million_values():
    values = (1000 + np.random.RandomState(0).standard_normal((1, 1, 1000, 1000))).astype(np.float32)
    found = Statistics(1)
    for rows in np.split(values, 50, axis=2):
        found.add(rows)
    exact = values.astype(np.float64)
    np.testing.assert_allclose(found.variance, exact.var(), rtol=1e-10)


# Computation


@pytest.mark.parametrize(
    ("size", "tile"),
    [
        ((5, 5), 1),
        ((5, 37), 4),
        ((6, 7), 3),
        ((63, 65), 16),
        ((70, 101), 33),
        ((128, 96), 64),
        ((131, 119), 48),
        ((97, 90), 999),
    ],
    ids=lambda value: str(value),
)
def test_tiles_give_the_whole_picture_s_output(style_backend, size, tile):
    transform, parameters = transform_of(style_backend, SMALL, "float64", random_style())
    image = picture(size)
    whole = transform.array(transform.apply(parameters, transform.tensor(image)))
    found = TiledTransform(transform, SMALL, tile).apply(parameters, image)
    assert found.shape == image.shape
    assert relative_error(found, whole) <= OUTPUT_EPS * EPS["float64"]


@pytest.mark.parametrize("network", [NARROW, RESIDUAL], ids=["narrow", "residual"])
def test_the_networks_that_ship_in_tiles(style_backend, network):
    """Their tables, in float32: a bound for rounding, in the same units."""
    transform, parameters = transform_of(style_backend, network, "float32", random_style(network))
    image = picture((75, 94)).astype(np.float32)
    whole = transform.array(transform.apply(parameters, transform.tensor(image)))
    found = TiledTransform(transform, network, 40).apply(parameters, image)
    assert found.dtype == np.float32
    assert relative_error(found, whole) <= OUTPUT_EPS * EPS["float32"]


def test_the_picture_is_left_as_it_was(style_backend):
    transform, parameters = transform_of(style_backend, SMALL, "float64", random_style())
    image = picture((40, 30))
    before = image.copy()
    TiledTransform(transform, SMALL, 16).apply(parameters, image)
    np.testing.assert_array_equal(image, before)


def test_no_window_is_larger_than_a_tile_and_its_margin(style_backend):
    transform, parameters = transform_of(style_backend, SMALL, "float32", random_style())
    seen = []

    class Watched:
        device, tensor, array = transform.device, staticmethod(transform.tensor), staticmethod(transform.array)

        def convolve(self, parameters, stage, window):
            seen.extend(window.shape[2:])
            return transform.convolve(parameters, stage, window)

    TiledTransform(Watched(), SMALL, 32).apply(parameters, picture((150, 200)).astype(np.float32))
    # The last stage pads by 4 on both sides, and what it computes again of up2 by 1; two more of a stage with stride 2.
    assert max(seen) <= 32 + 2 * (4 + 1)


def test_maps_at_full_size_are_not_kept(any_style_backend):
    """NumPy's memory at the peak: 60 bytes a pixel of maps at half and quarter size, and the tile's; a full-size map has 48."""
    from conftest import obtain

    transform, parameters = transform_of(obtain(any_style_backend), NARROW, "float32", random_style(NARROW))
    size = 384, 384
    image = picture(size).astype(np.float32)
    tracemalloc.start()
    try:
        TiledTransform(transform, NARROW, 48).run(
            parameters, size, lambda rows, columns: image[:, :, rows, columns], lambda rows, columns, piece: None
        )
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert 60 <= peak / (384 * 384) <= 60 + 16


def test_progress_rises_to_one(any_style_backend):
    from conftest import obtain

    transform, parameters = transform_of(obtain(any_style_backend), SMALL, "float32", random_style())
    told = []
    image = picture((40, 50)).astype(np.float32)
    TiledTransform(transform, SMALL, 16).run(
        parameters, (40, 50), lambda r, c: image[:, :, r, c], lambda r, c, x: None, told.append
    )
    assert told == sorted(told)
    assert told[-1] == pytest.approx(1)


def test_a_picture_that_is_too_small_is_refused(any_style_backend):
    from conftest import obtain

    transform, parameters = transform_of(obtain(any_style_backend), SMALL, "float32", random_style())
    with pytest.raises(InputError, match="too small for a style network"):
        TiledTransform(transform, SMALL, 16).apply(parameters, picture((4, 50)))
