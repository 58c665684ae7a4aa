"""The state that isostyle computes in with PaddlePaddle, whatever its caller has set.

backends/torch/state.py and backends/mxnet/state.py say the same of their frameworks.
"""

from __future__ import annotations

import contextlib
import ctypes
from collections.abc import Iterator
from pathlib import Path

import paddle

from isostyle.system.settings import Setting, as_wanted

#: Flags that change numbers, or that turn what is not finite into an error, and what we need. Not every build has each.
FLAGS = {"FLAGS_use_mkldnn": False, "FLAGS_check_nan_inf": False, "FLAGS_cudnn_deterministic": False}
#: Of several threads; other systems have other names for it.
OPENMP = Path(paddle.__file__).parent / "libs" / "libiomp5.so"


@contextlib.contextmanager
def own_state(device: str, threads: int) -> Iterator[None]:
    """See :meth:`isostyle.interface.Backend.own_state`."""
    with contextlib.ExitStack() as stack:
        # Of this thread: a tracer of its own has no mixed precision, and none of static mode.
        stack.enter_context(paddle.base.dygraph.guard(device.replace("cuda", "gpu")))
        stack.enter_context(paddle.set_grad_enabled(True))
        # Of the process.
        stack.enter_context(as_wanted(*settings(threads)))
        yield


def settings(threads: int) -> list[Setting]:
    """What changes numbers, and how many threads compute them."""
    return [
        Setting(threads_now, paddle.base.core.set_num_threads, threads),
        Setting(paddle.get_default_dtype, paddle.set_default_dtype, "float32"),
        *(flag(name, wanted) for name, wanted in FLAGS.items() if has(name)),
    ]


def flag(name: str, wanted: bool) -> Setting:
    return Setting(lambda: read(name), lambda value: paddle.set_flags({name: value}), wanted)


def threads_now() -> int:
    """Paddle has no call that tells; the OpenMP that comes with it has. Elsewhere one, Paddle's own default."""
    return int(ctypes.CDLL(str(OPENMP)).omp_get_max_threads()) if OPENMP.exists() else 1


def read(name: str) -> object:
    return paddle.get_flags(name)[name]


def has(name: str) -> bool:
    try:
        read(name)
    except ValueError:
        return False
    return True
