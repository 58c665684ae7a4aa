"""Tensors that are still in a file: their shapes, and where their numbers stand. What every format is read into first."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from isostyle.interface import Array
from isostyle.weights.sources import Span

#: A header of more than this is none of a VGG's.
MAX_HEADER = 2**20
MAX_TENSORS = 1000
MAX_DIMENSIONS = 8
#: No file has more of anything; products of two such numbers and a file's size fit into 64 bits.
MAX_NUMBER = 2**48

#: NumPy's names of the numbers that become float32; bfloat16 is the upper half of a float32.
FLOATS = {"float16": "f2", "float32": "f4", "float64": "f8", "bfloat16": "u2"}


@dataclass(frozen=True)
class Stored:
    """A tensor in a file, or part of a storage that several share."""

    shape: tuple[int, ...]
    #: float32, ...; whatever the file says, also what cannot be used.
    dtype: str
    #: Which bytes have to come for its storage.
    region: Span
    #: Reads the bytes of its storage; one function for all that share it.
    read: Callable[[], bytes]
    big_endian: bool = False
    #: In elements of the storage; None: in order, last axis fastest.
    strides: tuple[int, ...] | None = None
    offset: int = 0

    def array(self, data: bytes) -> Array:
        """The tensor as float32, from its storage's bytes. Raises TypeError or ValueError if they are too few."""
        kind = np.dtype(FLOATS[self.dtype]).newbyteorder(">" if self.big_endian else "<")
        strides = None if self.strides is None else tuple(step * kind.itemsize for step in self.strides)
        found: Array = np.ndarray(self.shape, kind, data, self.offset * kind.itemsize, strides)
        if self.dtype == "bfloat16":
            return (np.ascontiguousarray(found, np.uint32) << 16).view(np.float32)
        with np.errstate(over="ignore"):  # becomes infinite, and is refused as such
            # A copy: a view would keep the whole storage in memory.
            return np.array(found, np.float32, order="C")


#: The tensors of a file by name.
Index = Mapping[str, Stored]


def itemsize(dtype: str) -> int:
    """Bytes of a number."""
    return np.dtype(FLOATS.get(dtype, dtype)).itemsize


def whole(value: Any, what: str, most: int = MAX_NUMBER) -> int:
    """``value`` if it is a whole number that a file can have of something. Raises ValueError if not."""
    if type(value) is not int or not 0 <= value <= most:
        raise ValueError(f"{what} is no whole number that a file can have")
    return value


def shape_of(value: Any) -> tuple[int, ...]:
    """A shape whose product can be computed safely. Raises ValueError."""
    if not isinstance(value, list | tuple) or len(value) > MAX_DIMENSIONS:
        raise ValueError(f"a shape is no list of at most {MAX_DIMENSIONS} numbers")
    shape = tuple(whole(n, "a side") for n in value)
    whole(prod(shape), "the number of elements")
    return shape
