"""Paint photographs in the manner of paintings, have the referee judge the pictures, and make a sheet of them.

    isostyle weights fetch vgg16 --source pip
    python scripts/referee.py --content a.jpg --content b.jpg --style c.jpg --style d.jpg --sheet sheet.jpg

Every photograph is painted in the manner of every painting, by the default recipe unless told otherwise. The table has, of each
picture, the referee's style figure, the share of the photograph's that it leaves, its content figure (`isostyle compare` says
what they are), and the seconds of the run.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import click
from PIL import Image
from tables import markdown, publish

import isostyle

#: Width of a picture in the sheet, in pixels.
COLUMN = 360
JPEG_QUALITY = 88
FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@dataclass(frozen=True)
class Judged:
    """A picture that was painted, and what the referee says of it."""

    content: Path
    style: Path
    picture: Image.Image
    figures: isostyle.Comparison
    seconds: float


def paint(content: Path, style: Path, recipe: str, network: str, size: int, backend: str, precision: str) -> Judged:
    result = isostyle.stylize(
        content,
        style,
        recipe=recipe,
        network=network,
        size=size,
        backend=backend,
        precision=precision,  # type: ignore[arg-type]
    )
    (figures,) = isostyle.compare([result.picture], content=content, style=style, backend=backend)
    return Judged(content, style, result.picture, figures, result.manifest["seconds"])


def sheet(judged: Sequence[Judged], columns: int) -> Image.Image:
    """The pictures in rows, each as wide as a column."""
    rows = [judged[i : i + columns] for i in range(0, len(judged), columns)]
    small = [
        [each.picture.resize((COLUMN, round(COLUMN * each.picture.height / each.picture.width))) for each in row]
        for row in rows
    ]
    heights = [max(picture.height for picture in row) for row in small]
    made = Image.new("RGB", (COLUMN * columns, sum(heights)), "white")
    top = 0
    for row, height in zip(small, heights, strict=True):
        for i, picture in enumerate(row):
            made.paste(picture, (i * COLUMN, top))
        top += height
    return made


@click.command()
@click.option("--content", "contents", multiple=True, required=True, type=FILE)
@click.option("--style", "styles", multiple=True, required=True, type=FILE)
@click.option("--recipe", default="isostyle", show_default=True)
@click.option("--network", default="compact", show_default=True)
@click.option("--size", default=512, show_default=True, help="Of the longer side, in pixels.")
@click.option("--backend", default="torch", show_default=True)
@click.option("--precision", default="exact", show_default=True)
@click.option("--sheet", "sheet_file", type=click.Path(path_type=Path), help="Where the sheet goes.")
@click.option("--write", type=click.Path(exists=True, path_type=Path), help="Put the table between the marks in this file.")
def main(
    contents: Sequence[Path],
    styles: Sequence[Path],
    sheet_file: Path | None,
    write: Path | None,
    **how: str,
) -> None:
    """Paint every content in the manner of every style, and judge the pictures."""
    judged = []
    for content in contents:
        for style in styles:
            judged.append(paint(content, style, **how))  # type: ignore[arg-type]
            click.echo(f"{content.stem} x {style.stem}: {row_of(judged[-1])}", err=True)
    rows = [[each.content.stem, each.style.stem, *row_of(each)] for each in judged]
    left = median(each.figures.left for each in judged)
    rows.append(["median", "", "", f"{left:.3f}", f"{median(each.figures.content for each in judged):.3f}", ""])
    table = markdown(["photograph", "painting", "style", "left", "content", "seconds"], rows)
    publish(table, "referee", write)
    if sheet_file:
        sheet(judged, len(styles)).save(sheet_file, quality=JPEG_QUALITY)


def row_of(one: Judged) -> list[str]:
    figures = one.figures
    return [f"{figures.style:.3f}", f"{figures.left:.3f}", f"{figures.content:.3f}", f"{one.seconds:.1f}"]


if __name__ == "__main__":
    main()
