"""Other programs' files become the same parameters, bit by bit; every other file is refused, quickly and in one sentence."""

import contextlib
import json
import pickle
import random
import struct
import tracemalloc
import zipfile
from pathlib import Path

import checkpoint_files as files
import numpy as np
import pytest
from checkpoint_files import NARROW16, NARROW19, TINY, numbered, random_parameters
from conftest import BACKENDS, obtain

from isostyle import InputError
from isostyle.network import RGB_MEAN, RGB_STD, VGG16, VGG19
from isostyle.weights import convert
from isostyle.weights.formats.stored import Stored
from isostyle.weights.sources import LocalFile

RECORDED = Path(__file__).with_name("data") / "checkpoints"
NARROWS = (NARROW19, NARROW16)
MEBIBYTE = 2**20


@pytest.fixture(params=NARROWS, ids=lambda network: network.name)
def narrow(request):
    return request.param, random_parameters(request.param)


@pytest.fixture
def read(tmp_path):
    """Reads bytes as a file."""

    def reader(data, networks=NARROWS, preprocessing=None):
        (tmp_path / "weights").write_bytes(data)
        with LocalFile(tmp_path / "weights") as file:
            return convert.read(file, networks, preprocessing)

    return reader


def assert_same(found, expected):
    assert list(found) == list(expected)
    for name, array in expected.items():
        assert found[name].dtype == np.float32
        assert found[name].shape == array.shape
        assert found[name].tobytes() == np.ascontiguousarray(array, np.float32).tobytes(), name


# Every format, made here without its framework

WRITERS = {
    "pytorch-zip": lambda network, parameters: files.torch_zip(numbered(network, parameters)),
    "pytorch-legacy": lambda network, parameters: files.torch_legacy(numbered(network, parameters)),
    "pytorch-legacy of 2017": lambda n, p: files.torch_legacy(numbered(n, p), rebuild="_rebuild_tensor"),
    "pytorch-legacy of Python 2": lambda n, p: files.torch_legacy(numbered(n, p), rebuild="_rebuild_tensor", python2=True),
    "safetensors": lambda network, parameters: files.safetensors(numbered(network, parameters)),
    "safetensors of isostyle": lambda network, parameters: files.safetensors(parameters),
    "safetensors of timm": lambda network, parameters: files.safetensors(files.timm_names(network, parameters)),
    "mxnet, gluon's classifier": lambda network, parameters: files.mxnet(files.gluon_numbers(network, parameters)),
    "paddle": lambda network, parameters: files.paddle(numbered(network, parameters)),
    "paddle, protocol 2": lambda network, parameters: files.paddle(numbered(network, parameters), protocol=2),
    "paddle, protocol 3": lambda network, parameters: files.paddle(numbered(network, parameters), protocol=3),
    "paddle, tuples": lambda network, parameters: files.paddle(numbered(network, parameters), tuples=True),
    "mxnet of before 1.0": lambda network, parameters: files.mxnet(numbered(network, parameters), version=0),
    "mxnet V1": lambda network, parameters: files.mxnet(numbered(network, parameters), version=1),
    "mxnet V2": lambda network, parameters: files.mxnet(numbered(network, parameters), version=2),
    "mxnet V3": lambda network, parameters: files.mxnet(numbered(network, parameters), version=3),
    "mxnet, old names": lambda network, parameters: files.mxnet(files.gluon_names(network, parameters)),
    "mxnet, arg:": lambda network, parameters: files.mxnet(files.gluon_names(network, parameters, prefix="arg:vgg0_")),
    "keras of 2016": lambda network, parameters: files.keras(parameters),
    "keras": lambda network, parameters: files.keras(parameters, layout="new"),
    "keras, a whole model": lambda network, parameters: files.keras(parameters, layout="model"),
}


@pytest.mark.parametrize("kind", WRITERS)
def test_every_format_gives_the_same_parameters_bit_by_bit(kind, narrow, read):
    network, parameters = narrow
    found = read(WRITERS[kind](network, parameters), preprocessing="torchvision")
    assert found.network == network
    assert kind.startswith(found.format)
    assert_same(found.parameters, parameters)


