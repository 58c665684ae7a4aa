"""PyTorch's files of a state dictionary: the zip of 2020, and the row of pickles and storages that came before.

Source: torch/serialization.py and torch/_utils.py.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from isostyle.errors import InputError
from isostyle.weights.formats import pickles
from isostyle.weights.formats.pickles import is_call
from isostyle.weights.formats.stored import MAX_HEADER, MAX_TENSORS, Index, Stored, itemsize, shape_of, whole
from isostyle.weights.sources import Source, Span, Stream

#: Of the format before the zip.
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
    state = next((own for own in members if own.count("/") == 1 and own.endswith("/data.pkl")), None)
    if state is None:
        raise InputError(f"{source.name} is a zip file, but none of PyTorch's: it has no data.pkl")
    if packed := next((own for own, member in members.items() if member.compress_type != zipfile.ZIP_STORED), None):
        raise InputError(f"{source.name} has {packed!r} compressed, which PyTorch's files are not")
    folder, order = state.removesuffix("data.pkl"), state.replace("data.pkl", "byteorder")
    if any(members[own].file_size > MAX_HEADER for own in (state, order) if own in members):
        raise ValueError("its description is too long")
    big_endian = order in members and archive.read(order) == b"big"
    value, outside = pickles.load(io.BytesIO(archive.read(state)), source.name, NAMES)
    storages = {}
    for key, (dtype, size) in described(outside).items():
        if (member := members.get(f"{folder}data/{key}")) is None:
            continue
        if member.file_size != size:
            raise ValueError(f"its storage {member.filename!r} has {member.file_size} bytes")
        storages[key] = Stored((), dtype, region(member, source), partial(archive.read, member), big_endian)
    return index_of_state(value, storages, source.name)


def region(member: zipfile.ZipInfo, source: Source) -> Span:
    """Where a member's header and content are: the length of the header stands in the header only."""
    start = member.header_offset
    return start, min(source.size, start + ZIP_HEADER + len(member.orig_filename) + ZIP_PADDING + member.file_size)


def index_legacy(source: Source) -> Index:
    """Five pickles (a magic number, a version, the system, the state, the storages' keys), then the storages in that order."""
    stream = Stream(source, most=MAX_HEADER)
    _, protocol, system = (pickles.load(stream, source.name)[0] for _ in range(3))
    if protocol != LEGACY_PROTOCOL or not isinstance(system, dict):
        raise InputError(f"{source.name} is not a file of PyTorch's that isostyle knows")
    big_endian = system.get("little_endian") is False
    value, outside = pickles.load(stream, source.name, NAMES)
    keys, _ = pickles.load(stream, source.name)
    places = described(outside)
    if not all(isinstance(key, str) for key in keys) or sorted(keys) != sorted(places):
        raise ValueError("its list of storages does not fit its tensors")
    storages, place = {}, stream.tell()
    for key in keys:
        dtype, size = places[key]
        start = place + COUNT_SIZE
        place = start + size
        storages[key] = Stored((), dtype, (start, place), partial(source.read, start, size), big_endian)
    return index_of_state(value, storages, source.name)


def described(outside: list[Any]) -> dict[str, tuple[str, int]]:
    """Type and bytes of each storage by key. ``outside``: ("storage", type, key, device, elements), until 2020 with a sixth."""
    found: dict[str, tuple[str, int]] = {}
    for kind, storage, key, _, count, *view in outside:
        if kind != "storage" or not isinstance(key, str) or view not in ([], [None]):
            raise ValueError("a storage is described in an unknown way")
        dtype = STORAGES[storage]
        found[key] = dtype, whole(count, "a storage's size") * itemsize(dtype)
    return found


def items_of(value: Any) -> dict[str, Any]:
    """The items of a dictionary or an ordered one, which Python 2 makes of a list of pairs; none of anything else."""
    if is_call(value, ORDERED) and value.arguments:
        value = dict(value.arguments[0])
    if not isinstance(value, dict) or (isinstance(value, pickles.Call) and value.name != ORDERED):
        return {}
    if len(value) > MAX_TENSORS or not all(isinstance(key, str | int) for key in value):
        raise ValueError("a dictionary has too many keys, or one that is neither text nor a number")
    return {str(key): item for key, item in value.items()}


def index_of_state(value: Any, storages: Mapping[str, Stored], name: str) -> Index:
    """The tensors of a state dictionary; one that stands in another under ``state_dict`` or ``model`` is taken out."""
    state = items_of(value)
    for outer in ("state_dict", "model"):
        state = items_of(state.get(outer)) or state
    if not state:
        raise InputError(f"{name} holds no state dictionary (save `model.state_dict()`, not the model)")
    index = {}
    for own, tensor in state.items():
        if is_call(tensor, PARAMETER):
            tensor = tensor.arguments[0]
        if is_call(tensor, *TENSORS):
            (_, _, key, *_), offset, size, strides, *_ = tensor.arguments
            if key not in storages:
                raise InputError(f"{name} lacks the numbers of {own!r}")
            shape, steps = shape_of(size), shape_of(strides)
            index[own] = replace(storages[key], shape=shape, strides=steps, offset=whole(offset, "an offset"))
    return index
