"""Safetensors files: the same bytes for the same content."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load as load_tensors

from isostyle.checks import parsed
from isostyle.system.kinds import foreign

Array = NDArray[Any]

#: No file is larger, whatever its header says.
MAX_SIZE = 2**48


class NotTensors(ValueError):
    """A file is none of safetensors, and no part of one: the error says what it is."""


def tensors_file(tensors: Mapping[str, Array], metadata: Mapping[str, str], dtype: str = "float32") -> bytes:
    """A safetensors file, in one dtype: the same bytes for the same content (the library orders metadata at random)."""
    kind = np.dtype(dtype).newbyteorder("<")
    header: dict[str, object] = {"__metadata__": dict(metadata)}
    place = 0
    for name, array in tensors.items():
        size = kind.itemsize * array.size
        header[name] = {"dtype": f"F{8 * kind.itemsize}", "shape": list(array.shape), "data_offsets": [place, place + size]}
        place += size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)  # so that the numbers stand at multiples of 8 bytes
    return b"".join([len(text).to_bytes(8, "little"), text, *(array.astype(kind).tobytes() for array in tensors.values())])


def read_tensors(data: bytes) -> tuple[dict[str, Array], dict[str, str]]:
    """The tensors and the metadata of a file. Raises NotTensors, KeyError, TypeError, ValueError if it has none."""
    if kind := foreign(data):
        raise NotTensors(f"it is {kind}")
    try:
        tensors = load_tensors(data)
    except SafetensorError:
        raise ValueError(f"it is {damage(data)}") from None
    header = header_of(data)
    if "__metadata__" not in header:
        raise ValueError("it has no metadata, so another program wrote it")
    return tensors, header["__metadata__"]


def header_of(data: bytes) -> Any:
    """The JSON before the numbers. Raises ValueError if it is none."""
    return parsed(json.loads, data[8 : 8 + int.from_bytes(data[:8], "little")])


def damage(data: bytes) -> str:
    """What is wrong with a file that begins as one of safetensors, and that their library does not read."""
    size = 8 + int.from_bytes(data[:8], "little")
    try:
        ends = [entry["data_offsets"][1] for name, entry in header_of(data).items() if name != "__metadata__"]
        size += max((end for end in ends if type(end) is int and end < MAX_SIZE), default=0)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError):
        pass  # of a header that is cut off, too
    if len(data) < size:
        return f"cut short: {len(data)} bytes are there, of at least {size}"
    return "damaged: its header does not describe what follows"
