"""What a run is asked to compute. ``stylize`` makes a request from its arguments, ``resume`` and ``rerun`` from a file."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from isostyle.checks import PlainNumbers, require_count, require_seed
from isostyle.errors import InputError, shown
from isostyle.images import colors
from isostyle.images.decode import ImageLike, contents
from isostyle.interface import Dtype, Precision
from isostyle.recipe import NAMED_STARTS, Recipe
from isostyle.system import memory
from isostyle.tiles import parse_tile
from isostyle.transfer.override import override
from isostyle.transfer.styles import STYLE, StyleLike, by_role, is_style, require_weights, roles_of_styles, weights_of

#: Evaluations between checkpoints.
CHECKPOINT_EVERY = 50
#: What a checkpoint keeps of a request, beside recipe and inputs.
KEPT = ("network", "seed", "dtype", "precision", "backend", "device", "threads", "tile", "on_divergence", "keep_colors")
OnDivergence = Literal["stop", "retry"]


@dataclass(frozen=True)
class Request(PlainNumbers):
    """What is to be computed; :func:`isostyle.stylize` describes each field.

    Raises:
        InputError: a value cannot be used.
    """

    recipe: Recipe
    #: By role: content, style, further styles, and init if the recipe starts from an image.
    inputs: Mapping[str, ImageLike]
    #: Of the style images, by role.
    weights: Mapping[str, float]
    network: str
    seed: int
    dtype: Dtype
    precision: Precision
    backend: str
    device: str
    threads: int | None
    tile: str | int
    max_memory: str | int | None = None
    on_divergence: OnDivergence = "stop"
    keep_colors: colors.KeepColors | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        choices = {"dtype": ("float32", "float64"), "precision": ("exact", "fast"), "on_divergence": ("stop", "retry")}
        for name, (one, other) in choices.items():
            if getattr(self, name) not in (one, other):
                raise InputError(f"the {name} must be {one} or {other}, not {shown(getattr(self, name))}")
        if self.precision == "fast" and self.dtype != "float32":
            raise InputError("the precision 'fast' has no float64; leave one of the two out")
        require_weights(self.weights)
        if self.recipe.start == "image" and "init" not in self.inputs:
            raise InputError("a recipe that starts from an image needs one: init")
        # A run that is tried again, because it diverged, reads its pictures again.
        again = {role: contents(source, f"the {role} image") for role, source in self.inputs.items()}
        object.__setattr__(self, "inputs", again)
        require_seed(self.seed)
        colors.require_kind(self.keep_colors)
        parse_tile(self.tile)
        if self.max_memory is not None:
            memory.parse(self.max_memory)


def request_for(
    content: ImageLike, style: StyleLike, *, recipe: str | Recipe, init: ImageLike | None, **options: Any
) -> Request:
    """The request of a run that begins; arguments are those of :func:`isostyle.stylize`.

    Raises:
        InputError: one cannot be used.
    """
    given = {name: options.pop(name) for name in (*KEPT, "max_memory")}
    start = None if init is None else init if isinstance(init, str) and init in NAMED_STARTS else "image"
    found = override(recipe, start=start, **options)
    styles, weights = by_role(style)
    inputs = {"content": content, **styles}
    if found.start == "image" and init is not None:
        inputs["init"] = init
    return Request(found, inputs, weights, **given)


def request_again(
    recipe: Recipe, described: Mapping[str, Mapping[str, Any]], was: Mapping[str, Any], **changes: Any
) -> Request:
    """The request of an earlier run.

    Args:
        described: its inputs by role, as a checkpoint or a manifest describes them.
        was: its other settings, by the names of :class:`Request`.
        changes: pictures by role, and settings, that are others now; None leaves them as they were. Of several styles, a list.

    Raises:
        InputError: a picture had no file and is not among ``changes``, or a value cannot be used.
    """
    given = {name: value for name, value in changes.items() if value is not None}
    moved: dict[str, Any] = {role: given.pop(role) for role in ("content", "init") if role in given}
    moved |= by_role(given.pop(STYLE))[0] if STYLE in given else {}
    inputs: dict[str, Any] = {role: moved.get(role, about.get("path")) for role, about in described.items()}
    weights = weights_of(described)
    for role, source in inputs.items():
        if source is None:
            as_list = " (a list of all of them)" if is_style(role) and len(weights) > 1 else ""
            raise InputError(f"the {role} image of this run had no file; hand it over again, as {role.split()[0]!r}{as_list}")
    if unknown := [role for role in roles_of_styles(moved) if role not in described]:
        raise InputError(f"this run has no {unknown[0]} image, only {', '.join(weights)}")
    if given.get("backend", was["backend"]) != was["backend"]:
        given.setdefault("device", "auto")
    return Request(recipe, inputs, weights, **{**was, "tile": was["tile"] or "off", **given})


@dataclass(frozen=True)
class Saving(PlainNumbers):
    """Where checkpoints go, and how often."""

    path: Path
    #: Evaluations.
    every: int
    #: What else goes into them, as plain JSON: the command line says there where its picture goes.
    keep: Mapping[str, Any]

    def __post_init__(self) -> None:
        super().__post_init__()
        require_count(self.every, "number of evaluations between checkpoints")


def saving_for(checkpoint: str | os.PathLike[str] | None, every: int, keep: Mapping[str, Any] | None) -> Saving | None:
    """Where the checkpoints of a run go that has one. Raises InputError if ``every`` cannot be used."""
    return None if checkpoint is None else Saving(Path(checkpoint), every, keep or {})
