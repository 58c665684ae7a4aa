"""PyTorch as a backend: its environment, threads and devices. The formulas are in ``losses`` and ``engine``."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager

# Before the import: OpenMP's threads would wait for more work at full speed, a millisecond on the cores that others need now.
os.environ.setdefault("GOMP_SPINCOUNT", "30000")

import torch

from isostyle.backends.torch.engine import TorchEngine
from isostyle.backends.torch.fast import prepare_fast
from isostyle.backends.torch.state import own_state
from isostyle.backends.torch.transform import TorchTransform
from isostyle.errors import InputError
from isostyle.interface import Dtype, Engine, Parameters, Precision, Transform
from isostyle.network import Network
from isostyle.transform_network import TransformNetwork


class TorchBackend:
    """PyTorch, imported; see :class:`isostyle.interface.Backend`."""

    name = "torch"

    def __init__(self, threads: int) -> None:
        self.threads = threads

    def version(self) -> str:
        return str(torch.__version__)

    def devices(self) -> list[str]:
        cards = [f"cuda:{i}" for i in range(torch.cuda.device_count())] if torch.cuda.is_available() else []
        return [*(["cuda", *cards] if cards else []), *(["mps"] if torch.backends.mps.is_available() else []), "cpu"]

    def own_state(self, device: str) -> AbstractContextManager[None]:
        return own_state(device, self.threads)

    def prepare(
        self, network: Network, parameters: Parameters, *, device: str, dtype: Dtype, precision: Precision = "exact"
    ) -> Engine:
        if device == "mps" and dtype == "float64":
            raise InputError("the device 'mps' has no float64; use --device cpu")
        if precision == "fast":
            return prepare_fast(network, parameters, device, dtype)
        return TorchEngine(network, parameters, device, dtype)

    def transform(self, network: TransformNetwork, *, device: str, dtype: Dtype) -> Transform:
        return TorchTransform(network, device, dtype)
