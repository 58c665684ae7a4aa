"""Style networks of pytorch/examples: what they compute there is what every backend computes here."""

import re
from collections import OrderedDict

import checkpoint_files as files
import numpy as np
import pytest
from conftest import BACKENDS, obtain
from PIL import Image
from test_cli import isostyle, names

import isostyle as package
from isostyle.errors import InputError
from isostyle.images import arrays
from isostyle.network import RGB_MEAN, RGB_STD
from isostyle.style_networks import file as style_network
from isostyle.style_networks import pytorch_examples
from isostyle.style_networks.trainer import TrainingRecipe
from isostyle.style_networks.training_inputs import first_of
from isostyle.transform_network import JOHNSON
from isostyle.weights import convert

#: Of values in 0..255, absolute, where the folded numbers are float64, too: seen 5e-13.
FOLDED = 1e-10
#: Likewise, where they are rounded to float32, as they are stored: seen 1.3e-5.
STORED = 255e-6

#: Output, input channels and kernel of TransformerNet's convolutions, in order, and the channels of its normalizations.
CONVOLUTIONS = {
    "conv1": (32, 3, 9),
    "conv2": (64, 32, 3),
    "conv3": (128, 64, 3),
    **{f"res{block}.conv{i}": (128, 128, 3) for block in range(1, 6) for i in (1, 2)},
    "deconv1": (64, 128, 3),
    "deconv2": (32, 64, 3),
    "deconv3": (3, 32, 9),
}
NORMS = {"in1": 32, "in2": 64, "in3": 128, **{f"res{block}.in{i}": 128 for block in range(1, 6) for i in (1, 2)}}
NORMS |= {"in4": 64, "in5": 32}


def state(seed=0):
    """A state dictionary with random numbers: no bias and no shift is small, and the output is a gray picture's noise."""
    random = np.random.RandomState(seed)
    found = OrderedDict()
    for name, (out, into, kernel) in CONVOLUTIONS.items():
        found[f"{name}.conv2d.weight"] = random.standard_normal((out, into, kernel, kernel)) / np.sqrt(into * kernel**2)
        found[f"{name}.conv2d.bias"] = random.standard_normal(out)
    for name, channels in NORMS.items():
        found[f"{name}.weight"] = 1 + 0.3 * random.standard_normal(channels)
        found[f"{name}.bias"] = random.standard_normal(channels)
    found["deconv3.conv2d.weight"] *= 40
    found["deconv3.conv2d.bias"] += 120
    return {name: array.astype(np.float32) for name, array in found.items()}


def of_2017(tensors):
    """With the statistics that instance normalizations counted at that time, and as torch.nn.DataParallel names things."""
    statistics = {f"{name}.{kind}": np.full(n, 7, np.float32) for name, n in NORMS.items() for kind in pytorch_examples.COUNTED}
    return {f"module.{name}": array for name, array in {**tensors, **statistics}.items()}


def picture(height=24, width=32, seed=0):
    return Image.fromarray(np.random.RandomState(seed).randint(0, 256, (height, width, 3), np.uint8))


def painted(transform, parameters, given):
    """What a backend's network makes of a picture, in 0..255, (3, H, W)."""
    parameters = {name: transform.tensor(array) for name, array in parameters.items()}
    made = transform.array(transform.apply(parameters, transform.tensor(arrays.to_array(given, "float64"))))[0]
    return 255 * (made * np.reshape(RGB_STD, (3, 1, 1)) + np.reshape(RGB_MEAN, (3, 1, 1)))


# The network as it stands there, in NumPy


