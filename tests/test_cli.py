"""The command line: what it writes, what it says, and how it refuses."""

import contextlib
import csv
import dataclasses
import json
import os
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import BACKENDS, obtain
from PIL import Image

from isostyle.cli import main as main_cli
from isostyle.cli import watch
from isostyle.cli.progress import Teller, say
from isostyle.cli.report import history_bytes
from isostyle.images import encode
from isostyle.recipe import Reporting
from isostyle.recipe_text import to_toml
from isostyle.transfer import stylize
from isostyle.transfer.descent import Event
from isostyle.transfer.override import override

QUICK = ["--size", "32x48", "--steps", "4"]


@pytest.fixture
def folder(tmp_path, monkeypatch, photograph):
    """A working folder with a photograph and a painting."""
    monkeypatch.chdir(tmp_path)
    photograph.resize((128, 150)).save("photo.jpg")
    Image.effect_noise((90, 70), 80).convert("RGB").save("painting.png")
    return tmp_path


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


# What it writes


def test_run_writes_the_picture_and_its_manifest_into_the_working_folder(folder, any_backend, capsys):
    assert isostyle("run", "photo.jpg", "painting.png", "--backend", any_backend, *QUICK) == 0
    assert names(folder) == ["painting.png", "photo-painting.json", "photo-painting.png", "photo.jpg"]
    assert opened("photo-painting.png")[1] == (48, 32)
    assert json.loads((folder / "photo-painting.json").read_text())["steps_done"] == 4
    captured = capsys.readouterr()
    assert captured.out.startswith("wrote photo-painting.png: 4 steps in ")
    assert "\nresult  content " in captured.err


@pytest.mark.parametrize("name", BACKENDS)
def test_run_with_each_backend(folder, name):
    obtain(name)
    assert isostyle("run", "photo.jpg", "painting.png", "-o", "out.png", "--backend", name, "--threads", "2", *QUICK) == 0
    assert json.loads((folder / "out.json").read_text())["backend"]["name"] == name


def test_auto_takes_an_installed_backend_and_says_which(folder, any_backend, capsys):
    from isostyle import registry

    assert isostyle("run", "photo.jpg", "painting.png", *QUICK) == 0
    assert f"backend {registry.choose()} " in capsys.readouterr().err


@pytest.mark.parametrize(("suffix", "kind"), [("jpg", "JPEG"), ("webp", "WEBP"), ("tiff", "TIFF"), ("PNG", "PNG")])
def test_the_suffix_says_the_format(folder, any_backend, suffix, kind):
    assert isostyle("run", "photo.jpg", "painting.png", "-o", f"out.{suffix}", "--backend", any_backend, *QUICK) == 0
    assert opened(f"out.{suffix}")[0] == kind


def test_history_plot_and_stages(folder, any_backend):
    extra = ["--history", "losses.csv", "--plot", "losses.svg", "--save-every", "2"]
    assert isostyle("run", "photo.jpg", "painting.png", "-o", "out.png", "--backend", any_backend, *QUICK, *extra) == 0
    assert names(folder) == [
        "losses.csv",
        "losses.svg",
        "out-0002.png",
        "out.json",
        "out.png",
        "painting.png",
        "photo.jpg",
    ]
    rows = list(csv.DictReader((folder / "losses.csv").read_text().splitlines()))
    assert [row["step"] for row in rows] == ["0", "1", "2", "3", "4"]
    assert float(rows[-1]["total"]) == json.loads((folder / "out.json").read_text())["losses"]["last"]["total"]
    assert "style/conv5_1" in rows[0]
    assert "<svg" in (folder / "losses.svg").read_text()


def test_a_stage_that_exists_is_not_overwritten(folder, any_backend, capsys):
    (folder / "out-0002.png").write_bytes(b"precious")
    command = ["run", "photo.jpg", "painting.png", "-o", "out.png", "--backend", any_backend, *QUICK, "--save-every", "2"]
    assert isostyle(*command) == 2
    assert "'out-0002.png' exists already" in capsys.readouterr().err
    assert (folder / "out-0002.png").read_bytes() == b"precious"
    assert isostyle(*command, "--force") == 0


def test_a_stage_never_overwrites_an_input(folder, capsys):
    (folder / "photo.jpg").rename("out-0002.png")
    command = ["run", "out-0002.png", "painting.png", "-o", "out.png", *QUICK, "--save-every", "2", "--force"]
    assert isostyle(*command) == 2
    assert "'out-0002.png' is an input" in capsys.readouterr().err


def test_a_json_history_holds_the_same(folder, any_backend):
    assert isostyle("run", "photo.jpg", "painting.png", "--backend", any_backend, *QUICK, "--history", "h.json") == 0
    assert [row["step"] for row in json.loads((folder / "h.json").read_text())] == [0, 1, 2, 3, 4]


