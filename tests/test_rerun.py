"""`isostyle rerun`: a run once more from its manifest, and whether the same came out."""

import json
from pathlib import Path

import numpy as np
import pytest
from conftest import BACKENDS, THREADS, draw, obtain, run
from PIL import Image

import isostyle
from isostyle import InputError


@pytest.fixture
def pictures(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for phase, name in enumerate(("photo.png", "oil.png")):
        draw(name, phase)
    return tmp_path


@pytest.fixture
def made(pictures, any_backend, capsys):
    """photo-oil.png and its manifest."""
    return make(any_backend, capsys)


def make(backend, capsys, *options):
    arguments = [
        "run",
        "photo.png",
        "oil.png",
        "--backend",
        backend,
        "--size",
        "48",
        "--steps",
        "3",
        "--pyramid",
        "none",
        "--threads",
        THREADS,
    ]
    code, _, err = run([*arguments, *options], capsys)
    assert code == 0, err
    return Path("photo-oil.json")


@pytest.mark.parametrize(
    "options",
    [
        [],
        ["--pyramid", "0.7:4", "--steps", "4"],
        ["--init", "content+noise", "--seed", "7", "--dtype", "float64"],
        ["--tile", "32"],
        ["--style-scale", "2"],
        ["--style-size", "short:40"],
    ],
    ids=["adam", "a pyramid", "noise in float64", "tiles", "a style scale", "a style size"],
)
def test_on_the_same_machine_it_is_bit_identical(backend, pictures, capsys, options):
    make(backend.name, capsys, *options)
    code, out, err = run(["rerun", "photo-oil.json"], capsys)
    assert code == 0, err
    assert out.startswith("bit-identical: final total")
    assert len(out.splitlines()) == 1, "nothing has changed"


def test_it_writes_the_picture_if_asked_to(made, capsys):
    code, out, err = run(["rerun", made, "-o", "again.png"], capsys)
    assert code == 0, err
    assert "bit-identical" in out
    assert Path("again.png").read_bytes() == Path("photo-oil.png").read_bytes()
    assert json.loads(Path("again.json").read_bytes())["result"] == json.loads(made.read_bytes())["result"]


def test_another_framework_is_within_bounds_and_named(pictures, capsys):
    names = [name for name in BACKENDS if obtain(name)]
    if len(names) < 2:
        pytest.skip("one framework is not another")
    made = make(names[0], capsys)
    code, out, err = run(["rerun", made, "--backend", names[1]], capsys)
    assert code == 0, err
    assert out.startswith("within bounds: final total")
    assert f"framework: {names[0]} then, {names[1]} now" in out


@pytest.mark.parametrize(("role", "name"), [("content", "photo.png"), ("style", "oil.png")])
def test_a_picture_that_is_another_one_makes_it_different(made, capsys, role, name):
    changed = np.array(Image.open(name))
    changed[0, 0, 0] ^= 1
    Image.fromarray(changed).save(name)
    code, out, err = run(["rerun", made], capsys)
    assert code == 1
    assert out.startswith("different: ")
    assert f"{role} image: " in out
    assert "the result is not what it was" in err


def test_a_result_that_cannot_be_explained_is_different(made, capsys):
    """The same bits are promised, but a total that is far off is not within any bound."""
    told = json.loads(made.read_bytes())
    told["losses"]["last"]["total"] *= 1.06
    told["result"]["image_sha256"] = "0" * 64
    made.write_text(json.dumps(told))
    code, out, _ = run(["rerun", made], capsys)
    assert code == 1
    assert out.startswith("different: ")


def test_from_python(made, any_backend):
    found = isostyle.rerun(made)
    assert (found.verdict, found.apart, found.changed) == ("bit-identical", 0.0, {})
    assert found.result.picture.tobytes() == Image.open("photo-oil.png").tobytes()


def test_pictures_may_have_moved(made, capsys):
    Path("photo.png").rename("elsewhere.png")
    code, _, err = run(["rerun", made], capsys)
    assert code == 2
    assert "there is no file 'photo.png'" in err
    code, out, err = run(["rerun", made, "--content", "elsewhere.png"], capsys)
    assert code == 0, err
    assert "bit-identical" in out


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda told: told.pop("recipe"), "not the manifest of a run: it has no recipe"),
        (lambda told: told["recipe"].update(steps="many"), "steps"),
        (lambda told: told.update(schema="isostyle.apply/1"), "'isostyle.apply/1', not 'isostyle.manifest/2'"),
        (lambda told: told.update(schema="isostyle.manifest/1"), "was written by an older isostyle .*; repeat its run"),
        (lambda told: told.update(stopped_by="interrupt"), "of a run that was stopped"),
        (lambda told: told.update(seed="x"), "its seed is .x."),
        (lambda told: told.update(inputs=[]), "not the manifest"),
        (lambda told: told["inputs"].pop("style"), "it has no inputs.style.pixels_sha256"),
    ],
    ids=[
        "no recipe",
        "a wrong recipe",
        "another kind",
        "an older schema",
        "stopped",
        "a seed of text",
        "no inputs",
        "no style",
    ],
)
def test_a_manifest_that_cannot_be_is_refused(made, change, words):
    told = json.loads(made.read_bytes())
    change(told)
    made.write_text(json.dumps(told))
    with pytest.raises(InputError, match=words):
        isostyle.rerun(made)


@pytest.mark.parametrize(("text", "words"), [("{}", "it does not say what it is"), ("hello", "it is no JSON")])
def test_what_is_no_manifest_is_called_so_in_words(pictures, text, words):
    Path("m.json").write_text(text)
    with pytest.raises(InputError, match=f"'m.json' is not the manifest of a run: {words}"):
        isostyle.rerun("m.json")


@pytest.mark.parametrize(
    "text", ["", "[]", "{", "null", '"x"', "[" * 100_000], ids=["empty", "a list", "cut", "null", "text", "deep"]
)
def test_what_is_no_manifest_is_refused(pictures, text):
    Path("m.json").write_text(text)
    with pytest.raises(InputError, match="not the manifest of a run"):
        isostyle.rerun("m.json")
