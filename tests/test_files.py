"""Output files: whole or not at all."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from isostyle.system import files
from isostyle.system.files import check_outputs, write_atomically


def test_a_file_is_replaced_whole(tmp_path):
    (tmp_path / "out").write_bytes(b"old")
    write_atomically(tmp_path / "out", b"new")
    assert (tmp_path / "out").read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["out"]


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch, step):
    (tmp_path / "out").write_bytes(b"old")

    def fail(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, step, fail)
    with pytest.raises(OSError, match="No space left"):
        write_atomically(tmp_path / "out", b"new")
    assert (tmp_path / "out").read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["out"]


def test_the_umask_says_who_may_read_it(tmp_path):
    before = os.umask(0o027)
    try:
        write_atomically(tmp_path / "out", b"new")
    finally:
        os.umask(before)
    assert (tmp_path / "out").stat().st_mode & 0o777 == 0o640


def test_a_symbolic_link_stays_one(tmp_path):
    (tmp_path / "target").write_bytes(b"old")
    (tmp_path / "link").symlink_to("target")
    write_atomically(tmp_path / "link", b"new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "target").read_bytes() == b"new"


def unfinished(folder, hours):
    """A file as a killed process leaves it, which was written to so many hours ago."""
    file = folder / f"{files.UNFINISHED}{'0123456789abcdef' * 2}"
    file.touch()
    then = time.time() - 3600 * hours
    os.utime(file, (then, then))
    return file


def test_an_exception_removes_the_unfinished_file(tmp_path):
    with pytest.raises(KeyboardInterrupt), files.fresh_file(tmp_path / "out"):
        raise KeyboardInterrupt
    assert os.listdir(tmp_path) == []


def test_what_a_killed_process_left_does_not_hinder_the_next_one(tmp_path):
    program = "import os, pathlib, sys\nfrom isostyle.system.files import fresh_file\n"
    program += "with fresh_file(pathlib.Path(sys.argv[1])):\n    os.kill(os.getpid(), 9)"
    assert subprocess.run([sys.executable, "-c", program, str(tmp_path / "out")], check=False).returncode == -9
    (left,) = os.listdir(tmp_path)
    assert left.startswith(files.UNFINISHED)
    write_atomically(tmp_path / "out", b"new")
    assert (tmp_path / "out").read_bytes() == b"new"


@pytest.mark.parametrize(("hours", "stays"), [(23, True), (25, False)])
def test_an_unfinished_file_goes_after_a_day(tmp_path, hours, stays):
    left = unfinished(tmp_path, hours)
    check_outputs([tmp_path / "out"], [], force=False)
    assert left.exists() == stays


def test_a_file_of_another_name_stays_however_old_it_is(tmp_path):
    mine = unfinished(tmp_path, 1000).rename(tmp_path / ".isostyle-notes")
    check_outputs([tmp_path / "out"], [], force=False)
    assert mine.exists()


def test_a_file_is_written_where_an_open_file_can_be_opened_once_only(tmp_path, monkeypatch):
    """As on Windows, and on network folders whose locks bind. What is still open when it is moved is a hazard there, too."""
    opened, moved, move = [], [], os.replace
    before = Path.open

    def once(self, *arguments, **options):
        assert all(stream.closed for stream in opened)
        opened.append(before(self, *arguments, **options))
        return opened[-1]

    def closed(source, target):
        moved.append(all(stream.closed for stream in opened))
        move(source, target)

    monkeypatch.setattr(Path, "open", once)
    monkeypatch.setattr(os, "replace", closed)
    write_atomically(tmp_path / "out", b"new")
    assert moved == [True]
