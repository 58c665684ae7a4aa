"""isostyle.stylize: inputs, overrides, callbacks, results, and what stops it."""

import dataclasses
import json

import numpy as np
import pytest
from PIL import Image

import isostyle
import isostyle.files
import isostyle.weights
from isostyle import api, images
from isostyle.network import COMPACT
from isostyle.published import D2L
from isostyle.recipe import ExactSize, LongSide

#: Small enough for a second, large enough for conv5_1.
QUICK = {"size": (32, 48), "steps": 2}


@pytest.fixture(scope="module")
def painting():
    waves = 127 + 120 * np.sin(np.arange(64)[:, None] / 5 + np.arange(80)[None] / 3)
    return Image.fromarray(waves.astype(np.uint8)).convert("RGB")


def test_paths_pictures_and_arrays_give_the_same_result(any_backend, photograph, painting, tmp_path):
    photograph.save(tmp_path / "photo.png")
    painting.save(tmp_path / "painting.png")
    forms = [
        (tmp_path / "photo.png", str(tmp_path / "painting.png")),
        (photograph, painting),
        (np.asarray(photograph), np.asarray(painting)),
    ]
    pictures = {isostyle.stylize(*form, backend=any_backend, **QUICK).picture.tobytes() for form in forms}
    assert len(pictures) == 1


def test_the_result_carries_picture_image_history_and_manifest(any_backend, photograph, painting):
    result = isostyle.stylize(photograph, painting, backend=any_backend, **QUICK)
    assert result.picture.size == (48, 32)
    assert result.image.shape == (1, 3, 32, 48)
    assert images.to_picture(result.image).tobytes() == result.picture.tobytes()
    assert [row["step"] for row in result.history] == [0, 1, 2]
    for row in result.history:
        assert row["total"] == pytest.approx(row["content"] + row["style"] + row["tv"], rel=1e-6)


def test_the_manifest_says_how_the_picture_came_about(any_backend, photograph, painting, tmp_path):
    photograph.save(tmp_path / "photo.png")
    result = isostyle.stylize(tmp_path / "photo.png", painting, backend=any_backend, seed=4, threads=2, **QUICK)
    manifest = json.loads(json.dumps(result.manifest))
    assert manifest["recipe"]["digest"] == dataclasses.replace(D2L, size=ExactSize(32, 48), steps=2).digest
    assert manifest["inputs"]["content"]["file_sha256"] == isostyle.files.sha256((tmp_path / "photo.png").read_bytes())
    assert manifest["inputs"]["style"]["resized_to"] == [32, 48]
    assert manifest["network"]["weights_sha256"] == isostyle.weights.COMPACT_SHA256
    assert manifest["backend"]["name"] == any_backend
    assert (manifest["seed"], manifest["threads"], manifest["steps_done"], manifest["stopped_by"]) == (4, 2, 2, None)
    assert manifest["losses"]["last"]["total"] == result.history[-1]["total"]
    assert manifest["peak_memory_bytes"] > 2**20
    assert manifest["seconds"] > 0


def test_the_callback_sees_every_picture(any_backend, photograph, painting):
    seen = []
    isostyle.stylize(
        photograph, painting, backend=any_backend, callback=lambda event: seen.append(event.image().shape), **QUICK
    )
    assert seen == [(1, 3, 32, 48)] * 3


def test_float64_is_float64_throughout(any_backend, photograph, painting):
    assert isostyle.stylize(photograph, painting, backend=any_backend, dtype="float64", **QUICK).image.dtype == np.float64


def test_one_seed_one_picture_another_seed_another(any_backend, photograph, painting):
    def run(seed):
        return isostyle.stylize(photograph, painting, backend=any_backend, init="noise", seed=seed, **QUICK).picture.tobytes()

    assert run(1) == run(1) != run(2)


def test_a_start_picture_is_resized_to_the_content(any_backend, photograph, painting):
    events = []
    isostyle.stylize(photograph, painting, backend=any_backend, init=painting, callback=events.append, **QUICK)
    np.testing.assert_array_equal(events[0].image(), images.to_array(images.resize(painting, 32, 48), "float32"))


def test_weights_are_effective_weights(any_backend, photograph, painting):
    def first(**weights):
        events = []
        isostyle.stylize(
            photograph, painting, backend=any_backend, callback=events.append, init="content+noise", **weights, **QUICK
        )
        return events[0].losses

    one, ten = first(style_weight=1e3, tv_weight=1.0), first(style_weight=1e4, tv_weight=10.0)
    assert ten["style"] == pytest.approx(10 * one["style"], rel=1e-5)
    assert ten["tv"] == pytest.approx(10 * one["tv"], rel=1e-5)


