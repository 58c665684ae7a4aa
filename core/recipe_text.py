"""Recipes as text: rows to read and compare, and TOML files to keep and change.

A file has every value, or names a published recipe as its ``base`` and has what differs. ``isostyle recipes NAME --toml``
prints one to start from.
"""

from __future__ import annotations

import dataclasses
import difflib
import json
import os
import tomllib
import types
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from isostyle.checks import parsed
from isostyle.errors import InputError, shown
from isostyle.published import RECIPES, find
from isostyle.recipe import (
    LATER,
    LONGEST_NAME,
    AdamSettings,
    Constant,
    LbfgsSettings,
    Level,
    Recipe,
    Reporting,
    StepDecay,
    brief,
)
from isostyle.sizes import AsIs, ExactSize, LongSide, ShortSide, Size, Square
from isostyle.system.files import read_input

#: The longest published recipe has 4 KiB; Python's reader takes seconds for a hostile file ten times as long.
MAX_BYTES = 16 * 1024
#: A ``--recipe`` that ends so is a file.
SUFFIX = ".toml"
#: What a table with a ``kind`` can be.
KINDS: dict[str, tuple[type, ...]] = {
    "optimizer": (AdamSettings, LbfgsSettings),
    "schedule": (StepDecay, Constant),
    "size": (ExactSize, LongSide, ShortSide, Square, AsIs),
    "style_size": (ExactSize, LongSide, ShortSide, Square, AsIs),
}
#: Tables of layers and their weights, or of what is reported and its factor.
PAIRS = ("content_layers", "style_layers", "values")
#: What a printed file says above a key.
COMMENTS = {
    "content_layers": "Layers by name, and the weight of each: conv4_4 is a convolution, relu4_4 the ReLU after it.",
    "gram_divisor": "Gram matrices are divided by channels * height * width, height * width, or nothing.",
    "content_reduction": "Squared differences become their mean, half of their sum, or a share of the target's squares.",
    "style_reduction": "The mean over C^2; that over C H W; the sum over 4 C^2 (H W)^2; a share of the target's squares; or "
    "the Wasserstein distance, which knows features by means and covariances.",
    "content_weight": "Weights in the total that is minimized.",
    "without_gradient": 'Of "content", "style", "tv": counted in the total, but moving nothing.',
    "space": "What is optimized: the normalized image, or the one in 0..1, normalized inside the network.",
    "clamped": "Whether the image is clamped to 0..1 before every evaluation; for the space unit only.",
    "steps": "Evaluations, each followed by an update of the image; L-BFGS without line search makes whole blocks of updates.",
    "style_size": "The style image's size: by the same rule, exactly the content image's, or by the same rule, and equal; or a "
    "table, as [size] is. With style_scale = 2 it is twice as high and wide, and so are strokes.",
    "pyramid": "Coarse levels, made first: a share of height and width, and evaluations there.",
    "margin": "Pixels by which both images are continued on every side, mirrored, until the end: no frame is painted.",
    "first_padding": "What the first convolution sees beyond the image: zeros, or its border, repeated.",
    "variation": "Mean absolute differences along axes; mean squared ones, diagonals too; half the sum of squares along axes.",
    "average_decay": "The picture is the average of all images of a level, each by this less than the next; 0: the last.",
    "carries_moments": "Whether Adam's moments go on at the next level of a pyramid.",
    "report": "What is printed, and when; what a value is multiplied by when it is shown.",
}

CHANGED = "-changed"
HEADER = """\
# A recipe for isostyle: `isostyle run photo.jpg painting.jpg --recipe FILE.toml`. Change what you like. A file may also begin
# with `base = "NAME"`, a published recipe, and say only what differs; a table that it has takes the place of the base's whole.
"""


def load(name: str) -> Recipe:
    """The recipe in the file ``name``, which ends in ``.toml``, or the published one of that name.

    Raises:
        InputError: there is none, or the file cannot be used; the message names the key and what it may be.
    """
    if is_file(name):
        return read_toml(read_input(Path(name)), name)
    if name not in RECIPES and os.path.isfile(name):
        raise InputError(f"{name!r} is a file, and a recipe's file ends in {SUFFIX}")
    return find(name)


def is_file(name: str) -> bool:
    return name.lower().endswith(SUFFIX)


