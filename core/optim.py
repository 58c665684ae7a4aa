"""Optimizers in plain tensor arithmetic: one text for NumPy, torch, MXNet and Paddle.

The frameworks' own optimizers disagree: MXNet's Adam adds epsilon to the uncorrected root of the second moment and keeps
beta2 as a float32 (an error of 6e-6 of each step even in float64), Paddle's keeps powers of beta in the parameter's dtype
(2e-5 of a step in float32). Written here once, with Python's double-precision scalars, they take no part in the result.

A state is a flat dict of tensors, numbers and text: all that is needed to go on. A step returns a new one and changes no tensor
in place, so a picture kept from an earlier step stays what it was; but it may take tensors out of the state that it is given,
so that those of large pictures are gone as soon as they are used. If the optimizer has come to an end, its state has an
``end`` that says why; if something happened that a user should know, a ``note``. ``tried`` is true if the point that was
evaluated is no picture of the run: a trial of a line search.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from isostyle.interface import Evaluation, Tensor
from isostyle.recipe import AdamSettings, Constant, LbfgsSettings, Recipe, StepDecay

State = dict[str, Any]
#: What of a state is no tensor.
PLAIN = (bool, int, float, str)
#: L-BFGS keeps a pair only if move and gradient change agree in direction by more than this (torch.optim.LBFGS).
LEAST_CURVATURE = 1e-10
#: The strong Wolfe conditions on a length: the total falls by at least this share of what the slope at the start promises, and
#: the slope there is at most this share of it (c1 and c2: Nocedal and Wright 2006, page 62; torch's too).
SUFFICIENT_DECREASE, CURVATURE_CONDITION = 1e-4, 0.9
#: A length that is too short becomes longer by at least this share of the last gain, and at most so many times as long.
LEAST_WIDENING, MOST_WIDENING = 0.01, 10
#: A trial that lies closer to an end of its bracket than this share of the bracket is moved so far inside, the second time.
INSIDE = 0.1
#: Returns the point that was evaluated (a recipe may clamp it first) and what was found there.
Evaluate = Callable[[Tensor], tuple[Tensor, Evaluation]]


def optimizer(recipe: Recipe) -> Adam | Lbfgs:
    """The optimizer of ``recipe``."""
    settings = recipe.optimizer
    if isinstance(settings, AdamSettings):
        return Adam(settings, recipe.schedule)
    # A Recipe sees to it that L-BFGS has no schedule, and is not clamped where it searches.
    return Lbfgs(settings) if settings.line_search == "none" else SearchingLbfgs(settings)


def missing(recipe: Recipe, state: State) -> str | None:
    """The first name that the optimizer of ``recipe`` needs to go on from ``state``, which comes from a file, and does not find
    there; None if it is all there."""
    if isinstance(recipe.optimizer, AdamSettings):
        tensors, numbers = ["image", "moment1", "moment2"], ["step"]
    else:
        tensors, numbers = ["image"], ["step", "block", "pairs", "scale"]
        pairs = state.get("pairs")
        for i in range(pairs if isinstance(pairs, int) and pairs <= len(state) else 0):
            tensors += [f"move{i}", f"change{i}"]
            numbers.append(f"curvature{i}")
        if not recipe.searches and state.get("step") != 0:
            tensors, numbers = [*tensors, "gradient", "move"], [*numbers, "total"]
        if recipe.searches:
            numbers += ["evaluations", "tried"]
        if recipe.searches and "trial" in state:
            tensors += ["gradient", "direction", "low_gradient"]
            numbers += ["total", "slope", "trial", "tries", "most", "zoom", "cautious", "low", "length0", "total0", "slope0"]
            numbers += ["length1", "total1", "slope1"] if state.get("zoom") else []
    for names, tensor in ((tensors, True), (numbers, False)):
        for name in names:
            if name not in state or isinstance(state[name], str) or isinstance(state[name], PLAIN) == tensor:
                return name
    return None


class Adam:
    """Adam (Kingma and Ba 2015, algorithm 1) with a learning rate that may decay in steps."""

    def __init__(self, settings: AdamSettings, schedule: StepDecay | Constant) -> None:
        self.settings = settings
        self.schedule = schedule

    def start(self, image: Tensor, scale: float | None = None) -> State:
        """The state before the first step. Adam has no use for the ``scale`` of another level."""
        return {"image": image, "moment1": image * 0, "moment2": image * 0, "step": 0}

    def learning_rate(self, state: State) -> float:
        """The learning rate that the next step uses."""
        return self.schedule.rate(self.settings.learning_rate, state["step"])

    def step(self, state: State, evaluate: Evaluate) -> State:
        state["image"], evaluation = evaluate(state["image"])
        # Handed over, not kept: it is as large as the picture.
        gradient = [evaluation.gradient]
        del evaluation
        if state["step"] == 0 and float(abs(gradient[0]).max()) == 0:
            return {**state, "end": "Adam ended at step 0: the gradient is 0 everywhere"}
        return self.update(state, gradient.pop())

    def update(self, state: State, gradient: Tensor) -> State:
        """One update of ``state``'s image, or whatever else is called so: one parameter of a network."""
        beta1, beta2 = self.settings.beta1, self.settings.beta2
        image, step = state["image"], state["step"] + 1
        # Each of these tensors is as large as the picture, so none is kept longer than it is needed.
        moment1 = state.pop("moment1") * beta1 + gradient * (1 - beta1)
        moment2 = state.pop("moment2") * beta2 + gradient * gradient * (1 - beta2)
        del gradient
        # Both corrections are Python doubles: 1 - beta2**step would lose half its digits in float32.
        rate = self.learning_rate(state) / (1 - beta1**step)
        root = moment2**0.5 / (1 - beta2**step) ** 0.5
        move = moment1 / (root + self.settings.epsilon)
        del root
        return {"image": image - move * rate, "moment1": moment1, "moment2": moment2, "step": step}


