"""Whatever stands on the command line, or in a small file that it names: it becomes a value within its bounds, or one sentence.

By hypothesis, from a fixed seed: any text, and text made of the pieces that a right argument has. Recipes have theirs in
test_recipe_text.py, tiles in test_tiles.py and test_transform_tiles.py; files of every kind, whole, in scripts/fuzz.py.
"""

import contextlib
import copy
import io
import json
import math
import os
from pathlib import Path

import click
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isostyle import InputError, recipe_text, registry, tiles
from isostyle.checks import MOST
from isostyle.cli import batch as batch_cli
from isostyle.cli import batch_plan, outputs, run_options
from isostyle.cli import main as main_cli
from isostyle.cli import train as train_cli
from isostyle.cli.batch_plan import BatchRun
from isostyle.conformance import commands, declared
from isostyle.conformance.bench import commands as bench
from isostyle.published import D2L
from isostyle.style_networks import file as style_network
from isostyle.system import memory
from isostyle.transfer import manifest as manifests
from isostyle.transfer import override
from isostyle.transform_network import MOST_BLOCKS, MOST_CHANNELS
from isostyle.weights import cache, store

#: The same examples each time, so that CI tells of changes and not of luck; scripts/fuzz.py looks for new ones.
steady = settings(derandomize=True, deadline=None, database=None, max_examples=60)
#: Where each example takes some tens of milliseconds.
short = settings(steady, max_examples=20)
#: Longer than any sentence should be, whatever a user wrote.
LONGEST = 600
HUGE = "9" * 400
#: More digits than Python makes a number of.
ENDLESS = "9" * 5000
NUMBERS = [
    "0",
    "1",
    "3",
    "-2",
    "0.5",
    "1e3",
    "1e400",
    "nan",
    "inf",
    "-inf",
    "1_0",
    "٣",
    "0x10",
    str(MOST),
    str(MOST + 1),
    HUGE,
    ENDLESS,
]
SIGNS = [":", ",", "=", "x", "X", ".", "-", "+", " ", "\n", "\0", "\x1b[2J", "\udcff", "%", "{}", "/", "..", "~", "*", "[", "é"]
WORDS = ["as-is", "long", "short", "square", "conv1_1", "relu4_2", "pool5", "narrow", "paper", "auto", "off", "usual", "none"]
WORDS += ["GiB", "KB", "mib", "cpu", "cuda", "float32", "exact", "torch", "d2l", "compact", "x.toml", "x.safetensors", "png"]


def made_of(*pieces):
    """Any text, or up to seven of these pieces in a row."""
    return st.text(max_size=40) | st.lists(st.sampled_from([*NUMBERS, *SIGNS, *pieces]), max_size=7).map("".join)


def value_or_sentence(function, *arguments):
    """What ``function`` returns; None if it raises an InputError, which says it in one line that no terminal obeys."""
    try:
        return function(*arguments)
    except InputError as error:
        text = str(error)
        assert text.strip()
        assert text.isprintable(), repr(text)
        assert len(text) < LONGEST, text
        return None


def option(name):
    return None, click.Option([name])


# Options


@steady
@given(made_of("as-is", "long:", "short:", "square:", "300x450"))
def test_a_size_is_a_rule_that_makes_pixels_of_any_picture_s(text):
    size = value_or_sentence(run_options.parse_size, *option("--size"), text)
    if size is not None and (recipe := value_or_sentence(lambda: override.override(D2L, size=size))):
        assert all(side >= 1 for side in (*recipe.size.fit(3, 5000), *recipe.size.scaled(5000, 3)))
        assert all(1 <= value <= MOST for value in vars(size).values() if type(value) is int)


@steady
@given(made_of("conv1_1", "relu4_2=0.5", "pool5="))
def test_taps_are_layers_with_finite_weights(text):
    taps = value_or_sentence(run_options.parse_taps, *option("--style-layers"), text)
    if taps is not None and (recipe := value_or_sentence(lambda: override.override(D2L, style_layers=taps))):
        assert recipe.style_layers == taps
        assert all(0 <= weight < math.inf for _, weight in taps)
        assert len({name for name, _ in taps}) == len(taps) > 0


