"""Optimizers in plain tensor arithmetic: one text for NumPy, torch, MXNet and Paddle.

The frameworks' own optimizers disagree. MXNet's Adam adds epsilon to the uncorrected root of the second moment, and keeps beta2
as a float32, an error of 6e-6 of each step even in float64. Paddle's keeps powers of beta in the parameter's dtype, an error of
2e-5 of a step in float32. Here they are written once, with Python's double-precision scalars.

A state is a flat dict of tensors, numbers and text: all that is needed to go on. Its ``end``, if there is one, says why the
optimizer came to an end. No tensor is changed in place, so a picture that was kept stays what it was. But an optimizer may take
tensors out of the state that it is given, so that those of large pictures are gone as soon as they are used.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any

from isostyle.errors import InputError
from isostyle.interface import Evaluation, Tensor
from isostyle.recipe import AdamSettings, Constant, LbfgsSettings, Recipe, StepDecay

State = dict[str, Any]
#: What of a state is no tensor.
PLAIN = (bool, int, float, str)
#: What of Adam's state an update leaves as it is.
GOING_ON = ("steps_before", "average", "averaged")
#: L-BFGS keeps a pair only if move and gradient change agree in direction by more than this (torch.optim.LBFGS).
LEAST_CURVATURE = 1e-10
#: The strong Wolfe conditions on a length: the total falls by at least this share of what the derivative at the start promises,
#: and the derivative there is at most this share of it (c1 and c2: Nocedal and Wright 2006, page 62; torch's too).
SUFFICIENT_DECREASE, CURVATURE_CONDITION = 1e-4, 0.9
#: A length that is too short becomes longer by at least this share of the last gain, and at most so many times as long.
LEAST_WIDENING, MOST_WIDENING = 0.01, 10
#: A trial that lies closer to an end of its bracket than this share of the bracket is moved so far inside, the second time.
INSIDE = 0.1
#: Returns the point that was evaluated (a recipe may clamp it first) and what was found there.
Evaluate = Callable[[Tensor], tuple[Tensor, Evaluation]]


@dataclass(frozen=True)
class Judgment:
    """What an optimizer makes of one evaluation."""

    #: What the run can go on from. In the middle of a line search it is the very state that the search began from.
    state: State
    #: Updates that made the picture that was evaluated; of a trial, those before its search.
    step: int
    #: Whether that picture was a trial that a line search did not take.
    tried: bool = False
    #: What a user should know: why the optimizer ended, or that a block of L-BFGS ended early.
    note: str | None = None


Judgments = Generator[Judgment, None, None]


def optimizer(recipe: Recipe) -> Adam | Lbfgs | SearchingLbfgs:
    """The optimizer of ``recipe``."""
    settings = recipe.optimizer
    if isinstance(settings, AdamSettings):
        return Adam(settings, recipe.schedule, recipe.average_decay)
    # A Recipe sees to it that L-BFGS has no schedule, and no clamped image where it searches.
    return Lbfgs(settings) if settings.line_search == "none" else SearchingLbfgs(settings)


def needed(recipe: Recipe, state: State) -> tuple[set[str], set[str]]:
    """The names of the tensors and of the numbers without which the optimizer of ``recipe`` cannot go on from ``state``."""
    if isinstance(recipe.optimizer, AdamSettings):
        averages = recipe.average_decay > 0
        tensors = {"image", "moment1", "moment2"} | ({"average"} if averages else set())
        return tensors, {"step"} | ({"averaged"} if averages else set())
    tensors, numbers = {"image"}, {"step", "block", "pairs", "scale"}
    for i in range(min(state.get("pairs", 0), len(state))):
        tensors |= {f"move{i}", f"change{i}"}
        numbers.add(f"curvature{i}")
    if recipe.searches:
        numbers.add("evaluations")
    elif state.get("step") != 0:
        tensors |= {"move", "gradient"}
    return tensors, numbers | ({"total"} if {"gradient", "move"} & (tensors | state.keys()) else set())


class Watched:
    """An optimizer, and what is seen of it."""

    def seen(self, state: State, image: Tensor) -> State:
        """``state`` after ``image``, its own, was evaluated, or is the last."""
        return state

    def shown(self, state: State, image: Tensor) -> Tensor:
        """The picture that a user sees where ``image`` was evaluated."""
        return image


class Stepper(Watched):
    """An optimizer that makes an update of each evaluation."""

    def step(self, state: State, evaluate: Evaluate) -> Judgment:
        """One evaluation, and the update that follows it."""
        raise NotImplementedError

    def steps(self, state: State, evaluate: Evaluate) -> Judgments:
        """A judgment of each evaluation, from ``state`` on until the optimizer comes to an end."""
        while "end" not in state:
            judgment = self.step(state, evaluate)
            yield judgment
            state = judgment.state


class Adam(Stepper):
    """Adam (Kingma and Ba 2015, algorithm 1) with a learning rate that may decay in steps, and perhaps with an average of its
    images: exponential and bias-corrected, as the moments are (section 7.2)."""

    def __init__(self, settings: AdamSettings, schedule: StepDecay | Constant, average_decay: float = 0.0) -> None:
        self.settings = settings
        self.schedule = schedule
        self.decay = average_decay

    def start(self, image: Tensor, scale: float | None = None, moments: State | None = None) -> State:
        """The state before the first step. Adam has no use for the ``scale`` of another level. ``moments``: that level's, at
        this one's size, with ``steps_before``, the number of steps in them; None: zeros."""
        state: State = {"image": image, "moment1": image * 0, "moment2": image * 0, "step": 0, **(moments or {})}
        return {**state, "average": image * 0, "averaged": 0} if self.decay else state

    def seen(self, state: State, image: Tensor) -> State:
        if not self.decay:
            return state
        average = state["average"] * self.decay + image * (1 - self.decay)
        return {**state, "average": average, "averaged": state["averaged"] + 1}

    def shown(self, state: State, image: Tensor) -> Tensor:
        return state["average"] / (1 - self.decay ** state["averaged"]) if self.decay else image

    def learning_rate(self, state: State) -> float:
        """The learning rate that the next step uses."""
        return self.schedule.rate(self.settings.learning_rate, state["step"])

    def step(self, state: State, evaluate: Evaluate) -> Judgment:
        step = state["step"]
        state["image"], evaluation = evaluate(state["image"])
        state.update(self.seen(state, state["image"]))
        # Handed over, not kept: it is as large as the picture.
        gradient = [evaluation.gradient]
        del evaluation
        if step == 0:
            largest = float(abs(gradient[0]).max())
            if largest == 0:
                return ended(state, "the gradient is 0 everywhere", "Adam")
            if math.isinf(float((gradient[0] * gradient[0]).max())):
                raise InputError(f"Adam squares the gradient, and {largest:.2g} is too large for that; take smaller weights")
        return Judgment(self.update(state, gradient.pop()), step)

    def update(self, state: State, gradient: Tensor) -> State:
        """One update of ``state``'s image, or whatever else is called so: one parameter of a network."""
        beta1, beta2 = self.settings.beta1, self.settings.beta2
        image, step = state["image"], state["step"] + 1
        # Each of these tensors is as large as the picture, so none is kept longer than it is needed.
        moment1 = state.pop("moment1") * beta1 + gradient * (1 - beta1)
        moment2 = state.pop("moment2") * beta2 + gradient * gradient * (1 - beta2)
        del gradient
        # Both corrections are Python doubles: 1 - beta2**step would lose half its digits in float32.
        count = step + state.get("steps_before", 0)
        rate = self.learning_rate(state) / (1 - beta1**count)
        root = moment2**0.5 / (1 - beta2**count) ** 0.5
        move = moment1 / (root + self.settings.epsilon)
        del root
        moved = {"image": image - move * rate, "moment1": moment1, "moment2": moment2, "step": step}
        return {**moved, **{name: state[name] for name in GOING_ON if name in state}}


