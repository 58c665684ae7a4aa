"""How a command shows its help: in groups of options, without boxes, and as plain text where it is piped."""

from __future__ import annotations

import inspect

import click
import rich_click
from click.formatting import wrap_text

#: As wide as click's own help, whatever the terminal.
WIDTH = 80
STYLE = {
    "theme": "default-slim",
    "max_width": WIDTH,
    "commands_panel_title": "More commands",
    # rich-click would color pipes in CI systems.
    "force_terminal": None,
}


class Command(rich_click.RichCommand):
    """A command whose help has its paragraphs as click sets them."""

    def format_help_text(self, ctx: rich_click.RichContext, formatter: rich_click.RichHelpFormatter) -> None:  # type: ignore[override]
        from rich.text import Text

        text = inspect.cleandoc(self.help or "")
        formatter.write(Text(wrap_text(text, WIDTH, preserve_paragraphs=True) + "\n"))

    def get_help(self, ctx: click.Context) -> str:
        return "\n".join(line.rstrip() for line in super().get_help(ctx).splitlines())
