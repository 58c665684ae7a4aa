"""isostyle.stylize: inputs, overrides, callbacks, results, and what stops it."""

import dataclasses
import io
import json
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from conftest import BACKENDS, obtain
from PIL import Image

import isostyle
import isostyle.system.files
import isostyle.weights.store
from isostyle.images import arrays
from isostyle.network import RGB_STD
from isostyle.published import D2L, ON_COMPACT, find
from isostyle.sizes import AsIs, ExactSize
from isostyle.transfer import override
from isostyle.transfer.descent import run

#: Small enough for a second, large enough for conv5_1.
QUICK = {"size": (32, 48), "steps": 2, "pyramid": False}
#: Without the tutorial's L-BFGS, which makes whole blocks, and explodes on the compact network.
TUTORIAL = {"recipe": "tutorial-square", "optimizer": "adam"}


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


def test_a_file_object_is_read_once_though_a_run_is_tried_again(any_backend, photograph, painting):
    stream = io.BytesIO()
    photograph.save(stream, "PNG")
    stream.seek(0)
    given = {**QUICK, "recipe": "d2l", "learning_rate": 1e30, "on_divergence": "retry"}
    with pytest.raises(isostyle.Stopped):
        isostyle.stylize(stream, painting, backend=any_backend, **given)


def test_a_result_shows_itself_in_a_notebook(any_backend, photograph, painting):
    result = isostyle.stylize(photograph, painting, backend=any_backend, **QUICK)
    assert Image.open(io.BytesIO(result._repr_png_())).tobytes() == result.picture.tobytes()


def test_the_result_carries_picture_image_history_and_manifest(any_backend, photograph, painting):
    result = isostyle.stylize(photograph, painting, backend=any_backend, **QUICK)
    assert result.picture.size == (48, 32)
    assert result.image.shape == (1, 3, 32, 48)
    assert arrays.to_picture(result.image).tobytes() == result.picture.tobytes()
    assert [row["step"] for row in result.history] == [0, 1, 2]
    for row in result.history:
        assert row["total"] == pytest.approx(row["content"] + row["style"] + row["tv"], rel=1e-6)


def test_the_manifest_says_how_the_picture_came_about(any_backend, photograph, painting, tmp_path):
    photograph.save(tmp_path / "photo.png")
    result = isostyle.stylize(tmp_path / "photo.png", painting, recipe="d2l", backend=any_backend, seed=4, threads=2, **QUICK)
    manifest = json.loads(json.dumps(result.manifest))
    assert manifest["recipe"]["digest"] == dataclasses.replace(D2L, size=ExactSize(32, 48), steps=2).digest
    assert manifest["inputs"]["content"]["file_sha256"] == isostyle.system.files.sha256((tmp_path / "photo.png").read_bytes())
    assert manifest["inputs"]["style"]["resized_to"] == [32, 48]
    assert manifest["network"]["weights_sha256"] == isostyle.weights.store.COMPACT_SHA256
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
    np.testing.assert_array_equal(events[0].image(), arrays.to_array(arrays.resize(painting, 32, 48), "float32"))


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


def test_a_recipe_that_the_compact_network_does_not_suit_says_so(any_backend, photograph, painting, tmp_path):
    copy = tmp_path / "mine.safetensors"
    copy.write_bytes((Path(isostyle.__file__).parent / "data" / "compact.safetensors").read_bytes())
    run = partial(isostyle.stylize, photograph, painting, backend=any_backend, size=(32, 48), steps=1)
    told = {}
    for recipe, network in (("gatys2016", "compact"), ("gatys2016", str(copy)), ("gatys-notebook", "compact")):
        lines = []
        run(recipe=recipe, network=network, log=lines.append)
        told[recipe, network] = [line for line in lines if "was made for VGG-19" in line]
    assert told == {
        ("gatys2016", "compact"): [
            f"gatys2016 was made for VGG-19: on compact it {ON_COMPACT['gatys2016']}; take vgg16-padded"
        ],
        ("gatys2016", str(copy)): [],
        ("gatys-notebook", "compact"): [],
    }


