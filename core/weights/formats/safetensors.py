"""safetensors, of which only the header is read first: JSON, whose offsets count from its end.

Source: the format's own description, github.com/huggingface/safetensors.
"""

from __future__ import annotations

import json
from functools import partial
from math import prod

from isostyle.weights.formats.stored import FLOATS, MAX_HEADER, Index, Stored, itemsize, shape_of, whole
from isostyle.weights.sources import Source, Stream

DTYPES = {"F16": "float16", "F32": "float32", "F64": "float64", "BF16": "bfloat16"}


def index_safetensors(source: Source) -> Index:
    stream = Stream(source)
    header = json.loads(stream.take(whole(stream.number(8), "a header's length", MAX_HEADER)))
    header.pop("__metadata__", None)
    index = {}
    for own, entry in header.items():
        start, end = (stream.tell() + whole(n, "an offset") for n in entry["data_offsets"])
        shape, dtype = shape_of(entry["shape"]), DTYPES.get(entry["dtype"], str(entry["dtype"])[:40])
        if dtype in FLOATS and end - start != prod(shape) * itemsize(dtype):
            raise ValueError(f"{own!r} has {end - start} bytes for the shape {shape}")
        index[own] = Stored(shape, dtype, (start, end), partial(source.read, start, end - start))
    return index
