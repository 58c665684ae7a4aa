"""Pictures of 16 bits a sample, which Pillow has no mode for: RGB as an array, in six bytes a pixel."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

#: The largest sample.
MOST = 65535
#: A sample of 8 bits, times this, is one of 16: 65535 / 255.
EIGHT_TO_SIXTEEN = 257
#: Rows that are converted at a time: whole pictures in float64 would take as much memory as the rest of a run.
STRIP = 64
Samples = NDArray[np.uint16]


@dataclass(frozen=True, eq=False)
class Deep:
    """An RGB picture of 16 bits a sample, with the methods of Pillow's that isostyle calls."""

    #: (H, W, 3).
    samples: Samples

    @property
    def width(self) -> int:
        return int(self.samples.shape[1])

    @property
    def height(self) -> int:
        return int(self.samples.shape[0])

    @property
    def size(self) -> tuple[int, int]:
        return self.width, self.height

    def rows(self, top: int, bottom: int) -> Samples:
        return self.samples[top:bottom]

    def crop(self, box: tuple[int, int, int, int]) -> Deep:
        """The pixels from left and top up to right and bottom; shared, not copied."""
        left, top, right, bottom = box
        return Deep(self.samples[top:bottom, left:right])

    def resize(self, size: tuple[int, int], resample: Image.Resampling) -> Deep:
        """As Pillow does it in float32, rounded to 16 bits."""
        made = np.empty((size[1], size[0], 3), np.uint16)
        for i in range(3):
            channel = Image.fromarray(self.samples[:, :, i].astype(np.float32))
            made[:, :, i] = np.rint(np.asarray(channel.resize(size, resample)).clip(0, MOST))
        return Deep(made)

    def tobytes(self) -> bytes:
        return self.samples.tobytes()

    def eight_bits(self) -> Image.Image:
        """The same picture, rounded to 8 bits."""
        return in_eight_bits(self, self.size)


class Rows(Protocol):
    """A picture of 16 bits a sample that hands out some rows at a time."""

    def rows(self, top: int, bottom: int) -> Samples:
        """Samples (rows, W, 3) from ``top`` up to ``bottom``, or to where the picture ends."""


def in_eight_bits(picture: Rows, size: tuple[int, int]) -> Image.Image:
    """A picture of ``size`` (width, height), rounded to 8 bits."""
    made = Image.new("RGB", size)
    for top in range(0, made.height, STRIP):
        made.paste(Image.fromarray(np.rint(picture.rows(top, top + STRIP) / EIGHT_TO_SIXTEEN).astype(np.uint8)), (0, top))
    return made


#: RGB, of 8 or 16 bits a sample.
Pixels: TypeAlias = Image.Image | Deep
P = TypeVar("P", Image.Image, Deep, Pixels)


def strips(picture: P) -> Iterator[tuple[int, P]]:
    """A picture from top to bottom: the first row of each strip, and the strip."""
    for top in range(0, picture.height, STRIP):
        yield top, picture.crop((0, top, picture.width, min(top + STRIP, picture.height)))
