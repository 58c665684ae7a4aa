"""Neural style transfer in PaddlePaddle: features, Gram matrices, losses and their gradient.

The same text stands in backends/torch/engine.py and backends/mxnet/engine.py, in the same order; only the framework differs.
"""

from __future__ import annotations

import contextlib
import io
import os
import warnings
from collections.abc import Iterable, Mapping

import numpy as np

from isostyle.system import cpu

# Before the import: no C++ log below errors.
os.environ.setdefault("GLOG_minloglevel", "2")
# Paddle's wheel has an MKL of 2019, which uses AVX2 on Intel's processors only: others would take four times as long.
if cpu.vendor() != "GenuineIntel" and "avx2" in cpu.flags():
    os.environ.setdefault("MKL_DEBUG_CPU_TYPE", "5")
with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):
    # "No ccache found", a UserWarning, and two printed lines that advise against more than one thread.
    warnings.simplefilter("ignore")
    import paddle
    import paddle.nn.functional as F
    from paddle import Tensor

from isostyle.interface import Array, Dtype, Engine, Evaluation, Parameters, Precision, Pull, Targets, Transform
from isostyle.network import PADDING, POOL, RGB_MEAN, RGB_STD, Network
from isostyle.recipe import ContentReduction, GramDivisor, Pooling, Recipe, StyleReduction, Taps, Term
from isostyle.tiles import WHOLE, TiledEngine
from isostyle.transform_network import TransformNetwork


def mean(x: Tensor) -> Tensor:
    # Paddle 3.3's float32 mean() adds up one after another: off by 174 eps at a million elements, 5e-4 at 8.6 million.
    return x.sum() / x.size


def gram(feature: Tensor, divisor: GramDivisor) -> Tensor:
    """Gram matrix (C, C) of a map (1, C, H, W)."""
    # Sizes as Python numbers: numel() // C is an int64 tensor of shape [1], and dividing a float32 by it is refused.
    _, channels, height, width = feature.shape
    matrix = feature.reshape([channels, height * width])
    return paddle.matmul(matrix, matrix.T) / {"chw": channels * height * width, "hw": height * width, "1": 1}[divisor]


def content_loss(feature: Tensor, target: Tensor, reduction: ContentReduction) -> Tensor:
    squares = paddle.square(feature - target)
    return mean(squares) if reduction == "mean" else 0.5 * squares.sum()


def style_loss(feature: Tensor, target: Tensor, divisor: GramDivisor, reduction: StyleReduction) -> Tensor:
    squares = paddle.square(gram(feature, divisor) - target)
    _, channels, height, width = feature.shape
    if reduction == "quarter-sum":
        return squares.sum() / float(4 * channels**2 * (height * width) ** 2)
    return mean(squares) if reduction == "mean" else mean(squares) / (channels * height * width)


def tv_loss(image: Tensor) -> Tensor:
    down = image[:, :, 1:, :] - image[:, :, :-1, :]
    right = image[:, :, :, 1:] - image[:, :, :, :-1]
    return 0.5 * (mean(paddle.abs(down)) + mean(paddle.abs(right)))


class PaddleTensors:
    """To a device and back."""

    def __init__(self, device: str, dtype: Dtype) -> None:
        self.device = device
        self.dtype = dtype
        self.place = device.replace("cuda", "gpu")
        paddle.set_device(self.place)

    def tensor(self, array: Array) -> Tensor:
        # to_tensor copies to C order.
        return paddle.to_tensor(np.ascontiguousarray(array), dtype=self.dtype, place=self.place)

    def array(self, tensor: Tensor) -> Array:
        array: Array = tensor.numpy()  # a copy
        return array