@pytest.mark.parametrize("name", sorted(path.name for path in RECORDED.iterdir() if path.suffix != ".md"))
def test_files_that_the_frameworks_wrote_are_read(name):
    with LocalFile(RECORDED / name) as file:
        found = convert.read(file, [TINY])
    assert_same(found.parameters, random_parameters(TINY))


@pytest.mark.parametrize(
    ("dtype", "expected"),
    [("float16", lambda a: a.astype(np.float16)), ("float64", lambda a: a.astype(np.float64) * (1 + 1e-12))],
)
@pytest.mark.parametrize("writer", [files.torch_zip, files.torch_legacy, files.safetensors, files.paddle, files.mxnet])
def test_other_floating_point_numbers_become_float32(writer, dtype, expected, read):
    tensors = {
        name: expected(array) for name, array in numbered(NARROW19, random_parameters(NARROW19), classifier=False).items()
    }
    found = read(writer(tensors))
    assert found.dtype == dtype
    assert_same(found.parameters, dict(zip(found.parameters, tensors.values(), strict=True)))


def test_bfloat16_becomes_the_same_numbers_in_float32(read):
    parameters = random_parameters(NARROW19)
    halves = {name: (array.view(np.uint32) >> 16).astype(np.uint16) for name, array in parameters.items()}
    found = read(files.torch_zip(numbered(NARROW19, halves, classifier=False)))
    assert found.dtype == "bfloat16"
    assert_same(found.parameters, {n: (array.astype(np.uint32) << 16).view(np.float32) for n, array in halves.items()})


def test_big_endian_and_fortran_ordered_arrays_are_turned_round(read):
    parameters = random_parameters(NARROW19)
    odd = {name: np.asfortranarray(array.astype(">f4")) for name, array in numbered(NARROW19, parameters).items()}
    assert_same(read(files.paddle(odd)).parameters, parameters)


def test_the_classifier_is_not_read_into_memory(read):
    """Twenty times the convolutions."""
    parameters = random_parameters(NARROW19)
    tensors = {**numbered(NARROW19, parameters), "classifier.3.weight": np.zeros((1000, 4 * 2**10), np.float32)}
    for writer in (files.torch_zip, files.torch_legacy, files.safetensors, files.mxnet):
        data = writer(tensors)
        tracemalloc.start()
        read(data)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 4 * MEBIBYTE < len(data) / 3


# The frameworks themselves


def framework(name):
    """Skips the test if the framework is not to be tested here."""
    if name not in BACKENDS:
        pytest.skip(f"{name} is not among ISOSTYLE_TEST_BACKENDS")
    obtain(name)


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16", "float64"])
def test_torch_reads_its_files_as_we_do(legacy, dtype, tmp_path):
    framework("torch")
    import torch

    tensors = numbered(NARROW19, random_parameters(NARROW19), classifier=False)
    state = {name: torch.from_numpy(array).to(getattr(torch, dtype)) for name, array in tensors.items()}
    torch.save(state, tmp_path / "x.pth", _use_new_zipfile_serialization=not legacy)
    own = torch.load(tmp_path / "x.pth", weights_only=True)
    with LocalFile(tmp_path / "x.pth") as file:
        found = convert.read(file, NARROWS)
    assert_same(found.parameters, dict(zip(found.parameters, (t.float().numpy() for t in own.values()), strict=True)))


def test_torch_reads_files_that_are_written_here(tmp_path):
    framework("torch")
    import torch

    tensors = numbered(NARROW19, random_parameters(NARROW19))
    for writer in (files.torch_zip, files.torch_legacy):
        (tmp_path / "x.pth").write_bytes(writer(tensors))
        own = torch.load(tmp_path / "x.pth", weights_only=True)
        assert all(own[name].numpy().tobytes() == array.tobytes() for name, array in tensors.items())


