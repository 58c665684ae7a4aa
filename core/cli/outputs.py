"""Where a command puts what it makes."""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL.Image import Image

from isostyle.checks import parsed
from isostyle.cli import pipes
from isostyle.cli.pipes import PIPE
from isostyle.cli.report import check_history, check_plot, history_bytes, plot_bytes
from isostyle.errors import InputError, IsostyleError
from isostyle.images import encode, suffixes
from isostyle.images.encode import Finished
from isostyle.images.options import PictureOptions
from isostyle.recipe import Recipe
from isostyle.system import files
from isostyle.transfer.stylize import Result


@dataclass(frozen=True)
class Outputs:
    """Where a run puts what it makes, and how."""

    #: PIPE is standard output.
    picture: Path
    #: A suffix, as ``.png``.
    kind: str
    options: PictureOptions
    manifest: Path | None
    history: Path | None = None
    plot: Path | None = None
    save_every: int | None = None

    @property
    def files(self) -> list[Path]:
        """Those that a run writes, but for its stages."""
        picture = None if self.picture == PIPE else self.picture
        return [path for path in (picture, self.manifest, self.history, self.plot) if path is not None]

    @property
    def name(self) -> str:
        return "standard output" if self.picture == PIPE else str(self.picture)

    @property
    def kept(self) -> dict[str, Any]:
        """What a checkpoint keeps: absolute paths, since a run may be resumed from another folder."""
        places = {"picture": self.picture, "manifest": self.manifest, "history": self.history, "plot": self.plot}
        return {
            **{name: None if path is None else str(path if path == PIPE else path.resolve()) for name, path in places.items()},
            "save_every": self.save_every,
            "format": self.kind,
            "picture_options": self.options.as_dict(),
        }


def outputs_of(
    picture: Path,
    kind: str | None,
    options: PictureOptions,
    *,
    manifest: Path | None,
    history: Path | None = None,
    plot: Path | None = None,
    save_every: int | None = None,
) -> Outputs:
    """Where a run's outputs go.

    Raises:
        InputError: a format is none, cannot hold what the options ask for, or is said twice; or standard output cannot take a
            picture.
    """
    if save_every is not None and save_every < 1:
        raise InputError(f"--save-every must be at least 1, not {save_every}")
    if history:
        check_history(history)
    if plot:
        check_plot(plot)
    if picture != PIPE:
        if kind is not None and f".{kind.removeprefix('.').lower()}" != picture.suffix.lower():
            raise InputError("--format is for standard output, -o -; a file's format is its suffix")
        encode.check(picture, options)
        return Outputs(picture, picture.suffix, options, manifest or beside(picture), history, plot, save_every)
    suffix = f".{(kind or encode.USUAL).removeprefix('.').lower()}"
    if not suffixes.format_of(suffix):
        raise InputError(f"--format {kind} is not a picture format that can be written (png, jpg, webp, tiff, ...)")
    encode.check(Path(f"picture{suffix}"), options)
    if save_every is not None:
        raise InputError("--save-every puts pictures beside the result, and standard output has no place beside it")
    pipes.require_stdout()
    return Outputs(picture, suffix, options, manifest, history, plot)


def beside(picture: Path | None) -> Path | None:
    """Where the manifest of a picture goes if nothing else is said."""
    return None if picture is None or picture == PIPE else picture.with_suffix(".json")


def said_in(manifest: Path | None) -> Any:
    """What a manifest says; None if there is none, or it is no JSON."""
    try:
        return None if manifest is None else parsed(json.loads, manifest.read_bytes())
    except (OSError, ValueError):
        return None


def is_unfinished(told: Any, recipe: Recipe) -> bool:
    """Whether a manifest is that of a run of ``recipe`` that was stopped."""
    try:
        return told["stopped_by"] is not None and told["recipe"]["digest"] == recipe.digest
    except (KeyError, TypeError):
        return False


def write(result: Result, outputs: Outputs, title: str) -> None:
    """Write the picture of a run, its manifest, and the history and the plot if they are asked for.

    Raises:
        KeptElsewhere: as :func:`deliver`; the manifest goes beside the picture.
        IsostyleError: the picture is written, and another file cannot be.
    """
    result.manifest["output"] = {
        **({} if outputs.picture == PIPE else {"path": str(outputs.picture)}),
        "format": suffixes.format_of(outputs.kind),
        **outputs.options.as_dict(),
    }
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
    """Write a finished picture to where it is to go; if that cannot take it any more (a full disk, a folder or a reader gone),
    keep it in a temporary file.

    Raises:
        KeptElsewhere: it went there; the message says where and why.
    """
    try:
        if outputs.picture == PIPE:
            pipes.write_stdout(encode.encode(finished, suffixes.format_of(outputs.kind), outputs.options))
        else:
            encode.save(finished, outputs.picture, outputs.options)
    except (OSError, ValueError) as error:
        stem = "isostyle" if outputs.picture == PIPE else outputs.picture.stem
        raise encode.keep_elsewhere(finished, outputs.options, outputs.name, stem, error) from error


def write_beside(path: Path, data: bytes, outputs: Outputs) -> None:
    """Write what goes with a picture that is written.

    Raises:
        IsostyleError: it cannot be written; the message says that there is a picture.
    """
    try:
        files.write_atomically(path, data)
    except OSError as error:
        raise IsostyleError(
            f"the picture went to {outputs.name!r}, but {str(path)!r} cannot be written: {files.reason(error)}"
        ) from error


def save(picture: Image, path: Path) -> None:
    """Write an RGB picture whole or not at all, in the format of the suffix."""
    encode.save(Finished(picture), path, PictureOptions())


def stage_path(output: Path, step: int) -> Path:
    """OUT-0050.png for the picture after 50 steps."""
    return output.with_name(f"{output.stem}-{step:04d}{output.suffix}")


def is_stage(path: Path, output: Path, save_every: int, steps: int) -> bool:
    """Whether ``--save-every`` would write to ``path``."""
    digits = path.stem.removeprefix(f"{output.stem}-")
    step = int(digits) if digits.isdecimal() and path.suffix == output.suffix else 0
    return 0 < step < steps and step % save_every == 0 and stage_path(output, step).resolve() == path.resolve()


def existing_stages(output: Path, save_every: int, steps: int) -> list[Path]:
    """Files that `--save-every` would overwrite."""
    return [path for path in output.parent.glob(f"*{output.suffix}") if is_stage(path, output, save_every, steps)]


def make_folder(folder: Path) -> bool:
    """Make a folder; True if it was not there before."""
    if folder.is_dir():
        return False
    try:
        folder.mkdir(parents=True)
    except OSError as error:
        raise InputError(f"the folder {str(folder)!r} cannot be made: {error.strerror}") from None
    return True
