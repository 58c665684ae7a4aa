"""Backends by name: third parties', missing ones, broken ones."""

import signal
from importlib.metadata import EntryPoint

import pytest
from PIL import Image

from isostyle import InputError, registry
from isostyle.cli import interrupts
from isostyle.cli import main as main_cli


class Toy:
    """The least that `isostyle backends` asks of a backend."""

    name = "toy"

    def __init__(self, threads):
        self.threads = threads

    def version(self):
        return "7.0"

    def devices(self):
        return ["cpu"]


class Signalled(Toy):
    """A framework during whose import a signal comes, or several."""

    signals: tuple[int, ...] = ()
    imported = 0

    def __init__(self, threads):
        super().__init__(threads)
        for number in self.signals:
            signal.raise_signal(number)
        Signalled.imported += 1


class SignalledAndBroken(Signalled):
    def __init__(self, threads):
        super().__init__(threads)
        raise ImportError("half of it is missing")


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


@pytest.fixture
def signalled(monkeypatch):
    """The backends `signalled` and `signalled-and-broken`."""
    found = [
        EntryPoint("signalled", "test_registry:Signalled", registry.GROUP),
        EntryPoint("signalled-and-broken", "test_registry:SignalledAndBroken", registry.GROUP),
    ]
    monkeypatch.setattr(Signalled, "imported", 0)
    monkeypatch.setattr(registry, "entry_points", lambda group: found)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


def test_a_third_party_s_backend_is_an_equal(third_party):
    assert registry.names() == ["torch", "paddle", "mxnet", "onnx", "broken", "toy"]
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


def test_auto_never_takes_onnx_where_an_engine_is_needed(monkeypatch):
    monkeypatch.setattr(registry, "why_missing", lambda name: None if name == "onnx" else "not installed")
    with pytest.raises(registry.BackendMissing, match="no framework is installed, and onnx runs style networks only"):
        registry.choose()


@pytest.mark.parametrize(
    ("device", "dtype", "installed", "chosen"),
    [
        ("auto", "float32", {"onnx", "torch"}, "onnx"),
        ("cpu", "float32", {"onnx", "paddle"}, "onnx"),
        ("auto", "float64", {"onnx", "paddle"}, "paddle"),
        ("cuda", "float32", {"onnx", "torch"}, "torch"),
        ("auto", "float64", {"onnx"}, "onnx"),
        ("auto", "float32", {"mxnet"}, "mxnet"),
    ],
)
def test_auto_for_style_networks_is_onnx_on_a_cpu(monkeypatch, device, dtype, installed, chosen):
    monkeypatch.setattr(registry, "OF_GPUS", ())
    monkeypatch.setattr(registry, "why_missing", lambda name: None if name in installed else "not installed")
    assert registry.choose_to_apply(device, dtype) == chosen


@pytest.mark.parametrize(("installed", "chosen"), [({"onnx", "torch"}, "torch"), ({"onnx"}, "onnx")])
def test_auto_for_style_networks_leaves_a_gpu_to_a_framework(monkeypatch, tmp_path, installed, chosen):
    monkeypatch.setattr(registry, "OF_GPUS", (tmp_path,))
    monkeypatch.setattr(registry, "why_missing", lambda name: None if name in installed else "not installed")
    assert registry.choose_to_apply("auto", "float32") == chosen


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
    with pytest.raises(InputError, match="no backend 'xyz'; there are torch, paddle, mxnet, onnx"):
        registry.load("xyz")


@pytest.mark.parametrize(("value", "threads"), [("3", 3), ("4,2", 4), ("0", None), ("many", None), ("²", None), ("", None)])
def test_omp_num_threads_is_the_default_where_it_is_a_number(monkeypatch, value, threads):
    monkeypatch.setattr(registry, "USER_THREADS", value)
    found = registry.default_threads()
    assert found == threads if threads else found >= 1


# Signals while a framework is imported, whose libraries abort the process if a handler raises


@pytest.mark.parametrize("name", ["signalled", "signalled-and-broken"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_waits_until_the_framework_is_imported_and_is_not_lost(signalled, monkeypatch, name, number):
    monkeypatch.setattr(Signalled, "signals", (number,))
    before = signal.getsignal(number)
    with interrupts.interruptible() as interrupt:
        with pytest.raises(KeyboardInterrupt):
            registry.load(name)
        assert signal.getsignal(number) is interrupt
    assert signal.getsignal(number) is before
    assert interrupt.terminated == (number == signal.SIGTERM)
    assert Signalled.imported == 1


def test_a_second_ctrl_c_does_not_wait(signalled, monkeypatch):
    """Under a handler of its own: a shell's background job ignores SIGINT."""
    monkeypatch.setattr(Signalled, "signals", (signal.SIGINT, signal.SIGINT))
    with interrupts.interruptible(), pytest.raises(KeyboardInterrupt):
        registry.load("signalled")
    assert Signalled.imported == 0


def test_a_second_sigterm_waits_as_the_first(signalled, monkeypatch):
    """`timeout` sends it to the process and to its group, so that it comes twice."""
    monkeypatch.setattr(Signalled, "signals", (signal.SIGTERM, signal.SIGTERM))
    with interrupts.interruptible(), pytest.raises(interrupts.Terminated):
        registry.load("signalled")
    assert Signalled.imported == 1


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_run_ends_in_a_sentence_if_a_signal_comes_while_its_framework_is_imported(
    signalled, monkeypatch, tmp_path, capsys, number, code
):
    monkeypatch.chdir(tmp_path)
    for name in ("photo.png", "painting.png"):
        Image.effect_noise((90, 70), 80).convert("RGB").save(name)
    monkeypatch.setattr(Signalled, "signals", (number,))
    with pytest.raises(SystemExit) as caught:
        main_cli.main(["run", "photo.png", "painting.png", "--backend", "signalled"])
    assert caught.value.code == code
    word = "interrupted" if code == 130 else "terminated"
    assert capsys.readouterr().err.strip() == f"isostyle: {word}; nothing was written"
    assert Signalled.imported == 1
