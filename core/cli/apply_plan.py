"""What `isostyle apply` is to do: pictures and videos by file, folder or pattern, and where each output goes."""

from __future__ import annotations

import glob
import os
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from isostyle.cli.outputs import Outputs, beside, require_apart, require_use, suffix_of
from isostyle.cli.pipes import PIPE, stem
from isostyle.errors import InputError
from isostyle.images import folders
from isostyle.images.folders import Contents
from isostyle.images.options import PictureOptions
from isostyle.images.suffixes import format_of, is_picture
from isostyle.style_networks import video

#: Of an output whose input's own format cannot be written.
USUAL_FORMAT = ".png"
#: What makes an argument a pattern, if there is no such file.
WILD = "*?["
#: What makes a pattern match what is in folders in folders.
EVERY_FOLDER = "**"
#: Beside the outputs of several inputs; one output has OUT.json.
MANIFEST = "manifest.json"
#: Why a folder does not stand for the videos in it, as a line has it: each may take an hour.
FILMS = "videos, which are taken if they are named, or match a pattern"


class Source(NamedTuple):
    """An input, and where it lies below the folder that was named."""

    path: Path
    below: Path = Path()


def silent(line: str) -> None:
    """Tells nobody."""


@dataclass(frozen=True)
class Job:
    """One input and its output."""

    source: Path
    output: Path
    #: How a picture is written.
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
    #: What the user should know.
    lines: tuple[str, ...] = ()


def plan(
    pictures: Sequence[str],
    output: Path | None,
    style: str,
    kind: str | None,
    manifest: Path | None,
    options: PictureOptions,
    *,
    recursive: bool = False,
) -> ApplyPlan:
    """What the command line asks for. ``style``: the style network's name; ``kind``: what --format says; ``recursive``: whether
    the folders in folders are entered; their outputs go to folders of the same names.

    Raises:
        InputError: an input or an output cannot be used; nothing was opened.
    """
    lines: list[str] = []
    found, several = expand(pictures, recursive=recursive, without=output, tell=lines.append)
    sources = [source.path for source in found]
    suffix = suffix_of(kind) if kind else None
    folder = output if goes_to_folder(output, several) else None
    if folder is not None:
        outputs = in_folder(found, folder, suffix)
        require_apart((repr(str(source)), output) for source, output in zip(sources, outputs, strict=True))
    else:
        outputs = [output_of(sources[0], output, style, suffix)]
    if manifest is None and outputs[0] != PIPE:
        manifest = folder / MANIFEST if folder is not None and several else beside(outputs[0])
    jobs = [job_of(source, place, kind, manifest, options) for source, place in zip(sources, outputs, strict=True)]
    require_use(options, [job.outputs.suffix for job in jobs if job.outputs is not None])
    return ApplyPlan(jobs, several, manifest, folder, tuple(lines))


def expand(
    arguments: Sequence[str],
    *,
    videos: bool = True,
    recursive: bool = False,
    without: Path | None = None,
    tell: Callable[[str], None] = silent,
) -> tuple[list[Source], bool]:
    """The files that are meant, each once, and whether there may be several.

    A folder stands for the pictures in it (not for videos), a pattern for the pictures and videos that match it; both in the
    order of their names. ``-`` is standard input, and stands alone.

    Args:
        videos: whether patterns stand for them, too.
        recursive: whether the folders in a folder, and those that match a pattern, are entered, ...
        without: ... but for this one.
        tell: told in a line what a folder or a pattern leaves out.

    Raises:
        InputError: a folder cannot be read, or holds no picture; a pattern matches none; the only file is not there.
    """
    found: dict[Path, Source] = {}
    several = len(arguments) > 1
    if str(PIPE) in arguments:
        if several:
            raise InputError("- is standard input, and that is one picture: leave the others out")
        return [Source(PIPE)], False
    for argument in arguments:
        path = Path(os.path.abspath(argument)) if Path(argument) == PIPE else Path(argument)
        if path.is_dir() or (any(sign in argument for sign in WILD) and not path.exists()):
            several = True
            each = (
                contents(path, videos, recursive, without) if path.is_dir() else matching(argument, videos, recursive, without)
            )
            for file, below in each.files:
                found.setdefault(file, Source(file, below))
            if line := each.line(repr(argument)):
                tell(line)
        elif len(arguments) == 1 and not path.exists():
            # Of several, a missing one is named when its turn comes, and the others go on.
            raise InputError(f"there is no file {argument!r}")
        else:
            found.setdefault(path, Source(path))
    return list(found.values()), several


