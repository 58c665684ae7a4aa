"""Optimisers in plain tensor arithmetic: one text for NumPy, torch, MXNet and Paddle.

The frameworks' own optimisers disagree: MXNet's Adam adds epsilon to the uncorrected root of the second moment and keeps
beta2 as a float32 (an error of 6e-6 of each step even in float64), Paddle's keeps powers of beta in the parameter's dtype
(2e-5 of a step in float32). Written here once, with Python's double-precision scalars, they take no part in the result.

A state is a flat dict of tensors, numbers and text: all that is needed to go on. A step returns a new one and changes no tensor
in place, so a picture kept from an earlier step stays what it was; but it may take tensors out of the state that it is given,
so that those of large pictures are gone as soon as they are used. If the optimiser has come to an end, its state has an
``end`` that says why; if something happened that a user should know, a ``note``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from isostyle.interface import Evaluation, Tensor
from isostyle.recipe import AdamSettings, Constant, LbfgsSettings, Recipe, StepDecay

State = dict[str, Any]
#: L-BFGS keeps a pair only if move and gradient change agree in direction by more than this (torch.optim.LBFGS).
LEAST_CURVATURE = 1e-10
#: Returns the point that was evaluated (a recipe may clamp it first) and what was found there.
Evaluate = Callable[[Tensor], tuple[Tensor, Evaluation]]


def optimiser(recipe: Recipe) -> Adam | Lbfgs:
    """The optimiser of ``recipe``."""
    settings = recipe.optimiser
    # A Recipe sees to it that L-BFGS has no schedule.
    return Adam(settings, recipe.schedule) if isinstance(settings, AdamSettings) else Lbfgs(settings)


class Adam:
    """Adam (Kingma and Ba 2015, algorithm 1) with a learning rate that may decay in steps."""

    def __init__(self, settings: AdamSettings, schedule: StepDecay | Constant) -> None:
        self.settings = settings
        self.schedule = schedule

    def start(self, image: Tensor) -> State:
        return {"image": image, "moment1": image * 0, "moment2": image * 0, "step": 0}

    def learning_rate(self, state: State) -> float:
        """The learning rate that the next step uses."""
        return self.schedule.rate(self.settings.learning_rate, state["step"])

    def step(self, state: State, evaluate: Evaluate) -> State:
        beta1, beta2 = self.settings.beta1, self.settings.beta2
        image, evaluation = evaluate(state["image"])
        gradient = evaluation.gradient
        if state["step"] == 0 and float(abs(gradient).max()) == 0:
            return {**state, "image": image, "end": "Adam ended at step 0: the gradient is 0 everywhere"}
        del evaluation
        step = state["step"] + 1
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

    def start(self, image: Tensor) -> State:
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
        if state["block"] > 0 and (reason := self.too_small(state, total)):
            # As published: the next block evaluates the same image again, and goes on.
            return {**state, "block": 0, "note": f"a block of L-BFGS ended early after step {state['step']}: {reason}"}

        pairs = [(state[f"move{i}"], state[f"change{i}"]) for i in range(state["pairs"])]
        scale = state["scale"]
        if state["step"] > 0:
            change = gradient - state["gradient"]
            curvature = dot(state["move"], change)
            if curvature > LEAST_CURVATURE:
                pairs = [*pairs, (state["move"], change)][-self.settings.history :]
                scale = curvature / dot(change, change)
        # The two loops that multiply -gradient by the approximate inverse Hessian (Nocedal and Wright 2006, algorithm 7.4).
        direction = -gradient
        shares = []
        for move, change in reversed(pairs):
            share = dot(move, direction) / dot(move, change)
            direction = direction - change * share
            shares.append(share)
        direction = direction * scale
        for (move, change), share in zip(pairs, reversed(shares), strict=True):
            direction = direction + move * (share - dot(change, direction) / dot(move, change))
        if (slope := dot(gradient, direction)) > -self.settings.tolerance_change:
            return ended(state, "the slope downhill", -slope, self.settings.tolerance_change)
        # The first direction is the bare gradient, whose length says nothing about how far to go.
        first = min(1.0, 1 / float(abs(gradient).sum())) if state["step"] == 0 else 1.0
        move = direction * (first * self.learning_rate(state))
        following = {
            "image": image + move,
            "step": state["step"] + 1,
            "block": (state["block"] + 1) % self.settings.iterations,
            "pairs": len(pairs),
            "scale": scale,
        }
        for i, (kept_move, kept_change) in enumerate(pairs):
            following[f"move{i}"], following[f"change{i}"] = kept_move, kept_change
        return {**following, "gradient": gradient, "move": move, "total": total}

    def too_small(self, state: State, total: float) -> str | None:
        """Why the last update was too small for its block to go on; None if it was not."""
        tolerance = self.settings.tolerance_change
        if (furthest := float(abs(state["move"]).max())) <= tolerance:
            return f"the furthest move, {furthest:.3g}, is at most {tolerance:g}"
        if (change := abs(total - state["total"])) < tolerance:
            return f"the change of the total, {change:.3g}, is below {tolerance:g}"
        return None


def ended(state: State, criterion: str, value: float, tolerance: float) -> State:
    """``state``, from which no step leads on, and why."""
    return {
        **state,
        "end": f"L-BFGS ended at step {state['step']}: {criterion}, {value:.3g}, is within its tolerance {tolerance:g}",
    }


def dot(one: Tensor, other: Tensor) -> float:
    return float((one * other).sum())
