"""An image transformation network as a graph of ONNX operators: what `isostyle export` writes, and the backend onnx runs.

It is written without the package onnx, field by field: https://github.com/onnx/onnx/blob/main/onnx/onnx.proto.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from isostyle._version import __version__
from isostyle.interface import Array, Dtype
from isostyle.system.protobuf import Value, message
from isostyle.transform_network import EPSILON, FOLD, PICTURE, Stage, TransformNetwork

#: Version of the operators, and of the file format that came with it: of 2022, old enough for what runs models today. Reduced
#: to what is needed: 15 for Shape with a range.
OPSET, IR_VERSION = 17, 8
#: TensorProto's numbers of the types.
TYPES = {"float32": 1, "int64": 7, "float64": 11}
#: AttributeProto's numbers: the field of a value, and its type.
FLOAT, INT, STRING, INTS = (2, 1), (3, 2), (4, 3), (8, 7)
#: Fewer channels than a vector of the CPU has places: four pixels are then computed as channels of one.
FEW_CHANNELS = 8


class Graph:
    """Nodes and constants of a model, in the order in which they were added."""

    #: The input that has the weight of each style, if there are several.
    weights = "styles"

    def __init__(self, dtype: Dtype = "float32") -> None:
        self.dtype = dtype
        self.nodes: list[bytes] = []
        self.constants: dict[str, bytes] = {}

    # Nodes

    def constant(self, name: str, values: Any, dtype: str = "") -> str:
        """A tensor of the model's dtype, or of another; of one name there is one."""
        if name not in self.constants:
            array = np.asarray(values, dtype or self.dtype, order="C")
            dims = [(1, side) for side in array.shape]
            data = array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes()
            self.constants[name] = message(*dims, (2, TYPES[array.dtype.name]), (8, name), (9, data))
        return name

    def integers(self, name: str, values: Sequence[int]) -> str:
        return self.constant(name, values, "int64")

    def per_channel(self, name: str, values: Any) -> str:
        return self.constant(name, np.reshape(values, (1, -1, 1, 1)))

    def node(self, kind: str, inputs: Sequence[str], output: str, **attributes: Any) -> str:
        taken, about = [(1, name) for name in inputs], [(5, attribute(name, x)) for name, x in sorted(attributes.items())]
        self.nodes.append(message(*taken, (2, output), (3, f"{kind}_{output}"), (4, kind), *about))
        return output

    def own(self, name: str, rows: Array) -> str:
        """Scales or shifts: of one style, as they are; of several, times the weights that the model is given."""
        rows = np.atleast_2d(rows)
        if len(rows) == 1:
            return self.constant(name, rows[0])
        return self.node("MatMul", [self.weights, self.constant(f"{name}.rows", rows)], name)

    # Stages

    def stages(
        self, network: TransformNetwork, parameters: Mapping[str, Array], x: str, even: frozenset[str] = frozenset()
    ) -> str:
        """Add the nodes of all stages, for the picture ``x``; the name of what the last one makes. ``even``: the stages that
        are known to restore twice the size of what they are given."""
        given: dict[str, str] = {}
        made = {PICTURE: x}
        for stage in network.stages:
            given[stage.name] = x
            x = made[stage.name] = self.stage(stage, parameters, x, given, made, even=stage.name in even)
        return x

    def stage(
        self,
        stage: Stage,
        parameters: Mapping[str, Array],
        x: str,
        given: Mapping[str, str],
        made: Mapping[str, str],
        *,
        even: bool,
    ) -> str:
        """Add the nodes of a stage, in the order of :mod:`isostyle.transform_network`; the name of what it makes.

        Args:
            parameters: of one style, (out,), or rows of several.
            given: the inputs of the stages before.
            made: what they made.
            even: whether the size that the stage restores is known to be twice that of ``x``.
        """
        name, weight = stage.name, parameters[f"{stage.name}.weight"]
        if even:
            x = self.convolution_of_enlarged(stage, weight, x)
        else:
            if stage.restores is not None:
                size = self.node("Shape", [given[stage.restores]], f"{name}.size", start=2, end=4)
                x = self.cut(self.repeated(x, f"{name}.repeated"), size, f"{name}.restored")
            x = self.padded(x, stage.padding, "reflect", f"{name}.padded")
            x = self.convolution(stage, weight, parameters.get(f"{name}.bias"), x)
        if stage.norm:
            scale = parameters[f"{name}.scale"]
            x = self.normed(x, scale, parameters.get(f"{name}.shift", np.zeros_like(scale)), name)
        if stage.adds is not None:
            x = self.node("Add", [x, made[stage.adds]], f"{name}.added")
        return self.node("Relu", [x], f"{name}.made") if stage.relu else x

    def convolution(self, stage: Stage, weight: Array, bias: Array | None, x: str) -> str:
        """Of what is padded already."""
        if stage.stride == 1 and stage.out_channels < FEW_CHANNELS:
            return self.convolution_by_fours(stage, weight, bias, x)
        return self.convolved(stage.name, weight, bias, x, stage.stride)

    def convolution_by_fours(self, stage: Stage, weight: Array, bias: Array | None, x: str) -> str:
        """The same, with four kernels, each at another place in a larger one, for four pixels: a quarter of the outputs, each
        with four times the channels."""
        out, channels, kernel, _ = weight.shape
        kernels = np.zeros((out, 2, 2, channels, kernel + 1, kernel + 1), weight.dtype)
        for down, across in np.ndindex(2, 2):
            kernels[:, down, across, :, down : down + kernel, across : across + kernel] = weight
        biases = None if bias is None else np.repeat(bias, 4)
        # A row and a column of zeros are for the last pixels of an odd size, whose neighbors are cut off again.
        fours = self.convolved(stage.name, kernels.reshape(4 * out, *kernels.shape[3:]), biases, x, 2, beyond=1)
        sides = self.node("Shape", [x], f"{stage.name}.sides", start=2, end=4)
        less = self.integers(f"less{kernel}", [kernel - 1] * 2)
        size = self.node("Sub", [sides, less], f"{stage.name}.cut")
        return self.cut(self.spread(fours, out, f"{stage.name}.spread"), size, f"{stage.name}.whole")

    def convolution_of_enlarged(self, stage: Stage, weight: Array, x: str) -> str:
        """Of ``x``, repeated and padded, but without the enlarged map: :data:`isostyle.transform_network.FOLD`."""
        name, fold = stage.name, np.array(FOLD, weight.dtype)
        kernels = np.einsum("oikl,sak,tbl->ostiab", weight, fold, fold).reshape(-1, weight.shape[1], 2, 2)
        x = self.convolved(name, kernels, None, self.padded(x, 1, "edge", f"{name}.padded"), 1)
        begins, ends = self.integers("ones", [1, 1]), self.integers("last", [-1, -1])
        return self.node(
            "Slice",
            [self.spread(x, stage.out_channels, f"{name}.spread"), begins, ends, self.integers("axes", [2, 3])],
            f"{name}.inner",
        )

    # Operators

    def padded(self, x: str, padding: int, mode: str, output: str) -> str:
        return self.node("Pad", [x, self.integers(f"pads{padding}", [0, 0, padding, padding] * 2)], output, mode=mode)

    def cut(self, x: str, size: str, output: str) -> str:
        """The first rows and columns, as many as ``size`` has."""
        return self.node("Slice", [x, self.integers("zeros", [0, 0]), size, self.integers("axes", [2, 3])], output)

    def spread(self, x: str, channels: int, output: str) -> str:
        """Four times the ``channels`` become four pixels, as pixel_shuffle of torch does it: columns, then rows. DepthToSpace
        does both at once, and takes onnxruntime twice the time."""
        pairs = self.reshaped(x, self.integers("pairs", [-1, 2, 0, 0]), f"{output}.pairs")
        columns = self.node("Transpose", [pairs], f"{output}.columns", perm=[0, 2, 3, 1])
        wide = self.reshaped(columns, self.integers("wide", [0, 0, -1]), f"{output}.wide")
        sides = self.node("Shape", [wide], f"{output}.sides", start=1, end=3)
        shape = self.node("Concat", [self.integers("two rows", [-1, 2]), sides], f"{output}.two rows", axis=0)
        rows = self.node("Transpose", [self.reshaped(wide, shape, f"{output}.apart")], f"{output}.rows", perm=[0, 2, 1, 3])
        batch = self.node("Shape", [x], f"{output}.batch", start=0, end=1)
        rest = self.integers(f"rest{channels}", [channels, -1, 0])
        return self.reshaped(rows, self.node("Concat", [batch, rest], f"{output}.shape", axis=0), output)

    def reshaped(self, x: str, shape: str, output: str) -> str:
        return self.node("Reshape", [x, shape], output)

    def repeated(self, x: str, output: str) -> str:
        nearest = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
        return self.node("Resize", [x, "", self.constant("scales", [1, 1, 2, 2], "float32")], output, **nearest)

    def convolved(self, name: str, weight: Array, bias: Array | None, x: str, stride: int, beyond: int = 0) -> str:
        """A convolution; ``beyond``: rows and columns of zeros behind the last ones."""
        inputs = [x, self.constant(f"{name}.weight", weight)]
        inputs += [] if bias is None else [self.constant(f"{name}.bias", bias)]
        kernel, pads = list(weight.shape[2:]), [0, 0, beyond, beyond]
        return self.node("Conv", inputs, f"{name}.convolved", kernel_shape=kernel, pads=pads, strides=[stride] * 2)

    def normed(self, x: str, scale: Array, shift: Array, name: str) -> str:
        vectors = [self.own(f"{name}.scale", scale), self.own(f"{name}.shift", shift)]
        return self.node("InstanceNormalization", [x, *vectors], f"{name}.normed", epsilon=EPSILON)

    # The model

    def value(self, name: str, shape: Sequence[int | str], said: str = "") -> bytes:
        """What a model takes or makes, of its dtype: a side is a number, or the name of one that is free."""
        sides = [(1, message((1 if isinstance(side, int) else 2, side))) for side in shape]
        tensor = message((1, TYPES[self.dtype]), (2, message(*sides)))
        return message((1, name), (2, message((1, tensor))), *([(3, said)] if said else []))

    def model(
        self, inputs: Sequence[bytes], outputs: Sequence[bytes], doc: str = "", about: Mapping[str, str] | None = None
    ) -> bytes:
        """A file: a ModelProto. ``about``: texts by name that it carries."""
        nodes, constants = [(1, node) for node in self.nodes], [(5, tensor) for tensor in self.constants.values()]
        values = [*((11, value) for value in inputs), *((12, value) for value in outputs)]
        graph = message(*nodes, (2, "style_network"), *constants, *values)
        metadata = [(14, message((1, name), (2, text))) for name, text in (about or {}).items()]
        head: list[tuple[int, Value]] = [(1, IR_VERSION), (2, "isostyle"), (3, __version__), *([(6, doc)] if doc else [])]
        return message(*head, (7, graph), (8, message((1, ""), (2, OPSET))), *metadata)


