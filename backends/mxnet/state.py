"""The state that isostyle computes in with Apache MXNet, whatever its caller has set.

backends/torch/state.py and backends/paddle/state.py say the same of their frameworks.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import mxnet
from mxnet import autograd

from isostyle.backends.mxnet.engine import context_of


@contextlib.contextmanager
def own_state(device: str) -> Iterator[None]:
    """See :meth:`isostyle.interface.Backend.own_state`. All of it is of this thread; threads cannot be set."""
    with contextlib.ExitStack() as stack:
        # Shapes and operators as NumPy has them: arrays need these shapes, so they come first and go last.
        stack.enter_context(mxnet.util.np_shape(True))
        stack.enter_context(mxnet.util.np_array(True))
        stack.enter_context(autograd.pause())
        stack.enter_context(context_of(device))
        yield
