"""`isostyle run`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import rich_click as click

from isostyle.cli.help import Command
from isostyle.cli.interrupts import interruptible
from isostyle.cli.options import OVERRIDES, run_options, settings_of, taken_from
from isostyle.cli.outputs import Outputs, existing_stages, is_stage, outputs_of
from isostyle.cli.pipes import PIPE, piped, stem
from isostyle.cli.progress import readable
from isostyle.cli.watch import finish, watched
from isostyle.errors import InputError
from isostyle.recipe import NAMED_STARTS, Recipe
from isostyle.recipe_text import is_file
from isostyle.system.files import check_outputs
from isostyle.transfer.stylize import stylize
from isostyle.weights.store import NETWORKS


@click.command(cls=Command)
@run_options
def run(
    content: Path,
    style: Path,
    output: Path | None,
    kind: str | None,
    manifest: Path | None,
    history: Path | None,
    plot: Path | None,
    save_every: int | None,
    checkpoint: Path | None,
    force: bool,
    quiet: bool,
    **options: Any,
) -> None:
    """Paint CONTENT (a photograph) in the manner of STYLE (a painting).

    \b
    Examples:
      isostyle run photo.jpg painting.jpg
      isostyle run photo.jpg painting.jpg -o out.jpg --backend paddle --size 600
      isostyle run photo.jpg painting.jpg --recipe d2l --plot losses.png
      isostyle run photo.jpg painting.jpg --recipe tutorial-square --size square:256
      isostyle run photo.jpg painting.jpg --recipe my.toml --style-layers relu1_1
      isostyle run scan.tif painting.jpg -o out.tif --bits 16
      fetch | isostyle run - painting.jpg -o - --format jpg | show

    CONTENT or STYLE may be -, standard input. Names that begin with a dash go behind --, after the options. A manifest,
    FILE.json, goes beside the picture: settings, digests, versions, time, memory and losses. An option that shows no default
    replaces a part of the recipe.
    """
    output = output or Path(f"{stem(content)}-{stem(style)}.png")
    written = taken_from(options)
    settings = settings_of(options)
    outputs = outputs_of(output, kind, written, manifest=manifest, history=history, plot=plot, save_every=save_every)
    inputs = [path for path in (content, style) if path != PIPE]
    inputs += [Path(options["recipe"])] if is_file(options["recipe"]) else []
    inputs += [Path(options["init"])] if options["init"] and options["init"] not in NAMED_STARTS else []
    inputs += [Path(options["network"])] if options["network"] not in NETWORKS else []
    require_room(outputs, checkpoint, inputs, settings, force=force)
    given_content, given_style = piped(content, style)
    how = {name: value for name, value in options.items() if name not in (*OVERRIDES, "recipe")}
    with interruptible() as interrupt:
        with watched(settings, outputs, interrupt, quiet=quiet) as watch:
            watch.result = stylize(
                given_content,
                given_style,
                recipe=settings,
                checkpoint=checkpoint,
                keep=outputs.kept,
                callback=watch.callback,
                log=watch.log,
                **how,
            )
        finish(watch, outputs, checkpoint, quiet=quiet)


def require_room(outputs: Outputs, checkpoint: Path | None, inputs: list[Path], settings: Recipe, *, force: bool) -> None:
    """Raises InputError if a file that the run writes would destroy another, or cannot be written."""
    every, steps, picture = outputs.save_every, settings.most_updates, outputs.picture
    beside = [path for path in (outputs.manifest, outputs.history, outputs.plot, checkpoint) if path]
    if every and any(is_stage(path, picture, every, steps) for path in beside):
        raise InputError(
            "--history, --plot, --manifest or --checkpoint would go where --save-every puts a picture; name them apart"
        )
    if checkpoint and checkpoint.is_file() and not force:
        name = readable(checkpoint)
        raise InputError(f"{name} is there already; `isostyle resume {name}` goes on from it, --force begins anew")
    stages = existing_stages(picture, every, steps) if every else []
    check_outputs([*outputs.files, *([checkpoint] if checkpoint else []), *stages], inputs, force=force)
