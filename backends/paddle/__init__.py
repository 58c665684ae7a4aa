"""PaddlePaddle as a backend: its environment, threads and devices. The formulas are in ``losses`` and ``engine``."""

from __future__ import annotations

import contextlib
import io
import os
import warnings
from contextlib import AbstractContextManager

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

from isostyle.backends.paddle.engine import PaddleEngine
from isostyle.backends.paddle.state import own_state, threads_now
from isostyle.backends.paddle.transform import PaddleTransform
from isostyle.interface import Dtype, Engine, Parameters, Precision, Transform
from isostyle.network import Network
from isostyle.tiles import WHOLE, TiledEngine
from isostyle.transform_network import TransformNetwork


class PaddleBackend:
    """PaddlePaddle, imported; see :class:`isostyle.interface.Backend`."""

    name = "paddle"

    def __init__(self, threads: int) -> None:
        self.threads = threads
        # OpenMP reads OMP_NUM_THREADS when it is first asked for something, which is now.
        threads_now()

    def version(self) -> str:
        return str(paddle.version.full_version)

    def devices(self) -> list[str]:
        cards = [f"cuda:{i}" for i in range(paddle.device.cuda.device_count())]
        return [*(["cuda", *cards] if cards else []), "cpu"]

    def own_state(self, device: str) -> AbstractContextManager[None]:
        return own_state(device, self.threads)

    def prepare(
        self, network: Network, parameters: Parameters, *, device: str, dtype: Dtype, precision: Precision = "exact"
    ) -> Engine:
        engine = PaddleEngine(network, parameters, device, dtype)
        # Gradients of Gram matrices by formula: one matrix product a tap, where autograd takes two. The formula is computed
        # through NumPy, so not for a GPU.
        return TiledEngine(engine, network, WHOLE) if precision == "fast" and device == "cpu" else engine

    def transform(self, network: TransformNetwork, *, device: str, dtype: Dtype) -> Transform:
        return PaddleTransform(network, device, dtype)
