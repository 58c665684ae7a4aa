"""What torch.optim computes in float64, for tests that hold the oracle's optimisers to it without torch.

    python scripts/record_optimisers.py        # writes tests/data/optimisers.json

Adam with StepLR on given gradients, and L-BFGS without line search on :func:`valley`, from a fixed start.
"""

from __future__ import annotations

import json
from pathlib import Path

import torch

FILE = Path(__file__).resolve().parents[1] / "tests" / "data" / "optimisers.json"
#: Gradients of ten steps for three variables; small ones show where epsilon is added.
GRADIENTS = [[(-1) ** (i + j) * (1 + i) ** 1.5 * 10.0 ** (-3 * j) for j in range(3)] for i in range(10)]
START = [1.5, -2.0, 0.5, 3.0, -1.0, 0.25]
EVALUATIONS = 20


def valley(x: torch.Tensor) -> torch.Tensor:
    """Smooth, curved and not convex: sum of (i + 1) (x_i - 1)^2 / 4 and of (x_{i+1} - x_i^2 / 4)^2."""
    weights = torch.arange(1, len(x) + 1, dtype=x.dtype)
    return (weights * (x - 1) ** 2).sum() / 4 + ((x[1:] - x[:-1] ** 2 / 4) ** 2).sum()


def adam() -> list[list[float]]:
    parameter = torch.nn.Parameter(torch.zeros(3, dtype=torch.float64))
    optimiser = torch.optim.Adam([parameter], lr=0.3)
    schedule = torch.optim.lr_scheduler.StepLR(optimiser, 4, 0.8)
    images = []
    for gradient in GRADIENTS:
        parameter.grad = torch.tensor(gradient, dtype=torch.float64)
        optimiser.step()
        schedule.step()
        images.append(parameter.tolist())
    return images


def lbfgs(history: int, *, steps: int = 1, clamped: bool = False) -> list[list[float]]:
    """Every point that is evaluated, and the last one that is reached; ``steps`` calls of step() make the evaluations.

    ``clamped``: to 0..1, in the closure and at the end, as PyTorch's style transfer tutorial does.
    """
    parameter = torch.nn.Parameter(torch.tensor(START, dtype=torch.float64))
    optimiser = torch.optim.LBFGS(
        [parameter], lr=0.5, max_iter=EVALUATIONS // steps, tolerance_grad=0, tolerance_change=0, history_size=history
    )
    images = []

    def clamp() -> None:
        if clamped:
            parameter.data.clamp_(0, 1)

    def evaluate() -> torch.Tensor:
        clamp()
        optimiser.zero_grad()
        images.append(parameter.tolist())
        value = valley(parameter)
        value.backward()
        return value

    for _ in range(steps):
        optimiser.step(evaluate)
    clamp()
    return [*images, parameter.tolist()]


def main() -> None:
    found = {
        "torch": torch.__version__.partition("+")[0],
        "gradients": GRADIENTS,
        "adam": adam(),
        "start": START,
        "lbfgs": {str(history): lbfgs(history) for history in (3, 100)},
        "clamped lbfgs": lbfgs(100, steps=2, clamped=True),
    }
    FILE.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
