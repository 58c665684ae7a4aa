"""`isostyle apply` and `isostyle styles`: where outputs go, what happens to broken inputs, and how it refuses."""

import json
import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from conftest import BACKENDS, DEEP, obtain
from PIL import Image
from style_files import random_style, write_style
from test_cli import isostyle, names, opened

from isostyle.cli import apply as apply_cli
from isostyle.cli import apply_plan
from isostyle.style_networks import file as style_network
from isostyle.system import files
from isostyle.system.prefetch import ahead


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A working folder with a network and four pictures, one of them broken."""
    monkeypatch.chdir(tmp_path)
    write_style(tmp_path / "wave.safetensors")
    (tmp_path / "pics").mkdir()
    random = np.random.RandomState(0)
    for name, size in (("a.jpg", (30, 41)), ("b.png", (33, 40)), ("c.webp", (29, 37))):
        Image.fromarray(random.randint(0, 256, (*size, 3), np.uint8)).save(tmp_path / "pics" / name)
    return tmp_path


def apply(*arguments):
    return isostyle("apply", "wave.safetensors", *arguments, "--threads", "2")


def break_picture(folder, name="aa.jpg"):
    (folder / "pics" / name).write_bytes((folder / "pics" / "a.jpg").read_bytes()[:300])


# One picture


@pytest.mark.parametrize("name", BACKENDS)
def test_one_picture_goes_beside_with_its_manifest(folder, name, capsys):
    obtain(name)
    assert apply("pics/a.jpg", "--backend", name) == 0
    assert names(folder) == ["a-wave.json", "a-wave.png", "pics", "wave.safetensors"]
    assert opened("a-wave.png") == ("PNG", (41, 30))
    about = json.loads((folder / "a-wave.json").read_text())
    assert about["backend"]["name"] == name
    assert about["style"]["parameters_sha256"] == random_style().digest
    assert about["input"]["path"] == "pics/a.jpg"
    assert about["output"]["path"] == "a-wave.png"
    captured = capsys.readouterr()
    assert captured.out.startswith("wrote a-wave.png: ")
    assert "1/1  pics/a.jpg -> a-wave.png  30x41" in captured.err


def test_a_folder_that_was_left_half_done_is_gone_on_with(folder, any_style_backend, capsys):
    assert apply("pics/a.jpg", "pics/b.png", "-o", "out", "--backend", any_style_backend) == 0
    before = (folder / "out" / "a.jpg").stat().st_mtime_ns
    assert apply("pics", "-o", "out", "--backend", any_style_backend, "--skip-existing") == 0
    assert "2 of 3 are there already" in capsys.readouterr().err
    assert names(folder / "out") == ["a.jpg", "b.png", "c.webp", "manifest.json"]
    assert (folder / "out" / "a.jpg").stat().st_mtime_ns == before
    rows = json.loads((folder / "out" / "manifest.json").read_text())["pictures"]
    assert [row["input"]["path"] for row in rows] == ["pics/a.jpg", "pics/b.png", "pics/c.webp"]
    assert apply("pics", "-o", "out", "--backend", any_style_backend, "--skip-existing") == 0
    assert "3 of 3 are there already" in capsys.readouterr().err


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b'{"style": 1}',
        b'{"style": {"parameters_sha256": "0"}, "pictures": 3}',
        pytest.param(DEEP.encode(), id="nested too deeply"),
    ],
)
def test_an_earlier_manifest_that_is_none_is_left_out(tmp_path, data):
    (tmp_path / "manifest.json").write_bytes(data)
    assert apply_cli.rows_of(tmp_path / "manifest.json", "0") == []


@pytest.mark.parametrize("left", ["manifest.json", "a.jpg"])
def test_what_is_left_in_a_folder_is_answered_with_both_ways_to_go_on(folder, left, capsys):
    (folder / "out").mkdir()
    (folder / "out" / left).write_text("here")
    assert apply("pics", "-o", "out") == 2
    words = f"'out/{left}' exists already; use --skip-existing to go on, or --force to overwrite it"
    assert words in capsys.readouterr().err


@pytest.mark.parametrize(("output", "kind"), [("x.jpg", "JPEG"), ("x.webp", "WEBP"), ("x.TIFF", "TIFF")])
def test_the_suffix_says_the_format(folder, any_style_backend, output, kind):
    assert apply("pics/a.jpg", "-o", output, "--backend", any_style_backend) == 0
    assert opened(output) == (kind, (41, 30))


def transparent(path):
    """Two frames, half of each transparent."""
    frames = [Image.new("RGBA", (30, 20), color) for color in ("red", "blue")]
    for frame in frames:
        frame.paste((0, 0, 0, 0), (0, 0, 15, 20))
    frames[0].save(path, save_all=True, append_images=frames[1:])


@pytest.mark.parametrize("name", ["a.gif", "a.png", "a.webp"])
@pytest.mark.parametrize("output", ["b.jpg", "b.gif", "b.png"])
def test_transparency_of_an_animation_that_is_lost_is_said(folder, any_style_backend, capsys, name, output):
    transparent(folder / name)
    assert apply(name, "-o", output, "--backend", any_style_backend) == 0
    said = capsys.readouterr().err
    assert f"{name!r}: frame 1 of 2 was taken" in said
    line = f"{name}: its transparency is laid on white, since {output[1:]} is written without any\n"
    assert (line in said) == (output != "b.png")


def test_transparency_that_was_asked_to_be_dropped_is_no_news(folder, any_style_backend, capsys):
    transparent(folder / "a.gif")
    assert apply("a.gif", "-o", "b.png", "--alpha", "drop", "--backend", any_style_backend) == 0
    assert "transparency" not in capsys.readouterr().err


def test_a_lower_quality_makes_a_smaller_file(folder, any_style_backend):
    for quality in ("95", "20"):
        assert apply("pics/a.jpg", "-o", f"{quality}.jpg", "--quality", quality, "--backend", any_style_backend) == 0
    assert (folder / "20.jpg").stat().st_size < (folder / "95.jpg").stat().st_size


def test_a_quality_is_for_those_in_a_folder_that_have_one(folder, any_style_backend):
    assert apply("pics", "-o", "out", "--quality", "20", "--backend", any_style_backend) == 0
    assert apply("pics", "-o", "fine", "--backend", any_style_backend) == 0
    assert (folder / "out" / "a.jpg").stat().st_size < (folder / "fine" / "a.jpg").stat().st_size


def test_one_picture_into_a_folder(folder, any_style_backend):
    assert apply("pics/a.jpg", "-o", "new/folder", "--backend", any_style_backend) == 0
    assert names(folder / "new" / "folder") == ["a.jpg", "a.json"]


def test_quiet_prints_nothing(folder, any_style_backend, capsys):
    assert apply("pics/a.jpg", "--quiet", "--backend", any_style_backend) == 0
    assert capsys.readouterr() == ("", "")


# Several


def test_a_folder_goes_to_a_folder_with_one_manifest(folder, any_style_backend, capsys):
    assert apply("pics", "-o", "out", "--backend", any_style_backend) == 0
    assert names(folder / "out") == ["a.jpg", "b.png", "c.webp", "manifest.json"]
    about = json.loads((folder / "out" / "manifest.json").read_text())
    assert [row["input"]["path"] for row in about["pictures"]] == ["pics/a.jpg", "pics/b.png", "pics/c.webp"]
    assert about["failed"] == []
    assert opened("out/c.webp") == ("WEBP", (37, 29))
    assert capsys.readouterr().out.startswith("wrote 3 of 3 to out: ")


def test_a_quoted_pattern_is_expanded_and_no_picture_comes_twice(folder, any_style_backend):
    assert apply("pics/[ab].*", "pics/a.jpg", "-o", "out", "--format", "png", "--backend", any_style_backend) == 0
    assert names(folder / "out") == ["a.png", "b.png", "manifest.json"]


def test_many_pictures_are_what_each_is_alone(folder, any_style_backend):
    assert apply("pics/a.jpg", "pics/b.png", "-o", "out", "--format", "png", "--backend", any_style_backend) == 0
    for name in ("a.jpg", "b.png"):
        assert apply(f"pics/{name}", "-o", "alone.png", "--force", "--backend", any_style_backend) == 0
        stem = name.partition(".")[0]
        assert Image.open("alone.png").tobytes() == Image.open(f"out/{stem}.png").tobytes()


def test_a_broken_picture_is_named_and_the_others_go_on(folder, any_style_backend, capsys):
    break_picture(folder)
    assert apply("pics", "-o", "out", "--backend", any_style_backend) == 1
    assert names(folder / "out") == ["a.jpg", "b.png", "c.webp", "manifest.json"]
    captured = capsys.readouterr()
    assert "FAILED pics/aa.jpg: 'pics/aa.jpg' cannot be decoded" in captured.err
    assert captured.err.splitlines()[-1] == "isostyle: 1 of 4 failed, as said above"
    assert captured.out.startswith("wrote 3 of 4 to out")
    (row,) = json.loads((folder / "out" / "manifest.json").read_text())["failed"]
    assert row["path"] == "pics/aa.jpg"


def test_a_picture_that_is_too_small_is_one_that_failed(folder, any_style_backend, capsys):
    Image.new("RGB", (3, 50)).save(folder / "pics" / "d.png")
    assert apply("pics", "-o", "out", "--quiet", "--backend", any_style_backend) == 1
    assert "FAILED pics/d.png: a picture of 50x3 pixels is too small" in capsys.readouterr().err
    assert "d.png" not in names(folder / "out")


def test_the_next_picture_is_read_while_one_is_computed():
    began, may_end = threading.Event(), threading.Event()

    def second():
        began.set()
        assert may_end.wait(10)
        return 2

    found = ahead([lambda: 1, second])
    assert next(found).result() == 1
    assert began.wait(10)  # the caller still has the first
    may_end.set()
    assert [one.result() for one in found] == [2]


# Refusals: exit code 2, nothing written


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["pics/none.jpg"], "there is no file 'pics/none.jpg'"),
        (["pics/*.bmp", "-o", "out"], "no picture and no video matches 'pics/*.bmp'"),
        (["pics", "pics/a.jpg"], "several pictures need a folder to go to: -o FOLDER"),
        (["pics", "-o", "out.png"], "looks like a file, and several pictures need a folder"),
        (["pics", "-o", "wave.safetensors"], "the folder 'wave.safetensors' cannot be made: File exists"),
        (["pics/a.jpg", "-o", "out.xyz"], "does not end in a picture format"),
        (["pics", "-o", "out", "--format", "xyz"], "--format 'xyz' is not a picture format"),
        (["pics", "-o", "pics"], "is an input; it is never overwritten"),
        (["pics/a.jpg", "-o", "none/out.png"], "there is no folder 'none'"),
        (["pics/a.jpg", "--backend", "tensorflow"], "there is no backend 'tensorflow'"),
        (["pics/a.jpg", "--quality", "0"], "0 is not in the range"),
        (["pics/a.jpg", "--quality", "50"], "--quality is of JPEG, WebP and AVIF"),
        (["pics", "-o", "out", "--format", "png", "--quality", "50"], "--quality is of JPEG, WebP and AVIF"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_what_cannot_be_used_is_one_sentence(folder, capsys, arguments, said):
    before = names(folder), names(folder / "pics")
    assert apply(*arguments) == 2
    captured = capsys.readouterr()
    assert said in captured.err
    assert captured.err.count("isostyle: ") == 1
    assert (names(folder), names(folder / "pics")) == before


def test_an_empty_folder_is_refused(folder, capsys):
    (folder / "empty").mkdir()
    assert apply("empty", "-o", "out") == 2
    assert "no picture is in the folder 'empty'" in capsys.readouterr().err


def test_two_inputs_of_one_name_are_refused_before_any_work(folder, capsys):
    (folder / "more").mkdir()
    Image.new("RGB", (20, 20)).save(folder / "more" / "A.jpg")
    assert apply("pics", "more", "-o", "out") == 2
    assert "'pics/a.jpg' and 'more/A.jpg' would both become 'out/A.jpg'" in capsys.readouterr().err
    assert not (folder / "out").exists()


def test_inputs_that_differ_in_suffix_only_keep_it_where_a_format_is_asked_for(tmp_path):
    sources = [apply_plan.Source(tmp_path / name) for name in ("a.jpg", "a.png", "b.jpg")]
    found = apply_plan.in_folder(sources, tmp_path, ".png")
    assert [path.name for path in found] == ["a.jpg.png", "a.png", "b.png"]


def test_two_pictures_that_differ_in_suffix_only_have_a_manifest_each(folder, any_style_backend):
    for output in ("x.jpg", "x.png", "x.png"):
        assert apply("pics/a.jpg", "-o", output, "--force", "--backend", any_style_backend) == 0
    told = {name: json.loads((folder / name).read_text())["output"]["path"] for name in ("x.json", "x.png.json")}
    assert told == {"x.json": "x.jpg", "x.png.json": "x.png"}


def test_nothing_is_overwritten_without_force(folder, any_style_backend, capsys):
    (folder / "out").mkdir()
    (folder / "out" / "b.png").write_text("mine")
    assert apply("pics", "-o", "out", "--backend", any_style_backend) == 2
    assert "exists already; use --skip-existing to go on, or --force" in capsys.readouterr().err
    assert names(folder / "out") == ["b.png"]
    assert apply("pics", "-o", "out", "--force", "--quiet", "--backend", any_style_backend) == 0
    assert opened("out/b.png")[0] == "PNG"


def test_the_network_s_file_is_an_input_too(folder, capsys):
    (folder / "out").mkdir()
    os.link(folder / "wave.safetensors", folder / "out" / "a.jpg")
    assert apply("pics/a.jpg", "-o", "out", "--force") == 2
    assert "is an input; it is never overwritten" in capsys.readouterr().err


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read and write everything")
@pytest.mark.parametrize(("locked", "said"), [("pics", "cannot be read"), ("out", "cannot be written")])
def test_a_folder_without_permission_is_named(folder, capsys, locked, said):
    (folder / "out").mkdir()
    (folder / locked).chmod(0)
    try:
        assert apply("pics", "-o", "out") == 2
    finally:
        (folder / locked).chmod(0o700)
    assert said in capsys.readouterr().err


def test_an_unreadable_folder_is_named(folder, monkeypatch):
    def refuse(place):
        raise PermissionError(13, "Permission denied", place)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(apply_plan.InputError, match="the folder 'pics' cannot be read: Permission denied"):
        apply_plan.expand(["pics"])


def test_an_output_that_cannot_be_written_stops_the_only_picture(folder, any_style_backend, monkeypatch, capsys):
    plain = files.write_atomically

    def full(path, data):
        if path.name == "a-wave.png":
            raise OSError(28, "No space left on device", str(path))
        plain(path, data)

    (folder / "tmp").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder / "tmp"))
    monkeypatch.setattr(files, "write_atomically", full)
    assert apply("pics/a.jpg", "--backend", any_style_backend) == 1
    (kept,) = (folder / "tmp").glob("a-wave-*.png")
    assert opened(kept) == ("PNG", (41, 30))
    said = capsys.readouterr().err
    assert f"cannot write 'a-wave.png': No space left on device; the picture is kept in '{kept}'" in said
    assert names(folder) == ["pics", "tmp", "wave.safetensors"]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["Ctrl-C", "SIGTERM"])
def test_a_signal_keeps_what_is_done(folder, any_style_backend, number, code):
    """The first picture is done; the second is too large to be so soon."""
    Image.effect_noise((3000, 3000), 80).convert("RGB").save(folder / "pics" / "aa.png")
    command = [
        sys.executable,
        "-m",
        "isostyle",
        "apply",
        "wave.safetensors",
        "pics",
        "-o",
        "out",
        "--backend",
        any_style_backend,
    ]
    with subprocess.Popen([*command, "--tile", "64"], stderr=subprocess.PIPE, text=True) as process:
        deadline = time.monotonic() + 120
        while not (folder / "out" / "a.jpg").exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        process.send_signal(number)
        _, stderr = process.communicate(timeout=120)
    assert process.returncode == code
    assert "interrupted; 1 of 4 done" in stderr
    assert names(folder / "out") == ["a.jpg", "manifest.json"]


# isostyle styles


def test_styles_lists_what_ships(tmp_path, monkeypatch, capsys):
    folder = tmp_path / "data" / "styles"
    folder.mkdir(parents=True)
    monkeypatch.setattr(style_network.resources, "files", lambda package: tmp_path)
    write_style(folder / "wave.safetensors")
    assert isostyle("styles") == 0
    line = capsys.readouterr().out
    assert line.startswith("wave ")
    assert "channels 5-7-11, 2 blocks; recipe d2l, 7 steps; sha256 " + random_style().digest[:16] in line
    assert isostyle("styles", "--json") == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert row["parameters_sha256"] == random_style().digest


def test_styles_says_what_a_file_is(folder, capsys):
    assert isostyle("styles", "wave.safetensors", "--json") == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert (row["name"], row["parameters_sha256"]) == ("wave.safetensors", random_style().digest)
    assert isostyle("styles", "pics/a.jpg") == 2


def test_styles_takes_names_of_those_that_ship(folder, capsys):
    assert isostyle("styles", "kilim", "wave.safetensors") == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == ["kilim", "wave.safetensors"]


def test_styles_lists_the_good_ones_and_names_the_others(folder, capsys):
    assert isostyle("styles", "oli", "wave.safetensors", "pics/a.jpg") == 2
    captured = capsys.readouterr()
    assert captured.out.startswith("wave.safetensors ")
    assert "there is no style network 'oli'; there are cafe, dots, " in captured.err
    assert "'pics/a.jpg' is not a style network: it is a JPEG picture" in captured.err
    assert isostyle("styles", "oli", "--json") == 2
    assert capsys.readouterr().out == ""


def test_a_name_that_is_no_text_is_printed_all_the_same(folder, any_style_backend, capsys):
    name = os.fsdecode(b"caf\xe9.png")
    assert apply("pics/a.jpg", "-o", name, "--backend", any_style_backend) == 0
    assert "wrote 'caf\\udce9.png'" in capsys.readouterr().out


def test_styles_of_an_installation_without_any(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(style_network.resources, "files", lambda package: tmp_path)
    assert isostyle("styles") == 0
    assert capsys.readouterr().err.startswith("none ship with this installation")


def test_a_sheet_has_the_photograph_and_a_picture_of_each_style(folder, any_style_backend, capsys):
    write_style(folder / "several.safetensors", styles=("wave", "oak"))
    assert (
        isostyle("styles", "several.safetensors", "wave.safetensors", "--sheet", "pics/a.jpg", "--backend", any_style_backend)
        == 0
    )
    assert capsys.readouterr().out == "wrote a-styles.jpg: 3 styles\n"
    with Image.open("a-styles.jpg") as opened, Image.open("pics/a.jpg") as photograph:
        # Two rows of two, and below each picture its name.
        assert (opened.width > opened.height) == (photograph.width > photograph.height)
        assert max(opened.size) == pytest.approx(2 * 600, abs=80)
        corners = [
            opened.convert("RGB").crop((x, y, x + 300, y + 200)) for x in (30, 650) for y in (30, opened.height // 2 + 30)
        ]
    assert len({corner.tobytes() for corner in corners}) == 4
    assert isostyle("styles", "--sheet", "pics/a.jpg", "--backend", any_style_backend) == 2
    assert "exists already" in capsys.readouterr().err


def test_a_sheet_never_takes_the_place_of_its_photograph(folder, any_style_backend, capsys):
    assert isostyle("styles", "wave.safetensors", "--sheet", "pics/a.jpg", "-o", "pics/a.jpg", "--force") == 2
    assert "'pics/a.jpg' is an input; it is never overwritten" in capsys.readouterr().err


def test_an_output_without_a_sheet_is_refused(folder, capsys):
    assert isostyle("styles", "-o", "sheet.jpg") == 2
    assert "-o is where a sheet goes; name its photograph: --sheet PHOTO" in capsys.readouterr().err