def test_a_run_in_tiles_makes_the_same_picture_and_its_manifest_says_so(folder, any_backend):
    common = ["run", "photo.jpg", "painting.png", "--backend", any_backend, *QUICK, "--style-layers", "conv1_1,conv2_1"]
    common += ["--content-layers", "conv2_2", "--dtype", "float64"]
    assert isostyle(*common, "-o", "whole.png") == 0
    assert isostyle(*common, "-o", "tiled.png", "--tile", "16") == 0
    assert (folder / "whole.png").read_bytes() == (folder / "tiled.png").read_bytes()
    tiles = [json.loads((folder / f"{name}.json").read_text())["tile"] for name in ("whole", "tiled")]
    assert tiles == [None, 16]


def test_memory_that_does_not_suffice_is_an_error_before_anything_runs(folder, any_backend, capsys):
    arguments = ["run", "photo.jpg", "painting.png", "--backend", any_backend, "--max-memory", "1MiB", *QUICK]
    assert isostyle(*arguments) == 2
    assert "the 1 MiB of --max-memory are less than" in capsys.readouterr().err
    assert names(folder) == ["painting.png", "photo.jpg"]


def test_what_does_not_fit_is_computed_in_tiles_and_said_in_one_line(folder, any_backend, capsys, monkeypatch):
    from isostyle.system import memory
    from isostyle.transfer import memory_plan

    monkeypatch.setattr(memory_plan, "CONSTANT", 0)
    # Enough for a tile of the thriftiest and of the most wasteful backend, and less than any takes for the whole picture.
    monkeypatch.setattr(memory, "available", lambda: 80 * 10**6)
    assert (
        isostyle(
            "run",
            "photo.jpg",
            "painting.png",
            "--backend",
            any_backend,
            "--size",
            "450",
            "--steps",
            "1",
            "--style-layers",
            "conv1_1,conv2_1",
            "--content-layers",
            "conv2_2",
        )
        == 0
    )
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "tiles" in line]
    assert re.fullmatch(
        r"in \d+ tiles of at most (\d+)x\1 pixels, each with a halo of 6: as a whole it would take about .* MiB, "
        r"more than the 69 MiB that can be used",
        line,
    )
    assert json.loads((folder / "photo-painting.json").read_text())["tile"] > 0


def test_quiet_prints_nothing(folder, any_backend, capsys):
    assert isostyle("run", "photo.jpg", "painting.png", "--backend", any_backend, "--quiet", *QUICK) == 0
    assert capsys.readouterr() == ("", "")


def test_d2l_squeezes_and_warns_in_one_line(folder, any_backend, capsys):
    assert isostyle("run", "photo.jpg", "painting.png", "--recipe", "d2l", "--steps", "1", "--backend", any_backend) == 0
    warnings = [line for line in capsys.readouterr().err.splitlines() if "aspect" in line]
    expected = "aspect changed: content 150x128 and style 70x90 squeezed to 300x450 (height x width)"
    assert warnings == [expected]
    assert opened("photo-painting.png")[1] == (450, 300)


def test_the_default_keeps_the_aspect_with_the_longer_side_at_450(folder, any_backend, capsys):
    assert isostyle("run", "photo.jpg", "painting.png", "--steps", "1", "--backend", any_backend) == 0
    assert opened("photo-painting.png")[1] == (384, 450)
    assert "aspect" not in capsys.readouterr().err


@pytest.mark.slow
def test_demo_writes_its_pictures_beside_each_other(folder, any_backend):
    assert isostyle("demo", "-o", "show", "--backend", any_backend, "--size", "64", "--steps", "3") == 0
    expected = ["content.png", "losses.png", "result.json", "result.png", "side-by-side.png", "style.png"]
    assert names(folder / "show") == expected
    assert isostyle("demo", "-o", "show", "--backend", any_backend, "--size", "64", "--steps", "3") == 2


def test_demo_refuses_wrong_options_before_it_paints_and_leaves_no_folder(folder, capsys):
    assert isostyle("demo", "-o", "show", "--steps", "0") == 2
    assert "drawing" not in capsys.readouterr().err
    assert not (folder / "show").exists()


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
    monkeypatch.setattr(registry, "version", lambda name: numpy)
    monkeypatch.setattr(registry.importlib.util, "find_spec", lambda name: object())
    found = registry.why_missing("mxnet")
    assert found is None if reason is None else reason in found


def test_recipes_show_every_number(capsys):
    from isostyle.published import RECIPES

    assert isostyle("recipes") == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == list(RECIPES)
    assert isostyle("recipes", "d2l") == 0
    out = capsys.readouterr().out
    for number in ("10000", "0.3", "0.8 every 50", "500 evaluations", "300x450", "conv5_1", "1e-08"):
        assert number in out


def test_recipes_as_json_are_whole(capsys):
    from isostyle.published import D2L

    assert isostyle("recipes", "d2l", "--json") == 0
    assert json.loads(capsys.readouterr().out) == {"digest": D2L.digest, **D2L.as_dict()}


