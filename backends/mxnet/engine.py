"""Neural style transfer in Apache MXNet: features, Gram matrices, losses and their gradient.

The same text stands in backends/torch/engine.py and backends/paddle/engine.py, in the same order; only the framework differs.
"""

from __future__ import annotations

import atexit
import contextlib
import os
from collections.abc import Iterable, Mapping
from typing import TypeAlias

# Before the import: afterwards MXNet reads it no more. It would print a line for each kind of operator that falls back.
os.environ.setdefault("MXNET_STORAGE_FALLBACK_LOG_VERBOSE", "0")

import mxnet
import numpy
from mxnet import autograd, np, npx

from isostyle.interface import Array, Dtype, Engine, Evaluation, Parameters, Precision, Pull, Targets, Transform
from isostyle.network import KERNEL, PADDING, POOL, RGB_MEAN, RGB_STD, Network
from isostyle.recipe import ContentReduction, GramDivisor, Pooling, Recipe, StyleReduction, Taps, Term
from isostyle.tiles import WHOLE, TiledEngine
from isostyle.transform_network import TransformNetwork

Tensor: TypeAlias = np.ndarray
#: Rows and columns of a matrix for whose product OpenBLAS uses threads: it does so from 64**3 multiplications on.
THREADED = 128
npx.set_np()


@atexit.register
def forget_failures() -> None:
    """MXNet computes later than it is asked to, and what then fails, for want of memory, may come out only when the program
    ends: as a traceback behind the sentence that was said already. It is met here, before MXNet's own handler, which was
    registered earlier and so runs later."""
    with contextlib.suppress(mxnet.base.MXNetError):
        npx.waitall()


def gram(feature: Tensor, divisor: GramDivisor) -> Tensor:
    """Gram matrix (C, C) of a map (1, C, H, W)."""
    _, channels, height, width = feature.shape
    matrix = feature.reshape(channels, height * width)
    return np.dot(matrix, matrix.T) / {"chw": channels * height * width, "hw": height * width, "1": 1}[divisor]


def content_loss(feature: Tensor, target: Tensor, reduction: ContentReduction) -> Tensor:
    squares = np.square(feature - target)
    return squares.mean() if reduction == "mean" else 0.5 * squares.sum()


def style_loss(feature: Tensor, target: Tensor, divisor: GramDivisor, reduction: StyleReduction) -> Tensor:
    squares = np.square(gram(feature, divisor) - target)
    _, channels, height, width = feature.shape
    if reduction == "quarter-sum":
        return squares.sum() / float(4 * channels**2 * (height * width) ** 2)
    return squares.mean() if reduction == "mean" else squares.mean() / (channels * height * width)


def tv_loss(image: Tensor) -> Tensor:
    down = image[:, :, 1:, :] - image[:, :, :-1, :]
    right = image[:, :, :, 1:] - image[:, :, :, :-1]
    return 0.5 * (np.abs(down).mean() + np.abs(right).mean())


class MxnetTensors:
    """To a device and back."""

    def __init__(self, device: str, dtype: Dtype) -> None:
        self.device = device
        self.dtype = dtype
        kind, _, number = device.partition(":")
        self.context = mxnet.gpu(int(number or 0)) if kind == "cuda" else mxnet.cpu()

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
        self.mean, self.deviation = (self.tensor(numpy.array(values).reshape(1, 3, 1, 1)) for values in (RGB_MEAN, RGB_STD))

    def features(self, image: Tensor, taps: Iterable[str], pooling: Pooling = "max") -> dict[str, Tensor]:
        wanted = set(taps)
        kind = {"max": "max", "average": "avg"}[pooling]
        found = {}
        x = image
        for layer in self.network.cut(wanted):
            if layer.kind == "conv":
                weight, bias = self.parameters[f"{layer.name}.weight"], self.parameters[f"{layer.name}.bias"]
                kernel, pad = (KERNEL, KERNEL), (PADDING, PADDING)
                x = npx.convolution(x, weight, bias, kernel=kernel, pad=pad, num_filter=layer.out_channels)
            elif layer.kind == "relu":
                x = npx.relu(x)
            else:
                x = npx.pooling(x, kernel=(POOL, POOL), stride=(POOL, POOL), pool_type=kind)
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
        # train_mode() chooses the convolution kernels that record() uses; others give other bits, and the content loss of
        # the content image itself would not be 0.
        with autograd.train_mode():
            contents = self.seen(recipe, self.tensor(content), recipe.content_layers)
            styles = self.seen(recipe, self.tensor(style), recipe.style_layers)
            grams = {tap: gram(feature, recipe.gram_divisor) for tap, feature in styles.items()}
        return Targets(
            content={tap: self.array(feature) for tap, feature in contents.items()},
            style={tap: self.array(matrix) for tap, matrix in grams.items()},
        )

    def recorded(self, recipe: Recipe, image: Tensor, taps: Taps) -> tuple[dict[str, Tensor], Pull]:
        image = image.detach()
        image.attach_grad()
        # As in MxnetObjective: not record(train_mode=False).
        with autograd.record():
            feature = self.seen(recipe, image, taps)

        def pull(slopes: Mapping[str, Tensor]) -> Tensor:
            autograd.backward([feature[tap] for tap in slopes], list(slopes.values()))
            return image.grad

        return {tap: x.detach() for tap, x in feature.items()}, pull

    def objective(self, recipe: Recipe, targets: Targets) -> MxnetObjective:
        return MxnetObjective(self, recipe, targets)


