"""The shipped network's file, and files that are none."""

import json
from importlib import resources

import numpy as np
import pytest
from safetensors.numpy import save

from isostyle import InputError
from isostyle.network import COMPACT, Network
from isostyle.system.tensors import read_tensors
from isostyle.weights import store

MEBIBYTE = 2**20


@pytest.fixture(scope="module")
def shipped():
    return resources.files("isostyle").joinpath("data", store.COMPACT_FILE).read_bytes()


def test_the_shipped_network_is_narrow_and_in_half_precision(shipped):
    assert len(shipped) <= 6 * MEBIBYTE
    chosen = store.load("compact")
    assert chosen.network == COMPACT
    assert chosen.digest == store.COMPACT_SHA256
    assert {array.dtype for array in chosen.parameters.values()} == {np.dtype("float32")}


def test_a_damaged_installation_is_told(shipped, monkeypatch):
    monkeypatch.setattr(store, "COMPACT_SHA256", "0" * 64)
    with pytest.raises(InputError, match="damaged; install isostyle again"):
        store.load("compact")


def test_the_shipped_network_loads_from_a_path_too(shipped, tmp_path):
    (tmp_path / "copy.safetensors").write_bytes(shipped)
    assert store.load(str(tmp_path / "copy.safetensors")).digest == store.COMPACT_SHA256


@pytest.mark.parametrize("block", range(1, 6))
def test_the_shipped_network_is_calibrated(block, photograph):
    """docs/model-card.md, Calibration; within a factor of 3, since this photograph was not among those calibrated on."""
    from isostyle.conformance.oracle.engine import OracleEngine
    from isostyle.images import arrays

    chosen = store.load("compact")
    image = arrays.to_array(arrays.resize(photograph, 192, 160), "float64")
    maps = OracleEngine(chosen.network, chosen.parameters).maps(image, [f"relu{block}_1"])
    target = (0.2225, 2.1375, 3.4875, 1.8, 0.6375)[block - 1]
    assert target / 3 < np.square(maps[f"relu{block}_1"]).mean() < target * 3


def test_an_unknown_network_is_refused():
    with pytest.raises(InputError, match="there is no network 'vgg99'"):
        store.load("vgg99")


def test_a_missing_file_is_refused():
    with pytest.raises(InputError, match="there is no file 'nowhere.safetensors'"):
        store.load("nowhere.safetensors")


@pytest.mark.parametrize("length", [0, 4, 200, 100_000, -1])
def test_a_truncated_file_is_refused(shipped, length):
    with pytest.raises(InputError, match="not a network's safetensors file"):
        store.parse(shipped[:length], "broken.safetensors")


def spoil(parameters, how):
    name = "conv3_1.weight"
    changed = dict(parameters)
    if how == "missing":
        del changed[name]
    elif how == "shape":
        changed[name] = changed[name][:-1]
    elif how == "dtype":
        changed[name] = changed[name].astype(np.float64)
    else:
        changed[name] = changed[name] * np.float32("nan")
    return changed


@pytest.mark.parametrize(
    ("how", "sentence"),
    [
        ("missing", "metadata do not fit its tensors"),
        ("shape", "should hold conv3_1.weight"),
        ("dtype", "should hold conv3_1.weight"),
        ("nan", "not finite"),
    ],
)
def test_a_file_with_another_content_is_refused(how, sentence):
    metadata = {"network": "x", "depths": json.dumps(COMPACT.depths), "widths": json.dumps(COMPACT.widths)}
    data = save(spoil(store.load("compact").parameters, how), metadata=metadata)
    with pytest.raises(InputError, match=sentence):
        store.parse(data, "x.safetensors")


def test_half_precision_becomes_the_same_numbers_in_float32():
    network = Network("small", (1,), (4,))
    random = np.random.RandomState(0)
    halves = {name: random.standard_normal(shape).astype(np.float16) for name, shape in network.parameter_shapes.items()}
    data = store.dump(network, halves, {}, "float16")
    assert {tensor.dtype for tensor in read_tensors(data)[0].values()} == {np.dtype(np.float16)}
    found = store.parse(data, "small.safetensors").parameters
    for name, half in halves.items():
        assert found[name].dtype == np.float32
        np.testing.assert_array_equal(found[name], half)


@pytest.mark.parametrize(
    "depths", ["[" * 100_000, "[Infinity, 1, 1, 1, 1]", "[100000000, 1, 1, 1, 1]", "[-1, 1, 1, 1, 1]", "{}", "3"]
)
def test_lying_metadata_are_refused_before_they_are_believed(depths):
    metadata = {"network": "x", "depths": depths, "widths": json.dumps(COMPACT.widths)}
    with pytest.raises(InputError, match="not a network's safetensors file"):
        store.parse(save(dict(store.load("compact").parameters), metadata=metadata), "x.safetensors")


def test_a_safetensors_file_of_something_else_is_refused():
    with pytest.raises(InputError, match="not a network's safetensors file"):
        store.parse(save({"a": np.ones(3, np.float32)}), "x.safetensors")


@pytest.mark.parametrize(
    ("metadata", "words"),
    [
        ({"schema": "isostyle.style-network/1"}, "it is a style network, which `isostyle apply` takes"),
        ({"schema": "isostyle.training/1"}, "it is the checkpoint of a training"),
        ({"schema": "isostyle.run/1"}, "it is the checkpoint of a run"),
        ({"format": "pt"}, "it has no 'depths'"),
        (None, "it has no metadata, so another program wrote it"),
    ],
)
def test_a_file_of_another_kind_is_called_what_it_is_in_words(metadata, words):
    with pytest.raises(InputError, match=words):
        store.parse(save({"a": np.ones(3, np.float32)}, metadata=metadata), "x.safetensors")


def test_the_kinds_that_are_told_apart_are_those_that_isostyle_writes():
    from isostyle.style_networks import checkpoint as training_state
    from isostyle.style_networks import file as style_network
    from isostyle.transfer import checkpoint as run_checkpoint

    schemas = {each.SCHEMA.partition("/")[0] for each in (style_network, training_state, run_checkpoint)}
    assert set(store.OTHERS) == schemas
