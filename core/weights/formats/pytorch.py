"""PyTorch's files of a state dictionary: the zip of 2020, and the row of pickles and storages that came before.

Source: torch/serialization.py and torch/_utils.py.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from functools import partial
from typing import Any

from isostyle.errors import InputError
from isostyle.weights.formats import pickles
from isostyle.weights.formats.stored import MAX_HEADER, MAX_TENSORS, Index, Storage, Stored, itemsize, shape_of, whole
from isostyle.weights.sources import Source, Span, Stream

ZIP_START = b"PK\x03\x04"
#: torch.serialization.MAGIC_NUMBER, how it looks as a pickle of protocol 2, and the version after it.
LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
LEGACY_START = b"\x80\x02\x8a\x0al\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19."
LEGACY_PROTOCOL = 1001

FLOAT_STORAGES = {"Float": "float32", "Half": "float16", "Double": "float64", "BFloat16": "bfloat16"}
OTHER_STORAGES = {"Long": "int64", "Int": "int32", "Short": "int16", "Char": "int8", "Byte": "uint8", "Bool": "bool"}
STORAGES = {f"torch.{name}Storage": dtype for name, dtype in (FLOAT_STORAGES | OTHER_STORAGES).items()}
ORDERED = "collections.OrderedDict"
PARAMETER = "torch._utils._rebuild_parameter"
TENSORS = ("torch._utils._rebuild_tensor", "torch._utils._rebuild_tensor_v2")  # the first in files of 2017
NAMES = {ORDERED, PARAMETER, *TENSORS, *STORAGES}
#: Bytes of a local header in a zip file, and more than the padding that PyTorch puts behind it.
ZIP_HEADER, ZIP_PADDING = 30, 256
#: In a legacy file, the number of a storage's elements stands before them.
COUNT_SIZE = 8


def index_zip(source: Source) -> Index:
    """A zip whose members are stored, not compressed: ``NAME/data.pkl``, ``NAME/data/KEY``, ``NAME/byteorder``."""
    stream = Stream(source, most=MAX_HEADER)
    archive = zipfile.ZipFile(stream)  # reads the directory at its end
    stream.most = None
    members = {member.filename: member for member in archive.infolist()}
    if packed := next((own for own, member in members.items() if member.compress_type != zipfile.ZIP_STORED), None):
        raise InputError(f"{source.name} has {packed!r} compressed, which PyTorch's files are not")
    state = [own for own in members if own.count("/") == 1 and own.endswith("/data.pkl")]
    if len(state) != 1:
        raise InputError(f"{source.name} is a zip file, but none of PyTorch's: it has no data.pkl")
    folder, order = state[0].removesuffix("data.pkl"), state[0].replace("data.pkl", "byteorder")
    if any(members[own].file_size > MAX_HEADER for own in (state[0], order) if own in members):
        raise ValueError("its description is too long")
    big_endian = order in members and archive.read(order) == b"big"
    value, outside = pickles.load(io.BytesIO(archive.read(state[0])), source.name, NAMES)
    storages = {}
    for key, (dtype, count) in described(outside).items():
        if (member := members.get(f"{folder}data/{key}")) is None:
            continue
        if member.file_size != count * itemsize(dtype):
            raise ValueError(f"its storage {member.filename!r} has {member.file_size} bytes")
        storages[key] = Storage(dtype, region(member, source), partial(archive.read, member), big_endian)
    return index_of_state(value, storages, source.name)


def region(member: zipfile.ZipInfo, source: Source) -> Span:
    """Where a member's header and content are: the length of the header stands in the header only."""
    start = member.header_offset
    return start, min(source.size, start + ZIP_HEADER + len(member.orig_filename) + ZIP_PADDING + member.file_size)


def index_legacy(source: Source) -> Index:
    """Five pickles (a magic number, a version, the system, the state, the storages' keys), then the storages in that order."""
    stream = Stream(source, most=MAX_HEADER)
    magic, protocol, system = (pickles.load(stream, source.name)[0] for _ in range(3))
    if magic != LEGACY_MAGIC or protocol != LEGACY_PROTOCOL or not isinstance(system, dict):
        raise InputError(f"{source.name} is not a file of PyTorch's that isostyle knows")
    big_endian = system.get("little_endian") is False
    value, outside = pickles.load(stream, source.name, NAMES)
    keys, _ = pickles.load(stream, source.name)
    places = described(outside)
    if not all(isinstance(key, str) for key in keys) or sorted(keys) != sorted(places):
        raise ValueError("its list of storages does not fit its tensors")
    storages, place = {}, stream.tell()
    for key in keys:
        dtype, count = places[key]
        span = place, place + COUNT_SIZE + count * itemsize(dtype)
        storages[key] = Storage(dtype, span, partial(counted, source, span, count, big_endian), big_endian)
        place = span[1]
    return index_of_state(value, storages, source.name)


def counted(source: Source, span: Span, count: int, big_endian: bool) -> bytes:
    """The numbers of a storage without their count."""
    data = source.read(span[0], span[1] - span[0])
    if int.from_bytes(data[:COUNT_SIZE], "big" if big_endian else "little") != count:
        raise ValueError("a storage has another size than its description")
    return data[COUNT_SIZE:]


def described(outside: list[Any]) -> dict[str, tuple[str, int]]:
    """Type and number of elements of each storage by key.

    From persistent ids: ("storage", type, key, device, number of elements), and a sixth in files of before 2020.
    """
    found: dict[str, tuple[str, int]] = {}
    for kind, storage, key, _, count, *view in outside:
        if kind != "storage" or not isinstance(key, str) or view not in ([], [None]):
            raise ValueError("a storage is described in an unknown way")
        new = STORAGES[storage], whole(count, "a storage's size")
        if found.setdefault(key, new) != new:
            raise ValueError("a storage is described in two ways")
    return found


def items_of(value: Any) -> dict[str, Any]:
    """The items of a dictionary or an ordered one, which Python 2 makes of a list of pairs; none of anything else."""
    if isinstance(value, pickles.Call) and value.name == ORDERED and value.arguments:
        value = dict(value.arguments[0])
    if not isinstance(value, dict) or (isinstance(value, pickles.Call) and value.name != ORDERED):
        return {}
    if len(value) > MAX_TENSORS or not all(isinstance(key, str | int) for key in value):
        raise ValueError("a dictionary has too many keys, or one that is neither text nor a number")
    return {str(key): item for key, item in value.items()}


def index_of_state(value: Any, storages: Mapping[str, Storage], name: str) -> Index:
    """The tensors of a state dictionary; one that stands in another under ``state_dict`` or ``model`` is taken out."""
    state = items_of(value)
    for outer in ("state_dict", "model"):
        state = items_of(state.get(outer)) or state
    if not state:
        raise InputError(f"{name} holds no state dictionary (save `model.state_dict()`, not the model)")
    index = {}
    for own, tensor in state.items():
        if isinstance(tensor, pickles.Call) and tensor.name == PARAMETER:
            tensor = tensor.arguments[0]
        if isinstance(tensor, pickles.Call) and tensor.name in TENSORS:
            (_, _, key, *_), offset, size, strides, *_ = tensor.arguments
            if key not in storages:
                raise InputError(f"{name} lacks the numbers of {own!r}")
            index[own] = Stored(shape_of(size), storages[key], shape_of(strides), whole(offset, "an offset"))
    return index
