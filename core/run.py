"""A run: recipe x targets x engine -> a stream of events, one per evaluation of the objective."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from isostyle.errors import IsostyleError
from isostyle.interface import Array, Engine, Evaluation, Targets, Tensor
from isostyle.losses import first_non_finite
from isostyle.optim import optimiser
from isostyle.recipe import Recipe


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
    #: Whether it is the last event, and the picture the result.
    finished: bool = False
    #: Whether a line search only tried this picture, and went on from another: no picture to keep, with whatever losses.
    trial: bool = False
    #: What the optimiser has to say: why it came to an end, or that a block of L-BFGS ended early.
    note: str | None = None

    @property
    def losses(self) -> dict[str, float]:
        """content, style, tv and total: terms of all taps added up."""
        sums = {"content": 0.0, "style": 0.0, "tv": 0.0, "total": self.terms["total"]}
        for name, value in self.terms.items():
            if name != "total":
                sums[name.split("/")[0]] += value
        return sums


class NonFiniteLoss(IsostyleError):
    """A loss became infinite or not a number. ``last_good`` is the last event before it that was no trial, or None."""

    def __init__(self, term: str, value: float, step: int, last_good: Event | None) -> None:
        self.term, self.value, self.step, self.last_good = term, value, step, last_good
        super().__init__(f"{term} became {value} at step {step}; try a smaller learning rate or smaller weights")


def run(engine: Engine, recipe: Recipe, targets: Targets, start: Array) -> Iterator[Event]:
    """Optimise the image ``start`` (in the recipe's space, shape (1, 3, H, W)); an event for each evaluation.

    An event's losses belong to the picture *before* the update that follows it; the last event is the finished picture's.
    A run ends after ``recipe.updates`` updates, or earlier if its optimiser comes to an end; evaluations that L-BFGS repeats,
    because a block of updates ended early, count too, as its published users count them.

    With a line search each trial is an evaluation, and has an event, with the losses and the image that were tried. If the
    search takes it, it is the picture of the next step, as any other; if not, it is a ``trial``. (Where a search is given up
    and takes an earlier one, that picture's event was a trial, too; the next block's first evaluation tells of it again.) After
    ``recipe.steps`` evaluations a search that goes on is dropped, and the last picture is the one that it began from.

    Raises:
        NonFiniteLoss: a term, or a pixel of the image, is no longer finite.
    """
    objective = engine.objective(recipe, targets)
    method = optimiser(recipe)
    state = method.start(engine.tensor(start))
    del start  # as large as the picture
    last: Event | None = None
    evaluations = 0
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
        step = state["step"]
        if (broken := first_non_finite(terms_and_image)) is not None:
            raise NonFiniteLoss(broken, terms_and_image[broken], step, last)
        found.append(Event(step, evaluations, method.learning_rate(state), terms, lambda: engine.array(image)))
        return image, evaluation

    while not ("end" in state or (evaluations >= recipe.steps and (recipe.searches or state.get("block", 0) == 0))):
        following = method.step(state, evaluate)
        (event,) = found
        found.clear()
        note = following.get("end") or following.pop("note", None)
        event = dataclasses.replace(event, note=note, finished="end" in following, trial=following.get("tried", False))
        if "trial" in state and not event.trial:
            # A search has taken its trial: the losses are those of the picture after its update.
            event = dataclasses.replace(event, step=following["step"])
        if not event.trial:
            last = event
        yield event
        state = following
    if "end" not in state:
        evaluate(state["image"])
        yield dataclasses.replace(found[0], finished=True)