def test_views_of_one_storage_are_read_as_torch_reads_them(tmp_path):
    framework("torch")
    import torch

    tensors = numbered(NARROW19, random_parameters(NARROW19), classifier=False)
    flat = torch.cat([torch.from_numpy(array).reshape(-1) for array in tensors.values()])
    state, place = {}, 0
    for name, array in tensors.items():
        state[name] = flat[place : place + array.size].reshape(array.shape)
        place += array.size
    torch.save(state, tmp_path / "x.pth")
    with LocalFile(tmp_path / "x.pth") as file:
        found = convert.read(file, NARROWS).parameters
    assert_same(found, random_parameters(NARROW19))


def test_paddle_s_own_vgg19_is_read_from_what_paddle_saves(tmp_path):
    framework("paddle")
    import paddle

    tensors = numbered(NARROW19, random_parameters(NARROW19))
    paddle.save({name: paddle.to_tensor(array) for name, array in tensors.items()}, str(tmp_path / "x.pdparams"))
    with LocalFile(tmp_path / "x.pdparams") as file:
        assert_same(convert.read(file, NARROWS).parameters, random_parameters(NARROW19))


def test_gluon_s_own_files_are_read(tmp_path):
    framework("mxnet")
    import mxnet

    parameters = random_parameters(NARROW19)
    features = mxnet.gluon.nn.HybridSequential(prefix="vgg0_")
    with features.name_scope():
        for layer in NARROW19.layers:
            features.add(
                mxnet.gluon.nn.Conv2D(layer.out_channels, 3, padding=1, in_channels=layer.in_channels)
                if layer.kind == "conv"
                else mxnet.gluon.nn.Activation("relu")
                if layer.kind == "relu"
                else mxnet.gluon.nn.MaxPool2D()
            )
        features.add(mxnet.gluon.nn.Dense(4, in_units=5))
    features.initialize()
    for layer in NARROW19.convolutions:
        for kind in ("weight", "bias"):
            getattr(features[layer.index], kind).set_data(mxnet.np.array(parameters[f"{layer.name}.{kind}"]))

    class Vgg(mxnet.gluon.nn.HybridBlock):
        def __init__(self):
            super().__init__()
            self.features = features

    Vgg().save_parameters(str(tmp_path / "x.params"))
    with LocalFile(tmp_path / "x.params") as file:
        assert_same(convert.read(file, NARROWS).parameters, parameters)


# Caffe's preprocessing


@pytest.fixture
def folded(read):
    parameters = random_parameters(NARROW19)
    return parameters, read(files.keras(parameters)).parameters


def test_the_fold_is_float64_rounded_once_and_changes_conv1_1_only(folded):
    parameters, found = folded
    weight, bias = (parameters[f"conv1_1.{kind}"].astype(np.float64) for kind in ("weight", "bias"))
    expected = np.zeros_like(weight)
    for color in range(3):
        channel = weight[:, 2 - color]
        expected[:, color] = channel * (255 * RGB_STD[color])
        bias = bias + channel.sum(axis=(1, 2)) * (255 * RGB_MEAN[color] - convert.CAFFE_MEAN_BGR[2 - color])
    np.testing.assert_array_equal(found["conv1_1.weight"], expected.astype(np.float32))
    # Sums of float64 in another order: the last bit of float32 may fall to the other side.
    np.testing.assert_allclose(found["conv1_1.bias"], bias, rtol=np.finfo(np.float32).eps)
    for name in list(parameters)[2:]:
        np.testing.assert_array_equal(found[name], parameters[name])


def test_the_folded_network_sees_rgb_as_the_unfolded_one_sees_bgr(folded):
    """In the interior: at the border the two pad with colors that differ by half a gray level."""
    from isostyle.conformance.oracle.engine import OracleEngine

    parameters, found = folded
    rgb = np.random.RandomState(3).rand(1, 3, 20, 24)
    mean, std = (np.array(values)[:, None, None] for values in (RGB_MEAN, RGB_STD))
    caffe = (255 * rgb)[:, ::-1] - np.array(convert.CAFFE_MEAN_BGR)[:, None, None]
    own = OracleEngine(NARROW19, found).maps((rgb - mean) / std, ["conv1_2"])["conv1_2"]
    theirs = OracleEngine(NARROW19, parameters).maps(caffe, ["conv1_2"])["conv1_2"]
    scale = np.abs(theirs).max()
    assert np.abs(own - theirs)[..., 2:-2, 2:-2].max() < 2e-6 * scale
    assert 0 < np.abs(own - theirs).max() < 0.01 * scale


