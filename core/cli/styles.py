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
from isostyle.style_networks.file import StyleNetwork
from isostyle.system.files import read_input


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
      isostyle apply oil photo.jpg
      isostyle train painting.jpg photos/        one of your own
    """
    rows, unusable = [], []
    for name in dict.fromkeys(wanted or style_network.shipped()):
        try:
            data = read(name)
            rows.append(row_of(name, len(data), style_network.parse(data, name)))
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


def read(name: str) -> bytes:
    """The file of a style network that ships, or that is called ``name``.

    Raises:
        InputError: there is none, or it cannot be read.
    """
    shipped = style_network.shipped()
    if name in shipped:
        return shipped[name].read_bytes()
    if not name.endswith(style_network.SUFFIX) and not os.path.exists(name):
        style_network.find(name)  # says which there are
    return read_input(Path(name))


def row_of(name: str, size: int, style: StyleNetwork) -> dict[str, Any]:
    """What is listed of a file of ``size`` bytes."""
    recipe = style.training.get("recipe")
    losses = recipe.get("losses") if isinstance(recipe, dict) else None
    return {
        "name": name,
        "style": style.name,
        "bytes": size,
        **dataclasses.asdict(style.network),
        "recipe": losses.get("name") if isinstance(losses, dict) else None,
        "steps": style.training.get("steps"),
        "parameters_sha256": style.digest,
    }


def line_of(row: dict[str, Any]) -> str:
    """A row as a line of text."""
    widths = "-".join(map(str, row["widths"]))
    residual = ", residual" if row["residual"] else ""
    return (
        f"{row['name']:<16} {row['bytes'] / 1e3:.0f} kB, channels {widths}, {row['blocks']} blocks{residual}; "
        f"recipe {row['recipe'] or '?'}, {row['steps'] or '?'} steps; sha256 {row['parameters_sha256'][:16]}"
    )
