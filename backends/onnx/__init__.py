"""onnxruntime as a backend for style networks alone: it has no gradients, and so no engine and no training."""

from __future__ import annotations

import onnxruntime

from isostyle.backends.onnx.transform import OnnxTransform
from isostyle.interface import Dtype, Transform
from isostyle.transform_network import TransformNetwork


class OnnxBackend:
    """onnxruntime, imported; see :class:`isostyle.interface.Backend`."""

    name = "onnx"

    def __init__(self, threads: int) -> None:
        self.threads = threads

    def version(self) -> str:
        return str(onnxruntime.__version__)

    def devices(self) -> list[str]:
        return ["cpu"]

    def transform(self, network: TransformNetwork, *, device: str, dtype: Dtype) -> Transform:
        return OnnxTransform(network, device, dtype, self.threads)
