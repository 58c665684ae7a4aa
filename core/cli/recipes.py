"""`isostyle recipes`."""

from __future__ import annotations

import json

import rich_click as click

from isostyle.cli.help import Command
from isostyle.errors import InputError
from isostyle.published import ON_COMPACT, RECIPES
from isostyle.recipe import Recipe
from isostyle.recipe_text import differences, load, rows, to_toml


@click.command(cls=Command)
@click.argument("name", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
@click.option("--toml", "as_toml", is_flag=True, help="Print it as a file to change and run: `--recipe my.toml`.")
@click.option("--diff", nargs=2, metavar="A B", help="Show what two recipes do differently.")
def recipes(name: str | None, as_json: bool, as_toml: bool, diff: tuple[str, str] | None) -> None:
    """List the recipes, show every number of one, or compare two. NAME, A and B may be files, too.

    \b
    Examples:
      isostyle recipes d2l
      isostyle recipes --diff d2l d2l-torch-tab
      isostyle recipes painterly --toml > my.toml
    """
    if as_json + as_toml + bool(diff) > 1 or (name and diff):
        raise InputError("--diff, --json and --toml are different answers; choose one, and --diff names its recipes itself")
    if as_toml and name is None:
        raise InputError("--toml prints one recipe; name it")
    found = None if name is None else load(name)
    if diff:
        compare(*(load(each) for each in diff))
    elif as_json:
        tables = [{"digest": recipe.digest, **recipe.as_dict()} for recipe in ([found] if found else RECIPES.values())]
        click.echo(json.dumps(tables[0] if found else tables, indent=1))
    elif found is None:
        width = max(map(len, RECIPES))
        for recipe in RECIPES.values():
            click.echo(f"{recipe.name:<{width}}  {recipe.source}")
    elif as_toml:
        click.echo(to_toml(found), nl=False)
    else:
        show(found)


def show(recipe: Recipe) -> None:
    click.echo(recipe.name)
    for key, value in {"source": printable(recipe.source), "digest": recipe.digest, **rows(recipe)}.items():
        click.echo(f"  {key:<16} {value}")
    for note in recipe.notes:
        click.echo(f"  * {printable(note)}")
    if recipe.name in ON_COMPACT:
        click.echo(f"  * With the compact network it {ON_COMPACT[recipe.name]}.")


def compare(one: Recipe, other: Recipe) -> None:
    found = differences(one, other)
    width = max(len(one.name), len(other.name))
    click.echo(f"{one.name} and {other.name} " + ("differ in" if found else "compute the same"))
    for key, values in found.items():
        for recipe, value in zip((one, other), values, strict=True):
            click.echo(f"  {key if recipe is one else '':<16} {recipe.name:<{width}}  {value}")


def printable(text: str) -> str:
    """A file's text, without what a terminal would obey."""
    return "".join(letter if letter.isprintable() else " " for letter in text)
