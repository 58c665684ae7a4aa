"""The published recipes, held to what their sources' code does, by running that code's way of doing it."""

import dataclasses

import numpy as np
import pytest
from conftest import BACKENDS, EPS, obtain, relative_error

from isostyle.conformance.oracle import pictures as oracle
from isostyle.published import ON_COMPACT, RECIPES, TUTORIAL, find
from isostyle.recipe import LbfgsSettings
from isostyle.transfer.descent import run

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
    for indices, taps in ((content_indices, find(recipe).content_layers), (style_indices, find(recipe).style_layers)):
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
    unit = [(x * oracle.STD[:, None, None] + oracle.MEAN[:, None, None]) for x in (content, style)]
    targets = engine.targets(recipe, *unit)
    image = unit[0] if start == "content" else np.random.RandomState(6).standard_normal(content.shape)

    objective = engine.objective(recipe, targets)
    parameter = torch.nn.Parameter(torch.tensor(image))
    optimizer = torch.optim.LBFGS([parameter])
    counted, totals = [0], []

    def closure():
        parameter.data.clamp_(0, 1)
        optimizer.zero_grad()
        evaluation = objective(parameter)
        parameter.grad = evaluation.gradient
        counted[0] += 1
        totals.append(float(evaluation.terms["total"]))
        return evaluation.terms["total"]

    while counted[0] < evaluations:
        optimizer.step(closure)
    parameter.data.clamp_(0, 1)

    events = list(run(engine, recipe, targets, image))
    assert [event.evaluation for event in events] == list(range(1, evaluations + 2))
    np.testing.assert_allclose([event.terms["total"] for event in events[:-1]], totals, rtol=tolerance)
    np.testing.assert_allclose(events[-1].image(), parameter.detach().numpy(), atol=tolerance)


def test_the_tutorial_makes_320_evaluations_because_its_loop_looks_between_blocks_only():
    counted = 0
    while counted <= 300:
        counted += TUTORIAL.optimizer.iterations
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
            "d2l-mxnet-tab": {"optimizer"},
            "d2l-torch-tab": {"content_layers", "style_layers"},
            "tutorial-square": {"size", "style_size"},
            "wei-pre": {"content_layers", "style_layers"},
            "lookcc-content": {"without_gradient"},
            "gatys2016-max": {"pooling"},
        }[name]
    )


#: What the sources' code says, typed from it by hand: taps with their weights, Gram divisor, reductions, weights of content,
#: style and total variation, optimized space, start, optimizer, schedule, steps, sizes, and when it reports.
FIRST_OF_BLOCKS = "{0}1_1 {0}2_1 {0}3_1 {0}4_1 {0}5_1"
ADAM = (0.9, 0.999, 1e-8)
LBFGS = (1.0, 20, 100, 1e-7, 1e-9)
#: How much louder Gatys' input is than one divided by ImageNet's std.
CAFFE = 255 * 0.226
TYPED = {
    "d2l": ("conv4_4", FIRST_OF_BLOCKS.format("conv"), [1, 1, 1, 1, 1], "chw mean mean", (1, 1e4, 10),
            "normalized", "content", (0.3, *ADAM), (50, 0.8), 500, ((300, 450), (300, 450)), [10, 20]),
    "tutorial-square": ("conv2_2", "conv1_1 conv1_2 conv2_1 conv2_2 conv3_1", [1, 1, 1, 1, 1], "chw mean mean", (1, 1e6, 0),
                        "unit", "content", LBFGS, None, 320, ((512, 512), (512, 512)), [50, 100]),
    "wei": ("relu4_2", FIRST_OF_BLOCKS.format("relu"), [1, 0.75, 0.2, 0.2, 0.2], "1 mean mean/chw", (1, 1e6, 0),
            "normalized", "content", (3e-4, *ADAM), None, 5000, ((400, 533), (400, 533)), [100, 200]),
    "lookcc": ("relu4_4", "relu1_2 relu2_2 relu3_4 relu4_4 relu5_4", [1, 1, 1, 1, 1], "1 mean mean/chw", (1, 1000, 0),
               "normalized", "content", (0.05, *ADAM), None, 1000, ((600, 800), (900, 600)), [1, 11]),
    "gatys2016": ("relu4_2", FIRST_OF_BLOCKS.format("relu"), [0.2] * 5, "1 half-sum quarter-sum", (1, 3e4 * CAFFE**2, 0),
                  "normalized", "noise", LBFGS, None, 1000, ((600, 800), (600, 800)), [50, 100]),
    "gatys-notebook": ("relu4_2", FIRST_OF_BLOCKS.format("relu"), [1e3 / n**2 for n in (64, 128, 256, 512, 512)],
                       "hw mean mean", (1, CAFFE**2, 0), "normalized", "content", LBFGS, None, 520,
                       ((512, 682), (768, 512)), [50, 100]),
    "crowsonkb": ("relu4_2", FIRST_OF_BLOCKS.format("relu"), [256 / 341, 64 / 341, 16 / 341, 4 / 341, 1 / 341],
                  "hw mean wasserstein", (0.015, 1, 2), "unit", "content", (0.02, 0.9, 0.99, 1e-8), None, 3000,
                  ((384, 512), (512, 341)), [50, 100]),
    "neural-style": ("relu4_2", FIRST_OF_BLOCKS.format("relu"), [1, 1, 1, 1, 1], "chw mean mean",
                     (5, 100 * (256 * 0.226) ** 2, 1e-3), "normalized", "noise", (1.0, 20, 100, 0, 0), None, 1000,
                     ((384, 512), (512, 341)), [50, 100]),
}  # fmt: skip


