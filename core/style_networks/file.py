"""Style networks as files: an image transformation network, its parameters, and where they come from.

A file is safetensors: the parameters by name, float32 (:mod:`isostyle.transform_network`). Its metadata hold the network's
table, the styles' names and thumbnails, the training recipe, the losses of the training, and the SHA-256 of the parameters,
which tells a damaged file from another network. It holds no code and belongs to no framework. Files of another
program's networks are read, too (:mod:`isostyle.style_networks.pytorch_examples`).
"""

from __future__ import annotations

import base64
import dataclasses
import functools
import io
import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from isostyle.errors import InputError, shown
from isostyle.images import arrays
from isostyle.interface import Parameters
from isostyle.sizes import LongSide
from isostyle.style_networks.metadata import BROKEN, json_of, read_parts
from isostyle.system.files import read_input, reason, sha256, write_atomically
from isostyle.system.tensors import tensors_file
from isostyle.transform_network import JOHNSON, TransformNetwork, is_own, mixed
from isostyle.weights.store import parameters_digest, whole

#: The metadata's ``schema``. The number changes with the meaning of anything in the file.
SCHEMA = "isostyle.style-network/3"
SUFFIX = ".safetensors"
#: Where the JSON of a safetensors file begins.
HEADER = 8
#: Between a file and the styles of it that are meant.
STYLES_OF_FILE = "#"
#: Longer side of a thumbnail, in pixels.
THUMBNAIL = 96


@dataclass(frozen=True)
class StyleNetwork:
    """A network that was trained for one style, or for several."""

    network: TransformNetwork
    #: Of :meth:`isostyle.transform_network.TransformNetwork.shapes`: of scales and shifts, a row for each style.
    parameters: Parameters
    #: Names of the styles, for people, in the order of the rows; and a PNG of each style image, its longer side
    #: :data:`THUMBNAIL` pixels, empty if nobody knows it.
    styles: Mapping[str, bytes]
    #: What the training was: recipe, style image, loss network, photographs, framework; of another program's network, its
    #: ``origin`` and its file's digest. Plain JSON.
    training: Mapping[str, Any]
    #: Of the training: step, learning rate and mean terms, each so often.
    history: Sequence[Mapping[str, Any]]

    def save(self, path: Path | str) -> None:
        """Write the file that :func:`load` reads.

        Raises:
            OSError: it cannot be written; a file that was there is as it was.
        """
        write_atomically(Path(path), dump(self))

    @property
    def name(self) -> str:
        """What the style is called; of several, all names."""
        return ", ".join(self.styles)

    def mixed(self, weights: Mapping[str, float]) -> StyleNetwork:
        """A network of one style, a mixture of these, by name: its scales and shifts are theirs, each times its weight.

        Raises:
            InputError: it has no style of that name, or all weights are 0.
        """
        for name in weights:
            if name not in self.styles:
                raise InputError(f"there is no style {shown(name)} in a network of {self.name}")
        if not any(weights.values()):
            raise InputError("a mixture of styles needs a weight that is not 0")
        row = [weights.get(name, 0.0) for name in self.styles]
        parameters = {
            name: array.astype(np.float32)[None] if is_own(name) else array
            for name, array in mixed(self.parameters, row).items()
        }
        name = next(iter(weights)) if list(weights.values()) == [1.0] else text_of(weights)
        heaviest = max(weights, key=lambda style: abs(weights[style]))
        return dataclasses.replace(self, parameters=parameters, styles={name: self.styles[heaviest]})

    def painting(self) -> Parameters:
        """The parameters that paint in its style.

        Raises:
            InputError: it has several.
        """
        if len(self.styles) > 1:
            first = next(iter(self.styles))
            raise InputError(
                f"the network has {len(self.styles)} styles ({self.name}): name one, as FILE{STYLES_OF_FILE}{first}"
            )
        return mixed(self.parameters, [1.0])

    @property
    def digest(self) -> str:
        """SHA-256 of the parameters: :func:`isostyle.weights.store.parameters_digest`."""
        return parameters_digest({name: self.parameters[name] for name in self.network.parameter_shapes})


