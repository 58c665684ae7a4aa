"""`isostyle demo`."""

import pytest
from test_cli import isostyle, names


@pytest.mark.slow
def test_demo_writes_its_pictures_beside_each_other(folder, any_backend):
    assert isostyle("demo", "-o", "show", "--backend", any_backend, "--size", "64", "--steps", "3") == 0
    expected = ["content.png", "losses.png", "result.json", "result.png", "side-by-side.png", "style.png"]
    assert names(folder / "show") == expected
    assert isostyle("demo", "-o", "show", "--backend", any_backend, "--size", "64", "--steps", "3") == 2


def test_demo_refuses_wrong_options_before_it_paints_and_leaves_no_folder(folder, capsys):
    assert isostyle("demo", "-o", "show", "--steps", "0") == 2
    assert "drawing" not in capsys.readouterr().err
    assert not (folder / "show").exists()