class MxnetObjective:
    """What a recipe minimizes: image (1, 3, H, W) -> weighted terms and the total's gradient."""

    def __init__(self, engine: MxnetEngine, recipe: Recipe, targets: Targets) -> None:
        self.engine = engine
        self.recipe = recipe
        self.content = {tap: engine.tensor(array) for tap, array in targets.content.items()}
        self.style = {tap: engine.tensor(array) for tap, array in targets.style.items()}

    def __call__(self, image: Tensor) -> Evaluation:
        recipe = self.recipe
        image = image.detach()
        image.attach_grad()
        # Not record(train_mode=False): in float32 that makes max-pooling's backward put gradients into the wrong pixels.
        with autograd.record():
            feature = self.engine.seen(recipe, image, recipe.content_layers + recipe.style_layers)
            terms = {}
            for tap, weight in recipe.content_layers:
                loss = content_loss(self.moved("content", feature[tap]), self.content[tap], recipe.content_reduction)
                terms[f"content/{tap}"] = recipe.content_weight * weight * loss
            for tap, weight in recipe.style_layers:
                loss = style_loss(
                    self.moved("style", feature[tap]), self.style[tap], recipe.gram_divisor, recipe.style_reduction
                )
                terms[f"style/{tap}"] = recipe.style_weight * weight * loss
            terms["tv"] = recipe.tv_weight * tv_loss(self.moved("tv", image))
            terms["total"] = np.stack(list(terms.values())).sum()
        terms["total"].backward()
        return Evaluation({name: term.detach() for name, term in terms.items()}, image.grad)

    def moved(self, kind: Term, tensor: Tensor) -> Tensor:
        """``tensor``, or a copy without gradient where the recipe's terms of ``kind`` move nothing."""
        return tensor.detach() if kind in self.recipe.without_gradient else tensor


class MxnetBackend:
    """Apache MXNet, imported; see :class:`isostyle.interface.Backend`."""

    name = "mxnet"

    def __init__(self, threads: int) -> None:
        """MXNet has no call for it: it took OMP_NUM_THREADS, which ``isostyle.registry`` sets, when it was imported."""
        # Its engine starts at the first array, and its BLAS takes a buffer at the first product.
        # Where either is refused memory the process is aborted, so both happen now, before there are feature maps.
        matrix = np.ones((THREADED, THREADED))
        np.dot(matrix, matrix).wait_to_read()

    def version(self) -> str:
        return str(mxnet.__version__)

    def devices(self) -> list[str]:
        cards = [f"cuda:{i}" for i in range(mxnet.context.num_gpus())]
        return [*(["cuda", *cards] if cards else []), "cpu"]

    def prepare(
        self, network: Network, parameters: Parameters, *, device: str, dtype: Dtype, precision: Precision = "exact"
    ) -> Engine:
        engine = MxnetEngine(network, parameters, device, dtype)
        # Slopes of Gram matrices by formula: one matrix product a tap, where autograd takes two. Through NumPy: not for a GPU.
        return TiledEngine(engine, network, WHOLE) if precision == "fast" and device == "cpu" else engine

    def transform(self, network: TransformNetwork, *, device: str, dtype: Dtype) -> Transform:
        # Imported here: it builds on this module.
        from isostyle.backends.mxnet.transform import MxnetTransform

        return MxnetTransform(network, device, dtype)
