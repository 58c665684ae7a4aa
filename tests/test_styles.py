"""Several style images in one run."""

import dataclasses
import json

import numpy as np
import pytest
from conftest import BACKENDS, draw, obtain
from test_cli import QUICK, isostyle

import isostyle as package
from isostyle.conformance.oracle.engine import OracleEngine
from isostyle.errors import InputError
from isostyle.published import D2L
from isostyle.transfer.styles import average, by_role, targets_of

#: Small enough for a second, large enough for conv5_1.
SMALL = {"size": (32, 48), "steps": 2, "pyramid": False}


@pytest.fixture
def three(tmp_path, monkeypatch):
    """A photograph and two paintings, in the working folder."""
    monkeypatch.chdir(tmp_path)
    for name, phase in (("photo", 0.0), ("one", 1.5), ("other", 2.9)):
        draw(tmp_path / f"{name}.png", phase)
    return tmp_path


def stylized(*styles, **options):
    return package.stylize("photo.png", list(styles), **{**SMALL, **options})


# Roles and averages


def test_a_style_image_alone_has_the_role_and_the_weight_that_it_always_had():
    assert by_role("a.jpg") == ({"style": "a.jpg"}, {"style": 1.0})


def test_further_style_images_are_numbered_and_have_weights_of_their_own():
    images, weights = by_role(["a.jpg", ("b.jpg", 0.5), "c.jpg"])
    assert images == {"style": "a.jpg", "style 2": "b.jpg", "style 3": "c.jpg"}
    assert weights == {"style": 1.0, "style 2": 0.5, "style 3": 1.0}


def test_weights_count_relatively_to_each_other():
    one, other = {"conv1_1": np.array([[4.0]])}, {"conv1_1": np.array([[1.0]])}
    assert average([one, other], [1.0, 0.5])["conv1_1"] == pytest.approx(3)
    assert average([one, other], [2.0, 1.0])["conv1_1"] == pytest.approx(3)


@pytest.mark.parametrize(("styles", "message"), [([], "the list of them is empty"), (["one.png", ("other.png", 0)], "above 0")])
def test_no_style_image_and_a_weight_of_nothing_are_refused(three, styles, message):
    with pytest.raises(InputError, match=message):
        stylized(*styles)


# What a backend computes


def test_an_average_pulls_as_the_terms_of_each_image_together(backend, network, parameters, content, style, noisy):
    engine = backend.prepare(network, parameters, device="cpu", dtype="float64")
    recipe = dataclasses.replace(D2L, content_weight=0.0, tv_weight=0.0)
    weighted = [(style, 1.0), (content, 0.5)]

    def gradient(targets):
        return engine.array(engine.objective(recipe, targets)(engine.tensor(noisy)).gradient)

    together = gradient(targets_of(engine, recipe, content, weighted))
    apart = sum(weight / 1.5 * gradient(engine.targets(recipe, content, image)) for image, weight in weighted)
    assert together == pytest.approx(apart, rel=1e-9, abs=1e-12 * np.abs(apart).max())


def test_the_oracle_averages_alike(backend, network, parameters, content, style):
    engine = backend.prepare(network, parameters, device="cpu", dtype="float64")
    weighted = [(style, 1.0), (content, 0.25)]
    found = targets_of(engine, D2L, content, weighted).style
    expected = OracleEngine(network, parameters).averaged(D2L, weighted)
    for tap, matrix in expected.items():
        assert found[tap] == pytest.approx(matrix, rel=1e-10, abs=1e-13 * np.abs(matrix).max())


# Runs


def test_one_image_twice_is_that_image_once(three, any_backend):
    once = stylized("one.png", backend=any_backend)
    twice = stylized("one.png", ("one.png", 0.3), backend=any_backend, dtype="float32")
    assert np.abs(once.image - twice.image).max() < 1e-4


@pytest.mark.parametrize("name", BACKENDS)
def test_a_second_style_image_changes_the_picture_the_more_the_heavier_it_is(three, name):
    obtain(name)
    alone, light, heavy = (
        stylized("one.png", *others, backend=name, recipe="d2l", style_weight=1e5, steps=6).image
        for others in ([], [("other.png", 0.1)], [("other.png", 3.0)])
    )
    assert 0 < np.abs(light - alone).mean() < np.abs(heavy - alone).mean()


