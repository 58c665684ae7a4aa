"""PyTorch's files of a state dictionary: the zip of 2020, and the row of pickles and storages that came before.

Source: torch/serialization.py and torch/_utils.py.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from isostyle.errors import InputError
from isostyle.weights.formats import pickles
from isostyle.weights.formats.stored import MAX_HEADER, MAX_TENSORS, Index, Stored, as_input_error, shape_of, whole
from isostyle.weights.sources import Cursor, Source, Span

#: torch.serialization.MAGIC_NUMBER, how it looks as a pickle of protocol 2, and the version after it.
PYTORCH_MAGIC = 0x1950A86A20F9469CFC6C
PYTORCH_LEGACY_START = b"\x80\x02\x8a\x0al\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19."
PYTORCH_PROTOCOL = 1001

TORCH_STORAGES = {
    "FloatStorage": "float32",
    "HalfStorage": "float16",
    "DoubleStorage": "float64",
    "BFloat16Storage": "bfloat16",
    "LongStorage": "int64",
    "IntStorage": "int32",
    "ShortStorage": "int16",
    "CharStorage": "int8",
    "ByteStorage": "uint8",
    "BoolStorage": "bool",
}
TORCH_SIZES = {"float32": 4, "float16": 2, "float64": 8, "bfloat16": 2, "int64": 8, "int32": 4, "int16": 2}

#: Of _rebuild_tensor_v2 in today's torch: storage, offset, size, stride, requires_grad, hooks, metadata.
TENSOR_ARGUMENTS = 7


@dataclass(frozen=True)
class Storage:
    """A persistent id: where a tensor's numbers are, by a key."""

    dtype: str
    key: str
    count: int


@dataclass(frozen=True)
class TorchTensor:
    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def torch_tensor(arguments: tuple[Any, ...]) -> TorchTensor:
    """``torch._utils._rebuild_tensor_v2(storage, offset, size, stride, ...)``."""
    if not 4 <= len(arguments) <= TENSOR_ARGUMENTS or not isinstance(arguments[0], Storage):
        raise ValueError("a tensor is made in an unknown way")
    storage, offset, size, stride, *_ = arguments
    shape, strides = shape_of(size), shape_of(stride)
    if len(shape) != len(strides):
        raise ValueError("a tensor has fewer strides than sides")
    return TorchTensor(storage, whole(offset, "an offset"), shape, strides)


def torch_parameter(arguments: tuple[Any, ...]) -> Any:
    """``torch._utils._rebuild_parameter(tensor, requires_grad, hooks)``."""
    return arguments[0]


def ordered_dict(arguments: tuple[Any, ...]) -> dict[str, Any]:
    """``collections.OrderedDict()``, empty; Python 2 gives its items, as a list of lists."""
    if not arguments:
        return {}
    [items] = arguments
    if not isinstance(items, list):
        raise ValueError("a dictionary is made in an unknown way")
    found = {pickles.text_key(key): value for key, value in items}
    items.clear()  # so that a program cannot have the same long list copied again and again
    return found


TORCH_CALLS: pickles.Calls = {
    ("collections", "OrderedDict"): ordered_dict,
    ("torch._utils", "_rebuild_tensor"): torch_tensor,  # without the last arguments: files of 2017
    ("torch._utils", "_rebuild_tensor_v2"): torch_tensor,
    ("torch._utils", "_rebuild_parameter"): torch_parameter,
    **{("torch", name): None for name in TORCH_STORAGES},
}


def torch_storage(identity: Any) -> Storage:
    """A persistent id: ("storage", type, key, device, number of elements), and a sixth in files of before 2020."""
    if not isinstance(identity, tuple) or len(identity) not in (5, 6) or (len(identity) == 6 and identity[5] is not None):
        raise ValueError("a storage is described in an unknown way")
    kind, storage, key, _, count, *_ = identity
    if kind not in ("storage", b"storage") or not isinstance(storage, pickles.Name):
        raise ValueError("a storage is described in an unknown way")
    return Storage(TORCH_STORAGES[storage.name], pickles.text_key(key), whole(count, "a storage's size"))


def torch_state(value: Any, name: str) -> dict[str, TorchTensor]:
    """The tensors of a state dictionary; one that stands in another under ``state_dict`` or ``model`` is taken out."""
    for outer in ("state_dict", "model"):
        if isinstance(value, dict) and isinstance(value.get(outer), dict):
            value = value[outer]
    if not isinstance(value, dict) or len(value) > MAX_TENSORS:
        raise InputError(f"{name} holds no state dictionary (save `model.state_dict()`, not the model)")
    return {str(own): tensor for own, tensor in value.items() if isinstance(tensor, TorchTensor)}


