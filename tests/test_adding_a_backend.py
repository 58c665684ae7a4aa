"""docs/adding-a-backend.md, taken at its word: its package is certified, and its mistakes give the lines that it shows."""

import ast
import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import click
import numpy as np
import pytest

from isostyle.cli import main as main_cli
from isostyle.conformance.kinds import KINDS
from isostyle.conformance.kinds.kind import STYLE_NETWORKS

PAGE = Path(__file__).parents[1] / "docs" / "adding-a-backend.md"
TEXT = PAGE.read_text(encoding="utf-8")
#: (language, content) of every fenced block, in order.
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", TEXT, flags=re.MULTILINE | re.DOTALL)
#: A case of every kind in which the page shows an error, and so of most; seconds instead of half a minute.
FEW = ("features/odd", "gram/*", "*/d2l/odd", "adam/d2l/*", "run/d2l/photo", "run/tutorial/photo")


def file(name):
    """The block that begins with a comment of this file name."""
    (content,) = [content for _, content in BLOCKS if content.startswith(f"# {name}\n")]
    return content


def blocks(language):
    return [content for kind, content in BLOCKS if kind == language]


def edited(source, diff):
    """``source`` after the edit of one line that a diff block shows."""
    before, after = (line[1:] for line in diff.splitlines())
    assert source.count(before + "\n") == 1
    return source.replace(before, after)


FORGOTTEN_FACTOR, SLOPE_AT_ZERO = blocks("diff")


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Lay the page's package out as pip would, with its module edited, in a working folder of its own."""

    def lay_out(diff=None):
        project = tomllib.loads(file("pyproject.toml"))
        source = file("toy_backend.py")
        (module,) = project["tool"]["setuptools"]["py-modules"]
        (tmp_path / f"{module}.py").write_text(edited(source, diff) if diff else source, encoding="utf-8")
        name, version = project["project"]["name"], project["project"]["version"]
        info = tmp_path / f"{name.replace('-', '_')}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        lines = []
        for group, entries in project["project"]["entry-points"].items():
            lines += [f"[{group}]", *(f"{entry} = {value}" for entry, value in entries.items())]
        (info / "entry_points.txt").write_text("\n".join(lines) + "\n")
        (tmp_path / "deviations.toml").write_text(file("deviations.toml"))
        paths = [str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])]
        monkeypatch.setenv("PYTHONPATH", os.pathsep.join(paths))
        monkeypatch.chdir(tmp_path)

    return lay_out


def isostyle(*arguments):
    return subprocess.run([sys.executable, "-m", "isostyle", *arguments], capture_output=True, text=True, check=False)


def conform(*options, cases=()):
    """The process, and the worst verdicts by kind."""
    patterns = [f"--case={pattern}" for pattern in cases]
    answer = isostyle("conform", "--backend", "toy", "--json", "verdicts.json", *patterns, *options)
    assert answer.returncode in (0, 1), answer.stderr
    verdicts = {}
    for point in json.loads(Path("verdicts.json").read_text())["points"]:
        verdicts.setdefault(point["kind"], set()).add(point["verdict"])
    return answer, verdicts


def shown_failing():
    """Kinds that fail in the tables of the page."""
    rows = [line.split() for content in blocks("text") for line in content.splitlines()]
    return {row[0] for row in rows if len(row) > 2 and row[1] in ("float32", "float64") and "FAIL" in row}


@pytest.mark.slow
def test_the_backend_of_the_page_conforms(install):
    install()
    answer, verdicts = conform()
    assert answer.returncode == 0, answer.stdout
    assert set().union(*verdicts.values()) == {"PASS", "SKIP"}
    assert {kind for kind, found in verdicts.items() if "SKIP" in found} == {
        name for name, kind in KINDS.items() if STYLE_NETWORKS in kind.parts
    }
    (line,) = re.findall(r"^CONFORMS: \d+ points within tolerance; \d+ skipped$", answer.stdout, flags=re.MULTILINE)
    assert line in TEXT, "the page shows another number of points"


def test_the_mistake_of_the_page_fails_in_the_kinds_that_it_shows_and_in_no_other(install):
    install(FORGOTTEN_FACTOR)
    answer, verdicts = conform(cases=FEW)
    assert answer.returncode == 1
    assert "DOES NOT CONFORM" in answer.stdout
    failing = {kind for kind, found in verdicts.items() if "FAIL" in found}
    assert failing == shown_failing() == {"gram", "targets", "terms", "gradient", "styles", "step", "run"}
    assert set(verdicts) - failing == {"features", "adam"}