class ExactGraph(Graph):
    """In float64, of which onnxruntime has no convolution, no normalization and no enlarging: by their formulas."""

    def repeated(self, x: str, output: str) -> str:
        fours = self.node("Concat", [x] * 4, f"{output}.fours", axis=1)
        return self.node("DepthToSpace", [fours], output, blocksize=2, mode="DCR")

    def convolved(self, name: str, weight: Array, bias: Array | None, x: str, stride: int, beyond: int = 0) -> str:
        """A matrix product for each place of the kernel, with the pixels that it meets as columns."""
        out, channels, *kernel = weight.shape
        if beyond:
            x = self.node("Pad", [x, self.integers("beyond", [0, 0, 0, 0, 0, 0, beyond, beyond])], f"{name}.beyond")
        sides = self.node("Shape", [x], f"{name}.outer", start=2, end=4)
        axes, steps = self.integers("axes", [2, 3]), self.integers(f"steps{stride}", [stride] * 2)
        columns = self.integers(f"columns{channels}", [channels, -1])
        total = size = ""
        for down, across in np.ndindex(*kernel):
            at = f"{name}.{down}.{across}"
            begins = self.integers(f"at{down}.{across}", [down, across])
            less = self.integers(
                f"less{kernel[0] - 1 - down}.{kernel[1] - 1 - across}", [kernel[0] - 1 - down, kernel[1] - 1 - across]
            )
            ends = self.node("Sub", [sides, less], f"{at}.end")
            met = self.node("Slice", [x, begins, ends, axes, steps], f"{at}.met")
            size = size or self.node("Shape", [met], f"{name}.sides of maps", start=2, end=4)
            matrix = self.constant(f"{at}.weight", weight[:, :, down, across])
            product = self.node("MatMul", [matrix, self.node("Reshape", [met, columns], f"{at}.columns")], f"{at}.product")
            total = self.node("Add", [total, product], f"{at}.sum") if total else product
        shape = self.node("Concat", [self.integers(f"maps{out}", [1, out]), size], f"{name}.shape", axis=0)
        made = self.node("Reshape", [total, shape], f"{name}.unbiased")
        return made if bias is None else self.node("Add", [made, self.per_channel(f"{name}.bias", bias)], f"{name}.convolved")

    def normed(self, x: str, scale: Array, shift: Array, name: str) -> str:
        over: dict[str, Any] = {"axes": [2, 3], "keepdims": 1}
        centered = self.node("Sub", [x, self.node("ReduceMean", [x], f"{name}.mean", **over)], f"{name}.centered")
        squares = self.node("Mul", [centered, centered], f"{name}.squares")
        variance = self.node("ReduceMean", [squares], f"{name}.variance", **over)
        above = self.node("Add", [variance, self.constant("epsilon", EPSILON)], f"{name}.above")
        share = self.node(
            "Div", [self.per_channel(f"{name}.scale", scale), self.node("Sqrt", [above], f"{name}.deviation")], f"{name}.share"
        )
        scaled = self.node("Mul", [centered, share], f"{name}.scaled")
        return self.node("Add", [scaled, self.per_channel(f"{name}.shift", shift)], f"{name}.normed")


def attribute(name: str, value: Any) -> bytes:
    """A node's attribute: a float, an integer, a text, or integers."""
    number, kind = {float: FLOAT, int: INT, str: STRING, list: INTS}[type(value)]
    values = value if isinstance(value, list) else [value]
    return message((1, name), *((number, each) for each in values), (20, kind))