@dataclass(frozen=True)
class Memory:
    """What L-BFGS knows of the curvature, as (move of the image, change of the gradient, their product), oldest first; and the
    scale of the inverse Hessian that these correct."""

    pairs: list[tuple[Tensor, Tensor, float]]
    scale: float

    @classmethod
    def of(cls, state: State) -> Memory:
        """What ``state`` remembers."""
        pairs = [(state[f"move{i}"], state[f"change{i}"], state[f"curvature{i}"]) for i in range(state["pairs"])]
        return cls(pairs, state["scale"])

    def as_state(self) -> State:
        """This memory as part of a state."""
        found: State = {"pairs": len(self.pairs), "scale": self.scale}
        for i, (move, change, curvature) in enumerate(self.pairs):
            found.update({f"move{i}": move, f"change{i}": change, f"curvature{i}": curvature})
        return found

    def with_pair(self, move: Tensor, change: Tensor, history: int) -> Memory:
        """This memory with one more pair, if its curvature is positive, and with the last ``history`` pairs only."""
        curvature = dot(move, change)
        if curvature <= LEAST_CURVATURE:
            return self
        scale = curvature / dot(change, change)
        return Memory([*self.pairs, (move, change, curvature)][-history:], scale)

    def downhill(self, gradient: Tensor) -> Tensor:
        """-gradient times the approximate inverse Hessian (Nocedal and Wright 2006, algorithm 7.4)."""
        direction = -gradient
        shares = []
        for move, change, curvature in reversed(self.pairs):
            share = dot(move, direction) / curvature
            direction = direction - change * share
            shares.append(share)
        direction = direction * self.scale
        for (move, change, curvature), share in zip(self.pairs, reversed(shares), strict=True):
            direction = direction + move * (share - dot(change, direction) / curvature)
        return direction


