"""Reports: the table, JSON and JUnit XML say what the comparison found, and break on nothing that a trace holds."""

import dataclasses
import json
from xml.etree import ElementTree

import numpy as np
import pytest
from traces import changed, flawless, recorded_oracle

from isostyle.conformance import report
from isostyle.conformance.compare import compare

CASE = "terms/d2l/minimal"


@pytest.fixture(scope="module")
def oracle():
    return recorded_oracle()


@pytest.fixture
def good(oracle):
    return compare(oracle, [flawless(oracle)])


@pytest.fixture
def bad(oracle):
    wrong = changed(flawless(oracle), CASE, "tv", lambda x: x * 2)
    return compare(
        oracle, [changed(wrong, CASE, "total", lambda x: np.full_like(x, np.nan), "float32"), flawless(oracle, "paddle")]
    )


def test_the_table_has_a_row_for_each_kind_and_dtype_and_ends_with_the_verdict(good):
    lines = report.table(good).splitlines()
    assert sum(line.startswith("terms ") for line in lines) == 2
    assert lines[-1].startswith("CONFORMS: ")


def test_the_table_names_what_fails_where_and_by_how_much(bad):
    text = report.table(bad)
    assert "FAIL" in next(line for line in text.splitlines() if line.startswith("terms "))
    assert f"FAIL    torch {CASE}:tv float64: " in text
    assert "1 of its 1 values are not finite" in text
    assert text.splitlines()[-1].startswith("DOES NOT CONFORM: 2 of ")


def test_the_worst_of_a_kind_is_shown_not_the_last(oracle):
    wrong = changed(flawless(oracle), CASE, "content/conv4_4", lambda x: x * 2)
    [row] = [row for row in report.matrix(compare(oracle, [wrong])) if (row.kind, row.dtype) == ("terms", "float64")]
    assert row.worst["torch"].point == "content/conv4_4"


def test_json_has_every_point_and_null_for_what_could_not_be_measured(bad):
    found = json.loads(report.as_json(bad))
    assert found["conforms"] is False
    assert found["counts"]["FAIL"] == 2
    assert len(found["points"]) == len(bad.verdicts)
    [broken] = [point for point in found["points"] if point["verdict"] == "FAIL" and point["dtype"] == "float32"]
    assert broken["ratio"] is None
    assert found["traces"][0]["versions"]["python"]


def test_junit_has_a_suite_for_each_backend_and_a_failure_for_each_failing_case(bad):
    suites = {suite.get("name"): suite for suite in ElementTree.fromstring(report.as_junit(bad))}
    assert set(suites) == {"torch", "paddle"}
    assert (suites["torch"].get("failures"), suites["paddle"].get("failures")) == ("2", "0")
    names = [test.get("name") for test in suites["torch"] if test.find("failure") is not None]
    assert sorted(names) == [f"{CASE} float32", f"{CASE} float64"]
    assert int(suites["paddle"].get("tests")) == len(list(suites["paddle"]))


def test_a_problem_is_an_error_in_junit(oracle):
    other = flawless(oracle)
    entries = [{**entry, "digest": "0" * 64} for entry in other.run["cases"]]
    found = compare(oracle, [dataclasses.replace(other, run={**other.run, "cases": entries})])
    [error] = ElementTree.fromstring(report.as_junit(found)).iter("error")
    assert "another specification" in error.get("message")


def test_text_that_xml_cannot_hold_does_not_break_junit(oracle):
    trace = flawless(oracle, "<to\x00y>&\ufffe")
    found = report.as_junit(compare(oracle, [dataclasses.replace(trace, run={**trace.run, "cases": [
        {**entry, "error": "]]>\x1b[31m<b>"} for entry in trace.run["cases"]]})]))  # fmt: skip
    assert b"<b>" not in found
    assert len(list(ElementTree.fromstring(found).iter("failure"))) > 0


def test_what_fails_is_told_kind_by_kind_not_by_the_largest_numbers_alone(oracle):
    """A wrong Gram matrix fails a hundred terms by more than it fails itself; the first kind is nearest to the cause."""
    wrong = flawless(oracle)
    for case, points in (("terms/d2l/minimal", ("tv", "total", "style/conv1_1", "style/conv2_1", "style/conv3_1")),
                         ("resize/half", ("photo",))):  # fmt: skip
        for point in points:
            wrong = changed(wrong, case, point, *((np.invert, "uint8") if case == "resize/half" else (np.negative, "float64")))
    text = report.table(compare(oracle, [wrong]))
    assert "FAIL    torch resize/half:photo uint8" in text
    assert text.count("FAIL    torch terms/d2l/minimal:") == report.SHOWN_AT_MOST
    assert "FAIL    torch terms: 2 more" in text