def torch_index(
    tensors: Mapping[str, TorchTensor], where: Mapping[str, tuple[Span, Callable[[bytes], bytes]]], big_endian: bool, name: str
) -> Index:
    """The index, once it is known where each storage is."""
    index = {}
    for own, tensor in tensors.items():
        if tensor.storage.key not in where:
            raise InputError(f"{name} lacks the numbers of {own!r}")
        region, unwrap = where[tensor.storage.key]
        index[own] = Stored(tensor.shape, tensor.storage.dtype, region, unwrap, tensor.strides, tensor.offset, big_endian)
    return index


def index_pytorch_legacy(source: Source) -> Index:
    """Five pickles (a magic number, a version, the system, the state, the storages' keys), then the storages in that order."""
    cursor = Cursor(source)
    storages: dict[str, Storage] = {}

    def persistent(identity: Any) -> Storage:
        storage = torch_storage(identity)
        if storages.setdefault(storage.key, storage) != storage:
            raise ValueError("a storage is described in two ways")
        return storage

    magic, protocol, system = (pickles.load(cursor, {}) for _ in range(3))
    if magic != PYTORCH_MAGIC or protocol != PYTORCH_PROTOCOL or not isinstance(system, dict):
        raise InputError(f"{source.name} is not a file of PyTorch's that isostyle knows")
    tensors = torch_state(pickles.load(cursor, TORCH_CALLS, persistent), source.name)
    keys = pickles.load(cursor, {})
    where = {}
    try:
        keys = [pickles.text_key(key) for key in keys]
        if len({*keys}) != len(keys) or {*keys} != {*storages}:
            raise ValueError("its list of storages does not fit its tensors")
        for key in keys:
            storage = storages[key]
            begin = cursor.place
            cursor.skip(8)
            cursor.skip(storage.count * TORCH_SIZES.get(storage.dtype, 1))
            where[key] = (begin, cursor.place), counted(storage.count, big_endian=system.get("little_endian") is False)
    except (TypeError, ValueError) as error:
        raise as_input_error(error, f"{source.name} is a damaged file of PyTorch's") from None
    return torch_index(tensors, where, system.get("little_endian") is False, source.name)


def counted(count: int, *, big_endian: bool) -> Callable[[bytes], bytes]:
    """A storage has its number of elements before it."""

    def unwrap(data: bytes) -> bytes:
        if int.from_bytes(data[:8], "big" if big_endian else "little") != count:
            raise ValueError("its storage has another size than its description")
        return data[8:]

    return unwrap


def index_pytorch_zip(source: Source) -> Index:
    """A zip whose members are stored, not compressed: ``NAME/data.pkl``, ``NAME/data/KEY``, ``NAME/byteorder``."""
    members = zip_members(source)
    state = [own for own in members if own.count("/") == 1 and own.endswith("/data.pkl")]
    if len(state) != 1:
        raise InputError(f"{source.name} is a zip file, but none of PyTorch's: it has no data.pkl")
    folder = state[0].removesuffix("data.pkl")
    order = members.get(f"{folder}byteorder")
    big_endian = order is not None and order.content(source) == b"big"
    begin, end = members[state[0]].payload(source)
    tensors = torch_state(pickles.load(Cursor(source, begin, end), TORCH_CALLS, torch_storage), source.name)
    where = {}
    for tensor in tensors.values():
        member = members.get(f"{folder}data/{tensor.storage.key}")
        if member is None:
            continue
        if member.size != tensor.storage.count * TORCH_SIZES.get(tensor.storage.dtype, 1):
            raise InputError(f"{source.name} is damaged: the storage {member.name!r} has {member.size} bytes")
        where[tensor.storage.key] = member.region, member.unwrap
    return torch_index(tensors, where, big_endian, source.name)


# Zip files. Source: PKWARE's APPNOTE, sections 4.3.7 (local header), 4.3.12 (central directory), 4.3.14 to 4.3.16 (its end).

ZIP_START = b"PK\x03\x04"
ZIP_END, ZIP_END_SIZE = b"PK\x05\x06", 22
ZIP64_LOCATOR, ZIP64_LOCATOR_SIZE = b"PK\x06\x07", 20
ZIP64_END, ZIP64_END_SIZE = b"PK\x06\x06", 56
ZIP_CENTRAL, ZIP_CENTRAL_SIZE = b"PK\x01\x02", 46
ZIP_LOCAL_SIZE = 30
ZIP_COMMENT_MAX = 2**16 - 1


