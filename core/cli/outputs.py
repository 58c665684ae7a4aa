"""Where a command puts what it makes."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL.Image import Image

from isostyle.checks import at, parsed
from isostyle.cli import pipes
from isostyle.cli.pipes import PIPE
from isostyle.cli.report import HISTORY_SUFFIXES, PLOT_SUFFIXES, history_bytes, plot_bytes
from isostyle.errors import InputError, IsostyleError, shown
from isostyle.images import encode
from isostyle.images.encode import Finished
from isostyle.images.options import QUALITY, PictureOptions
from isostyle.images.suffixes import format_of
from isostyle.system import files

if TYPE_CHECKING:
    from isostyle.recipe import Recipe
    from isostyle.transfer.stylize import Result


@dataclass
class Outputs:
    """Where a run puts what it makes, and how. Raises InputError if a format cannot hold it, or is said twice, or if standard
    output cannot take it."""

    #: PIPE is standard output.
    picture: Path
    options: PictureOptions
    #: What ``--format`` says, which is for standard output.
    kind: str | None = None
    #: Beside the picture, if nothing else is said.
    manifest: Path | None = None
    history: Path | None = None
    plot: Path | None = None
    save_every: int | None = None
    #: Whether the manifest lies where :func:`beside` says, and nobody named it.
    manifest_beside: bool = field(init=False, default=False)

    def __post_init__(self) -> None:
        if self.save_every is not None and self.save_every < 1:
            raise InputError(f"--save-every must be at least 1, not {self.save_every}")
        for what, path, suffixes in (("history", self.history, HISTORY_SUFFIXES), ("plot", self.plot, PLOT_SUFFIXES)):
            if path and path.suffix.lower() not in suffixes:
                raise InputError(f"a {what} ends in {', '.join(suffixes)}, not {path.suffix or path.name!r}")
        if self.plot and importlib.util.find_spec("matplotlib") is None:
            raise InputError("plots need matplotlib: pip install 'isostyle[plot]'")
        if self.picture != PIPE:
            if self.kind and suffix_of(self.kind) != self.picture.suffix.lower():
                raise InputError("--format is for standard output, -o -; a file's format is its suffix")
            encode.check(self.picture, self.options)
            self.manifest_beside = self.manifest is None
            self.settle_manifest()
            return
        if self.save_every:
            raise InputError("--save-every puts pictures beside the result, and standard output has no place beside it")
        encode.check(Path(f"picture{self.suffix}"), self.options)
        pipes.require_stdout()

    def settle_manifest(self) -> None:
        """Decide where a manifest goes that nobody named. What lies beside the picture may have changed since."""
        if self.manifest_beside:
            self.manifest = beside(self.picture)

    @property
    def suffix(self) -> str:
        """Of the picture, as ``.png``."""
        return self.picture.suffix if self.picture != PIPE else suffix_of(self.kind or encode.USUAL)

    @property
    def name(self) -> str:
        return "standard output" if self.picture == PIPE else str(self.picture)

    @property
    def places(self) -> dict[str, Path | None]:
        return {"picture": self.picture, "manifest": self.manifest, "history": self.history, "plot": self.plot}

    @property
    def files(self) -> list[Path]:
        """Those that a run writes, but for its stages."""
        return [path for path in self.places.values() if path is not None and path != PIPE]

    @property
    def kept(self) -> dict[str, Any]:
        """What a checkpoint keeps: absolute paths, since a run may be resumed from another folder."""
        return {
            **{name: str(path if path == PIPE else path.resolve()) if path else None for name, path in self.places.items()},
            "save_every": self.save_every,
            "format": self.suffix,
            "picture_options": self.options.as_dict(),
        }

    @property
    def described(self) -> dict[str, Any]:
        """What a manifest says of the picture."""
        place = {} if self.picture == PIPE else {"path": str(self.picture)}
        return {**place, "format": format_of(self.suffix), **self.options.as_dict()}

    def stage(self, step: int) -> Path:
        """OUT-0050.png for the picture after 50 steps."""
        return self.picture.with_name(f"{self.picture.stem}-{step:04d}{self.picture.suffix}")

    def stages(self, paths: list[Path], steps: int) -> list[Path]:
        """Those of ``paths`` that ``save_every`` would write to, and those that are there already."""
        if self.save_every is None:
            return []
        begin, end = f"{self.picture.stem}-", self.picture.suffix
        found = []
        for path in [*paths, *self.picture.parent.glob(f"*{end}")]:
            digits = path.stem.removeprefix(begin)
            step = int(digits) if digits.isdecimal() else 0
            if 0 < step < steps and step % self.save_every == 0 and self.stage(step).resolve() == path.resolve():
                found.append(path)
        return found


def suffix_of(kind: str) -> str:
    """``.jpg`` of ``jpg`` or ``.JPG``. Raises InputError if no picture can be written in it."""
    suffix = f".{kind.removeprefix('.').lower()}"
    if not format_of(suffix):
        raise InputError(f"--format {shown(kind)} is not a picture format that can be written (png, jpg, webp, tiff, ...)")
    return suffix


def require_use(options: PictureOptions, suffixes: Iterable[str]) -> None:
    """Raises InputError if --quality says something, and no picture of these suffixes has a quality."""
    if options.quality != QUALITY and not any(format_of(suffix) in encode.WITH_QUALITY for suffix in suffixes):
        raise InputError("--quality is of JPEG, WebP and AVIF (.jpg, .webp, .avif), and nothing here becomes one; leave it out")


def require_apart(outputs: Iterable[tuple[str, Path]]) -> None:
    """Raises InputError if two things, by name, would be written to one file. For some file systems A.png and a.png are one."""
    taken: dict[str, str] = {}
    for name, output in outputs:
        if other := taken.get(key := str(output).lower()):
            raise InputError(f"{other} and {name} would both become {str(output)!r}; give one of them another name")
        taken[key] = name


def beside(picture: Path) -> Path:
    """Where the manifest of a picture goes if nothing else is said: of r.png to r.json; to r.png.json if r.json is there and is
    not this picture's, but r.jpg's or whatever else. A picture that has a manifest by the longer name keeps it."""
    short, long = manifests_of(picture)
    is_taken = os.path.lexists(short) and not tells_of(short, picture)
    return long if is_taken or tells_of(long, picture) else short


def manifests_of(picture: Path) -> tuple[Path, Path]:
    """The two names that the manifest of a picture may have: r.json and r.png.json."""
    return picture.with_suffix(".json"), picture.with_name(f"{picture.name}.json")


def tells_of(manifest: Path, picture: Path) -> bool:
    """Whether a file is the manifest of a picture that has this name, wherever the two were moved."""
    place = at(said_in(manifest), ("output", "path"))
    return isinstance(place, str) and Path(place).name == picture.name


def said_in(manifest: Path | None) -> Any:
    """What a manifest says; None if there is none, or it is no JSON."""
    try:
        return None if manifest is None else parsed(json.loads, files.read_input(manifest))
    except (OSError, ValueError):
        return None


def is_unfinished(told: Any, recipe: Recipe) -> bool:
    """Whether a manifest is that of a run of ``recipe`` that was stopped."""
    return at(told, ("stopped_by",)) is not None and at(told, ("recipe", "digest")) == recipe.digest


def write(result: Result, outputs: Outputs, title: str) -> None:
    """Write the picture of a run, its manifest, and what else is asked for. Raises KeptElsewhere, as :func:`deliver` does (the
    manifest goes with the picture), or IsostyleError, if the picture is written, and another file cannot be."""
    result.manifest["output"] = outputs.described
    outputs.settle_manifest()
    manifest = (json.dumps(result.manifest, indent=1) + "\n").encode()
    try:
        deliver(result.finished, outputs)
    except encode.KeptElsewhere as error:
        with contextlib.suppress(OSError):
            error.place.with_suffix(".json").write_bytes(manifest)
        raise
    if outputs.manifest:
        write_beside(outputs.manifest, manifest, outputs)
    if outputs.history:
        write_beside(outputs.history, history_bytes(result.history, outputs.history.suffix), outputs)
    if outputs.plot:
        write_beside(outputs.plot, plot_bytes(result.history, outputs.plot.suffix, title), outputs)


def deliver(finished: Finished, outputs: Outputs) -> None:
    """Write a finished picture to where it is to go. If that cannot take it any more (a full disk, a folder or a reader gone),
    raise KeptElsewhere: it lies in a temporary file."""
    try:
        if outputs.picture == PIPE:
            pipes.write_stdout(encode.encode(finished, format_of(outputs.suffix), outputs.options))
        else:
            encode.save(finished, outputs.picture, outputs.options)
    except (OSError, ValueError) as error:
        stem = "isostyle" if outputs.picture == PIPE else outputs.picture.stem
        raise encode.keep_elsewhere(finished, outputs.options, outputs.name, stem, error) from error


def write_beside(path: Path, data: bytes, outputs: Outputs) -> None:
    """Write what goes with a picture that is written. Raises IsostyleError, which says that there is one."""
    try:
        files.write_atomically(path, data)
    except OSError as error:
        why = f"{str(path)!r} cannot be written: {files.reason(error)}"
        raise IsostyleError(f"the picture went to {outputs.name!r}, but {why}") from error


def save(picture: Image, path: Path) -> None:
    """Write an RGB picture whole or not at all, in the format of the suffix."""
    encode.save(Finished(picture), path, PictureOptions())


@contextlib.contextmanager
def output_folder(folder: Path | None, places: Iterable[Path] = ()) -> Iterator[None]:
    """Make the folder that outputs go to, if they go to one, and the ``places`` in it; what is new goes again if nothing was
    put there."""
    if folder is None:
        yield
        return
    inner = {each for place in places for each in (place, *place.parents) if each != folder and each.is_relative_to(folder)}
    made: list[Path] = []
    try:
        # In the order of their names a folder comes before those in it.
        for place in (folder, *sorted(inner)):
            if not place.is_dir():
                try:
                    place.mkdir(parents=True)
                except OSError as error:
                    raise InputError(f"the folder {str(place)!r} cannot be made: {files.reason(error)}") from None
                made.append(place)
        yield
    finally:
        for place in reversed(made):
            with contextlib.suppress(OSError):
                place.rmdir()
