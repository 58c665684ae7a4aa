"""Backends by name: isostyle's own, and others', found through the entry-point group ``isostyle.backends``; imported only when
asked for."""

from __future__ import annotations

import contextlib
import difflib
import functools
import importlib
import importlib.util
import os
import platform
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, TypeVar

from isostyle.checks import plain
from isostyle.errors import FrameworkFailure, InputError, IsostyleError, shown
from isostyle.interface import Backend, Dtype, Transform
from isostyle.system import collector
from isostyle.transform_network import TransformNetwork

if TYPE_CHECKING:
    from importlib.metadata import EntryPoints

GROUP = "isostyle.backends"
#: Where isostyle's own are, which lie above this module: by name, and not imported.
OWN = {
    "torch": "isostyle.backends.torch:TorchBackend",
    "paddle": "isostyle.backends.paddle:PaddleBackend",
    "mxnet": "isostyle.backends.mxnet:MxnetBackend",
    "onnx": "isostyle.backends.onnx:OnnxBackend",
}
#: ``--backend auto`` takes the first of these that is installed; onnx, which has no engine, for style networks alone: ...
PREFERENCE = tuple(OWN)
#: ... for those, on a CPU, before all others. It starts in a fifth of torch's time, and takes no longer for a picture.
APPLIES_ONLY = "onnx"
NETWORKS_ONLY = "{} runs style networks only (`isostyle apply`)"
NO_ENGINE = f"{NETWORKS_ONLY}; this needs torch, mxnet or paddle"
#: The packages of those that are called otherwise.
PACKAGES = {"onnx": "onnxruntime"}
#: Files of Linux that say that there is a GPU for which a framework may be built: NVIDIA's, AMD's, and Windows' in its WSL.
OF_GPUS = (Path("/dev/nvidiactl"), Path("/dev/kfd"), Path("/dev/dxg"))
#: mxnet's last wheels, of 2022, are for these Pythons and machines, and import with no newer NumPy (they use np.bool).
MXNET_PYTHON_BELOW = (3, 12)
MXNET_MACHINES = ("x86_64",)
MXNET_NUMPY_BELOW = (1, 24)
#: More threads than this is a slip of the keyboard; some frameworks abort the process over it.
MAX_THREADS = 1024
#: Words in what frameworks say when memory does not suffice; the last is oneDNN's, which torch, MXNet and Paddle compute with.
OF_MEMORY = ("memory", "alloc", "could not create a primitive")
#: What can be done then.
LESS_MEMORY = "try a smaller size, a smaller tile, or a lower memory limit"
T = TypeVar("T")
#: By framework: the process in which it computed here, and with how many threads at the most.
_computed: dict[str, tuple[int, int]] = {}
#: What the user has set; :func:`load` sets the variable itself, and some frameworks do.
USER_THREADS = os.environ.get("OMP_NUM_THREADS", "")


class BackendMissing(InputError):
    """A backend cannot be imported here; the message says why and what to do."""


@dataclass(frozen=True)
class Status:
    """One row of ``isostyle backends``."""

    name: str
    version: str | None
    devices: tuple[str, ...]
    #: Why it cannot be used; None if it can.
    reason: str | None


def names() -> list[str]:
    """All registered backends: isostyle's in order of preference, then third parties'."""
    return [*PREFERENCE, *sorted({entry.name for entry in entry_points(group=GROUP)} - set(PREFERENCE))]


def entry_points(group: str) -> EntryPoints:
    """importlib.metadata's. To load that, and to look through all that is installed, takes longer than to load a style network:
    it is done for others' backends only."""
    from importlib import metadata

    return metadata.entry_points(group=group)


def default_threads() -> int:
    """``OMP_NUM_THREADS`` if the user has set it, else the number of cores that this process may use."""
    wanted = USER_THREADS.partition(",")[0].strip()  # "4,2": of nested loops, the outer's first
    if wanted.isdecimal() and 0 < int(wanted) <= MAX_THREADS:
        return int(wanted)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)


