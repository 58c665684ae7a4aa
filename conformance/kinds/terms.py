"""``terms``: each weighted loss term, and the total."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from isostyle import losses
from isostyle.conformance.cases import FEW_COLORS, Case
from isostyle.conformance.condition import of_distance
from isostyle.conformance.kinds.features import convolutions
from isostyle.conformance.kinds.kind import ENGINE, Kind, Points, engine_of, network_of, recipe_of
from isostyle.conformance.tolerances import EPS, Notes, Tolerance, largest, largest_relative, times
from isostyle.interface import Array
from isostyle.recipe import Recipe

if TYPE_CHECKING:
    from isostyle.conformance.subjects import Subject


def squared(eps: float, expected: Array, notes: Notes) -> float:
    """For L = w mean((F - P)^2) with F and P off by some eps of their size s: the derivative, and the square of the error."""
    added_up = notes["pixels"] / 8 if notes["alike"] else math.sqrt(notes["pixels"])
    weight, off = notes["weight"], (8 + notes["convolutions"] + added_up) * eps * notes["size"]
    return float(8 * eps * expected + 2 * math.sqrt(weight * float(expected)) * off + weight * off**2)


def added(eps: float, expected: Array, notes: Notes) -> float:
    """The bounds of all terms, which ``compare`` adds up (the note ``terms``), and the sum's own rounding."""
    return notes["terms"] + 8 * eps * float(expected)


TERM = Tolerance(
    "loss term",
    largest,
    squared,
    "absolute",
    "8 eps L + 2 sqrt(w L) o + w o^2 with o = (8 + d + sqrt(n)) eps s: after d convolutions, maps or Gram matrices of root "
    "mean square s are off by o, for Gram matrices of n pixels added up one after another (n = 0 for maps); n / 8 instead of "
    "sqrt(n) where all products are alike, as on a checkerboard, and so are their rounding errors (n / 27 was seen). Near the "
    "target the difference cancels, and a relative bound could not hold. 9 eps s were seen at relu5_4, in 60 seeds",
)


def transported(eps: float, expected: Array, notes: Notes) -> float:
    """For a Wasserstein distance: its condition, by map and target, and by the product whose roots are taken in float64."""
    off = (8 + notes["convolutions"]) * eps * notes["condition"]
    return float(8 * eps * expected + off + 16 * EPS["float64"] * notes["roots"])


DISTANCE = Tolerance(
    "Wasserstein distance",
    largest,
    transported,
    "absolute",
    "8 eps L + (8 + d) eps c + 16 e r: c is how much L changes with map and target, r with the product whose eigenvalues' "
    "roots are added up, both for a relative change by 1. After d convolutions a map is off by (8 + d) eps; e is float64's "
    "eps, in which roots are taken whatever the dtype: those of eigenvalues of 1e-8 lose half of its digits",
)
VARIATION = Tolerance(
    "total variation",
    largest_relative,
    times(32),
    "relative",
    "32 eps: no cancellation, and sums add pairwise; 7 were seen. Paddle's mean() has 41 at 300x450, 174 at a million values",
)
TOTAL = Tolerance("total", largest, added, "absolute", "the bounds of its terms, and 8 eps for adding them up")


def probe(subject: Subject, case: Case, dtype: str) -> Points:
    engine, recipe = engine_of(subject, case, dtype), recipe_of(case)
    content, style, image = subject.scene(case)
    found = engine.objective(recipe, engine.targets(recipe, content, style))(engine.tensor(image))
    return {name: np.asarray(float(value), dtype=dtype) for name, value in found.terms.items()}


def notes(subject: Subject, case: Case) -> Mapping[str, float]:
    """``convolutions``: passed so far. ``weight``: what multiplies the mean of squared differences. ``size``: the root mean
    squares of both sides, added up. ``pixels``: how many products a Gram matrix adds up; 0 for maps. ``alike``: 1 if they all
    are. ``condition`` and ``roots``: of a Wasserstein distance, see :func:`~isostyle.conformance.condition.of_distance`."""
    found = convolutions(network_of(subject, case), ["content/", "style/"])
    found["~alike"] = case.scene in FEW_COLORS
    engine: Any = engine_of(subject, case, "float64")
    recipe = recipe_of(case)
    content, style, image = subject.scene(case)
    targets = engine.targets(recipe, content, style)
    maps = engine.features_for(recipe, image, recipe.content_layers + recipe.style_layers)
    for tap, weight in recipe.content_layers:
        name = f"content/{tap}"
        found[f"{name}~weight"] = weight * content_weight(recipe, targets.content[tap])
        found[f"{name}~size"] = rms(maps[tap]) + rms(targets.content[tap])
        found[f"{name}~pixels"] = 0.0
    for tap, weight in recipe.style_layers:
        name = f"style/{tap}"
        if recipe.style_reduction == "wasserstein":
            condition, roots = of_distance(maps[tap], targets.style[tap])
            found[f"{name}~condition"] = recipe.style_weight * weight * condition
            found[f"{name}~roots"] = recipe.style_weight * weight * roots
            continue
        found[f"{name}~weight"] = weight * style_weight(recipe, maps[tap].shape, targets.style[tap])
        found[f"{name}~size"] = rms(engine.gram(maps[tap], recipe.gram_divisor)) + rms(targets.style[tap])
        found[f"{name}~pixels"] = math.prod(maps[tap].shape[2:])
    return found


def content_weight(recipe: Recipe, target: Array) -> float:
    """What the mean of squared differences is multiplied by in the total, whatever the recipe's reduction."""
    return recipe.content_weight * losses.content_scale(target, recipe.content_reduction) * target.size


def style_weight(recipe: Recipe, shape: tuple[int, ...], target: Array) -> float:
    """The same for a Gram matrix of a map of ``shape``."""
    return recipe.style_weight * losses.style_scale(shape, target, recipe.style_reduction) * target.size


def rms(x: Array) -> float:
    return math.sqrt(float(np.square(x).mean()))


def choose(point: str, dtype: str, notes: Notes) -> Tolerance:
    if "roots" in notes:
        return DISTANCE
    return {"tv": VARIATION, "total": TOTAL}.get(point, TERM)


TERMS = Kind("terms", probe, (TERM, DISTANCE, VARIATION, TOTAL), choose, notes, parts=(ENGINE,))
