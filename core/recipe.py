"""Recipes: everything that changes a number in a style transfer, as one frozen value.

:mod:`isostyle.published` has the published ones, :mod:`isostyle.recipe_text` their forms as text and TOML. A recipe says what
is computed; each backend says how. Two recipes with equal digests compute the same. ``notes`` list what is ours and not the
source's.
"""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from isostyle.checks import POSITIVE, SHARE, STYLE_SCALE, PlainNumbers, require_choice, require_count, require_number
from isostyle.errors import InputError, shown
from isostyle.sizes import Size

#: A layer's name and the weight of its loss term.
Taps = tuple[tuple[str, float], ...]
#: What a Gram matrix X X^T is divided by: channels * height * width, height * width, or nothing.
GramDivisor = Literal["chw", "hw", "1"]
#: How the squared differences of two feature maps become one number: their mean, or half their sum.
ContentReduction = Literal["mean", "half-sum", "relative"]
#: How those of two Gram matrices do: their mean over C^2; that mean over C H W; or their sum over 4 C^2 (H W)^2. For
#: ``wasserstein`` there are none: it is a distance of two Gaussians, with the means and covariances of the features.
StyleReduction = Literal["mean", "mean/chw", "quarter-sum", "relative", "wasserstein"]
#: ``average-doubled`` is twice the average, about as loud as the maximum.
Pooling = Literal["max", "average", "average-doubled"]
#: What the first convolution sees beyond the image: zeros, or its border, repeated. All others see zeros.
FirstPadding = Literal["zeros", "replicate"]
#: How differences of neighbors become one number: means of their absolute values along both axes; or of their squares along
#: both axes and both diagonals; or half of the sum of the squares along both axes.
Variation = Literal["absolute", "squared", "half-sum"]
#: What is optimized: the normalized image, or the image in 0..1, which is normalized inside the network.
Space = Literal["normalized", "unit"]
#: The kinds of loss terms.
Term = Literal["content", "style", "tv"]
#: Where the optimization starts; ``image`` is a picture of the user's own.
Start = Literal["content", "style", "noise", "uniform-noise", "content+noise", "image"]
#: Those that need no picture: what ``--init`` takes by name.
NAMED_STARTS = ("content", "style", "noise", "uniform-noise", "content+noise")
#: The style image's size, where it has no rule of its own: by the same rule as the content image's; exactly the content
#: image's; or by the same rule, and equal to it, or the run is refused.
StyleSize = Literal["own", "content", "equal"]
#: How L-BFGS finds the length of an update: it does not, or until the strong Wolfe conditions hold.
LineSearch = Literal["none", "strong-wolfe"]
#: What a report may show.
Reported = Literal["content", "style", "tv", "total"]
#: Sums of loss terms, each with what it is multiplied by when it is shown.
Shown = tuple[tuple[Reported, float], ...]

#: The std of the noise that ``content+noise`` adds to the normalized content image: enough to move every pixel off the points
#: where the total variation has a kink, which is what makes float32 runs part early.
START_NOISE_STD = 0.3
#: The std of ``noise`` itself, by the space that is optimized. In 0..1 it is the tutorial's. A normalized image has std 1;
#: of noise as loud, grain stays, for max pooling hides three of four pixels from the layers behind it.
NOISE_STD: Mapping[Space, float] = {"normalized": 0.1, "unit": 1.0}
#: How far products of a few numbers are from what they would be exactly, relatively: four units in the last place.
ROUNDING = 2.0**-50
#: Of a recipe's name, in characters.
LONGEST_NAME = 100
#: Values that recipes have had since their digests stand in manifests, with what all recipes had before: left out of the
#: digest where they are that, so that no older recipe's digest changes.
LATER: Mapping[str, Any] = {
    "style_scale": 1.0,
    "first_padding": "zeros",
    "variation": "absolute",
    "average_decay": 0.0,
    "carries_moments": False,
}


def require_taps(taps: Taps, kind: str) -> None:
    try:
        names = [name for name, _ in taps]
    except (TypeError, ValueError):
        raise InputError(f"the {kind} layers must be pairs of a layer's name and its weight, not {shown(taps)}") from None
    if len(set(names)) < max(1, len(names)):
        raise InputError(f"a recipe needs at least one {kind} layer, and each only once")
    for name, weight in taps:
        if not isinstance(name, str) or not name.isprintable():
            raise InputError(f"a {kind} layer must be a layer's name, not {shown(name)}")
        require_number(weight, f"weight of the {kind} layer {shown(name)[1:-1]}")


