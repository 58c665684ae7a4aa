"""`isostyle recipes`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from isostyle.errors import (
    InputError,
)

if TYPE_CHECKING:
    pass


@click.command(short_help="List the recipes, show every number of one, or compare two.")
@click.argument("name", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
@click.option("--toml", "as_toml", is_flag=True, help="Print it as a file to change and run: `--recipe my.toml`.")
@click.option("--diff", nargs=2, metavar="A B", help="Show what two recipes do differently.")
def recipes(name: str | None, as_json: bool, as_toml: bool, diff: tuple[str, str] | None) -> None:
    """List the recipes, show every number of one, or compare two. NAME, A and B may be files, too.

    \b
      isostyle recipes d2l
      isostyle recipes --diff d2l d2l-torch-tab
      isostyle recipes painterly --toml > my.toml
    """
    from isostyle.published import RECIPES
    from isostyle.recipe_text import differences, load, rows, to_toml

    if (name is not None) + bool(diff) > 1 or as_json + as_toml + bool(diff) > 1:
        raise InputError("--diff, --json and --toml are different answers; choose one, and --diff names its recipes itself")
    if diff:
        one, other = (load(each) for each in diff)
        found = differences(one, other)
        width = max(len(one.name), len(other.name))
        click.echo(f"{one.name} and {other.name} " + ("differ in" if found else "compute the same"))
        for key, values in found.items():
            for recipe, value in zip((one, other), values, strict=True):
                click.echo(f"  {key if recipe is one else '':<16} {recipe.name:<{width}}  {value}")
        return
    if name is None:
        if as_toml:
            raise InputError("--toml prints one recipe; name it")
        if as_json:
            click.echo(json.dumps([{"digest": recipe.digest, **recipe.as_dict()} for recipe in RECIPES.values()], indent=1))
            return
        width = max(map(len, RECIPES))
        for recipe in RECIPES.values():
            click.echo(f"{recipe.name:<{width}}  {recipe.source}")
        return
    recipe = load(name)
    if as_toml:
        click.echo(to_toml(recipe), nl=False)
        return
    if as_json:
        click.echo(json.dumps({"digest": recipe.digest, **recipe.as_dict()}, indent=1))
        return
    click.echo(recipe.name)
    for key, value in {"source": printable(recipe.source), "digest": recipe.digest, **rows(recipe)}.items():
        click.echo(f"  {key:<16} {value}")
    for note in recipe.notes:
        click.echo(f"  * {printable(note)}")


def printable(text: str) -> str:
    """A file's text, without what a terminal would obey."""
    return "".join(letter if letter.isprintable() else " " for letter in text)
