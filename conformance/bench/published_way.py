"""Style transfer as tutorials write it, one function a framework: what `isostyle bench` measures ours against.

Source: Zhang et al., Dive into Deep Learning, section "Neural Style Transfer", MXNet, PyTorch and Paddle tabs. As there, the
network is a VGG of the framework's own layers, whose weights are parameters with gradients (each backward pass computes them,
nobody uses them); the picture is a parameter, too; a loop over the layers keeps the tapped maps; the framework's own Adam and
schedule update the picture. Not as there: ReLUs are not in place (they would change the objective: see docs/in-place-relu.md),
weights and pictures are given, and the total is read at every step, not at every tenth.

All compute the recipe `d2l`, in float32 on the CPU; tests/test_published_way.py holds their losses to ours. Threads are the
caller's business: nothing is set here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from isostyle.interface import Array, Parameters
from isostyle.network import KERNEL as K
from isostyle.network import PADDING, POOL, Network
from isostyle.published import D2L
from isostyle.recipe import AdamSettings, StepDecay

assert isinstance(D2L.optimizer, AdamSettings)
assert isinstance(D2L.schedule, StepDecay)
RATE, EVERY, FACTOR = D2L.optimizer.learning_rate, D2L.schedule.every, D2L.schedule.factor
#: Matrices (rows, columns) whose product says what a framework's arithmetic can do: as large as a convolution's in blocks 3, 4.
LEFT, RIGHT = (1024, 1024), (1024, 4096)


@dataclass(frozen=True)
class Way:
    """A run that has been set up."""

    #: One update of the picture; returns the total loss before it.
    step: Callable[[], float]
    #: A copy of the picture, normalized, shape (1, 3, H, W).
    image: Callable[[], Array]


def torch_way(network: Network, parameters: Parameters, content: Array, style: Array) -> Way:
    """PyTorch. ``content`` and ``style`` are normalized pictures of shape (1, 3, H, W)."""
    import torch
    from torch import nn

    layers = network.cut(D2L.taps)
    net = nn.Sequential(
        *(
            nn.Conv2d(layer.in_channels, layer.out_channels, K, padding=PADDING)
            if layer.kind == "conv"
            else nn.ReLU()
            if layer.kind == "relu"
            else nn.MaxPool2d(POOL)
            for layer in layers
        )
    )
    convolutions = [layer for layer in layers if layer.kind == "conv"]
    kinds = ("weight", "bias")
    net.load_state_dict(
        {f"{c.index}.{kind}": torch.tensor(parameters[f"{c.name}.{kind}"]) for c in convolutions for kind in kinds}
    )

    def extract(x: Any) -> dict[str, Any]:
        found = {}
        for layer, module in zip(layers, net, strict=True):
            x = module(x)
            if layer.name in D2L.taps:
                found[layer.name] = x
        return found

    def gram(x: Any) -> Any:
        matrix = x.reshape(x.shape[1], -1)
        return torch.matmul(matrix, matrix.T) / x.numel()

    def total(x: Any) -> Any:
        found = extract(x)
        contents = [torch.square(found[tap] - target).mean() for tap, target in content_targets.items()]
        styles = [torch.square(gram(found[tap]) - target).mean() for tap, target in style_targets.items()]
        down, right = torch.abs(x[:, :, 1:, :] - x[:, :, :-1, :]).mean(), torch.abs(x[:, :, :, 1:] - x[:, :, :, :-1]).mean()
        return D2L.content_weight * sum(contents) + D2L.style_weight * sum(styles) + D2L.tv_weight * 0.5 * (down + right)

    found = extract(torch.tensor(content, dtype=torch.float32))
    content_targets = {tap: found[tap].detach() for tap, _ in D2L.content_layers}
    found = extract(torch.tensor(style, dtype=torch.float32))
    style_targets = {tap: gram(found[tap]).detach() for tap, _ in D2L.style_layers}
    del found
    picture = nn.Parameter(torch.tensor(content, dtype=torch.float32))
    adam = torch.optim.Adam([picture], lr=RATE)
    schedule = torch.optim.lr_scheduler.StepLR(adam, EVERY, FACTOR)

    def step() -> float:
        adam.zero_grad()
        loss = total(picture)
        loss.backward()
        adam.step()
        schedule.step()
        return loss.item()  # type: ignore[no-any-return]

    return Way(step, lambda: np.array(picture.detach().numpy(), copy=True))


def mxnet_way(network: Network, parameters: Parameters, content: Array, style: Array) -> Way:
    """Apache MXNet; arguments as those of :func:`torch_way`."""
    from mxnet import autograd, gluon, init, npx
    from mxnet import np as mnp
    from mxnet.gluon import nn

    npx.set_np()
    layers = network.cut(D2L.taps)
    net = nn.HybridSequential()
    for layer in layers:
        net.add(
            nn.Conv2D(layer.out_channels, K, padding=PADDING, in_channels=layer.in_channels)
            if layer.kind == "conv"
            else nn.Activation("relu")
            if layer.kind == "relu"
            else nn.MaxPool2D(POOL, POOL)
        )
    net.initialize()
    for layer, module in zip(layers, net, strict=True):
        if layer.kind == "conv":
            module.weight.set_data(mnp.array(parameters[f"{layer.name}.weight"]))
            module.bias.set_data(mnp.array(parameters[f"{layer.name}.bias"]))

    def extract(x: Any) -> dict[str, Any]:
        found = {}
        for layer, module in zip(layers, net, strict=True):
            x = module(x)
            if layer.name in D2L.taps:
                found[layer.name] = x
        return found

    def gram(x: Any) -> Any:
        matrix = x.reshape(x.shape[1], -1)
        return mnp.dot(matrix, matrix.T) / x.size

    def total(x: Any) -> Any:
        found = extract(x)
        contents = [mnp.square(found[tap] - target).mean() for tap, target in content_targets.items()]
        styles = [mnp.square(gram(found[tap]) - target).mean() for tap, target in style_targets.items()]
        down, right = mnp.abs(x[:, :, 1:, :] - x[:, :, :-1, :]).mean(), mnp.abs(x[:, :, :, 1:] - x[:, :, :, :-1]).mean()
        return D2L.content_weight * sum(contents) + D2L.style_weight * sum(styles) + D2L.tv_weight * 0.5 * (down + right)

    found = extract(mnp.array(content, dtype="float32"))
    content_targets = {tap: found[tap] for tap, _ in D2L.content_layers}
    found = extract(mnp.array(style, dtype="float32"))
    style_targets = {tap: gram(found[tap]) for tap, _ in D2L.style_layers}
    del found
    picture = gluon.Parameter("picture", shape=content.shape)
    picture.initialize(init.Constant(mnp.array(content, dtype="float32")))
    trainer = gluon.Trainer([picture], "adam", {"learning_rate": RATE})
    steps = 0

    def step() -> float:
        nonlocal steps
        with autograd.record():
            loss = total(picture.data())
        loss.backward()
        trainer.step(1)
        steps += 1
        if steps % EVERY == 0:
            trainer.set_learning_rate(trainer.learning_rate * FACTOR)
        return float(loss)

    return Way(step, lambda: picture.data().asnumpy())


def paddle_way(network: Network, parameters: Parameters, content: Array, style: Array) -> Way:
    """PaddlePaddle; arguments as those of :func:`torch_way`."""
    import paddle
    from paddle import nn

    paddle.set_device("cpu")
    layers = network.cut(D2L.taps)
    net = nn.Sequential(
        *(
            nn.Conv2D(layer.in_channels, layer.out_channels, K, padding=PADDING)
            if layer.kind == "conv"
            else nn.ReLU()
            if layer.kind == "relu"
            else nn.MaxPool2D(POOL, POOL)
            for layer in layers
        )
    )
    convolutions = [layer for layer in layers if layer.kind == "conv"]
    kinds = ("weight", "bias")
    net.set_state_dict({f"{c.index}.{kind}": parameters[f"{c.name}.{kind}"] for c in convolutions for kind in kinds})

    def extract(x: Any) -> dict[str, Any]:
        found = {}
        for layer, module in zip(layers, net, strict=True):
            x = module(x)
            if layer.name in D2L.taps:
                found[layer.name] = x
        return found

    def gram(x: Any) -> Any:
        matrix = x.reshape([x.shape[1], -1])
        return paddle.matmul(matrix, matrix.T) / x.size

    def total(x: Any) -> Any:
        found = extract(x)
        contents = [paddle.square(found[tap] - target).mean() for tap, target in content_targets.items()]
        styles = [paddle.square(gram(found[tap]) - target).mean() for tap, target in style_targets.items()]
        down, right = paddle.abs(x[:, :, 1:, :] - x[:, :, :-1, :]).mean(), paddle.abs(x[:, :, :, 1:] - x[:, :, :, :-1]).mean()
        return D2L.content_weight * sum(contents) + D2L.style_weight * sum(styles) + D2L.tv_weight * 0.5 * (down + right)

    found = extract(paddle.to_tensor(content, dtype="float32"))
    content_targets = {tap: found[tap].detach() for tap, _ in D2L.content_layers}
    found = extract(paddle.to_tensor(style, dtype="float32"))
    style_targets = {tap: gram(found[tap]).detach() for tap, _ in D2L.style_layers}
    del found
    start = nn.initializer.Assign(content.astype("float32"))
    picture = paddle.create_parameter(list(content.shape), "float32", default_initializer=start)
    schedule = paddle.optimizer.lr.StepDecay(RATE, EVERY, FACTOR)
    adam = paddle.optimizer.Adam(schedule, parameters=[picture])

    def step() -> float:
        loss = total(picture)
        loss.backward()
        adam.step()
        adam.clear_grad()
        schedule.step()
        return float(loss)

    return Way(step, lambda: np.array(picture.detach().numpy(), copy=True))


def torch_product() -> Callable[[], float]:
    """A function that multiplies two matrices, float32, :data:`LEFT` by :data:`RIGHT`."""
    import torch

    left, right = torch.ones(LEFT), torch.ones(RIGHT)
    return lambda: float(torch.matmul(left, right)[0, 0])


def mxnet_product() -> Callable[[], float]:
    from mxnet import np as mnp
    from mxnet import npx

    npx.set_np()
    left, right = mnp.ones(LEFT), mnp.ones(RIGHT)
    return lambda: float(mnp.dot(left, right)[0, 0])


def paddle_product() -> Callable[[], float]:
    import paddle

    left, right = paddle.ones(LEFT, "float32"), paddle.ones(RIGHT, "float32")
    return lambda: float(paddle.matmul(left, right)[0, 0])


#: By the name of the backend, which is the framework's module, too. A third party's backend has none.
WAYS = {"torch": torch_way, "mxnet": mxnet_way, "paddle": paddle_way}
PRODUCTS = {"torch": torch_product, "mxnet": mxnet_product, "paddle": paddle_product}
