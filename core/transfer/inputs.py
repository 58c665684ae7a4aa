"""The pictures of a run: read once, described for the manifest, and let go as soon as they are no longer needed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from PIL import Image

from isostyle.errors import InputError
from isostyle.images import arrays
from isostyle.images.arrays import ImageLike, Pixels
from isostyle.images.decode import describe, read_picture
from isostyle.transfer.plan import Resizing, fit


@dataclass
class Pictures:
    """What was read, by role: content, style, and init if a run starts from an image."""

    #: A picture of 24 megapixels takes 72 MB or more, so whoever is done with one takes it out.
    pixels: dict[str, Pixels] = field(default_factory=dict)
    #: What a manifest says of each: path and digest of its file if it has one, digest of its pixels, size.
    described: dict[str, dict[str, Any]] = field(default_factory=dict)
    #: Of the content image: its transparency, mode L, and its EXIF.
    alpha: Image.Image | None = None
    exif: bytes | None = None
    #: What the user should know.
    lines: list[str] = field(default_factory=list)

    def read(self, role: str, source: ImageLike) -> None:
        """Add a picture.

        Raises:
            InputError: it cannot be read.
        """
        found, digest = read_picture(source, f"the {role} image")
        self.pixels[role] = found.pixels
        self.described[role] = describe(source, found.pixels, digest)
        self.lines += found.lines
        if role == "content":
            self.alpha, self.exif = found.alpha, found.exif

    def require_same(self, role: str, before: Mapping[str, Any]) -> None:
        """Raises InputError unless a picture has the pixels that a checkpoint describes."""
        about = self.described[role]
        if about["pixels_sha256"] != before["pixels_sha256"]:
            name = repr(about["path"]) if "path" in about else f"the {role} image"
            raise InputError(f"{name} is not the {role} image that this run began with")

    def fit_alpha(self, resizing: Resizing) -> None:
        """Make the transparency as large as the finished picture; small, beside what is to come."""
        if self.alpha is not None:
            self.alpha = fit(self.alpha, resizing)

    def alpha_of(self, height: int, width: int) -> Image.Image | None:
        """The transparency at the size of a picture; a run that ends at a coarse level of its pyramid makes a smaller one."""
        if self.alpha is None or self.alpha.size == (width, height):
            return self.alpha
        return arrays.resize(self.alpha, height, width)


def read_pictures(sources: Mapping[str, ImageLike], before: Mapping[str, Mapping[str, Any]] | None = None) -> Pictures:
    """Read the pictures of a run; of one that goes on, they must be those that it had ``before``, as described then.

    Raises:
        InputError: one cannot be read, or is another.
    """
    found = Pictures()
    for role, source in sources.items():
        found.read(role, source)
        if before is not None:
            found.require_same(role, before[role])
    return found
