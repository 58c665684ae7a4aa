"""`isostyle train`: a network for one style, from a painting and a folder of photographs."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from isostyle.cli.progress import Teller, readable, teller
from isostyle.errors import InputError, shown

if TYPE_CHECKING:
    from rich.progress import Progress as LiveBar

    from isostyle.recipe import Constant, StepDecay
    from isostyle.style_networks.train import Progress
    from isostyle.transform_network import TransformNetwork

#: The checkpoint of OUT.safetensors lies beside it.
CHECKPOINT_SUFFIX = ".checkpoint"
#: A sheet of samples: how its name begins, the height of its pictures, and how many photographs it shows.
SHEET, SAMPLE_HEIGHT, SAMPLES = "step-", 192, 5
#: Without a terminal a line is printed every so many steps.
LINE_EVERY = 50


def parse_width(ctx: click.Context, param: click.Parameter, value: str) -> TransformNetwork:
    """``narrow``, ``paper``, or three numbers of channels, at full, half and quarter size, in place of narrow's."""
    from isostyle.transform_network import JOHNSON, NARROW

    if value in ("narrow", "paper"):
        return NARROW if value == "narrow" else JOHNSON
    try:
        full, half, quarter = (int(part) for part in value.split(","))
    except ValueError:
        raise InputError(
            f"--width takes narrow, paper, or three numbers of channels, as 12,24,48, not {shown(value)}"
        ) from None
    return dataclasses.replace(NARROW, widths=(full, half, quarter))


def parse_decay(ctx: click.Context, param: click.Parameter, value: str) -> StepDecay | Constant:
    """``N:X``, or ``off``."""
    from isostyle.recipe import Constant, StepDecay

    if value == "off":
        return Constant()
    every, _, factor = value.partition(":")
    try:
        return StepDecay(int(every), float(factor))
    except ValueError:
        raise InputError(f"--decay takes steps and a factor, as 400:0.7, or off, not {shown(value)}") from None


