"""How far a correct backend may be from the oracle, for each kind of point, and why.

A tolerance is measured in machine epsilons (eps: 1.2e-7 in float32, 2.2e-16 in float64) and grows with the size of the problem
as the rounding errors do. The figures behind the reasons were measured with torch 2.13, mxnet 1.9.1 and paddle 3.3 on CPUs with
AVX2 and AVX-512. A tolerance is honest if a correct backend stays well below it and the smallest mutant lies above it:
`isostyle conform` prints how far below, docs/mutation-testing.md how far above.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from isostyle.interface import Array
from isostyle.network import RGB_MEAN, RGB_STD

#: What the oracle says of a point. ``convolutions``: passed so far. ``pixels``: added up in a Gram matrix. ``alike``: 1 if
#: all its products are. ``weight`` and ``size``: of a loss term, and root mean squares of both its sides. ``terms``: bounds
#: of a total's terms, added up. ``cancellation``: size over what is left of it when the two sides are subtracted.
#: ``margin``: of the closest decision of a ReLU or a pooling. ``turned``: what a gradient changes if close decisions go the
#: other way. ``condition``: of a style network's point (:mod:`.condition`), in which its ``margin`` is measured, too. ``rate``:
#: the learning rate. ``exact``: 1 if nothing is rounded.
Notes = Mapping[str, float]
Measure = Callable[[Array, Array, Notes], float]
Bound = Callable[[float, Array, Notes], float]

#: Epsilon of the dtype that a case is computed in; whole numbers and text are compared exactly or in units of their own.
EPS = {"float32": float(np.finfo(np.float32).eps), "float64": float(np.finfo(np.float64).eps)}

#: Features are right to some 7 eps of their root mean square, single values to some 40. A ReLU or a pooling that decides by
#: less than this many eps can be decided otherwise by rounding.
DECIDED = 64
#: The same for style networks, in eps times the decision's condition.
NEAR = 32


@dataclass(frozen=True)
class Tolerance:
    """``measure(found, expected, notes)`` must be below ``bound(eps, expected, notes)``."""

    name: str
    measure: Measure
    bound: Bound
    #: What the error is measured in.
    unit: str
    reason: str


def relative_norm(found: Array, expected: Array, notes: Notes) -> float:
    """|found - expected| / |expected|, Euclidean; 0 if both are nothing but zeros."""
    difference = float(np.linalg.norm((found - expected).ravel()))
    size = float(np.linalg.norm(expected.ravel()))
    return difference / size if size else math.inf if difference else 0.0


def gram_error(found: Array, expected: Array, notes: Notes) -> float:
    """The largest |dG_ij| / sqrt(G_ii G_jj): off the diagonal sums cancel, so an entry's own size is no measure."""
    roots = np.sqrt(np.diag(expected))
    return float((np.abs(found - expected) / np.maximum(np.outer(roots, roots), np.finfo(np.float64).tiny)).max())


def gram_error_in_network(found: Array, expected: Array, notes: Notes) -> float:
    """As :func:`gram_error`, no channel being taken for quieter than the root mean square of all: one that a ReLU all but
    closes has the rounding errors of the sums before it, and not of its own size."""
    roots = np.sqrt(np.diag(expected))
    roots = np.maximum(roots, math.sqrt(float(np.square(roots).mean())))
    return float((np.abs(found - expected) / np.maximum(np.outer(roots, roots), np.finfo(np.float64).tiny)).max())


def largest(found: Array, expected: Array, notes: Notes) -> float:
    return float(np.abs(found - expected).max())


def largest_relative(found: Array, expected: Array, notes: Notes) -> float:
    difference, size = np.abs(found - expected), np.abs(expected)
    return float(np.where(difference > 0, difference / np.maximum(size, np.finfo(np.float64).tiny), 0).max())


def largest_share(found: Array, expected: Array, notes: Notes) -> float:
    """The largest difference of a loss, over the sum of the same picture's losses: a small one may be nothing but rounding."""
    return float((np.abs(found - expected) / expected.sum(axis=-1, keepdims=True)).max())


def largest_scaled(found: Array, expected: Array, notes: Notes) -> float:
    """The largest |difference| / (1 + |expected|)."""
    return float((np.abs(found - expected) / (1 + np.abs(expected))).max())


def in_rates(found: Array, expected: Array, notes: Notes) -> float:
    """The largest difference, in learning rates."""
    return largest(found, expected, notes) / notes["rate"]


def root_mean_square_in_rates(found: Array, expected: Array, notes: Notes) -> float:
    return math.sqrt(float(np.square(found - expected).mean())) / notes["rate"]


def nearly_all_in_rates(found: Array, expected: Array, notes: Notes) -> float:
    """The difference that 99.9 % of all pixels stay below, in learning rates."""
    return float(np.quantile(np.abs(found - expected), 0.999)) / notes["rate"]


def in_steps_of_eight_bits(found: Array, expected: Array, notes: Notes) -> float:
    """Root mean square difference of the pictures that would be saved, in steps of 1/255."""
    one, other = ((np.moveaxis(x, 1, -1) * RGB_STD + RGB_MEAN).clip(0, 1) for x in (found, expected))
    return 255 * math.sqrt(float(np.square(one - other).mean()))


