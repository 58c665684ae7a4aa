"""The manifest: what was computed, from what, with what, and what came out; a JSON file beside each picture."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from isostyle._version import __version__
from isostyle.checks import at, parsed
from isostyle.errors import InputError, shown
from isostyle.images.decode import pixels_sha256
from isostyle.interface import Array
from isostyle.recipe import Recipe
from isostyle.recipe_text import from_dict
from isostyle.system import memory
from isostyle.system.files import read_input, sha256
from isostyle.system.versions import versions
from isostyle.transfer.history import History
from isostyle.transfer.setup import Setup

MANIFEST_SCHEMA = "isostyle.manifest/2"
#: Of manifests that an older isostyle wrote.
OLDER_SCHEMAS = ("isostyle.manifest/1",)
#: What a rerun takes from a manifest, and its type.
TYPES: Mapping[tuple[str, ...], Any] = {
    ("isostyle",): str,
    ("recipe",): dict,
    ("network", "weights"): str,
    ("network", "weights_sha256"): str,
    ("inputs", "content", "pixels_sha256"): str,
    ("inputs", "style", "pixels_sha256"): str,
    ("seed",): int,
    ("threads",): int,
    **{("backend", name): str for name in ("name", "version", "device", "dtype", "precision")},
    ("versions",): dict,
    ("tile",): int | None,
    ("losses", "last", "total"): int | float,
    ("result", "image_sha256"): str,
}


def manifest_of(
    setup: Setup, history: History, image: Array, picture: Image.Image, seconds: float, problem: BaseException | None
) -> dict[str, Any]:
    """The manifest of a run that has made ``image``, and ``picture`` of it, until ``problem`` ended it, if one did."""
    assert history.last is not None
    (last, row), request, recipe = history.last, setup.request, setup.request.recipe
    inputs = setup.pictures.described
    levels = [{"size": list(level.size), "steps": level.recipe.steps} for level in setup.levels]
    return {
        "schema": MANIFEST_SCHEMA,
        "isostyle": __version__,
        "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "recipe": {"digest": recipe.digest, **recipe.as_dict()},
        "network": network_of(setup, request.network),
        "inputs": {role: {**about, "resized_to": list(setup.resizings[role].final)} for role, about in inputs.items()},
        "keep_colors": request.keep_colors,
        "seed": request.seed,
        "backend": setup.computer,
        "threads": request.threads,
        "versions": versions(),
        **({"levels": levels} if recipe.pyramid else {}),
        # Of the picture: smaller than what was asked for if a run ends at a coarse level of its pyramid.
        "size": list(last.size),
        "steps_done": last.step,
        # The finished picture's evaluation is ours, and none of those that a recipe's source counts.
        "evaluations": int(history.rows[-1]["evaluation"]) - (last.finished and last.note is None),
        "optimizer_ended": last.note if last.finished else None,
        "stopped_by": "interrupt" if isinstance(problem, KeyboardInterrupt) else None if problem is None else str(problem),
        "seconds": round(seconds, 3),
        "tile": setup.choice.tile,
        "estimated_memory_bytes": setup.choice.estimate,
        "peak_memory_bytes": memory.peak(),
        "losses": {"first": history.first_like(row), "last": row},
        # Of the numbers, and of the 8-bit pixels that they become.
        "result": {
            "image_sha256": sha256(np.ascontiguousarray(image).data),
            "pixels_sha256": pixels_sha256(picture),
            "gray": setup.pictures.gray,
        },
    }


def network_of(setup: Setup, name: str) -> dict[str, Any]:
    """What a manifest says of the network that was asked for as ``name``."""
    weights = setup.weights
    origin = {"origin": weights.origin} if weights.origin else {}
    return {"name": weights.network.name, "weights": name, "weights_sha256": weights.digest, **origin}


def load(path: Path) -> dict[str, Any]:
    """The manifest in a file.

    Raises:
        InputError: there is none, or it is not that of a finished run.
    """
    name, data = repr(str(path)), read_input(path)
    try:
        found = parsed(json.loads, data)
    except ValueError:
        raise InputError(f"{name} is not the manifest of a run: it is no JSON") from None
    schema = at(found, ("schema",))
    if schema is None:
        raise InputError(f"{name} is not the manifest of a run: it does not say what it is, as `isostyle run` writes it")
    if schema in OLDER_SCHEMAS:
        raise InputError(f"{name} was written by an older isostyle ({shown(schema)}, not {MANIFEST_SCHEMA!r}); repeat its run")
    if schema != MANIFEST_SCHEMA:
        raise InputError(f"{name} is not the manifest of a run: it is {shown(schema)}, not {MANIFEST_SCHEMA!r}")
    for place, kind in TYPES.items():
        if not isinstance(value := at(found, place), kind):
            key = ".".join(place)
            wrong = f"it has no {key}" if value is None else f"its {key} is {shown(value)}"
            raise InputError(f"{name} is not the manifest of a run: {wrong}")
    recipe_of(found)
    if (stopped := found.get("stopped_by")) is not None:
        raise InputError(f"{name} is of a run that was stopped ({shown(stopped)}); what it would have made is not known")
    manifest: dict[str, Any] = found
    return manifest


def recipe_of(manifest: Mapping[str, Any]) -> Recipe:
    """The recipe that a manifest tells of.

    Raises:
        InputError: it is none.
    """
    return from_dict({key: value for key, value in manifest["recipe"].items() if key != "digest"})
