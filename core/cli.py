"""The command line. Heavy imports stand inside the commands, so that `isostyle --help` answers at once."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.metadata import entry_points
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

import click

from isostyle import allocation
from isostyle._version import __version__
from isostyle.apply_cli import apply, styles
from isostyle.batch_cli import batch
from isostyle.errors import (
    EXIT_INTERRUPTED,
    EXIT_TERMINATED,
    LESS_MEMORY,
    OF_LIBRARIES,
    OF_THREADS,
    InputError,
    IsostyleError,
    shown,
)
from isostyle.export_cli import export
from isostyle.picture_options import PictureOptions, picture_options, taken_from
from isostyle.pipes import PIPE, FileOrPipe, stem
from isostyle.progress import Teller, readable, teller
from isostyle.rerun_cli import rerun
from isostyle.train_cli import train
from isostyle.weights_cli import weights

if TYPE_CHECKING:
    from PIL.Image import Image
    from rich.progress import Progress

    from isostyle.api import Interrupted, Result, Stopped
    from isostyle.images import ImageLike
    from isostyle.pictures_out import Finished
    from isostyle.recipe import Recipe, Size, Taps
    from isostyle.run import Event

#: Entry points whose commands join this command line.
COMMANDS = "isostyle.commands"
EXIT_FAILED = 1
#: ``--pyramid`` without levels.
USUAL = "usual"
#: Takes the pyramid of a recipe's file away.
NO_PYRAMID = "none"
DEMO_FOLDER = "isostyle-demo"
DEMO_RECIPE = "painterly"
DEMO_STRIP_HEIGHT = 450
#: Options that replace parts of a recipe.
OVERRIDES = (
    "size",
    "steps",
    "content_weight",
    "style_weight",
    "tv_weight",
    "content_taps",
    "style_taps",
    "pooling",
    "optimiser",
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


def common_options(command: Callable[..., None]) -> Callable[..., None]:
    """Options that `run` and `demo` share."""
    for option in reversed(
        (
            click.option(
                "--backend",
                default="auto",
                show_default=True,
                metavar="NAME",
                help="torch, mxnet, paddle, or auto: the first of torch, paddle, mxnet that is installed.",
            ),
            click.option(
                "--steps",
                type=int,
                metavar="N",
                help="Updates of the picture; with a line search, evaluations; with a pyramid, those of the full size "
                "[default: the recipe's].",
            ),
            click.option(
                "--size",
                callback=parse_size,
                metavar="SIZE",
                help="450 or long:450, the longer side; short:300, the shorter one; 300x450, exact height x width; square:512, "
                "cropped; as-is [default: the recipe's].",
            ),
            click.option(
                "--device",
                default="auto",
                show_default=True,
                metavar="NAME",
                help="cpu, cuda, cuda:1, ...; auto takes a GPU if the framework sees one.",
            ),
            click.option("--threads", type=int, metavar="N", help="CPU threads [default: OMP_NUM_THREADS, or all cores]."),
            click.option("--force", is_flag=True, help="Overwrite outputs that exist."),
            click.option("--quiet", is_flag=True, help="Print nothing but errors."),
        )
    ):
        command = option(command)
    return command


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


@cli.command(short_help="Paint a photograph in the manner of a painting.")
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
    "--content-taps",
    callback=parse_taps,
    metavar="LAYERS",
    help="Layers with their weights, as conv4_2 or relu4_2=0.5,conv5_2.",
)
@click.option("--style-taps", callback=parse_taps, metavar="LAYERS", help="Likewise, as conv1_1,conv2_1=0.5.")
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
      isostyle run photo.jpg painting.jpg --recipe my.toml --style-taps relu1_1,relu2_1=0.5
      isostyle run scan.tif painting.jpg -o out.tif --bits 16
      fetch | isostyle run - painting.jpg -o - --format jpg | show

    CONTENT or STYLE may be -, standard input. Names that begin with a dash go behind --, after the options. Beside the picture
    goes a manifest, FILE.json: settings, digests, versions, time, memory and losses.
    """
    from isostyle.recipe import NAMED_STARTS
    from isostyle.recipe_text import is_file, load
    from isostyle.weights import NETWORKS

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
        optimiser=optimizer,
        init=init,
        network=network,
        **options,
    )


