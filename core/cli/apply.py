"""`isostyle apply`: pictures, folders and videos through a style network."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import rich_click as click
from click.exceptions import Exit

from isostyle.cli import apply_plan
from isostyle.cli import options as shared
from isostyle.cli.apply_plan import ApplyPlan
from isostyle.cli.apply_work import Work
from isostyle.cli.help import Command
from isostyle.cli.interrupts import interruptible
from isostyle.cli.options import FIRST, PICTURE, SPEED, SURVIVING, flag, option, taken_from
from isostyle.cli.outputs import output_folder, said_in
from isostyle.cli.pipes import PIPE, FileOrPipe
from isostyle.cli.progress import readable, teller
from isostyle.errors import InputError, IsostyleError
from isostyle.style_networks import file as style_network
from isostyle.style_networks import video
from isostyle.style_networks.apply import Applier
from isostyle.system.files import check_outputs


@click.command(cls=Command)
@click.argument("style")
@click.argument("pictures", nargs=-1, required=True, metavar="PICTURE...")
@option(
    FIRST,
    "-o --output",
    "OUT",
    "A file for one PICTURE, its suffix says the format; - is standard output; a folder for several, made if it is not there "
    "[default, of one: ./PICTURE-STYLE.png, of a video its own suffix].",
    type=FileOrPipe(),
)
@option(FIRST, "--long-side", "N", "Shrink pictures whose longer side has more pixels [default: none is shrunk].", type=int)
@shared.BACKEND
@option(
    PICTURE, "--format kind", "SUFFIX", "In a folder, and with -o -: png, jpg, webp, ... [default: as it was; of -o -, png]."
)
@shared.encoding_options
@shared.MANIFEST
@shared.DEVICE
@shared.THREADS
@option(
    SPEED,
    "--tile",
    "N",
    "Side of a tile in pixels; off; or auto: large pictures in tiles, the same but for rounding.",
    default="auto",
)
@shared.MAX_MEMORY
@flag(SURVIVING, "--skip-existing", "Leave out what has an output already: go on where a folder was left.")
@shared.FORCE
@shared.QUIET
def apply(style: str, pictures: tuple[str, ...], output: Path | None, force: bool, quiet: bool, **options: Any) -> None:
    """Paint PICTURE in the style that the network STYLE was trained for: one pass, and no optimization.

    \b
    Examples:
      isostyle apply oil photo.jpg                      ./photo-oil.png
      isostyle apply my.safetensors photo.jpg -o out.jpg --backend paddle
      isostyle apply glass holiday/ -o painted/         every picture of a folder
      isostyle apply glass 'holiday/*.jpg' more/*.png -o painted/ --long-side 1600
      isostyle apply glass film.mp4 -o painted.mp4      a video, with its sound
      fetch | isostyle apply oil - -o - --format jpg | show

    STYLE is a .safetensors file that `isostyle train` wrote, or a name that `isostyle styles` lists.
    PICTURE is a picture, a video (.mp4, .m4v, .mov, .mkv, .avi, .webm; needs ffmpeg), a folder, which stands for the
    pictures in it, or a pattern; a .gif is its first picture. The network is loaded once, and the next picture is read
    while one is computed. - is standard input. Names that begin with a dash go behind --, after the options.

    Beside the output goes a manifest, OUT.json, or OUT/manifest.json of several: digests, sizes, versions, time.
    --skip-existing goes on with a folder that was interrupted.

    Exit codes: 0 done; 1 some failed (each is named; the others are done); 2 the input cannot be used, and nothing was written;
    130 or 143 stopped by Ctrl-C or SIGTERM (what is done is kept).
    """
    if (skip_existing := options.pop("skip_existing")) and force:
        raise InputError("--skip-existing keeps what --force overwrites: leave one of the two out")
    network = style_network.find(style)
    how = taken_from(options)
    plan = apply_plan.plan(pictures, output, Path(style).stem, options.pop("kind"), options.pop("manifest"), how)
    ffmpeg = video.find_ffmpeg() if any(job.is_video for job in plan.jobs) else None
    earlier: list[dict[str, Any]] = []
    if skip_existing:
        missing = [job for job in plan.jobs if job.output == PIPE or not job.output.exists()]
        if len(missing) < len(plan.jobs) and not quiet:
            click.echo(f"{len(plan.jobs) - len(missing)} of {len(plan.jobs)} are there already", err=True)
        if not missing:
            return
        plan = replace(plan, jobs=missing)
        earlier = rows_of(plan.manifest, network.digest)
    with output_folder(plan.folder), teller(quiet) as told:
        check(plan, style, force, skip_existing)
        with interruptible() as interrupt:
            applier = Applier(network, bits=how.bits, log=told.line, **options)
            work = Work(applier, plan, ffmpeg, interrupt, told)
            interrupt.waits = True
            try:
                work.run()
            except KeyboardInterrupt:
                pass
            finally:
                interrupt.ignored = True
                work.write_manifest(earlier)
    finish(work, quiet)
    if interrupt.seen:
        raise Exit(interrupt.exit_code)


def check(plan: ApplyPlan, style: str, force: bool, skip_existing: bool) -> None:
    """Raises InputError if an output cannot be written, or would take the place of an input, or of another file."""
    given = [Path(style), *(job.source for job in plan.jobs if job.source != PIPE)]
    manifest = [] if plan.manifest is None else [plan.manifest]
    instead = "use --skip-existing to go on, or --force to overwrite it" if plan.several else "use --force to overwrite it"
    check_outputs(manifest, given, force=force or skip_existing, instead=instead)
    outputs = [job.output for job in plan.jobs if job.output != PIPE]
    check_outputs(outputs, [*given, *manifest], force=force, instead=instead)


def rows_of(manifest: Path | None, digest: str) -> list[dict[str, Any]]:
    """The pictures that an earlier manifest tells of, made by the network of that digest, and that are still there."""
    told = said_in(manifest)
    try:
        rows = told["pictures"] if told["style"]["parameters_sha256"] == digest else []
        return [row for row in rows if Path(row["output"]["path"]).exists()]
    except (OSError, ValueError, KeyError, TypeError):
        return []


def finish(work: Work, quiet: bool) -> None:
    """Say what was made. Raises IsostyleError if some inputs failed, or the manifest was not written."""
    plan, place = work.plan, work.manifest
    job = plan.jobs[0]
    where = f"; manifest in {readable(place)}" if place else ""
    if work.interrupt.seen:
        click.echo(f"isostyle: interrupted; {work.count()} done{where}", err=True)
        return
    if not quiet:
        one = "standard output" if job.output == PIPE else readable(job.output)
        what = f"{work.count()} to {readable(plan.folder)}" if plan.several and plan.folder else one
        click.echo(f"wrote {what}: {time.monotonic() - work.began:.1f} s{where}", err=job.output == PIPE)
    if work.failed:
        raise IsostyleError(f"{len(work.failed)} of {len(plan.jobs)} failed, as said above")
