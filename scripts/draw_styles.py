"""Draw the style images of the networks that ship with isostyle; nothing but numbers goes in.

    python scripts/draw_styles.py FOLDER [--sheet docs/styles.jpg]

writes oil.png (the demo's painting) and glass.png. --sheet: also the demo's portrait as the networks paint it
that were trained for them, in a picture with the styles.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import click
import numpy as np
from PIL import Image

from isostyle.demo import inputs as demo
from isostyle.demo import painting
from isostyle.style_networks.apply import Applier

HEIGHT, WIDTH = 600, 800
#: Drawn at so many times the size and then made smaller, for smooth edges.
FINER = 2
#: Of a sheet: a column's width in pixels, the white between columns, and the JPEG's quality.
SHEET_WIDTH, GAP, QUALITY = 384, 6, 88


def oil() -> Image.Image:
    """The demo's painting: long strokes of thick paint along a swirling sky."""
    return painting.paint(WIDTH, HEIGHT)


def glass(seed: int = 3, panes: int = 420) -> Image.Image:
    """Stained glass: Voronoi cells in a few strong colors, brighter toward their middle, held by dark lead."""
    random = np.random.RandomState(seed)
    height, width = HEIGHT * FINER, WIDTH * FINER
    # Jittered hexagonal rows: cells of like size, none of them regular.
    columns = int(np.sqrt(panes * width / height))
    rows = panes // columns
    down, right = np.meshgrid(np.arange(-1, rows + 1) + 0.5, np.arange(-1, columns + 1) + 0.5, indexing="ij")
    right = right + 0.5 * (np.arange(len(right)) % 2)[:, None]
    points = np.stack([down.ravel() * height / rows, right.ravel() * width / columns], axis=1)
    points += random.uniform(-0.42, 0.42, points.shape) * height / rows
    palette = np.array(
        [
            (178, 24, 32),
            (18, 60, 150),
            (236, 176, 30),
            (20, 120, 74),
            (232, 226, 196),
            (96, 30, 110),
            (222, 98, 24),
            (40, 150, 190),
        ]
    )
    # Colors follow slow waves, so that neighbors often share one, as in a drawn window.
    wave = np.sin(points[:, 0] / 170) + np.cos(points[:, 1] / 210) + 0.9 * random.uniform(-1, 1, len(points))
    order = np.argsort(np.argsort(wave))
    colors = palette[(order * len(palette) // len(points) + random.randint(0, 2, len(points))) % len(palette)]
    colors = colors * random.uniform(0.8, 1.15, (len(points), 1))
    picture = np.empty((height, width, 3))
    x = np.arange(width)[None, :]
    for top in range(0, height, 100):
        y = np.arange(top, min(top + 100, height))[:, None]
        near = np.flatnonzero((points[:, 0] > top - 200) & (points[:, 0] < top + 300))
        distance = np.sqrt((y[..., None] - points[near, 0]) ** 2 + (x[..., None] - points[near, 1]) ** 2)
        two = np.partition(distance, 1, axis=-1)[..., :2]
        cell = near[np.argmin(distance, axis=-1)]
        edge = two[..., 1] - two[..., 0]
        light = 1.12 - 0.35 * (two[..., 0] / 60) ** 2
        lead = np.clip((edge - 7) / 4, 0, 1)[..., None]
        grain = 1 + 0.05 * np.sin(0.11 * x + 0.07 * y + cell)[..., None]
        picture[top : top + 100] = lead * colors[cell] * light[..., None] * grain + (1 - lead) * np.array((24, 20, 22))
    return finished(picture)


def finished(picture: np.ndarray) -> Image.Image:
    whole = Image.fromarray(np.rint(picture.clip(0, 255)).astype(np.uint8))
    return whole.resize((WIDTH, HEIGHT), Image.Resampling.LANCZOS)


def sheet_of(backend: str) -> Image.Image:
    """Of each network the style, and below it the demo's portrait as it paints that; the portrait itself comes first."""
    portrait = demo.photograph()
    height = SHEET_WIDTH * portrait.height // portrait.width
    low = SHEET_WIDTH * HEIGHT // WIDTH
    sheet = Image.new("RGB", ((len(NETWORKS) + 1) * (SHEET_WIDTH + GAP) - GAP, low + GAP + height), "white")
    sheet.paste(portrait.resize((SHEET_WIDTH, height), Image.Resampling.LANCZOS), (0, low + GAP))
    for column, (name, style) in enumerate(NETWORKS.items(), start=1):
        made = Applier(name, backend=backend)(portrait).picture
        for picture, top, rows in ((STYLES[style](), 0, low), (made, low + GAP, height)):
            sheet.paste(picture.resize((SHEET_WIDTH, rows), Image.Resampling.LANCZOS), (column * (SHEET_WIDTH + GAP), top))
    return sheet


STYLES: dict[str, Callable[[], Image.Image]] = {"oil": oil, "glass": glass}
#: The networks, and the style that each was trained for.
NETWORKS = {"oil": "oil", "glass": "glass", "dusk": "oil"}


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@click.option("--sheet", type=click.Path(path_type=Path), help="Also save the portrait, painted in each.")
@click.option("--backend", default="auto", show_default=True, help="That paints the portrait.")
def main(folder: Path, sheet: Path | None, backend: str) -> None:
    """Write a picture for each style into FOLDER."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, draw in STYLES.items():
        draw().save(folder / f"{name}.png")
        click.echo(f"wrote {folder / name}.png")
    if sheet is not None:
        sheet_of(backend).save(sheet, quality=QUALITY)
        click.echo(f"wrote {sheet}")


if __name__ == "__main__":
    main()
