"""What `isostyle conform` does: check the request, record, compare, print, and write the reports."""

from __future__ import annotations

import dataclasses
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from isostyle import registry
from isostyle.conformance import page, report
from isostyle.conformance.cases import Case, all_cases, cases_of, select
from isostyle.conformance.compare import ORACLE, Comparison, compare, require_apart
from isostyle.conformance.declared import deviations
from isostyle.conformance.inputs import Inputs, shipped_inputs
from isostyle.conformance.record import record
from isostyle.conformance.trace import POINTS, RUN, Trace, load, printable
from isostyle.errors import InputError, IsostyleError, shown
from isostyle.system.files import check_outputs, write_atomically

#: Recording one backend takes half a minute; a process that is still at it after this has hung.
TIMEOUT_S = 1800


@dataclass(frozen=True)
class Reports:
    """What becomes of a comparison."""

    json_file: Path | None
    junit_file: Path | None
    html_file: Path | None
    #: Files of declared deviations by backend, instead of those that ship.
    deviations: Mapping[str, str]
    force: bool
    quiet: bool

    @property
    def files(self) -> dict[str, Path]:
        """By kind."""
        files = {"json": self.json_file, "junit": self.junit_file, "html": self.html_file}
        return {kind: file for kind, file in files.items() if file}

    def check(self, inputs: Sequence[Path] = ()) -> None:
        """Raises InputError if a file cannot be written or read; before any work."""
        check_outputs(list(self.files.values()), [*inputs, *map(Path, self.deviations.values())], force=self.force)
        if self.html_file:
            page.check()
        for name, path in self.deviations.items():
            deviations(name, Path(path))

    def finish(
        self,
        reference: Trace,
        traces: Sequence[Trace],
        patterns: Sequence[str],
        problems: Sequence[str] = (),
        remarks: Sequence[str] = (),
    ) -> bool:
        """Compare, write the reports and print; whether all is well.

        Args:
            problems: what went wrong before; the comparison fails over it.
            remarks: what is to be printed besides.
        """
        for name in self.deviations.keys() - {trace.name for trace in traces}:
            raise InputError(f"--deviations is given for {name!r}, of which there is no trace")
        files = {name: Path(file) for name, file in self.deviations.items()}
        declared = {trace.name: deviations(trace.name, files.get(trace.name)) for trace in traces}
        found = compare(reference, traces, declared, patterns)
        # Nothing to compare is the consequence of what went wrong before, not a second problem.
        own_problems = found.problems if not problems or traces else ()
        found = dataclasses.replace(found, problems=(*problems, *own_problems), remarks=(*remarks, *found.remarks))
        # Before anything is printed: a reader that goes away must not take the reports with it.
        for kind, path in self.files.items():
            write_atomically(path, rendered(kind, found))
        if not self.quiet:
            click.echo(report.table(found))
        elif not found.passed:
            click.echo(f"isostyle: {report.verdict_line(found)}", err=True)
        return found.passed


def rendered(kind: str, comparison: Comparison) -> bytes:
    if kind == "html":
        return page.as_html(comparison)
    return report.as_json(comparison) if kind == "json" else report.as_junit(comparison)


# `isostyle conform`


