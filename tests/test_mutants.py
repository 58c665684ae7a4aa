"""The proof can fail: every mutant is caught where it should be, and the original sources raise no alarm.

`tox run -e conformance` runs the mutants and ten seeds, `tox run -e nightly` a hundred seeds.
`python scripts/mutation.py --write docs/mutation-testing.md` makes the tables of both.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from conftest import ASKED_FOR, BACKENDS, obtain
from mutants import FRAMEWORKS, MUTANTS, applications
from mutation import Workshop, patterns

ROOT = Path(__file__).parents[1]
#: So many mutants there must be at the least.
AT_LEAST = 233
#: Mutants that change the total by less than this, at the start and after ten steps: comparing totals would not find them.
SMALL = 1e-3
HARDLY_CHANGE_THE_TOTAL = {
    "the image passes through float32",
    "float32 where float64 is asked for",
    "an array shares its tensor's memory",
    "activations in half precision",
    "activations cut off at 100",
    "an engine is kept for its network's name, whatever its weights",
    "half a gradient where a deep ReLU's input is 0",
    "Gram matrix in float32",
    "total variation lacks the last row",
    "total variation as one mean over both axes",
    "total variation smoothed at its kinks",
    "Paddle's own mean()",
    "gradient halved",
    "content targets kept in half precision",
    "beta2 in float32",
    "beta1 in float32",
}
#: Seeds that are searched for false alarms: at every change, and every night.
SEEDS, NIGHTLY_SEEDS = 10, 100
#: Points that each seed has at the least.
POINTS = 200

needs_backends = pytest.mark.skipif(ASKED_FOR == "", reason="ISOSTYLE_TEST_BACKENDS asks for no backend to make mutants of")


@pytest.fixture(scope="module")
def workshop(tmp_path_factory):
    made = Workshop(tmp_path_factory.mktemp("mutants"))
    yield made
    made.close()


# The table, which needs no framework


def test_every_mutant_has_a_name_of_its_own_and_there_are_enough():
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS) >= AT_LEAST
    assert {mutant.name for mutant in MUTANTS} > HARDLY_CHANGE_THE_TOTAL


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_the_text_that_a_mutant_replaces_is_found_exactly_once(mutant):
    for file, (old, new) in mutant.edits.items():
        assert (ROOT / file).read_text(encoding="utf-8").count(old) == 1, file
        assert new != old


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_every_pattern_of_a_mutant_stands_for_cases_that_there_are(mutant):
    for template in mutant.caught_by:
        assert patterns(template, mutant.recipes)


def test_every_mutant_of_a_backend_is_made_in_all_three_or_is_that_framework_s_own():
    alone = [mutant.name for mutant in MUTANTS if len([file for file in mutant.edits if file.startswith("backends/")]) == 1]
    # MXNet's and Paddle's own functions, and torch's shared memory and folded kernels, which the other two do not have.
    assert len(alone) <= 7, alone


def test_a_mutant_that_no_longer_applies_is_an_error(tmp_path):
    gone = dataclasses.replace(MUTANTS[0], edits=dict.fromkeys(MUTANTS[0].edits, ("no such text", "")))
    with pytest.raises(ValueError, match="does not apply"):
        Workshop(tmp_path).mutate(gone, FRAMEWORKS[0])


# What the comparison says


@pytest.mark.mutation
@needs_backends
@pytest.mark.parametrize(
    ("mutant", "backend"), [pytest.param(*each, id=f"{each[0].name}-{each[1]}") for each in applications(BACKENDS)]
)
def test_a_mutant_is_caught_by_the_cases_that_it_names(workshop, mutant, backend):
    obtain(backend)
    outcome = workshop.run(mutant, backend)
    assert [pattern for pattern, verdict in outcome.caught.items() if verdict is None] == []
    assert outcome.small(SMALL) or mutant.name not in HARDLY_CHANGE_THE_TOTAL


@pytest.mark.mutation
@needs_backends
def test_the_original_sources_raise_no_false_alarm_with_ten_seeds(workshop, tmp_path):
    assert false_alarms(workshop, tmp_path, range(SEEDS)) == []


@pytest.mark.nightly
@needs_backends
def test_the_original_sources_raise_no_false_alarm_with_a_hundred_seeds(workshop, tmp_path):
    assert false_alarms(workshop, tmp_path, range(NIGHTLY_SEEDS)) == []


def false_alarms(workshop, folder, seeds):
    """(seed, verdict) of whatever fails with weights, noise and gradients from other seeds."""
    names = [obtain(name).name for name in BACKENDS]
    alarms = []
    for seed in seeds:
        for verdicts in workshop.judge_seed(seed, names, folder).values():
            assert len(verdicts) > POINTS
            alarms += [(seed, verdict) for verdict in verdicts if verdict.verdict != "PASS"]
    return alarms