class Lbfgs(Stepper):
    """L-BFGS without line search (Liu and Nocedal 1989), as torch.optim.LBFGS runs it; one evaluation a step.

    The state keeps the last moves of the image and the changes of the gradient that came with them: ``move0``, ``change0``, ...
    ``step`` counts updates, ``block`` those since the block began. A move is remembered as it was made, even if the image was
    clamped afterwards.
    """

    def __init__(self, settings: LbfgsSettings) -> None:
        self.settings = settings

    def start(self, image: Tensor, scale: float | None = None) -> State:
        """The state before the first step. A ``scale`` from another level of a pyramid does not count: without a search, nobody
        would shorten a step that is too long at this level."""
        return {"image": image, "step": 0, "block": 0, "pairs": 0, "scale": 1.0}

    def learning_rate(self, state: State) -> float:
        """The learning rate that every step uses."""
        return self.settings.learning_rate

    def step(self, state: State, evaluate: Evaluate) -> Judgment:
        settings, step = self.settings, state["step"]
        image, evaluation = evaluate(state["image"])
        state = {**state, "image": image}
        gradient, total = evaluation.gradient, float(evaluation.terms["total"])
        if reason := converged(settings, gradient):
            return ended(state, reason)
        if state["block"] > 0 and (reason := too_small(settings, state["move"], total - state["total"])):
            # As published: the next block evaluates the same image again, and goes on.
            return Judgment({**state, "block": 0}, step, note=early(step, reason))

        memory = Memory.of(state)
        if step > 0:
            memory = memory.with_pair(state["move"], gradient - state["gradient"], settings.history)
        direction = memory.downhill(gradient)
        if reason := level(settings, dot(gradient, direction)):
            return ended(state, reason)
        move = direction * first_length(settings, state, gradient)
        following = {"image": image + move, "step": step + 1, "block": (state["block"] + 1) % settings.iterations}
        return Judgment({**following, **memory.as_state(), "gradient": gradient, "move": move, "total": total}, step)


