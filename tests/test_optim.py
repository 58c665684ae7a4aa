"""Adam and L-BFGS, on NumPy arrays, against their formulas and against torch's own."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
from conftest import FUNCTIONS, RECORDED, SEARCHES, obtain, valley

from isostyle.conformance.inputs import shipped_inputs
from isostyle.interface import Evaluation
from isostyle.optim import Adam, Lbfgs, SearchingLbfgs
from isostyle.published import D2L
from isostyle.recipe import AdamSettings, LbfgsSettings, StepDecay

SETTINGS = AdamSettings(learning_rate=0.3)
SCHEDULE = StepDecay(every=4, factor=0.8)


def descend(gradients, start):
    adam = Adam(SETTINGS, SCHEDULE)
    state = adam.start(start)
    for gradient in gradients:
        state = adam.step(state, lambda image, gradient=gradient: (image, Evaluation({}, gradient)))
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
    state = adam.step(adam.start(np.array([5.0])), lambda image: (image.clip(0, 1), Evaluation({}, np.array([2.0]))))
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
        state = adam.step(state, lambda image, gradient=gradient: (image, Evaluation({}, gradient)))
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
        state = lbfgs.step(state, evaluate)
        np.testing.assert_allclose(state["image"], expected, rtol=1e-10)


def test_lbfgs_keeps_no_more_pairs_than_its_history():
    lbfgs = Lbfgs(replace(ENDLESS, history=3))
    state = lbfgs.start(np.array(RECORDED["start"]))
    for _ in range(8):
        state = lbfgs.step(state, evaluate)
    assert state["pairs"] == 3
    assert sorted(name for name in state if name.startswith("move") and name != "move") == ["move0", "move1", "move2"]


def test_lbfgs_changes_no_array_in_place_and_goes_on_from_its_state_alone():
    lbfgs = Lbfgs(replace(ENDLESS, learning_rate=0.5))
    state = lbfgs.start(np.array(RECORDED["start"]))
    for _ in range(5):
        state = lbfgs.step(state, evaluate)
    kept = {name: np.array(value, copy=True) for name, value in state.items()}
    one, other = lbfgs.step(state, evaluate), lbfgs.step(dict(state), evaluate)
    np.testing.assert_array_equal(one["image"], other["image"])
    for name, value in kept.items():
        np.testing.assert_array_equal(state[name], value)


# L-BFGS with a line search


SEARCHING = replace(ENDLESS, line_search="strong-wolfe")


def settings_of(run):
    return replace(SEARCHING, learning_rate=run["rate"], iterations=run["iterations"], history=run["history"])


def search(settings, start, evaluations, function=valley):
    """The points that are evaluated, and the states before each and after the last."""
    lbfgs = SearchingLbfgs(settings)
    states, points = [lbfgs.start(np.array(start))], []

    def evaluate(x):
        points.append(x)
        value, gradient = function(x)
        return x, Evaluation({"total": value}, gradient)

    while len(points) < evaluations and "end" not in states[-1]:
        states.append(lbfgs.step(states[-1], evaluate))
    return points, states


@pytest.mark.parametrize("run", SEARCHES)
def test_lbfgs_with_a_line_search_looks_where_torch_looked(run):
    points, states = search(settings_of(run), run["start"], len(run["points"]) - 1, FUNCTIONS[run["function"]])
    # Rounding passes through some fifteen cubics, which have 1e-12 left of it on the waves.
    np.testing.assert_allclose([*points, states[-1]["image"]], run["points"], rtol=1e-9, atol=1e-10)


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
    images = []

    def closure():
        images.append(engine.array(parameter))
        evaluation = objective(parameter.detach())
        parameter.grad = evaluation.gradient
        return evaluation.terms["total"]

    for _ in range(blocks):
        own.step(closure)

    lbfgs = SearchingLbfgs(LbfgsSettings(iterations=10, history=history, line_search="strong-wolfe"))
    state = lbfgs.start(engine.tensor(start))
    for expected in images:
        found = []
        state = lbfgs.step(state, lambda image, found=found: (found.append(image), (image, objective(image)))[1])
        np.testing.assert_allclose(engine.array(found[0]), expected, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(engine.array(state["image"]), engine.array(parameter), rtol=1e-9, atol=1e-9)


def test_the_image_is_never_a_trial():
    points, states = search(replace(SEARCHING, learning_rate=40.0), RECORDED["start"], 30)
    taken = [state for state in states[1:] if not state["tried"]]
    assert 0 < len(taken) < len(points)
    totals = [valley(state["image"])[0] for state in states]
    assert all(after <= before for before, after in itertools.pairwise(totals))
    for point, before, after in zip(points, states, states[1:], strict=False):
        if "trial" in before and after["tried"]:
            np.testing.assert_array_equal(after["image"], before["image"])
            assert after["step"] == before["step"]
        elif "trial" in before:
            np.testing.assert_array_equal(after["image"], point)
            assert after["step"] == before["step"] + 1


def test_a_picture_that_a_search_takes_is_evaluated_again_by_a_new_block_only():
    points, states = search(replace(SEARCHING, iterations=4), RECORDED["start"], 16)
    for before, point, earlier in zip(states[1:], points[1:], points, strict=False):
        assert np.array_equal(point, earlier) == ("trial" not in before)


def test_a_search_changes_no_array_in_place_and_goes_on_from_its_state_alone():
    settings = replace(SEARCHING, learning_rate=40.0)
    _, states = search(settings, RECORDED["start"], 30)
    assert any(state.get("zoom") for state in states)
    for state in states[:-1]:
        kept = {name: np.array(value, copy=True) for name, value in state.items()}
        one, other = (SearchingLbfgs(settings).step(dict(state), evaluate) for _ in range(2))
        assert one.keys() == other.keys()
        for name, value in one.items():
            np.testing.assert_array_equal(value, other[name])
        for name, value in kept.items():
            np.testing.assert_array_equal(state[name], value)


def test_a_search_keeps_few_images_beside_its_pairs():
    """image, gradient, direction and the gradient at the bracket's lower end."""
    _, states = search(replace(SEARCHING, learning_rate=40.0, history=2), RECORDED["start"], 30)
    assert max(sum(isinstance(value, np.ndarray) for value in state.values()) - 2 * state["pairs"] for state in states) == 4


