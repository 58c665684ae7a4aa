"""`isostyle backends`."""

from __future__ import annotations

import rich_click as click

from isostyle.cli.help import Command
from isostyle.registry import statuses


@click.command(cls=Command)
def backends() -> None:
    """Show which frameworks are installed, their versions and devices, and why the others are missing."""
    for row in statuses():
        found = f"{row.version:<14} {', '.join(row.devices)}" if row.reason is None else f"{'-':<14} {row.reason}"
        click.echo(f"{row.name:<8} {found}")
