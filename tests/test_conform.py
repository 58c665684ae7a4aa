"""`isostyle conform`: recording in other processes, exit codes, reports, and one sentence for what cannot be used."""

import json
import os
import stat
import subprocess
import sys
from xml.etree import ElementTree

import numpy as np
import pytest

from isostyle.conformance.cases import all_cases, objective_of, optimizer_of, run_of
from isostyle.conformance.inputs import Inputs, numbers, shipped_inputs
from isostyle.conformance.kinds import KINDS, all_tolerances
from isostyle.conformance.make_inputs import SEED, make, narrow_parameters
from isostyle.network import VGG16_DEPTHS, Network
from isostyle.published import RECIPES
from isostyle.weights import store

CASE = "terms/d2l/minimal"


def conform(*arguments, **environment):
    return subprocess.run(
        [sys.executable, "-m", "isostyle", "conform", *map(str, arguments)],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
        check=False,
    )


def refused(result, *words):
    """Exit code 2 and one sentence."""
    assert result.returncode == 2, result.stderr
    assert result.stdout == ""
    [line] = result.stderr.splitlines()
    assert line.startswith("isostyle: ")
    assert all(word in line for word in words), line
    return True


@pytest.fixture(scope="module")
def oracle(tmp_path_factory):
    """The oracle's trace of one case."""
    folder = tmp_path_factory.mktemp("traces") / "oracle"
    assert conform("record", "oracle", "-o", folder, "--case", CASE).returncode == 0
    return folder


@pytest.fixture(scope="module")
def trace(any_backend_of_module, tmp_path_factory):
    """A backend's trace of the same case."""
    folder = tmp_path_factory.mktemp("traces") / any_backend_of_module
    assert conform("record", any_backend_of_module, "-o", folder, "--case", CASE).returncode == 0
    return folder


@pytest.fixture(scope="module")
def any_backend_of_module():
    from conftest import BACKENDS, obtain

    for name in BACKENDS:
        try:
            return obtain(name).name
        except pytest.skip.Exception:
            continue
    pytest.skip("no backend is installed, or ISOSTYLE_TEST_BACKENDS asks for none")


# The cases


def test_cases_have_names_of_their_own_and_every_recipe_has_each_kind():
    names = [case.name for case in all_cases()]
    assert len(set(names)) == len(names)
    for recipe in RECIPES.values():
        for kind, aspect in ASPECTS.items():
            if aspect(recipe) is not None:
                same = {other.name for other in RECIPES.values() if aspect(other) == aspect(recipe)}
                assert [case for case in all_cases() if case.kind == kind and case.recipe and case.recipe.name in same], (
                    kind,
                    recipe.name,
                )


#: What each kind of case depends on; None where a recipe has no such thing.
ASPECTS = {
    "recipe": lambda recipe: recipe.name,
    "schedule": lambda recipe: recipe.name,
    "targets": objective_of,
    "terms": objective_of,
    "gradient": objective_of,
    "adam": optimizer_of,
    "run": run_of,
    "step": lambda recipe: run_of(recipe) if optimizer_of(recipe) else None,
}


def test_every_kind_has_a_case_and_every_case_a_kind():
    assert {case.kind for case in all_cases()} == set(KINDS)


def test_every_tolerance_has_a_reason():
    assert all(tolerance.reason and tolerance.unit for tolerance in all_tolerances())


def test_a_network_of_the_user_s_is_compared_at_its_own_width(tmp_path, any_backend):
    """With a file whose network has the layers of VGG-16: recipes that tap others have no case."""
    network = Network("mine", VGG16_DEPTHS, (5, 7, 9, 11, 13))
    parameters = narrow_parameters(np.random.RandomState(0), network)
    (tmp_path / "mine.safetensors").write_bytes(store.dump(network, parameters, {}, "float32"))
    inputs_of_it = ("--network", str(tmp_path / "mine.safetensors"))
    listed = conform("cases", *inputs_of_it).stdout
    assert "features/photo@mine" in listed
    assert "run/isostyle/photo@mine" in listed
    assert "gradient/d2l" not in listed
    result = conform(*inputs_of_it, "--backend", any_backend, "--case", "*/isostyle/*", "--case", "features/*")
    assert result.returncode == 0, result.stdout
    assert "CONFORMS" in result.stdout


def test_cases_are_listed():
    result = conform("cases", "--case", "gradient/*")
    assert result.returncode == 0
    assert all(line.startswith("gradient/") for line in result.stdout.splitlines())
    assert "gradient/d2l/odd" in result.stdout


def test_the_published_numbers_are_those_of_every_recipe():
    assert shipped_inputs().published == {name: numbers(recipe) for name, recipe in RECIPES.items()}


