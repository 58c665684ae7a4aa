"""ICC profiles: colors of a file are converted to sRGB by its profile.

LittleCMS (Pillow's ImageCms) converts 8 bits. Pillow gives it no 16 bits. This module converts those for profiles that are
curves and a matrix, or a curve of gray, as photographs with 16 bits have.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from functools import lru_cache
from importlib import resources

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms
from PIL.ImageCms import ImageCmsTransform

from isostyle.images.deep import EIGHT_TO_SIXTEEN, MOST, STRIP, Samples, strips

#: Pillow's modes by the four letters that an ICC profile has for what it describes (ICC.1:2022, table 19).
MODES = {b"RGB ": "RGB", b"GRAY": "L", b"CMYK": "CMYK", b"Lab ": "LAB"}
WORDS = {b"RGB ": "RGB", b"GRAY": "gray", b"CMYK": "CMYK", b"Lab ": "Lab"}
#: A profile that moves no color of a grid further than this, of 255, is sRGB: its pictures stay as they are, to the bit.
SAME = 1
GRID_SIDE = 17
#: A larger profile is none: press profiles have some 2 MB.
MAX_BYTES = 2**24
#: So is one of more tags.
MAX_TAGS = 200
Matrix = NDArray[np.float64]
#: All samples of 16 bits, in 0..1.
INPUTS = np.arange(MOST + 1) / MOST


class Unusable(Exception):
    """A profile that cannot be used; the message is a clause."""


class HasTables(Unusable):
    """A profile that only LittleCMS can use, in 8 bits."""


@lru_cache(1)
def srgb() -> bytes:
    """The profile of what isostyle writes: LittleCMS's sRGB, a file, so that its bytes depend on no version and no date."""
    return (resources.files("isostyle") / "data" / "srgb.icc").read_bytes()


def space_of(profile: bytes) -> bytes:
    """The four letters for the colors that a profile describes. Raises Unusable if it is no profile."""
    if not 128 < len(profile) <= MAX_BYTES or profile[36:40] != b"acsp":
        raise Unusable("it is broken")
    return profile[16:20]


def mode_of(profile: bytes) -> str:
    """Pillow's mode for the colors that a profile describes. Raises Unusable if there is none."""
    space = space_of(profile)
    if space not in MODES:
        raise Unusable(f"it is for {space.decode('latin-1').strip()!r} colors")
    return MODES[space]


def to_srgb(picture: Image.Image, profile: bytes | None) -> Image.Image:
    """A picture of mode L, RGB, CMYK or LAB as RGB; one of RGB is changed in place. Without a profile LAB is CIE L*a*b*, and
    the others are what Pillow takes them for.

    Raises:
        Unusable: the profile is broken, or is not for such colors, or Pillow was built without LittleCMS.
    """
    if profile is not None and mode_of(profile) != picture.mode:
        raise Unusable(f"it is for {WORDS[space_of(profile)]} colors")
    found = None if profile is None and picture.mode != "LAB" else transform(profile, picture.mode)
    if found is None:
        return picture if picture.mode == "RGB" else picture.convert("RGB")
    made = picture if picture.mode == "RGB" else Image.new("RGB", picture.size)
    for top, strip in strips(picture):
        made.paste(applied(found, strip), (0, top))
    return made


@lru_cache(8)
def transform(profile: bytes | None, mode: str) -> ImageCmsTransform | None:
    """From a profile to sRGB; None if that changes nothing. Without a profile, from CIE L*a*b*. Raises Unusable."""
    try:
        given = ImageCms.createProfile("LAB") if profile is None else ImageCms.ImageCmsProfile(io.BytesIO(profile))
        wanted = ImageCms.ImageCmsProfile(io.BytesIO(srgb()))
        found = ImageCms.buildTransform(given, wanted, mode, "RGB", ImageCms.Intent.PERCEPTUAL)
    except ImportError:
        raise Unusable("this Pillow was built without LittleCMS") from None
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError) as error:
        raise refused(error) from None
    if mode in ("RGB", "L"):
        colors = grid() if mode == "RGB" else Image.fromarray(np.arange(256, dtype=np.uint8)[None])
        moved = np.asarray(applied(found, colors)).astype(int) - np.asarray(colors.convert("RGB"))
        if abs(moved).max() <= SAME:
            return None
    return found


def applied(found: ImageCmsTransform, picture: Image.Image) -> Image.Image:
    """A picture, converted. Raises Unusable."""
    try:
        made = ImageCms.applyTransform(picture, found)
    except (ImageCms.PyCMSError, ValueError) as error:
        raise refused(error) from None
    assert made is not None  # it is only where it is done in place
    return made


def refused(error: Exception) -> Unusable:
    return Unusable(f"LittleCMS cannot use it ({' '.join(str(error).split())[:80]})")


@lru_cache(1)
def grid() -> Image.Image:
    """Colors from all over RGB, as a picture."""
    steps = np.rint(np.linspace(0, 255, GRID_SIDE)).astype(np.uint8)
    return Image.fromarray(np.stack(np.meshgrid(steps, steps, steps), -1).reshape(GRID_SIDE, -1, 3))


# 16 bits


