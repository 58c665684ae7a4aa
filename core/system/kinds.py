"""What a file is that is not of the kind that was asked for, by its first bytes, in words."""

from __future__ import annotations

import codecs
import re

#: The length of a header of less than 4 GiB, and a JSON object: how a safetensors file begins.
SAFETENSORS = re.compile(rb"(?s:.){4}\0{4}\{")
#: How files of a kind begin. Sources: each format's own description; for Lua, torch7's File.lua (a table or an object, and its
#: number); for ONNX, onnx.proto (a version and another field; protobuf has no mark of its own).
STARTS = (
    ("a JPEG picture", rb"\xff\xd8\xff"),
    ("a PNG picture", rb"\x89PNG\r\n\x1a\n"),
    ("a TIFF picture", rb"II[*+]\0|MM\0[*+]"),
    ("a GIF picture", rb"GIF8[79]a"),
    ("a WebP picture", rb"RIFF(?s:.){4}WEBP"),
    ("a video, or a HEIC or AVIF picture", rb"(?s:.){4}ftyp"),
    ("a zip archive, as PyTorch's files are", rb"PK\x03\x04"),
    ("a pickle, as PyTorch's and Paddle's files are", rb"\x80[\x02-\x05]"),
    ("an HDF5 file, as Keras' are", rb"\x89HDF\r\n\x1a\n"),
    ("a file of Lua Torch, as .t7 are", rb"[\x03\x04]\0{3}\x01\0{3}|[34]\n1\n"),
    ("an ONNX model", rb"\x08[\x01-\x40][\x12\x1a\x22\x28\x32\x3a\x42]"),
    ("a web page", rb"\s*(?i:<!doctype html|<html)"),
)
#: How a table of LevelDB ends: kTableMagicNumber of tensorflow/core/lib/io/format.h.
TENSORFLOW_END = bytes.fromhex("57fb808b247547db")
#: Bytes that are looked at, and those among them that no text has.
HEAD = 1024
NO_TEXT = re.compile(rb"[\0-\x08\x0e-\x1a\x1c-\x1f\x7f]")


def foreign(data: bytes) -> str | None:
    """What the file of these bytes is, as "a PNG picture"; None if it begins as safetensors files do."""
    head = data[:HEAD]
    if SAFETENSORS.match(head):
        return None
    if not data:
        return "an empty file"
    if kind := next((kind for kind, start in STARTS if re.match(start, head)), None):
        return kind
    if data.endswith(TENSORFLOW_END):
        return "a checkpoint of TensorFlow"
    return "a text" if is_text(head) else "a file of a kind that isostyle does not know"


def is_text(head: bytes) -> bool:
    """Whether the first bytes of a file are UTF-8 without control characters; the last of them may be a part of one."""
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return False
    return NO_TEXT.search(head) is None
