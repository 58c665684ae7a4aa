"""MXNet's ``.params``: a list of arrays, each with its header, and then the list of their names.

Source: src/ndarray/ndarray.cc (NDArray::Save, NDArray::Load, LegacyLoad), 1.9.1.
"""

from __future__ import annotations

import io
from functools import partial
from math import prod

from isostyle.weights.formats.stored import MAX_DIMENSIONS, MAX_TENSORS, Index, Stored, itemsize, shape_of, whole
from isostyle.weights.sources import Source, Stream

HEADER_SIZE, DEVICE_SIZE = 16, 8
V1, V2, V3 = 0xF993FAC8, 0xF993FAC9, 0xF993FACA
DENSE = 0
#: By their numbers in the file.
DTYPES = {0: "float32", 1: "float64", 2: "float16", 3: "uint8", 4: "int32", 5: "int8", 6: "int64", 7: "bool", 12: "bfloat16"}


def index_mxnet(source: Source) -> Index:
    stream = Stream(source)
    stream.take(HEADER_SIZE)
    arrays = [next_array(stream) for _ in range(count(stream))]
    names = [stream.take(count(stream)).decode() for _ in range(count(stream))]
    return dict(zip(names, arrays, strict=True))


def count(stream: Stream) -> int:
    """The number of arrays or of letters that come next."""
    return whole(stream.number(8), "a number of arrays or letters", MAX_TENSORS)


def next_array(stream: Stream) -> Stored:
    magic = stream.number(4)
    wide = magic in (V1, V2, V3)
    if magic in (V2, V3) and stream.number(4) != DENSE:
        raise ValueError("an array is sparse")
    # Before V1, the number of dimensions stands where the magic number is now, and a side has four bytes.
    dimensions = whole(stream.number(4) if wide else magic, "a number of dimensions", MAX_DIMENSIONS)
    shape = shape_of([stream.number(8 if wide else 4) for _ in range(dimensions)])
    if not dimensions and magic != V3:
        return Stored((), "none", (0, 0), bytes)  # no array at all
    stream.take(DEVICE_SIZE)
    dtype = DTYPES[stream.number(4)]
    start, size = stream.tell(), prod(shape) * itemsize(dtype)
    stream.source.require(start, size)
    stream.seek(size, io.SEEK_CUR)
    return Stored(shape, dtype, (start, start + size), partial(stream.source.read, start, size))
