"""Neural style transfer in Apache MXNet: features, targets, and what a recipe minimizes with its gradient.

backends/torch/engine.py and backends/paddle/engine.py say the same in the same order; only the framework differs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import mxnet
import numpy
from mxnet import autograd, np, npx
from mxnet.numpy import ndarray as Tensor

from isostyle.backends.mxnet.losses import content_loss, covariance_root, gram, repeat_border, statistic, style_loss, tv_loss
from isostyle.interface import Array, Dtype, Evaluation, Parameters, Targets, Vjp
from isostyle.network import AVERAGE_SCALE, KERNEL, PADDING, POOL, RGB_MEAN, RGB_STD, Network
from isostyle.recipe import FirstPadding, GramDivisor, Pooling, Recipe, Taps, Term


def context_of(device: str) -> mxnet.Context:
    """``cuda``, ``cuda:1``, ``cpu``, in MXNet's terms."""
    kind, _, number = device.partition(":")
    return mxnet.gpu(int(number or 0)) if kind == "cuda" else mxnet.cpu()


class MxnetTensors:
    """To a device and back."""

    def __init__(self, device: str, dtype: Dtype) -> None:
        self.device = device
        self.dtype = dtype
        self.context = context_of(device)

    def tensor(self, array: Array) -> Tensor:
        # np.array copies to C order; without a dtype it would make float32 of a list, so it is always given.
        return np.array(numpy.ascontiguousarray(array), dtype=self.dtype, ctx=self.context)

    def array(self, tensor: Tensor) -> Array:
        array: Array = tensor.asnumpy()  # a copy
        return array


class MxnetEngine(MxnetTensors):
    """A network on a device; see :class:`isostyle.interface.Engine`."""

    def __init__(self, network: Network, parameters: Parameters, device: str, dtype: Dtype) -> None:
        super().__init__(device, dtype)
        self.network = network
        # Plain arrays without attach_grad: the weights are frozen, and no gradient is computed for them.
        self.parameters = {name: self.tensor(array) for name, array in parameters.items()}
        self.mean, self.std = (self.tensor(numpy.array(values).reshape(1, 3, 1, 1)) for values in (RGB_MEAN, RGB_STD))

    def features(
        self, image: Tensor, taps: Iterable[str], pooling: Pooling = "max", padding: FirstPadding = "zeros"
    ) -> dict[str, Tensor]:
        wanted = set(taps)
        kind = "max" if pooling == "max" else "avg"
        found = {}
        x = image
        for layer in self.network.cut(wanted):
            if layer.kind == "conv":
                weight, bias = self.parameters[f"{layer.name}.weight"], self.parameters[f"{layer.name}.bias"]
                kernel, pad = (KERNEL, KERNEL), (PADDING, PADDING)
                if padding == "replicate" and layer.index == 0:
                    x, pad = repeat_border(x, PADDING), (0, 0)
                x = npx.convolution(x, weight, bias, kernel=kernel, pad=pad, num_filter=layer.out_channels)
            elif layer.kind == "relu":
                x = npx.relu(x)
            else:
                x = npx.pooling(x, kernel=(POOL, POOL), stride=(POOL, POOL), pool_type=kind)
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
        # train_mode() chooses the convolution kernels that record() uses; others give other bits, and the content loss of
        # the content image itself would not be 0.
        with autograd.train_mode():
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
        image.attach_grad()
        # As in MxnetObjective: not record(train_mode=False).
        with autograd.record():
            maps = self.features_for(recipe, image, taps)

        def vjp(cotangents: Mapping[str, Tensor]) -> Tensor:
            autograd.backward([maps[tap] for tap in cotangents], list(cotangents.values()))
            return image.grad

        return {tap: x.detach() for tap, x in maps.items()}, vjp

    def objective(self, recipe: Recipe, targets: Targets) -> MxnetObjective:
        return MxnetObjective(self, recipe, targets)


class MxnetObjective:
    """What a recipe minimizes: image (1, 3, H, W) -> weighted terms and the total's gradient."""

    def __init__(self, engine: MxnetEngine, recipe: Recipe, targets: Targets) -> None:
        self.engine = engine
        self.recipe = recipe
        self.content = {tap: engine.tensor(array) for tap, array in targets.content.items()}
        self.style = {tap: engine.tensor(array) for tap, array in targets.style.items()}
        is_gaussian = recipe.style_reduction == "wasserstein"
        self.roots = {tap: covariance_root(target) if is_gaussian else None for tap, target in self.style.items()}

    def __call__(self, image: Tensor) -> Evaluation:
        recipe = self.recipe
        image = image.detach()
        image.attach_grad()
        # Not record(train_mode=False): in float32 that makes max-pooling's backward put gradients into the wrong pixels.
        with autograd.record():
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
            terms["total"] = np.stack(list(terms.values())).sum()
        terms["total"].backward()
        return Evaluation({name: term.detach() for name, term in terms.items()}, image.grad)

    def maybe_detach(self, kind: Term, tensor: Tensor) -> Tensor:
        """``tensor``, cut from the graph if the recipe wants no gradient of terms of ``kind``."""
        return tensor.detach() if kind in self.recipe.without_gradient else tensor
