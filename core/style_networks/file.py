"""Style networks as files: an image transformation network, its parameters, and where they come from.

A file is safetensors: the parameters by name, float32 (:mod:`isostyle.transform_network`). Its metadata hold the network's
table, the training recipe, the style image's name, digest and thumbnail, the losses of the training, and the SHA-256 of the
parameters, which tells a damaged file from another network. It holds no code and belongs to no framework. Files of another
program's networks are read, too (:mod:`isostyle.style_networks.pytorch_examples`).
"""

from __future__ import annotations

import base64
import dataclasses
import io
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from PIL import Image

from isostyle.errors import InputError, shown
from isostyle.images import arrays
from isostyle.interface import Parameters
from isostyle.recipe import LongSide
from isostyle.style_networks import pytorch_examples
from isostyle.style_networks.metadata import BROKEN, json_of, read_parts
from isostyle.system.files import read_input, reason, sha256, write_atomically
from isostyle.system.tensors import tensors_file
from isostyle.transform_network import JOHNSON, TransformNetwork
from isostyle.weights.store import parameters_digest, whole

#: The metadata's ``schema``. The number changes with the meaning of anything in the file.
SCHEMA = "isostyle.style-network/2"
SUFFIX = ".safetensors"
#: Longer side of a thumbnail, in pixels.
THUMBNAIL = 96


@dataclass(frozen=True)
class StyleNetwork:
    """A network that was trained for one style."""

    network: TransformNetwork
    parameters: Parameters
    #: The name of the style, for people.
    name: str
    #: PNG of the style image, its longer side :data:`THUMBNAIL` pixels; empty if nobody knows it.
    thumbnail: bytes
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
    def digest(self) -> str:
        """SHA-256 of the parameters: :func:`isostyle.weights.store.parameters_digest`."""
        return parameters_digest(self.parameters)


def thumbnail(picture: Image.Image) -> bytes:
    """A small PNG of a style image."""
    small = arrays.resize(picture, *LongSide(THUMBNAIL).fit(picture.height, picture.width))
    stream = io.BytesIO()
    small.save(stream, "PNG", optimize=True)
    return stream.getvalue()


def dump(style: StyleNetwork) -> bytes:
    """A file that :func:`parse` reads: the same bytes for the same content."""
    metadata = {
        "schema": SCHEMA,
        "name": style.name,
        "network": json.dumps(dataclasses.asdict(style.network)),
        "parameters_sha256": style.digest,
        "training": json.dumps(style.training),
        "history": json.dumps(style.history),
        "thumbnail": base64.b64encode(style.thumbnail).decode(),
    }
    return tensors_file(style.parameters, metadata)


def load(path: Path) -> StyleNetwork:
    """The style network in a file.

    Raises:
        InputError: there is none, or it is damaged, or of another version.
    """
    return parse(read_input(path), str(path))


def shipped() -> dict[str, Traversable]:
    """The style networks that ship with isostyle, by name: whatever files lie in data/styles of the package."""
    folder = resources.files("isostyle").joinpath("data", "styles")
    if not folder.is_dir():
        return {}
    files = {file.name.removesuffix(SUFFIX): file for file in folder.iterdir() if file.name.endswith(SUFFIX)}
    return dict(sorted(files.items()))


def find(name: str) -> StyleNetwork:
    """The style network that ships as ``name``, or the one in the file ``name``.

    Raises:
        InputError: as :func:`load`, or the name is unknown.
    """
    files = shipped()
    if name in files:
        return parse(files[name].read_bytes(), f"{name}{SUFFIX}")
    if os.path.exists(name) or os.path.splitext(name)[1] or os.path.dirname(name):
        return load(Path(name))
    there = f"there are {', '.join(files)}, or" if files else "none ship with this installation; name"
    raise InputError(f"there is no style network {shown(name)}; {there} a {SUFFIX} file of your own")


def parse(data: bytes, name: str) -> StyleNetwork:
    """The style network in ``data``, the bytes of a file called ``name``; as :func:`load`."""
    return imported(data, name) if pytorch_examples.is_pytorch(data) else own(data, name)


def imported(data: bytes, name: str) -> StyleNetwork:
    """The style network in a file of PyTorch's."""
    parameters = whole(pytorch_examples.read(data, name), JOHNSON.parameter_shapes, name)
    training = {"origin": pytorch_examples.ORIGIN, "file_sha256": sha256(data)}
    return StyleNetwork(JOHNSON, parameters, Path(name).stem, b"", training, [])


def own(data: bytes, name: str) -> StyleNetwork:
    """The style network in a file that :func:`dump` made."""
    tensors, metadata = read_parts(data, name, "a style network", SCHEMA)
    try:
        network = network_of(json_of(metadata, "network", dict))
        training, history = json_of(metadata, "training", dict), json_of(metadata, "history", list)
        small = base64.b64decode(metadata["thumbnail"], validate=True)
        digest, style = metadata["parameters_sha256"], metadata["name"]
    except BROKEN as error:
        raise InputError(f"{name!r} has metadata that cannot be used: {reason(error)}") from None
    shapes = network.parameter_shapes
    if others := sorted(set(tensors) - set(shapes)):
        raise InputError(f"{name!r} holds {others[0][:60]!r}, which is no parameter of its network")
    found = StyleNetwork(network, whole(tensors, shapes, name), style, small, training, history)
    if found.digest != digest:
        raise InputError(f"{name!r} is damaged: its numbers are not those that were saved (SHA-256 {found.digest[:12]}...)")
    return found


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