def require_threads(threads: int) -> None:
    """Raises InputError unless ``threads`` is a number of threads that a framework can be given."""
    if isinstance(threads, bool) or not isinstance(threads, int) or not 1 <= threads <= MAX_THREADS:
        raise InputError(f"the number of threads must be at least 1 and at most {MAX_THREADS}, not {shown(threads)}")


def choose() -> str:
    """The backend that ``auto`` stands for.

    Raises:
        BackendMissing: none is installed.
    """
    own = [name for name in PREFERENCE if name != APPLIES_ONLY and why_missing(name) is None]
    for name in own or names()[len(PREFERENCE) :]:
        return name
    but = ""
    if why_missing(APPLIES_ONLY) is None:
        but = f", and {NETWORKS_ONLY.format(APPLIES_ONLY)}"
    raise BackendMissing(
        f"no framework is installed{but}: pip install 'isostyle[torch]' (or [paddle], or [mxnet]); "
        "`isostyle backends` says more"
    )


def choose_to_apply(device: str, dtype: Dtype) -> str:
    """The backend that ``auto`` stands for where a style network is applied on ``device``.

    Raises:
        BackendMissing: none is installed.
    """
    on_cpu = device == "cpu" or (device == "auto" and not any(file.exists() for file in OF_GPUS))
    is_here = why_missing(APPLIES_ONLY) is None
    # Its float64 is for comparisons: formulas of many small operators.
    if is_here and on_cpu and dtype == "float32":
        return APPLIES_ONLY
    try:
        return choose()
    except BackendMissing:
        if is_here:
            return APPLIES_ONLY
        raise BackendMissing(
            "no backend is installed: pip install 'isostyle[onnx]' for style networks alone, or [torch], [paddle], [mxnet]; "
            "`isostyle backends` says more"
        ) from None


def why_missing(name: str) -> str | None:
    """Why the built-in backend ``name`` cannot be imported here, without trying; None if nothing is known against it."""
    if name not in PREFERENCE:
        return None
    installed = importlib.util.find_spec(PACKAGES.get(name, name)) is not None
    if name == "mxnet" and (reason := _mxnet_obstacle(installed)):
        return reason
    return None if installed else f"not installed: pip install 'isostyle[{name}]'"


def load(name: str, threads: int | None = None) -> Backend:
    """Import the backend ``name``, to compute with that many threads in its :func:`own_state`.

    Raises:
        BackendMissing: it cannot be imported here.
        InputError: there is no such backend, or ``threads`` is below 1.
    """
    if name == "auto":
        name = choose()
    if threads is None:
        threads = default_threads()
    threads = plain(threads)
    require_threads(threads)
    make = _maker(name)
    _forget_or_refuse_fork(name)
    if reason := why_missing(name):
        raise BackendMissing(f"backend {name!r} is {reason}")
    # Before the import: afterwards Paddle has fallen back to one thread, and MXNet has taken half the cores, for good.
    with _threads_said(threads), _signals_wait(), collector.paused():
        try:
            backend: Backend = make()(threads)
        except Exception as error:
            # A framework that is installed but broken can fail in any way: missing libraries, wrong NumPy, wrong CPU.
            text = " ".join(f"{type(error).__name__}: {error}".split())
            raise BackendMissing(f"backend {name!r} cannot be imported: {text}") from error
    return backend


def transform(framework: Backend, network: TransformNetwork, *, device: str, dtype: Dtype) -> Transform:
    """An image transformation network in ``framework``.

    Raises:
        InputError: it has none: a backend need not.
    """
    if not hasattr(framework, "transform"):
        raise InputError(f"the backend {framework.name!r} has no style networks")
    return framework.transform(network, device=device, dtype=dtype)


def own_state(backend: Backend, device: str) -> AbstractContextManager[None]:
    """The state in which ``backend`` is called (:meth:`isostyle.interface.Backend.own_state`); that of the moment, if it has
    none of its own: a backend need not."""
    own: Callable[[str], AbstractContextManager[None]] | None = getattr(backend, "own_state", None)
    return contextlib.nullcontext() if own is None else own(device)