def test_the_history_has_the_learning_rate_of_each_step(any_backend, photograph, painting):
    recipe = dataclasses.replace(D2L, size=ExactSize(32, 48), steps=2, schedule=dataclasses.replace(D2L.schedule, every=1))
    result = isostyle.stylize(photograph, painting, backend=any_backend, recipe=recipe)
    assert [row["learning_rate"] for row in result.history] == pytest.approx([0.3, 0.24, 0.192])


def test_an_error_of_the_callback_is_not_taken_for_the_framework_s(any_backend, photograph, painting):
    with pytest.raises(ZeroDivisionError):
        isostyle.stylize(photograph, painting, backend=any_backend, callback=lambda event: 1 / 0, **QUICK)


def test_a_diverging_run_keeps_the_last_good_picture(any_backend, photograph, painting):
    with pytest.raises(isostyle.Stopped, match=r"became (inf|nan) at step 1") as caught:
        isostyle.stylize(photograph, painting, backend=any_backend, init="content", learning_rate=1e20, **QUICK)
    assert caught.value.result.manifest["steps_done"] == 0
    start = arrays.to_picture(arrays.to_array(arrays.resize(photograph, 32, 48), "float32"))
    assert caught.value.result.picture.tobytes() == start.tobytes()


def test_ctrl_c_keeps_the_last_picture(any_backend, photograph, painting):
    def press(event):
        if event.step == 1:
            raise KeyboardInterrupt

    with pytest.raises(isostyle.Interrupted) as caught:
        isostyle.stylize(photograph, painting, backend=any_backend, callback=press, size=(32, 48), steps=50)
    assert caught.value.result.manifest["steps_done"] == 1
    assert caught.value.result.manifest["stopped_by"] == "interrupt"


def test_ctrl_c_at_a_line_search_s_trial_keeps_the_picture_before(any_backend, photograph, painting):
    kept = []

    def press(event):
        if event.trial:
            raise KeyboardInterrupt
        kept.append(event.image())

    search = {"optimizer": "lbfgs", "line_search": "strong-wolfe", "learning_rate": 1000.0}
    with pytest.raises(isostyle.Interrupted) as caught:
        isostyle.stylize(photograph, painting, backend=any_backend, callback=press, size=(32, 48), steps=50, **search)
    result = caught.value.result
    np.testing.assert_array_equal(result.image, kept[-1])
    assert result.history[-1]["trial"] == 1
    assert result.manifest["losses"]["last"] == result.history[-2]


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
        ({"size": (8, 48)}, "content image would be resized to 8x48 .* relu5_1 needs at least 16x16"),
        ({"content_weight": -1.0}, "content weight must be"),
        ({"recipe": "isotile"}, "did you mean 'isostyle'"),
        ({"network": "vgg"}, "there is no network 'vgg'"),
        ({"init": "nowhere.png"}, "there is no file 'nowhere.png'"),
        ({"init": np.zeros((8, 8, 3), np.uint8)}, "the init image is 8x8 pixels"),
        ({"threads": 0}, "number of threads must be at least 1"),
        ({"backend": "tourch"}, "did you mean 'torch'"),
        ({"content_layers": 3}, "content layers must be pairs of a layer's name and its weight, not 3"),
        ({"content_layers": "conv1_1"}, "content layers must be pairs of a layer's name and its weight"),
        ({"style_layers": [("conv1_1",)]}, "style layers must be pairs"),
        ({"content_layers": {"conv1_1": "a"}}, "weight of the content layer conv1_1 must be a number, not 'a'"),
        ({"style_weight": "a"}, "style weight must be a number, not 'a'"),
        ({"style_weight": True}, "style weight must be a number, not True"),
        ({"learning_rate": "x"}, "learning rate must be a number, not 'x'"),
        ({"optimizer": 3}, "optimizer must be adam, lbfgs or settings of one, not 3"),
        ({"recipe": 3}, "recipe must be a name, a .toml file or a Recipe, not 3"),
        ({"init": 5}, "the init image must be a path, a file, its bytes, a PIL image or an array, not 5"),
        ({"threads": "a"}, "number of threads must be at least 1 and at most 1024, not 'a'"),
        ({"steps": 10**400}, "number of steps must be a whole number of at most 1000000000"),
        ({"size": 10**5000}, "size must be a whole number of at most 1000000000 pixel, not a number of thousands of digits"),
        (
            {"size": (1, 64), "content_layers": {"conv1_1": 1}, "style_layers": {"relu1_2": 1}},
            "resized to 1x64 .* total variation needs at least 2x2",
        ),
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


