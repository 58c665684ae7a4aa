"""Neural style transfer in PyTorch: features, Gram matrices, losses and their gradient.

The same text stands in backends/mxnet/engine.py and backends/paddle/engine.py, in the same order; only the framework differs.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping

import numpy as np

# Before the import: OpenMP's threads would wait for more work at full speed, a millisecond on the cores that others need now.
os.environ.setdefault("GOMP_SPINCOUNT", "30000")

import torch
import torch.nn.functional as F
from torch import Tensor

from isostyle.errors import InputError
from isostyle.interface import Array, Dtype, Engine, Evaluation, Parameters, Precision, Pull, Targets, Transform
from isostyle.network import PADDING, POOL, RGB_MEAN, RGB_STD, Network
from isostyle.recipe import ContentReduction, GramDivisor, Pooling, Recipe, StyleReduction, Taps, Term
from isostyle.transform_network import TransformNetwork


def gram(feature: Tensor, divisor: GramDivisor) -> Tensor:
    """Gram matrix (C, C) of a map (1, C, H, W)."""
    _, channels, height, width = feature.shape
    matrix = feature.reshape(channels, height * width)
    return matrix @ matrix.T / {"chw": channels * height * width, "hw": height * width, "1": 1}[divisor]


def content_loss(feature: Tensor, target: Tensor, reduction: ContentReduction) -> Tensor:
    squares = torch.square(feature - target)
    return squares.mean() if reduction == "mean" else 0.5 * squares.sum()


def style_loss(feature: Tensor, target: Tensor, divisor: GramDivisor, reduction: StyleReduction) -> Tensor:
    squares = torch.square(gram(feature, divisor) - target)
    _, channels, height, width = feature.shape
    if reduction == "quarter-sum":
        return squares.sum() / float(4 * channels**2 * (height * width) ** 2)
    return squares.mean() if reduction == "mean" else squares.mean() / (channels * height * width)


def tv_loss(image: Tensor) -> Tensor:
    down = image[:, :, 1:, :] - image[:, :, :-1, :]
    right = image[:, :, :, 1:] - image[:, :, :, :-1]
    return 0.5 * (torch.abs(down).mean() + torch.abs(right).mean())


class TorchTensors:
    """To a device and back."""

    def __init__(self, device: str, dtype: Dtype) -> None:
        self.device = device
        self.dtype = {"float32": torch.float32, "float64": torch.float64}[dtype]

    def tensor(self, array: Array) -> Tensor:
        # torch keeps an array's strides, and a transposed HWC picture would silently run other (channels-last) kernels;
        # it also shares an array's memory. A C-contiguous copy has neither trap.
        return torch.tensor(np.ascontiguousarray(array), dtype=self.dtype, device=self.device)

    def array(self, tensor: Tensor) -> Array:
        # .numpy() shares memory with the tensor; a kept picture must not change with it.
        array: Array = np.array(tensor.detach().cpu().numpy(), copy=True)
        return array


class TorchEngine(TorchTensors):
    """A network on a device; see :class:`isostyle.interface.Engine`."""

    def __init__(self, network: Network, parameters: Parameters, device: str, dtype: Dtype) -> None:
        super().__init__(device, dtype)
        self.network = network
        # Plain tensors, not nn.Parameter: the weights are frozen, and no gradient is computed for them.
        self.parameters = {name: self.tensor(array) for name, array in parameters.items()}
        self.mean, self.deviation = (self.tensor(np.array(values).reshape(1, 3, 1, 1)) for values in (RGB_MEAN, RGB_STD))

    def features(self, image: Tensor, taps: Iterable[str], pooling: Pooling = "max") -> dict[str, Tensor]:
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
                x = F.max_pool2d(x, POOL) if pooling == "max" else F.avg_pool2d(x, POOL)
            if layer.name in wanted:
                found[layer.name] = x
        return found

    def seen(self, recipe: Recipe, image: Tensor, taps: Taps) -> dict[str, Tensor]:
        """What ``recipe`` looks at: the feature maps of an image of its space."""
        if recipe.space == "unit":
            image = (image - self.mean) / self.deviation
        return self.features(image, [tap for tap, _ in taps], recipe.pooling)

    def gram(self, feature: Tensor, divisor: GramDivisor) -> Tensor:
        return gram(feature, divisor)

    def targets(self, recipe: Recipe, content: Array, style: Array) -> Targets:
        with torch.no_grad():
            contents = self.seen(recipe, self.tensor(content), recipe.content_layers)
            styles = self.seen(recipe, self.tensor(style), recipe.style_layers)
            grams = {tap: gram(feature, recipe.gram_divisor) for tap, feature in styles.items()}
        return Targets(
            content={tap: self.array(feature) for tap, feature in contents.items()},
            style={tap: self.array(matrix) for tap, matrix in grams.items()},
        )

    def recorded(self, recipe: Recipe, image: Tensor, taps: Taps) -> tuple[dict[str, Tensor], Pull]:
        image = image.detach().requires_grad_()
        feature = self.seen(recipe, image, taps)

        def pull(slopes: Mapping[str, Tensor]) -> Tensor:
            (gradient,) = torch.autograd.grad([feature[tap] for tap in slopes], image, list(slopes.values()))
            return gradient

        return {tap: x.detach() for tap, x in feature.items()}, pull

    def objective(self, recipe: Recipe, targets: Targets) -> TorchObjective:
        return TorchObjective(self, recipe, targets)


class TorchObjective:
    """What a recipe minimizes: image (1, 3, H, W) -> weighted terms and the total's gradient."""

    def __init__(self, engine: TorchEngine, recipe: Recipe, targets: Targets) -> None:
        self.engine = engine
        self.recipe = recipe
        self.content = {tap: engine.tensor(array) for tap, array in targets.content.items()}
        self.style = {tap: engine.tensor(array) for tap, array in targets.style.items()}

    def __call__(self, image: Tensor) -> Evaluation:
        recipe = self.recipe
        image = image.detach().requires_grad_()
        feature = self.engine.seen(recipe, image, recipe.content_layers + recipe.style_layers)
        terms = {}
        for tap, weight in recipe.content_layers:
            loss = content_loss(self.moved("content", feature[tap]), self.content[tap], recipe.content_reduction)
            terms[f"content/{tap}"] = recipe.content_weight * weight * loss
        for tap, weight in recipe.style_layers:
            loss = style_loss(self.moved("style", feature[tap]), self.style[tap], recipe.gram_divisor, recipe.style_reduction)
            terms[f"style/{tap}"] = recipe.style_weight * weight * loss
        terms["tv"] = recipe.tv_weight * tv_loss(self.moved("tv", image))
        terms["total"] = torch.stack(list(terms.values())).sum()
        (gradient,) = torch.autograd.grad(terms["total"], image)
        return Evaluation({name: term.detach() for name, term in terms.items()}, gradient)

    def moved(self, kind: Term, tensor: Tensor) -> Tensor:
        """``tensor``, or a copy without gradient where the recipe's terms of ``kind`` move nothing."""
        return tensor.detach() if kind in self.recipe.without_gradient else tensor


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

    def prepare(
        self, network: Network, parameters: Parameters, *, device: str, dtype: Dtype, precision: Precision = "exact"
    ) -> Engine:
        if device == "mps" and dtype == "float64":
            raise InputError("the device 'mps' has no float64; use --device cpu")
        # On a GPU, torch's convolutions use TF32 by default, which keeps 10 bits of a float32's 23.
        torch.backends.cudnn.allow_tf32 = False
        if precision == "fast":
            # Imported here: it builds on this module.
            from isostyle.backends.torch.fast import prepare_fast

            return prepare_fast(network, parameters, device, dtype)
        return TorchEngine(network, parameters, device, dtype)

    def transform(self, network: TransformNetwork, *, device: str, dtype: Dtype) -> Transform:
        # Imported here: it builds on this module.
        from isostyle.backends.torch.transform import TorchTransform

        return TorchTransform(network, device, dtype)
