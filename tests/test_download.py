"""Parts of files from a server: only what is needed, whole or not at all, whatever the server and the line do."""

import io
import json
import os
import socket

import numpy as np
import pytest
from file_server import serve

from isostyle import InputError
from isostyle.weights import download
from isostyle.weights.download import DownloadFailed, FileChanged, RemoteFile
from isostyle.weights.sources import BLOCK

SIZE = 3_000_000
DATA = np.random.RandomState(1).bytes(SIZE)


@pytest.fixture
def shelf(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with serve() as shelf:
        shelf.files["/file"] = DATA
        yield shelf


@pytest.fixture
def remote(shelf, tmp_path):
    """Opens the file as a new process would; pauses take no time."""
    pauses = []

    def opener(path="/file", **options):
        file = RemoteFile(shelf.address + path, tmp_path, pause=pauses.append, **options)
        file.pauses = pauses
        return file

    return opener


def test_only_the_bytes_that_are_asked_for_are_sent(shelf, remote):
    with remote() as file:
        assert file.size == SIZE
        assert file.read(2_000_000, 1000) == DATA[2_000_000:2_001_000]
        assert file.read(2_000_500, 100) == DATA[2_000_500:2_000_600]
    assert shelf.sent == BLOCK + 1000
    assert len(shelf.requests) == 2


def test_near_spans_come_with_one_request_and_far_ones_with_two(shelf, remote):
    with remote() as file:
        file.want([(1_000_000, 1_000_100), (1_000_200, 1_000_300), (2_000_000, 2_000_100)])
        assert file.read(1_000_250, 20) == DATA[1_000_250:1_000_270]
    assert len(shelf.requests) == 3


@pytest.mark.parametrize("ranges", [True, False])
def test_the_whole_file_is_the_file(shelf, remote, ranges):
    shelf.ranges = ranges
    with remote() as file:
        assert file.local().read_bytes() == DATA
        assert file.complete
    assert shelf.sent == SIZE
    assert len(shelf.requests) == (2 if ranges else 1)


def test_a_file_of_less_than_a_block(shelf, remote):
    shelf.files["/file"] = b"small"
    with remote() as file:
        assert (file.size, file.complete, file.read(0, 5)) == (5, True, b"small")


@pytest.mark.parametrize("ranges", [True, False])
@pytest.mark.parametrize("drop", [0, 1, 100_000])
def test_a_dropped_connection_goes_on_where_it_broke_off(shelf, remote, ranges, drop):
    shelf.ranges = ranges
    with remote() as file:
        shelf.faults += [{"drop": drop}, {"drop": drop}]
        file.fetch_all()
        assert file.read(0, SIZE) == DATA
    if ranges:
        assert shelf.sent == SIZE  # nothing twice
        assert shelf.requests[-1][1]["Range"] == f"bytes={BLOCK + 2 * drop}-{SIZE - 1}"
        assert shelf.requests[-1][1]["If-Range"] == '"one"'


def test_a_server_that_stumbles_is_asked_again(shelf, remote):
    shelf.faults += [{"status": 500}, {"status": 503}, {"status": 429}]
    with remote() as file:
        assert file.read(0, 10) == DATA[:10]
        assert file.pauses == [0.5, 1.0, 2.0]


def test_attempts_without_progress_are_bounded(shelf, remote):
    shelf.faults += [{"drop": 0}] * 100
    with pytest.raises(DownloadFailed, match="after 5 attempts"), remote():
        pass
    assert len(shelf.requests) == download.ATTEMPTS


def test_progress_earns_new_attempts(shelf, remote, monkeypatch):
    monkeypatch.setattr(download, "PROGRESS", 100_000)
    with remote() as file:
        shelf.faults += [{"drop": 100_000}] * 20
        file.fetch_all()
        assert file.read(0, SIZE) == DATA


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410])
def test_a_refusal_is_final(shelf, remote, status):
    shelf.faults += [{"status": status}]
    with pytest.raises(DownloadFailed, match=f"answers {status}"), remote():
        pass
    assert len(shelf.requests) == 1


@pytest.mark.parametrize(
    "answer",
    ["bytes 0-99/3000000", "bytes 5-65540/3000000", "bytes 0-65535/*", "bytes */3000000", "", "bytes 0-65535/10", "x" * 500],
)
def test_a_wrong_content_range_is_refused(shelf, remote, answer):
    shelf.faults += [{"content_range": answer}]
    with pytest.raises(DownloadFailed, match="asked for the bytes 0-65535"), remote():
        pass


@pytest.mark.parametrize("fault", [{"encoding": "gzip"}, {"encoding": "br"}])
def test_a_packed_answer_is_refused(shelf, remote, fault):
    shelf.faults += [fault]
    with pytest.raises(DownloadFailed, match="comes packed"), remote():
        pass


def test_a_whole_answer_of_unknown_length_is_refused(shelf, remote):
    shelf.ranges = False
    shelf.faults += [{"chunked": True}]
    with pytest.raises(DownloadFailed, match="does not say how long"), remote():
        pass


def test_a_file_that_is_too_large_is_refused_before_it_is_read(shelf, remote, monkeypatch):
    monkeypatch.setattr(download, "MAX_BYTES", SIZE - 1)
    with pytest.raises(DownloadFailed, match="which no network"), remote():
        pass


