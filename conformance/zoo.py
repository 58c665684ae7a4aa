"""The frameworks' own VGG-19: the same layer at every index as core's table, and the same features from the same weights.

Nothing is downloaded: the weights are those of the case. torchvision, gluon and paddle.vision all number the layers of
``features`` from 0, pools included.
"""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from isostyle.backends.torchvision import declare_operators
from isostyle.errors import InputError
from isostyle.interface import Array, Engine, Parameters
from isostyle.network import Network

#: Features are compared at these layers of VGG-19: the first, each kind, and the last convolution that a published recipe taps.
TAPS = ("conv1_1", "relu1_2", "pool1", "conv3_4", "conv5_1")


class NotInstalled(InputError):
    """The framework's zoo is a package of its own, which is not installed."""


def examine(backend: str, network: Network, parameters: Parameters, engine: Engine, image: Array) -> dict[str, Array]:
    """Run the framework's own VGG-19 on ``image``.

    Returns:
        ``layers``: a line for each layer. ``features/TAP``: the map right after its layer ran. ``kept/conv1_1``: the first map
        once more, copied after the whole network ran, as a program that collects taps does.
    """
    layers = {"torch": torch_layers, "paddle": paddle_layers, "mxnet": mxnet_layers}[backend](network, parameters, engine)
    x = engine.tensor(image)
    found, held = {}, None
    for layer, own in zip(network.layers, layers, strict=True):
        x = own(x)
        if held is None:
            held = x
        if layer.name in TAPS:
            found[f"features/{layer.name}"] = engine.array(x)
    found["kept/conv1_1"] = engine.array(held)
    found["layers"] = np.array([describe(backend, own) for own in layers])
    return found


def expected_lines(network: Network, kinds: Sequence[str]) -> Array:
    """The line that each layer of ``network`` should have; ``kinds`` from the oracle."""
    lines, channels, convolutions = (
        [],
        3,
        iter([w for d, w in zip(network.depths, network.widths, strict=True) for _ in range(d)]),
    )
    for kind in kinds:
        if kind == "conv":
            width = next(convolutions)
            lines.append(f"conv {channels}->{width} 3x3 stride 1 padding 1")
            channels = width
        else:
            lines.append({"relu": "relu", "pool": "max-pool 2x2 stride 2 padding 0 floor"}[kind])
    return np.array(lines)


def torch_layers(network: Network, parameters: Parameters, engine: Engine) -> Sequence[Any]:
    """torchvision's VGG-19."""
    import torch

    if importlib.util.find_spec("torchvision") is None:
        raise NotInstalled("torchvision, which has torch's VGG-19, is not installed: pip install 'isostyle[zoo]'")
    declare_operators()
    from torchvision.models import vgg19

    # On the device "meta", no memory is taken for the 120 million weights of the classifier.
    with torch.device("meta"):
        features = vgg19(weights=None).features
    features = features.to_empty(device="cpu").eval().requires_grad_(False)
    for layer in network.convolutions:
        own = features[layer.index]
        for kind in ("weight", "bias"):
            getattr(own, kind).copy_(engine.tensor(parameters[f"{layer.name}.{kind}"]))
    return list(features)


def paddle_layers(network: Network, parameters: Parameters, engine: Engine) -> Sequence[Any]:
    """paddle.vision's VGG-19."""
    import paddle

    features = paddle.vision.models.vgg19(pretrained=False, num_classes=0).features  # 0: without the classifier
    features.eval()
    for layer in network.convolutions:
        for kind in ("weight", "bias"):
            getattr(features[layer.index], kind).set_value(parameters[f"{layer.name}.{kind}"])
    return list(features)


def mxnet_layers(network: Network, parameters: Parameters, engine: Engine) -> Sequence[Any]:
    """gluon's VGG-19, without its classifier."""
    from mxnet.gluon.model_zoo.vision import vgg19

    features = list(vgg19(pretrained=False).features)[: len(network.layers)]
    for layer in network.convolutions:
        own = features[layer.index]
        for kind in ("weight", "bias"):
            array = parameters[f"{layer.name}.{kind}"]
            parameter = getattr(own, kind)
            parameter.shape = array.shape
            parameter.initialize()
            parameter.set_data(engine.tensor(array))
    return features


def describe(backend: str, layer: Any) -> str:
    """Describe a layer in the words of :func:`expected_lines`."""
    if backend == "mxnet":
        return describe_mxnet(layer)
    kind = type(layer).__name__.lower()
    if kind == "conv2d":
        weight = tuple(layer.weight.shape)
        stride, padding = (both(getattr(layer, name, getattr(layer, f"_{name}", None))) for name in ("stride", "padding"))
        if backend == "paddle":
            padding = both(layer._padding)
        return f"conv {weight[1]}->{weight[0]} {weight[2]}x{weight[3]} stride {stride} padding {padding}"
    if kind == "maxpool2d":
        size = both(layer.kernel_size if backend == "torch" else layer.ksize)
        rounding = "ceil" if layer.ceil_mode else "floor"
        return f"max-pool {size}x{size} stride {both(layer.stride)} padding {both(layer.padding)} {rounding}"
    return kind


def describe_mxnet(layer: Any) -> str:
    """Describe a layer of gluon, which keeps its settings as attributes of its operator."""
    own: Mapping[str, Any] = getattr(layer, "_kwargs", {})
    kind = type(layer).__name__.lower()
    if kind == "conv2d":
        out, into, *kernel = layer.weight.shape
        return f"conv {into}->{out} {kernel[0]}x{kernel[1]} stride {both(own['stride'])} padding {both(own['pad'])}"
    if kind == "maxpool2d":
        size, rounding = both(own["kernel"]), "ceil" if own["pooling_convention"] == "full" else "floor"
        return f"max-pool {size}x{size} stride {both(own['stride'])} padding {both(own['pad'])} {rounding}"
    return re.sub(r"activation", str(getattr(layer, "_act_type", "activation")), kind)


def both(value: Any) -> Any:
    """One number for both axes: 2 from 2 and from (2, 2)."""
    values = {*value} if isinstance(value, list | tuple) else {value}
    return values.pop() if len(values) == 1 else value