def test_a_printed_recipe_runs_as_a_file(folder, any_backend, capsys):
    from isostyle.published import find

    assert isostyle("recipes", "tutorial-square", "--toml") == 0
    (folder / "my.toml").write_text(capsys.readouterr().out)
    assert isostyle("run", "photo.jpg", "painting.png", "--recipe", "my.toml", "--size", "32x48", "--backend", any_backend) == 0
    manifest = json.loads((folder / "photo-painting.json").read_text())
    assert manifest["steps_done"] == 320
    assert manifest["recipe"]["optimizer"] == find("tutorial").as_dict()["optimizer"]


def test_the_recipe_that_readme_and_help_change_takes_any_pair_of_pictures(capsys):
    from isostyle.published import find

    assert isostyle("recipes", "--help") == 0
    readme = (Path(__file__).parent.parent / "README.md").read_text()
    for text in (readme, capsys.readouterr().out):
        (name,) = re.findall(r"isostyle recipes (\S+) --toml > my.toml", text)
        assert find(name).style_size != "equal"


def test_the_tutorial_prints_what_its_source_prints(folder, any_backend, capsys):
    """Style and content, weighted, every 50 evaluations; then the finished picture's."""
    command = ["run", "photo.jpg", "painting.png", "--recipe", "tutorial-square", "--size", "32x48", "--backend", any_backend]
    assert isostyle(*command, "--history", "h.json") == 0
    lines = [line.split() for line in capsys.readouterr().err.splitlines() if line.startswith(("evaluation", "result"))]
    assert [line[1] for line in lines[:-1]] == [f"{n}/320" for n in range(50, 301, 50)]
    history = {row["evaluation"]: row for row in json.loads((folder / "h.json").read_text())}
    for line in lines[:-1]:
        row = history[int(line[1].partition("/")[0])]
        assert (line[2], float(line[3]), line[4], float(line[5])) == (
            "style",
            pytest.approx(row["style"], rel=1e-5),
            "content",
            pytest.approx(row["content"], rel=1e-5),
        )


def test_recipes_are_compared(capsys):
    assert isostyle("recipes", "--diff", "lookcc", "lookcc-content") == 0
    assert capsys.readouterr().out.splitlines() == [
        "lookcc and lookcc-content differ in",
        "  without gradient lookcc          content",
        "                   lookcc-content  none",
    ]
    assert isostyle("recipes", "--diff", "d2l", "d2l") == 0
    assert capsys.readouterr().out == "d2l and d2l compute the same\n"


@pytest.mark.parametrize(
    "arguments", [["d2l", "--toml", "--json"], ["--toml"], ["d2l", "--diff", "d2l", "wei"], ["--json", "--diff", "d2l", "wei"]]
)
def test_two_answers_at_once_are_refused(capsys, arguments):
    assert isostyle("recipes", *arguments) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ("32x48", [32, 48]),
        ("48", [48, 41]),
        ("long:48", [48, 41]),
        ("short:41", [48, 41]),
        ("square:40", [40, 40]),
    ],
)
def test_sizes_by_long_side_short_side_exact_and_square(folder, any_backend, size, expected):
    Image.new("RGB", (512, 600)).save(folder / "tall.png")
    command = ["run", "tall.png", "painting.png", "-o", "out.png", "--size", size, "--steps", "1", "--backend", any_backend]
    assert isostyle(*command) == 0
    assert json.loads((folder / "out.json").read_text())["inputs"]["content"]["resized_to"] == expected


def test_every_control_reaches_the_recipe(folder, any_backend):
    command = ["run", "photo.jpg", "painting.png", "--backend", any_backend, *QUICK, "--optimizer", "lbfgs", "--lr", "0.5"]
    command += [
        "--pooling",
        "average",
        "--style-layers",
        "relu1_1,relu3_1=0.25",
        "--content-layers",
        "relu4_2=2",
        "--init",
        "style",
    ]
    assert isostyle(*command) == 0
    recipe = json.loads((folder / "photo-painting.json").read_text())["recipe"]
    assert (recipe["optimizer"]["kind"], recipe["optimizer"]["learning_rate"]) == ("lbfgs", 0.5)
    assert (recipe["pooling"], recipe["start"]) == ("average", "style")
    assert recipe["style_layers"] == [["relu1_1", 1.0], ["relu3_1", 0.25]]
    assert recipe["content_layers"] == [["relu4_2", 2.0]]


