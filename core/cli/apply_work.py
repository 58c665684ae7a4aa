"""What `isostyle apply` does with its inputs, one after another, and what it tells of them."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from PIL.Image import Image

from isostyle.cli.apply_plan import ApplyPlan, Job
from isostyle.cli.interrupts import Interrupt
from isostyle.cli.outputs import deliver
from isostyle.cli.pipes import PIPE, piped
from isostyle.cli.progress import Teller, readable, teller
from isostyle.errors import IsostyleError
from isostyle.images.decode import PictureIn, describe, read_picture
from isostyle.images.encode import KeptElsewhere
from isostyle.images.suffixes import format_of
from isostyle.style_networks import video
from isostyle.style_networks.apply import Applier
from isostyle.style_networks.video import Video
from isostyle.system import memory
from isostyle.system.files import file_sha256, reason, write_atomically
from isostyle.system.prefetch import ahead

#: Without a terminal, a line is printed whenever another tenth of a video or of a large picture is done, not too often.
TENTHS = 10
SECONDS_BETWEEN_LINES = 2.0


class Meter:
    """What is told of the work: a bar with the time left on a terminal; elsewhere lines on stderr, one for each input."""

    def __init__(self, total: int, told: Teller) -> None:
        self.total, self.teller, self.line, self.failure = total, told, told.line, told.failure
        self.number = 0
        self.began = self.told = time.monotonic()
        self.source, self.tenth = Path(), 0

    def begin(self, source: Path) -> None:
        """An input comes next."""
        self.source, self.tenth, self.told = source, 0, time.monotonic()
        if self.number == 0:
            self.began = self.told
        self.bar(self.number)

    def bar(self, done: float) -> bool:
        """Move the bar; False if there is none, and a line may be due."""
        return self.teller.bar(done, self.total, readable(self.source))

    def part(self, share: float) -> None:
        """So much of the input is done."""
        tenth, now = int(TENTHS * share), time.monotonic()
        due = tenth > self.tenth and share < 1 and now - self.told > SECONDS_BETWEEN_LINES
        if not self.bar(self.number + share) and due:
            self.tenth, self.told = tenth, now
            self.line(f"{readable(self.source)}: {100 // TENTHS * tenth} %{self.eta(self.number + share)}")

    def end(self, job: Job | None = None, row: dict[str, Any] | None = None) -> None:
        """An input is done, or, without a row, given up."""
        self.number += 1
        if not self.bar(self.number) and job is not None and row is not None:
            what = f"{readable(job.source)} -> {readable(job.output)}"
            (height, width), seconds = row["output"]["size"], row["output"]["seconds"]
            self.line(f"{self.number}/{self.total}  {what}  {height}x{width}  {seconds:.2f} s{self.eta(self.number)}")

    def eta(self, done: float) -> str:
        left = (time.monotonic() - self.began) / done * (self.total - done) if done else 0
        return f"  eta {left:.0f} s" if left > 0 else ""


@contextlib.contextmanager
def meter(total: int, quiet: bool) -> Iterator[Meter]:
    """What tells of ``total`` inputs."""
    with teller(quiet, "name", width=20) as told:
        yield Meter(total, told)


class Work:
    """All that `apply` does with its inputs."""

    def __init__(
        self,
        applier: Applier,
        plan: ApplyPlan,
        ffmpeg: str | None,
        interrupt: Interrupt,
        told: Meter,
        earlier: list[dict[str, Any]],
    ) -> None:
        """``earlier``: rows of the manifest that stay."""
        self.applier, self.plan, self.ffmpeg, self.interrupt, self.told = applier, plan, ffmpeg, interrupt, told
        self.earlier = earlier
        self.began = time.monotonic()
        #: Rows of the manifest.
        self.done: list[dict[str, Any]] = []
        self.failed: list[dict[str, str]] = []
        self.interrupted = False
        #: Why there is no manifest.
        self.unwritten: str | None = None

    def run(self) -> None:
        """Raises what is wrong with the only input; of several, it is told, and the others go on."""
        jobs = self.plan.jobs
        with contextlib.closing(ahead(partial(self.read, job) for job in jobs)) as waiting:
            for job, read in zip(jobs, waiting, strict=True):
                self.told.begin(job.source)
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
                    self.give_up(job, error)
                    continue
                self.done.append(row)
                self.told.end(job, row)
                self.interrupt.heed()

    def give_up(self, job: Job, error: Exception) -> None:
        """Tell of an input that cannot be painted."""
        why = "out of memory" if isinstance(error, MemoryError) else reason(error)
        self.failed.append({"path": str(job.source), "error": why})
        self.told.failure(f"FAILED {readable(job.source)}: {why}")
        self.told.end()

    def step(self, share: float) -> None:
        """So much of an input is done."""
        self.interrupt.heed()
        self.told.part(share)

    def read(self, job: Job) -> tuple[PictureIn, dict[str, Any]] | None:
        """A decoded picture, and what a manifest says of it; None for a video, which ffmpeg reads."""
        if job.is_video:
            return None
        (source,) = piped(job.source)
        picture, digest = read_picture(source, "the picture")
        return picture, describe(source, picture.pixels, digest)

    def picture(self, job: Job, picture: PictureIn, described: dict[str, Any]) -> dict[str, Any]:
        """Paint a picture: its row in the manifest."""
        for line in picture.lines:
            self.told.line(line)
        assert job.outputs is not None
        made = self.applier(picture, self.step)
        deliver(made.finished, job.outputs)
        place = {} if job.output == PIPE else {"path": str(job.output)}
        how = {"format": format_of(job.outputs.kind), **job.outputs.options.as_dict()}
        return {"input": described, "output": {**place, **how, **made.manifest["output"]}}

    def video(self, job: Job) -> dict[str, Any]:
        """Paint a video: its row in the manifest."""
        assert self.ffmpeg is not None
        source = video.probe(self.ffmpeg, job.source)
        about: dict[str, Any] = {}

        def change(frame: Image) -> Image:
            self.interrupt.heed()
            made = self.applier(PictureIn(frame))
            if not about:
                self.told.line(f"{readable(job.source)}: {self.described(source, made.picture)}")
            about.update({key: made.manifest["output"][key] for key in ("tile", "estimated_memory_bytes")})
            return made.picture

        def progress(count: int) -> None:
            self.step(min(1.0, count / source.frames) if source.frames else 0)

        began = time.monotonic()
        made = video.convert(self.ffmpeg, source, job.output, change, progress)
        if made.complaint:
            self.told.line(f"{readable(job.source)}: {made.complaint}; {made.frames} frames were read")
        given = {"size": [source.height, source.width], "rate": str(source.rate)}
        seconds = round(time.monotonic() - began, 3)
        written = {"size": [made.height, made.width], "frames": made.frames, "seconds": seconds, **about}
        return {"input": {**named(job.source), **given}, "output": {**named(job.output), **written}}

    @staticmethod
    def described(source: Video, frame: Image) -> str:
        """What a video becomes whose frames are as this one."""
        pixels = video.pixel_format((frame.height, frame.width))
        odd = ", for its sides are not even (some players have only 4:2:0)" if pixels == "yuv444p" else ""
        return f"{frame.height}x{frame.width} (height x width), {float(source.rate):g} frames a second, {pixels}{odd}"

    def count(self) -> str:
        return f"{len(self.done)} of {len(self.plan.jobs)}"

    @property
    def has_manifest(self) -> bool:
        """Whether there is something to tell of: a failure of the only input is told by its error."""
        return bool(self.done or (self.plan.several and self.failed))

    def write_manifest(self) -> None:
        """Write what :func:`isostyle.apply` says of one input; of several, their rows in order, and those that failed.

        A manifest that cannot be written is told and not raised: what ended the work is more than this, and pictures are there.
        """
        place = self.plan.manifest
        if place is None or not self.has_manifest:
            return
        about = {**self.applier.about, "peak_memory_bytes": memory.peak()}
        rows = {"pictures": [*self.earlier, *self.done], "failed": self.failed} if self.plan.several else self.done[0]
        try:
            write_atomically(place, (json.dumps({**about, **rows}, indent=1) + "\n").encode())
        except OSError as error:
            self.unwritten = f"the manifest {str(place)!r} cannot be written: {reason(error)}"
            self.told.failure(f"FAILED {self.unwritten}")


def named(path: Path) -> dict[str, str]:
    """What a manifest says of a video's file."""
    return {"path": str(path), "file_sha256": file_sha256(path)}
