"""What a training works with: the style images, the photographs, the loss network and the first parameters."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from isostyle.errors import InputError, shown
from isostyle.images.decode import ImageLike, eight_bits, read_picture
from isostyle.interface import Parameters
from isostyle.sizes import LongSide
from isostyle.style_networks import file as style_network
from isostyle.style_networks.file import StyleNetwork
from isostyle.style_networks.photographs import scan
from isostyle.style_networks.trainer import TrainingRecipe, first_parameters
from isostyle.system.files import sha256
from isostyle.transform_network import is_own
from isostyle.weights import store
from isostyle.weights.store import Weights

#: Photographs that are held out of the training, to look at: at most so many, and at most this share.
HELD_OUT, HELD_OUT_SHARE = 10, 0.1
#: What is said of settings that have changed, and of which a digest says nothing to a reader.
CHANGED = {
    "start_sha256": "another start",
    "styles_sha256": "other style images",
    "base_sha256": "another network to add to",
    "loss_network_sha256": "another loss network",
    "photographs_sha256": "other photographs",
}
#: Settings that may change: a training may be made longer. The digest has changed if another value has.
MAY_CHANGE = ("recipe.steps", "recipe.losses.digest")


@dataclass(frozen=True)
class StyleImage:
    """A painting that is learned from."""

    #: 8 bits, at its own size.
    picture: Image.Image
    #: Height and width at which it is learned from.
    size: tuple[int, int]
    #: SHA-256 of its file, or of its pixels.
    digest: str


@dataclass(frozen=True)
class TrainingInputs:
    """All that a training reads before it computes."""

    recipe: TrainingRecipe
    #: By the name of the style.
    styles: Mapping[str, StyleImage]
    loss_network: Weights
    #: The network that the training begins with, with rows for these styles.
    first: StyleNetwork
    #: What is said of where that comes from: a name, or ``random``.
    start: str
    #: The network that the styles are added to, whose own parameters stay as they are; None if all are trained.
    base: StyleNetwork | None
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

    @property
    def trained(self) -> Parameters:
        """The first values of what is trained."""
        return {name: array for name, array in self.first.parameters.items() if self.base is None or is_own(name)}

    @property
    def fixed(self) -> Parameters:
        """What is not trained."""
        return {name: array for name, array in self.first.parameters.items() if self.base is not None and not is_own(name)}


def read_inputs(
    recipe: TrainingRecipe,
    styles: Mapping[str, ImageLike],
    photographs: Path,
    network: str,
    start: str | os.PathLike[str] | StyleNetwork | None,
    *,
    add: bool,
    recursive: bool,
) -> TrainingInputs:
    """Read what :func:`isostyle.train` was given; of photographs, the headers.

    Raises:
        InputError: something is not there, cannot be read, or does not fit the recipe.
    """
    loss_network = store.load(network)
    images: dict[str, StyleImage] = {}
    lines: list[str] = []
    for name, style in styles.items():
        images[name], said = read_style(style, recipe.style_size)
        lines += said
    least = loss_network.network.least_side(recipe.losses.taps)
    if (side := min(recipe.crop, *(side for image in images.values() for side in image.size))) < least:
        raise InputError(f"crops and style images need {least} pixels a side for the deepest layer, not {side}")
    base = None if start is None else found_at(start)
    first = first_of(base, recipe, list(images))
    if add and base is not None and (known := [name for name in images if name in base.styles]):
        raise InputError(f"the network has a style {shown(known[0])} already; name the new one otherwise")
    folder = scan(photographs, recipe.crop, recursive=recursive)
    held = held_out(len(folder.files), recipe.seed)
    # Names and sizes: reading everything would take longer than many a training.
    rows = [b"%s %d" % (os.fsencode(path.relative_to(photographs)), path.stat().st_size) for path in folder.files]
    settings = {
        "recipe": as_json(recipe),
        "start_sha256": first.digest,
        "styles_sha256": sha256(json.dumps({name: image.digest for name, image in images.items()}).encode()),
        "base_sha256": base.digest if add and base is not None else None,
        "loss_network_sha256": loss_network.digest,
        "photographs_sha256": sha256(b"\n".join(rows)),
    }
    used, looked_at = (tuple(path for i, path in enumerate(folder.files) if (i in held) == kept) for kept in (False, True))
    return TrainingInputs(
        recipe,
        images,
        loss_network,
        first,
        "random" if base is None else base.name,
        base if add else None,
        used,
        looked_at,
        folder.skipped,
        settings,
        (*lines, *folder.lines),
    )


def read_style(style: ImageLike, side: int) -> tuple[StyleImage, tuple[str, ...]]:
    """A style image that is learned from with a longer side of ``side`` pixels, and what the user should know of it.

    Raises:
        InputError: it cannot be read.
    """
    opened, digest = read_picture(style, "the style image")
    picture = eight_bits(opened.as_style)
    size = LongSide(side).fit(picture.height, picture.width)
    return StyleImage(picture, size, digest or sha256(np.asarray(picture).tobytes())), opened.lines


def found_at(start: str | os.PathLike[str] | StyleNetwork) -> StyleNetwork:
    return start if isinstance(start, StyleNetwork) else style_network.find(os.fspath(start))


def first_of(start: StyleNetwork | None, recipe: TrainingRecipe, styles: Sequence[str]) -> StyleNetwork:
    """What a training of these ``styles`` begins with. A style that ``start`` does not have begins with the mean of its styles.

    Raises:
        InputError: the network is of another size than the recipe's.
    """
    names = dict.fromkeys(styles, b"")
    if start is None:
        return StyleNetwork(recipe.network, first_parameters(recipe.network, recipe.seed, len(names)), names, {}, [])
    if start.network != recipe.network:
        sizes = [f"{'-'.join(map(str, one.widths))} and {one.blocks} blocks" for one in (start.network, recipe.network)]
        raise InputError(f"a training of {sizes[1]} cannot start from {start.name!r}, which has {sizes[0]}")
    places = {name: row for row, name in enumerate(start.styles)}
    parameters = {
        name: np.stack([array[places[style]] if style in places else array.mean(0) for style in names])
        if is_own(name)
        else array
        for name, array in start.parameters.items()
    }
    return dataclasses.replace(start, parameters=parameters, styles=names)


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
