"""The formats that weights come in, told apart by their first bytes; safetensors, MXNet's and Keras' are read here."""

from __future__ import annotations

import json
import re
from math import prod
from typing import Any

import numpy as np

from isostyle.errors import InputError
from isostyle.weights.formats.paddle import index_paddle
from isostyle.weights.formats.pytorch import PYTORCH_LEGACY_START, ZIP_START, index_pytorch_legacy, index_pytorch_zip
from isostyle.weights.formats.stored import (
    FLOATS,
    MAX_DIMENSIONS,
    MAX_HEADER,
    MAX_NAME,
    MAX_TENSORS,
    Index,
    Stored,
    as_input_error,
    shape_of,
    whole,
)
from isostyle.weights.sources import Cursor, Source

FORMATS = ".pth, .safetensors, .pdparams, .params or .h5"
MXNET_LIST_MAGIC = 0x112  # MXNet, src/ndarray/ndarray.cc: kMXAPINDArrayListMagic
HDF5_START = b"\x89HDF\r\n\x1a\n"


def index_of(source: Source) -> tuple[str, Index]:
    """The format of a file, told from its first bytes, and its tensors."""
    start = source.read(0, min(source.size, 16))
    if start.startswith(ZIP_START):
        form, index = "pytorch-zip", index_pytorch_zip(source)
    elif start.startswith(PYTORCH_LEGACY_START[: len(start)]) and len(start) > 2:
        form, index = "pytorch-legacy", index_pytorch_legacy(source)
    elif start.startswith(HDF5_START):
        form, index = "keras", index_keras(source)
    elif start[:8] == MXNET_LIST_MAGIC.to_bytes(8, "little"):
        form, index = "mxnet", index_mxnet(source)
    elif start[:1] == b"\x80":
        form, index = "paddle", index_paddle(source)
    elif start[8:9] == b"{":
        form, index = "safetensors", index_safetensors(source)
    else:
        raise InputError(f"{source.name} is no file of weights that isostyle reads: {FORMATS}")
    for own, stored in index.items():
        first, end = stored.region
        if len(own) > MAX_NAME:
            raise InputError(f"{source.name} has a tensor with a name of {len(own)} letters")
        if not 0 <= first <= end <= source.size:
            raise InputError(
                f"{source.name} is cut short, or its header lies: {own!r} would end at byte {end} of {source.size}"
            )
    return form, index


# safetensors. Source: the format's own description; the header is JSON, the offsets count from its end.

SAFETENSORS_FLOATS = {"F16": "float16", "F32": "float32", "F64": "float64", "BF16": "bfloat16"}


def index_safetensors(source: Source) -> Index:
    cursor = Cursor(source)
    length = cursor.number(8)
    if length > min(MAX_HEADER, source.size - 8):
        raise InputError(f"{source.name} claims a header of {length} bytes")
    try:
        header = json.loads(cursor.take(length), object_pairs_hook=once)
        index, places = {}, []
        for own, entry in header.items():
            if own == "__metadata__":
                continue
            begin, end = (whole(n, "an offset") for n in entry["data_offsets"])
            shape, dtype = shape_of(entry["shape"]), SAFETENSORS_FLOATS.get(entry["dtype"], str(entry["dtype"])[:40])
            if dtype in FLOATS and end - begin != prod(shape) * np.dtype(FLOATS[dtype]).itemsize:
                raise ValueError(f"{own!r} has {end - begin} bytes for the shape {shape}")
            places.append((begin, end))
            index[own] = Stored(shape, dtype, (cursor.place + begin, cursor.place + end))
        # Whole and without gaps or overlaps, as the format demands.
        if any(last != begin for (_, last), (begin, _) in zip([(0, 0), *sorted(places)], sorted(places), strict=False)):
            raise ValueError("its tensors overlap or leave gaps")
        if cursor.place + max((end for _, end in places), default=0) != source.size:
            raise ValueError("its tensors do not end where it ends")
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise as_input_error(error, f"{source.name} is a safetensors file with a damaged header") from None
    return index