def test_a_search_that_finds_nothing_lower_ends_the_run_and_says_so():
    """A value that rises in every direction, whatever the gradient says."""

    def lying(x):
        return np.abs(x - 1).sum() + 1, np.ones_like(x)

    points, states = search(replace(SEARCHING, iterations=4), np.ones(2), 50, lying)
    assert states[-1]["end"] == "L-BFGS ended at step 2: its line search finds no lower total"
    np.testing.assert_array_equal(points[-1], np.ones(2))
    np.testing.assert_array_equal(states[-1]["image"], np.ones(2))


def test_a_search_ends_where_the_gradient_is_within_its_tolerance():
    points, states = search(replace(SEARCHING, tolerance_gradient=1e-7), RECORDED["start"], 300)
    assert "the largest component of the gradient" in states[-1]["end"]
    np.testing.assert_array_equal(points[-1], states[-1]["image"])


def test_a_search_ends_where_it_no_longer_goes_downhill():
    _, states = search(
        LbfgsSettings(line_search="strong-wolfe", tolerance_gradient=0), np.ones(3), 9, lambda x: (1.0, x * 0 + 1e-6)
    )
    assert states[-1]["end"] == "L-BFGS ended at step 0: the slope downhill, 3e-12, is within its tolerance 1e-09"


def test_a_search_that_is_told_its_scale_first_tries_the_gradient_times_it():
    lbfgs = SearchingLbfgs(SEARCHING)
    state = lbfgs.step(lbfgs.start(np.array(RECORDED["start"]), scale=0.25), evaluate)
    np.testing.assert_allclose(state["direction"] * state["trial"], -0.25 * valley(np.array(RECORDED["start"]))[1])


# When L-BFGS ends, or a block of it does


def flat(slope):
    """An evaluation that finds the same gradient everywhere, and no change of the total."""
    return lambda x: (x, Evaluation({"total": 1.0}, np.full_like(x, slope)))


def test_lbfgs_ends_where_the_gradient_is_within_its_tolerance_and_says_so():
    lbfgs = Lbfgs(LbfgsSettings())
    state = lbfgs.step(lbfgs.start(np.ones(3)), flat(9e-8))
    assert state["end"] == "L-BFGS ended at step 0: the largest component of the gradient, 9e-08, is within its tolerance 1e-07"
    np.testing.assert_array_equal(state["image"], np.ones(3))


def test_lbfgs_ends_where_it_no_longer_goes_downhill():
    lbfgs = Lbfgs(LbfgsSettings(tolerance_gradient=0))
    state = lbfgs.step(lbfgs.start(np.ones(3)), flat(1e-6))
    assert state["end"] == "L-BFGS ended at step 0: the slope downhill, 3e-12, is within its tolerance 1e-09"


def test_a_block_of_lbfgs_ends_early_where_the_total_no_longer_changes_and_the_next_goes_on():
    lbfgs = Lbfgs(LbfgsSettings())
    state = lbfgs.step(lbfgs.start(np.ones(3)), flat(1.0))
    state = lbfgs.step(state, flat(1.0))
    assert state["note"] == "a block of L-BFGS ended early after step 1: the change of the total, 0, is below 1e-09"
    assert (state["step"], state["block"]) == (1, 0)
    assert lbfgs.step(state, flat(1.0))["step"] == 2


def test_a_block_of_lbfgs_ends_early_where_no_pixel_moves():
    lbfgs = Lbfgs(LbfgsSettings(learning_rate=1e-12))
    state = lbfgs.step(lbfgs.start(np.ones(3)), evaluate)
    assert "the furthest move" in lbfgs.step(state, evaluate)["note"]


def test_adam_ends_where_there_is_no_gradient_at_all():
    state = Adam(SETTINGS, SCHEDULE).start(np.ones(3))
    assert "the gradient is 0 everywhere" in Adam(SETTINGS, SCHEDULE).step(state, flat(0.0))["end"]