@steady
@given(made_of("0.25:60", "0.5:40,", "usual", "none"))
def test_a_pyramid_has_levels_that_grow(text):
    levels = value_or_sentence(run_options.parse_pyramid, *option("--pyramid"), text)
    if levels is not None and (recipe := value_or_sentence(lambda: override.override(D2L, pyramid=levels))):
        shares = [level.share for level in recipe.pyramid]
        assert shares == sorted(set(shares))
        assert all(0 < share < 1 for share in shares)
        assert all(1 <= level.steps <= MOST for level in recipe.pyramid)


@steady
@given(made_of("narrow", "paper", "12,24,48"))
def test_a_width_is_three_numbers_of_channels(text):
    network = value_or_sentence(train_cli.parse_width, *option("--width"), text)
    if network is not None:
        value_or_sentence(network.check)
        with contextlib.suppress(InputError):
            network.check()
            assert all(1 <= width <= MOST_CHANNELS for width in network.widths)
            assert 0 <= network.blocks <= MOST_BLOCKS


@steady
@given(made_of("off", "400:0.7"))
def test_a_decay_is_a_factor_above_0_every_so_many_steps(text):
    schedule = value_or_sentence(train_cli.parse_decay, *option("--decay"), text)
    if schedule is not None:
        with contextlib.suppress(InputError):
            schedule.check()
            assert 0 < getattr(schedule, "factor", 1) < math.inf
            assert 1 <= getattr(schedule, "every", 1) <= MOST


@steady
@given(made_of("GiB", "KB", " mib", "1.5"))
def test_an_amount_of_memory_is_a_whole_number_of_bytes(text):
    found = value_or_sentence(memory.parse, text)
    assert found is None or (isinstance(found, int) and found > 0)


@steady
@given(made_of("auto", "off", "512"))
def test_a_tile_is_a_side_or_a_word(text):
    found = value_or_sentence(tiles.parse_tile, text)
    assert found in (None, "auto", "off") or 1 <= found <= MOST


@steady
@given(made_of("150x225", ",300x450"))
def test_sizes_to_measure_are_pairs_of_sides(text):
    found = value_or_sentence(bench.parse_sizes, *option("--sizes"), text)
    # What is too small or too large for a network is said when that is known.
    assert found is None or all(isinstance(side, int) for size in found for side in size)


@steady
@given(made_of("mxnet=python", "=", "torch=x"))
def test_names_with_paths_are_pairs(text):
    found = value_or_sentence(commands.pairs, [text, "a=b"], "--python")
    assert found is None or all(name and value for name, value in found.items())


@steady
@given(made_of("png", ".jpg", "WEBP"))
def test_a_format_is_a_suffix(text):
    found = value_or_sentence(outputs.suffix_of, text)
    assert found is None or found in {".png", ".jpg", ".webp"} or found.startswith(".")


@steady
@given(made_of("cpu", "cuda:1", "auto"))
def test_a_device_is_one_that_is_there(text):
    assert value_or_sentence(registry.choose_device, text, ["cuda", "cpu"], "torch") in (None, "cuda", "cpu")


@short
@given(made_of("torch-", "toy").filter(lambda text: text not in ("auto", *registry.names())))
def test_a_backend_that_is_not_registered_is_a_sentence(text):
    assert value_or_sentence(registry.load, text, 1) is None


@steady
@given(
    made_of("vgg", "x.safetensors", "x.toml").filter(
        lambda text: text not in ("compact", "vgg19", "vgg16", "d2l") and len(text) < 250
    )
)
def test_names_of_networks_recipes_and_styles_that_are_not_there_are_a_sentence(text):
    for find in (store.load, recipe_text.load, style_network.find):
        assert value_or_sentence(find, text) is None


@steady
@given(st.integers() | st.floats() | st.booleans() | st.none() | st.text(max_size=9), st.data())
def test_whatever_a_program_hands_to_override_is_a_recipe_or_a_sentence(value, data):
    names = ["size", "steps", "content_weight", "style_weight", "tv_weight", "content_layers", "style_layers", "pooling"]
    names += ["optimizer", "learning_rate", "line_search", "lbfgs_history", "pyramid", "style_size", "style_scale"]
    name = data.draw(st.sampled_from(names))
    recipe = value_or_sentence(lambda: override.override(D2L, **{name: value}))
    assert recipe is None or recipe_text.from_dict(json.loads(json.dumps(recipe.as_dict()))).digest == recipe.digest


