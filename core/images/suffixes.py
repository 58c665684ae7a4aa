"""Which suffixes are pictures, and which format writes them. Pillow's table says whose a suffix is."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

from PIL import Image

from isostyle.images import heif

#: Formats that are read and written, where Pillow has them.
WRITTEN = ("JPEG", "MPO", "PNG", "TIFF", "WEBP", "AVIF", "GIF", "BMP", "PPM", "JPEG2000", "TGA", "PCX", "SGI", "DDS")
#: Formats that are only read. Pillow writes no PSD, and would make the picture smaller for ICO; HEIF takes the extra heif.
ONLY_READ = ("ICO", "PSD", heif.FORMAT)
#: EPS is not among them: Pillow would start a program for it (Ghostscript).
FORMATS = WRITTEN + ONLY_READ
#: Formats that are written with 16 bits a sample.
WITH_SIXTEEN_BITS = ("PNG", "TIFF")
#: Of a camera's raw data, which nobody here can develop.
RAW = (
    *(".3fr", ".arw", ".cr2", ".cr3", ".crw", ".dcr", ".dng", ".erf", ".fff", ".iiq", ".kdc", ".mef", ".mos", ".mrw"),
    *(".nef", ".nrw", ".orf", ".pef", ".raf", ".raw", ".rw2", ".rwl", ".sr2", ".srf", ".srw", ".x3f"),
)
#: Of videos, whether `isostyle apply` takes them or not.
VIDEOS = (
    *(".3gp", ".avi", ".flv", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".ogv", ".ts", ".webm"),
    ".wmv",
)


def readable_formats(head: bytes) -> list[str]:
    """Those of :data:`FORMATS` that this Pillow can open. Loaded only for a file whose first bytes want it are pi-heif, and
    Pillow's modules for rare formats, which take longer than Pillow itself."""
    Image.preinit()
    if not any(is_accepted(accept, head) for _, accept in Image.OPEN.values()):
        Image.init()
    if heif.is_heif(head):
        heif.is_installed()
    return [kind for kind in FORMATS if kind in Image.OPEN]


def is_accepted(accept: Callable[[bytes], bool | str] | None, head: bytes) -> bool:
    """Whether a format of Pillow's takes a file for its own by its first bytes, which may be too few to tell."""
    try:
        return accept is not None and accept(head) is True
    except (IndexError, struct.error):
        return False


def is_picture(path: Path) -> bool:
    """Whether the name of a file says that isostyle can read it."""
    if path.suffix.lower() in heif.SUFFIXES:
        return heif.is_installed()
    return format_called(path.suffix.lower()) in FORMATS


def is_raw(path: Path) -> bool:
    """Whether the name of a file says that it is a camera's raw data."""
    return path.suffix.lower() in RAW


def format_of(suffix: str) -> str:
    """Pillow's name for the format of a suffix, with or without its dot; empty if it cannot be written."""
    kind = format_called(f".{suffix.lower().removeprefix('.')}")
    return kind if kind in WRITTEN and kind in Image.SAVE else ""


def format_called(suffix: str) -> str:
    """Pillow's name for a format, by a suffix with its dot; empty if it knows none. Rare formats are loaded if need be."""
    Image.preinit()
    if suffix not in Image.EXTENSION:
        Image.init()
    return Image.EXTENSION.get(suffix, "")
