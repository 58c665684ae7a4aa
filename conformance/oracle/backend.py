"""The oracle as a backend: what :mod:`isostyle.conformance.record` records in place of a framework."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import numpy as np

from isostyle.conformance.oracle.engine import OracleEngine
from isostyle.conformance.oracle.transform import OracleTransform
from isostyle.interface import Dtype, Parameters, Precision
from isostyle.network import Network
from isostyle.transform_network import TransformNetwork


class Oracle:
    """See :class:`isostyle.interface.Backend`. It computes in float64, whatever ``dtype`` asks for."""

    name = "oracle"

    def __init__(self, threads: int = 1) -> None:
        """NumPy's matrix products use the threads that the environment gave them when NumPy was imported."""

    def version(self) -> str:
        return f"NumPy {np.__version__}"

    def devices(self) -> list[str]:
        return ["cpu"]

    def own_state(self, device: str) -> AbstractContextManager[None]:
        return nullcontext()

    def prepare(
        self, network: Network, parameters: Parameters, *, device: str, dtype: Dtype, precision: Precision = "exact"
    ) -> OracleEngine:
        return OracleEngine(network, parameters)

    def transform(self, network: TransformNetwork, *, device: str, dtype: Dtype) -> OracleTransform:
        return OracleTransform(network)
