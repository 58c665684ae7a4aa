"""What a style network's file and a training's checkpoint have in common: safetensors, with JSON in its metadata."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from safetensors import SafetensorError

from isostyle.checks import parsed
from isostyle.errors import InputError
from isostyle.interface import Array
from isostyle.system.files import reason
from isostyle.system.tensors import NotTensors, read_tensors

#: What the library, JSON and Python raise for a file that is broken, or not ours.
BROKEN = (SafetensorError, KeyError, TypeError, ValueError, OverflowError, AttributeError)


def read_parts(data: bytes, name: str, what: str, schema: str) -> tuple[dict[str, Array], dict[str, str]]:
    """Tensors and metadata of ``data``, the bytes of a file called ``name``, which should be ``what``, as ``"a checkpoint"``.

    Raises:
        InputError: it is no whole file, of another kind, or of another version.
    """
    try:
        tensors, metadata = read_tensors(data)
        found = str(metadata.get("schema", "another program's"))
    except NotTensors as error:
        raise InputError(f"{name!r} is not {what}: {error}") from None
    except BROKEN as error:
        raise InputError(f"{name!r} is not {what}, or not all of it: {reason(error)}") from None
    if found == schema:
        return tensors, metadata
    if found.partition("/")[0] == schema.partition("/")[0]:
        raise InputError(f"{name!r} is {what} of another version of isostyle: it is {found[:60]!r}, not {schema!r}")
    raise InputError(f"{name!r} is not {what} that this isostyle reads: it is {found[:60]!r}, not {schema!r}")


def json_of(metadata: Mapping[str, str], key: str, kind: type) -> Any:
    """The JSON under ``key``, which should be a ``dict`` or a ``list``.

    Raises:
        KeyError, TypeError, ValueError: it is not there, no JSON, or of another kind.
    """
    value = parsed(json.loads, metadata[key])
    if not isinstance(value, kind):
        raise ValueError(f"its {key} is no {kind.__name__}")
    return value
