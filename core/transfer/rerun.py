"""``isostyle.rerun``: a run once more, from its manifest, and whether the same came out.

What is promised (docs/reproducing.md): with the same framework, version, kind of device and number of threads, and the same
versions of what prepares the pictures, the same bits. With others, the same within :data:`TOTAL_BOUND`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from isostyle.errors import InputError, shown
from isostyle.images.decode import ImageLike
from isostyle.recipe import Recipe
from isostyle.recipe_text import from_dict
from isostyle.system.files import read_input, reason
from isostyle.transfer import stylize
from isostyle.transfer.descent import Event
from isostyle.transfer.stylize import MANIFEST_SCHEMA, Job, Result

#: Another framework, version or number of threads rounds otherwise, and hundreds of steps of Adam in float32 carry that on: the
#: final totals of the three frameworks were at most 0.08 % apart for d2l (README), and are held to 5 %.
TOTAL_BOUND = 0.05
Verdict = Literal["bit-identical", "within bounds", "different"]


@dataclass(frozen=True)
class Rerun:
    """What came out, and how it compares with what came out then."""

    result: Result
    verdict: Verdict
    #: Relative difference of the final totals.
    apart: float
    #: What is no longer as it was: by name, what it was and what it is now.
    changed: Mapping[str, tuple[Any, Any]]


def load(path: Path) -> dict[str, Any]:
    """The manifest in a file.

    Raises:
        InputError: there is none, or it is not that of a finished run.
    """
    name = repr(str(path))
    try:
        try:
            found = json.loads(read_input(path))
        except (ValueError, RecursionError):
            raise InputError(f"{name} is not the manifest of a run: it is no JSON") from None
        if not (isinstance(found, dict) and "schema" in found):
            raise InputError(f"{name} is not the manifest of a run: it does not say what it is, as `isostyle run` writes it")
        if found["schema"] != MANIFEST_SCHEMA:
            raise InputError(f"{name} is not the manifest of a run: it is {shown(found['schema'])}, not {MANIFEST_SCHEMA!r}")
        recipe_of(found)
        if missing := {"content", "style"} - found["inputs"].keys():
            raise InputError(f"{name} is not the manifest of a run: it has no {min(missing)} image")
        stopped = found["stopped_by"]
        numbers = (found["losses"]["last"]["total"], found["seed"], found["threads"])
        texts = (found["result"]["image_sha256"], found["network"]["weights"], found["network"]["weights_sha256"])
        backend = [found["backend"][key] for key in ("name", "version", "device", "dtype", "precision")]
        fine = all(isinstance(value, str) for value in (*texts, *backend, found["isostyle"]))
        fine &= all(isinstance(value, int | float) for value in numbers) and isinstance(found["tile"], int | None)
        fine &= isinstance(found["versions"], dict) and all(
            isinstance(each["pixels_sha256"], str) for each in found["inputs"].values()
        )
    except InputError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise InputError(f"{name} is not the manifest of a run, or not all of it: {reason(error)}") from None
    if not fine:
        raise InputError(f"{name} is not the manifest of a run: a value is of another type")
    if stopped is not None:
        raise InputError(f"{name} is of a run that was stopped ({shown(stopped)}); what it would have made is not known")
    table: dict[str, Any] = found
    return table


def recipe_of(manifest: Mapping[str, Any]) -> Recipe:
    """The recipe that a manifest tells of."""
    return from_dict({key: value for key, value in manifest["recipe"].items() if key != "digest"})


def rerun(
    manifest: Path | str,
    *,
    content: ImageLike | None = None,
    style: ImageLike | None = None,
    init: ImageLike | None = None,
    network: str | None = None,
    backend: str | None = None,
    device: str | None = None,
    threads: int | None = None,
    callback: Callable[[Event], None] | None = None,
    log: Callable[[str], None] | None = None,
) -> Rerun:
    """Repeat a run from its manifest.

    Args:
        manifest: what `isostyle run` wrote beside its picture.
        content: where the content image is now, if it is elsewhere, or was none that has a file.
        style: likewise.
        init: likewise.
        network: likewise; a path.
        backend: in place of the one that ran.
        device: likewise.
        threads: likewise.
        callback: as :func:`isostyle.stylize` has it.
        log: likewise.

    Raises:
        InputError: the manifest, a picture or an argument cannot be used. Nothing was computed.
        Stopped: as :func:`isostyle.stylize`.
        Interrupted: as :func:`isostyle.stylize`.
    """
    then = load(Path(manifest))
    given: dict[str, ImageLike | None] = {"content": content, "style": style, "init": init}
    inputs: dict[str, ImageLike] = {}
    for role, about in then["inputs"].items():
        source = given.get(role) if given.get(role) is not None else about.get("path")
        if source is None:
            raise InputError(f"the {role} image of this run had no file; hand it over again (--{role} FILE)")
        inputs[role] = source
    was = then["backend"]
    job = Job(
        recipe_of(then),
        inputs,
        network or then["network"]["weights"],
        then["seed"],
        was["dtype"],
        was["precision"],
        backend or was["name"],
        device or (was["device"] if backend in (None, was["name"]) else "auto"),
        threads or then["threads"],
        then["tile"] or "off",
        None,
    )
    result = stylize.carry_out(job, callback=callback, log=log)
    now = result.manifest
    before, after = then["losses"]["last"]["total"], now["losses"]["last"]["total"]
    apart = abs(after - before) / abs(before) if before else float(after != before)
    changed = differences(then, now)
    if now["result"]["image_sha256"] == then["result"]["image_sha256"]:
        verdict: Verdict = "bit-identical"
    else:
        verdict = "within bounds" if apart <= TOTAL_BOUND and not changed.keys() & INPUTS else "different"
    return Rerun(result, verdict, apart, changed)


#: Of what can be no longer as it was: with these it is another run.
INPUTS = frozenset(("content image", "style image", "init image", "weights", "recipe"))


def differences(then: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """What of two manifests may have changed a result: by name, what it was and what it is."""
    places: dict[str, tuple[str, ...]] = {
        **{f"{role} image": ("inputs", role, "pixels_sha256") for role in now["inputs"]},
        "weights": ("network", "weights_sha256"),
        "recipe": ("recipe", "digest"),
        "framework": ("backend", "name"),
        "its version": ("backend", "version"),
        "device": ("backend", "device"),
        "threads": ("threads",),
        "isostyle": ("isostyle",),
        **{name: ("versions", name) for name in now["versions"]},
    }
    found = {}
    for name, place in places.items():
        pair = at(then, place), at(now, place)
        if pair[0] != pair[1]:
            found[name] = pair
    return found


def at(table: Any, place: tuple[str, ...]) -> Any:
    for key in place:
        table = table.get(key) if isinstance(table, dict) else None
    return table
