"""Comparing traces: every way to be wrong is told apart, and nothing is ever right by absence."""

import dataclasses
import subprocess
import sys

import numpy as np
import pytest
from traces import changed, flawless, recorded_oracle

from isostyle.conformance.compare import compare
from isostyle.conformance.declared import Deviation, deviations
from isostyle.errors import InputError

CASE = "terms/d2l/minimal"


@pytest.fixture(scope="module")
def oracle():
    return recorded_oracle()


@pytest.fixture
def perfect(oracle):
    return flawless(oracle)


def failing(oracle, trace, **options):
    """The verdicts of one trace that are not PASS."""
    found = compare(oracle, [trace], **options)
    return found, [verdict for verdict in found.verdicts if verdict.verdict != "PASS"]


def test_a_flawless_trace_conforms(oracle, perfect):
    found, rest = failing(oracle, perfect)
    assert found.passed
    assert rest == []
    assert {verdict.kind for verdict in found.verdicts} == {"terms", "gradient", "run", "recipe", "resize", "native-adam"}
    assert {verdict.dtype for verdict in found.verdicts} == {"float32", "float64", "text", "uint8"}


def test_a_wrong_number_fails_and_is_named_with_both_values(oracle, perfect):
    found, [verdict] = failing(oracle, changed(perfect, CASE, "tv", lambda x: x * (1 + 1e-9)))
    assert not found.passed
    assert (verdict.verdict, verdict.place) == ("FAIL", f"{CASE}:tv float64")
    assert "and should be" in verdict.why
    assert verdict.ratio > 1000


@pytest.mark.parametrize(
    ("point", "change", "why"),
    [
        ("tv", lambda x: x * np.nan, "not finite"),
        ("total", lambda x: x + np.inf, "not finite"),
        ("tv", lambda x: x.astype("float32"), "it is float32, and should be float64"),
        ("tv", lambda x: x.reshape(1), "its shape is"),
        ("tv", lambda x: x.astype("U"), "and should be float64"),
        ("style/conv1_1", lambda x: -x, "and should be"),
    ],
    ids=["NaN", "infinite", "float32 for float64", "another shape", "text for a number", "another sign"],
)
def test_a_point_that_is_no_such_number_fails(oracle, perfect, point, change, why):
    found, [verdict] = failing(oracle, changed(perfect, CASE, point, change))
    assert not found.passed
    assert verdict.verdict == "FAIL"
    assert why in verdict.why


def test_another_word_in_a_recipe_fails(oracle, perfect):
    trace = changed(perfect, "recipe/d2l", "gram_divisor", lambda x: np.array("hw"), "text")
    _, [verdict] = failing(oracle, trace)
    assert verdict.why == "is 'hw', and should be 'chw'"


def test_a_point_that_is_not_there_is_missing(oracle, perfect):
    found, [verdict] = failing(oracle, changed(perfect, CASE, "tv", lambda x: None))
    assert not found.passed
    assert (verdict.verdict, verdict.point) == ("MISSING", "tv")


def test_a_case_that_is_not_there_is_missing(oracle, perfect):
    rest = {key: arrays for key, arrays in perfect.points.items() if key != ("float32", CASE)}
    found, [verdict] = failing(oracle, dataclasses.replace(perfect, points=rest))
    assert not found.passed
    assert (verdict.verdict, verdict.place) == ("MISSING", f"{CASE} float32")


def test_a_point_that_the_oracle_does_not_have_fails(oracle, perfect):
    points = {**perfect.points, ("float64", CASE): {**perfect.points["float64", CASE], "another": np.zeros(1)}}
    _, [verdict] = failing(oracle, dataclasses.replace(perfect, points=points))
    assert (verdict.verdict, verdict.point) == ("FAIL", "another")


