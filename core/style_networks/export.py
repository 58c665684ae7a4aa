"""A style network as an ONNX model, written from its table: no framework is needed, and no package.

Input ``image``: float32, (batch, 3, height, width), RGB in 0..1. Output ``painted``: likewise, clipped to 0..1. The batch is
free, and each of its pictures is painted as it is alone. Height and width are, too, odd ones included, from
:data:`isostyle.transform_network.LEAST_SIDE` on; normalizing and its reverse are part of it.
"""

from __future__ import annotations

from isostyle.network import RGB_MEAN, RGB_STD
from isostyle.style_networks.file import StyleNetwork
from isostyle.transform_graph import Graph
from isostyle.transform_network import LEAST_SIDE

SUFFIX = ".onnx"
INPUT, OUTPUT, RGB = "image", "painted", "RGB in 0..1"
DOC = (
    f"A style network (fast neural style transfer). Input '{INPUT}': {RGB}, float32, (batch, 3, height, width), each "
    f"side at least {LEAST_SIDE}; output '{OUTPUT}': likewise. The ImageNet normalization is part of the model."
)


def onnx_bytes(style: StyleNetwork) -> bytes:
    """An ONNX file: the same bytes for the same network and isostyle."""
    graph = Graph()
    mean, std = graph.per_channel("mean", RGB_MEAN), graph.per_channel("std", RGB_STD)
    x = graph.node("Div", [graph.node("Sub", [INPUT, mean], "centered"), std], "normalized")
    x = graph.stages(style.network, style.parameters, x)
    x = graph.node("Add", [graph.node("Mul", [x, std], "scaled"), mean], "unclipped")
    graph.node("Clip", [x, graph.constant("low", 0), graph.constant("high", 1)], OUTPUT)
    inputs, outputs = ([graph.value(name, ["batch", 3, "height", "width"], RGB)] for name in (INPUT, OUTPUT))
    if len(style.styles) > 1:
        weights = f"the weight of each style, which add up to 1 as a rule: {style.name}"
        inputs.append(graph.value(graph.weights, [len(style.styles)], weights))
    kind = "RGB, 0..1, float32"
    about = {"style": style.name, "parameters_sha256": style.digest, "input": kind, "output": kind}
    return graph.model(inputs, outputs, DOC, about)
