"""Files of every kind that people have, PIL images and arrays, as RGB in sRGB's colors. docs/pictures.md is the contract."""

from __future__ import annotations

import contextlib
import hashlib
import os
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from isostyle.errors import InputError, shown
from isostyle.images import deep_files, exif, heif, icc, pages, transparency
from isostyle.images.deep import Deep, Pixels, strips
from isostyle.images.deep_files import Found, Tags
from isostyle.images.pages import Page
from isostyle.images.suffixes import is_raw, readable_formats
from isostyle.system.files import accessed, read_input, reason, require_regular, sha256


class Tensor(Protocol):
    """An array of a framework: torch, Paddle, MXNet, or whatever NumPy makes an array of."""

    @property
    def shape(self) -> Any: ...


#: What a caller may hand in: a path, the bytes of a file, a binary file object, a PIL image, or an array (H, W), (H, W, 1),
#: (H, W, 3) or (H, W, 4) of uint8 in 0..255, uint16 in 0..65535 or floats in 0..1. A tensor may also have its channels first,
#: as frameworks have them, alone or as a batch of one: (3, H, W), (1, 3, H, W), and so on.
ImageLike: TypeAlias = str | os.PathLike[str] | bytes | IO[bytes] | Image.Image | NDArray[Any] | Tensor

#: Pillow refuses more pixels than this before it decodes them, as a decompression bomb.
MAX_PIXELS = 2 * (Image.MAX_IMAGE_PIXELS or 89_478_485)

#: What is said of a camera's raw data, behind the name of the file.
RAW = (
    "is a raw photograph, which has to be developed first: export it as a TIFF of 16 bits, or as a JPEG, with your raw program"
)
#: How many channels a picture may have: gray, RGB, RGBA.
CHANNELS = (1, 3, 4)


@dataclass(frozen=True, eq=False)
class PictureIn:
    """A picture that was read."""

    #: In sRGB's colors: orientation applied, hidden pixels filled (:mod:`isostyle.images.transparency`).
    pixels: Pixels
    #: Mode L, as large as the pixels; None if nothing is transparent.
    alpha: Image.Image | None = None
    #: What is worth keeping of its EXIF.
    exif: bytes | None = None
    #: What the user should know.
    lines: tuple[str, ...] = ()

    @property
    def eight_bits(self) -> Image.Image:
        return eight_bits(self.pixels)

    @property
    def as_style(self) -> Pixels:
        """What a painting shows, for Gram matrices."""
        return transparency.as_style(self.pixels, self.alpha)


def eight_bits(pixels: Pixels) -> Image.Image:
    return pixels.eight_bits() if isinstance(pixels, Deep) else pixels


def read(source: ImageLike, what: str = "image") -> PictureIn:
    """The picture, as :func:`read_picture`."""
    return read_picture(source, what)[0]


def read_rgb(source: ImageLike, what: str = "image") -> Image.Image:
    """The picture, as :func:`read_picture`, as 8-bit RGB: 16 bits are rounded."""
    return read(source, what).eight_bits


def read_picture(source: ImageLike, what: str) -> tuple[PictureIn, str | None]:
    """The picture, and the SHA-256 of the file if there is one; it is read once, so the two belong together.

    Raises:
        InputError: there is no such file, or it holds no whole picture, or an array has another shape, type or range. The
            message begins with ``what`` or the file's name.
    """
    named_raw = isinstance(source, str | os.PathLike) and is_raw(Path(source))
    if isinstance(source, str | os.PathLike):
        source, what = read_input(Path(source)), repr(str(source))
    source = contents(source, what)
    if (array := array_of(source, what)) is not None:
        return from_array(array, what), None
    with in_one_sentence(what, named_raw=named_raw):
        if isinstance(source, Image.Image):
            return opened(source, what), None
        if isinstance(source, bytes):
            if named_raw and pages.is_tiff(source):
                raise pages.IsRaw  # the one that Pillow would find is a preview, most often
            picture, floats, page = deep_files.open_picture(source)
            with picture:
                return opened(picture, what, source, floats, page), sha256(source)
    raise InputError(f"{what} must be a path, a file, its bytes, a PIL image or an array, not {shown(source)}")


def contents(source: ImageLike, what: str) -> ImageLike:
    """The bytes of a binary file object, which can be read once only, from where it stands; anything else as it is.

    Raises:
        InputError: it cannot be read, or was opened as text.
    """
    if not hasattr(source, "read") or isinstance(source, Image.Image):
        return source
    try:
        data = source.read()
    except (OSError, ValueError) as error:
        raise InputError(f"{what} cannot be read: {reason(error)}") from None
    if isinstance(data, str):
        raise InputError(f'{what} is a file that was opened as text; open it with "rb"')
    if not data:
        raise InputError(f"{what} is a file with nothing left to read; is it empty, or was it read before?")
    return bytes(data)


