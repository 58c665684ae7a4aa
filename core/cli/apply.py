"""`isostyle apply`: pictures, folders and videos through a style network."""

from __future__ import annotations

import contextlib
import json
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import rich_click as click
from click.exceptions import Exit
from PIL.Image import Image

from isostyle.cli import apply_plan
from isostyle.cli import options as shared
from isostyle.cli.apply_plan import ApplyPlan, Job
from isostyle.cli.help import Command
from isostyle.cli.interrupts import Interrupt, interruptible
from isostyle.cli.options import FIRST, PICTURE, SPEED, SURVIVING, flag, option, taken_from
from isostyle.cli.outputs import deliver, output_folder, said_in
from isostyle.cli.pipes import PIPE, FileOrPipe, read_stdin
from isostyle.cli.progress import Teller, readable, teller
from isostyle.errors import InputError, IsostyleError
from isostyle.images import decode
from isostyle.images.colors import KINDS
from isostyle.images.decode import PictureIn, describe, read_picture
from isostyle.images.encode import KeptElsewhere, keeps_alpha
from isostyle.images.options import KEEP
from isostyle.images.suffixes import format_of
from isostyle.images.transparency import on_white
from isostyle.style_networks import file as style_network
from isostyle.style_networks import video
from isostyle.style_networks.apply import Applier
from isostyle.style_networks.video import Video
from isostyle.system import memory
from isostyle.system.files import check_outputs, file_sha256, reason, write_atomically
from isostyle.system.prefetch import ahead

