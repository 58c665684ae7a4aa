"""`isostyle recipes`, and the recipes that it prints."""

import json
import re
from pathlib import Path

import pytest
from test_cli import isostyle

from isostyle.recipe import brief


def test_recipes_show_every_number(capsys):
    from isostyle.published import RECIPES

    assert isostyle("recipes") == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == list(RECIPES)
    assert isostyle("recipes", "d2l") == 0
    out = capsys.readouterr().out
    for number in ("10000", "0.3", "0.8 every 50", "500 evaluations", "300x450", "conv5_1", "1e-08"):
        assert number in out


def test_a_recipe_says_what_it_does_with_the_compact_network(capsys):
    assert isostyle("recipes", "gatys2016") == 0
    assert capsys.readouterr().out.endswith("With the compact network it keeps little of the photograph.\n")


def test_what_rounding_left_of_a_number_is_not_shown(capsys):
    assert isostyle("recipes", "gatys2016") == 0
    assert "style 99636507, TV 0" in capsys.readouterr().out


@pytest.mark.parametrize("value", [0.1, 1e6, 10.000001, 0.0152587890625, 1 / 3, 1 + 1e-11, 123456789012.5])
def test_a_number_is_shown_as_itself(value):
    assert float(brief(value)) == value


def test_recipes_as_json_are_whole(capsys):
    from isostyle.published import D2L

    assert isostyle("recipes", "d2l", "--json") == 0
    assert json.loads(capsys.readouterr().out) == {"digest": D2L.digest, **D2L.as_dict()}


def test_a_printed_recipe_runs_as_a_file(folder, any_backend, capsys):
    from isostyle.published import find

    assert isostyle("recipes", "tutorial-square", "--toml") == 0
    (folder / "my.toml").write_text(capsys.readouterr().out)
    assert isostyle("run", "photo.jpg", "painting.png", "--recipe", "my.toml", "--size", "32x48", "--backend", any_backend) == 0
    manifest = json.loads((folder / "photo-painting.json").read_text())
    assert manifest["steps_done"] == 320
    assert manifest["recipe"]["optimizer"] == find("tutorial").as_dict()["optimizer"]


def test_the_recipe_that_docs_and_help_change_takes_any_pair_of_pictures(capsys):
    from isostyle.published import find

    assert isostyle("recipes", "--help") == 0
    page = (Path(__file__).parent.parent / "docs" / "running.md").read_text()
    for text in (page, capsys.readouterr().out):
        (name,) = re.findall(r"isostyle recipes (\S+) --toml > my.toml", text)
        assert find(name).style_size != "equal"


def test_the_tutorial_prints_what_its_source_prints(folder, any_backend, capsys):
    """Style and content, weighted, every 50 evaluations; then the finished picture's."""
    command = ["run", "photo.jpg", "painting.png", "--recipe", "tutorial-square", "--size", "32x48", "--backend", any_backend]
    assert isostyle(*command, "--history", "h.json") == 0
    lines = [line.split() for line in capsys.readouterr().err.splitlines() if line.startswith(("evaluation", "result"))]
    assert [line[1] for line in lines[:-1]] == [f"{n}/320" for n in range(50, 301, 50)]
    history = {row["evaluation"]: row for row in json.loads((folder / "h.json").read_text())}
    for line in lines[:-1]:
        row = history[int(line[1].partition("/")[0])]
        assert (line[2], float(line[3]), line[4], float(line[5])) == (
            "style",
            pytest.approx(row["style"], rel=1e-5),
            "content",
            pytest.approx(row["content"], rel=1e-5),
        )


def test_recipes_are_compared(capsys):
    assert isostyle("recipes", "--diff", "lookcc", "lookcc-content") == 0
    assert capsys.readouterr().out.splitlines() == [
        "lookcc and lookcc-content differ in",
        "  without gradient lookcc          content",
        "                   lookcc-content  none",
    ]
    assert isostyle("recipes", "--diff", "d2l", "d2l") == 0
    assert capsys.readouterr().out == "d2l and d2l compute the same\n"


@pytest.mark.parametrize(
    "arguments", [["d2l", "--toml", "--json"], ["--toml"], ["d2l", "--diff", "d2l", "wei"], ["--json", "--diff", "d2l", "wei"]]
)
def test_two_answers_at_once_are_refused(capsys, arguments):
    assert isostyle("recipes", *arguments) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
