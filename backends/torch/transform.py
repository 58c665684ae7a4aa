"""The image transformation network in PyTorch: one picture, one pass, and its vector-Jacobian product.

backends/mxnet/transform.py and backends/paddle/transform.py say the same in the same order; only the framework differs, but for
``convolution_of_enlarged``, which is torch's own and only faster.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from isostyle.backends.torch.engine import TorchTensors
from isostyle.interface import Dtype, VjpParameters
from isostyle.transform_network import EPSILON, FOLD, PICTURE, Stage, TransformNetwork

#: Fewer channels than a vector of the CPU has places: oneDNN then leaves places empty, unless channels come last.
FEW_CHANNELS = 8


def instance_norm(x: Tensor, scale: Tensor, shift: Tensor | None) -> Tensor:
    """With as many groups as channels, group normalization is the same, and takes torch a quarter of the time on a CPU."""
    return F.group_norm(x, x.shape[1], scale, shift, EPSILON)


class TorchTransform(TorchTensors):
    """An image transformation network; see :class:`isostyle.interface.Transform`."""

    def __init__(self, network: TransformNetwork, device: str, dtype: Dtype) -> None:
        super().__init__(device, dtype)
        self.network = network

    def forward(self, parameters: Mapping[str, Tensor], image: Tensor) -> Tensor:
        sizes = self.network.sizes(*image.shape[2:])
        kept = {PICTURE: image} if PICTURE in self.network.added else {}
        x = image
        for stage in self.network.stages:
            height, width = sizes[stage.restores or stage.name]
            if (height, width) == (2 * x.shape[2], 2 * x.shape[3]):
                x = self.convolution_of_enlarged(parameters, stage, x)
            else:
                if stage.restores is not None:
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
        if stage.out_channels < FEW_CHANNELS:
            x = x.contiguous(memory_format=torch.channels_last)
        x = F.conv2d(x, parameters[f"{stage.name}.weight"], parameters.get(f"{stage.name}.bias"), stride=stage.stride)
        return x.contiguous()

    def convolution_of_enlarged(self, parameters: Mapping[str, Tensor], stage: Stage, x: Tensor) -> Tensor:
        """What ``forward`` says for all sizes, where no last row or column is cut: the same without the enlarged map, in a
        fraction of the time. Of the three rows that a kernel meets there, two are the same row of ``x``; so the four pixels
        that come of one are convolutions of ``x`` with kernels of 2x2, in which those rows are added up. To reflect is to
        repeat the border, then."""
        fold = x.new_tensor(FOLD)
        kernels = torch.einsum("oikl,sak,tbl->ostiab", parameters[f"{stage.name}.weight"], fold, fold).flatten(0, 2)
        return F.pixel_shuffle(F.conv2d(F.pad(x, [1] * 4, mode="replicate"), kernels), 2)[:, :, 1:-1, 1:-1]

    def apply(self, parameters: Mapping[str, Tensor], image: Tensor) -> Tensor:
        with torch.no_grad():
            return self.forward(parameters, image)

    def vjp(self, parameters: Mapping[str, Tensor], image: Tensor) -> tuple[Tensor, VjpParameters]:
        parameters = {name: tensor.detach().requires_grad_() for name, tensor in parameters.items()}
        transformed = self.forward(parameters, image)

        def vjp(cotangent: Tensor) -> dict[str, Tensor]:
            gradients = torch.autograd.grad(transformed, list(parameters.values()), cotangent)
            return dict(zip(parameters, gradients, strict=True))

        return transformed.detach(), vjp

    def convolve(self, parameters: Mapping[str, Tensor], stage: Stage, window: Tensor) -> Tensor:
        with torch.no_grad():
            return self.convolution(parameters, stage, window)
