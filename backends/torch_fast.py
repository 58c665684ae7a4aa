"""PyTorch with ``precision="fast"``: the same mathematics as torch_backend.py, which is the file to read; rounded differently.

Which way is fastest depends on the processor, and is chosen when a network is prepared:

* ``bfloat16``: a GPU, or a CPU that multiplies bfloat16 matrices by itself (AMX, AVX-512 BF16). Maps and weights are bfloat16,
  sums inside a convolution float32; Gram matrices, losses and the image stay float32. Channels last.
* ``winograd``: other CPUs, wide networks. NNPACK, which comes with torch, convolves tiles of 8x8 with F(6x6, 3x3) (Lavin and
  Gray 2016): 64 multiplications where the definition has 324. Float32, with some ten times its rounding errors.
* ``channels-last``: narrow networks, for which transforming tiles costs more than it saves. Float32.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from isostyle import processor
from isostyle.backends.torch_backend import TorchEngine
from isostyle.interface import Dtype, Engine, Parameters
from isostyle.network import PADDING, Network
from isostyle.recipe import Pooling
from isostyle.tiles import WHOLE, TiledEngine

#: Instructions that multiply bfloat16 numbers; without them torch takes float32's detour and is slower than float32.
BFLOAT16_FLAGS = frozenset({"amx_bf16", "avx512_bf16"})
#: From so many channels in and out on, NNPACK is faster than a direct convolution (measured with AVX2: 4.0 ms against 5.4 at
#: 64 channels and 75x112 pixels, 6.3 against 5.1 at 32 channels and 150x225).
WINOGRAD_CHANNELS = 64


def way(network: Network, device: str) -> str:
    """``bfloat16``, ``winograd`` or ``channels-last``, for this processor."""
    if device != "cpu" or processor.flags() & BFLOAT16_FLAGS:
        return "bfloat16"
    # Asking is not only polite: it initialises NNPACK, which fails otherwise.
    if min(network.widths) >= WINOGRAD_CHANNELS and torch.backends.nnpack.is_available():
        return "winograd"
    return "channels-last"


class Winograd(torch.autograd.Function):
    """A convolution by NNPACK, and its gradient, which is a convolution too: kernels turned round, channels in and out swapped."""

    @staticmethod
    def forward(context: Any, x: Tensor, weight: Tensor, bias: Tensor, turned: Tensor) -> Tensor:
        context.save_for_backward(turned)
        return torch._nnpack_spatial_convolution(x, weight, bias, PADDING)

    @staticmethod
    def backward(context: Any, slope: Tensor) -> tuple[Tensor, None, None, None]:
        (turned,) = context.saved_tensors
        return torch._nnpack_spatial_convolution(slope.contiguous(), turned, None, PADDING), None, None, None


def prepare_fast(network: Network, parameters: Parameters, device: str, dtype: Dtype) -> Engine:
    engine = FastTorchEngine(network, parameters, device, dtype)
    # Slopes of Gram matrices by formula: one matrix product a tap, where autograd takes two. With channels last it gains nothing.
    return TiledEngine(engine, network, WHOLE) if engine.way == "winograd" else engine


class FastTorchEngine(TorchEngine):
    """A network on a device; see :class:`isostyle.interface.Engine`."""

    def __init__(self, network: Network, parameters: Parameters, device: str, dtype: Dtype) -> None:
        super().__init__(network, parameters, device, dtype)
        self.way = way(network, device)
        self.layout = torch.contiguous_format if self.way == "winograd" else torch.channels_last
        self.inner = torch.bfloat16 if self.way == "bfloat16" else self.dtype
        weights = {name: p for name, p in self.parameters.items() if p.dim() == 4}
        self.turned = {name: p.flip(2, 3).transpose(0, 1).contiguous() for name, p in weights.items()}
        self.parameters |= {name: p.to(self.inner, memory_format=self.layout) for name, p in weights.items()}
        self.parameters |= {name: p.to(self.inner) for name, p in self.parameters.items() if p.dim() == 1}

    def features(self, image: Tensor, taps: Iterable[str], pooling: Pooling = "max") -> dict[str, Tensor]:
        maps = super().features(image.to(self.inner, memory_format=self.layout), taps, pooling)
        return {tap: x.to(self.dtype) for tap, x in maps.items()}

    def convolution(self, x: Tensor, name: str) -> Tensor:
        weight, bias = self.parameters[f"{name}.weight"], self.parameters[f"{name}.bias"]
        if self.way == "winograd" and min(weight.shape[:2]) >= WINOGRAD_CHANNELS:
            return Winograd.apply(x, weight, bias, self.turned[f"{name}.weight"])
        return super().convolution(x, name)