def settings_of(options: dict[str, Any]) -> Recipe:
    """The recipe that `isostyle run` computes with these options.

    Raises:
        InputError: there is none.
    """
    from isostyle.api import override
    from isostyle.recipe import NAMED_STARTS
    from isostyle.recipe_text import load

    given = {**options, "learning_rate": options["lr"], "optimiser": options["optimizer"]}
    init = options["init"]
    start = None if init is None else init if init in NAMED_STARTS else "image"
    return override(load(options["recipe"]), start=start, **{name: given[name] for name in OVERRIDES})


@cli.command(short_help="Go on with a run that was interrupted.")
@click.argument("checkpoint", type=click.Path(path_type=Path))
@click.option("-o", "--output", type=FileOrPipe(), metavar="FILE", help="The picture [default: where it was to go].")
@click.option(
    "--content", type=FileOrPipe(), metavar="FILE", help="Where the content image is, if it was moved, or was piped in."
)
@click.option("--style", type=FileOrPipe(), metavar="FILE", help="Likewise.")
@click.option("--init", type=click.Path(path_type=Path), metavar="FILE", help="Likewise, of a picture that the run began with.")
@click.option("--network", metavar="FILE", help="Likewise, of weights.")
@click.option("--backend", metavar="NAME", help="Another framework: then within conformance's bounds, not to the same bits.")
@click.option("--device", metavar="NAME", help="Another device; likewise.")
@click.option("--threads", type=int, metavar="N", help="Another number of CPU threads; likewise.")
@click.option("--max-memory", metavar="SIZE", help="Of the whole program, as 4GiB [default: nine tenths of what is free].")
@click.option("--force", is_flag=True, help="Overwrite outputs that are not this run's.")
@click.option("--quiet", is_flag=True, help="Print nothing but errors.")
def resume(checkpoint: Path, output: Path | None, force: bool, quiet: bool, **options: Any) -> None:
    """Go on with a run that `isostyle run --checkpoint CHECKPOINT` began.

    
      isostyle run photo.jpg painting.jpg --checkpoint run.ckpt
      isostyle resume run.ckpt

    With the same framework, version, device and number of threads it ends with the same bits as if it had never stopped. All
    settings are in the checkpoint; the pictures must be where they were, or be named.
    """
    from isostyle import api, run_checkpoint
    from isostyle.files import check_outputs
    from isostyle.picture_options import options_of

    found = run_checkpoint.load(checkpoint)
    kept = found.settings["kept"]
    places = {name: Path(kept[name]) if kept.get(name) else None for name in ("picture", "manifest", "history", "plot")}
    picture = output or places["picture"]
    if picture is None:
        raise InputError(f"{str(checkpoint)!r} was not written by `isostyle run`; name the picture with -o")
    outputs = outputs_of(
        picture,
        kept.get("format") if picture == PIPE else None,
        options_of(kept.get("picture_options")),
        # One that was beside the picture goes with it.
        manifest=None if output and places["manifest"] == beside(places["picture"]) else places["manifest"],
        history=places["history"],
        plot=places["plot"],
        save_every=kept.get("save_every"),
    )
    inputs = [Path(about["path"]) for about in found.inputs.values() if "path" in about]
    inputs += [Path(options[name]) for name in ("content", "style", "init", "network") if options[name] not in (None, PIPE)]
    # What the interrupted run has left of itself is overwritten.
    own = outputs.manifest is not None and is_unfinished(outputs.manifest, found.recipe)
    check_outputs(outputs.files, [checkpoint, *inputs], force=force or own)
    options["content"], options["style"] = piped(options["content"], options["style"])
    produce(partial(api.resume, checkpoint, **options), found.recipe, outputs, checkpoint, quiet=quiet)


def is_unfinished(manifest: Path, recipe: Recipe) -> bool:
    """Whether a manifest is that of a run of ``recipe`` that was stopped."""
    try:
        told = json.loads(manifest.read_bytes())
        return told["stopped_by"] is not None and told["recipe"]["digest"] == recipe.digest
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return False