def thumbnail(picture: Image.Image) -> bytes:
    """A small PNG of a style image."""
    small = arrays.fitted(picture, LongSide(THUMBNAIL))
    stream = io.BytesIO()
    small.save(stream, "PNG", optimize=True)
    return stream.getvalue()


def dump(style: StyleNetwork) -> bytes:
    """A file that :func:`parse` reads: the same bytes for the same content."""
    metadata = {
        "schema": SCHEMA,
        "styles": json.dumps(
            [{"name": name, "thumbnail": base64.b64encode(png).decode()} for name, png in style.styles.items()]
        ),
        "network": json.dumps(dataclasses.asdict(style.network)),
        "parameters_sha256": style.digest,
        "training": json.dumps(style.training),
        "history": json.dumps(style.history),
    }
    return tensors_file(style.parameters, metadata)


def load(path: Path) -> StyleNetwork:
    """The style network in a file.

    Raises:
        InputError: there is none, or it is damaged, or of another version.
    """
    return parse(read_input(path), str(path))


def shipped() -> dict[str, Traversable]:
    """The styles that ship with isostyle, by name, each with the file that it is in: whatever lies in data/styles of the
    package."""
    return dict(sorted((style, file) for file, network in shipped_networks() for style in network.styles))


def shipped_networks() -> list[tuple[Traversable, StyleNetwork]]:
    """The files that ship, and what is in them."""
    folder = resources.files("isostyle").joinpath("data", "styles")
    # Traversable does not say that its files are hashable, as all are.
    files: list[Any] = [file for file in folder.iterdir() if file.name.endswith(SUFFIX)] if folder.is_dir() else []
    return [(file, shipped_network(file)) for file in files]


@functools.cache
def shipped_network(file: Traversable) -> StyleNetwork:
    """What is in a file that ships. It is read once: no installation changes while it is used."""
    return parse(file.read_bytes(), file.name)


def find(name: str) -> StyleNetwork:
    """The network that paints as ``name`` says: ``wave`` is a style that ships, ``wave:0.7,scream:0.3`` a mixture of two;
    ``FILE`` is all that a file holds, and ``FILE#wave`` one style of it, or a mixture, too.

    Raises:
        InputError: as :func:`load`, or a style is unknown, or the text says nothing.
    """
    path, styles = parts_of(name)
    if path is not None:
        return load(path).mixed(weights_of(styles)) if styles else load(path)
    weights = weights_of(styles)
    networks = {style: network for _, network in shipped_networks() for style in network.styles}
    if unknown := [style for style in weights if style not in networks]:
        there = f"there are {', '.join(sorted(networks))}, or" if networks else "none ship with this installation; name"
        raise InputError(f"there is no style network {shown(unknown[0])}; {there} a {SUFFIX} file of your own")
    one, *others = {id(networks[style]): networks[style] for style in weights}.values()
    if others:
        raise InputError(f"{', '.join(weights)} are styles of {1 + len(others)} networks, which cannot be mixed")
    return one.mixed(weights)


def parts_of(name: str) -> tuple[Path | None, str]:
    """The file that ``name`` begins with, None if it names styles that ship; and the styles."""
    if os.path.exists(name):
        return Path(name), ""
    path, mark, styles = name.partition(STYLES_OF_FILE)
    is_file = mark or (":" not in name and (os.path.splitext(name)[1] or os.path.dirname(name)))
    return (Path(path), styles) if is_file else (None, name)


def source(name: str) -> Path:
    """The file that must not be overwritten by what is made with the style ``name``."""
    return parts_of(name)[0] or Path(name)


