"""Apache MXNet as a backend: its environment, threads and devices. The formulas are in ``losses`` and ``engine``."""

from __future__ import annotations

import atexit
import contextlib
import os
from contextlib import AbstractContextManager

# Before the import: afterwards MXNet reads it no more. It would print a line for each kind of operator that falls back.
os.environ.setdefault("MXNET_STORAGE_FALLBACK_LOG_VERBOSE", "0")

# MXNet keeps a convolution for each shape that it has met, and never lets one go: a folder of pictures has thousands of shapes.
# So many of each kind are enough for every layer of VGG-19, in four sizes.
os.environ.setdefault("MXNET_MKLDNN_CACHE_NUM", "64")

import mxnet
from mxnet import np, npx

from isostyle.backends.mxnet.engine import MxnetEngine
from isostyle.backends.mxnet.state import own_state
from isostyle.backends.mxnet.transform import MxnetTransform
from isostyle.interface import Dtype, Engine, Parameters, Precision, Transform
from isostyle.network import Network
from isostyle.tiles import WHOLE, TiledEngine
from isostyle.transform_network import TransformNetwork

#: Rows and columns of a matrix for whose product OpenBLAS uses threads: it does so from 64**3 multiplications on.
THREADED = 128


@atexit.register
def forget_failures() -> None:
    """Swallow failures that come out only when the program ends.

    MXNet computes later than it is asked to. What fails then, for want of memory, would end as a traceback behind the sentence
    that the user has read already. MXNet's own handler was registered earlier, and so runs after this one.
    """
    with contextlib.suppress(mxnet.base.MXNetError):
        npx.waitall()


class MxnetBackend:
    """Apache MXNet, imported; see :class:`isostyle.interface.Backend`."""

    name = "mxnet"

    def __init__(self, threads: int) -> None:
        """MXNet has no call for threads: it took OMP_NUM_THREADS, which ``isostyle.registry`` sets, when it was imported."""
        # Its engine starts at the first array, and its BLAS takes a buffer at the first product.
        # Where either is refused memory the process is aborted, so both happen now, before there are feature maps.
        with own_state("cpu"):
            matrix = np.ones((THREADED, THREADED))
            np.dot(matrix, matrix).wait_to_read()

    def version(self) -> str:
        return str(mxnet.__version__)

    def devices(self) -> list[str]:
        cards = [f"cuda:{i}" for i in range(mxnet.context.num_gpus())]
        return [*(["cuda", *cards] if cards else []), "cpu"]

    def own_state(self, device: str) -> AbstractContextManager[None]:
        return own_state(device)

    def prepare(
        self, network: Network, parameters: Parameters, *, device: str, dtype: Dtype, precision: Precision = "exact"
    ) -> Engine:
        engine = MxnetEngine(network, parameters, device, dtype)
        # Gradients of Gram matrices by formula: one matrix product a tap, where autograd takes two. The formula is computed
        # through NumPy, so not for a GPU.
        return TiledEngine(engine, network, WHOLE) if precision == "fast" and device == "cpu" else engine

    def transform(self, network: TransformNetwork, *, device: str, dtype: Dtype) -> Transform:
        return MxnetTransform(network, device, dtype)
