"""`isostyle demo`."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from isostyle.cli.options import common_options
from isostyle.cli.outputs import make_folder, save
from isostyle.cli.run import transfer
from isostyle.errors import (
    InputError,
)

if TYPE_CHECKING:
    pass

DEMO_FOLDER = "isostyle-demo"
DEMO_RECIPE = "painterly"
DEMO_STRIP_HEIGHT = 450


@click.command(short_help="Make a picture at once, from nothing.")
@click.option(
    "-o",
    "--output",
    "folder",
    type=click.Path(path_type=Path),
    default=DEMO_FOLDER,
    show_default=True,
    metavar="FOLDER",
    help="Where the pictures go; made if it does not exist.",
)
@common_options
def demo(folder: Path, force: bool, **options: Any) -> None:
    """Stylize a portrait (matplotlib's sample) with a painting that isostyle draws itself; nothing is downloaded.

    Writes content.png, style.png, result.png, side-by-side.png, losses.png and result.json.
    """
    from isostyle.cli.report import strip
    from isostyle.demo.inputs import painting, photograph
    from isostyle.published import find
    from isostyle.system.files import check_outputs
    from isostyle.transfer.override import override

    if folder.exists() and not folder.is_dir():
        raise InputError(f"{str(folder)!r} is a file; name a folder")
    content = photograph()
    override(DEMO_RECIPE, steps=options["steps"], size=options["size"])  # errors before the painting, not after
    made = make_folder(folder)
    try:
        beside = {name: folder / name for name in ("content.png", "style.png", "side-by-side.png")}
        check_outputs(
            [*beside.values(), *(folder / name for name in ("result.png", "result.json", "losses.png"))], [], force=force
        )
        if not options["quiet"]:
            click.echo("drawing a painting", err=True)
        style = painting()
        picture, plot = folder / "result.png", folder / "losses.png"
        result = transfer(content, style, picture, recipe=find(DEMO_RECIPE), plot=plot, force=force, **options)
    finally:
        if made:
            # Gone again only if a wrong option stopped the demo before it wrote anything.
            with contextlib.suppress(OSError):
                folder.rmdir()
    side_by_side = strip([content, style, result.picture], DEMO_STRIP_HEIGHT)
    for name, picture_of in (("content.png", content), ("style.png", style), ("side-by-side.png", side_by_side)):
        save(picture_of, beside[name])
    if not options["quiet"]:
        click.echo(f"wrote {beside['side-by-side.png']}: photograph, painting and result")