def convolved(x, tensors, name, stride=1):
    weight, bias = (tensors[f"{name}.conv2d.{kind}"].astype(np.float64) for kind in ("weight", "bias"))
    size = weight.shape[-1]
    x = np.pad(x, [(0, 0), *[(size // 2, size // 2)] * 2], "reflect")
    windows = np.lib.stride_tricks.sliding_window_view(x, (size, size), (1, 2))[:, ::stride, ::stride]
    return np.tensordot(weight, windows, ((1, 2, 3), (0, 3, 4))) + bias[:, None, None]


def normed(x, tensors, name):
    mean, variance = x.mean((1, 2), keepdims=True), x.var((1, 2), keepdims=True)
    scale, shift = (tensors[f"{name}.{kind}"].astype(np.float64)[:, None, None] for kind in ("weight", "bias"))
    return (x - mean) / np.sqrt(variance + 1e-5) * scale + shift


def reference(tensors, given):
    x = np.asarray(given, np.float64).transpose(2, 0, 1)
    for i, stride in ((1, 1), (2, 2), (3, 2)):
        x = np.maximum(normed(convolved(x, tensors, f"conv{i}", stride), tensors, f"in{i}"), 0)
    for block in [f"res{i}" for i in range(1, 6)]:
        inner = np.maximum(normed(convolved(x, tensors, f"{block}.conv1"), tensors, f"{block}.in1"), 0)
        x = x + normed(convolved(inner, tensors, f"{block}.conv2"), tensors, f"{block}.in2")
    for name, norm in (("deconv1", "in4"), ("deconv2", "in5")):
        x = np.maximum(normed(convolved(x.repeat(2, 1).repeat(2, 2), tensors, name), tensors, norm), 0)
    return convolved(x, tensors, "deconv3")


# What it computes


def test_folding_changes_no_picture(backend):
    tensors = state()
    ours = {parameter: tensors[theirs] for parameter, theirs in pytorch_examples.names().items()}
    transform = backend.transform(JOHNSON, device="cpu", dtype="float64")
    found = painted(transform, pytorch_examples.folded(ours), picture())
    np.testing.assert_allclose(found, reference(tensors, picture()), rtol=0, atol=FOLDED)


@pytest.mark.parametrize("write", [files.torch_legacy, files.torch_zip], ids=["legacy", "zip"])
@pytest.mark.parametrize("change", [dict, of_2017], ids=["of today", "of 2017"])
def test_a_file_is_read_with_the_same_numbers(tmp_path, write, change):
    path = tmp_path / "mosaic.pth"
    path.write_bytes(write(change(state())))
    found = style_network.find(str(path))
    ours = {parameter: state()[theirs] for parameter, theirs in pytorch_examples.names().items()}
    assert (found.name, found.network) == ("mosaic", JOHNSON)
    for name, array in pytorch_examples.folded(ours).items():
        assert found.parameters[name].dtype == np.float32
        assert found.parameters[name].tobytes() == array.astype(np.float32).tobytes()


@pytest.mark.parametrize("is_zip", [False, True], ids=["legacy", "zip"])
def test_what_torch_saves_paints_as_torch_does(tmp_path, is_zip):
    """The network once more, of torch's own layers."""
    if "torch" not in BACKENDS:
        pytest.skip("torch is not among ISOSTYLE_TEST_BACKENDS")
    backend, path = obtain("torch"), tmp_path / "mosaic.pth"
    import torch

    tensors = {name: torch.from_numpy(array) for name, array in state().items()}
    torch.save(tensors, path, _use_new_zipfile_serialization=is_zip)
    module = transformer_net(torch.nn)
    module.load_state_dict(tensors)
    with torch.no_grad():
        x = torch.from_numpy(np.asarray(picture()).astype(np.float64).transpose(2, 0, 1)[None])
        expected = module.double()(x)[0].numpy()
    transform = backend.transform(JOHNSON, device="cpu", dtype="float64")
    found = painted(transform, style_network.find(str(path)).painting(), picture())
    np.testing.assert_allclose(found, expected, rtol=0, atol=STORED)
    made = package.apply(path, picture(), backend="torch", threads=2).picture
    eight = np.rint(expected.clip(0, 255)).transpose(1, 2, 0)
    assert np.abs(np.asarray(made) - eight).max() <= 1


def transformer_net(nn):
    """TransformerNet with its names, of torch.nn."""

    class Convolution(nn.Sequential):
        def __init__(self, name, stride=1, repeats=1):
            out, into, size = CONVOLUTIONS[name]
            super().__init__(OrderedDict(up=nn.Upsample(scale_factor=repeats), pad=nn.ReflectionPad2d(size // 2)))
            self.add_module("conv2d", nn.Conv2d(into, out, size, stride))

    class Block(nn.Module):
        def __init__(self, name):
            super().__init__()
            self.conv1, self.conv2 = (Convolution(f"{name}.conv{i}") for i in (1, 2))
            self.in1, self.in2 = (nn.InstanceNorm2d(128, affine=True) for _ in range(2))

        def forward(self, x):
            return x + self.in2(self.conv2(nn.functional.relu(self.in1(self.conv1(x)))))

    layers = OrderedDict()
    for i, stride in ((1, 1), (2, 2), (3, 2)):
        layers |= {f"conv{i}": Convolution(f"conv{i}", stride), f"in{i}": nn.InstanceNorm2d(NORMS[f"in{i}"], affine=True)}
        layers[f"relu{i}"] = nn.ReLU()
    layers |= {f"res{i}": Block(f"res{i}") for i in range(1, 6)}
    for i, norm in ((1, "in4"), (2, "in5")):
        layers |= {f"deconv{i}": Convolution(f"deconv{i}", repeats=2), norm: nn.InstanceNorm2d(NORMS[norm], affine=True)}
        layers[f"relu{i + 3}"] = nn.ReLU()
    layers["deconv3"] = Convolution("deconv3")
    return nn.Sequential(layers)


# Where it is taken


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mosaic.pth").write_bytes(files.torch_legacy(state()))
    picture().save("photo.png")
    return tmp_path


def test_apply_takes_it(folder, any_backend):
    assert isostyle("apply", "mosaic.pth", "photo.png", "--backend", any_backend, "--threads", "2") == 0
    with Image.open("photo-mosaic.png") as made:
        found = np.asarray(made).astype(float)
    expected = np.rint(reference(state(), picture()).clip(0, 255)).transpose(1, 2, 0)
    assert np.abs(found - expected).max() <= 1


def test_styles_says_where_it_is_from(folder, capsys):
    assert isostyle("styles", "mosaic.pth") == 0
    words = r"mosaic\.pth .* channels 32-64-128, 5 blocks; of pytorch/examples, fast_neural_style; sha256 [0-9a-f]{16}\n"
    assert re.fullmatch(words, capsys.readouterr().out)


def test_a_training_begins_with_it(folder):
    found = style_network.find("mosaic.pth")
    assert first_of(found, TrainingRecipe(network=JOHNSON), ["wave"]).digest == found.digest


def test_it_is_saved_as_a_file_of_ours(folder):
    found = style_network.find("mosaic.pth")
    found.save("mosaic.safetensors")
    assert style_network.find("mosaic.safetensors").digest == found.digest


def test_export_never_overwrites_it(folder, capsys):
    (folder / "mosaic.pth").rename("mosaic.onnx")
    assert isostyle("export", "mosaic.onnx", "--force") == 2
    assert "'mosaic.onnx' is an input; it is never overwritten" in capsys.readouterr().err


# What else there is


def without(name):
    return {own: array for own, array in state().items() if own != name}


def narrow():
    return {**state(), "conv1.conv2d.weight": np.ones((16, 3, 9, 9), np.float32)}


def infinite():
    tensors = state()
    tensors["in1.weight"][3] = np.inf
    return tensors


@pytest.mark.parametrize(
    ("tensors", "sentence"),
    [
        (without("res2.in1.weight"), "fast_neural_style: it lacks 'res2.in1.weight'"),
        (narrow(), "'conv1.conv2d.weight' has the shape (16, 3, 9, 9), not (32, 3, 9, 9)"),
        ({**state(), "extra": np.ones(1, np.float32)}, "it holds 'extra', too"),
        ({**state(), "in1.num_batches_tracked": np.ones(1, np.float32)}, "it holds 'in1.num_batches_tracked', too"),
        (infinite(), "has values in down1.scale that are not finite"),
        (files.numbered(files.NARROW19, files.random_parameters(files.NARROW19)), "holds a VGG's weights"),
    ],
    ids=lambda value: value[:30] if isinstance(value, str) else "",
)
@pytest.mark.parametrize("write", [files.torch_legacy, files.torch_zip], ids=["legacy", "zip"])
def test_another_network_is_refused_with_what_is_wrong(write, tensors, sentence):
    with pytest.raises(InputError, match=re.escape(sentence)):
        style_network.parse(write(tensors), "x.pth")


@pytest.mark.parametrize("write", [files.torch_legacy, files.torch_zip], ids=["legacy", "zip"])
@pytest.mark.parametrize("share", [0.0001, 0.001, 0.01, 0.5, 0.999999])
def test_a_truncated_file_is_refused(write, share):
    data = write(state())
    with pytest.raises(InputError, match=r"^'x\.pth' is (cut short|damaged)"):
        style_network.parse(data[: int(share * len(data))], "x.pth")


class Hostile:
    def __reduce__(self):
        return files.Global("os", "system"), ("true",)


def test_a_hostile_pickle_runs_nothing():
    head, _ = files.torch_state({})
    parts = [files.pickled(each) for each in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}, Hostile(), [])]
    for data in (b"".join(parts), files.torch_zip({}, state=files.pickled({"conv1.conv2d.weight": Hostile(), **head}))):
        with pytest.raises(InputError, match=r"^'x\.pth' would call 'os\.system', which no weights need; it is not loaded"):
            style_network.parse(data, "x.pth")


def test_a_small_tensor_in_a_huge_storage_is_refused_unread(monkeypatch):
    monkeypatch.setattr(convert, "MAX_STORAGE", 2**10)
    with pytest.raises(InputError, match="in a storage of"):
        style_network.parse(files.torch_legacy(state()), "x.pth")


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("starry.t7", b"\x04\0\0\0\x01\0\0\0\x03\0\0\0V 1\x0d\0\0\0nn.Sequential", "it is a file of Lua Torch, as .t7 are"),
        ("starry.t7", b"4\n1\n3\nV 1\n13\nnn.Sequential\n", "it is a file of Lua Torch, as .t7 are"),
        ("mosaic.onnx", b"\x08\x03\x12\x07pytorch\x1a\x031.0", "it is an ONNX model"),
        ("wave.ckpt", b"\0\x0e\x10" + bytes(90) + bytes.fromhex("57fb808b247547db"), "it is a checkpoint of TensorFlow"),
        ("photo.jpg", b"\xff\xd8\xff\xe0\0\x10JFIF\0", "it is a JPEG picture"),
        ("notes.md", b"# Notes \xe2\x80\x93\n" * 300, "it is a text"),
        ("mosaic.pth", b"<!DOCTYPE html>\n<html>", "it is a web page"),
        ("model.h5", b"\x89HDF\r\n\x1a\n" + bytes(99), "it is an HDF5 file, as Keras' are"),
        ("mosaic.pdparams", b"\x80\x04N.", "it is a pickle, as PyTorch's and Paddle's files are"),
        ("nothing.pth", b"", "it is an empty file"),
        ("noise.bin", bytes(range(256)), "it is a file of a kind that isostyle does not know"),
    ],
)
def test_a_file_that_is_no_style_network_is_called_what_it_is(tmp_path, monkeypatch, capsys, name, data, words):
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).write_bytes(data)
    assert isostyle("apply", name, "photo.png") == 2
    assert capsys.readouterr().err == f"isostyle: '{name}' is not a style network: {words}\n"
    assert names(tmp_path) == [name]


def test_a_zip_of_networks_is_called_what_it_is():
    """pytorch/examples has its four in one."""
    with pytest.raises(InputError, match="is a zip file, but none of PyTorch's"):
        style_network.parse(zipped({"saved_models/mosaic.pth": bytes(300)}), "saved_models.zip")


def zipped(members):
    import io
    import zipfile

    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as file:
        for name, data in members.items():
            file.writestr(name, data)
    return stream.getvalue()


@pytest.mark.parametrize("name", ["mosaic.pth", "styles/mosaic"])
def test_a_file_that_is_not_there_is_said_not_to_be(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=f"^there is no file '{name}'$"):
        style_network.find(name)
