"""How strongly the last digits of the inputs change a style network's numbers: the oracle's notes for their tolerances.

Instance normalization divides by a channel's std. Where a channel hardly varies, as in a flat or a tiny picture,
rounding grows by a factor that depends on the picture: 10 is usual, and 8000 was seen in one of 5x5 pixels. A bound that covers
that everywhere would see nothing, so the oracle measures the factor. It computes once more with every number that goes in
changed by some 2^-30 of itself; what comes out is off by c times as much (its *condition*: Higham 2002, section 1.6). A
computation that rounds at each operation is off by a few c eps.

So it is with Wasserstein distances, which take roots of eigenvalues that may be small.

The same tells how close a decision (of a ReLU, of a pooling, of an absolute value) is: whether rounding, so magnified, can turn
it. The oracle then turns each close one, and notes what that changes.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.random import RandomState

from isostyle.conformance.oracle import gaussians
from isostyle.conformance.oracle.engine import OracleEngine, corners, layers
from isostyle.conformance.oracle.pictures import Floats
from isostyle.conformance.oracle.transform import Maps, OracleTransform, targets_of
from isostyle.conformance.tolerances import EPS
from isostyle.interface import Array, Parameters
from isostyle.recipe import Recipe

#: By what share numbers are changed, and how often, each time by others: more show a single bad channel more surely.
SHARE, TIMES = 2.0**-30, 4
#: The same for a product whose smallest eigenvalue is 1e-8, and must remain above 0.
SMALL_SHARE = 2.0**-44
#: Rounding can turn a decision that is closer than this many eps times its condition.
NEAR = 32

Rough = Callable[[Array], Floats]
#: Decisions that go the other way: flat indices by name.
Turned = Mapping[str, Sequence[int]]


@dataclass(frozen=True)
class Look:
    """What the oracle computes from some numbers."""

    points: Mapping[str, Floats]
    #: What is decided by its sign, by name.
    decided: Mapping[str, Floats]
    #: The points with some decisions turned; those that no decision can change are left out.
    turn: Callable[[Turned], Mapping[str, Floats]]


def of_distance(feature: Floats, target: Floats) -> tuple[float, float]:
    """By how much the Wasserstein distance of a map's moments from a target changes, at the most: for a relative change of map
    and target by 1; and likewise of the product whose roots are taken."""
    found = gaussians.moments(feature)
    derivative = gaussians.backward(gaussians.distance(found, target)[1], feature)
    by_target = gaussians.distance(target, found)[1]  # the distance is symmetric
    by_numbers = np.linalg.norm(derivative) * np.linalg.norm(feature) + 2 * np.linalg.norm(by_target) * np.linalg.norm(target)
    exact = gaussians.shaken(found, target, 0.0, 0)[0]
    by_roots = max(abs(gaussians.shaken(found, target, SMALL_SHARE, seed)[0] - exact) for seed in range(TIMES)) / SMALL_SHARE
    return float(by_numbers), by_roots


def of_gradient(feature: Floats, target: Floats) -> tuple[Floats, Floats]:
    """Two changes of that distance's gradient by the map, each of its shape: when every number of map and target changes by
    some :data:`SHARE`, over that; and when the product whose roots are taken does, likewise. The largest of some."""

    def derivative(x: Floats, theirs: Floats) -> Floats:
        return gaussians.backward(gaussians.distance(gaussians.moments(x), theirs)[1], x)

    def by_roots(share: float, seed: int) -> Floats:
        return gaussians.backward(gaussians.shaken(gaussians.moments(feature), target, share, seed)[1], feature)

    exact, rooted = derivative(feature, target), by_roots(0.0, 0)
    numbers, roots = [], []
    for seed in range(TIMES):
        rough = roughly(seed)
        numbers.append((derivative(rough(feature), rough(target)) - exact) / SHARE)
        roots.append((by_roots(SMALL_SHARE, seed) - rooted) / SMALL_SHARE)
    return max(numbers, key=np.linalg.norm), max(roots, key=np.linalg.norm)


def exactly(x: Array) -> Floats:
    return x.astype(np.float64)


def roughly(seed: int) -> Rough:
    """A function that changes every number by some :data:`SHARE` of itself."""
    random = RandomState(seed)
    return lambda x: x * (1 + SHARE * random.standard_normal(np.shape(x)))


def conditions(look: Callable[[Rough], Look]) -> dict[str, float]:
    """Notes on every point of ``look``: ``condition``, ``turned`` (how far it is off, in relative norm, if every close decision
    goes the other way), and, for all, ``margin``: of the closest decision, in conditions."""
    exact = look(exactly)
    changed = [look(roughly(seed)) for seed in range(TIMES)]
    found = {}
    for name, x in exact.points.items():
        found[f"{name}~condition"] = max(off(other.points[name], x) for other in changed) / SHARE
    margins, close = [math.inf], []
    for name, x in exact.decided.items():
        moved = max(math.sqrt(float(np.square(other.decided[name] - x).mean())) for other in changed) / SHARE
        # Exact zeros come from regions in which nothing is added up but zeros; rounding leaves them alone.
        distance = np.where(x == 0, math.inf, np.abs(x) / (moved or 1.0)).ravel()
        margins.append(float(distance.min(initial=math.inf)))
        close += [(name, int(i)) for i in np.flatnonzero(distance < NEAR * EPS["float32"])]
    found["~margin"] = min(margins)
    found["~close"] = float(len(close))
    for name, i in close:
        for point, x in exact.turn({name: [i]}).items():
            found[f"{point}~turned"] = found.get(f"{point}~turned", 0.0) + off(x, exact.points[point])
    return found


def off(found: Floats, expected: Floats) -> float:
    """The difference, in relative norm."""
    return float(np.linalg.norm(found - expected)) / (float(np.linalg.norm(expected)) or 1.0)


def transformed(transform: OracleTransform, parameters: Parameters, picture: Array) -> Callable[[Rough], Look]:
    """Look at the transformed image."""

    def look(rough: Rough) -> Look:
        mine = {name: rough(array) for name, array in parameters.items()}
        image = transform.apply(mine, rough(picture))
        return Look({"image": image}, {}, lambda turned: {})

    return look


def taken_back(transform: OracleTransform, parameters: Parameters, picture: Array, cotangent: Array) -> Callable[[Rough], Look]:
    """Look at the transformed image, and at a cotangent of it, taken back to the parameters."""

    def look(rough: Rough) -> Look:
        mine = {name: rough(array) for name, array in parameters.items()}
        maps, given = transform.maps(mine, rough(picture)), rough(cotangent)
        return Look(
            {**transform.backward(mine, maps, given), "image": maps["image"]},
            transform.decisions(maps),
            lambda turned: transform.backward(mine, maps, given, turned),
        )

    return look


def trained(
    engine: OracleEngine,
    transform: OracleTransform,
    parameters: Mapping[str, Array],
    recipe: Recipe,
    style: Array,
    picture: Array,
) -> Callable[[Rough], Look]:
    """Look at the losses of a transformed photograph, and at their gradient by parameter."""

    def look(rough: Rough) -> Look:
        mine = {name: rough(array) for name, array in parameters.items()}
        styles = engine.targets(recipe, rough(style), rough(style)).style
        # The photograph as the target is rounded on another way than the photograph that is transformed.
        targets = targets_of(engine, recipe, styles, rough(picture))
        maps = transform.maps(mine, rough(picture))
        image = maps["image"]
        seen = engine.maps(image, recipe.taps, recipe.pooling, recipe.first_padding)
        terms, gradients = engine.terms(recipe, targets, seen, image)

        def gradient(turned: Turned) -> dict[str, Floats]:
            variation = gradients["optimized"] + turned_variation(image, recipe.tv_weight, turned)
            of_image = engine.backward(recipe, seen, {**gradients, "optimized": variation}, turned)
            return transform.backward(mine, maps, of_image, turned)

        values = {name: np.asarray(value) for name, value in terms.items()}
        decided = {**transform.decisions(maps), **decisions_of_network(engine, recipe, seen), **differences(image)}
        return Look({**values, **gradient({})}, decided, gradient)

    return look


def decisions_of_network(engine: OracleEngine, recipe: Recipe, maps: Maps) -> Maps:
    """What each layer decides by: a ReLU by its input, a max-pool by how far the second largest value is from the largest."""
    kinds = dict(layers(engine.network))
    found = {}
    for before, name in itertools.pairwise(maps):
        if kinds[name] == "relu":
            found[name] = maps[before]
        elif kinds[name] == "pool" and recipe.pooling == "max":
            *_, second, first = np.sort(corners(maps[before]), axis=0)
            found[name] = first - second
    return found


def differences(image: Floats) -> Maps:
    """By axis, what total variation takes the absolute value of."""
    return {f"tv/{axis}": np.diff(image, axis=axis) for axis in (2, 3)}


def turned_variation(image: Floats, weight: float, turned: Turned) -> Floats:
    """The change of total variation's gradient if some differences had the other sign."""
    change = np.zeros_like(image)
    for axis in (2, 3):
        steps = np.diff(image, axis=axis)
        flipped = np.zeros_like(steps)
        flipped.flat[list(turned.get(f"tv/{axis}", ()))] = 1
        # The mean of both axes' means: each has half of the weight.
        change_of_steps = -2 * flipped * np.sign(steps) * weight * 0.5 / steps.size
        change -= np.diff(change_of_steps, axis=axis, prepend=0, append=0)
    return change