def test_input_files_are_those_that_their_seed_makes(tmp_path):
    """Nobody edited them by hand; only the pictures may differ by a Pillow's rounding."""
    shipped = shipped_inputs()
    make(tmp_path, SEED, shipped.picture("photo"), shipped.picture("painting"))
    made = Inputs(tmp_path)
    for network in ("narrow", "exact"):
        mine, theirs = made.network(network).parameters, shipped.network(network).parameters
        assert mine.keys() == theirs.keys()
        for name, array in mine.items():
            np.testing.assert_array_equal(array, theirs[name], err_msg=name)
    assert made.arrays.keys() == shipped.arrays.keys()
    for name, array in made.arrays.items():
        np.testing.assert_allclose(array, shipped.arrays[name], atol=0.02, err_msg=name)


# A whole comparison


def test_a_backend_is_recorded_and_compared_with_the_oracle(any_backend_of_module, tmp_path):
    reports = {kind: tmp_path / f"report.{kind}" for kind in ("json", "junit")}
    result = conform(
        "--backend", any_backend_of_module, "--case", CASE, "--case", "gradient/d2l/minimal", "--case", "recipe/*",
        *(f"--{kind}={path}" for kind, path in reports.items()), "-o", tmp_path / "traces",
    )  # fmt: skip
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stdout.splitlines()[-1].startswith("CONFORMS: ")
    assert json.loads(reports["json"].read_bytes())["conforms"] is True
    assert ElementTree.parse(reports["junit"]).getroot().find("testsuite").get("failures") == "0"
    assert sorted(path.name for path in (tmp_path / "traces").iterdir()) == sorted(["oracle", any_backend_of_module])


def test_traces_that_were_recorded_before_are_compared(oracle, trace):
    result = conform("compare", trace, "--reference", oracle)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "CONFORMS" in result.stdout


def test_the_oracle_computes_anew_and_believes_no_trace_of_itself(oracle, trace):
    result = conform("compare", oracle, trace, "--case", CASE)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "oracle NumPy" in result.stderr


def test_a_reference_that_is_believed_is_said_to_be_of_few_cases(oracle, trace):
    result = conform("compare", trace, "--reference", oracle)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "the reference has 1 of this isostyle's" in result.stdout


def test_a_case_that_the_reference_does_not_have_is_refused(oracle, trace):
    assert refused(conform("compare", trace, "--reference", oracle, "--case", "gradient/*"), "no case 'gradient/*'")


def test_options_before_a_command_are_not_swallowed():
    assert refused(conform("--case", CASE, "cases"), "options of `cases` come after it")


def test_an_interpreter_that_records_nothing_is_a_problem_not_a_pass(any_backend_of_module, tmp_path):
    result = conform("--backend", any_backend_of_module, "--python", "somebody=/bin/true", "--case", CASE, "-o", tmp_path)
    assert result.returncode == 1, result.stdout
    assert "PROBLEM somebody: recording left no trace" in result.stdout
    assert not (tmp_path / "somebody").exists()


def test_a_report_never_goes_over_an_input(oracle, trace):
    before = (trace / "points.npz").read_bytes()
    result = conform("compare", trace, "--reference", oracle, "--json", trace / "points.npz", "--force")
    assert refused(result, "is an input; it is never overwritten")
    assert (trace / "points.npz").read_bytes() == before


def test_a_backend_that_was_not_compared_at_all_is_a_problem(any_backend_of_module):
    """A case that is meant for other backends leaves nothing of this one."""
    result = conform("--backend", any_backend_of_module, "--case", "native-lbfgs/*")
    assert result.returncode == (1 if any_backend_of_module == "mxnet" else 0)


def test_files_of_the_current_folder_are_not_imported(any_backend_of_module, tmp_path):
    (tmp_path / "secrets.py").write_text("raise SystemExit('a stranger ran')")
    result = subprocess.run(
        [sys.executable, "-P", "-m", "isostyle", "conform", "--backend", any_backend_of_module, "--case", CASE],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert result.returncode == 0, result.stdout + result.stderr


def test_a_part_of_the_cases_is_not_taken_for_all(trace):
    result = conform("compare", trace, "--case", CASE, "--case", "recipe/d2l")
    assert result.returncode == 1
    assert "MISSING" in result.stdout


def test_deviations_of_a_backend_without_a_trace_are_refused(oracle, trace, tmp_path):
    (tmp_path / "none.toml").write_text("")
    assert refused(
        conform("compare", trace, "--reference", oracle, "--deviations", f"torhc={tmp_path}/none.toml"), "'torhc'", "no trace"
    )


def test_quiet_prints_nothing_if_all_is_well(oracle, trace):
    result = conform("compare", trace, "--reference", oracle, "--quiet")
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


def test_a_recording_has_a_process_of_its_own_that_can_die_alone(any_backend_of_module, tmp_path):
    """An interpreter that is killed in the middle leaves a problem and exit code 1, and the comparison is finished."""
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\nkill -SEGV $$\n")
    python.chmod(python.stat().st_mode | stat.S_IXUSR)
    result = conform("--backend", any_backend_of_module, "--python", f"paddle={python}", "--case", CASE)
    assert result.returncode == 1, result.stderr
    if any_backend_of_module != "paddle":
        assert f"{any_backend_of_module}: " in result.stdout
    assert "PROBLEM paddle: recording ended with signal 11" in result.stdout
    assert "DOES NOT CONFORM" in result.stdout


# Nothing is ever a pass by absence


@pytest.mark.parametrize("quiet", [(), ("--quiet",)], ids=["loud", "quiet"])
def test_an_oracle_alone_is_nothing_compared(oracle, quiet):
    result = conform("compare", oracle, "--case", CASE, *quiet)
    assert result.returncode == 1
    assert "nothing was compared" in result.stdout + result.stderr


def test_an_empty_folder_is_refused(tmp_path):
    assert refused(conform("compare", tmp_path), "is not a trace")


def test_a_truncated_trace_is_refused(oracle, tmp_path):
    for path in oracle.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes()[: 5000 if path.suffix == ".npz" else None])
    assert refused(conform("compare", tmp_path), "points.npz", "digest does not fit")