class Lbfgs:
    """L-BFGS without line search (Liu and Nocedal 1989), as torch.optim.LBFGS runs it; one evaluation a step.

    The state keeps the last moves of the image and the changes of the gradient that came with them: ``move0``, ``change0``, ...
    ``step`` counts updates, ``block`` those since the block began. A move is remembered as it was made, even if the image was
    clamped afterwards.
    """

    def __init__(self, settings: LbfgsSettings) -> None:
        self.settings = settings

    def start(self, image: Tensor, scale: float | None = None) -> State:
        """The state before the first step. A ``scale`` from another level of a pyramid is left alone: without a search, nobody
        would shorten a step that is too long at this one."""
        return {"image": image, "step": 0, "block": 0, "pairs": 0, "scale": 1.0}

    def learning_rate(self, state: State) -> float:
        """The learning rate that every step uses."""
        return self.settings.learning_rate

    def step(self, state: State, evaluate: Evaluate) -> State:
        image, evaluation = evaluate(state["image"])
        state = {**state, "image": image}
        gradient, total = evaluation.gradient, float(evaluation.terms["total"])
        largest = float(abs(gradient).max())
        if largest <= self.settings.tolerance_gradient:
            return ended(state, "the largest component of the gradient", largest, self.settings.tolerance_gradient)
        if state["block"] > 0 and (reason := self.too_small(state["move"], total - state["total"])):
            # As published: the next block evaluates the same image again, and goes on.
            return {**state, "block": 0, "note": early(state, reason)}

        memory = self.memory(state)
        if state["step"] > 0:
            memory = self.with_pair(memory, state["move"], gradient - state["gradient"])
        direction = downhill(gradient, memory)
        if (slope := dot(gradient, direction)) > -self.settings.tolerance_change:
            return ended(state, "the slope downhill", -slope, self.settings.tolerance_change)
        move = direction * self.first_length(state, gradient)
        following = {
            "image": image + move,
            "step": state["step"] + 1,
            "block": (state["block"] + 1) % self.settings.iterations,
        }
        return {**following, **remembered(memory), "gradient": gradient, "move": move, "total": total}

    def first_length(self, state: State, gradient: Tensor) -> float:
        """What the next direction is multiplied by, at first where there is a line search."""
        # The first direction is the bare gradient, whose length says nothing about how far to go, unless its scale is known.
        bare = state["step"] == 0 and "carried" not in state
        first = min(1.0, 1 / float(abs(gradient).sum())) if bare else 1.0
        return first * self.settings.learning_rate

    def memory(self, state: State) -> Memory:
        """The pairs that ``state`` keeps, and the scale."""
        pairs = [(state[f"move{i}"], state[f"change{i}"], state[f"curvature{i}"]) for i in range(state["pairs"])]
        return Memory(pairs, state["scale"])

    def with_pair(self, memory: Memory, move: Tensor, change: Tensor) -> Memory:
        """``memory`` with one more pair, if its curvature is positive, and without what is older than the history."""
        curvature = dot(move, change)
        if curvature <= LEAST_CURVATURE:
            return memory
        scale = curvature / dot(change, change)
        return Memory([*memory.pairs, (move, change, curvature)][-self.settings.history :], scale)

    def too_small(self, move: Tensor, change: float) -> str | None:
        """Why an update that moved the image so and changed the total by so much ends its block; None if it does not."""
        tolerance = self.settings.tolerance_change
        if (furthest := float(abs(move).max())) <= tolerance:
            return f"the furthest move, {furthest:.3g}, is at most {tolerance:g}"
        if abs(change) < tolerance:
            return f"the change of the total, {abs(change):.3g}, is below {tolerance:g}"
        return None


