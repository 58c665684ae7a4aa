"""Recipes: everything that changes a number in a style transfer, as one frozen value, and the published ones.

A recipe says what is computed, never how; each backend says how. Two recipes with equal digests compute the same thing. What
is ours and not the source's is listed in ``notes``.
"""

from __future__ import annotations

import dataclasses
import difflib
import hashlib
import json
import math
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from isostyle.errors import InputError

#: A layer's name and the weight of its loss term.
Taps = tuple[tuple[str, float], ...]
#: What a Gram matrix X X^T is divided by: channels * height * width, height * width, or nothing.
GramDivisor = Literal["chw", "hw", "1"]
#: Where the optimisation starts; ``image`` is a picture of the user's own.
Start = Literal["content", "noise", "content+noise", "image"]
#: Those that need no picture: what ``--init`` takes by name.
NAMED_STARTS = ("content", "noise", "content+noise")

#: Deviation of the noise that ``content+noise`` adds to the normalised content image: enough to move every pixel off the
#: points where the total variation has a kink, which is what makes float32 runs part early.
START_NOISE_STD = 0.3


def require_weight(value: float, what: str) -> None:
    if not (math.isfinite(value) and value >= 0):
        raise InputError(f"the {what} must be a finite number of at least 0, not {value:g}")


def require_positive(value: float, what: str) -> None:
    if not (math.isfinite(value) and value > 0):
        raise InputError(f"the {what} must be a finite number above 0, not {value:g}")


def require_count(value: int, what: str, unit: str = "") -> None:
    if not isinstance(value, int) or value < 1:
        raise InputError(f"the {what} must be a whole number of at least 1{' ' * bool(unit)}{unit}, not {value!r}")


def require_choice(value: str, choices: tuple[str, ...], what: str) -> None:
    if value not in choices:
        raise InputError(f"the {what} must be one of {', '.join(choices)}, not {value!r}")


@dataclass(frozen=True)
class ExactSize:
    """Both images are squeezed to exactly this many pixels, whatever their aspect."""

    height: int
    width: int
    rule: str = field(default="exact", init=False)

    def fit(self, height: int, width: int) -> tuple[int, int]:
        """(height, width) that an image of ``height`` x ``width`` pixels is resized to."""
        return self.height, self.width

    def __str__(self) -> str:
        return f"exactly {self.height}x{self.width} (height x width), both images"


@dataclass(frozen=True)
class LongSide:
    """Each image keeps its aspect; its longer side becomes this many pixels."""

    pixels: int
    rule: str = field(default="long-side", init=False)

    def fit(self, height: int, width: int) -> tuple[int, int]:
        """(height, width) that an image of ``height`` x ``width`` pixels is resized to."""
        scale = self.pixels / max(height, width)
        return max(1, round(height * scale)), max(1, round(width * scale))

    def __str__(self) -> str:
        return f"longer side {self.pixels}, each image keeps its aspect"


@dataclass(frozen=True)
class AdamSettings:
    """Kingma and Ba 2015, algorithm 1: epsilon is added to the *corrected* root of the second moment."""

    learning_rate: float
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8


@dataclass(frozen=True)
class LbfgsSettings:
    """Liu and Nocedal 1989, without line search, with the defaults of torch.optim.LBFGS. No recipe uses it yet."""

    learning_rate: float = 1.0
    #: How many pairs of moves and gradient changes are kept.
    history: int = 100


