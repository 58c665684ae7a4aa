"""A run: recipe x targets x engine -> a stream of events, one per evaluation of the objective."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from isostyle.errors import IsostyleError
from isostyle.images.arrays import resize_array
from isostyle.interface import Array, Engine, Evaluation, Targets, Tensor
from isostyle.losses import first_non_finite, summed
from isostyle.optim import PLAIN, State, optimizer
from isostyle.recipe import Recipe


@dataclass(frozen=True)
class Position:
    """Where a run stands between two evaluations: all that is needed to go on, bit by bit as if it had never stopped."""

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


@dataclass(frozen=True)
class Event:
    """The losses of one picture. ``step`` counts the updates that made it: 0 is the start; of a ``trial``, those before it."""

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
    #: Whether a line search only tried this picture, and went on from another: no picture to keep, with whatever losses.
    trial: bool = False
    #: What the optimizer has to say: why it came to an end, or that a block of L-BFGS ended early.
    note: str | None = None
    #: Where the run stands after this evaluation and the update that follows it; copied from the device when it is called,
    #: which must be before the next event. None if it is finished.
    position: Callable[[], Position] | None = None

    @property
    def losses(self) -> dict[str, float]:
        """content, style, tv and total: terms of all taps added up."""
        return summed(self.terms)


class Diverged(IsostyleError):
    """A run went where nothing can come of it."""


class ExplodingLoss(Diverged):
    """A total became far larger than it was at the beginning."""

    def __init__(self, total: float, largest: float, step: int) -> None:
        super().__init__(
            f"the total became {total:.4g} at step {step}, {total / largest:.0f} times what it was; try a smaller learning rate"
        )


class NonFiniteLoss(Diverged):
    """A loss became infinite or not a number. ``last_good`` is the last event before it that was no trial, or None."""

    def __init__(self, term: str, value: float, step: int, last_good: Event | None) -> None:
        self.term, self.value, self.step, self.last_good = term, value, step, last_good
        super().__init__(f"{term} became {value} at step {step}; try a smaller learning rate or smaller weights")


@dataclass(frozen=True)
class Reached:
    """How far a run has come at the end of a level."""

    #: None if the run is finished.
    image: Array | None
    step: int
    evaluations: int
    #: What L-BFGS has found: the length of its moves over that of gradients; None before its first update, and for Adam.
    scale: float | None
    #: The last event of a picture that was no trial.
    last: Event | None


def climb(
    engine: Engine,
    levels: Sequence[tuple[Recipe, tuple[int, int], Callable[[], tuple[Array, Array]]]],
    start: list[Array],
    position: Position | None = None,
) -> Iterator[Event]:
    """The events of a run that goes from coarse to fine: :func:`run` for each of ``levels``, a recipe with the size (height,
    width) and a function that makes the content and the style image of that level (both in the recipe's space, (1, 3, H, W)).
    ``start`` is taken out of its list, so that it does not last longer than it is needed. Each level starts from the picture of
    the one before, resized. A run that stood at ``position`` goes on from there; ``start`` does not count.

    Steps and evaluations are counted on. The optimizer and its schedule begin anew; but L-BFGS with a line search is told its
    scale: losses are means over pixels, so the curvature that a pixel sees falls with their number, and its inverse grows.

    Raises:
        NonFiniteLoss: as :func:`run`.
    """
    reached: Reached | None = None
    pixels = [math.prod(size) for _, size, _ in levels]
    planned = sum(recipe.updates for recipe, _, _ in levels)
    works = [recipe.updates * cost for (recipe, _, _), cost in zip(levels, pixels, strict=True)]
    for i, (recipe, size, pictures) in enumerate(levels):
        if position is not None and i < position.level:
            continue
        targets = engine.targets(recipe, *pictures())
        if reached is not None and reached.image is not None:
            start.append(resize_array(reached.image, *size))
            if reached.scale is not None:
                reached = dataclasses.replace(reached, scale=reached.scale * pixels[i] / pixels[i - 1])
        finish, work = i == len(levels) - 1, (sum(works[:i]) / sum(works), works[i] / sum(works))
        given = position.state["image"] if position is not None else start.pop()
        reached = yield from run(
            engine,
            recipe,
            targets,
            given,
            before=reached,
            finish=finish,
            work=work,
            planned=planned,
            level=i,
            position=position,
        )
        position = None


def run(
    engine: Engine,
    recipe: Recipe,
    targets: Targets,
    start: Array,
    *,
    before: Reached | None = None,
    finish: bool = True,
    work: tuple[float, float] = (0.0, 1.0),
    planned: int | None = None,
    level: int = 0,
    position: Position | None = None,
) -> Generator[Event, None, Reached]:
    """Optimize the image ``start`` (in the recipe's space, shape (1, 3, H, W)); an event for each evaluation.

    An event's losses belong to the picture *before* the update that follows it; the last event is the finished picture's.
    A run ends after ``recipe.updates`` updates, or earlier if its optimizer comes to an end; evaluations that L-BFGS repeats,
    because a block of updates ended early, count too, as its published users count them.

    With a line search each trial is an evaluation, and has an event, with the losses and the image that were tried. If the
    search takes it, it is the picture of the next step, as any other; if not, it is a ``trial``. (Where a search is given up
    and takes an earlier one, that picture's event was a trial, too; the next block's first evaluation tells of it again.) After
    ``recipe.steps`` evaluations a search that goes on is dropped, and the last picture is the one that it began from.

    ``before``: the level of a pyramid from which it goes on, counting and with its scale. If it shall not ``finish``, its last
    picture is not evaluated: the next level does so, at its own size. ``work``: the share of all work that lies before it, and
    its own. ``planned``: evaluations of all levels. ``level``: its number. ``position``: where it stood when it was
    interrupted; what it yields is the rest of what it would have yielded. (But if its first evaluation fails, there is no last
    good picture.)

    Raises:
        NonFiniteLoss: a term, or a pixel of the image, is no longer finite. At a trial that is no error: the search shortens.
    """
    objective = engine.objective(recipe, targets)
    method = optimizer(recipe)
    size = start.shape[2], start.shape[3]
    if position is not None:
        before = Reached(None, position.steps_before, position.evaluations_before, position.scale_before, None)
        given = position.state.items()
        state = {name: engine.tensor(value) if isinstance(value, np.ndarray) else value for name, value in given}
        del given
    else:
        state = method.start(engine.tensor(start), before.scale if before else None)
    del start  # as large as the picture
    last = before.last if before else None
    steps_before, evaluations_before = (before.step, before.evaluations) if before else (0, 0)
    scale_before = before.scale if before else None
    evaluations = position.evaluations if position is not None else 0
    position = None
    found: list[Event] = []

    def evaluate(image: Tensor) -> tuple[Tensor, Evaluation]:
        nonlocal evaluations
        if recipe.clamped:
            image = image.clip(0, 1)
        evaluation = objective(image)
        evaluations += 1
        terms = {name: float(value) for name, value in evaluation.terms.items()}
        # Paddle's ReLU maps NaN to 0 and MXNet's pooling ignores it, so finite losses do not prove a finite image.
        terms_and_image = {**terms, "the image": float(abs(image).sum())}
        step = steps_before + state["step"]
        broken = first_non_finite(terms_and_image)
        # A line search may go too far, and comes back; but not from a picture that is broken itself.
        if broken is not None and not ("trial" in state and math.isfinite(float(abs(state["image"]).sum()))):
            raise NonFiniteLoss(broken, terms_and_image[broken], step, last)
        count, rate = evaluations_before + evaluations, method.learning_rate(state)
        done = work[0] + work[1] * min(1.0, (evaluations - 1) / recipe.updates)
        found.append(Event(step, count, rate, terms, lambda: engine.array(image), size, done, planned or recipe.updates))
        return image, evaluation

    def here(standing: list[State]) -> Position:
        (following,) = standing
        arrays = {name: value if isinstance(value, PLAIN) else engine.array(value) for name, value in following.items()}
        return Position(level, steps_before, evaluations_before, scale_before, evaluations, arrays)

    while not ("end" in state or (evaluations >= recipe.steps and (recipe.searches or state.get("block", 0) == 0))):
        following = method.step(state, evaluate)
        (event,) = found
        found.clear()
        note = following.get("end") or following.pop("note", None)
        over = finish and "end" in following
        event = dataclasses.replace(event, note=note, finished=over, trial=following.get("tried", False))
        if "trial" in state and not event.trial:
            # A search has taken its trial: the losses are those of the picture after its update.
            event = dataclasses.replace(event, step=steps_before + following["step"])
        if not event.trial:
            last = event
        standing = [following]
        yield event if over else dataclasses.replace(event, position=partial(here, standing))
        standing.clear()  # or an event that is kept would keep tensors as large as the picture
        state = following
    if finish and "end" not in state:
        evaluate(state["image"])
        yield dataclasses.replace(found[0], finished=True)
    scale = state.get("scale") if state.get("pairs") else scale_before
    image = None if finish else engine.array(state["image"])
    return Reached(image, steps_before + state["step"], evaluations_before + evaluations, scale, last)
