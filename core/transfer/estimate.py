"""``isostyle.estimate``: what a run would do, without doing it, and how long it would take, by a probe of a few steps."""

from __future__ import annotations

import dataclasses
import inspect
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from isostyle.images.decode import ImageLike
from isostyle.optim import Memory, dot
from isostyle.recipe import LbfgsSettings, Recipe
from isostyle.registry import LESS_MEMORY
from isostyle.system import memory
from isostyle.transfer.memory_plan import Choice, Model
from isostyle.transfer.request import Request, request_for, saving_for
from isostyle.transfer.run import Run, ignore
from isostyle.transfer.setup import Setup, set_up
from isostyle.transfer.styles import StyleLike
from isostyle.transfer.stylize import stylize

#: Steps that are timed at each level, after a first evaluation that comes with the targets and with what a framework does once.
#: A step is an update and the evaluation that follows it.
PROBED = 2
#: Pairs of an L-BFGS history that are timed, for all that a run will have.
PAIRS = 8
#: Arguments of :func:`isostyle.stylize` that say what becomes of a run, and not what is computed.
OF_RUNS = ("checkpoint", "checkpoint_every", "keep", "callback", "log")


@dataclass(frozen=True)
class LevelEstimate:
    """A level of a run's pyramid; sizes are (height, width)."""

    content: tuple[int, int]
    style: tuple[int, int]
    #: Those that the recipe counts.
    evaluations: int
    #: Seconds until its first evaluation is made, and of each one more.
    first: float
    step: float
    #: Seconds of all evaluations together, for what L-BFGS remembers by then; a probe ends before there is much.
    history: float
    #: Whether it is the last one: the finished picture is evaluated, too.
    is_last: bool

    @property
    def seconds(self) -> float:
        return self.first + (self.evaluations - 1 + self.is_last) * self.step + self.history


@dataclass(frozen=True)
class Estimate:
    """What a run would do."""

    #: With what was chosen in place of what was left open: backend, device, threads, and a history of L-BFGS that fits.
    request: Request
    #: The framework, its version, the device and the number of threads, in words.
    computer: str
    #: From coarse to fine; a run without a pyramid has one.
    levels: tuple[LevelEstimate, ...]
    #: The tile, and bytes: those that the run takes beyond what the process has, and those that it may take.
    choice: Choice
    #: Tiles of the content and of the style image at the full size; 1 is the whole image.
    tiles: tuple[int, int]
    #: Bytes that the machine has to spare; None if tensors live elsewhere.
    free: int | None
    #: What the user should know.
    lines: tuple[str, ...]

    @property
    def seconds(self) -> float:
        """Of the whole run, as its manifest has them; an estimate."""
        return sum(level.seconds for level in self.levels)


def estimate(content: ImageLike, style: StyleLike, *, log: Callable[[str], None] | None = None, **options: Any) -> Estimate:
    """What ``isostyle.stylize(content, style, **options)`` would do. An evaluation and two steps of each level are made;
    nothing is written.

    Args:
        content: as :func:`isostyle.stylize` has it.
        style: likewise.
        log: likewise.
        options: likewise. A checkpoint is not written, and a callback is not called.

    Raises:
        InputError: an argument cannot be used, as of :func:`isostyle.stylize`.
        IsostyleError: the first evaluations fail.
        TypeError: :func:`isostyle.stylize` has no such argument.
    """
    given = inspect.signature(stylize).bind(content, style, **options)
    given.apply_defaults()
    saving_for(*(given.arguments[name] for name in ("checkpoint", "checkpoint_every", "keep")))
    request = request_for(**{name: value for name, value in given.arguments.items() if name not in OF_RUNS})
    lines: list[str] = []
    setup = set_up(request, None, lines.append)
    for line in lines:
        (log or ignore)(line)
    free = memory.available() if setup.framework.device == "cpu" else None
    # The first line says what computes, which ``computer`` does.
    return Estimate(setup.request, str(setup.framework), probe(setup), setup.choice, tiles_of(setup), free, tuple(lines[1:]))


def probe(setup: Setup) -> tuple[LevelEstimate, ...]:
    """Run the first steps of each level, one level after the other, as the run itself would.

    Each level is timed: a step is not proportional to its pixels, since small pictures fit into the cache.
    """
    evaluations = [level.recipe.updates for level in setup.levels]
    seconds: list[list[float]] = [[] for _ in setup.levels]
    for level in setup.levels:
        # The last level's finished picture is evaluated, which completes a step.
        level.recipe = shortened(level.recipe, PROBED if level.last else PROBED + 1)
    before = time.monotonic()
    for _ in Run(setup, None, [], None).events():
        now = time.monotonic()
        seconds[sum(level.begun for level in setup.levels) - 1].append(now - before)
        before = now
    found = []
    for level, count, (first, *others) in zip(setup.levels, evaluations, seconds, strict=True):
        # One that ends at once, since its gradient is 0, has no other.
        step = sum(others) / len(others) if others else first
        content, style = (level.resizings[role].final for role in ("content", "style"))
        history = history_seconds(setup, level.canvas, count)
        found.append(LevelEstimate(content, style, count, first, step, history, level.last))
    return tuple(found)


def history_seconds(setup: Setup, size: tuple[int, int], updates: int) -> float:
    """Seconds that so many updates take for the pairs that L-BFGS remembers, one more after each; 0 for Adam."""
    settings = setup.request.recipe.optimizer
    if not isinstance(settings, LbfgsSettings):
        return 0.0
    count = min(PAIRS, settings.history)

    def timed() -> float:
        """For one pair."""
        engine = setup.engine()
        gradient, *tensors = (engine.tensor(np.zeros((1, 3, *size), setup.request.dtype)) for _ in range(2 * count + 1))
        memory = Memory([(move, change, 1.0) for move, change in zip(tensors[::2], tensors[1::2], strict=True)], 1.0)
        before = time.monotonic()
        # The product waits for a framework that computes later.
        dot(memory.downhill(gradient), gradient)
        return (time.monotonic() - before) / count

    with setup.framework.failures("size {}x{}".format(*size), LESS_MEMORY):
        return setup.framework.inside(timed)() * remembered(updates, settings.history)


def remembered(updates: int, history: int) -> int:
    """Pairs that so many updates of L-BFGS look at together: 0 + 1 + 2 + ..., each at most ``history``."""
    growing = min(updates, history)
    return growing * (growing - 1) // 2 + (updates - growing) * history


def shortened(recipe: Recipe, steps: int) -> Recipe:
    """``recipe`` with so many evaluations at the most, and with a block of L-BFGS that is no longer."""
    optimizer = recipe.optimizer
    if isinstance(optimizer, LbfgsSettings):
        optimizer = dataclasses.replace(optimizer, iterations=min(optimizer.iterations, steps))
    return dataclasses.replace(recipe, steps=min(recipe.steps, steps), optimizer=optimizer)


def tiles_of(setup: Setup) -> tuple[int, int]:
    """How many tiles the content and the style image have at the full size."""
    if (tile := setup.choice.tile) is None:
        return 1, 1
    content, style = (setup.resizings[role].canvas for role in ("content", "style"))
    recipe, request = setup.request.recipe, setup.request
    model = Model(recipe, setup.weights.network, request.backend, request.dtype, content, style)
    return model.count(content, recipe.taps, tile), model.count(style, [tap for tap, _ in recipe.style_layers], tile)
