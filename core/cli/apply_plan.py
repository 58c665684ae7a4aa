"""What `isostyle apply` is to do: pictures and videos by file, folder or pattern, and where each output goes."""

from __future__ import annotations

import glob
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from isostyle.cli.outputs import Outputs, beside, outputs_of
from isostyle.cli.pipes import PIPE, stem
from isostyle.errors import InputError, shown
from isostyle.images.options import PictureOptions
from isostyle.images.suffixes import format_of, is_picture
from isostyle.style_networks import video
from isostyle.system.files import reason

#: Of an output whose input's own format cannot be written.
USUAL_FORMAT = ".png"
#: What makes an argument a pattern, if there is no such file.
WILD = "*?["
#: As it stands on the command line.
PIPE_NAME = "-"
#: Beside the outputs of several inputs; one output has OUT.json.
MANIFEST = "manifest.json"


@dataclass(frozen=True)
class Job:
    """One input and its output."""

    source: Path
    output: Path
    #: How the output is written.
    outputs: Outputs | None = None

    @property
    def is_video(self) -> bool:
        return video.is_video(self.source)


@dataclass(frozen=True)
class ApplyPlan:
    """All inputs with their outputs."""

    jobs: list[Job]
    #: Whether there may be several, even if there is one.
    several: bool
    #: Where the manifest goes, if anywhere.
    manifest: Path | None
    #: Where the outputs go, if they go to a folder.
    folder: Path | None

    def without_existing(self) -> ApplyPlan:
        """Only what has no output yet."""
        return replace(self, jobs=[job for job in self.jobs if job.output == PIPE or not job.output.exists()])


def plan(
    pictures: Sequence[str], output: Path | None, style: str, kind: str | None, manifest: Path | None, options: PictureOptions
) -> ApplyPlan:
    """What the command line asks for. ``style``: the style network's name; ``kind``: what --format says.

    Raises:
        InputError: an input or an output cannot be used; nothing was opened.
    """
    sources, several = expand(pictures)
    suffix = suffix_of(kind)
    folder = output if to_folder(output, several) else None
    if folder is not None:
        jobs = jobs_of(sources, folder, suffix)
    else:
        jobs = [Job(sources[0], output_of(sources[0], output, style, suffix, several))]
    if manifest is None:
        manifest = folder / MANIFEST if folder is not None and several else beside(jobs[0].output)
    jobs = [replace(job, outputs=written(job, kind, options, manifest)) for job in jobs]
    return ApplyPlan(jobs, several, manifest, folder)


def expand(arguments: Sequence[str], *, videos: bool = True) -> tuple[list[Path], bool]:
    """The files that are meant, each once, and whether there may be several. ``videos``: whether patterns stand for them, too.

    A folder stands for the pictures in it (not for videos, nor for folders within it), a pattern for the pictures and videos
    that match it; both in the order of their names. ``-`` is standard input, and stands alone.

    Raises:
        InputError: a folder cannot be read, or holds no picture; a pattern matches none; the only file is not there.
    """
    found: list[Path] = []
    several = len(arguments) > 1
    if PIPE_NAME in arguments:
        if several:
            raise InputError("- is standard input, and that is one picture: leave the others out")
        return [PIPE], False
    for argument in arguments:
        path = Path(os.path.abspath(argument)) if Path(argument) == PIPE else Path(argument)
        if path.is_dir():
            several = True
            found += in_folder(path, argument)
        elif any(sign in argument for sign in WILD) and not path.exists():
            several = True
            found += matching(argument, videos)
        elif len(arguments) == 1 and not path.exists():
            # Of several, a missing one is named when its turn comes, and the others go on.
            raise InputError(f"there is no file {argument!r}")
        else:
            found.append(path)
    return list(dict.fromkeys(found)), several


