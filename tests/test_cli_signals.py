"""Ctrl-C and SIGTERM while a picture is made."""

import json
import os
import re
import signal
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from conftest import BACKENDS, obtain, stopped_by_ctrl_c
from test_cli import QUICK, isostyle, names, opened, program

from isostyle.cli import watch
from isostyle.images import encode
from isostyle.weights import store


def test_a_picture_that_is_kept_from_a_coarse_level_is_called_one(folder, any_backend, capsys, monkeypatch):
    def press(self, event):
        if event.evaluation == 3:
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(watch.Watch, "show", press)
    command = ["run", "photo.jpg", "painting.png", "--backend", any_backend, "--size", "32x48"]
    assert isostyle(*command, "--pyramid", "0.5:7") == 130
    assert re.search("the picture of step ., at 16x24 of a coarse level, is kept", capsys.readouterr().err)
    assert opened("photo-painting.png")[1] == (24, 16)


def test_the_first_ctrl_c_waits_for_the_next_event_whose_picture_is_kept(folder, any_backend, capsys, monkeypatch):
    monkeypatch.setattr(watch.Watch, "show", lambda self, event: signal.raise_signal(signal.SIGINT))
    assert isostyle("run", "photo.jpg", "painting.png", "--backend", any_backend, *QUICK) == 130
    assert "interrupted; the picture of step 1 is kept" in capsys.readouterr().err
    assert json.loads((folder / "photo-painting.json").read_text())["stopped_by"] == "interrupt"


def test_the_second_ctrl_c_does_not_wait_and_the_last_picture_is_kept(folder, any_backend, capsys, monkeypatch):
    def press_twice(self, event):
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(watch.Watch, "show", press_twice)
    assert isostyle("run", "photo.jpg", "painting.png", "--backend", any_backend, *QUICK) == 130
    assert "interrupted; the picture of step 0 is kept" in capsys.readouterr().err


def test_sigterm_is_as_ctrl_c_with_an_exit_code_of_its_own(folder, any_backend, capsys, monkeypatch):
    monkeypatch.setattr(watch.Watch, "show", lambda self, event: signal.raise_signal(signal.SIGTERM))
    assert isostyle("run", "photo.jpg", "painting.png", "--backend", any_backend, *QUICK) == 143
    assert "interrupted; the picture of step 1 is kept" in capsys.readouterr().err


def test_a_manifest_of_any_name_is_known_as_the_run_s_own_when_it_goes_on(folder, any_backend, capsys):
    run = ["run", "photo.jpg", "painting.png", "-o", "out.png", "--manifest", "told.txt", "--backend", any_backend, *QUICK]
    assert stopped_by_ctrl_c([*run, "--checkpoint", "c", "--checkpoint-every", "1"]).returncode == 130
    assert json.loads((folder / "told.txt").read_text())["stopped_by"] == "interrupt"
    assert isostyle("resume", "c") == 0, capsys.readouterr().err
    assert json.loads((folder / "told.txt").read_text())["stopped_by"] is None


def test_ctrl_c_while_the_picture_is_written_does_nothing(folder, any_backend, monkeypatch):
    plain = encode.save

    def press(*arguments):
        signal.raise_signal(signal.SIGINT)
        plain(*arguments)

    monkeypatch.setattr(encode, "save", press)
    assert isostyle("run", "photo.jpg", "painting.png", "--backend", any_backend, *QUICK) == 0
    assert opened("photo-painting.png")[1] == (48, 32)


def test_ctrl_c_before_there_is_a_picture_leaves_nothing(folder, any_backend, capsys, monkeypatch):
    monkeypatch.setattr(store, "load", lambda name: signal.raise_signal(signal.SIGINT))
    assert isostyle("run", "photo.jpg", "painting.png", "--backend", any_backend, *QUICK) == 130
    assert capsys.readouterr().err.strip() == "isostyle: interrupted; nothing was written"
    assert names(folder) == ["painting.png", "photo.jpg"]


def pressed_at_import_of(library, before=""):
    """`isostyle recipes` in a process of its own, to which SIGINT comes when it looks for ``library``."""
    code = (
        "import runpy, signal, sys\n"
        "class Press:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        f"        if name == {library!r}: signal.raise_signal(signal.SIGINT)\n"
        "sys.meta_path.insert(0, Press())\n"
        # A shell's background job, as the tests may be, ignores it, and so do its children.
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "sys.argv = ['isostyle', 'recipes']\n"
        f"{before}\n"
        "runpy.run_module('isostyle', run_name='__main__')"
    )
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


@pytest.mark.parametrize("library", ["isostyle.cli", "click", "rich_click", "isostyle.cli.recipes"])
def test_ctrl_c_while_libraries_are_imported_ends_without_a_traceback(library):
    """In the first tenth of a second."""
    done = pressed_at_import_of(library)
    assert (done.returncode, done.stdout, done.stderr.strip()) == (130, "", "isostyle: interrupted; nothing was written")


def test_a_program_in_the_background_does_not_hear_ctrl_c():
    """A shell without job control lets it ignore the signal."""
    done = pressed_at_import_of("click", "signal.signal(signal.SIGINT, signal.SIG_IGN)")
    assert done.returncode == 0, done.stderr


def test_the_program_begins_where_ctrl_c_is_provided_for():
    project = tomllib.loads(Path(__file__).parents[1].joinpath("pyproject.toml").read_text())
    assert project["project"]["scripts"] == {"isostyle": "isostyle.__main__:main"}


@pytest.mark.slow
@pytest.mark.parametrize("name", BACKENDS)
def test_ctrl_c_keeps_the_last_picture_and_says_so(folder, name):
    obtain(name)
    command = program("--backend", name, "--size", "48x64", "--steps", "100000", "--pyramid", "none")
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        seen = []
        for line in process.stderr:
            seen.append(line)
            if line.startswith("evaluation     20/"):
                break
        process.send_signal(signal.SIGINT)
        rest = process.stderr.read()
    assert process.returncode == 130, "".join(seen) + rest
    assert "interrupted; the picture of step " in rest
    assert "Traceback" not in rest
    assert opened("photo-painting.png")[1] == (64, 48)
    assert json.loads((folder / "photo-painting.json").read_text())["stopped_by"] == "interrupt"
