"""A style network as an ONNX model, written from its table: no framework is needed, here or where it runs.

Input ``image``: float32, (batch, 3, height, width), RGB in 0..1. Output ``painted``: likewise, clipped to 0..1. The batch is
free, and each of its pictures is painted as it is alone. Height and width are, too, odd ones included, from
:data:`isostyle.transform_network.LEAST_SIDE` on; normalizing and its reverse are part of it.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from isostyle._version import __version__
from isostyle.errors import InputError
from isostyle.interface import Array
from isostyle.network import RGB_MEAN, RGB_STD
from isostyle.style_networks.file import StyleNetwork
from isostyle.transform_network import EPSILON, LEAST_SIDE, PICTURE, Stage

#: Version of the operators, and of the file format that came with it: of 2022, old enough for what runs models today. Reduced
#: to what is needed: 15 for Shape with a range.
OPSET, IR_VERSION = 17, 8
SUFFIX = ".onnx"
INPUT, WEIGHTS, OUTPUT = "image", "styles", "painted"
DOC = (
    f"A style network (fast neural style transfer). Input '{INPUT}': RGB in 0..1, float32, (batch, 3, height, width), each "
    f"side at least {LEAST_SIDE}; output '{OUTPUT}': likewise. The ImageNet normalization is part of the model."
)


class Graph:
    """Nodes and constants of a model, in the order in which they were added."""

    def __init__(self, onnx: Any) -> None:
        self.onnx = onnx
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self.known: set[str] = set()

    def constant(self, name: str, values: Any, dtype: type) -> str:
        if name not in self.known:
            self.known.add(name)
            self.constants.append(self.onnx.numpy_helper.from_array(np.ascontiguousarray(values, dtype), name))
        return name

    def node(self, kind: str, inputs: list[str], output: str, **attributes: Any) -> str:
        self.nodes.append(self.onnx.helper.make_node(kind, inputs, [output], name=f"{kind}_{output}", **attributes))
        return output

    def per_channel(self, name: str, values: Any) -> str:
        return self.constant(name, np.reshape(values, (1, -1, 1, 1)), np.float32)

    def own(self, name: str, rows: Array) -> str:
        """Scales or shifts: of one style, as they are; of several, times the weights that the model is given."""
        if len(rows) == 1:
            return self.constant(name, rows[0], np.float32)
        return self.node("MatMul", [WEIGHTS, self.constant(f"{name}.rows", rows, np.float32)], name)

    def stage(self, stage: Stage, parameters: Any, x: str, given: dict[str, str], made: dict[str, str]) -> str:
        """Add the nodes of a stage, in the order of :mod:`isostyle.transform_network`; the name of what it makes."""
        name = stage.name
        if stage.restores is not None:
            scales = self.constant("scales", [1, 1, 2, 2], np.float32)
            nearest = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
            x = self.node("Resize", [x, "", scales], f"{name}.repeated", **nearest)
            size = self.node("Shape", [given[stage.restores]], f"{name}.size", start=2, end=4)
            begins, axes = self.constant("begins", [0, 0], np.int64), self.constant("axes", [2, 3], np.int64)
            x = self.node("Slice", [x, begins, size, axes], f"{name}.restored")
        pads = self.constant(f"pads{stage.padding}", [0, 0, stage.padding, stage.padding] * 2, np.int64)
        x = self.node("Pad", [x, pads], f"{name}.padded", mode="reflect")
        inputs = [x, self.constant(f"{name}.weight", parameters[f"{name}.weight"], np.float32)]
        if "bias" in stage.vectors:
            inputs.append(self.constant(f"{name}.bias", parameters[f"{name}.bias"], np.float32))
        kernel, strides = [stage.kernel] * 2, [stage.stride] * 2
        x = self.node("Conv", inputs, f"{name}.convolved", kernel_shape=kernel, strides=strides)
        if stage.norm:
            values: Array = parameters.get(f"{name}.shift", np.zeros((len(parameters[f"{name}.scale"]), stage.out_channels)))
            vectors = [self.own(f"{name}.scale", parameters[f"{name}.scale"]), self.own(f"{name}.shift", values)]
            x = self.node("InstanceNormalization", [x, *vectors], f"{name}.normed", epsilon=EPSILON)
        if stage.adds is not None:
            x = self.node("Add", [x, made[stage.adds]], f"{name}.added")
        return self.node("Relu", [x], f"{name}.made") if stage.relu else x


def onnx_bytes(style: StyleNetwork) -> bytes:
    """An ONNX file: the same bytes for the same network, isostyle and onnx.

    Raises:
        InputError: the package onnx is not installed.
    """
    try:
        import onnx
    except ImportError:
        raise InputError("writing ONNX needs the package onnx: pip install 'isostyle[onnx]'") from None
    helper, graph = onnx.helper, Graph(onnx)
    mean, std = graph.per_channel("mean", RGB_MEAN), graph.per_channel("std", RGB_STD)
    x = graph.node("Div", [graph.node("Sub", [INPUT, mean], "centered"), std], "normalized")
    given: dict[str, str] = {}
    made = {PICTURE: x}
    for stage in style.network.stages:
        given[stage.name] = x
        x = made[stage.name] = graph.stage(stage, style.parameters, x, given, made)
    x = graph.node("Add", [graph.node("Mul", [x, std], "scaled"), mean], "unclipped")
    low, high = graph.constant("low", 0, np.float32), graph.constant("high", 1, np.float32)
    graph.node("Clip", [x, low, high], OUTPUT)
    shape = ["batch", 3, "height", "width"]
    tensor, said = onnx.TensorProto.FLOAT, "RGB in 0..1"
    inputs, outputs = ([helper.make_tensor_value_info(name, tensor, shape, doc_string=said)] for name in (INPUT, OUTPUT))
    if len(style.styles) > 1:
        weights = f"the weight of each style, which add up to 1 as a rule: {style.name}"
        inputs.append(helper.make_tensor_value_info(WEIGHTS, tensor, [len(style.styles)], doc_string=weights))
    model = helper.make_model(
        helper.make_graph(graph.nodes, "style_network", inputs, outputs, graph.constants),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="isostyle",
        producer_version=__version__,
        doc_string=DOC,
    )
    kind = "RGB, 0..1, float32"
    about = {"style": style.name, "parameters_sha256": style.digest, "input": kind, "output": kind}
    helper.set_model_props(model, about)
    onnx.checker.check_model(model, full_check=True)
    data: bytes = model.SerializeToString(deterministic=True)
    return data
