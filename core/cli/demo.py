"""`isostyle demo`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import rich_click as click

from isostyle.cli.help import Command
from isostyle.cli.options import BACKEND, DEVICE, FIRST, FORCE, QUIET, THREADS, file_option
from isostyle.cli.outputs import Outputs, output_folder, save
from isostyle.cli.run_options import SIZE, STEPS
from isostyle.cli.watch import watched
from isostyle.demo.inputs import painting, photograph
from isostyle.images.options import PictureOptions
from isostyle.images.strip import strip
from isostyle.sizes import Size
from isostyle.system.files import check_outputs
from isostyle.transfer.override import override
from isostyle.transfer.stylize import stylize

DEMO_FOLDER = Path("isostyle-demo")
DEMO_RECIPE = "isostyle"
#: Of the strip of pictures, in pixels.
STRIP_HEIGHT = 450


@click.command(cls=Command)
@file_option(FIRST, "-o --output folder", "Where the pictures go.", "FOLDER", default=DEMO_FOLDER)
@BACKEND
@STEPS
@SIZE
@DEVICE
@THREADS
@FORCE
@QUIET
def demo(folder: Path, steps: int | None, size: Size | None, force: bool, quiet: bool, **options: Any) -> None:
    """Stylize a portrait (matplotlib's sample) with a painting that isostyle draws itself; nothing is downloaded.

    Writes content.png, style.png, result.png, side-by-side.png, losses.png and result.json.
    """
    content = photograph()
    settings = override(DEMO_RECIPE, steps=steps, size=size)
    outputs = Outputs(folder / "result.png", PictureOptions(), plot=folder / "losses.png")
    places = [folder / f"{name}.png" for name in ("content", "style", "side-by-side")]
    with output_folder(folder):
        check_outputs([*places, *outputs.files], [], force=force)
        if not quiet:
            click.echo("drawing a painting", err=True)
        style = painting()
        with watched(settings, outputs, quiet=quiet) as watch:
            result = stylize(content, style, recipe=settings, callback=watch.callback, log=watch.told.line, **options)
            watch.result = result
        side_by_side = strip([content, style, result.picture], STRIP_HEIGHT)
        for picture, place in zip((content, style, side_by_side), places, strict=True):
            save(picture, place)
    if not quiet:
        click.echo(f"wrote {places[-1]}: photograph, painting and result")
