"""How far crops of a painting are from its own Gram matrices: what a training on crops of that size cannot fall below.

    isostyle weights fetch vgg16 --source pip
    python scripts/crops_of_a_painting.py PAINTING...

The painting's longer side is 1024 pixels, as in a training. The figure is the referee's (`isostyle compare`), the mean of some
crops.
"""

from __future__ import annotations

from pathlib import Path

import click
import numpy as np
from PIL import Image
from tables import markdown, publish

from isostyle import registry
from isostyle.images import arrays, decode
from isostyle.sizes import LongSide
from isostyle.style_networks.trainer import TrainingRecipe
from isostyle.tiles import TiledEngine
from isostyle.transfer.compare import REFEREE, look, referee, style_figure
from isostyle.weights import store

#: Of crops, in pixels; and how many there are of each painting.
SIDES, CROPS = (192, 256, 384, 512), 4


def figures(engine: TiledEngine, painting: Image.Image) -> list[float]:
    """The mean figure for each of :data:`SIDES`."""
    whole, random = look(engine, painting, painting.height, painting.width), np.random.RandomState(0)
    found = []
    for side in SIDES:
        corners = random.uniform(size=(CROPS, 2)) * (painting.width - side, painting.height - side)
        boxes = [(int(left), int(top), int(left) + side, int(top) + side) for left, top in corners]
        found.append(float(np.mean([style_figure(look(engine, painting.crop(box), side, side), whole) for box in boxes])))
    return found


@click.command()
@click.argument("paintings", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--backend", default="torch", show_default=True)
def main(paintings: tuple[Path, ...], backend: str) -> None:
    """Print a row for each painting."""
    framework = registry.start(backend, "auto", None)
    engine = referee(framework, store.load("vgg16").cut(REFEREE.taps))
    rows = []
    with framework.own_state():
        for path in paintings:
            painting = arrays.fitted(decode.read_rgb(path), LongSide(TrainingRecipe.style_size))
            rows.append([path.stem, *(f"{figure:.3f}" for figure in figures(engine, painting))])
    publish(markdown(["painting", *map(str, SIDES)], rows), "crops", None)


if __name__ == "__main__":
    main()
