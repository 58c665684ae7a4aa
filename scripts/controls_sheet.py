"""Photographs in paintings, with each way to keep the colors, on one labelled sheet.

isostyle demo                                       # a portrait and a painting that may be shown
python scripts/controls_sheet.py PHOTO:PAINTING... -o docs/sheets/colors.jpg
"""

from __future__ import annotations

import io
from pathlib import Path

import click
from PIL import Image, ImageOps

import isostyle
from isostyle.images import decode
from isostyle.images.colors import KINDS
from isostyle.sizes import LongSide
from isostyle.style_networks.sheet import laid_out
from isostyle.system.files import write_atomically

#: The most bytes of a sheet, and the qualities of JPEG that are tried for it.
MOST_BYTES = 250_000
QUALITIES = range(95, 40, -5)


def block(photograph: Path, painting: Path, side: int, backend: str) -> Image.Image:
    """A photograph, a painting, and what becomes of the two."""
    made = [
        (
            kind or "no --keep-colors",
            isostyle.stylize(photograph, painting, size=LongSide(side), keep_colors=kind, backend=backend),
        )
        for kind in (None, *KINDS)
    ]
    size = made[0][1].picture.size
    given = [
        (name, ImageOps.pad(decode.read_rgb(path), size, color="white"))
        for name, path in (("photograph", photograph), ("painting", painting))
    ]
    return laid_out([*given, *((name, result.picture) for name, result in made)])


def below(blocks: list[Image.Image]) -> Image.Image:
    """Pictures one below the other."""
    canvas = Image.new("RGB", (max(each.width for each in blocks), sum(each.height for each in blocks)), "white")
    top = 0
    for each in blocks:
        canvas.paste(each, (0, top))
        top += each.height
    return canvas


def jpeg(picture: Image.Image) -> bytes:
    """A JPEG of the best quality that is small enough. Raises click.ClickException if none is."""
    for quality in QUALITIES:
        stream = io.BytesIO()
        picture.save(stream, "JPEG", quality=quality, optimize=True, progressive=True)
        if len(stream.getvalue()) <= MOST_BYTES:
            return stream.getvalue()
    raise click.ClickException(f"no JPEG of it has {MOST_BYTES} bytes or less; take a smaller --side")


@click.command()
@click.argument("pairs", nargs=-1, required=True, metavar="PHOTO:PAINTING...")
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True)
@click.option("--side", default=300, show_default=True, help="Longer side of a picture in pixels.")
@click.option("--backend", default="auto", show_default=True)
def main(pairs: tuple[str, ...], output: Path, side: int, backend: str) -> None:
    """Make the sheet."""
    blocks = []
    for pair in pairs:
        photograph, _, painting = pair.partition(":")
        blocks.append(block(Path(photograph), Path(painting), side, backend))
    write_atomically(output, jpeg(below(blocks)))


if __name__ == "__main__":
    main()
