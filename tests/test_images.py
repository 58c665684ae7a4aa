"""What people hand in as a picture, what is refused, and the numbers that engines get."""

import io
import os

import numpy as np
import pytest
from PIL import Image

from isostyle import InputError
from isostyle.images import arrays, decode
from isostyle.system.files import sha256

RED, GREEN, WHITE = (255, 0, 0), (0, 128, 0), (255, 255, 255)


def saved(tmp_path, picture, name="picture.png", **options):
    path = tmp_path / name
    picture.save(path, **options)
    return path


def pixel(path):
    return decode.read_rgb(path).getpixel((0, 0))


# What is read


def test_a_gray_picture_becomes_three_equal_channels(tmp_path):
    assert pixel(saved(tmp_path, Image.new("L", (20, 20), 77))) == (77, 77, 77)


def test_a_one_bit_picture_becomes_black_and_white(tmp_path):
    assert pixel(saved(tmp_path, Image.new("1", (20, 20), 1))) == WHITE


def test_a_palette_picture_takes_its_colors(tmp_path):
    picture = Image.new("RGB", (20, 20), RED).convert("P", palette=Image.Palette.ADAPTIVE)
    assert pixel(saved(tmp_path, picture)) == RED


def test_cmyk_becomes_rgb(tmp_path):
    """No ink is white, full magenta and yellow are red; an inverted reading would give black and cyan."""
    white = pixel(saved(tmp_path, Image.new("CMYK", (32, 32), (0, 0, 0, 0)), "white.jpg", quality=100))
    red = pixel(saved(tmp_path, Image.new("CMYK", (32, 32), (0, 255, 255, 0)), "red.jpg", quality=100))
    assert np.abs(np.array(white) - WHITE).max() <= 2
    assert np.abs(np.array(red) - RED).max() <= 2


@pytest.mark.parametrize("name", ["deep.png", "deep.tif"])
@pytest.mark.parametrize(("deep", "eight"), [(0, 0), (128, 0), (129, 1), (32896, 128), (65535, 255)])
def test_sixteen_bit_gray_is_scaled_and_not_clipped(tmp_path, name, deep, eight):
    picture = Image.fromarray(np.full((20, 20), deep, np.uint16))
    assert pixel(saved(tmp_path, picture, name)) == (eight,) * 3


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(tmp_path, orientation):
    """A red corner: where it stands upright is what every viewer shows."""
    upright = Image.new("RGB", (40, 24), GREEN)
    upright.paste(RED, (0, 0, 16, 8))
    undo = {2: [0], 3: [3], 4: [1], 5: [5], 6: [2], 7: [6], 8: [4]}.get(orientation, [])
    stored = upright
    for transposition in undo:
        stored = stored.transpose(Image.Transpose(transposition))
    exif = Image.Exif()
    exif[0x0112] = orientation
    picture = decode.read_rgb(saved(tmp_path, stored, "turned.jpg", exif=exif, quality=100, subsampling=0))
    assert picture.size == (40, 24)
    assert np.abs(np.asarray(picture).astype(int) - np.asarray(upright)).mean() < 3


def test_the_first_frame_of_an_animation_is_read(tmp_path):
    frames = [Image.new("RGB", (20, 20), color) for color in (RED, GREEN)]
    assert pixel(saved(tmp_path, frames[0], "moving.gif", save_all=True, append_images=frames[1:])) == RED


def test_a_picture_whose_name_has_spaces_and_umlauts(tmp_path):
    assert pixel(saved(tmp_path, Image.new("RGB", (20, 20), RED), "schönes Bild – 1.png")) == RED


@pytest.mark.parametrize(
    "array",
    [
        np.full((20, 20, 3), 255, np.uint8),
        np.full((20, 20), 255, np.uint8),
        np.full((20, 20, 1), 255, np.uint8),
        np.full((20, 20), 65535, np.uint16),
        np.full((20, 20), 65535, ">u2"),
        np.ones((20, 20, 3), np.float32),
        np.full((20, 20, 4), 255, np.uint8),
        np.full((20, 40, 3), 255, np.uint8)[:, ::-2],
    ],
    ids=lambda array: f"{array.dtype}{array.shape}",
)
def test_arrays_are_read(array):
    picture = decode.read_rgb(array)
    assert (picture.mode, picture.size, picture.getpixel((3, 3))) == ("RGB", (20, 20), WHITE)


@pytest.mark.parametrize(
    "form", [lambda data, path: path.open("rb"), lambda data, path: io.BytesIO(data)], ids=["file", "BytesIO"]
)
def test_binary_file_objects_are_read(tmp_path, form):
    path = saved(tmp_path, Image.new("RGB", (20, 20), RED))
    with form(path.read_bytes(), path) as file:
        found, digest = decode.read_picture(file, "the picture")
    assert found.pixels.getpixel((0, 0)) == RED
    assert digest == sha256(path.read_bytes())


