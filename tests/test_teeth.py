"""The proof can fail: every planted defect is caught where it should be, and untouched sources raise nothing.

Run by `tox run -e teeth`; `python scripts/teeth.py --write docs/teeth.md` makes the table of both.
"""

import pytest
from conftest import ASKED_FOR, BACKENDS, obtain
from defects import DEFECTS
from teeth import Workshop

pytestmark = [
    pytest.mark.teeth,
    pytest.mark.skipif(
        ASKED_FOR == "", reason="ISOSTYLE_TEST_BACKENDS asks for no backend, and defects are planted in backends"
    ),
]

#: Asked for by the project: so many planted defects, of which so many change the total by less than that, and so many seeds.
AT_LEAST, SMALL_AT_LEAST, SMALL, SEEDS = 60, 12, 1e-3, 100


def planted():
    """(defect, backend) for all: those in core once, with the first backend there is."""
    for defect in DEFECTS:
        for backend in BACKENDS[:1] if defect.in_core else BACKENDS:
            if defect.edit(backend):
                yield pytest.param(defect, backend, id=f"{defect.name}-{backend}")


@pytest.fixture(scope="module")
def workshop(tmp_path_factory):
    made = Workshop(tmp_path_factory.mktemp("teeth"))
    yield made
    made.close()


#: By defect, as the tests go on; a later test looks at them.
OUTCOMES = {}


@pytest.mark.slow
@pytest.mark.parametrize(("defect", "backend"), list(planted()))
def test_a_planted_defect_is_caught_by_the_case_that_names_it(workshop, defect, backend):
    obtain(backend)
    outcome = workshop.try_out(defect, backend)
    assert [pattern for pattern, verdict in outcome.caught.items() if verdict is None] == []
    OUTCOMES.setdefault(defect.name, outcome)


def test_every_defect_has_a_name_of_its_own_and_there_are_enough():
    assert len({defect.name for defect in DEFECTS}) == len(DEFECTS) >= AT_LEAST


def test_every_defect_in_a_backend_s_own_words_is_planted_in_all_three_or_is_that_framework_s_own():
    alone = [defect.name for defect in DEFECTS if len([file for file in defect.edits if file.startswith("backends/")]) == 1]
    # MXNet's and Paddle's own functions, and torch's shared memory and folded kernels, which the other two do not have.
    assert len(alone) <= 7, alone


def test_many_defects_hardly_change_the_total():
    """So that comparing totals alone would not find them."""
    if len(OUTCOMES) < len(DEFECTS) / 2:
        pytest.skip("needs the outcome of the tests above, and they did not run")
    small = [name for name, outcome in OUTCOMES.items() if outcome.small(SMALL)]
    assert len(small) >= SMALL_AT_LEAST, small


def test_a_defect_that_no_longer_applies_is_an_error(workshop):
    import dataclasses

    gone = dataclasses.replace(DEFECTS[0], edits=dict.fromkeys(DEFECTS[0].edits, ("no such text", "")))
    with pytest.raises(ValueError, match="does not apply"):
        workshop.plant(gone, BACKENDS[0])


@pytest.mark.slow
def test_untouched_sources_raise_no_false_alarm_with_other_seeds(workshop, tmp_path):
    """Other weights, other noise, other gradients, a hundred times."""
    names = [obtain(name).name for name in BACKENDS]
    alarms = []
    for seed in range(SEEDS):
        for verdicts in workshop.look_at_seed(seed, names, tmp_path).values():
            assert len(verdicts) > 200
            alarms += [(seed, verdict) for verdict in verdicts if verdict.verdict != "PASS"]
    assert alarms == []
