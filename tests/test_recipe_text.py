"""Recipes as text: TOML files in and out, rows for people, differences."""

import dataclasses
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isostyle import InputError
from isostyle.network import VGG19
from isostyle.published import D2L, RECIPES, TUTORIAL, find
from isostyle.recipe import AdamSettings, Constant, LbfgsSettings, Level, Recipe, Reporting, StepDecay
from isostyle.recipe_text import differences, from_dict, load, named, read_toml, rows, to_toml
from isostyle.sizes import AsIs, ExactSize, LongSide, ShortSide, Square


def toml(text):
    return read_toml(text.encode(), "my.toml")


# There and back


def test_a_file_has_the_levels_of_a_pyramid():
    recipe = toml('base = "d2l"\npyramid = [{share = 0.25, steps = 60}, {share = 0.5, steps = 40}]\n')
    assert recipe.pyramid == (Level(0.25, 60), Level(0.5, 40))
    assert rows(recipe)["pyramid"] == "0.25 of height and width for 60, 0.5 of height and width for 40"


@pytest.mark.parametrize(
    ("levels", "sentence"),
    [
        ("0.5", "pyramid must be a list of levels"),
        ("[0.5]", r"pyramid\[0\] must be a table"),
        ("[{share = 0.5}]", r"the key pyramid\[0\].steps is missing"),
        ("[{share = 0.5, step = 3}]", r"no key pyramid\[0\].step; did you mean steps"),
        ("[{share = 2, steps = 3}]", "share of a level must be at least 0 and below 1"),
    ],
)
def test_a_bad_level_is_named(levels, sentence):
    with pytest.raises(InputError, match=sentence):
        toml(f'base = "d2l"\npyramid = {levels}\n')


def test_a_file_chooses_a_line_search_which_is_said_in_words():
    recipe = toml('base = "gatys-notebook"\n[optimizer]\nkind = "lbfgs"\nline_search = "strong-wolfe"\nhistory = 20\n')
    assert recipe.optimizer == LbfgsSettings(history=20, line_search="strong-wolfe")
    assert rows(recipe)["optimizer"].startswith("L-BFGS with strong-wolfe line search, learning rate 1")
    with pytest.raises(InputError, match="optimizer.line_search must be one of none, strong-wolfe, not 'wolfe'"):
        toml('base = "gatys2016"\n[optimizer]\nkind = "lbfgs"\nline_search = "wolfe"\n')


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
def test_a_printed_recipe_reads_back_as_itself(recipe):
    assert toml(to_toml(recipe)) == recipe


positive = st.floats(1e-30, 1e30)
weights = st.floats(0, 1e30)
counts = st.integers(1, 10**6)
taps = st.lists(st.sampled_from([layer.name for layer in VGG19.layers]), min_size=1, max_size=5, unique=True).flatmap(
    lambda names: st.tuples(*(st.tuples(st.just(name), positive) for name in names))
)
adam = st.builds(AdamSettings, positive, st.floats(0, 0.999), st.floats(0, 0.999), positive)
lbfgs = st.builds(LbfgsSettings, positive, counts, counts, weights, weights, st.sampled_from(["none", "strong-wolfe"]))
ways = st.one_of(
    st.tuples(adam, st.one_of(st.builds(StepDecay, counts, positive), st.builds(Constant))),
    st.tuples(lbfgs, st.builds(Constant)),
)
sizes = st.one_of(
    st.builds(ExactSize, counts, counts),
    st.builds(LongSide, counts),
    st.builds(ShortSide, counts, st.none() | counts, st.booleans()),
    st.builds(Square, counts),
    st.builds(AsIs),
)
style_sizes = st.one_of(
    st.fixed_dictionaries({"style_size": st.sampled_from(["own", "content", "equal"]), "style_scale": st.floats(0.25, 4)}),
    st.fixed_dictionaries({"style_size": sizes}),
)
shown = st.lists(st.sampled_from(["content", "style", "tv", "total"]), unique=True).flatmap(
    lambda names: st.tuples(*(st.tuples(st.just(name), weights) for name in names))
)


