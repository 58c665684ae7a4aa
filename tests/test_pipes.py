"""Pictures through pipes: `-` for standard input and standard output."""

import io
import json
import os
import subprocess
import sys

import numpy as np
import pytest
from conftest import stopped_by_ctrl_c
from picture_files import png, saved, waves
from PIL import Image
from style_files import write_style
from test_cli import isostyle, names

from isostyle.cli import pipes

QUICK = ["--size", "32x48", "--steps", "2", "--pyramid", "none", "--threads", "2"]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, channels in (("content.png", 4), ("style.png", 3)):
        Image.fromarray(waves(channels, np.uint8, (60, 80))).save(name)
    write_style(tmp_path / "wave.safetensors")
    return tmp_path


def piped(arguments, given=b"", **how):
    """An isostyle in a process of its own, as a shell would start it."""
    command = [sys.executable, "-m", "isostyle", *map(str, arguments)]
    return subprocess.run(command, input=given, capture_output=True, check=False, timeout=300, **how)


def test_a_run_from_pipe_to_pipe_writes_a_picture_and_nothing_else(folder, any_backend):
    given = (folder / "content.png").read_bytes()
    before = names(folder)
    done = piped(["run", "-", "style.png", "-o", "-", "--backend", any_backend, *QUICK], given)
    assert done.returncode == 0, done.stderr
    with Image.open(io.BytesIO(done.stdout)) as picture:
        assert (picture.format, picture.mode, picture.size) == ("PNG", "RGBA", (48, 32))
    assert b"wrote standard output: 2 steps in" in done.stderr
    assert names(folder) == before
    assert isostyle("run", "content.png", "style.png", "-o", "out.png", "--backend", any_backend, *QUICK, "--quiet") == 0
    assert (folder / "out.png").read_bytes() == done.stdout


def test_format_and_manifest_of_what_goes_to_a_pipe(folder, any_backend):
    given = (folder / "style.png").read_bytes()
    arguments = ["run", "content.png", "-", "-o", "-", "--format", "tif", "--bits", "16", "--manifest", "m.json"]
    done = piped([*arguments, "--backend", any_backend, *QUICK], given)
    assert done.returncode == 0, done.stderr
    with Image.open(io.BytesIO(done.stdout)) as picture:
        assert picture.format == "TIFF"
    told = json.loads((folder / "m.json").read_text())
    assert told["output"] == {"format": "TIFF", "alpha": "keep", "bits": 16, "quality": 95, "strip": False}
    assert "path" not in told["inputs"]["style"]
    assert len(told["inputs"]["style"]["file_sha256"]) == 64


def test_the_manifest_of_a_file_goes_where_it_is_told(folder, any_backend):
    arguments = ["run", "content.png", "style.png", "-o", "out.png", "--manifest", "m.json", "--backend", any_backend]
    assert isostyle(*arguments, *QUICK, "--quiet") == 0
    assert {"out.png", "m.json"} <= set(names(folder))
    assert "out.json" not in names(folder)


def test_a_style_network_from_pipe_to_pipe(folder, any_backend):
    given = png(waves(size=(40, 50)), 2)
    arguments = ["apply", "wave.safetensors", "-", "-o", "-", "--backend", any_backend, "--threads", "2"]
    done = piped([*arguments, "--format", "jpg"], given)
    assert done.returncode == 0, done.stderr
    with Image.open(io.BytesIO(done.stdout)) as picture:
        assert (picture.format, picture.size) == ("JPEG", (50, 40))
    assert names(folder) == ["content.png", "style.png", "wave.safetensors"]


def test_what_is_piped_in_has_a_name_of_its_own(folder, any_backend):
    done = piped(["run", "-", "style.png", "--backend", any_backend, *QUICK], (folder / "content.png").read_bytes())
    assert done.returncode == 0, done.stderr
    assert {"stdin-style.png", "stdin-style.json"} <= set(names(folder))


@pytest.mark.parametrize(
    ("arguments", "given", "sentence"),
    [
        (["run", "-", "-"], b"x", b"- is standard input, and that is one picture, not two"),
        (["run", "-", "style.png"], b"", b"- reads a picture from standard input, and that is empty"),
        (["run", "-", "style.png"], b"nothing", b"the content image is not a picture that can be read"),
        (["apply", "wave.safetensors", "-", "content.png", "-o", "out"], b"x", b"- is standard input, and that is one picture"),
        (["apply", "wave.safetensors", "content.png", "style.png", "-o", "-"], b"", b"several pictures need a folder"),
        (["batch", "--content", "-", "--style", "style.png"], b"x", b"the runs of a batch have none; name files"),
        (["run", "-", "style.png"], saved(Image.new("RGB", (40, 40)), "PNG")[:60], b"the content image cannot be decoded"),
    ],
)
def test_what_cannot_be_piped_is_one_sentence(folder, any_backend, arguments, given, sentence):
    before = names(folder)
    done = piped(arguments, given)
    assert (done.returncode, done.stdout) == (2, b"")
    assert sentence in done.stderr
    assert done.stderr.count(b"\n") <= 2
    assert names(folder) == before


def test_a_reader_that_went_away_does_not_lose_the_picture(folder, any_backend):
    (folder / "tmp").mkdir()
    command = [sys.executable, "-m", "isostyle", "run", "content.png", "style.png", "-o", "-", "--backend", any_backend, *QUICK]
    reading, writing = os.pipe()
    environment = {**os.environ, "TMPDIR": str(folder / "tmp")}
    with subprocess.Popen(command, stdout=writing, stderr=subprocess.PIPE, env=environment) as process:
        os.close(reading)
        os.close(writing)
        _, said = process.communicate(timeout=300)
    assert process.returncode == 1
    assert b"cannot write 'standard output': Broken pipe; the picture is kept in" in said
    assert b"Exception" not in said
    assert sorted(path.suffix for path in (folder / "tmp").iterdir()) == [".json", ".png"]


def test_a_file_that_is_called_dash_is_named_with_its_folder(folder, any_backend):
    (folder / "content.png").rename(folder / "-")
    assert isostyle("run", "./-", "style.png", "-o", "out.png", "--backend", any_backend, *QUICK, "--quiet") == 0
    assert (folder / "out.png").exists()


def test_a_dash_is_a_pipe_and_a_path_to_one_so_called_is_none(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = [pipes.FileOrPipe().convert(given, None, None) for given in ("-", "./-", "a/-", "-x")]
    assert [path == pipes.PIPE for path in found] == [True, False, False, False]


def test_a_terminal_is_no_place_for_a_picture(folder, monkeypatch, capsys):
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    assert isostyle("run", "content.png", "style.png", "-o", "-") == 2
    assert "standard output, and that is a terminal" in capsys.readouterr().err


def test_a_run_with_a_piped_content_goes_on_when_it_is_handed_over_again(folder, any_backend):
    arguments = ["run", "-", "style.png", "-o", "-", "--checkpoint", "c", "--checkpoint-every", "1", "--backend", any_backend]
    given = (folder / "content.png").read_bytes()
    done = stopped_by_ctrl_c([*arguments, *QUICK], given)
    assert done.returncode == 130, done.stderr
    assert b"went to standard output; `isostyle resume c` goes on" in done.stderr
    assert isostyle("resume", "c", "-o", "x.png") == 2
    on = piped(["resume", "c", "--content", "-"], given)
    whole = piped(["run", "-", "style.png", "-o", "-", "--backend", any_backend, *QUICK], given)
    assert on.returncode == 0, on.stderr
    assert on.stdout == whole.stdout
