"""What a folder stands for, in every command that takes one, and what is said of what it does not stand for."""

import json
from pathlib import Path

import pytest
from conftest import draw, run
from style_files import write_style

from isostyle import InputError
from isostyle.cli import apply_plan, batch_plan
from isostyle.images import folders, heif
from isostyle.style_networks.photographs import scan

OTHERS = ("a.heic", "b.mov", "c.nef", "notes.txt", "more.txt", "most.txt", "last.txt", ".hidden.jpg")


@pytest.fixture
def holiday(tmp_path, monkeypatch):
    """holiday/ with a picture, one in each of two folders, and what is none."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(heif, "is_installed", lambda: False)
    Path("holiday/2019/june").mkdir(parents=True)
    Path("holiday/.trash").mkdir()
    for phase, name in enumerate(("a.png", "2019/b.png", "2019/june/a.png", ".trash/old.png")):
        draw(Path("holiday") / name, phase)
    for name in OTHERS:
        (Path("holiday") / name).write_bytes(b"")
    return tmp_path


def taken(found):
    return [str(path) for path, _ in found.files]


def test_folders_in_a_folder_are_entered_if_that_is_asked_for(holiday):
    assert taken(folders.look_into(Path("holiday"), recursive=False)) == ["holiday/a.png"]
    found = folders.look_into(Path("holiday"), recursive=True)
    assert taken(found) == ["holiday/a.png", "holiday/2019/b.png", "holiday/2019/june/a.png"]
    assert [str(below) for _, below in found.files] == [".", "2019", "2019/june"]


def test_what_is_left_out_is_counted_and_named_by_reason(holiday):
    assert folders.look_into(Path("holiday"), recursive=False).line("'holiday'") == (
        "not taken from 'holiday': 1 HEIC pictures, which need pip install 'isostyle[heif]' (a.heic); 1 videos (b.mov); "
        "1 raw photographs, which have to be developed first (c.nef); 4 no pictures (last.txt, more.txt, most.txt, ...); "
        "1 sub-folders, which --recursive enters (2019)"
    )


def test_nothing_is_said_of_a_folder_of_pictures(tmp_path):
    draw(tmp_path / "a.png", 0)
    assert folders.look_into(tmp_path, recursive=False).line("it") is None


def test_links_to_folders_are_not_followed_and_said(holiday):
    Path("holiday/2019/up").symlink_to(holiday / "holiday")
    found = folders.look_into(Path("holiday"), recursive=True)
    assert found.left_out[folders.LINKS] == ["2019/up"]
    assert len(found.files) == 3


def test_the_folder_that_outputs_go_to_is_not_entered(holiday):
    Path("holiday/painted").mkdir()
    draw(Path("holiday/painted/a.png"), 0)
    found = folders.look_into(Path("holiday"), recursive=True, without=holiday / "holiday" / "painted")
    assert len(found.files) == 3


def test_a_pattern_says_what_it_leaves_out_too(holiday):
    told = []
    found, several = apply_plan.expand(["holiday/*"], tell=told.append)
    assert [str(source.path) for source in found] == ["holiday/a.png", "holiday/b.mov"]
    assert several
    assert told[0].startswith("not taken from 'holiday/*': 1 sub-folders, which --recursive enters (2019); 1 HEIC pictures")


def test_a_folder_does_not_stand_for_the_videos_in_it_and_says_how_they_are_taken(holiday):
    told = []
    apply_plan.expand(["holiday"], tell=told.append)
    assert "1 videos, which are taken if they are named, or match a pattern (b.mov)" in told[0]


@pytest.mark.parametrize(
    "use",
    [
        lambda: apply_plan.expand(["holiday/2019"]),
        lambda: batch_plan.every_pair(["holiday/2019"], ["holiday/a.png"], Path(), []),
        lambda: scan(Path("holiday/2019"), 16),
    ],
    ids=["apply", "batch", "train"],
)
def test_a_folder_with_pictures_in_its_sub_folders_alone_names_the_option(holiday, use):
    Path("holiday/2019/b.png").unlink()
    with pytest.raises(InputError, match="itself; 'holiday/2019/june/a.png' is in a sub-folder, which --recursive enters"):
        use()


def test_a_folder_of_nothing_that_can_be_taken_says_what_is_in_it(holiday):
    Path("holiday/a.png").unlink()
    Path("holiday/2019").rename("elsewhere")
    with pytest.raises(InputError, match="no picture is in the folder 'holiday'; not taken from 'holiday': 1 HEIC pictures"):
        apply_plan.expand(["holiday"])


@pytest.mark.parametrize(("options", "count"), [([], 1), (["--recursive"], 3)])
def test_apply_keeps_the_folders_in_a_folder(holiday, any_backend, capsys, options, count):
    write_style(Path("wave.safetensors"))
    code, out, err = run(
        ["apply", "wave.safetensors", "holiday", "-o", "out", "--backend", any_backend, "--threads", "2", *options], capsys
    )
    assert code == 0, err
    assert f"wrote {count} of {count}" in out
    assert "not taken from 'holiday': " in err
    names = sorted(str(path.relative_to("out")) for path in Path("out").rglob("*.png"))
    assert names == sorted(["a.png", "2019/b.png", "2019/june/a.png"] if count == 3 else ["a.png"])
    assert len(json.loads(Path("out/manifest.json").read_text())["pictures"]) == count


def test_quiet_does_not_say_what_is_left_out(holiday, any_backend, capsys):
    write_style(Path("wave.safetensors"))
    arguments = ["apply", "wave.safetensors", "holiday", "-o", "out", "--backend", any_backend, "--threads", "2", "--quiet"]
    assert run(arguments, capsys) == (0, "", "")


def test_batch_keeps_the_folders_in_a_folder(holiday, any_backend, capsys):
    arguments = ["batch", "--content", "holiday", "--style", "holiday/a.png", "--recursive", "-o", "out"]
    options = ["--", "--size", "48", "--steps", "1", "--pyramid", "none", "--backend", any_backend]
    code, _, err = run([*arguments, *options], capsys)
    assert code == 0, err
    assert "not taken from 'holiday': " in err
    names = sorted(str(path.relative_to("out")) for path in Path("out").rglob("*.png"))
    assert names == ["2019/b-a.png", "2019/june/a-a.png", "a-a.png"]


def test_new_folders_in_which_nothing_was_put_go_again(holiday, any_backend, capsys):
    write_style(Path("wave.safetensors"))
    Path("holiday/2019/b.png").write_bytes(b"no picture")
    Path("holiday/2019/june/a.png").unlink()
    arguments = ["apply", "wave.safetensors", "holiday", "-o", "out", "--recursive", "--backend", any_backend, "--threads", "2"]
    assert run(arguments, capsys)[0] == 1
    assert {path.name for path in Path("out").iterdir()} == {"a.png", "manifest.json"}


def test_train_enters_folders_if_that_is_asked_for_and_says_what_it_left_out(holiday):
    found = scan(Path("holiday"), 16)
    assert [str(path) for path in found.files] == ["holiday/a.png"]
    assert found.lines[0].startswith("not taken from 'holiday': ")
    assert len(scan(Path("holiday"), 16, recursive=True).files) == 3


def test_heic_pictures_are_taken_with_the_extra(holiday, monkeypatch):
    monkeypatch.setattr(heif, "is_installed", lambda: True)
    assert "holiday/a.heic" in taken(folders.look_into(Path("holiday"), recursive=False))
