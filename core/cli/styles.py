"""`isostyle styles`: the style networks that ship with isostyle, and what files are."""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path
from typing import Any

import rich_click as click

from isostyle.cli.help import Command
from isostyle.cli.options import OUTPUT, flag
from isostyle.errors import InputError
from isostyle.style_networks import file as style_network
from isostyle.system.files import read_input
from isostyle.transfer.manifest import at


@click.command(cls=Command)
@click.argument("wanted", nargs=-1, metavar="[NAME|FILE]...")
@flag(OUTPUT, "--json as_json", "Print it as JSON.")
def styles(wanted: tuple[str, ...], as_json: bool) -> None:
    """List the style networks that ship with isostyle, or those asked for: size, recipe and steps of the training, digest of
    the numbers.

    \b
      isostyle styles
      isostyle styles oil
      isostyle styles my.safetensors             what is this one?
      isostyle styles mosaic.pth                 likewise, of pytorch/examples
      isostyle apply oil photo.jpg
      isostyle train painting.jpg photos/        one of your own
    """
    rows, unusable = [], []
    for name in dict.fromkeys(wanted or style_network.shipped()):
        try:
            rows.append(row_of(name))
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


def row_of(name: str) -> dict[str, Any]:
    """What is listed of a style network that ships, or of a file. Raises InputError if there is none, or it cannot be read."""
    shipped = style_network.shipped()
    if not (name in shipped or os.path.exists(name)):
        style_network.find(name)  # says which there are
    data = shipped[name].read_bytes() if name in shipped else read_input(Path(name))
    network = style_network.parse(data, name)
    style = network.mixed({name: 1.0}) if name in shipped else network
    return {
        "name": name,
        "style": style.name,
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
    trained = f"of {row['origin']}" if row["origin"] else f"recipe {row['recipe'] or '?'}, {row['steps'] or '?'} steps"
    return (
        f"{row['name']:<16} {row['bytes'] / 1e3:.0f} kB, channels {widths}, {row['blocks']} blocks{residual}; "
        f"{trained}; sha256 {row['parameters_sha256'][:16]}"
    )
