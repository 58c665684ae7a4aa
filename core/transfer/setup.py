"""All that a run needs before its first evaluation: weights, pictures, sizes, framework, device, tiles."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from isostyle import registry
from isostyle.errors import InputError
from isostyle.images import arrays
from isostyle.interface import Array, Backend, Engine
from isostyle.tiles import TiledEngine
from isostyle.transfer import memory_plan
from isostyle.transfer.checkpoint import RunCheckpoint
from isostyle.transfer.inputs import Pictures, RunLevel, plan_levels, read_pictures
from isostyle.transfer.memory_plan import Choice
from isostyle.transfer.plan import Resizing, changed_aspects, plan
from isostyle.transfer.request import Request
from isostyle.weights import store
from isostyle.weights.store import Weights


@dataclass
class Setup:
    """What :func:`set_up` has found and chosen."""

    #: With what was chosen in place of what was left open: backend, device, threads, and a history of L-BFGS that fits.
    request: Request
    weights: Weights
    framework: Backend
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
        told = {name: getattr(self.request, name) for name in ("device", "dtype", "precision")}
        return {"name": self.framework.name, "version": self.framework.version(), **told}

    def engine(self) -> Engine:
        """The network on its device; in tiles if the picture does not fit as a whole."""
        request, network = self.request, self.weights.network
        # No weights beyond the deepest layer that the recipe taps.
        parameters = self.weights.cut(request.recipe.taps)
        how: dict[str, Any] = {name: getattr(request, name) for name in ("device", "dtype", "precision")}
        engine = self.framework.prepare(network, parameters, **how)
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
    pictures = read_pictures(request.inputs, None if before is None else before.inputs)
    resizings = plan(pictures.pixels, recipe, network)

    threads = registry.default_threads() if request.threads is None else request.threads
    framework = registry.load(request.backend, threads)
    device = registry.choose_device(request.device, framework.devices(), framework.name)
    on_cpu = device == "cpu"
    if not on_cpu:  # some rules for sizes differ there
        resizings = plan(pictures.pixels, recipe, network, gpu=True)

    sizes = resizings["content"].final, resizings["style"].final
    model = memory_plan.Model(recipe, network, framework.name, dtype, *sizes)
    choice = memory_plan.choose(model, request.tile, request.max_memory, on_cpu=on_cpu)
    levels, left_out = plan_levels(pictures.pixels, choice.recipe, network, dtype, gpu=not on_cpu)
    lines = [*pictures.lines, *changed_aspects(pictures.pixels, resizings), *left_out, *choice.lines]
    if pictures.alpha is not None:
        pictures.alpha = arrays.crop(arrays.resize(pictures.alpha, *resizings["content"].scaled), *resizings["content"].final)
    start = [] if before else [levels[0].start(request.seed)]
    request = dataclasses.replace(request, recipe=choice.recipe, backend=framework.name, device=device, threads=threads)
    setup = Setup(request, weights, framework, choice, pictures, resizings, levels, start)
    for line in told(setup, lines, before):
        log(line)
    return setup


def told(setup: Setup, lines: list[str], before: RunCheckpoint | None) -> list[str]:
    """What the user should know before the first evaluation."""
    request, count = setup.request, setup.request.threads or 1
    how = f"{request.device}, {count} thread{'s' * (count > 1)}, {request.dtype}{', fast' * (request.precision == 'fast')}"
    found = [f"backend {request.backend} {setup.framework.version()} on {how}", *lines]
    asked, made = (sum(getattr(level.recipe, count) for level in setup.levels) for count in ("steps", "updates"))
    if made != asked:
        found.append(f"{made} evaluations: the recipe's {asked}, up to a whole block of L-BFGS")
    if before is not None:
        found.append(f"going on from evaluation {before.history[-1]['evaluation']}")
        if {**setup.computer, "threads": count} != before.backends[-1]:
            found.append("another framework, version, device or number of threads than before: not to the same bits")
    return found