def test_the_failing_kind_alone_gives_the_lines_that_the_page_shows(install):
    install(FORGOTTEN_FACTOR)
    answer, _ = conform(cases=["gram/*"])
    (content,) = [content for content in blocks("text") if "DOES NOT CONFORM: 4 of 12 points" in content]
    for part in re.split(r"\.\.\.", content):
        assert part.strip() in answer.stdout


def test_isostyle_backends_lists_it_with_its_version(install):
    install()
    answer = isostyle("backends")
    assert answer.returncode == 0
    assert f"toy {np.__version__} cpu" in [" ".join(line.split()) for line in answer.stdout.splitlines()]


def test_the_declared_deviation_of_the_page_covers_what_deviates_and_nothing_else(install):
    install(SLOPE_AT_ZERO)
    answer, verdicts = conform(cases=["gradient/exact/*", "gradient/d2l/odd"])
    assert (answer.returncode, verdicts) == (1, {"gradient": {"PASS", "FAIL"}})
    assert "DOES NOT CONFORM: 18 of " in answer.stdout
    answer, verdicts = conform("--deviations", "toy=deviations.toml", "--force", cases=["gradient/exact/*", "gradient/d2l/odd"])
    assert (answer.returncode, verdicts) == (0, {"gradient": {"PASS", "XFAIL"}})
    assert "within tolerance, but for 18 declared deviations" in answer.stdout


def test_a_deviation_that_is_repaired_fails_until_it_is_taken_out_of_the_file(install):
    install()
    answer, verdicts = conform("--deviations", "toy=deviations.toml", cases=["gradient/exact/*"])
    assert (answer.returncode, verdicts) == (1, {"gradient": {"PASS", "XPASS"}})


def test_a_backend_without_style_networks_is_told_from_one_whose_style_networks_fail(install, tmp_path):
    install()
    answer, verdicts = conform(cases=["gram/*", "stages", "transform/5x5"])
    assert (answer.returncode, verdicts) == (0, {"gram": {"PASS"}, "stages": {"SKIP"}, "transform": {"SKIP"}})
    assert "SKIP    toy stages, transform: the backend has no `transform`, and so no style networks (4)" in answer.stdout
    module = tmp_path / "toy_backend.py"
    method = "    def transform(self, network, *, device, dtype):\n        raise NotImplementedError\n"
    module.write_text(module.read_text() + "\n" + method)
    answer, verdicts = conform("--force", cases=["gram/*", "stages", "transform/5x5"])
    assert (answer.returncode, verdicts) == (1, {"gram": {"PASS"}, "stages": {"FAIL"}, "transform": {"FAIL"}})


def test_a_trace_recorded_as_the_page_says_is_compared_without_the_backend(install, tmp_path):
    install()
    assert isostyle("conform", "record", "toy", "-o", "trace/", "--case", "gram/*").returncode == 0
    (tmp_path / "toy_backend.py").unlink()
    answer = isostyle("conform", "compare", "trace/", "--case", "gram/*", "--junit", "conformance.xml")
    assert (answer.returncode, answer.stderr.count("toy")) == (0, 0)
    assert "CONFORMS: 12 points within tolerance" in answer.stdout
    assert 'testsuite name="toy"' in (tmp_path / "conformance.xml").read_text()


def test_the_backend_of_the_page_shares_no_formula_with_the_oracle():
    tree = ast.parse(file("toy_backend.py"))
    modules = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert {module for module in modules if module.startswith("isostyle")} == {
        "isostyle.interface",
        "isostyle.network",
        "isostyle.recipe",
    }


@pytest.mark.parametrize(
    "command", [line for content in blocks("sh") for line in content.splitlines() if line.startswith("isostyle ")]
)
def test_every_command_of_the_page_is_one_that_the_command_line_understands(command):
    """Parsed, and not run."""
    _, *words = shlex.split(command)
    found, context = main_cli.cli, None
    while isinstance(found, click.Group) and words and not words[0].startswith("-"):
        context = click.Context(found, parent=context)
        found = found.get_command(context, words.pop(0))
        assert found, command
    found.make_context(found.name, words, parent=context)
