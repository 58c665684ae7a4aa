"""EXIF: how a picture is turned, and which of a content image's tags go into the picture that is made of it."""

from __future__ import annotations

import contextlib
import warnings
from typing import Any

from PIL import Image, ImageOps

ORIENTATION = 0x0112
#: Tags that describe a photograph, and not how its file holds the pixels (of which a TIFF's first directory is full). Without
#: Orientation, which is applied: ImageDescription, Make, Model, X- and YResolution, ResolutionUnit, Software, DateTime, Artist,
#: HostComputer, Rating, RatingPercent, Copyright, and Windows' title, comment, author, keywords and subject.
DESCRIBING = (270, 271, 272, 282, 283, 296, 305, 306, 315, 316, 18246, 18249, 33432, 40091, 40092, 40093, 40094, 40095)
EXIF_DIRECTORY, GPS_DIRECTORY = 34665, 34853
#: Of the camera's directory, what would be wrong afterwards: the directory about interoperability (of another color space).
INTEROPERABILITY = 40965
COLOR_SPACE, WIDTH, HEIGHT, MAKER_NOTE = 40961, 40962, 40963, 37500
SRGB = 1
#: What one segment of a JPEG holds.
MOST_BYTES = 65533


def upright(picture: Image.Image) -> Image.Image:
    """The picture, turned as its EXIF says; the picture itself if that says nothing."""
    picture.load()  # a PNG may have its EXIF behind its pixels
    return picture if picture.getexif().get(ORIENTATION, 1) == 1 else ImageOps.exif_transpose(picture)


def kept(picture: Image.Image) -> bytes | None:
    """The EXIF of an opened picture, without orientation, thumbnail and what tells of its pixels; None if there is none.

    A broken directory is left out; broken EXIF is None.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return gathered(picture.getexif())
    except Exception:
        # Pillow meets broken EXIF with struct.error, SyntaxError, TypeError, KeyError, OSError and others.
        return None


def gathered(found: Image.Exif) -> bytes | None:
    """As much of what :func:`kept` is to keep as can be written. May raise anything."""
    made = Image.Exif()
    for tag in DESCRIBING:
        with contextlib.suppress(Exception):
            add(made, tag, found[tag])
    for directory in (EXIF_DIRECTORY, GPS_DIRECTORY):
        entries: dict[int, Any] = {}
        with contextlib.suppress(Exception):
            entries = dict(found.get_ifd(directory))
        if directory == EXIF_DIRECTORY:
            for tag in (INTEROPERABILITY, COLOR_SPACE, WIDTH, HEIGHT):
                entries.pop(tag, None)
        for without in ((), (MAKER_NOTE,)):
            chosen = {tag: value for tag, value in entries.items() if tag not in without}
            if chosen and add(made, directory, chosen):
                break
    if not len(made):
        return None
    return made.tobytes()


def add(made: Image.Exif, tag: int, value: Any) -> bool:
    """Add a tag or a directory if it can be written and there is room; whether it was added."""
    made[tag] = value
    with contextlib.suppress(Exception):
        # The rest is for what is added when it is written.
        if len(made.tobytes()) <= MOST_BYTES - 100:
            return True
    del made[tag]
    return False


def with_size(exif: bytes, width: int, height: int) -> Image.Exif:
    """What :func:`kept` returned, for an sRGB picture of that size."""
    before, made = Image.Exif(), Image.Exif()
    before.load(exif)
    for tag in before:
        made[tag] = dict(before.get_ifd(tag)) if tag in (EXIF_DIRECTORY, GPS_DIRECTORY) else before[tag]
    if EXIF_DIRECTORY in made:
        made[EXIF_DIRECTORY] |= {COLOR_SPACE: SRGB, WIDTH: width, HEIGHT: height}
    return made
