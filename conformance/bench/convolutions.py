"""The convolutions of a step alone, forward and back to their input: the least that a step with them could take.

They are the framework's, called as ours are, each with a map of noise of the size that it has in the network. Nothing is
between them: no ReLU, no pool, no Gram matrix, no loss, no update.
"""

from __future__ import annotations

from collections.abc import Callable

from isostyle.interface import Parameters, Precision
from isostyle.network import PADDING, Network
from isostyle.published import D2L


def torch_convolutions(
    network: Network, parameters: Parameters, height: int, width: int, precision: Precision
) -> Callable[[], None]:
    """A function that computes each convolution of `d2l`, and its gradient, once, for a picture of that size, in pixels."""
    import torch
    import torch.nn.functional as F
    from torch import Tensor

    from isostyle.backends.torch.engine import TorchEngine
    from isostyle.backends.torch.fast import FastTorchEngine

    dtype, layout = torch.float32, torch.contiguous_format
    if precision == "fast":
        engine = FastTorchEngine(network, parameters, "cpu", "float32")
        dtype, layout, convolution = engine.inner, engine.layout, engine.convolution
    else:
        plain = TorchEngine(network, parameters, "cpu", "float32").parameters

        def convolution(x: Tensor, name: str) -> Tensor:
            return F.conv2d(x, plain[f"{name}.weight"], plain[f"{name}.bias"], padding=PADDING)

    def noise(channels: int, halvings: int) -> Tensor:
        drawn = torch.randn(1, channels, height >> halvings, width >> halvings)
        return drawn.to(dtype, memory_format=layout)

    convolutions = [layer for layer in network.cut(D2L.taps) if layer.kind == "conv"]
    maps = [noise(layer.in_channels, layer.halvings).requires_grad_() for layer in convolutions]
    gradients = [noise(layer.out_channels, layer.halvings) for layer in convolutions]

    def compute() -> None:
        for layer, x, gradient in zip(convolutions, maps, gradients, strict=True):
            torch.autograd.grad(convolution(x, layer.name), x, gradient)

    return compute


#: By the name of the backend. What mxnet's and paddle's take alone was not asked yet.
CONVOLUTIONS = {"torch": torch_convolutions}
