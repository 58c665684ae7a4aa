"""Backends by name: third parties', missing ones, broken ones."""

from importlib.metadata import EntryPoint

import pytest

from isostyle import InputError, registry


class Toy:
    """The least that `isostyle backends` asks of a backend."""

    name = "toy"

    def __init__(self, threads):
        self.threads = threads

    def version(self):
        return "7.0"

    def devices(self):
        return ["cpu"]


@pytest.fixture
def third_party(monkeypatch):
    """Two more backends beside the built-in ones: `toy`, and `broken`, whose module cannot be imported."""
    found = [
        *registry.entry_points(group=registry.GROUP),
        EntryPoint("toy", "test_registry:Toy", registry.GROUP),
        EntryPoint("broken", "no_such_module:Backend", registry.GROUP),
    ]
    monkeypatch.setattr(registry, "entry_points", lambda group: found)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


def test_a_third_party_s_backend_is_an_equal(third_party):
    assert registry.names() == ["torch", "paddle", "mxnet", "broken", "toy"]
    assert registry.load("toy", 3).threads == 3


def test_a_broken_backend_is_one_line_and_not_a_traceback(third_party):
    with pytest.raises(registry.BackendMissing, match="backend 'broken' cannot be imported: ModuleNotFoundError"):
        registry.load("broken")
    rows = {row.name: row for row in registry.statuses()}
    assert rows["broken"].version is None
    assert "no_such_module" in rows["broken"].reason
    assert (rows["toy"].version, rows["toy"].devices, rows["toy"].reason) == ("7.0", ("cpu",), None)


def test_auto_takes_the_first_installed_in_order_of_preference(monkeypatch):
    missing = {"torch"}
    monkeypatch.setattr(registry, "why_missing", lambda name: "not installed" if name in missing else None)
    assert registry.choose() == "paddle"
    missing.add("paddle")
    assert registry.choose() == "mxnet"


def test_the_threads_of_one_call_are_not_the_default_of_the_next(third_party, monkeypatch):
    monkeypatch.setattr(registry, "USER_THREADS", "")
    before = registry.default_threads()
    registry.load("toy", before + 1)
    assert registry.default_threads() == before


@pytest.mark.parametrize("threads", [0, -1, 1025, 10**20])
def test_a_number_of_threads_that_is_a_slip_is_refused(threads):
    with pytest.raises(InputError, match="number of threads must be at least 1 and at most 1024"):
        registry.load("torch", threads)


def test_an_unknown_backend_is_answered_with_the_nearest_or_all():
    with pytest.raises(InputError, match="no backend 'padle'; did you mean 'paddle'"):
        registry.load("padle")
    with pytest.raises(InputError, match="no backend 'xyz'; there are torch, paddle, mxnet"):
        registry.load("xyz")


@pytest.mark.parametrize(("value", "threads"), [("3", 3), ("4,2", 4), ("0", None), ("many", None), ("²", None), ("", None)])
def test_omp_num_threads_is_the_default_where_it_is_a_number(monkeypatch, value, threads):
    monkeypatch.setattr(registry, "USER_THREADS", value)
    found = registry.default_threads()
    assert found == threads if threads else found >= 1