def statuses() -> list[Status]:
    """What is installed here, and why the rest is not; imports every framework that is installed."""
    rows = []
    # mxnet first: it prints two lines about NumPy semantics if paddle has configured logging before it.
    for name in sorted(names(), key=lambda name: name != "mxnet"):
        try:
            backend = load(name)
            rows.append(Status(name, backend.version(), tuple(backend.devices()), None))
        except Exception as error:
            # One broken framework must not hide the others.
            reason = why_missing(name) or " ".join(str(error).split())
            rows.append(Status(name, None, (), reason))
    return sorted(rows, key=lambda row: names().index(row.name))


@contextlib.contextmanager
def _threads_said(threads: int) -> Iterator[None]:
    """What frameworks read of the number of threads while they are imported. Other libraries, and other processes, are to find
    what the user has said."""
    before = os.environ.get("OMP_NUM_THREADS")
    os.environ["OMP_NUM_THREADS"] = str(threads)
    try:
        yield
    finally:
        if before is None:
            os.environ.pop("OMP_NUM_THREADS", None)
        else:
            os.environ["OMP_NUM_THREADS"] = before


@contextlib.contextmanager
def _signals_wait() -> Iterator[None]:
    """Note SIGINT and SIGTERM as long as this lasts, and hand them to their handlers at its end.

    What a handler raises while a framework's libraries set themselves up goes through C++ that does not expect it, and aborts
    the process. Whoever presses Ctrl-C a second time does not want to wait: that goes through at once.

    Paddle puts handlers of its own in their place, which for SIGTERM print a trace and end the process. So the handlers are set
    again in any case.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # Python sets handlers, and calls them, in the main thread only
        return
    found = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    handlers = {number: handler for number, handler in found.items() if callable(handler)}
    noted: set[int] = set()

    def note(number: int, frame: FrameType | None) -> None:
        noted.add(number)
        if number == signal.SIGINT:
            signal.signal(number, handlers[signal.SIGINT])

    for number in handlers:
        signal.signal(number, note)
    try:
        yield
    finally:
        for number, before in found.items():
            if before is not None:  # one that C set cannot be set again
                signal.signal(number, before)
        for each in noted:
            signal.raise_signal(each)


def _forget_or_refuse_fork(name: str) -> None:
    """Forget that ``name`` computed in the process that this one was forked from, if it did so with one thread.

    Of several threads, a fork has only the one that called it: what the others were to compute is waited for forever.

    Raises:
        InputError: it had several.
    """
    process, threads = _computed.get(name, (os.getpid(), 0))
    if process == os.getpid():
        return
    if threads > 1:
        raise InputError(
            f"{name} computed with {threads} threads in the process that this one was forked from, and cannot go on here: use "
            "multiprocessing's start method 'spawn', or threads=1 in both"
        )
    del _computed[name]


def _maker(name: str) -> Callable[[], Callable[[int], Backend]]:
    """What imports a backend, and returns its class. Raises InputError if there is none of this name."""
    if name in OWN:
        module, _, kind = OWN[name].partition(":")
        return lambda: getattr(importlib.import_module(module), kind)
    for entry in entry_points(group=GROUP):
        if entry.name == name:
            return entry.load
    near = difflib.get_close_matches(name, names(), n=1)
    raise InputError(
        f"there is no backend {shown(name)}; " + (f"did you mean {near[0]!r}?" if near else f"there are {', '.join(names())}")
    )


def _mxnet_obstacle(installed: bool) -> str | None:
    """Why MXNet cannot be had here, or cannot be imported with this NumPy."""
    wheels = "not available: mxnet 1.9.1, its last release, has wheels"
    if sys.version_info >= MXNET_PYTHON_BELOW:
        return f"{wheels} up to Python 3.11 only, and this is {platform.python_version()}"
    if platform.machine() not in MXNET_MACHINES:
        return f"{wheels} for x86_64 only, and this is {platform.machine()}"
    from importlib.metadata import version

    numpy = version("numpy")
    if installed and tuple(int(part) for part in numpy.split(".")[:2]) >= MXNET_NUMPY_BELOW:
        return f"not usable: mxnet 1.9.1 needs NumPy below 1.24, and this is {numpy}: pip install 'isostyle[mxnet]'"
    return None


def failure(framework: str, at: str, error: Exception, less_memory: str = LESS_MEMORY) -> FrameworkFailure:
    """What a framework raised, as one sentence; if it lacks memory, with what can be done."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    lines = lines or ["out of memory" if isinstance(error, MemoryError) else type(error).__name__]
    # MXNet's begin with where in its sources it happened.
    text = lines[-1 if lines[0].startswith("Traceback") else 0]
    lacks = isinstance(error, MemoryError) or any(word in str(error).lower() for word in OF_MEMORY)
    return FrameworkFailure(f"{framework} failed at {at}: {text}" + (f"; {less_memory}" if lacks else ""))


