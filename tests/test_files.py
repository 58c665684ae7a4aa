"""Output files: whole or not at all."""

import os
import subprocess
import sys

import pytest

from isostyle import files
from isostyle.files import check_outputs, fresh_file, remove_left_behind, write_atomically

needs_locks = pytest.mark.skipif(not files.LOCKS, reason="without locks nobody knows which files are still written")


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


def killed_while_it_writes(place):
    """A process that is killed before it can move what it wrote into place; the file that it leaves."""
    before = set(place.parent.iterdir())
    program = "import os, pathlib, sys\nfrom isostyle.files import fresh_file\n"
    program += "with fresh_file(pathlib.Path(sys.argv[1])):\n    os.kill(os.getpid(), 9)"
    assert subprocess.run([sys.executable, "-c", program, str(place)], check=False).returncode == -9
    (left,) = set(place.parent.iterdir()) - before
    return left


@needs_locks
def test_what_a_killed_process_left_goes_when_the_file_is_asked_for_again(tmp_path):
    left, other = killed_while_it_writes(tmp_path / "out"), killed_while_it_writes(tmp_path / "other")
    check_outputs([tmp_path / "out"], [], force=False)
    assert not left.exists()
    assert other.exists()


@needs_locks
def test_what_another_process_still_writes_stays(tmp_path):
    with fresh_file(tmp_path / "out") as file:
        file.write_bytes(b"half")
        remove_left_behind([tmp_path / "out"])
        assert file.read_bytes() == b"half"


@needs_locks
def test_a_file_that_is_taken_away_before_it_is_locked_is_made_again(tmp_path, monkeypatch):
    locked = []

    def late(stream, *, wait):
        if not locked:
            os.unlink(stream.name)
        locked.append(stream.name)

    monkeypatch.setattr(files, "lock", late)
    write_atomically(tmp_path / "out", b"new")
    assert len(locked) == 2
    assert os.listdir(tmp_path) == ["out"]


def test_where_files_cannot_be_locked_they_are_written_all_the_same(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "LOCKS", False)
    write_atomically(tmp_path / "out", b"new")
    assert os.listdir(tmp_path) == ["out"]
