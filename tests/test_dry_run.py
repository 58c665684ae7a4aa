"""`isostyle run --dry-run` and `isostyle.estimate`: what a run would do, without doing it."""

import re

import pytest
from conftest import draw
from PIL import Image
from test_cli import isostyle

import isostyle as package
from isostyle.cli.dry_run import duration
from isostyle.recipe import LbfgsSettings
from isostyle.transfer import memory_plan
from isostyle.transfer.estimate import remembered

RUN = ["run", "photo.jpg", "painting.png", "-o", "out.png", "--size", "48", "--steps", "4"]
SMALL = {"size": (32, 48), "steps": 4, "pyramid": False, "threads": 1}


@pytest.fixture
def pictures(tmp_path):
    for name, phase in (("content", 0.0), ("style", 1.5)):
        draw(tmp_path / f"{name}.png", phase)
    return [Image.open(tmp_path / f"{name}.png").convert("RGB") for name in ("content", "style")]


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize(
    "options", [[], ["--checkpoint", "run.ckpt", "--checkpoint-every", "1"], ["--history", "h.csv"]], ids=str
)
def test_it_writes_nothing(folder, backend, options):
    before = contents(folder)
    assert isostyle(*RUN, "--backend", backend.name, "--save-every", "1", *options, "--dry-run") == 0
    assert contents(folder) == before


def test_it_overwrites_nothing_though_it_may(folder, any_backend):
    (folder / "out.png").write_bytes(b"precious")
    assert isostyle(*RUN, "--backend", any_backend, "--force", "--dry-run") == 0
    assert (folder / "out.png").read_bytes() == b"precious"


def test_its_sizes_and_evaluations_are_those_of_the_run(pictures, backend):
    how = {**SMALL, "backend": backend.name, "style_scale": 1.5, "pyramid": [(0.7, 3)]}
    found = package.estimate(*pictures, **how)
    manifest = package.stylize(*pictures, **how).manifest
    assert [{"size": list(level.content), "steps": level.evaluations} for level in found.levels] == manifest["levels"]
    assert list(found.levels[-1].style) == manifest["inputs"]["style"]["resized_to"] == [48, 72]
    assert found.levels[0].style == (34, 50)


def test_its_memory_and_tiles_are_those_of_the_run(pictures, backend):
    how = {**SMALL, "backend": backend.name, "recipe": "d2l", "tile": 16, "style_size": (64, 48)}
    layers = {"style_layers": {"conv1_1": 1}, "content_layers": {"conv1_2": 1}}
    found = package.estimate(*pictures, **how, **layers)
    manifest = package.stylize(*pictures, **how, **layers).manifest
    assert found.choice.estimate == manifest["estimated_memory_bytes"]
    assert found.choice.tile == manifest["tile"] == 16
    assert found.tiles == (2 * 3, 4 * 3)


def test_its_memory_is_the_plan_s(folder, any_backend, capsys, monkeypatch):
    plain = memory_plan.choose
    chosen = []
    monkeypatch.setattr("isostyle.transfer.memory_plan.choose", lambda *a, **k: chosen.append(plain(*a, **k)) or chosen[-1])
    assert isostyle(*RUN, "--backend", any_backend, "--max-memory", "64GiB", "--dry-run") == 0
    (choice,) = chosen
    taken, limit = f"{choice.estimate / 2**20:.0f} MiB", f"{choice.limit / 2**30:.1f} GiB"
    assert f"memory           about {taken} beyond the program's own, of the {limit} that" in capsys.readouterr().out


def test_it_says_what_computes_and_what_the_user_should_know(folder, any_backend, capsys):
    options = ["--backend", any_backend, "--threads", "1", "--style-size", "180", "--pyramid", "0.7:3", "--optimizer", "adam"]
    assert isostyle(*RUN, *options, "--dry-run") == 0
    out = capsys.readouterr().out
    assert out.startswith(
        "out.png would be made of photo.jpg in the manner of painting.png\n  recipe           isostyle-changed\n"
    )
    assert re.search(r"\n  level 1 of 2     34x29 \(height x width\), style 98x126: 3 evaluations of \S+ s, ", out)
    assert re.search(r"\n  level 2 of 2     48x41 \(height x width\), style 140x180: 4 evaluations of \S+ s, ", out)
    assert "\n  optimizer        Adam, learning rate 0.2," in out
    assert re.search(rf"\n  backend          {any_backend} \S+ on cpu, 1 thread, float32\n", out)
    assert "\n  tiles            none: both images as a whole\n" in out
    assert re.search(r"\n  time             about \S+ \S+: an estimate, from two steps at each size\n", out)
    assert "  * style 70x90 enlarged to 140x180 (height x width)" in out
    assert out.endswith("\nnothing was written\n")


def test_for_a_picture_to_standard_output_it_speaks_on_the_other_one(folder, any_backend, capsysbinary):
    command = ["run", "photo.jpg", "painting.png", "-o", "-", "--size", "48", "--steps", "2", "--backend", any_backend]
    assert isostyle(*command, "--dry-run") == 0
    captured = capsysbinary.readouterr()
    assert captured.out == b""
    assert b"standard output would be made of photo.jpg" in captured.err


