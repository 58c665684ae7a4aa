"""The published recipes, held to what their sources' code does, by running that code's way of doing it."""

import dataclasses

import numpy as np
import pytest
from conftest import BACKENDS, EPS, obtain, relative_error

from isostyle.conformance import oracle
from isostyle.published import D2L, RECIPES, TUTORIAL, find
from isostyle.recipe import LbfgsSettings
from isostyle.run import run

#: L-BFGS without a line search takes the same steps as torch's own, in float64, for so many evaluations to within this.
TWENTY_EVALUATIONS, FORTY_EVALUATIONS = 1e-9, 1e-6


@pytest.fixture
def torch():
    """The framework that the sources use."""
    if "torch" not in BACKENDS:
        pytest.skip("torch is not among ISOSTYLE_TEST_BACKENDS")
    obtain("torch")
    import torch

    return torch


def in_place_maps(torch, network, parameters, image, last):
    """Every layer's map up to index ``last``, kept while torchvision's layers, ReLU(inplace=True) among them, run on."""
    kept, x = [], torch.tensor(image)
    for layer in network.layers[: last + 1]:
        if layer.kind == "conv":
            weight, bias = (torch.tensor(parameters[f"{layer.name}.{part}"], dtype=x.dtype) for part in ("weight", "bias"))
            x = torch.nn.functional.conv2d(x, weight, bias, padding=1)
        else:
            x = torch.nn.ReLU(inplace=True)(x) if layer.kind == "relu" else torch.nn.functional.max_pool2d(x, 2)
        kept.append(x)
    return [x.numpy() for x in kept]


@pytest.mark.parametrize(
    ("recipe", "content_indices", "style_indices", "last"),
    [
        # d2l keeps the network up to its last tap, 28.
        ("d2l-torch-tab", [25], [0, 5, 10, 19, 28], 28),
        # wei's loop runs over all layers; in its names '21' is the content tap.
        ("wei", [21], [0, 5, 10, 19, 28], 36),
        # lookcc's taps are ReLUs anyway.
        ("lookcc", [26], [3, 8, 17, 26, 35], 36),
    ],
)
def test_taps_hold_what_torchvision_s_in_place_relu_leaves_there(
    torch, network, parameters, reference, noisy, recipe, content_indices, style_indices, last
):
    maps = in_place_maps(torch, network, parameters, noisy, last)
    for indices, taps in ((content_indices, find(recipe).content_taps), (style_indices, find(recipe).style_taps)):
        names = [tap for tap, _ in taps]
        expected = reference.features(noisy, names)
        for index, name in zip(indices, names, strict=True):
            assert relative_error(maps[index], expected[name]) < 64 * EPS["float64"], name


@pytest.mark.parametrize(("evaluations", "tolerance"), [(20, TWENTY_EVALUATIONS), (40, FORTY_EVALUATIONS)])
@pytest.mark.parametrize("start", ["content", "noise"])
def test_the_tutorial_s_loop_with_torch_s_own_lbfgs_gives_the_same_picture(
    torch, network, parameters, content, style, start, evaluations, tolerance
):
    """torch.optim.LBFGS as it comes, a closure that clamps its parameter in place and counts, and a clamp at the end."""
    engine = obtain("torch").prepare(network, parameters, device="cpu", dtype="float64")
    recipe = dataclasses.replace(TUTORIAL, steps=evaluations)
    unit = [(x * oracle.DEVIATION[:, None, None] + oracle.MEAN[:, None, None]) for x in (content, style)]
    targets = engine.targets(recipe, *unit)
    image = unit[0] if start == "content" else np.random.RandomState(6).standard_normal(content.shape)

    objective = engine.objective(recipe, targets)
    parameter = torch.nn.Parameter(torch.tensor(image))
    optimiser = torch.optim.LBFGS([parameter])
    counted, totals = [0], []

    def closure():
        parameter.data.clamp_(0, 1)
        optimiser.zero_grad()
        evaluation = objective(parameter)
        parameter.grad = evaluation.gradient
        counted[0] += 1
        totals.append(float(evaluation.terms["total"]))
        return evaluation.terms["total"]

    while counted[0] < evaluations:
        optimiser.step(closure)
    parameter.data.clamp_(0, 1)

    events = list(run(engine, recipe, targets, image))
    assert [event.evaluation for event in events] == list(range(1, evaluations + 2))
    np.testing.assert_allclose([event.terms["total"] for event in events[:-1]], totals, rtol=tolerance)
    np.testing.assert_allclose(events[-1].image(), parameter.detach().numpy(), atol=tolerance)


def test_the_tutorial_makes_320_evaluations_because_its_loop_looks_between_blocks_only():
    counted = 0
    while counted <= 300:
        counted += TUTORIAL.optimiser.iterations
    assert TUTORIAL.updates == counted == 320


@pytest.mark.parametrize(
    "name", ["d2l-mxnet-tab", "d2l-torch-tab", "tutorial-square", "wei-pre", "lookcc-content", "gatys2016-max"]
)
def test_a_variant_differs_from_its_recipe_in_what_it_is_named_for_and_nothing_else(name):
    variant, base = find(name), find(name.rpartition("-")[0].removesuffix("-torch").removesuffix("-mxnet"))
    differing = {
        field.name
        for field in dataclasses.fields(variant)
        if field.name not in ("name", "source", "notes") and getattr(variant, field.name) != getattr(base, field.name)
    }
    assert (
        differing
        == {
            "d2l-mxnet-tab": {"optimiser"},
            "d2l-torch-tab": {"content_taps", "style_taps"},
            "tutorial-square": {"size", "style_size"},
            "wei-pre": {"content_taps", "style_taps"},
            "lookcc-content": {"without_gradient"},
            "gatys2016-max": {"pooling"},
        }[name]
    )


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
def test_a_recipe_names_its_source_and_says_what_is_ours(recipe):
    assert recipe.source
    if recipe is not D2L and recipe.name.startswith(("isostyle", "painterly", "gatys")):
        assert any(note.startswith("Ours:") for note in recipe.notes)


def test_every_lbfgs_recipe_has_torch_s_defaults(torch):
    optimiser = torch.optim.LBFGS([torch.nn.Parameter(torch.zeros(1))])
    (group,) = optimiser.param_groups
    for recipe in RECIPES.values():
        if isinstance(settings := recipe.optimiser, LbfgsSettings):
            assert (settings.learning_rate, settings.iterations, settings.history) == (
                group["lr"],
                group["max_iter"],
                group["history_size"],
            )
            assert (settings.tolerance_gradient, settings.tolerance_change) == (
                group["tolerance_grad"],
                group["tolerance_change"],
            )
            assert group["line_search_fn"] is None