@dataclass(frozen=True)
class StepDecay:
    """The learning rate is multiplied by ``factor`` after every ``every`` steps."""

    every: int
    factor: float

    def rate(self, learning_rate: float, step: int) -> float:
        """The learning rate of the update that follows ``step`` finished ones."""
        return float(learning_rate * self.factor ** (step // self.every))


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """One way to do neural style transfer. Weights are *effective*: they multiply a term in the total that is minimised.

    The total is

    .. math:: w_c \\sum_l a_l L^c_l + w_s \\sum_l b_l L^s_l + w_{tv} L^{tv}

    with the terms of :mod:`isostyle.losses`, taps ``l`` and their weights a and b. The image that is optimised is the
    normalised one, unbounded; it is clipped to 0..1 when it is shown or saved.
    """

    name: str
    source: str
    notes: tuple[str, ...] = ()
    content_taps: Taps
    style_taps: Taps
    gram_divisor: GramDivisor
    content_weight: float
    style_weight: float
    tv_weight: float
    start: Start
    optimiser: AdamSettings
    schedule: StepDecay
    steps: int
    size: ExactSize | LongSide
    #: A line of losses is reported every so many steps.
    report_every: int

    def __post_init__(self) -> None:
        for name in ("content_weight", "style_weight", "tv_weight"):
            require_weight(getattr(self, name), name.replace("_", " "))
        for kind, taps in (("content", self.content_taps), ("style", self.style_taps)):
            if len({tap for tap, _ in taps}) < max(1, len(taps)):
                raise InputError(f"a recipe needs at least one {kind} tap, and each only once")
            for tap, weight in taps:
                require_weight(weight, f"weight of the {kind} tap {tap}")
        if self.content_weight == self.style_weight == self.tv_weight == 0:
            raise InputError("all three weights are 0, so there is nothing to optimise")
        require_choice(self.gram_divisor, get_args(GramDivisor), "Gram divisor")
        require_choice(self.start, get_args(Start), "start")
        require_positive(self.optimiser.learning_rate, "learning rate")
        require_positive(self.schedule.factor, "factor of the schedule")
        require_count(self.schedule.every, "number of steps between decays")
        require_count(self.steps, "number of steps")
        require_count(self.report_every, "number of steps between reports")
        for side, value in dataclasses.asdict(self.size).items():
            if side != "rule":
                require_count(value, "size", "pixel")

    def as_dict(self) -> dict[str, Any]:
        """Every value of the recipe, ready for JSON."""
        values: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(self)))
        return values

    @property
    def digest(self) -> str:
        """SHA-256 of everything that changes a number; the name, the source and the notes do not."""
        values = self.as_dict()
        for prose in ("name", "source", "notes", "report_every"):
            del values[prose]
        return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()

    @property
    def taps(self) -> tuple[str, ...]:
        """Names of all layers that the recipe looks at, each once."""
        return tuple(dict.fromkeys(tap for tap, _ in self.content_taps + self.style_taps))


D2L = Recipe(
    name="d2l",
    source="Zhang et al., Dive into Deep Learning, chapter 'Neural Style Transfer' (MXNet, PyTorch and Paddle tabs)",
    notes=(
        "Taps are before the ReLU, as the text means and as the MXNet and Paddle tabs run; the PyTorch tab's in-place ReLU "
        "makes all but its last tap post-ReLU.",
        "Style weight: the text says 1e3, but the code sums `10 * styles_l`, which repeats a list; 1e4 is what runs.",
        "Learning rate 0.3 as in the PyTorch and Paddle tabs; the MXNet tab has 0.9.",
        "The chapter plots the style loss without the tenfold; here every reported term is its share of the total.",
    ),
    content_taps=(("conv4_4", 1.0),),
    style_taps=(("conv1_1", 1.0), ("conv2_1", 1.0), ("conv3_1", 1.0), ("conv4_1", 1.0), ("conv5_1", 1.0)),
    gram_divisor="chw",
    content_weight=1.0,
    style_weight=1e4,
    tv_weight=10.0,
    start="content",
    optimiser=AdamSettings(learning_rate=0.3),
    schedule=StepDecay(every=50, factor=0.8),
    steps=500,
    size=ExactSize(height=300, width=450),
    report_every=10,
)

ISOSTYLE = dataclasses.replace(
    D2L,
    name="isostyle",
    source="isostyle's default: d2l's numbers, each image at its own aspect",
    notes=("Ours: the longer side of each image becomes 450 pixels, where d2l squeezes both to 300x450.", *D2L.notes),
    size=LongSide(450),
)

PAINTERLY = dataclasses.replace(
    ISOSTYLE,
    name="painterly",
    source="isostyle's own, for the compact network: brush strokes before likeness",
    notes=(
        "Ours: with d2l's equal tap weights, conv2_1 and conv3_1 have nearly all of the style loss, which fine grain alone can "
        "satisfy; here the taps have comparable shares, so that strokes, which conv4_1 and conv5_1 see, come through.",
        "Ours: a tenth of d2l's content weight, and twice its total variation weight.",
    ),
    style_taps=(("conv1_1", 3.0), ("conv2_1", 0.3), ("conv3_1", 1.0), ("conv4_1", 100.0), ("conv5_1", 1000.0)),
    content_weight=0.1,
    tv_weight=20.0,
)

#: The default comes first.
RECIPES: dict[str, Recipe] = {recipe.name: recipe for recipe in (ISOSTYLE, PAINTERLY, D2L)}


def find(name: str) -> Recipe:
    """The published recipe called ``name``.

    Raises:
        InputError: there is none; the message suggests the nearest name.
    """
    if name not in RECIPES:
        near = difflib.get_close_matches(name, RECIPES, n=1)
        hint = f"did you mean {near[0]!r}?" if near else "there are " + ", ".join(RECIPES)
        raise InputError(f"there is no recipe {name!r}; {hint}")
    return RECIPES[name]
