"""How a picture is written: what commands and functions can be told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from isostyle.checks import PlainNumbers
from isostyle.errors import InputError, shown

KEEP, DROP = "keep", "drop"
BITS = (8, 16)
QUALITY, BEST_QUALITY = 95, 100


@dataclass(frozen=True)
class PictureOptions(PlainNumbers):
    """How a picture is written."""

    #: ``"keep"`` the content's transparency where the format can hold it, or ``"drop"`` it: the result is laid on white.
    alpha: str = KEEP
    #: Bits of a sample: 8, or 16 (PNG and TIFF).
    bits: int = 8
    #: Quality of JPEG, WebP and AVIF, 1 to 100.
    quality: int = QUALITY
    #: Whether the content's EXIF is left out.
    strip: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.alpha not in (KEEP, DROP):
            raise InputError(f"alpha must be keep or drop, not {shown(self.alpha)}")
        if type(self.bits) is not int or self.bits not in BITS:
            raise InputError(f"a picture has 8 or 16 bits a sample, not {shown(self.bits)}")
        if type(self.quality) is not int or not 1 <= self.quality <= BEST_QUALITY:
            raise InputError(f"the quality must be 1 to 100, not {shown(self.quality)}")
        if type(self.strip) is not bool:
            raise InputError(f"strip must be true or false, not {shown(self.strip)}")

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON."""
        return asdict(self)


def options_of(table: Any) -> PictureOptions:
    """The options in a manifest or a checkpoint. What is missing there has its default. Raises InputError for other values."""
    if not isinstance(table, Mapping):
        return PictureOptions()
    return PictureOptions(**{name: table[name] for name in NAMES if name in table})


#: The names of all options.
NAMES = tuple(field.name for field in fields(PictureOptions))
