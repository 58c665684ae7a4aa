"""``gradient``: of the total, and of content, style and total variation alone, with respect to the image."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from isostyle.conformance.cases import Case
from isostyle.conformance.condition import of_gradient
from isostyle.conformance.kinds.kind import ENGINE, Kind, Points, engine_of, recipe_of
from isostyle.conformance.kinds.terms import rms
from isostyle.conformance.oracle.engine import OracleEngine
from isostyle.conformance.tolerances import EPS, Notes, Tolerance, relative_norm
from isostyle.interface import Array, Targets
from isostyle.recipe import AdamSettings, Recipe

if TYPE_CHECKING:
    from isostyle.conformance.subjects import Subject

TERMS = ("content", "style", "tv")
#: Features are right to some 7 eps of their root mean square, single values to some 40. Rounding can turn a decision of a ReLU
#: or a pooling that is closer than this many eps.
DECIDED = 64


def differentiated(eps: float, expected: Array, notes: Notes) -> float:
    """The gradient of mean((F - P)^2) has F - P in it, which has lost what F and P have in common. That of a Wasserstein
    distance has inverse roots of eigenvalues, which rounding, in float64, changes most where they are small.

    Decisions that are closer than rounding may go either way.
    """
    turned = notes["turned"] if notes["margin"] < DECIDED * eps else 0.0
    return (64 + 16 * notes["cancellation"]) * eps + 16 * notes["roots"] * EPS["float64"] + turned


GRADIENT = Tolerance(
    "gradient",
    relative_norm,
    differentiated,
    "relative norm",
    "(64 + 16 c) eps with c the size of features and targets over that of their difference: 6 eps were seen for c near 1. "
    "Mistakes too small for that in float32 (all of total variation, in the recipe painterly: 7e-6) show in float64. Where a "
    "ReLU or a pooling decides by less than 64 eps, rounding may send its gradient elsewhere: the oracle turns each such "
    "decision, and what that changes is added. Of a Wasserstein distance c is its gradient's condition: by how much it changes "
    "with maps and targets; and 16 r eps of float64 are added, r likewise for the product whose inverse root is taken, in "
    "float64 whatever the dtype",
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
    weighed by the term's share of the gradient. ``roots``: likewise, of a Wasserstein distance's product."""
    return gradients(subject, case).notes()


def gradients(subject: Subject, case: Case) -> Gradients:
    """The oracle's gradients in a case."""
    engine: Any = engine_of(subject, case, "float64")
    recipe = recipe_of(case)
    content, style, image = subject.scene(case)
    return Gradients(engine, recipe, engine.targets(recipe, content, style), engine.tensor(image))


class Gradients:
    """The oracle's gradients at one image, with and without turned decisions."""

    def __init__(self, engine: OracleEngine, recipe: Recipe, targets: Targets, image: Array) -> None:
        self.engine, self.recipe, self.targets, self.image = engine, recipe, targets, image
        self.maps = engine.maps_for(recipe, image, recipe.taps)

    def gradient(self, part: Recipe, turned: Mapping[str, Sequence[int]] | None = None) -> Array:
        gradients = self.engine.terms(part, self.targets, self.maps, self.image)[1]
        return self.engine.backward(part, self.maps, gradients, turned)

    def notes(self) -> dict[str, float]:
        distances = list(self.engine.decisions(self.maps, self.recipe.pooling))
        least = min((float(distance.min(initial=math.inf)) for _, distance in distances), default=math.inf)
        close = [(name, int(i)) for name, x in distances for i in np.flatnonzero(x.ravel() < DECIDED * EPS["float32"])]
        found = {"~margin": least, "~close": float(len(close))}
        lost, off, roots = {}, {}, {}
        for term in with_gradient(self.recipe):
            whole = alone(self.recipe, term)
            gradient = self.gradient(whole)
            lost[term], roots[term] = self.lost(whole, term)
            off[term] = math.fsum(norm(self.gradient(whole, {name: [i]}) - gradient) for name, i in close if term != "tv")
            found[f"{term}~cancellation"] = lost[term] / (norm(gradient) or 1.0)
            found[f"{term}~roots"] = roots[term] / (norm(gradient) or 1.0)
            found[f"{term}~turned"] = off[term] / (norm(gradient) or 1.0)
        size = norm(self.gradient(self.recipe)) or 1.0
        found["total~cancellation"] = math.fsum(lost.values()) / size
        found["total~roots"] = math.fsum(roots.values()) / size
        found["total~turned"] = math.fsum(off.values()) / size
        return found

    def lost(self, whole: Recipe, term: str) -> tuple[float, float]:
        """The norm of each layer's gradient times its cancellation, added up; and what :func:`of_gradient` says of its product.
        ``whole`` is the recipe with ``term`` alone."""
        found = roots = 0.0
        for tap, weight in {"content": whole.content_layers, "style": whole.style_layers}.get(term, ()):
            if weight > 0 and term == "style" and whole.style_reduction == "wasserstein":
                by_numbers, by_roots = map(norm, self.changes(tap, weight))
                found, roots = found + by_numbers, roots + by_roots
            elif weight > 0:  # of weight 0 it adds nothing, and alone it would be no recipe
                found += norm(self.gradient(at_one_layer(whole, term, (tap, weight)))) * self.cancellation(term, tap)
        return found, roots

    def changes(self, tap: str, weight: float) -> list[Array]:
        """What :func:`of_gradient` says of a style layer, taken back to the image, and weighed."""
        factor = self.recipe.style_weight * weight
        changes = of_gradient(self.maps[tap], self.targets.style[tap])
        return [self.engine.backward(self.recipe, self.maps, {**self.nothing(), tap: factor * x}) for x in changes]

    def unsteadiness(self) -> float:
        """By how much the sign of Adam's first step can change, in learning rates, for a relative change by 1: the largest
        change of a pixel's gradient over that gradient and Adam's epsilon. 0 but for Wasserstein distances."""
        settings = self.recipe.optimizer
        if self.recipe.style_reduction != "wasserstein" or not isinstance(settings, AdamSettings):
            return 0.0
        changes = [x for tap, weight in self.recipe.style_layers for x in self.changes(tap, weight)]
        change: Array = np.sum(np.abs(changes), axis=0)
        return float((change / (np.abs(self.gradient(self.recipe)) + settings.epsilon)).max())

    def nothing(self) -> dict[str, Array]:
        """No gradient anywhere."""
        return {name: np.zeros_like(x) for name, x in {**self.maps, "optimized": self.image}.items()}

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