def test_a_given_preprocessing_wins(read):
    parameters = random_parameters(NARROW19)
    data = files.torch_zip(numbered(NARROW19, parameters))
    assert read(data, preprocessing="caffe").preprocessing == "caffe"
    assert read(data).preprocessing == "torchvision"
    assert not np.array_equal(read(data, preprocessing="caffe").parameters["conv1_1.weight"], parameters["conv1_1.weight"])


# Other networks


def changed(name, how):
    tensors = numbered(NARROW19, random_parameters(NARROW19))
    tensors[name] = how(tensors[name]) if how else tensors[name]
    return tensors


@pytest.mark.parametrize(
    ("tensors", "sentence"),
    [
        ({k: v for k, v in changed("features.0.bias", None).items() if k != "features.10.bias"}, "lacks conv3_1.bias of vgg19"),
        (changed("features.5.weight", lambda a: a[:-1]), r"'features.5.weight' has the shape \(2, 2, 3, 3\)"),
        (changed("features.5.weight", lambda a: a[..., :1]), "'features.5.weight' has the shape"),
        ({**changed("features.0.bias", None), "features.99.weight": np.ones((2, 2, 3, 3), "f4")}, "'features.99.weight'"),
        ({**changed("features.0.bias", None), "features.1.running_mean": np.ones(2, "f4")}, "batch normalization"),
        ({**changed("features.0.bias", None), "attention.weight": np.ones(2, "f4")}, "'attention.weight'"),
        (changed("features.0.weight", lambda a: a * np.float32("nan")), "'features.0.weight' that are not finite"),
        (changed("features.0.weight", lambda a: a.astype("f8") * 1e300), "'features.0.weight' that are not finite"),
        (
            {"layer1.0.conv1.weight": np.ones((2, 3, 3, 3), "f4")},
            "it holds 'layer1.0.conv1.weight'",
        ),
        (numbered(TINY, random_parameters(TINY)), "is not the weights of vgg19 or vgg16"),
    ],
)
@pytest.mark.parametrize("writer", [files.torch_zip, files.torch_legacy, files.safetensors, files.paddle, files.mxnet])
def test_another_network_is_refused_and_the_tensor_is_named(writer, tensors, sentence, read):
    with pytest.raises(InputError, match=sentence):
        read(writer(tensors))


def test_the_network_that_was_asked_for_is_demanded(read):
    data = files.safetensors(numbered(NARROW16, random_parameters(NARROW16)))
    with pytest.raises(InputError, match="is not the weights of vgg19: "):
        read(data, [NARROW19])


def test_whole_numbers_are_no_weights(read):
    data = files.paddle({k: v.astype(np.int32) for k, v in numbered(NARROW19, random_parameters(NARROW19)).items()})
    with pytest.raises(InputError, match="'features.0.weight' is int32"):
        read(data)


@pytest.mark.parametrize("network", [VGG19, VGG16], ids=lambda network: network.name)
def test_full_width_networks_are_told_apart_by_their_shapes(network):
    index = {}
    for name, shape in network.parameter_shapes.items():
        layer, kind = name.split(".")
        index[f"features.{network.layer(layer).index}.{kind}"] = Stored(shape, "float32", (0, 0), bytes)
    assert convert.recognize(index, (VGG19, VGG16), "x")[0] == network


# Hostile files


class Runs:
    """A pickle of this runs a command when it is loaded."""

    def __reduce__(self):
        import os

        return os.system, ("touch /tmp/isostyle-was-here",)


def torch_zip_of(program):
    return files.torch_zip({}, state=program)