@dataclass(frozen=True)
class Framework:
    """A backend that is imported, on one of its devices."""

    backend: Backend
    device: str
    threads: int

    def __str__(self) -> str:
        plural = "s" * (self.threads > 1)
        return f"backend {self.backend.name} {self.backend.version()} on {self.device}, {self.threads} thread{plural}"

    @property
    def about(self) -> dict[str, str]:
        """Plain JSON."""
        return {"name": self.backend.name, "version": self.backend.version(), "device": self.device}

    def own_state(self) -> AbstractContextManager[None]:
        """The state in which the backend is called: :func:`own_state`.

        Raises:
            InputError: this process was forked from one in which it computed with several threads.
        """
        name = self.backend.name
        _forget_or_refuse_fork(name)
        _, most = _computed.get(name, (0, 0))
        _computed[name] = os.getpid(), max(most, self.threads)
        return own_state(self.backend, self.device)

    def inside(self, function: Callable[[], T]) -> Callable[[], T]:
        """``function``, to be called in the caller's state, and computed in ours."""

        @functools.wraps(function)
        def computed() -> T:
            with self.own_state():
                return function()

        return computed

    def each_inside(self, steps: Iterator[T]) -> Iterator[T]:
        """``steps``, each computed in our state; in between, the caller has his own."""
        following = self.inside(lambda: next(steps, None))
        while (step := following()) is not None:
            yield step

    @contextlib.contextmanager
    def failures(self, at: str, less_memory: str) -> Iterator[None]:
        """Turn what the backend raises while this lasts into one sentence, which says what ``at``, and how to need
        ``less_memory``.

        Raises:
            FrameworkFailure: instead of it.
        """
        try:
            yield
        except IsostyleError:
            raise
        except Exception as error:
            raise failure(self.backend.name, at, error, less_memory) from error


def start(backend: str, device: str, threads: int | None, *, engine: bool = True) -> Framework:
    """Import a backend, and choose its device and its number of threads.

    Args:
        engine: whether it must have one, and not style networks alone.

    Raises:
        InputError: there is no such backend or device, or ``threads`` is no number of threads.
    """
    count = default_threads() if threads is None else plain(threads)
    found = load(backend, count)
    if engine and not hasattr(found, "prepare"):
        raise InputError(NO_ENGINE.format(found.name))
    return Framework(found, choose_device(device, found.devices(), found.name), count)


def choose_device(wanted: str, devices: list[str], backend: str) -> str:
    """The device called ``wanted``; ``auto`` is the best of ``devices``, but not Apple's mps: it has no float64, and no tests.

    Raises:
        InputError: the backend has no such device here.
    """
    if wanted == "auto":
        return next(device for device in devices if device != "mps")
    if wanted not in devices:
        raise InputError(f"backend {backend!r} has no device {shown(wanted)} here; it has {', '.join(devices)}")
    return wanted
