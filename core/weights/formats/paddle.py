"""Paddle's ``.pdparams``: a pickle of a dictionary of NumPy arrays. It is read whole, since the numbers stand in the pickle.

Source: paddle/framework/io.py; numpy/core/src/multiarray/methods.c (array_reduce).
"""

from __future__ import annotations

from functools import partial
from math import prod
from typing import Any

import numpy as np

from isostyle.errors import InputError
from isostyle.weights.formats import pickles
from isostyle.weights.formats.pickles import Call, is_call
from isostyle.weights.formats.pytorch import ORDERED, items_of
from isostyle.weights.formats.stored import Index, Stored, shape_of
from isostyle.weights.sources import Source, Stream

ARRAYS = ("numpy.core.multiarray._reconstruct", "numpy._core.multiarray._reconstruct")
DTYPE, ENCODE = "numpy.dtype", "_codecs.encode"
#: How some Paddles write a parameter: the tuple (name, array).
PAIRS = ("builtins.tuple", "__builtin__.tuple")
NAMES = {ORDERED, DTYPE, ENCODE, "numpy.ndarray", *ARRAYS, *PAIRS}


def index_paddle(source: Source) -> Index:
    source.fetch([(0, source.size)])
    value, _ = pickles.load(Stream(source), source.name, NAMES)
    if not (found := items_of(value)):
        raise InputError(f"{source.name} is a pickle, but not of a dictionary of arrays, as Paddle's .pdparams are")
    index = {}
    for own, value in found.items():
        if is_call(value, *PAIRS):
            [value] = value.arguments
        if isinstance(value, tuple) and len(value) == 2:
            value = value[1]
        if is_call(value, *ARRAYS):
            index[own] = stored_array(value)
    return index


def stored_array(array: Call) -> Stored:
    """``_reconstruct(numpy.ndarray, (0,), b"b")``, completed by (version, shape, dtype, Fortran order, bytes)."""
    _, sides, dtype, fortran, data = array.state
    if not is_call(dtype, DTYPE):
        raise ValueError("an array has no type of numbers")
    big_endian = dtype.state is not None and dtype.state[1] == ">"
    shape = shape_of(sides)
    strides = tuple(prod(shape[:axis]) for axis in range(len(shape))) if fortran else None
    return Stored(shape, np.dtype(str(dtype.arguments[0])).name, (0, 0), partial(content, data), big_endian, strides)


def content(data: Any) -> bytes:
    """An array's bytes; protocol 2 has ``_codecs.encode(text, "latin1")`` for them, and Python 2 the text itself."""
    if is_call(data, ENCODE) and data.arguments[1:] == ("latin1",):
        data = data.arguments[0]
    if isinstance(data, str):
        return data.encode("latin-1")
    if not isinstance(data, bytes):
        raise ValueError("its bytes are written in an unknown way")
    return data
