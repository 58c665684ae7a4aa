"""Which suffixes are pictures, and which format writes them. Pillow's table says whose a suffix is."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

#: Formats that are read, where Pillow has them. EPS is not among them: Pillow would start a program for it (Ghostscript).
FORMATS = (
    "JPEG",
    "MPO",
    "PNG",
    "TIFF",
    "WEBP",
    "AVIF",
    "GIF",
    "BMP",
    "PPM",
    "JPEG2000",
    "TGA",
    "ICO",
    "PCX",
    "SGI",
    "DDS",
    "PSD",
)
#: Formats that are written with 16 bits a sample.
WITH_SIXTEEN_BITS = ("PNG", "TIFF")
#: Formats that Pillow would make the picture smaller for.
SHRINKING = ("ICO",)


def readable_formats() -> list[str]:
    """Those of :data:`FORMATS` that this Pillow can open."""
    Image.init()
    return [kind for kind in FORMATS if kind in Image.OPEN]


def is_picture(path: Path) -> bool:
    """Whether the name of a file says that isostyle can read it."""
    return Image.registered_extensions().get(path.suffix.lower()) in FORMATS


def format_of(suffix: str) -> str:
    """Pillow's name for the format of a suffix, with or without its dot.

    Raises:
        KeyError: no format of that suffix can be both read and written.
    """
    kind = Image.registered_extensions()[f".{suffix.lower().removeprefix('.')}"]
    if kind not in FORMATS or kind not in Image.SAVE or kind in SHRINKING:
        raise KeyError(suffix)
    return kind
