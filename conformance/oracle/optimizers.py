"""The oracle's optimizers: Adam, L-BFGS, its line search, and the levels of a pyramid, in float64 NumPy.

:func:`adam` and :func:`lbfgs` yield the image after every update. ``evaluate`` gives the value and the gradient at an image.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from isostyle.conformance.oracle.pictures import Floats, enlarge
from isostyle.recipe import AdamSettings, Constant, LbfgsSettings, StepDecay

Evaluate = Callable[[Floats], tuple[float, Floats]]

#: torch.optim.LBFGS keeps a pair (s, y) only if s y is above this.
LEAST_CURVATURE = 1e-10
#: The constants of the strong Wolfe conditions (Nocedal and Wright 2006, equations 3.7), with torch's values.
C1, C2 = 1e-4, 0.9


def learning_rate(settings: AdamSettings | LbfgsSettings, schedule: StepDecay | Constant, update: int) -> float:
    """The rate of update number ``update``, counted from 1: multiplied by the factor after every ``schedule.every`` updates."""
    rate = settings.learning_rate
    if isinstance(schedule, StepDecay):
        for finished in range(1, update):
            if finished % schedule.every == 0:
                rate *= schedule.factor
    return rate


@dataclass
class Moments:
    """Adam's moments after ``t`` updates; None: zeros."""

    t: int = 0
    m: Floats | None = None
    v: Floats | None = None

    def enlarged(self, height: int, width: int) -> Moments:
        """The same for a larger picture."""
        return Moments(self.t, *(None if x is None else enlarge(x, height, width) for x in (self.m, self.v)))


def average(images: Sequence[Floats], decay: float) -> Floats:
    """The mean of images, the last with the weight 1, each one before it with ``decay`` times its successor's."""
    weights = decay ** np.arange(len(images) - 1.0, -1, -1)
    mean: Floats = np.tensordot(weights / weights.sum(), np.stack(images), axes=1)
    return mean


def kept(x: Floats, clamped: bool) -> Floats:
    return np.minimum(np.maximum(x, 0), 1) if clamped else x


def adam(
    evaluate: Evaluate,
    image: Floats,
    settings: AdamSettings,
    schedule: StepDecay | Constant,
    clamped: bool = False,
    faster: Floats | float = 1.0,
    memory: Moments | None = None,
) -> Iterator[Floats]:
    """Kingma and Ba 2015, algorithm 1, line by line. ``clamped``: to 0..1, at the start and after every update. ``faster``:
    what the learning rate of each number is multiplied by. ``memory``: moments to go on from; it has the latest."""
    x = kept(image.astype(np.float64), clamped)
    memory = memory or Moments()
    m, v = (np.zeros_like(x) if moment is None else moment for moment in (memory.m, memory.v))
    update, t = 0, memory.t
    while True:
        update, t = update + 1, t + 1
        _, g = evaluate(x)
        m = settings.beta1 * m + (1 - settings.beta1) * g
        v = settings.beta2 * v + (1 - settings.beta2) * g**2
        memory.m, memory.v, memory.t = m, v, t
        m_hat = m / (1 - settings.beta1**t)
        v_hat = v / (1 - settings.beta2**t)
        rate = faster * learning_rate(settings, schedule, update)
        x = kept(x - rate * m_hat / (np.sqrt(v_hat) + settings.epsilon), clamped)
        yield x


def lbfgs(evaluate: Evaluate, image: Floats, rate: float = 1.0, history: int = 100, clamped: bool = False) -> Iterator[Floats]:
    """Limited-memory BFGS without line search, one evaluation an update: Nocedal and Wright 2006, algorithms 7.4 and 7.5.

    The step lengths are those of torch.optim.LBFGS: the first is at most 1 / sum |g|, every other one is ``rate``.
    ``clamped``: to 0..1, at the start and after every update; s is the move before it was clamped.
    """
    x = kept(image.astype(np.float64), clamped)
    pairs: list[tuple[Floats, Floats]] = []  # s: how the image moved, y: how the gradient changed
    moved = before = np.zeros_like(x)
    scale = 1.0
    first = True
    while True:
        _, g = evaluate(x)
        if not first:
            s, y = moved, g - before
            if (s * y).sum() > LEAST_CURVATURE:
                pairs = [*pairs, (s, y)][-history:]
                scale = (s * y).sum() / (y * y).sum()
        moved = -inverse_hessian_times(g, pairs, scale) * (min(1.0, 1 / np.abs(g).sum()) * rate if first else rate)
        before, first = g, False
        x = kept(x + moved, clamped)
        yield x


