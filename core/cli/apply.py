"""`isostyle apply` and `isostyle styles`: pictures, folders and videos through a style network."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from isostyle.cli.options import picture_options, taken_from
from isostyle.cli.pipes import PIPE, FileOrPipe, stem
from isostyle.cli.progress import Teller, readable, teller
from isostyle.errors import InputError, IsostyleError, shown
from isostyle.images.options import PictureOptions

if TYPE_CHECKING:
    from PIL.Image import Image
    from rich.progress import Progress

    from isostyle.cli.apply_plan import Job
    from isostyle.cli.interrupts import Interrupt
    from isostyle.cli.outputs import Outputs
    from isostyle.images.decode import PictureIn
    from isostyle.style_networks.apply import Applier

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
    type=FileOrPipe(),
    metavar="OUT",
    help="A file for one PICTURE, its suffix says the format; - is standard output; a folder for several, made if it is not "
    "there [default, of one: ./PICTURE-STYLE.png, of a video its own suffix].",
)
@click.option(
    "--long-side",
    type=int,
    metavar="N",
    help="Shrink pictures whose longer side has more pixels [default: all keep their size].",
)
@click.option(
    "--format",
    "kind",
    metavar="SUFFIX",
    help="Of the pictures in a folder, and with -o -: png, jpg, webp, ... [default: as each was; of -o -, png].",
)
@picture_options
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
    manifest: Path | None,
    skip_existing: bool,
    force: bool,
    quiet: bool,
    **options: Any,
) -> None:
    """Paint PICTURE in the style that the network STYLE was trained for: one pass, and no optimization.

    \b
      isostyle apply oil photo.jpg                                ./photo-oil.png
      isostyle apply my.safetensors photo.jpg -o out.jpg --backend paddle
      isostyle apply glass holiday/ -o painted/                   every picture of a folder
      isostyle apply glass 'holiday/*.jpg' more/*.png -o painted/ --long-side 1600
      isostyle apply glass film.mp4 -o painted.mp4                a video, with its sound
      fetch | isostyle apply oil - -o - --format jpg | show

    STYLE is a .safetensors file that `isostyle train` wrote, or a name that `isostyle styles` lists.
    PICTURE is a picture, a video (.mp4, .m4v, .mov, .mkv, .avi, .webm; needs ffmpeg), a folder, which stands for the
    pictures in it, or a pattern; a .gif is its first picture. The network is loaded once, and the next picture is read
    while one is computed. - is standard input. Names that begin with a dash go behind --, after the options.

    Beside the output goes a manifest, OUT.json, or OUT/manifest.json of several: digests, sizes, versions, time.
    --skip-existing goes on with a folder that was interrupted.

    Exit codes: 0 done; 1 some failed (each is named; the others are done); 2 the input cannot be used, and nothing was written;
    130 stopped by Ctrl-C (what is done is kept).
    """
    from isostyle.cli import apply_plan
    from isostyle.cli.interrupts import interruptible
    from isostyle.cli.outputs import make_folder
    from isostyle.registry import BackendMissing
    from isostyle.style_networks import file as style_network
    from isostyle.style_networks import video
    from isostyle.style_networks.apply import Applier
    from isostyle.system.files import check_outputs, reason, write_atomically

    found = style_network.find(style)
    sources, several = apply_plan.expand(pictures)
    suffix = suffix_of(kind)
    how = taken_from(options)
    ffmpeg = video.find_ffmpeg() if any(map(video.is_video, sources)) else None
    options["bits"] = how.bits
    jobs, place, folder = plan(sources, several, output, Path(style).stem, suffix)
    outputs = checked(jobs, place if manifest is None else manifest, kind, how)
    manifest = outputs[0].manifest
    if skip_existing:
        if force:
            raise InputError("--skip-existing keeps what --force overwrites: leave one of the two out")
        count = len(jobs)
        jobs = [job for job in jobs if job.output == PIPE or not job.output.exists()]
        if not quiet and len(jobs) < count:
            click.echo(f"{count - len(jobs)} of {count} are there already", err=True)
        if not jobs:
            return
    # Of what was done before, as far as it is to be kept.
    earlier = rows_of(manifest, found.digest) if skip_existing and manifest is not None else []
    made = make_folder(folder) if folder is not None else False
    worked, unwritten = False, None
    try:
        given = [source for source in sources if source != PIPE]
        given += [Path(style)] if style.endswith(style_network.SUFFIX) else []
        told_of = [] if manifest is None else [manifest]
        instead = "use --skip-existing to go on, or --force to overwrite it" if several else "use --force to overwrite it"
        check_outputs(told_of, given, force=force or skip_existing, instead=instead)
        pictures_to = [job.output for job in jobs if job.output != PIPE]
        check_outputs(pictures_to, [*given, *told_of], force=force, instead=instead)
        with interruptible() as interrupt, meter(len(jobs), quiet) as told:
            try:
                applier = Applier(found, log=told.line, **options)
            except BackendMissing:
                # A second Ctrl-C while a framework is imported can come out as an ImportError of the framework.
                if interrupt.seen:
                    raise interrupt.error from None
                raise
            interrupt.later()
            by_name = {each.picture: each for each in outputs}
            work = Work(applier, jobs, several, by_name, ffmpeg, interrupt, told, earlier)
            began = time.monotonic()
            try:
                work.run()
            finally:
                worked = bool(work.done)
                interrupt.ignore()
                if work.done or (several and work.failed):
                    worked = True
                    if manifest is not None:
                        try:
                            write_atomically(manifest, (json.dumps(work.manifest(), indent=1) + "\n").encode())
                        except OSError as error:
                            # Told, and not raised: what ended the work is more than this, and pictures are there.
                            unwritten = f"the manifest {str(manifest)!r} cannot be written: {reason(error)}"
                            told.failure(f"FAILED {unwritten}")
    except KeyboardInterrupt:
        if not worked:
            raise
        where = f", manifest in {str(manifest)!r}" if manifest else ""
        click.echo(f"isostyle: interrupted; {work.count()} done{where}", err=True)
        raise click.exceptions.Exit(interrupt.exit_code) from None
    finally:
        if made and not worked and folder is not None:
            with contextlib.suppress(OSError):
                folder.rmdir()
    if not quiet and unwritten is None:
        piped = jobs[0].output == PIPE
        what = f"{work.count()} to {readable(folder)}" if several and folder else readable(jobs[0].output)
        what = by_name[PIPE].name if piped else what
        where = f"; manifest in {readable(manifest)}" if manifest else ""
        click.echo(f"wrote {what}: {time.monotonic() - began:.1f} s{where}", err=piped)
    if unwritten is not None:
        raise IsostyleError(f"what was to be made is there, but {unwritten}")
    if work.failed:
        names = ", ".join(repr(str(row["path"])) for row in work.failed[:NAMED])
        more = f" and {len(work.failed) - NAMED} more" if len(work.failed) > NAMED else ""
        raise IsostyleError(f"{len(work.failed)} of {len(jobs)} failed, as said above: {names}{more}")


@click.command(short_help="List the style networks that ship with isostyle, or say what files are.")
@click.argument("wanted", nargs=-1, metavar="[NAME|FILE]...")
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
def styles(wanted: tuple[str, ...], as_json: bool) -> None:
    """List the style networks that ship with isostyle, or those asked for: size, recipe and steps of the training, digest of
    the numbers.

    \b
      isostyle styles
      isostyle styles oil
      isostyle styles my.safetensors             what is this one?
      isostyle apply oil photo.jpg
      isostyle train painting.jpg photos/        one of your own
    """
    from isostyle.style_networks import file as style_network
    from isostyle.system.files import read_input

    rows: list[dict[str, Any]] = []
    unusable: list[str] = []
    shipped = style_network.shipped()
    for name in dict.fromkeys(wanted or shipped):
        try:
            if name not in shipped and not name.endswith(style_network.SUFFIX) and not os.path.exists(name):
                style_network.find(name)  # says which there are
            data = shipped[name].read_bytes() if name in shipped else read_input(Path(name))
            style = style_network.parse(data, name)
        except InputError as error:
            # The others are good all the same.
            unusable.append(str(error))
            continue
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
    if as_json and (rows or not unusable):
        click.echo(json.dumps(rows, indent=1))
    elif not (rows or unusable):
        click.echo("none ship with this installation; `isostyle train` makes one", err=True)
    for row in [] if as_json else rows:
        widths = "-".join(map(str, row["widths"]))
        residual = ", residual" if row["residual"] else ""
        click.echo(
            f"{row['name']:<16} {row['bytes'] / 1e3:.0f} kB, channels {widths}, {row['blocks']} blocks{residual}; "
            f"recipe {row['recipe'] or '?'}, {row['steps'] or '?'} steps; sha256 {row['parameters_sha256'][:16]}"
        )
    if unusable:
        raise InputError("; ".join(unusable))


def suffix_of(kind: str | None) -> str | None:
    """``.jpg`` of ``jpg`` or ``.jpg``.

    Raises:
        InputError: no picture can be written in it.
    """
    from isostyle.cli import apply_plan

    if kind is None:
        return None
    suffix = f".{kind.removeprefix('.').lower()}"
    if not apply_plan.writable(suffix):
        raise InputError(f"--format {shown(kind)} is not a picture format that can be written (png, jpg, webp, tiff, ...)")
    return suffix


def plan(
    sources: list[Path], several: bool, output: Path | None, style: str, suffix: str | None
) -> tuple[list[Job], Path | None, Path | None]:
    """What is to be done, where the manifest goes if it goes anywhere, and the folder, if the outputs go to one.

    Raises:
        InputError: OUT is a file and should be a folder, or has a suffix that cannot be written.
    """
    from isostyle.cli import apply_plan
    from isostyle.images.suffixes import is_picture
    from isostyle.style_networks import video

    source = sources[0]
    if output == PIPE:
        if several or video.is_video(source):
            raise InputError("-o - writes one picture to standard output; several, and videos, need a name")
        return [apply_plan.Job(source, PIPE)], None, None
    if several or (output is not None and (output.is_dir() or not output.suffix)):
        if output is None:
            raise InputError("several pictures need a folder to go to: -o FOLDER")
        if several and not output.is_dir() and (is_picture(output) or video.is_video(output)):
            raise InputError(f"{str(output)!r} looks like a file, and several pictures need a folder")
        if output.exists() and not output.is_dir():
            raise InputError(f"{str(output)!r} is a file; name a folder")
        jobs = apply_plan.plan(sources, output, suffix)
        return jobs, output / MANIFEST if several else jobs[0].output.with_suffix(".json"), output
    if output is None:
        kind = source.suffix.lower() if video.is_video(source) else suffix or apply_plan.USUAL_FORMAT
        output = Path(f"{stem(source)}-{style}{kind}")
    if video.is_video(source) and not video.is_video(output):
        raise InputError(f"{str(output)!r} is no video's name; a video becomes {', '.join(video.CONTAINERS)}")
    return [apply_plan.Job(source, output)], output.with_suffix(".json"), None


def checked(jobs: list[Job], manifest: Path | None, kind: str | None, options: PictureOptions) -> list[Outputs]:
    """How each output is written.

    Raises:
        InputError: one cannot be, in its format, with these options.
    """
    from isostyle.cli.outputs import Outputs, outputs_of

    found = []
    for job in jobs:
        if not job.is_video:
            found.append(outputs_of(job.output, kind, options, manifest=manifest))
            continue
        if options.bits != PictureOptions.bits:
            raise InputError(f"--bits is for pictures, and {str(job.source)!r} is a video")
        found.append(Outputs(job.output, job.output.suffix, options, manifest, None, None, None))
    return found


class Work:
    """All that `apply` does with its inputs, one after another."""

    def __init__(
        self,
        applier: Applier,
        jobs: list[Job],
        several: bool,
        outputs: dict[Path, Outputs],
        ffmpeg: str | None,
        interrupt: Interrupt,
        told: Meter,
        earlier: list[dict[str, Any]],
    ) -> None:
        self.applier = applier
        self.jobs = jobs
        self.several = several
        self.outputs = outputs
        self.ffmpeg = ffmpeg
        self.interrupt = interrupt
        self.told = told
        self.earlier = earlier
        #: Rows of the manifest.
        self.done: list[dict[str, Any]] = []
        self.failed: list[dict[str, str]] = []

    def run(self) -> None:
        """Raises what is wrong with the only input; of several, it is told, and the others go on."""
        from isostyle.images.encode import KeptElsewhere
        from isostyle.system.files import reason
        from isostyle.system.prefetch import ahead

        with contextlib.closing(ahead(partial(self.read, job) for job in self.jobs)) as waiting:
            for job, read in zip(self.jobs, waiting, strict=True):
                self.told.begin(job.source)
                try:
                    found = read.result()
                    row = self.video(job) if found is None else self.picture(job, *found)
                    del found
                except KeptElsewhere as error:
                    # What one cannot be written to, the next cannot, either.
                    count = f"; {self.count()} are done, and --skip-existing goes on" if self.several else ""
                    raise IsostyleError(f"{error}{count}") from error
                except (IsostyleError, OSError, ValueError, MemoryError) as error:
                    self.stop_if_asked()
                    if not self.several:
                        raise
                    why = "out of memory" if isinstance(error, MemoryError) else reason(error)
                    self.failed.append({"path": str(job.source), "error": why})
                    self.told.failure(f"FAILED {readable(job.source)}: {why}")
                    self.told.end()
                    continue
                self.done.append(row)
                self.told.end(f"{readable(job.source)} -> {readable(job.output)}", row)
                self.stop_if_asked()

    def stop_if_asked(self) -> None:
        self.interrupt.heed()

    def step(self, share: float) -> None:
        self.stop_if_asked()
        self.told.part(share)

    def read(self, job: Job) -> tuple[PictureIn, dict[str, Any]] | None:
        """A decoded picture, and what a manifest says of it; None for a video, which ffmpeg reads."""
        from isostyle.cli.pipes import piped
        from isostyle.images.decode import describe, read_picture

        if job.is_video:
            return None
        (source,) = piped(job.source)
        picture, digest = read_picture(source, "the picture")
        return picture, describe(source, picture.pixels, digest)

    def picture(self, job: Job, picture: PictureIn, described: dict[str, Any]) -> dict[str, Any]:
        from isostyle.cli.outputs import deliver
        from isostyle.images.suffixes import format_of

        for line in picture.lines:
            self.told.line(line)
        made, outputs = self.applier(picture, self.step), self.outputs[job.output]
        deliver(made.finished, outputs)
        place = {} if job.output == PIPE else {"path": str(job.output)}
        how = {"format": format_of(outputs.kind), **outputs.options.as_dict()}
        return {"input": described, "output": {**place, **how, **made.about}}

    def video(self, job: Job) -> dict[str, Any]:
        from isostyle.style_networks import video
        from isostyle.system.files import file_sha256

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
        from isostyle.system import memory

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

    def __init__(self, total: int, teller: Teller) -> None:
        self.total, self.line, self.failure = total, teller.line, teller.failure
        self.number = 0
        self.began: float | None = None
        self.source = Path()
        self.tenth, self.told = 0, 0.0

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

    def __init__(self, total: int, teller: Teller, live: Progress) -> None:
        super().__init__(total, teller)
        self.live = live
        self.task = live.add_task("", total=total, name="")

    def begin(self, source: Path) -> None:
        self.live.update(self.task, name=readable(source))

    def part(self, share: float) -> None:
        self.live.update(self.task, completed=self.number + share)

    def end(self, what: str | None = None, row: dict[str, Any] | None = None) -> None:
        self.number += 1
        self.live.update(self.task, completed=self.number)


@contextlib.contextmanager
def meter(total: int, quiet: bool) -> Iterator[Meter]:
    """The one that fits."""
    with teller(quiet, "name", width=20) as told:
        yield Meter(total, told) if told.live is None else Bar(total, told, told.live)
