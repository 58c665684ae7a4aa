"""`isostyle run`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import rich_click as click

from isostyle.cli.dry_run import as_text
from isostyle.cli.help import Command
from isostyle.cli.options import sources, taken_from
from isostyle.cli.outputs import Outputs, require_use
from isostyle.cli.pipes import PIPE, read_piped, stem
from isostyle.cli.progress import readable, teller
from isostyle.cli.run_options import OVERRIDES, computing_options, managing_options, settings_of
from isostyle.cli.watch import watched
from isostyle.errors import InputError
from isostyle.system.files import check_outputs
from isostyle.transfer import checkpoint as run_checkpoint
from isostyle.transfer.estimate import estimate
from isostyle.transfer.stylize import stylize


@click.command(cls=Command)
@computing_options
@managing_options
def run(output: Path | None, checkpoint: Path | None, force: bool, dry_run: bool, quiet: bool, **options: Any) -> None:
    """Paint CONTENT (a photograph) in the manner of STYLE (a painting).

    \b
    Examples:
      isostyle run photo.jpg painting.jpg
      isostyle run photo.jpg painting.jpg -o out.jpg --backend paddle --size 600
      isostyle run photo.jpg painting.jpg --recipe d2l --plot losses.png
      isostyle run photo.jpg painting.jpg --recipe tutorial-square --size square:256
      isostyle run photo.jpg painting.jpg --recipe my.toml --style-layers relu1_1
      isostyle run photo.jpg painting.jpg --style other.jpg:0.5
      isostyle run scan.tif painting.jpg -o out.tif --bits 16 --dry-run
      fetch | isostyle run - painting.jpg -o - --format jpg | show

    CONTENT or STYLE may be -, standard input. Names that begin with a dash go behind --, after the options. A manifest,
    FILE.json, goes beside the picture: settings, digests, versions, time, memory and losses (FILE.png.json, if FILE.json is
    another picture's). An option that shows no default replaces a part of the recipe.
    """
    settings = settings_of(options)
    picture = output or Path(f"{stem(options['content'])}-{stem(options['style'])}.png")
    written, places = taken_from(options), ("kind", "manifest", "history", "plot", "save_every")
    outputs = Outputs(picture, written, **{name: options.pop(name) for name in places})
    if checkpoint and os.path.isfile(checkpoint) and not force:  # False for a name that no file can have, too
        raise InputError(standing(checkpoint))
    require_use(written, [outputs.suffix])
    files = [*outputs.files, *([checkpoint] if checkpoint else [])]
    files += outputs.stages(files, settings.most_updates)
    check_outputs(files, sources(options), force=force)
    names = str(options["content"]), str(options["style"])
    read_piped(options)
    options["style"] = [options["style"], *options.pop("more_styles")]
    how = {name: value for name, value in options.items() if name not in (*OVERRIDES, "recipe")}
    if dry_run:
        with teller(quiet) as told:
            told.line("trying two steps at each size")
            found = estimate(recipe=settings, checkpoint=checkpoint, **how)
        text = as_text(found, *map(readable, (*names, outputs.name)))
        click.echo(text, err=outputs.picture == PIPE)
        return
    with watched(settings, outputs, checkpoint, quiet=quiet) as watch:
        watch.result = stylize(
            recipe=settings, checkpoint=checkpoint, keep=outputs.kept, callback=watch.callback, log=watch.told.line, **how
        )


def standing(checkpoint: Path) -> str:
    """What is said of a file that a checkpoint would replace."""
    try:
        run_checkpoint.load(checkpoint)
    except InputError as error:
        return f"{error}; it is there already: name another file, or use --force to overwrite it"
    name = readable(checkpoint)
    return f"{name} is there already; `isostyle resume {name}` goes on from it, --force begins anew"
