"""Optimisers in plain tensor arithmetic: one text for NumPy, torch, MXNet and Paddle.

The frameworks' own optimisers disagree: MXNet's Adam adds epsilon to the uncorrected root of the second moment and keeps
beta2 as a float32 (an error of 6e-6 of each step even in float64), Paddle's keeps powers of beta in the parameter's dtype
(2e-5 of a step in float32). Written here once, with Python's double-precision scalars, they take no part in the result.

A state is a flat dict of tensors and numbers: all that is needed to go on. A step returns a new one and changes no tensor in
place, so a picture kept from an earlier step stays what it was.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from isostyle.interface import Evaluation, Tensor
from isostyle.recipe import AdamSettings, StepDecay

State = dict[str, Any]
#: Returns the point that was evaluated (a recipe may clamp it first) and what was found there.
Evaluate = Callable[[Tensor], tuple[Tensor, Evaluation]]


class Adam:
    """Adam (Kingma and Ba 2015, algorithm 1) with a learning rate that decays in steps."""

    def __init__(self, settings: AdamSettings, schedule: StepDecay) -> None:
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
        step = state["step"] + 1
        moment1 = state["moment1"] * beta1 + gradient * (1 - beta1)
        moment2 = state["moment2"] * beta2 + gradient * gradient * (1 - beta2)
        # Both corrections are Python doubles: 1 - beta2**step would lose half its digits in float32.
        rate = self.learning_rate(state) / (1 - beta1**step)
        root = moment2**0.5 / (1 - beta2**step) ** 0.5
        return {
            "image": image - moment1 / (root + self.settings.epsilon) * rate,
            "moment1": moment1,
            "moment2": moment2,
            "step": step,
        }
