"""The image transformation network in onnxruntime: one picture, one pass.

A graph of operators (:mod:`isostyle.transform_graph`) is made for the parameters that a call has, and kept for the next one:
as constants they take less time than as inputs, for onnxruntime lays them out beforehand.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import onnxruntime
from onnxruntime import InferenceSession

from isostyle.errors import InputError
from isostyle.interface import Array, Dtype, VjpParameters
from isostyle.transform_graph import ExactGraph, Graph
from isostyle.transform_network import Stage, TransformNetwork

INPUT, SIZE = "image", ["height", "width"]
#: Graphs that are kept: tiles need two stages in turn.
KEPT = 2


class OnnxTransform:
    """An image transformation network; see :class:`isostyle.interface.Transform`. Its tensors are NumPy's arrays."""

    def __init__(self, network: TransformNetwork, device: str, dtype: Dtype, threads: int) -> None:
        self.network = network
        self.device = device
        self.dtype = dtype
        self.threads = threads
        #: The parameters of the last call, ...
        self.parameters: Mapping[str, Array] = {}
        #: ... and graphs with them, the last one that was used at the end.
        self.sessions: dict[object, InferenceSession] = {}

    def tensor(self, array: Array) -> Array:
        return np.array(array, self.dtype, order="C")

    def array(self, tensor: Array) -> Array:
        return tensor.copy()

    def apply(self, parameters: Mapping[str, Array], image: Array) -> Array:
        sizes = self.network.sizes(*image.shape[2:])
        restoring = {stage.name: sizes[stage.restores] for stage in self.network.stages if stage.restores is not None}
        # A map of an odd size, halved and doubled, loses a row or a column.
        even = frozenset(name for name, (height, width) in restoring.items() if height % 2 == width % 2 == 0)
        return self.run(parameters, even, lambda graph: graph.stages(self.network, parameters, INPUT, even), image)

    def convolve(self, parameters: Mapping[str, Array], stage: Stage, window: Array) -> Array:
        weight, bias = parameters[f"{stage.name}.weight"], parameters.get(f"{stage.name}.bias")
        return self.run(parameters, stage, lambda graph: graph.convolution(stage, weight, bias, INPUT), window)

    def vjp(self, parameters: Mapping[str, Array], image: Array) -> tuple[Array, VjpParameters]:
        raise InputError("onnx applies style networks, and trains none: it has no gradients")

    def run(self, parameters: Mapping[str, Array], key: object, build: Callable[[Graph], str], x: Array) -> Array:
        """What the graph that is called ``key`` makes of ``x``; ``build`` adds its nodes if it is not there."""
        if any(array is not self.parameters.get(name) for name, array in parameters.items()):
            self.parameters, self.sessions = dict(parameters), {}
        session = self.sessions.pop(key, None) or self.session(build, x.shape[1])
        self.sessions[key] = session
        for unused in list(self.sessions)[:-KEPT]:
            del self.sessions[unused]
        found: Array = session.run(None, {INPUT: x})[0]
        return found

    def session(self, build: Callable[[Graph], str], channels: int) -> InferenceSession:
        graph = Graph() if self.dtype == "float32" else ExactGraph(self.dtype)
        output = build(graph)
        model = graph.model(
            [graph.value(INPUT, [1, channels, *SIZE])], [graph.value(output, [1, "channels", "rows", "columns"])]
        )
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self.threads
        # Threads that wait for work do so asleep: others have use for the cores.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        # A plan for maps of one size would double the memory.
        options.enable_mem_pattern = False
        return InferenceSession(model, options, providers=["CPUExecutionProvider"])