class SearchingLbfgs(Lbfgs):
    """L-BFGS with a line search for the strong Wolfe conditions: the decisions of torch.optim.LBFGS with ``strong_wolfe``.

    Nocedal and Wright 2006: the search widens its step until a bracket holds a good one (algorithm 3.5), then narrows the
    bracket (3.6), each time at the minimum of a cubic (3.59). One trial is one evaluation, and one call of :meth:`step`.
    ``image`` is always the picture of the last finished update, never a trial, and ``total`` and ``gradient`` are its;
    ``tried`` says that the point evaluated last is not it. While a search goes on, the state has

    - ``direction``, its ``slope`` at the image, and ``trial``, the length that is tried next;
    - ``tries``, how many trials came before it, and ``most``, the number at which the search gives up;
    - ``zoom``: whether there is a bracket. Its ends are ``length0``, ``total0``, ``slope0`` and ``length1``, ...; before there
      is one, end 0 is the trial before. ``low`` is the end of the lower total, ``low_gradient`` the gradient there: of the
      other end none is needed;
    - ``cautious``: whether the last trial lay close to an end of the bracket.

    A trial whose total or slope is not finite went too far: the next one is in the middle of its bracket. (torch goes on with
    NaN.)

    A block begins with an evaluation of the image. It has at most ``iterations`` searches, and none begins once it has made
    ``iterations * 5 // 4`` evaluations (torch's max_eval), which also bound a search: at 20 iterations 25 evaluations.
    """

    def start(self, image: Tensor, scale: float | None = None) -> State:
        """The state before the first step. ``scale``: of the inverse Hessian, where another level of a pyramid has found it;
        the first direction then has a length that says how far to go."""
        carried = {} if scale is None else {"scale": scale, "carried": True}
        return {**super().start(image), **carried, "evaluations": 0, "tried": False}

    def step(self, state: State, evaluate: Evaluate) -> State:
        if "trial" in state:
            _, evaluation = evaluate(state["image"] + state["direction"] * state["trial"])
            state = {**state, "evaluations": state["evaluations"] + 1, "tried": True}
            return self.judge(state, float(evaluation.terms["total"]), evaluation.gradient)
        image, evaluation = evaluate(state["image"])
        state = {**state, "image": image, "evaluations": 1, "tried": False}
        gradient, total = evaluation.gradient, float(evaluation.terms["total"])
        largest = float(abs(gradient).max())
        if largest <= self.settings.tolerance_gradient:
            return ended(state, "the largest component of the gradient", largest, self.settings.tolerance_gradient)
        if state.pop("stuck", False):
            return {**state, "end": f"L-BFGS ended at step {state['step']}: its line search finds no lower total"}
        following = self.search({**state, "total": total, "gradient": gradient})
        if "trial" not in following:
            slope = dot(gradient, downhill(gradient, self.memory(state)))
            return ended(state, "the slope downhill", -slope, self.settings.tolerance_change)
        return following

    def search(self, state: State) -> State:
        """``state`` with a search about to begin; without one, and the block at its end, if there is no way downhill."""
        gradient = state["gradient"]
        direction = downhill(gradient, self.memory(state))
        slope = dot(gradient, direction)
        if slope > -self.settings.tolerance_change:
            return {**state, "block": 0}
        search = {
            "direction": direction,
            "slope": slope,
            "trial": self.first_length(state, gradient),
            "tries": 0,
            "most": self.most_evaluations - state["evaluations"],
            "zoom": False,
            "cautious": False,
            "low": 0,
            "low_gradient": gradient,
        }
        return {**state, **search, "length0": 0.0, "total0": state["total"], "slope0": slope}

    @property
    def most_evaluations(self) -> int:
        return self.settings.iterations * 5 // 4

    def judge(self, state: State, total: float, gradient: Tensor) -> State:
        """What follows from what was found at the trial: another one, or the end of the search."""
        length, steepness = state["trial"], dot(gradient, state["direction"])
        if not math.isfinite(total + steepness):
            # Too far, and no cubic leads back: without a slope its minimum is taken to be in the middle.
            total, steepness = math.inf, math.nan
        enough = total <= state["total"] + SUFFICIENT_DECREASE * length * state["slope"]
        flat = abs(steepness) <= -CURVATURE_CONDITION * state["slope"]
        if state["zoom"]:
            return self.narrow(state, total, gradient, steepness, enough, flat)
        if state["tries"] == state["most"]:
            # Given up while it widened: the start or this trial, whichever is lower.
            if total < state["total"]:
                return self.taken(state, length, total, gradient)
            return self.taken(state, 0.0, state["total"], state["gradient"])
        here = {"length1": length, "total1": total, "slope1": steepness}
        # (The second trial is not compared with the first one: torch begins with the third.)
        if enough and not (state["tries"] > 1 and total >= state["total0"]):
            if flat:
                return self.taken(state, length, total, gradient)
            if steepness < 0:
                longest = (length + LEAST_WIDENING * (length - state["length0"]), length * MOST_WIDENING)
                wider = cubic_minimum(bracket({**state, **here}), longest)
                before = {"length0": length, "total0": total, "slope0": steepness, "low_gradient": gradient}
                return {**state, **before, "trial": wider, "tries": state["tries"] + 1}
        found = {**state, **here, "zoom": True}
        if total < state["total0"]:
            found = {**found, "low": 1, "low_gradient": gradient}
        return self.closer(found)

    def narrow(self, state: State, total: float, gradient: Tensor, steepness: float, enough: bool, flat: bool) -> State:
        """The bracket with the trial as one of its ends."""
        low, high = state["low"], 1 - state["low"]
        length = state["trial"]
        if not enough or total >= state[f"total{low}"]:
            state = {**state, f"length{high}": length, f"total{high}": total, f"slope{high}": steepness}
            if (lower := 0 if state["total0"] <= state["total1"] else 1) == high:
                state = {**state, "low": lower, "low_gradient": gradient}
            return self.closer(state)
        if flat:
            return self.taken(state, length, total, gradient)
        if steepness * (state[f"length{high}"] - state[f"length{low}"]) >= 0:
            state = {**state, **{f"{name}{high}": state[f"{name}{low}"] for name in ("length", "total", "slope")}}
        at = {f"length{low}": length, f"total{low}": total, f"slope{low}": steepness, "low_gradient": gradient}
        return self.closer({**state, **at})

    def closer(self, state: State) -> State:
        """``state`` with the next trial inside its bracket; or, if that is small or the search is long, its lower end taken."""
        shortest, longest = sorted((state["length0"], state["length1"]))
        low = state["low"]
        width = longest - shortest
        small = width == 0 or width * float(abs(state["direction"]).max()) < self.settings.tolerance_change
        if small or state["tries"] >= state["most"]:
            return self.taken(state, state[f"length{low}"], state[f"total{low}"], state["low_gradient"])
        trial = cubic_minimum(bracket(state), (shortest, longest))
        margin = INSIDE * width
        cautious = min(longest - trial, trial - shortest) < margin
        if cautious and (state["cautious"] or trial >= longest or trial <= shortest):
            # Twice in a row so close to an end, or at it: the cubic does not fit.
            trial = longest - margin if abs(trial - longest) < abs(trial - shortest) else shortest + margin
            cautious = False
        return {**state, "trial": trial, "tries": state["tries"] + 1, "cautious": cautious}

    def taken(self, state: State, length: float, total: float, gradient: Tensor) -> State:
        """The search is over, and the image that of ``length``; the block goes on with another, or not."""
        move = state["direction"] * length
        memory = self.with_pair(self.memory(state), move, gradient - state["gradient"])
        following = {
            "image": state["image"] + move,
            "step": state["step"] + 1,
            "block": state["block"] + 1,
            "evaluations": state["evaluations"],
            "tried": length != state["trial"],
            "total": total,
            "gradient": gradient,
            **remembered(memory),
        }
        if length == 0 and state["step"] > 0 and state["block"] == 0:
            # The next block would make the same search once more.
            return {**following, "block": 0, "stuck": True}
        over = following["block"] == self.settings.iterations or following["evaluations"] >= self.most_evaluations
        if over or float(abs(gradient).max()) <= self.settings.tolerance_gradient:
            return {**following, "block": 0}
        if reason := self.too_small(move, total - state["total"]):
            return {**following, "block": 0, "note": early(following, reason)}
        return self.search(following)