# Margins


def test_a_margin_is_mirrored_painted_and_cut_off(any_backend, photograph, painting):
    recipe = dataclasses.replace(D2L, size=AsIs(), steps=2, margin=4)
    content, style = (np.asarray(arrays.resize(picture, 32, 48)) for picture in (photograph, painting))
    wider = [np.pad(picture, ((4, 4), (4, 4), (0, 0)), mode="symmetric") for picture in (content, style)]
    result = isostyle.stylize(content, style, recipe=recipe, backend=any_backend)
    by_hand = isostyle.stylize(*wider, recipe=dataclasses.replace(recipe, margin=0), backend=any_backend)
    assert result.picture.size == (48, 32)
    np.testing.assert_array_equal(result.image, by_hand.image[..., 4:-4, 4:-4])
    assert [row["total"] for row in result.history] == [row["total"] for row in by_hand.history]


@pytest.mark.parametrize("start", ["style", "noise", "image"])
def test_every_start_gets_the_margin(any_backend, photograph, painting, start):
    shapes = []
    init = painting if start == "image" else start
    options = {**QUICK, "init": init, "callback": lambda event: shapes.append(event.image().shape)}
    isostyle.stylize(photograph, painting, backend=any_backend, **options)
    assert shapes == [(1, 3, 32, 48)] * 3


# Pyramids


PYRAMID = {"size": (64, 96), "pyramid": [(0.25, 3), (0.5, 4)], "steps": 5}


@pytest.mark.parametrize("optimizer", [None, "adam"])
def test_each_level_of_a_pyramid_starts_from_the_one_before_resized(any_backend, photograph, painting, optimizer):
    events, images_of = [], []

    def keep(event):
        events.append(event)
        images_of.append(event.image())

    options = {**PYRAMID, "optimizer": optimizer, "init": "content"}
    result = isostyle.stylize(photograph, painting, backend=any_backend, callback=keep, dtype="float64", **options)
    assert [event.size for event in events] == [(16, 24)] * 3 + [(32, 48)] * 4 + [(64, 96)] * 6
    assert [event.evaluation for event in events] == list(range(1, 14))
    assert [event.done for event in events] == sorted(event.done for event in events)
    assert [event.finished for event in events] == [False] * 12 + [True]
    # What the level came to is the result of a run of that size alone, with the same steps.
    resized = [arrays.resize(picture, 16, 24) for picture in (photograph, painting)]
    content, style = (arrays.mirrored(arrays.to_array(picture, "float64"), 2) for picture in resized)
    weights = isostyle.weights.store.load("compact")
    engine = obtain(any_backend).prepare(weights.network, weights.parameters, device="cpu", dtype="float64")
    recipe = dataclasses.replace(override.override("isostyle", **PYRAMID, optimizer=optimizer), steps=3, pyramid=())
    alone = list(run(engine, recipe, engine.targets(recipe, content, style), content))
    start = arrays.inner(arrays.resize_array(alone[-1].image(), 40, 56), 4)
    np.testing.assert_allclose(images_of[3], start, rtol=1e-6, atol=1e-6)
    assert result.manifest["levels"] == [
        {"size": [16, 24], "steps": 3},
        {"size": [32, 48], "steps": 4},
        {"size": [64, 96], "steps": 5},
    ]
    assert [row["height"] for row in result.history] == [event.size[0] for event in events]


