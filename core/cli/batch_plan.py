"""What `isostyle batch` is to do: runs from a table in TOML or CSV, or every content image with every style image."""

from __future__ import annotations

import csv
import io
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from isostyle.checks import parsed
from isostyle.cli import apply_plan
from isostyle.cli.pipes import PIPE
from isostyle.errors import InputError, shown
from isostyle.system.files import read_input

#: Suffix of a picture whose name is not given.
USUAL_FORMAT = ".png"
#: What a table says of a run beside the options of `isostyle run`.
CONTENT, STYLE, OUTPUT = "content", "style", "output"
#: In TOML: runs one by one, and whole lists, every content image with every style image.
RUNS, CONTENTS, STYLES = "run", "contents", "styles"
TABLES = (".toml", ".csv")
#: A table with more runs than this is a mistake, or not to be believed.
MOST_RUNS = 100_000


@dataclass(frozen=True)
class BatchRun:
    """One run: its pictures, where its own goes, and its options, as they stand on the command line of `isostyle run`."""

    content: Path
    style: Path
    output: Path
    options: tuple[str, ...]

    @property
    def checkpoint(self) -> Path:
        """Where it can go on if it is interrupted; gone when it is finished."""
        return self.output.with_name(f"{self.output.name}.checkpoint")

    @property
    def arguments(self) -> list[str]:
        """Of `isostyle run`. The names of pictures come last: they may begin with a dash."""
        return ["-o", str(self.output), *self.options, "--", str(self.content), str(self.style)]


def every_pair(contents: Sequence[str], styles: Sequence[str], folder: Path, options: Sequence[str]) -> list[BatchRun]:
    """Every content image with every style image; each is a file, a folder or a pattern.

    Raises:
        InputError: as :func:`isostyle.cli.apply_plan.expand`; there is none; two would get one name.
    """
    if not contents or not styles:
        raise InputError("a batch needs content images and style images: --content and --style, or a table of runs")
    found = [apply_plan.expand(each, videos=False)[0] for each in (contents, styles)]
    return apart(
        [BatchRun(one, other, default_output(one, other, folder), tuple(options)) for one in found[0] for other in found[1]]
    )


def default_output(content: Path, style: Path, folder: Path) -> Path:
    return folder / f"{content.stem}-{style.stem}{USUAL_FORMAT}"


def apart(runs: list[BatchRun]) -> list[BatchRun]:
    """``runs``, if each has a picture of its own.

    Raises:
        InputError: two would write one file, or there are far too many.
    """
    if len(runs) > MOST_RUNS:
        raise InputError(f"{len(runs)} runs are more than a batch of {MOST_RUNS}")
    taken: dict[str, BatchRun] = {}
    for run in runs:
        if PIPE in (run.content, run.style, run.output):
            raise InputError("- is standard input or output, and the runs of a batch have none; name files")
        # File systems that take A.png and a.png for one file are common.
        other = taken.setdefault(str(run.output).lower(), run)
        if other is not run:
            raise InputError(
                f"{str(other.content)!r} with {str(other.style)!r} and {str(run.content)!r} with {str(run.style)!r} would both "
                f"become {str(run.output)!r}; give one of them an output of its own in a table"
            )
    return runs


def read_table(path: Path, folder: Path, options: Sequence[str]) -> list[BatchRun]:
    """The runs in a table; ``options`` stand before those of each run, which so have the last word.

    Names of files are relative to the table's folder; outputs that are not named go to ``folder``.

    Raises:
        InputError: it cannot be read, or says what cannot be.
    """
    data, name = read_input(path), str(path)
    kind = path.suffix.lower()
    if kind not in TABLES:
        raise InputError(f"a table of runs ends in {' or '.join(TABLES)}, not {name!r}")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{name!r} is not UTF-8: {error.reason}") from None
    runs = from_toml(text, path, folder, options) if kind == ".toml" else from_csv(text, path, folder, options)
    if not runs:
        raise InputError(f"there is no run in {name!r}")
    # No file system and no command line has one; CSV may have it as it is, TOML as an escape.
    if any("\0" in part for run in runs for part in run.arguments):
        raise InputError(f"{name!r} has a NUL in a name or an option")
    return apart(runs)


def from_csv(text: str, path: Path, folder: Path, options: Sequence[str]) -> list[BatchRun]:
    """A run a row: content, style, and, where they are not empty, output and options of `isostyle run`."""
    try:
        rows = list(csv.DictReader(io.StringIO(text), strict=True))
    except csv.Error as error:
        raise InputError(f"{str(path)!r} is no CSV: {error}") from None
    found = []
    for number, row in enumerate(rows, start=2):
        if None in row:
            raise InputError(f"line {number} of {str(path)!r} has more fields than its head")
        filled = {key: value for key, value in row.items() if value}
        if filled:
            found.append(run_of(filled, f"line {number} of {str(path)!r}", path.parent, folder, options))
    return found


def from_toml(text: str, path: Path, folder: Path, options: Sequence[str]) -> list[BatchRun]:
    """``contents`` and ``styles``, lists; ``[[run]]`` tables with content, style, output; options of `isostyle run` for all,
    or in a table for that run."""
    name = str(path)
    try:
        table = parsed(tomllib.loads, text)
    except ValueError as error:
        raise InputError(f"{name!r} is no TOML: {error}") from None
    runs, contents, styles = (table.pop(key, []) for key in (RUNS, CONTENTS, STYLES))
    for key, value in ((CONTENTS, contents), (STYLES, styles)):
        if not isinstance(value, list) or not all(isinstance(entry, str) and "\0" not in entry for entry in value):
            raise InputError(f"{key} in {name!r} must be a list of names, not {shown(value)}")
    if not isinstance(runs, list) or not all(isinstance(run, dict) for run in runs):
        raise InputError(f"{RUNS} in {name!r} must be tables: [[{RUNS}]]")
    common = [*options, *options_of(table, repr(name))]
    found = []
    if contents or styles:
        mine, theirs = ([str(path.parent / each) for each in names] for names in (contents, styles))
        found += every_pair(mine, theirs, folder, common)
    for number, run in enumerate(runs, start=1):
        found.append(run_of(run, f"run {number} of {name!r}", path.parent, folder, common))
    return found


def run_of(row: Mapping[str, Any], place: str, base: Path, folder: Path, options: Sequence[str]) -> BatchRun:
    """A run from a row or a table that stands at ``place``."""
    row = dict(row)
    names = {key: row.pop(key, None) for key in (CONTENT, STYLE, OUTPUT)}
    for key, value in names.items():
        if (value is None and key != OUTPUT) or not isinstance(value, str | None) or value == "":
            raise InputError(f"{place} needs a name for {key}, not {shown(value)}")
    content, style = base / names[CONTENT], base / names[STYLE]
    output = base / names[OUTPUT] if names[OUTPUT] else default_output(content, style, folder)
    return BatchRun(content, style, output, (*options, *options_of(row, place)))


def options_of(table: Mapping[str, Any], place: str) -> list[str]:
    """``{"style_weight": 1e5, "quiet": true}`` as ``["--style-weight=100000.0", "--quiet"]``."""
    found = []
    for key, value in table.items():
        name = f"--{key.replace('_', '-')}"
        if isinstance(value, bool):
            found += [name] if value else []
        elif isinstance(value, str | int | float):
            found.append(f"{name}={value}")
        else:
            raise InputError(f"{key} in {place} must be text, a number, true or false, not {shown(value)}")
    return found