def test_no_server_at_all(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(DownloadFailed, match="there is no connection"):  # noqa: SIM117
        with RemoteFile(f"http://127.0.0.1:{port}/file", tmp_path, pause=lambda _: None):
            pass


@pytest.mark.parametrize("url", ["ftp://host/file", "file:///etc/passwd", "https://", "vgg19", "http:///x"])
def test_other_addresses_are_refused(url, tmp_path):
    with pytest.raises(InputError, match="is no address"):
        RemoteFile(url, tmp_path)


# Redirects


def test_redirects_are_followed(shelf, remote):
    shelf.redirects = {"/a": "/b", "/b": f"{shelf.address}/file"}
    with remote("/a") as file:
        assert file.read(0, 5) == DATA[:5]


def test_a_circle_of_redirects_ends(shelf, remote):
    shelf.redirects = {"/a": "/b", "/b": "/a"}
    with pytest.raises(DownloadFailed, match="more than 10 times"), remote("/a"):
        pass


@pytest.mark.parametrize("target", ["file:///etc/passwd", "ftp://host/x"])
def test_a_redirect_out_of_the_web_is_not_followed(shelf, remote, target):
    shelf.redirects = {"/a": target}
    with pytest.raises(DownloadFailed, match="it is not followed"), remote("/a"):
        pass


def test_a_redirect_from_https_to_http_is_not_followed(shelf, tmp_path, monkeypatch):
    import requests

    answer = requests.Response()
    answer.status_code, answer.raw = 302, io.BytesIO()
    answer.headers["Location"] = f"{shelf.address}/file"
    monkeypatch.setattr(requests.Session, "get", lambda *_, **__: answer)
    with pytest.raises(DownloadFailed, match="which is not https"), RemoteFile("https://host/file", tmp_path):
        pass
    assert shelf.requests == []


# Later processes


def test_a_later_process_fetches_only_what_is_missing(shelf, remote):
    shelf.faults += [{}, *[{"drop": 200_000}, {"status": 404}]]
    with pytest.raises(DownloadFailed), remote() as file:
        file.fetch_all()
    with remote() as file:
        file.fetch_all()
        assert file.read(0, SIZE) == DATA
    assert shelf.sent - len(b"no") == SIZE


@pytest.mark.parametrize("if_range", [True, False])
def test_a_file_that_changed_meanwhile_is_fetched_anew(shelf, remote, if_range):
    shelf.if_range = if_range
    with remote() as file:
        file.want([(1_000_000, 2_000_000)])
    shelf.files["/file"] = other = DATA[::-1]
    shelf.etag = '"two"'
    with pytest.raises(FileChanged), remote() as file:
        file.fetch_all()
    with remote() as file:
        file.fetch_all()
        assert file.read(0, SIZE) == other


def test_a_shorter_file_is_fetched_anew(shelf, remote):
    shelf.if_range = False
    with remote():
        pass
    shelf.files["/file"] = DATA[:100]
    shelf.etag = '"two"'
    with pytest.raises(FileChanged), remote() as file:
        file.fetch_all()
    with remote() as file:
        assert file.read(0, 100) == DATA[:100]


def test_what_cannot_be_told_apart_is_not_resumed(shelf, remote):
    """Without an ETag and a date, nobody knows whether the rest belongs to the part."""
    shelf.etag = None
    for _ in range(2):
        with remote():
            pass
    assert len(shelf.requests) == 2


@pytest.mark.parametrize(
    ("etag", "modified", "expected"), [('W/"x"', "Sat, 01 Jan 2022", "Sat, 01 Jan 2022"), ('W/"x"', None, None)]
)
def test_a_weak_etag_is_no_condition(shelf, remote, etag, modified, expected):
    shelf.etag, shelf.modified = etag, modified
    with remote() as file:
        file.read(1_000_000, 10)
    assert shelf.requests[-1][1].get("If-Range") == expected


@pytest.mark.parametrize(
    "spoil",
    [
        lambda record: b"",
        lambda record: b"[" * 100_000,
        lambda record: json.dumps({**record, "url": "http://elsewhere"}).encode(),
        lambda record: json.dumps({**record, "spans": [[0, SIZE]]}).encode(),
        lambda record: json.dumps({**record, "spans": [[-5, 10]]}).encode(),
        lambda record: json.dumps({**record, "spans": [["a", "b"]]}).encode(),
        lambda record: json.dumps({**record, "spans": 3}).encode(),
        lambda record: json.dumps({**record, "size": 2**60}).encode(),
        lambda record: json.dumps({**record, "etag": 5}).encode(),
    ],
)
def test_a_damaged_record_of_a_part_is_not_believed(shelf, remote, spoil):
    with remote() as file:
        path = file.record
    path.write_bytes(spoil(json.loads(path.read_bytes())))
    with remote() as file:
        file.fetch_all()
        assert file.read(0, SIZE) == DATA


def test_two_at_once_do_not_write_into_one_part(shelf, remote):
    with remote() as file:
        with pytest.raises(DownloadFailed, match="another isostyle is fetching"), remote():
            pass
        file.fetch_all()
        assert file.read(0, SIZE) == DATA


def test_a_discarded_part_leaves_nothing(shelf, remote, tmp_path):
    with remote() as file:
        file.discard()
    assert os.listdir(tmp_path) == []