@click.command(short_help="Train a network for one style.")
@click.argument("style", type=click.Path(path_type=Path))
@click.argument("photographs", type=click.Path(path_type=Path))
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), metavar="FILE", help="The network [default: ./STYLE.safetensors]."
)
@click.option("--name", metavar="NAME", help="What the style is called [default: the name of its file].")
@click.option("--backend", default="auto", show_default=True, metavar="NAME", help="torch, mxnet, paddle, or auto.")
@click.option("--steps", type=int, default=2000, show_default=True, metavar="N", help="Updates of the network.")
@click.option("--batch", type=int, default=4, show_default=True, metavar="N", help="Photographs a step.")
@click.option(
    "--crop", type=int, default=192, show_default=True, metavar="N", help="Side of what is cut out of them, in pixels."
)
@click.option("--style-size", type=int, default=384, show_default=True, metavar="N", help="Longer side of STYLE, in pixels.")
@click.option(
    "--width",
    "table",
    callback=parse_width,
    default="narrow",
    show_default=True,
    metavar="W",
    help="narrow (12,24,48), paper (32,64,128), or channels of your own at full, half and quarter size, in place of narrow's.",
)
@click.option("--blocks", type=int, metavar="N", help="Residual blocks [default: 4; of the paper's width 5].")
@click.option("--residual", is_flag=True, help="Learn a change that is added to the photograph: brighter, less like STYLE.")
@click.option(
    "--start",
    metavar="NAME|FILE",
    help="Begin with the numbers of another style network, of the same size: sooner there [default: random].",
)
@click.option("--lr", type=float, default=2e-3, show_default=True, metavar="X", help="Learning rate of Adam at the beginning.")
@click.option(
    "--decay",
    callback=parse_decay,
    default="400:0.7",
    show_default=True,
    metavar="N:X|off",
    help="What it is multiplied by, and after how many steps each time.",
)
@click.option("--recipe", default="one-pass", show_default=True, metavar="NAME|FILE.toml", help="Whose losses are minimized.")
@click.option("--content-weight", type=float, metavar="X", help="In place of the recipe's.")
@click.option("--style-weight", type=float, metavar="X", help="Likewise.")
@click.option("--tv-weight", type=float, metavar="X", help="Likewise.")
@click.option(
    "--network",
    default="compact",
    show_default=True,
    metavar="NAME",
    help="The loss network: compact, vgg16, vgg19, or a file.",
)
@click.option("--precision", default="exact", show_default=True, metavar="exact|fast", help="Of the loss network.")
@click.option(
    "--seed", type=int, default=0, show_default=True, metavar="N", help="Of the first weights, and of which crop comes when."
)
@click.option("--device", default="auto", show_default=True, metavar="NAME", help="cpu, cuda, cuda:1, ...")
@click.option("--threads", type=int, metavar="N", help="CPU threads [default: OMP_NUM_THREADS, or all cores].")
@click.option("--every", type=int, default=200, show_default=True, metavar="N", help="Steps between checkpoints and samples.")
@click.option(
    "--samples",
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="Put held-out photographs, as they go in and come out, there.",
)
@click.option("--resume", is_flag=True, help="Go on from FILE.checkpoint, to the same bits as without the interruption.")
@click.option("--force", is_flag=True, help="Overwrite a network or a checkpoint that exists.")
@click.option("--quiet", is_flag=True, help="Print nothing but errors.")
def train(
    style: Path,
    photographs: Path,
    output: Path | None,
    table: TransformNetwork,
    blocks: int | None,
    residual: bool,
    recipe: str,
    lr: float,
    decay: StepDecay | Constant,
    samples: Path | None,
    resume: bool,
    force: bool,
    quiet: bool,
    **options: Any,
) -> None:
    """Train a network that paints any photograph in the manner of STYLE, in one pass, from a folder of PHOTOGRAPHS.

    \b
      isostyle train painting.jpg photos/                      painting.safetensors, for the three frameworks
      isostyle train painting.jpg photos/ --samples samples/   and pictures to look at as it goes
      isostyle train painting.jpg photos/ --resume             go on after an interruption
      isostyle apply painting.safetensors photo.jpg -o out.jpg

    Some hundred photographs will do, a thousand are better; those that are broken or smaller than a crop are skipped and
    named. The training is to be left alone: FILE.checkpoint is written every --every steps and stays, so that --resume with
    more --steps can train on. --resume may stand in a job's script from the first time on.

    Exit codes: 0 done; 1 the training failed; 2 the input cannot be used; 130 or 143 stopped by Ctrl-C or SIGTERM (network
    and checkpoint are kept).
    """
    from isostyle.cli.interrupts import interruptible
    from isostyle.cli.outputs import make_folder, save
    from isostyle.images.strip import strip
    from isostyle.recipe import AdamSettings
    from isostyle.recipe_text import load
    from isostyle.style_networks import file as style_network
    from isostyle.style_networks import train as training
    from isostyle.style_networks.trainer import TrainingRecipe
    from isostyle.system.files import check_outputs, reason, write_atomically
    from isostyle.transfer.override import override

    output = output or Path(f"{style.stem}{style_network.SUFFIX}")
    if output.suffix != style_network.SUFFIX:
        raise InputError(f"{str(output)!r} does not end in {style_network.SUFFIX}")
    losses = override(load(recipe), **{f"{kind}_weight": options.pop(f"{kind}_weight") for kind in ("content", "style", "tv")})
    settings = TrainingRecipe(
        losses=losses,
        network=dataclasses.replace(table, residual=residual, blocks=table.blocks if blocks is None else blocks),
        optimizer=AdamSettings(lr),
        schedule=decay,
        **{key: options.pop(key) for key in ("steps", "batch", "crop", "style_size", "seed")},
    )
    settings.check()
    checkpoint = output.with_name(output.name + CHECKPOINT_SUFFIX)
    begins = resume and not checkpoint.exists()
    resume = resume and not begins
    require_inputs(style, photographs)
    if checkpoint.is_file() and not (resume or force):
        raise InputError(f"{str(checkpoint)!r} is of a training that {standing(checkpoint)}, --force begins anew")
    given = (recipe, options["network"], options["start"] or "")
    files = [Path(name) for name in given if name.endswith((style_network.SUFFIX, ".toml"))]
    check_outputs([output, checkpoint], [style, *files], force=force or resume)
    if samples:
        check_samples(samples, photographs, fresh=not (force or resume))

    with interruptible() as interrupt, reporter(settings.steps, quiet) as report:
        if begins:
            report.line(f"there is no {str(checkpoint)!r} to go on from yet: from the beginning")

        def callback(progress: Progress) -> None:
            report.step(progress)
            if samples and progress.samples:
                sheet = [picture for pair in progress.samples()[:SAMPLES] for picture in pair]
                path = samples / f"{SHEET}{progress.event.step + 1:06d}.jpg"
                try:
                    make_folder(samples)
                    save(strip(sheet, SAMPLE_HEIGHT), path)
                except (OSError, ValueError) as error:
                    report.line(f"cannot write {str(path)!r}: {reason(error)}")  # the training is worth more
            if interrupt.seen:
                raise KeyboardInterrupt

        # The step that is under way when Ctrl-C or SIGTERM comes is finished first.
        interrupt.later()
        try:
            made = training.train(
                style,
                photographs,
                recipe=settings,
                checkpoint=checkpoint,
                resume=resume,
                callback=callback,
                log=report.line,
                **options,
            )
        except training.TrainingInterrupted as error:
            error.style.save(output)
            report.line(
                f"isostyle: interrupted after {error.step} steps; the network so far is in {str(output)!r}; --resume goes on"
            )
            raise click.exceptions.Exit(interrupt.exit_code) from None
        data = style_network.dump(made)
        write_atomically(output, data)
    if not quiet:
        seen = [row["held_out"] for row in made.history if "held_out" in row]
        result = f", median total of held-out photographs {seen[0]:.4g} -> {seen[-1]:.4g}" if seen else ""
        click.echo(f"wrote {readable(output)}: {settings.steps} steps, {len(data) / 1e6:.2f} MB{result}")