def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object in which no key stands twice."""
    if len({key for key, _ in pairs}) != len(pairs):
        raise ValueError("a name stands twice")
    return dict(pairs)


# MXNet. Source: src/ndarray/ndarray.cc (NDArray::Save, NDArray::Load, LegacyLoad), 1.9.1.

MXNET_V1, MXNET_V2, MXNET_V3 = 0xF993FAC8, 0xF993FAC9, 0xF993FACA
MXNET_TYPES = {
    0: "float32",
    1: "float64",
    2: "float16",
    3: "uint8",
    4: "int32",
    5: "int8",
    6: "int64",
    7: "bool",
    12: "bfloat16",
}
MXNET_SIZES = {
    "float32": 4,
    "float64": 8,
    "float16": 2,
    "uint8": 1,
    "int32": 4,
    "int8": 1,
    "int64": 8,
    "bool": 1,
    "bfloat16": 2,
}
MXNET_DENSE = 0


def index_mxnet(source: Source) -> Index:
    """A list of arrays, each with its header, and then the list of their names."""
    cursor = Cursor(source)
    try:
        cursor.take(16)
        arrays = [mxnet_array(cursor) for _ in range(bounded(cursor.number(8)))]
        names = [cursor.take(bounded(cursor.number(8))).decode() for _ in range(bounded(cursor.number(8)))]
        if len(names) != len(arrays) or len({*names}) != len(names):
            raise ValueError("its names do not fit its arrays")
    except ValueError as error:
        raise as_input_error(error, f"{source.name} is a damaged file of MXNet's") from None
    return dict(zip(names, arrays, strict=True))


def bounded(count: int) -> int:
    """A number of arrays, or of letters. Raises ValueError if it is absurd."""
    if count > MAX_TENSORS:
        raise ValueError(f"it claims {count} arrays or letters")
    return count


def mxnet_array(cursor: Cursor) -> Stored:
    magic = cursor.number(4)
    wide = magic in (MXNET_V1, MXNET_V2, MXNET_V3)
    if magic in (MXNET_V2, MXNET_V3) and cursor.number(4, signed=True) != MXNET_DENSE:
        raise ValueError("an array is sparse")
    # Before V1, the number of dimensions stands where the magic number is now, and a side has four bytes.
    dimensions = cursor.number(4, signed=True) if wide else magic
    if not 0 <= dimensions <= MAX_DIMENSIONS:
        raise ValueError(f"an array has {dimensions} dimensions")
    shape = shape_of([cursor.number(8 if wide else 4) for _ in range(dimensions)])
    if not dimensions and magic != MXNET_V3:  # no array at all
        return Stored((), "none", (cursor.place, cursor.place))
    cursor.take(8)  # the device that it was on
    number = cursor.number(4)
    if number not in MXNET_TYPES:
        raise ValueError(f"an array has the unknown type {number}")
    dtype = MXNET_TYPES[number]
    return Stored(shape, dtype, cursor.skip(prod(shape) * MXNET_SIZES[dtype]))


# Keras. Source: keras/applications/vgg19.py (names of the layers) and the files' own groups.

KERAS_LAYER = re.compile(r"block(\d)_conv(\d)")
#: block1_conv1_W_1:0 and block1_conv1_b_1:0 of 2016; kernel:0 and bias:0 since.
KERAS_PARTS = (("weight", re.compile(r"kernel(:0)?|.*_W(_\d+)?(:0)?")), ("bias", re.compile(r"bias(:0)?|.*_b(_\d+)?(:0)?")))
KERAS_DEPTH = 6


def index_keras(source: Source) -> Index:
    """Groups by layer, float32, kernels of shape (3, 3, in, out); read where they lie, by h5py's index of the file."""
    try:
        import h5py
    except ImportError:
        raise InputError(f"{source.name} is Keras'; to read it: pip install 'isostyle[keras]'") from None
    index: dict[str, Stored] = {}
    rows: list[tuple[str, Any]] = []

    def visit(group: Any, path: tuple[str, ...]) -> None:
        if len(path) > KERAS_DEPTH or len(rows) > MAX_TENSORS:
            raise ValueError("its groups are nested too deeply, or too many")
        for key in group:
            # Links into other files, and round in circles, are not followed.
            if group.get(key, getlink=True).__class__ is not h5py.HardLink:
                raise ValueError(f"{key!r} is a link")
            item = group[key]
            if isinstance(item, h5py.Group):
                visit(item, (*path, key))
            else:
                rows.append(("/".join((*path, key)), item))

    try:
        with h5py.File(source.local(), "r", locking=False) as file:
            visit(file, ())
            for own, item in rows:
                stored = keras_tensor(own, item)
                if stored is not None:
                    if stored[0] in index:
                        raise ValueError(f"{stored[0]!r} stands twice")
                    index[stored[0]] = stored[1]
    except (OSError, ValueError, TypeError, KeyError, RuntimeError, AttributeError, RecursionError, MemoryError) as error:
        raise as_input_error(error, f"{source.name} is a file of Keras' that cannot be read") from None
    return index


def keras_tensor(own: str, item: Any) -> tuple[str, Stored] | None:
    """A dataset as the parameter that its path names, or under its path if it is none; None for an empty one."""
    if item.shape is None:
        return None
    layer = KERAS_LAYER.fullmatch(next((part for part in reversed(own.split("/")) if KERAS_LAYER.fullmatch(part)), ""))
    kind = next((name for name, pattern in KERAS_PARTS if pattern.fullmatch(own.rpartition("/")[2])), None)
    dtype, shape = item.dtype, shape_of(item.shape)
    size = prod(shape) * dtype.itemsize
    start = item.id.get_offset() if not (item.chunks or item.external or item.is_virtual) else None
    number = dtype.name if dtype.kind == "f" and dtype.name in FLOATS else f"of type {dtype.name[:40]}"
    if layer is None or kind is None:
        return own.removeprefix("model_weights/"), Stored(shape, number, (0, 0))
    if start is None:
        raise ValueError(f"{own!r} is packed or elsewhere, not plainly in the file")
    strides = None
    if len(shape) == 4:  # (height, width, in, out) in the file, (out, in, height, width) here
        height, width, into, out = shape
        shape, strides = (out, into, height, width), (1, out, width * into * out, into * out)
    name = f"conv{layer[1]}_{layer[2]}.{kind}"
    return name, Stored(shape, number, (start, start + size), bytes, strides, 0, dtype.byteorder == ">")