def inverse_hessian_times(g: Floats, pairs: Sequence[tuple[Floats, Floats]], scale: float) -> Floats:
    """Nocedal and Wright 2006, algorithm 7.4, the two loops."""
    q = g.copy()
    alphas = []
    for s, y in reversed(pairs):
        alphas.append((s * q).sum() / (s * y).sum())
        q = q - alphas[-1] * y
    r = scale * q
    for (s, y), alpha in zip(pairs, reversed(alphas), strict=True):
        r = r + s * (alpha - (y * r).sum() / (s * y).sum())
    return r


# L-BFGS with a line search


class Walk(NamedTuple):
    """A run with a line search."""

    #: What it comes to.
    image: Floats
    #: For each evaluation, how many updates made its image.
    steps: list[int]
    #: For each evaluation, whether a line search only tried its image.
    trials: list[bool]
    #: The multiple of the identity from which the last inverse Hessian began, if there was one.
    scale: float | None


class Stage(NamedTuple):
    """A level of a pyramid: its objective, how often that is evaluated, and the image's size in pixels."""

    evaluate: Evaluate
    evaluations: int
    height: int
    width: int


class Spent(Exception):
    """No evaluation is left."""


def climb(stages: Sequence[Stage], image: Floats, settings: LbfgsSettings) -> Walk:
    """Run each of ``stages``, coarse to fine; each begins with the enlarged image of the one before, and without pairs.

    All losses are means over pixels: n times as many pixels divide what one of them adds to the Hessian by n, and so multiply
    the inverse by n.
    """
    steps, trials, scale = [0], [False], None
    for number, (evaluate, evaluations, height, width) in enumerate(stages):
        if number > 0:
            before = image.shape[2] * image.shape[3]
            image = enlarge(image, height, width)
            scale = None if scale is None else scale * (height * width) / before
        walk = lbfgs_with_line_search(evaluate, image, settings, evaluations, scale)
        # The last image is not evaluated here: the next level evaluates it, enlarged.
        steps = [*steps[:-1], *(steps[-1] + step for step in walk.steps)]
        trials = [*trials[:-1], *walk.trials]
        image, scale = walk.image, scale if walk.scale is None else walk.scale
    return Walk(image, steps, trials, scale)


def lbfgs_with_line_search(
    evaluate: Evaluate, image: Floats, settings: LbfgsSettings, evaluations: int, known: float | None = None
) -> Walk:
    """Nocedal and Wright 2006, algorithm 7.5 with the line search of algorithms 3.5 and 3.6, for so many evaluations.

    It works in the blocks of torch.optim.LBFGS. ``known``: the scale of the inverse Hessian, if there is one from before; then
    the first length is that of all others.
    """
    descent = Descent(evaluate, image.astype(np.float64), settings, evaluations, known)
    try:
        while True:
            descent.block()
    except Spent:
        return descent.walk()


class Descent:
    """The state of :func:`lbfgs_with_line_search`."""

    def __init__(
        self, evaluate: Evaluate, image: Floats, settings: LbfgsSettings, evaluations: int, known: float | None
    ) -> None:
        self.evaluate = evaluate
        self.settings = settings
        self.evaluations = evaluations
        self.known = known
        self.x = image
        self.pairs: list[tuple[Floats, Floats]] = []
        self.scale = 1.0 if known is None else known
        self.updates = 0
        self.evaluated_in_block = 0
        self.steps: list[int] = []
        self.trials: list[bool] = []

    @property
    def most_in_block(self) -> int:
        """torch's ``max_eval``: a block that has made as many evaluations begins no update, and a search has what is left."""
        return self.settings.iterations * 5 // 4

    def walk(self) -> Walk:
        return Walk(self.x, [*self.steps, self.updates], [*self.trials, False], self.scale if self.pairs else None)

    def look(self, at: Floats, *, trial: bool) -> tuple[float, Floats]:
        """The value and the gradient there.

        Raises:
            Spent: no evaluation is left.
        """
        if len(self.steps) == self.evaluations:
            raise Spent
        self.evaluated_in_block += 1
        self.steps.append(self.updates)
        self.trials.append(trial)
        return self.evaluate(at)

    def block(self) -> None:
        """At most ``iterations`` updates. The first image is evaluated again, as torch does it."""
        self.evaluated_in_block = 0
        value, g = self.look(self.x, trial=False)
        for _ in range(self.settings.iterations):
            before = value
            s, value, g = self.update(value, g)
            if self.evaluated_in_block >= self.most_in_block or np.abs(g).max() <= self.settings.tolerance_gradient:
                return
            change = self.settings.tolerance_change
            if np.abs(s).max() <= change or abs(value - before) < change:
                return

    def update(self, value: float, g: Floats) -> tuple[Floats, float, Floats]:
        """One line search from ``x``, whose value and gradient are given: the move, and value and gradient after it."""
        p = -inverse_hessian_times(g, self.pairs, self.scale)
        origin = Point(0.0, value, float((g * p).sum()), g)
        first = self.settings.learning_rate
        if self.updates == 0 and self.known is None:
            first *= min(1.0, 1 / np.abs(g).sum())
        tries = self.most_in_block - self.evaluated_in_block
        narrowest = self.settings.tolerance_change / np.abs(p).max()
        best, last = strong_wolfe(lambda alpha: self.phi(alpha, p), origin, first, tries, narrowest)
        self.updates += 1
        if best is last:
            self.steps[-1], self.trials[-1] = self.updates, False
        s, y = best.alpha * p, best.gradient - g
        if (s * y).sum() > LEAST_CURVATURE:
            self.pairs = [*self.pairs, (s, y)][-self.settings.history :]
            self.scale = (s * y).sum() / (y * y).sum()
        self.x = self.x + s
        return s, best.value, best.gradient

    def phi(self, alpha: float, p: Floats) -> Point:
        value, gradient = self.look(self.x + alpha * p, trial=True)
        derivative = float((gradient * p).sum())
        if not math.isfinite(value + derivative):
            value, derivative = math.inf, math.nan  # too far
        return Point(alpha, value, derivative, gradient)