class PaddleEngine(PaddleTensors):
    """A network on a device; see :class:`isostyle.interface.Engine`."""

    def __init__(self, network: Network, parameters: Parameters, device: str, dtype: Dtype) -> None:
        super().__init__(device, dtype)
        self.network = network
        # Tensors have stop_gradient=True until told otherwise: the weights are frozen, no gradient is computed for them.
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
                x = F.relu(x)
            else:
                x = F.max_pool2d(x, POOL, POOL) if pooling == "max" else F.avg_pool2d(x, POOL, POOL)
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
        with paddle.no_grad():
            contents = self.seen(recipe, self.tensor(content), recipe.content_layers)
            styles = self.seen(recipe, self.tensor(style), recipe.style_layers)
            grams = {tap: gram(feature, recipe.gram_divisor) for tap, feature in styles.items()}
        return Targets(
            content={tap: self.array(feature) for tap, feature in contents.items()},
            style={tap: self.array(matrix) for tap, matrix in grams.items()},
        )

    def recorded(self, recipe: Recipe, image: Tensor, taps: Taps) -> tuple[dict[str, Tensor], Pull]:
        image = image.detach()
        image.stop_gradient = False
        feature = self.seen(recipe, image, taps)

        def pull(slopes: Mapping[str, Tensor]) -> Tensor:
            (gradient,) = paddle.grad([feature[tap] for tap in slopes], image, list(slopes.values()))
            return gradient

        return {tap: x.detach() for tap, x in feature.items()}, pull

    def objective(self, recipe: Recipe, targets: Targets) -> PaddleObjective:
        return PaddleObjective(self, recipe, targets)


class PaddleObjective:
    """What a recipe minimizes: image (1, 3, H, W) -> weighted terms and the total's gradient."""

    def __init__(self, engine: PaddleEngine, recipe: Recipe, targets: Targets) -> None:
        self.engine = engine
        self.recipe = recipe
        self.content = {tap: engine.tensor(array) for tap, array in targets.content.items()}
        self.style = {tap: engine.tensor(array) for tap, array in targets.style.items()}

    def __call__(self, image: Tensor) -> Evaluation:
        recipe = self.recipe
        image = image.detach()
        image.stop_gradient = False
        feature = self.engine.seen(recipe, image, recipe.content_layers + recipe.style_layers)
        terms = {}
        for tap, weight in recipe.content_layers:
            loss = content_loss(self.moved("content", feature[tap]), self.content[tap], recipe.content_reduction)
            terms[f"content/{tap}"] = recipe.content_weight * weight * loss
        for tap, weight in recipe.style_layers:
            loss = style_loss(self.moved("style", feature[tap]), self.style[tap], recipe.gram_divisor, recipe.style_reduction)
            terms[f"style/{tap}"] = recipe.style_weight * weight * loss
        terms["tv"] = recipe.tv_weight * tv_loss(self.moved("tv", image))
        terms["total"] = paddle.stack(list(terms.values())).sum()
        (gradient,) = paddle.grad(terms["total"], image)
        return Evaluation({name: term.detach() for name, term in terms.items()}, gradient)

    def moved(self, kind: Term, tensor: Tensor) -> Tensor:
        """``tensor``, or a copy without gradient where the recipe's terms of ``kind`` move nothing."""
        return tensor.detach() if kind in self.recipe.without_gradient else tensor


class PaddleBackend:
    """PaddlePaddle, imported; see :class:`isostyle.interface.Backend`."""

    name = "paddle"

    def __init__(self, threads: int) -> None:
        # Paddle falls back to one thread, for itself and through the environment for others, if nobody sets this.
        paddle.base.core.set_num_threads(threads)

    def version(self) -> str:
        return str(paddle.version.full_version)

    def devices(self) -> list[str]:
        cards = [f"cuda:{i}" for i in range(paddle.device.cuda.device_count())]
        return [*(["cuda", *cards] if cards else []), "cpu"]

    def prepare(
        self, network: Network, parameters: Parameters, *, device: str, dtype: Dtype, precision: Precision = "exact"
    ) -> Engine:
        engine = PaddleEngine(network, parameters, device, dtype)
        # Slopes of Gram matrices by formula: one matrix product a tap, where autograd takes two. Through NumPy: not for a GPU.
        return TiledEngine(engine, network, WHOLE) if precision == "fast" and device == "cpu" else engine

    def transform(self, network: TransformNetwork, *, device: str, dtype: Dtype) -> Transform:
        # Imported here: it builds on this module.
        from isostyle.backends.paddle.transform import PaddleTransform

        return PaddleTransform(network, device, dtype)
