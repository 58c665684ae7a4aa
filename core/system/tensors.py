"""Safetensors files: the same bytes for the same content."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load as load_tensors

Array = NDArray[Any]


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
    """The tensors and the metadata of a file. Raises SafetensorError, KeyError, TypeError, ValueError if it has none."""
    tensors = load_tensors(data)
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    if "__metadata__" not in header:
        raise ValueError("it has no metadata, so another program wrote it")
    return tensors, header["__metadata__"]