def brief(value: float) -> str:
    """A number as short as can be without becoming another one: 0.3, 1e+06, 10.000001. What rounding has left of a product
    behind the tenth digit makes no other one: 99636507.00000001 is 99636507."""
    if float(f"{value:g}") == value:
        return f"{value:g}"
    short = f"{value:.10g}"
    return short if math.isclose(float(short), value, rel_tol=ROUNDING) else repr(value)


# Optimizers and their schedules


@dataclass(frozen=True)
class AdamSettings(PlainNumbers):
    """Kingma and Ba 2015, algorithm 1: epsilon is added to the *corrected* root of the second moment."""

    learning_rate: float
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8
    kind: str = field(default="adam", init=False)

    def check(self) -> None:
        """Raises InputError if a number is out of range."""
        require_number(self.learning_rate, "learning rate", POSITIVE)
        require_number(self.beta1, "beta1 of Adam", SHARE)
        require_number(self.beta2, "beta2 of Adam", SHARE)
        require_number(self.epsilon, "epsilon of Adam", POSITIVE)

    def __str__(self) -> str:
        rate, beta1, beta2, epsilon = map(brief, (self.learning_rate, self.beta1, self.beta2, self.epsilon))
        return f"Adam, learning rate {rate}, beta1 {beta1}, beta2 {beta2}, epsilon {epsilon}"


@dataclass(frozen=True)
class LbfgsSettings(PlainNumbers):
    """L-BFGS (Liu and Nocedal 1989) with or without a line search, as torch.optim.LBFGS runs it, with its defaults.

    It goes in blocks of ``iterations`` updates, torch's ``optimizer.step()``, which an update too small to matter ends early.
    Without a line search a run's length is looked at between blocks only; with one, whose blocks have no fixed number of
    evaluations, after each of them.
    """

    #: What each direction is multiplied by; with a line search, the length that it tries first.
    learning_rate: float = 1.0
    #: Updates in a block (torch's max_iter). torch's max_eval, 5/4 of it, is never reached without a line search.
    iterations: int = 20
    #: How many pairs of moves and gradient changes are kept.
    history: int = 100
    #: It has converged where no component of the gradient is larger than this.
    tolerance_gradient: float = 1e-7
    #: A block ends where no pixel moves by more than this, or the total changes by less.
    tolerance_change: float = 1e-9
    line_search: LineSearch = "none"
    kind: str = field(default="lbfgs", init=False)

    def check(self) -> None:
        """Raises InputError if a number is out of range."""
        require_number(self.learning_rate, "learning rate", POSITIVE)
        require_count(self.iterations, "number of iterations in a block of L-BFGS")
        require_count(self.history, "history of L-BFGS")
        require_number(self.tolerance_gradient, "gradient tolerance of L-BFGS")
        require_number(self.tolerance_change, "change tolerance of L-BFGS")
        require_choice(self.line_search, get_args(LineSearch), "line search of L-BFGS")

    def __str__(self) -> str:
        rate, gradient, change = map(brief, (self.learning_rate, self.tolerance_gradient, self.tolerance_change))
        search = "without line search" if self.line_search == "none" else f"with {self.line_search} line search"
        return (
            f"L-BFGS {search}, learning rate {rate}, blocks of {self.iterations}, history {self.history}, "
            f"tolerances {gradient} (gradient) and {change} (change)"
        )


