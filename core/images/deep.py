"""Pictures of 16 bits a sample, which Pillow has no mode for: RGB as an array, in six bytes a pixel."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from isostyle.interface import Array
from isostyle.network import RGB_MEAN, RGB_STD
from isostyle.recipe import Space

#: The largest sample.
MOST = 65535
#: A sample of 8 bits, times this, is one of 16: 65535 / 255.
EIGHT_TO_SIXTEEN = 257
#: Rows that are converted at a time: whole pictures in float64 would take as much memory as the rest of a run.
STRIP = 64
Samples = NDArray[np.uint16]


@dataclass(frozen=True, eq=False)
class Deep:
    """An RGB picture of 16 bits a sample, with what :mod:`isostyle.images.arrays` asks of one of Pillow's."""

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
        """Width and height, as Pillow has them."""
        return self.width, self.height

    def rows(self, top: int, bottom: int) -> Samples:
        return self.samples[top:bottom]

    def crop(self, box: tuple[int, int, int, int]) -> Deep:
        """The pixels from left and top up to right and bottom; shared, not copied."""
        left, top, right, bottom = box
        return Deep(self.samples[top:bottom, left:right])

    def resize(self, height: int, width: int) -> Deep:
        """Bilinear with antialiasing, as Pillow does it in float32, rounded to 16 bits."""
        made = np.empty((height, width, 3), np.uint16)
        for i in range(3):
            channel = Image.fromarray(self.samples[:, :, i].astype(np.float32))
            resized = np.asarray(channel.resize((width, height), Image.Resampling.BILINEAR))
            made[:, :, i] = np.rint(resized.clip(0, MOST))
        return Deep(made)

    def tobytes(self) -> bytes:
        return self.samples.tobytes()

    def eight_bits(self) -> Image.Image:
        """The same picture, rounded to 8 bits."""
        picture = Image.new("RGB", self.size)
        for top in range(0, self.height, STRIP):
            eight = np.rint(self.samples[top : top + STRIP] / EIGHT_TO_SIXTEEN).astype(np.uint8)
            picture.paste(Image.fromarray(eight), (0, top))
        return picture


#: RGB, of 8 or 16 bits a sample.
Pixels: TypeAlias = Image.Image | Deep


@dataclass(frozen=True, eq=False)
class Rounded:
    """An array of shape (1, 3, H, W), in a recipe's space, as a picture of 16 bits: clipped, and rounded to the nearest."""

    image: Array
    space: Space = "normalized"

    @property
    def width(self) -> int:
        return int(self.image.shape[3])

    @property
    def height(self) -> int:
        return int(self.image.shape[2])

    def rows(self, top: int, bottom: int) -> Samples:
        return rounded(self.image[:, :, top:bottom], self.space)

    def whole(self) -> Deep:
        samples = np.empty((self.height, self.width, 3), np.uint16)
        for top in range(0, self.height, STRIP):
            samples[top : top + STRIP] = self.rows(top, top + STRIP)
        return Deep(samples)


#: A picture of 16 bits a sample that hands out some rows at a time, for the writers of files.
Rows: TypeAlias = Deep | Rounded


def rounded(image: Array, space: Space = "normalized") -> Samples:
    """An array of shape (1, 3, H, W) as samples of 16 bits, (H, W, 3)."""
    pixels = image[0].transpose(1, 2, 0).astype(np.float64)
    if space == "normalized":
        pixels = pixels * np.array(RGB_STD) + np.array(RGB_MEAN)
    made: Samples = np.rint(pixels.clip(0, 1) * MOST).astype(np.uint16)
    return made


def strips(picture: Image.Image) -> Iterator[tuple[int, Image.Image]]:
    """A picture of Pillow's from top to bottom: the first row of each strip, and the strip."""
    for top in range(0, picture.height, STRIP):
        yield top, picture.crop((0, top, picture.width, min(top + STRIP, picture.height)))