def test_an_error_that_a_backend_raised_fails_with_its_text(oracle, perfect):
    entries = [
        {**entry, "error": "TypeError: no such kernel"} if entry["case"] == CASE else entry for entry in perfect.run["cases"]
    ]
    _, rest = failing(oracle, dataclasses.replace(perfect, run={**perfect.run, "cases": entries}))
    assert {verdict.verdict for verdict in rest} == {"FAIL"}
    assert all("TypeError: no such kernel" in verdict.why for verdict in rest)
    assert {verdict.dtype for verdict in rest} == {"float32", "float64"}


def of_another_specification(trace, *cases):
    """``trace`` with other digests: of these cases, or of all."""
    entries = [{**entry, "digest": "0" * 64} if entry["case"] in cases or not cases else entry for entry in trace.run["cases"]]
    return dataclasses.replace(trace, run={**trace.run, "specification": "0" * 64, "cases": entries})


def test_another_specification_is_a_problem_and_nothing_of_it_is_compared(oracle, perfect):
    found, rest = failing(oracle, of_another_specification(perfect))
    assert not found.passed
    assert rest == []
    assert "another specification" in found.problems[0]


def test_another_specification_names_a_case_that_differs(oracle, perfect):
    [problem] = compare(oracle, [of_another_specification(perfect, CASE)]).problems
    assert f"1 of 6 cases differ, {CASE} among them" in problem


def test_cases_that_are_the_same_in_another_specification_can_be_compared_alone(oracle, perfect):
    trace = of_another_specification(perfect, CASE)
    assert compare(oracle, [trace], patterns=["recipe/*"]).passed
    assert not compare(oracle, [trace], patterns=["recipe/*", CASE]).passed


def test_comparing_nothing_is_a_problem(oracle):
    found = compare(oracle, [])
    assert not found.passed
    assert found.problems == ("nothing was compared",)


def test_a_backend_of_which_nothing_is_compared_is_a_problem_beside_others_that_are_fine(oracle, perfect):
    toy = dataclasses.replace(perfect, run={**perfect.run, "backend": "toy"})
    found = compare(oracle, [perfect, toy], patterns=["native-adam/*"])
    assert not found.passed
    assert found.problems == ("nothing of toy was compared",)


def test_a_pattern_that_no_case_of_the_oracle_has_is_refused(oracle, perfect):
    with pytest.raises(InputError, match="has no case 'gradeint"):
        compare(oracle, [perfect], patterns=[CASE, "gradeint/*"])


def test_points_of_a_case_that_the_trace_does_not_speak_of_are_missing(oracle, perfect):
    """Without an entry there is no digest, and so no word of which inputs they belong to."""
    found, rest = failing(oracle, dataclasses.replace(perfect, run={**perfect.run, "cases": []}))
    assert not found.passed
    assert {verdict.verdict for verdict in rest} == {"MISSING"}


def test_whole_numbers_where_floats_are_due_fail(oracle, perfect):
    _, [verdict] = failing(oracle, changed(perfect, "gradient/d2l/minimal", "tv", lambda x: np.zeros(x.shape, int)))
    assert "it is int64, and should be float64" in verdict.why


@pytest.mark.parametrize("key", ["case", "kind", "dtype", "only"])
def test_an_oracle_s_trace_that_does_not_say_what_it_expects_cannot_be_used(oracle, perfect, key):
    expected = [{name: value for name, value in entry.items() if name != key} for entry in oracle.run["expected"]]
    with pytest.raises(InputError, match=f"the oracle's trace cannot be used: KeyError: it has no '{key}'"):
        compare(dataclasses.replace(oracle, run={**oracle.run, "expected": expected}), [perfect])


@pytest.mark.parametrize("change", [lambda x: np.array(["text"]), lambda x: np.zeros(3)], ids=["text", "three numbers"])
def test_an_oracle_s_trace_with_other_notes_than_numbers_cannot_be_used(oracle, perfect, change):
    with pytest.raises(InputError, match="the oracle's trace cannot be used"):
        compare(changed(oracle, "gradient/d2l/minimal", "~margin", change), [perfect])