def test_a_run_that_is_stopped_at_a_coarse_level_says_how_large_its_picture_is(any_backend, photograph, painting):
    def press(event):
        if event.evaluation == 6:
            raise KeyboardInterrupt

    with pytest.raises(isostyle.Interrupted) as caught:
        isostyle.stylize(photograph, painting, backend=any_backend, callback=press, **PYRAMID)
    result = caught.value.result
    assert result.manifest["size"] == [32, 48] == list(result.image.shape[2:])
    assert result.manifest["losses"]["first"] == result.history[3]


def test_the_first_losses_of_a_pyramid_are_those_of_the_size_that_it_ends_at(any_backend, photograph, painting):
    result = isostyle.stylize(photograph, painting, backend=any_backend, **PYRAMID)
    assert result.manifest["size"] == [64, 96]
    assert result.manifest["losses"]["first"] == result.history[7]


def test_an_error_of_the_framework_names_the_size_of_its_level(any_backend, photograph, painting, monkeypatch):
    backend = type(obtain(any_backend))
    plain = backend.prepare

    def prepared(self, *arguments, **options):
        engine = plain(self, *arguments, **options)
        targets = engine.targets

        def fail(recipe, content, style):
            if content.shape[2] == 40:  # with its margin
                raise RuntimeError("not today")
            return targets(recipe, content, style)

        engine.targets = fail
        return engine

    monkeypatch.setattr(backend, "prepare", prepared)
    with pytest.raises(isostyle.Stopped, match="failed at size 32x48: not today$") as caught:
        isostyle.stylize(photograph, painting, backend=any_backend, **PYRAMID)
    assert caught.value.result.manifest["size"] == [16, 24]


def test_a_level_that_is_too_small_for_the_deepest_tap_is_left_out_and_said(any_backend, photograph, painting):
    lines = []
    changes = {**PYRAMID, "pyramid": [(0.1, 3), (0.5, 4)]}
    result = isostyle.stylize(photograph, painting, backend=any_backend, log=lines.append, **changes)
    assert [level["size"] for level in result.manifest["levels"]] == [[32, 48], [64, 96]]
    (line,) = [line for line in lines if "left out" in line]
    assert line.startswith("the level 0.1 of the pyramid is left out: the content image would be resized to 6x10 pixels")