def bracket(state: State) -> list[tuple[float, float, float]]:
    """(length, total, slope) of both ends."""
    return [(state[f"length{i}"], state[f"total{i}"], state[f"slope{i}"]) for i in (0, 1)]


def cubic_minimum(ends: list[tuple[float, float, float]], bounds: tuple[float, float]) -> float:
    """Where the cubic through two lengths with these totals and slopes is least, within ``bounds``; the middle of these if it
    is nowhere (Nocedal and Wright 2006, equation 3.59)."""
    (a, total_a, slope_a), (b, total_b, slope_b) = sorted(ends)
    shortest, longest = bounds
    mean = slope_a + slope_b - 3 * (total_a - total_b) / (a - b)
    square = mean**2 - slope_a * slope_b
    if square >= 0 and (bend := slope_b - slope_a + 2 * math.sqrt(square)) != 0:
        return min(max(b - (b - a) * ((slope_b + math.sqrt(square) - mean) / bend), shortest), longest)
    return (shortest + longest) / 2


@dataclass(frozen=True)
class Memory:
    """What L-BFGS knows of the curvature: moves of the image, changes of the gradient and their products, oldest first; and the
    scale of the inverse Hessian that they correct."""

    pairs: list[tuple[Tensor, Tensor, float]]
    scale: float


