"""``isostyle bench``: reached from the command line through the entry-point group ``isostyle.commands``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from isostyle.errors import InputError, shown

#: d2l's pictures, height x width.
SIZE = "300x450"
POSITIVE = click.IntRange(min=1)
PATH = click.Path(path_type=Path)


def parse_sizes(ctx: click.Context, param: click.Parameter, value: str | None) -> tuple[tuple[int, int], ...]:
    """``150x225,300x450``: height x width, in pixels."""
    sizes = []
    for text in value.lower().split(",") if value is not None else []:
        height, _, width = text.strip().partition("x")
        try:
            sizes.append((int(height), int(width)))
        except ValueError:
            raise InputError(f"{param.opts[0]} takes HEIGHTxWIDTH, as 300x450, not {shown(text)}") from None
    return tuple(dict.fromkeys(sizes))


@click.command(short_help="Measure what each backend costs, as published and ours.")
@click.argument("content", required=False, type=PATH)
@click.argument("style", required=False, type=PATH)
@click.option(
    "--backend", "backends", multiple=True, metavar="NAME", help="A backend; may be repeated [default: all installed]."
)
@click.option(
    "--network",
    "names",
    default="compact",
    show_default=True,
    metavar="NAMES",
    help="With commas: compact, vgg19, .safetensors files; vgg19 has random weights, which take as long, until it is fetched.",
)
@click.option("--size", default=SIZE, show_default=True, callback=parse_sizes, metavar="HxW", help="Height x width, in pixels.")
@click.option("--sizes", callback=parse_sizes, metavar="HxW,...", help="Also time and memory against size, with a fit.")
@click.option(
    "--steps",
    type=click.IntRange(min=2),
    default=10,
    show_default=True,
    metavar="N",
    help="Steps that a process times, at most.",
)
@click.option("--rounds", type=POSITIVE, default=3, show_default=True, metavar="N", help="Processes of each kind, in turn.")
@click.option("--threads", type=int, metavar="N", help="CPU threads [default: OMP_NUM_THREADS, or all cores].")
@click.option("--loss", is_flag=True, help="Also the time to the loss that the published steps reach.")
@click.option("--published-steps", type=POSITIVE, metavar="N", help="Of --loss [default: 500, d2l's].")
@click.option("--extrapolate", is_flag=True, help="Of --loss: run --published-steps, and take their time times 500 / N.")
@click.option("--target", type=float, metavar="X", help="Of --extrapolate: the total loss that 500 steps reach.")
@click.option("--markdown", is_flag=True, help="Print Markdown.")
@click.option("--json", "json_file", type=PATH, metavar="FILE", help="Every time that was taken, for programs.")
@click.option("--force", is_flag=True, help="Overwrite an output that exists.")
@click.option("--quiet", is_flag=True, help="No progress on stderr.")
def bench(content: Path | None, style: Path | None, markdown: bool, quiet: bool, **options: Any) -> None:
    """Measure each backend four ways: seconds a step, operations a second, memory.

    \b
      published             the code that tutorials print, with the threads that the framework takes by itself
      published, N threads  the same, with as many threads as ours
      exact, fast           isostyle, with --precision exact and fast

    CONTENT and STYLE are pictures, the demo's by default; only --loss depends on what is in them.

    \b
      isostyle bench                                        some minutes
      isostyle bench --network compact,vgg19 --markdown     the tables of docs/benchmark.md
      isostyle bench photo.jpg painting.jpg --loss          how much sooner the published loss is reached
      isostyle bench --sizes 150x225,300x450,600x900        how time and memory grow
      isostyle bench --backend paddle --network vgg19 --loss --published-steps 20 --extrapolate --target 2.5

    Every number comes from a process of its own. They take turns for several rounds, so that whatever else the machine does
    slows all alike. Read the ratios, and the quartiles before you believe them; leave the machine alone meanwhile.
    docs/benchmark.md says how each is measured.

    Exit codes: 0 all was measured; 1 a process failed (what the others found is printed); 2 the input cannot be used.
    """
    # Not at the top: `isostyle --help` loads this file for a line of help.
    from isostyle.conformance.bench import report, runs

    request = runs.Request(content=content, style=style, **options)
    request.check()
    found = runs.bench(request, lambda text: None if quiet else click.echo(text, err=True))
    click.echo(report.as_markdown(found) if markdown else report.as_text(found))
    if report.failed(found):
        raise click.exceptions.Exit(1)