def how_many_differ(found: Array, expected: Array, notes: Notes) -> float:
    return float(np.count_nonzero(found != expected))


def convolved(eps: float, expected: Array, notes: Notes) -> float:
    return 4 * (1 + notes["convolutions"]) * eps


def summed(eps: float, expected: Array, notes: Notes) -> float:
    return (8 + 2 * math.sqrt(notes["pixels"])) * eps


def squared(eps: float, expected: Array, notes: Notes) -> float:
    """For L = w mean((F - P)^2) with F and P off by some eps of their size s: the derivative, and the square of the error."""
    added_up = notes["pixels"] / 8 if notes["alike"] else math.sqrt(notes["pixels"])
    weight, off = notes["weight"], (8 + notes["convolutions"] + added_up) * eps * notes["size"]
    return float(8 * eps * expected + 2 * math.sqrt(weight * float(expected)) * off + weight * off**2)


def differentiated(eps: float, expected: Array, notes: Notes) -> float:
    """The slope of mean((F - P)^2) has F - P in it, which has lost what F and P have in common; and decisions that are closer
    than rounding may go either way."""
    turned = notes["turned"] if notes["margin"] < DECIDED * eps else 0.0
    return (64 + 16 * notes["cancellation"]) * eps + turned


def conditioned(eps: float, expected: Array, notes: Notes) -> float:
    """What rounding makes of numbers that go in, and decisions that are closer than that may go either way."""
    turned = notes.get("turned", 0.0) if notes["margin"] < NEAR * eps else 0.0
    return (8 + 16 * notes["condition"]) * eps + turned


def added(eps: float, expected: Array, notes: Notes) -> float:
    """The bounds of all terms, which ``compare`` adds up, and the sum's own rounding."""
    return notes["terms"] + 8 * eps * float(expected)


def times(factor: float) -> Bound:
    return lambda eps, expected, notes: factor * eps


def constant(value: float) -> Bound:
    return lambda eps, expected, notes: value


EXACT = Tolerance("exact", how_many_differ, constant(0.5), "values that differ", "nothing is rounded here: not one may differ")
FEATURES = Tolerance(
    "features",
    relative_norm,
    convolved,
    "relative norm",
    "4 (1 + d) eps after d convolutions: rounding adds up from layer to layer; 7.2 eps were seen after 12, whatever the width",
)
GRAM = Tolerance(
    "Gram matrix alone",
    gram_error,
    summed,
    "largest |dG_ij| / sqrt(G_ii G_jj)",
    "(8 + 2 sqrt(n)) eps for sums over n pixels: n numbers added one after another are off by some sqrt(n) eps, as MKL's "
    "float64 product on AMD does (41 eps at n = 4500); blocked sums are better (2.2 eps at 3e3, 10.9 eps at 1.35e5)",
)
TARGET = Tolerance(
    "Gram matrix in the network",
    gram_error_in_network,
    times(128),
    "largest |dG_ij| / sqrt(H_i H_j), H_i the larger of G_ii and the mean of all G_ii",
    "128 eps: the features' own rounding enters twice; 34 eps were seen at conv5_1. A channel that a ReLU all but closes is as "
    "wrong as the sums before the ReLU, so that its own size is no measure",
)
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
VARIATION = Tolerance(
    "total variation",
    largest_relative,
    times(32),
    "relative",
    "32 eps: no cancellation, and sums add pairwise; 7 were seen. Paddle's mean() has 41 at 300x450, 174 at a million values",
)
TOTAL = Tolerance("total", largest, added, "absolute", "the bounds of its terms, and 8 eps for adding them up")
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
STEP = {
    "float64": Tolerance(
        "one step",
        in_rates,
        constant(1e-9),
        "learning rates, largest",
        "Adam's first step is the gradient's sign where it is not near 0, so that gradients right to 64 eps give 1e-12",
    ),
    "float32": Tolerance(
        "one step",
        nearly_all_in_rates,
        constant(1e-3),
        "learning rates, 99.9 % quantile",
        "where the gradient crosses 0, its sign is rounding's: 4e-5 of the pixels were seen to move by more",
    ),
}
IMAGE = {
    "float64": Tolerance(
        "ten steps",
        in_rates,
        constant(1e-8),
        "learning rates, largest",
        "1e-8: rounding grows with the steps through Adam's signs; 5e-11 were seen",
    ),
    "float32": Tolerance(
        "ten steps",
        in_steps_of_eight_bits,
        constant(64),
        "steps of 1/255, root mean square",
        "a quarter of the range: decisions that rounding turns drive correct runs apart (25 steps were seen in 100 seeds): a "
        "smoke test; float64 judges",
    ),
}
CURVE = {
    "float64": Tolerance("loss curve", largest_relative, constant(1e-10), "relative", "1e-10 over ten steps: 2e-13 were seen"),
    "float32": Tolerance(
        "loss curve",
        largest_relative,
        constant(1.0),
        "relative",
        "as much as the total itself: one decision that rounding turns at step 6 made 6e-2 of the total by step 10, in all "
        "frameworks alike, and 0.3 was seen in 100 seeds. A smoke test: float64 judges, and the first total is also a case of "
        "`terms`",
    ),
}
SHARES = {
    dtype: Tolerance("loss curves of each kind", largest_share, found.bound, "shares of the total", found.reason)
    for dtype, found in CURVE.items()
}
ADAM = {
    "float64": Tolerance(
        "Adam alone", in_rates, constant(1e-12), "learning rates, largest", "1e-12 after ten steps: 3e-15 were seen"
    ),
    "float32": Tolerance(
        "Adam alone",
        in_rates,
        constant(1e-5),
        "learning rates, largest",
        "1e-5 after ten steps: 3e-6 were seen; powers of beta kept in float32, as Paddle's own, give 2e-5",
    ),
}
LBFGS = Tolerance(
    "L-BFGS",
    largest_scaled,
    constant(1e-7),
    "largest, over 1 + its size",
    "1e-7 after 20 evaluations, or 40 with a line search: all take the same steps, but each passes on what rounding did to "
    "those before it; 8e-10 were seen. A search that decides otherwise is off by whole steps",
)
RATES = Tolerance(
    "learning rate",
    largest_relative,
    lambda eps, expected, notes: 32 * EPS["float64"],
    "relative",
    "32 eps: a product of some ten factors, added to none",
)
NORMALIZED = Tolerance(
    "normalized picture", largest_scaled, times(2), "largest, over 1 + its size", "one rounding to the dtype"
)
RESIZED = Tolerance(
    "resized picture",
    largest,
    constant(1.25),
    "steps of 1/255",
    "1.25: Pillow rounds to 8 bits after each axis (half a step each) and has weights of 22 bits; without antialiasing it is "
    "70",
)


