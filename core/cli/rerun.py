"""`isostyle rerun`: a run once more, from its manifest."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from isostyle.errors import IsostyleError

if TYPE_CHECKING:
    from isostyle.transfer.rerun import Rerun
    from isostyle.transfer.stylize import Result

#: Of a digest, as it is shown.
DIGEST_SHOWN = 12


@click.command(short_help="Repeat a run from its manifest, and say whether the same came out.")
@click.argument("manifest", type=click.Path(path_type=Path))
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write the picture, too, with the options that it was written with [default: it is only compared].",
)
@click.option("--content", type=click.Path(path_type=Path), metavar="FILE", help="Where the content image is, if it was moved.")
@click.option("--style", type=click.Path(path_type=Path), metavar="FILE", help="Likewise.")
@click.option("--init", type=click.Path(path_type=Path), metavar="FILE", help="Likewise, of a picture that the run began with.")
@click.option("--network", metavar="FILE", help="Likewise, of weights.")
@click.option("--backend", metavar="NAME", help="In place of the one that ran; then within bounds at best.")
@click.option("--device", metavar="NAME", help="Likewise.")
@click.option("--threads", type=int, metavar="N", help="Likewise.")
@click.option("--force", is_flag=True, help="Overwrite outputs that exist.")
@click.option("--quiet", is_flag=True, help="Print nothing but the verdict.")
def rerun(manifest: Path, output: Path | None, force: bool, quiet: bool, **options: Any) -> None:
    """Repeat the run that MANIFEST, the .json beside a picture, tells of, and say whether the same came out.

    \b
      isostyle run photo.jpg painting.jpg -o out.png
      isostyle rerun out.json

    bit-identical: the same numbers, to the last bit; that is promised for the same framework, version, kind of device and
    number of threads. within bounds: the final total is within 5 %. different: it is not, or the pictures, weights or recipe
    are others. Below that stands what is no longer as it was.

    Exit codes: 0 bit-identical or within bounds; 1 different, or the run failed; 2 the input cannot be used.
    """
    from isostyle.cli.outputs import outputs_of
    from isostyle.cli.produce import produce, watched
    from isostyle.images.options import options_of
    from isostyle.system.files import check_outputs
    from isostyle.transfer import manifest as manifests
    from isostyle.transfer import rerun as rerunning

    then = manifests.load(manifest)
    inputs = [manifest, *(Path(options[name]) for name in ("content", "style", "init", "network") if options[name])]
    inputs += [Path(about["path"]) for about in then["inputs"].values() if isinstance(about.get("path"), str)]
    outputs = None
    if output is not None:
        was = options_of(then.get("output"))
        outputs = outputs_of(output, None, was, manifest=None)
        check_outputs(outputs.files, inputs, force=force)
    found: list[Rerun] = []

    def make(**how: Any) -> Result:
        found.append(rerunning.rerun(manifest, **options, **how))
        return found[0].result

    recipe = manifests.recipe_of(then)
    if outputs is not None:
        produce(make, recipe, outputs, None, quiet=quiet)
    else:
        with watched(make, recipe, quiet=quiet) as (_, problem, _):
            if problem is not None:
                raise problem
    (told,) = found
    click.echo(
        f"{told.verdict}: final total {then['losses']['last']['total']:.6g} then, "
        f"{told.result.manifest['losses']['last']['total']:.6g} now ({100 * told.apart:.2g} % apart)"
    )
    for name, (was, now) in told.changed.items():
        click.echo(f"  {name}: {short(was)} then, {short(now)} now")
    if told.verdict == "different":
        raise IsostyleError("the result is not what it was")


def short(value: Any) -> str:
    text = str(value)
    is_digest = len(text) == 64 and text.isalnum()
    return text[:DIGEST_SHOWN] if is_digest else text if text.isprintable() else repr(text)
