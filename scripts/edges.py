"""Do painted pictures have a frame? Colors at the border of what own recipes paint, beside those further in.

    python scripts/edges.py --content photo.jpg --content logo.png --style a.jpg --style b.jpg

A step is the difference of two bands of four rows or columns that lie side by side: of their mean colors, in the channel where
it is largest, in levels of 255. The table has percentiles of the outermost steps of all pictures, of those further in, and of
the photographs' outermost ones. A recipe that paints frames has larger ones at the border than inside.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np
from PIL import Image
from tables import markdown

import isostyle

#: Rows in a band, and how many bands from the border are looked at.
BAND, BANDS = 4, 10
PERCENTILES = (50, 75, 90, 95, 99, 100)
OWN = ("isostyle", "painterly", "one-pass")
FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


def steps(picture: Image.Image) -> np.ndarray[Any, Any]:
    """Steps from the border inward: shape (4 sides, BANDS)."""
    pixels = np.asarray(picture.convert("RGB"), dtype=float)
    turned = [np.rot90(pixels, turns) for turns in range(4)]
    means = np.array([[side[BAND * k : BAND * (k + 1)].mean((0, 1)) for k in range(BANDS + 1)] for side in turned])
    return np.asarray(np.abs(np.diff(means, axis=1)).max(axis=2))


def row(name: str, values: Sequence[np.ndarray[Any, Any]]) -> list[str]:
    return [name, *(f"{value:.1f}" for value in np.percentile(np.concatenate([v.ravel() for v in values]), PERCENTILES))]


@click.command()
@click.option("--content", "contents", multiple=True, required=True, type=FILE)
@click.option("--style", "styles", multiple=True, required=True, type=FILE)
@click.option("--recipe", "recipes", multiple=True, default=OWN, show_default=True)
@click.option("--size", default=256, show_default=True, help="Of the longer side, in pixels.")
@click.option("--backend", default="torch", show_default=True)
@click.option("--folder", type=click.Path(path_type=Path), help="Where the pictures stay.")
def main(
    contents: Sequence[Path], styles: Sequence[Path], recipes: Sequence[str], size: int, backend: str, folder: Path | None
) -> None:
    """Paint every CONTENT in the manner of every STYLE by every RECIPE, and print a table."""
    rows = []
    for recipe in recipes:
        painted = []
        for content, style in itertools.product(contents, styles):
            picture = isostyle.stylize(content, style, recipe=recipe, size=size, backend=backend, precision="fast").picture
            painted.append(steps(picture))
            if folder is not None:
                folder.mkdir(parents=True, exist_ok=True)
                picture.save(folder / f"{recipe}-{content.stem}-{style.stem}.png")
            click.echo(f"{recipe} {content.name} {style.name}: {painted[-1][:, 0].max():.1f}", err=True)
        rows += [row(f"`{recipe}`, border", [one[:, 0] for one in painted])]
        rows += [row(f"`{recipe}`, inside", [one[:, 1:] for one in painted])]
    photographs = []
    for content in contents:
        with Image.open(content) as opened:
            picture = opened.convert("RGB")
        height, width = isostyle.LongSide(size).fit(picture.height, picture.width)
        photographs.append(steps(picture.resize((width, height)))[:, 0])
    rows.append(row("photographs, border", photographs))
    click.echo(markdown(["", *(f"{p} %" for p in PERCENTILES)], rows))


if __name__ == "__main__":
    main()
