"""The image transformation network in PaddlePaddle: one picture, one pass, and its vector-Jacobian product.

backends/torch/transform.py and backends/mxnet/transform.py say the same in the same order; only the framework differs.
"""

from __future__ import annotations

from collections.abc import Mapping

import paddle
import paddle.nn.functional as F
from paddle import Tensor

from isostyle.backends.paddle.engine import PaddleTensors
from isostyle.interface import Dtype, VjpParameters
from isostyle.transform_network import EPSILON, PICTURE, Stage, TransformNetwork


def instance_norm(x: Tensor, scale: Tensor, shift: Tensor | None) -> Tensor:
    """Its scale and shift stand apart: Paddle's own weight has no gradient where the bias has none."""
    normed = scale.reshape([1, -1, 1, 1]) * F.instance_norm(x, eps=EPSILON)
    return normed if shift is None else normed + shift.reshape([1, -1, 1, 1])


class PaddleTransform(PaddleTensors):
    """An image transformation network; see :class:`isostyle.interface.Transform`."""

    def __init__(self, network: TransformNetwork, device: str, dtype: Dtype) -> None:
        super().__init__(device, dtype)
        self.network = network

    def forward(self, parameters: Mapping[str, Tensor], image: Tensor) -> Tensor:
        sizes = self.network.sizes(*image.shape[2:])
        kept = {PICTURE: image} if PICTURE in self.network.added else {}
        x = image
        for stage in self.network.stages:
            if stage.restores is not None:
                height, width = sizes[stage.restores]
                x = F.interpolate(x, scale_factor=2, mode="nearest")[:, :, :height, :width]
            x = self.convolution(parameters, stage, F.pad(x, [stage.padding] * 4, mode="reflect"))
            if stage.norm:
                scale, shift = parameters[f"{stage.name}.scale"], parameters.get(f"{stage.name}.shift")
                x = instance_norm(x, scale, shift)
            if stage.adds is not None:
                x = x + kept[stage.adds]
            if stage.relu:
                x = F.relu(x)
            if stage.name in self.network.added:
                kept[stage.name] = x
        return x

    def convolution(self, parameters: Mapping[str, Tensor], stage: Stage, x: Tensor) -> Tensor:
        return F.conv2d(x, parameters[f"{stage.name}.weight"], parameters.get(f"{stage.name}.bias"), stride=stage.stride)

    def apply(self, parameters: Mapping[str, Tensor], image: Tensor) -> Tensor:
        with paddle.no_grad():
            return self.forward(parameters, image)

    def vjp(self, parameters: Mapping[str, Tensor], image: Tensor) -> tuple[Tensor, VjpParameters]:
        parameters = {name: tensor.detach() for name, tensor in parameters.items()}
        for tensor in parameters.values():
            tensor.stop_gradient = False
        transformed = self.forward(parameters, image)

        def vjp(cotangent: Tensor) -> dict[str, Tensor]:
            gradients = paddle.grad(transformed, list(parameters.values()), cotangent)
            return dict(zip(parameters, gradients, strict=True))

        return transformed.detach(), vjp

    def convolve(self, parameters: Mapping[str, Tensor], stage: Stage, window: Tensor) -> Tensor:
        with paddle.no_grad():
            return self.convolution(parameters, stage, window)
