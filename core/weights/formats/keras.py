"""Keras' ``.h5``: groups by layer, kernels of shape (3, 3, in, out); h5py says where in the file the numbers are.

Source: keras/applications/vgg19.py (names of the layers) and the files' own groups.
"""

from __future__ import annotations

import re
from functools import partial
from math import prod
from typing import Any

from isostyle.errors import InputError
from isostyle.weights.formats.stored import MAX_TENSORS, Index, Stored, shape_of
from isostyle.weights.sources import Source, Stream

#: block1_conv1_W_1:0 and block1_conv1_b_1:0 of 2016; kernel:0 and bias:0 since.
TENSOR = re.compile(r"(?:.*/)?block(\d)_conv(\d)/(?:.*[/_])?(?:(kernel|W)|bias|b)(_\d+)?(:0)?")


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
        if len(items) > MAX_TENSORS:
            raise ValueError("it has too many groups")
        for item in items:
            if isinstance(item, h5py.Dataset) and item.shape is not None:
                name, stored = keras_tensor(item, source)
                if name in index:
                    raise ValueError(f"{name!r} stands twice")
                index[name] = stored
    return index


def keras_tensor(item: Any, source: Source) -> tuple[str, Stored]:
    """A dataset as the parameter that its path names, or under its path if it is none."""
    own, shape, dtype = item.name.removeprefix("/").removeprefix("model_weights/"), shape_of(item.shape), item.dtype
    if (found := TENSOR.fullmatch(own)) is None:
        return own, Stored(shape, dtype.name[:40], (0, 0), bytes)
    if item.chunks or item.external or item.is_virtual:
        raise ValueError(f"{own!r} is packed or elsewhere, not plainly in the file")
    start, size, strides = item.id.get_offset(), prod(shape) * dtype.itemsize, None
    if len(shape) == 4:  # (height, width, in, out) in the file, (out, in, height, width) here
        height, width, into, out = shape
        shape, strides = (out, into, height, width), (1, out, width * into * out, into * out)
    name, read = f"conv{found[1]}_{found[2]}.{'weight' if found[3] else 'bias'}", partial(source.read, start, size)
    return name, Stored(shape, dtype.name[:40], (start, start + size), read, dtype.byteorder == ">", strides)
