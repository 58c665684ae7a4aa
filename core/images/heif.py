"""HEIC and HEIF, as telephones write them, through pi-heif: the extra ``heif``. libheif turns and mirrors a picture as its file
says (irot, imir), and pi-heif takes the orientation out of the EXIF: nothing is turned twice."""

from __future__ import annotations

import importlib.util
import io
from functools import lru_cache

import numpy as np
from PIL import Image

from isostyle.images.deep import MOST, Samples

#: Pillow's name for the format.
FORMAT = "HEIF"
SUFFIXES = (".heic", ".heics", ".heif", ".heifs", ".hif")
#: So many bytes say whether a file is of this format: behind four there is a box with its brand.
HEAD = 12
BOX, BRANDS = b"ftyp", (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1")
NEEDS = "pip install 'isostyle[heif]'"


class NotInstalled(Exception):
    """A file of this format cannot be read without the extra."""


@lru_cache(1)
def is_installed() -> bool:
    """Whether Pillow can read it; it is told how, the first time."""
    if importlib.util.find_spec("pi_heif") is None:
        return False
    from pi_heif import register_heif_opener

    register_heif_opener()
    return True


def is_heif(data: bytes) -> bool:
    """Whether the first bytes of a file are those of this format."""
    return data[4:8] == BOX and data[8:12] in BRANDS


def refuse(head: bytes) -> None:
    """Say of a file that no format took, if it is of this one, why. Raises NotInstalled, or ValueError with a clause."""
    if is_heif(head):
        if not is_installed():
            raise NotInstalled
        raise ValueError("its HEIC container cannot be read")


def bits(picture: Image.Image) -> int:
    """Of a sample in the file; Pillow is given 8."""
    found = picture.info.get("bit_depth") if picture.format == FORMAT else None
    return found if isinstance(found, int) else 8


def samples(data: bytes, number: int) -> Samples:
    """The samples of a picture of 10 or 12 bits in a file, stretched to 16, (H, W) or (H, W, 3 or 4), upright. Raises what
    pi-heif does."""
    from pi_heif import open_heif

    found = open_heif(io.BytesIO(data), convert_hdr_to_8bit=False, hdr_to_16bit=True)[number]
    # The bits stand on top of 16, and zeros below them: the largest sample is not 65535.
    depth = found.info["bit_depth"]
    raw = np.asarray(found) >> (16 - depth)
    made: Samples = np.rint(raw * (MOST / (2**depth - 1))).astype(np.uint16)
    return made
