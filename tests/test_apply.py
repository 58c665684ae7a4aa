"""``isostyle.apply`` and what style networks' files may be wrong in."""

import io
import json

import numpy as np
import pytest
from conftest import DEEP, ONNX, obtain
from PIL import Image
from style_files import RESIDUAL, SMALL, random_style, write_style

import isostyle
from isostyle.errors import InputError, IsostyleError
from isostyle.images import arrays
from isostyle.style_networks import file as style_network
from isostyle.style_networks import memory_plan
from isostyle.style_networks.apply import Applier
from isostyle.style_networks.memory_plan import Demand, choose_tile
from isostyle.system import memory
from isostyle.system.files import sha256
from isostyle.system.tensors import tensors_file
from isostyle.transform_network import JOHNSON, NARROW
from isostyle.weights import store


def picture(height=40, width=50, seed=0):
    return Image.fromarray(np.random.RandomState(seed).randint(0, 256, (height, width, 3), np.uint8))


# What it computes


def test_apply_is_the_network_on_the_normalized_picture(style_backend):
    style, given = random_style(), picture()
    transform = style_backend.transform(SMALL, device="cpu", dtype="float32")
    parameters = {name: transform.tensor(array) for name, array in style.painting().items()}
    made = transform.array(transform.apply(parameters, transform.tensor(arrays.to_array(given, "float32"))))
    found = isostyle.apply(style, given, backend=style_backend.name, threads=2).picture
    assert found.tobytes() == arrays.to_picture(made).tobytes()


def test_tiles_give_the_same_picture(style_backend):
    """Rounded to 8 bits: a value near the middle between two may become either."""
    style, given = random_style(), picture(61, 83)
    whole, tiled = (
        np.asarray(isostyle.apply(style, given, backend=style_backend.name, threads=2, tile=tile).picture).astype(int)
        for tile in ("off", 16)
    )
    assert np.abs(whole - tiled).max() <= 1
    assert (whole == tiled).mean() > 0.999


def test_an_applier_takes_what_apply_takes(tmp_path, any_style_backend):
    write_style(tmp_path / "wave.safetensors")
    picture().save(tmp_path / "photo.png")
    applier = isostyle.Applier(tmp_path / "wave.safetensors", backend=any_style_backend, threads=2)
    expected = isostyle.apply(random_style(), picture(), backend=any_style_backend, threads=2).picture.tobytes()
    for given in (str(tmp_path / "photo.png"), picture(), np.asarray(picture())):
        assert applier(given).picture.tobytes() == expected


def test_an_applied_picture_shows_itself_in_a_notebook(any_style_backend):
    made = isostyle.apply(random_style(), picture(), backend=any_style_backend, threads=2)
    assert Image.open(io.BytesIO(made._repr_png_())).tobytes() == made.picture.tobytes()


def test_a_picture_that_lies_on_its_side_is_turned(any_style_backend):
    turned = picture()
    turned.info["exif"] = turned.getexif().tobytes()
    turned.getexif()[0x0112] = 6
    made = isostyle.Applier(random_style(), backend=any_style_backend, threads=2)(turned)
    assert made.picture.size == (turned.height, turned.width)


def test_apply_takes_a_file_and_says_what_it_did(tmp_path, any_style_backend):
    write_style(tmp_path / "wave.safetensors")
    picture().save(tmp_path / "photo.png")
    found = isostyle.apply(str(tmp_path / "wave.safetensors"), tmp_path / "photo.png", backend=any_style_backend, threads=2)
    about = json.loads(json.dumps(found.manifest))
    assert about["style"]["parameters_sha256"] == random_style().digest
    assert about["input"]["size"] == about["output"]["size"] == [40, 50]
    assert about["output"]["pixels_sha256"] == sha256(found.picture.tobytes())
    assert about["backend"]["name"] == any_style_backend
    assert about["output"]["tile"] is None


def test_a_long_side_shrinks_and_never_enlarges(any_style_backend):
    small = isostyle.apply(random_style(), picture(40, 50), backend=any_style_backend, threads=2, long_side=25)
    assert small.picture.size == (25, 20)
    same = isostyle.apply(random_style(), picture(40, 50), backend=any_style_backend, threads=2, long_side=60)
    assert same.picture.size == (50, 40)


def test_numbers_that_are_not_finite_are_an_error_and_no_picture(any_style_backend):
    style = random_style()
    style.parameters["out.weight"][:] = 3e38
    for tile in ("off", 16):
        with pytest.raises(IsostyleError, match="numbers that are not finite"):
            isostyle.apply(style, picture(), backend=any_style_backend, threads=2, tile=tile)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"tile": "some"}, "the tile must be auto, off"),
        ({"max_memory": "much"}, "the memory must be a number"),
        ({"long_side": 0}, "longer side"),
        ({"dtype": "float16"}, "float32 or float64"),
        ({"device": "abacus"}, "has no device 'abacus'"),
    ],
    ids=lambda value: str(next(iter(value))) if isinstance(value, dict) else None,
)
def test_options_that_cannot_be_used_are_named(any_style_backend, options, said):
    with pytest.raises(InputError, match=said):
        isostyle.apply(random_style(), picture(), backend=any_style_backend, threads=2, **options)