#: A name that is allowed; and a tuple whose hash, and text, take 2**300 steps.
DICTIONARY = b"\x80\x02ccollections\nOrderedDict\n"
BOMB = b")" + b"q\x00h\x00\x86" * 300
NOTHING = "state dictionary|not of a dictionary"


@pytest.mark.parametrize(
    ("program", "sentence"),
    [
        (pickle.dumps({"features.0.weight": Runs()}, 2), "would call '(posix|nt).system'"),
        (pickle.dumps({"features.0.weight": Runs()}, 4), "would call '(posix|nt).system'"),
        (b"\x80\x02cbuiltins\neval\nX\x03\x00\x00\x001+1\x85R.", "would call 'builtins.eval'"),
        (b"\x80\x02cbuiltins\ngetattr\n.", "would call 'builtins.getattr'"),
        (b"\x80\x02ctorch\nload\n.", "would call 'torch.load'"),
        (b"\x80\x02cos\nsystem\x00\n.", "would call"),
        (b"\x80\x04\x8c\x05numpy\x8c\x04load\x93.", "would call 'numpy.load'"),
        (b"\x80\x02(X\x04\x00\x00\x00trueios\nsystem\n.", "would call 'os.system'"),
        (b"\x80\x02\x82\x01.", "EXT1"),
        # Claims of what the file does not have.
        (b"\x80\x02N" + b"r\xff\xff\xff\x7f.", "memo of 2147483647"),
        (b"\x80\x02B\xff\xff\xff\xff", "only 0 remain"),
        (b"\x80\x02\x8e" + b"\xff" * 7 + b"\x00", "only 0 remain"),
        (b"\x80\x02\x8b\xff\xff\xff\x7f", "not enough data"),
        (b"\x80\x02X\xff\xff\xff\xff", "only 0 remain"),
        (b"\x80\x04\x95" + b"\xff" * 7 + b"\x00N.", "truncated"),
        (b"\x80\x02\x8a\xff" + b"\xff" * 255 + b".", NOTHING),
        # Bombs: long programs, containers in themselves, copies of copies, and tuples of tuples of tuples as a key.
        (b"\x80\x02}(" + b"X\x00\x00\x00\x00N" * 60_000 + b"u.", "opcodes"),
        (b"\x80\x02" + b"(" * 40_000 + b"t" * 9000, "opcodes"),
        (b"\x80\x02N" + b"\x85" * 15_000 + b".", NOTHING),
        (b"\x80\x02}N" + b"\x85" * 15_000 + b"Ns.", "neither text"),
        (b"\x80\x02}q\x00h\x00X\x01\x00\x00\x00ah\x00s.", "lacks conv1_1.weight"),
        (DICTIONARY + b"q\x01(](" + b"](NNee" * 2000 + b"ee.", "damaged"),
        (DICTIONARY + b"q\x01](" + b"](K\x01Ne" * 2000 + b"e\x85q\x02(" + b"h\x01h\x02R" * 2000 + b"t.", "repeats a tuple"),
        (DICTIONARY + b"q\x01]q\x02(" + b"](K\x01Ne" * 2000 + b"e(" + b"h\x01h\x02\x85R" * 2000 + b"t.", "damaged|" + NOTHING),
        (DICTIONARY + b"](](" + BOMB + b"Nee\x85R.", "repeats a tuple"),
        (b"\x80\x02}" + BOMB + b"Ns.", "repeats a tuple"),
        (b"\x80\x02})" + b"2\x86" * 300 + b"Ns.", "DUP"),
        # A PUT that does not come right after what it stores.
        (b"\x80\x02})" + b"(uq\x00h\x00\x86" * 300 + b"Ns.", "repeats a tuple"),
        (b"\x80\x02})" + b"Nbq\x00h\x00\x86" * 300 + b"Ns.", "repeats a tuple"),
    ],
)
@pytest.mark.parametrize("wrap", [torch_zip_of, bytes], ids=["pytorch", "paddle"])
def test_a_hostile_pickle_runs_nothing_and_takes_no_memory(wrap, program, sentence, read):
    data = wrap(program)
    tracemalloc.start()
    with pytest.raises(InputError, match=sentence):
        read(data)
    assert tracemalloc.get_traced_memory()[1] < 32 * MEBIBYTE
    tracemalloc.stop()
    assert not Path("/tmp/isostyle-was-here").exists()


