"""safetensors, of which only the header is read first: JSON, whose offsets count from its end.

Source: the format's own description, github.com/huggingface/safetensors.
"""

from __future__ import annotations

import json
from functools import partial
from math import prod

from isostyle.weights.formats.stored import FLOATS, MAX_HEADER, Index, Storage, Stored, itemsize, shape_of, whole
from isostyle.weights.sources import Source, Stream

DTYPES = {"F16": "float16", "F32": "float32", "F64": "float64", "BF16": "bfloat16"}


def is_safetensors(begin: bytes) -> bool:
    """Whether a file begins with the length of a header in eight bytes, of which four suffice, and a JSON object."""
    return begin[4:9] == b"\0\0\0\0{"


def index_safetensors(source: Source) -> Index:
    stream = Stream(source, most=MAX_HEADER)
    header = json.loads(stream.take(stream.number(8)))
    index = {}
    for own, entry in header.items():
        if own == "__metadata__":
            continue
        begin, end = (whole(n, "an offset") for n in entry["data_offsets"])
        shape, dtype = shape_of(entry["shape"]), DTYPES.get(entry["dtype"], str(entry["dtype"])[:40])
        if dtype in FLOATS and end - begin != prod(shape) * itemsize(dtype):
            raise ValueError(f"{own!r} has {end - begin} bytes for the shape {shape}")
        start = stream.tell() + begin
        region = start, stream.tell() + end
        index[own] = Stored(shape, Storage(dtype, region, partial(source.read, start, end - begin)))
    return index
