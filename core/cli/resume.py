"""`isostyle resume`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import rich_click as click

from isostyle.cli.help import Command
from isostyle.cli.options import FORCE, MAX_MEMORY, OUTPUT, QUIET, pipe_option, sources
from isostyle.cli.outputs import Outputs, is_unfinished, manifests_of, said_in
from isostyle.cli.pipes import PIPE, read_piped
from isostyle.cli.run_options import again_options
from isostyle.cli.watch import watched
from isostyle.errors import InputError
from isostyle.images.options import options_of
from isostyle.system.files import check_outputs
from isostyle.transfer import checkpoint as run_checkpoint
from isostyle.transfer import stylize


@click.command(cls=Command)
@click.argument("checkpoint", type=click.Path(path_type=Path))
@again_options
@MAX_MEMORY
@pipe_option(OUTPUT, "-o --output", "The picture [default: where it was to go].")
@FORCE
@QUIET
def resume(checkpoint: Path, output: Path | None, force: bool, quiet: bool, **options: Any) -> None:
    """Go on with a run that `isostyle run --checkpoint CHECKPOINT` began.

    \b
    Example:
      isostyle run photo.jpg painting.jpg --checkpoint run.ckpt
      isostyle resume run.ckpt

    With the same framework, version, device and number of threads it ends with the same bits as if it had never stopped. All
    settings are in the checkpoint; the pictures must be where they were, or be named. What the run has left of itself is
    overwritten without --force.
    """
    found = run_checkpoint.load(checkpoint)
    kept = found.settings["kept"]
    places = {name: Path(kept[name]) for name in ("picture", "manifest", "history", "plot") if kept.get(name)}
    before = places.pop("picture", None)
    picture = output or before
    if picture is None:
        raise InputError(f"{str(checkpoint)!r} was not written by `isostyle run`; name the picture with -o")
    if before not in (None, PIPE) and places.get("manifest") in manifests_of(before):
        del places["manifest"]  # nobody named it: it goes with the picture
    kind = kept.get("format") if picture == PIPE else None
    written = options_of(kept.get("picture_options"))
    outputs = Outputs(picture, written, kind, save_every=kept.get("save_every"), **places)
    inputs = [checkpoint, *sources(options), *(Path(about["path"]) for about in found.inputs.values() if "path" in about)]
    own = is_unfinished(said_in(outputs.manifest), found.recipe)
    check_outputs(outputs.files, inputs, force=force or own)
    read_piped(options)
    with watched(found.recipe, outputs, checkpoint, quiet=quiet) as watch:
        watch.result = stylize.resume(checkpoint, callback=watch.callback, log=watch.told.line, **options)