@dataclass(frozen=True)
class Member:
    """A stored member of a zip file. ``region``: its local header and all up to the next member's."""

    name: str
    size: int
    region: Span

    def unwrap(self, data: bytes) -> bytes:
        """The content, from the bytes of the region; the length of the local header stands in it only."""
        skip = self.header(data)
        if skip + self.size > len(data):
            raise ValueError("it reaches into the next member")
        return data[skip : skip + self.size]

    def header(self, data: bytes) -> int:
        if data[:4] != ZIP_START or len(data) < ZIP_LOCAL_SIZE:
            raise ValueError("its header in the zip file is damaged")
        return ZIP_LOCAL_SIZE + int.from_bytes(data[26:28], "little") + int.from_bytes(data[28:30], "little")

    def payload(self, source: Source) -> Span:
        begin, end = self.region
        try:
            skip = self.header(source.read(begin, min(ZIP_LOCAL_SIZE, end - begin)))
        except ValueError as error:
            raise as_input_error(error, f"{source.name} is damaged ({self.name!r})") from None
        if begin + skip + self.size > end:
            raise InputError(f"{source.name} is damaged: {self.name!r} reaches into the next member")
        return begin + skip, begin + skip + self.size

    def content(self, source: Source) -> bytes:
        begin, end = self.payload(source)
        return source.read(begin, min(end - begin, MAX_HEADER))


def zip_members(source: Source) -> dict[str, Member]:
    """The members by name; overlaps are impossible, since each has the room up to the next one's header only."""
    try:
        start, end, count = zip_directory(source)
        if end - start > MAX_HEADER or count > MAX_TENSORS:
            raise ValueError(f"its directory has {end - start} bytes")
        cursor = Cursor(source, start, end)
        rows: list[tuple[int, str, int]] = []
        for _ in range(count):
            fixed = cursor.take(ZIP_CENTRAL_SIZE)
            flags, method, _, _, _, packed, size, named, extras, comment = struct.unpack_from("<HHHHIIIHHH", fixed, 8)
            own = cursor.take(named).decode()
            extra = cursor.take(extras)
            cursor.take(comment)
            offset = int.from_bytes(fixed[42:46], "little")
            if fixed[:4] != ZIP_CENTRAL:
                raise ValueError("its directory is damaged")
            size, packed, offset = zip64_values(extra, size, packed, offset)
            if method or packed != size or flags & 1:
                raise ValueError(f"{own!r} is compressed or encrypted, which PyTorch's files are not")
            rows.append((offset, own, size))
        if len({own for _, own, _ in rows}) != len(rows):
            raise ValueError("a name stands twice")
    except (ValueError, struct.error) as error:
        raise as_input_error(error, f"{source.name} is a damaged zip file") from None
    rows.sort()
    limits = [*(offset for offset, _, _ in rows[1:]), start]
    return {own: Member(own, size, (offset, max(offset, end))) for (offset, own, size), end in zip(rows, limits, strict=True)}


def zip_directory(source: Source) -> tuple[int, int, int]:
    """Where the central directory begins and ends, and how many members it has."""
    length = min(source.size, ZIP_END_SIZE + ZIP_COMMENT_MAX)
    tail = source.read(source.size - length, length)
    at = tail.rfind(ZIP_END)
    if at < 0 or len(tail) < at + ZIP_END_SIZE:
        raise ValueError("it is cut short: it has no directory at its end")
    count, size, start = struct.unpack_from("<HII", tail, at + 10)
    end_at = source.size - length + at
    if tail[max(0, at - ZIP64_LOCATOR_SIZE) : at].startswith(ZIP64_LOCATOR):
        place = int.from_bytes(tail[at - 12 : at - 4], "little")
        record = source.read(whole(place, "the place of its directory"), ZIP64_END_SIZE)
        if not record.startswith(ZIP64_END):
            raise ValueError("its directory is damaged")
        count, size, start = struct.unpack_from("<QQQ", record, 32)
        end_at = place
    if start + size > end_at:
        raise ValueError("its directory is damaged")
    return start, start + size, count


def zip64_values(extra: bytes, *values: int) -> list[int]:
    """Sizes and offset, each taken from the extra field if its own says 0xFFFFFFFF. Source: APPNOTE 4.5.3."""
    found: list[int] = []
    place = 0
    while place + 4 <= len(extra):
        kind, length = struct.unpack_from("<HH", extra, place)
        if kind == 1:
            field_ = extra[place + 4 : place + 4 + length]
            found = [int.from_bytes(field_[i : i + 8], "little") for i in range(0, len(field_) - 7, 8)]
        place += 4 + length
    large = iter(found)
    try:
        return [whole(next(large) if value == 0xFFFFFFFF else value, "a size") for value in values]
    except StopIteration:
        raise ValueError("its directory lacks a size") from None
