"""The published way computes what ours does, so that a benchmark compares like with like."""

import dataclasses

import numpy as np
import pytest

from isostyle.conformance.bench import published_way
from isostyle.conformance.bench.published_way import WAYS
from isostyle.published import D2L
from isostyle.recipe import StepDecay
from isostyle.transfer.descent import run

#: Of the first loss: two texts of one formula differ by rounding, as tests/test_backends.py has it for the total.
FIRST = 32 * float(np.finfo(np.float32).eps)
#: Of the losses after one and two updates: MXNet's Adam adds epsilon elsewhere, which moves pixels whose gradient is small by
#: something else than the learning rate (1.6e-5 of the loss was seen), and rounding turns the signs of others (5e-6, in torch
#: and Paddle). A term, a weight or a learning rate that is off by a thousandth is off by more.
LATER = 1e-4


@pytest.fixture
def pictures(content, style):
    return content.astype(np.float32), style.astype(np.float32)


def ours(backend, network, parameters, pictures, steps, recipe=D2L):
    """Totals before each of the first ``steps`` updates."""
    recipe = dataclasses.replace(recipe, steps=steps)
    engine = backend.prepare(network, parameters, device="cpu", dtype="float32", precision="exact")
    events = run(engine, recipe, engine.targets(recipe, *pictures), pictures[0])
    return [event.terms["total"] for event in events][:steps]


def test_the_published_way_starts_at_the_same_loss(backend, network, parameters, pictures):
    way = WAYS[backend.name](network, parameters, *pictures)
    assert way.step() == pytest.approx(*ours(backend, network, parameters, pictures, 1), rel=FIRST)


def test_the_published_way_has_the_same_losses_for_three_steps(backend, network, parameters, pictures):
    way = WAYS[backend.name](network, parameters, *pictures)
    found = [way.step() for _ in range(3)]
    assert found == pytest.approx(ours(backend, network, parameters, pictures, 3), rel=LATER)
    assert max(found) > 10 * min(found), "updates that hardly change the loss would prove nothing"


def test_the_published_way_s_learning_rate_decays_when_ours_does(backend, network, parameters, pictures, monkeypatch):
    """d2l's decays at step 50; here it does after each."""
    monkeypatch.setattr(published_way, "EVERY", 1)
    recipe = dataclasses.replace(D2L, schedule=StepDecay(1, D2L.schedule.factor))
    way = WAYS[backend.name](network, parameters, *pictures)
    found = [way.step() for _ in range(3)]
    assert found == pytest.approx(ours(backend, network, parameters, pictures, 3, recipe), rel=LATER)
    undecayed = ours(backend, network, parameters, pictures, 3)
    assert found[2] != pytest.approx(undecayed[2], rel=100 * LATER)


def test_the_published_way_s_picture_is_a_copy_that_starts_as_the_photograph(backend, network, parameters, pictures):
    way = WAYS[backend.name](network, parameters, *pictures)
    start = way.image()
    np.testing.assert_array_equal(start, pictures[0])
    way.step()
    np.testing.assert_array_equal(start, pictures[0])
    moved = np.abs(way.image() - start)
    # Adam's first update is the learning rate, whatever the gradient.
    assert np.median(moved) == pytest.approx(D2L.optimizer.learning_rate, rel=1e-3)


def test_a_matrix_product_of_ones_sums_the_inner_side(backend):
    assert published_way.PRODUCTS[backend.name]()() == published_way.LEFT[1]