def test_a_list_of_storages_that_takes_for_ever_to_hash_is_refused(read):
    parts = [files.pickled(value) for value in (0x1950A86A20F9469CFC6C, 1001, {}, {})]
    with pytest.raises(InputError, match="repeats a tuple"):
        read(b"".join(parts) + b"\x80\x02](" + BOMB + b"e.")


def test_a_small_tensor_in_a_huge_storage_is_refused_unread(read, tmp_path, monkeypatch):
    monkeypatch.setattr(convert, "MAX_STORAGE", 2**10)
    with pytest.raises(InputError, match="in a storage of"):
        read(files.torch_zip(numbered(NARROW19, random_parameters(NARROW19))))


def test_a_name_of_many_letters_is_not_repeated(read):
    with pytest.raises(InputError, match="a name of 100000 letters"):
        read(files.safetensors({"a" * 100_000: np.ones(1, np.float32)}))


def one_storage(count, shape, strides, offset=0):
    array = np.ones(4, np.float32)
    storage = files.Storage(array, "0", "FloatStorage")
    tensors = {f"features.{layer.index}.{kind}": None for layer in NARROW19.convolutions for kind in ("weight", "bias")}
    state = {name: files.Tensor(storage, shape, strides, offset) for name in tensors}
    return state


@pytest.mark.parametrize(
    ("shape", "strides", "offset"),
    [((2**40, 2**40), (1, 1), 0), ((-1,), (1,), 0), ((3,), (-1,), 2), ((3,), (1,), 2**60), ((2, 2), (1,), 0)],
)
def test_a_lying_tensor_is_refused(shape, strides, offset, read):
    with pytest.raises(InputError):
        read(torch_zip_of(files.pickled(one_storage(4, shape, strides, offset))))


@pytest.mark.parametrize(
    ("strides", "offset"), [((27, 9, 3, 2**40), 0), ((27, 9, 3, 1), 1), ((27, 9, 3, 1), 2**40), ((27, 9, 4, 1), 0)]
)
def test_a_tensor_that_reaches_beyond_its_storage_is_refused(strides, offset, read):
    parameters = random_parameters(NARROW19)
    state, _ = files.torch_state(numbered(NARROW19, parameters))
    state["features.0.weight"].strides, state["features.0.weight"].offset = strides, offset
    data = files.torch_zip(numbered(NARROW19, parameters), state=files.pickled(state))
    with pytest.raises(InputError, match=r"'features\.0\.weight' damaged: it reaches beyond|no whole number"):
        read(data)


def test_a_compressed_zip_is_refused_unread(read):
    """A megabyte of zeros packs into a kilobyte, and a terabyte into a gigabyte."""
    data = files.torch_zip({"features.0.weight": np.zeros(2**20, np.float32)}, compression=zipfile.ZIP_DEFLATED)
    with pytest.raises(InputError, match="compressed"):
        read(data)


SIDES = [2**62, -1, 1.5, "3", None, [1], True]


@pytest.mark.parametrize(
    "header",
    [
        *({"features.0.weight": {"dtype": "F32", "shape": [side, side], "data_offsets": [0, 4]}} for side in SIDES),
        *({"features.0.weight": {"dtype": "F32", "shape": [1], "data_offsets": [side, 4]}} for side in SIDES),
        {"a": {"dtype": "F32", "shape": [1], "data_offsets": [4, 8]}},
        {"a": {"dtype": "F32", "shape": [1] * 1000, "data_offsets": [0, 4]}},
        {"a": {"dtype": {"x": 1}, "shape": [1], "data_offsets": [0, 4]}},
        {"a": 3},
        {"a": {}},
        b'{"a": ' + b"[" * 100_000,
        b"{" + b"9" * 10_000,
        b'{"a": 1e999999}',
        b"{\xff}",
    ],
)
def test_a_lying_safetensors_header_is_refused(header, read):
    with pytest.raises(InputError):
        read(files.safetensors_with(header, b"\0" * 4))


