"""Traces on disk: what was written is read, and what was damaged is refused with a sentence."""

import io
import json
import tracemalloc
import zipfile

import numpy as np
import pytest

from isostyle.conformance import trace
from isostyle.conformance.trace import POINTS, RUN, Trace, load
from isostyle.errors import InputError
from isostyle.system.files import sha256

RUN_FACTS = {"backend": "toy", "specification": "0" * 64, "cases": [], "versions": {}, "expected": [], "parts": []}


@pytest.fixture
def folder(tmp_path):
    """A trace with one point of each sort."""
    points = {("float32", "a/b"): {"x": np.ones((2, 3), np.float32), "n": np.arange(3), "text": np.array(["a", "bc"])}}
    Trace(RUN_FACTS, points).save(tmp_path)
    return tmp_path


def rewrite(folder, data):
    """Other points, with a digest that fits: what somebody who knows the format could write."""
    (folder / POINTS).write_bytes(data)
    run = {**json.loads((folder / RUN).read_text()), "points_sha256": sha256(data)}
    (folder / RUN).write_text(json.dumps({**run, "run_sha256": trace.digest(run)}))


def archive(**arrays):
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def test_what_was_written_is_read(folder):
    found = load(folder)
    assert found.name == "toy"
    points = found.points["float32", "a/b"]
    assert points["x"].dtype == np.float32
    np.testing.assert_array_equal(points["x"], 1)
    assert points["text"].tolist() == ["a", "bc"]


@pytest.mark.parametrize("keep", [0, 1, 100, -1], ids=lambda keep: f"{keep} bytes")
def test_truncated_points_are_refused(folder, keep):
    data = (folder / POINTS).read_bytes()
    (folder / POINTS).write_bytes(data[:keep])
    with pytest.raises(InputError, match="not what was recorded, or not all of it"):
        load(folder)


def test_truncated_points_whose_digest_was_made_to_fit_are_refused(folder):
    rewrite(folder, (folder / POINTS).read_bytes()[:200])
    with pytest.raises(InputError, match="cannot be read as a trace"):
        load(folder)


def test_a_changed_number_is_noticed(folder):
    (folder / POINTS).write_bytes(archive(**{"float32|a/b|x": np.zeros((2, 3), np.float32)}))
    with pytest.raises(InputError, match="its digest does not fit"):
        load(folder)


def test_a_changed_line_of_run_json_is_noticed(folder):
    (folder / RUN).write_text((folder / RUN).read_text().replace("toy", "torch"))
    with pytest.raises(InputError, match="was changed after it was recorded"):
        load(folder)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "cannot be read as a trace"),
        ("{", "cannot be read as a trace"),
        ("[" * 100000, "cannot be read as a trace"),
        ("[]", "not a trace that this version reads"),
        ('{"schema": "isostyle-trace-999"}', "not a trace that this version reads"),
        ('{"schema": "isostyle-trace-1"}', "is a trace of an older isostyle .*; record it again"),
        ('{"schema": "isostyle-trace-3"}', "was changed after it was recorded"),
    ],
    ids=["empty", "cut", "deep", "a list", "another schema", "an older schema", "no digest"],
)
def test_a_run_json_that_is_none_is_refused(folder, text, message):
    (folder / RUN).write_text(text)
    with pytest.raises(InputError, match=message):
        load(folder)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("specification", None),
        ("specification", 3),
        ("versions", ["isostyle"]),
        ("cases", "all"),
        ("cases", ["a/b"]),
        ("cases", [{"case": 1, "dtype": "float32"}]),
        ("expected", [{"case": "a/b"}]),
        ("parts", "prepare"),
    ],
)
def test_a_run_json_whose_facts_have_another_form_is_refused(folder, key, value):
    run = {**json.loads((folder / RUN).read_text()), key: value}
    (folder / RUN).write_text(json.dumps({**run, "run_sha256": trace.digest(run)}))
    with pytest.raises(InputError, match="understood"):
        load(folder)


def test_an_empty_folder_is_no_trace(tmp_path):
    with pytest.raises(InputError, match=r"is not a trace: it has no run\.json"):
        load(tmp_path)


def test_a_file_is_no_trace(folder):
    with pytest.raises(InputError, match="is not a folder"):
        load(folder / RUN)


def test_a_trace_without_points_is_refused(folder):
    (folder / POINTS).unlink()
    with pytest.raises(InputError, match="there is no file"):
        load(folder)


