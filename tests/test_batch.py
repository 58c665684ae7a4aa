"""`isostyle batch`: many runs, each a process; what fails is named, what is finished is skipped, what was stopped goes on."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import DEEP, draw, run

from isostyle import InputError
from isostyle.cli import batch_plan

OPTIONS = ["--", "--size", "48", "--steps", "2", "--pyramid", "none"]


@pytest.fixture
def pictures(tmp_path, monkeypatch):
    """Two photographs in photos/, two paintings beside them; the current folder is theirs."""
    monkeypatch.chdir(tmp_path)
    Path("photos").mkdir()
    for phase, name in enumerate(("photos/a.png", "photos/b.png", "oil.png", "ink.png")):
        draw(name, phase)
    return tmp_path


def states(out):
    """What the table says of each picture."""
    lines = [line.split() for line in out.splitlines()[1:]]
    return {Path(words[0]).name: " ".join(words[1:3]) if words[1] == "was" else words[1] for words in lines}


# What is to be done


def test_every_content_image_in_every_style(pictures):
    found = batch_plan.every_pair(["photos"], ["oil.png", "ink.png"], Path("out"), ["--steps=2"])
    assert [(each.content.name, each.style.name, str(each.output)) for each in found] == [
        ("a.png", "oil.png", "out/a-oil.png"),
        ("a.png", "ink.png", "out/a-ink.png"),
        ("b.png", "oil.png", "out/b-oil.png"),
        ("b.png", "ink.png", "out/b-ink.png"),
    ]
    assert found[0].arguments == ["-o", "out/a-oil.png", "--steps=2", "--", "photos/a.png", "oil.png"]


@pytest.mark.parametrize(
    ("contents", "styles", "outputs"),
    [
        (["a.jpg", "a.png", "b.jpg"], ["oil.jpg"], ["a.jpg-oil.png", "a.png-oil.png", "b-oil.png"]),
        (["a.jpg"], ["oil.jpg", "oil.png"], ["a-oil.jpg.png", "a-oil.png.png"]),
        (["a.jpg", "A.PNG"], ["oil.jpg"], ["a.jpg-oil.png", "A.PNG-oil.png"]),
    ],
)
def test_pictures_that_differ_in_suffix_only_keep_it_in_the_names_of_their_outputs(pictures, contents, styles, outputs):
    for name in (*contents, *styles):
        Path(name).touch()
    found = batch_plan.settle(batch_plan.every_pair(contents, styles, Path(), []))
    assert [str(each.output) for each in found] == outputs


def test_rows_of_a_table_that_differ_in_suffix_only_keep_it_too(pictures):
    Path("r.csv").write_text("content,style\na.png,b.png\na.jpg,b.png\n")
    found = batch_plan.read_table(Path("r.csv"), Path("out"), [])
    assert [str(each.output) for each in found] == ["out/a.png-b.png", "out/a.jpg-b.png"]


def test_outputs_that_differ_in_suffix_only_have_a_manifest_each(any_backend, pictures, capsys):
    Path("r.csv").write_text("content,style,output\nphotos/a.png,oil.png,c.png\nphotos/a.png,oil.png,c.jpg\n")
    command = ["batch", "r.csv", *OPTIONS, "--backend", any_backend]
    assert run(command, capsys)[0] == 0
    assert {path.name for path in Path().glob("c.*")} == {"c.png", "c.json", "c.jpg", "c.jpg.json"}
    code, out, _ = run(command, capsys)
    assert code == 0
    assert states(out) == {"c.png": "was there", "c.jpg": "was there"}


def test_a_table_in_csv_has_a_run_a_row(pictures):
    Path("sub").mkdir()
    Path("sub/runs.csv").write_text(
        "content,style,output,style_weight\n../photos/a.png,../oil.png,,1e5\nb.png,ink.png,x.png,\n\n"
    )
    found = batch_plan.read_table(Path("sub/runs.csv"), Path("out"), ["--steps=2"])
    assert found == [
        batch_plan.BatchRun(
            Path("sub/../photos/a.png"), Path("sub/../oil.png"), Path("out/a-oil.png"), ("--steps=2", "--style-weight=1e5")
        ),
        batch_plan.BatchRun(Path("sub/b.png"), Path("sub/ink.png"), Path("sub/x.png"), ("--steps=2",)),
    ]


def test_a_table_in_toml_has_lists_and_runs_one_by_one(pictures):
    Path("runs.toml").write_text(
        'recipe = "painterly"\ncontents = ["photos/*.png"]\nstyles = ["oil.png"]\n'
        '[[run]]\ncontent = "photos/a.png"\nstyle = "ink.png"\noutput = "x.png"\nsteps = 3\n'
    )
    found = batch_plan.read_table(Path("runs.toml"), Path("out"), [])
    assert [(str(each.output), each.options) for each in found] == [
        ("out/a-oil.png", ("--recipe=painterly",)),
        ("out/b-oil.png", ("--recipe=painterly",)),
        ("x.png", ("--recipe=painterly", "--steps=3")),
    ]


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("r.csv", "content,style\na.png\n", "line 2 of 'r.csv' needs a name for style"),
        ("r.csv", "content,style\na,b,c\n", "'r.csv' is no CSV: line 2 has more fields than its head"),
        ("r.csv", "content,style\n", "there is no run in 'r.csv'"),
        ("r.csv", 'content,style\n"a', "is no CSV"),
        ("r.toml", "[[run]\n", "is no TOML"),
        pytest.param("r.toml", f"a = {DEEP}", "is no TOML: it is nested too deeply", id="nested too deeply"),
        ("r.toml", '[[run]]\ncontent = "a"\n', "run 1 of 'r.toml' needs a name for style"),
        ("r.toml", "contents = 3\n", "contents in 'r.toml' must be a list of names, not 3"),
        ("r.toml", 'run = "x"\n', "must be tables"),
        ("r.toml", '[[run]]\ncontent = "a"\nstyle = "b"\nsize = [1, 2]\n', "size in run 1 of 'r.toml' must be text, a number"),
        ("r.csv", "content,style\na\0.png,b.png\n", "has a NUL in a name or an option"),
        ("r.toml", '[[run]]\ncontent = "a"\nstyle = "b"\nrecipe = "x\\u0000"\n', "has a NUL in a name or an option"),
        ("r.toml", 'contents = ["a\\u0000"]\nstyles = ["b"]\n', "contents in 'r.toml' must be a list of names"),
        ("r.txt", "", r"ends in \.toml or \.csv"),
        ("r.csv", "content,style\na.png,b.png\na.png,b.png\n", "would both become"),
        ("r.csv", "content,style,output\na.png,b.png,c.png\na.jpg,b.jpg,c.png\n", "would both become"),
    ],
)
def test_a_table_that_says_what_cannot_be_is_refused(pictures, name, text, words):
    Path(name).write_text(text)
    with pytest.raises(InputError, match=words):
        batch_plan.read_table(Path(name), Path("out"), [])


def test_a_table_that_is_no_text_is_refused(pictures):
    Path("r.csv").write_bytes(b"content,style\n\xff\xfe,b\n")
    with pytest.raises(InputError, match="'r.csv' is not UTF-8"):
        batch_plan.read_table(Path("r.csv"), Path("out"), [])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--content", "photos"], "content images and style images"),
        (["--content", "none.png", "--style", "oil.png"], "there is no file 'none.png'"),
        (["--content", "photos", "--style", "oil.png", "--", "--steps", "many"], "'many' is not a valid integer"),
        (["--content", "photos", "--style", "oil.png", "--", "--quality", "50"], "--quality is of JPEG, WebP and AVIF"),
        (["--content", "photos", "--style", "oil.png", "--", "--recipe", "none"], "there is no recipe 'none'"),
        (
            ["--content", "photos", "--style", "oil.png", "--", "--force"],
            "No such option '--force'",
        ),
        (["--content", "photos", "--style", "*.bmp"], "no picture matches '*.bmp'"),
        (["--content", "photos", "--style", "oil.png", "--", "--color", "3"], "No such option"),
        (["--content", "photos", "--style", "oil.png", "--", "--help"], "No such option '--help'"),
    ],
)
def test_what_no_run_would_take_is_refused_before_any_begins(pictures, capsys, arguments, words):
    code, _, err = run(["batch", "-o", "out", *arguments], capsys)
    assert code == 2, err
    assert words in err
    assert not Path("out").exists()


# Doing it


def test_pictures_are_made_and_a_second_call_skips_them(any_backend, pictures, capsys):
    arguments = ["batch", "--content", "photos", "--style", "oil.png", "-o", "out", *OPTIONS, "--backend", any_backend]
    code, out, err = run(arguments, capsys)
    assert code == 0, err
    assert states(out) == {"a-oil.png": "done", "b-oil.png": "done"}
    assert sorted(path.name for path in Path("out").iterdir()) == ["a-oil.json", "a-oil.png", "b-oil.json", "b-oil.png"]
    before = Path("out/a-oil.png").stat().st_mtime_ns
    code, out, err = run(arguments, capsys)
    assert code == 0, err
    assert states(out) == {"a-oil.png": "was there", "b-oil.png": "was there"}
    assert Path("out/a-oil.png").stat().st_mtime_ns == before


def test_what_fails_is_named_and_the_others_go_on(any_backend, pictures, capsys):
    Path("photos/a.png").write_bytes(b"no picture")
    arguments = ["batch", "--content", "photos", "--style", "oil.png", "-o", "out", "--workers", "2", *OPTIONS]
    code, out, err = run([*arguments, "--backend", any_backend], capsys)
    assert code == 1
    assert states(out) == {"a-oil.png": "failed", "b-oil.png": "done"}
    assert "a.png' is not a picture that can be read" in out
    assert "1 of 2 runs failed" in err
    assert json.loads(Path("out/b-oil.json").read_bytes())["steps_done"] == 2


def test_a_run_of_which_something_changed_is_not_taken_for_finished(any_backend, pictures, capsys):
    arguments = ["batch", "--content", "photos/a.png", "--style", "oil.png", "-o", "out"]
    options = ["--backend", any_backend, "--size", "48", "--pyramid", "none", "--steps"]
    assert run([*arguments, "--", *options, "2"], capsys)[0] == 0
    code, out, _ = run([*arguments, "--", *options, "3"], capsys)
    assert code == 1
    assert "use --force to overwrite it" in out
    code, out, err = run([*arguments, "--force", "--", *options, "3"], capsys)
    assert code == 0, err
    assert json.loads(Path("out/a-oil.json").read_bytes())["steps_done"] == 3


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["Ctrl-C", "SIGTERM"])
def test_a_batch_that_is_stopped_goes_on_where_it_was(any_backend, pictures, capsys, number, code):
    pairs = ["batch", "--content", "photos", "--style", "oil.png"]
    options = ["--", "--size", "48", "--pyramid", "none", "--steps", "150", "--checkpoint-every", "3", "--backend", any_backend]
    assert run([*pairs, "-o", "whole", *options], capsys)[0] == 0
    command = [*pairs, "-o", "out", *options]
    process = subprocess.Popen(
        [sys.executable, "-m", "isostyle", *command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 120
    while not list(Path().glob("out/*.checkpoint")) and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(number)
    _, err = process.communicate()
    assert process.returncode == code, err
    assert "the same command goes on" in err
    returned, _, err = run(command, capsys)
    assert returned == 0, err
    for name in ("a-oil.png", "b-oil.png"):
        assert Path("out", name).read_bytes() == Path("whole", name).read_bytes()
    assert not list(Path("out").glob("*.checkpoint"))


def test_an_option_of_a_run_goes_behind_the_dashes_and_one_that_a_batch_does_not_pass_on_does_not(pictures, capsys):
    assert "--style-scale is an option of `isostyle run`, and goes behind --" in run(["batch", "--style-scale", "2"], capsys)[2]
    for option in ("--dry-run", "--manifest"):
        assert f"No such option '{option}'" in run(["batch", option], capsys)[2]
