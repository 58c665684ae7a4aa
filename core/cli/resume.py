"""`isostyle resume`."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from isostyle.cli.outputs import beside, outputs_of
from isostyle.cli.pipes import PIPE, FileOrPipe, piped
from isostyle.cli.produce import produce
from isostyle.errors import (
    InputError,
)

if TYPE_CHECKING:
    from isostyle.recipe import Recipe


@click.command(short_help="Go on with a run that was interrupted.")
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
    from isostyle.images.options import options_of
    from isostyle.system.files import check_outputs
    from isostyle.transfer import checkpoint as run_checkpoint
    from isostyle.transfer import stylize

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
    produce(partial(stylize.resume, checkpoint, **options), found.recipe, outputs, checkpoint, quiet=quiet)


def is_unfinished(manifest: Path, recipe: Recipe) -> bool:
    """Whether a manifest is that of a run of ``recipe`` that was stopped."""
    try:
        told = json.loads(manifest.read_bytes())
        return told["stopped_by"] is not None and told["recipe"]["digest"] == recipe.digest
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return False
