"""What `isostyle apply` is to do: pictures and videos by file, folder or pattern, and where each output goes."""

from __future__ import annotations

import glob
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from isostyle.cli.pipes import PIPE, stem
from isostyle.errors import InputError
from isostyle.images.suffixes import is_picture
from isostyle.style_networks import video
from isostyle.system.files import reason

#: Of an output whose input's own format cannot be written.
USUAL_FORMAT = ".png"
#: What makes an argument a pattern, if there is no such file.
WILD = "*?["
#: As it stands on the command line.
PIPE_NAME = "-"


@dataclass(frozen=True)
class Job:
    """One input and its output."""

    source: Path
    output: Path

    @property
    def is_video(self) -> bool:
        return video.is_video(self.source)


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
            try:
                files = sorted(file for file in path.iterdir() if not file.name.startswith(".") and is_picture(file))
                files = [file for file in files if file.is_file()]
            except OSError as error:
                raise InputError(f"the folder {argument!r} cannot be read: {reason(error)}") from None
            if not files:
                raise InputError(f"there is no picture in the folder {argument!r}")
            found += files
        elif any(sign in argument for sign in WILD) and not path.exists():
            several = True
            matches = (Path(match) for match in sorted(glob.glob(argument, recursive=True)))
            files = [file for file in matches if is_picture(file) or (videos and video.is_video(file))]
            files = [file for file in files if file.is_file()]
            if not files:
                raise InputError(f"no picture{' and no video' if videos else ''} matches {argument!r}")
            found += files
        elif len(arguments) == 1 and not path.exists():
            # Of several, a missing one is named when its turn comes, and the others go on.
            raise InputError(f"there is no file {argument!r}")
        else:
            found.append(path)
    return list(dict.fromkeys(found)), several


def plan(sources: Sequence[Path], folder: Path, suffix: str | None) -> list[Job]:
    """Where the outputs of several inputs go: FOLDER/STEM.SUFFIX; a video keeps its own suffix, a picture if it can be written.

    Raises:
        InputError: two of them would get one name.
    """
    jobs: list[Job] = []
    taken: dict[str, Path] = {}
    for source in sources:
        own = source.suffix.lower()
        kind = own if video.is_video(source) else suffix or (own if writable(own) else USUAL_FORMAT)
        output = folder / f"{stem(source)}{kind}"
        # File systems that take A.png and a.png for one file are common.
        other = taken.setdefault(output.name.lower(), source)
        if other != source:
            raise InputError(
                f"{str(other)!r} and {str(source)!r} would both become {str(output)!r}; rename one, or go by turns"
            )
        jobs.append(Job(source, output))
    return jobs


@cache
def writable(suffix: str) -> bool:
    from isostyle.images import encode

    try:
        encode.check(Path(f"picture{suffix}"))
    except InputError:
        return False
    return True