shares = st.lists(st.floats(1e-6, 1, exclude_max=True), unique=True, max_size=3)
names = st.text(st.characters(categories=["L", "N", "P", "S"]), min_size=1, max_size=100).filter(str.isprintable)


@st.composite
def recipes(draw):
    optimizer, schedule = draw(ways)
    space = draw(st.sampled_from(["normalized", "unit"]))
    return Recipe(
        name=draw(names),
        source=draw(st.text()),
        notes=tuple(draw(st.lists(st.text(), max_size=3))),
        content_layers=draw(taps),
        style_layers=draw(taps),
        pooling=draw(st.sampled_from(["max", "average"])),
        gram_divisor=draw(st.sampled_from(["chw", "hw", "1"])),
        content_reduction=draw(st.sampled_from(["mean", "half-sum", "relative"])),
        style_reduction=draw(st.sampled_from(["mean", "mean/chw", "quarter-sum", "relative"])),
        content_weight=draw(weights),
        style_weight=draw(positive),
        tv_weight=draw(weights),
        without_gradient=draw(st.sampled_from([(), ("content",), ("content", "tv")])),
        space=space,
        clamped=space == "unit" and getattr(optimizer, "line_search", "none") == "none" and draw(st.booleans()),
        start=draw(st.sampled_from(["content", "style", "noise", "uniform-noise", "content+noise", "image"])),
        optimizer=optimizer,
        schedule=schedule,
        steps=draw(counts),
        size=draw(sizes),
        **draw(style_sizes),
        report=draw(st.builds(Reporting, counts, counts, shown)),
        pyramid=tuple(Level(share, draw(counts)) for share in sorted(draw(shares))),
    )


@settings(deadline=None)
@given(recipes())
def test_any_recipe_reads_back_as_itself(recipe):
    """Whatever its name, its numbers and its notes: quotes, line breaks, emoji, control characters."""
    assert toml(to_toml(recipe)) == recipe


@settings(deadline=None)
@given(recipes())
def test_any_recipe_comes_back_from_a_manifest(recipe):
    assert from_dict(json.loads(json.dumps(recipe.as_dict()))) == recipe


def test_a_manifest_s_recipe_with_taps_that_are_no_pairs_is_refused():
    with pytest.raises(InputError, match="content_layers must be pairs of a name and a number, not 5"):
        from_dict({**D2L.as_dict(), "content_layers": 5})


@settings(deadline=None)
@given(recipes(), recipes())
def test_two_recipes_differ_in_words_just_where_they_differ_in_numbers(one, other):
    assert (rows(one) == rows(other)) == (one.digest == other.digest and one.report == other.report)


@settings(deadline=None)
@given(st.binary() | st.text().map(str.encode))
def test_any_other_file_is_one_sentence(data):
    with pytest.raises(InputError, match=r"my\.toml"):
        read_toml(data, "my.toml")


# A file of one's own


def test_a_file_may_say_only_what_differs_from_a_published_recipe():
    recipe = toml('base = "tutorial"\nsteps = 50\nstart = "noise"\n[style_layers]\nrelu1_1 = 2\n')
    expected = dataclasses.replace(TUTORIAL, steps=50, start="noise", style_layers=(("relu1_1", 2.0),))
    assert recipe.digest == expected.digest
    assert (recipe.name, recipe.source) == ("tutorial-changed", "tutorial, changed")


def test_a_printed_recipe_that_was_changed_no_longer_claims_to_be_the_published_one():
    recipe = toml(to_toml(D2L).replace("steps = 500", "steps = 499"))
    assert (recipe.name, recipe.source) == ("d2l-changed", "d2l, changed")


def test_a_changed_recipe_keeps_a_source_of_its_own_and_a_name_that_fits():
    assert toml('base = "d2l"\nsource = "mine"\nsteps = 3').source == "mine"
    long = dataclasses.replace(D2L, name="x" * 100)
    assert len(named(dataclasses.replace(long, steps=3), long).name) == 100