def test_the_log_names_the_backend_and_a_changed_aspect(any_backend, photograph, painting):
    lines = []
    isostyle.stylize(photograph, painting, backend=any_backend, log=lines.append, **QUICK)
    assert lines[0].startswith(f"backend {any_backend} ")
    assert lines[1] == "aspect changed: content 600x512 and style 64x80 squeezed to 32x48 (height x width)"


def test_a_kept_aspect_is_not_warned_of(photograph, painting):
    settings = dataclasses.replace(D2L, size=LongSide(100))
    pictures = {"content": photograph, "style": Image.new("RGB", (2000, 330))}
    assert api.changed_aspects(pictures, api.plan(pictures, settings, COMPACT)) == []


def test_the_history_has_the_learning_rate_of_each_step(any_backend, photograph, painting):
    recipe = dataclasses.replace(D2L, size=ExactSize(32, 48), steps=2, schedule=dataclasses.replace(D2L.schedule, every=1))
    result = isostyle.stylize(photograph, painting, backend=any_backend, recipe=recipe)
    assert [row["learning_rate"] for row in result.history] == pytest.approx([0.3, 0.24, 0.192])


def test_an_error_of_the_callback_is_not_taken_for_the_framework_s(any_backend, photograph, painting):
    with pytest.raises(ZeroDivisionError):
        isostyle.stylize(photograph, painting, backend=any_backend, callback=lambda event: 1 / 0, **QUICK)


def test_a_diverging_run_keeps_the_last_good_picture(any_backend, photograph, painting):
    with pytest.raises(isostyle.Stopped, match=r"became (inf|nan) at step 1") as caught:
        isostyle.stylize(photograph, painting, backend=any_backend, learning_rate=1e20, **QUICK)
    assert caught.value.result.manifest["steps_done"] == 0
    start = images.to_picture(images.to_array(images.resize(photograph, 32, 48), "float32"))
    assert caught.value.result.picture.tobytes() == start.tobytes()


def test_ctrl_c_keeps_the_last_picture(any_backend, photograph, painting):
    def press(event):
        if event.step == 1:
            raise KeyboardInterrupt

    with pytest.raises(isostyle.Interrupted) as caught:
        isostyle.stylize(photograph, painting, backend=any_backend, callback=press, size=(32, 48), steps=50)
    assert caught.value.result.manifest["steps_done"] == 1
    assert caught.value.result.manifest["stopped_by"] == "interrupt"


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"dtype": "float16"}, "dtype must be float32 or float64"),
        ({"seed": -1}, "seed must be a whole number"),
        ({"seed": 2**32}, "seed must be a whole number"),
        ({"seed": 1.0}, "seed must be a whole number"),
        ({"size": (1, 2, 3)}, r"size must be \(height, width\), or one number"),
        ({"size": "48"}, r"size must be \(height, width\), or one number"),
        ({"recipe": dataclasses.replace(D2L, start="image")}, "starts from an image needs one"),
        ({"size": (8, 48)}, "content image would be resized to 8x48 .* conv5_1 needs at least 16x16"),
        ({"content_weight": -1.0}, "content weight must be"),
        ({"recipe": "isotile"}, "did you mean 'isostyle'"),
        ({"network": "vgg"}, "there is no network 'vgg'"),
        ({"init": "nowhere.png"}, "there is no file 'nowhere.png'"),
        ({"init": np.zeros((8, 8, 3), np.uint8)}, "the init image is 8x8 pixels"),
        ({"threads": 0}, "number of threads must be at least 1"),
        ({"backend": "tourch"}, "did you mean 'torch'"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else None,
)
def test_arguments_that_cannot_be_used_are_refused_before_any_framework_is_loaded(photograph, painting, change, sentence):
    with pytest.raises(isostyle.InputError, match=sentence):
        isostyle.stylize(photograph, painting, **{"backend": "torch", **QUICK, **change})


def test_a_device_that_is_not_there_is_refused(any_backend, photograph, painting):
    with pytest.raises(isostyle.InputError, match="has no device 'tpu' here; it has .*cpu"):
        isostyle.stylize(photograph, painting, backend=any_backend, device="tpu", **QUICK)


@pytest.mark.parametrize("role", ["content", "style"])
def test_a_picture_smaller_than_the_deepest_tap_is_refused_and_not_enlarged(photograph, role):
    pictures = {"content": photograph, "style": photograph, role: Image.new("RGB", (40, 15))}
    with pytest.raises(isostyle.InputError, match=f"the {role} image is 15x40 pixels .* at least 16x16"):
        isostyle.stylize(pictures["content"], pictures["style"], backend="torch")
