"""Pictures side by side."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image

#: Space between and around the pictures of a strip, in pixels.
STRIP_GAP = 8


def strip(pictures: Sequence[Image.Image], height: int) -> Image.Image:
    """Pictures side by side on white, each scaled to ``height`` pixels."""
    scaled = [p.resize((round(p.width * height / p.height), height), Image.Resampling.LANCZOS) for p in pictures]
    width = sum(p.width for p in scaled) + STRIP_GAP * (len(scaled) + 1)
    canvas = Image.new("RGB", (width, height + 2 * STRIP_GAP), "white")
    left = STRIP_GAP
    for picture in scaled:
        canvas.paste(picture, (left, STRIP_GAP))
        left += picture.width + STRIP_GAP
    return canvas