@cli.command(short_help="Make a picture at once, from nothing.")
@click.option(
    "-o",
    "--output",
    "folder",
    type=click.Path(path_type=Path),
    default=DEMO_FOLDER,
    show_default=True,
    metavar="FOLDER",
    help="Where the pictures go; made if it does not exist.",
)
@common_options
def demo(folder: Path, force: bool, **options: Any) -> None:
    """Stylise a portrait (matplotlib's sample) with a painting that isostyle draws itself; nothing is downloaded.

    Writes content.png, style.png, result.png, side-by-side.png, losses.png and result.json.
    """
    from isostyle.api import override
    from isostyle.demo import painting, photograph
    from isostyle.files import check_outputs
    from isostyle.published import find
    from isostyle.report import strip

    if folder.exists() and not folder.is_dir():
        raise InputError(f"{str(folder)!r} is a file; name a folder")
    content = photograph()
    override(DEMO_RECIPE, steps=options["steps"], size=options["size"])  # errors before the painting, not after
    made = make_folder(folder)
    try:
        beside = {name: folder / name for name in ("content.png", "style.png", "side-by-side.png")}
        check_outputs(
            [*beside.values(), *(folder / name for name in ("result.png", "result.json", "losses.png"))], [], force=force
        )
        if not options["quiet"]:
            click.echo("drawing a painting", err=True)
        style = painting()
        picture, plot = folder / "result.png", folder / "losses.png"
        result = transfer(content, style, picture, recipe=find(DEMO_RECIPE), plot=plot, force=force, **options)
    finally:
        if made:
            # Gone again only if a wrong option stopped the demo before it wrote anything.
            with contextlib.suppress(OSError):
                folder.rmdir()
    side_by_side = strip([content, style, result.picture], DEMO_STRIP_HEIGHT)
    for name, picture_of in (("content.png", content), ("style.png", style), ("side-by-side.png", side_by_side)):
        save(picture_of, beside[name])
    if not options["quiet"]:
        click.echo(f"wrote {beside['side-by-side.png']}: photograph, painting and result")


@cli.command(short_help="Show what is installed, and why the rest is not.")
def backends() -> None:
    """Show which frameworks are installed, their versions and devices, and why the others are missing."""
    from isostyle.registry import statuses

    for row in statuses():
        found = f"{row.version:<14} {', '.join(row.devices)}" if row.reason is None else f"{'-':<14} {row.reason}"
        click.echo(f"{row.name:<8} {found}")


