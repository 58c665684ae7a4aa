"""Checkpoints of a run: all that is needed to go on, bit by bit as if it had never stopped.

A file is safetensors: the optimizer's tensors (``image``, ``moment1``, ...), in the run's dtype; in its metadata the
optimizer's numbers, the recipe, the inputs with their digests, the settings, and the losses so far. It holds no code, no
weights and no picture but the one that is being painted.
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
from isostyle.optim import PLAIN, missing
from isostyle.recipe import Recipe
from isostyle.recipe_text import from_dict
from isostyle.system.files import read_input, reason, sha256
from isostyle.system.tensors import read_tensors, tensors_file
from isostyle.transfer.descent import Position

SCHEMA = "isostyle.run/1"
#: Of a history's row, with what else the run has.
LOSSES = frozenset(("step", "evaluation", "learning_rate", "content", "style", "tv", "total"))
#: What the settings are, and of which type.
SETTINGS: dict[str, type | tuple[type, ...]] = {
    "seed": int,
    "network": str,
    "network_sha256": str,
    "dtype": str,
    "precision": str,
    "backend": str,
    "device": str,
    "threads": int,
    "tile": (int, type(None)),
    "on_divergence": str,
    "diverged": list,
    "checkpoint_every": int,
    "kept": dict,
}


@dataclass(frozen=True)
class RunCheckpoint:
    """A run that stands still."""

    #: As it runs: with all that was overridden, and a history that was cut to fit into memory.
    recipe: Recipe
    position: Position
    #: Of the run, as :func:`isostyle.stylize` has them: :data:`SETTINGS`; ``kept`` is what else was to be kept. Plain JSON.
    settings: Mapping[str, Any]
    #: By role (content, style, init): path if it has one, digests, size. Plain JSON.
    inputs: Mapping[str, Mapping[str, Any]]
    history: list[dict[str, float]]
    #: What computed it, one after another. Plain JSON.
    backends: list[dict[str, Any]]
    #: That it has run so far.
    seconds: float

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the picture as it stands."""
        height, width = self.position.state["image"].shape[2:]
        return height, width


def dump(checkpoint: RunCheckpoint) -> bytes:
    """A file that :func:`load` reads."""
    position = checkpoint.position
    state = sorted(position.state.items())
    tensors = {name: value for name, value in state if isinstance(value, np.ndarray)}
    numbers = {name: value for name, value in state if name not in tensors}
    metadata = {
        "schema": SCHEMA,
        "recipe": json.dumps(checkpoint.recipe.as_dict()),
        "position": json.dumps(
            {
                "level": position.level,
                "steps_before": position.steps_before,
                "evaluations_before": position.evaluations_before,
                "scale_before": position.scale_before,
                "evaluations": position.evaluations,
                "state": numbers,
            }
        ),
        "settings": json.dumps(checkpoint.settings),
        "inputs": json.dumps(checkpoint.inputs),
        "history": json.dumps(checkpoint.history),
        "backends": json.dumps(checkpoint.backends),
        "seconds": repr(checkpoint.seconds),
    }
    metadata["sha256"] = digest(tensors, metadata)
    return tensors_file(tensors, metadata, checkpoint.settings["dtype"])


def digest(tensors: Mapping[str, Array], metadata: Mapping[str, str]) -> str:
    """Of everything in a file but itself."""
    parts = [f"{name} {sha256(np.ascontiguousarray(tensors[name]).tobytes())}" for name in sorted(tensors)]
    parts += [f"{key} {sha256(text.encode())}" for key, text in sorted(metadata.items()) if key != "sha256"]
    return sha256("\n".join(parts).encode())


def load(path: Path) -> RunCheckpoint:
    """The checkpoint in a file.

    Raises:
        InputError: there is none, or it is damaged, of another version, or could not have been written by a run.
    """
    name = str(path)
    try:
        tensors, metadata = read_tensors(read_input(path))
        if (schema := str(metadata["schema"])) != SCHEMA:
            words = f"{schema[:60]!r}, not {SCHEMA!r}"
            raise InputError(f"{name!r} is no checkpoint of a run that this isostyle reads: it is {words}")
        if digest(tensors, metadata) != metadata["sha256"]:
            raise InputError(f"{name!r} is damaged: it is not what was saved")
        tables = {key: json.loads(metadata[key]) for key in ("recipe", "position", "settings", "inputs", "history", "backends")}
        recipe = from_dict(tables["recipe"])
        position = position_of(tables["position"], tensors)
        check(recipe, position, tables)
        seconds = float(metadata["seconds"])
    except InputError:
        raise
    except (SafetensorError, KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise InputError(f"{name!r} is not a run's checkpoint, or not all of it: {reason(error)}") from None
    return RunCheckpoint(recipe, position, tables["settings"], tables["inputs"], tables["history"], tables["backends"], seconds)


def position_of(table: Mapping[str, Any], tensors: Mapping[str, Array]) -> Position:
    """Raises KeyError, TypeError or ValueError if it is none."""
    counts = {key: int(table[key]) for key in ("level", "steps_before", "evaluations_before", "evaluations")}
    scale = None if table["scale_before"] is None else float(table["scale_before"])
    numbers = dict(table["state"])
    if min(counts.values()) < 0 or not all(isinstance(value, PLAIN) for value in numbers.values()):
        raise ValueError("its position is none")
    image = tensors["image"]
    if image.ndim != 4 or image.shape[:2] != (1, 3) or any(tensor.shape != image.shape for tensor in tensors.values()):
        raise ValueError("its tensors are not all of one picture's shape")
    return Position(scale_before=scale, state={**tensors, **numbers}, **counts)


def check(recipe: Recipe, position: Position, tables: Mapping[str, Any]) -> None:
    """Raises ValueError for what no run writes; the digest is no proof against a forger."""
    if position.level > len(recipe.pyramid):
        raise ValueError("it stands at a level that its recipe does not have")
    settings, inputs = tables["settings"], tables["inputs"]
    wrong = any(not isinstance(settings[key], kinds) for key, kinds in SETTINGS.items())
    if wrong or settings["checkpoint_every"] < 1 or settings["on_divergence"] not in ("stop", "retry"):
        raise ValueError("its settings are not those of a run")
    dtypes = {value.dtype.name for value in position.state.values() if isinstance(value, np.ndarray)}
    if settings["dtype"] not in ("float32", "float64") or dtypes != {settings["dtype"]}:
        raise ValueError("its tensors are not of its dtype")
    if not {"content", "style"} <= inputs.keys() <= {"content", "style", "init"} or not all(
        isinstance(about["pixels_sha256"], str) and isinstance(about.get("path", ""), str) for about in inputs.values()
    ):
        raise ValueError("its inputs are not those of a run")
    for key in ("history", "backends"):
        if not tables[key] or not all(isinstance(row, dict) for row in tables[key]):
            raise ValueError(f"its {key} is no list of tables")
    if not all(row.keys() >= LOSSES for row in tables["history"]):
        raise ValueError("its history lacks a loss")
    if lacking := missing(recipe, position.state):
        raise ValueError(f"its optimizer lacks {lacking}")
