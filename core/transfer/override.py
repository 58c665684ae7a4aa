"""A recipe with some of its values replaced."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from isostyle import recipe_text
from isostyle.checks import plain
from isostyle.errors import InputError, shown
from isostyle.recipe import AdamSettings, Constant, LbfgsSettings, Level, LineSearch, Recipe, Space, StyleSize, Taps
from isostyle.sizes import ExactSize, LongSide, Size

#: Adam's first learning rate where ``optimizer="adam"`` replaces L-BFGS: d2l's, in normalized space; ours in 0..1, which is
#: narrower by ImageNet's std of about 0.23.
ADAM_RATES: dict[Space, float] = {"normalized": 0.3, "unit": 0.07}
#: What ``pyramid=True`` makes of a recipe: coarse levels, evaluations at the full size, and how all of them are optimized.
#: Measured with the compact network before today's, at 300x450 (torch, float32): 500 steps of Adam come to a total of 3.12.
#: This takes 34 evaluations at the full size, which with the levels before them are the work of 53. Without levels it takes
#: 72 (and 200 for 2.25, where levels save an eighth). Taking L-BFGS's scale along saves four evaluations at the full size.
PYRAMID = (Level(0.25, 60), Level(0.5, 60))
PYRAMID_STEPS = 40
PYRAMID_OPTIMIZER = LbfgsSettings(history=20, line_search="strong-wolfe")
#: Starts with nothing of the photograph, and the levels that bring it back, before a recipe's own: at an eighth of the size a
#: tap sees most of a face. (With isostyle's level at a half alone, noise keeps the style and no shapes at all.)
FROM_NOTHING = ("noise", "uniform-noise", "style")
COARSER = (Level(0.125, 100), Level(0.25, 60))


def override(
    base: str | Recipe,
    *,
    size: Size | tuple[int, int] | int | None = None,
    style_size: StyleSize | Size | tuple[int, int] | int | None = None,
    content_layers: Taps | Mapping[str, float] | None = None,
    style_layers: Taps | Mapping[str, float] | None = None,
    optimizer: str | AdamSettings | LbfgsSettings | None = None,
    learning_rate: float | None = None,
    line_search: LineSearch | None = None,
    lbfgs_history: int | None = None,
    pyramid: bool | Sequence[Level | tuple[float, int]] | None = None,
    **changes: Any,
) -> Recipe:
    """A recipe with some of its values replaced; those that are None stay.

    Raises:
        InputError: there is no such recipe, or a value is out of range.
    """
    found = recipe_text.load(base) if isinstance(base, str) else base
    if not isinstance(found, Recipe):
        raise InputError(f"a recipe must be a name, a .toml file or a Recipe, not {shown(found)}")
    changes = {name: value for name, value in changes.items() if value is not None}
    if size is not None:
        changes["size"] = size_of(size)
    if style_size is not None:
        changes["style_size"] = style_size if isinstance(style_size, str) else size_of(style_size, "style size")
        if isinstance(changes["style_size"], Size):
            changes.setdefault("style_scale", 1.0)
    for name, layers in (("content_layers", content_layers), ("style_layers", style_layers)):
        if layers is not None:
            pairs = layers.items() if isinstance(layers, Mapping) else layers
            changes[name] = tuple(pairs) if isinstance(pairs, Iterable) else pairs
    if pyramid is not None:
        changes["pyramid"] = levels_of(pyramid)
    elif found.pyramid and changes.get("start") in FROM_NOTHING:
        changes["pyramid"] = (*COARSER, *(level for level in found.pyramid if level.share > COARSER[-1].share))
    settings = optimizer_of(optimizer, found)
    # A name stands for what is usual: with a pyramid, that has a line search. Settings mean what they say, and a recipe with a
    # pyramid of its own knows its optimizer.
    is_usual = optimizer == "lbfgs" or (optimizer is None and pyramid is not None and not found.pyramid)
    if is_usual and changes.get("pyramid", found.pyramid) and not (found.clamped or found.searches):
        settings = PYRAMID_OPTIMIZER
        changes.setdefault("steps", PYRAMID_STEPS)
    if isinstance(settings, LbfgsSettings):
        changes |= {"schedule": Constant(), "average_decay": 0.0, "carries_moments": False}
    elif line_search is not None or lbfgs_history is not None:
        raise InputError("a line search and a history are L-BFGS's, and the optimizer is Adam: make it lbfgs")
    numbers: dict[str, Any] = {"learning_rate": learning_rate, "line_search": line_search, "history": lbfgs_history}
    given = {name: value for name, value in numbers.items() if value is not None}
    settings = dataclasses.replace(settings, **given)
    return recipe_text.named(dataclasses.replace(found, optimizer=settings, **changes), found)


def size_of(size: Size | tuple[int, int] | int, what: str = "size") -> Size:
    """A size as a user may give it; ``what`` it is called."""
    if isinstance(size, Size):
        return size
    size = plain(size)
    sides = list(size) if isinstance(size, Iterable) else [size]
    if len(sides) not in (1, 2) or any(type(plain(side)) is not int for side in sides):
        raise InputError(f"the {what} must be (height, width), or one number for the longer side, not {shown(size)}")
    return LongSide(*sides) if len(sides) == 1 else ExactSize(*sides)


def optimizer_of(optimizer: str | AdamSettings | LbfgsSettings | None, recipe: Recipe) -> AdamSettings | LbfgsSettings:
    """An optimizer as a user may give it, in place of the one of ``recipe``."""
    if optimizer is None:
        return recipe.optimizer
    if isinstance(optimizer, AdamSettings | LbfgsSettings):
        return optimizer
    if not isinstance(optimizer, str):
        raise InputError(f"the optimizer must be adam, lbfgs or settings of one, not {shown(optimizer)}")
    if optimizer not in ("adam", "lbfgs"):
        raise InputError(f"the optimizer must be adam or lbfgs, not {shown(optimizer)}")
    if optimizer == recipe.optimizer.kind:
        return recipe.optimizer
    return LbfgsSettings() if optimizer == "lbfgs" else AdamSettings(ADAM_RATES[recipe.space])


def levels_of(pyramid: bool | Sequence[Level | tuple[float, int]]) -> tuple[Level, ...]:
    """The levels of a pyramid as a user may give them."""
    pyramid = plain(pyramid)
    if isinstance(pyramid, bool):
        return PYRAMID if pyramid else ()
    try:
        return tuple(level if isinstance(level, Level) else Level(*level) for level in pyramid)
    except TypeError:
        raise InputError(f"a pyramid is True, or levels as (share, evaluations), not {shown(pyramid)}") from None
