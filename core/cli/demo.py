"""`isostyle demo`."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import rich_click as click

from isostyle.cli.help import Command
from isostyle.cli.interrupts import interruptible
from isostyle.cli.options import BACKEND, DEVICE, FIRST, FORCE, QUIET, SIZE, STEPS, THREADS, file_option
from isostyle.cli.outputs import make_folder, outputs_of, save
from isostyle.cli.watch import finish, watched
from isostyle.demo.inputs import painting, photograph
from isostyle.errors import InputError
from isostyle.images.options import PictureOptions
from isostyle.images.strip import strip
from isostyle.recipe import Size
from isostyle.system.files import check_outputs
from isostyle.transfer.override import override
from isostyle.transfer.stylize import stylize

DEMO_FOLDER = Path("isostyle-demo")
DEMO_RECIPE = "painterly"
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
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{str(folder)!r} is a file; name a folder")
    content = photograph()
    settings = override(DEMO_RECIPE, steps=steps, size=size)
    outputs = outputs_of(folder / "result.png", None, PictureOptions(), manifest=None, plot=folder / "losses.png")
    beside = {name: folder / f"{name}.png" for name in ("content", "style", "side-by-side")}
    made = make_folder(folder)
    try:
        check_outputs([*beside.values(), *outputs.files], [], force=force)
        if not quiet:
            click.echo("drawing a painting", err=True)
        style = painting()
        with interruptible() as interrupt:
            with watched(settings, outputs, interrupt, quiet=quiet) as watch:
                watch.result = stylize(content, style, recipe=settings, callback=watch.callback, log=watch.log, **options)
            result = finish(watch, outputs, quiet=quiet)
            side_by_side = strip([content, style, result.picture], STRIP_HEIGHT)
            for name, picture in (("content", content), ("style", style), ("side-by-side", side_by_side)):
                save(picture, beside[name])
    finally:
        if made:
            # Gone again only if nothing was written: a wrong option, or Ctrl-C.
            with contextlib.suppress(OSError):
                folder.rmdir()
    if not quiet:
        click.echo(f"wrote {beside['side-by-side']}: photograph, painting and result")