@dataclass(frozen=True)
class StepDecay(PlainNumbers):
    """The learning rate is multiplied by ``factor`` after every ``every`` steps."""

    every: int
    factor: float
    kind: str = field(default="step-decay", init=False)

    def rate(self, learning_rate: float, step: int) -> float:
        """The learning rate of the update that follows ``step`` finished ones."""
        return float(learning_rate * self.factor ** (step // self.every))

    def check(self) -> None:
        """Raises InputError if a number is out of range."""
        require_number(self.factor, "factor of the schedule", POSITIVE)
        require_count(self.every, "number of steps between decays")

    def __str__(self) -> str:
        return f"learning rate x {brief(self.factor)} every {self.every} steps"


@dataclass(frozen=True)
class Constant:
    """The learning rate stays what it is."""

    kind: str = field(default="constant", init=False)

    def rate(self, learning_rate: float, step: int) -> float:
        """The learning rate of the update that follows ``step`` finished ones."""
        return learning_rate

    def check(self) -> None:
        """There is no number to be out of range."""

    def __str__(self) -> str:
        return "constant learning rate"


@dataclass(frozen=True)
class Level(PlainNumbers):
    """A coarse level of a pyramid: the picture at a share of its height and width, for a number of evaluations."""

    share: float
    steps: int

    def check(self) -> None:
        """Raises InputError if a number is out of range."""
        require_number(self.share, "share of a level", POSITIVE)
        require_number(self.share, "share of a level", SHARE)
        require_count(self.steps, "number of evaluations of a level")

    def __str__(self) -> str:
        return f"{brief(self.share)} of height and width for {self.steps}"


@dataclass(frozen=True)
class Reporting(PlainNumbers):
    """What is printed, and when: it changes no number. Evaluations are counted from 1."""

    first: int
    every: int
    values: Shown

    def due(self, evaluation: int) -> bool:
        return evaluation >= self.first and (evaluation - self.first) % self.every == 0

    def check(self) -> None:
        """Raises InputError if a value is out of range."""
        require_count(self.first, "first evaluation that is reported")
        require_count(self.every, "number of evaluations between reports")
        for name, factor in self.values:
            require_choice(name, get_args(Reported), "reported value")
            require_number(factor, f"factor of the reported {name}")

    def __str__(self) -> str:
        shown = ", ".join(name if factor == 1 else f"{name} x {brief(factor)}" for name, factor in self.values)
        after = (
            f"evaluation {self.first}, then every {self.every}"
            if self.first != self.every
            else f"every {self.every} evaluations"
        )
        return f"{after}: {shown}"


@dataclass(frozen=True, kw_only=True)
class Recipe(PlainNumbers):
    """One way to do neural style transfer. It minimizes the total

    .. math:: w_c \\sum_l a_l L^c_l + w_s \\sum_l b_l L^s_l + w_{tv} L^{tv}

    with the terms of :mod:`isostyle.losses`, layers ``l`` and their weights a and b. All weights are *effective*: a term is
    multiplied by them and nothing else. The image is clipped to 0..1 when it is shown or saved.
    """

    name: str
    source: str
    notes: tuple[str, ...] = ()
    content_layers: Taps
    style_layers: Taps
    pooling: Pooling = "max"
    gram_divisor: GramDivisor
    content_reduction: ContentReduction
    style_reduction: StyleReduction
    content_weight: float
    style_weight: float
    tv_weight: float
    #: Terms that are counted in the total, and move nothing.
    without_gradient: tuple[Term, ...] = ()
    space: Space = "normalized"
    #: Whether the image is clamped to 0..1 before each evaluation and at the end; the optimizer goes on from the clamped one.
    clamped: bool = False
    start: Start
    optimizer: AdamSettings | LbfgsSettings
    schedule: StepDecay | Constant
    #: Evaluations, each followed by an update of the image, or by a trial of a line search; L-BFGS without one ends with the
    #: block in which it comes to so many.
    steps: int
    size: Size
    style_size: StyleSize | Size
    report: Reporting
    #: Coarse levels, the smallest first: the picture is made at a share of its size, and each level starts from the one before,
    #: enlarged; the last one is the full size, with ``steps``.
    pyramid: tuple[Level, ...] = ()
    #: Pixels that content and style image are continued by on every side, mirrored, and that are cut off in the end. At the
    #: border a network sees its zero padding, and a Gram matrix has no place, so an optimizer paints a frame there that pays
    #: for style elsewhere. A coarse level has its share, a small picture no more than an eighth of its side.
    margin: int = 0
    #: What height and width of the style image are multiplied by, where it has no rule of its own: strokes grow with it, and
    #: the picture does not. (``-style_scale`` in Johnson's neural-style.)
    style_scale: float = 1.0
    first_padding: FirstPadding = "zeros"
    variation: Variation = "absolute"
    #: The picture is the average of a level's images so far, each this share of the next one's weight; 0: the last. Adam only.
    average_decay: float = 0.0
    #: Whether Adam's moments and its count of steps go on from level to level of a pyramid; else they begin anew.
    carries_moments: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("content_weight", "style_weight", "tv_weight"):
            require_number(getattr(self, name), name.replace("_", " "))
        if not isinstance(self.name, str) or not self.name.isprintable() or not 0 < len(self.name) <= LONGEST_NAME:
            raise InputError(f"a recipe's name must be 1 to {LONGEST_NAME} printable characters, not {shown(self.name)}")
        require_taps(self.content_layers, "content")
        require_taps(self.style_layers, "style")
        if self.content_weight == self.style_weight == self.tv_weight == 0:
            raise InputError("all three weights are 0, so there is nothing to optimize")
        for value, choices, what in (
            (self.pooling, Pooling, "pooling"),
            (self.gram_divisor, GramDivisor, "Gram divisor"),
            (self.content_reduction, ContentReduction, "content reduction"),
            (self.style_reduction, StyleReduction, "style reduction"),
            (self.space, Space, "space"),
            (self.start, Start, "start"),
            (self.first_padding, FirstPadding, "padding of the first convolution"),
            (self.variation, Variation, "total variation"),
            *((term, Term, "term without gradient") for term in self.without_gradient),
        ):
            require_choice(value, get_args(choices), what)
        if self.style_reduction == "wasserstein" and self.gram_divisor != "hw":
            raise InputError("the style reduction wasserstein takes means over pixels: its Gram divisor is 'hw'")
        require_number(self.style_scale, "style scale", STYLE_SCALE)
        if not isinstance(self.style_size, Size):
            require_choice(self.style_size, get_args(StyleSize), "style size")
        elif self.style_scale != 1:
            raise InputError("the style image has a size of its own and a scale; a recipe has one of the two")
        counted = {
            "content": self.content_weight * max(weight for _, weight in self.content_layers),
            "style": self.style_weight * max(weight for _, weight in self.style_layers),
            "tv": self.tv_weight,
        }
        if not any(weight > 0 for term, weight in counted.items() if term not in self.without_gradient):
            raise InputError("no term with a weight has a gradient, so there is nothing to optimize")
        if self.clamped and self.space != "unit":
            raise InputError("only an image of the space 'unit' can be clamped to 0..1")
        if isinstance(self.optimizer, LbfgsSettings) and not isinstance(self.schedule, Constant):
            raise InputError("L-BFGS has no schedule but 'constant'")
        require_number(self.average_decay, "decay of the average", SHARE)
        if isinstance(self.optimizer, LbfgsSettings) and (self.average_decay or self.carries_moments):
            raise InputError("an average, and moments that go on, are Adam's, and the optimizer is L-BFGS")
        if self.clamped and self.searches:
            raise InputError("an image that is clamped has no line search: its trials would not be where the search put them")
        require_count(self.steps, "number of steps")
        if self.margin:
            require_count(self.margin, "margin, if there is one,", "pixel")
        if not isinstance(self.pyramid, tuple) or not all(isinstance(level, Level) for level in self.pyramid):
            raise InputError(f"a pyramid is a tuple of levels, not {shown(self.pyramid)}")
        for level in self.pyramid:
            level.check()
        shares = [level.share for level in self.pyramid]
        if any(after <= before for before, after in itertools.pairwise(shares)):
            raise InputError(f"the levels of a pyramid go from small to large, and not {', '.join(map(brief, shares))}")
        for part in (self.optimizer, self.schedule, self.size, self.style_size, self.report):
            if not isinstance(part, str):
                part.check()

    def as_dict(self) -> dict[str, Any]:
        """Every value of the recipe, ready for JSON; of :data:`LATER`, those that are not what they were before they could be
        chosen."""
        values: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(self)))
        return {name: value for name, value in values.items() if name not in LATER or value != LATER[name]}

    @property
    def digest(self) -> str:
        """SHA-256 of everything that changes a number; the name, the source, the notes and the report do not."""
        values = self.as_dict()
        for prose in ("name", "source", "notes", "report"):
            del values[prose]
        # 1 and 1.0 are one number.
        values = json.loads(json.dumps(values), parse_int=float)
        return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()

    @property
    def taps(self) -> tuple[str, ...]:
        """Names of all layers that the recipe looks at, each once."""
        return tuple(dict.fromkeys(tap for tap, _ in self.content_layers + self.style_layers))

    @property
    def levels(self) -> list[tuple[float, Recipe]]:
        """The share of each level and the recipe of what is done there, the full size last."""
        coarse = [(level.share, dataclasses.replace(self, steps=level.steps, pyramid=())) for level in self.pyramid]
        return [*coarse, (1.0, dataclasses.replace(self, pyramid=()))]

    @property
    def searches(self) -> bool:
        """Whether its optimizer has a line search."""
        return isinstance(self.optimizer, LbfgsSettings) and self.optimizer.line_search != "none"

    @property
    def block(self) -> int:
        """Evaluations between two looks at the run's length: L-BFGS's iterations; 1 for Adam, and where there is a search."""
        return self.optimizer.iterations if isinstance(self.optimizer, LbfgsSettings) and not self.searches else 1

    @property
    def updates(self) -> int:
        """How many updates a run makes if neither it nor a block ends early: ``steps``, up to whole blocks, at all levels. With
        a line search, how many evaluations: there are fewer updates."""
        return sum(-(-recipe.steps // self.block) * self.block for _, recipe in self.levels)

    @property
    def most_updates(self) -> int:
        """How many it makes at the most: after a block that ended early, the last one may begin just before ``steps``."""
        return sum(recipe.steps - 1 + self.block for _, recipe in self.levels)