def test_a_file_object_is_read_from_where_it_stands(tmp_path):
    data = saved(tmp_path, Image.new("RGB", (20, 20), RED)).read_bytes()
    file = io.BytesIO(b"before" + data)
    file.seek(6)
    assert decode.read_rgb(file).getpixel((0, 0)) == RED


#: 20 pixels high, 30 wide.
SAMPLES = np.random.RandomState(0).randint(0, 256, (20, 30, 3)).astype(np.uint8)
#: How a picture of that may lie in a tensor.
LAYOUTS = {
    "channels last": SAMPLES,
    "channels first": SAMPLES.transpose(2, 0, 1),
    "a batch of one": SAMPLES.transpose(2, 0, 1)[None],
}


def tensor_of(name, array):
    """``array`` as a tensor of a framework."""
    framework = pytest.importorskip(name)
    made = {"torch": "from_numpy", "paddle": "to_tensor"}
    array = np.ascontiguousarray(array)
    return framework.nd.array(array, dtype=array.dtype) if name == "mxnet" else getattr(framework, made[name])(array)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_tensors_are_pictures(backend, layout, dtype):
    array = LAYOUTS[layout]
    tensor = tensor_of(backend.name, array if dtype == np.uint8 else array.astype(np.float32) / 255)
    found = decode.read_rgb(tensor)
    np.testing.assert_array_equal(np.asarray(found), SAMPLES)


def test_a_tensor_that_has_a_gradient_is_a_picture():
    torch = pytest.importorskip("torch")
    assert decode.read_rgb(torch.ones(3, 20, 20, requires_grad=True)).getpixel((0, 0)) == WHITE


@pytest.mark.parametrize("make", ["bfloat16", "meta"])
def test_a_tensor_of_which_numpy_makes_nothing_is_refused(make):
    torch = pytest.importorskip("torch")
    tensor = torch.ones(3, 20, 20, dtype=torch.bfloat16) if make == "bfloat16" else torch.ones(3, 20, 20, device="meta")
    with pytest.raises(InputError, match="the style image cannot be made an array of"):
        decode.read_rgb(tensor, "the style image")


def test_whatever_numpy_makes_an_array_of_is_a_picture():
    class Other:
        def __array__(self, dtype=None, copy=None):
            return SAMPLES

    np.testing.assert_array_equal(np.asarray(decode.read_rgb(Other())), SAMPLES)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_floats_that_are_beyond_0_to_1_by_rounding_are_clipped(dtype):
    values = np.full((20, 20), 0.5, dtype)
    beyond = max(2 * np.finfo(dtype).eps, 1e-6)
    values[0] = 1 + beyond
    values[1] = -beyond
    found = decode.read(values).pixels.samples
    assert [found[row, 0, 0] for row in range(2)] == [65535, 0]


# What is refused

BIG_HEADER = b"P6 50000 50000 255\n"


@pytest.fixture
def bad_files(tmp_path):
    whole = io.BytesIO()
    Image.effect_noise((200, 200), 60).convert("RGB").save(whole, "JPEG")
    png = io.BytesIO()
    Image.effect_noise((200, 200), 60).save(png, "PNG")
    content = {
        "empty.jpg": b"",
        "text.jpg": b"this is no picture",
        "truncated.jpg": whole.getvalue()[: len(whole.getvalue()) // 2],
        "truncated.png": png.getvalue()[: len(png.getvalue()) // 2],
        "bomb.ppm": BIG_HEADER + b"\0" * 100,
    }
    for name, data in content.items():
        (tmp_path / name).write_bytes(data)
    (tmp_path / "folder.jpg").mkdir()
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "script.eps").write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 20 20\nshowpage\n")
    Image.fromarray(np.full((20, 20), 200, np.float32)).save(tmp_path / "float.tif")
    Image.fromarray(np.full((20, 20), 70000, np.int32)).save(tmp_path / "deep32.tif")
    return tmp_path


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("missing.jpg", "there is no file '.*missing.jpg'"),
        ("folder.jpg", "is a folder, not a file"),
        ("empty.jpg", "is not a picture that can be read"),
        ("text.jpg", "is not a picture that can be read"),
        ("truncated.jpg", "cannot be decoded, and may be broken or truncated"),
        ("truncated.png", "cannot be decoded, and may be broken or truncated"),
        ("bomb.ppm", "has more than 179 megapixels"),
        ("float.tif", "has samples of 200..200; floats must be in 0..1"),
        ("deep32.tif", "has 32-bit samples"),
        ("nul\0byte.jpg", "cannot be read"),
        ("pipe.jpg", "is not a regular file"),
        ("script.eps", "is not a picture that can be read"),
    ],
)
def test_bad_files_are_answered_with_one_sentence(bad_files, name, sentence):
    with pytest.raises(InputError, match=sentence) as caught:
        decode.read_rgb(bad_files / name)
    assert "\n" not in str(caught.value)


