"""Which picture of a file is meant, where there are several: the first one of full resolution; and a line that says so.

In a TIFF the tags NewSubfileType and SubIFDs decide (TIFF 6.0, TIFF/EP, DNG): what is reduced is a preview of another, and a
mask is no picture. Raw data of a camera is refused in one sentence, and never is its preview taken for the photograph.
"""

from __future__ import annotations

import contextlib
import io
import struct
from dataclasses import dataclass
from typing import IO

import numpy as np
from PIL import Image, TiffImagePlugin

from isostyle.images.exif import ORIENTATION
from isostyle.images.suffixes import readable_formats

#: What a TIFF begins with: classic ones, and those with offsets of 64 bits.
CLASSIC, BIG = (b"II*\0", b"MM\0*"), (b"II+\0", b"MM\0+")
#: Bytes of their heads, which end in the offset of the first directory.
HEAD, BIG_HEAD = 8, 16
# Tags and their values.
NEW_KIND, KIND, WIDTH, HEIGHT, PHOTOMETRIC, SUB_DIRECTORIES = 254, 255, 256, 257, 262, 330
#: Bits of NewSubfileType; and the value of the older tag that means the first.
REDUCED, MASK = 1, 4
OLD_REDUCED = 2
#: Color filter array, and linear raw: light as the sensor saw it (TIFF/EP, DNG).
RAW_PHOTOMETRIC = (32803, 34892)
#: What raw files that are no TIFF, or one that hides its raw data, have at a place of theirs.
RAW_MAGIC = (
    *((0, magic) for magic in (b"FUJIFILMCCD-RAW", b"IIRO", b"IIRS", b"MMOR", b"IIU\0", b"FOVb", b"\0MRM")),
    *((4, b"ftypcrx "), (8, b"CR\x02\0")),
)
#: Directories that are looked at; a hostile file may have millions.
MOST = 2000
#: Formats whose further pictures are layers of the one that is read.
LAYERED = ("PSD",)
#: What is counted in a line.
UNITS = {"TIFF": "page", "MPO": "picture", "HEIF": "picture"}


class IsRaw(Exception):
    """A file holds raw data of a camera, which nobody here can develop."""


@dataclass(frozen=True)
class Directory:
    """A picture in a TIFF."""

    offset: int
    height: int
    width: int
    #: NewSubfileType.
    kind: int
    photometric: int
    orientation: int | None
    #: Offsets of those in it.
    inner: tuple[int, ...]
    #: Of the next one; 0 behind the last.
    next: int

    @property
    def rank(self) -> tuple[bool, int]:
        """What is of full resolution before what is not, what has more pixels before what has fewer."""
        return not self.kind & REDUCED, self.height * self.width


@dataclass(frozen=True)
class Page:
    """The picture of a TIFF that is meant."""

    offset: int
    #: Whether it is the one that every reader sees first.
    is_first: bool
    height: int
    width: int
    #: Its number from 1 among how many.
    number: int
    count: int
    #: Of the picture that it lies in, if it says nothing itself.
    orientation: int | None


def is_tiff(data: bytes) -> bool:
    return data.startswith(CLASSIC + BIG)


def require_developed(head: bytes) -> None:
    """Raises IsRaw if the first bytes of a file are a camera's."""
    if any(head[place:].startswith(magic) for place, magic in RAW_MAGIC):
        raise IsRaw


def page_of(stream: IO[bytes]) -> Page | None:
    """The picture that is meant in a TIFF; None if its directories cannot be read, or hold none. Raises IsRaw."""
    groups, seen = [], set[int]()
    for outer in chain(stream, seen):
        inner = [found for offset in outer.inner if (found := directory(stream, offset, seen)) is not None]
        groups.append((outer, [each for each in (outer, *inner) if not each.kind & MASK]))
    best = [(outer, max(each, key=lambda found: found.rank)) for outer, each in groups if each]
    if not best:
        return None
    pages = [pair for pair in best if pair[1].rank[0]] or best
    outer, taken = pages[0] if pages[0][1].rank[0] else max(pages, key=lambda pair: pair[1].rank)
    largest_raw = max((each.rank for _, group in groups for each in group if each.photometric in RAW_PHOTOMETRIC), default=None)
    if taken.photometric in RAW_PHOTOMETRIC or (largest_raw is not None and largest_raw > taken.rank):
        raise IsRaw
    orientation = None if taken is outer or taken.orientation else outer.orientation
    number = 1 + [each for _, each in pages].index(taken)
    return Page(taken.offset, taken is groups[0][0], taken.height, taken.width, number, len(pages), orientation)