def remembered(memory: Memory) -> State:
    """``memory`` as part of a state."""
    found: State = {"pairs": len(memory.pairs), "scale": memory.scale}
    for i, (move, change, curvature) in enumerate(memory.pairs):
        found.update({f"move{i}": move, f"change{i}": change, f"curvature{i}": curvature})
    return found


def downhill(gradient: Tensor, memory: Memory) -> Tensor:
    """-gradient times the approximate inverse Hessian (Nocedal and Wright 2006, algorithm 7.4)."""
    direction = -gradient
    shares = []
    for move, change, curvature in reversed(memory.pairs):
        share = dot(move, direction) / curvature
        direction = direction - change * share
        shares.append(share)
    direction = direction * memory.scale
    for (move, change, curvature), share in zip(memory.pairs, reversed(shares), strict=True):
        direction = direction + move * (share - dot(change, direction) / curvature)
    return direction


def early(state: State, reason: str) -> str:
    return f"a block of L-BFGS ended early after step {state['step']}: {reason}"


def ended(state: State, criterion: str, value: float, tolerance: float) -> State:
    """``state``, from which no step leads on, and why."""
    return {
        **state,
        "end": f"L-BFGS ended at step {state['step']}: {criterion}, {value:.3g}, is within its tolerance {tolerance:g}",
    }


def dot(one: Tensor, other: Tensor) -> float:
    return float((one * other).sum())
