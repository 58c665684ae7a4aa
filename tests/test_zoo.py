"""The frameworks' own VGG-19 against core's table: the same layer at every index, the same features from the same weights."""

import importlib.util

import numpy as np
import pytest
from conftest import BACKENDS, obtain

from isostyle.conformance import zoo
from isostyle.conformance.cases import all_cases, select
from isostyle.conformance.compare import ORACLE, judge, with_deviation
from isostyle.conformance.declared import deviations
from isostyle.conformance.inputs import full_width, shipped_inputs
from isostyle.conformance.record import record
from isostyle.network import COMPACT, VGG19

CASES = select(all_cases(), ["zoo/*"])


@pytest.fixture(scope="module")
def oracle():
    return record(ORACLE, CASES, shipped_inputs())


@pytest.fixture
def verdicts(backend, oracle):
    """By point, in the light of the declared deviations."""
    if backend.name == "torch" and importlib.util.find_spec("torchvision") is None:
        pytest.skip("torchvision is not installed: pip install 'isostyle[zoo]'")
    declared = deviations(backend.name)
    found = {}
    for verdict in judge(oracle, record(backend.name, CASES, shipped_inputs(), threads=2)):
        cover = next((d for d in declared if d.covers(verdict.dtype, verdict.case, verdict.point)), None)
        found[verdict.point] = with_deviation(verdict, cover)
    return found


def test_a_framework_s_own_vgg19_has_core_s_layers_and_features(verdicts):
    assert "layers" in verdicts
    assert {point: verdict.why for point, verdict in verdicts.items() if verdict.verdict not in ("PASS", "XFAIL")} == {}


def test_only_torchvision_overwrites_a_map_that_a_program_keeps(backend, verdicts):
    assert verdicts["kept/conv1_1"].verdict == ("XFAIL" if backend.name == "torch" else "PASS")


def test_a_zoo_that_is_not_installed_is_skipped_with_what_to_do(oracle, monkeypatch):
    if "torch" not in BACKENDS:
        pytest.skip("torch is not among ISOSTYLE_TEST_BACKENDS")
    obtain("torch")
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "torchvision" else find(name))
    [verdict] = judge(oracle, record("torch", CASES, shipped_inputs(), threads=2))
    assert verdict.verdict == "SKIP"
    assert "pip install 'isostyle[zoo]'" in verdict.why


def test_the_line_of_each_layer_says_what_can_differ():
    lines = zoo.expected_lines(VGG19, [layer.kind for layer in VGG19.layers])
    assert lines[0] == "conv 3->64 3x3 stride 1 padding 1"
    assert lines[4] == "max-pool 2x2 stride 2 padding 0 floor"
    assert len(lines) == 37


def test_full_width_weights_have_no_two_channels_alike():
    found = full_width(shipped_inputs().network(COMPACT.name))
    weight = found.parameters["conv3_1.weight"].reshape(256, -1)
    assert weight.shape == (256, 128 * 9)
    assert len(np.unique(weight, axis=0)) == 256
