"""What `isostyle batch` is to do: runs from a table in TOML or CSV, or every content image with every style image."""

from __future__ import annotations

import csv
import dataclasses
import io
import tomllib
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from isostyle.checks import parsed
from isostyle.cli.apply_plan import expand, silent
from isostyle.cli.outputs import require_apart
from isostyle.cli.pipes import PIPE
from isostyle.errors import InputError, shown
from isostyle.system.files import read_input

#: Suffix of a picture whose name is not given.
USUAL_FORMAT = ".png"
#: What a table says of a run beside the options of `isostyle run`.
CONTENT, STYLE, OUTPUT = "content", "style", "output"
#: In TOML: runs one by one, and whole lists, every content image with every style image.
RUNS, CONTENTS, STYLES = "run", "contents", "styles"
#: What a table's runs are called, by its suffix, and the number of the first: a CSV's line 1 is its head.
TABLES = {".toml": ("run", 1), ".csv": ("line", 2)}
#: A table with more runs than this is a mistake, or not to be believed.
MOST_RUNS = 100_000


@dataclass(frozen=True)
class BatchRun:
    """One run: its pictures, where its own goes, and its options, as they stand on the command line of `isostyle run`."""

    content: Path
    style: Path
    output: Path
    options: tuple[str, ...]
    #: Whether the output was named, and not made up of the names of content and style.
    is_named: bool = field(default=True, compare=False)

    @property
    def checkpoint(self) -> Path:
        """Where it can go on if it is interrupted; gone when it is finished."""
        return self.output.with_name(f"{self.output.name}.checkpoint")

    @property
    def arguments(self) -> list[str]:
        """Of `isostyle run`. The names of pictures come last: they may begin with a dash."""
        return ["-o", str(self.output), *self.options, "--", str(self.content), str(self.style)]


def every_pair(
    contents: Sequence[str],
    styles: Sequence[str],
    folder: Path,
    options: Sequence[str],
    *,
    recursive: bool = False,
    tell: Callable[[str], None] = silent,
) -> list[BatchRun]:
    """Every content image with every style image; each is a file, a folder or a pattern. ``tell`` is told what is left out of
    those. A content image that lies in a folder in a folder has its outputs in one of that name.

    Raises:
        InputError: there is none.
    """
    if not contents or not styles:
        raise InputError("a batch needs content images and style images: --content and --style, or a table of runs")
    how: dict[str, Any] = {"videos": False, "recursive": recursive, "without": folder, "tell": tell}
    ones, others = (expand(each, **how)[0] for each in (contents, styles))
    return [unnamed(one.path, other.path, folder / one.below, tuple(options)) for one in ones for other in others]


def unnamed(content: Path, style: Path, folder: Path, options: tuple[str, ...]) -> BatchRun:
    """A run whose output has the names of content and style, without their suffixes."""
    return BatchRun(content, style, folder / f"{content.stem}-{style.stem}{USUAL_FORMAT}", options, is_named=False)


def settle(runs: Sequence[BatchRun]) -> list[BatchRun]:
    """The runs, the outputs that nobody named apart from each other: a.jpg and a.png in the style of oil.jpg become
    a.jpg-oil.png and a.png-oil.png, and not both a-oil.png.

    Raises:
        InputError: two runs would write one file all the same, or one has none, or there are far too many.
    """
    groups: defaultdict[str, list[BatchRun]] = defaultdict(list)
    for run in runs:
        if not run.is_named:
            groups[str(run.output).lower()].append(run)
    settled = [run if run.is_named else apart(run, groups[str(run.output).lower()]) for run in runs]
    check(settled)
    return settled


def apart(run: BatchRun, group: Sequence[BatchRun]) -> BatchRun:
    """A run of a ``group`` that has one output: with the suffixes of the contents, or of the styles, if they differ."""
    if len(group) == 1:
        return run
    content = run.content.name if len({each.content for each in group}) > 1 else run.content.stem
    style = run.style.name if len({each.style for each in group}) > 1 else run.style.stem
    return dataclasses.replace(run, output=run.output.with_name(f"{content}-{style}{USUAL_FORMAT}"))


