"""``isostyle bench``: reached from the command line through the entry-point group ``isostyle.commands``."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path

import click

from isostyle.errors import InputError, shown

#: d2l's pictures, height x width.
SIZE = "300x450"
positive = click.IntRange(min=1)
file_path = click.Path(path_type=Path)


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
@click.argument("content", required=False, type=file_path)
@click.argument("style", required=False, type=file_path)
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
@click.option("--rounds", type=positive, default=3, show_default=True, metavar="N", help="Processes of each kind, in turn.")
@click.option("--threads", type=int, metavar="N", help="CPU threads [default: OMP_NUM_THREADS, or all cores].")
@click.option("--loss", is_flag=True, help="Also the time to the loss that the published steps reach.")
@click.option("--published-steps", type=positive, metavar="N", help="Of --loss [default: 500, d2l's].")
@click.option("--extrapolate", is_flag=True, help="Of --loss: run --published-steps, and take their time times 500 / N.")
@click.option("--target", type=float, metavar="X", help="Of --extrapolate: the total loss that 500 steps reach.")
@click.option("--markdown", is_flag=True, help="Print Markdown.")
@click.option("--json", "json_file", type=file_path, metavar="FILE", help="Every time that was taken, for programs.")
@click.option("--force", is_flag=True, help="Overwrite an output that exists.")
@click.option("--quiet", is_flag=True, help="No progress on stderr.")
def bench(
    content: Path | None,
    style: Path | None,
    backends: tuple[str, ...],
    names: str,
    size: tuple[tuple[int, int], ...],
    sizes: tuple[tuple[int, int], ...],
    steps: int,
    rounds: int,
    threads: int | None,
    loss: bool,
    published_steps: int | None,
    extrapolate: bool,
    target: float | None,
    markdown: bool,
    json_file: Path | None,
    force: bool,
    quiet: bool,
) -> None:
    """Measure each backend four ways: seconds a step, operations a second, memory.

    \b
      published             the code that tutorials print, with the threads that the framework takes by itself
      published, N threads  the same, with as many threads as ours
      exact, fast           isostyle, with --precision exact and fast

    CONTENT and STYLE are pictures, the demo's by default; only --loss depends on what is in them.

    \b
      isostyle bench                                        some minutes
      isostyle bench --network compact,vgg19 --markdown     the README's tables
      isostyle bench photo.jpg painting.jpg --loss          how much sooner the published loss is reached
      isostyle bench --sizes 150x225,300x450,600x900        how time and memory grow
      isostyle bench --backend paddle --network vgg19 --loss --published-steps 20 --extrapolate --target 2.5

    Every number comes from a process of its own. They take turns for several rounds, so that whatever else the machine does
    slows all alike. Read the ratios, and the quartiles before you believe them; leave the machine alone meanwhile.
    docs/benchmark.md says how each is measured.

    Exit codes: 0 all was measured; 1 a process failed (what the others found is printed); 2 the input cannot be used.
    """
    from isostyle import registry
    from isostyle.conformance.bench import report as bench_report
    from isostyle.conformance.bench import runs as bench_runs
    from isostyle.conformance.bench.runs import PUBLISHED_STEPS
    from isostyle.system.files import check_outputs, write_atomically

    if len(size) != 1:
        raise InputError("--size takes one size; --sizes takes several")
    if not loss and (extrapolate or target is not None or published_steps is not None):
        raise InputError("--published-steps, --extrapolate and --target belong to --loss")
    if extrapolate != (target is not None):
        raise InputError("--extrapolate and --target go together: steps that are not run reach no loss")
    if extrapolate and (published_steps is None or not 2 <= published_steps < PUBLISHED_STEPS):
        raise InputError(f"--extrapolate takes --published-steps from 2 to {PUBLISHED_STEPS - 1}")
    if target is not None and not 0 < target < float("inf"):
        raise InputError(f"the target must be a number above 0, not {target}")
    count = registry.default_threads() if threads is None else threads
    registry.require_threads(count)
    chosen = chosen_backends(backends)
    if json_file:
        check_outputs([json_file], [path for path in (content, style, *map(Path, names.split(","))) if path], force=force)

    def say(text: str) -> None:
        if not quiet:
            click.echo(text, err=True)

    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        networks, places = bench_runs.networks(folder, names, [*size, *sizes])
        plan = bench_runs.Plan(
            folder,
            *bench_runs.pictures(folder, content, style),
            networks,
            places,
            chosen,
            size[0],
            sizes,
            steps,
            rounds,
            count,
            PUBLISHED_STEPS if extrapolate else published_steps or PUBLISHED_STEPS,
            published_steps if extrapolate else None,
            target,
        )
        report = bench_runs.measure(plan, say)
        if loss:
            report["losses"] = list(bench_runs.losses(plan, report, say))
    # Before anything is printed: a reader that goes away must not take the file with it.
    if json_file:
        write_atomically(json_file, (json.dumps(report, indent=1) + "\n").encode())
    click.echo(bench_report.as_markdown(report) if markdown else bench_report.as_text(report))
    if report["problems"] or any("problem" in found for found in report["losses"]):
        raise click.exceptions.Exit(1)


def chosen_backends(names: Sequence[str]) -> list[str]:
    """``names``, or all that are installed.

    Raises:
        InputError: there is none, or one cannot be used here.
    """
    from isostyle.conformance.commands import check_backends, installed

    check_backends(names, {})
    found = list(dict.fromkeys(names)) or installed()
    if not found:
        raise InputError("no backend is installed: pip install 'isostyle[torch]' (or [paddle], or [mxnet])")
    return found
