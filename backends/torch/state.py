"""The state that isostyle computes in with PyTorch, whatever its caller has set.

backends/mxnet/state.py and backends/paddle/state.py say the same of their frameworks.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch

from isostyle.system.settings import Setting, as_wanted, attribute

#: The smallest float64, which is 0 where a processor is told to flush what is denormal.
SMALLEST = 5e-324


@contextlib.contextmanager
def own_state(device: str, threads: int) -> Iterator[None]:
    """See :meth:`isostyle.interface.Backend.own_state`."""
    kind = device.partition(":")[0]
    with contextlib.ExitStack() as stack:
        # Of this thread.
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.enable_grad())
        for each in {"cpu", kind} - {"mps"}:
            stack.enter_context(torch.autocast(each, enabled=False))
        # Of the process.
        stack.enter_context(as_wanted(*settings(threads), *(settings_of_cuda() if kind == "cuda" else [])))
        yield


def settings(threads: int) -> list[Setting]:
    """What changes numbers on a CPU, and how many threads compute them."""
    backends = torch.backends
    return [
        Setting(torch.get_num_threads, torch.set_num_threads, threads),
        Setting(torch.get_default_dtype, torch.set_default_dtype, torch.float32),
        Setting(torch.get_deterministic_debug_mode, torch.set_deterministic_debug_mode, 0),
        Setting(lambda: SMALLEST == 0, torch.set_flush_denormal, False),
        attribute(backends.mkldnn, "enabled", True),
        Setting(torch.get_float32_matmul_precision, torch.set_float32_matmul_precision, "highest"),
        *full_precision(backends.mkldnn, "conv"),
        *full_precision(backends.mkldnn, "matmul"),
    ]


def settings_of_cuda() -> list[Setting]:
    """By default, torch's convolutions use TF32 there, which keeps 10 bits of a float32's 23."""
    backends = torch.backends
    newer = [*full_precision(backends.cudnn, "conv"), *full_precision(backends.cuda, "matmul")]
    return [
        attribute(backends.cudnn, "enabled", True),
        attribute(backends.cudnn, "benchmark", False),
        attribute(backends.cudnn, "deterministic", False),
        *(newer or [attribute(backends.cudnn, "allow_tf32", False)]),
    ]


def full_precision(library: Any, operator: str) -> list[Setting]:
    """That ``operator`` rounds to no less than float32; nothing if torch is older than this setting, which is of 2.9."""
    owner: Any = getattr(library, operator, None)
    # ``none`` is full precision, too, unless something more general says otherwise; then that is what is read.
    if not hasattr(owner, "fp32_precision") or owner.fp32_precision in ("none", "ieee"):
        return []
    return [attribute(owner, "fp32_precision", "ieee")]
