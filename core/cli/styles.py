"""`isostyle styles`: the style networks that ship with isostyle, and what files are."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

import rich_click as click

from isostyle.checks import at
from isostyle.cli import options as shared
from isostyle.cli.help import Command
from isostyle.cli.options import OUTPUT, file_option, flag, option
from isostyle.cli.outputs import save
from isostyle.cli.progress import readable
from isostyle.errors import InputError
from isostyle.images import decode, encode
from isostyle.images.options import PictureOptions
from isostyle.style_networks import file as style_network
from isostyle.style_networks import sheet
from isostyle.system.files import check_outputs, read_input


@click.command(cls=Command)
@click.argument("wanted", nargs=-1, metavar="[NAME|FILE]...")
@flag(OUTPUT, "--json as_json", "Print it as JSON.")
@option(
    OUTPUT, "--sheet photograph", "PHOTO", "Paint this photograph in each style, on one sheet.", type=click.Path(path_type=Path)
)
@file_option(OUTPUT, "-o --output", "Where the sheet goes [default: ./PHOTO-styles.jpg].")
@shared.STYLE_BACKEND
@shared.THREADS
@shared.FORCE
def styles(
    wanted: tuple[str, ...],
    as_json: bool,
    photograph: Path | None,
    output: Path | None,
    backend: str,
    threads: int | None,
    force: bool,
) -> None:
    """List the styles that ship with isostyle, or those asked for: size, recipe and steps of the training, digest of the
    numbers. Or paint a photograph in each.

    \b
      isostyle styles
      isostyle styles wave
      isostyle styles my.safetensors             what is this one?
      isostyle styles mosaic.pth                 likewise, of pytorch/examples
      isostyle styles --sheet photo.jpg          one photograph in all of them
      isostyle apply wave photo.jpg
      isostyle train painting.jpg photos/        one of your own
    """
    if photograph is not None:
        paint_sheet(wanted, photograph, output or Path(f"{photograph.stem}-styles.jpg"), backend, threads, force)
        return
    if output is not None:
        raise InputError("-o is where a sheet goes; name its photograph: --sheet PHOTO")
    shipped = style_network.shipped()
    rows, unusable = [], []
    for name in dict.fromkeys(wanted or shipped):
        try:
            rows.append(row_of(name, shipped))
        except InputError as error:
            unusable.append(str(error))  # the others are good all the same
    if as_json and (rows or not unusable):
        click.echo(json.dumps(rows, indent=1))
    elif not (rows or unusable):
        click.echo("none ship with this installation; `isostyle train` makes one", err=True)
    for row in [] if as_json else rows:
        click.echo(line_of(row))
    if unusable:
        raise InputError("; ".join(unusable))


def paint_sheet(
    wanted: tuple[str, ...], photograph: Path, output: Path, backend: str, threads: int | None, force: bool
) -> None:
    """Paint a photograph in the styles that are wanted, or in all that ship, and write the sheet.

    Raises:
        InputError: a style or the photograph cannot be used, or the output is there.
    """
    encode.check(output, PictureOptions())
    check_outputs([output], [photograph, *map(style_network.source, wanted)], force=force)
    found = sheet.each_of(wanted or style_network.shipped())
    save(sheet.sheet(found, decode.read_rgb(photograph), backend=backend, threads=threads), output)
    click.echo(f"wrote {readable(output)}: {len(found)} styles")


def row_of(name: str, shipped: Mapping[str, Traversable]) -> dict[str, Any]:
    """What is listed of a style that ships, or of a file. Raises InputError if there is none, or it cannot be read."""
    style = style_network.find(name)
    data = shipped[name].read_bytes() if name in shipped else read_input(style_network.source(name))
    return {
        "name": name,
        "style": style.name,
        "styles": list(style.styles),
        "bytes": len(data),
        **dataclasses.asdict(style.network),
        "origin": style.training.get("origin"),
        "recipe": at(style.training, ("recipe", "losses", "name")),
        "steps": style.training.get("steps"),
        "parameters_sha256": style.digest,
    }


def line_of(row: dict[str, Any]) -> str:
    widths = "-".join(map(str, row["widths"]))
    residual = ", residual" if row["residual"] else ""
    several = f"styles {row['style']}; " if len(row["styles"]) > 1 else ""
    trained = f"of {row['origin']}" if row["origin"] else f"recipe {row['recipe'] or '?'}, {row['steps'] or '?'} steps"
    return (
        f"{row['name']:<16} {several}{row['bytes'] / 1e3:.0f} kB, channels {widths}, {row['blocks']} blocks{residual}; "
        f"{trained}; sha256 {row['parameters_sha256'][:16]}"
    )