def test_a_line_search_and_its_history_reach_the_recipe_and_the_files(folder, any_backend, capsys):
    command = ["run", "photo.jpg", "painting.png", "--backend", any_backend, "--size", "32x48", "--steps", "12"]
    # The first length is far too long, so that there are trials that are not taken.
    command += ["--optimizer", "lbfgs", "--line-search", "strong-wolfe", "--lbfgs-history", "7", "--lr", "1000"]
    assert isostyle(*command, "--history", "losses.csv", "--plot", "losses.png", "--save-every", "2") == 0
    manifest = json.loads((folder / "photo-painting.json").read_text())
    assert (manifest["recipe"]["optimizer"]["line_search"], manifest["recipe"]["optimizer"]["history"]) == ("strong-wolfe", 7)
    lines = (folder / "losses.csv").read_text().splitlines()
    rows = [{name: float(value) for name, value in row.items()} for row in csv.DictReader(lines)]
    taken = [row for row in rows if not row["trial"]]
    assert manifest["evaluations"] == len(rows) - 1 == 12
    assert len(taken) < len(rows)
    assert manifest["losses"]["last"]["total"] == taken[-1]["total"] == min(row["total"] for row in rows)
    assert manifest["steps_done"] == taken[-1]["step"] < 12
    assert (folder / "photo-painting-0002.png").exists()
    assert "evaluation 10/12" in capsys.readouterr().err


def test_a_pyramid_of_one_s_own_is_run_level_by_level(folder, any_backend, capsys):
    command = ["run", "photo.jpg", "painting.png", "--backend", any_backend, "--size", "32x48", "--steps", "3"]
    assert isostyle(*command, "--save-every", "1", "--pyramid", "0.5:7") == 0
    manifest = json.loads((folder / "photo-painting.json").read_text())
    assert manifest["levels"] == [{"size": [16, 24], "steps": 7}, {"size": [32, 48], "steps": 3}]
    assert manifest["recipe"]["pyramid"] == [{"share": 0.5, "steps": 7}]
    assert manifest["recipe"]["optimizer"]["line_search"] == "strong-wolfe"
    with Image.open(folder / "photo-painting-0001.png") as stage:
        assert stage.size == (24, 16)
    assert "evaluation 10/10" in capsys.readouterr().err


def test_the_usual_pyramid_needs_no_levels(folder, any_backend, capsys):
    command = ["run", "photo.jpg", "painting.png", "--backend", any_backend, "--size", "32x48", "--steps", "1", "--pyramid"]
    assert isostyle(*command) == 0
    assert "the level 0.25 of the pyramid is left out" in capsys.readouterr().err


def test_what_is_left_of_a_pyramid_is_what_progress_counts(folder, any_backend, capsys):
    command = ["run", "photo.jpg", "painting.png", "--backend", any_backend, "--size", "32x48", "--steps", "3"]
    assert isostyle(*command, "--pyramid", "0.1:50,0.5:7") == 0
    assert "evaluation 10/10" in capsys.readouterr().err


def test_the_pyramid_of_a_file_can_be_taken_away(folder, any_backend):
    Path("mine.toml").write_text(to_toml(override("d2l", pyramid=[(0.5, 3)], optimizer="adam")))
    command = ["run", "photo.jpg", "painting.png", "--backend", any_backend, "--recipe", "mine.toml", *QUICK]
    assert isostyle(*command, "--pyramid", "none") == 0
    assert not json.loads((folder / "photo-painting.json").read_text())["recipe"].get("pyramid")


def test_a_picture_that_is_kept_from_a_coarse_level_is_called_one(folder, any_backend, capsys, monkeypatch):
    def press(self, event):
        if event.evaluation == 3:
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(watch.Report, "event", press)
    command = ["run", "photo.jpg", "painting.png", "--backend", any_backend, "--size", "32x48"]
    assert isostyle(*command, "--pyramid", "0.5:7") == 130
    assert re.search("the picture of step ., at 16x24 of a coarse level, is kept", capsys.readouterr().err)
    assert opened("photo-painting.png")[1] == (24, 16)


def test_progress_at_a_trial_has_the_losses_of_the_last_picture_that_was_none(capsys):
    """Whether that was reported or not: here only the trial is due."""

    def event(number, total, **changes):
        terms = {"content/a": total, "total": total}
        return Event(0, number, 1.0, terms, lambda: None, (8, 8), 0.5, 3, **changes)

    recipe = override("d2l", optimizer="lbfgs", line_search="strong-wolfe")
    reporting = Reporting(first=3, every=3, values=(("total", 1.0),))
    report = watch.Report(dataclasses.replace(recipe, report=reporting), Teller(say, say))
    for each in (event(1, 8.0), event(2, 5.0), event(3, 1e9, trial=True)):
        report.event(each)
    assert capsys.readouterr().err == "evaluation 3/3  total 5\n"


def half_done(number, done):
    """Of a run of 100 evaluations that was resumed at the 50th."""
    terms = {"content/a": 1.0, "total": 1.0}
    return Event(0, number, 1.0, terms, lambda: None, (8, 8), done, 100)


