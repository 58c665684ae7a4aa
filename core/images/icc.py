"""ICC profiles: colors of a file are converted to sRGB by its profile, those of 8 bits by LittleCMS (Pillow's ImageCms)."""

from __future__ import annotations

import io
import struct
from functools import lru_cache
from importlib import resources

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

from isostyle.images.deep import EIGHT_TO_SIXTEEN, MOST, STRIP, Samples, strips

#: Pillow's modes by the four letters that an ICC profile has for what it describes (ICC.1:2022, table 19).
MODES = {b"RGB ": "RGB", b"GRAY": "L", b"CMYK": "CMYK", b"Lab ": "LAB"}
#: A profile that moves no color of a grid further than this, of 255, is sRGB: its pictures stay as they are, to the bit.
SAME = 1
GRID_SIDE = 17
#: A profile with more bytes or tags is taken for broken: press profiles have some 2 MB.
MAX_BYTES, MAX_TAGS = 2**24, 200
Floats = NDArray[np.float64]
#: All samples of 16 bits, in 0..1.
INPUTS = np.arange(MOST + 1) / MOST
#: The numbers of each kind of parametric curve, by the letters of :func:`parametric_curve` (ICC.1:2022, table 68).
PARAMETERS = ("g", "gab", "gabe", "gabcd", "gabcdef")


class Unusable(Exception):
    """A profile that cannot be used; the message is a clause."""


class HasTables(Exception):
    """A profile that only LittleCMS can use, in 8 bits."""


@lru_cache(1)
def srgb() -> bytes:
    """The profile of what isostyle writes: LittleCMS's sRGB, a file, so that its bytes depend on no version and no date."""
    return (resources.files("isostyle") / "data" / "srgb.icc").read_bytes()


def mode_of(profile: bytes, mode: str, *, gray: bool) -> str:
    """Pillow's mode for the colors that a profile describes: ``mode``, or if all channels of the picture are one (``gray``), L.
    Raises Unusable if it describes others, or is broken."""
    if not 128 < len(profile) <= MAX_BYTES or profile[36:40] != b"acsp":
        raise Unusable("it is broken")
    found = MODES.get(profile[16:20], "")
    if found != mode and not (gray and found == "L"):
        raise Unusable(f"it is for {profile[16:20].decode('latin-1').strip()!r} colors")
    return found


def to_srgb(picture: Image.Image, profile: bytes | None, *, gray: bool) -> Image.Image:
    """A picture of mode RGB, CMYK or LAB as RGB; one of RGB is changed in place. Without a profile LAB is CIE L*a*b*, and the
    others are what Pillow takes them for. Raises Unusable, as :func:`mode_of`."""
    mode = picture.mode if profile is None else mode_of(profile, picture.mode, gray=gray)
    found = None if profile is None and mode != "LAB" else transform(profile, mode)
    if found is None:
        return picture if picture.mode == "RGB" else picture.convert("RGB")
    made = picture if picture.mode == "RGB" else Image.new("RGB", picture.size)
    for top, strip in strips(picture):
        made.paste(found.apply(strip.getchannel(0) if mode == "L" else strip), (0, top))
    return made


@lru_cache(8)
def transform(profile: bytes | None, mode: str) -> ImageCms.ImageCmsTransform | None:
    """From a profile to sRGB; None if that changes nothing. Without a profile, from CIE L*a*b*. Raises Unusable."""
    try:
        given = ImageCms.createProfile("LAB") if profile is None else ImageCms.ImageCmsProfile(io.BytesIO(profile))
        wanted = ImageCms.ImageCmsProfile(io.BytesIO(srgb()))
        found = ImageCms.buildTransform(given, wanted, mode, "RGB", ImageCms.Intent.PERCEPTUAL)
    except (ImageCms.PyCMSError, ImportError, OSError, ValueError, TypeError) as error:
        raise Unusable(f"LittleCMS cannot use it ({' '.join(str(error).split())[:80]})") from None
    if mode in ("RGB", "L"):
        colors = grid() if mode == "RGB" else Image.fromarray(np.arange(256, dtype=np.uint8)[None])
        moved = np.asarray(found.apply(colors)).astype(int) - np.asarray(colors.convert("RGB"))
        if abs(moved).max() <= SAME:
            return None
    return found


@lru_cache(1)
def grid() -> Image.Image:
    """Colors from all over RGB, as a picture."""
    steps = np.rint(np.linspace(0, 255, GRID_SIDE)).astype(np.uint8)
    return Image.fromarray(np.stack(np.meshgrid(steps, steps, steps), -1).reshape(GRID_SIDE, -1, 3))


# 16 bits, which Pillow does not give to LittleCMS. Photographs have profiles that are curves and a matrix, or a curve of gray.


