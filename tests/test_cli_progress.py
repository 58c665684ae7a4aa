"""How `isostyle run` tells of its progress."""

import contextlib
import dataclasses
import os
import re
import shlex
import subprocess

import pytest
from test_cli import QUICK, opened, program

from isostyle.cli import progress, watch
from isostyle.cli.interrupts import Interrupt
from isostyle.cli.progress import Teller, say
from isostyle.recipe import Reporting
from isostyle.transfer.descent import Event
from isostyle.transfer.override import override


def test_progress_at_a_trial_has_the_losses_of_the_last_picture_that_was_none(capsys):
    """Whether that was reported or not: here only the trial is due."""

    def event(number, total, **changes):
        terms = {"content/a": total, "total": total}
        return Event(0, number, 1.0, terms, lambda: None, (8, 8), 0.5, 3, **changes)

    recipe = override("d2l", optimizer="lbfgs", line_search="strong-wolfe")
    reporting = Reporting(first=3, every=3, values=(("total", 1.0),))
    shown = watch.Watch(dataclasses.replace(recipe, report=reporting), Teller(say, say), Interrupt())
    for each in (event(1, 8.0), event(2, 5.0), event(3, 1e9, trial=True)):
        shown.callback(each)
    assert capsys.readouterr().err == "evaluation 3/3  total 5\n"


def half_done(number, done):
    """Of a run of 100 evaluations that was resumed at the 50th."""
    terms = {"content/a": 1.0, "total": 1.0}
    return Event(0, number, 1.0, terms, lambda: None, (8, 8), done, 100)


def test_the_time_left_of_a_resumed_run_counts_only_what_this_session_did(capsys, monkeypatch):
    recipe = dataclasses.replace(override("d2l"), report=Reporting(first=1, every=1, values=(("total", 1.0),)))
    shown = watch.Watch(recipe, Teller(say, say), Interrupt())
    for seconds, event in ((7.0, half_done(51, 0.5)), (17.0, half_done(61, 0.6))):
        monkeypatch.setattr(progress.time, "monotonic", lambda seconds=seconds: seconds)
        shown.callback(event)
    first, second = capsys.readouterr().err.splitlines()
    assert "eta" not in first
    assert second.endswith("eta 40 s")


def test_the_bar_of_a_resumed_run_counts_only_what_this_session_did():
    from rich.progress import Progress

    seconds = 0.0
    live = Progress(get_time=lambda: seconds, speed_estimate_period=100)
    shown = watch.Watch(override("d2l"), Teller(say, say, live), Interrupt())
    for seconds, event in ((7.0, half_done(51, 0.5)), (17.0, half_done(61, 0.6))):  # noqa: B007 - the clock reads it
        shown.callback(event)
    (task,) = live.tasks
    assert (task.completed, task.time_remaining) == (60, 40)


@pytest.mark.parametrize("redirection", ["2>&1 | head -n 1", "2>&-", "2>/dev/full"])
def test_a_broken_stderr_does_not_end_the_run(folder, any_backend, redirection):
    command = shlex.join(program("-o", "out.png", "--backend", any_backend, *QUICK))
    subprocess.run(f"{command} {redirection}", shell=True, check=False, capture_output=True)
    assert opened("out.png")[1] == (48, 32)


def test_a_terminal_of_eighty_columns_shows_bar_eta_and_losses(folder, any_backend):
    """stderr is a pseudo-terminal here."""
    pty = pytest.importorskip("pty", reason="pseudo-terminals are POSIX's")
    ours, theirs = pty.openpty()
    command = program("--backend", any_backend, "--size", "32x48", "--steps", "20", "--pyramid", "none")
    environment = {**os.environ, "COLUMNS": "80", "TERM": "xterm-256color"}
    with subprocess.Popen(command, stderr=theirs, env=environment) as process:
        os.close(theirs)
        shown = b""
        with contextlib.suppress(OSError):  # the end of a pseudo-terminal
            while chunk := os.read(ours, 4096):
                shown += chunk
    os.close(ours)
    assert process.returncode == 0
    text = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", shown.decode())
    last = [line for line in re.split(r"[\r\n]+", text) if "20/20" in line][-1]
    assert re.search(r"20/20 +\d\d:\d\d +content [\d.e+-]+  style [\d.e+-]+  tv [\d.e+-]+  total [\d.e+-]+", last), last
