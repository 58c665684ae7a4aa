"""``isostyle conform``: its options and its help. :mod:`.session` does the work.

That module is imported when a command runs, and not before: ``isostyle --help`` loads this file for a line of help, and NumPy
takes its number of threads, and with it the oracle's, from the environment when it is imported.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from isostyle.errors import InputError, shown

PATH = click.Path(path_type=Path)


def pairs(texts: tuple[str, ...], option: str) -> dict[str, str]:
    """NAME=VALUE options as a dict.

    Raises:
        InputError: a text is no such pair.
    """
    found = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not (name and equals and value):
            raise InputError(f"{option} takes NAME=PATH, as mxnet=/path/to/it, not {shown(text)}")
        found[name] = value
    return found


def as_pairs(context: click.Context, parameter: click.Parameter, texts: tuple[str, ...]) -> dict[str, str]:
    return pairs(texts, parameter.opts[0])


case_option = click.option(
    "--case", "patterns", multiple=True, metavar="PATTERN", help="Only cases of this name, as 'gradient/*'; may be repeated."
)
network_option = click.option(
    "--network",
    metavar="NAME",
    help="Cases for this network at its own width, with its own weights: vgg16-padded, vgg19, ... or a .safetensors file.",
)
threads_option = click.option("--threads", type=int, metavar="N", help="CPU threads [default: OMP_NUM_THREADS, or all cores].")
device_option = click.option("--device", default="cpu", show_default=True, metavar="NAME", help="cpu, cuda, cuda:1, ...")
force_option = click.option("--force", is_flag=True, help="Overwrite outputs that exist.")
quiet_option = click.option("--quiet", is_flag=True, help="Print nothing but errors; the exit code tells.")
report_options = (
    click.option("--json", "json_file", type=PATH, metavar="FILE", help="Every verdict, for programs."),
    click.option("--junit", "junit_file", type=PATH, metavar="FILE", help="JUnit XML, for CI systems."),
    click.option("--html", "html_file", type=PATH, metavar="FILE", help="One page with everything, pictures included."),
    click.option(
        "--deviations",
        multiple=True,
        callback=as_pairs,
        metavar="NAME=FILE",
        help="Declared deviations of a backend (TOML), instead of those that ship; may be repeated.",
    ),
)


def with_report_options(command: Callable[..., None]) -> Callable[..., None]:
    """Options that `conform` and `conform compare` share."""
    for option in reversed(report_options):
        command = option(command)
    return command


@click.group(invoke_without_command=True, short_help="Prove that backends compute the right numbers.")
@click.option(
    "--backend",
    "names",
    multiple=True,
    metavar="NAME",
    help="Any registered backend; may be repeated [default: all installed].",
)
@click.option(
    "--python",
    "interpreters",
    multiple=True,
    callback=as_pairs,
    metavar="NAME=PATH",
    help="Record NAME, too, with this interpreter, which has isostyle; may be repeated.",
)
@case_option
@network_option
@click.option("-o", "--output", type=PATH, metavar="FOLDER", help="Keep the traces in this folder.")
@with_report_options
@threads_option
@device_option
@force_option
@quiet_option
@click.pass_context
def conform(context: click.Context, /, **options: Any) -> None:
    """Record backends, each in a process of its own, and compare them with the float64 oracle and with each other.

    \b
      isostyle conform                                    every backend that is installed
      isostyle conform --backend torch --html page.html
      isostyle conform --network vgg16-padded             a real network at full width; some minutes
      isostyle conform --python mxnet=old/bin/python --backend torch
      isostyle conform record torch -o traces/torch       one backend, to be compared later, elsewhere
      isostyle conform compare traces/*                   what was recorded, whenever and wherever

    Exit codes: 0 all within tolerance, or deviating as declared; 1 something is not, or is missing, or nothing was compared;
    2 the input cannot be used.
    """
    if context.invoked_subcommand is not None:
        given = [name for name in context.params if context.get_parameter_source(name) is ParameterSource.COMMANDLINE]
        if given:
            raise click.UsageError(f"options of `{context.invoked_subcommand}` come after it.", context)
        return
    from isostyle.conformance import session

    if not session.conform(**options):
        raise click.exceptions.Exit(1)


@conform.command(name="record", short_help="Have one backend compute every case.")
@click.argument("name")
@click.option("-o", "--output", required=True, type=PATH, metavar="FOLDER", help="Where the trace goes.")
@case_option
@network_option
@threads_option
@device_option
@force_option
@quiet_option
def record_command(threads: int | None, **options: Any) -> None:
    """Have the backend NAME (or `oracle`) compute every case in this process, and write the trace to FOLDER.

    The trace, points.npz and run.json, can be compared on any machine, in any later year.
    """
    if threads is not None:
        os.environ["OMP_NUM_THREADS"] = str(threads)
    from isostyle.conformance import session

    session.record_here(threads=threads, **options)


@conform.command(name="compare", short_help="Compare traces that were recorded before.")
@click.argument("folders", nargs=-1, required=True, type=PATH, metavar="TRACES...")
@click.option("--reference", type=PATH, metavar="FOLDER", help="The oracle's trace [default: recorded now].")
@case_option
@network_option
@with_report_options
@force_option
@quiet_option
def compare_command(**options: Any) -> None:
    """Compare TRACES with the oracle's, and with each other.

    The oracle computes anew, whatever lies among TRACES, unless --reference names a trace of it that is to be believed.
    """
    from isostyle.conformance import session

    if not session.compare_traces(**options):
        raise click.exceptions.Exit(1)


@conform.command(name="cases", short_help="List the cases.")
@case_option
@network_option
def cases_command(patterns: tuple[str, ...], network: str | None) -> None:
    """List the cases: name, dtypes, and the backends that a case is meant for, if not for all."""
    from isostyle.conformance.session import cases_for

    for case in cases_for(network, patterns)[0]:
        only = f"  only {', '.join(case.only)}" if case.only else ""
        click.echo(f"{case.name:<36} {', '.join(case.dtypes)}{only}")
