"""`isostyle backends`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    pass


@click.command(short_help="Show what is installed, and why the rest is not.")
def backends() -> None:
    """Show which frameworks are installed, their versions and devices, and why the others are missing."""
    from isostyle.registry import statuses

    for row in statuses():
        found = f"{row.version:<14} {', '.join(row.devices)}" if row.reason is None else f"{'-':<14} {row.reason}"
        click.echo(f"{row.name:<8} {found}")
