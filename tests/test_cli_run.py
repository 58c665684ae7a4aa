"""`isostyle run`: what it writes, and what its options do."""

import csv
import json
import re
from pathlib import Path

import pytest
from conftest import BACKENDS, obtain
from PIL import Image
from test_cli import QUICK, isostyle, names, opened

from isostyle.cli.outputs import Outputs, beside
from isostyle.cli.report import history_bytes
from isostyle.images.options import PictureOptions
from isostyle.recipe_text import to_toml
from isostyle.transfer.override import override


def test_run_writes_the_picture_and_its_manifest_into_the_working_folder(folder, any_backend, capsys):
    assert isostyle("run", "photo.jpg", "painting.png", "--backend", any_backend, *QUICK) == 0
    assert names(folder) == ["painting.png", "photo-painting.json", "photo-painting.png", "photo.jpg"]
    assert opened("photo-painting.png")[1] == (48, 32)
    assert json.loads((folder / "photo-painting.json").read_text())["steps_done"] == 4
    captured = capsys.readouterr()
    assert captured.out.startswith("wrote photo-painting.png: 4 steps in ")
    assert "\nresult  content " in captured.err


def test_a_picture_that_differs_in_suffix_only_has_a_manifest_of_its_own(folder, any_backend):
    command = ["run", "photo.jpg", "painting.png", "--backend", any_backend, *QUICK]
    assert isostyle(*command, "-o", "r.jpg") == 0
    first = (folder / "r.json").read_bytes()
    assert isostyle(*command, "-o", "r.png") == 0
    assert isostyle(*command, "-o", "r.png", "--force") == 0
    assert (folder / "r.json").read_bytes() == first
    assert json.loads((folder / "r.png.json").read_bytes())["output"]["path"] == "r.png"
    assert isostyle("rerun", "r.png.json", "-o", "r.webp") == 0
    assert (folder / "r.webp.json").exists()


@pytest.mark.parametrize(
    ("there", "manifest"),
    [
        ({}, "r.json"),
        ({"r.json": "r.png"}, "r.json"),
        ({"r.json": "elsewhere/r.png"}, "r.json"),
        ({"r.json": "r.jpg"}, "r.png.json"),
        ({"r.json": None}, "r.png.json"),
        ({"r.png.json": "r.png"}, "r.png.json"),
        ({"r.png.json": "s.png"}, "r.json"),
    ],
)
def test_a_manifest_has_its_picture_s_suffix_where_the_short_name_is_another_s(tmp_path, there, manifest):
    for name, picture in there.items():
        (tmp_path / name).write_text(json.dumps({"output": {"path": picture}}) if picture else "mine")
    assert beside(tmp_path / "r.png") == tmp_path / manifest


def test_a_manifest_that_another_run_wrote_meanwhile_stays(tmp_path):
    outputs = Outputs(tmp_path / "r.png", PictureOptions())
    assert outputs.manifest == tmp_path / "r.json"
    (tmp_path / "r.json").write_text('{"output": {"path": "r.jpg"}}')
    outputs.settle_manifest()
    assert outputs.manifest == tmp_path / "r.png.json"


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
    assert "style/relu5_1" in rows[0]
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
    assert "the memory limit of 1 MiB is less than" in capsys.readouterr().err
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


def test_the_default_keeps_the_aspect_with_the_longer_side_at_512(folder, any_backend, capsys):
    assert isostyle("run", "photo.jpg", "painting.png", "--steps", "1", "--pyramid", "none", "--backend", any_backend) == 0
    assert opened("photo-painting.png")[1] == (437, 512)
    assert "aspect" not in capsys.readouterr().err


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
    command = [
        "run",
        "tall.png",
        "painting.png",
        "-o",
        "out.png",
        "--size",
        size,
        "--steps",
        "1",
        "--pyramid",
        "none",
        "--backend",
        any_backend,
    ]
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
    command += [
        "--pyramid",
        "none",
        "--optimizer",
        "lbfgs",
        "--line-search",
        "strong-wolfe",
        "--lbfgs-history",
        "7",
        "--lr",
        "1000",
    ]
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
    command += ["--recipe", "d2l"]
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


def test_a_json_history_has_null_for_what_is_not_finite():
    assert json.loads(history_bytes([{"step": 1, "total": float("inf")}], ".json")) == [{"step": 1, "total": None}]
