"""Record: have one backend compute every case, in one process, and keep what it says."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np

from isostyle import registry
from isostyle._version import __version__
from isostyle.conformance import trace, zoo
from isostyle.conformance.cases import Case
from isostyle.conformance.compare import ORACLE
from isostyle.conformance.inputs import Inputs, specification_digest
from isostyle.conformance.kinds import KINDS
from isostyle.conformance.kinds.kind import BOTH, NotHere, Points
from isostyle.conformance.oracle.backend import Oracle
from isostyle.conformance.subjects import OracleSubject, Subject
from isostyle.errors import InputError, IsostyleError, shown
from isostyle.interface import Array, Backend
from isostyle.system import cpu
from isostyle.system.files import reason

#: A trace notes their versions if they are installed.
DISTRIBUTIONS = ("numpy", "pillow", "safetensors", "torch", "torchvision", "mxnet", "paddlepaddle", "onnxruntime")
#: Vector units that a trace names, the widest first.
VECTOR_UNITS = ("avx512f", "avx2", "avx")
#: Characters of an error that a trace keeps.
MAX_ERROR = 300


def record(
    name: str,
    cases: Sequence[Case],
    inputs: Inputs,
    *,
    threads: int | None = None,
    device: str = "cpu",
    log: Callable[[str], None] | None = None,
) -> trace.Trace:
    """Have the backend ``name`` (or the oracle) compute ``cases``.

    A case that raises an error is recorded with its text, and the others go on.

    Raises:
        InputError: there is no such backend here, or it has no such device.
    """
    count = registry.default_threads() if threads is None else threads
    subject = subject_of(name, count, device, inputs)
    version_of_backend = trace.printable(subject.backend.version())
    digests = {case.name: inputs.digest(case) for case in cases}
    meant = [case for case in cases if name == ORACLE or not case.only or name in case.only]
    points: dict[tuple[str, str], Points] = {}
    entries = []
    began = time.monotonic()
    with registry.own_state(subject.backend, device):
        for case, dtype in [(each, dtype) for each in meant for dtype in dtypes_of(each, subject)]:
            found, outcome = computed(subject, case, dtype)
            if found:
                points[dtype, case.name] = found
            entries.append({"dtype": dtype, "case": case.name, "digest": digests[case.name], "kind": case.kind, **outcome})
    seconds = time.monotonic() - began
    if log:
        log(f"{name} {version_of_backend}: {len(meant)} case{'s' * (len(meant) != 1)} in {seconds:.1f} s")
    run = {
        "backend": name,
        "backend_version": version_of_backend,
        "parts": [part for part in BOTH if hasattr(subject.backend, part)],
        "specification": specification_digest(digests),
        "expected": list(expected(cases)),
        "cases": entries,
        "networks": {used: inputs.network(used).digest for used in sorted({c.network for c in cases if c.network})},
        "device": device,
        "threads": count,
        "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "seconds": round(seconds, 3),
        "versions": versions(),
    }
    return trace.Trace(run, points)


def subject_of(name: str, threads: int, device: str, inputs: Inputs) -> Subject:
    """The backend ``name``, or the oracle.

    Raises:
        InputError: there is no such backend here, or it has no such device.
    """
    registry.require_threads(threads)
    if name == "auto":
        raise InputError("a trace is of one backend; name it")
    backend: Backend = Oracle() if name == ORACLE else registry.load(name, threads)
    if device not in backend.devices():
        raise InputError(f"backend {name!r} has no device {shown(device)} here; it has {', '.join(backend.devices())}")
    return (OracleSubject if name == ORACLE else Subject)(backend, device, inputs)


def dtypes_of(case: Case, subject: Subject) -> tuple[str, ...]:
    """The dtypes that the subject computes a case in: the oracle, which ignores them, only in one."""
    if isinstance(subject, OracleSubject):
        return ("float64" if "float64" in case.dtypes else case.dtypes[0],)
    return case.dtypes


def computed(subject: Subject, case: Case, dtype: str) -> tuple[Points, dict[str, str]]:
    """A case's points, with the oracle's notes; and why there are none, as ``skip`` or ``error``."""
    kind = KINDS[case.kind]
    try:
        found = {point: checked(array) for point, array in kind.probe(subject, case, dtype).items()}
        if isinstance(subject, OracleSubject):
            found |= {name: np.asarray(float(value)) for name, value in kind.notes(subject, case).items()}
        return found, {}
    except (zoo.NotInstalled, NotHere) as error:
        return {}, {"skip": str(error)}
    except Exception as error:
        text = str(error) if isinstance(error, IsostyleError) else f"{type(error).__name__}: {reason(error)}"
        return {}, {"error": trace.printable(text.strip() or type(error).__name__)[:MAX_ERROR]}


def checked(array: Any) -> Array:
    """``array``, if it is one, of numbers or text; anything else is the backend's error in this case."""
    if not isinstance(array, np.ndarray) or array.dtype.kind not in trace.KINDS:
        raise TypeError(f"{getattr(array, 'dtype', type(array).__name__)} is handed out where an array of numbers is expected")
    return array


def expected(cases: Sequence[Case]) -> Iterator[dict[str, Any]]:
    """What a trace of a backend should have."""
    for case in cases:
        for dtype in case.dtypes:
            yield {"case": case.name, "dtype": dtype, "kind": case.kind, "only": case.only}


def versions() -> dict[str, str]:
    """Of everything that can change a number."""
    found = {"isostyle": __version__, "python": platform.python_version(), "platform": platform.platform(), "cpu": processor()}
    for distribution in DISTRIBUTIONS:
        try:
            found[distribution] = version(distribution)
        except PackageNotFoundError:
            continue
    return {name: trace.printable(text) for name, text in found.items()}


def processor() -> str:
    """Its name, with its widest vector unit where Linux tells, and the number of its cores."""
    widest = next((unit for unit in VECTOR_UNITS if unit in cpu.flags()), "")
    return f"{cpu.name() or platform.processor() or platform.machine()} {widest} x {os.cpu_count()}".strip()