def named(changed: Recipe, base: Recipe) -> Recipe:
    """``changed`` with a name and a source that do not claim to be ``base``, if it computes something else."""
    if changed.digest == base.digest or changed.name != base.name:
        return changed
    name = base.name.removesuffix(CHANGED)
    source = f"{name}, changed" if changed.source == base.source else changed.source
    return dataclasses.replace(changed, name=name[: LONGEST_NAME - len(CHANGED)] + CHANGED, source=source)


def rows(recipe: Recipe) -> dict[str, str]:
    """Every number of a recipe, in words, by what it is."""
    divisors = {"chw": "channels * height * width", "hw": "height * width", "1": "1"}
    contents = {
        "mean": "mean squared difference",
        "half-sum": "half of the sum of squared differences",
        "relative": "sum of squared differences / that of the target's squares",
    }
    styles = {
        "mean": "mean squared difference of Gram matrices",
        "mean/chw": "mean squared difference of Gram matrices / (C H W)",
        "quarter-sum": "sum of squared differences of Gram matrices / (4 C^2 (H W)^2)",
        "relative": "sum of squared differences of Gram matrices / that of the target's squares",
        "wasserstein": "squared Wasserstein distance of Gaussians with the features' means and covariances / C",
    }
    variations = {
        "absolute": "(mean |dy| + mean |dx|) / 2 of the image that is optimized",
        "squared": "mean squares of all eight neighbors' differences in the image that is optimized",
    }
    variations["half-sum"] = "sum of (dy^2 + dx^2) / 2 of the image that is optimized"
    paddings = {"zeros": "zeros", "replicate": "zeros; at the first convolution the border, repeated"}
    spaces = {
        "normalized": "the normalized image",
        "unit": "the image in 0..1, normalized inside the network",
    }
    clamped = "clamped to 0..1 before every evaluation" if recipe.clamped else "unbounded; clipped to 0..1 when saved"
    return {
        "content layers": taps_text(recipe.content_layers),
        "style layers": taps_text(recipe.style_layers),
        "pooling": recipe.pooling,
        "padding": paddings[recipe.first_padding],
        "Gram divisor": divisors[recipe.gram_divisor],
        "content loss": contents[recipe.content_reduction],
        "style loss": styles[recipe.style_reduction],
        "total variation": variations[recipe.variation] if recipe.tv_weight else "none",
        "weights": f"content {brief(recipe.content_weight)}, style {brief(recipe.style_weight)}, TV {brief(recipe.tv_weight)}",
        "without gradient": ", ".join(recipe.without_gradient) or "none",
        "start": recipe.start,
        "optimized": f"{spaces[recipe.space]}, {clamped}",
        "optimizer": str(recipe.optimizer),
        "schedule": f"{recipe.steps} evaluations{blocks_text(recipe)}, {recipe.schedule}",
        "size": str(recipe.size),
        "pyramid": (", ".join(map(str, recipe.pyramid)) or "none") + "; Adam's moments go on" * recipe.carries_moments,
        "picture": f"average with decay {brief(recipe.average_decay)}" if recipe.average_decay else "the last image",
        "style image": style_size_text(recipe),
        "margin": f"{recipe.margin} pixels, mirrored, cut off in the end" if recipe.margin else "none",
        "reported": str(recipe.report),
    }


def style_size_text(recipe: Recipe) -> str:
    sizes = {"own": str(recipe.size), "content": "exactly the content image's", "equal": "the same; must come out equal"}
    size = recipe.style_size
    text = f"by a rule of its own: {size}" if isinstance(size, Size) else sizes[size]
    return text if recipe.style_scale == 1 else f"{text}; times {brief(recipe.style_scale)}"


def taps_text(taps: tuple[tuple[str, float], ...]) -> str:
    return "  ".join(f"{tap} x {brief(weight)}" for tap, weight in taps)


def blocks_text(recipe: Recipe) -> str:
    updates = recipe.levels[-1][1].updates
    return "" if updates == recipe.steps else f", in whole blocks {updates}"


def differences(one: Recipe, other: Recipe) -> dict[str, tuple[str, str]]:
    """The rows in which two recipes differ, with what each has."""
    ours, theirs = rows(one), rows(other)
    return {key: (ours[key], theirs[key]) for key in ours if ours[key] != theirs[key]}


# TOML out


