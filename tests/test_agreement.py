"""The frameworks against each other, with the shipped network: the same picture from each."""

import dataclasses
import itertools

import numpy as np
import pytest
from conftest import ASKED_FOR, BACKENDS, ONNX, obtain

import isostyle
from isostyle import registry
from isostyle.images import arrays
from isostyle.published import D2L
from isostyle.sizes import ExactSize
from isostyle.style_networks import file as style_network
from isostyle.style_networks.tiles import TiledTransform

SMALL = ExactSize(96, 144)
#: Float32 runs part at kinks and come together again as the learning rate decays; final totals were seen 1.3 % apart.
FINAL_TOTAL = 0.05
#: Of the learning rate, after ten steps in float64 from a start off the kinks: 5e-11 was seen.
TEN_STEPS = 1e-8
#: Of a picture that a style network painted: rounding may decide between two neighbors of 8 bits, and does so for 0.02 % of
#: the values; in float64, 3e-14 was seen.
ONE_PASS_APART, ONE_PASS_EQUAL, ONE_PASS_FLOAT64 = 1, 0.999, 1e-9
#: Of those that ship, which share their kernels.
PAINTED = ("starry-night", "ink", "wave:0.7,scream:0.3")


@pytest.fixture(scope="module")
def present():
    """Names of the backends that are tested; at least two."""
    names = []
    for name in BACKENDS:
        try:
            names.append(obtain(name).name)
        except pytest.skip.Exception:
            continue
    if len(names) < 2:
        pytest.skip(f"agreement needs two backends, there are {names} (ISOSTYLE_TEST_BACKENDS={ASKED_FOR})")
    return names


@pytest.fixture(scope="module")
def appliers(present):
    """Likewise, of those that have style networks."""
    return [*present, obtain(ONNX).name]


@pytest.fixture(scope="module")
def small(photograph):
    return photograph.resize((150, 179))


@pytest.fixture(scope="module")
def painting():
    from isostyle.demo.painting import paint

    return paint(180, 120)


@pytest.mark.slow
def test_ten_steps_in_float64_give_the_same_picture(present, photograph, painting):
    recipe = dataclasses.replace(D2L, size=SMALL, steps=10)
    found = {
        name: isostyle.stylize(photograph, painting, backend=name, recipe=recipe, dtype="float64", init="content+noise", seed=3)
        for name in present
    }
    for one, other in itertools.combinations(present, 2):
        distance = np.abs(found[one].image - found[other].image).max()
        assert distance < TEN_STEPS * recipe.optimizer.learning_rate, (one, other)
        assert found[one].picture.tobytes() == found[other].picture.tobytes()


@pytest.mark.slow
def test_a_published_run_ends_at_the_same_loss(present, photograph, painting):
    recipe = dataclasses.replace(D2L, size=SMALL)
    finals = {}
    for name in present:
        result = isostyle.stylize(photograph, painting, backend=name, recipe=recipe)
        first, last = (result.manifest["losses"][which]["total"] for which in ("first", "last"))
        assert last < first / 3
        finals[name] = last
    for one, other in itertools.combinations(present, 2):
        assert finals[one] == pytest.approx(finals[other], rel=FINAL_TOTAL), finals


def test_every_backend_starts_from_the_same_bits(present, photograph, painting):
    starts = set()
    for name in present:
        events = []
        isostyle.stylize(
            photograph,
            painting,
            backend=name,
            size=(32, 48),
            pyramid=False,
            steps=1,
            init="noise",
            seed=5,
            callback=events.append,
        )
        starts.add(events[0].image().tobytes())
    # A margin of 4 pixels was cut off.
    assert starts == {arrays.inner(0.1 * arrays.noise((1, 3, 40, 56), 5, "float32"), 4).tobytes()}


@pytest.mark.parametrize("name", PAINTED)
def test_a_style_network_paints_the_same_picture_with_each_backend(appliers, small, name):
    ways = itertools.product(appliers, ("off", 64))
    painted = [np.asarray(isostyle.apply(name, small, backend=one, tile=tile).picture).astype(int) for one, tile in ways]
    for one, other in itertools.combinations(painted, 2):
        assert np.abs(one - other).max() <= ONE_PASS_APART
        assert (one == other).mean() >= ONE_PASS_EQUAL


@pytest.mark.parametrize("name", PAINTED)
def test_a_style_network_makes_the_same_numbers_in_float64(appliers, small, name):
    style = style_network.find(name)
    given = arrays.to_array(small, "float64")
    made = []
    for backend in appliers:
        transform = registry.transform(registry.load(backend, 1), style.network, device="cpu", dtype="float64")
        parameters = {key: transform.tensor(array) for key, array in style.painting().items()}
        made.append(transform.array(transform.apply(parameters, transform.tensor(given))))
        made.append(TiledTransform(transform, style.network, 64).apply(parameters, given))
    for one, other in itertools.combinations(made, 2):
        assert np.abs(one - other).max() <= ONE_PASS_FLOAT64