class SearchingLbfgs(Watched):
    """L-BFGS with a line search for the strong Wolfe conditions: the decisions of torch.optim.LBFGS with ``strong_wolfe``.

    Nocedal and Wright 2006, algorithm 7.5. A block begins with an evaluation of the image. It has at most ``iterations``
    searches, and at most ``iterations * 5 // 4`` evaluations (torch's max_eval): then no search begins, and one that goes on
    gives up.

    The image of a state is always the picture of the last update, never a trial. ``step`` counts updates, ``block`` those since
    the block began, ``evaluations`` likewise. A state has the image's ``gradient`` and ``total`` if a search follows, and
    neither if a block begins.
    """

    def __init__(self, settings: LbfgsSettings) -> None:
        self.settings = settings
        self.most_evaluations = settings.iterations * 5 // 4

    def start(self, image: Tensor, scale: float | None = None) -> State:
        """The state before the first step. ``scale``: of the inverse Hessian, where another level of a pyramid has found it;
        the first direction then has a length that says how far to go."""
        state = {"image": image, "step": 0, "block": 0, "evaluations": 0, "pairs": 0}
        return {**state, "scale": 1.0} if scale is None else {**state, "scale": scale, "carried": True}

    def learning_rate(self, state: State) -> float:
        """The length that each search tries first."""
        return self.settings.learning_rate

    def steps(self, state: State, evaluate: Evaluate) -> Judgments:
        """A judgment of each evaluation, from ``state`` on until the optimizer comes to an end. A run may stop between any two,
        and go on from the state of the last one."""
        search = self.search(state, evaluate)
        while True:
            if search is None or search.is_level:
                state = self.begin(state, evaluate)
                search = self.search(state, evaluate)
                if search is not None and search.is_level:
                    state = ended(state, search.is_level).state
                yield Judgment(state, state["step"], note=state.get("end"))
                if search is None or search.is_level:
                    return
            state = yield from self.update(state, search)
            search = self.search(state, evaluate)

    def begin(self, state: State, evaluate: Evaluate) -> State:
        """A block begins: the image is evaluated, even if it was before."""
        image, evaluation = evaluate(state["image"])
        state = {**state, "image": image, "block": 0, "evaluations": 1}
        state.pop("gradient", None)
        if reason := converged(self.settings, evaluation.gradient):
            return ended(state, reason).state
        if state.pop("stuck", False):
            return ended(state, "its line search finds no lower total").state
        return {**state, "gradient": evaluation.gradient, "total": float(evaluation.terms["total"])}

    def search(self, state: State, evaluate: Evaluate) -> Search | None:
        """The search that follows ``state``; None if a block begins."""
        if "gradient" not in state:
            return None
        return Search(state, Memory.of(state).downhill(state["gradient"]), evaluate, self.settings)

    def update(self, state: State, search: Search) -> Generator[Judgment, None, State]:
        """One search, and the state after the update that it leads to; the block goes on with another search, or ends."""
        settings, gradient = self.settings, state["gradient"]
        most = self.most_evaluations - state["evaluations"]
        found = yield from search.widen(first_length(settings, state, gradient), most)
        move = search.direction * found.length
        memory = Memory.of(state).with_pair(move, found.gradient - gradient, settings.history)
        counts = {name: state[name] + more for name, more in (("step", 1), ("block", 1), ("evaluations", search.tries))}
        following = {"image": state["image"] + move, **counts, **memory.as_state()}
        note = None
        if found.length == 0 and state["step"] > 0 and state["block"] == 0:
            # The next block would make the same search once more.
            following["stuck"] = True
        elif not self.is_over(following) and converged(settings, found.gradient) is None:
            if reason := too_small(settings, move, found.total - state["total"]):
                note = early(following["step"], reason)
            else:
                following.update(gradient=found.gradient, total=found.total)
        tried = found.length != search.last
        yield Judgment(following, state["step"] if tried else following["step"], tried, note)
        return following

    def is_over(self, state: State) -> bool:
        """Whether the block has made all its searches, or all its evaluations."""
        return bool(state["block"] == self.settings.iterations or state["evaluations"] >= self.most_evaluations)


