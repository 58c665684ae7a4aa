"""`isostyle train`: a network for one style or many, from paintings and a folder of photographs."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import rich_click as click
from click.exceptions import Exit

from isostyle.cli import options as shared
from isostyle.cli.help import Command
from isostyle.cli.interrupts import Interrupt, interruptible
from isostyle.cli.options import FIRST, OPTIMIZER, RECIPE, SPEED, SURVIVING, Reader, file_option, flag, option, sources
from isostyle.cli.outputs import save
from isostyle.cli.progress import Teller, readable, teller
from isostyle.errors import InputError
from isostyle.images import folders
from isostyle.images.strip import strip
from isostyle.recipe import AdamSettings, Constant, StepDecay
from isostyle.recipe_text import load
from isostyle.style_networks import file as style_network
from isostyle.style_networks import train as training
from isostyle.style_networks.checkpoint import progress_of
from isostyle.style_networks.file import StyleNetwork
from isostyle.style_networks.photographs import pictures_in
from isostyle.style_networks.train import EVERY, Progress
from isostyle.style_networks.trainer import LEARNING_RATE, TrainingRecipe
from isostyle.system.files import check_outputs, read_input, reason
from isostyle.transfer.override import override
from isostyle.transform_network import JOHNSON, NARROW, TransformNetwork

#: The checkpoint of OUT.safetensors lies beside it.
CHECKPOINT_SUFFIX = ".checkpoint"
#: A sheet of samples: how its name begins, the height of its pictures, and how many photographs it shows.
SHEET, SAMPLE_HEIGHT, SAMPLES = "step-", 192, 5
#: Without a terminal a line is printed every so many steps.
LINE_EVERY = 50
WIDTHS = {"narrow": NARROW, "paper": JOHNSON}


def read_width(text: str) -> TransformNetwork:
    """A network by name, or of three numbers of channels, at full, half and quarter size, in place of narrow's."""
    if text in WIDTHS:
        return WIDTHS[text]
    full, half, quarter = (int(part) for part in text.split(","))
    return dataclasses.replace(NARROW, widths=(full, half, quarter))


def read_decay(text: str) -> StepDecay | Constant:
    every, _, factor = text.partition(":")
    return Constant() if text == "off" else StepDecay(int(every), float(factor))


parse_width = Reader(read_width, "narrow, paper, or three numbers of channels, as 16,32,64")
parse_decay = Reader(read_decay, "steps and a factor, as 400:0.7, or off")


