"""``isostyle.rerun``: repeat a run from its manifest, and say whether the same came out.

docs/reproducing.md promises the same bits with the same framework, version, kind of device, number of threads, and versions of
what prepares the pictures; with others, a final total within :data:`TOTAL_BOUND`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from isostyle.checks import at
from isostyle.images.decode import ImageLike
from isostyle.transfer.descent import Event
from isostyle.transfer.manifest import load, recipe_of
from isostyle.transfer.request import request_again
from isostyle.transfer.result import Result
from isostyle.transfer.run import carry_out
from isostyle.transfer.styles import StyleLike

#: Another framework, version or number of threads rounds differently, and hundreds of steps of Adam in float32 amplify that.
#: The final totals of the three frameworks were at most 0.08 % apart for d2l (README); the bound is 5 %.
TOTAL_BOUND = 0.05
#: With another one of these it is another run.
IMAGE, OTHER_INPUTS = " image", frozenset(("weights", "recipe"))
Verdict = Literal["bit-identical", "within bounds", "different"]


@dataclass(frozen=True)
class Rerun:
    """What came out, and how it compares with what came out then."""

    result: Result
    verdict: Verdict
    #: Relative difference of the final totals.
    apart: float
    #: What differs now: by name, what it was and what it is.
    changed: Mapping[str, tuple[Any, Any]]


def rerun(
    manifest: Path | str,
    *,
    content: ImageLike | None = None,
    style: StyleLike | None = None,
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
        content: where the content image is now, if it was moved, or had no file.
        style: likewise.
        init: likewise.
        network: where the weights are now: a path.
        backend: in place of the one that ran.
        device: likewise.
        threads: likewise.
        callback: as :func:`isostyle.stylize` has it.
        log: likewise.

    Raises:
        InputError: the manifest, a picture or an argument cannot be used. Nothing was computed.
        Stopped, Interrupted: as :func:`isostyle.stylize`.
    """
    then = load(Path(manifest))
    was = {
        **{name: then["backend"][name] for name in ("dtype", "precision", "device")},
        "backend": then["backend"]["name"],
        "network": then["network"]["weights"],
        **{name: then[name] for name in ("seed", "threads", "tile")},
        "keep_colors": then.get("keep_colors"),
    }
    request = request_again(
        recipe_of(then),
        then["inputs"],
        was,
        content=content,
        style=style,
        init=init,
        network=network,
        backend=backend,
        device=device,
        threads=threads,
    )
    result = carry_out(request, callback=callback, log=log)
    now = result.manifest
    before, after = then["losses"]["last"]["total"], now["losses"]["last"]["total"]
    apart = abs(after - before) / abs(before) if before else float(after != before)
    changed = differences(then, now)
    if now["result"]["image_sha256"] == then["result"]["image_sha256"]:
        verdict: Verdict = "bit-identical"
    else:
        verdict = "within bounds" if apart <= TOTAL_BOUND and not inputs_changed(changed) else "different"
    return Rerun(result, verdict, apart, changed)


def inputs_changed(changed: Mapping[str, Any]) -> bool:
    """Whether an input is another one, by the names of :func:`differences`."""
    return any(name.endswith(IMAGE) or name in OTHER_INPUTS for name in changed)


def differences(then: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """What differs between two manifests and may change a result: by name, what it was and what it is."""
    places: dict[str, tuple[str, ...]] = {
        **{f"{role}{IMAGE}": ("inputs", role, "pixels_sha256") for role in now["inputs"]},
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