#: Without a terminal, a line is printed whenever another tenth of a video or of a large picture is done, not too often.
TENTHS = 10
SECONDS_BETWEEN_LINES = 2.0


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
@shared.recursive_option(FIRST)
@option(FIRST, "--long-side", "N", "Shrink pictures whose longer side has more pixels [default: none is shrunk].", type=int)
@option(
    FIRST, "--strength", "X", "0 is the photograph, 1 what the network paints; between them, mixed.", type=float, default=1.0
)
@option(FIRST, "--stroke-size", "X", "How large strokes are, from 0.25 to 4.", type=float, default=1.0)
@option(
    FIRST,
    "--keep-colors",
    "KIND",
    "The picture's: luminance, its chrominance in what is painted; histogram, its channels' histograms.",
    type=click.Choice(KINDS),
)
@shared.STYLE_BACKEND
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
      isostyle apply wave photo.jpg                     ./photo-wave.png
      isostyle apply my.safetensors photo.jpg -o out.jpg --backend paddle
      isostyle apply mosaic holiday/ -o painted/        every picture of a folder
      isostyle apply wave photo.jpg --strength 0.6      less of the style
      isostyle apply wave photo.jpg --keep-colors luminance
      isostyle apply scream 'holiday/*.jpg' more/*.png -o painted/ --long-side 1600
      isostyle apply ink film.mp4 -o painted.mp4        a video, with its sound and subtitles
      fetch | isostyle apply wave - -o - --format jpg | show

    STYLE is a .safetensors file that `isostyle train` wrote, a .pth of pytorch/examples (fast_neural_style), or a name that
    `isostyle styles` lists.
    PICTURE is a picture, a video (.mp4, .m4v, .mov, .mkv, .avi, .webm; needs ffmpeg), a folder, which stands for the
    pictures in it (not for videos, which may take hours), or a pattern; what a folder or a pattern leaves out is said in a
    line. A .gif is its first picture. The network is loaded once, and the next picture is read while one is computed. - is
    standard input. Names that begin with a dash go behind --, after the options.

    Beside the output goes a manifest, OUT.json, or OUT/manifest.json of several: digests, sizes, versions, time.
    --skip-existing goes on with a folder that was interrupted.

    Exit codes: 0 done; 1 some failed (each is named; the others are done); 2 the input cannot be used, and nothing was written;
    130 or 143 stopped by Ctrl-C or SIGTERM (what is done is kept).
    """
    if (skip_existing := options.pop("skip_existing")) and force:
        raise InputError("--skip-existing keeps what --force overwrites: leave one of the two out")
    network = style_network.find(style)
    how = taken_from(options)
    kind, manifest, recursive = options.pop("kind"), options.pop("manifest"), options.pop("recursive")
    plan = apply_plan.plan(pictures, output, style_network.called(style), kind, manifest, how, recursive=recursive)
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
    with output_folder(plan.folder, {job.output.parent for job in plan.jobs}), teller(quiet) as told:
        for line in plan.lines:
            told.line(line)
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
    given = [style_network.source(style), *(job.source for job in plan.jobs if job.source != PIPE)]
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


class Work:
    """All that `apply` does with its inputs."""

    def __init__(self, applier: Applier, plan: ApplyPlan, ffmpeg: str | None, interrupt: Interrupt, told: Teller) -> None:
        self.applier, self.plan, self.ffmpeg, self.interrupt, self.told = applier, plan, ffmpeg, interrupt, told
        self.began = time.monotonic()
        #: Rows of the manifest.
        self.done: list[dict[str, Any]] = []
        self.failed: list[dict[str, str]] = []
        #: Which input's turn it is, how many of its tenths were told, and when.
        self.number, self.name, self.tenth, self.told_at = 0, "", 0, 0.0

    def run(self) -> None:
        """Raises what is wrong with the only input; of several, it is told, and the others go on."""
        jobs = self.plan.jobs
        self.told.eta(0, len(jobs))
        with contextlib.closing(ahead(partial(self.read, job) for job in jobs)) as waiting:
            for self.number, (job, read) in enumerate(zip(jobs, waiting, strict=True)):
                self.name, self.tenth, self.told_at = readable(job.source), 0, time.monotonic()
                self.bar(self.number)
                try:
                    found = read.result()
                    row = self.video(job) if found is None else self.picture(job, *found)
                    del found
                except KeptElsewhere as error:
                    # What one cannot be written to, the next cannot, either.
                    count = f"; {self.count()} are done, and --skip-existing goes on" if self.plan.several else ""
                    raise IsostyleError(f"{error}{count}") from error
                except (IsostyleError, OSError, ValueError, MemoryError) as error:
                    self.interrupt.heed()
                    if not self.plan.several:
                        raise
                    self.fail(job.source, "out of memory" if isinstance(error, MemoryError) else reason(error))
                    self.bar(self.number + 1)
                else:
                    self.done.append(row)
                    self.end(job, row)
                    self.interrupt.heed()

    def bar(self, done: float) -> bool:
        """Move the bar; False if there is none, and a line may be due."""
        return self.told.bar(done, len(self.plan.jobs), self.name)

    def step(self, share: float) -> None:
        self.interrupt.heed()
        done, tenth, now = self.number + share, int(TENTHS * share), time.monotonic()
        if not self.bar(done) and self.tenth < tenth < TENTHS and now - self.told_at > SECONDS_BETWEEN_LINES:
            self.tenth, self.told_at = tenth, now
            self.told.line(f"{self.name}: {100 // TENTHS * tenth} %{self.told.eta(done, len(self.plan.jobs))}")

    def end(self, job: Job, row: dict[str, Any]) -> None:
        number, total = self.number + 1, len(self.plan.jobs)
        if not self.bar(number):
            (height, width), seconds = row["output"]["size"], row["output"]["seconds"]
            what = f"{self.name} -> {readable(job.output)}  {height}x{width}  {seconds:.2f} s{self.told.eta(number, total)}"
            self.told.line(f"{number}/{total}  {what}")

    def fail(self, path: Path, why: str) -> None:
        """Tell of an input that cannot be painted, or of a file that cannot be written."""
        self.failed.append({"path": str(path), "error": why})
        self.told.failure(f"FAILED {readable(path)}: {why}")

    def read(self, job: Job) -> tuple[PictureIn, dict[str, Any]] | None:
        """A decoded picture, and what a manifest says of it; None for a video, which ffmpeg reads."""
        if job.is_video:
            return None
        source = read_stdin() if job.source == PIPE else job.source
        picture, digest = read_picture(source, "the picture")
        return picture, describe(source, picture.pixels, digest, picture.alpha)

    def picture(self, job: Job, picture: PictureIn, described: dict[str, Any]) -> dict[str, Any]:
        """Paint a picture: its row in the manifest."""
        for line in picture.lines:
            self.told.line(line)
        assert job.outputs is not None
        made = self.applier(picture, self.step)
        suffix, options = job.outputs.suffix, job.outputs.options
        if picture.alpha is not None and options.alpha == KEEP and not keeps_alpha(format_of(suffix), options):
            self.told.line(f"{self.name}: its transparency is laid on white, since {suffix} is written without any")
        deliver(made.finished, job.outputs)
        return {"input": described, "output": {**job.outputs.described, **made.manifest["output"]}}

    def video(self, job: Job) -> dict[str, Any]:
        """Paint a video: its row in the manifest."""
        assert self.ffmpeg is not None
        source = video.probe(self.ffmpeg, job.source)
        for line in video.changes(source, job.output):
            self.told.line(f"{self.name}: {line}")
        about: dict[str, Any] = {}

        def change(frame: Image) -> Image:
            self.interrupt.heed()
            made = self.applier(decode.frame(frame))
            if not about:
                self.told.line(f"{self.name}: {described(source, made.picture)}")
            about.update({key: made.manifest["output"][key] for key in ("tile", "estimated_memory_bytes")})
            return on_white(made.picture, made.finished.alpha)

        def progress(count: int) -> None:
            self.step(min(1.0, count / source.frames) if source.frames else 0)

        began = time.monotonic()
        made = video.convert(self.ffmpeg, source, job.output, change, progress)
        if made.complaint:
            self.told.line(f"{self.name}: {made.complaint}; {made.frames} frames were read")
        if made.lost_subtitles:
            self.told.line(f"{self.name}: some of its subtitles cannot be read, and are left out; are they UTF-8?")
        given = {"size": [source.height, source.width], "rate": str(source.rate)}
        seconds = round(time.monotonic() - began, 3)
        written = {"size": [made.height, made.width], "frames": made.frames, "seconds": seconds, **about}
        return {"input": {**named(job.source), **given}, "output": {**named(job.output), **written}}

    def count(self) -> str:
        return f"{len(self.done)} of {len(self.plan.jobs)}"

    @property
    def manifest(self) -> Path | None:
        """Where the manifest goes; nowhere if there is nothing to tell of: the failure of the only input is an error."""
        return self.plan.manifest if self.done or (self.plan.several and self.failed) else None

    def write_manifest(self, earlier: list[dict[str, Any]]) -> None:
        """Write what :func:`isostyle.apply` says of one input; of several, their rows, behind the ``earlier`` ones, and those
        that failed. A manifest that cannot be written is told and not raised: what ended the work is more than this."""
        if self.manifest is None:
            return
        about = {**self.applier.about, "peak_memory_bytes": memory.peak()}
        rows = {"pictures": [*earlier, *self.done], "failed": self.failed} if self.plan.several else self.done[0]
        try:
            write_atomically(self.manifest, (json.dumps({**about, **rows}, indent=1) + "\n").encode())
        except OSError as error:
            self.fail(self.manifest, f"the manifest cannot be written: {reason(error)}")


def described(source: Video, frame: Image) -> str:
    """What a video becomes whose frames are as this one."""
    pixels = video.pixel_format((frame.height, frame.width))
    odd = ", for its sides are not even (some players have only 4:2:0)" if pixels == "yuv444p" else ""
    return f"{frame.height}x{frame.width} (height x width), {float(source.rate):g} frames a second, {pixels}{odd}"


def named(path: Path) -> dict[str, str]:
    """What a manifest says of a video's file."""
    return {"path": str(path), "file_sha256": file_sha256(path)}


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