# Input that cannot be used


def test_no_trace_at_all_is_a_usage_error():
    assert refused(conform("compare"), "Missing argument")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--backend", "torhc"), ("there is no backend 'torhc'",)),
        (("--backend", "oracle"), ("the oracle is always recorded",)),
        (("--python", "torch"), ("--python takes NAME=PATH",)),
        (("--python", "torch=/nowhere/python"), ("'/nowhere/python' cannot be run",)),
        (("record", "oracle", "-o", "{tmp}/x", "--case", "nothing/*"), ("no case is called 'nothing/*'",)),
        (("record", "torhc", "-o", "{tmp}/x"), ("no backend 'torhc'",)),
        (("record", "oracle", "-o", "{tmp}/file"), ("is a file; name a folder",)),
        (("record", "oracle", "-o", "{tmp}/full"), ("holds other files than a trace",)),
        (("record", "oracle", "-o", "{tmp}/x", "--device", "cuda:99"), ("no device 'cuda:99'",)),
        (("record", "oracle", "-o", "{tmp}/x", "--threads", "0"), ("number of threads",)),
        (("record", "auto", "-o", "{tmp}/x"), ("name it",)),
        (("--backend", "auto"), ("no backend 'auto'",)),
        (("compare", "{tmp}/nowhere"), ("is not a folder",)),
        (("compare", "{tmp}/nowhere", "--json", "{tmp}/file"), ("exists already; use --force",)),
        (("compare", "{tmp}/nowhere", "--json", "{tmp}/no/file"), ("there is no folder",)),
        (("compare", "{tmp}/nowhere", "--deviations", "torch={tmp}/file"), ("is no file of deviations",)),
        (("compare", "{tmp}/nowhere", "--deviations", "torch={tmp}/nothing"), ("there is no file",)),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)
def test_bad_input_gets_one_sentence(arguments, words, tmp_path):
    (tmp_path / "file").write_text("not TOML")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "letter.txt").write_text("dear")
    assert refused(conform(*(argument.format(tmp=tmp_path) for argument in arguments)), *words)
    assert (tmp_path / "full" / "letter.txt").read_text() == "dear"


def test_an_interpreter_without_isostyle_is_named(tmp_path):
    python = tmp_path / "python"
    python.write_text('#!/bin/sh\necho "$0: No module named isostyle" >&2\nexit 1\n')
    python.chmod(python.stat().st_mode | stat.S_IXUSR)
    result = conform("--backend", "mxnet", "--python", f"mxnet={python}", "--case", CASE)
    assert result.returncode == 2
    assert "has no isostyle" in result.stderr.splitlines()[-1]


def test_a_trace_is_not_overwritten_without_force(oracle):
    before = {path.name: path.read_bytes() for path in oracle.iterdir()}
    assert refused(conform("record", "oracle", "-o", oracle, "--case", CASE), "holds a trace already; use --force")
    assert {path.name: path.read_bytes() for path in oracle.iterdir()} == before


def test_a_reference_that_is_not_the_oracle_s_is_refused(trace, oracle):
    assert refused(conform("compare", oracle, "--reference", trace), "the reference is the oracle's")


def test_the_same_trace_twice_is_refused(oracle, trace):
    assert refused(conform("compare", trace, trace, "--reference", oracle), "two traces of")


def test_the_same_trace_twice_is_refused_before_the_oracle_computes(trace):
    """Else its lines would stand above the error."""
    assert refused(conform("compare", trace, trace), "two traces of")


def test_help_teaches_with_examples():
    result = conform("--help")
    assert result.returncode == 0
    assert "isostyle conform compare traces/*" in result.stdout
    assert "Exit codes" in result.stdout
