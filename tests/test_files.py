"""Output files: whole or not at all."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from isostyle.system import files
from isostyle.system.files import check_outputs, remove_left_behind, write_atomically

posix = pytest.mark.skipif(os.name == "nt", reason="on Windows all stays")


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
    program = "import os, pathlib, sys\nfrom isostyle.system.files import fresh_file\n"
    program += "with fresh_file(pathlib.Path(sys.argv[1])):\n    os.kill(os.getpid(), 9)"
    assert subprocess.run([sys.executable, "-c", program, str(place)], check=False).returncode == -9
    (left,) = set(place.parent.iterdir()) - before
    return left


@posix
def test_what_a_killed_process_left_goes_when_the_file_is_asked_for_again(tmp_path):
    left, other = killed_while_it_writes(tmp_path / "out"), killed_while_it_writes(tmp_path / "other")
    check_outputs([tmp_path / "out"], [], force=False)
    assert not left.exists()
    assert other.exists()


@posix
def test_what_a_killed_process_left_goes_when_the_file_is_written_again(tmp_path):
    killed_while_it_writes(tmp_path / "out")
    write_atomically(tmp_path / "out", b"new")
    assert os.listdir(tmp_path) == ["out"]


@posix
def test_what_another_process_still_writes_stays(tmp_path):
    program = "import pathlib, sys\nfrom isostyle.system.files import fresh_file\n"
    program += "with fresh_file(pathlib.Path(sys.argv[1])) as file:\n    print(file, flush=True)\n    sys.stdin.read()"
    command = [sys.executable, "-c", program, str(tmp_path / "out")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        file = Path(process.stdout.readline().rstrip())
        remove_left_behind([tmp_path / "out"])
        assert file.exists()
        process.stdin.close()


@posix
def test_what_another_machine_left_stays_as_nobody_here_knows_its_processes(tmp_path, monkeypatch):
    left = killed_while_it_writes(tmp_path / "out")
    monkeypatch.setattr(files, "machine", lambda: "0123456789ab")
    remove_left_behind([tmp_path / "out"])
    assert left.exists()


def test_a_file_of_another_name_stays(tmp_path):
    """Whatever it begins with."""
    mine = tmp_path / ".isostyle-notes"
    mine.touch()
    remove_left_behind([tmp_path / "out"])
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
