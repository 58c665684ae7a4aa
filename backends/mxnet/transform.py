"""The image transformation network in Apache MXNet: one picture, one pass, and its vector-Jacobian product.

backends/torch/transform.py and backends/paddle/transform.py say the same in the same order; only the framework differs.
"""

from __future__ import annotations

from collections.abc import Mapping

import mxnet
from mxnet import autograd, np, npx
from mxnet.numpy import ndarray as Tensor

from isostyle.backends.mxnet.engine import MxnetTensors
from isostyle.interface import Dtype, VjpParameters
from isostyle.transform_network import EPSILON, PICTURE, Stage, TransformNetwork


def pad(x: Tensor, padding: int) -> Tensor:
    """Reflect ``padding`` pixels at each border; np.pad can, too, but has no gradient."""
    widths = (0, 0, 0, 0, padding, padding, padding, padding)
    return mxnet.nd.pad(x.as_nd_ndarray(), mode="reflect", pad_width=widths).as_np_ndarray()


def instance_norm(x: Tensor, scale: Tensor, shift: Tensor | None) -> Tensor:
    """By the formula: MXNet's own InstanceNorm has no float64."""
    centered = x - x.mean(axis=(2, 3), keepdims=True)
    variance = np.square(centered).mean(axis=(2, 3), keepdims=True)
    normed = scale.reshape(1, -1, 1, 1) * centered / np.sqrt(variance + EPSILON)
    return normed if shift is None else normed + shift.reshape(1, -1, 1, 1)


class MxnetTransform(MxnetTensors):
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
                x = np.repeat(np.repeat(x, 2, axis=2), 2, axis=3)[:, :, :height, :width]
            x = self.convolution(parameters, stage, pad(x, stage.padding))
            if stage.norm:
                scale, shift = parameters[f"{stage.name}.scale"], parameters.get(f"{stage.name}.shift")
                x = instance_norm(x, scale, shift)
            if stage.adds is not None:
                x = x + kept[stage.adds]
            if stage.relu:
                x = npx.relu(x)
            if stage.name in self.network.added:
                kept[stage.name] = x
        return x

    def convolution(self, parameters: Mapping[str, Tensor], stage: Stage, x: Tensor) -> Tensor:
        weight, bias = parameters[f"{stage.name}.weight"], parameters.get(f"{stage.name}.bias")
        arrays = (x, weight) if bias is None else (x, weight, bias)
        kernel, stride = (stage.kernel, stage.kernel), (stage.stride, stage.stride)
        return npx.convolution(*arrays, kernel=kernel, stride=stride, num_filter=stage.out_channels, no_bias=bias is None)

    def apply(self, parameters: Mapping[str, Tensor], image: Tensor) -> Tensor:
        # train_mode() chooses the convolution kernels that record() uses; others give other bits.
        with autograd.train_mode():
            return self.forward(parameters, image)

    def vjp(self, parameters: Mapping[str, Tensor], image: Tensor) -> tuple[Tensor, VjpParameters]:
        parameters = {name: tensor.detach() for name, tensor in parameters.items()}
        for tensor in parameters.values():
            tensor.attach_grad()
        with autograd.record():
            transformed = self.forward(parameters, image)

        def vjp(cotangent: Tensor) -> dict[str, Tensor]:
            autograd.backward([transformed], [cotangent])
            return {name: tensor.grad for name, tensor in parameters.items()}

        return transformed.detach(), vjp

    def convolve(self, parameters: Mapping[str, Tensor], stage: Stage, window: Tensor) -> Tensor:
        with autograd.train_mode():
            return self.convolution(parameters, stage, window)
