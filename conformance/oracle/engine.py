"""The oracle: neural style transfer in float64 NumPy, with every gradient derived by hand. What it says is right.

It stands behind the same protocol as the backends (:mod:`isostyle.interface`) and is recorded as they are. It executes the
formulas of :mod:`isostyle.losses` and states everything else a second time, from the sources: the order of the layers,
convolution, ReLU and pooling with their gradients, Adam, the decay of its learning rate, L-BFGS, its line search, the levels of
a pyramid, normalization and resizing. So a mistake in core is not on both sides. It imports no framework, no backend and not
:mod:`isostyle.optim`.

tests/test_oracle.py checks it by values worked out by hand, by central differences, and by values recorded from PyTorch.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from isostyle import losses
from isostyle.interface import Array, Dtype, Evaluation, Objective, Parameters, Precision, Targets, Vjp
from isostyle.network import Network
from isostyle.recipe import AdamSettings, Constant, GramDivisor, LbfgsSettings, Pooling, Recipe, StepDecay, Taps
from isostyle.transform_network import TransformNetwork

if TYPE_CHECKING:
    from isostyle.conformance.oracle.transform import OracleTransform

Floats = NDArray[np.float64]

#: ImageNet's mean and std of R, G and B (torchvision), said here once more on purpose.
MEAN = np.array([0.485, 0.456, 0.406])
STD = np.array([0.229, 0.224, 0.225])


# The network


def layers(network: Network) -> Iterator[tuple[str, str]]:
    """(name, kind) of every layer in order: Simonyan and Zisserman 2014, table 1, columns D and E."""
    for block, depth in enumerate(network.depths, start=1):
        for number in range(1, depth + 1):
            yield f"conv{block}_{number}", "conv"
            yield f"relu{block}_{number}", "relu"
        yield f"pool{block}", "pool"


def convolve(x: Floats, weight: Floats, bias: Floats) -> Floats:
    """Cross-correlation with a 3x3 kernel, stride 1, zero padding 1: (1, C, H, W) -> (1, D, H, W).

    y[d, h, w] = bias[d] + sum over c, i, j of weight[d, c, i, j] x[c, h + i - 1, w + j - 1]
    """
    padded = np.pad(x[0], ((0, 0), (1, 1), (1, 1)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(1, 2))  # (C, H, W, 3, 3)
    product: Floats = np.einsum("chwij,dcij->dhw", windows, weight, optimize=True)
    return product[None] + bias[None, :, None, None]


def convolve_backward(gradient: Floats, weight: Floats) -> Floats:
    """The transpose of :func:`convolve`: the kernel turned by 180 degrees, input and output channels exchanged."""
    rotated = weight[:, :, ::-1, ::-1].transpose(1, 0, 2, 3)
    return convolve(gradient, rotated, np.zeros(len(rotated)))


def relu(x: Floats) -> Floats:
    return np.maximum(x, 0)


def relu_backward(gradient: Floats, x: Floats, turned: Sequence[int] = ()) -> Floats:
    """The gradient where x was above 0; at 0 itself it is 0. At the flat indices ``turned`` it is decided the other way."""
    passes = x > 0
    passes.flat[list(turned)] ^= True
    return gradient * passes


def pool(x: Floats) -> Floats:
    """2x2 maximum with stride 2; an odd last row or column is dropped."""
    largest: Floats = corners(x).max(axis=0)
    return largest


def pool_backward(gradient: Floats, x: Floats, turned: Sequence[int] = ()) -> Floats:
    """The first maximum of each window, row by row, gets the whole gradient; in the windows ``turned``, the second largest."""
    windows = corners(x)
    chosen = windows.argmax(axis=0)
    for window in turned:
        chosen.flat[window] = windows.reshape(4, -1)[:, window].argsort(kind="stable")[-2]
    result = np.zeros_like(x)
    height, width = gradient.shape[2:]
    for number, (row, column) in enumerate(((0, 0), (0, 1), (1, 0), (1, 1))):
        result[:, :, row : row + 2 * height : 2, column : column + 2 * width : 2] = gradient * (chosen == number)
    return result


def average(x: Floats) -> Floats:
    """2x2 mean with stride 2; an odd last row or column is dropped."""
    mean: Floats = corners(x).sum(axis=0) / 4
    return mean


def average_backward(gradient: Floats, x: Floats) -> Floats:
    """Each pixel of a window gets a quarter of the gradient."""
    result = np.zeros_like(x)
    height, width = gradient.shape[2:]
    for row, column in ((0, 0), (0, 1), (1, 0), (1, 1)):
        result[:, :, row : row + 2 * height : 2, column : column + 2 * width : 2] = gradient / 4
    return result


def corners(x: Floats) -> Floats:
    """The four pixels of every 2x2 window, stacked: (4, 1, C, H // 2, W // 2)."""
    height, width = x.shape[2] // 2 * 2, x.shape[3] // 2 * 2
    return np.stack([x[:, :, row:height:2, column:width:2] for row in (0, 1) for column in (0, 1)])


def enter(image: Floats, recipe: Recipe) -> Floats:
    """What the network is given: an image in 0..1 is normalized."""
    if recipe.space == "unit":
        image = (image - MEAN[None, :, None, None]) / STD[None, :, None, None]
    return image


class OracleEngine:
    """A network in float64; see :class:`isostyle.interface.Engine`."""

    device = "cpu"

    def __init__(self, network: Network, parameters: Parameters) -> None:
        self.network = network
        self.parameters = {name: array.astype(np.float64) for name, array in parameters.items()}

    def tensor(self, array: Array) -> Floats:
        return np.array(array, dtype=np.float64, order="C")

    def array(self, tensor: Floats) -> Array:
        return tensor.copy()

    def maps(self, image: Floats, taps: Iterable[str], pooling: Pooling = "max") -> dict[str, Floats]:
        """``image``, normalized, then every layer's map (1, C, H, W) up to the deepest of ``taps``, by name, in order."""
        wanted = set(taps)
        found = {"image": self.tensor(image)}
        x = found["image"]
        for name, kind in layers(self.network):
            if wanted <= set(found):
                break
            if kind == "conv":
                x = convolve(x, self.parameters[f"{name}.weight"], self.parameters[f"{name}.bias"])
            else:
                x = relu(x) if kind == "relu" else pool(x) if pooling == "max" else average(x)
            found[name] = x
        return found

    def features(self, image: Floats, taps: Iterable[str], pooling: Pooling = "max") -> dict[str, Floats]:
        wanted = set(taps)
        return {name: x for name, x in self.maps(image, wanted, pooling).items() if name in wanted}

    def features_for(self, recipe: Recipe, image: Floats, taps: Taps) -> dict[str, Floats]:
        """The feature maps at ``taps`` of an image of the recipe's space."""
        return self.features(enter(image, recipe), [tap for tap, _ in taps], recipe.pooling)

    def gram(self, feature: Floats, divisor: GramDivisor) -> Array:
        return losses.gram(feature, divisor)

    def targets(self, recipe: Recipe, content: Array, style: Array) -> Targets:
        contents = self.features_for(recipe, content, recipe.content_layers)
        styles = self.features_for(recipe, style, recipe.style_layers)
        return Targets(contents, {tap: losses.gram(feature, recipe.gram_divisor) for tap, feature in styles.items()})

    def vjp(self, recipe: Recipe, image: Floats, taps: Taps) -> tuple[dict[str, Floats], Vjp]:
        maps = self.maps(enter(image, recipe), [tap for tap, _ in taps], recipe.pooling)

        def vjp(cotangents: Mapping[str, Floats]) -> Floats:
            everywhere = {name: cotangents.get(name, np.zeros_like(x)) for name, x in maps.items()}
            return self.backward(recipe, maps, {**everywhere, "optimized": np.zeros_like(image)})

        return {tap: maps[tap] for tap, _ in taps}, vjp

    def objective(self, recipe: Recipe, targets: Targets) -> Objective:
        return lambda image: self.evaluate(recipe, targets, image)

    def evaluate(self, recipe: Recipe, targets: Targets, image: Floats) -> Evaluation:
        """Weighted terms, and the gradient of their sum with respect to ``image``."""
        image = self.tensor(image)
        maps = self.maps(enter(image, recipe), recipe.taps, recipe.pooling)
        terms, gradients = self.terms(recipe, targets, maps, image)
        return Evaluation(terms, self.backward(recipe, maps, gradients))

    def terms(
        self, recipe: Recipe, targets: Targets, maps: Mapping[str, Floats], image: Floats
    ) -> tuple[dict[str, float], dict[str, Floats]]:
        """Weighted terms, and by map the gradient of their sum where it looks at that map itself.

        Total variation looks at ``image``, as it is optimized: its gradient is called ``optimized``. Terms that the recipe
        wants without gradient have none.
        """
        terms: dict[str, float] = {}
        gradients = {name: np.zeros_like(x) for name, x in maps.items()}
        gradients["optimized"] = np.zeros_like(image)
        moves = {kind: kind not in recipe.without_gradient for kind in ("content", "style", "tv")}
        for tap, weight in recipe.content_layers:
            weight *= recipe.content_weight
            given = maps[tap], targets.content[tap], recipe.content_reduction
            terms[f"content/{tap}"] = weight * losses.content_loss(*given)
            if moves["content"]:
                gradients[tap] += weight * losses.content_loss_gradient(*given)
        for tap, weight in recipe.style_layers:
            weight *= recipe.style_weight
            compared = maps[tap], targets.style[tap], recipe.gram_divisor, recipe.style_reduction
            terms[f"style/{tap}"] = weight * losses.style_loss(*compared)
            if moves["style"]:
                gradients[tap] += weight * losses.style_loss_gradient(*compared)
        terms["tv"] = recipe.tv_weight * losses.tv_loss(image)
        if moves["tv"]:
            gradients["optimized"] += recipe.tv_weight * losses.tv_loss_gradient(image)
        terms["total"] = math.fsum(terms.values())
        return terms, gradients

    def backward(
        self,
        recipe: Recipe,
        maps: Mapping[str, Floats],
        gradients: Mapping[str, Floats],
        turned: Mapping[str, Sequence[int]] | None = None,
    ) -> Floats:
        """The chain rule, from the last layer back to the image. ``turned``: decisions by layer that go the other way."""
        turned = turned or {}
        kinds = dict(layers(self.network))
        names = list(maps)
        gradient = gradients[names[-1]]
        for before, name in reversed(list(itertools.pairwise(names))):
            if kinds[name] == "conv":
                gradient = convolve_backward(gradient, self.parameters[f"{name}.weight"])
            elif kinds[name] == "relu":
                gradient = relu_backward(gradient, maps[before], turned.get(name, ()))
            elif recipe.pooling == "average":
                gradient = average_backward(gradient, maps[before])
            else:
                gradient = pool_backward(gradient, maps[before], turned.get(name, ()))
            gradient = gradient + gradients[before]
        if recipe.space == "unit":
            gradient = gradient / STD[None, :, None, None]
        return gradient + gradients["optimized"]

    def decisions(self, maps: Mapping[str, Floats], pooling: Pooling = "max") -> Iterator[tuple[str, Floats]]:
        """By ReLU and max-pool: how far each of its decisions is from the other way, in root mean squares of the map.

        For a ReLU, the distance of its input from 0; for a pooling window, that of its two largest values from each other.
        Rounding that is larger can send a gradient to another place. Exact zeros and ties count as infinitely far: they come
        from regions in which nothing is added up but zeros and a bias, and are exact everywhere (on photographs and noise; a
        flat image has others).
        """
        kinds = dict(layers(self.network))
        for before, name in itertools.pairwise(maps):
            if kinds[name] == "conv" or (kinds[name] == "pool" and pooling == "average"):
                continue
            if kinds[name] == "relu":
                distance = np.abs(maps[before])
            else:
                *_, second, first = np.sort(corners(maps[before]), axis=0)
                distance = first - second
            scale = math.sqrt(np.square(maps[before]).mean()) or 1.0
            yield name, np.where(distance > 0, distance / scale, math.inf)

    def least_margin(self, image: Floats, taps: Iterable[str]) -> float:
        """How close the closest decision is; infinite if there is none."""
        return min(
            (float(distance.min(initial=math.inf)) for _, distance in self.decisions(self.maps(image, taps))), default=math.inf
        )


class Oracle:
    """The oracle as a backend; see :class:`isostyle.interface.Backend`. Whatever ``dtype`` asks for, it computes in float64."""

    name = "oracle"

    def __init__(self, threads: int = 1) -> None:
        """NumPy's matrix products take the threads that the environment gives them."""

    def version(self) -> str:
        return f"NumPy {np.__version__}"

    def devices(self) -> list[str]:
        return ["cpu"]

    def prepare(
        self, network: Network, parameters: Parameters, *, device: str, dtype: Dtype, precision: Precision = "exact"
    ) -> OracleEngine:
        return OracleEngine(network, parameters)

    def transform(self, network: TransformNetwork, *, device: str, dtype: Dtype) -> OracleTransform:
        # Imported here: it builds on this module.
        from isostyle.conformance.oracle.transform import OracleTransform

        return OracleTransform(network)


# Optimizers. Each yields the image after every update; `evaluate` gives the value and the gradient at an image.


def learning_rate(settings: AdamSettings | LbfgsSettings, schedule: StepDecay | Constant, update: int) -> float:
    """Of update number ``update``, counted from 1: multiplied by the factor after every ``schedule.every`` finished updates."""
    rate = settings.learning_rate
    if isinstance(schedule, StepDecay):
        for finished in range(1, update):
            if finished % schedule.every == 0:
                rate *= schedule.factor
    return rate


def adam(
    evaluate: Callable[[Floats], tuple[float, Floats]],
    image: Floats,
    settings: AdamSettings,
    schedule: StepDecay | Constant,
    clamped: bool = False,
) -> Iterator[Floats]:
    """Kingma and Ba 2015, algorithm 1, line by line. ``clamped``: to 0..1, at the start and after every update."""
    x = kept(image.astype(np.float64), clamped)
    m, v = np.zeros_like(x), np.zeros_like(x)
    t = 0
    while True:
        t += 1
        _, g = evaluate(x)
        m = settings.beta1 * m + (1 - settings.beta1) * g
        v = settings.beta2 * v + (1 - settings.beta2) * g**2
        m_hat = m / (1 - settings.beta1**t)
        v_hat = v / (1 - settings.beta2**t)
        x = kept(x - learning_rate(settings, schedule, t) * m_hat / (np.sqrt(v_hat) + settings.epsilon), clamped)
        yield x


def lbfgs(
    evaluate: Callable[[Floats], tuple[float, Floats]],
    image: Floats,
    rate: float = 1.0,
    history: int = 100,
    clamped: bool = False,
) -> Iterator[Floats]:
    """Limited-memory BFGS without line search, one evaluation an update: Nocedal and Wright 2006, algorithms 7.4 and 7.5, with
    the step lengths of torch.optim.LBFGS: the first is at most 1 / sum |g|, every other one is ``rate``.

    ``clamped``: to 0..1, at the start and after every update; s is the move as it was made, before that.
    """
    x = kept(image.astype(np.float64), clamped)
    pairs: list[tuple[Floats, Floats]] = []  # s: how the image moved, y: how the gradient changed
    moved = before = np.zeros_like(x)
    scale = 1.0
    first = True
    while True:
        _, g = evaluate(x)
        if not first:
            s, y = moved, g - before
            if (s * y).sum() > 1e-10:
                pairs = [*pairs, (s, y)][-history:]
                scale = (s * y).sum() / (y * y).sum()
        moved = -inverse_hessian_times(g, pairs, scale) * (min(1.0, 1 / np.abs(g).sum()) * rate if first else rate)
        before, first = g, False
        x = kept(x + moved, clamped)
        yield x


def inverse_hessian_times(g: Floats, pairs: Sequence[tuple[Floats, Floats]], scale: float) -> Floats:
    """Nocedal and Wright 2006, algorithm 7.4, the two loops."""
    q = g.copy()
    alphas = []
    for s, y in reversed(pairs):
        alphas.append((s * q).sum() / (s * y).sum())
        q = q - alphas[-1] * y
    r = scale * q
    for (s, y), alpha in zip(pairs, reversed(alphas), strict=True):
        r = r + s * (alpha - (y * r).sum() / (s * y).sum())
    return r


class Point(NamedTuple):
    """A place on the line x + alpha p: the value phi(alpha) there, its slope phi'(alpha), and the gradient."""

    alpha: float
    value: float
    slope: float
    gradient: Floats


class Spent(Exception):
    """No evaluation is left."""


class Walk(NamedTuple):
    """A run with a line search: the image that it comes to, and for each evaluation the updates that made its image and whether
    it was only tried; and the multiple of the identity that its inverse Hessian began from, if it found one."""

    image: Floats
    steps: list[int]
    trials: list[bool]
    scale: float | None


class Stage(NamedTuple):
    """A level of a pyramid: the value and the gradient at an image, how often it is asked for them, and the image's size."""

    evaluate: Callable[[Floats], tuple[float, Floats]]
    evaluations: int
    height: int
    width: int


def climb(stages: Sequence[Stage], image: Floats, settings: LbfgsSettings) -> Walk:
    """A line search at each of ``stages``, coarse to fine; each begins with the image of the one before, enlarged, and without
    pairs. All losses are means over pixels: n times as many pixels divide what one of them adds to the Hessian by n, and so
    multiply the inverse by n."""
    steps, trials, scale = [0], [False], None
    for number, (evaluate, evaluations, height, width) in enumerate(stages):
        if number > 0:
            before = image.shape[2] * image.shape[3]
            image = enlarge(image, height, width)
            scale = None if scale is None else scale * (height * width) / before
        walk = lbfgs_with_line_search(evaluate, image, settings, evaluations, scale)
        # The last image is not looked at here: the next level looks at it, enlarged.
        steps = [*steps[:-1], *(steps[-1] + step for step in walk.steps)]
        trials = [*trials[:-1], *walk.trials]
        image, scale = walk.image, scale if walk.scale is None else walk.scale
    return Walk(image, steps, trials, scale)


def lbfgs_with_line_search(
    evaluate: Callable[[Floats], tuple[float, Floats]],
    image: Floats,
    settings: LbfgsSettings,
    evaluations: int,
    known: float | None = None,
) -> Walk:
    """Nocedal and Wright 2006, algorithm 7.5 with the line search of algorithms 3.5 and 3.6, for so many evaluations, in the
    blocks of torch.optim.LBFGS: each evaluates its first image again, has at most ``iterations`` updates, and begins none once
    it has made 5/4 as many evaluations; a search has those that are left. ``known``: the scale of the inverse
    Hessian, if there is one from before; then the first length is that of all others."""
    x = image.astype(np.float64)
    pairs: list[tuple[Floats, Floats]] = []
    scale = 1.0 if known is None else known
    updates, looks = 0, 0
    steps: list[int] = []
    trials: list[bool] = []

    def look(at: Floats, *, trial: bool) -> tuple[float, Floats]:
        nonlocal looks
        if len(steps) == evaluations:
            raise Spent
        looks += 1
        steps.append(updates)
        trials.append(trial)
        return evaluate(at)

    def block() -> None:
        nonlocal x, pairs, scale, updates, looks
        looks = 0
        value, g = look(x, trial=False)
        for _ in range(settings.iterations):
            p = -inverse_hessian_times(g, pairs, scale)
            origin = Point(0.0, value, float((g * p).sum()), g)

            def phi(alpha: float, x: Floats = x, p: Floats = p) -> Point:
                found, gradient = look(x + alpha * p, trial=True)
                slope = float((gradient * p).sum())
                if not math.isfinite(found + slope):
                    found, slope = math.inf, math.nan  # too far
                return Point(alpha, found, slope, gradient)

            first = settings.learning_rate * (min(1.0, 1 / np.abs(g).sum()) if updates == 0 and known is None else 1.0)
            tries = settings.iterations * 5 // 4 - looks
            narrowest = settings.tolerance_change / np.abs(p).max()
            best, last = strong_wolfe(phi, origin, first, tries, narrowest)
            updates += 1
            if best is last:
                steps[-1], trials[-1] = updates, False
            s, y = best.alpha * p, best.gradient - g
            if (s * y).sum() > 1e-10:
                pairs = [*pairs, (s, y)][-settings.history :]
                scale = (s * y).sum() / (y * y).sum()
            x, value, g = x + s, best.value, best.gradient
            if looks >= settings.iterations * 5 // 4 or np.abs(g).max() <= settings.tolerance_gradient:
                return
            if np.abs(s).max() <= settings.tolerance_change or abs(value - origin.value) < settings.tolerance_change:
                return

    try:
        while True:
            block()
    except Spent:
        return Walk(x, [*steps, updates], [*trials, False], scale if pairs else None)


def strong_wolfe(
    phi: Callable[[float], Point], origin: Point, alpha: float, tries: int, narrowest: float
) -> tuple[Point, Point]:
    """A length that meets the strong Wolfe conditions with c1 = 1e-4 and c2 = 0.9, or the best that was found, and what was
    looked at last. Algorithm 3.5 of Nocedal and Wright 2006; torch's are the lengths that it tries (the cubic's minimum, 1 % of
    the last gain further at the least, ten times as far at the most), the number of them, and that the second is not compared
    with the first."""
    before, here = origin, phi(alpha)
    for i in range(tries):
        if here.value > origin.value + 1e-4 * here.alpha * origin.slope or (i > 1 and here.value >= before.value):
            return zoom(phi, origin, [before, here], tries - i, narrowest)
        if abs(here.slope) <= -0.9 * origin.slope:
            return here, here
        if here.slope >= 0:
            return zoom(phi, origin, [before, here], tries - i, narrowest)
        further = here.alpha + 0.01 * (here.alpha - before.alpha), 10 * here.alpha
        before, here = here, phi(least_of_cubic(before, here, *further))
    return min(origin, here, key=lambda point: point.value), here


def zoom(phi: Callable[[float], Point], origin: Point, ends: list[Point], tries: int, narrowest: float) -> tuple[Point, Point]:
    """Algorithm 3.6: a bracket becomes narrower. torch's are its rule for cubics whose minimum stays near an end, and when it
    gives up."""
    last, near = ends[1], False
    for _ in range(tries):
        low = 0 if ends[0].value <= ends[1].value else 1
        left, right = sorted(end.alpha for end in ends)
        if right - left < narrowest:
            break
        alpha, tenth = least_of_cubic(ends[0], ends[1], left, right), (right - left) / 10
        if alpha - left < tenth or right - alpha < tenth:
            if near or not left < alpha < right:
                alpha = left + tenth if alpha - left <= right - alpha else right - tenth
                near = False
            else:
                near = True
        else:
            near = False
        last = phi(alpha)
        if last.value > origin.value + 1e-4 * alpha * origin.slope or last.value >= ends[low].value:
            ends[1 - low] = last
            continue
        if abs(last.slope) <= -0.9 * origin.slope:
            return last, last
        if last.slope * (ends[1 - low].alpha - ends[low].alpha) >= 0:
            ends[1 - low] = ends[low]
        ends[low] = last
    return min(ends, key=lambda end: end.value), last


def least_of_cubic(one: Point, other: Point, left: float, right: float) -> float:
    """Nocedal and Wright 2006, equation 3.59, within ``left`` and ``right``; their middle where the cubic has no minimum, or is
    none."""
    across = other.alpha - one.alpha
    d1 = one.slope + other.slope - 3 * (one.value - other.value) / (one.alpha - other.alpha)
    square = d1**2 - one.slope * other.slope
    if not square >= 0:
        return (left + right) / 2
    d2 = math.copysign(math.sqrt(square), across)
    alpha = other.alpha - across * (other.slope + d2 - d1) / (other.slope - one.slope + 2 * d2)
    return min(max(alpha, left), right)


def kept(x: Floats, clamped: bool) -> Floats:
    return np.minimum(np.maximum(x, 0), 1) if clamped else x


# Pictures


def normalize(pixels: NDArray[np.uint8]) -> Floats:
    """(H, W, 3) in 0..255 -> (1, 3, H, W): (x / 255 - mean) / deviation, channel by channel."""
    return np.stack([(pixels[:, :, c] / 255 - MEAN[c]) / STD[c] for c in range(3)])[None]


def denormalize(image: Floats) -> NDArray[np.uint8]:
    """(1, 3, H, W) -> (H, W, 3) in 0..255: clipped, and rounded to the nearest."""
    planes = [np.clip(image[0, c] * STD[c] + MEAN[c], 0, 1) for c in range(3)]
    pixels: NDArray[np.uint8] = np.rint(np.stack(planes, axis=-1) * 255).astype(np.uint8)
    return pixels


def resize(pixels: NDArray[np.uint8], height: int, width: int) -> Floats:
    """Bilinear with antialiasing: a triangle as wide as the reduction, first along rows, then along columns; not rounded.

    A pixel's value stands at its center, half a pixel from its edge.
    """
    down, across = (triangle(before, after) for before, after in zip(pixels.shape[:2], (height, width), strict=True))
    resized: Floats = np.einsum("ij,jkc,lk->ilc", down, pixels.astype(np.float64), across, optimize=True)
    return resized


def enlarge(image: Floats, height: int, width: int) -> Floats:
    """(1, 3, H, W) at another size, as :func:`resize`; what goes in, and what comes out of each axis, is rounded to float32."""
    down, across = triangle(image.shape[2], height), triangle(image.shape[3], width)
    rows = np.einsum("ncij,lj->ncil", rounded(image), across)
    return rounded(np.einsum("ki,ncil->nckl", down, rounded(rows)))


def rounded(x: Floats) -> Floats:
    return x.astype(np.float32).astype(np.float64)


def triangle(before: int, after: int) -> Floats:
    """The weights (after, before) of one axis; each row has sum 1."""
    ratio = before / after
    centers = (np.arange(after) + 0.5) * ratio
    distance = np.abs(np.arange(before) + 0.5 - centers[:, None]) / max(ratio, 1.0)
    weights = np.clip(1 - distance, 0, None)
    normalized: Floats = weights / weights.sum(axis=1, keepdims=True)
    return normalized
