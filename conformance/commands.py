"""``isostyle conform``: reached from the command line through the entry-point group ``isostyle.commands``."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from isostyle.errors import InputError, IsostyleError, shown

if TYPE_CHECKING:
    from isostyle.conformance.compare import Comparison
    from isostyle.conformance.trace import Trace

#: Recording one backend takes half a minute; a process that is still at it after this has hung.
TIMEOUT_S = 1800

case_option = click.option(
    "--case", "patterns", multiple=True, metavar="PATTERN", help="Only cases of this name, as 'gradient/*'; may be repeated."
)
threads_option = click.option("--threads", type=int, metavar="N", help="CPU threads [default: OMP_NUM_THREADS, or all cores].")
device_option = click.option("--device", default="cpu", show_default=True, metavar="NAME", help="cpu, cuda, cuda:1, ...")
force_option = click.option("--force", is_flag=True, help="Overwrite outputs that exist.")
quiet_option = click.option("--quiet", is_flag=True, help="Print nothing but errors; the exit code tells.")


def report_options(command: Callable[..., None]) -> Callable[..., None]:
    """Options that `conform` and `conform compare` share."""
    path = click.Path(path_type=Path)
    for option in reversed(
        (
            click.option("--json", "json_file", type=path, metavar="FILE", help="Every verdict, for programs."),
            click.option("--junit", "junit_file", type=path, metavar="FILE", help="JUnit XML, for CI systems."),
            click.option("--html", "html_file", type=path, metavar="FILE", help="One page with everything, pictures included."),
            click.option(
                "--deviations",
                multiple=True,
                metavar="NAME=FILE",
                help="Declared deviations of a backend (TOML), instead of those that ship; may be repeated.",
            ),
        )
    ):
        command = option(command)
    return command


@click.group(invoke_without_command=True, short_help="Prove that backends compute the right numbers.")
@click.option(
    "--backend",
    "names",
    multiple=True,
    metavar="NAME",
    help="Any registered backend; may be repeated [default: all installed].",
)
@click.option(
    "--python",
    "pythons",
    multiple=True,
    metavar="NAME=PATH",
    help="Record NAME, too, with this interpreter, which has isostyle; may be repeated.",
)
@case_option
@click.option("-o", "--output", type=click.Path(path_type=Path), metavar="FOLDER", help="Keep the traces in this folder.")
@report_options
@threads_option
@device_option
@force_option
@quiet_option
@click.pass_context
def conform(
    context: click.Context,
    /,
    names: tuple[str, ...],
    pythons: tuple[str, ...],
    patterns: tuple[str, ...],
    output: Path | None,
    force: bool,
    quiet: bool,
    threads: int | None,
    device: str,
    **options: Any,
) -> None:
    """Record backends, each in a process of its own, and compare them with the float64 oracle and with each other.

    \b
      isostyle conform                                    every backend that is installed
      isostyle conform --backend torch --html page.html
      isostyle conform --python mxnet=old/bin/python --backend torch
      isostyle conform record torch -o traces/torch       one backend, to be compared later, elsewhere
      isostyle conform compare traces/*                   what was recorded, whenever and wherever

    Exit codes: 0 all within tolerance, or deviating as declared; 1 something is not, or is missing, or nothing was compared;
    2 the input cannot be used.
    """
    if context.invoked_subcommand is not None:
        given = [name for name in context.params if context.get_parameter_source(name) is ParameterSource.COMMANDLINE]
        if given:
            raise click.UsageError(f"options of `{context.invoked_subcommand}` come after it.", context)
        return
    from isostyle import registry
    from isostyle.conformance import trace
    from isostyle.conformance.compare import ORACLE
    from isostyle.system.files import write_atomically

    interpreters = pairs(pythons, "--python")
    chosen = list(dict.fromkeys([*names, *interpreters])) if names else list(dict.fromkeys([*installed(), *interpreters]))
    if not chosen:
        raise InputError("no backend is installed: pip install 'isostyle[torch]' (or [paddle], or [mxnet])")
    check_backends(chosen, interpreters)
    if threads is not None:
        registry.require_threads(threads)
    for name in pairs(options["deviations"], "--deviations").keys() - set(chosen):
        raise InputError(f"--deviations is given for {name!r}, which is not compared")
    reports = check_reports(options, force)
    if output:
        if output.exists() and not output.is_dir():
            raise InputError(f"{str(output)!r} is a file; name a folder")
        if (output / trace.RUN).exists():
            raise InputError(f"{str(output)!r} is itself a trace; name the folder that traces go to")
        check_folders([output / name for name in [ORACLE, *chosen]], force)
    problems, found = [], {}
    with tempfile.TemporaryDirectory() as temporary:
        for name in [ORACLE, *chosen]:
            # Always to a new place, so that what is found there was recorded now.
            place = Path(temporary) / name
            problem = record_elsewhere(
                interpreters.get(name, sys.executable),
                name,
                place,
                ["--case=" + pattern for pattern in patterns],
                threads,
                "cpu" if name == ORACLE else device,
                quiet,
            )
            if problem:
                problems.append(problem)
                continue
            found[name] = trace.load(place)
            if found[name].name != name:
                raise InputError(f"{interpreters.get(name)!r} recorded {found[name].name!r}, and not {name!r}")
            if output:
                (output / name).mkdir(parents=True, exist_ok=True)
                for file in (trace.POINTS, trace.RUN):
                    write_atomically(output / name / file, (place / file).read_bytes())
    if ORACLE not in found:
        raise IsostyleError(f"the oracle was not recorded: {problems[0]}")
    finish(found.pop(ORACLE), list(found.values()), patterns, reports, options["deviations"], problems, quiet)


@conform.command(name="record", short_help="Have one backend compute every case.")
@click.argument("name")
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), metavar="FOLDER", help="Where the trace goes.")
@case_option
@threads_option
@device_option
@force_option
@quiet_option
def record_command(
    name: str, output: Path, patterns: tuple[str, ...], threads: int | None, device: str, force: bool, quiet: bool
) -> None:
    """Have the backend NAME (or `oracle`) compute every case in this process, and write the trace to FOLDER.

    The trace, points.npz and run.json, can be compared on any machine, in any later year.
    """
    if threads is not None:
        # Before NumPy is imported, which takes its threads from here, and with it the oracle.
        os.environ["OMP_NUM_THREADS"] = str(threads)
    from isostyle.conformance.cases import all_cases, select, shipped_inputs
    from isostyle.conformance.record import record

    check_folders([output], force)
    cases = select(all_cases(), patterns)
    log = None if quiet else lambda line: click.echo(line, err=True)
    found = record(name, cases, shipped_inputs(), threads=threads, device=device, log=log)
    output.mkdir(parents=True, exist_ok=True)
    found.save(output)


@conform.command(name="compare", short_help="Compare traces that were recorded before.")
@click.argument("traces", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--reference", type=click.Path(path_type=Path), metavar="FOLDER", help="The oracle's trace [default: recorded now]."
)
@case_option
@report_options
@force_option
@quiet_option
def compare_command(
    traces: tuple[Path, ...], reference: Path | None, patterns: tuple[str, ...], force: bool, quiet: bool, **options: Any
) -> None:
    """Compare TRACES with the oracle's, and with each other.

    The oracle computes anew, whatever lies among TRACES, unless --reference names a trace of it that is to be believed.
    """
    from isostyle.conformance import trace
    from isostyle.conformance.compare import ORACLE, require_apart

    inputs = [folder / file for folder in (*traces, *([reference] if reference else [])) for file in (trace.POINTS, trace.RUN)]
    reports = check_reports(options, force, inputs)
    found = [trace.load(path) for path in traces]
    others = [one for one in found if one.name != ORACLE]
    require_apart(others)  # before the oracle computes for minutes
    if reference is not None:
        believed = trace.load(reference)
        if believed.name != ORACLE:
            raise InputError(f"{str(reference)!r} is a trace of {believed.name!r}, and the reference is the oracle's")
    else:
        from isostyle.conformance.cases import all_cases, select, shipped_inputs
        from isostyle.conformance.record import record

        log = None if quiet else lambda line: click.echo(line, err=True)
        believed = record(ORACLE, select(all_cases(), patterns), shipped_inputs(), log=log)
    remarks = [] if reference is None else about(believed)
    finish(believed, others, patterns, reports, options["deviations"], [], quiet, remarks)


@conform.command(name="cases", short_help="List the cases.")
@case_option
def cases_command(patterns: tuple[str, ...]) -> None:
    """List the cases: name, dtypes, and the backends that a case is meant for, if not for all."""
    from isostyle.conformance.cases import all_cases, select

    for case in select(all_cases(), patterns):
        only = f"  only {', '.join(case.only)}" if case.only else ""
        click.echo(f"{case.name:<36} {', '.join(case.dtypes)}{only}")


def finish(
    reference: Trace,
    traces: Sequence[Trace],
    patterns: Sequence[str],
    reports: dict[str, Path],
    deviation_files: Sequence[str],
    problems: Sequence[str],
    quiet: bool,
    remarks: Sequence[str] = (),
) -> None:
    """Compare, print, write the reports, and end with exit code 1 if anything is wrong."""
    import dataclasses

    from isostyle.conformance import compare, report
    from isostyle.system.files import write_atomically

    files = pairs(deviation_files, "--deviations")
    for name in files.keys() - {trace.name for trace in traces}:
        raise InputError(f"--deviations is given for {name!r}, of which there is no trace")
    declared = {trace.name: compare.deviations(trace.name, path_of(files.get(trace.name))) for trace in traces}
    found = compare.compare(reference, traces, declared, patterns)
    found = dataclasses.replace(found, remarks=(*remarks, *found.remarks))
    # Nothing to compare is the consequence of what went wrong before, not a second problem.
    found = dataclasses.replace(found, problems=tuple(problems) + (found.problems if not problems or traces else ()))
    # Before anything is printed: a reader that goes away must not take the reports with it.
    for kind, path in reports.items():
        write_atomically(path, rendered(kind, found))
    if not quiet:
        click.echo(report.table(found))
    if not found.passed:
        if quiet:
            click.echo(f"isostyle: {report.verdict_line(found)}", err=True)
        raise click.exceptions.Exit(1)


def about(reference: Trace) -> list[str]:
    """What is to be known of an oracle's trace that is believed: whether it is of this isostyle's specification."""
    from isostyle.conformance.cases import all_cases, shipped_inputs

    inputs = shipped_inputs()
    mine = {case.name: inputs.digest(case) for case in all_cases()}
    theirs = {case: entry.get("digest") for (_, case), entry in reference.entries.items()}
    same = sum(theirs.get(case) == digest for case, digest in mine.items())
    return [f"the reference has {same} of this isostyle's {len(mine)} cases as they are now"] if same < len(mine) else []


def rendered(kind: str, comparison: Comparison) -> bytes:
    from isostyle.conformance import report

    if kind == "html":
        from isostyle.conformance.page import as_html

        return as_html(comparison)
    return report.as_json(comparison) if kind == "json" else report.as_junit(comparison)


def record_elsewhere(
    python: str, name: str, place: Path, options: Sequence[str], threads: int | None, device: str, quiet: bool
) -> str | None:
    """Record ``name`` in a process of its own, started afresh; what went wrong, in a sentence, or None.

    A forked process would share the state of the frameworks' threads, and hang; a crash ends that process only.

    Raises:
        InputError: the interpreter cannot be used, or it refused its input.
    """
    from isostyle.conformance.trace import RUN, printable

    command = [python, "-m", "isostyle", "conform", "record", name, f"--output={place}", f"--device={device}", *options]
    command += [f"--threads={threads}"] if threads is not None else []
    try:
        answer = subprocess.run(
            command,
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
        return f"{name}: recording took more than {TIMEOUT_S // 60} minutes, and was stopped"
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
        return f"{name}: recording ended with {how}: {last}"
    if not (place / RUN).is_file():
        return f"{name}: recording left no trace: {last}"
    if not quiet:
        click.echo(last, err=True)
    return None


def installed() -> list[str]:
    """The backends that nothing is known against; a third party's is here if it is registered."""
    from isostyle import registry

    return [name for name in registry.names() if registry.why_missing(name) is None]


def check_backends(names: Sequence[str], interpreters: dict[str, str]) -> None:
    """Errors before half a minute of work, not after. What other interpreters have is not known here."""
    from isostyle import registry
    from isostyle.conformance.compare import ORACLE

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


def check_reports(options: dict[str, Any], force: bool, inputs: Sequence[Path] = ()) -> dict[str, Path]:
    """The report files by kind, checked before any work."""
    from isostyle.system.files import check_outputs

    found = {kind: options[f"{kind}_file"] for kind in ("json", "junit", "html") if options[f"{kind}_file"]}
    declared = pairs(options["deviations"], "--deviations")
    check_outputs(list(found.values()), [*inputs, *map(Path, declared.values())], force=force)
    if "html" in found:
        from isostyle.conformance.page import check

        check()
    for name, path in declared.items():
        from isostyle.conformance.compare import deviations

        deviations(name, Path(path))
    return found


def check_folders(places: Iterator[Path] | Sequence[Path] | Any, force: bool) -> None:
    """Traces go to folders that are not there yet, are empty, or (with --force) hold a trace."""
    from isostyle.conformance.trace import POINTS, RUN

    for place in places:
        name = repr(str(place))
        if place.exists() and not place.is_dir():
            raise InputError(f"{name} is a file; name a folder")
        if place.is_dir():
            held = {path.name for path in place.iterdir()}
            if held - {POINTS, RUN}:
                raise InputError(f"{name} holds other files than a trace; name another folder")
            if held and not force:
                raise InputError(f"{name} holds a trace already; use --force to overwrite it")


def pairs(texts: Sequence[str], option: str) -> dict[str, str]:
    """NAME=VALUE options as a dict."""
    found = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not (name and equals and value):
            raise InputError(f"{option} takes NAME=PATH, as mxnet=/path/to/it, not {shown(text)}")
        found[name] = value
    return found


def path_of(text: str | None) -> Path | None:
    return None if text is None else Path(text)
