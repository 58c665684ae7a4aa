"""What a folder stands for: the pictures in it, and with --recursive those in the folders in it. What is left out is told."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from isostyle.errors import InputError
from isostyle.images import heif
from isostyle.images.suffixes import VIDEOS, is_picture, is_raw
from isostyle.system.files import identity, reason

#: Why something is left out, as a line has it before the names.
SUBFOLDERS = "sub-folders, which --recursive enters"
LINKS = "links to folders, which are never followed"
HEIC = f"HEIC pictures, which need {heif.NEEDS}"
RAWS = "raw photographs, which have to be developed first"
FILMS = "videos"
NO_FILES = "no regular files"
NO_PICTURES = "no pictures"
#: How many names stand in a line for each reason.
NAMED = 3


@dataclass
class Contents:
    """What was found, in the order of its names, each with the place below the folder where it lies, and what was left out."""

    files: list[tuple[Path, Path]] = field(default_factory=list)
    #: By reason, names as they are to be shown.
    left_out: dict[str, list[str]] = field(default_factory=dict)

    def leave(self, why: str, name: str) -> None:
        self.left_out.setdefault(why, []).append(name)

    def add(self, inner: Contents, name: Path) -> None:
        """Add the contents of a folder of that name."""
        self.files += [(file, name / below) for file, below in inner.files]
        for why, names in inner.left_out.items():
            for each in names:
                self.leave(why, str(name / each))

    def line(self, where: str) -> str | None:
        """What was left out of ``where``, with the reasons; None if nothing was."""
        parts = []
        for why, names in self.left_out.items():
            more = ", ..." if len(names) > NAMED else ""
            parts.append(f"{len(names)} {why} ({', '.join(map(readable, names[:NAMED]))}{more})")
        return f"not taken from {where}: {'; '.join(parts)}" if parts else None


def readable(name: str) -> str:
    """A name that does no harm to a terminal."""
    return name if name.isprintable() else repr(name)


def look_into(folder: Path, *, recursive: bool, without: Path | None = None) -> Contents:
    """The pictures of a folder, and with ``recursive`` those of the folders in it, but for ``without``, where outputs go.

    What is hidden is not counted. Links to folders are not followed. Nothing is opened.

    Raises:
        InputError: a folder cannot be read.
    """
    found, outputs = Contents(), identity_of(without)
    for place, folders, names in os.walk(folder, onerror=refuse):
        here, below = Path(place), Path(place).relative_to(folder)
        for name in sorted(names):
            if not name.startswith("."):
                sort(found, here / name, below)
        entered = []
        for name in sorted(folders):
            if name.startswith(".") or (outputs is not None and identity_of(here / name) == outputs):
                continue
            if recursive and not (here / name).is_symlink():
                entered.append(name)
            else:
                found.leave(LINKS if recursive else SUBFOLDERS, str(below / name))
        folders[:] = entered
    return found


def identity_of(folder: Path | None) -> tuple[int, int] | None:
    """What two names of a folder have in common; None if there is no such folder."""
    try:
        return None if folder is None else identity(folder)
    except OSError:
        return None


def sort(found: Contents, file: Path, below: Path, others: Iterable[str] = ()) -> None:
    """Put a file among those that are taken (pictures, and those whose suffix is in ``others``), or that are left out."""
    name, suffix = str(below / file.name), file.suffix.lower()
    if suffix in others or is_picture(file):
        if file.is_file():
            found.files.append((file, below))
        else:
            found.leave(NO_FILES, name)  # a pipe would keep us waiting
    elif suffix in heif.SUFFIXES:
        found.leave(HEIC, name)
    else:
        found.leave(RAWS if is_raw(file) else FILMS if suffix in VIDEOS else NO_PICTURES, name)


def first_below(folder: Path) -> Path | None:
    """A picture in the folders in a folder, where there is one. Raises InputError if a folder cannot be read."""
    for place, folders, names in os.walk(folder, onerror=refuse):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            if Path(place) != folder and not name.startswith(".") and is_picture(Path(name)):
                return Path(place, name)
    return None


def nothing(found: Contents, folder: Path, said: str) -> InputError:
    """What to say of a folder from which nothing is taken, behind ``said``."""
    inner = first_below(folder) if SUBFOLDERS in found.left_out else None
    if inner is not None:
        return InputError(f"{said} itself; {str(inner)!r} is in a sub-folder, which --recursive enters")
    line = found.line(repr(str(folder)))
    return InputError(f"{said}; {line}" if line else said)


def refuse(error: OSError) -> None:
    raise InputError(f"the folder {str(error.filename)!r} cannot be read: {reason(error)}") from None
