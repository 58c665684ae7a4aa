"""Weights: safetensors files of a network's convolutions: the one that ships with the package, and those in the cache.

A file holds ``conv1_1.weight`` (out, in, 3, 3) and ``conv1_1.bias`` (out,) and so on, float32 or float16, and in its metadata
the network's table (``network``, ``depths``, ``widths``). safetensors holds no code: opening a stranger's file runs nothing.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path

import numpy as np

from isostyle.errors import InputError, shown
from isostyle.interface import Array, Parameters
from isostyle.network import COMPACT, KERNEL, VGG16, VGG16_PADDED, Network
from isostyle.system.files import read_input, reason, sha256
from isostyle.system.tensors import read_tensors, tensors_file
from isostyle.weights import cache
from isostyle.weights import published as published_weights

#: The shipped network: docs/model-card.md says what it is. Pinned, so that a damaged installation is told from another network.
COMPACT_FILE = "compact.safetensors"
COMPACT_SHA256 = "7e43631d359499d84f1c3f8f5cb6092e80078ce7aac1583866922ec400cc9d8f"
#: Names that a network goes by; anything that ends in .safetensors is a file. All but the first need weights that are fetched
#: or imported once; the last one vgg16's.
NETWORKS = (COMPACT.name, *published_weights.NETWORKS, VGG16_PADDED.name)
#: Other files of ours in the same format, by the beginning of their schema.
OTHERS = {
    "isostyle.style-network": "a style network, which `isostyle apply` takes",
    "isostyle.training": "the checkpoint of a training, with which `isostyle train --resume` goes on",
    "isostyle.run": "the checkpoint of a run, with which `isostyle resume` goes on",
}


@dataclass(frozen=True)
class Weights:
    """A network, its parameters, and the SHA-256 of the file that they came from."""

    network: Network
    parameters: Parameters
    digest: str
    #: What is known of fetched or imported weights: where they are from.
    origin: str | None = None

    def cut(self, taps: Iterable[str]) -> Parameters:
        """The parameters that are needed up to the deepest of ``taps``. Raises InputError if the network has no such layer."""
        needed = {layer.name for layer in self.network.cut(taps)}
        return {name: array for name, array in self.parameters.items() if name.partition(".")[0] in needed}


def load(name: str) -> Weights:
    """The weights called ``name``, or those in the file ``name`` if it ends in ``.safetensors``. Nothing is downloaded. Raises
    InputError if the name is unknown, or the file is missing, damaged or of another kind of network."""
    if name == COMPACT.name:
        data = resources.files("isostyle").joinpath("data", COMPACT_FILE).read_bytes()
        if sha256(data) != COMPACT_SHA256:
            raise InputError(f"the file {COMPACT_FILE} of this installation is damaged; install isostyle again")
        return parse(data, COMPACT_FILE)
    if name in published_weights.NETWORKS:
        return load_cached(name)
    if name == VGG16_PADDED.name:
        return padded(load_cached(VGG16.name))
    if not name.endswith(".safetensors"):
        raise InputError(f"there is no network {shown(name)}; there are {', '.join(NETWORKS)}, or a .safetensors file")
    return parse(read_input(Path(name)), name)


def load_cached(name: str) -> Weights:
    """The weights of ``name`` that were fetched or imported. Raises InputError if there are none, or they are damaged."""
    record = cache.find(name)
    if record is None:
        raise InputError(f"the weights of {name} are not here: {published_weights.how_to(name)}")
    path = cache.path_of(name)
    try:
        weights = parse(read_input(path), path.name)
        if weights.network != published_weights.NETWORKS[name]:
            raise InputError(f"it is not {name}")
        if parameters_digest(weights.parameters) != record.parameters_sha256:
            raise InputError("its numbers have another digest than when they were written")
    except InputError as error:
        raise cache.damaged(name, str(error)) from None
    return replace(weights, origin=record.origin)


def padded(weights: Weights) -> Weights:
    """VGG-16 in VGG-19's table. An added convolution sees what a ReLU let through, so the ReLU behind it changes nothing."""
    parameters = {}
    for name, shape in VGG16_PADDED.parameter_shapes.items():
        if name in weights.parameters:
            parameters[name] = weights.parameters[name]
        elif len(shape) == 1:
            parameters[name] = np.zeros(shape, np.float32)
        else:
            kernel = parameters[name] = np.zeros(shape, np.float32)
            kernel[:, :, KERNEL // 2, KERNEL // 2] = np.eye(shape[0], dtype=np.float32)
    return replace(weights, network=VGG16_PADDED, parameters=parameters)


def dump(network: Network, parameters: Parameters, metadata: Mapping[str, str], dtype: str = "float32") -> bytes:
    """A file that :func:`parse` reads; its numbers are float32, or rounded to float16."""
    table = {"network": network.name, "depths": json.dumps(network.depths), "widths": json.dumps(network.widths)}
    return tensors_file(parameters, {**dict(sorted(metadata.items())), **table}, dtype)


def parameters_digest(parameters: Parameters) -> str:
    """SHA-256 of the numbers, little-endian float32 in the order of the table; no names, no metadata."""
    found = hashlib.sha256()
    for array in parameters.values():
        found.update(np.ascontiguousarray(array, "<f4").data)
    return found.hexdigest()


def parse(data: bytes, name: str) -> Weights:
    """The weights in ``data``, the bytes of a file called ``name``. Raises InputError unless they are a network's."""
    try:
        tensors, metadata = read_tensors(data)
        if kind := OTHERS.get(str(metadata.get("schema")).partition("/")[0]):
            raise InputError(f"{name!r} is no network of convolutions to compute losses with: it is {kind}")
        depths, widths = (tuple(int(n) for n in json.loads(metadata[key])) for key in ("depths", "widths"))
        # Before the table is built: a header may claim any depth.
        if len(depths) != len(widths) or min(depths + widths) < 1 or 2 * sum(depths) != len(tensors):
            raise ValueError("its metadata do not fit its tensors")
        network = Network(metadata["network"], depths, widths)
    except MemoryError:
        raise
    except Exception as error:  # a damaged or hostile file makes its readers raise nearly anything
        raise InputError(f"{name!r} is not a network's safetensors file: {reason(error)}") from None
    # Half precision halves a file; every number of it is one of float32.
    singles = {key: tensor.astype(np.float32) if tensor.dtype == np.float16 else tensor for key, tensor in tensors.items()}
    return Weights(network, whole(singles, network.parameter_shapes, name), sha256(data))


def whole(tensors: Mapping[str, Array], shapes: Mapping[str, tuple[int, ...]], name: str) -> dict[str, Array]:
    """The ``tensors``, of a file called ``name``, that ``shapes`` name, in that order. Raises InputError if one is missing, of
    another shape or type, or not finite."""
    for key, shape in shapes.items():
        tensor = tensors.get(key)
        if tensor is None or tensor.shape != shape or tensor.dtype != np.float32:
            raise InputError(f"{name!r} should hold {key} as float32 of shape {shape}")
        if not np.isfinite(tensor).all():
            raise InputError(f"{name!r} has values in {key} that are not finite")
    return {key: tensors[key] for key in shapes}
