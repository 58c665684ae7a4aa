"""A run: recipe x targets x engine -> a stream of events, one per evaluation of the objective."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from PIL.Image import Image

from isostyle.errors import IsostyleError
from isostyle.images.arrays import resize_array
from isostyle.images.colors import Photograph
from isostyle.interface import Array, Engine, Evaluation, Objective, Targets, Tensor
from isostyle.losses import first_non_finite, summed
from isostyle.optim import PLAIN, Adam, Judgment, State, optimizer
from isostyle.recipe import Recipe
from isostyle.transfer.styles import Weighted, targets_of


@dataclass(frozen=True)
class Position:
    """Where a run stands after an update: all that is needed to go on, to the same bits as if it had never stopped."""

    #: Of a pyramid, counted from 0.
    level: int
    #: Steps and evaluations of the levels before this one, and the scale of L-BFGS that they found; see :class:`Reached`.
    steps_before: int
    evaluations_before: int
    scale_before: float | None
    #: Evaluations of this level.
    evaluations: int
    #: The optimizer's, its tensors as NumPy arrays.
    state: State

    @property
    def evaluation(self) -> int:
        """The number of the last evaluation that came before."""
        return self.evaluations_before + self.evaluations


@dataclass(frozen=True)
class Event:
    """The losses of one picture. ``step`` counts the updates that made it: 0 is the start; of a ``trial``, those before it.

    Where a recipe shows averages, the losses are those of the image that is optimized, and ``image`` is the average."""

    step: int
    #: Counted from 1; the finished picture is evaluated too. More than ``step + 1`` only if L-BFGS ended a block early, or has
    #: a line search.
    evaluation: int
    #: Of the update that follows.
    learning_rate: float
    #: Weighted terms by name (``content/conv4_4``, ``style/conv1_1``, ..., ``tv``) and ``total``, their sum.
    terms: dict[str, float]
    #: The picture itself, in the recipe's space, shape (1, 3, H, W); copied from the device when it is called.
    image: Callable[[], Array]
    #: Of that picture, (height, width): the levels of a pyramid have smaller ones.
    size: tuple[int, int]
    #: The share of the run's work, at the most, that lies behind this evaluation; one costs as much as its picture has pixels.
    done: float
    #: Evaluations of the whole run, all its levels together, if no block ends early; without the finished picture's.
    planned: int
    #: Whether it is the last event, and the picture the result.
    finished: bool = False
    #: Whether a line search tried this picture and did not take it: no picture to keep, whatever its losses are.
    trial: bool = False
    #: Why the optimizer came to an end, or that a block of L-BFGS ended early.
    note: str | None = None
    #: Whether it is shown in gray, since all pictures of the run are; ``image`` has the colors that were optimized.
    gray: bool = False
    #: The content image's transparency at the full size, mode L; None if it has none.
    alpha: Image | None = None
    #: In whose colors it is shown, at the full size; None if in its own. ``image`` has its own.
    photograph: Photograph | None = None
    #: Where the run stands after this evaluation and the update that follows it; in the middle of a line search, where the
    #: search began. Copied from the device when it is called, which must be before the next event. None if the run is finished.
    position: Callable[[], Position] | None = None

    @property
    def losses(self) -> dict[str, float]:
        """content, style, tv and total: the terms of all taps added up."""
        return summed(self.terms)


class Diverged(IsostyleError):
    """The losses or the picture of a run can no longer be used."""


class ExplodingLoss(Diverged):
    """A total became far larger than it was at the beginning."""

    def __init__(self, total: float, largest: float, step: int) -> None:
        super().__init__(
            f"the total became {total:.4g} at step {step}, {total / largest:.0f} times what it was; try a smaller learning rate"
        )


class NonFiniteLoss(Diverged):
    """A loss became infinite or NaN. ``last_good`` is the last event before it that was no trial, or None."""

    def __init__(self, term: str, value: float, step: int, last_good: Event | None) -> None:
        self.term, self.value, self.step, self.last_good = term, value, step, last_good
        super().__init__(f"{term} became {value} at step {step}; try a smaller learning rate or smaller weights")


@dataclass(frozen=True)
class Reached:
    """How far a run has come at the end of a level."""

    step: int = 0
    evaluations: int = 0
    #: What L-BFGS has found: the length of its moves over that of gradients; None before its first update, and for Adam.
    scale: float | None = None
    #: Adam's moments and the number of steps in them, if the recipe takes them along.
    moments: State | None = None
    #: The last event of a picture that was no trial.
    last: Event | None = None
    #: None if the run is finished.
    image: Array | None = None


@dataclass(frozen=True)
class Part:
    """What part of a run a level of its pyramid is; by default the whole."""

    level: int = 0
    #: Where the level before it ended.
    before: Reached = Reached()
    #: The share of all work that lies before it, and its own.
    work: tuple[float, float] = (0.0, 1.0)
    #: Evaluations of all levels; None: its own.
    planned: int | None = None
    #: Whether its last picture is evaluated. If not, the next level does so, at its own size.
    finish: bool = True


def climb(
    engine: Engine,
    levels: Sequence[tuple[Recipe, tuple[int, int], Callable[[], tuple[Array, Sequence[Weighted]]]]],
    start: list[Array],
    position: Position | None = None,
) -> Iterator[Event]:
    """The events of a run that goes from coarse to fine: :func:`run` for each of ``levels``.

    Each level starts from the picture of the one before, resized. Steps and evaluations are counted on. The optimizer and its
    schedule begin anew, but a recipe may take Adam's moments along, resized, too; and L-BFGS with a line search is told its
    scale: losses are means over pixels, so the curvature that a pixel sees falls with their number, and its inverse grows.

    Args:
        engine: computes all levels.
        levels: of each the recipe, the size (height, width) and a function that makes the content image and the style images,
            each with its weight, all in the recipe's space, (1, 3, H, W).
        start: the first level's image, in a list from which it is taken, so that it lasts no longer than it is needed.
        position: where an interrupted run stood. It goes on from there, and ``start`` does not count.

    Raises:
        NonFiniteLoss: as :func:`run`.
    """
    reached = Reached()
    if position is not None:
        reached = Reached(position.steps_before, position.evaluations_before, position.scale_before)
    pixels = [math.prod(size) for _, size, _ in levels]
    planned = sum(recipe.updates for recipe, _, _ in levels)
    works = [recipe.updates * cost for (recipe, _, _), cost in zip(levels, pixels, strict=True)]
    for i, (recipe, size, pictures) in enumerate(levels):
        if position is not None and i < position.level:
            continue
        targets = targets_of(engine, recipe, *pictures())
        if reached.image is not None:
            start.append(resize_array(reached.image, *size))
            if reached.moments is not None:
                reached = dataclasses.replace(reached, moments=resized(reached.moments, *size))
            if reached.scale is not None:
                reached = dataclasses.replace(reached, scale=reached.scale * pixels[i] / pixels[i - 1])
        work = sum(works[:i]) / sum(works), works[i] / sum(works)
        part = Part(i, reached, work, planned, finish=i == len(levels) - 1)
        reached = yield from run(engine, recipe, targets, start.pop() if position is None else position, part)
        position = None


def resized(moments: State, height: int, width: int) -> State:
    """Moments at another size; the triangle's weights leave squares above 0."""
    return {name: resize_array(x, height, width) if isinstance(x, np.ndarray) else x for name, x in moments.items()}