# Small files


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """An empty folder, which the tests of this file work in."""
    return tmp_path_factory.mktemp("arguments")


@pytest.fixture(scope="module", autouse=True)
def working_there(place):
    before = Path.cwd()
    os.chdir(place)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(cache.VARIABLE, str(place / "cache"))
        yield
    os.chdir(before)


TABLE_LINES = [
    "[[run]]",
    "[run]",
    'content = "a.png"',
    'style = "b.png"',
    'output = "c.png"',
    "steps = 3",
    "quiet = true",
    "a = [[]]",
]
TABLE_LINES += [
    'contents = ["a.png", "d.png"]',
    'styles = ["b.png"]',
    "steps = nan",
    "d = 1979-05-27",
    "content = 3",
    'contents = ["*"]',
]
ROWS = [
    "content,style,output",
    "content,style,steps",
    "a.png,b.png,c.png",
    "a.png,b.png,",
    ",,",
    "a,b,c,d",
    '"',
    "a.png,b.png,\0",
    "",
]


@steady
@given(
    st.sampled_from([".toml", ".csv"]), st.text(max_size=40) | st.lists(st.sampled_from([*TABLE_LINES, *ROWS])).map("\n".join)
)
def test_a_table_is_runs_of_which_each_has_a_picture_of_its_own(place, kind, text):
    table = place / f"table{kind}"
    table.write_text(text, errors="surrogateescape")
    runs = value_or_sentence(batch_plan.read_table, table, place / "out", ["--steps=2"])
    table.unlink()
    if runs is not None:
        assert len({run.output for run in runs}) == len(runs) > 0
        assert all(isinstance(part, str) for run in runs for part in run.arguments)


DEVIATIONS = [
    "[[deviation]]",
    'expect = "fail"',
    'expect = "skip"',
    'case = "a*"',
    'reason = "r"',
    'reason = " "',
    'points = ["*"]',
]
DEVIATIONS += ["points = 3", "dtype = 5", 'link = "l"', "[deviation]", "deviation = 3", "other = 1", "case = [1]"]


@steady
@given(st.text(max_size=40) | st.lists(st.sampled_from(DEVIATIONS)).map("\n".join))
def test_declared_deviations_all_have_a_reason(place, text):
    file = place / "deviations.toml"
    file.write_text(text, errors="surrogateescape")
    found = value_or_sentence(declared.deviations, "toy", file)
    assert found is None or all(each.reason.strip() and each.expect in ("fail", "skip") for each in found)


plain = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9) | st.just(10**400)
trees = st.recursive(plain, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3))


def changed(tree, data):
    """``tree`` with up to three of its values replaced or taken away."""
    tree = copy.deepcopy(tree)
    for _ in range(data.draw(st.integers(1, 3))):
        places = list(nodes(tree))
        node, key = data.draw(st.sampled_from(places))
        if isinstance(node, dict) and data.draw(st.booleans()):
            del node[key]
        else:
            node[key] = data.draw(trees)
        if not tree:
            break
    return tree


def nodes(tree):
    for key, value in list(tree.items()) if isinstance(tree, dict) else list(enumerate(tree)):
        yield tree, key
        if isinstance(value, dict | list) and value:
            yield from nodes(value)


MANIFEST = {
    "schema": manifests.MANIFEST_SCHEMA,
    "isostyle": "0",
    "recipe": {"digest": D2L.digest, **json.loads(json.dumps(D2L.as_dict()))},
    "network": {"name": "compact", "weights": "compact", "weights_sha256": "0"},
    "inputs": {
        role: {"path": f"{role}.png", "file_sha256": "0", "pixels_sha256": "0", "size": [3, 4]} for role in ("content", "style")
    },
    "seed": 0,
    "backend": {"name": "torch", "version": "0", "device": "cpu", "dtype": "float32", "precision": "exact"},
    "threads": 1,
    "versions": {},
    "stopped_by": None,
    "tile": None,
    "losses": {"first": {"total": 2.0}, "last": {"total": 1.0}},
    "result": {"image_sha256": "0", "pixels_sha256": "0"},
}


def test_the_manifest_of_these_tests_is_one(place):
    (place / "m.json").write_text(json.dumps(MANIFEST))
    assert manifests.load(place / "m.json") == MANIFEST


