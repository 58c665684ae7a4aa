"""`isostyle apply` and `isostyle styles`: pictures, folders and videos through a style network."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from isostyle.errors import EXIT_INTERRUPTED, InputError, IsostyleError, shown
from isostyle.progress import live_bar, on_terminal, readable, say

if TYPE_CHECKING:
    from PIL.Image import Image

    from isostyle.apply_plan import Job
    from isostyle.applying import Applier
    from isostyle.cli import Interrupt

#: Beside the outputs of several inputs; one output has OUT.json.
MANIFEST = "manifest.json"
#: Without a terminal, a line is printed whenever another tenth of a video or of a large picture is done, not too often.
TENTHS = 10
SECONDS_BETWEEN_LINES = 2.0
#: Names of pictures that failed which the last line repeats.
NAMED = 5


@click.command(short_help="Paint pictures and videos with a style network, in one pass.")
@click.argument("style")
@click.argument("pictures", nargs=-1, required=True, metavar="PICTURE...")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    metavar="OUT",
    help="A file for one PICTURE, its suffix says the format; a folder for several, made if it is not there "
    "[default, of one: ./PICTURE-STYLE.png, of a video its own suffix].",
)
@click.option(
    "--long-side",
    type=int,
    metavar="N",
    help="Shrink pictures whose longer side has more pixels [default: all keep their size].",
)
@click.option(
    "--format", "kind", metavar="SUFFIX", help="Of the pictures in a folder: png, jpg, webp, ... [default: as each was]."
)
@click.option(
    "--quality", type=click.IntRange(1, 100), default=95, show_default=True, metavar="N", help="Of JPEG and WebP, 1 to 100."
)
@click.option(
    "--backend",
    default="auto",
    show_default=True,
    metavar="NAME",
    help="torch, mxnet, paddle, or auto: the first of torch, paddle, mxnet that is installed.",
)
@click.option(
    "--device",
    default="auto",
    show_default=True,
    metavar="NAME",
    help="cpu, cuda, cuda:1, ...; auto takes a GPU if the framework sees one.",
)
@click.option("--threads", type=int, metavar="N", help="CPU threads [default: OMP_NUM_THREADS, or all cores].")
@click.option(
    "--tile",
    default="auto",
    show_default=True,
    metavar="N",
    help="Side of a tile in pixels; off; or auto: large pictures in tiles, to the same numbers up to rounding.",
)
@click.option("--max-memory", metavar="SIZE", help="Of the whole program, as 4GiB [default: nine tenths of what is free].")
@click.option("--skip-existing", is_flag=True, help="Leave out what has an output already: go on where a folder was left.")
@click.option("--force", is_flag=True, help="Overwrite outputs that exist.")
@click.option("--quiet", is_flag=True, help="Print nothing but errors.")
def apply(
    style: str,
    pictures: tuple[str, ...],
    output: Path | None,
    kind: str | None,
    quality: int,
    skip_existing: bool,
    force: bool,
    quiet: bool,
    **options: Any,
) -> None:
    """Paint PICTURE in the style that the network STYLE was trained for: one pass, and no optimisation.

    \b
      isostyle apply oil photo.jpg                                ./photo-oil.png
      isostyle apply my.safetensors photo.jpg -o out.jpg --backend paddle
      isostyle apply glass holiday/ -o painted/                   every picture of a folder
      isostyle apply glass 'holiday/*.jpg' more/*.png -o painted/ --long-side 1600
      isostyle apply engraving film.mp4 -o painted.mp4            a video, with its sound

    STYLE is a .safetensors file that `isostyle train` wrote, or a name that `isostyle styles` lists.
    PICTURE is a picture, a video (.mp4, .m4v, .mov, .mkv, .avi, .webm; needs ffmpeg), a folder, which stands for the
    pictures in it, or a pattern; a .gif is its first picture. The network is loaded once, and the next picture is read
    while one is computed.

    Beside the output goes a manifest, OUT.json, or OUT/manifest.json of several: digests, sizes, versions, time.
    --skip-existing goes on with a folder that was interrupted.

    Exit codes: 0 done; 1 some failed (each is named; the others are done); 2 the input cannot be used, and nothing was written;
    130 stopped by Ctrl-C (what is done is kept).
    """
    from isostyle import apply_plan, style_network, video
    from isostyle.applying import Applier
    from isostyle.cli import interruptible, make_folder
    from isostyle.files import check_outputs, write_atomically
    from isostyle.registry import BackendMissing

    found = style_network.find(style)
    sources, several = apply_plan.expand(pictures)
    suffix = suffix_of(kind)
    ffmpeg = video.find_ffmpeg() if any(map(video.is_video, sources)) else None
    jobs, manifest, folder = plan(sources, several, output, Path(style).stem, suffix)
    if not several and kind is not None and jobs[0].output.suffix.lower() != suffix:
        raise InputError("--format is for the pictures in a folder; one file's format is its suffix")
    if skip_existing:
        if force:
            raise InputError("--skip-existing keeps what --force overwrites: leave one of the two out")
        count = len(jobs)
        jobs = [job for job in jobs if not job.output.exists()]
        if not quiet and len(jobs) < count:
            click.echo(f"{count - len(jobs)} of {count} are there already", err=True)
        if not jobs:
            return
    # Of what was done before, as far as it is to be kept.
    earlier = rows_of(manifest, found.digest) if skip_existing else []
    made = make_folder(folder) if folder is not None else False
    worked = False
    try:
        given = [*sources, *([Path(style)] if style.endswith(style_network.SUFFIX) else [])]
        check_outputs([manifest], given, force=force or skip_existing)
        check_outputs([job.output for job in jobs], [*given, manifest], force=force)
        with interruptible(terminable=True) as interrupt, meter(len(jobs), quiet) as told:
            try:
                applier = Applier(found, log=told.line, **options)
            except BackendMissing:
                # Ctrl-C while a framework is imported can come out as an ImportError of the framework.
                if interrupt.seen:
                    raise interrupt.error from None
                raise
            work = Work(applier, jobs, several, quality, ffmpeg, interrupt, told, earlier)
            began = time.monotonic()
            try:
                work.run()
            finally:
                worked = bool(work.done)
                interrupt.ignore()
                if work.done or (several and work.failed):
                    write_atomically(manifest, (json.dumps(work.manifest(), indent=1) + "\n").encode())
                    worked = True
    except KeyboardInterrupt:
        if not worked:
            raise
        click.echo(f"isostyle: interrupted; {work.count()} done, manifest in {str(manifest)!r}", err=True)
        raise click.exceptions.Exit(EXIT_INTERRUPTED) from None
    finally:
        if made and not worked and folder is not None:
            with contextlib.suppress(OSError):
                folder.rmdir()
    if not quiet:
        what = f"{work.count()} to {readable(folder)}" if several and folder else readable(jobs[0].output)
        click.echo(f"wrote {what}: {time.monotonic() - began:.1f} s; manifest in {readable(manifest)}")
    if work.failed:
        names = ", ".join(repr(str(row["path"])) for row in work.failed[:NAMED])
        more = f" and {len(work.failed) - NAMED} more" if len(work.failed) > NAMED else ""
        raise IsostyleError(f"{len(work.failed)} of {len(jobs)} failed, as said above: {names}{more}")


@click.command(short_help="List the style networks that ship with isostyle, or say what files are.")
@click.argument("files", nargs=-1, metavar="[FILE]...")
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
def styles(files: tuple[str, ...], as_json: bool) -> None:
    """List the style networks that ship with isostyle, or those in FILES: size, recipe and steps of the training, digest of
    the numbers.

    \b
      isostyle styles
      isostyle styles my.safetensors             what is this one?
      isostyle apply oil photo.jpg
      isostyle train painting.jpg photos/        one of your own
    """
    from isostyle import style_network
    from isostyle.files import read_input

    rows: list[dict[str, Any]] = []
    named = {name: read_input(Path(name)) for name in files}
    for name, data in (named or {name: file.read_bytes() for name, file in style_network.shipped().items()}).items():
        style = style_network.parse(data, name)
        recipe = style.training.get("recipe")
        losses = recipe.get("losses") if isinstance(recipe, dict) else None
        rows.append(
            {
                "name": name,
                "style": style.name,
                "bytes": len(data),
                **dataclasses.asdict(style.network),
                "recipe": losses.get("name") if isinstance(losses, dict) else None,
                "steps": style.training.get("steps"),
                "parameters_sha256": style.digest,
            }
        )
    if as_json:
        click.echo(json.dumps(rows, indent=1))
        return
    if not rows:
        click.echo("none ship with this installation; `isostyle train` makes one", err=True)
    for row in rows:
        widths = "-".join(map(str, row["widths"]))
        click.echo(
            f"{row['name']:<16} {row['bytes'] / 1e3:.0f} kB, channels {widths}, {row['blocks']} blocks; "
            f"recipe {row['recipe'] or '?'}, {row['steps'] or '?'} steps; sha256 {row['parameters_sha256'][:16]}"
        )


def suffix_of(kind: str | None) -> str | None:
    """``.jpg`` of ``jpg`` or ``.jpg``.

    Raises:
        InputError: no picture can be written in it.
    """
    from isostyle import apply_plan

    if kind is None:
        return None
    suffix = f".{kind.removeprefix('.').lower()}"
    if not apply_plan.writable(suffix):
        raise InputError(f"--format {shown(kind)} is not a picture format that can be written (png, jpg, webp, tiff, ...)")
    return suffix


def plan(
    sources: list[Path], several: bool, output: Path | None, style: str, suffix: str | None
) -> tuple[list[Job], Path, Path | None]:
    """What is to be done, where the manifest goes, and the folder, if the outputs go to one.

    Raises:
        InputError: OUT is a file and should be a folder, or has a suffix that cannot be written.
    """
    from isostyle import apply_plan, video
    from isostyle.cli import check_format

    source = sources[0]
    if several or (output is not None and (output.is_dir() or not output.suffix)):
        if output is None:
            raise InputError("several pictures need a folder to go to: -o FOLDER")
        if several and not output.is_dir() and (apply_plan.is_picture(output) or video.is_video(output)):
            raise InputError(f"{str(output)!r} looks like a file, and several pictures need a folder")
        if output.exists() and not output.is_dir():
            raise InputError(f"{str(output)!r} is a file; name a folder")
        jobs = apply_plan.plan(sources, output, suffix)
        return jobs, output / MANIFEST if several else jobs[0].output.with_suffix(".json"), output
    if output is None:
        kind = source.suffix.lower() if video.is_video(source) else suffix or apply_plan.USUAL_FORMAT
        output = Path(f"{source.stem}-{style}{kind}")
    if not video.is_video(source):
        check_format(output)
    elif not video.is_video(output):
        raise InputError(f"{str(output)!r} is no video's name; a video becomes {', '.join(video.CONTAINERS)}")
    return [apply_plan.Job(source, output)], output.with_suffix(".json"), None


class Work:
    """All that `apply` does with its inputs, one after another."""

    def __init__(
        self,
        applier: Applier,
        jobs: list[Job],
        several: bool,
        quality: int,
        ffmpeg: str | None,
        interrupt: Interrupt,
        told: Meter,
        earlier: list[dict[str, Any]],
    ) -> None:
        self.applier = applier
        self.jobs = jobs
        self.several = several
        self.quality = quality
        self.ffmpeg = ffmpeg
        self.interrupt = interrupt
        self.told = told
        self.earlier = earlier
        #: Rows of the manifest.
        self.done: list[dict[str, Any]] = []
        self.failed: list[dict[str, str]] = []

    def run(self) -> None:
        """Raises what is wrong with the only input; of several, it is told, and the others go on."""
        from isostyle.ahead import ahead
        from isostyle.files import reason

        with contextlib.closing(ahead(partial(self.read, job) for job in self.jobs)) as waiting:
            for job, read in zip(self.jobs, waiting, strict=True):
                self.told.begin(job.source)
                try:
                    found = read.result()
                    row = self.video(job) if found is None else self.picture(job, *found)
                    del found
                except (IsostyleError, OSError, ValueError, MemoryError) as error:
                    self.stop_if_asked()
                    if not self.several:
                        raise
                    why = "out of memory" if isinstance(error, MemoryError) else reason(error)
                    self.failed.append({"path": str(job.source), "error": why})
                    self.told.line(f"FAILED {readable(job.source)}: {why}")
                    self.told.end()
                    continue
                self.done.append(row)
                self.told.end(f"{readable(job.source)} -> {readable(job.output)}", row)
                self.stop_if_asked()

    def stop_if_asked(self) -> None:
        if self.interrupt.seen:
            raise self.interrupt.error

    def step(self, share: float) -> None:
        self.stop_if_asked()
        self.told.part(share)

    def read(self, job: Job) -> tuple[Image, dict[str, Any]] | None:
        """A decoded picture, and what a manifest says of it; None for a video, which ffmpeg reads."""
        from isostyle.api import describe, read_picture

        if job.is_video:
            return None
        picture, digest = read_picture(job.source, "the picture")
        return picture, describe(job.source, picture, digest)

    def picture(self, job: Job, picture: Image, described: dict[str, Any]) -> dict[str, Any]:
        from isostyle.cli import save

        made = self.applier(picture, self.step)
        save(made.picture, job.output, self.quality)
        return {"input": described, "output": {"path": str(job.output), **made.about}}

    def video(self, job: Job) -> dict[str, Any]:
        from isostyle import video
        from isostyle.files import file_sha256

        assert self.ffmpeg is not None
        source = video.probe(self.ffmpeg, job.source)
        about: dict[str, Any] = {}

        def change(frame: Image) -> Image:
            self.stop_if_asked()
            made = self.applier(frame)
            if not about:
                size = made.picture.height, made.picture.width
                pixels = video.pixel_format(size)
                odd = ", for its sides are not even (some players have only 4:2:0)" if pixels == "yuv444p" else ""
                rate = f"{float(source.rate):g} frames a second"
                self.told.line(f"{readable(job.source)}: {size[0]}x{size[1]} (height x width), {rate}, {pixels}{odd}")
            about.update({key: made.about[key] for key in ("tile", "estimated_memory_bytes")})
            return made.picture

        began = time.monotonic()
        made = video.convert(
            self.ffmpeg,
            source,
            job.output,
            change,
            lambda count: self.step(min(1.0, count / source.frames) if source.frames else 0),
        )
        if made.complaint:
            self.told.line(f"{readable(job.source)}: {made.complaint}; {made.frames} frames were read")
        return {
            "input": {
                "path": str(job.source),
                "file_sha256": file_sha256(job.source),
                "size": [source.height, source.width],
                "rate": str(source.rate),
            },
            "output": {
                "path": str(job.output),
                "file_sha256": file_sha256(job.output),
                "size": [made.height, made.width],
                "frames": made.frames,
                "seconds": round(time.monotonic() - began, 3),
                **about,
            },
        }

    def count(self) -> str:
        return f"{len(self.done)} of {len(self.jobs)}"

    def manifest(self) -> dict[str, Any]:
        """Of one input as :func:`isostyle.apply` has it; of several, their rows in order, and those that failed."""
        from isostyle import memory

        about = {**self.applier.about, "peak_memory_bytes": memory.peak()}
        if not self.several:
            return {**about, **self.done[0]}
        return {**about, "pictures": [*self.earlier, *self.done], "failed": self.failed}


def rows_of(manifest: Path, digest: str) -> list[dict[str, Any]]:
    """The pictures that an earlier manifest tells of, made by the network of that digest, and that are still there."""
    try:
        table = json.loads(manifest.read_bytes())
        if table["style"]["parameters_sha256"] != digest:
            return []
        return [row for row in table["pictures"] if Path(row["output"]["path"]).exists()]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return []


class Meter:
    """What is told of the work: lines on stderr, one for each input."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.number = 0
        self.began: float | None = None
        self.source = Path()
        self.tenth, self.told = 0, 0.0

    def line(self, text: str) -> None:
        say(text)

    def begin(self, source: Path) -> None:
        self.source, self.tenth, self.told = source, 0, time.monotonic()
        self.began = self.began or self.told

    def part(self, share: float) -> None:
        """So much of the input is done."""
        tenth = int(TENTHS * share)
        if tenth > self.tenth and share < 1 and time.monotonic() - self.told > SECONDS_BETWEEN_LINES:
            self.tenth, self.told = tenth, time.monotonic()
            self.line(f"{readable(self.source)}: {100 // TENTHS * tenth} %{self.eta(self.number + share)}")

    def end(self, what: str | None = None, row: dict[str, Any] | None = None) -> None:
        """An input is done, or given up."""
        self.number += 1
        if what is not None and row is not None:
            height, width = row["output"]["size"]
            seconds = row["output"]["seconds"]
            self.line(f"{self.number}/{self.total}  {what}  {height}x{width}  {seconds:.2f} s{self.eta(self.number)}")

    def eta(self, done: float) -> str:
        left = (time.monotonic() - (self.began or 0)) / done * (self.total - done) if done else 0
        return f"  eta {left:.0f} s" if left > 0 else ""


class Bar(Meter):
    """A progress bar on a terminal, with the time left."""

    def __init__(self, total: int, live: Any) -> None:
        super().__init__(total)
        self.live = live
        self.task = live.add_task("", total=total, name="")

    def line(self, text: str) -> None:
        self.live.console.print(text, highlight=False, markup=False)

    def begin(self, source: Path) -> None:
        self.live.update(self.task, name=readable(source))

    def part(self, share: float) -> None:
        self.live.update(self.task, completed=self.number + share)

    def end(self, what: str | None = None, row: dict[str, Any] | None = None) -> None:
        self.number += 1
        self.live.update(self.task, completed=self.number)


class Silence(Meter):
    """``--quiet``: what failed is an error, and so is told."""

    def line(self, text: str) -> None:
        if text.startswith("FAILED"):
            super().line(text)


@contextlib.contextmanager
def meter(total: int, quiet: bool) -> Iterator[Meter]:
    """The one that fits: silent, a bar on a terminal, lines elsewhere."""
    if quiet:
        yield Silence(total)
    elif not on_terminal():
        yield Meter(total)
    else:
        with live_bar("name", width=20) as live:
            yield Bar(total, live)