@cli.command(short_help="List the recipes, show every number of one, or compare two.")
@click.argument("name", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
@click.option("--toml", "as_toml", is_flag=True, help="Print it as a file to change and run: `--recipe my.toml`.")
@click.option("--diff", nargs=2, metavar="A B", help="Show what two recipes do differently.")
def recipes(name: str | None, as_json: bool, as_toml: bool, diff: tuple[str, str] | None) -> None:
    """List the recipes, show every number of one, or compare two. NAME, A and B may be files, too.

    \b
      isostyle recipes d2l
      isostyle recipes --diff d2l d2l-torch-tab
      isostyle recipes painterly --toml > my.toml
    """
    from isostyle.published import RECIPES
    from isostyle.recipe_text import differences, load, rows, to_toml

    if (name is not None) + bool(diff) > 1 or as_json + as_toml + bool(diff) > 1:
        raise InputError("--diff, --json and --toml are different answers; choose one, and --diff names its recipes itself")
    if diff:
        one, other = (load(each) for each in diff)
        found = differences(one, other)
        width = max(len(one.name), len(other.name))
        click.echo(f"{one.name} and {other.name} " + ("differ in" if found else "compute the same"))
        for key, values in found.items():
            for recipe, value in zip((one, other), values, strict=True):
                click.echo(f"  {key if recipe is one else '':<16} {recipe.name:<{width}}  {value}")
        return
    if name is None:
        if as_toml:
            raise InputError("--toml prints one recipe; name it")
        if as_json:
            click.echo(json.dumps([{"digest": recipe.digest, **recipe.as_dict()} for recipe in RECIPES.values()], indent=1))
            return
        width = max(map(len, RECIPES))
        for recipe in RECIPES.values():
            click.echo(f"{recipe.name:<{width}}  {recipe.source}")
        return
    recipe = load(name)
    if as_toml:
        click.echo(to_toml(recipe), nl=False)
        return
    if as_json:
        click.echo(json.dumps({"digest": recipe.digest, **recipe.as_dict()}, indent=1))
        return
    click.echo(recipe.name)
    for key, value in {"source": printable(recipe.source), "digest": recipe.digest, **rows(recipe)}.items():
        click.echo(f"  {key:<16} {value}")
    for note in recipe.notes:
        click.echo(f"  * {printable(note)}")


def printable(text: str) -> str:
    """A file's text, without what a terminal would obey."""
    return "".join(letter if letter.isprintable() else " " for letter in text)


cli.add_command(apply)
cli.add_command(batch)
cli.add_command(export)
cli.add_command(rerun)
cli.add_command(styles)
cli.add_command(train)
cli.add_command(weights)


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
    ``style`` and ``output`` may be :data:`isostyle.pipes.PIPE`; ``kind`` is then the format."""
    from isostyle import api
    from isostyle.files import check_outputs
    from isostyle.report import check_history, check_plot

    settings = api.override(recipe, **{name: options.pop(name) for name in OVERRIDES if name in options})
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
            api.stylize,
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


def piped(*sources: Any) -> list[Any]:
    """``sources``, but what is to be read from standard input as its bytes.

    Raises:
        InputError: that is more than one, or cannot be read.
    """
    from isostyle.pipes import read_stdin

    pipes = [isinstance(source, Path) and source == PIPE for source in sources]
    if sum(pipes) > 1:
        raise InputError("- is standard input, and that is one picture, not two")
    return [read_stdin() if pipe else source for source, pipe in zip(sources, pipes, strict=True)]


@dataclass(frozen=True)
class Outputs:
    """Where a run puts what it makes, and how."""

    #: PIPE is standard output.
    picture: Path
    #: A suffix, as ``.png``.
    kind: str
    options: PictureOptions
    manifest: Path | None
    history: Path | None
    plot: Path | None
    save_every: int | None

    @property
    def files(self) -> list[Path]:
        """Those that a run writes, but for its stages."""
        picture = None if self.picture == PIPE else self.picture
        return [path for path in (picture, self.manifest, self.history, self.plot) if path is not None]

    @property
    def name(self) -> str:
        return "standard output" if self.picture == PIPE else str(self.picture)

    @property
    def kept(self) -> dict[str, Any]:
        """For a checkpoint: absolute, for a run may be resumed from another folder."""
        places = {"picture": self.picture, "manifest": self.manifest, "history": self.history, "plot": self.plot}
        return {
            **{name: None if path is None else str(path if path == PIPE else path.resolve()) for name, path in places.items()},
            "save_every": self.save_every,
            "format": self.kind,
            "picture_options": self.options.as_dict(),
        }


def outputs_of(
    picture: Path,
    kind: str | None,
    options: PictureOptions,
    *,
    manifest: Path | None,
    history: Path | None = None,
    plot: Path | None = None,
    save_every: int | None = None,
) -> Outputs:
    """Where a run's outputs go.

    Raises:
        InputError: the format is none, cannot hold what the options ask for, or is said twice; or standard output cannot take
            a picture.
    """
    from isostyle import pictures_out
    from isostyle.pipes import require_stdout

    if picture != PIPE:
        if kind is not None and f".{kind.removeprefix('.').lower()}" != picture.suffix.lower():
            raise InputError("--format is for standard output, -o -; a file's format is its suffix")
        pictures_out.check(picture, options)
        return Outputs(picture, picture.suffix, options, manifest or beside(picture), history, plot, save_every)
    suffix = f".{(kind or pictures_out.USUAL).removeprefix('.').lower()}"
    try:
        pictures_out.format_of(suffix)
    except KeyError:
        raise InputError(f"--format {kind} is not a picture format that can be written (png, jpg, webp, tiff, ...)") from None
    pictures_out.check(Path(f"picture{suffix}"), options)
    if save_every is not None:
        raise InputError("--save-every puts pictures beside the result, and standard output has no place beside it")
    require_stdout()
    return Outputs(picture, suffix, options, manifest, history, plot, None)


def beside(picture: Path | None) -> Path | None:
    """Where the manifest of a picture goes if nothing else is said."""
    return None if picture is None or picture == PIPE else manifest_path(picture)


def manifest_path(output: Path) -> Path:
    return output.with_suffix(".json")


def produce(make: Callable[..., Result], settings: Recipe, outputs: Outputs, checkpoint: Path | None, *, quiet: bool) -> Result:
    """Let ``make`` run, which takes a callback and a log; show how it goes, and write what it makes."""
    from isostyle import api, images, pictures_out
    from isostyle.files import reason
    from isostyle.report import history_bytes, plot_bytes
    from isostyle.sixteen_bits import Rounded

    output, save_every = outputs.picture, outputs.save_every

    def stage(event: Event, line: Callable[[str], None]) -> None:
        """Save a picture of those that --save-every asks for."""
        due = save_every and event.step % save_every == 0 and event.step > 0
        if due and not (event.finished or event.trial):
            image = event.image()
            made = pictures_out.Finished(images.to_picture(image, settings.space), Rounded(image, settings.space))
            try:
                pictures_out.save(made, stage_path(output, event.step), outputs.options)
            except (OSError, ValueError) as error:
                # The run is worth more than one of its stages.
                line(f"cannot write {str(stage_path(output, event.step))!r}: {reason(error)}")

    with watched(make, settings, stage, waits=checkpoint is not None, quiet=quiet) as (result, problem, interrupt):
        # Here there is a picture; it is written whatever keys are pressed.
        result.manifest["output"] = {
            **({} if output == PIPE else {"path": str(output)}),
            "format": pictures_out.format_of(outputs.kind),
            **outputs.options.as_dict(),
        }
        told = (json.dumps(result.manifest, indent=1) + "\n").encode()
        try:
            deliver(result.finished, outputs)
        except pictures_out.KeptElsewhere as error:
            # What made it belongs to it.
            with contextlib.suppress(OSError):
                error.place.with_suffix(".json").write_bytes(told)
            raise
        write_beside(outputs.manifest, told, outputs)
        if outputs.history:
            write_beside(outputs.history, history_bytes(result.history, outputs.history.suffix), outputs)
        if outputs.plot:
            title = f"{settings.name} on {result.manifest['backend']['name']}"
            write_beside(outputs.plot, plot_bytes(result.history, outputs.plot.suffix, title), outputs)
        if checkpoint and problem is None:
            # Not earlier: a large picture takes seconds to write, in which the run can still be killed.
            with contextlib.suppress(OSError):
                checkpoint.unlink(missing_ok=True)
    done, size = result.manifest["steps_done"], result.manifest["size"]
    kept = f"the picture of step {done}"
    if size != result.manifest["inputs"]["content"]["resized_to"]:
        kept += ", at {}x{} of a coarse level,".format(*size)
    kept += " went to standard output" if output == PIPE else f" is kept in {str(output)!r}"
    if isinstance(problem, api.Stopped):
        raise IsostyleError(f"{problem}; {kept}") from problem
    if problem is not None:
        go_on = f"; `isostyle resume {readable(checkpoint)}` goes on" if checkpoint and checkpoint.exists() else ""
        click.echo(f"isostyle: interrupted; {kept}{go_on}", err=True)
        raise click.exceptions.Exit(EXIT_TERMINATED if interrupt.terminated else EXIT_INTERRUPTED)
    if not quiet:
        first, last = (result.manifest["losses"][which]["total"] for which in ("first", "last"))
        where = f"; manifest in {readable(outputs.manifest)}" if outputs.manifest else ""
        name = outputs.name if output == PIPE else readable(output)
        click.echo(
            f"wrote {name}: {done} steps in {result.manifest['seconds']:.1f} s, total loss {first:.4g} -> {last:.4g}{where}",
            err=output == PIPE,
        )
    return result


@contextlib.contextmanager
def watched(
    make: Callable[..., Result],
    settings: Recipe,
    stage: Callable[[Event, Callable[[str], None]], None] | None = None,
    *,
    waits: bool = False,
    quiet: bool,
) -> Iterator[tuple[Result, Stopped | Interrupted | None, Interrupt]]:
    """Let ``make`` run, and show how it goes: its result, what ended it early, and the interrupt, from here on ignored.

    ``stage`` is called with every event. If it ``waits``, the evaluation that is under way when Ctrl-C or SIGTERM comes is
    finished first.
    """
    from isostyle import api
    from isostyle.registry import BackendMissing

    problem: Stopped | Interrupted | None = None
    with interruptible(terminable=True, alike=True) as interrupt, progress(settings, quiet) as report:

        def callback(event: Event) -> None:
            if not event.finished:
                interrupt.heed()
            report.event(event)
            if stage:
                stage(event, report.line)

        if waits:
            interrupt.later()
        try:
            result = make(callback=callback, log=report.line)
        except (api.Stopped, api.Interrupted) as error:
            if error.result is None:
                interrupt.leave_if_terminated()
                raise
            problem, result = error, error.result
        except KeyboardInterrupt:
            interrupt.leave_if_terminated()
            raise
        except BackendMissing:
            # A second Ctrl-C while a framework is imported can come out as an ImportError of the framework.
            if interrupt.seen:
                interrupt.leave_if_terminated()
                raise KeyboardInterrupt from None
            raise
        interrupt.ignore()
        yield result, problem, interrupt


class Interrupt:
    """Ctrl-C, once: the first raises KeyboardInterrupt, those after it do nothing while the picture is saved.

    SIGTERM, which batch systems send, is the same with an exit code of its own, where a command asks for it. One that comes
    while an object with a destructor is made, or its destructor runs, as of MXNet's many arrays, only makes ``seen`` true.
    """

    def __init__(self, alike: bool) -> None:
        """``alike``: SIGTERM raises KeyboardInterrupt, too, and only ``terminated`` tells."""
        self.seen = False
        self.ignored = False
        self.raised = False
        self.waits = False
        self.alike = alike
        self.terminated = False
        #: What to raise once it is ``seen``.
        self.error: BaseException = KeyboardInterrupt()

    def ignore(self) -> None:
        self.ignored = True

    def leave_if_terminated(self) -> None:
        """The end of a run that SIGTERM stopped before there was a picture."""
        if self.terminated:
            fail("terminated before there was a picture", EXIT_TERMINATED)

    def later(self) -> None:
        """From here on the first one is only ``seen``; whoever looks ends when it suits him. The second one raises."""
        self.waits = True

    def heed(self) -> None:
        """Raises, where it suits, if one was ``seen``; those after it do nothing."""
        if self.seen:
            self.raised = True
            raise self.error

    def __call__(self, signum: int, frame: FrameType | None) -> None:
        if self.ignored or self.raised:
            return
        now = self.seen or not self.waits
        self.seen = True
        if signum == signal.SIGTERM:
            self.terminated = True
            if not self.alike:
                self.error = SystemExit(EXIT_TERMINATED)
        # Else the next one raises, or whoever looks at ``seen``.
        if now and not makes_or_destroys(frame):
            self.raised = True
            raise self.error


def makes_or_destroys(frame: FrameType | None) -> bool:
    """Whether an object that has a destructor is being made, or one is being destroyed, where the program stands.

    An exception in a destructor is printed and lost, and one that leaves an object half-made has its destructor fail later:
    that of MXNet's arrays looks for the handle that they were to get.
    """
    if frame is not None and frame.f_code.co_name == "__init__" and hasattr(type(frame.f_locals.get("self")), "__del__"):
        return True
    while frame is not None:
        if frame.f_code.co_name == "__del__":
            return True
        frame = frame.f_back
    return False


@contextlib.contextmanager
def interruptible(*, terminable: bool = False, alike: bool = False) -> Iterator[Interrupt]:
    """Handle SIGINT, and SIGTERM, as long as this lasts (in the main thread; Python allows it nowhere else)."""
    interrupt = Interrupt(alike)
    if threading.current_thread() is not threading.main_thread():
        yield interrupt
        return
    signals = [signal.SIGINT, *([signal.SIGTERM] if terminable else [])]
    before = [signal.signal(number, interrupt) for number in signals]
    try:
        yield interrupt
    finally:
        for number, handler in zip(signals, before, strict=True):
            signal.signal(number, handler)


def save(picture: Image, path: Path) -> None:
    """Write an RGB picture whole or not at all, in the format of the suffix."""
    from isostyle import pictures_out

    pictures_out.save(pictures_out.Finished(picture), path, PictureOptions())


def deliver(finished: Finished, outputs: Outputs) -> None:
    """Write a finished picture to where it is to go; if that cannot take it any more (a full disk, a folder or a reader gone),
    keep it in a temporary file.

    Raises:
        KeptElsewhere: it went there; the message says where and why.
    """
    from isostyle import pictures_out, pipes

    try:
        if outputs.picture == PIPE:
            pipes.write_stdout(pictures_out.encode(finished, pictures_out.format_of(outputs.kind), outputs.options))
        else:
            pictures_out.save(finished, outputs.picture, outputs.options)
    except (OSError, ValueError) as error:
        stem = "isostyle" if outputs.picture == PIPE else outputs.picture.stem
        raise pictures_out.keep_elsewhere(finished, outputs.options, outputs.name, stem, error) from error


def write_beside(path: Path | None, data: bytes, outputs: Outputs) -> None:
    """Write what goes with a picture that is written.

    Raises:
        IsostyleError: it cannot be written; the message says that there is a picture.
    """
    from isostyle import files

    if path is None:
        return
    try:
        files.write_atomically(path, data)
    except OSError as error:
        raise IsostyleError(
            f"the picture went to {outputs.name!r}, but {str(path)!r} cannot be written: {files.reason(error)}"
        ) from error


def stage_path(output: Path, step: int) -> Path:
    """OUT-0050.png for the picture after 50 steps."""
    return output.with_name(f"{output.stem}-{step:04d}{output.suffix}")


def is_stage(path: Path, output: Path, save_every: int, steps: int) -> bool:
    """Whether ``--save-every`` would write to ``path``."""
    digits = path.stem.removeprefix(f"{output.stem}-")
    step = int(digits) if digits.isdecimal() and path.suffix == output.suffix else 0
    return 0 < step < steps and step % save_every == 0 and stage_path(output, step).resolve() == path.resolve()


def existing_stages(output: Path, save_every: int, steps: int) -> list[Path]:
    """Files that `--save-every` would overwrite."""
    return [path for path in output.parent.glob(f"*{output.suffix}") if is_stage(path, output, save_every, steps)]


def make_folder(folder: Path) -> bool:
    """Make a folder; True if it was not there before."""
    if folder.is_dir():
        return False
    try:
        folder.mkdir(parents=True)
    except OSError as error:
        raise InputError(f"the folder {str(folder)!r} cannot be made: {error.strerror}") from None
    return True


class Report:
    """Lines on stderr, which is also how progress looks when stderr is no terminal: what the recipe's source prints."""

    def __init__(self, recipe: Recipe, teller: Teller) -> None:
        self.recipe, self.line = recipe, teller.line
        #: When the first event came, and what share of the work lay behind it: of a run that was resumed, an earlier session's.
        self.began: tuple[float, float] | None = None
        #: The last one that was no trial of a line search, whose losses are nobody's.
        self.last: Event | None = None

    def event(self, event: Event) -> None:
        """What a callback is to call for every event, whether it is due or not."""
        if not event.trial:
            self.last = event
        self.show(event)

    def show(self, event: Event) -> None:
        now = time.monotonic()
        self.began = self.began or (now, event.done)
        total, done = event.planned, event.done
        if event.finished:
            self.line(f"result  {self.losses(event)}")
        elif self.recipe.report.due(event.evaluation):
            since, before = self.began
            left = (now - since) / (done - before) * (1 - done) if done > before else 0
            eta = f"  eta {left:.0f} s" if left > 0 else ""
            self.line(f"evaluation {event.evaluation:>{len(str(total))}}/{total}  {self.losses(event)}{eta}")

    def losses(self, event: Event, digits: int = 6) -> str:
        """Of the picture of ``event``; of the last one before it that was none, if it is a trial."""
        event = self.last or event
        shown = ((name, event.losses[name] * factor) for name, factor in self.recipe.report.values)
        return "  ".join(f"{name} {value:.{digits}g}" for name, value in shown)


class Bar(Report):
    """A progress bar on a terminal, with the time left and the losses."""

    def __init__(self, recipe: Recipe, teller: Teller, live: Progress) -> None:
        super().__init__(recipe, teller)
        self.live = live
        self.task = live.add_task("", total=recipe.updates, losses="")

    def show(self, event: Event) -> None:
        completed = round(event.done * event.planned)
        self.live.update(self.task, total=event.planned, completed=completed, losses=self.losses(event, digits=3))


@contextlib.contextmanager
def progress(recipe: Recipe, quiet: bool) -> Iterator[Report]:
    """The reporter that fits."""
    # Narrow enough, with the losses, for a terminal of 80 columns.
    with teller(quiet, "losses", width=12) as told:
        yield Report(recipe, told) if told.live is None else Bar(recipe, told, told.live)


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


def fail(message: str, code: int) -> None:
    click.echo(f"isostyle: {' '.join(message.split())}", err=True)
    sys.exit(code)
