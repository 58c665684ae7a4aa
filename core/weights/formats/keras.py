"""Keras' ``.h5``: groups by layer, kernels of shape (3, 3, in, out); h5py says where in the file the numbers are.

Source: keras/applications/vgg19.py (names of the layers) and the files' own groups.
"""

from __future__ import annotations

import re
from functools import partial
from math import prod
from typing import Any

from isostyle.errors import InputError
from isostyle.weights.formats.stored import FLOATS, MAX_TENSORS, Index, Storage, Stored, shape_of
from isostyle.weights.sources import Source, Stream

HDF5_START = b"\x89HDF\r\n\x1a\n"
LAYER = re.compile(r"block(\d)_conv(\d)")
#: block1_conv1_W_1:0 and block1_conv1_b_1:0 of 2016; kernel:0 and bias:0 since.
PARTS = (("weight", re.compile(r"kernel(:0)?|.*_W(_\d+)?(:0)?")), ("bias", re.compile(r"bias(:0)?|.*_b(_\d+)?(:0)?")))


def index_keras(source: Source) -> Index:
    try:
        import h5py
    except ImportError:
        raise InputError(f"{source.name} is Keras'; to read it: pip install 'isostyle[keras]'") from None
    source.fetch([(0, source.size)])
    items: list[Any] = []
    index: dict[str, Stored] = {}
    with h5py.File(Stream(source), "r") as file:
        file.visititems(lambda _, item: items.append(item))  # follows no links
        datasets = [item for item in items if isinstance(item, h5py.Dataset) and item.shape is not None]
        if len(items) > MAX_TENSORS:
            raise ValueError("it has too many groups")
        for item in datasets:
            name, stored = keras_tensor(item.name.removeprefix("/"), item, source)
            if name in index:
                raise ValueError(f"{name!r} stands twice")
            index[name] = stored
    return index


def keras_tensor(own: str, item: Any, source: Source) -> tuple[str, Stored]:
    """A dataset as the parameter that its path names, or under its path if it is none."""
    layer = next(filter(None, map(LAYER.fullmatch, reversed(own.split("/")))), None)
    kind = next((name for name, pattern in PARTS if pattern.fullmatch(own.rpartition("/")[2])), None)
    dtype, shape = item.dtype, shape_of(item.shape)
    number = dtype.name if dtype.kind == "f" and dtype.name in FLOATS else f"of type {dtype.name[:40]}"
    if layer is None or kind is None:
        return own.removeprefix("model_weights/"), Stored(shape, Storage(number, (0, 0), bytes))
    if item.chunks or item.external or item.is_virtual:
        raise ValueError(f"{own!r} is packed or elsewhere, not plainly in the file")
    start, size = item.id.get_offset(), prod(shape) * dtype.itemsize
    strides = None
    if len(shape) == 4:  # (height, width, in, out) in the file, (out, in, height, width) here
        height, width, into, out = shape
        shape, strides = (out, into, height, width), (1, out, width * into * out, into * out)
    storage = Storage(number, (start, start + size), partial(source.read, start, size), dtype.byteorder == ">")
    return f"conv{layer[1]}_{layer[2]}.{kind}", Stored(shape, storage, strides)