CONDITIONED = Tolerance(
    "style network",
    relative_norm,
    conditioned,
    "relative norm",
    "(8 + 16 c) eps with c the condition: how much further off this is than all that goes in, where that is off by a small "
    "share of itself. Instance normalization magnifies rounding where a channel hardly varies: c is some 10 for usual pictures "
    "and was 8000 in one of 5x5. The errors of correct backends were 0.5 to 1 c eps in the middle and 11 c eps at the most. "
    "Where a decision is closer than 32 eps in conditions, what it changes is added",
)
TRAINING_CURVE = {
    "float64": Tolerance(
        "losses of three training steps", largest_share, times(512), "shares of the total", "512 eps: 52 were seen in 60 seeds"
    ),
    "float32": Tolerance(
        "losses of three training steps",
        largest_share,
        constant(1e-2),
        "shares of the total",
        "1e-2: a decision that rounding turned in the first step made 4e-4 of the total by the third; 60 seeds. Float64 judges",
    ),
}
TRAINED = {
    "float64": Tolerance(
        "three training steps",
        in_rates,
        constant(1e-9),
        "learning rates, largest",
        "1e-9: 2e-12 were seen, most of it the rounding of the parameter itself, which is 1000 rates",
    ),
    "float32": Tolerance(
        "three training steps",
        root_mean_square_in_rates,
        constant(1.0),
        "learning rates, root mean square",
        "one step of the three: where a gradient is near 0, what rounding leaves of it moves the parameter, and a decision "
        "that rounding turns changes all gradients behind it. 9e-5 is usual, the rounding of the parameter itself; 0.2 was "
        "seen in 60 seeds, where a decision turned. Float64 judges",
    ),
}


def tolerance(kind: str, point: str, dtype: str, notes: Notes) -> Tolerance:
    """The tolerance of a point."""
    if kind == "features":
        return EXACT if notes.get("exact") else FEATURES
    if kind == "zoo":
        return EXACT if point == "layers" else FEATURES
    if kind == "gram":
        return GRAM
    if kind == "targets":
        return FEATURES if point.startswith("content/") else TARGET
    if kind == "terms":
        return {"tv": VARIATION, "total": TOTAL}.get(point, TERM)
    if kind == "gradient":
        return GRADIENT
    if kind == "stages":
        return FEATURES
    if kind in ("transform", "pull", "training-gradient"):
        return CONDITIONED
    if point == "rates":
        return RATES
    if point in ("steps", "trials"):
        return EXACT
    if notes.get("lbfgs"):
        return LBFGS
    if kind == "training" and point in ("totals", "losses"):
        return TRAINING_CURVE[dtype]
    if point == "totals":
        return CURVE[dtype]
    if point == "losses":
        return SHARES[dtype]
    if kind == "normalize":
        return NORMALIZED
    if kind == "resize":
        return RESIZED
    by_dtype = {"step": STEP, "run": IMAGE, "training": TRAINED, "adam": ADAM, "native-adam": ADAM}
    return by_dtype[kind][dtype] if kind in by_dtype else EXACT


def named(name: str) -> Iterator[tuple[str, Tolerance]]:
    """The tolerances of a name, with the dtype that they are for; one without it is for every dtype."""
    for value in globals().values():
        for dtype, found in value.items() if isinstance(value, dict) else [("", value)]:
            if isinstance(found, Tolerance) and found.name == name:
                yield dtype, found