def test_a_file_may_give_the_style_image_a_size_of_its_own_or_a_scale():
    assert toml('base = "d2l"\n[style_size]\nkind = "long-side"\npixels = 700\n').style_size == LongSide(700)
    assert toml('base = "d2l"\nstyle_scale = 2\n').style_scale == 2


def test_a_file_that_windows_wrote_with_a_mark_at_its_beginning_is_read():
    assert read_toml(b"\xef\xbb\xbf" + to_toml(D2L).encode(), "my.toml") == D2L


def test_a_file_s_table_takes_the_place_of_the_base_s_whole():
    recipe = toml('base = "d2l"\n[optimizer]\nkind = "lbfgs"\n[schedule]\nkind = "constant"\n')
    assert recipe.optimizer == LbfgsSettings()


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('base = "d2l"\nstep = 3', "there is no key step; did you mean steps?"),
        ('base = "d2l"\nxyzzy = 3', "there is no key xyzzy; there are name, source, notes, content_layers"),
        ('base = "d2l"\nsteps = "x"', "steps must be a whole number, not 'x'"),
        ('base = "d2l"\nsteps = true', "steps must be a whole number, not True"),
        ('base = "d2l"\nsteps = 0', "number of steps must be a whole number of at least 1, not 0"),
        ('base = "d2l"\nclamped = 1', "clamped must be true or false, not 1"),
        ('base = "d2l"\nclamped = true', "only an image of the space 'unit' can be clamped"),
        ('base = "d2l"\npooling = "min"', "pooling must be one of max, average, average-doubled, not 'min'"),
        ('base = "d2l"\nwithout_gradient = ["x"]', "without_gradient must be one of content, style, tv, not 'x'"),
        ('base = "d2l"\nwithout_gradient = "content"', "without_gradient must be a list of content, style, tv, not 'content'"),
        ('base = "d2l"\nwithout_gradient = ["content", "style", "tv"]', "no term with a weight has a gradient"),
        ('base = "d2l"\nnotes = "x"', "notes must be a list of texts"),
        ('base = "d2l"\nname = 3', "name must be text, not 3"),
        ('base = "d2l"\nstyle_weight = nan', "style weight must be a finite number"),
        ('base = "d2l"\nstyle_weight = "1"', "style_weight must be a number, not '1'"),
        (f'base = "d2l"\nstyle_weight = 1{"0" * 400}', "style_weight is too large"),
        ('base = "d2l"\nsize = 3', r"size must be a table, \[size\], not 3"),
        ('base = "d2l"\n[size]\npixels = 3', "the key size.kind is missing; it is one of exact, long-side, short-side, square"),
        ('base = "d2l"\nlearning_rate = 3', r"there is no key learning_rate; it belongs into \[optimizer\]"),
        ('base = "d2l"\nstyle_size = 3', "style_size must be one of own, content, equal, not 3"),
        ('base = "d2l"\n[style_size]\nkind = "long-side"', "the key style_size.pixels is missing"),
        ('base = "d2l"\nstyle_scale = "2"', "style_scale must be a number, not '2'"),
        ('base = "d2l"\nstyle_scale = 2\n[style_size]\nkind = "as-is"', "a size of its own and a scale"),
        ('base = "d2l"\nname = ""', "name must be 1 to 100 printable characters"),
        ('base = "d2l"\nname = "\\u001b[31mred"', "name must be 1 to 100 printable characters"),
        ('base = "d2l"\nsteps = 1000000001', "number of steps must be a whole number of at most 1000000000"),
        (f'base = "d2l"\nsteps = 0x{"f" * 5000}', "at most 1000000000, not a number of thousands of digits"),
        (
            f'base = "d2l"\npooling = 0x{"f" * 5000}',
            "one of max, average, average-doubled, not a number of thousands of digits",
        ),
        (f'base = "d2l"\ncontent_weight = {"9" * 5000}', "'my.toml' is not a TOML file"),
        (f'base = "d2l"\npooling = "{"x" * 9000}"', "one of max, average, average-doubled, not 'x{59}[.]{3}$"),
        ("a." * 9000 + "a = 1", "more than 16 KiB"),
        ('base = "d2l"\ntv_weight = 0\n[content_layers]\nconv4_4 = 0\n[style_layers]\nconv1_1 = 0', "nothing to optimize"),
        ('base = "d2l"\n[size]\nkind = "short-side"', "the key size.pixels is missing"),
        ('base = "d2l"\n[size]\nkind = "as-is"\npixels = 3', "there is no key size.pixels; there are none here"),
        ('base = "d2l"\n[size]\nkind = ["as-is"]', "size.kind must be one of"),
        ('base = "d2l"\n[content_layers]\nconv4_2 = "a"', "content_layers.conv4_2 must be a number, not 'a'"),
        ('base = "d2l"\n[content_layers]', "needs at least one content layer"),
        (
            'base = "d2l"\n[report]\nfirst = 1\nevery = 2\n[report.values]\nloss = 1',
            "one of content, style, tv, total, not 'loss'",
        ),
        ('base = "d2l"\n[optimizer]\nkind = "lbfgs"', "L-BFGS has no schedule but 'constant'"),
        (
            'base = "d2l"\n[optimizer]\nkind = "adam"\nlearning_rate = 1\nbeta1 = 1.5',
            "beta1 of Adam must be at least 0 and below 1",
        ),
        ('base = "d3l"', "there is no recipe 'd3l'; did you mean 'd2l'?"),
        ("base = 3", "base must be the name of a published recipe, not 3"),
        ("steps = 3", 'the key name is missing, or base = "NAME" for all that a file does not say'),
        ("steps = ", "'my.toml' is not a TOML file"),
        ("a = " + "[" * 10_000, "'my.toml' is not a TOML file"),
    ],
    ids=lambda value: value[:40] if isinstance(value, str) else None,
)
def test_a_bad_file_is_answered_with_its_key_and_what_it_may_be(text, sentence):
    with pytest.raises(InputError, match=sentence):
        toml(text)