class Bomb:
    def __reduce__(self):
        return (print, ("a pickle was loaded",))


def test_no_pickle_is_loaded(folder, capsys):
    rewrite(folder, archive(**{"float32|a/b|x": np.array([Bomb()], dtype=object)}))
    with pytest.raises(InputError, match="cannot be read as a trace"):
        load(folder)
    assert "a pickle was loaded" not in capsys.readouterr().out


def test_a_point_without_dtype_and_case_is_refused(folder):
    rewrite(folder, archive(x=np.ones(3)))
    with pytest.raises(InputError, match="cannot be read as a trace"):
        load(folder)


def test_arrays_of_other_things_than_numbers_and_text_are_refused(folder):
    rewrite(folder, archive(**{"float32|a/b|x": np.ones(3, complex)}))
    with pytest.raises(InputError, match="neither numbers nor text"):
        load(folder)


def test_an_array_that_claims_to_be_huge_is_refused(folder):
    file = io.BytesIO()
    header = b"{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000,), }"
    header += b" " * (117 - len(header)) + b"\n"
    with zipfile.ZipFile(file, "w") as members:
        members.writestr("float64|a|x.npy", b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + b"\0" * 64)
    rewrite(folder, file.getvalue())
    with pytest.raises(InputError, match="an array of 192 bytes that claims to be of float64"):
        load(folder)


def test_a_text_that_claims_to_be_huge_takes_no_memory(folder):
    """NumPy would fill 2 GB with zeros before it reads a single letter."""
    head = b"{'descr': '<U536870911', 'fortran_order': False, 'shape': (1,)}\n"
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as members:
        members.writestr("float64|a|x.npy", b"\x93NUMPY\x01\x00" + len(head).to_bytes(2, "little") + head)
    rewrite(folder, file.getvalue())
    tracemalloc.start()
    try:
        with pytest.raises(InputError, match="claims to be of <U536870911"):
            load(folder)
        assert tracemalloc.get_traced_memory()[1] < 10**7
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("name", ["", "../torch", "/etc/passwd", "a\x1b[2J", "t\u202eorch", "\ud800", "x" * 65, " torch"])
def test_a_backend_s_name_is_a_plain_name(folder, name):
    run = {**json.loads((folder / RUN).read_text()), "backend": name}
    (folder / RUN).write_text(json.dumps({**run, "run_sha256": trace.digest(run)}))
    with pytest.raises(InputError, match="has no backend's name"):
        load(folder)


@pytest.mark.parametrize("text", ["\x1b]0;title\x07", "line\nCONFORMS", "\ud800", "\u202e"])
def test_characters_that_a_terminal_would_obey_are_refused(folder, text):
    run = {**json.loads((folder / RUN).read_text()), "versions": {"numpy": text}}
    (folder / RUN).write_text(json.dumps({**run, "run_sha256": trace.digest(run)}))
    with pytest.raises(InputError, match="cannot be printed"):
        load(folder)


def test_numbers_that_json_does_not_have_are_refused(folder):
    text = (folder / RUN).read_text().replace('"expected": []', '"expected": [], "threads": Infinity')
    (folder / RUN).write_text(text)
    with pytest.raises(InputError, match="Infinity is no number"):
        load(folder)


def test_two_arrays_of_one_name_are_refused(folder):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as members:
        members.writestr("float32|a|x.npy", b"")
        with pytest.warns(UserWarning, match="Duplicate name"):
            members.writestr("float32|a|x.npy", b"")
    rewrite(folder, file.getvalue())
    with pytest.raises(InputError, match="two arrays of one name"):
        load(folder)


def test_a_member_that_is_no_array_is_refused(folder):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as members:
        members.writestr("float32|a|x", b"hello")
    rewrite(folder, file.getvalue())
    with pytest.raises(InputError, match="neither numbers nor text"):
        load(folder)


def test_printable_text_keeps_letters_and_loses_what_a_terminal_obeys():
    assert trace.printable("Fehler: 3 \xd7 4\x1b[31m\n\u202e") == "Fehler: 3 \xd7 4?[31m ?"


def test_an_archive_that_claims_more_than_any_trace_has_is_refused_unread(folder, monkeypatch):
    monkeypatch.setattr(trace, "MAX_BYTES", 100)
    with pytest.raises(InputError, match="claims to hold more"):
        load(folder)