def test_a_pyramid_gives_the_same_numbers_on_every_backend_in_float64(photograph, painting):
    if len(BACKENDS) < 2:
        pytest.skip("agreement needs two backends")
    found = {
        name: isostyle.stylize(photograph, painting, backend=obtain(name).name, dtype="float64", **PYRAMID) for name in BACKENDS
    }
    first, *others = found.values()
    for other in others:
        # The picture passes through float32 between levels, whose rounding may turn.
        np.testing.assert_allclose(other.image, first.image, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("change", [{"style_layers": {"conv6_1": 1.0}}, {"content_layers": {"conv4-2": 1.0}}], ids=str)
def test_a_layer_that_the_network_does_not_have_is_refused_before_any_framework_is_loaded(photograph, painting, change):
    with pytest.raises(isostyle.InputError, match="has no layer .*; did you mean"):
        isostyle.stylize(photograph, painting, backend="torch", **QUICK, **change)


# Starts and spaces


@pytest.mark.parametrize("recipe", ["d2l", "tutorial-square"])
@pytest.mark.parametrize("start", ["content", "style", "noise", "uniform-noise", "content+noise"])
def test_every_start_begins_where_it_says(any_backend, photograph, painting, recipe, start):
    events = []
    isostyle.stylize(
        photograph,
        painting,
        backend=any_backend,
        recipe=recipe,
        optimizer="adam",
        init=start,
        seed=4,
        callback=events.append,
        **QUICK,
    )
    settings = find(recipe)
    found = events[0].image()
    content, style = (arrays.to_array(arrays.resize(p, 32, 48), "float32", settings.space) for p in (photograph, painting))
    std = 0.3 * (np.array(RGB_STD).reshape(1, 3, 1, 1) if settings.space == "unit" else 1)
    expected = {
        "content": content,
        "style": style,
        "noise": (1 if settings.space == "unit" else 0.1) * arrays.noise(content.shape, 4, "float32"),
        "uniform-noise": arrays.uniform_noise(content.shape, 4, "float32"),
        "content+noise": content + std * arrays.noise(content.shape, 4, "float32"),
    }[start]
    np.testing.assert_allclose(found, expected.clip(0, 1) if settings.clamped else expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("start", ["noise", "style"])
def test_a_run_says_that_a_start_with_nothing_of_the_photograph_wants_a_pyramid(backend, photograph, painting, start):
    def said(recipe, **options):
        lines = []
        isostyle.stylize(photograph, painting, recipe=recipe, size=(32, 48), steps=1, log=lines.append, **options)
        return [line for line in lines if "without a pyramid" in line]

    assert said("d2l", init=start) == [f"from {start} and without a pyramid, little of the photograph comes back"]
    assert said("d2l") == said("gatys2016", pyramid=False) == []


def test_an_image_in_0_to_1_is_saved_as_it_is(any_backend, photograph, painting):
    result = isostyle.stylize(photograph, painting, backend=any_backend, **TUTORIAL, **QUICK)
    assert result.image.min() >= 0
    assert result.image.max() <= 1
    np.testing.assert_array_equal(np.asarray(result.picture), np.rint(result.image[0].transpose(1, 2, 0) * 255))


def test_an_optimizer_that_ends_early_says_why_in_the_log_and_in_the_manifest(any_backend, photograph):
    """lookcc's content moves nothing, and the style image is its own style: there is no gradient at all."""
    lines = []
    result = isostyle.stylize(
        photograph, photograph, backend=any_backend, recipe="lookcc", size=(32, 48), init="content", log=lines.append
    )
    assert lines[-1] == result.manifest["optimizer_ended"] == "Adam ended at step 0: the gradient is 0 everywhere"
    assert result.manifest["steps_done"] == 0


def test_weights_so_large_that_adam_s_squares_overflow_are_refused(any_backend, photograph, painting):
    """Divided by the root of infinity, no pixel would move."""
    with pytest.raises(isostyle.InputError, match="Adam squares the gradient, and .* is too large for that"):
        isostyle.stylize(photograph, painting, backend=any_backend, recipe="d2l", style_weight=1e28, **QUICK)


def test_only_the_weights_up_to_the_deepest_tap_go_to_the_framework(any_backend, photograph, painting, monkeypatch):
    backend = type(obtain(any_backend))
    seen, plain = [], backend.prepare

    def watched(self, network, parameters, **options):
        seen.extend(parameters)
        return plain(self, network, parameters, **options)

    monkeypatch.setattr(backend, "prepare", watched)
    isostyle.stylize(photograph, painting, backend=any_backend, **TUTORIAL, **QUICK)
    assert [name for name in seen if name.endswith("weight")][-1] == "conv3_1.weight"


@pytest.mark.parametrize("recipe", ["isostyle", "painterly"])
def test_a_picture_of_one_color_gets_no_frame(any_backend, recipe):
    """All pixels of its middle have one gradient: without noise at the start, strokes come in from the border."""
    noise = np.random.RandomState(0).randint(0, 256, (64, 64, 3), np.uint8)
    blue = Image.new("RGB", (96, 96), (40, 90, 160))
    options = {"size": 96, "pyramid": False, "steps": 5, "recipe": recipe, "backend": any_backend}
    made = np.asarray(isostyle.stylize(blue, noise, **options).picture, float)
    middle, border = made[32:64, 32:64], np.concatenate([made[:16], made[-16:]])
    assert middle.std((0, 1)).mean() > 0.8 * border.std((0, 1)).mean()