def chain(stream: IO[bytes], seen: set[int]) -> list[Directory]:
    """The directories of a TIFF one after another, as far as they can be read; their offsets are added to ``seen``."""
    found: list[Directory] = []
    offset = tags_of(stream).next
    while offset and (each := directory(stream, offset, seen)) is not None:
        found.append(each)
        offset = each.next
    return found


def tags_of(stream: IO[bytes]) -> TiffImagePlugin.ImageFileDirectory_v2:
    """An empty directory of a TIFF's order of bytes; ``next`` is the offset of the first."""
    stream.seek(0)
    head = stream.read(BIG_HEAD)
    return TiffImagePlugin.ImageFileDirectory_v2(head if head.startswith(BIG) else head[:HEAD])


def directory(stream: IO[bytes], offset: int, seen: set[int]) -> Directory | None:
    """The directory at a place of a TIFF; None if it cannot be read, was ``seen``, or too many were."""
    if offset in seen or len(seen) >= MOST:
        return None
    seen.add(offset)
    # Pillow meets broken directories with struct.error, SyntaxError, TypeError, OverflowError and others.
    with contextlib.suppress(Exception):
        tags = tags_of(stream)
        stream.seek(offset)
        tags.load(stream)
        kind = number(tags, NEW_KIND, REDUCED if number(tags, KIND, 0) == OLD_REDUCED else 0)
        inner = tuple(int(each) for each in np.atleast_1d(tags.get(SUB_DIRECTORIES, ())))
        turned = number(tags, ORIENTATION, 0) or None
        size = number(tags, HEIGHT, 0), number(tags, WIDTH, 0)
        if min(size) > 0:
            return Directory(offset, *size, kind, number(tags, PHOTOMETRIC, 0), turned, inner, tags.next)
    return None


def number(tags: TiffImagePlugin.ImageFileDirectory_v2, tag: int, otherwise: int) -> int:
    """The value of a tag, or the first of several."""
    return int(np.atleast_1d(tags.get(tag, otherwise))[0])


def first(data: bytes, page: Page) -> bytes:
    """A TIFF whose head leads to a page, so that every reader sees it first."""
    order = "<" if data.startswith(b"II") else ">"
    if data.startswith(BIG):
        return data[:HEAD] + struct.pack(f"{order}Q", page.offset) + data[BIG_HEAD:]
    return data[:4] + struct.pack(f"{order}I", page.offset) + data[HEAD:]


def which(picture: Image.Image | None, data: bytes | None, page: Page | None) -> str | None:
    """Which picture of an opened file, or of a caller's, is taken, as ``"page 1 of 3"``; None if there is one."""
    if page is not None:
        more = " or more" if page.count >= MOST else ""
        return f"page {page.number} of {page.count}{more}" if page.count > 1 else None
    if picture is None:
        return None
    sizes = picture.info.get("sizes", ()) if picture.format == "ICO" else ()
    if len(sizes) > 1:
        return f"the largest of {len(sizes)} sizes"
    if picture.format in LAYERED or not getattr(picture, "is_animated", False):
        return None
    unit = UNITS.get(str(picture.format), "frame")
    try:
        # Opened once more: what is broken behind the first picture would leave the reader in the middle of the file.
        counted = picture if data is None else Image.open(io.BytesIO(data), formats=readable_formats(data))
        return f"{unit} {picture.tell() + 1} of {counted.n_frames}"  # type: ignore[attr-defined]
    except Exception:
        # Pillow meets broken files with many kinds of exceptions.
        return f"{unit} {picture.tell() + 1} of several"