def test_the_time_left_of_a_resumed_run_counts_only_what_this_session_did(capsys, monkeypatch):
    recipe = dataclasses.replace(override("d2l"), report=Reporting(first=1, every=1, values=(("total", 1.0),)))
    report = watch.Report(recipe, Teller(say, say))
    for seconds, event in ((7.0, half_done(51, 0.5)), (17.0, half_done(61, 0.6))):
        monkeypatch.setattr(watch.time, "monotonic", lambda seconds=seconds: seconds)
        report.event(event)
    first, second = capsys.readouterr().err.splitlines()
    assert "eta" not in first
    assert second.endswith("eta 40 s")


def test_the_bar_of_a_resumed_run_counts_only_what_this_session_did():
    from rich.progress import Progress

    seconds = 0.0
    live = Progress(get_time=lambda: seconds, speed_estimate_period=100)
    bar = watch.Report(override("d2l"), Teller(say, say, live))
    for seconds, event in ((7.0, half_done(51, 0.5)), (17.0, half_done(61, 0.6))):  # noqa: B007 - the clock reads it
        bar.event(event)
    (task,) = live.tasks
    assert (task.completed, task.time_remaining) == (60, 40)


def test_a_json_history_has_null_for_what_is_not_finite():
    assert json.loads(history_bytes([{"step": 1, "total": float("inf")}], ".json")) == [{"step": 1, "total": None}]


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


