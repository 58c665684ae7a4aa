"""``gradient``: of the total, and of content, style and total variation alone, with respect to the image."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from isostyle.conformance.cases import Case
from isostyle.conformance.kinds.kind import ENGINE, Kind, Points, engine_of, recipe_of
from isostyle.conformance.kinds.terms import rms
from isostyle.conformance.oracle.engine import OracleEngine, enter
from isostyle.conformance.tolerances import EPS, Notes, Tolerance, relative_norm
from isostyle.interface import Array, Targets
from isostyle.recipe import Recipe

if TYPE_CHECKING:
    from isostyle.conformance.subjects import Subject

TERMS = ("content", "style", "tv")
#: Features are right to some 7 eps of their root mean square, single values to some 40. Rounding can turn a decision of a ReLU
#: or a pooling that is closer than this many eps.
DECIDED = 64


def differentiated(eps: float, expected: Array, notes: Notes) -> float:
    """The gradient of mean((F - P)^2) has F - P in it, which has lost what F and P have in common.

    Decisions that are closer than rounding may go either way.
    """
    turned = notes["turned"] if notes["margin"] < DECIDED * eps else 0.0
    return (64 + 16 * notes["cancellation"]) * eps + turned


GRADIENT = Tolerance(
    "gradient",
    relative_norm,
    differentiated,
    "relative norm",
    "(64 + 16 c) eps with c the size of features and targets over that of their difference: 6 eps were seen for c near 1. "
    "Mistakes too small for that in float32 (all of total variation, in the recipe painterly: 7e-6) show in float64. Where a "
    "ReLU or a pooling decides by less than 64 eps, rounding may send its gradient elsewhere: the oracle turns each such "
    "decision, and what that changes is added",
)


def probe(subject: Subject, case: Case, dtype: str) -> Points:
    engine, recipe = engine_of(subject, case, dtype), recipe_of(case)
    content, style, image = subject.scene(case)
    targets = engine.targets(recipe, content, style)
    found = {"total": engine.array(engine.objective(recipe, targets)(engine.tensor(image)).gradient)}
    for term in with_gradient(recipe):
        found[term] = engine.array(engine.objective(alone(recipe, term), targets)(engine.tensor(image)).gradient)
    return found


def with_gradient(recipe: Recipe) -> list[str]:
    """The kinds of terms that have a gradient."""
    return [term for term in TERMS if getattr(recipe, f"{term}_weight") > 0 and term not in recipe.without_gradient]


def alone(recipe: Recipe, term: str) -> Recipe:
    """``recipe`` with one kind of term left."""
    others: dict[str, Any] = {f"{other}_weight": 0.0 for other in TERMS if other != term}
    return dataclasses.replace(recipe, **others)


def at_one_layer(recipe: Recipe, term: str, layer: tuple[str, float]) -> Recipe:
    """``recipe`` with one layer left for content or style."""
    layers = (layer,)
    if term == "content":
        return dataclasses.replace(recipe, content_layers=layers)
    return dataclasses.replace(recipe, style_layers=layers)


def notes(subject: Subject, case: Case) -> Mapping[str, float]:
    """``margin``: of the closest decision. ``close``: how many decisions are closer than rounding in float32. ``turned``: how
    far a gradient would be off, in relative norm, if each of those went the other way. ``cancellation``: that of each term,
    weighed by the term's share of the gradient."""
    engine: Any = engine_of(subject, case, "float64")
    recipe = recipe_of(case)
    content, style, image = subject.scene(case)
    targets = engine.targets(recipe, content, style)
    return Gradients(engine, recipe, targets, engine.tensor(image)).notes()


class Gradients:
    """The oracle's gradients at one image, with and without turned decisions."""

    def __init__(self, engine: OracleEngine, recipe: Recipe, targets: Targets, image: Array) -> None:
        self.engine, self.recipe, self.targets, self.image = engine, recipe, targets, image
        self.maps = engine.maps(enter(image, recipe), recipe.taps, recipe.pooling)

    def gradient(self, part: Recipe, turned: Mapping[str, Sequence[int]] | None = None) -> Array:
        gradients = self.engine.terms(part, self.targets, self.maps, self.image)[1]
        return self.engine.backward(part, self.maps, gradients, turned)

    def notes(self) -> dict[str, float]:
        distances = list(self.engine.decisions(self.maps, self.recipe.pooling))
        least = min((float(distance.min(initial=math.inf)) for _, distance in distances), default=math.inf)
        close = [(name, int(i)) for name, x in distances for i in np.flatnonzero(x.ravel() < DECIDED * EPS["float32"])]
        found = {"~margin": least, "~close": float(len(close))}
        lost, off = {}, {}
        for term in with_gradient(self.recipe):
            whole = alone(self.recipe, term)
            gradient = self.gradient(whole)
            lost[term] = self.lost(whole, term)
            off[term] = math.fsum(norm(self.gradient(whole, {name: [i]}) - gradient) for name, i in close if term != "tv")
            found[f"{term}~cancellation"] = lost[term] / (norm(gradient) or 1.0)
            found[f"{term}~turned"] = off[term] / (norm(gradient) or 1.0)
        size = norm(self.gradient(self.recipe)) or 1.0
        found["total~cancellation"] = math.fsum(lost.values()) / size
        found["total~turned"] = math.fsum(off.values()) / size
        return found

    def lost(self, whole: Recipe, term: str) -> float:
        """The norm of each layer's gradient times its cancellation, added up. ``whole`` is the recipe with ``term`` alone."""
        found = 0.0
        for tap, weight in {"content": whole.content_layers, "style": whole.style_layers}.get(term, ()):
            if weight > 0:  # of weight 0 it adds nothing, and alone it would be no recipe
                found += norm(self.gradient(at_one_layer(whole, term, (tap, weight)))) * self.cancellation(term, tap)
        return found

    def cancellation(self, term: str, tap: str) -> float:
        """The size of features and targets over what is left of it when one is subtracted from the other."""
        divisor = self.recipe.gram_divisor
        mine = self.maps[tap] if term == "content" else self.engine.gram(self.maps[tap], divisor)
        theirs = self.targets.content[tap] if term == "content" else self.targets.style[tap]
        apart = rms(mine - theirs)
        return (rms(mine) + rms(theirs)) / apart if apart else 0.0


def norm(x: Array) -> float:
    return float(np.linalg.norm(x))


GRADIENTS = Kind("gradient", probe, (GRADIENT,), notes=notes, parts=(ENGINE,))