def require_inputs(style: Path, photographs: Path) -> None:
    """Raises InputError if there is no style image, or nothing that is called a photograph: who got one of them wrong need not
    hear of a checkpoint."""
    from isostyle.style_networks.photographs import pictures_in
    from isostyle.system.files import require_regular

    if not os.path.exists(style):
        raise InputError(f"there is no file {str(style)!r}")
    require_regular(style.stat(), repr(str(style)))
    if not pictures_in(photographs):
        raise InputError(f"{str(photographs)!r} holds no photograph")


def standing(checkpoint: Path) -> str:
    """How far a training has come, and how it goes on."""
    from isostyle.style_networks.checkpoint import progress_of

    done, asked = progress_of(checkpoint) or (0, 1)
    if done < asked:
        return "can go on: --resume does so"
    return f"is finished, after {done} steps: --resume with more --steps goes on"


def check_samples(folder: Path, photographs: Path, *, fresh: bool) -> None:
    """Raises InputError if sheets of samples cannot go there, or would be trained on, or take others' places if ``fresh``."""
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{str(folder)!r} is a file; name a folder")
    if photographs.resolve() in (folder.resolve(), *folder.resolve().parents):
        raise InputError(f"samples in {str(folder)!r} would become photographs to train on; name a folder elsewhere")
    if fresh and any(folder.glob(f"{SHEET}*")):
        raise InputError(f"{str(folder)!r} has the samples of another training; name another folder, or use --force")


class Report:
    """Lines on stderr."""

    def __init__(self, steps: int, teller: Teller) -> None:
        self.steps, self.line = steps, teller.line
        self.began: tuple[float, int] | None = None

    def step(self, progress: Progress) -> None:
        event, now = progress.event, time.monotonic()
        if self.began is None:
            self.began = now, event.step
        if (event.step + 1) % LINE_EVERY and progress.held_out is None and event.step + 1 < self.steps:
            return
        since, first = self.began
        each = (now - since) / max(1, event.step - first)
        eta = f"  eta {each * (self.steps - event.step - 1):.0f} s" if event.step > first else ""
        self.line(f"step {event.step + 1:>{len(str(self.steps))}}/{self.steps}  {losses(progress)}{eta}")


def losses(progress: Progress, digits: int = 4) -> str:
    sums = progress.event.losses
    seen = "" if progress.held_out is None else f"  held out {progress.held_out:.{digits}g}"
    return "  ".join(f"{name} {value:.{digits}g}" for name, value in sums.items()) + seen


class Bar(Report):
    """A progress bar on a terminal, with the time left and the losses."""

    def __init__(self, steps: int, teller: Teller, live: LiveBar) -> None:
        super().__init__(steps, teller)
        self.live = live
        self.task: Any = None

    def step(self, progress: Progress) -> None:
        done = progress.event.step + 1
        if self.task is None:
            # The steps of an earlier session are done, but tell nothing about the time that the rest takes.
            self.task = self.live.add_task("", total=self.steps, completed=done, losses="")
        self.live.update(self.task, completed=done, losses=losses(progress, digits=3))
        if progress.held_out is not None:
            self.line(f"step {done}: median total of held-out photographs {progress.held_out:.4g}")


@contextlib.contextmanager
def reporter(steps: int, quiet: bool) -> Iterator[Report]:
    """The one that fits."""
    with teller(quiet, "losses", width=12) as told:
        yield Report(steps, told) if told.live is None else Bar(steps, told, told.live)
