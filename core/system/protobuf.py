"""Protocol Buffers' wire format, as far as a writer needs it: https://protobuf.dev/programming-guides/encoding.

The packages that write it take longer to import than a picture takes to paint.
"""

from __future__ import annotations

import struct
from typing import TypeAlias

#: A number of 64 bits, a float of 32, a text, or bytes: a message in a message, or data.
Value: TypeAlias = int | float | str | bytes
#: Wire types, the lower three bits of a field's key.
VARINT, LENGTH, FIXED32 = 0, 2, 5


def message(*fields: tuple[int, Value]) -> bytes:
    """A message of fields, each its number and its value; a repeated field stands there as often."""
    return b"".join(encoded(number, value) for number, value in fields)


def encoded(number: int, value: Value) -> bytes:
    if isinstance(value, float):
        return varint(number << 3 | FIXED32) + struct.pack("<f", value)
    if isinstance(value, int):
        return varint(number << 3 | VARINT) + varint(value)
    data = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | LENGTH) + varint(len(data)) + data


def varint(number: int) -> bytes:
    """Seven bits in each byte, the lowest first; the highest bit says that more follow. Two's complement if it is negative."""
    number %= 2**64
    found = bytearray()
    while number > 0x7F:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*found, number])
