"""Checkpoints of a training: all that is needed to go on, bit by bit as if it had never stopped.

A file is safetensors: each parameter under its name, and what Adam keeps of it as ``NAME/moment1`` and ``NAME/moment2``; in its
metadata how many steps were made, the settings that they were made with, and the losses so far.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError

from isostyle.errors import InputError
from isostyle.interface import Array
from isostyle.system.files import read_input, reason, sha256
from isostyle.system.tensors import read_tensors, tensors_file
from isostyle.transform_network import TransformNetwork

SCHEMA = "isostyle.training/1"
#: A longer head than this is no checkpoint's.
MAX_HEAD = 2**26
#: Tensors that Adam's state has for each parameter; the first is the parameter itself.
TENSORS = {"image": "", "moment1": "/moment1", "moment2": "/moment2"}


@dataclass(frozen=True)
class Checkpoint:
    """A training that stands still."""

    step: int
    #: By parameter: ``image``, ``moment1``, ``moment2``, as NumPy arrays.
    state: Mapping[str, Mapping[str, Array]]
    #: What must be the same if the training goes on: recipe, pictures, networks. Plain JSON.
    settings: Mapping[str, Any]
    history: list[dict[str, float]]
    #: What computed it, one after another: frameworks with version, device, threads and precision. Plain JSON.
    backends: list[dict[str, Any]]


def dump(checkpoint: Checkpoint) -> bytes:
    """A file that :func:`load` reads."""
    tensors = {f"{name}{suffix}": each[key] for name, each in checkpoint.state.items() for key, suffix in TENSORS.items()}
    metadata = {
        "schema": SCHEMA,
        "step": str(checkpoint.step),
        "settings": json.dumps(checkpoint.settings),
        "history": json.dumps(checkpoint.history),
        "backends": json.dumps(checkpoint.backends),
        "tensors_sha256": digest(tensors),
    }
    return tensors_file(tensors, metadata)


def digest(tensors: Mapping[str, Array]) -> str:
    return sha256(b"".join(np.ascontiguousarray(tensors[name], "<f4").tobytes() for name in sorted(tensors)))


def progress_of(path: Path) -> tuple[int, int] | None:
    """How many steps the training of a checkpoint has made, and of how many; None if that cannot be read. Only the file's head
    is looked at."""
    try:
        with path.open("rb") as stream:
            length = int.from_bytes(stream.read(8), "little")
            metadata = json.loads(stream.read(min(length, MAX_HEAD)))["__metadata__"]
        return int(metadata["step"]), int(json.loads(metadata["settings"])["recipe"]["steps"])
    except (OSError, KeyError, TypeError, ValueError, OverflowError, RecursionError):
        return None


def load(path: Path, network: TransformNetwork) -> Checkpoint:
    """The checkpoint in a file.

    Raises:
        InputError: there is none, or it is damaged, of another version, or of another network than ``network``.
    """
    name = str(path)
    try:
        tensors, metadata = read_tensors(read_input(path))
        if (schema := str(metadata["schema"])) != SCHEMA:
            raise InputError(f"{name!r} is no checkpoint that this isostyle reads: it is {schema[:60]!r}, not {SCHEMA!r}")
        step = int(metadata["step"])
        settings, history, backends = (json.loads(metadata[key]) for key in ("settings", "history", "backends"))
        if step < 0 or not (isinstance(settings, dict) and isinstance(history, list) and isinstance(backends, list)):
            raise ValueError("its metadata are of another kind")
        whole = digest(tensors) == metadata["tensors_sha256"]
    except InputError:
        raise
    except (SafetensorError, KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise InputError(f"{name!r} is not a training's checkpoint, or not all of it: {reason(error)}") from None
    if not whole:
        raise InputError(f"{name!r} is damaged: its numbers are not those that were saved")
    state: dict[str, dict[str, Array]] = {}
    for parameter, shape in network.parameter_shapes.items():
        state[parameter] = {}
        for key, suffix in TENSORS.items():
            tensor = tensors.get(parameter + suffix)
            if tensor is None or tensor.shape != shape or tensor.dtype != np.float32:
                raise InputError(
                    f"{name!r} is the checkpoint of another network (--width and --blocks are to be said again): no "
                    f"{parameter + suffix} of shape {shape}"
                )
            state[parameter][key] = tensor
    return Checkpoint(step, state, settings, history, backends)