@dataclass(frozen=True)
class Header:
    """What the header of a picture file says."""

    #: Width and height, whatever the EXIF orientation.
    size: tuple[int, int]
    #: Which picture of several is taken, as ``"page 1 of 3"``; None if there is one.
    which: str | None


def header(path: Path) -> Header:
    """Look at a picture file without decoding it. Raises InputError as :func:`read_picture`, but for broken pixels."""
    name = repr(str(path))
    with accessed(name):
        require_regular(path.stat(), name)
        stream = path.open("rb")
    with stream, in_one_sentence(name, named_raw=is_raw(path)):
        head = stream.read(pages.BIG_HEAD)
        pages.require_developed(head)
        page = None
        if pages.is_tiff(head):
            if is_raw(path):
                raise pages.IsRaw
            page = pages.page_of(stream)
        if page is not None and not page.is_first:
            return Header((page.width, page.height), pages.which(None, None, page))
        stream.seek(0)
        try:
            with Image.open(stream, formats=readable_formats(head)) as picture:
                return Header(picture.size, pages.which(picture, None, page))
        except UnidentifiedImageError:
            heif.refuse(head)
            raise


def describe(source: ImageLike, picture: Pixels, digest: str | None, alpha: Image.Image | None = None) -> dict[str, Any]:
    """What a manifest says of an input: its file if it has one, the digest of its decoded pixels, and its size."""
    about: dict[str, Any] = {"path": str(source)} if isinstance(source, str | os.PathLike) else {}
    if digest:
        about["file_sha256"] = digest
    return {**about, "pixels_sha256": pixels_sha256(picture, alpha), "size": [picture.height, picture.width]}


def pixels_sha256(picture: Pixels, alpha: Image.Image | None = None) -> str:
    """The digest of all samples, row by row, and behind them alpha's if there is one."""
    found = hashlib.sha256()
    for layer in (picture,) if alpha is None else (picture, alpha):
        # A strip at a time: their bytes at once would be another picture in memory.
        for _, strip in strips(layer):
            found.update(strip.tobytes())
    return found.hexdigest()


def frame(picture: Image.Image) -> PictureIn:
    """A frame of a video, of RGB or RGBA; unlike other pictures, it may be hidden as a whole."""
    if picture.mode == "RGB":
        return PictureIn(picture)
    alpha = picture.getchannel("A")
    return PictureIn(picture.convert("RGB"), alpha) if alpha.getbbox() is None else read(picture, "a frame")


# Files


@contextlib.contextmanager
def in_one_sentence(what: str, *, named_raw: bool = False) -> Iterator[None]:
    """Whatever Pillow says of a broken file, as an InputError; its warnings are left out. ``named_raw``: whether its name says
    that it is a camera's."""
    with warnings.catch_warnings():
        # Pillow warns from half the limit on; isostyle has one limit.
        warnings.simplefilter("ignore")
        try:
            yield
        except (InputError, MemoryError):
            raise
        except heif.NotInstalled:
            raise InputError(f"{what} is a HEIC picture, and they need {heif.NEEDS}") from None
        except pages.IsRaw:
            raise InputError(f"{what} {RAW}") from None
        except UnidentifiedImageError:
            if named_raw:
                raise InputError(f"{what} {RAW}") from None
            raise InputError(f"{what} is not a picture that can be read (JPEG, PNG, TIFF, WebP, ...)") from None
        except Image.DecompressionBombError:
            raise InputError(f"{what} has more than {MAX_PIXELS / 1e6:.0f} megapixels; make it smaller") from None
        except Exception as error:
            # Pillow's decoders meet a broken file with OSError, SyntaxError, ValueError, EOFError, struct.error and others.
            raise InputError(f"{what} cannot be decoded, and may be broken or truncated: {reason(error)}") from None