@dataclass
class Trial:
    """A length along the direction of a search, and what was found there."""

    length: float
    total: float
    #: Of the total with respect to the length: the gradient times the direction.
    derivative: float
    #: None where it is no longer needed: it is as large as the picture.
    gradient: Tensor


class Search:
    """A line search for the strong Wolfe conditions, from a state's image along a direction (Nocedal and Wright 2006, section
    3.5). One trial is one evaluation.

    torch's are the bounds of the lengths that it tries, their number, and what it does about a cubic that does not fit.
    """

    def __init__(self, state: State, direction: Tensor, evaluate: Evaluate, settings: LbfgsSettings) -> None:
        self.image, self.direction, self.evaluate = state["image"], direction, evaluate
        self.tolerance = settings.tolerance_change
        self.start = Trial(0.0, state["total"], dot(state["gradient"], direction), state["gradient"])
        #: Why there is nothing to be found; None if the direction leads downhill.
        self.is_level = level(settings, self.start.derivative)
        self.goes_on = Judgment(state, state["step"], tried=True)
        #: How many lengths were tried, and the last one.
        self.tries, self.last = 0, 0.0

    def at(self, length: float) -> Trial:
        """Try a length. If the total or the derivative there is not finite, it was too long: a total of infinity makes it the
        end of a bracket, and a derivative of NaN sends the next trial to the middle. (torch goes on with NaN.)"""
        self.tries, self.last = self.tries + 1, length
        _, evaluation = self.evaluate(self.image + self.direction * length)
        total, derivative = float(evaluation.terms["total"]), dot(evaluation.gradient, self.direction)
        if not math.isfinite(total + derivative):
            total, derivative = math.inf, math.nan
        return Trial(length, total, derivative, evaluation.gradient)

    def decreases(self, trial: Trial) -> bool:
        """Whether the total falls by enough (equation 3.7a)."""
        return trial.total <= self.start.total + SUFFICIENT_DECREASE * trial.length * self.start.derivative

    def is_flat(self, trial: Trial) -> bool:
        """Whether the derivative is small enough (equation 3.7b)."""
        return abs(trial.derivative) <= -CURVATURE_CONDITION * self.start.derivative

    def widen(self, length: float, most: int) -> Generator[Judgment, None, Trial]:
        """Algorithm 3.5: longer and longer steps, from ``length`` on, until one meets both conditions, or a bracket holds one
        that does. Gives up after ``most`` further trials. A judgment tells of each trial that leads to another one."""
        before, here = self.start, self.at(length)
        while self.tries <= most:
            # (torch does not compare the second trial with the first.)
            if not self.decreases(here) or (self.tries > 2 and here.total >= before.total):
                return (yield from self.zoom([before, here], most))
            if self.is_flat(here):
                return here
            if here.derivative >= 0:
                return (yield from self.zoom([before, here], most))
            least, longest = here.length + LEAST_WIDENING * (here.length - before.length), here.length * MOST_WIDENING
            length, before = cubic_minimum(before, here, least, longest), here
            yield self.goes_on
            here = self.at(length)
        return here if here.total < self.start.total else self.start

    def zoom(self, ends: list[Trial], most: int) -> Generator[Judgment, None, Trial]:
        """Algorithm 3.6: a bracket becomes narrower until a trial in it meets both conditions. Takes the lower end if the
        bracket is narrow enough, or there were ``most`` further trials."""
        furthest, near = float(abs(self.direction).max()), False
        while True:
            low, high = (0, 1) if ends[0].total <= ends[1].total else (1, 0)
            ends[high].gradient = None
            left, right = sorted(end.length for end in ends)
            if right == left or (right - left) * furthest < self.tolerance or self.tries > most:
                return ends[low]
            length, near = inside(cubic_minimum(ends[0], ends[1], left, right), left, right, near)
            yield self.goes_on
            here = self.at(length)
            if not self.decreases(here) or here.total >= ends[low].total:
                ends[high] = here
                continue
            if self.is_flat(here):
                return here
            if here.derivative * (ends[high].length - ends[low].length) >= 0:
                ends[high] = ends[low]
            ends[low] = here


