"""What a style transfer gives back, and what ends it early."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from isostyle.errors import IsostyleError, Sent
from isostyle.images import encode
from isostyle.images.arrays import Rounded
from isostyle.images.colors import Photograph
from isostyle.images.deep import Rows
from isostyle.images.encode import Finished
from isostyle.images.options import QUALITY, PictureOptions
from isostyle.interface import Array
from isostyle.recipe import Space
from isostyle.system.files import require_folder
from isostyle.transfer.checkpoint import RunCheckpoint


@dataclass(frozen=True)
class Result:
    """A stylized picture and how it came about."""

    #: RGB, 8 bits; what ``alpha`` hides is painted, too.
    picture: Image.Image
    #: The same before clipping and rounding, in the recipe's space, shape (1, 3, H, W).
    image: Array
    #: One row per evaluation: step, evaluation, learning_rate, content, style, tv, total, and every term by its name. With a
    #: line search also trial: 1 for an image that the search tried and did not take.
    history: list[dict[str, float]]
    #: Settings, digests, versions, time, memory and losses, ready for JSON.
    manifest: dict[str, Any]
    #: Of ``image``.
    space: Space = "normalized"
    #: The content image's transparency, mode L, of the picture's size; None if it has none.
    alpha: Image.Image | None = None
    #: The content image's EXIF, as far as it is worth keeping.
    exif: bytes | None = None
    #: Whether all pictures that it was made of are gray, and so is ``picture``; ``image`` has the colors that were optimized.
    gray: bool = False
    #: In whose colors ``picture`` is; None if in its own. ``image`` has its own.
    photograph: Photograph | None = None

    @property
    def finished(self) -> Finished:
        """The picture with all that a file of it may hold."""
        deep: Rows = Rounded(self.image, self.space, self.gray)
        if self.photograph is not None:
            deep = self.photograph.in_colors(deep, self.picture.height, self.picture.width)
        return Finished(self.picture, deep, self.alpha, self.exif)

    def save(
        self, path: str | os.PathLike[str], *, bits: int = 8, alpha: str = "keep", quality: int = QUALITY, strip: bool = False
    ) -> None:
        """Write the picture, whole or not at all, with sRGB's profile and the content image's EXIF (docs/pictures.md).
        Overwrite a file that is there, as PIL's ``save`` does.

        Args:
            path: its suffix says the format.
            bits: of a sample: 8, or 16 (PNG and TIFF).
            alpha: ``"keep"`` the content image's transparency where the format can hold it, or ``"drop"`` it: on white.
            quality: of JPEG, WebP and AVIF, 1 to 100.
            strip: leave the EXIF out.

        Raises:
            InputError: an argument cannot be used, or there is no such folder.
            OSError, ValueError: the file cannot be written.
        """
        require_folder(Path(path))
        encode.save(self.finished, Path(path), PictureOptions(alpha, bits, quality, strip))

    def _repr_png_(self) -> bytes:
        """The picture, for notebooks."""
        return encode.shown_in_notebooks(self.finished)


class Stopped(IsostyleError):
    """A run ended early: a loss exploded or was no longer finite, or the framework failed.

    ``result`` holds the last good picture; it is None if there was none yet. ``good`` is a state to go back to, if the run kept
    one.
    """

    def __init__(self, cause: IsostyleError, result: Result | None, good: RunCheckpoint | None = None) -> None:
        super().__init__(str(cause))
        self.result, self.good = result, good


class Interrupted(Sent, KeyboardInterrupt):
    """Ctrl-C. ``result`` holds the last picture; it is None if there was none yet."""

    def __init__(self, result: Result | None) -> None:
        super().__init__()
        self.result = result
