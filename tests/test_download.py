"""Parts of files from a server: only what is needed, whole or not at all, whatever the server and the line do."""

import io
import os
import socket

import numpy as np
import pytest
import requests
from file_server import serve

from isostyle import InputError
from isostyle.weights import download
from isostyle.weights.download import BLOCK, DownloadFailed, RemoteFile

SIZE = 3_000_000
DATA = np.random.RandomState(1).bytes(SIZE)
#: The first request asks how long the file is.
FIRST = 1


@pytest.fixture
def shelf(monkeypatch):
    """A server; pauses take no time."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(download, "PAUSE", 0)
    with serve() as shelf:
        shelf.files["/file"] = DATA
        yield shelf


@pytest.fixture
def remote(shelf, tmp_path):
    """Opens the file as a new process would."""
    return lambda path="/file", **options: RemoteFile(shelf.address + path, tmp_path, **options)


def test_only_blocks_around_the_bytes_that_are_asked_for_are_sent(shelf, remote):
    with remote() as file:
        assert file.size == SIZE
        assert file.read(2_000_000, 1000) == DATA[2_000_000:2_001_000]
        assert file.read(2_000_500, 100) == DATA[2_000_500:2_000_600]
        assert file.read(SIZE - 22, 22) == DATA[-22:]
        assert file.read(SIZE - 5000, 20) == DATA[-5000:-4980]
    assert shelf.sent == FIRST + 2 * BLOCK
    assert len(shelf.requests) == 3


def test_near_spans_come_with_one_request_and_far_ones_with_two(shelf, remote):
    with remote() as file:
        file.fetch([(1_000_000, 1_000_100), (1_000_200, 1_000_300), (2_000_000, 2_000_100)])
        assert file.read(1_000_250, 20) == DATA[1_000_250:1_000_270]
        assert file.read(2_000_000, 100) == DATA[2_000_000:2_000_100]
    assert len(shelf.requests) == 3


@pytest.mark.parametrize("ranges", [True, False])
def test_the_whole_file_is_the_file(shelf, remote, ranges):
    shelf.ranges = ranges
    with remote() as file:
        file.fetch([(0, SIZE)])
        assert file.read(0, SIZE) == DATA
        assert file.complete
    assert len(shelf.requests) == 2


def test_a_file_of_less_than_a_block(shelf, remote):
    shelf.files["/file"] = b"small"
    with remote() as file:
        assert (file.size, file.read(0, 5), file.read(3, 2)) == (5, b"small", b"ll")


@pytest.mark.parametrize("ranges", [True, False])
@pytest.mark.parametrize("drop", [0, 1, 100_000])
def test_a_dropped_connection_goes_on_where_it_broke_off(shelf, remote, ranges, drop):
    with remote() as file:
        shelf.ranges = ranges
        shelf.faults += [{"drop": drop}, {"drop": drop}]
        file.fetch([(0, SIZE)])
        assert file.read(0, SIZE) == DATA
    if ranges:
        assert shelf.sent == FIRST + SIZE  # nothing twice
        assert shelf.requests[-1][1]["Range"] == f"bytes={2 * drop}-{SIZE - 1}"


def test_a_server_that_stumbles_is_asked_again(shelf, remote):
    shelf.faults += [{"status": 500}, {"status": 503}, {"status": 429}]
    with remote() as file:
        assert file.read(0, 10) == DATA[:10]


@pytest.mark.parametrize("fault", [{"drop": 0}, {"status": 503}])
def test_attempts_without_progress_are_bounded(shelf, remote, fault):
    with pytest.raises(DownloadFailed, match="after 5 attempts|503"), remote() as file:  # noqa: PT012
        shelf.faults += [fault] * 100
        file.read(0, 10)
    assert len(shelf.requests) == 1 + download.ATTEMPTS


def test_progress_earns_new_attempts(shelf, remote):
    with remote() as file:
        shelf.faults += [{"drop": 100_000}] * 20
        file.fetch([(0, SIZE)])
        assert file.read(0, SIZE) == DATA


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410])
def test_a_refusal_is_final(shelf, remote, status):
    shelf.faults += [{"status": status}]
    with pytest.raises(DownloadFailed, match=f"answers {status}"), remote():
        pass
    assert len(shelf.requests) == 1


@pytest.mark.parametrize(
    "answer", ["bytes 0-99/3000000", "bytes 5-5/3000000", "bytes 0-0/*", "bytes */3000000", "", "bytes 0-0/1e9", "x" * 500]
)
def test_a_wrong_content_range_is_refused(shelf, remote, answer):
    shelf.faults += [{"content_range": answer}]
    with pytest.raises(DownloadFailed, match="asked for the bytes 0-0"), remote():
        pass


def test_a_whole_answer_of_unknown_length_is_refused(shelf, remote):
    shelf.ranges = False
    shelf.faults += [{"chunked": True}]
    with pytest.raises(DownloadFailed, match="the server answers ''"), remote():
        pass


def test_a_file_that_is_too_large_is_refused_before_it_is_read(shelf, remote, monkeypatch):
    monkeypatch.setattr(download, "MAX_BYTES", SIZE - 1)
    with pytest.raises(DownloadFailed, match="which no network"), remote():
        pass


def test_no_server_at_all(tmp_path, monkeypatch):
    monkeypatch.setattr(download, "PAUSE", 0)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(DownloadFailed, match="Connection refused"), RemoteFile(f"http://127.0.0.1:{port}/file", tmp_path):
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
    with pytest.raises(DownloadFailed, match="10 redirects"), remote("/a"):
        pass


@pytest.mark.parametrize("target", ["file:///etc/passwd", "ftp://host/x"])
def test_a_redirect_out_of_the_web_is_not_followed(shelf, remote, target):
    shelf.redirects = {"/a": target}
    with pytest.raises(DownloadFailed, match=f"No connection adapters were found for '{target}'"), remote("/a"):
        pass


def test_a_redirect_from_https_to_http_is_not_followed(shelf, tmp_path, monkeypatch):
    def redirect(_, request, **__):
        answer = requests.Response()
        answer.status_code, answer.raw, answer.request, answer.url = 302, io.BytesIO(), request, request.url
        answer.headers["Location"] = f"{shelf.address}/file"
        return answer

    monkeypatch.setattr(requests.adapters.HTTPAdapter, "send", redirect)
    with pytest.raises(DownloadFailed, match="No connection adapters"), RemoteFile("https://host/file", tmp_path):
        pass
    assert shelf.requests == []


# Later processes


def test_a_later_process_fetches_only_what_is_missing(shelf, remote):
    shelf.faults += [{}, {"drop": 200_000}, {"status": 404}]
    with pytest.raises(DownloadFailed), remote() as file:
        file.fetch([(0, SIZE)])
    sent = shelf.sent
    with remote() as file:
        file.fetch([(0, SIZE)])
        assert file.read(0, SIZE) == DATA
    assert shelf.sent - sent == FIRST + SIZE - 200_000


def test_spans_are_taken_up_where_they_broke_off(shelf, remote):
    spans = [(100_000, 300_000), (1_000_000, 1_300_000), (2_000_000, 2_000_100)]
    shelf.faults += [{}, {}, {"drop": 50_000}, {"status": 404}]
    with pytest.raises(DownloadFailed), remote() as file:
        file.fetch(spans)
    with remote() as file:
        file.fetch(spans)
        assert [file.read(start, end - start) for start, end in spans] == [DATA[start:end] for start, end in spans]
    assert [request["Range"] for _, request in shelf.requests[-2:]] == ["bytes=1050000-1299999", "bytes=2000000-2000099"]


def test_a_file_that_changes_meanwhile_is_refused(shelf, remote):
    with pytest.raises(DownloadFailed, match="changed while it was fetched"), remote() as file:  # noqa: PT012
        shelf.files["/file"], shelf.etag = DATA[::-1], '"two"'
        file.fetch([(0, SIZE)])


def test_a_file_that_became_shorter_meanwhile_is_refused(shelf, remote):
    with pytest.raises(DownloadFailed, match="the server answers 416"), remote() as file:  # noqa: PT012
        shelf.files["/file"] = DATA[:100]
        file.read(1_000_000, 10)


def test_what_changed_since_the_last_process_is_begun_anew(shelf, remote, tmp_path):
    shelf.faults += [{}, {"drop": 200_000}, {"status": 404}]
    with pytest.raises(DownloadFailed), remote() as file:
        file.fetch([(0, SIZE)])
    shelf.files["/file"], shelf.etag = DATA[::-1], '"two"'
    with remote() as file:
        file.fetch([(0, SIZE)])
        assert file.read(0, SIZE) == DATA[::-1]
    assert len(os.listdir(tmp_path)) == 1  # the part of the old one is gone


def test_what_cannot_be_told_apart_is_not_resumed(shelf, remote):
    """Without an ETag and a date, nobody knows whether the rest belongs to the part."""
    shelf.etag = None
    shelf.faults += [{}, {"drop": 200_000}, {"status": 404}]
    with pytest.raises(DownloadFailed), remote() as file:
        file.fetch([(0, SIZE)])
    sent = shelf.sent
    with remote() as file:
        file.fetch([(0, SIZE)])
        assert file.read(0, SIZE) == DATA
    assert shelf.sent - sent == FIRST + SIZE


def test_two_at_once_do_not_write_into_one_part(shelf, remote):
    with remote() as file:
        with pytest.raises(DownloadFailed, match="another isostyle is fetching"), remote():
            pass
        file.fetch([(0, SIZE)])
        assert file.read(0, SIZE) == DATA


def test_a_discarded_part_leaves_nothing(shelf, remote, tmp_path):
    with remote() as file:
        file.fetch([(0, SIZE)])
        file.discard()
    assert os.listdir(tmp_path) == []
