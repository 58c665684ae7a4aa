"""Tables in Markdown files between two marks, `<!-- NAME -->` and `<!-- /NAME -->`, replaced by the scripts that print them.

    isostyle bench --markdown | python scripts/tables.py benchmark README.md

puts there what another command prints.
"""

from __future__ import annotations

import sys
from pathlib import Path

import click

from isostyle.conformance.bench.report import markdown

__all__ = ["markdown", "publish"]


def publish(text: str, name: str, path: Path | None) -> None:
    """Print ``text``, and put it between the marks called ``name`` in the file ``path`` if one is given."""
    click.echo(text)
    if path is None:
        return
    begin, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    before, found, rest = path.read_text().partition(begin)
    _, closed, after = rest.partition(end)
    if not (found and closed):
        raise click.ClickException(f"{path} has no marks {begin} ... {end}")
    path.write_text(f"{before}{begin}\n{text}\n{end}{after}")


@click.command()
@click.argument("name")
@click.argument("path", type=click.Path(exists=True, path_type=Path))
def main(name: str, path: Path) -> None:
    """Print what stands on the standard input, and put it between the marks NAME in the file PATH."""
    text = sys.stdin.read().strip()
    if not text:
        raise click.ClickException("nothing came in; the file stays as it is")
    publish(text, name, path)


if __name__ == "__main__":
    main()
