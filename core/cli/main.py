"""The command line. Heavy imports stand inside the commands, so that `isostyle --help` answers at once."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib.metadata import entry_points

import click

from isostyle._version import __version__
from isostyle.cli.apply import apply
from isostyle.cli.backends import backends
from isostyle.cli.batch import batch
from isostyle.cli.demo import demo
from isostyle.cli.export import export
from isostyle.cli.progress import fail
from isostyle.cli.recipes import recipes
from isostyle.cli.rerun import rerun
from isostyle.cli.resume import resume
from isostyle.cli.run import run
from isostyle.cli.styles import styles
from isostyle.cli.train import train
from isostyle.cli.weights import weights
from isostyle.errors import (
    EXIT_INTERRUPTED,
    LESS_MEMORY,
    OF_LIBRARIES,
    OF_THREADS,
    IsostyleError,
)
from isostyle.system import allocation

#: Entry points whose commands join this command line.
COMMANDS = "isostyle.commands"
EXIT_FAILED = 1


class Commands(click.Group):
    """This file's commands, and those that other rooms register under the entry-point group ``isostyle.commands``."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*super().list_commands(ctx), *sorted(entry.name for entry in entry_points(group=COMMANDS))]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if (own := super().get_command(ctx, cmd_name)) is not None:
            return own
        for entry in entry_points(group=COMMANDS):
            if entry.name == cmd_name:
                command: click.Command = entry.load()
                return command
        return None


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]}, invoke_without_command=True)
@click.version_option(__version__, prog_name="isostyle")
@click.pass_context
def cli(context: click.Context) -> None:
    """Neural style transfer with PyTorch, Apache MXNet or PaddlePaddle: one specification, the same picture.

    \b
      isostyle demo                           a picture at once, from nothing
      isostyle run photo.jpg painting.jpg     your own
      isostyle train painting.jpg photos/     a network that paints any picture in one pass
      isostyle apply STYLE photos/ -o out/    and paints them: pictures, folders, videos
      isostyle batch runs.csv                 many pictures; what was interrupted goes on
      isostyle recipes                        what has been published, ready to run
      isostyle weights fetch vgg19            the real VGG-19, once
      isostyle backends                       what is installed, and why the rest is not
      isostyle conform                        proof that it computes the right numbers
      isostyle bench                          what each framework costs, as published and ours

    Exit codes: 0 done; 1 the run failed; 2 the input cannot be used; 130 stopped by Ctrl-C, 143 by SIGTERM (the last picture is
    kept).
    """
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


cli.add_command(run)
cli.add_command(resume)
cli.add_command(demo)
cli.add_command(backends)
cli.add_command(recipes)
cli.add_command(apply)
cli.add_command(batch)
cli.add_command(export)
cli.add_command(rerun)
cli.add_command(styles)
cli.add_command(train)
cli.add_command(weights)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; every error that is foreseen is one sentence on stderr."""
    allocation.keep_freed_memory()
    try:
        code = cli.main(arguments, prog_name="isostyle", standalone_mode=False)
    except click.UsageError as error:
        given = sys.argv[1:] if arguments is None else arguments
        where = error.ctx.command_path if error.ctx else command_in(given)
        said = error.format_message()
        if isinstance(error, click.NoSuchOption) and (file := next(filter(is_dashed_file, given), None)):
            said += f" The file {file!r} goes behind --, after the options."
        fail(f"{said}{'' if said.endswith(('.', '?', '!')) else '.'} See `{where} --help`.", error.exit_code)
    except click.ClickException as error:
        fail(error.format_message(), error.exit_code)
    except IsostyleError as error:
        fail(str(error), error.exit_code)
    except (KeyboardInterrupt, click.Abort):
        fail("interrupted before there was a picture", EXIT_INTERRUPTED)
    except MemoryError:
        fail(f"out of memory; {LESS_MEMORY}", EXIT_FAILED)
    except (RuntimeError, ImportError) as error:
        if not any(words in str(error) for words in (OF_THREADS, OF_LIBRARIES)):
            raise
        fail(f"out of memory: {error}; {LESS_MEMORY}", EXIT_FAILED)
    except OSError as error:
        fail(f"{str(error.filename)!r}: {error.strerror}" if error.filename else str(error), EXIT_FAILED)
    sys.exit(code if isinstance(code, int) else 0)


def is_dashed_file(word: str) -> bool:
    """Whether what looks like an option is the name of a file."""
    return len(word) > 1 and word.startswith("-") and os.path.isfile(word)


def command_in(arguments: Sequence[str]) -> str:
    """``isostyle weights fetch``, at the beginning of these arguments. What click says of an option without its value names no
    command."""
    context = click.Context(cli)
    found: click.Command = cli
    words = ["isostyle"]
    for word in arguments:
        if not isinstance(found, click.Group) or (following := found.get_command(context, word)) is None:
            break
        found = following
        words.append(word)
    return " ".join(words)