def test_a_pil_image_of_a_truncated_file_is_refused(bad_files):
    with (
        Image.open(bad_files / "truncated.jpg") as picture,
        pytest.raises(InputError, match="the style image cannot be decoded"),
    ):
        decode.read_rgb(picture, "the style image")


@pytest.mark.parametrize(
    ("array", "sentence"),
    [
        (np.zeros((3, 20, 20), np.uint8), r"must have shape .* not \(3, 20, 20\)"),
        (np.zeros((0, 20, 3), np.uint8), "must have shape"),
        (np.zeros(20, np.uint8), "must have shape"),
        (np.zeros((20, 20, 3), np.int64), "uint8, uint16 or floats in 0..1, not int64"),
        (np.full((20, 20, 3), 255.0), "the content image has samples of 255..255; floats must be in 0..1"),
        (np.full((20, 20, 3), np.nan), "NaN or infinite"),
        (np.linspace(0, 1.0001, 400).reshape(20, 20), "has samples of 0..1.0001; floats must be in 0..1"),
        (np.linspace(-1e-5, 1, 400).reshape(20, 20), "has samples of -1e-05..1; floats must be in 0..1"),
        (io.StringIO("text"), 'the content image is a file that was opened as text; open it with "rb"'),
        (io.BytesIO(), "the content image is a file with nothing left to read"),
        (3, "must be a path, a file, its bytes, a PIL image or an array, not 3"),
    ],
)
def test_what_is_no_picture_is_refused(array, sentence):
    with pytest.raises(InputError, match=sentence):
        decode.read_rgb(array, "the content image")


# Numbers


def test_resizing_antialiases(photograph):
    """A checkerboard of single pixels, halved, is even gray; MXNet's and torch's defaults would keep black and white pixels."""
    board = Image.fromarray((np.indices((64, 64)).sum(axis=0) % 2 * 255).astype(np.uint8)).convert("RGB")
    halved = np.asarray(arrays.resize(board, 32, 32))[4:-4, 4:-4]
    assert halved.min() >= 127
    assert halved.max() <= 128


def test_resizing_takes_height_before_width(photograph):
    assert arrays.resize(photograph, 30, 45).size == (45, 30)


def test_normalization_by_hand():
    """(128 / 255 - 0.485) / 0.229, and so on; the array is (1, 3, H, W) and contiguous."""
    array = arrays.to_array(Image.new("RGB", (5, 4), (128, 0, 255)), "float64")
    assert array.shape == (1, 3, 4, 5)
    assert array.flags.c_contiguous
    np.testing.assert_allclose(array[0, :, 1, 2], [0.07406456, -2.03571429, 2.64], rtol=1e-6)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_eight_bit_value_survives_the_round_trip(dtype):
    values = np.arange(256, dtype=np.uint8).reshape(16, 16)
    picture = Image.fromarray(np.stack([values, values[::-1], values.T], axis=2))
    np.testing.assert_array_equal(np.asarray(arrays.to_picture(arrays.to_array(picture, dtype))), np.asarray(picture))


def test_pictures_are_rounded_and_clipped():
    """254.6 becomes 255: torchvision's ToPILImage truncates to 254."""
    values = (np.array([254.6, -20.0, 300.0]) / 255 - arrays.RGB_MEAN) / arrays.RGB_STD
    assert arrays.to_picture(values.reshape(1, 3, 1, 1)).getpixel((0, 0)) == (255, 0, 255)


def test_noise_is_the_same_everywhere_and_always():
    """The first numbers of NumPy's frozen Mersenne Twister stream for seed 0."""
    np.testing.assert_allclose(
        arrays.noise((1, 1, 1, 3), 0, "float64").ravel(), [1.76405235, 0.40015721, 0.97873798], rtol=1e-8
    )


# Arrays between the levels of a pyramid


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_an_array_is_resized_as_a_picture_is_but_neither_clipped_nor_rounded(photograph, dtype):
    array = 3 * arrays.to_array(photograph, dtype)
    found = arrays.resize_array(array, 40, 30)
    assert (found.shape, found.dtype) == ((1, 3, 40, 30), np.dtype(dtype))
    assert found.max() > arrays.to_array(photograph, dtype).max()
    # The picture's own resizing rounds twice to steps of 1/255.
    expected = 3 * arrays.to_array(arrays.resize(photograph, 40, 30), dtype)
    np.testing.assert_allclose(found, expected, atol=3 * 1.5 / 255 / 0.224)