def run(
    engine: Engine, recipe: Recipe, targets: Targets, start: Array | Position, part: Part = Part()
) -> Generator[Event, None, Reached]:
    """Optimize an image; an event for each evaluation.

    An event's losses belong to the picture *before* the update that follows it; the last event is the finished picture's.
    A run ends after ``recipe.updates`` updates, or earlier if its optimizer comes to an end. Evaluations that L-BFGS repeats,
    because a block of updates ended early, count too, as its published users count them.

    With a line search each trial is an evaluation and has an event, with the losses and the image that were tried. If the
    search takes it, it is the picture of the next step, as any other; if not, it is a ``trial``. (A search that gives up takes
    an earlier trial. The next block's first evaluation tells of that picture again.) After ``recipe.steps`` evaluations a
    search that goes on is dropped, and the last picture is the one that it began from.

    Args:
        engine: computes.
        recipe: what is minimized, and how; without a pyramid.
        targets: what the image is pulled toward.
        start: the image to begin with, in the recipe's space, (1, 3, H, W); or where an interrupted run stood, whose other
            events then follow.
        part: what part of the run this is, if it goes from coarse to fine.

    Raises:
        NonFiniteLoss: a term, or a pixel of the image, is no longer finite. At a trial that is no error: the search shortens.
    """
    descent = Descent(engine, recipe, engine.objective(recipe, targets), start, part)
    del start  # as large as the picture
    yield from descent.events()
    return descent.end()