def conform(
    names: Sequence[str],
    interpreters: Mapping[str, str],
    patterns: Sequence[str],
    network: str | None,
    output: Path | None,
    threads: int | None,
    device: str,
    force: bool,
    quiet: bool,
    **options: object,
) -> bool:
    """Record the oracle and backends, each in a process of its own, and compare them; whether all is well.

    Raises:
        InputError: the request cannot be met.
        IsostyleError: the oracle was not recorded.
    """
    reports = Reports(**options, force=force, quiet=quiet)  # type: ignore[arg-type]
    chosen = list(dict.fromkeys([*(names or installed()), *interpreters]))
    if not chosen:
        raise InputError("no backend is installed: pip install 'isostyle[torch]' (or [paddle], or [mxnet])")
    check_backends(chosen, interpreters)
    if threads is not None:
        registry.require_threads(threads)
    for name in reports.deviations.keys() - set(chosen):
        raise InputError(f"--deviations is given for {name!r}, which is not compared")
    reports.check()
    cases_for(network, patterns)
    if output:
        check_output(output, [ORACLE, *chosen], force)
    problems, found = [], {}
    with tempfile.TemporaryDirectory() as temporary:
        for name in [ORACLE, *chosen]:
            # Always to a new place, so that what is found there was recorded now.
            place = Path(temporary) / name
            python = interpreters.get(name, sys.executable)
            request = Request(name, place, patterns, network, threads, "cpu" if name == ORACLE else device)
            try:
                line = record_elsewhere(python, request)
            except Failed as problem:
                problems.append(str(problem))
                continue
            if not quiet:
                click.echo(line, err=True)
            found[name] = load(place)
            if found[name].name != name:
                raise InputError(f"{python!r} recorded {found[name].name!r}, and not {name!r}")
            if output:
                copy_trace(place, output / name)
    if ORACLE not in found:
        raise IsostyleError(f"the oracle was not recorded: {problems[0]}")
    return reports.finish(found.pop(ORACLE), list(found.values()), patterns, problems)


def installed() -> list[str]:
    """The backends that nothing is known against; a third party's is here if it is registered."""
    return [name for name in registry.names() if registry.why_missing(name) is None]


def check_backends(names: Iterable[str], interpreters: Mapping[str, str]) -> None:
    """Raises InputError if one cannot be used: before half a minute of work, not after.

    What other interpreters have is not known here.
    """
    for name, python in interpreters.items():
        if shutil.which(python) is None:
            raise InputError(f"{python!r} cannot be run to record {name!r}: it is no program")
    for name in names:
        if name == ORACLE:
            raise InputError("the oracle is always recorded; name the backends to compare with it")
        if name not in interpreters:
            if name not in registry.names():
                raise InputError(f"there is no backend {shown(name)}; there are {', '.join(registry.names())}")
            if reason := registry.why_missing(name):
                raise registry.BackendMissing(f"backend {name!r} is {reason}")


def check_output(output: Path, names: Iterable[str], force: bool) -> None:
    """Raises InputError unless traces of these names can go to ``output``."""
    if output.exists() and not output.is_dir():
        raise InputError(f"{str(output)!r} is a file; name a folder")
    if (output / RUN).exists():
        raise InputError(f"{str(output)!r} is itself a trace; name the folder that traces go to")
    for name in names:
        check_folder(output / name, force)


def check_folder(place: Path, force: bool) -> None:
    """Raises InputError unless the folder is not there yet, is empty, or (with ``force``) holds a trace."""
    name = repr(str(place))
    if place.exists() and not place.is_dir():
        raise InputError(f"{name} is a file; name a folder")
    if place.is_dir():
        held = {path.name for path in place.iterdir()}
        if held - {POINTS, RUN}:
            raise InputError(f"{name} holds other files than a trace; name another folder")
        if held and not force:
            raise InputError(f"{name} holds a trace already; use --force to overwrite it")