def to_toml(recipe: Recipe) -> str:
    """A file that :func:`read_toml` reads back as an equal recipe, with what each key may be."""
    values = {**recipe.as_dict(), **{name: getattr(recipe, name) for name in LATER}}
    lines = [HEADER]
    tables = []
    for name, value in values.items():
        if isinstance(value, dict) or name in PAIRS:
            tables.append((name, value))
            continue
        lines += [f"# {line}" for line in comments(name)]
        lines.append(f"{name} = {toml_value(value)}")
    for name, value in tables:
        lines += ["", *(f"# {line}" for line in comments(name)), *toml_table(name, value)]
    return "\n".join(lines) + "\n"


def comments(name: str) -> Iterator[str]:
    if name in COMMENTS:
        yield COMMENTS[name]
    if choices := choices_of(get_type_hints(Recipe)[name]):
        yield " | ".join(choices)
        return
    for kind in KINDS.get(name, ()):
        keys = [field.name for field in dataclasses.fields(kind) if field.init]
        yield f"kind = {toml_value(kind_of(kind))}: {', '.join(keys) or 'nothing else'}"


def toml_table(name: str, value: Any) -> Iterator[str]:
    yield f"[{name}]"
    entries = dict(value)
    if "kind" in entries:
        # The last field of its class, and the first that a reader wants to know.
        entries = {"kind": entries["kind"], **entries}
    for key, entry in entries.items():
        if key in PAIRS:
            yield from toml_table(f"{name}.{key}", entry)
        elif entry is not None:
            yield f"{key} = {toml_value(entry)}"


def toml_value(value: Any) -> str:
    """JSON's spelling of text, numbers, booleans and lists is TOML's, but for DEL, which TOML wants escaped."""
    if isinstance(value, dict):
        return f"{{{', '.join(f'{key} = {toml_value(entry)}' for key, entry in value.items())}}}"
    if isinstance(value, list):
        return f"[{', '.join(toml_value(entry) for entry in value)}]" if len(value) < 2 else toml_lines(value)
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def toml_lines(values: list[Any]) -> str:
    return "[\n" + "".join(f"    {toml_value(value)},\n" for value in values) + "]"


# TOML in


def read_toml(data: bytes, name: str) -> Recipe:
    """The recipe in ``data``, the bytes of a TOML file called ``name``.

    Raises:
        InputError: it is no TOML, or a key is unknown, missing or has a bad value; the message names the key.
    """
    if len(data) > MAX_BYTES:
        raise InputError(f"{name!r} has more than {MAX_BYTES // 1024} KiB, and no recipe needs so many")
    try:
        found = parsed(tomllib.loads, data.decode("utf-8-sig"))
    except ValueError as error:
        # tomllib's own error is a ValueError, and so is Python's limit for the digits of a number.
        raise InputError(f"{name!r} is not a TOML file: {error}") from None
    try:
        return parse(found)
    except InputError as error:
        raise InputError(f"{name!r}: {error}") from None


def parse(table: Mapping[str, Any]) -> Recipe:
    """The recipe that ``table``, a TOML file's, says."""
    rest = dict(table)
    base = rest.pop("base", None)
    if base is not None and not isinstance(base, str):
        raise InputError(f"base must be the name of a published recipe, not {shown(base)}")
    values = build(Recipe, rest, "", complete=base is None)
    if base is not None:
        return named(dataclasses.replace(find(base), **values), find(base))
    recipe = Recipe(**values)
    return named(recipe, RECIPES[recipe.name]) if recipe.name in RECIPES else recipe


def from_dict(values: Mapping[str, Any]) -> Recipe:
    """The recipe of which :meth:`isostyle.recipe.Recipe.as_dict` made ``values``, as manifests and style networks have them.

    Raises:
        InputError: as :func:`read_toml`.
    """

    def table(values: Mapping[str, Any]) -> dict[str, Any]:
        found = {}
        for key, value in values.items():
            try:
                found[key] = dict(value) if key in PAIRS else table(value) if isinstance(value, dict) else value
            except (TypeError, ValueError):
                raise InputError(f"{key} must be pairs of a name and a number, not {shown(value)}") from None
        return found

    return parse(table(values))