# How it refuses: one sentence on stderr, exit code 2, nothing written


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["missing.jpg", "painting.png"], "there is no file 'missing.jpg'"),
        (["photo.jpg", "text.png"], "'text.png' is not a picture"),
        (["truncated.jpg", "painting.png"], "'truncated.jpg' cannot be decoded"),
        (["bomb.ppm", "painting.png"], "'bomb.ppm' has more than 179 megapixels"),
        (["folder", "painting.png"], "'folder' is a folder"),
        (["photo.jpg", "painting.png", "--checkpoint", "folder"], "'folder' is a folder; name a file in it"),
        (["photo.jpg"], "Missing argument 'STYLE'"),
        (["photo.jpg", "painting.png", "--size", "0"], "size must be a whole number of at least 1 pixel, not 0"),
        (["photo.jpg", "painting.png", "--size", "-5x20"], "size must be a whole number of at least 1 pixel, not -5"),
        (["photo.jpg", "painting.png", "--size", "8x450"], "needs at least 16x16"),
        (["photo.jpg", "painting.png", "--size", "12"], "needs at least 16x16"),
        (["loop.png", "painting.png"], "'loop.png' cannot be read"),
        (["pipe.jpg", "painting.png"], "'pipe.jpg' is not a regular file"),
        # Up to Python 3.12 a loop of links cannot be resolved; from 3.13 on it is a file that exists.
        (["photo.jpg", "painting.png", "-o", "loop.png"], "'loop.png' "),
        (["photo.jpg", "painting.png", "-o", "dangling.png"], "'dangling.png' exists already"),
        (["photo.jpg", "painting.png", "-o", "hard.jpg", "--force"], "'hard.jpg' is an input; it is never overwritten"),
        (["photo.jpg", "painting.png", "-o", "/proc/out.png"], "'/proc/out.png' cannot be written"),
        (["photo.jpg", "painting.png", "-o", "x" * 300 + ".png"], "cannot be written: File name too long"),
        (["photo.jpg", "painting.png", "--threads", "99999999999999999999"], "at most 1024"),
        (["photo.jpg", "painting.png", "--save-every", "5", "--plot", "photo-painting-0010.png"], "name them apart"),
        (["photo.jpg", "painting.png", "--size", "99999"], "is more than 179 megapixels"),
        (["photo.jpg", "painting.png", "--size", "big"], "the size must be HEIGHTxWIDTH"),
        (["photo.jpg", "painting.png", "--size", "1x2x3"], "the size must be HEIGHTxWIDTH"),
        (["photo.jpg", "painting.png", "--backend", "pytorch"], "no backend 'pytorch'; did you mean 'torch'?"),
        (["photo.jpg", "painting.png", "--recipe", "d2"], "no recipe 'd2'; did you mean 'd2l'?"),
        (["photo.jpg", "painting.png", "--style-weight", "-1"], "style weight must be a finite number of at least 0"),
        (
            ["photo.jpg", "painting.png", "--tv-weight", "nan"],
            "tv weight must be a finite number of at least 0, not nan",
        ),
        (["photo.jpg", "painting.png", "--content-weight", "inf"], "content weight must be a finite number"),
        (["photo.jpg", "painting.png", "--lr", "0"], "learning rate must be a finite number above 0"),
        (["photo.jpg", "painting.png", "--steps", "0"], "number of steps must be a whole number of at least 1"),
        (["photo.jpg", "painting.png", "--steps", "many"], "'many' is not a valid integer"),
        (["photo.jpg", "painting.png", "--dtype", "half"], "dtype must be float32 or float64"),
        (["photo.jpg", "painting.png", "--threads", "0"], "number of threads must be at least 1"),
        (["photo.jpg", "painting.png", "--seed", "-1"], "seed must be a whole number"),
        (["photo.jpg", "painting.png", "--init", "nowhere.png"], "there is no file 'nowhere.png'"),
        (["photo.jpg", "painting.png", "--network", "vgg99"], "there is no network 'vgg99'"),
        (["photo.jpg", "painting.png", "--save-every", "0"], "--save-every must be at least 1"),
        (["photo.jpg", "painting.png", "--stile-weight", "1"], "No such option"),
        (["photo.jpg", "painting.png", "--size", "short:x"], "the size must be HEIGHTxWIDTH"),
        (["photo.jpg", "painting.png", "--size", "wide:300"], "the size must be HEIGHTxWIDTH"),
        (["photo.jpg", "painting.png", "--pooling", "sum"], "pooling must be one of max, average, not 'sum'"),
        (["photo.jpg", "painting.png", "--optimizer", "sgd"], "optimizer must be adam or lbfgs, not 'sgd'"),
        (["photo.jpg", "painting.png", "--pyramid", "half"], "--pyramid takes levels, as 0.25:60,0.5:40"),
        (["photo.jpg", "painting.png", "--pyramid", "0.5:3,0.25:3"], "levels of a pyramid go from small to large"),
        (["photo.jpg", "painting.png", "--line-search", "strong-wolfe"], "is Adam: add --optimizer lbfgs"),
        (["photo.jpg", "-dash.jpg"], "The file '-dash.jpg' goes behind --, after the options. See `isostyle run --help`."),
        (
            ["photo.jpg", "painting.png", "--recipe", "tutorial", "--line-search", "strong-wolfe"],
            "an image that is clamped has no line search",
        ),
        (["photo.jpg", "painting.png", "--style-layers", "conv1_1=x"], "--style-layers takes layers and weights"),
        (["photo.jpg", "painting.png", "--style-layers", "conv9_9"], "has no layer 'conv9_9'"),
        (["photo.jpg", "painting.png", "--content-layers", ""], "has no layer ''"),
        (["photo.jpg", "painting.png", "--recipe", "nowhere.toml"], "there is no file 'nowhere.toml'"),
        (["photo.jpg", "painting.png", "--recipe", "text.toml"], "'text.toml' is not a TOML file"),
        (["photo.jpg", "painting.png", "--recipe", "typo.toml"], "'typo.toml': there is no key step; did you mean steps?"),
        (["photo.jpg", "painting.png", "--recipe", "tutorial"], "takes two images of one size"),
        (["photo.jpg", "painting.png", "-o", "out.xyz"], "does not end in a picture format"),
        (["photo.jpg", "painting.png", "-o", "out"], "does not end in a picture format"),
        (["photo.jpg", "painting.png", "-o", "nowhere/out.png"], "there is no folder 'nowhere'"),
        (["photo.jpg", "painting.png", "-o", "folder.png"], "is a folder"),
        (["photo.jpg", "painting.png", "-o", "old.png"], "'old.png' exists already; use --force"),
        (
            ["photo.jpg", "painting.png", "-o", "photo.jpg", "--force"],
            "'photo.jpg' is an input; it is never overwritten",
        ),
        (["photo.jpg", "painting.png", "-o", "./link.png", "--force"], "is an input; it is never overwritten"),
        (["photo.jpg", "painting.png", "--tile", "on"], "tile must be auto, off or its side in pixels, not 'on'"),
        (["photo.jpg", "painting.png", "--tile", "0"], "side of a tile must be a whole number of at least 1 pixel, not 0"),
        (["photo.jpg", "painting.png", "--max-memory", "4"], "a number with KiB, MiB, GiB, MB or GB, as 4GiB, not '4'"),
        (["photo.jpg", "painting.png", "--history", "losses.txt"], "a history ends in .csv or .json"),
        (["photo.jpg", "painting.png", "--plot", "losses.bmp"], "a plot ends in .png, .svg, .pdf"),
        (["photo.jpg", "painting.png", "--plot", "photo-painting.png"], "two outputs would go to 'photo-painting.png'"),
        (["photo.jpg", "painting.png", "--history", "photo-painting.json"], "two outputs would go to"),
    ],
    ids=lambda value: " ".join(value[2:] or value) if isinstance(value, list) else None,
)
def test_input_that_cannot_be_used(folder, capsys, arguments, sentence):
    (folder / "text.png").write_text("no picture")
    (folder / "text.toml").write_text("no TOML")
    (folder / "typo.toml").write_text('base = "d2l"\nstep = 3\n')
    (folder / "truncated.jpg").write_bytes((folder / "photo.jpg").read_bytes()[:1500])
    (folder / "bomb.ppm").write_bytes(b"P6 60000 60000 255\n" + b"\0" * 99)
    (folder / "-dash.jpg").write_bytes((folder / "photo.jpg").read_bytes())
    (folder / "folder").mkdir()
    (folder / "folder.png").mkdir()
    (folder / "old.png").write_bytes(b"precious")
    (folder / "link.png").symlink_to("painting.png")
    (folder / "loop.png").symlink_to("loop.png")
    (folder / "dangling.png").symlink_to("nowhere.png")
    (folder / "hard.jpg").hardlink_to(folder / "photo.jpg")
    os.mkfifo(folder / "pipe.jpg")

    def content():
        return {path: path.read_bytes() if not path.is_symlink() and path.is_file() else None for path in folder.rglob("*")}

    before = content()
    # Refused before a framework is loaded: torch need not be there, and it would take seconds.
    backend = [] if "--backend" in arguments else ["--backend", "torch"]
    assert isostyle("run", *arguments, *backend) == 2
    captured = capsys.readouterr()
    errors = [line for line in captured.err.splitlines() if line.startswith("isostyle: ")]
    assert len(errors) == 1
    assert sentence in errors[0]
    assert "Traceback" not in captured.err
    assert captured.out == ""
    assert content() == before


