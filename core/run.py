"""A run: recipe x targets x engine -> a stream of events, one per evaluation of the objective."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from isostyle.errors import IsostyleError
from isostyle.interface import Array, Engine, Evaluation, Targets, Tensor
from isostyle.losses import first_non_finite
from isostyle.optim import Adam
from isostyle.recipe import Recipe


@dataclass(frozen=True)
class Event:
    """The losses of one picture. ``step`` counts the updates that made it: 0 is the start, ``recipe.steps`` the result."""

    step: int
    #: Of the update that follows.
    learning_rate: float
    #: Weighted terms by name (``content/conv4_4``, ``style/conv1_1``, ..., ``tv``) and ``total``, their sum.
    terms: dict[str, float]
    #: The picture itself, normalised, shape (1, 3, H, W); copied from the device when it is called.
    image: Callable[[], Array]

    @property
    def losses(self) -> dict[str, float]:
        """content, style, tv and total: terms of all taps added up."""
        sums = {"content": 0.0, "style": 0.0, "tv": 0.0, "total": self.terms["total"]}
        for name, value in self.terms.items():
            if name != "total":
                sums[name.split("/")[0]] += value
        return sums


class NonFiniteLoss(IsostyleError):
    """A loss became infinite or not a number. ``last_good`` is the event before, or None if it was the first."""

    def __init__(self, term: str, value: float, step: int, last_good: Event | None) -> None:
        self.term, self.value, self.step, self.last_good = term, value, step, last_good
        super().__init__(f"{term} became {value} at step {step}; try a smaller learning rate or smaller weights")


def run(engine: Engine, recipe: Recipe, targets: Targets, start: Array) -> Iterator[Event]:
    """Optimise the image ``start`` (normalised, shape (1, 3, H, W)); yields ``recipe.steps`` + 1 events.

    An event's losses belong to the picture *before* the update that follows it; the last event is the finished picture's.

    Raises:
        NonFiniteLoss: a term, or a pixel of the image, is no longer finite.
    """
    objective = engine.objective(recipe, targets)
    optimiser = Adam(recipe.optimiser, recipe.schedule)
    state = optimiser.start(engine.tensor(start))
    last: Event | None = None
    found: list[Event] = []

    def evaluate(image: Tensor) -> tuple[Tensor, Evaluation]:
        evaluation = objective(image)
        terms = {name: float(value) for name, value in evaluation.terms.items()}
        # Paddle's ReLU maps NaN to 0 and MXNet's pooling ignores it, so finite losses do not prove a finite image.
        terms_and_image = {**terms, "the image": float(abs(image).sum())}
        step = state["step"]
        if (broken := first_non_finite(terms_and_image)) is not None:
            raise NonFiniteLoss(broken, terms_and_image[broken], step, last)
        found.append(Event(step, optimiser.learning_rate(state), terms, lambda: engine.array(image)))
        return image, evaluation

    while state["step"] < recipe.steps:
        following = optimiser.step(state, evaluate)
        for last in found:
            yield last
        found.clear()
        state = following
    evaluate(state["image"])
    yield from found