def test_a_file_that_is_not_there_is_an_error_and_a_name_is_a_published_recipe():
    with pytest.raises(InputError, match="there is no file 'nowhere.toml'"):
        load("nowhere.toml")
    assert load("d2l") is D2L


# For people


def test_differences_name_what_differs_and_nothing_else():
    assert set(differences(D2L, find("d2l-mxnet-tab"))) == {"optimizer"}
    assert set(differences(D2L, find("d2l-torch-tab"))) == {"content layers", "style layers"}
    assert differences(D2L, D2L) == {}


NUDGED = {
    "weights": {"tv_weight": 10.000000001},
    "optimizer": {"optimizer": AdamSettings(0.30000000001)},
    "schedule": {"schedule": StepDecay(50, 0.80000000001)},
    "content layers": {"content_layers": (("conv4_4", 1.00000000001),)},
}


@pytest.mark.parametrize("row", NUDGED)
def test_a_difference_in_the_last_digit_is_shown(row):
    assert set(differences(D2L, dataclasses.replace(D2L, **NUDGED[row]))) == {row}


def test_a_style_image_of_another_size_is_said_in_words():
    assert rows(dataclasses.replace(D2L, style_scale=1.5))["style image"] == "exactly 300x450 (height x width); times 1.5"
    own = rows(dataclasses.replace(D2L, style_size=LongSide(700)))
    assert own["style image"] == "by a rule of its own: longer side 700, aspect kept"


LBFGS_NUDGED = [
    {"learning_rate": 1.00000000001},
    {"tolerance_gradient": 1.00000000001e-7},
    {"tolerance_change": 1.0000000001e-9},
]


@pytest.mark.parametrize("change", LBFGS_NUDGED, ids=str)
def test_a_difference_in_the_last_digit_of_lbfgs_is_shown(change):
    other = dataclasses.replace(TUTORIAL, optimizer=dataclasses.replace(TUTORIAL.optimizer, **change))
    assert set(differences(TUTORIAL, other)) == {"optimizer"}