def test_a_rerun_repeats_the_bits_from_the_manifest(three, any_backend, capsys):
    command = ["run", "photo.png", "one.png", "--style", "other.png:0.5", "--backend", any_backend, *QUICK]
    assert isostyle(*command, "-o", "made.png") == 0
    inputs = json.loads((three / "made.json").read_text())["inputs"]
    assert {role: about.get("weight") for role, about in inputs.items()} == {"content": None, "style": 1.0, "style 2": 0.5}
    assert isostyle("rerun", "made.json") == 0
    assert "bit-identical" in capsys.readouterr().out
    draw(three / "other.png", 0.1)
    assert isostyle("rerun", "made.json") == 1
    assert "style 2 image" in capsys.readouterr().out


def test_a_run_goes_on_with_all_its_style_images(three, any_backend):
    given = {"backend": any_backend, "steps": 4}
    styles = ["one.png", ("other.png", 0.5)]
    whole = stylized(*styles, **given)

    def interrupt(event):
        if event.evaluation == 2:
            raise KeyboardInterrupt

    with pytest.raises(package.Interrupted):
        stylized(*styles, **given, checkpoint="run.ckpt", callback=interrupt)
    (three / "other.png").rename(three / "moved.png")
    with pytest.raises(InputError, match=r"other\.png"):
        package.resume("run.ckpt")
    with pytest.raises(InputError, match="this run has no style 3 image, only style, style 2"):
        package.resume("run.ckpt", style=["one.png", "moved.png", "one.png"])
    assert package.resume("run.ckpt", style=["one.png", "moved.png"]).image.tobytes() == whole.image.tobytes()


def test_a_style_image_without_a_file_is_asked_for_by_name(three, any_backend):
    with pytest.raises(package.Interrupted):
        stylized("one.png", np.asarray(package.stylize("photo.png", "one.png", **SMALL).picture), checkpoint="c",
                 backend=any_backend, callback=lambda event: (_ for _ in ()).throw(KeyboardInterrupt))  # fmt: skip
    with pytest.raises(InputError, match=r"the style 2 image of this run had no file; .* as 'style' \(a list of all of them\)"):
        package.resume("c")


# The command line


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("missing.png:0.5", "missing.png"),
        ("other.png:much", "--style takes a picture, or one and its weight, as other.jpg:0.5; not 'other.png:much'"),
        ("other.png:0", "weight of the style 2 image must be a finite number above 0"),
    ],
)
def test_a_style_that_cannot_be_is_refused_before_anything_is_computed(three, text, message, capsys):
    assert isostyle("run", "photo.png", "one.png", "--style", text) == 2
    assert message in capsys.readouterr().err
    assert sorted(path.name for path in three.iterdir()) == ["one.png", "other.png", "photo.png"]


def test_no_output_replaces_a_further_style_image(three, capsys):
    assert isostyle("run", "photo.png", "one.png", "--style", "other.png:0.5", "-o", "other.png", "--force") == 2
    assert "other.png" in capsys.readouterr().err


def test_a_name_with_a_colon_is_a_file_if_there_is_one(three, any_backend):
    (three / "other.png").rename(three / "o:2.png")
    assert isostyle("run", "photo.png", "one.png", "--style", "o:2.png", "--backend", any_backend, *QUICK) == 0


def test_a_batch_knows_a_picture_of_other_weights_from_that_which_is_asked_for(three, any_backend, capsys):
    command = ["batch", "--content", "photo.png", "--style", "one.png", "-o", "out", "--", "--backend", any_backend, *QUICK]
    states = []
    for weight in ("0.5", "0.5", "0.7"):
        code = isostyle(*command, "--style", f"other.png:{weight}")
        states.append((code, capsys.readouterr().out.splitlines()[1].split()[1]))
    assert states == [(0, "done"), (0, "was"), (1, "failed")]
