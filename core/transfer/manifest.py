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
from isostyle.errors import InputError, shown
from isostyle.images.decode import pixels_sha256
from isostyle.interface import Array
from isostyle.recipe import Recipe
from isostyle.recipe_text import from_dict
from isostyle.system import memory
from isostyle.system.files import read_input, reason, sha256
from isostyle.system.versions import versions
from isostyle.transfer.history import History
from isostyle.transfer.setup import Setup

MANIFEST_SCHEMA = "isostyle.manifest/2"
#: Of manifests that an older isostyle wrote.
OLDER_SCHEMAS = ("isostyle.manifest/1",)


def manifest_of(
    setup: Setup, history: History, image: Array, picture: Image.Image, problem: BaseException | None
) -> dict[str, Any]:
    """The manifest of a run that has made ``image``, and of it ``picture``, before ``problem`` ended it, if one did."""
    assert history.last is not None
    (last, row), recipe, request = history.last, setup.recipe, setup.request
    inputs = setup.pictures.described
    levels = [{"size": list(level.size), "steps": level.recipe.steps} for level in setup.levels]
    return {
        "schema": MANIFEST_SCHEMA,
        "isostyle": __version__,
        "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "recipe": {"digest": recipe.digest, **recipe.as_dict()},
        "network": {
            "name": setup.weights.network.name,
            "weights": request.network,
            "weights_sha256": setup.weights.digest,
        },
        "inputs": {role: {**about, "resized_to": list(setup.resizings[role].final)} for role, about in inputs.items()},
        "seed": request.seed,
        "backend": setup.computer,
        "threads": setup.threads,
        # If it was interrupted and went on elsewhere.
        **({"backends": history.computers} if len(history.computers) > 1 else {}),
        "versions": versions(),
        **({"levels": levels} if recipe.pyramid else {}),
        # Of the picture: smaller than what was asked for if a run ends at a coarse level of its pyramid.
        "size": list(last.size),
        "steps_done": last.step,
        # The finished picture's evaluation is ours, and none of those that a recipe's source counts.
        "evaluations": int(history.rows[-1]["evaluation"]) - (last.finished and last.note is None),
        "optimizer_ended": last.note if last.finished else None,
        **({"diverged": history.diverged} if history.diverged else {}),
        "stopped_by": "interrupt" if isinstance(problem, KeyboardInterrupt) else None if problem is None else str(problem),
        "seconds": round(history.seconds, 3),
        "tile": setup.choice.tile,
        "estimated_memory_bytes": setup.choice.estimate,
        "peak_memory_bytes": memory.peak(),
        "losses": {"first": history.first_like(row), "last": row},
        # Of the numbers, and of the 8-bit pixels that they become.
        "result": {
            "image_sha256": sha256(np.ascontiguousarray(image).data),
            "pixels_sha256": pixels_sha256(picture),
        },
    }


def load(path: Path) -> dict[str, Any]:
    """The manifest in a file.

    Raises:
        InputError: there is none, or it is not that of a finished run.
    """
    name = repr(str(path))
    try:
        found = json.loads(read_input(path))
    except (ValueError, RecursionError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{name} is not the manifest of a run: it is no JSON") from None
    if not (isinstance(found, dict) and "schema" in found):
        raise InputError(f"{name} is not the manifest of a run: it does not say what it is, as `isostyle run` writes it")
    schema = found["schema"]
    if schema in OLDER_SCHEMAS:
        raise InputError(f"{name} was written by an older isostyle ({shown(schema)}, not {MANIFEST_SCHEMA!r}); repeat its run")
    if schema != MANIFEST_SCHEMA:
        raise InputError(f"{name} is not the manifest of a run: it is {shown(schema)}, not {MANIFEST_SCHEMA!r}")
    try:
        recipe_of(found)
        stopped = found["stopped_by"]
        is_typed = has_types(found)
    except InputError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise InputError(f"{name} is not the manifest of a run, or not all of it: {reason(error)}") from None
    if missing := {"content", "style"} - found["inputs"].keys():
        raise InputError(f"{name} is not the manifest of a run: it has no {min(missing)} image")
    if not is_typed:
        raise InputError(f"{name} is not the manifest of a run: a value is of another type")
    if stopped is not None:
        raise InputError(f"{name} is of a run that was stopped ({shown(stopped)}); what it would have made is not known")
    return found


def has_types(manifest: Mapping[str, Any]) -> bool:
    """Whether the values that :func:`isostyle.rerun` takes have the types that a run writes. KeyError, TypeError or
    AttributeError if there is no such value."""
    numbers = (manifest["losses"]["last"]["total"], manifest["seed"], manifest["threads"])
    texts = (manifest["result"]["image_sha256"], manifest["network"]["weights"], manifest["network"]["weights_sha256"])
    backend = [manifest["backend"][key] for key in ("name", "version", "device", "dtype", "precision")]
    digests = [about["pixels_sha256"] for about in manifest["inputs"].values()]
    return (
        all(isinstance(value, str) for value in (*texts, *backend, *digests, manifest["isostyle"]))
        and all(isinstance(value, int | float) for value in numbers)
        and isinstance(manifest["tile"], int | None)
        and isinstance(manifest["versions"], dict)
    )


def recipe_of(manifest: Mapping[str, Any]) -> Recipe:
    """The recipe that a manifest tells of."""
    return from_dict({key: value for key, value in manifest["recipe"].items() if key != "digest"})
