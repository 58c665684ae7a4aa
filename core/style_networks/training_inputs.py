"""What a training works with: the style image, the photographs, the loss network and the first parameters."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from isostyle.errors import InputError, shown
from isostyle.images.decode import ImageLike, read_picture
from isostyle.recipe import LongSide
from isostyle.style_networks import file as style_network
from isostyle.style_networks.file import StyleNetwork
from isostyle.style_networks.photographs import scan
from isostyle.style_networks.trainer import TrainingRecipe, first_parameters
from isostyle.system.files import sha256
from isostyle.weights import store
from isostyle.weights.store import Weights

#: Photographs that are held out of the training, to look at: at most so many, and at most this share.
HELD_OUT, HELD_OUT_SHARE = 10, 0.1
#: What is said of settings that have changed, and of which a digest says nothing to a reader.
CHANGED = {
    "start_sha256": "another start",
    "style_sha256": "another style image",
    "loss_network_sha256": "another loss network",
    "photographs_sha256": "other photographs",
}
#: Settings that may change: a training may be made longer. The digest has changed if another value has.
MAY_CHANGE = ("recipe.steps", "recipe.losses.digest")


@dataclass(frozen=True)
class TrainingInputs:
    """All that a training reads before it computes."""

    recipe: TrainingRecipe
    #: The style image, 8 bits, at its own size; ...
    picture: Image.Image
    #: ... and height and width at which it is learned from.
    size: tuple[int, int]
    loss_network: Weights
    #: The network that the training begins with.
    first: StyleNetwork
    #: Photographs to train on, ...
    used: tuple[Path, ...]
    #: ... to look at, ...
    held_out: tuple[Path, ...]
    #: ... and that cannot be used, with the reason.
    skipped: Mapping[Path, str]
    #: What must be the same if the training goes on. Plain JSON.
    settings: Mapping[str, Any]
    #: What the user should know.
    lines: tuple[str, ...]


def read_inputs(
    recipe: TrainingRecipe,
    style: ImageLike,
    photographs: Path,
    network: str,
    start: str | os.PathLike[str] | StyleNetwork | None,
    *,
    recursive: bool,
) -> TrainingInputs:
    """Read what :func:`isostyle.train` was given; of photographs, the headers.

    Raises:
        InputError: something is not there, cannot be read, or does not fit the recipe.
    """
    loss_network = store.load(network)
    opened, digest = read_picture(style, "the style image")
    picture = opened.eight_bits
    size = LongSide(recipe.style_size).fit(picture.height, picture.width)
    least = loss_network.network.least_side(recipe.losses.taps)
    if (side := min(*size, recipe.crop)) < least:
        raise InputError(f"crops and style image need {least} pixels a side for the deepest layer, not {side}")
    first = first_of(start, recipe)
    folder = scan(photographs, recipe.crop, recursive=recursive)
    held = held_out(len(folder.files), recipe.seed)
    # Names and sizes: reading everything would take longer than many a training.
    rows = [b"%s %d" % (os.fsencode(path.relative_to(photographs)), path.stat().st_size) for path in folder.files]
    settings = {
        "recipe": as_json(recipe),
        "start_sha256": first.digest,
        "style_sha256": digest or sha256(np.asarray(picture).tobytes()),
        "loss_network_sha256": loss_network.digest,
        "photographs_sha256": sha256(b"\n".join(rows)),
    }
    used, looked_at = (tuple(path for i, path in enumerate(folder.files) if (i in held) == kept) for kept in (False, True))
    lines = opened.lines + folder.lines
    return TrainingInputs(recipe, picture, size, loss_network, first, used, looked_at, folder.skipped, settings, lines)


def first_of(start: str | os.PathLike[str] | StyleNetwork | None, recipe: TrainingRecipe) -> StyleNetwork:
    """What a training begins with.

    Raises:
        InputError: there is no such network, or it is of another size than the recipe's.
    """
    if start is None:
        return StyleNetwork(recipe.network, first_parameters(recipe.network, recipe.seed), "random", b"", {}, [])
    found = start if isinstance(start, StyleNetwork) else style_network.find(os.fspath(start))
    if found.network != recipe.network:
        sizes = [f"{'-'.join(map(str, one.widths))} and {one.blocks} blocks" for one in (found.network, recipe.network)]
        raise InputError(f"a training of {sizes[1]} cannot start from {found.name!r}, which has {sizes[0]}")
    return found


def held_out(photographs: int, seed: int) -> frozenset[int]:
    """The numbers of the photographs that are held out of a training."""
    count = min(HELD_OUT, int(HELD_OUT_SHARE * photographs))
    return frozenset(int(i) for i in np.random.RandomState([seed, 0]).permutation(photographs)[:count])


def as_json(recipe: TrainingRecipe) -> dict[str, Any]:
    """A recipe as plain JSON."""
    losses = {"digest": recipe.losses.digest, **recipe.losses.as_dict()}
    plain: dict[str, Any] = json.loads(json.dumps({**asdict(recipe), "losses": losses}))
    return plain


def require_same(before: Mapping[str, Any], now: Mapping[str, Any], name: str) -> None:
    """Raises InputError if the training of the checkpoint ``name`` had other settings."""
    for what, had, wanted in differences(before, now, ""):
        text = CHANGED.get(what) or f"{what.removeprefix('recipe.')} {shown(had)}, not {shown(wanted)}"
        raise InputError(f"{name!r} was trained with {text}; take the same, or begin anew")


def differences(had: Any, wanted: Any, place: str) -> Iterator[tuple[str, Any, Any]]:
    """The values in which two tables differ: what they are, and both."""
    if isinstance(had, Mapping) and isinstance(wanted, Mapping):
        for key in wanted:
            yield from differences(had.get(key), wanted[key], f"{place}.{key}" if place else key)
    elif had != wanted and place not in MAY_CHANGE:
        yield place, had, wanted
