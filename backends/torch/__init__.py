"""PyTorch as a backend: its environment, threads and devices. The formulas are in ``losses`` and ``engine``."""

from __future__ import annotations

import os

# Before the import: OpenMP's threads would wait for more work at full speed, a millisecond on the cores that others need now.
os.environ.setdefault("GOMP_SPINCOUNT", "30000")

import torch

from isostyle.backends.torch.engine import TorchEngine
from isostyle.backends.torch.fast import prepare_fast
from isostyle.backends.torch.transform import TorchTransform
from isostyle.errors import InputError
from isostyle.interface import Dtype, Engine, Parameters, Precision, Transform
from isostyle.network import Network
from isostyle.transform_network import TransformNetwork


class TorchBackend:
    """PyTorch, imported; see :class:`isostyle.interface.Backend`."""

    name = "torch"

    def __init__(self, threads: int) -> None:
        # OMP_NUM_THREADS alone is not enough: if paddle was imported first, torch sees 1 thread.
        torch.set_num_threads(threads)

    def version(self) -> str:
        return str(torch.__version__)

    def devices(self) -> list[str]:
        cards = [f"cuda:{i}" for i in range(torch.cuda.device_count())] if torch.cuda.is_available() else []
        return [*(["cuda", *cards] if cards else []), *(["mps"] if torch.backends.mps.is_available() else []), "cpu"]

    def prepare(
        self, network: Network, parameters: Parameters, *, device: str, dtype: Dtype, precision: Precision = "exact"
    ) -> Engine:
        if device == "mps" and dtype == "float64":
            raise InputError("the device 'mps' has no float64; use --device cpu")
        # On a GPU, torch's convolutions use TF32 by default, which keeps 10 bits of a float32's 23.
        torch.backends.cudnn.allow_tf32 = False
        if precision == "fast":
            return prepare_fast(network, parameters, device, dtype)
        return TorchEngine(network, parameters, device, dtype)

    def transform(self, network: TransformNetwork, *, device: str, dtype: Dtype) -> Transform:
        return TorchTransform(network, device, dtype)