@pytest.mark.parametrize("name", TYPED)
def test_a_recipe_has_the_numbers_that_its_source_has(name):
    """Independent of conformance's published.json, which core itself wrote."""
    recipe = find(name)
    content, style, weights, formulas, terms, space, start, optimizer, schedule, updates, sizes, reported = TYPED[name]
    assert recipe.content_layers == ((content, 1.0),)
    assert recipe.style_layers == tuple(zip(style.split(), weights, strict=True))
    assert f"{recipe.gram_divisor} {recipe.content_reduction} {recipe.style_reduction}" == formulas
    assert (recipe.content_weight, recipe.style_weight, recipe.tv_weight) == terms
    assert (recipe.space, recipe.clamped, recipe.start) == (space, space == "unit", start)
    assert tuple(value for value in vars(recipe.optimizer).values() if not isinstance(value, str)) == optimizer
    assert getattr(recipe.optimizer, "line_search", "none") == ("strong-wolfe" if name == "gatys2016" else "none")
    assert ((recipe.schedule.every, recipe.schedule.factor) if schedule else None) == schedule
    assert recipe.updates == updates
    own = [recipe.size.fit(*shape) for shape in ((600, 800), (900, 600))]
    assert (own[0], own[0] if recipe.style_size == "content" else own[1]) == sizes
    assert [evaluation for evaluation in range(1, 201) if recipe.report.due(evaluation)][:2] == reported
    assert recipe.pooling == ("average" if name == "gatys2016" else "max")
    assert recipe.without_gradient == (("content",) if name == "lookcc" else ())


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
def test_a_recipe_names_its_source(recipe):
    assert recipe.source


@pytest.mark.parametrize("name", ["isostyle", "painterly", "one-pass", "gatys2016", "gatys2016-max"])
def test_a_recipe_says_what_is_ours(name):
    assert any(note.startswith("Ours:") for note in find(name).notes)


def test_what_is_said_of_the_compact_network_is_said_of_recipes():
    assert set(ON_COMPACT) < set(RECIPES)


def test_every_lbfgs_recipe_has_torch_s_defaults_but_for_the_line_search(torch):
    optimizer = torch.optim.LBFGS([torch.nn.Parameter(torch.zeros(1))])
    (group,) = optimizer.param_groups
    for recipe in RECIPES.values():
        if isinstance(settings := recipe.optimizer, LbfgsSettings) and recipe.name != "neural-style":
            assert (settings.learning_rate, settings.iterations, settings.history) == (
                group["lr"],
                group["max_iter"],
                group["history_size"],
            )
            assert (settings.tolerance_gradient, settings.tolerance_change) == (
                group["tolerance_grad"],
                group["tolerance_change"],
            )