@pytest.mark.parametrize(
    "options",
    [
        ["--steps", "0"],
        ["--style-scale", "9"],
        ["--max-memory", "1MiB"],
        ["--recipe", "d21"],
        ["--checkpoint", "run.ckpt", "--checkpoint-every", "0"],
        ["--style-size", "8"],
        ["--network", "nowhere.safetensors"],
        ["--plot", "losses.txt"],
        ["-o", "nowhere/out.png"],
        ["-o", "photo.jpg"],
        ["-o", "painting.png", "--force"],
    ],
    ids=" ".join,
)
def test_what_the_run_refuses_it_refuses_in_the_same_words(folder, any_backend, capsys, options):
    before = contents(folder)
    command = [*RUN, "--backend", any_backend, *options]
    codes = isostyle(*command), isostyle(*command, "--dry-run")
    run, dry = capsys.readouterr().err.replace("trying two steps at each size\n", "").splitlines()
    assert codes == (2, 2)
    # How much memory the program takes changes from one call to the next.
    assert re.sub(r"\d+ MiB that the program", "", run) == re.sub(r"\d+ MiB that the program", "", dry)
    assert contents(folder) == before


def test_an_output_that_exists_is_refused_likewise(folder, any_backend, capsys):
    (folder / "out.png").write_bytes(b"precious")
    assert isostyle(*RUN, "--backend", any_backend, "--dry-run") == 2
    assert "'out.png' exists already; use --force to overwrite it" in capsys.readouterr().err


def test_it_makes_an_evaluation_and_two_steps_at_each_level(pictures, backend, monkeypatch):
    from isostyle.transfer import descent

    made, plain = [], descent.Descent.evaluate
    monkeypatch.setattr(descent.Descent, "evaluate", lambda self, image: made.append(image.shape[2:]) or plain(self, image))
    package.estimate(
        *pictures, **{**SMALL, "backend": backend.name, "recipe": "d2l", "pyramid": [(0.7, 300)], "optimizer": "adam"}
    )
    assert [tuple(size) for size in made] == [(22, 34)] * 3 + [(32, 48)] * 3


@pytest.mark.parametrize("search", ["none", "strong-wolfe"])
def test_a_block_of_l_bfgs_is_not_made_whole(pictures, any_backend, monkeypatch, search):
    from isostyle.transfer import descent

    made, plain = [], descent.Descent.evaluate
    monkeypatch.setattr(descent.Descent, "evaluate", lambda self, image: made.append(1) or plain(self, image))
    how = {**SMALL, "steps": 60, "backend": any_backend, "optimizer": LbfgsSettings(line_search=search)}
    found = package.estimate(*pictures, recipe="d2l", **how)
    assert (len(made), found.levels[0].evaluations) == (3, 60)


def test_the_time_is_that_of_all_levels_evaluations(pictures, any_backend):
    found = package.estimate(*pictures, **{**SMALL, "pyramid": [(0.7, 3)]}, backend=any_backend)
    coarse, fine = found.levels
    assert coarse.history == fine.history == 0
    assert coarse.seconds == coarse.first + 2 * coarse.step
    # The finished picture is evaluated, too.
    assert fine.seconds == fine.first + 4 * fine.step
    assert found.seconds == coarse.seconds + fine.seconds > 0


@pytest.mark.parametrize("tile", ["off", 16])
def test_what_l_bfgs_remembers_takes_time_as_well(pictures, backend, tile):
    how = {**SMALL, "recipe": "d2l", "backend": backend.name, "optimizer": LbfgsSettings(), "tile": tile}
    (level,) = package.estimate(*pictures, style_layers={"conv1_1": 1}, content_layers={"conv1_2": 1}, **how).levels
    assert level.history > 0
    assert level.seconds == level.first + level.evaluations * level.step + level.history


@pytest.mark.parametrize(("updates", "history", "pairs"), [(1, 3, 0), (4, 9, 0 + 1 + 2 + 3), (6, 3, 0 + 1 + 2 + 3 + 3 + 3)])
def test_an_update_looks_at_a_pair_for_each_before_it_up_to_the_history(updates, history, pairs):
    assert remembered(updates, history) == pairs


def test_a_run_that_would_end_at_once_has_a_time_all_the_same(any_backend, pictures):
    """The content image has no gradient, so that L-BFGS ends after one evaluation."""
    content = pictures[0]
    how = {**SMALL, "backend": any_backend, "optimizer": LbfgsSettings(), "style_weight": 0, "tv_weight": 0}
    (level,) = package.estimate(content, content, recipe="d2l", **how).levels
    assert level.step == level.first


def test_losses_that_are_not_finite_at_the_first_step_are_its_failure_too(folder, any_backend, capsys):
    assert isostyle(*RUN, "--backend", any_backend, "--content-weight", "1e39", "--optimizer", "lbfgs", "--dry-run") == 1
    assert "became" in capsys.readouterr().err


def test_an_argument_that_stylize_does_not_have_is_an_error_of_the_program(pictures):
    with pytest.raises(TypeError, match="unexpected keyword argument 'stile'"):
        package.estimate(*pictures, stile=1)


def test_python_is_told_what_the_log_of_the_run_is(pictures, any_backend):
    told, lines = [], []
    how = {**SMALL, "backend": any_backend, "style_size": (96, 144)}
    found = package.estimate(*pictures, log=told.append, **how)
    package.stylize(*pictures, log=lines.append, **how)
    assert told == lines == [f"{found.computer}, float32", *found.lines]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.123, "0.12 s"), (9.9, "9.9 s"), (33.4, "33 s"), (150, "2 min"), (7000, "117 min"), (9000, "2.5 h")],
)
def test_a_time_has_the_digits_that_an_estimate_has(seconds, text):
    assert duration(seconds) == text
