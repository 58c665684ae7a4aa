"""The frameworks' own optimizers, as their users call them, to be compared with isostyle's.

No backend uses these. torch's and Paddle's agree with :mod:`isostyle.optim` and the oracle; MXNet's Adam does not
(deviations/mxnet.toml), and is one reason why isostyle has its own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from isostyle.interface import Array, Engine, Objective, Tensor
from isostyle.recipe import AdamSettings, LbfgsSettings


def adam(backend: str, engine: Engine, settings: AdamSettings, gradients: Sequence[Array]) -> Array:
    """Run the framework's own Adam from zeros, a step for each of ``gradients``; returns the image."""
    options = {"beta1": settings.beta1, "beta2": settings.beta2, "epsilon": settings.epsilon}
    image = engine.tensor(gradients[0] * 0)
    if backend == "torch":
        import torch

        parameter = torch.nn.Parameter(image)
        own = torch.optim.Adam([parameter], settings.learning_rate, (settings.beta1, settings.beta2), settings.epsilon)
        for gradient in gradients:
            parameter.grad = engine.tensor(gradient)
            own.step()
        return engine.array(parameter)
    if backend == "paddle":
        import paddle

        image.stop_gradient = False
        own = paddle.optimizer.Adam(settings.learning_rate, **options, parameters=[image])
        for gradient in gradients:
            # The gradient of this sum is the one that was given.
            (image * engine.tensor(gradient)).sum().backward()
            own.step()
            own.clear_grad()
        return engine.array(image)
    if backend == "mxnet":
        import mxnet

        own = mxnet.optimizer.Adam(learning_rate=settings.learning_rate, **options)
        update = mxnet.optimizer.get_updater(own)
        for gradient in gradients:
            update(0, engine.tensor(gradient), image)
        return engine.array(image)
    raise NotImplementedError(f"no optimizer of {backend}'s own is known")


def lbfgs(
    backend: str, engine: Engine, settings: LbfgsSettings, objective: Objective, start: Array, evaluations: int
) -> tuple[Array, list[float]]:
    """Run the framework's own L-BFGS without line search; returns the image and the total of each evaluation.

    Its tolerances are 0, so that nothing but the number of evaluations ends it.
    """
    totals: list[float] = []
    image = engine.tensor(start)
    evaluate: Callable[[], Tensor]
    if backend == "torch":
        import torch

        parameter = torch.nn.Parameter(image)
        own = torch.optim.LBFGS(
            [parameter],
            lr=settings.learning_rate,
            max_iter=evaluations,
            max_eval=evaluations + 1,
            tolerance_grad=0,
            tolerance_change=0,
            history_size=settings.history,
        )

        def evaluate() -> Tensor:
            evaluation = objective(parameter)
            parameter.grad = evaluation.gradient
            totals.append(float(evaluation.terms["total"]))
            return evaluation.terms["total"]

        own.step(evaluate)
        return engine.array(parameter), totals
    if backend == "paddle":
        import paddle

        image.stop_gradient = False
        own = paddle.optimizer.LBFGS(
            learning_rate=settings.learning_rate,
            max_iter=evaluations,
            max_eval=evaluations + 1,
            tolerance_grad=0,
            tolerance_change=0,
            history_size=settings.history,
            parameters=[image],
        )

        def evaluate() -> Tensor:
            own.clear_grad()
            evaluation = objective(image)
            (image * evaluation.gradient).sum().backward()
            totals.append(float(evaluation.terms["total"]))
            return evaluation.terms["total"]

        own.step(evaluate)
        return engine.array(image), totals
    raise NotImplementedError(f"{backend} has no L-BFGS of its own")