def test_a_picture_that_is_too_small_is_refused(any_style_backend):
    with pytest.raises(InputError, match="too small for a style network: each side needs 5"):
        isostyle.apply(random_style(), picture(4, 50), backend=any_style_backend, threads=2)


# Memory


def test_large_pictures_on_a_cpu_go_in_tiles_where_that_takes_no_longer(any_style_backend, monkeypatch):
    monkeypatch.setattr(memory_plan, "WHOLE_PIXELS", 1000)
    found = isostyle.apply(random_style(), picture(), backend=any_style_backend, device="cpu", threads=2)
    assert found.manifest["output"]["tile"] == (None if any_style_backend == ONNX else memory_plan.TILES[0])


def test_a_limit_makes_tiles_smaller_and_says_so():
    demand, size = Demand(SMALL, "torch", "float32"), (1500, 2000)

    def chosen(limit):
        return choose_tile(demand, size, "auto", limit, "the little that there is", on_cpu=True)

    found = chosen((demand.bytes(size, 256) + demand.bytes(size, 128)) // 2)
    assert (found.tile, found.estimate) == (128, demand.bytes(size, 128))
    assert found.line.startswith("in tiles of at most 128x128 pixels: in larger ones it would take about ")
    with pytest.raises(InputError, match="even in tiles of 64 pixels .* shrink it with --long-side"):
        chosen(demand.bytes(size, 64) - 1)


def test_16_bits_take_six_bytes_a_pixel_more():
    eight, sixteen = (Demand(SMALL, "torch", "float32", deep).bytes((600, 700), 256) for deep in (False, True))
    assert sixteen - eight == 6 * 600 * 700


def test_what_is_chosen_is_told_once_for_a_size(any_style_backend, monkeypatch):
    """A video has thousands of frames."""
    lines = []
    applier = Applier(random_style(), backend=any_style_backend, threads=2, max_memory="1TiB", log=lines.append)
    monkeypatch.setattr(applier.allowance, "now", lambda: (applier.demand.bytes((600, 600), 256), "what there is"))
    for side in (600, 600, 24, 600):
        applier(picture(side, side))
    assert sum("in tiles" in line for line in lines) == 1


def test_a_given_tile_that_does_not_fit_is_refused(any_style_backend):
    obtain(any_style_backend)
    with pytest.raises(InputError, match="tiles of 512 pixels would take about .* more than the"):
        isostyle.apply(
            random_style(), picture(), backend=any_style_backend, threads=2, tile=512, max_memory=memory.resident() + 2**20
        )


@pytest.mark.parametrize(("network", "kept"), [(NARROW, 48), (JOHNSON, 96)], ids=["narrow", "paper"])
def test_what_tiles_keep_for_each_pixel(network, kept):
    """docs/style-networks.md says so."""
    assert 4 * memory_plan.kept_values(network) == kept


# Files


def test_a_truncated_file_is_refused(tmp_path):
    path = write_style(tmp_path / "wave.safetensors")
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(InputError, match="is not a style network, or not all of it"):
        style_network.find(str(path))


def test_changed_numbers_are_refused(tmp_path):
    path = write_style(tmp_path / "wave.safetensors")
    data = bytearray(path.read_bytes())
    data[-2] ^= 1
    path.write_bytes(data)
    with pytest.raises(InputError, match="is damaged: its numbers are not those that were saved"):
        style_network.find(str(path))


@pytest.mark.parametrize("other", [b"isostyle.style-network/1", b"isostyle.style-network/4"], ids=["older", "newer"])
def test_another_version_is_refused_in_one_sentence(tmp_path, other):
    path = write_style(tmp_path / "wave.safetensors")
    path.write_bytes(path.read_bytes().replace(b"isostyle.style-network/3", other))
    words = f"is a style network of another version of isostyle: it is '{other.decode()}', not 'isostyle.style-network/3'"
    with pytest.raises(InputError, match=words):
        style_network.find(str(path))


def test_metadata_that_is_nested_too_deeply_is_refused(tmp_path):
    path = tmp_path / "wave.safetensors"
    metadata = {"schema": "isostyle.style-network/3", "styles": "[]", "network": DEEP}
    path.write_bytes(tensors_file({}, metadata))
    with pytest.raises(InputError, match="has metadata that cannot be used: it is nested too deeply"):
        style_network.find(str(path))


@pytest.mark.parametrize("network", [SMALL, NARROW, RESIDUAL, JOHNSON], ids=["small", "narrow", "residual", "paper"])
def test_a_file_says_what_its_network_is(tmp_path, network):
    found = style_network.load(write_style(tmp_path / "wave.safetensors", network))
    assert found.network == network
    assert found.digest == random_style(network).digest


def test_the_loss_network_is_no_style_network(tmp_path):
    found = store.load("compact")
    path = tmp_path / "compact.safetensors"
    path.write_bytes(store.dump(found.network, found.parameters, {}))
    with pytest.raises(InputError, match="is not a style network that this isostyle reads"):
        style_network.find(str(path))


def test_a_name_that_does_not_ship_is_refused():
    with pytest.raises(InputError, match=r"there is no style network 'wvae'; .* a \.safetensors file of your own"):
        style_network.find("wvae")


def test_what_ships_is_whatever_lies_in_the_folder(tmp_path, monkeypatch):
    folder = tmp_path / "data" / "styles"
    folder.mkdir(parents=True)
    monkeypatch.setattr(style_network.resources, "files", lambda package: tmp_path)
    for name in ("wave", "oak"):
        write_style(folder / f"{name}.safetensors")
    (folder / "README.md").write_text("no network")
    assert list(style_network.shipped()) == ["oak", "wave"]
    assert style_network.find("oak").digest == random_style().digest
    with pytest.raises(InputError, match="there are oak, wave, or a"):
        style_network.find("elm")


def test_sixteen_styles_ship_in_a_small_file_that_says_how_it_was_trained():
    files = style_network.shipped()
    assert len(files) == 16
    assert {"starry-night", "wave", "scream", "mosaic"} <= set(files)
    assert sum(len(file.read_bytes()) for file in set(files.values())) <= 4 * 10**6
    for name in files:
        found = style_network.find(name)
        assert (found.name, found.network) == (name, NARROW)
        assert found.training["recipe"]["losses"]["name"].startswith("one-pass")
        assert found.training["backends"]
        assert found.history


# Strength


@pytest.mark.parametrize("tile", ["off", 16])
def test_half_of_the_strength_is_halfway_between_photograph_and_painting(any_style_backend, tile):
    photograph, options = picture(61, 83), {"backend": any_style_backend, "threads": 1, "tile": tile}
    painted = np.asarray(isostyle.apply(random_style(), photograph, **options).picture, float)
    half = np.asarray(isostyle.apply(random_style(), photograph, strength=0.5, **options).picture, float)
    # Half a level of rounding on either side.
    assert np.abs(half - (painted + np.asarray(photograph)) / 2).max() <= 1


def test_no_strength_is_the_photograph(any_style_backend):
    made = isostyle.apply(random_style(), picture(), strength=0, backend=any_style_backend)
    assert made.picture.tobytes() == picture().tobytes()
    assert made.manifest["strength"] == 0


@pytest.mark.parametrize("strength", [-0.1, 1.5, float("nan"), "much", True])
def test_a_strength_that_is_none_is_refused(any_style_backend, strength):
    with pytest.raises(InputError, match=r"the strength of the style must be a number in 0\.\.1, not "):
        isostyle.apply(random_style(), picture(), strength=strength, backend=any_style_backend)


# Size of strokes


@pytest.mark.parametrize("bits", [8, 16])
def test_strokes_of_twice_the_size_are_painted_at_half_of_it(any_style_backend, bits):
    photograph, options = picture(61, 84), {"backend": any_style_backend, "threads": 1, "bits": bits}
    made = isostyle.apply(random_style(), photograph, stroke_size=2, **options)
    half = isostyle.apply(random_style(), arrays.resize(photograph, 30, 42), **options)
    assert made.picture.size == photograph.size
    assert made.manifest["stroke_size"] == 2
    expected = (half.finished.deep or half.picture).resize(photograph.size, Image.Resampling.BICUBIC)
    # Of 16 bits the picture shows 8, rounded.
    expected = expected if bits == 8 else expected.eight_bits()
    assert np.abs(np.asarray(made.picture, int) - np.asarray(expected, int)).max() <= (0 if bits == 8 else 1)


def test_a_weak_style_of_large_strokes_is_mixed_with_the_sharp_photograph(any_style_backend):
    made = isostyle.apply(random_style(), picture(), stroke_size=3, strength=0, backend=any_style_backend)
    assert made.picture.tobytes() == picture().tobytes()


def test_a_picture_too_small_for_such_strokes_is_refused(any_style_backend):
    with pytest.raises(InputError, match="a picture of 4x8 pixels is too small"):
        isostyle.apply(random_style(), picture(16, 32), stroke_size=4, backend=any_style_backend)


@pytest.mark.parametrize("size", [0, 0.2, 4.1, float("nan"), "much", True])
def test_a_size_of_strokes_that_is_none_is_refused(any_style_backend, size):
    with pytest.raises(InputError, match=r"the size of strokes must be a number in 0\.25\.\.4, not "):
        isostyle.apply(random_style(), picture(), stroke_size=size, backend=any_style_backend)
