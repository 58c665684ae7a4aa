"""Tensors that are still in a file: their shapes, and where their numbers stand. What every format is read into first."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from isostyle.errors import InputError
from isostyle.interface import Array
from isostyle.system.files import reason
from isostyle.weights.sources import Span

#: A header of more than this is none of a VGG's.
MAX_HEADER = 2**20
MAX_TENSORS = 1000
MAX_NAME = 200
#: Two of VGG-19 in float64. A tensor's storage is read whole, and can be larger than the tensor.
MAX_REGION = 2**28
MAX_DIMENSIONS = 8

#: numpy's names of the numbers that become float32; bfloat16 is the upper half of a float32.
FLOATS = {"float16": "f2", "float32": "f4", "float64": "f8", "bfloat16": "u2"}


@dataclass(frozen=True)
class Stored:
    """A tensor in a file."""

    shape: tuple[int, ...]
    #: float32, ...; whatever the file says, also what cannot be used.
    dtype: str
    #: Which bytes have to be read for it ...
    region: Span
    #: ... and which of them are its storage. Raises ValueError if they do not fit together.
    unwrap: Callable[[bytes], bytes] = bytes
    #: In elements of the storage; None: in order, last axis fastest.
    strides: tuple[int, ...] | None = None
    offset: int = 0
    big_endian: bool = False

    def array(self, data: bytes) -> Array:
        """The tensor as float32, from the bytes of its region.

        float16 and bfloat16 become the same numbers; float64 is rounded to the nearest.
        """
        storage = np.frombuffer(self.unwrap(data), np.dtype(FLOATS[self.dtype]).newbyteorder(">" if self.big_endian else "<"))
        if self.strides is None:
            found = storage.reshape(self.shape)
        else:
            last = self.offset + sum((n - 1) * step for n, step in zip(self.shape, self.strides, strict=True))
            if min(self.strides, default=0) < 0 or self.offset < 0 or last >= storage.size:
                raise ValueError("it reaches beyond its storage")
            steps = tuple(step * storage.itemsize for step in self.strides)
            found = np.lib.stride_tricks.as_strided(storage[self.offset :], self.shape, steps, writeable=False)
        if self.dtype == "bfloat16":
            found = np.ascontiguousarray(found, np.uint32) << 16
            return found.view(np.float32)
        with np.errstate(over="ignore"):  # becomes infinite, and is refused as such
            # A copy: a view would keep the whole storage in memory.
            return np.array(found, np.float32, order="C")


def given(content: Callable[[], bytes]) -> Callable[[bytes], bytes]:
    """For a tensor whose bytes are in memory already: whatever is read is not looked at."""
    return lambda _: content()


#: The tensors of a file by name.
Index = Mapping[str, Stored]


def whole(value: Any, what: str) -> int:
    """``value`` if it is a whole number that a file can have of something. Raises ValueError if not."""
    if type(value) is not int or not 0 <= value < 2**48:
        raise ValueError(f"{what} is {str(value)[:40]!r}")
    return value


def shape_of(value: Any) -> tuple[int, ...]:
    """A shape whose product can be computed safely. Raises ValueError."""
    if not isinstance(value, list | tuple) or len(value) > MAX_DIMENSIONS:
        raise ValueError("a shape is no list of at most 8 numbers")
    shape = tuple(whole(n, "a side") for n in value)
    whole(prod(shape), "the number of elements")
    return shape


def as_input_error(error: Exception, text: str) -> InputError:
    """An InputError as it is; any other with ``text`` before it."""
    return error if isinstance(error, InputError) else InputError(f"{text}: {reason(error)[:200]}")