@steady
@given(st.data())
def test_a_manifest_is_whole_or_a_sentence(place, data):
    file = place / "m.json"
    tree = data.draw(trees) if data.draw(st.booleans()) else changed(MANIFEST, data)
    file.write_text(json.dumps(tree))
    found = value_or_sentence(manifests.load, file)
    assert found is None or manifests.recipe_of(found).steps >= 1


@steady
@given(st.data())
def test_a_manifest_beside_an_output_is_asked_and_never_trusted(place, data):
    """Whatever lies there: a run is finished or not, has a total or none; nothing is raised."""
    output = place / "out.png"
    tree = data.draw(trees) if data.draw(st.booleans()) else changed(MANIFEST, data)
    output.with_suffix(".json").write_text(json.dumps(tree))
    manifest = output.with_suffix(".json")
    run = BatchRun(place / "content.png", place / "style.png", output, ())
    told = outputs.said_in(manifest)
    assert outputs.is_unfinished(told, D2L) in (True, False)
    assert batch_cli.is_manifest(told) in (True, False)
    task = batch_cli.Task(run)
    assert isinstance(task.total, float | None)
    with contextlib.suppress(InputError):  # the pictures are not there
        assert task.is_finished() is False
    manifest.unlink()


# The whole command line


def strategies_of(command):
    """Any of a command's options, as often as you like, with values that fit or do not."""
    values = made_of(*WORDS) | st.sampled_from([*NUMBERS, *WORDS, "nowhere/x.png", "nowhere", "x.json", ".", ""])
    values = values.filter(lambda text: "\0" not in text)  # which no system hands to a program
    words = []
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            for name in parameter.opts:
                joined = st.builds("{}={}".format, st.just(name), values)
                words.append(st.just([name]) if parameter.is_flag else joined.map(lambda word: [word]))
    return st.lists(st.one_of(words), max_size=5).map(lambda parts: [word for part in parts for word in part])


#: Arguments that name what is not there: whatever the options are, nothing is computed.
COMMANDS = {
    "run": ["nowhere.jpg", "nowhere.png"],
    "train": ["nowhere.jpg", "nowhere"],
    "apply": ["nowhere.safetensors", "nowhere.jpg"],
    "batch": ["nowhere.toml"],
    "export": ["nowhere.safetensors"],
    "resume": ["nowhere.checkpoint"],
    "rerun": ["nowhere.json"],
    "styles": ["nowhere.safetensors"],
    "recipes": ["nowhere.toml"],
    "conform": ["--deviations=nowhere=nowhere.toml"],
    "conform compare": ["nowhere", "--reference=nowhere"],
    "conform record": ["nobody", "--output=nowhere"],
    "bench": ["nowhere.jpg", "nowhere.png"],
}


@pytest.mark.parametrize("name", COMMANDS)
@short
@given(data=st.data())
def test_a_command_line_about_what_is_not_there_is_one_sentence(place, name, data):
    command = main_cli.cli
    for part in name.split():
        command = command.get_command(click.Context(command), part)
    options = data.draw(strategies_of(command))
    quiet = ["--quiet"] if any("--quiet" in parameter.opts for parameter in command.params) else []
    before = sorted(place.rglob("*"))
    said = io.StringIO()
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()), pytest.raises(SystemExit) as ended:
        main_cli.main([*name.split(), *options, *quiet, *COMMANDS[name]])
    assert ended.value.code in (0, InputError.exit_code), said.getvalue()
    if ended.value.code:
        (line,) = said.getvalue().splitlines()
        assert line.startswith("isostyle: ")
    assert sorted(place.rglob("*")) == before


@steady
@given(
    st.lists(made_of(*WORDS, *COMMANDS, "--help", "--version", "-h"), max_size=3).filter(
        lambda words: not set(words) & RUNNABLE
    )
)
def test_any_first_word_that_is_no_command_is_one_sentence(words):
    said = io.StringIO()
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()), pytest.raises(SystemExit) as ended:
        main_cli.main(words)
    assert ended.value.code in (0, InputError.exit_code)
    if ended.value.code:
        (line,) = said.getvalue().splitlines()
        assert line.startswith("isostyle: ")


#: Words that begin something.
RUNNABLE = {"demo", "bench", "conform", "backends"}
