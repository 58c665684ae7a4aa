"""What torch.optim computes in float64, for tests that hold the oracle's optimizers to it without torch.

    python scripts/record_optimizers.py        # writes tests/data/optimizers.json

Adam with StepLR on given gradients, and L-BFGS without and with line search on :func:`valley` (with one also on
:func:`waves`), from fixed starts.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import torch

FILE = Path(__file__).resolve().parents[1] / "tests" / "data" / "optimizers.json"
#: Gradients of ten steps for three variables; small ones show where epsilon is added.
GRADIENTS = [[(-1) ** (i + j) * (1 + i) ** 1.5 * 10.0 ** (-3 * j) for j in range(3)] for i in range(10)]
START = [1.5, -2.0, 0.5, 3.0, -1.0, 0.25]
EVALUATIONS = 20
#: With a line search: updates, and lengths that it tries first: too short (it widens), right, and far too long (it zooms).
SEARCHED_UPDATES = 12
SEARCHED_RATES = (0.05, 1.0, 40.0)
WAVES_START = [5.12, -3.57]


def valley(x: torch.Tensor) -> torch.Tensor:
    """Smooth, curved and not convex: sum of (i + 1) (x_i - 1)^2 / 4 and of (x_{i+1} - x_i^2 / 4)^2."""
    weights = torch.arange(1, len(x) + 1, dtype=x.dtype)
    return (weights * (x - 1) ** 2).sum() / 4 + ((x[1:] - x[:-1] ** 2 / 4) ** 2).sum()


def adam() -> list[list[float]]:
    parameter = torch.nn.Parameter(torch.zeros(3, dtype=torch.float64))
    optimizer = torch.optim.Adam([parameter], lr=0.3)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, 4, 0.8)
    images = []
    for gradient in GRADIENTS:
        parameter.grad = torch.tensor(gradient, dtype=torch.float64)
        optimizer.step()
        schedule.step()
        images.append(parameter.tolist())
    return images


def waves(x: torch.Tensor) -> torch.Tensor:
    """With many valleys, in which a line search takes all its turns: sum of x_i^2 / 8 + sin 4 x_i, and of x_i x_{i+1} / 8."""
    return (x**2).sum() / 8 + torch.sin(4 * x).sum() + (x[1:] * x[:-1]).sum() / 8


def lbfgs(
    history: int,
    *,
    steps: int = 1,
    clamped: bool = False,
    search: str | None = None,
    rate: float = 0.5,
    updates: int = EVALUATIONS,
    function: Callable[[torch.Tensor], torch.Tensor] = valley,
    start: list[float] = START,
) -> list[list[float]]:
    """Every point that is evaluated, and the last one that is reached; ``steps`` calls of step() make the ``updates``.

    ``clamped``: to 0..1, in the closure and at the end, as PyTorch's style transfer tutorial does. ``search``: the line search.
    """
    parameter = torch.nn.Parameter(torch.tensor(start, dtype=torch.float64))
    optimizer = torch.optim.LBFGS(
        [parameter],
        lr=rate,
        max_iter=updates // steps,
        tolerance_grad=0,
        tolerance_change=0,
        history_size=history,
        line_search_fn=search,
    )
    images = []

    def clamp() -> None:
        if clamped:
            parameter.data.clamp_(0, 1)

    def evaluate() -> torch.Tensor:
        clamp()
        optimizer.zero_grad()
        images.append(parameter.tolist())
        value = function(parameter)
        value.backward()
        return value

    for _ in range(steps):
        optimizer.step(evaluate)
    clamp()
    return [*images, parameter.tolist()]


def searching(function: str, start: list[float], history: int, blocks: int, rate: float) -> dict[str, object]:
    """Every point that L-BFGS with a line search evaluates, and the last one; and what it was asked."""
    points = lbfgs(
        history,
        steps=blocks,
        search="strong_wolfe",
        rate=rate,
        updates=SEARCHED_UPDATES,
        function={"valley": valley, "waves": waves}[function],
        start=start,
    )
    asked = {"function": function, "start": start, "history": history, "iterations": SEARCHED_UPDATES // blocks, "rate": rate}
    return {**asked, "points": points}


def main() -> None:
    found = {
        "torch": torch.__version__.partition("+")[0],
        "gradients": GRADIENTS,
        "adam": adam(),
        "start": START,
        "lbfgs": {str(history): lbfgs(history) for history in (3, 100)},
        "clamped lbfgs": lbfgs(100, steps=2, clamped=True),
        "searching lbfgs": [
            *(
                searching("valley", START, history, blocks, rate)
                for history in (1, 3, 100)
                for blocks in (1, 2)
                for rate in SEARCHED_RATES
            ),
            *(searching("waves", WAVES_START, 100, blocks, 3.0) for blocks in (1, 2)),
        ],
    }
    FILE.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
