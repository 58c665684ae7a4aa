"""Every recipe on one pair of pictures: docs/gallery.md and its pictures.

    python scripts/gallery.py                          # the demo's portrait and isostyle's painting
    python scripts/gallery.py CONTENT STYLE --network vgg19 --folder elsewhere

Each recipe runs as published but for two things, which the page says: the shorter side is 300 pixels, and no more than 500
steps are made. What a recipe refuses is shown too, in the words in which it refuses.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import click
from PIL import Image
from tables import markdown

import isostyle
from isostyle.demo import inputs as demo
from isostyle.published import RECIPES
from isostyle.recipe import Recipe, Square

SHORT_SIDE = 300
MOST_STEPS = 500
JPEG_QUALITY = 88
DOCS = Path(__file__).resolve().parents[1] / "docs"


def shown(recipe: Recipe) -> tuple[Recipe, str]:
    """The recipe as it is run here, and what differs from the published one."""
    size = Square(SHORT_SIDE) if isinstance(recipe.size, Square) else isostyle.ShortSide(SHORT_SIDE)
    run = replace(recipe, size=size, steps=min(recipe.steps, MOST_STEPS))
    if run.steps == recipe.steps:
        return run, f"{run.updates}, as published"
    return run, f"{run.updates} of {recipe.updates}"


@click.command()
@click.argument("content", required=False)
@click.argument("style", required=False)
@click.option("--backend", default="torch", show_default=True)
@click.option("--network", default="compact", show_default=True)
@click.option("--folder", default=DOCS, type=click.Path(path_type=Path), show_default="docs")
def main(content: str | None, style: str | None, backend: str, network: str, folder: Path) -> None:
    """Run every recipe and write FOLDER/gallery.md and FOLDER/gallery/*.jpg."""
    pair = (content or demo.photograph(), style or demo.painting())
    pictures = folder / "gallery"
    pictures.mkdir(parents=True, exist_ok=True)
    for name, source in zip(("content", "style"), pair, strict=True):
        picture = Image.open(source).convert("RGB") if isinstance(source, str) else source
        height, width = isostyle.ShortSide(SHORT_SIDE).fit(picture.height, picture.width)
        picture.resize((width, height)).save(pictures / f"{name}.jpg", quality=JPEG_QUALITY)
    rows, refusals = [], []
    for recipe in RECIPES.values():
        run, steps = shown(recipe)
        try:
            result = isostyle.stylize(*pair, recipe=run, backend=backend, network=network)
        except isostyle.Stopped as error:
            if error.result is None:
                raise
            result, steps = error.result, f"{steps}; a failure: {error}"
        except isostyle.InputError as error:
            refusals.append(f"`{recipe.name}` refuses this pair: {error}.")
            click.echo(f"{recipe.name}: {error}", err=True)
            continue
        result.picture.save(pictures / f"{recipe.name}.jpg", quality=JPEG_QUALITY)
        first, last = (result.history[place] for place in (0, -1))
        losses = [f"{first[name]:.4g} to {last[name]:.4g}" for name in ("content", "style", "total")]
        ended = result.manifest["optimizer_ended"]
        rows.append([f"`{recipe.name}`", f"![{recipe.name}](gallery/{recipe.name}.jpg)", ended or steps, *losses])
        click.echo(f"{recipe.name}: {steps}, total {losses[-1]}", err=True)
    versions = result.manifest["backend"]
    (folder / "gallery.md").write_text(
        "# Every recipe on one pair of pictures\n\n"
        f"Made by `python scripts/gallery.py` with {versions['name']} {versions['version']} and the network `{network}`. Each\n"
        f"recipe runs as published but for two things: the shorter side is {SHORT_SIDE} pixels, and at most {MOST_STEPS}\n"
        "steps are made.\n"
        "`isostyle recipes NAME` says what each computes and where it comes from. The sources use ImageNet's VGG-19; with the\n"
        "compact network a recipe's weights of content and style do not balance as its authors saw them.\n\n"
        "The pair is the demo's, unless others are given: a portrait that matplotlib ships, and a painting that isostyle\n"
        "draws. "
        "`isostyle` and `d2l` differ in the size rule only, which the page replaces, so they make the same picture here.\n\n"
        "Losses are weighted, as in the total; those of different recipes cannot be compared, since their formulas differ.\n\n"
        "| content | style |\n| --- | --- |\n| ![content](gallery/content.jpg) | ![style](gallery/style.jpg) |\n\n"
        + markdown(["recipe", "picture", "steps", "content", "style", "total"], rows)
        + "\n\n"
        + "\n".join(refusals)
        + "\n"
    )


if __name__ == "__main__":
    main()