def build(kind: type, table: Mapping[str, Any], place: str, *, complete: bool = True) -> dict[str, Any]:
    """The fields of the dataclass ``kind`` from ``table``, which stands at ``place`` (``"size."``; empty for the file itself).

    Raises:
        InputError: a key is unknown, a value is of the wrong type, or, if it has to be ``complete``, one is missing.
    """
    fields = {field.name: field for field in dataclasses.fields(kind) if field.init}
    hints = get_type_hints(kind)
    for key in table:
        if key not in fields:
            near = difflib.get_close_matches(key, fields, n=1)
            tables = [table for table, kinds in KINDS.items() if any(key in get_type_hints(one) for one in kinds)]
            hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(fields) or 'none here'}"
            if kind is Recipe and tables and not near:
                hint = f"it belongs into [{tables[0]}]"
            raise InputError(f"there is no key {place}{shown(key)[1:-1]}; {hint}")
    missing = [
        name
        for name, field in fields.items()
        if name not in table and field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
    ]
    if complete and missing:
        hint = ', or base = "NAME" for all that a file does not say' if not place else ""
        raise InputError(f"the key {place}{missing[0]} is missing{hint}")
    return {key: value_of(hints[key], key, value, place + key) for key, value in table.items()}


def value_of(hint: Any, key: str, value: Any, place: str) -> Any:
    """``value``, which TOML has at ``place``, as the type that ``hint`` asks for."""
    if key in KINDS and (isinstance(value, dict) or not choices_of(hint)):
        return table_of_kind(key, value, place)
    if key == "report":
        return Reporting(**build(Reporting, table_of(value, place), f"{place}."))
    if key == "pyramid":
        if not isinstance(value, list):
            raise InputError(f"{place} must be a list of levels, as {{share = 0.5, steps = 40}}, not {shown(value)}")
        places = [f"{place}[{i}]" for i in range(len(value))]
        return tuple(Level(**build(Level, table_of(entry, at), f"{at}.")) for entry, at in zip(value, places, strict=True))
    if key in PAIRS:
        return tuple((name, number(entry, f"{place}.{shown(name)[1:-1]}")) for name, entry in table_of(value, place).items())
    if choices := choices_of(hint):
        if get_origin(hint) is tuple:
            if not isinstance(value, list):
                raise InputError(f"{place} must be a list of {', '.join(choices)}, not {shown(value)}")
            return tuple(choice(entry, choices, place) for entry in value)
        return choice(value, choices, place)
    if key == "notes":
        if not isinstance(value, list) or not all(isinstance(entry, str) for entry in value):
            raise InputError(f"{place} must be a list of texts, not {shown(value)}")
        return tuple(value)
    wanted = get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)
    if float in wanted:
        return number(value, place)
    names = {str: "text", int: "a whole number", bool: "true or false"}
    # In Python a bool is an int too.
    if type(value) not in wanted:
        raise InputError(f"{place} must be {names[wanted[0]]}, not {shown(value)}")
    return value


def table_of_kind(key: str, value: Any, place: str) -> Any:
    """An optimizer, schedule or size: the class that the table's ``kind`` names, made of the rest."""
    table = dict(table_of(value, place))
    kinds = {kind_of(kind): kind for kind in KINDS[key]}
    if "kind" not in table:
        raise InputError(f"the key {place}.kind is missing; it is one of {', '.join(kinds)}")
    kind = kinds[choice(table.pop("kind"), tuple(kinds), f"{place}.kind")]
    return kind(**build(kind, table, f"{place}."))


def table_of(value: Any, place: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise InputError(f"{place} must be a table, [{place}], not {shown(value)}")
    return value


def choice(value: Any, choices: tuple[str, ...], place: str) -> str:
    if value not in choices:
        raise InputError(f"{place} must be one of {', '.join(choices)}, not {shown(value)}")
    return str(value)


def number(value: Any, place: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InputError(f"{place} must be a number, not {shown(value)}")
    try:
        return float(value)
    except OverflowError:
        raise InputError(f"{place} is too large") from None


def kind_of(kind: type) -> str:
    """What ``kind = `` is in a table of that class."""
    return str(next(field.default for field in dataclasses.fields(kind) if field.name == "kind"))


def choices_of(hint: Any) -> tuple[str, ...]:
    """The values of a Literal, or of a tuple of them, or of what may also be something else; none for other types."""
    if get_origin(hint) in (tuple, Union):
        return choices_of(get_args(hint)[0])
    return get_args(hint) if get_origin(hint) is Literal else ()