@click.command(cls=Command)
@click.argument("style", type=click.Path(path_type=Path), metavar="STYLE|FOLDER")
@click.argument("photographs", type=click.Path(path_type=Path))
@file_option(FIRST, "-o --output", "The network [default: ./STYLE.safetensors].")
@option(FIRST, "--steps", "N", "Updates of the network.", type=int, default=TrainingRecipe.steps)
@shared.recursive_option(FIRST)
@file_option(FIRST, "--samples", "Put held-out photographs, as they go in and come out, there.", "FOLDER")
@shared.BACKEND
@option(RECIPE, "--name", "NAME", "What the style is called [default: the name of its file].")
@option(RECIPE, "--recipe", "NAME|FILE.toml", "Whose losses are minimized.", default="one-pass")
@option(RECIPE, "--content-weight", "X", "In place of the recipe's.", type=float)
@option(RECIPE, "--style-weight", "X", "Likewise.", type=float)
@option(RECIPE, "--tv-weight", "X", "Likewise.", type=float)
@option(RECIPE, "--network", "NAME", "The loss network: compact, vgg16, vgg16-padded, vgg19, or a file.", default="compact")
@option(
    RECIPE,
    "--width table",
    "W",
    "narrow (16,32,64), paper (32,64,128), or channels of your own at full, half and quarter size, in place of narrow's.",
    callback=parse_width,
    default="narrow",
)
@option(RECIPE, "--blocks", "N", "Residual blocks [default: 5].", type=int)
@flag(RECIPE, "--residual", "Learn a change that is added to the photograph: brighter, less like STYLE.")
@option(
    OPTIMIZER, "--start", "NAME|FILE", "Begin with another style network, of the same size: sooner there [default: random]."
)
@option(
    OPTIMIZER,
    "--add-to",
    "NAME|FILE",
    "Add the style to this network, whose own styles stay as they are: its scales and shifts alone are learned, in minutes.",
)
@option(OPTIMIZER, "--seed", "N", "Of the first weights, and of which crop comes when.", type=int, default=0)
@option(OPTIMIZER, "--batch", "N", "Photographs a step.", type=int, default=TrainingRecipe.batch)
@option(OPTIMIZER, "--lr", "X", "Learning rate of Adam at the beginning.", type=float, default=LEARNING_RATE)
@option(OPTIMIZER, "--decay", "N:X|off", "Multiply it by X every N steps.", callback=parse_decay, default="400:0.7")
@option(SPEED, "--crop", "N", "Side of what is cut out of photographs, in pixels.", type=int, default=TrainingRecipe.crop)
@option(
    SPEED,
    "--zoom",
    "X",
    "Crops show from all of a photograph down to 1/X of its side.",
    type=float,
    default=TrainingRecipe.zoom,
)
@option(SPEED, "--style-size", "N", "Longer side of STYLE, in pixels.", type=int, default=TrainingRecipe.style_size)
@option(SPEED, "--precision", "exact|fast", "Of the loss network.", default="exact")
@shared.DEVICE
@shared.THREADS
@option(SURVIVING, "--every", "N", "Steps between checkpoints and samples.", type=int, default=EVERY)
@flag(SURVIVING, "--resume", "Go on from FILE.checkpoint, to the same bits as without the interruption.")
@shared.FORCE
@shared.QUIET
def train(
    style: Path, photographs: Path, output: Path | None, samples: Path | None, resume: bool, quiet: bool, **options: Any
) -> None:
    """Train a network that paints any photograph in the manner of STYLE, in one pass, from a folder of PHOTOGRAPHS; of a FOLDER
    of paintings, one network in the manner of each.

    \b
    Examples:
      isostyle train painting.jpg photos/                painting.safetensors
      isostyle train painting.jpg photos/ --samples s/   and pictures to look at
      isostyle train painting.jpg imagenet/ --recursive  photographs in sub-folders
      isostyle train painting.jpg photos/ --resume       after an interruption
      isostyle train paintings/ photos/                  one network, a style of each painting
      isostyle train new.jpg photos/ --add-to paintings.safetensors -o more.safetensors
      isostyle apply painting.safetensors photo.jpg -o out.jpg

    Some hundred photographs will do, a thousand are better; those that are broken or much smaller than a crop are skipped and
    named. The training is to be left alone: FILE.checkpoint is written every --every steps and stays, so that --resume with
    more --steps can train on. --resume may stand in a job's script from the first time on.

    Exit codes: 0 done; 1 the training failed; 2 the input cannot be used; 130 or 143 stopped by Ctrl-C or SIGTERM (network
    and checkpoint are kept).
    """
    output = output or Path(f"{style.stem}{style_network.SUFFIX}")
    if output.suffix != style_network.SUFFIX:
        raise InputError(f"{str(output)!r} does not end in {style_network.SUFFIX}")
    files = sources(options)
    options["start"], options["add"] = beginning(options)
    settings, force = recipe_of(options), options.pop("force")
    checkpoint = output.with_name(output.name + CHECKPOINT_SUFFIX)
    goes_on = resume and checkpoint.exists()
    styles, left_out = styles_in(style)  # who got that one wrong need not hear of a checkpoint
    pictures_in(photographs, recursive=options["recursive"])
    if checkpoint.is_file() and not (goes_on or force):
        raise InputError(f"{str(checkpoint)!r} is of a training that {standing(checkpoint)}, --force begins anew")
    check_outputs([output, checkpoint], [style, *styles.values(), *files], force=force or goes_on)
    if samples:
        check_samples(samples, photographs, fresh=not (force or goes_on))
    with interruptible() as interrupt, teller(quiet) as told:
        if resume and not goes_on:
            told.line(f"there is no {str(checkpoint)!r} to go on from yet: from the beginning")
        if left_out:
            told.line(left_out)
        interrupt.waits = True  # the step that is under way when a signal comes is finished first
        watch = TrainingWatch(settings.steps, told, interrupt, samples)
        where: dict[str, Any] = {"checkpoint": checkpoint, "resume": goes_on, "callback": watch, "log": told.line}
        try:
            made = training.train(styles if style.is_dir() else style, photographs, recipe=settings, **where, **options)
        except training.TrainingInterrupted as error:
            error.style.save(output)
            kept = f"the network so far is in {str(output)!r}; --resume goes on"
            told.line(f"isostyle: interrupted after {error.step} steps; {kept}")
            raise Exit(interrupt.exit_code) from None
        made.save(output)
    if not quiet:
        click.echo(f"wrote {readable(output)}: {summary(made, output)}")


def styles_in(style: Path) -> tuple[dict[str, Path], str | None]:
    """Paintings by name: one file, or all pictures in a folder; and what is said of other files there.

    Raises:
        InputError: it cannot be read, or two have one name, or there is none.
    """
    if not style.is_dir():
        read_input(style)
        return {style.stem: style}, None
    there = folders.look_into(style, recursive=False)
    if not there.files:
        raise folders.nothing(there, style, f"{str(style)!r} holds no painting")
    found = {path.stem: path for path, _ in sorted(there.files)}
    if len(found) < len(there.files):
        raise InputError(f"two paintings in {str(style)!r} have one name but for the suffix; a style is called by its name")
    return found, there.line(repr(str(style)))


