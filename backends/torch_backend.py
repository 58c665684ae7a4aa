"""Neural style transfer in PyTorch: features, Gram matrices, losses and their gradient.

The same text stands in mxnet_backend.py and paddle_backend.py, in the same order; only the framework differs.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from isostyle.errors import InputError
from isostyle.interface import Array, Dtype, Evaluation, Parameters, Targets
from isostyle.network import PADDING, POOL, Network
from isostyle.recipe import GramDivisor, Recipe


def gram(feature: Tensor, divisor: GramDivisor) -> Tensor:
    """Gram matrix (C, C) of a map (1, C, H, W)."""
    _, channels, height, width = feature.shape
    matrix = feature.reshape(channels, height * width)
    return matrix @ matrix.T / {"chw": channels * height * width, "hw": height * width, "1": 1}[divisor]


def content_loss(feature: Tensor, target: Tensor) -> Tensor:
    return torch.square(feature - target).mean()


def style_loss(feature: Tensor, target: Tensor, divisor: GramDivisor) -> Tensor:
    return torch.square(gram(feature, divisor) - target).mean()


def tv_loss(image: Tensor) -> Tensor:
    down = image[:, :, 1:, :] - image[:, :, :-1, :]
    right = image[:, :, :, 1:] - image[:, :, :, :-1]
    return 0.5 * (torch.abs(down).mean() + torch.abs(right).mean())


class TorchEngine:
    """A network on a device; see :class:`isostyle.interface.Engine`."""

    def __init__(self, network: Network, parameters: Parameters, device: str, dtype: Dtype) -> None:
        self.network = network
        self.device = device
        self.dtype = {"float32": torch.float32, "float64": torch.float64}[dtype]
        # Plain tensors, not nn.Parameter: the weights are frozen, and no gradient is computed for them.
        self.parameters = {name: self.tensor(array) for name, array in parameters.items()}

    def tensor(self, array: Array) -> Tensor:
        # torch keeps an array's strides, and a transposed HWC picture would silently run other (channels-last) kernels;
        # it also shares an array's memory. A C-contiguous copy has neither trap.
        return torch.tensor(np.ascontiguousarray(array), dtype=self.dtype, device=self.device)

    def array(self, tensor: Tensor) -> Array:
        # .numpy() shares memory with the tensor; a kept picture must not change with it.
        array: Array = np.array(tensor.detach().cpu().numpy(), copy=True)
        return array

    def features(self, image: Tensor, taps: Iterable[str]) -> dict[str, Tensor]:
        wanted = set(taps)
        found = {}
        x = image
        for layer in self.network.cut(wanted):
            if layer.kind == "conv":
                weight, bias = self.parameters[f"{layer.name}.weight"], self.parameters[f"{layer.name}.bias"]
                x = F.conv2d(x, weight, bias, padding=PADDING)
            elif layer.kind == "relu":
                # Out of place: torchvision's in-place ReLU turns every tapped convolution into its post-ReLU map.
                x = F.relu(x)
            else:
                x = F.max_pool2d(x, POOL)
            if layer.name in wanted:
                found[layer.name] = x
        return found

    def gram(self, feature: Tensor, divisor: GramDivisor) -> Tensor:
        return gram(feature, divisor)

    def targets(self, recipe: Recipe, content: Array, style: Array) -> Targets:
        with torch.no_grad():
            contents = self.features(self.tensor(content), [tap for tap, _ in recipe.content_taps])
            styles = self.features(self.tensor(style), [tap for tap, _ in recipe.style_taps])
            grams = {tap: gram(feature, recipe.gram_divisor) for tap, feature in styles.items()}
        return Targets(
            content={tap: self.array(feature) for tap, feature in contents.items()},
            style={tap: self.array(matrix) for tap, matrix in grams.items()},
        )

    def objective(self, recipe: Recipe, targets: Targets) -> TorchObjective:
        return TorchObjective(self, recipe, targets)


class TorchObjective:
    """What a recipe minimises: image (1, 3, H, W) -> weighted terms and the total's gradient."""

    def __init__(self, engine: TorchEngine, recipe: Recipe, targets: Targets) -> None:
        self.engine = engine
        self.recipe = recipe
        self.content = {tap: engine.tensor(array) for tap, array in targets.content.items()}
        self.style = {tap: engine.tensor(array) for tap, array in targets.style.items()}

    def __call__(self, image: Tensor) -> Evaluation:
        recipe = self.recipe
        image = image.detach().requires_grad_()
        feature = self.engine.features(image, recipe.taps)
        terms = {}
        for tap, weight in recipe.content_taps:
            loss = content_loss(feature[tap], self.content[tap])
            terms[f"content/{tap}"] = recipe.content_weight * weight * loss
        for tap, weight in recipe.style_taps:
            loss = style_loss(feature[tap], self.style[tap], recipe.gram_divisor)
            terms[f"style/{tap}"] = recipe.style_weight * weight * loss
        terms["tv"] = recipe.tv_weight * tv_loss(image)
        terms["total"] = torch.stack(list(terms.values())).sum()
        (gradient,) = torch.autograd.grad(terms["total"], image)
        return Evaluation({name: term.detach() for name, term in terms.items()}, gradient)


class TorchBackend:
    """PyTorch, imported; see :class:`isostyle.interface.Backend`."""

    name = "torch"

    def __init__(self, threads: int) -> None:
        # OMP_NUM_THREADS alone is not enough: if paddle was imported first, torch sees 1 thread.
        torch.set_num_threads(threads)

    def version(self) -> str:
        return str(torch.__version__)

    def devices(self) -> list[str]:
        cards = [f"cuda:{i}" for i in range(torch.cuda.device_count())] if torch.cuda.is_available() else []
        return [*(["cuda", *cards] if cards else []), *(["mps"] if torch.backends.mps.is_available() else []), "cpu"]

    def prepare(self, network: Network, parameters: Parameters, *, device: str, dtype: Dtype) -> TorchEngine:
        if device == "mps" and dtype == "float64":
            raise InputError("the device 'mps' has no float64; use --device cpu")
        # On a GPU, torch's convolutions use TF32 by default, which keeps 10 bits of a float32's 23.
        torch.backends.cudnn.allow_tf32 = False
        return TorchEngine(network, parameters, device, dtype)