def test_two_traces_of_one_backend_are_refused(oracle, perfect):
    with pytest.raises(InputError, match="two traces of 'torch'"):
        compare(oracle, [perfect, perfect])


def test_cases_that_are_meant_for_others_are_not_asked_for(oracle, perfect):
    found = compare(oracle, [dataclasses.replace(perfect, run={**perfect.run, "backend": "toy"})])
    assert found.passed
    assert "native-adam" not in {verdict.kind for verdict in found.verdicts}


def test_traces_are_compared_with_each_other(oracle, perfect):
    other = changed(flawless(oracle, "paddle"), "resize/half", "photo", lambda x: x // 2 * 2, "uint8")
    assert compare(oracle, [perfect, other]).apart["torch", "paddle"] == pytest.approx(1 / 1.25)


def excused(trace, case):
    """``trace`` with a case that was not tried."""
    entries = [{**entry, "skip": "It is not here."} if entry["case"] == case else entry for entry in trace.run["cases"]]
    points = {key: arrays for key, arrays in trace.points.items() if key[1] != case}
    return dataclasses.replace(trace, points=points, run={**trace.run, "cases": entries})


@pytest.mark.parametrize("case", [CASE, "native-adam/1"])
def test_a_backend_cannot_excuse_itself(oracle, perfect, case):
    """Only a zoo may be absent; tests/test_zoo.py has that."""
    found, rest = failing(oracle, excused(perfect, case))
    assert not found.passed
    assert {verdict.verdict for verdict in rest} == {"MISSING"}


def test_traces_that_are_not_finite_or_of_another_shape_have_no_distance_that_looks_small(oracle, perfect):
    other = flawless(oracle, "paddle")
    endless = changed(other, "resize/half", "photo", lambda x: x * np.nan, "uint8")
    assert compare(oracle, [perfect, endless]).apart["torch", "paddle"] == np.inf
    for shape in (lambda x: x[:1], lambda x: x[:0], lambda x: x.astype("U")):
        both = [changed(trace, "resize/half", "photo", shape, "uint8") for trace in (perfect, other)]
        found = compare(oracle, both)
        assert found.apart["torch", "paddle"] == 0
        assert not found.passed


# Tolerances


def test_float32_may_round_where_float64_may_not(oracle, perfect):
    by_rounding = 1 + 2 * np.finfo(np.float32).eps
    assert compare(oracle, [changed(perfect, CASE, "tv", lambda x: x * np.float32(by_rounding), "float32")]).passed
    assert not compare(oracle, [changed(perfect, CASE, "tv", lambda x: x * by_rounding)]).passed


def test_a_total_may_not_be_wrong_by_more_than_its_terms_may(oracle, perfect):
    _, [verdict] = failing(oracle, changed(perfect, CASE, "total", lambda x: x * (1 + 1e-12)))
    assert verdict.point == "total"


def test_a_gradient_s_tolerance_is_wide_only_where_a_decision_is_close_and_by_what_that_decision_changes(oracle, perfect):
    case = "gradient/d2l/minimal"
    wrong = changed(perfect, case, "total", lambda x: x * np.float32(1 + 1e-3), "float32")
    assert not compare(oracle, [wrong]).passed
    turned = changed(oracle, case, "total~turned", lambda x: x * 0 + 2e-3)
    assert not compare(turned, [wrong]).passed
    close = changed(turned, case, "~margin", lambda x: x * 0 + 1e-7)
    assert compare(close, [wrong]).passed
    # Of no use to a backend that claims float64, whose rounding is far smaller.
    assert not compare(close, [changed(perfect, case, "total", lambda x: x * (1 + 1e-3))]).passed


# Declared deviations


def deviation(expect, case=CASE, point="tv"):
    return {"torch": [Deviation(expect, case, (point,), "*", "Because of X.", "https://example.org/1")]}


def test_a_declared_deviation_is_an_expected_failure_with_its_reason(oracle, perfect):
    wrong = changed(perfect, CASE, "tv", lambda x: x * 2)
    found, rest = failing(oracle, wrong, declared=deviation("fail"))
    assert [verdict.verdict for verdict in rest if verdict.dtype == "float64"] == ["XFAIL"]
    assert "Because of X. https://example.org/1" in rest[-1].text
    # The same declaration covers float32, which is right: it says too much.
    assert [verdict.verdict for verdict in rest if verdict.dtype == "float32"] == ["XPASS"]
    assert not found.passed


def test_expected_failures_alone_conform(oracle, perfect):
    wrong = changed(changed(perfect, CASE, "tv", lambda x: x * 2), CASE, "tv", lambda x: x * 2, "float32")
    found, rest = failing(oracle, wrong, declared=deviation("fail"))
    assert {verdict.verdict for verdict in rest} == {"XFAIL"}
    assert found.passed


def test_a_declared_skip_is_reported_with_its_reason_and_needs_no_point(oracle, perfect):
    found, rest = failing(oracle, changed(perfect, CASE, "tv", lambda x: None), declared=deviation("skip"))
    assert {verdict.verdict for verdict in rest} == {"SKIP"}
    assert "Because of X." in rest[0].text
    assert found.passed


def test_a_missing_point_stays_missing_whatever_failure_was_declared(oracle, perfect):
    found, rest = failing(oracle, changed(perfect, CASE, "tv", lambda x: None), declared=deviation("fail"))
    assert "MISSING" in {verdict.verdict for verdict in rest}
    assert not found.passed


def test_skipping_everything_is_comparing_nothing(oracle, perfect):
    assert not compare(oracle, [perfect], deviation("skip", "*", "*")).passed


def test_a_declaration_that_no_point_meets_is_remarked(oracle, perfect):
    found = compare(oracle, [perfect], deviation("fail", "features/*"))
    assert found.passed
    assert "no point meets the declared deviation of 'features/*'" in found.remarks[0]


@pytest.mark.parametrize("backend", ["torch", "mxnet", "paddle", "a stranger's"])
def test_shipped_deviations_can_be_read_and_have_reasons(backend):
    assert all(found.reason and found.expect in ("fail", "skip") for found in deviations(backend))


@pytest.mark.parametrize(
    "text",
    [
        "this is not TOML",
        "deviation = 3",
        '[[deviations]]\nexpect = "fail"\ncase = "*"\nreason = "why"',
        "a = " + "[" * 5000,
        '[[deviation]]\ncase = "*"',
        '[[deviation]]\nexpect = "fail"\ncase = "*"\nreason = " "',
        '[[deviation]]\nexpect = "pass"\ncase = "*"\nreason = "why"',
        '[[deviation]]\nexpect = "fail"\ncase = "*"\nreason = "why"\nunknown = "x"',
        '[[deviation]]\nexpect = "fail"\ncase = 3\nreason = "why"',
        '[[deviation]]\nexpect = "fail"\ncase = "*"\nreason = "why"\npoints = "x"',
        '[[deviation]]\nexpect = "fail"\ncase = "*"\nreason = "why"\npoints = 3',
    ],
)
def test_a_file_that_declares_nothing_sensible_is_refused(tmp_path, text):
    file = tmp_path / "deviations.toml"
    file.write_text(text)
    with pytest.raises(InputError, match="is no file of deviations"):
        deviations("torch", file)


def test_comparing_takes_numpy_alone(tmp_path, oracle, perfect):
    oracle_folder, folder = tmp_path / "oracle", tmp_path / "torch"
    for place, trace in ((oracle_folder, oracle), (folder, perfect)):
        place.mkdir()
        trace.save(place)
    code = f"""
import sys
from pathlib import Path
from isostyle.conformance.compare import compare
from isostyle.conformance.trace import load
assert compare(load(Path({str(oracle_folder)!r})), [load(Path({str(folder)!r}))]).passed
print(*{{name.partition('.')[0] for name in sys.modules}})
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"torch", "mxnet", "paddle", "PIL", "safetensors", "matplotlib", "click"} & set(result.stdout.split())
