"""onnxruntime as a backend: style networks, and nothing else."""

import dataclasses
import subprocess
import sys

import numpy as np
import pytest
from conftest import ONNX, draw, obtain, run
from style_files import SMALL, TINY, random_style, write_photographs, write_style
from traces import flawless

from isostyle import InputError
from isostyle.conformance.cases import all_cases, select
from isostyle.conformance.compare import ORACLE, compare
from isostyle.conformance.inputs import shipped_inputs
from isostyle.conformance.kinds import KINDS
from isostyle.conformance.record import record
from isostyle.style_networks.train import train

NEEDS_AN_ENGINE = "isostyle: onnx runs style networks only (`isostyle apply`); this needs torch, mxnet or paddle\n"


@pytest.fixture
def pictures(tmp_path, monkeypatch):
    """A working folder with three pictures."""
    monkeypatch.chdir(tmp_path)
    obtain(ONNX)
    for phase in range(3):
        draw(f"{phase}.png", phase)
    return tmp_path


def test_a_run_needs_an_engine(pictures, capsys):
    assert run(["run", "0.png", "1.png", "--backend", ONNX], capsys) == (2, "", NEEDS_AN_ENGINE)
    assert sorted(path.name for path in pictures.iterdir()) == ["0.png", "1.png", "2.png"]


def test_a_training_needs_an_engine(pictures):
    with pytest.raises(InputError, match="onnx runs style networks only"):
        train("0.png", write_photographs(pictures / "photographs"), recipe=TINY, backend=ONNX)


def test_its_network_has_no_gradients():
    transform = obtain(ONNX).transform(SMALL, device="cpu", dtype="float32")
    with pytest.raises(InputError, match="trains none"):
        transform.vjp({}, np.zeros((1, 3, 8, 8), np.float32))


def test_apply_loads_no_framework_and_not_the_package_onnx(pictures):
    write_style(pictures / "wave.safetensors")
    code = (
        "import sys\nfrom isostyle.cli.main import main\n"
        "try: main(['apply', 'wave.safetensors', '0.png', '--backend', 'onnx', '--threads', '1'])\n"
        "finally: print(*sorted({'torch', 'paddle', 'mxnet', 'onnx', 'onnxruntime'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split()[-1] == "onnxruntime"
    assert (pictures / "0-wave.png").is_file()


def test_stages_and_sizes_are_computed_by_graphs_of_which_few_are_kept():
    transform, style = obtain(ONNX).transform(SMALL, device="cpu", dtype="float32"), random_style()
    parameters = {name: transform.tensor(array) for name, array in style.painting().items()}
    for stage in SMALL.stages:
        transform.convolve(parameters, stage, np.zeros((1, stage.in_channels, 12, 12), np.float32))
    kept = dict(transform.sessions)
    assert len(kept) == 2
    transform.convolve(parameters, SMALL.stages[-1], np.zeros((1, 5, 20, 14), np.float32))
    assert transform.sessions == kept


# Certified like the others


@pytest.fixture(scope="module")
def cases():
    return select(all_cases(), ["tensor", "stages", "transform/20x19", "transform/20x19/*", "vjp/20x19", "noise"])


def test_it_conforms_in_all_that_it_has(cases):
    obtain(ONNX)
    reference, mine = (record(name, cases, shipped_inputs(), threads=1) for name in (ORACLE, ONNX))
    found = compare(reference, [mine])
    assert found.passed
    words = {kind: {verdict.verdict for verdict in found.verdicts if verdict.kind == kind} for kind in KINDS}
    assert words["tensor"] == words["vjp"] == {"SKIP"}
    assert words["stages"] == words["transform"] == words["noise"] == {"PASS"}


@pytest.mark.parametrize("parts", [["prepare", "transform"], []], ids=["both parts", "no part"])
def test_a_backend_with_both_parts_or_none_cannot_leave_out_one(cases, parts):
    reference = record(ORACLE, cases, shipped_inputs())
    mine = flawless(reference)
    for entry in mine.run["cases"]:
        entry["skip"] = "it does not want to"
    found = compare(reference, [dataclasses.replace(mine, run={**mine.run, "parts": parts}, points={})])
    assert {verdict.verdict for verdict in found.verdicts} == {"MISSING"}