class Descent:
    """One level of a run: evaluates what its optimizer asks for, and makes an event of each judgment."""

    def __init__(self, engine: Engine, recipe: Recipe, objective: Objective, start: Array | Position, part: Part) -> None:
        self.engine, self.recipe, self.objective, self.part = engine, recipe, objective, part
        self.method = optimizer(recipe)
        #: The optimizer's, after the last update.
        self.state: State
        #: Evaluations of this level: all, and those before ``state``.
        self.evaluations = self.standing = 0
        if isinstance(start, Position):
            self.state = self.on_device(start.state)
            self.evaluations = self.standing = start.evaluations
        else:
            self.state = self.begun(engine.tensor(start))
        #: The last event of a picture that was no trial.
        self.last = part.before.last

    def begun(self, image: Tensor) -> State:
        """The optimizer's state before the level's first step."""
        before = self.part.before
        if before.moments is None or not isinstance(self.method, Adam):
            return self.method.start(image, before.scale)
        return self.method.start(image, moments=self.on_device(before.moments))

    def on_device(self, state: State) -> State:
        """``state`` with the engine's tensors in place of arrays."""
        return {name: self.engine.tensor(value) if isinstance(value, np.ndarray) else value for name, value in state.items()}

    def events(self) -> Iterator[Event]:
        """All events of the level."""
        judgments = self.method.steps(self.state, self.evaluate)
        while not self.is_over():
            yield self.event(next(judgments))
        judgments.close()
        if self.part.finish and "end" not in self.state:
            self.evaluate(self.state["image"])
            self.state = self.method.seen(self.state, self.seen[0])
            yield self.event(Judgment(self.state, self.state["step"]), finished=True)

    def is_over(self) -> bool:
        """Whether no update is to come. Without a search, L-BFGS looks at the number of evaluations between blocks only."""
        between_blocks = self.recipe.searches or self.state.get("block", 0) == 0
        return "end" in self.state or (self.evaluations >= self.recipe.steps and between_blocks)

    def evaluate(self, image: Tensor) -> tuple[Tensor, Evaluation]:
        """What the optimizer asks for: the image that was evaluated, and what was found there."""
        trial = image is not self.state["image"]
        image = self.within(image)
        evaluation = self.objective(image)
        self.evaluations += 1
        terms = {name: float(value) for name, value in evaluation.terms.items()}
        self.require_finite(terms, image, trial)
        self.seen = image, terms
        return image, evaluation

    def within(self, image: Tensor) -> Tensor:
        """``image``, clamped if the recipe says so."""
        return image.clip(0, 1) if self.recipe.clamped else image

    def shown(self, state: State, image: Tensor) -> Tensor:
        """The picture where ``image`` was evaluated: itself, or the average that the optimizer's ``state`` has."""
        return self.within(self.method.shown(state, image)) if self.recipe.average_decay else image

    def require_finite(self, terms: Mapping[str, float], image: Tensor, trial: bool) -> None:
        # Paddle's ReLU maps NaN to 0 and MXNet's pooling ignores it, so finite losses do not prove a finite image.
        values = {**terms, "the image": float(abs(image).sum())}
        broken = first_non_finite(values)
        # A line search may go too far, and comes back; but not from a picture that is broken itself.
        if broken is not None and not (trial and math.isfinite(float(abs(self.state["image"]).sum()))):
            raise NonFiniteLoss(broken, values[broken], self.part.before.step + self.state["step"], self.last)

    def event(self, judgment: Judgment, finished: bool = False) -> Event:
        """The event of the last evaluation; from here on the run stands where its judgment says."""
        rate = self.method.learning_rate(self.state)
        if judgment.state is not self.state:
            self.state, self.standing = judgment.state, self.evaluations
        image, terms = self.seen
        picture = self.shown(self.state, image)
        before, (done, share) = self.part.before, self.part.work
        finished = finished or (self.part.finish and "end" in self.state)
        event = Event(
            step=before.step + judgment.step,
            evaluation=before.evaluations + self.evaluations,
            learning_rate=rate,
            terms=terms,
            image=lambda: self.engine.array(picture),
            size=(image.shape[2], image.shape[3]),
            done=done + share * min(1.0, (self.evaluations - 1) / self.recipe.updates),
            planned=self.part.planned or self.recipe.updates,
            finished=finished,
            trial=judgment.tried,
            note=judgment.note,
            position=None if finished else self.position,
        )
        if not event.trial:
            self.last = event
        return event

    def position(self) -> Position:
        """Where the run stands."""
        arrays = {name: value if isinstance(value, PLAIN) else self.engine.array(value) for name, value in self.state.items()}
        before = self.part.before
        return Position(self.part.level, before.step, before.evaluations, before.scale, self.standing, arrays)

    def end(self) -> Reached:
        """How far the level has come; and the end of all that an event which is kept would keep with it."""
        before, state = self.part.before, self.state
        scale = state.get("scale") if state.get("pairs") else before.scale
        image, moments = None, None
        if not self.part.finish:
            last = self.within(state["image"])
            image = self.engine.array(self.shown(self.method.seen(state, last), last))
            if self.recipe.carries_moments:
                moments = {name: self.engine.array(state[name]) for name in ("moment1", "moment2")}
                moments |= {"steps_before": state.get("steps_before", 0) + state["step"]}
        self.state = {}
        del self.objective
        return Reached(before.step + state["step"], before.evaluations + self.evaluations, scale, moments, self.last, image)
