"""Adam and L-BFGS, on NumPy arrays, against their formulas and against torch's own."""

import itertools
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
from conftest import FUNCTIONS, RECORDED, SEARCHES, obtain, valley

from isostyle.conformance.inputs import shipped_inputs
from isostyle.interface import Evaluation
from isostyle.optim import Adam, Judgment, Lbfgs, SearchingLbfgs
from isostyle.published import D2L
from isostyle.recipe import AdamSettings, LbfgsSettings, StepDecay

SETTINGS = AdamSettings(learning_rate=0.3)
SCHEDULE = StepDecay(every=4, factor=0.8)


def descend(gradients, start):
    adam = Adam(SETTINGS, SCHEDULE)
    state = adam.start(start)
    for gradient in gradients:
        state = adam.step(state, lambda image, gradient=gradient: (image, Evaluation({}, gradient))).state
    return state


@pytest.fixture(params=[1.0, 1e-3, 1e-6], ids=lambda scale: f"gradients of {scale:g}")
def gradients(request):
    """Ten of them; small ones show where epsilon is added."""
    return np.random.RandomState(0).standard_normal((10, 2, 3)) * request.param


def test_adam_agrees_with_kingma_and_ba(gradients):
    x, m, v = np.zeros((2, 3)), 0, 0
    for t, g in enumerate(gradients, start=1):
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
        x = x - 0.3 * 0.8 ** ((t - 1) // 4) * (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)
    np.testing.assert_allclose(descend(gradients, np.zeros((2, 3)))["image"], x, rtol=1e-12)


def test_adam_agrees_with_torch_s_own(gradients):
    torch = pytest.importorskip("torch", reason="torch is not installed: pip install 'isostyle[torch]'")
    parameter = torch.nn.Parameter(torch.zeros(2, 3, dtype=torch.float64))
    optimizer = torch.optim.Adam([parameter], lr=0.3)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 4, 0.8)
    for gradient in gradients:
        parameter.grad = torch.from_numpy(gradient)
        optimizer.step()
        scheduler.step()
    np.testing.assert_allclose(descend(gradients, np.zeros((2, 3)))["image"], parameter.detach().numpy(), rtol=1e-12)


def test_a_step_goes_on_from_the_point_that_was_evaluated():
    """A recipe that clamps moves the point before it is evaluated."""
    adam = Adam(SETTINGS, SCHEDULE)
    state = adam.step(adam.start(np.array([5.0])), lambda image: (image.clip(0, 1), Evaluation({}, np.array([2.0])))).state
    np.testing.assert_allclose(state["image"], [1 - 0.3], rtol=1e-7)


def test_a_step_changes_no_array_in_place():
    start = np.ones(3)
    descend([np.ones(3)], start)
    np.testing.assert_array_equal(start, 1)


def test_the_state_is_all_that_is_needed_to_go_on():
    gradients = np.random.RandomState(1).standard_normal((6, 3))
    adam = Adam(SETTINGS, SCHEDULE)
    state = descend(gradients[:3], np.zeros(3))
    state = dict(state)
    for gradient in gradients[3:]:
        state = adam.step(state, lambda image, gradient=gradient: (image, Evaluation({}, gradient))).state
    np.testing.assert_array_equal(state["image"], descend(gradients, np.zeros(3))["image"])


# L-BFGS


#: L-BFGS that neither converges nor ends a block.
ENDLESS = LbfgsSettings(tolerance_gradient=0, tolerance_change=0)


def evaluate(x):
    value, gradient = valley(x)
    return x, Evaluation({"total": value}, gradient)


@pytest.mark.parametrize("history", [3, 100])
def test_lbfgs_takes_the_steps_that_torch_took(history):
    lbfgs = Lbfgs(replace(ENDLESS, learning_rate=0.5, history=history))
    state = lbfgs.start(np.array(RECORDED["start"]))
    for expected in RECORDED["lbfgs"][str(history)][1:]:
        state = lbfgs.step(state, evaluate).state
        np.testing.assert_allclose(state["image"], expected, rtol=1e-10)


def test_lbfgs_keeps_no_more_pairs_than_its_history():
    lbfgs = Lbfgs(replace(ENDLESS, history=3))
    state = lbfgs.start(np.array(RECORDED["start"]))
    for _ in range(8):
        state = lbfgs.step(state, evaluate).state
    assert state["pairs"] == 3
    assert sorted(name for name in state if name.startswith("move") and name != "move") == ["move0", "move1", "move2"]


def test_lbfgs_changes_no_array_in_place_and_goes_on_from_its_state_alone():
    lbfgs = Lbfgs(replace(ENDLESS, learning_rate=0.5))
    state = lbfgs.start(np.array(RECORDED["start"]))
    for _ in range(5):
        state = lbfgs.step(state, evaluate).state
    kept = {name: np.array(value, copy=True) for name, value in state.items()}
    one, other = lbfgs.step(state, evaluate).state, lbfgs.step(dict(state), evaluate).state
    np.testing.assert_array_equal(one["image"], other["image"])
    for name, value in kept.items():
        np.testing.assert_array_equal(state[name], value)