def test_a_backend_that_is_not_installed_is_answered_with_its_extra(folder, capsys, monkeypatch):
    from isostyle import registry

    monkeypatch.setattr(registry.importlib.util, "find_spec", lambda name: None)
    assert isostyle("run", "photo.jpg", "painting.png", "--backend", "paddle") == 2
    assert "backend 'paddle' is not installed: pip install 'isostyle[paddle]'" in capsys.readouterr().err


def test_no_backend_at_all_is_answered_with_what_to_install(folder, capsys, monkeypatch):
    from isostyle import registry

    monkeypatch.setattr(registry.importlib.util, "find_spec", lambda name: None)
    assert isostyle("run", "photo.jpg", "painting.png") == 2
    assert "no backend is installed: pip install 'isostyle[torch]'" in capsys.readouterr().err


@pytest.mark.parametrize("suffix", ["xbm", "h5", "eps2", "txt", "pdf", "eps", "ico"])
def test_a_format_that_cannot_hold_the_picture_is_refused_before_the_run(folder, suffix, capsys):
    assert isostyle("run", "photo.jpg", "painting.png", "-o", f"out.{suffix}") == 2
    assert "does not end in a picture format that can be written" in capsys.readouterr().err


def test_a_finished_picture_is_kept_when_its_folder_has_gone(folder, any_backend, capsys, monkeypatch):
    from isostyle.system import files

    def full(path, data):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files, "write_atomically", full)
    monkeypatch.setattr(encode.tempfile, "tempdir", str(folder))
    assert isostyle("run", "photo.jpg", "painting.png", "--backend", any_backend, *QUICK) == 1
    err = capsys.readouterr().err
    assert "cannot write 'photo-painting.png': No space left on device; the picture is kept in " in err
    (kept,) = folder.glob("photo-painting-*.png")
    assert opened(kept)[1] == (48, 32)


def test_a_stage_that_cannot_be_written_does_not_end_the_run(folder, any_backend, capsys, monkeypatch):
    plain = encode.save

    def full(finished, path, options):
        if path.name == "out-0002.png":
            raise OSError(28, "No space left on device")
        plain(finished, path, options)

    monkeypatch.setattr(encode, "save", full)
    command = ["run", "photo.jpg", "painting.png", "-o", "out.png", "--backend", any_backend, *QUICK, "--save-every", "2"]
    assert isostyle(*command) == 0
    assert "cannot write 'out-0002.png'" in capsys.readouterr().err
    assert opened("out.png")[1] == (48, 32)


def test_the_network_s_file_is_an_input_too(folder, capsys):
    assert isostyle("run", "photo.jpg", "painting.png", "--network", "painting.png", "-o", "painting.png", "--force") == 2
    assert "'painting.png' is an input" in capsys.readouterr().err


def test_force_overwrites_an_output(folder, any_backend):
    (folder / "out.png").write_bytes(b"old")
    assert isostyle("run", "photo.jpg", "painting.png", "-o", "out.png", "--force", "--backend", any_backend, *QUICK) == 0
    assert opened("out.png")[1] == (48, 32)


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="the superuser may write everywhere")
def test_a_folder_that_cannot_be_written_is_refused_before_the_run(folder, capsys):
    (folder / "locked").mkdir(mode=0o500)
    assert isostyle("run", "photo.jpg", "painting.png", "-o", "locked/out.png") == 2
    assert "cannot be written to" in capsys.readouterr().err


def test_a_run_without_a_single_good_step_overwrites_nothing(folder, any_backend, capsys):
    (folder / "out.png").write_bytes(b"precious")
    command = [
        "run",
        "photo.jpg",
        "painting.png",
        "-o",
        "out.png",
        "--force",
        "--backend",
        any_backend,
        "--style-weight",
        "1e308",
    ]
    assert isostyle(*command, *QUICK) == 1
    assert "became inf at step 0" in capsys.readouterr().err
    assert (folder / "out.png").read_bytes() == b"precious"


