"""PyTorch with ``precision="fast"``: the mathematics of engine.py, which is the file to read, rounded differently.

Which way is fastest depends on the processor, and is chosen when a network is prepared:

* ``bfloat16``: a GPU or a CPU that multiplies bfloat16 matrices by itself (NVIDIA's since Ampere; AMX, AVX-512 BF16). Maps and
  weights are bfloat16, sums inside a convolution float32; Gram matrices, losses and the image stay float32. Channels last.
* ``winograd``: other CPUs, wide networks. NNPACK, which comes with torch, convolves tiles of 8x8 with F(6x6, 3x3) (Lavin and
  Gray 2016): 64 multiplications where the definition has 324. Float32, with some ten times its rounding errors.
* ``channels-last``: narrow networks, for which transforming tiles costs more than it saves. Float32.
* ``exact``: other devices, where nothing was tried.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from isostyle.backends.torch.engine import TorchEngine, TorchObjective
from isostyle.backends.torch.losses import content_loss, tv_loss
from isostyle.interface import Dtype, Engine, Evaluation, Parameters, Targets
from isostyle.losses import divisor_of, style_scale
from isostyle.network import AVERAGE_SCALE, PADDING, POOL, Network
from isostyle.recipe import FirstPadding, Pooling, Recipe
from isostyle.system import cpu
from isostyle.tiles import WHOLE, TiledEngine

#: Instructions that multiply bfloat16 numbers; without them torch takes float32's detour and is slower than float32.
BFLOAT16_FLAGS = frozenset({"amx_bf16", "avx512_bf16"})
#: A GPU's compute capability from which on it does (8.0: Ampere); torch emulates bfloat16 on others.
BFLOAT16_CAPABILITY = (8, 0)
#: From so many channels in and out on, NNPACK is faster than a direct convolution (measured with AVX2: 4.0 ms against 5.4 at
#: 64 channels and 75x112 pixels, 6.3 against 5.1 at 32 channels and 150x225).
WINOGRAD_CHANNELS = 64


Convolve = Callable[[Tensor, Tensor, Tensor | None, int], Tensor]


def way(network: Network, device: str) -> str:
    """``bfloat16``, ``winograd``, ``channels-last`` or ``exact``, for this processor."""
    if device != "cpu":
        able = device.startswith("cuda") and torch.cuda.get_device_capability(device) >= BFLOAT16_CAPABILITY
        return "bfloat16" if able else "exact"
    if cpu.flags() & BFLOAT16_FLAGS:
        return "bfloat16"
    return "winograd" if min(network.widths) >= WINOGRAD_CHANNELS and has_nnpack() else "channels-last"


def has_nnpack() -> bool:
    # Asking is not only polite: it initializes NNPACK, which fails otherwise. (torch 2.2 has no torch.backends.nnpack.)
    return bool(getattr(torch, "_nnpack_available", lambda: False)())


class Convolution(torch.autograd.Function):  # type: ignore[misc]
    """A convolution whose gradient is computed as what it is: a convolution with the kernels turned round, channels in and out
    swapped. So the fast forward code serves both."""

    @staticmethod
    def forward(context: Any, convolve: Convolve, x: Tensor, weight: Tensor, bias: Tensor, turned: Tensor) -> Tensor:
        context.convolve = convolve
        context.save_for_backward(turned)
        return convolve(x, weight, bias, PADDING)

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[None, Tensor, None, None, None]:
        (turned,) = context.saved_tensors
        return None, context.convolve(gradient, turned, None, PADDING), None, None, None


def nnpack(x: Tensor, weight: Tensor, bias: Tensor | None, padding: int) -> Tensor:
    return torch._nnpack_spatial_convolution(x.contiguous(), weight, bias, padding)


def direct(x: Tensor, weight: Tensor, bias: Tensor | None, padding: int) -> Tensor:
    return F.conv2d(x, weight, bias, padding=padding)


class GramMatrix(torch.autograd.Function):  # type: ignore[misc]
    """Gram matrix (C, C), float32, of a bfloat16 map (1, C, H, W) in channels-last layout, with its gradient by formula.

    G = X X^T / d is symmetric, and so is dL/dG for a loss of G alone: dL/dX = 2 dL/dG X / d. That is one product, where
    autograd takes two and adds them; and it is one of bfloat16 numbers, which the gradient becomes anyhow.
    """

    @staticmethod
    def forward(context: Any, feature: Tensor, divisor: int) -> Tensor:
        rows = feature.permute(0, 2, 3, 1).flatten(0, 2)  # (H W, C): as it lies in memory
        context.save_for_backward(rows)
        context.divisor, context.shape = divisor, feature.shape
        single = rows.float()
        return single.T @ single / divisor

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (rows,) = context.saved_tensors
        _, channels, height, width = context.shape
        found = rows @ (gradient * (2 / context.divisor)).to(rows.dtype)
        return found.reshape(1, height, width, channels).permute(0, 3, 1, 2), None


def prepare_fast(network: Network, parameters: Parameters, device: str, dtype: Dtype) -> Engine:
    if way(network, device) == "exact":
        return TorchEngine(network, parameters, device, dtype)
    engine = FastTorchEngine(network, parameters, device, dtype)
    # Gradients of Gram matrices by formula: one matrix product a tap, where autograd takes two. With channels last no gain.
    return TiledEngine(engine, network, WHOLE) if engine.way == "winograd" else engine


class FastTorchEngine(TorchEngine):
    """A network on a device; see :class:`isostyle.interface.Engine`."""

    def __init__(self, network: Network, parameters: Parameters, device: str, dtype: Dtype) -> None:
        super().__init__(network, parameters, device, dtype)
        self.way = way(network, device)
        self.layout = torch.contiguous_format if self.way == "winograd" else torch.channels_last
        self.inner = torch.bfloat16 if self.way == "bfloat16" else self.dtype
        kernels = {name: p for name, p in self.parameters.items() if p.dim() == 4}
        turned = {name: p.flip(2, 3).transpose(0, 1) for name, p in kernels.items()}
        self.turned = {name: self.laid_out(p) for name, p in turned.items()}
        self.parameters = {name: p.to(self.inner) for name, p in self.parameters.items()}
        self.parameters |= {name: self.laid_out(p) for name, p in kernels.items()}

    def laid_out(self, kernel: Tensor) -> Tensor:
        # .to(memory_format=...) leaves a transposed tensor as it is if it has the dtype; each step would copy it anew.
        return kernel.to(self.inner).contiguous(memory_format=self.layout)

    def features(
        self, image: Tensor, taps: Iterable[str], pooling: Pooling = "max", padding: FirstPadding = "zeros"
    ) -> dict[str, Tensor]:
        return {name: x.to(self.dtype) for name, x in self.maps(image, taps, pooling, padding).items()}

    def maps(self, image: Tensor, taps: Iterable[str], pooling: Pooling, padding: FirstPadding) -> dict[str, Tensor]:
        """Feature maps as they are computed, in bfloat16 perhaps."""
        # The loop of engine.py once more, so that there it stays the text that the three backends share.
        wanted = set(taps)
        found = {}
        x = image.to(self.inner, memory_format=self.layout)
        for layer in self.network.cut(wanted):
            if layer.kind == "conv" and padding == "replicate" and layer.index == 0:
                # Zeros are padded around the repeated border; what they touch is cut off.
                x = self.convolution(F.pad(x, [PADDING] * 4, mode="replicate"), layer.name)
                x = x[:, :, PADDING:-PADDING, PADDING:-PADDING].contiguous(memory_format=self.layout)
            elif layer.kind == "conv":
                x = self.convolution(x, layer.name)
            elif layer.kind == "relu":
                x = F.relu(x)
            else:
                x = F.max_pool2d(x, POOL) if pooling == "max" else F.avg_pool2d(x, POOL)
                x = x * AVERAGE_SCALE if pooling == "average-doubled" else x
            if layer.name in wanted:
                found[layer.name] = x
        return found

    def convolution(self, x: Tensor, name: str) -> Tensor:
        weight, bias = self.parameters[f"{name}.weight"], self.parameters[f"{name}.bias"]
        wide = self.way == "winograd" and min(weight.shape[:2]) >= WINOGRAD_CHANNELS
        return Convolution.apply(nnpack if wide else direct, x, weight, bias, self.turned[f"{name}.weight"])

    def objective(self, recipe: Recipe, targets: Targets) -> TorchObjective:
        of_grams = self.way == "bfloat16" and recipe.style_reduction != "wasserstein"
        return Bfloat16Objective(self, recipe, targets) if of_grams else super().objective(recipe, targets)


class Bfloat16Objective(TorchObjective):
    """What a recipe minimizes, with Gram matrices of maps as they are (:class:`GramMatrix`)."""

    engine: FastTorchEngine

    def __init__(self, engine: FastTorchEngine, recipe: Recipe, targets: Targets) -> None:
        super().__init__(engine, recipe, targets)
        self.grams = targets.style

    def __call__(self, image: Tensor) -> Evaluation:
        recipe, engine = self.recipe, self.engine
        image = image.detach()
        image.requires_grad_()
        seen = (image - engine.mean) / engine.std if recipe.space == "unit" else image
        maps = engine.maps(seen, recipe.taps, recipe.pooling, recipe.first_padding)
        terms = {}
        for tap, weight in recipe.content_layers:
            x = self.maybe_detach("content", maps[tap]).to(engine.dtype)
            loss = content_loss(x, self.content[tap], recipe.content_reduction)
            terms[f"content/{tap}"] = recipe.content_weight * weight * loss
        for tap, weight in recipe.style_layers:
            x, shape = self.maybe_detach("style", maps[tap]), tuple(maps[tap].shape)
            matrix = GramMatrix.apply(x, divisor_of(shape, recipe.gram_divisor))
            scale = style_scale(shape, self.grams[tap], recipe.style_reduction)
            terms[f"style/{tap}"] = recipe.style_weight * weight * scale * torch.square(matrix - self.style[tap]).sum()
        terms["tv"] = recipe.tv_weight * tv_loss(self.maybe_detach("tv", image), recipe.variation)
        terms["total"] = torch.stack(list(terms.values())).sum()
        (gradient,) = torch.autograd.grad(terms["total"], image)
        return Evaluation({name: term.detach() for name, term in terms.items()}, gradient)
