"""What `isostyle apply` does with its inputs, one after another, and what it tells of them."""

from __future__ import annotations

import contextlib
import json
import time
from functools import partial
from pathlib import Path
from typing import Any

from PIL.Image import Image

from isostyle.cli.apply_plan import ApplyPlan, Job
from isostyle.cli.interrupts import Interrupt
from isostyle.cli.outputs import deliver
from isostyle.cli.pipes import PIPE, read_stdin
from isostyle.cli.progress import Teller, readable
from isostyle.errors import IsostyleError
from isostyle.images.decode import PictureIn, describe, read_picture
from isostyle.images.encode import KeptElsewhere
from isostyle.style_networks import video
from isostyle.style_networks.apply import Applier
from isostyle.style_networks.video import Video
from isostyle.system import memory
from isostyle.system.files import file_sha256, reason, write_atomically
from isostyle.system.prefetch import ahead

#: Without a terminal, a line is printed whenever another tenth of a video or of a large picture is done, not too often.
TENTHS = 10
SECONDS_BETWEEN_LINES = 2.0


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
        """So much of an input is done."""
        self.interrupt.heed()
        done, tenth, now = self.number + share, int(TENTHS * share), time.monotonic()
        if not self.bar(done) and self.tenth < tenth < TENTHS and now - self.told_at > SECONDS_BETWEEN_LINES:
            self.tenth, self.told_at = tenth, now
            self.told.line(f"{self.name}: {100 // TENTHS * tenth} %{self.told.eta(done, len(self.plan.jobs))}")

    def end(self, job: Job, row: dict[str, Any]) -> None:
        """An input is done."""
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
        return picture, describe(source, picture.pixels, digest)

    def picture(self, job: Job, picture: PictureIn, described: dict[str, Any]) -> dict[str, Any]:
        """Paint a picture: its row in the manifest."""
        for line in picture.lines:
            self.told.line(line)
        assert job.outputs is not None
        made = self.applier(picture, self.step)
        deliver(made.finished, job.outputs)
        return {"input": described, "output": {**job.outputs.described, **made.manifest["output"]}}

    def video(self, job: Job) -> dict[str, Any]:
        """Paint a video: its row in the manifest."""
        assert self.ffmpeg is not None
        source = video.probe(self.ffmpeg, job.source)
        about: dict[str, Any] = {}

        def change(frame: Image) -> Image:
            self.interrupt.heed()
            made = self.applier(PictureIn(frame))
            if not about:
                self.told.line(f"{self.name}: {described(source, made.picture)}")
            about.update({key: made.manifest["output"][key] for key in ("tile", "estimated_memory_bytes")})
            return made.picture

        def progress(count: int) -> None:
            self.step(min(1.0, count / source.frames) if source.frames else 0)

        began = time.monotonic()
        made = video.convert(self.ffmpeg, source, job.output, change, progress)
        if made.complaint:
            self.told.line(f"{self.name}: {made.complaint}; {made.frames} frames were read")
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
