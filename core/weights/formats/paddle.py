"""Paddle's ``.pdparams``: a pickle of a dictionary of NumPy arrays.

Source: paddle/framework/io.py; numpy/core/src/multiarray/methods.c (array_reduce).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from math import prod
from typing import Any

from isostyle.errors import InputError
from isostyle.weights.formats import pickles
from isostyle.weights.formats.pytorch import ordered_dict
from isostyle.weights.formats.stored import FLOATS, MAX_TENSORS, Index, Stored, given, shape_of
from isostyle.weights.sources import Cursor, Source, Span


@dataclass
class NumpyType(pickles.Built):
    """``numpy.dtype("f4", False, True)``, completed by (version, byte order, ...)."""

    name: str
    order: str = "="

    def state(self, value: Any) -> None:
        self.order = {"<": "<", ">": ">", "|": "|", "=": "="}[value[1] if isinstance(value[1], str) else value[1].decode()]


@dataclass
class NumpyArray(pickles.Built):
    """``_reconstruct(numpy.ndarray, (0,), b"b")``, completed by (version, shape, dtype, Fortran order, bytes)."""

    shape: tuple[int, ...] = ()
    type: NumpyType = field(default_factory=lambda: NumpyType("none"))
    fortran: bool = False
    data: bytes | pickles.Blob = b""

    def state(self, value: Any) -> None:
        _, shape, own, fortran, data = value
        data = data.encode("latin-1") if isinstance(data, str) else data
        if not isinstance(own, NumpyType) or not isinstance(data, bytes | pickles.Blob):
            raise ValueError("an array is described in an unknown way")
        self.shape, self.type, self.fortran, self.data = shape_of(shape), own, bool(fortran), data


#: Only plain numbers, as NumPy's codes of kind and size.
NUMPY_TYPES = {"f2": "float16", "f4": "float32", "f8": "float64"} | {
    f"{kind}{size}": f"{'u' if kind == 'u' else ''}int{8 * size}" for kind in "iu" for size in (1, 2, 4, 8)
}
NUMPY_TYPES |= {"b1": "bool"}


def numpy_type(arguments: tuple[Any, ...]) -> NumpyType:
    code = arguments[0].decode() if isinstance(arguments[0], bytes) else arguments[0]
    if not isinstance(code, str) or code not in NUMPY_TYPES:
        raise ValueError(f"an array's type is {str(code)[:40]!r}, not plain numbers")
    return NumpyType(NUMPY_TYPES[code])


def numpy_array(arguments: tuple[Any, ...]) -> NumpyArray:
    if len(arguments) != 3 or arguments[0] != pickles.Name("numpy", "ndarray"):
        raise ValueError("an array is made in an unknown way")
    return NumpyArray()


def latin1(arguments: tuple[Any, ...]) -> bytes | pickles.Blob:
    """``_codecs.encode(text, "latin1")``: how protocol 2 writes bytes."""
    text, encoding = arguments
    if encoding != "latin1":
        raise ValueError("bytes are written in an unknown way")
    if isinstance(text, pickles.Blob) and text.text:
        return pickles.Blob(text.start, text.length, text=True, latin1=True)
    if not isinstance(text, str):
        raise ValueError("bytes are written in an unknown way")
    return text.encode("latin-1")


def pair(arguments: tuple[Any, ...]) -> Any:
    """``tuple((name, array))``: how some Paddles write a parameter."""
    [items] = arguments
    return tuple(items) if isinstance(items, tuple | list) and len(items) == 2 else None


PADDLE_CALLS: pickles.Calls = {
    ("collections", "OrderedDict"): ordered_dict,
    ("_codecs", "encode"): latin1,
    **{(module, "tuple"): pair for module in ("builtins", "__builtin__")},
    **{(module, "_reconstruct"): numpy_array for module in ("numpy.core.multiarray", "numpy._core.multiarray")},
    ("numpy", "ndarray"): None,
    ("numpy", "dtype"): numpy_type,
}


def index_paddle(source: Source) -> Index:
    value = pickles.load(Cursor(source), PADDLE_CALLS)
    if not isinstance(value, dict) or len(value) > MAX_TENSORS:
        raise InputError(f"{source.name} is a pickle, but not of a dictionary of arrays, as Paddle's .pdparams are")
    index = {}
    for own, found in value.items():
        array = found[1] if isinstance(found, tuple) and len(found) == 2 else found
        if isinstance(array, NumpyArray):
            index[str(own)] = stored_array(array, str(own), source)
    return index


def stored_array(array: NumpyArray, own: str, source: Source) -> Stored:
    """Where a pickled array's bytes are; the very short ones were read with the program."""
    dtype, data = array.type.name, array.data
    size = prod(array.shape) * {"float16": 2, "float32": 4, "float64": 8}.get(dtype, 1)
    region: Span = (0, 0)
    unwrap: Callable[[bytes], bytes] = bytes
    if isinstance(data, pickles.Blob):
        region = data.start, data.start + data.length
        if data.text != data.latin1:
            raise InputError(f"{source.name} holds {own!r} as text")
        unwrap = from_text if data.text else bytes
    length = len(data) if isinstance(data, bytes) else data.length
    # As text, a byte above 127 takes two.
    if dtype in FLOATS and not size <= length <= (2 * size if isinstance(data, pickles.Blob) and data.text else size):
        raise InputError(f"{source.name} holds {own!r} with the wrong number of bytes for the shape {array.shape}")
    strides = None
    if array.fortran:
        strides = tuple(prod(array.shape[:axis]) for axis in range(len(array.shape)))
    if isinstance(data, bytes):
        unwrap = given(lambda: data)
    return Stored(array.shape, dtype, region, unwrap, strides, 0, array.type.order == ">")


def from_text(data: bytes) -> bytes:
    """Bytes that were written as the characters 0 to 255 in UTF-8."""
    return data.decode().encode("latin-1")