def to_srgb_deep(samples: Samples, profile: bytes, *, gray: bool) -> None:
    """Convert RGB samples, (H, W, 3), to sRGB in place. Raises HasTables, and Unusable as :func:`mode_of`."""
    mode_of(profile, "RGB", gray=gray)
    if (found := curves_and_matrix(profile)) is not None:
        for top in range(0, len(samples), STRIP):
            samples[top : top + STRIP] = converted(samples[top : top + STRIP], *found)


@lru_cache(4)
def curves_and_matrix(profile: bytes) -> tuple[list[Floats], Floats] | None:
    """For each channel the linear light of each of 65536 samples, and the matrix from there to sRGB's linear light; None if
    the two move no color. Raises HasTables, Unusable."""
    try:
        tags = tags_of(profile)
        if profile[16:20] == b"GRAY" and b"kTRC" in tags:
            found = [curve(tags[b"kTRC"])] * 3, np.eye(3)
        elif b"A2B0" in tags or not tags.keys() >= {b"rXYZ", b"gXYZ", b"bXYZ", b"rTRC", b"gTRC", b"bTRC"}:
            raise HasTables  # what has both means its tables
        else:
            matrix = np.linalg.inv(to_xyz(tags_of(srgb()))) @ to_xyz(tags)
            found = [curve(tags[name]) for name in (b"rTRC", b"gTRC", b"bTRC")], matrix
    except (struct.error, ValueError, OverflowError, IndexError):
        raise Unusable("it is broken") from None
    probe = np.multiply(np.asarray(grid()), EIGHT_TO_SIXTEEN, dtype=np.uint16)
    moved = converted(probe, *found).astype(int) - probe
    return None if abs(moved).max() <= SAME * EIGHT_TO_SIXTEEN else found


def converted(samples: Samples, curves: list[Floats], matrix: Floats) -> Samples:
    """Samples in sRGB, whose curve is IEC 61966-2-1's."""
    linear = np.stack([curve[samples[..., i]] for i, curve in enumerate(curves)], -1)
    linear = (linear @ matrix.T).clip(0, 1)
    curved = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    made: Samples = np.rint(curved * MOST).astype(np.uint16)
    return made


def tags_of(profile: bytes) -> dict[bytes, bytes]:
    """The data of each tag. Raises struct.error, ValueError."""
    (count,) = struct.unpack_from(">I", profile, 128)
    if count > MAX_TAGS:
        raise ValueError
    entries = (struct.unpack_from(">4sII", profile, 132 + 12 * i) for i in range(count))
    return {name: profile[offset : offset + size] for name, offset, size in entries}


def to_xyz(tags: dict[bytes, bytes]) -> Floats:
    """The matrix from RGB to XYZ (D50). Raises struct.error, ValueError."""
    columns = [struct.unpack_from(">3i", tags[name], 8) for name in (b"rXYZ", b"gXYZ", b"bXYZ")]
    matrix = np.array(columns).T / 65536
    if abs(np.linalg.det(matrix)) < 1e-6:
        raise ValueError
    return matrix


def curve(tag: bytes) -> Floats:
    """The linear light of each of 65536 samples (ICC.1:2022, 10.6 and 10.18). Raises struct.error, ValueError, IndexError."""
    if tag[:4] == b"para":
        return parametric_curve(tag)
    if tag[:4] != b"curv":
        raise ValueError
    (count,) = struct.unpack_from(">I", tag, 8)
    if count == 0:
        return INPUTS
    if count == 1:
        return np.asarray(INPUTS ** (struct.unpack_from(">H", tag, 12)[0] / 256))
    points = np.frombuffer(tag, ">u2", count, 12) / MOST
    return np.asarray(np.interp(INPUTS, np.linspace(0, 1, count), points))


def parametric_curve(tag: bytes) -> Floats:
    """Y = (a X + b)^g + e from X = d on, c X + f before it; the shorter kinds lack some."""
    (kind,) = struct.unpack_from(">H", tag, 8)
    given = struct.unpack_from(f">{len(PARAMETERS[kind])}i", tag, 12)
    numbers = {letter: number / 65536 for letter, number in zip(PARAMETERS[kind], given, strict=True)}
    a, b, c, d, e, f, g = (numbers.get(letter, 1.0 if letter == "a" else 0.0) for letter in "abcdefg")
    if kind < 3:  # the curve is flat up to the zero of a X + b
        d, f = -b / a if a else 0.0, e
    with np.errstate(all="ignore"):
        values = np.where(d <= INPUTS, np.maximum(a * INPUTS + b, 0) ** g + e, c * INPUTS + f)
    if not np.isfinite(values).all():
        raise ValueError
    return np.asarray(values.clip(0, 1))