def contents(folder: Path, videos: bool, recursive: bool, without: Path | None) -> Contents:
    """The pictures in a folder. Raises InputError if there is none."""
    found = folders.look_into(folder, recursive=recursive, without=without)
    if videos and (films := found.left_out.pop(folders.FILMS, None)):
        found.left_out[FILMS] = films
    if not found.files:
        raise folders.nothing(found, folder, f"no picture is in the folder {str(folder)!r}")
    return found


def matching(pattern: str, videos: bool, recursive: bool, without: Path | None) -> Contents:
    """The pictures, and the ``videos``, that match a pattern. Raises InputError if there is none."""
    found = Contents()
    for path in map(Path, sorted(glob.glob(pattern, recursive=True))):
        if not path.is_dir():
            folders.sort(found, path, Path(), video.CONTAINERS if videos else ())
        elif recursive:
            found.add(folders.look_into(path, recursive=True, without=without), Path(path.name))
        elif EVERY_FOLDER not in pattern:  # which enters folders itself
            found.leave(folders.SUBFOLDERS, path.name)
    if not found.files:
        line = found.line(repr(pattern))
        raise InputError(f"no picture{' and no video' if videos else ''} matches {pattern!r}{f'; {line}' if line else ''}")
    return found


def goes_to_folder(output: Path | None, several: bool) -> bool:
    """Whether ``output`` is the folder that the outputs go to. Raises InputError if it should be, and is none."""
    if output is None or output == PIPE:
        if several:
            raise InputError("several pictures need a folder to go to: -o FOLDER")
        return False
    if several and not output.is_dir() and (is_picture(output) or video.is_video(output)):
        raise InputError(f"{str(output)!r} looks like a file, and several pictures need a folder")
    return several or not output.suffix or output.is_dir()


def in_folder(sources: Sequence[Source], folder: Path, suffix: str | None) -> list[Path]:
    """The outputs of inputs that go to a folder. Of those that would become one file, one whose name would stay as it is keeps
    it, and others keep their suffix: a.jpg and a.png with --format png become a.jpg.png and a.png."""
    suffixes = [own_suffix(source.path, suffix) for source in sources]
    outputs = [folder / source.below / f"{stem(source.path)}{own}" for source, own in zip(sources, suffixes, strict=True)]
    count = Counter(str(output).lower() for output in outputs)
    for number, (source, output) in enumerate(zip(sources, outputs, strict=True)):
        if count[str(output).lower()] > 1 and source.path.name.lower() != output.name.lower():
            outputs[number] = output.with_name(f"{source.path.name}{suffixes[number]}")
    return outputs


def own_suffix(source: Path, suffix: str | None) -> str:
    """Of an output in a folder: a video keeps its suffix; a picture if no other is asked for, and it can be written."""
    own = source.suffix.lower()
    if video.is_video(source):
        return own
    return suffix or (own if format_of(own) else USUAL_FORMAT)


def output_of(source: Path, output: Path | None, style: str, suffix: str | None) -> Path:
    """Where the output of the only input goes, that goes to no folder. Raises InputError if it cannot go there."""
    is_video = video.is_video(source)
    if output is None:
        return Path(f"{stem(source)}-{style}{source.suffix.lower() if is_video else suffix or USUAL_FORMAT}")
    if is_video and not video.is_video(output):
        raise InputError(f"{str(output)!r} is no video's name; a video becomes {', '.join(video.CONTAINERS)}")
    return output


def job_of(source: Path, output: Path, kind: str | None, manifest: Path | None, options: PictureOptions) -> Job:
    """An input and its output. Raises InputError if that cannot be written in its format, with these options."""
    if not video.is_video(source):
        # A file in a folder has the suffix that --format says, or had it said already.
        return Job(source, output, Outputs(output, options, kind, manifest))
    if options.bits != PictureOptions.bits:
        raise InputError(f"--bits is for pictures, and {str(source)!r} is a video")
    return Job(source, output)