def opened(
    picture: Image.Image, what: str, data: bytes | None = None, floats: Tags | None = None, page: Page | None = None
) -> PictureIn:
    """A picture that Pillow has opened, from the file ``data`` (of which :func:`isostyle.images.deep_files.open_picture` found
    ``floats`` and ``page``) or a caller's. May raise whatever Pillow does."""
    which = pages.which(picture, data, page)
    lines = [f"{what}: {which} was taken"] if which else []
    raw = deep_files.prepare(picture, what)
    kept = exif.kept(picture)
    profile = picture.info.get("icc_profile")
    profile = profile if isinstance(profile, bytes) and profile else None
    found = deep_files.samples_of(picture, data, raw, floats, what) or picture
    try:
        pixels, alpha = in_srgb(found, profile, callers=data is None)
    except icc.Unusable as error:
        lines.append(f"{what} has a color profile that cannot be used: {error}; its colors are taken for sRGB")
        pixels, alpha = in_srgb(found, None, callers=data is None)
    return PictureIn(pixels, seen(pixels, alpha, what), kept, tuple(lines))


def seen(pixels: Pixels, alpha: Image.Image | None, what: str) -> Image.Image | None:
    """``alpha`` if it hides anything. Hidden pixels are filled, in place. Raises InputError if all are."""
    if alpha is None or alpha.getextrema() == (255, 255):
        return None
    transparency.fill(pixels, alpha, what)
    return alpha


def in_srgb(found: Found | Image.Image, profile: bytes | None, *, callers: bool) -> tuple[Pixels, Image.Image | None]:
    """Pixels in sRGB, and alpha if there is any. A caller's picture is not changed. Raises Unusable."""
    if isinstance(found, Found):
        return deep_files.to_srgb(found, profile)
    picture = exif.upright(found)
    alpha = None
    if picture.has_transparency_data:
        layer = picture if picture.mode == "RGBA" else picture.convert("RGBA")
        alpha = layer.getchannel("A")
        plain = layer.convert("RGB")
        del layer
    elif picture.mode in ("RGB", "LAB", "CMYK"):
        # Of 100 megapixels, each copy that is not made is 400 MB.
        plain = picture.copy() if callers and picture is found else picture
    else:
        plain = picture.convert("RGB")
    return icc.to_srgb(plain, profile, gray=picture.mode in ("1", "L", "LA", "La")), alpha


# Arrays


def array_of(source: Any, what: str) -> NDArray[Any] | None:
    """A NumPy array, or a tensor as one, its channels last; None of anything else. A framework's tensor is known by its
    methods, so that no framework is imported for it.

    Raises:
        InputError: a tensor cannot be had as an array.
    """
    if isinstance(source, np.ndarray):
        return source
    if isinstance(source, Image.Image | bytes) or not (hasattr(source, "__array__") or hasattr(source, "asnumpy")):
        return None
    try:
        if hasattr(source, "asnumpy"):  # MXNet
            found: NDArray[Any] = source.asnumpy()
        elif hasattr(source, "detach"):  # torch, Paddle
            if "bfloat16" in str(source.dtype):
                # NumPy has no such floats: torch refuses, and Paddle would give their bits, as uint16.
                raise TypeError("NumPy has no bfloat16; hand over float32")
            found = source.detach().cpu().numpy()
        else:
            found = np.asarray(source)
    except Exception as error:
        # Frameworks meet what they cannot copy (meta, sparse, deleted tensors) with errors of all kinds.
        raise InputError(f"{what} cannot be made an array of: {reason(error)}") from None
    if found.ndim == 4 and found.shape[0] == 1:
        found = found[0]
    # A picture with channels last that has so few rows is too small for any network.
    return np.moveaxis(found, 0, -1) if found.ndim == 3 and found.shape[0] in CHANNELS else found


def from_array(array: NDArray[Any], what: str) -> PictureIn:
    """Floats are rounded to 16 bits."""
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    if not (array.ndim == 2 or (array.ndim == 3 and array.shape[2] in CHANNELS)) or 0 in array.shape:
        raise InputError(f"{what}: an array must have shape (H, W), (H, W, 3) or (H, W, 4), not {array.shape}")
    if array.dtype == np.uint8:
        return read(Image.fromarray(np.ascontiguousarray(array)), what)
    if array.dtype.kind == "f":
        array = deep_files.to_samples(array, what)
    elif array.dtype.kind != "u" or array.dtype.itemsize != 2:
        raise InputError(f"{what}: an array must be of uint8, uint16 or floats in 0..1, not {array.dtype}")
    samples = array.astype(np.uint16)
    if samples.ndim == 2:
        return PictureIn(Deep(deep_files.spread(samples)))
    alpha = samples[..., 3] if samples.shape[2] == 4 else None
    pixels, layer = deep_files.to_srgb(Found(np.ascontiguousarray(samples[..., :3]), alpha), None)
    return PictureIn(pixels, seen(pixels, layer, what))