# The line search


class Point(NamedTuple):
    """A place on the line x + alpha p: the value phi(alpha), the directional derivative phi'(alpha), and the gradient."""

    alpha: float
    value: float
    derivative: float
    gradient: Floats


def strong_wolfe(
    phi: Callable[[float], Point], origin: Point, alpha: float, tries: int, narrowest: float
) -> tuple[Point, Point]:
    """Algorithm 3.5 of Nocedal and Wright 2006: (the point that was chosen, the point that was evaluated last).

    The chosen point meets the strong Wolfe conditions, or is the best that was found. torch's are the lengths that it tries
    (the cubic's minimum, 1 % of the last gain further at the least, ten times as far at the most), the number of them, and that
    the second is not compared with the first.
    """
    before, here = origin, phi(alpha)
    for i in range(tries):
        if here.value > origin.value + C1 * here.alpha * origin.derivative or (i > 1 and here.value >= before.value):
            return zoom(phi, origin, [before, here], tries - i, narrowest)
        if abs(here.derivative) <= -C2 * origin.derivative:
            return here, here
        if here.derivative >= 0:
            return zoom(phi, origin, [before, here], tries - i, narrowest)
        further = here.alpha + 0.01 * (here.alpha - before.alpha), 10 * here.alpha
        before, here = here, phi(least_of_cubic(before, here, *further))
    return min(origin, here, key=lambda point: point.value), here


def zoom(phi: Callable[[float], Point], origin: Point, ends: list[Point], tries: int, narrowest: float) -> tuple[Point, Point]:
    """Algorithm 3.6: narrow a bracket; returns what :func:`strong_wolfe` does.

    torch's are its rule for cubics whose minimum stays near an end, and when it gives up.
    """
    last, near = ends[1], False
    for _ in range(tries):
        low = 0 if ends[0].value <= ends[1].value else 1
        left, right = sorted(end.alpha for end in ends)
        if right - left < narrowest:
            break
        alpha, tenth = least_of_cubic(ends[0], ends[1], left, right), (right - left) / 10
        if alpha - left < tenth or right - alpha < tenth:
            if near or not left < alpha < right:
                alpha = left + tenth if alpha - left <= right - alpha else right - tenth
                near = False
            else:
                near = True
        else:
            near = False
        last = phi(alpha)
        if last.value > origin.value + C1 * alpha * origin.derivative or last.value >= ends[low].value:
            ends[1 - low] = last
            continue
        if abs(last.derivative) <= -C2 * origin.derivative:
            return last, last
        if last.derivative * (ends[1 - low].alpha - ends[low].alpha) >= 0:
            ends[1 - low] = ends[low]
        ends[low] = last
    return min(ends, key=lambda end: end.value), last


def least_of_cubic(one: Point, other: Point, left: float, right: float) -> float:
    """Nocedal and Wright 2006, equation 3.59, within ``left`` and ``right``; their middle where the cubic has no minimum."""
    across = other.alpha - one.alpha
    d1 = one.derivative + other.derivative - 3 * (one.value - other.value) / (one.alpha - other.alpha)
    square = d1**2 - one.derivative * other.derivative
    if not square >= 0:
        return (left + right) / 2
    d2 = math.copysign(math.sqrt(square), across)
    alpha = other.alpha - across * (other.derivative + d2 - d1) / (other.derivative - one.derivative + 2 * d2)
    return min(max(alpha, left), right)
