"""Checkpoints of a training: with one, a training goes on to the same bits as if it had never stopped.

A file is safetensors: each parameter under its name, and what Adam keeps of it as ``NAME/moment1`` and ``NAME/moment2``. Its
metadata say how many steps were made, with which settings, and the losses so far.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import safe_open

from isostyle.errors import InputError
from isostyle.interface import Array
from isostyle.style_networks.metadata import BROKEN, json_of, read_parts
from isostyle.system.files import read_input, reason, sha256
from isostyle.system.tensors import tensors_file

SCHEMA = "isostyle.training/3"
#: Tensors that Adam's state has for each parameter; the first is the parameter itself.
TENSORS = {"image": "", "moment1": "/moment1", "moment2": "/moment2"}


@dataclass(frozen=True)
class Checkpoint:
    """A training between two steps."""

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
    """SHA-256 of the numbers, little-endian float32, in the order of their names."""
    return sha256(b"".join(np.ascontiguousarray(tensors[name], "<f4").tobytes() for name in sorted(tensors)))


def progress_of(path: Path) -> tuple[int, int] | None:
    """How many steps the training of a checkpoint has made, and of how many; None if that cannot be read. Only the file's head
    is looked at."""
    try:
        with safe_open(path, "numpy") as file:
            metadata = file.metadata()
        return int(metadata["step"]), int(json_of(metadata, "settings", dict)["recipe"]["steps"])
    except (OSError, *BROKEN):
        return None


def load(path: Path, shapes: Mapping[str, tuple[int, ...]]) -> Checkpoint:
    """The checkpoint in a file, of parameters of these ``shapes``.

    Raises:
        InputError: there is none, or it is damaged, of another version, or of other parameters.
    """
    name = str(path)
    tensors, metadata = read_parts(read_input(path), name, "a training's checkpoint", SCHEMA)
    try:
        step, saved = int(metadata["step"]), metadata["tensors_sha256"]
        settings = json_of(metadata, "settings", dict)
        history, backends = json_of(metadata, "history", list), json_of(metadata, "backends", list)
        if step < 0:
            raise ValueError("its number of steps is negative")
    except BROKEN as error:
        raise InputError(f"{name!r} has metadata that cannot be used: {reason(error)}") from None
    if digest(tensors) != saved:
        raise InputError(f"{name!r} is damaged: its numbers are not those that were saved")
    return Checkpoint(step, state_of(tensors, shapes, name), settings, history, backends)


def state_of(tensors: Mapping[str, Array], shapes: Mapping[str, tuple[int, ...]], name: str) -> dict[str, dict[str, Array]]:
    """The tensors of a checkpoint called ``name``, by parameter.

    Raises:
        InputError: one of ``shapes`` is not there.
    """
    state: dict[str, dict[str, Array]] = {}
    for parameter, shape in shapes.items():
        state[parameter] = {}
        for key, suffix in TENSORS.items():
            tensor = tensors.get(parameter + suffix)
            if tensor is None or tensor.shape != shape or tensor.dtype != np.float32:
                raise InputError(
                    f"{name!r} is the checkpoint of another network (repeat its --width and --blocks): it has no "
                    f"{parameter + suffix} of shape {shape}"
                )
            state[parameter][key] = tensor
    return state
