"""Which suffixes are pictures, and which format writes them. Pillow's table says whose a suffix is."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

#: Formats that are read and written, where Pillow has them.
WRITTEN = ("JPEG", "MPO", "PNG", "TIFF", "WEBP", "AVIF", "GIF", "BMP", "PPM", "JPEG2000", "TGA", "PCX", "SGI", "DDS")
#: Formats that are only read. Pillow writes no PSD, and would make the picture smaller for ICO.
ONLY_READ = ("ICO", "PSD")
#: EPS is not among them: Pillow would start a program for it (Ghostscript).
FORMATS = WRITTEN + ONLY_READ
#: Formats that are written with 16 bits a sample.
WITH_SIXTEEN_BITS = ("PNG", "TIFF")


def readable_formats() -> list[str]:
    """Those of :data:`FORMATS` that this Pillow can open."""
    Image.init()
    return [kind for kind in FORMATS if kind in Image.OPEN]


def is_picture(path: Path) -> bool:
    """Whether the name of a file says that isostyle can read it."""
    return Image.registered_extensions().get(path.suffix.lower()) in FORMATS


def format_of(suffix: str) -> str:
    """Pillow's name for the format of a suffix, with or without its dot; empty if it cannot be written."""
    kind = Image.registered_extensions().get(f".{suffix.lower().removeprefix('.')}", "")
    return kind if kind in WRITTEN and kind in Image.SAVE else ""
