"""`isostyle rerun`: a run once more, from its manifest."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import rich_click as click

from isostyle.cli.help import Command
from isostyle.cli.options import FORCE, OUTPUT, QUIET, file_option, sources
from isostyle.cli.outputs import Outputs
from isostyle.cli.pipes import read_piped
from isostyle.cli.run_options import again_options
from isostyle.cli.watch import watched
from isostyle.errors import IsostyleError
from isostyle.images.options import options_of
from isostyle.system.files import check_outputs
from isostyle.transfer import manifest as manifests
from isostyle.transfer import rerun as rerunning

#: How much of a digest is shown.
DIGEST_SHOWN = 12


@click.command(cls=Command)
@click.argument("manifest", type=click.Path(path_type=Path))
@again_options
@file_option(OUTPUT, "-o --output", "Write the picture, too, in the way that it was written [default: only compare].")
@FORCE
@QUIET
def rerun(manifest: Path, output: Path | None, force: bool, quiet: bool, **options: Any) -> None:
    """Repeat the run that MANIFEST, the .json beside a picture, tells of, and say whether the same came out.

    \b
    Example:
      isostyle run photo.jpg painting.jpg -o out.png
      isostyle rerun out.json

    bit-identical: the same numbers, to the last bit; that is promised for the same framework, version, kind of device and
    number of threads. within bounds: the final total is within 5 %. different: it is not, or the pictures, weights or recipe
    are others. Below that stands what is no longer as it was. With --quiet, only the verdict is printed.

    Exit codes: 0 bit-identical or within bounds; 1 different, or the run failed; 2 the input cannot be used.
    """
    then = manifests.load(manifest)
    outputs = None if output is None else Outputs(output, options_of(then.get("output")))
    if outputs is not None:
        used = (Path(about["path"]) for about in then["inputs"].values() if isinstance(about.get("path"), str))
        check_outputs(outputs.files, [manifest, *sources(options), *used], force=force)
    read_piped(options)
    with watched(manifests.recipe_of(then), outputs, quiet=quiet) as watch:
        found = rerunning.rerun(manifest, callback=watch.callback, log=watch.told.line, **options)
        watch.result = found.result
    if watch.problem is not None:
        raise watch.problem
    before, after = (told["losses"]["last"]["total"] for told in (then, found.result.manifest))
    click.echo(f"{found.verdict}: final total {before:.6g} then, {after:.6g} now ({100 * found.apart:.2g} % apart)")
    for name, (was, now) in found.changed.items():
        click.echo(f"  {name}: {short(was)} then, {short(now)} now")
    if found.verdict == "different":
        raise IsostyleError("the result is not what it was")


def short(value: Any) -> str:
    text = str(value)
    is_digest = len(text) == 64 and text.isalnum()
    return text[:DIGEST_SHOWN] if is_digest else text if text.isprintable() else repr(text)