# L-BFGS with a line search


SEARCHING = replace(ENDLESS, line_search="strong-wolfe")


def settings_of(run):
    return replace(SEARCHING, learning_rate=run["rate"], iterations=run["iterations"], history=run["history"])


def search(settings, start, evaluations, function=valley):
    """The points that are evaluated, and the judgment of each; the first judgment is that of the start."""
    lbfgs = SearchingLbfgs(settings)
    points, judgments = [], [Judgment(lbfgs.start(np.array(start)), 0)]

    def evaluate(x):
        points.append(x)
        value, gradient = function(x)
        return x, Evaluation({"total": value}, gradient)

    for judgment in lbfgs.steps(judgments[0].state, evaluate):
        judgments.append(judgment)
        if len(points) == evaluations:
            break
    return points, judgments


@pytest.mark.parametrize("run", SEARCHES)
def test_lbfgs_with_a_line_search_looks_where_torch_looked(run):
    points, judgments = search(settings_of(run), run["start"], len(run["points"]) - 1, FUNCTIONS[run["function"]])
    # Rounding passes through some fifteen cubics, which have 1e-12 left of it on the waves.
    np.testing.assert_allclose([*points, judgments[-1].state["image"]], run["points"], rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize(("blocks", "history"), [(1, 100), (2, 100), (2, 3)])
def test_lbfgs_with_a_line_search_paints_as_torch_s_own(blocks, history):
    """The objective of d2l on the suite's photograph, in float64: every image that is evaluated, and the last."""
    torch = pytest.importorskip("torch", reason="torch is not installed: pip install 'isostyle[torch]'")
    inputs = shipped_inputs()
    weights = inputs.network("narrow")
    engine = obtain("torch").prepare(weights.network, weights.parameters, device="cpu", dtype="float64")
    content, style, start = inputs.scene("photo")
    objective = engine.objective(D2L, engine.targets(D2L, content, style))
    parameter = torch.nn.Parameter(engine.tensor(start))
    own = torch.optim.LBFGS([parameter], max_iter=10, history_size=history, line_search_fn="strong_wolfe")
    images, found = [], []

    def closure():
        images.append(engine.array(parameter))
        evaluation = objective(parameter.detach())
        parameter.grad = evaluation.gradient
        return evaluation.terms["total"]

    def evaluate(image):
        found.append(engine.array(image))
        return image, objective(image)

    for _ in range(blocks):
        own.step(closure)
    lbfgs = SearchingLbfgs(LbfgsSettings(iterations=10, history=history, line_search="strong-wolfe"))
    *_, last = itertools.islice(lbfgs.steps(lbfgs.start(engine.tensor(start)), evaluate), len(images))
    expected = [*images, engine.array(parameter)]
    np.testing.assert_allclose([*found, engine.array(last.state["image"])], expected, rtol=1e-9, atol=1e-9)


def test_the_image_is_never_a_trial():
    points, judgments = search(replace(SEARCHING, learning_rate=40.0), RECORDED["start"], 30)
    taken = [judgment for judgment in judgments[1:] if not judgment.tried]
    assert 0 < len(taken) < len(points)
    totals = [valley(judgment.state["image"])[0] for judgment in judgments]
    assert all(after <= before for before, after in itertools.pairwise(totals))
    for point, judgment in zip(points, judgments[1:], strict=True):
        assert np.array_equal(judgment.state["image"], point) == (not judgment.tried)


def test_a_state_stays_as_long_as_its_search_goes_on():
    _, judgments = search(replace(SEARCHING, learning_rate=40.0), RECORDED["start"], 30)
    assert all((before.state is after.state) == after.tried for before, after in itertools.pairwise(judgments))
    assert all(judgment.step == judgment.state["step"] for judgment in judgments)


def test_a_picture_that_a_search_takes_is_evaluated_again_by_a_new_block_only():
    points, judgments = search(replace(SEARCHING, iterations=4), RECORDED["start"], 16)
    for before, point, earlier in zip(judgments[1:], points[1:], points, strict=False):
        assert np.array_equal(point, earlier) == ("gradient" not in before.state)


def test_a_search_changes_no_array_in_place_and_goes_on_from_its_state_alone():
    settings = replace(SEARCHING, learning_rate=40.0)
    points, judgments = search(settings, RECORDED["start"], 30)
    begun = [i for i in range(len(points)) if judgments[i].state is not judgments[i - 1].state]
    for first in begun:
        kept = {name: np.array(value, copy=True) for name, value in judgments[first].state.items()}
        looked = []

        def evaluate_again(x, looked=looked):
            looked.append(x)
            return evaluate(x)

        again = SearchingLbfgs(settings).steps(judgments[first].state, evaluate_again)
        *_, last = itertools.islice(again, len(points) - first)
        np.testing.assert_array_equal(looked, points[first:])
        np.testing.assert_array_equal(last.state["image"], judgments[-1].state["image"])
        for name, value in kept.items():
            np.testing.assert_array_equal(judgments[first].state[name], value)


def test_a_state_has_the_image_and_its_gradient_beside_its_pairs():
    _, judgments = search(replace(SEARCHING, learning_rate=40.0, history=2), RECORDED["start"], 30)
    states = [judgment.state for judgment in judgments]
    assert max(sum(isinstance(value, np.ndarray) for value in state.values()) - 2 * state["pairs"] for state in states) == 2


def test_a_search_keeps_three_more_images():
    """Its direction, its trial, and the gradient at the lower end of its bracket."""
    image = np.resize(RECORDED["start"], 100_000)
    size, alive = image.nbytes, []

    def evaluate_large(x):
        alive.append(tracemalloc.get_traced_memory()[0] / size)
        value, gradient = valley(x)
        return x, Evaluation({"total": value}, gradient)

    lbfgs = SearchingLbfgs(replace(SEARCHING, learning_rate=40.0, history=2))
    state = lbfgs.start(image)
    tracemalloc.start()
    try:
        for judgment in itertools.islice(lbfgs.steps(state, evaluate_large), 30):
            state = judgment.state
    finally:
        tracemalloc.stop()
    assert state["pairs"] == 2
    # The image, its gradient and two pairs are the state's.
    assert max(alive) < (2 + 2 * 2) + 3 + 0.1


def test_a_search_that_finds_nothing_lower_ends_the_run_and_says_so():
    """A value that rises in every direction, whatever the gradient says."""

    def lying(x):
        return np.abs(x - 1).sum() + 1, np.ones_like(x)

    points, judgments = search(replace(SEARCHING, iterations=4), np.ones(2), 50, lying)
    assert judgments[-1].note == "L-BFGS ended at step 2: its line search finds no lower total"
    np.testing.assert_array_equal(points[-1], np.ones(2))
    np.testing.assert_array_equal(judgments[-1].state["image"], np.ones(2))


def test_a_search_ends_where_the_gradient_is_within_its_tolerance():
    points, judgments = search(replace(SEARCHING, tolerance_gradient=1e-7), RECORDED["start"], 300)
    assert "the largest component of the gradient" in judgments[-1].note
    np.testing.assert_array_equal(points[-1], judgments[-1].state["image"])


def test_a_search_ends_where_it_no_longer_goes_downhill():
    _, judgments = search(
        LbfgsSettings(line_search="strong-wolfe", tolerance_gradient=0), np.ones(3), 9, lambda x: (1.0, x * 0 + 1e-6)
    )
    assert judgments[-1].note == ("L-BFGS ended at step 0: the directional derivative, -3e-12, is within its tolerance 1e-09")


def test_a_search_that_is_told_its_scale_first_tries_the_gradient_times_it():
    looked = []
    lbfgs = SearchingLbfgs(SEARCHING)
    judgments = lbfgs.steps(lbfgs.start(np.array(RECORDED["start"]), scale=0.25), lambda x: looked.append(x) or evaluate(x))
    next(judgments), next(judgments)
    np.testing.assert_allclose(looked[1] - looked[0], -0.25 * valley(np.array(RECORDED["start"]))[1])


# When L-BFGS ends, or a block of it does


def flat(gradient):
    """An evaluation that finds the same gradient everywhere, and no change of the total."""
    return lambda x: (x, Evaluation({"total": 1.0}, np.full_like(x, gradient)))


def test_lbfgs_ends_where_the_gradient_is_within_its_tolerance_and_says_so():
    lbfgs = Lbfgs(LbfgsSettings())
    judgment = lbfgs.step(lbfgs.start(np.ones(3)), flat(9e-8))
    assert (
        judgment.note == "L-BFGS ended at step 0: the largest component of the gradient, 9e-08, is within its tolerance 1e-07"
    )
    np.testing.assert_array_equal(judgment.state["image"], np.ones(3))


def test_lbfgs_ends_where_it_no_longer_goes_downhill():
    lbfgs = Lbfgs(LbfgsSettings(tolerance_gradient=0))
    judgment = lbfgs.step(lbfgs.start(np.ones(3)), flat(1e-6))
    assert judgment.note == "L-BFGS ended at step 0: the directional derivative, -3e-12, is within its tolerance 1e-09"


def test_a_block_of_lbfgs_ends_early_where_the_total_no_longer_changes_and_the_next_goes_on():
    lbfgs = Lbfgs(LbfgsSettings())
    _, second, third = itertools.islice(lbfgs.steps(lbfgs.start(np.ones(3)), flat(1.0)), 3)
    assert second.note == "a block of L-BFGS ended early after step 1: the change of the total, 0, is below 1e-09"
    assert (second.state["step"], second.state["block"]) == (1, 0)
    assert third.state["step"] == 2


def test_a_block_of_lbfgs_ends_early_where_no_pixel_moves():
    lbfgs = Lbfgs(LbfgsSettings(learning_rate=1e-12))
    _, second = itertools.islice(lbfgs.steps(lbfgs.start(np.ones(3)), evaluate), 2)
    assert "the furthest move" in second.note


def test_adam_ends_where_there_is_no_gradient_at_all():
    state = Adam(SETTINGS, SCHEDULE).start(np.ones(3))
    assert "the gradient is 0 everywhere" in Adam(SETTINGS, SCHEDULE).step(state, flat(0.0)).note