def test_an_error_of_the_framework_s_own_is_one_line(folder, any_backend, capsys, monkeypatch):
    from isostyle import registry
    from isostyle.transfer import stylize

    def fail(*arguments):
        raise RuntimeError("cannot allocate 9000 bytes\nsecond line")

    monkeypatch.setattr(stylize, "climb", fail)
    assert isostyle("run", "photo.jpg", "painting.png", "--backend", any_backend, *QUICK) == 1
    line = f"isostyle: {any_backend} failed at size 32x48: cannot allocate 9000 bytes; {registry.LESS_MEMORY}\n"
    assert line in capsys.readouterr().err


@pytest.mark.parametrize("redirection", ["2>&1 | head -n 1", "2>&-", "2>/dev/full"])
def test_a_broken_stderr_does_not_end_the_run(folder, any_backend, redirection):
    command = shlex.join(program("-o", "out.png", "--backend", any_backend, *QUICK))
    subprocess.run(f"{command} {redirection}", shell=True, check=False, capture_output=True)
    assert opened("out.png")[1] == (48, 32)


def test_a_terminal_of_eighty_columns_shows_bar_eta_and_losses(folder, any_backend):
    """stderr is a pseudo-terminal here."""
    pty = pytest.importorskip("pty", reason="pseudo-terminals are POSIX's")
    ours, theirs = pty.openpty()
    command = program("--backend", any_backend, "--size", "32x48", "--steps", "20")
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


def test_a_diverging_run_says_where_and_keeps_the_last_good_picture(folder, any_backend, capsys):
    assert isostyle("run", "photo.jpg", "painting.png", "--lr", "1e20", "--backend", any_backend, *QUICK) == 1
    captured = capsys.readouterr()
    assert "at step 1; try a smaller learning rate" in captured.err
    assert "the picture of step 0 is kept in 'photo-painting.png'" in captured.err
    assert opened("photo-painting.png")[1] == (48, 32)
    assert "Traceback" not in captured.err


def test_the_first_ctrl_c_waits_for_the_next_event_whose_picture_is_kept(folder, any_backend, capsys, monkeypatch):
    monkeypatch.setattr(watch.Report, "event", lambda self, event: signal.raise_signal(signal.SIGINT))
    assert isostyle("run", "photo.jpg", "painting.png", "--backend", any_backend, *QUICK) == 130
    assert "interrupted; the picture of step 1 is kept" in capsys.readouterr().err
    assert json.loads((folder / "photo-painting.json").read_text())["stopped_by"] == "interrupt"


def test_the_second_ctrl_c_does_not_wait_and_the_last_picture_is_kept(folder, any_backend, capsys, monkeypatch):
    def press_twice(self, event):
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(watch.Report, "event", press_twice)
    assert isostyle("run", "photo.jpg", "painting.png", "--backend", any_backend, *QUICK) == 130
    assert "interrupted; the picture of step 0 is kept" in capsys.readouterr().err


def test_sigterm_is_as_ctrl_c_with_an_exit_code_of_its_own(folder, any_backend, capsys, monkeypatch):
    monkeypatch.setattr(watch.Report, "event", lambda self, event: signal.raise_signal(signal.SIGTERM))
    assert isostyle("run", "photo.jpg", "painting.png", "--backend", any_backend, *QUICK) == 143
    assert "interrupted; the picture of step 1 is kept" in capsys.readouterr().err


def test_ctrl_c_while_the_picture_is_written_does_nothing(folder, any_backend, monkeypatch):
    plain = encode.save

    def press(*arguments):
        signal.raise_signal(signal.SIGINT)
        plain(*arguments)

    monkeypatch.setattr(encode, "save", press)
    assert isostyle("run", "photo.jpg", "painting.png", "--backend", any_backend, *QUICK) == 0
    assert opened("photo-painting.png")[1] == (48, 32)


def test_ctrl_c_before_there_is_a_picture_leaves_nothing(folder, any_backend, capsys, monkeypatch):
    monkeypatch.setattr(stylize.decode, "read_picture", lambda *_: signal.raise_signal(signal.SIGINT))
    monkeypatch.setattr(stylize, "read_picture", lambda *_: signal.raise_signal(signal.SIGINT))
    assert isostyle("run", "photo.jpg", "painting.png", "--backend", any_backend, *QUICK) == 130
    assert capsys.readouterr().err.strip() == "isostyle: interrupted before there was a picture"
    assert names(folder) == ["painting.png", "photo.jpg"]


@pytest.mark.slow
@pytest.mark.parametrize("name", BACKENDS)
def test_ctrl_c_keeps_the_last_picture_and_says_so(folder, name):
    obtain(name)
    command = program("--backend", name, "--size", "48x64", "--steps", "100000")
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
