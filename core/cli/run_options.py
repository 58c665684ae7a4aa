"""The options of `isostyle run`, and of the commands that run what it runs; how their values are read."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click
import rich_click

from isostyle.cli.options import (
    BACKEND,
    DEVICE,
    FIRST,
    FORCE,
    INPUTS,
    MANIFEST,
    MAX_MEMORY,
    OPTIMIZER,
    OUTPUT,
    PICTURE,
    QUIET,
    RECIPE,
    SPEED,
    SURVIVING,
    THREADS,
    Decorator,
    Reader,
    encoding_options,
    file_option,
    flag,
    option,
    pipe_option,
    together,
)
from isostyle.cli.pipes import FileOrPipe
from isostyle.errors import InputError
from isostyle.images.colors import KINDS
from isostyle.recipe import NAMED_STARTS, Recipe, Taps
from isostyle.recipe_text import load
from isostyle.sizes import AsIs, ExactSize, LongSide, ShortSide, Size, Square
from isostyle.transfer.override import override
from isostyle.transfer.stylize import stylize

#: By name.
ARGUMENTS = inspect.signature(stylize).parameters
#: ``--pyramid`` without levels, and what takes the pyramid of a recipe's file away.
USUAL, NO_PYRAMID = "usual", "none"
#: Options that replace parts of a recipe.
OVERRIDES = (
    *("size", "steps", "content_weight", "style_weight", "tv_weight", "content_layers", "style_layers", "pooling"),
    *("optimizer", "learning_rate", "line_search", "lbfgs_history", "pyramid", "style_size", "style_scale"),
)
SIZE_RULES: dict[str, Callable[[int], Size]] = {"": LongSide, "long": LongSide, "short": ShortSide, "square": Square}


def read_size(text: str) -> Size:
    rule, _, number = text.lower().rpartition(":")
    if text.lower() == "as-is":
        return AsIs()
    if not rule and "x" in number:
        height, width = (int(side) for side in number.split("x"))
        return ExactSize(height, width)
    return SIZE_RULES[rule](int(number))


def read_taps(text: str) -> Taps:
    """Layers, each with its weight; 1 if it has none."""
    pairs = [part.strip().partition("=") for part in text.split(",")]
    return tuple((name.strip(), float(weight) if given else 1.0) for name, given, weight in pairs)


def read_style(text: str) -> tuple[Path, float]:
    """A style image and its weight; 1 if it has none."""
    path, mark, weight = text.rpartition(":")
    return (Path(text), 1.0) if not mark or os.path.exists(text) else (Path(path), float(weight))


def read_pyramid(text: str) -> bool | list[tuple[float, int]]:
    """Levels, each a share of the sides with its evaluations; True for the usual ones, False for none."""
    if text in (USUAL, NO_PYRAMID):
        return text == USUAL
    levels = [part.split(":") for part in text.split(",")]
    return [(float(share), int(steps)) for share, steps in levels]


parse_size = Reader(
    read_size, "HEIGHTxWIDTH, as 300x450; N or long:N, the longer side; short:N, the shorter one; square:N; or as-is"
)
parse_taps = Reader(read_taps, "layers and weights, as conv1_1=1,conv2_1=0.5")
parse_pyramid = Reader(read_pyramid, "levels, as 0.25:60,0.5:40 (share:evaluations), none, or nothing, behind the pictures")
parse_style = Reader(read_style, "a picture, or one and its weight, as other.jpg:0.5")
#: By the arguments whose values they read.
PARSERS = {
    "size": parse_size,
    "style_size": parse_size,
    "content_layers": parse_taps,
    "style_layers": parse_taps,
    "pyramid": parse_pyramid,
}


def parse_styles(ctx: click.Context, param: click.Parameter, values: tuple[str, ...]) -> list[tuple[Path, float]]:
    return [parse_style(ctx, param, value) for value in values]


def one_or_all(ctx: click.Context, param: click.Parameter, values: tuple[Path, ...]) -> Path | list[Path] | None:
    return list(values) if len(values) > 1 else values[0] if values else None


def argument(panel: str, names: str, metavar: str, text: str, choices: Sequence[str] | None = None, **how: Any) -> Decorator:
    """An option that is an argument of :func:`isostyle.stylize`, whose signature says its type and its default."""
    name = names.split()[-1].removeprefix("--").replace("-", "_")
    types: dict[str, Any] = {"int": int, "float": float}
    kind = rich_click.Choice(choices) if choices else types.get(str(ARGUMENTS[name].annotation).partition(" ")[0])
    return option(panel, names, metavar, text, type=kind, default=ARGUMENTS[name].default, callback=PARSERS.get(name), **how)


def arguments(panel: str, *rows: tuple[str, str, str]) -> Decorator:
    """Several such options: names, what stands for the value, and the help of each."""
    return together(*(argument(panel, *row) for row in rows))


KEEP_COLORS = argument(
    FIRST,
    "--keep-colors",
    "KIND",
    "The photograph's: luminance, its chrominance in the result; histogram, its channels' histograms; style, style-cholesky: "
    "the painting is recolored first.",
    choices=KINDS,
)
STEPS = argument(FIRST, "--steps", "N", "Updates of the picture; with a line search or pyramid, evaluations at the full size.")
SIZE = argument(
    FIRST,
    "--size",
    "SIZE",
    "450 or long:450, the longer side; short:300, the shorter one; 300x450, exact height x width; square:512, cropped; as-is.",
)
#: How a computation is repeated elsewhere: where its inputs are now, and what computes.
again_options = together(
    pipe_option(INPUTS, "--content", "Where the content image is, if it was moved, or was piped in."),
    pipe_option(INPUTS, "--style", "Likewise, the style image; of several all.", multiple=True, callback=one_or_all),
    file_option(INPUTS, "--init", "Likewise, a picture that the run began with."),
    option(INPUTS, "--network", "FILE", "Likewise, the weights."),
    option(SPEED, "--backend", "NAME", "Another framework: then within bounds at best, not to the same bits."),
    option(SPEED, "--device", "NAME", "Another device; likewise."),
    option(SPEED, "--threads", "N", "Another number of CPU threads; likewise.", type=int),
)
#: What says how a run computes, and where its picture goes.
computing_options = together(
    rich_click.argument("content", type=FileOrPipe()),
    rich_click.argument("style", type=FileOrPipe()),
    pipe_option(FIRST, "-o --output", "The picture; its suffix says the format, - is stdout [default: ./CONTENT-STYLE.png]."),
    arguments(
        FIRST,
        ("--recipe", "NAME|FILE.toml", "What to compute: see `isostyle recipes`; with NAME --toml it prints one to change."),
        ("--style-weight", "X", "Effective weight of the style terms (d2l: 1e4)."),
        ("--content-weight", "X", "Effective weight of the content terms (d2l: 1)."),
    ),
    option(
        PICTURE,
        "--style more_styles",
        "FILE[:X]",
        "Another style image, and its weight beside STYLE's 1; as often as you like.",
        multiple=True,
        callback=parse_styles,
    ),
    KEEP_COLORS,
    SIZE,
    argument(
        FIRST,
        "--style-scale",
        "X",
        "0.25 to 4, times the style image's height and width: strokes grow, and the picture stays as large.",
    ),
    STEPS,
    BACKEND,
    option(PICTURE, "--format kind", "SUFFIX", "With -o -: png, jpg, webp, tif, ... [default: png]."),
    encoding_options,
    arguments(
        RECIPE,
        ("--tv-weight", "X", "Effective weight of the total variation (d2l: 10)."),
        ("--content-layers", "LAYERS", "Layers with weights, as conv4_2 or relu4_2=0.5,conv5_2."),
        ("--style-layers", "LAYERS", "Likewise, as conv1_1,conv2_1=0.5."),
        ("--pooling", "KIND", "max or average."),
        ("--style-size", "SIZE", "Of the style image alone, as --size has it: strokes grow with it."),
        ("--init", "START", "content, style, noise, uniform-noise, content+noise, or a picture."),
        ("--seed", "N", "Seed of the noise; the same noise on every backend."),
        (
            "--network",
            "NAME",
            "compact, which ships with isostyle; vgg16, vgg16-padded or vgg19 (`isostyle weights`); or a file.",
        ),
    ),
    arguments(
        OPTIMIZER,
        ("--optimizer", "NAME", "adam (first rate 0.3, or 0.07 for images in 0..1) or lbfgs (constant rate 1)."),
        ("--lr learning_rate", "X", "Learning rate of the first step (d2l: 0.3)."),
        ("--line-search", "KIND", "Of L-BFGS: none or strong-wolfe."),
        ("--lbfgs-history", "N", "How many updates L-BFGS remembers."),
    ),
    argument(
        OPTIMIZER,
        "--pyramid",
        "[LEVELS]",
        "From coarse to fine, with L-BFGS and a line search: 60 evaluations at 1/4 of height and width, 60 at 1/2, and 40 "
        "(--steps) at the full size; or levels of your own, as 0.25:60,0.5:40 (share:evaluations); or none, for a recipe that "
        "has some. Stands behind CONTENT and STYLE.",
        is_flag=False,
        flag_value=USUAL,
    ),
    DEVICE,
    THREADS,
    arguments(
        SPEED,
        ("--dtype", "TYPE", "float32 or float64."),
        ("--precision", "exact|fast", "fast: bfloat16 or Winograd, whatever is faster here; Adam's final total within 2 %."),
        ("--tile", "N", "Side of a tile in pixels; off; or auto: in tiles, to the same numbers, if the whole does not fit."),
    ),
    MAX_MEMORY,
    arguments(
        SURVIVING,
        ("--checkpoint-every", "N", "Evaluations between checkpoints."),
        ("--on-divergence", "stop|retry", "If a loss explodes: stop, or go on from the last good state at half the rate."),
    ),
    option(SURVIVING, "--save-every", "N", "Also save OUT-0010.png, ... every N steps.", type=int),
    file_option(OUTPUT, "--history", "Losses of every step, .csv or .json."),
    file_option(OUTPUT, "--plot", "Plot of the losses, .png, .svg or .pdf."),
)
#: What a batch says itself of each of its runs.
managing_options = together(
    file_option(SURVIVING, "--checkpoint", "For `isostyle resume FILE` after Ctrl-C, SIGTERM or a crash; gone at the end."),
    MANIFEST,
    FORCE,
    flag(OUTPUT, "--dry-run", "Write nothing; say sizes, memory and time, by two steps at each size."),
    QUIET,
)


@rich_click.command("run", add_help_option=False)
@computing_options
def run_parser(**options: Any) -> None:
    """Parses what a batch passes on to `isostyle run`."""


def settings_of(options: dict[str, Any]) -> Recipe:
    """The recipe that `isostyle run` computes with these options. Raises InputError if there is none."""
    if options["style_size"] is not None and options["style_scale"] is not None:
        raise InputError("--style-size and --style-scale both say how large the style image is; leave one of the two out")
    init = options["init"]
    start = None if init is None else init if init in NAMED_STARTS else "image"
    return override(load(options["recipe"]), start=start, **{name: options[name] for name in OVERRIDES})
