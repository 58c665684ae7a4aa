"""Options that commands share, and how their values are read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from isostyle.errors import (
    InputError,
    shown,
)
from isostyle.images.options import BEST_QUALITY, BITS, DROP, KEEP, NAMES, QUALITY, PictureOptions

if TYPE_CHECKING:
    from isostyle.recipe import Recipe, Size, Taps

#: ``--pyramid`` without levels.
USUAL = "usual"
#: Takes the pyramid of a recipe's file away.
NO_PYRAMID = "none"
#: Options that replace parts of a recipe.
OVERRIDES = (
    "size",
    "steps",
    "content_weight",
    "style_weight",
    "tv_weight",
    "content_layers",
    "style_layers",
    "pooling",
    "optimizer",
    "learning_rate",
    "line_search",
    "lbfgs_history",
    "pyramid",
)


def parse_size(ctx: click.Context, param: click.Parameter, value: str | None) -> Size | None:
    """``300x450``: height x width, both images; ``450``, ``long:450``, ``short:300``, ``square:512``, ``as-is``."""
    from isostyle.recipe import AsIs, ExactSize, LongSide, ShortSide, Square

    if value is None:
        return None
    rule, _, number = value.lower().rpartition(":")
    rules: dict[str, Callable[[int], Size]] = {"": LongSide, "long": LongSide, "short": ShortSide, "square": Square}
    try:
        if value.lower() == "as-is":
            return AsIs()
        if not rule and "x" in number:
            height, width = (int(side) for side in number.split("x"))
            return ExactSize(height, width)
        return rules[rule](int(number))
    except (ValueError, KeyError):
        raise InputError(
            "the size must be HEIGHTxWIDTH, as 300x450; long:N, or N alone, for the longer side; short:N for the shorter one; "
            f"square:N; or as-is; not {shown(value)}"
        ) from None


def parse_taps(ctx: click.Context, param: click.Parameter, value: str | None) -> Taps | None:
    """``conv1_1,conv2_1=0.5``: layers, each with its weight; 1 if it has none."""
    if value is None:
        return None
    taps = []
    for part in value.split(","):
        name, given, weight = part.strip().partition("=")
        try:
            taps.append((name.strip(), float(weight) if given else 1.0))
        except ValueError:
            raise InputError(
                f"{param.opts[0]} takes layers and weights, as conv1_1=1,conv2_1=0.5, not {shown(value)}"
            ) from None
    return tuple(taps)


def parse_pyramid(ctx: click.Context, param: click.Parameter, value: str | None) -> bool | list[tuple[float, int]] | None:
    """``0.25:60,0.5:40``: levels, each a share of height and width with its evaluations; True for the usual ones, False for
    none."""
    if value is None:
        return None
    if value in (USUAL, NO_PYRAMID):
        return value == USUAL
    try:
        levels = [part.split(":") for part in value.split(",")]
        return [(float(share), int(steps)) for share, steps in levels]
    except ValueError:
        raise InputError(
            f"{param.opts[0]} takes levels, as 0.25:60,0.5:40 (share:evaluations), none, or nothing (write it behind the "
            f"pictures then), not {shown(value)}"
        ) from None


#: Options that several commands share, each declared once.
BACKEND = click.option(
    "--backend",
    default="auto",
    show_default=True,
    metavar="NAME",
    help="torch, mxnet, paddle, or auto: the first of torch, paddle, mxnet that is installed.",
)
DEVICE = click.option(
    "--device",
    default="auto",
    show_default=True,
    metavar="NAME",
    help="cpu, cuda, cuda:1, ...; auto takes a GPU if there is one.",
)
THREADS = click.option("--threads", type=int, metavar="N", help="CPU threads [default: OMP_NUM_THREADS, or all cores].")
MAX_MEMORY = click.option(
    "--max-memory", metavar="SIZE", help="Of the whole program, as 4GiB [default: nine tenths of what is free]."
)
FORCE = click.option("--force", is_flag=True, help="Overwrite outputs that exist.")
QUIET = click.option("--quiet", is_flag=True, help="Print nothing but errors.")
STEPS = click.option(
    "--steps",
    type=int,
    metavar="N",
    help="Updates of the picture; with a line search, evaluations; with a pyramid, those of the full size [default: the recipe's].",
)
SIZE = click.option(
    "--size",
    callback=parse_size,
    metavar="SIZE",
    help="450 or long:450, the longer side; short:300, the shorter one; 300x450, exact height x width; square:512, cropped; "
    "as-is [default: the recipe's].",
)


def together(
    *options: Callable[[Callable[..., None]], Callable[..., None]],
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Several options as one decorator, in the order of ``--help``."""

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


#: Options that `run` and `demo` share.
common_options = together(BACKEND, STEPS, SIZE, DEVICE, THREADS, FORCE, QUIET)


def settings_of(options: dict[str, Any]) -> Recipe:
    """The recipe that `isostyle run` computes with these options.

    Raises:
        InputError: there is none.
    """
    from isostyle.recipe import NAMED_STARTS
    from isostyle.recipe_text import load
    from isostyle.transfer.override import override

    given = {**options, "learning_rate": options["lr"], "optimizer": options["optimizer"]}
    init = options["init"]
    start = None if init is None else init if init in NAMED_STARTS else "image"
    return override(load(options["recipe"]), start=start, **{name: given[name] for name in OVERRIDES})


#: How a picture is written.
picture_options = together(
    click.option(
        "--alpha",
        type=click.Choice([KEEP, DROP]),
        default=KEEP,
        show_default=True,
        help="The content's transparency, where the format can hold it; drop: it is laid on white.",
    ),
    click.option(
        "--bits",
        type=click.Choice([str(count) for count in BITS]),
        default=str(BITS[0]),
        show_default=True,
        help="Of a sample; 16 for .png and .tif.",
    ),
    click.option(
        "--quality",
        type=click.IntRange(1, BEST_QUALITY),
        default=QUALITY,
        show_default=True,
        metavar="N",
        help="Of JPEG, WebP and AVIF, 1 to 100.",
    ),
    click.option("--strip", is_flag=True, help="Leave the content's EXIF out (camera, time, place)."),
    click.option(
        "--manifest",
        type=click.Path(path_type=Path),
        metavar="FILE",
        help="Where the manifest goes [default: beside the picture, as .json; with -o -, nowhere].",
    ),
)


def taken_from(options: dict[str, Any]) -> PictureOptions:
    """What :func:`picture_options` gave to a command; gone from ``options``."""
    given = {name: options.pop(name) for name in NAMES}
    return PictureOptions(**{**given, "bits": int(given["bits"])})