def check(runs: Sequence[BatchRun]) -> None:
    """Raises InputError if two runs would write one file, if one has none, or if there are far too many."""
    if len(runs) > MOST_RUNS:
        raise InputError(f"{len(runs)} runs are more than a batch of {MOST_RUNS}")
    if any(PIPE in (run.content, run.style, run.output) for run in runs):
        raise InputError("- is standard input or output, and the runs of a batch have none; name files")
    require_apart((f"{str(run.content)!r} with {str(run.style)!r}", run.output) for run in runs)


def read_table(
    path: Path, folder: Path, options: Sequence[str], *, recursive: bool = False, tell: Callable[[str], None] = silent
) -> list[BatchRun]:
    """The runs in a table; ``options`` stand before those of each run, which so have the last word.

    Names of files are relative to the table's folder; outputs that are not named go to ``folder``. ``recursive`` and ``tell``
    are those of :func:`every_pair`.

    Raises:
        InputError: it cannot be read, or says what cannot be.
    """
    data, name, kind = read_input(path), repr(str(path)), path.suffix.lower()
    if kind not in TABLES:
        raise InputError(f"a table of runs ends in {' or '.join(TABLES)}, not {name}")
    try:
        text = data.decode("utf-8-sig")
        table: dict[str, Any] = parsed(tomllib.loads, text) if kind == ".toml" else {RUNS: rows_of_csv(text)}
    except UnicodeDecodeError as error:
        raise InputError(f"{name} is not UTF-8: {error.reason}") from None
    except (ValueError, csv.Error) as error:
        raise InputError(f"{name} is no {kind[1:].upper()}: {error}") from None
    rows, contents, styles = (table.pop(key, []) for key in (RUNS, CONTENTS, STYLES))
    for key, value in ((CONTENTS, contents), (STYLES, styles)):
        if not isinstance(value, list) or not all(isinstance(entry, str) and "\0" not in entry for entry in value):
            raise InputError(f"{key} in {name} must be a list of names, not {shown(value)}")
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise InputError(f"{RUNS} in {name} must be tables: [[{RUNS}]]")
    common, base = [*options, *options_of(table, name)], path.parent
    runs = []
    if contents or styles:
        ones, others = ([str(base / each) for each in found] for found in (contents, styles))
        runs = every_pair(ones, others, folder, common, recursive=recursive, tell=tell)
    unit, first = TABLES[kind]
    runs += [run_of(row, f"{unit} {i} of {name}", base, folder, common) for i, row in enumerate(rows, first) if row]
    if not runs:
        raise InputError(f"there is no run in {name}")
    # No file system and no command line has one; CSV may have it as it is, TOML as an escape.
    if any("\0" in part for run in runs for part in run.arguments):
        raise InputError(f"{name} has a NUL in a name or an option")
    return settle(runs)


def rows_of_csv(text: str) -> list[dict[str, str]]:
    """The fields of each row that are not empty. Raises csv.Error if it is no CSV."""
    rows = list(csv.DictReader(io.StringIO(text), strict=True))
    for number, row in enumerate(rows, start=2):
        if None in row:
            raise csv.Error(f"line {number} has more fields than its head")
    return [{key: value for key, value in row.items() if value} for row in rows]


def run_of(row: Mapping[str, Any], place: str, base: Path, folder: Path, options: Sequence[str]) -> BatchRun:
    """A run from a row or a table that stands at ``place``."""
    row = dict(row)
    names: dict[str, Any] = {key: row.pop(key, None) for key in (CONTENT, STYLE, OUTPUT)}
    for key, value in names.items():
        if (value is None and key != OUTPUT) or not isinstance(value, str | None) or value == "":
            raise InputError(f"{place} needs a name for {key}, not {shown(value)}")
    content, style = base / names[CONTENT], base / names[STYLE]
    options = (*options, *options_of(row, place))
    return (
        BatchRun(content, style, base / names[OUTPUT], options) if names[OUTPUT] else unnamed(content, style, folder, options)
    )


def options_of(table: Mapping[str, Any], place: str) -> list[str]:
    """``{"style_weight": 1e5, "quiet": true}`` as ``["--style-weight=100000.0", "--quiet"]``."""
    found = []
    for key, value in table.items():
        name = f"--{key.replace('_', '-')}"
        if not isinstance(value, str | int | float):
            raise InputError(f"{key} in {place} must be text, a number, true or false, not {shown(value)}")
        if value is not False:
            found.append(name if value is True else f"{name}={value}")
    return found
