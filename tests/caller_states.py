"""What a caller may have set in a framework, by name; each makes a context manager from the framework's module."""

from __future__ import annotations

import contextlib
from functools import partial


@contextlib.contextmanager
def set_to(write, value, before):
    """A setting without a context manager of its own."""
    write(value)
    try:
        yield
    finally:
        write(before)


@contextlib.contextmanager
def static_mode(paddle):
    paddle.enable_static()
    try:
        yield
    finally:
        paddle.disable_static()


@contextlib.contextmanager
def without_numpy(mxnet):
    """As MXNet is when it is imported."""
    with mxnet.util.np_array(False), mxnet.util.np_shape(False):
        yield


def flags(paddle, name):
    return set_to(paddle.set_flags, {name: True}, {name: False})


STATES = {
    "torch": {
        "no_grad": lambda torch: torch.no_grad(),
        "inference_mode": lambda torch: torch.inference_mode(),
        "set_grad_enabled": lambda torch: torch.set_grad_enabled(False),
        "autocast": lambda torch: torch.autocast("cpu", dtype=torch.bfloat16),
        "default dtype": lambda torch: set_to(torch.set_default_dtype, torch.float64, torch.float32),
        "default device": lambda torch: torch.device("meta"),
        "threads": lambda torch: set_to(torch.set_num_threads, 1, torch.get_num_threads()),
        "deterministic": lambda torch: set_to(torch.use_deterministic_algorithms, True, False),
        "denormals": lambda torch: set_to(torch.set_flush_denormal, True, False),
        "no oneDNN": lambda torch: set_to(partial(setattr, torch.backends.mkldnn, "enabled"), False, True),
        "matmul precision": lambda torch: set_to(torch.set_float32_matmul_precision, "medium", "highest"),
        "cuDNN": lambda torch: torch.backends.cudnn.flags(enabled=True, benchmark=True, allow_tf32=True),
    },
    "mxnet": {
        "without NumPy": without_numpy,
        "pause": lambda mxnet: mxnet.autograd.pause(),
        "predict_mode": lambda mxnet: mxnet.autograd.predict_mode(),
        "train_mode": lambda mxnet: mxnet.autograd.train_mode(),
        "record": lambda mxnet: mxnet.autograd.record(),
    },
    "paddle": {
        "no_grad": lambda paddle: paddle.no_grad(),
        "set_grad_enabled": lambda paddle: paddle.set_grad_enabled(False),
        "static mode": static_mode,
        "auto_cast": lambda paddle: paddle.amp.auto_cast(level="O2", dtype="bfloat16"),
        "default dtype": lambda paddle: set_to(paddle.set_default_dtype, "float64", "float32"),
        "threads": lambda paddle: set_to(paddle.base.core.set_num_threads, 1, 2),
        "oneDNN": lambda paddle: flags(paddle, "FLAGS_use_mkldnn"),
        "finite or an error": lambda paddle: flags(paddle, "FLAGS_check_nan_inf"),
    },
}
#: One for each framework in which nothing can be differentiated, or nothing computed.
WORST = {"torch": "inference_mode", "mxnet": "without NumPy", "paddle": "static mode"}


def torch_seen(torch):
    backends = torch.backends
    return {
        "grad": torch.is_grad_enabled(),
        "inference": torch.is_inference_mode_enabled(),
        "autocast": torch.is_autocast_enabled("cpu"),
        "dtype": torch.get_default_dtype(),
        "device": torch.get_default_device(),
        "threads": torch.get_num_threads(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "denormals": float(torch.tensor(1e-310, dtype=torch.float64, device="cpu") * 1),
        "oneDNN": (backends.mkldnn.enabled, backends.mkldnn.matmul.fp32_precision, backends.mkldnn.conv.fp32_precision),
        "matmul": torch.get_float32_matmul_precision(),
        "cuDNN": (backends.cudnn.enabled, backends.cudnn.benchmark, backends.cudnn.allow_tf32),
    }


def mxnet_seen(mxnet):
    return {
        "array": mxnet.util.is_np_array(),
        "shape": mxnet.util.is_np_shape(),
        "recording": mxnet.autograd.is_recording(),
        "training": mxnet.autograd.is_training(),
        "context": str(mxnet.context.current_context()),
    }


def paddle_seen(paddle):
    from isostyle.backends.paddle.state import threads_now

    return {
        "threads": threads_now(),
        "grad": paddle.is_grad_enabled(),
        "dynamic": paddle.in_dynamic_mode(),
        "dtype": paddle.get_default_dtype(),
        "device": paddle.get_device(),
        **paddle.get_flags(["FLAGS_use_mkldnn", "FLAGS_check_nan_inf"]),
    }


#: What a caller can see of the settings above.
SEEN = {"torch": torch_seen, "mxnet": mxnet_seen, "paddle": paddle_seen}