def in_folder(folder: Path, argument: str) -> list[Path]:
    """The pictures in a folder.

    Raises:
        InputError: it cannot be read, or there is none.
    """
    try:
        found = [file for file in folder.iterdir() if is_picture(file) and not file.name.startswith(".") and file.is_file()]
    except OSError as error:
        raise InputError(f"the folder {argument!r} cannot be read: {reason(error)}") from None
    if not found:
        raise InputError(f"there is no picture in the folder {argument!r}")
    return sorted(found)


def matching(pattern: str, videos: bool) -> list[Path]:
    """The pictures, and if asked for the ``videos``, that match a pattern.

    Raises:
        InputError: there is none.
    """
    matches = [Path(match) for match in sorted(glob.glob(pattern, recursive=True))]
    found = [file for file in matches if (is_picture(file) or (videos and video.is_video(file))) and file.is_file()]
    if not found:
        raise InputError(f"no picture{' and no video' if videos else ''} matches {pattern!r}")
    return found


def suffix_of(kind: str | None) -> str | None:
    """``.jpg`` of ``jpg`` or ``.jpg``.

    Raises:
        InputError: no picture can be written in it.
    """
    if kind is None:
        return None
    suffix = f".{kind.removeprefix('.').lower()}"
    if not format_of(suffix):
        raise InputError(f"--format {shown(kind)} is not a picture format that can be written (png, jpg, webp, tiff, ...)")
    return suffix


def to_folder(output: Path | None, several: bool) -> bool:
    """Whether the outputs go to the folder ``output``.

    Raises:
        InputError: they should, and it is none.
    """
    if output == PIPE or (not several and (output is None or (output.suffix and not output.is_dir()))):
        return False
    if output is None:
        raise InputError("several pictures need a folder to go to: -o FOLDER")
    if several and not output.is_dir() and (is_picture(output) or video.is_video(output)):
        raise InputError(f"{str(output)!r} looks like a file, and several pictures need a folder")
    if output.exists() and not output.is_dir():
        raise InputError(f"{str(output)!r} is a file; name a folder")
    return True


def output_of(source: Path, output: Path | None, style: str, suffix: str | None, several: bool) -> Path:
    """Where the output of the only input goes, that goes to no folder.

    Raises:
        InputError: it cannot go there.
    """
    is_video = video.is_video(source)
    if output == PIPE and (several or is_video):
        raise InputError("-o - writes one picture to standard output; several, and videos, need a name")
    if output is None:
        return Path(f"{stem(source)}-{style}{source.suffix.lower() if is_video else suffix or USUAL_FORMAT}")
    if is_video and not video.is_video(output):
        raise InputError(f"{str(output)!r} is no video's name; a video becomes {', '.join(video.CONTAINERS)}")
    return output


def jobs_of(sources: Sequence[Path], folder: Path, suffix: str | None) -> list[Job]:
    """Inputs whose outputs become FOLDER/STEM.SUFFIX; a video keeps its own suffix, a picture if it can be written.

    Raises:
        InputError: two of them would get one name.
    """
    jobs: list[Job] = []
    taken: dict[str, Path] = {}
    for source in sources:
        own = source.suffix.lower()
        usual = own if format_of(own) else USUAL_FORMAT
        output = folder / f"{stem(source)}{own if video.is_video(source) else suffix or usual}"
        # File systems that take A.png and a.png for one file are common.
        other = taken.setdefault(output.name.lower(), source)
        if other != source:
            raise InputError(
                f"{str(other)!r} and {str(source)!r} would both become {str(output)!r}; rename one, or go by turns"
            )
        jobs.append(Job(source, output))
    return jobs


def written(job: Job, kind: str | None, options: PictureOptions, manifest: Path | None) -> Outputs:
    """How an output is written.

    Raises:
        InputError: it cannot be, in its format, with these options.
    """
    if not job.is_video:
        # A file in a folder has the suffix that --format says, or had it said already.
        return outputs_of(job.output, kind, options, manifest=manifest)
    if options.bits != PictureOptions.bits:
        raise InputError(f"--bits is for pictures, and {str(job.source)!r} is a video")
    return Outputs(job.output, job.output.suffix, options, manifest, None, None, None)