@pytest.mark.parametrize("length", [0, 2**20 + 1, 2**32, 2**64 - 1])
def test_a_lying_length_of_a_safetensors_header_is_refused(length, read):
    with pytest.raises(InputError):
        read(struct.pack("<Q", length) + json.dumps({}).encode())


@pytest.mark.parametrize("dimensions", [[2**62], [-1], [2**31, 2**31], [1] * 9, [2**63 - 1, 2**63 - 1]])
def test_a_lying_mxnet_header_is_refused(dimensions, read):
    head = struct.pack("<QQQ", 0x112, 0, 1) + struct.pack("<IiI", 0xF993FAC9, 0, len(dimensions))
    with pytest.raises(InputError):
        read(head + struct.pack(f"<{len(dimensions)}q", *dimensions) + b"\0" * 100)


@pytest.mark.parametrize("count", [2**63, 1001, 5])
def test_a_lying_number_of_mxnet_arrays_is_refused(count, read):
    with pytest.raises(InputError):
        read(struct.pack("<QQQ", 0x112, 0, count))


def test_a_keras_file_of_links_is_not_followed(tmp_path, read):
    import h5py

    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["block1_conv1"] = h5py.ExternalLink("other.h5", "/a")
    with pytest.raises(InputError, match="it lacks conv1_1.weight"):
        read((tmp_path / "x.h5").read_bytes())


def test_a_packed_keras_file_is_refused(tmp_path, read):
    import h5py

    with h5py.File(tmp_path / "x.h5", "w") as file:
        file.create_group("block1_conv1").create_dataset("kernel:0", data=np.zeros((3, 3, 3, 2), "f4"), compression="gzip")
    with pytest.raises(InputError, match="packed"):
        read((tmp_path / "x.h5").read_bytes())


@pytest.mark.parametrize("kind", WRITERS)
def test_a_truncated_or_spoilt_file_is_refused_or_read_but_never_more(kind, read):
    """Bytes changed in the numbers make other numbers; everywhere else they have to be noticed, or not to matter."""
    data = WRITERS[kind](NARROW16, random_parameters(NARROW16))
    draw = random.Random(5)
    for length in [0, 1, 8, 9, 30, len(data) - 1, *(draw.randrange(len(data)) for _ in range(12))]:
        with pytest.raises(InputError):
            read(data[:length], preprocessing="torchvision")
    for _ in range(40):
        spoilt = bytearray(data)
        place = draw.randrange(min(len(data), 4000)) if draw.random() < 0.7 else draw.randrange(len(data))
        spoilt[place] = draw.randrange(256)
        with contextlib.suppress(InputError):
            found = read(bytes(spoilt))
            assert found.network == NARROW16
            assert all(np.isfinite(array).all() for array in found.parameters.values())


def test_a_safetensors_header_whose_length_looks_like_a_pickle_is_read(read):
    parameters = random_parameters(NARROW19)
    data = files.safetensors(parameters)
    length = struct.unpack("<Q", data[:8])[0]
    padding = (0x80 - length) % 256  # the first byte of a pickle
    data = struct.pack("<Q", length + padding) + data[8 : 8 + length] + b" " * padding + data[8 + length :]
    assert_same(read(data).parameters, parameters)


def test_numbers_that_do_not_fit_the_zip_file_s_checksum_are_refused(read):
    data = bytearray(files.torch_zip(numbered(NARROW19, random_parameters(NARROW19))))
    place = data.index(random_parameters(NARROW19)["conv3_1.weight"].tobytes())
    data[place] ^= 1
    with pytest.raises(InputError, match="CRC-32"):
        read(bytes(data))


def test_a_picture_is_no_weights(read):
    with pytest.raises(InputError, match=r"no file of weights that isostyle reads: \.h5, "):
        read(b"\x89PNG\r\n\x1a\n" + b"\0" * 100)
