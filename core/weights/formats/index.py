"""The formats that weights come in, told apart by their first bytes."""

from __future__ import annotations

import re

from isostyle.errors import InputError
from isostyle.weights.formats.keras import index_keras
from isostyle.weights.formats.mxnet import index_mxnet
from isostyle.weights.formats.paddle import index_paddle
from isostyle.weights.formats.pytorch import index_legacy, index_zip
from isostyle.weights.formats.safetensors import index_safetensors
from isostyle.weights.formats.stored import Index
from isostyle.weights.sources import Source

#: Each with its suffix and the bytes that it begins with.
READERS = (
    # The length of a header of less than 4 GiB, and a JSON object. First, since that length may look like a pickle.
    ("safetensors", ".safetensors", rb"(?s:.){4}\0{4}\{", index_safetensors),
    ("pytorch-zip", ".pth", rb"PK\x03\x04", index_zip),
    # torch.serialization.MAGIC_NUMBER, as a pickle of protocol 2.
    ("pytorch-legacy", ".pth", rb"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19\.", index_legacy),
    ("keras", ".h5", rb"\x89HDF\r\n\x1a\n", index_keras),
    ("mxnet", ".params", rb"\x12\x01\0{6}", index_mxnet),  # kMXAPINDArrayListMagic
    ("paddle", ".pdparams", rb"\x80", index_paddle),
)
SUFFIXES = sorted({suffix for _, suffix, _, _ in READERS})
MAX_START, MAX_NAME = 16, 200


def format_of(begin: bytes) -> str | None:
    """The format of a file that begins with these :data:`MAX_START` bytes, or fewer if it has no more."""
    return next((form for form, _, start, _ in READERS if re.match(start, begin)), None)


def index_of(source: Source) -> tuple[str, Index]:
    """The format of a file, and its tensors. Raises InputError for another format, and any error for a damaged file."""
    form = format_of(source.read(0, min(source.size, MAX_START)))
    if form is None:
        raise InputError(f"{source.name} is no file of weights that isostyle reads: {', '.join(SUFFIXES)}")
    reader = next(reader for known, _, _, reader in READERS if known == form)
    index = reader(source)
    for own, stored in index.items():
        if len(own) > MAX_NAME:
            raise InputError(f"{source.name} has a tensor with a name of {len(own)} letters")
        first, end = stored.region
        source.require(first, end - first)
    return form, index