def called(name: str) -> str:
    """What the style ``name`` is called in the name of a file: ``wave0.7-scream0.3`` of a mixture."""
    path, styles = parts_of(name)
    return styles.replace(":", "").replace(",", "-") or (path.stem if path else name)


def weights_of(text: str) -> dict[str, float]:
    """Weights by name, of ``wave:0.7,scream:0.3``; a name alone weighs 1.

    Raises:
        InputError: a weight is no finite number, or a name comes twice.
    """
    pairs = [part.partition(":") for part in text.split(",")]
    try:
        found = {name.strip(): float(weight) if mark else 1.0 for name, mark, weight in pairs}
    except ValueError:
        found = {}
    if len(found) < len(pairs) or not all(math.isfinite(weight) for weight in found.values()):
        raise InputError(f"a mixture of styles is NAME:WEIGHT,NAME:WEIGHT, not {shown(text)}")
    return found


def parse(data: bytes, name: str) -> StyleNetwork:
    """The style network in ``data``, the bytes of a file called ``name``; as :func:`load`."""
    if data[HEADER : HEADER + 1] == b"{":
        return own(data, name)
    from isostyle.style_networks import pytorch_examples  # with all that reads others' files

    return imported(data, name) if pytorch_examples.is_pytorch(data) else own(data, name)


def imported(data: bytes, name: str) -> StyleNetwork:
    """The style network in a file of PyTorch's."""
    from isostyle.style_networks import pytorch_examples

    parameters = whole(pytorch_examples.read(data, name), JOHNSON.parameter_shapes, name)
    rows = {key: array[None] if is_own(key) else array for key, array in parameters.items()}
    training = {"origin": pytorch_examples.ORIGIN, "file_sha256": sha256(data)}
    return StyleNetwork(JOHNSON, rows, {Path(name).stem: b""}, training, [])


def own(data: bytes, name: str) -> StyleNetwork:
    """The style network in a file that :func:`dump` made."""
    tensors, metadata = read_parts(data, name, "a style network", SCHEMA)
    try:
        network = network_of(json_of(metadata, "network", dict))
        training, history = json_of(metadata, "training", dict), json_of(metadata, "history", list)
        styles = styles_of(json_of(metadata, "styles", list))
        digest = metadata["parameters_sha256"]
    except BROKEN as error:
        raise InputError(f"{name!r} has metadata that cannot be used: {reason(error)}") from None
    shapes = network.shapes(len(styles))
    if others := sorted(set(tensors) - set(shapes)):
        raise InputError(f"{name!r} holds {others[0][:60]!r}, which is no parameter of its network")
    found = StyleNetwork(network, whole(tensors, shapes, name), styles, training, history)
    if found.digest != digest:
        raise InputError(f"{name!r} is damaged: its numbers are not those that were saved (SHA-256 {found.digest[:12]}...)")
    return found


def styles_of(rows: Sequence[Any]) -> dict[str, bytes]:
    """The styles that a file's list names, with their thumbnails.

    Raises:
        KeyError, TypeError, ValueError: the list has another form, or is empty, or names a style twice.
    """
    found = {str(row["name"]): base64.b64decode(row["thumbnail"], validate=True) for row in rows}
    if not found or len(found) < len(rows):
        raise ValueError("it names no style, or one twice")
    return found


def text_of(weights: Mapping[str, float]) -> str:
    """wave:0.7,scream:0.3"""
    return ",".join(f"{name}:{weight:g}" for name, weight in weights.items())


def network_of(table: Mapping[str, Any]) -> TransformNetwork:
    """The network that a file's table says.

    Raises:
        InputError: it is none that can be built.
        KeyError, TypeError, ValueError, OverflowError: the table has another form.
    """
    full, half, quarter = (int(width) for width in table["widths"])
    kernel, skips, residual = int(table["outer_kernel"]), bool(table["skips"]), bool(table["residual"])
    network = TransformNetwork((full, half, quarter), int(table["blocks"]), kernel, skips, residual)
    network.check()
    return network
