"""Checkpoints of a run: all that is needed to go on, to the same bits as if it had never stopped.

A file is safetensors. Its tensors are the optimizer's (``image``, ``moment1``, ...), in the run's dtype. Its metadata has the
optimizer's numbers, the recipe, the inputs with their digests, the settings, and the losses so far. It holds no code, no
weights, and no picture but the one that is being painted.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from isostyle.checks import parsed, require_count
from isostyle.errors import InputError, shown
from isostyle.interface import Array
from isostyle.optim import needed
from isostyle.recipe import Recipe
from isostyle.recipe_text import from_dict
from isostyle.system.files import read_input, reason, sha256
from isostyle.system.tensors import NotTensors, read_tensors, tensors_file
from isostyle.transfer.descent import Position
from isostyle.transfer.styles import STYLE, roles_of_styles

#: What it is, and its edition: this isostyle reads no other.
KIND, EDITION = "isostyle.run", 2
SCHEMA = f"{KIND}/{EDITION}"

#: Keys that a table has, and the types of their values. A number may have been written without its point.
Keys = Mapping[str, type | tuple[type, ...]]
NUMBER, OPTIONAL_NUMBER = (int, float), (int, float, type(None))
POSITION: Keys = {
    **dict.fromkeys(("level", "steps_before", "evaluations_before", "evaluations"), int),
    "scale_before": OPTIONAL_NUMBER,
    "state": dict,
}
SETTINGS: Keys = {
    **dict.fromkeys(("network", "network_sha256", "dtype", "precision", "backend", "device", "on_divergence"), str),
    **dict.fromkeys(("seed", "threads", "checkpoint_every"), int),
    "tile": (int, type(None)),
    "keep_colors": (str, type(None)),
    "diverged": list,
    "kept": dict,
}
INPUT: Keys = {"pixels_sha256": str, "path": str, "weight": NUMBER}
BACKEND: Keys = {"name": str}
#: Of a history's row, with what else the run has.
LOSSES: Keys = dict.fromkeys(("step", "evaluation", "learning_rate", "content", "style", "tv", "total"), NUMBER)


@dataclass(frozen=True)
class RunCheckpoint:
    """A run that stands still."""

    #: As it runs: with all that was overridden, and an L-BFGS history that was cut to fit into memory.
    recipe: Recipe
    position: Position
    #: :data:`SETTINGS`, as :func:`isostyle.stylize` has them; ``kept`` is its ``keep``. Plain JSON.
    settings: Mapping[str, Any]
    #: By role (content, style, further styles, init): path if it has one, digests, size, weight. Plain JSON.
    inputs: Mapping[str, Mapping[str, Any]]
    #: A row for each evaluation; in a file, up to ``position``.
    history: list[dict[str, float]]
    #: What computed it, one after another. Plain JSON.
    backends: list[dict[str, Any]]
    #: How long it has run so far.
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
    tables = {
        "recipe": checkpoint.recipe.as_dict(),
        "position": {**vars(position), "state": numbers},
        "settings": checkpoint.settings,
        "inputs": checkpoint.inputs,
        # A search that goes on begins anew, and its trials with it.
        "history": [row for row in checkpoint.history if row["evaluation"] <= position.evaluation],
        "backends": checkpoint.backends,
        "seconds": checkpoint.seconds,
    }
    metadata = {"schema": SCHEMA, **{key: json.dumps(table) for key, table in tables.items()}}
    metadata["sha256"] = digest(tensors, metadata)
    return tensors_file(tensors, metadata, checkpoint.settings["dtype"])


def digest(tensors: Mapping[str, Array], metadata: Mapping[str, str]) -> str:
    """SHA-256 of everything in a file but itself."""
    parts = [f"{name} {sha256(np.ascontiguousarray(tensors[name]).tobytes())}" for name in sorted(tensors)]
    parts += [f"{key} {sha256(text.encode())}" for key, text in sorted(metadata.items()) if key != "sha256"]
    return sha256("\n".join(parts).encode())


def load(path: Path) -> RunCheckpoint:
    """The checkpoint in a file.

    Raises:
        InputError: there is none, or it is damaged, of another version, or could not have been written by a run.
    """
    name = repr(str(path))
    try:
        tensors, metadata = read_tensors(read_input(path))
        require_schema(str(metadata["schema"]), name)
        if digest(tensors, metadata) != metadata.pop("sha256"):
            raise InputError(f"{name} is damaged: it is not what was saved")
        return made_of(tensors, {key: parsed(json.loads, text) for key, text in metadata.items() if key != "schema"})
    except InputError:
        raise
    except NotTensors as error:
        raise InputError(f"{name} is not a run's checkpoint: {error}") from None
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(f"{name} is not a run's checkpoint, or not all of it: {reason(error)}") from None


def require_schema(schema: str, name: str) -> None:
    """Raises InputError unless ``schema`` is that of the checkpoints that this isostyle writes."""
    if schema.startswith(f"{KIND}/") and schema != SCHEMA:
        age = "an older" if schema < SCHEMA else "a newer"
        raise InputError(f"{name} was written by {age} isostyle, and this one cannot go on from it")
    if schema != SCHEMA:
        raise InputError(f"{name} is no checkpoint of a run: it is {shown(schema)}, not {SCHEMA!r}")


def made_of(tensors: Mapping[str, Array], tables: Mapping[str, Any]) -> RunCheckpoint:
    """The checkpoint that a file's tensors and tables make.

    Raises:
        InputError, KeyError, TypeError, ValueError, AttributeError: no run writes them. The digest is no proof against forgers.
    """
    position, settings, inputs, history = (tables[key] for key in ("position", "settings", "inputs", "history"))
    settings = {**settings, "keep_colors": settings.get("keep_colors")}  # an older checkpoint has none
    require("position", POSITION, [position])
    require("settings", SETTINGS, [settings])
    require("inputs", INPUT, [{"path": "", "weight": 1.0, **about} for about in inputs.values()])
    require("history", LOSSES, history)
    require("backends", BACKEND, tables["backends"])
    known = {"content", "init", *roles_of_styles(inputs)}
    if not {"content", STYLE} <= inputs.keys() <= known or not history:
        raise ValueError("its inputs or its history are not those of a run")
    require_count(settings["checkpoint_every"], "number of evaluations between checkpoints")
    recipe, state = from_dict(tables["recipe"]), {**tensors, **position["state"]}
    stands = Position(**{**position, "state": state})
    if min(stands.steps_before, stands.evaluations_before, stands.evaluations) < 0:
        raise ValueError("its position counts fewer than none")
    if not 0 <= stands.level <= len(recipe.pyramid):
        raise ValueError("it stands at a level that its recipe does not have")
    needs_tensors, needs_numbers = needed(recipe, state)
    require("optimizer", dict.fromkeys(needs_numbers, NUMBER), [position["state"]])
    require("optimizer", dict.fromkeys(needs_tensors, np.ndarray), [tensors])
    require_tensors(tensors, settings["dtype"])
    return RunCheckpoint(recipe, stands, settings, inputs, history, tables["backends"], float(tables["seconds"]))


def require(what: str, keys: Keys, entries: Iterable[Any]) -> None:
    """Raises ValueError, KeyError or TypeError unless all entries have ``keys``, with values of their types."""
    for entry in entries:
        for key, kinds in keys.items():
            if not isinstance(entry[key], kinds):
                raise ValueError(f"{shown(entry[key])} is no {key} of its {what}")


def require_tensors(tensors: Mapping[str, Array], dtype: str) -> None:
    """Raises ValueError unless all tensors are of one picture's shape, (1, 3, H, W), and of the run's ``dtype``."""
    shape = tensors["image"].shape
    if len(shape) != 4 or shape[:2] != (1, 3) or any(tensor.shape != shape for tensor in tensors.values()):
        raise ValueError("its tensors are not all of one picture's shape")
    if dtype not in ("float32", "float64") or any(tensor.dtype.name != dtype for tensor in tensors.values()):
        raise ValueError("its tensors are not of its dtype")
