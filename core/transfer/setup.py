"""All that a run needs before its first evaluation: weights, pictures, sizes, framework, device, tiles."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from isostyle import recipe_text, registry
from isostyle.errors import InputError
from isostyle.images import arrays
from isostyle.images.colors import OF_RESULT, Photograph
from isostyle.interface import Array, Engine
from isostyle.network import COMPACT
from isostyle.published import ON_COMPACT, RECIPES
from isostyle.registry import Framework
from isostyle.tiles import TiledEngine
from isostyle.transfer import memory_plan
from isostyle.transfer.checkpoint import RunCheckpoint
from isostyle.transfer.inputs import Pictures, RunLevel, plan_levels, read_pictures
from isostyle.transfer.memory_plan import Choice
from isostyle.transfer.override import FROM_NOTHING
from isostyle.transfer.plan import Resizing, changed_aspects, enlarged, fit, plan
from isostyle.transfer.request import Request
from isostyle.weights import store
from isostyle.weights.store import Weights


@dataclass
class Setup:
    """What :func:`set_up` has found and chosen."""

    #: With what was chosen in place of what was left open: backend, device, threads, and a history of L-BFGS that fits.
    request: Request
    weights: Weights
    framework: Framework
    choice: Choice
    pictures: Pictures
    #: At the full size, by role.
    resizings: dict[str, Resizing]
    levels: list[RunLevel]
    #: The image that the run starts from, shape (1, 3, H, W); none if it goes on. It is taken out when it is needed.
    start: list[Array]

    @property
    def computer(self) -> dict[str, Any]:
        """What computes, ready for JSON."""
        return {**self.framework.about, "dtype": self.request.dtype, "precision": self.request.precision}

    def engine(self) -> Engine:
        """The network on its device; in tiles if the picture does not fit as a whole."""
        request, network = self.request, self.weights.network
        # No weights beyond the deepest layer that the recipe taps.
        parameters = self.weights.cut(request.recipe.taps)
        device, backend = self.framework.device, self.framework.backend
        engine = backend.prepare(network, parameters, device=device, dtype=request.dtype, precision=request.precision)
        return engine if self.choice.tile is None else TiledEngine(engine, network, self.choice.tile)


def set_up(request: Request, before: RunCheckpoint | None, log: Callable[[str], None]) -> Setup:
    """Read, check and choose. What cannot be is an error as early as it is known: before pictures are read, or before a
    framework is imported.

    Raises:
        InputError: something that was asked for cannot be.
    """
    recipe, dtype, weights = request.recipe, request.dtype, store.load(request.network)
    network = weights.network
    if before is not None and weights.digest != before.settings["network_sha256"]:
        raise InputError(f"the network {request.network!r} is not the one that this run began with")
    network.cut(recipe.taps)
    before_inputs = None if before is None else before.inputs
    pictures = read_pictures(request.inputs, request.weights, before_inputs, request.keep_colors)
    resizings = plan(pictures.pixels, recipe, network)

    framework = registry.start(request.backend, request.device, request.threads)
    on_cpu = framework.device == "cpu"
    if not on_cpu:  # some rules for sizes differ there
        resizings = plan(pictures.pixels, recipe, network, gpu=True)

    if pictures.alpha is not None:
        pictures.alpha = arrays.crop(arrays.resize(pictures.alpha, *resizings["content"].scaled), *resizings["content"].final)
    if request.keep_colors in OF_RESULT:  # before memory is counted: it stays
        pictures.photograph = Photograph(
            request.keep_colors, fit(pictures.pixels["content"], resizings["content"]), pictures.alpha
        )
    largest = max((resizings[role].canvas for role in request.weights), key=math.prod)
    sizes = resizings["content"].canvas, largest
    model = memory_plan.Model(recipe, network, framework.backend.name, dtype, *sizes)
    choice = memory_plan.choose(model, request.tile, request.max_memory, on_cpu=on_cpu)
    levels, left_out = plan_levels(pictures.pixels, request.weights, choice.recipe, network, dtype, gpu=not on_cpu)
    lines = [*pictures.lines, *changed_aspects(pictures.pixels, resizings)]
    for role in request.weights:
        lines += enlarged(pictures.pixels[role], resizings[role], recipe)
    lines += [*left_out, *choice.lines]
    start = [] if before else [levels[0].start(request.seed)]
    name, device, threads = framework.backend.name, framework.device, framework.threads
    request = dataclasses.replace(request, recipe=choice.recipe, backend=name, device=device, threads=threads)
    setup = Setup(request, weights, framework, choice, pictures, resizings, levels, start)
    for line in told(setup, lines, before):
        log(line)
    return setup


def told(setup: Setup, lines: list[str], before: RunCheckpoint | None) -> list[str]:
    """What the user should know before the first evaluation."""
    request, recipe = setup.request, setup.request.recipe
    found = [f"{setup.framework}, {request.dtype}{', fast' * (request.precision == 'fast')}", *lines]
    name = recipe.name.removesuffix(recipe_text.CHANGED)
    if request.network == COMPACT.name and name in ON_COMPACT:
        found.append(f"{name} was made for VGG-19: on compact it {ON_COMPACT[name]}; take vgg16-padded")
    starts_as_published = name in RECIPES and RECIPES[name].start == recipe.start
    if recipe.start in FROM_NOTHING and not recipe.pyramid and not starts_as_published:
        found.append(f"from {recipe.start} and without a pyramid, little of the photograph comes back")
    if setup.pictures.gray:
        found.append(f"{'all pictures are' if request.keep_colors is None else 'the photograph is'} gray, and so is the result")
    asked, made = (sum(getattr(level.recipe, count) for level in setup.levels) for count in ("steps", "updates"))
    if made != asked:
        found.append(f"{made} evaluations: the recipe's {asked}, up to a whole block of L-BFGS")
    if before is not None:
        found.append(f"going on from evaluation {before.history[-1]['evaluation']}")
        if {**setup.computer, "threads": setup.framework.threads} != before.backends[-1]:
            found.append("another framework, version, device or number of threads than before: not to the same bits")
    return found