def beginning(options: dict[str, Any]) -> tuple[str | StyleNetwork | None, bool]:
    """The network that a training begins with, and whether the new styles are added to it; ``add_to`` is gone from ``options``.

    Raises:
        InputError: two networks are named, or one that is not there.
    """
    add_to = options.pop("add_to")
    if add_to and options["start"]:
        raise InputError("a training begins with --start or with --add-to: leave one of the two out")
    return (style_network.find(add_to), True) if add_to else (options["start"], False)


def recipe_of(options: dict[str, Any]) -> TrainingRecipe:
    """What is trained, from the options that say so; they are gone from ``options``. Raises InputError if it cannot be."""
    weights = {name: options.pop(name) for name in ("content_weight", "style_weight", "tv_weight")}
    table, blocks, residual = (options.pop(name) for name in ("table", "blocks", "residual"))
    network = dataclasses.replace(table, residual=residual, blocks=table.blocks if blocks is None else blocks)
    found = TrainingRecipe(
        losses=override(load(options.pop("recipe")), **weights),
        network=options["start"].network if options["add"] else network,
        optimizer=AdamSettings(options.pop("lr")),
        schedule=options.pop("decay"),
        **{key: options.pop(key) for key in ("steps", "batch", "crop", "zoom", "style_size", "seed")},
    )
    found.check()
    return found


def check_samples(folder: Path, photographs: Path, *, fresh: bool) -> None:
    """Raises InputError if samples cannot go to ``folder``, would be trained on, or take others' places if ``fresh``."""
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{str(folder)!r} is a file; name a folder")
    if photographs.resolve() in (folder.resolve(), *folder.resolve().parents):
        raise InputError(f"samples in {str(folder)!r} would become photographs to train on; name a folder elsewhere")
    if fresh and any(folder.glob(f"{SHEET}*")):
        raise InputError(f"{str(folder)!r} has the samples of another training; name another folder, or use --force")


def standing(checkpoint: Path) -> str:
    """How far a training has come, and how it goes on."""
    done, asked = progress_of(checkpoint) or (0, 1)
    if done < asked:
        return "can go on: --resume does so"
    return f"is finished, after {done} steps: --resume with more --steps goes on"


def summary(made: StyleNetwork, output: Path) -> str:
    """How long a network was trained, how large it is, and how much it has learned."""
    last = [{**made.training, "history": made.history}, *made.training.get("added", [])][-1]
    seen = [row["held_out"] for row in last["history"] if "held_out" in row]
    result = f", median total of held-out photographs {seen[0]:.4g} -> {seen[-1]:.4g}" if seen else ""
    return f"{last['steps']} steps, {output.stat().st_size / 1e6:.2f} MB{result}"


@dataclasses.dataclass
class TrainingWatch:
    """What follows each step: a bar with the losses on a terminal, elsewhere lines; a sheet of samples: held-out photographs as
    they go in and come out; and the end, if a signal has come."""

    steps: int
    told: Teller
    interrupt: Interrupt
    #: Where the sheets go, if anywhere.
    samples: Path | None

    def __call__(self, progress: Progress) -> None:
        done = progress.event.step + 1
        if not self.told.bar(done, self.steps, losses(progress, digits=3)):
            self.line(progress, done)
        elif progress.held_out is not None:
            self.told.line(f"step {done}: median total of held-out photographs {progress.held_out:.4g}")
        if self.samples and progress.samples is not None:
            pictures = [picture for pair in progress.samples()[:SAMPLES] for picture in pair]
            path = self.samples / f"{SHEET}{done:06d}.jpg"
            try:
                self.samples.mkdir(parents=True, exist_ok=True)
                save(strip(pictures, SAMPLE_HEIGHT), path)
            except (OSError, ValueError) as error:
                self.told.line(f"cannot write {str(path)!r}: {reason(error)}")  # the training is worth more
        self.interrupt.heed()

    def line(self, progress: Progress, done: int) -> None:
        """Print a line every so many steps, and where the held-out photographs were looked at."""
        eta = self.told.eta(done, self.steps)
        if done % LINE_EVERY == 0 or done >= self.steps or progress.held_out is not None:
            self.told.line(f"step {done:>{len(str(self.steps))}}/{self.steps}  {losses(progress)}{eta}")


def losses(progress: Progress, digits: int = 4) -> str:
    """The losses of a step, and those of the held-out photographs if they were looked at."""
    seen = "" if progress.held_out is None else f"  held out {progress.held_out:.{digits}g}"
    return "  ".join(f"{name} {value:.{digits}g}" for name, value in progress.event.losses.items()) + seen
