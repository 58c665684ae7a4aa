"""`isostyle run`."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from isostyle.cli.options import OVERRIDES, USUAL, common_options, parse_pyramid, parse_taps, picture_options, taken_from
from isostyle.cli.outputs import existing_stages, is_stage, outputs_of
from isostyle.cli.pipes import PIPE, FileOrPipe, piped, stem
from isostyle.cli.produce import produce
from isostyle.cli.progress import readable
from isostyle.errors import (
    InputError,
)
from isostyle.images.options import PictureOptions

if TYPE_CHECKING:
    from isostyle.images.decode import ImageLike
    from isostyle.recipe import Recipe
    from isostyle.transfer.stylize import Result


@click.command(short_help="Paint a photograph in the manner of a painting.")
@click.argument("content", type=FileOrPipe())
@click.argument("style", type=FileOrPipe())
@click.option(
    "-o",
    "--output",
    type=FileOrPipe(),
    metavar="FILE",
    help="The picture; its suffix says the format; - is standard output [default: ./CONTENT-STYLE.png].",
)
@click.option("--format", "kind", metavar="SUFFIX", help="With -o -: png, jpg, webp, tif, ... [default: png].")
@picture_options
@click.option(
    "--recipe",
    default="isostyle",
    show_default=True,
    metavar="NAME|FILE.toml",
    help="What to compute: `isostyle recipes` lists them, `isostyle recipes NAME --toml` prints one to change.",
)
@click.option("--content-weight", type=float, metavar="X", help="Effective weight of the content terms (d2l: 1).")
@click.option("--style-weight", type=float, metavar="X", help="Effective weight of the style terms (d2l: 1e4).")
@click.option("--tv-weight", type=float, metavar="X", help="Effective weight of the total variation (d2l: 10).")
@click.option(
    "--content-layers",
    callback=parse_taps,
    metavar="LAYERS",
    help="Layers with their weights, as conv4_2 or relu4_2=0.5,conv5_2.",
)
@click.option("--style-layers", callback=parse_taps, metavar="LAYERS", help="Likewise, as conv1_1,conv2_1=0.5.")
@click.option("--pooling", metavar="KIND", help="max or average [default: the recipe's].")
@click.option(
    "--optimizer",
    metavar="NAME",
    help="adam (first rate 0.3, or 0.07 for images in 0..1) or lbfgs (constant rate 1), in place of the recipe's.",
)
@click.option("--line-search", metavar="KIND", help="Of L-BFGS: none or strong-wolfe [default: the recipe's].")
@click.option("--lbfgs-history", type=int, metavar="N", help="How many updates L-BFGS remembers [default: the recipe's].")
@click.option(
    "--pyramid",
    callback=parse_pyramid,
    is_flag=False,
    flag_value=USUAL,
    metavar="[LEVELS]",
    help="From coarse to fine, with L-BFGS and a line search: 60 evaluations at 1/4 of height and width, 60 at 1/2, and 40 "
    "(--steps) at the full size; or levels of your own, as 0.25:60,0.5:40 (share:evaluations); or none, for a recipe that has "
    "some. Stands behind CONTENT and STYLE.",
)
@click.option("--lr", type=float, metavar="X", help="Learning rate of the first step (d2l: 0.3).")
@click.option(
    "--init",
    metavar="START",
    help="content, style, noise, uniform-noise, content+noise, or a picture [default: the recipe's].",
)
@click.option(
    "--seed",
    type=int,
    default=0,
    show_default=True,
    metavar="N",
    help="Seed of the noise; the same noise on every backend.",
)
@click.option(
    "--network",
    default="compact",
    show_default=True,
    metavar="NAME",
    help="compact (ships with isostyle), vgg19 or vgg16 (`isostyle weights`), or a .safetensors file.",
)
@click.option("--dtype", default="float32", show_default=True, metavar="TYPE", help="float32 or float64.")
@click.option(
    "--precision",
    default="exact",
    show_default=True,
    metavar="exact|fast",
    help="fast: whatever is fastest here (bfloat16 or Winograd convolutions); with Adam the final total is within 2 %.",
)
@click.option(
    "--tile",
    default="auto",
    show_default=True,
    metavar="N",
    help="Side of a tile in pixels; off; or auto: in tiles, to the same numbers, if the whole does not fit into memory.",
)
@click.option("--max-memory", metavar="SIZE", help="Of the whole program, as 4GiB [default: nine tenths of what is free].")
@click.option("--save-every", type=int, metavar="N", help="Also save OUT-0010.png, ... every N steps.")
@click.option(
    "--checkpoint",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="From which `isostyle resume FILE` goes on after Ctrl-C, SIGTERM or a crash, to the same bits; gone at the end.",
)
@click.option(
    "--checkpoint-every", type=int, default=50, show_default=True, metavar="N", help="Evaluations between checkpoints."
)
@click.option(
    "--on-divergence",
    default="stop",
    show_default=True,
    metavar="stop|retry",
    help="If a loss explodes or is no longer finite: stop, or go on from the last good state at half the learning rate.",
)
@click.option("--history", type=click.Path(path_type=Path), metavar="FILE", help="Losses of every step, .csv or .json.")
@click.option("--plot", type=click.Path(path_type=Path), metavar="FILE", help="Plot of the losses, .png, .svg or .pdf.")
@common_options
def run(
    content: Path,
    style: Path,
    output: Path | None,
    kind: str | None,
    recipe: str,
    lr: float | None,
    optimizer: str | None,
    init: str | None,
    network: str,
    **options: Any,
) -> None:
    """Paint CONTENT (a photograph) in the manner of STYLE (a painting).

    \b
      isostyle run photo.jpg painting.jpg
      isostyle run photo.jpg painting.jpg -o out.jpg --backend paddle --size 600
      isostyle run photo.jpg painting.jpg --recipe d2l --history losses.csv --plot losses.png
      isostyle run photo.jpg painting.jpg --recipe tutorial-square --size square:256
      isostyle run photo.jpg painting.jpg --recipe my.toml --style-layers relu1_1,relu2_1=0.5
      isostyle run scan.tif painting.jpg -o out.tif --bits 16
      fetch | isostyle run - painting.jpg -o - --format jpg | show

    CONTENT or STYLE may be -, standard input. Names that begin with a dash go behind --, after the options. Beside the picture
    goes a manifest, FILE.json: settings, digests, versions, time, memory and losses.
    """
    from isostyle.recipe import NAMED_STARTS
    from isostyle.recipe_text import is_file, load
    from isostyle.weights.store import NETWORKS

    paths = [path for path in (content, style) if path != PIPE]
    paths += [Path(recipe)] if is_file(recipe) else []
    paths += [Path(init)] if init and init not in NAMED_STARTS else []
    paths += [Path(network)] if network not in NETWORKS else []
    output = output or Path(f"{stem(content)}-{stem(style)}.png")
    picture_options = taken_from(options)
    transfer(
        content,
        style,
        output,
        kind=kind,
        picture_options=picture_options,
        input_paths=paths,
        recipe=load(recipe),
        learning_rate=lr,
        optimizer=optimizer,
        init=init,
        network=network,
        **options,
    )


def transfer(
    content: ImageLike,
    style: ImageLike,
    output: Path,
    *,
    kind: str | None = None,
    picture_options: PictureOptions | None = None,
    input_paths: Sequence[Path] = (),
    recipe: Recipe,
    save_every: int | None = None,
    manifest: Path | None = None,
    history: Path | None = None,
    plot: Path | None = None,
    checkpoint: Path | None = None,
    force: bool,
    quiet: bool,
    **options: Any,
) -> Result:
    """Run one style transfer and write what it makes: picture, manifest, and history and plot if asked for. ``content``,
    ``style`` and ``output`` may be :data:`isostyle.cli.pipes.PIPE`; ``kind`` is then the format."""
    from isostyle.cli.report import check_history, check_plot
    from isostyle.system.files import check_outputs
    from isostyle.transfer import override, stylize

    settings = override.override(recipe, **{name: options.pop(name) for name in OVERRIDES if name in options})
    if save_every is not None and save_every < 1:
        raise InputError(f"--save-every must be at least 1, not {save_every}")
    outputs = outputs_of(
        output,
        kind,
        picture_options or PictureOptions(),
        manifest=manifest,
        history=history,
        plot=plot,
        save_every=save_every,
    )
    if history:
        check_history(history)
    if plot:
        check_plot(plot)
    stages = existing_stages(output, save_every, settings.most_updates) if save_every else []
    extra = [path for path in (manifest, history, plot, checkpoint) if path]
    if save_every and any(is_stage(path, output, save_every, settings.most_updates) for path in extra):
        raise InputError(
            "--history, --plot, --manifest or --checkpoint would go where --save-every puts a picture; name them apart"
        )
    if checkpoint and checkpoint.is_file() and not force:
        name = readable(checkpoint)
        raise InputError(f"{name} is there already; `isostyle resume {name}` goes on from it, --force begins anew")
    check_outputs([*outputs.files, *([checkpoint] if checkpoint else []), *stages], input_paths, force=force)
    given_content, given_style = piped(content, style)
    return produce(
        partial(
            stylize.stylize,
            given_content,
            given_style,
            recipe=settings,
            checkpoint=checkpoint,
            keep=outputs.kept,
            **options,
        ),
        settings,
        outputs,
        checkpoint,
        quiet=quiet,
    )