def to_srgb_deep(samples: Samples, profile: bytes, *, gray: bool) -> None:
    """Convert RGB samples, (H, W, 3), to sRGB in place. ``gray``: all three are one, which a profile for gray may describe.

    Raises:
        HasTables: the profile is not curves and a matrix.
        Unusable: it is broken, or is not for such colors.
    """
    space = space_of(profile)
    if space not in ((b"RGB ", b"GRAY") if gray else (b"RGB ",)):
        raise Unusable(f"it is for {WORDS.get(space, 'other')} colors")
    convert = converter(profile)
    if convert is not None:
        for top in range(0, len(samples), STRIP):
            samples[top : top + STRIP] = convert(samples[top : top + STRIP])


@lru_cache(4)
def converter(profile: bytes) -> Callable[[Samples], Samples] | None:
    """A function that converts samples, (H, W, 3), to sRGB; None if they are sRGB's already. Raises Unusable."""
    try:
        tables, matrix = curves_and_matrix(profile)
        wanted = curves_and_matrix(srgb())[1]
    except (struct.error, ValueError, OverflowError, IndexError):
        raise Unusable("it is broken") from None
    product = np.linalg.inv(wanted) @ matrix if matrix is not None and wanted is not None else None

    def convert(samples: Samples) -> Samples:
        linear = np.stack([table[samples[..., i]] for i, table in enumerate(tables)], -1)
        made: Samples = np.rint(encoded(linear if product is None else linear @ product.T) * MOST).astype(np.uint16)
        return made

    probe: Samples = np.multiply(np.asarray(grid()), EIGHT_TO_SIXTEEN, dtype=np.uint16)
    if product is None:  # gray
        probe = np.repeat(probe[..., :1], 3, axis=-1)
    if abs(convert(probe).astype(int) - probe).max() <= SAME * EIGHT_TO_SIXTEEN:
        return None
    return convert


def encoded(linear: Matrix) -> Matrix:
    """sRGB's curve (IEC 61966-2-1), clipped to 0..1."""
    linear = linear.clip(0, 1)
    curved: Matrix = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return curved


def curves_and_matrix(profile: bytes) -> tuple[list[Matrix], Matrix | None]:
    """For each channel the linear light of each of 65536 samples; and the matrix to XYZ (D50), None for gray.

    Raises:
        HasTables: it has those instead.
        struct.error, ValueError, IndexError: it is broken.
    """
    tags = tags_of(profile)
    if space_of(profile) == b"GRAY":
        if b"kTRC" not in tags:
            raise HasTables("it has no curve")
        return [curve(tags[b"kTRC"])] * 3, None
    names = [b"rTRC", b"gTRC", b"bTRC", b"rXYZ", b"gXYZ", b"bXYZ"]
    # What has tables, too, means those.
    if b"A2B0" in tags or not tags.keys() >= set(names):
        raise HasTables("it has tables, which 16 bits are not converted by")
    columns = [[value / 65536 for value in struct.unpack_from(">3i", tags[name], 8)] for name in names[3:]]
    matrix = np.array(columns).T
    if abs(np.linalg.det(matrix)) < 1e-6:
        raise ValueError
    return [curve(tags[name]) for name in names[:3]], matrix


def tags_of(profile: bytes) -> dict[bytes, bytes]:
    """The data of each tag. Raises struct.error, ValueError."""
    (count,) = struct.unpack_from(">I", profile, 128)
    if count > MAX_TAGS:
        raise ValueError
    tags: dict[bytes, bytes] = {}
    for i in range(count):
        name, offset, size = struct.unpack_from(">4sII", profile, 132 + 12 * i)
        tags[name] = profile[offset : offset + size]
    return tags


def curve(tag: bytes) -> Matrix:
    """The linear light of each of 65536 samples, by a curve's tag (ICC.1:2022, 10.6 and 10.18)."""
    if tag[:4] == b"curv":
        return sampled_curve(tag)
    if tag[:4] == b"para":
        return parametric_curve(tag)
    raise ValueError


def sampled_curve(tag: bytes) -> Matrix:
    """Raises struct.error, ValueError."""
    (count,) = struct.unpack_from(">I", tag, 8)
    if count == 0:
        return INPUTS
    if count == 1:
        return np.asarray(INPUTS ** (struct.unpack_from(">H", tag, 12)[0] / 256))
    points = np.frombuffer(tag, ">u2", count, 12) / MOST
    return np.asarray(np.interp(INPUTS, np.linspace(0, 1, count), points))


def parametric_curve(tag: bytes) -> Matrix:
    """Y = (a X + b)^g + e from X = d on, c X + f before it; the shorter kinds lack some. Raises struct.error, ValueError."""
    (kind,) = struct.unpack_from(">H", tag, 8)
    count = (1, 3, 4, 5, 7)[kind]
    given = [value / 65536 for value in struct.unpack_from(f">{count}i", tag, 12)]
    g, a, b, c, d, e, f = given[0], 1.0, 0.0, 0.0, 0.0, 0.0, 0.0
    if kind >= 1:
        a, b = given[1:3]
        d = -b / a if a else 0.0
    if kind == 2:
        e = f = given[3]
    if kind >= 3:
        c, d = given[3:5]
    if kind == 4:
        e, f = given[5:7]
    with np.errstate(all="ignore"):
        values = np.where(d <= INPUTS, np.maximum(a * INPUTS + b, 0) ** g + e, c * INPUTS + f)
    if not np.isfinite(values).all():
        raise ValueError
    return np.asarray(values.clip(0, 1))
