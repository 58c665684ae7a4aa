"""The formats that weights come in, told apart by their first bytes."""

from __future__ import annotations

from isostyle.errors import InputError
from isostyle.weights.formats.keras import HDF5_START, index_keras
from isostyle.weights.formats.mxnet import LIST_START, index_mxnet
from isostyle.weights.formats.paddle import PICKLE_START, index_paddle
from isostyle.weights.formats.pytorch import LEGACY_START, ZIP_START, index_legacy, index_zip
from isostyle.weights.formats.safetensors import index_safetensors, is_safetensors
from isostyle.weights.formats.stored import Index
from isostyle.weights.sources import Source

FORMATS = ".pth, .safetensors, .pdparams, .params or .h5"
#: Each with the bytes that it begins with.
READERS = (
    ("pytorch-zip", ZIP_START, index_zip),
    ("pytorch-legacy", LEGACY_START, index_legacy),
    ("keras", HDF5_START, index_keras),
    ("mxnet", LIST_START, index_mxnet),
    ("paddle", PICKLE_START, index_paddle),
)
MAX_NAME = 200


def index_of(source: Source) -> tuple[str, Index]:
    """The format of a file, told from its first bytes, and its tensors.

    Raises:
        InputError: it has none of the formats, or its tensors do not fit into it.
        Exception: whatever the libraries raise that read a damaged file.
    """
    begin = source.read(0, min(source.size, 16))
    # First, because the length of safetensors' header may look like the beginning of a pickle.
    if is_safetensors(begin):
        form, index = "safetensors", index_safetensors(source)
    else:
        found = next(((form, reader) for form, start, reader in READERS if begin.startswith(start)), None)
        if found is None:
            raise InputError(f"{source.name} is no file of weights that isostyle reads: {FORMATS}")
        form, index = found[0], found[1](source)
    for own, stored in index.items():
        if len(own) > MAX_NAME:
            raise InputError(f"{source.name} has a tensor with a name of {len(own)} letters")
        first, end = stored.storage.region
        source.require(first, end - first)
    return form, index
