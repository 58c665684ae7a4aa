"""MXNet's ``.params``: a list of arrays, each with its header, and then the list of their names.

Source: src/ndarray/ndarray.cc (NDArray::Save, NDArray::Load, LegacyLoad), 1.9.1.
"""

from __future__ import annotations

import io
from functools import partial
from math import prod

from isostyle.weights.formats.stored import MAX_DIMENSIONS, MAX_TENSORS, Index, Storage, Stored, itemsize, shape_of
from isostyle.weights.sources import Source, Stream

#: kMXAPINDArrayListMagic, as the file begins with it.
LIST_START = (0x112).to_bytes(8, "little")
HEADER_SIZE, DEVICE_SIZE = 16, 8
V1, V2, V3 = 0xF993FAC8, 0xF993FAC9, 0xF993FACA
DENSE = 0
#: By their numbers in the file.
DTYPES = {0: "float32", 1: "float64", 2: "float16", 3: "uint8", 4: "int32", 5: "int8", 6: "int64", 7: "bool", 12: "bfloat16"}


def index_mxnet(source: Source) -> Index:
    stream = Stream(source)
    stream.take(HEADER_SIZE)
    arrays = [one_array(stream) for _ in range(bounded(stream.number(8)))]
    names = [stream.take(bounded(stream.number(8))).decode() for _ in range(bounded(stream.number(8)))]
    return dict(zip(names, arrays, strict=True))


def bounded(count: int) -> int:
    """A number of arrays, or of letters. Raises ValueError if it is absurd."""
    if count > MAX_TENSORS:
        raise ValueError(f"it claims {count} arrays or letters")
    return count


def one_array(stream: Stream) -> Stored:
    """The array at whose header ``stream`` is, and which it stands behind afterwards."""
    magic = stream.number(4)
    wide = magic in (V1, V2, V3)
    if magic in (V2, V3) and stream.number(4, signed=True) != DENSE:
        raise ValueError("an array is sparse")
    # Before V1, the number of dimensions stands where the magic number is now, and a side has four bytes.
    dimensions = stream.number(4, signed=True) if wide else magic
    if not 0 <= dimensions <= MAX_DIMENSIONS:
        raise ValueError(f"an array has {dimensions} dimensions")
    shape = shape_of([stream.number(8 if wide else 4) for _ in range(dimensions)])
    if not dimensions and magic != V3:
        return Stored((), Storage("none", (0, 0), bytes))  # no array at all
    stream.take(DEVICE_SIZE)
    dtype = DTYPES[stream.number(4)]
    start, size = stream.tell(), prod(shape) * itemsize(dtype)
    stream.source.require(start, size)
    stream.seek(size, io.SEEK_CUR)
    return Stored(shape, Storage(dtype, (start, start + size), partial(stream.source.read, start, size)))
