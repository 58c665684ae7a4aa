"""The command line itself: help, usage errors, `isostyle backends`; and what tests of all commands share."""

import re
import sys

import click
import pytest
from PIL import Image

from isostyle.cli import main as main_cli
from isostyle.cli.help import WIDTH

QUICK = ["--size", "32x48", "--steps", "4", "--pyramid", "none"]


def isostyle(*arguments):
    """The exit code."""
    with pytest.raises(SystemExit) as caught:
        main_cli.main([str(argument) for argument in arguments])
    return caught.value.code


def program(*arguments):
    """The command line that runs isostyle in a process of its own."""
    return [sys.executable, "-m", "isostyle", "run", "photo.jpg", "painting.png", *arguments]


def opened(path):
    """(format, size) of a picture file."""
    with Image.open(path) as picture:
        return picture.format, picture.size


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_backends_lists_all_three(capsys):
    assert isostyle("backends") == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[:3]] == ["torch", "paddle", "mxnet"]


def test_backends_says_how_to_get_what_is_missing(capsys, monkeypatch):
    from isostyle import registry

    monkeypatch.setattr(registry.importlib.util, "find_spec", lambda name: None)
    assert isostyle("backends") == 0
    out = capsys.readouterr().out
    assert "not installed: pip install 'isostyle[torch]'" in out
    assert "not installed: pip install 'isostyle[paddle]'" in out
    assert "mxnet" in out


@pytest.mark.parametrize(
    ("python", "machine", "numpy", "reason"),
    [
        ((3, 12), "x86_64", "1.23.5", "wheels up to Python 3.11 only"),
        ((3, 11), "aarch64", "1.23.5", "wheels for x86_64 only, and this is aarch64"),
        ((3, 11), "x86_64", "2.1.0", "needs NumPy below 1.24, and this is 2.1.0"),
        ((3, 11), "x86_64", "1.23.5", None),
    ],
)
def test_backends_explains_where_mxnet_cannot_be(monkeypatch, python, machine, numpy, reason):
    from isostyle import registry

    monkeypatch.setattr(registry.sys, "version_info", python)
    monkeypatch.setattr(registry.platform, "machine", lambda: machine)
    monkeypatch.setattr("importlib.metadata.version", lambda name: numpy)
    monkeypatch.setattr(registry.importlib.util, "find_spec", lambda name: object())
    found = registry.why_missing("mxnet")
    assert found is None if reason is None else reason in found


def test_nothing_asked_is_answered_with_the_help(capsys):
    assert isostyle() == 0
    assert "isostyle run photo.jpg painting.jpg" in capsys.readouterr().out


def test_a_bare_group_is_answered_with_its_help(capsys):
    assert isostyle("weights") == 0
    captured = capsys.readouterr()
    assert re.search(r"\n +isostyle weights fetch vgg19 +download", captured.out)
    assert captured.err == ""


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["run", "a", "b", "c"], "Got unexpected extra argument (c). See `isostyle run --help`."),
        (["run", "a", "b", "--steps"], "Option '--steps' requires an argument. See `isostyle run --help`."),
        (["weights", "fetch", "--source"], "Option '--source' requires an argument. See `isostyle weights fetch --help`."),
        (["--nothing"], "No such option '--nothing'. See `isostyle --help`."),
    ],
)
def test_a_wrong_command_line_is_answered_with_sentences_and_the_command_s_help(capsys, arguments, sentence):
    assert isostyle(*arguments) == 2
    assert capsys.readouterr().err == f"isostyle: {sentence}\n"


def test_version_and_help(capsys):
    assert isostyle("--version") == 0
    assert capsys.readouterr().out.startswith("isostyle, version ")
    assert isostyle("run", "--help") == 0
    assert "--style-weight" in capsys.readouterr().out


def test_the_help_of_run_groups_its_options_the_most_used_first(capsys):
    assert isostyle("run", "--help") == 0
    headings = [line for line in capsys.readouterr().out.splitlines() if re.fullmatch(r"[A-Z][a-z ]+:", line)]
    groups = ["Most used:", "Picture:", "Recipe:", "Optimizer:", "Speed and size:", "Surviving:", "Output:", "Options:"]
    assert headings == ["Examples:", *groups]


@pytest.mark.parametrize("name", ["", "run", "resume", "rerun", "batch", "demo", "recipes", "backends"])
def test_help_that_is_piped_is_plain_and_as_wide_as_a_terminal(capsys, monkeypatch, name):
    monkeypatch.setenv("GITHUB_ACTIONS", "true")  # for which rich-click has colors
    monkeypatch.setenv("COLUMNS", "200")
    assert isostyle(*name.split(), "--help") == 0
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert "…" not in out
    assert [line for line in out.splitlines() if line.rstrip() != line] == []
    assert max(map(len, out.splitlines())) <= WIDTH


@pytest.mark.parametrize("name", main_cli.COMMANDS)
def test_every_command_of_the_table_is_in_a_module_of_its_name(name):
    assert main_cli.cli.get_command(click.Context(main_cli.cli), name).name == name
