"""One photograph in many styles, on one sheet with their names."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from PIL import Image, ImageDraw, ImageFont

from isostyle.images import arrays
from isostyle.sizes import LongSide
from isostyle.style_networks import file as style_network
from isostyle.style_networks.apply import Applier
from isostyle.style_networks.file import StyleNetwork

#: Of the sheet, in pixels: the longer side of a picture, at which it is painted, too; what lies between pictures; and the
#: height of a name.
SIDE, GAP, NAME = 600, 8, 24
#: What stands below the photograph itself.
PHOTOGRAPH = "photograph"


def each_of(names: Iterable[str]) -> list[StyleNetwork]:
    """The styles that the names say (:func:`isostyle.style_networks.file.find`), each by itself.

    Raises:
        InputError: there is no such style.
    """
    networks = [style_network.find(name) for name in names]
    return [network.mixed({style: 1.0}) for network in networks for style in network.styles]


def sheet(styles: Sequence[StyleNetwork], photograph: Image.Image, *, backend: str, threads: int | None) -> Image.Image:
    """The photograph, and how each network of one style paints it."""
    given = arrays.fitted(photograph, LongSide(SIDE))
    painted = [(style.name, Applier(style, backend=backend, threads=threads)(given).picture) for style in styles]
    return laid_out([(PHOTOGRAPH, given), *painted])


def laid_out(pictures: Sequence[tuple[str, Image.Image]]) -> Image.Image:
    """Pictures of one size in rows, about as many as columns, each with its name below it."""
    side = math.ceil(math.sqrt(len(pictures)))
    columns = min(side, side + 1, key=lambda count: -len(pictures) % count)  # whichever leaves fewer places empty
    width, height = pictures[0][1].size
    across, down = width + GAP, height + NAME + GAP
    canvas = Image.new("RGB", (columns * across + GAP, math.ceil(len(pictures) / columns) * down + GAP), "white")
    draw, font = ImageDraw.Draw(canvas), ImageFont.load_default(NAME * 0.75)
    for i, (name, picture) in enumerate(pictures):
        left, top = GAP + i % columns * across, GAP + i // columns * down
        canvas.paste(picture, (left, top))
        draw.text((left, top + height), name, "black", font)
    return canvas
