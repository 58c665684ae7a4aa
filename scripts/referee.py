"""Paint photographs in the manner of paintings, have the referee judge the pictures, and make a sheet of them.

    isostyle weights fetch vgg16 --source pip
    python scripts/referee.py --content a.jpg --content b.jpg --style c.jpg --style d.jpg --sheet sheet.jpg

Every photograph is painted in the manner of every painting, by the default recipe unless told otherwise. The table has, of each
picture and network, the share of the photograph's style figure that it leaves, its content figure (`isostyle compare` says what
they are), and the seconds of the run. With --folder, pictures and figures stay there, and only those that are missing are made.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import click
from PIL import Image
from tables import markdown, publish

import isostyle

#: Width of a picture in the sheet, in pixels.
COLUMN = 360
JPEG_QUALITY = 88
FIGURES = ("left", "content", "seconds")
FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@dataclass(frozen=True)
class Judged:
    """A picture that was painted, and what the referee says of it."""

    picture: Image.Image
    left: float
    content: float
    seconds: float

    @property
    def row(self) -> list[str]:
        return [f"{self.left:.3f}", f"{self.content:.2f}", f"{self.seconds:.0f}"]


def paint(content: Path, style: Path, how: Mapping[str, Any]) -> Judged:
    result = isostyle.stylize(content, style, **how)
    (figures,) = isostyle.compare([result.picture], content=content, style=style, backend="torch")
    return Judged(result.picture, figures.left, figures.content, result.manifest["seconds"])


def kept(place: Path, make: Callable[[], Judged]) -> Judged:
    """What lies at ``place``, a picture with its figures beside it; made first if it is not there."""
    figures = place.with_suffix(".json")
    if not figures.exists():
        found = make()
        place.parent.mkdir(parents=True, exist_ok=True)
        found.picture.save(place)
        figures.write_text(json.dumps({name: getattr(found, name) for name in FIGURES}))
    return Judged(Image.open(place), **json.loads(figures.read_text()))


def middle(found: Sequence[Judged]) -> list[str]:
    """The medians of the figures."""
    left, content, seconds = (median(getattr(one, name) for one in found) for name in FIGURES)
    return Judged(found[0].picture, left, content, seconds).row


def sheet(pictures: Sequence[Image.Image], columns: int) -> Image.Image:
    """The pictures in rows, each as wide as a column."""
    small = [picture.resize((COLUMN, round(COLUMN * picture.height / picture.width))) for picture in pictures]
    rows = [small[i : i + columns] for i in range(0, len(small), columns)]
    heights = [max(picture.height for picture in row) for row in rows]
    made = Image.new("RGB", (COLUMN * columns, sum(heights)), "white")
    top = 0
    for row, height in zip(rows, heights, strict=True):
        for i, picture in enumerate(row):
            made.paste(picture, (i * COLUMN, top))
        top += height
    return made


@click.command()
@click.option("--content", "contents", multiple=True, required=True, type=FILE)
@click.option("--style", "styles", multiple=True, required=True, type=FILE)
@click.option("--network", "networks", multiple=True, default=("compact",), show_default=True)
@click.option("--recipe", default="isostyle", show_default=True)
@click.option("--size", default=512, show_default=True, help="Of the longer side, in pixels.")
@click.option("--backend", default="torch", show_default=True)
@click.option("--precision", default="exact", show_default=True)
@click.option("--folder", type=click.Path(file_okay=False, path_type=Path), help="Where pictures and figures stay.")
@click.option("--sheet", "sheet_file", type=click.Path(path_type=Path), help="Where the sheet of the first network goes.")
@click.option("--write", type=click.Path(exists=True, path_type=Path), help="Put the table between the marks in this file.")
def main(
    contents: Sequence[Path],
    styles: Sequence[Path],
    networks: Sequence[str],
    folder: Path | None,
    sheet_file: Path | None,
    write: Path | None,
    **how: Any,
) -> None:
    """Paint every content in the manner of every style, and judge the pictures."""
    judged: dict[str, list[Judged]] = {network: [] for network in networks}
    pairs = [(content, style) for content in contents for style in styles]
    for network, (content, style) in itertools.product(networks, pairs):
        make = partial(paint, content, style, {**how, "network": network})
        name = f"{Path(network).stem}-{content.stem}-{style.stem}"
        judged[network].append(kept(folder / f"{name}.png", make) if folder else make())
        click.echo(f"{name}: {judged[network][-1].row}", err=True)
    rows = [
        [content.stem, style.stem, *(figure for of_pair in found for figure in of_pair.row)]
        for (content, style), *found in zip(pairs, *judged.values(), strict=True)
    ]
    rows.append(["median", "", *(figure for found in judged.values() for figure in middle(found))])
    titles = [f"{Path(network).stem}: {title}" for network in networks for title in FIGURES]
    publish(markdown(["photograph", "painting", *titles], rows), "referee", write)
    if sheet_file:
        sheet([one.picture for one in judged[networks[0]]], len(styles)).save(sheet_file, quality=JPEG_QUALITY)


if __name__ == "__main__":
    main()
