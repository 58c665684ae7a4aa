"""Neural style transfer in PyTorch: features, targets, and what a recipe minimizes with its gradient.

backends/mxnet/engine.py and backends/paddle/engine.py say the same in the same order; only the framework differs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from isostyle.backends.torch.losses import content_loss, covariance_root, gram, statistic, style_loss, tv_loss
from isostyle.interface import Array, Dtype, Evaluation, Parameters, Targets, Vjp
from isostyle.network import AVERAGE_SCALE, PADDING, POOL, RGB_MEAN, RGB_STD, Network
from isostyle.recipe import FirstPadding, GramDivisor, Pooling, Recipe, Taps, Term


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
        self.mean, self.std = (self.tensor(np.array(values).reshape(1, 3, 1, 1)) for values in (RGB_MEAN, RGB_STD))

    def features(
        self, image: Tensor, taps: Iterable[str], pooling: Pooling = "max", padding: FirstPadding = "zeros"
    ) -> dict[str, Tensor]:
        wanted = set(taps)
        found = {}
        x = image
        for layer in self.network.cut(wanted):
            if layer.kind == "conv":
                weight, bias = self.parameters[f"{layer.name}.weight"], self.parameters[f"{layer.name}.bias"]
                border = PADDING
                if padding == "replicate" and layer.index == 0:
                    x, border = F.pad(x, [PADDING] * 4, mode="replicate"), 0
                x = F.conv2d(x, weight, bias, padding=border)
            elif layer.kind == "relu":
                # Out of place: torchvision's in-place ReLU turns every tapped convolution into its post-ReLU map.
                x = F.relu(x)
            else:
                x = F.max_pool2d(x, POOL) if pooling == "max" else F.avg_pool2d(x, POOL)
                x = x * AVERAGE_SCALE if pooling == "average-doubled" else x
            if layer.name in wanted:
                found[layer.name] = x
        return found

    def features_for(self, recipe: Recipe, image: Tensor, taps: Taps) -> dict[str, Tensor]:
        """The feature maps at ``taps`` of an image of the recipe's space."""
        if recipe.space == "unit":
            image = (image - self.mean) / self.std
        return self.features(image, [tap for tap, _ in taps], recipe.pooling, recipe.first_padding)

    def gram(self, feature: Tensor, divisor: GramDivisor) -> Tensor:
        return gram(feature, divisor)

    def targets(self, recipe: Recipe, content: Array, style: Array) -> Targets:
        with torch.no_grad():
            contents = self.features_for(recipe, self.tensor(content), recipe.content_layers)
            styles = self.features_for(recipe, self.tensor(style), recipe.style_layers)
            given = recipe.gram_divisor, recipe.style_reduction
            statistics = {tap: statistic(feature, *given) for tap, feature in styles.items()}
        return Targets(
            content={tap: self.array(feature) for tap, feature in contents.items()},
            style={tap: self.array(matrix) for tap, matrix in statistics.items()},
        )

    def vjp(self, recipe: Recipe, image: Tensor, taps: Taps) -> tuple[dict[str, Tensor], Vjp]:
        image = image.detach()
        image.requires_grad_()
        maps = self.features_for(recipe, image, taps)

        def vjp(cotangents: Mapping[str, Tensor]) -> Tensor:
            (gradient,) = torch.autograd.grad([maps[tap] for tap in cotangents], image, list(cotangents.values()))
            return gradient

        return {tap: x.detach() for tap, x in maps.items()}, vjp

    def objective(self, recipe: Recipe, targets: Targets) -> TorchObjective:
        return TorchObjective(self, recipe, targets)


class TorchObjective:
    """What a recipe minimizes: image (1, 3, H, W) -> weighted terms and the total's gradient."""

    def __init__(self, engine: TorchEngine, recipe: Recipe, targets: Targets) -> None:
        self.engine = engine
        self.recipe = recipe
        self.content = {tap: engine.tensor(array) for tap, array in targets.content.items()}
        self.style = {tap: engine.tensor(array) for tap, array in targets.style.items()}
        is_gaussian = recipe.style_reduction == "wasserstein"
        self.roots = {tap: covariance_root(target) if is_gaussian else None for tap, target in self.style.items()}

    def __call__(self, image: Tensor) -> Evaluation:
        recipe = self.recipe
        image = image.detach()
        image.requires_grad_()
        maps = self.engine.features_for(recipe, image, recipe.content_layers + recipe.style_layers)
        terms = {}
        for tap, weight in recipe.content_layers:
            x, target = self.maybe_detach("content", maps[tap]), self.content[tap]
            loss = content_loss(x, target, recipe.content_reduction)
            terms[f"content/{tap}"] = recipe.content_weight * weight * loss
        for tap, weight in recipe.style_layers:
            x, target = self.maybe_detach("style", maps[tap]), self.style[tap]
            loss = style_loss(x, target, recipe.gram_divisor, recipe.style_reduction, self.roots[tap])
            terms[f"style/{tap}"] = recipe.style_weight * weight * loss
        terms["tv"] = recipe.tv_weight * tv_loss(self.maybe_detach("tv", image), recipe.variation)
        terms["total"] = torch.stack(list(terms.values())).sum()
        (gradient,) = torch.autograd.grad(terms["total"], image)
        return Evaluation({name: term.detach() for name, term in terms.items()}, gradient)

    def maybe_detach(self, kind: Term, tensor: Tensor) -> Tensor:
        """``tensor``, cut from the graph if the recipe wants no gradient of terms of ``kind``."""
        return tensor.detach() if kind in self.recipe.without_gradient else tensor
