"""The options that commands share, each declared once. Those that need what `isostyle run` loads are in :mod:`.run_options`."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import rich_click

from isostyle.cli.pipes import FileOrPipe
from isostyle.errors import InputError, shown
from isostyle.images.options import BEST_QUALITY, BITS, DROP, KEEP, NAMES, QUALITY, PictureOptions

Decorator = Callable[[Callable[..., None]], Callable[..., None]]

#: Groups of options in ``--help``.
FIRST, PICTURE, RECIPE, OPTIMIZER = "Most used", "Picture", "Recipe", "Optimizer"
SPEED, SURVIVING, INPUTS, OUTPUT = "Speed and size", "Surviving", "Inputs", "Output"
#: Options that name what is read, often files.
SOURCES = ("content", "style", "init", "network", "recipe", "start")


@dataclass(frozen=True)
class Reader:
    """Reads the text of an option. Raises InputError, which says what the option takes, where ``read`` makes nothing of it."""

    read: Callable[[str], Any]
    takes: str

    def __call__(self, ctx: click.Context, param: click.Parameter, value: str | None) -> Any:
        try:
            return None if value is None else self.read(value)
        except (ValueError, KeyError):
            raise InputError(f"{param.opts[0]} takes {self.takes}; not {shown(value)}") from None


def together(*options: Decorator) -> Decorator:
    """Several options as one decorator, in the order of ``--help``."""

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


def option(panel: str, names: str, metavar: str | None, text: str, **how: Any) -> Decorator:
    """An option in a group of ``--help``; ``names`` are its names, as ``"-o --output"``."""
    default = how.get("default") is not None
    return rich_click.option(*names.split(), panel=panel, metavar=metavar, help=text, show_default=default, **how)


def flag(panel: str, name: str, text: str) -> Decorator:
    return option(panel, name, None, text, is_flag=True)


def recursive_option(panel: str) -> Decorator:
    return flag(panel, "--recursive", "Enter the folders in a folder, too.")


def file_option(panel: str, names: str, text: str, metavar: str = "FILE", **how: Any) -> Decorator:
    return option(panel, names, metavar, text, type=click.Path(path_type=Path), **how)


def pipe_option(panel: str, names: str, text: str, **how: Any) -> Decorator:
    return option(panel, names, "FILE", text, type=FileOrPipe(), **how)


# What several commands share.

BACKEND = option(
    FIRST,
    "--backend",
    "NAME",
    "torch, mxnet, paddle; auto: torch, paddle or mxnet, whichever is there first.",
    default="auto",
)
#: Of commands that apply style networks, and do nothing else.
STYLE_BACKEND = option(
    FIRST,
    "--backend",
    "NAME",
    "onnx, torch, mxnet, paddle; auto: onnx on a CPU, else torch, paddle or mxnet, whichever is there first.",
    default="auto",
)
DEVICE = option(SPEED, "--device", "NAME", "cpu, cuda, cuda:1, ...; auto takes a GPU if there is one.", default="auto")
THREADS = option(SPEED, "--threads", "N", "CPU threads [default: OMP_NUM_THREADS, or all cores].", type=int)
MAX_MEMORY = option(SPEED, "--max-memory", "SIZE", "Of the whole program, as 4GiB [default: nine tenths of what is free].")
FORCE = flag(OUTPUT, "--force", "Overwrite outputs that exist.")
QUIET = flag(OUTPUT, "--quiet", "Print nothing but errors.")
MANIFEST = file_option(
    OUTPUT, "--manifest", "The manifest [default: FILE.json, or FILE.png.json if that is another picture's; with -o -, none]."
)
ALPHAS, DEPTHS = click.Choice([KEEP, DROP]), click.Choice([str(count) for count in BITS])
#: How a picture is encoded.
encoding_options = together(
    option(PICTURE, "--alpha", None, "Keep transparency, where the format can, or lay it on white.", type=ALPHAS, default=KEEP),
    option(PICTURE, "--bits", None, "Bits of a sample; 16 for .png and .tif.", type=DEPTHS, default=str(BITS[0])),
    option(PICTURE, "--quality", "N", "Of JPEG, WebP and AVIF.", type=click.IntRange(1, BEST_QUALITY), default=QUALITY),
    flag(PICTURE, "--strip", "Leave the content's EXIF out (camera, time, place)."),
)


def taken_from(options: dict[str, Any]) -> PictureOptions:
    """What :data:`encoding_options` gave to a command; gone from ``options``."""
    given = {name: options.pop(name) for name in NAMES}
    return PictureOptions(**{**given, "bits": int(given["bits"])})


def sources(options: dict[str, Any]) -> list[Path]:
    """The files that options name, which no output may replace."""
    named = [options.get(name) for name in SOURCES] + [path for path, _ in options.get("more_styles") or ()]
    several = [path for value in named for path in (value if isinstance(value, list) else [value])]
    return [Path(path) for path in several if path and os.path.exists(path)]
