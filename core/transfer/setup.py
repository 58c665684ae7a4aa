"""All that a run needs before its first evaluation: weights, pictures, sizes, framework, device, tiles."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from isostyle import registry
from isostyle.errors import InputError
from isostyle.interface import Array, Backend, Engine, Parameters
from isostyle.recipe import Recipe
from isostyle.tiles import TiledEngine
from isostyle.transfer import memory_plan
from isostyle.transfer.checkpoint import RunCheckpoint
from isostyle.transfer.inputs import Pictures, read_pictures
from isostyle.transfer.levels import RunLevel, plan_levels
from isostyle.transfer.memory_plan import Choice
from isostyle.transfer.plan import Resizing, changed_aspects, plan
from isostyle.transfer.request import Request
from isostyle.weights import store
from isostyle.weights.store import Weights


@dataclass
class Setup:
    """What :func:`set_up` has found and chosen."""

    request: Request
    weights: Weights
    #: Of the layers up to the deepest that the recipe taps.
    parameters: Parameters
    pictures: Pictures
    #: At the full size, by role.
    resizings: dict[str, Resizing]
    framework: Backend
    device: str
    threads: int
    choice: Choice
    levels: list[RunLevel]
    #: The image that the run starts from, shape (1, 3, H, W); none if it goes on. It is taken out when it is needed.
    start: list[Array]

    @property
    def recipe(self) -> Recipe:
        """As it runs: a history of L-BFGS may be shorter than what was asked for."""
        return self.choice.recipe

    @property
    def computer(self) -> dict[str, Any]:
        """What computes, ready for JSON."""
        return {
            "name": self.framework.name,
            "version": self.framework.version(),
            "device": self.device,
            "dtype": self.request.dtype,
            "precision": self.request.precision,
        }

    def engine(self) -> Engine:
        """The network on its device; in tiles if the picture does not fit as a whole."""
        request, network = self.request, self.weights.network
        engine = self.framework.prepare(
            network, self.parameters, device=self.device, dtype=request.dtype, precision=request.precision
        )
        return engine if self.choice.tile is None else TiledEngine(engine, network, self.choice.tile)


def set_up(request: Request, before: RunCheckpoint | None, log: Callable[[str], None]) -> Setup:
    """Read, check and choose. What cannot be is an error as early as it is known: before pictures are read, and before a
    framework is imported.

    Raises:
        InputError: something that was asked for cannot be.
    """
    weights = store.load(request.network)
    if before is not None and weights.digest != before.settings["network_sha256"]:
        raise InputError(f"the network {request.network!r} is not the one that this run began with")
    parameters = weights.cut(request.recipe.taps)
    pictures = read_pictures(request.inputs, None if before is None else before.inputs)
    resizings = plan(pictures.pixels, request.recipe, weights.network)

    threads = registry.default_threads() if request.threads is None else request.threads
    framework = registry.load(request.backend, threads)
    device = registry.choose_device(request.device, framework.devices(), framework.name)
    gpu = device != "cpu"
    if gpu:  # some rules for sizes ask
        resizings = plan(pictures.pixels, request.recipe, weights.network, gpu=True)

    sizes = resizings["content"].final, resizings["style"].final
    model = memory_plan.Model(request.recipe, weights.network, framework.name, request.dtype, *sizes)
    choice = memory_plan.choose(model, request.tile, request.max_memory, on_cpu=not gpu)
    levels, left_out = plan_levels(pictures.pixels, choice.recipe, weights.network, request.dtype, gpu=gpu)
    lines = [*pictures.lines, *changed_aspects(pictures.pixels, resizings), *left_out, *choice.lines]
    pictures.fit_alpha(resizings["content"])
    start = [] if before else [levels[0].start(request.seed)]
    setup = Setup(request, weights, parameters, pictures, resizings, framework, device, threads, choice, levels, start)
    tell(setup, lines, before, log)
    return setup


def tell(setup: Setup, lines: list[str], before: RunCheckpoint | None, log: Callable[[str], None]) -> None:
    """What the user should know before the first evaluation."""
    threads = f"{setup.threads} thread{'s' * (setup.threads > 1)}"
    how = [setup.device, threads, setup.request.dtype, *(["fast"] if setup.request.precision == "fast" else [])]
    log(f"backend {setup.framework.name} {setup.framework.version()} on {', '.join(how)}")
    for line in lines:
        log(line)
    asked, made = (sum(getattr(level.recipe, count) for level in setup.levels) for count in ("steps", "updates"))
    if made != asked:
        log(f"{made} evaluations: the recipe's {asked}, up to a whole block of L-BFGS")
    if before is None:
        return
    log(f"going on from evaluation {before.history[-1]['evaluation']}")
    if {**setup.computer, "threads": setup.threads} != before.backends[-1]:
        log("another framework, version, device or number of threads than before: not to the same bits")