def copy_trace(source: Path, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for file in (POINTS, RUN):
        write_atomically(folder / file, (source / file).read_bytes())


@dataclass(frozen=True)
class Request:
    """What another process is to record, and where."""

    name: str
    place: Path
    patterns: Sequence[str]
    network: str | None
    threads: int | None
    device: str

    def command(self, python: str) -> list[str]:
        words = [python, "-m", "isostyle", "conform", "record", self.name]
        words += [f"--output={self.place}", f"--device={self.device}"]
        words += [f"--case={pattern}" for pattern in self.patterns]
        given = {"network": self.network, "threads": self.threads}
        return words + [f"--{option}={value}" for option, value in given.items() if value is not None]


class Failed(Exception):
    """What went wrong in another process, in a sentence."""


def record_elsewhere(python: str, request: Request) -> str:
    """Record in a process of its own, started afresh; returns its last line.

    A forked process would share the state of the frameworks' threads, and hang; a crash ends that process only.

    Raises:
        InputError: the interpreter cannot be used, or it refused its input.
        Failed: there is no trace.
    """
    name = request.name
    try:
        answer = subprocess.run(
            request.command(python),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=TIMEOUT_S,
            check=False,
            # Files of the current folder are no modules of ours.
            env={**os.environ, "PYTHONSAFEPATH": "1"},
        )
    except OSError as error:
        raise InputError(f"{python!r} cannot be run to record {name!r}: {error.strerror}") from None
    except subprocess.TimeoutExpired:
        raise Failed(f"{name}: recording took more than {TIMEOUT_S // 60} minutes, and was stopped") from None
    said = [line for line in answer.stderr.splitlines() if line.strip()]
    last = printable(said[-1].removeprefix("isostyle: ")) if said else "it said nothing"
    if "No module named isostyle" in last or "No such command" in last:
        raise InputError(f"{python!r} has no isostyle with `conform`: pip install isostyle there")
    if answer.returncode == InputError.exit_code:
        raise InputError(last)
    if answer.returncode == 130:
        raise KeyboardInterrupt
    if answer.returncode:
        how = f"signal {-answer.returncode}" if answer.returncode < 0 else f"exit code {answer.returncode}"
        raise Failed(f"{name}: recording ended with {how}: {last}")
    if not (request.place / RUN).is_file():
        raise Failed(f"{name}: recording left no trace: {last}")
    return last


# `isostyle conform record`


def record_here(
    name: str,
    output: Path,
    patterns: Sequence[str],
    network: str | None,
    threads: int | None,
    device: str,
    force: bool,
    quiet: bool,
) -> None:
    """Record a backend, or the oracle, in this process, and write its trace to the folder ``output``."""
    check_folder(output, force)
    found = recorded(name, patterns, network, threads, device, quiet)
    output.mkdir(parents=True, exist_ok=True)
    found.save(output)


def recorded(name: str, patterns: Sequence[str], network: str | None, threads: int | None, device: str, quiet: bool) -> Trace:
    log = None if quiet else lambda line: click.echo(line, err=True)
    return record(name, *cases_for(network, patterns), threads=threads, device=device, log=log)


def cases_for(network: str | None, patterns: Sequence[str]) -> tuple[tuple[Case, ...], Inputs]:
    """The chosen cases, for a network of the user's if one is named, and their inputs.

    Raises:
        InputError: there is no such network, or a pattern matches no case.
    """
    if network is None:
        return select(all_cases(), patterns), shipped_inputs()
    name = Path(network).stem if network.endswith(".safetensors") else network
    inputs = shipped_inputs({name: network})
    return select(cases_of(name, inputs.network(name).network), patterns), inputs


# `isostyle conform compare`


def compare_traces(
    folders: Sequence[Path],
    reference: Path | None,
    patterns: Sequence[str],
    network: str | None,
    force: bool,
    quiet: bool,
    **options: object,
) -> bool:
    """Compare traces that were recorded before; whether all is well.

    Args:
        reference: the oracle's trace; None: the oracle computes now.
    """
    reports = Reports(**options, force=force, quiet=quiet)  # type: ignore[arg-type]
    reports.check([folder / file for folder in (*folders, *([reference] if reference else [])) for file in (POINTS, RUN)])
    others = [trace for trace in map(load, folders) if trace.name != ORACLE]
    require_apart(others)  # before the oracle computes for minutes
    if reference is None:
        return reports.finish(recorded(ORACLE, patterns, network, None, "cpu", quiet), others, patterns)
    believed = load(reference)
    if believed.name != ORACLE:
        raise InputError(f"{str(reference)!r} is a trace of {believed.name!r}, and the reference is the oracle's")
    return reports.finish(believed, others, patterns, remarks=about(believed, network))


def about(reference: Trace, network: str | None) -> list[str]:
    """What a user should know of an oracle's trace that is believed: whether it is of this isostyle's specification."""
    cases, inputs = cases_for(network, ())
    mine = {case.name: inputs.digest(case) for case in cases}
    theirs = {case: entry.get("digest") for (_, case), entry in reference.entries.items()}
    same = sum(theirs.get(case) == digest for case, digest in mine.items())
    return [f"the reference has {same} of this isostyle's {len(mine)} cases as they are now"] if same < len(mine) else []