def cubic_minimum(one: Trial, other: Trial, least: float, most: float) -> float:
    """Where the cubic through two trials is lowest, between ``least`` and ``most``; in their middle if it is nowhere (Nocedal
    and Wright 2006, equation 3.59)."""
    a, b = sorted((one, other), key=lambda trial: trial.length)
    mean = a.derivative + b.derivative - 3 * (a.total - b.total) / (a.length - b.length)
    square = mean**2 - a.derivative * b.derivative
    if square >= 0 and (bend := b.derivative - a.derivative + 2 * math.sqrt(square)) != 0:
        minimum = b.length - (b.length - a.length) * ((b.derivative + math.sqrt(square) - mean) / bend)
        return min(max(minimum, least), most)
    return (least + most) / 2


def inside(length: float, left: float, right: float, near: bool) -> tuple[float, bool]:
    """A length that keeps its distance from the ends of a bracket, and whether it is ``near`` one all the same: it may be once,
    but not twice in a row, nor at an end itself. Then the cubic does not fit."""
    margin = INSIDE * (right - left)
    if not min(right - length, length - left) < margin:
        return length, False
    if not near and left < length < right:
        return length, True
    return (right - margin if abs(length - right) < abs(length - left) else left + margin), False


def first_length(settings: LbfgsSettings, state: State, gradient: Tensor) -> float:
    """What the next direction is multiplied by, at first where there is a line search."""
    # The first direction is the bare gradient, whose length says nothing about how far to go, unless its scale is known.
    bare = state["step"] == 0 and "carried" not in state
    return (min(1.0, 1 / float(abs(gradient).sum())) if bare else 1.0) * settings.learning_rate


def converged(settings: LbfgsSettings, gradient: Tensor) -> str | None:
    """Why L-BFGS has converged where it finds ``gradient``; None if it has not."""
    if (largest := float(abs(gradient).max())) <= settings.tolerance_gradient:
        return f"the largest component of the gradient, {largest:.3g}, is within its tolerance {settings.tolerance_gradient:g}"
    return None


def level(settings: LbfgsSettings, derivative: float) -> str | None:
    """Why no way leads downhill along a direction with this derivative; None if one does."""
    if derivative > -settings.tolerance_change:
        return f"the directional derivative, {derivative:.3g}, is within its tolerance {settings.tolerance_change:g}"
    return None


def too_small(settings: LbfgsSettings, move: Tensor, change: float) -> str | None:
    """Why an update that moved the image so and changed the total by so much ends its block; None if it does not."""
    if (furthest := float(abs(move).max())) <= settings.tolerance_change:
        return f"the furthest move, {furthest:.3g}, is at most {settings.tolerance_change:g}"
    if abs(change) < settings.tolerance_change:
        return f"the change of the total, {abs(change):.3g}, is below {settings.tolerance_change:g}"
    return None


def early(step: int, reason: str) -> str:
    return f"a block of L-BFGS ended early after step {step}: {reason}"


def ended(state: State, reason: str, name: str = "L-BFGS") -> Judgment:
    """The last judgment: no step leads on from ``state``."""
    end = f"{name} ended at step {state['step']}: {reason}"
    return Judgment({**state, "end": end}, state["step"], note=end)


def dot(one: Tensor, other: Tensor) -> float:
    return float((one * other).sum())
