"""The cases, as data: what every backend is asked to compute, on which inputs.

A case has a *kind* (:mod:`.kinds` says what that computes) and, where they matter, a recipe, a network and a scene: three
images, the content, the style, and the one that is evaluated. Its name says all of them: ``gradient/d2l/odd``. :mod:`.inputs`
has the files.
"""

from __future__ import annotations

import dataclasses
import fnmatch
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from isostyle.errors import InputError
from isostyle.interface import Array
from isostyle.network import Network
from isostyle.published import D2L, ISOSTYLE, RECIPES, TUTORIAL
from isostyle.recipe import AdamSettings, Constant, GramDivisor, LbfgsSettings, Level, Recipe, StepDecay
from isostyle.transform_network import JOHNSON, NARROW

#: Raise it when a point, its name or its meaning changes.
SCHEMA = 3
FLOATS = ("float32", "float64")

#: Steps of the short run, and its schedule: the learning rate decays twice within it, whatever the recipe's own schedule.
SHORT_RUN = 10
SHORT_DECAY = 4
#: Evaluations of L-BFGS that are compared; beyond some 20, rounding alone drives correct runs apart.
LBFGS_EVALUATIONS = 20
#: The same with a line search, whose decisions hold runs together: a block of 20 updates, and some of the next.
SEARCH_EVALUATIONS = 40
#: Scales of the gradients that Adam is given: small ones show where epsilon is added.
GRADIENT_SCALES = {"1": 1.0, "1e-3": 1e-3, "1e-6": 1e-6}
#: Sizes (height, width) that photo.png, 152x120, is resized to.
RESIZES = {"half": (76, 60), "odd": (45, 51), "wider": (37, 140), "larger": (200, 170)}
#: Sizes (height, width) of what is cut out of its middle: whole halves are left over, and halves of a pixel, of odd and even
#: whole numbers.
CROPS = {"even": (100, 60), "down": (119, 152), "across": (120, 149), "both": (49, 51)}
#: Seeds of the noise that is compared, and its shape.
NOISES, NOISE_SHAPE = (0, 1, 4294967295), (1, 3, 9, 13)
#: How often the scene `large` repeats `photo`, down and across: more than a million values, where careless sums show.
LARGE = (12, 12)
#: The scene `wide`: `photo` repeated, and cut to this height and width: odd, and larger than a tile with the halo of conv5_1.
WIDE = (235, 251)
#: Scenes whose pixels have few different values, so that rounding errors do not cancel.
FEW_COLORS = ("flat", "checkerboard", "saturated")
#: Scenes of small whole numbers, for the network `exact`: ties in every pooling window, equal neighbors, both at odd sizes.
TIES = ("tied", "tied-flat", "tied-odd")
#: The images of a scene.
ROLES = ("content", "style", "image")
#: The styles of trainings.
STYLE_IMAGES = ("odd/style", "photo/style")
#: What style networks are given: height and width of what is cut out of the photograph `odd`. By 4 the sides leave 0 to 3, and
#: 5 is the least. Of the larger ones no decision is close. The last two are for the networks that are named, at full width.
CUTS = {
    "5x5": (5, 5),
    "6x7": (6, 7),
    "21x18": (21, 18),
    "20x19": (20, 19),
    "20x16": (20, 16),
    "johnson": (15, 17),
    "narrow": (18, 21),
}
FULL_WIDTH = {"johnson": JOHNSON, "narrow": dataclasses.replace(NARROW, skips=True, residual=True)}
#: Sides of tiles for some of them, which divide nothing.
CUT_TILES = {"21x18": 8, "20x19": 5, "johnson": 6, "narrow": 7}
#: The photographs of a training step (the loss network halves them four times), each with the number of its style; and how many
#: steps, within which the rate decays.
BATCH, TRAINING_STEPS = {"21x18": 0, "20x19": 1}, 3
#: Weights of two style images of a run: a scene's own, and its image.
STYLE_WEIGHTS = (1.0, 0.4)
#: Weights of the two styles, for a mixture.
MIXTURE = (0.7, 0.4)
#: Johnson et al. 2016, section 4.1.
TRAINING_OPTIMIZER = AdamSettings(1e-3), StepDecay(2, 0.5)
#: By how much scales and shifts learn faster than the rest, there.
OWN_RATE = 3.0
DIVISORS: tuple[GramDivisor, ...] = ("chw", "hw", "1")
#: The frameworks whose own VGG-19 and optimizers are compared, too.
FRAMEWORKS = ("torch", "mxnet", "paddle")

#: For the network `exact`, which has three blocks.
EXACT_RECIPE = dataclasses.replace(
    D2L,
    name="exact",
    content_layers=(("conv2_2", 1.0), ("pool3", 1.0)),
    style_layers=(("conv1_1", 1.0), ("relu1_2", 0.5), ("pool1", 2.0), ("conv2_1", 1.0), ("relu3_2", 1.0)),
    style_weight=1.0,
)
#: For the scene `large`: no layer but the first.
FIRST_LAYER = dataclasses.replace(D2L, name="first-layer", content_layers=(("conv1_1", 1.0),), style_layers=(("conv1_1", 1.0),))
#: Taps at pools and at the very end, and single taps of weight 0, which no recipe has.
EVERY_KIND_OF_TAP = dataclasses.replace(
    D2L,
    name="post-relu",
    content_layers=(("relu4_2", 0.5), ("pool5", 2.0), ("conv3_3", 0.0)),
    style_layers=(("relu1_1", 1.0), ("conv2_2", 0.25), ("relu3_4", 2.0), ("pool4", 1.0), ("conv5_4", 1.0)),
    tv_weight=0.0,
)


#: d2l's objective, which has total variation, under L-BFGS.
D2L_LBFGS = dataclasses.replace(D2L, name="d2l-lbfgs", optimizer=LbfgsSettings(), schedule=Constant())
#: The same, so faint that the sum of the first gradient's absolute values is below 1, where the first step is not shortened.
D2L_FAINT = dataclasses.replace(D2L_LBFGS, name="d2l-lbfgs-faint", content_weight=1e-5, style_weight=0.1, tv_weight=1e-4)
#: L-BFGS with a line search: on d2l's objective, where it widens; in short blocks with a short history and a first length that
#: is far too long; and so on the image in 0..1, unclamped.
SEARCHING = LbfgsSettings(line_search="strong-wolfe")
D2L_SEARCH = dataclasses.replace(D2L_LBFGS, name="d2l-wolfe", optimizer=SEARCHING)
LONG_SEARCHING = dataclasses.replace(SEARCHING, learning_rate=8.0, iterations=8, history=3)
D2L_LONG_SEARCH = dataclasses.replace(D2L_LBFGS, name="d2l-wolfe-blocks", optimizer=LONG_SEARCHING)
#: And from coarse to fine: two levels, of which the second is told the scale of the first.
D2L_PYRAMID = dataclasses.replace(D2L_SEARCH, name="d2l-wolfe-pyramid", pyramid=(Level(0.5, 15),))
TUTORIAL_SEARCH = dataclasses.replace(TUTORIAL, name="tutorial-wolfe", clamped=False, optimizer=LONG_SEARCHING)
#: An image that is clamped, and enlarged so.
UNIT_PYRAMID = dataclasses.replace(
    ISOSTYLE, name="unit-pyramid", space="unit", clamped=True, optimizer=AdamSettings(0.2), tv_weight=0.1
)
#: Recipes that are looked at in every scene; the others share their formulas with these.
THOROUGH = (D2L, ISOSTYLE)
MANY_SCENES = ("photo", "odd", "minimal", "noise", "loud", "flat", "checkerboard", "saturated", "content")
FEW_SCENES = ("photo", "odd", "noise")


#: Taps in the first three blocks, whose tiles have halos even in small scenes.
SHALLOW = dataclasses.replace(
    D2L,
    name="shallow",
    content_layers=(("conv3_2", 1.0), ("pool2", 0.5), ("relu1_2", 0.0)),
    style_layers=(("conv1_1", 1.0), ("relu2_1", 0.5), ("conv3_2", 2.0), ("pool1", 0.0)),
)
#: With average pooling, images in 0..1, and Gatys' sums.
SHALLOW_SUMS = dataclasses.replace(
    SHALLOW,
    name="shallow-sums",
    pooling="average",
    space="unit",
    gram_divisor="1",
    content_reduction="half-sum",
    style_reduction="quarter-sum",
    content_weight=1e-3,
)
#: Terms without gradient, which a tile must not give them.
SHALLOW_HELD = dataclasses.replace(
    SHALLOW, name="shallow-held", gram_divisor="hw", style_reduction="mean/chw", without_gradient=("content", "tv")
)
#: Losses relative to their targets, behind the ReLU, as isostyle's own recipes have them.
SHALLOW_RELATIVE = dataclasses.replace(
    SHALLOW,
    name="shallow-relative",
    content_layers=(("relu3_2", 1.0),),
    style_layers=(("relu1_1", 1.0), ("relu2_1", 0.5), ("relu3_2", 2.0)),
    gram_divisor="hw",
    content_reduction="relative",
    style_reduction="relative",
    style_weight=1.0,
    tv_weight=0.1,
)
#: All that crowsonkb's recipe has and no other: Wasserstein distances, squared variation, a first convolution that sees the
#: border repeated, averages that are doubled.
SHALLOW_GAUSSIAN = dataclasses.replace(
    SHALLOW,
    name="shallow-gaussian",
    pooling="average-doubled",
    space="unit",
    gram_divisor="hw",
    style_reduction="wasserstein",
    style_weight=1.0,
    tv_weight=2.0,
    first_padding="replicate",
    variation="squared",
)
#: Half of a sum for total variation, as neural-style has it.
SHALLOW_HALF = dataclasses.replace(SHALLOW, name="shallow-half", tv_weight=1e-3, variation="half-sum")
#: Recipes with scenes and tiles: that divide a side and that do not, that are no multiples of the grid (10), one (64) for which
#: the picture is a single tile, and d2l's own taps, whose halo is 80.
TILED = (
    (SHALLOW, "odd", 8),
    (SHALLOW, "odd", 10),
    (SHALLOW, "photo", 16),
    (SHALLOW, "photo", 64),
    (SHALLOW_SUMS, "odd", 16),
    (SHALLOW_HELD, "noise", 16),
    (SHALLOW_RELATIVE, "odd", 16),
    (SHALLOW_GAUSSIAN, "odd", 16),
    (SHALLOW_GAUSSIAN, "wide", 64),
    (SHALLOW_HALF, "wide", 64),
    (EVERY_KIND_OF_TAP, "odd", 32),
    (TUTORIAL, "odd", 16),
    (D2L, "wide", 64),
)


@dataclass(frozen=True)
class Case:
    """One thing to compute. Its points (named arrays) are recorded once for each of ``dtypes``."""

    kind: str
    scene: str | None = None
    network: str | None = None
    recipe: Recipe | None = None
    #: What the kind needs beyond these: a divisor, a scale, a size.
    variant: str | None = None
    dtypes: tuple[str, ...] = FLOATS
    #: Backends that it is meant for; empty: all.
    only: tuple[str, ...] = ()
    #: The side of the tiles that backends compute it in; the oracle computes everything whole.
    tile: int | None = None

    @property
    def name(self) -> str:
        tile = self.tile and f"tile-{self.tile}"
        parts = (self.recipe and self.recipe.name, self.place, self.variant, tile)
        return "/".join([self.kind, *(part for part in parts if part)])

    @property
    def place(self) -> str | None:
        """The scene, with the network where it is not the usual one."""
        return f"{self.scene}@{self.network}" if self.scene and self.network not in (None, "narrow") else self.scene


def all_cases() -> tuple[Case, ...]:
    """Every case, for every registered recipe."""
    found = (
        *of_pictures(),
        *of_networks(),
        *of_formulas(),
        *of_recipes(),
        *of_runs(),
        *of_vgg19(),
        *in_tiles(),
        *of_style_networks(),
        *of_native_optimizers(),
    )
    names = [case.name for case in found]
    assert len(set(names)) == len(names), "two cases of one name"
    return found


def cases_of(name: str, network: Network) -> tuple[Case, ...]:
    """The cases for a network of the user's, called ``name``: its maps, and what recipes compute whose layers it has."""
    layers = {layer.name for layer in network.layers}
    found = [Case("features", "photo", name)]
    for recipe in different(RECIPES.values(), objective_of):
        if layers.issuperset(recipe.taps):
            found += [Case(kind, "photo", name, recipe) for kind in ("targets", "terms", "gradient")]
            if recipe in THOROUGH:
                found += [Case(kind, "photo", name, recipe) for kind in ("step", "run")]
    return tuple(found)


def of_pictures() -> Iterator[Case]:
    """Tensors and pictures: what comes in and goes out."""
    yield Case("tensor")
    yield Case("normalize")
    yield Case("denormalize")
    yield Case("round-trip", dtypes=("uint8",))
    for variant in RESIZES:
        yield Case("resize", variant=variant, dtypes=("uint8",))
    for variant in CROPS:
        yield Case("crop", variant=variant, dtypes=("uint8",))
    yield Case("noise")


def of_networks() -> Iterator[Case]:
    for scene in ("photo", "odd", "minimal", "noise", "loud", "flat", "checkerboard", "saturated"):
        yield Case("features", scene, "narrow")
    for scene in TIES:
        yield Case("features", scene, "exact")
    # Another network of the same name and table: an engine is of its weights.
    for scene in ("photo", "loud"):
        yield Case("features", scene, "negated")
    yield Case("features", "picture", "compact")
    # VGG-19 at its own width.
    yield Case("features", "noise", "vgg19")
    yield Case("zoo", "noise", "vgg19", dtypes=("float32",), only=FRAMEWORKS)


def of_formulas() -> Iterator[Case]:
    """Divisors, ties, sums of a million values, and every kind of tap."""
    for variant in DIVISORS:
        yield Case("gram", variant=variant)
    for variant in DIVISORS:
        divided = dataclasses.replace(D2L, name=f"divisor-{variant}", gram_divisor=variant, style_weight=20.0)
        for kind in ("targets", "terms", "gradient"):
            yield Case(kind, "odd", "narrow", divided)
    for scene in TIES:
        yield Case("terms", scene, "exact", EXACT_RECIPE)
        yield Case("gradient", scene, "exact", EXACT_RECIPE)
    for variant in DIVISORS:
        first = dataclasses.replace(FIRST_LAYER, name=f"first-layer-{variant}", gram_divisor=variant)
        yield Case("terms", "large", "narrow", first)
    for recipe in (EVERY_KIND_OF_TAP, SHALLOW_RELATIVE):
        yield Case("terms", "photo", "narrow", recipe)
        yield Case("gradient", "photo", "narrow", recipe)


def of_recipes() -> Iterator[Case]:
    """Every recipe: its numbers, and what it computes where no recipe before it computes the same."""
    for recipe in RECIPES.values():
        yield Case("recipe", recipe=recipe, dtypes=("text",))
        yield Case("schedule", recipe=recipe, dtypes=("float64",))
    for recipe in different(RECIPES.values(), optimizer_of):
        for variant in GRADIENT_SCALES:
            yield Case("adam", recipe=recipe, variant=variant)
    for recipe in different(RECIPES.values(), objective_of):
        scenes = MANY_SCENES if recipe in THOROUGH else FEW_SCENES
        for scene in scenes:
            yield Case("terms", scene, "narrow", recipe)
        yield Case("terms", "picture", "compact", recipe)
        for scene in ("photo", "odd"):
            yield Case("targets", scene, "narrow", recipe)
        yield Case("styles", "odd", "narrow", recipe)
        for scene in scenes:
            if scene not in (*FEW_COLORS, "content"):
                yield Case("gradient", scene, "narrow", recipe)
        if recipe in THOROUGH:
            yield Case("gradient", "picture", "compact", recipe)


def of_runs() -> Iterator[Case]:
    """Steps and short runs; L-BFGS in float64 only, since rounding makes it chaotic."""
    for recipe in different(RECIPES.values(), run_of):
        if isinstance(recipe.optimizer, LbfgsSettings):
            yield Case("run", "photo", "narrow", recipe, dtypes=("float64",))
            continue
        for scene in ("photo", "odd"):
            yield Case("step", scene, "narrow", recipe)
        yield Case("run", "photo", "narrow", recipe)
        if recipe in THOROUGH:
            yield Case("run", "picture", "compact", recipe)
    yield Case("run", "photo", "narrow", UNIT_PYRAMID)
    for recipe in (D2L_LBFGS, D2L_FAINT, D2L_SEARCH, D2L_LONG_SEARCH, D2L_PYRAMID, TUTORIAL_SEARCH):
        yield Case("run", "photo", "narrow", recipe, dtypes=("float64",))


def of_vgg19() -> Iterator[Case]:
    for kind in ("targets", "terms", "gradient", "step"):
        yield Case(kind, "noise", "vgg19", D2L)


def in_tiles() -> Iterator[Case]:
    """What must give the same numbers as the whole picture."""
    for recipe, scene, tile in TILED:
        for kind in ("targets", "terms", "gradient"):
            yield Case(kind, scene, "narrow", recipe, tile=tile)
    yield Case("run", "odd", "narrow", SHALLOW, tile=16)


def of_style_networks() -> Iterator[Case]:
    """Each stage's convolution alone, styles mixed, pictures, cotangents taken back to the parameters, and training."""
    yield Case("stages")
    yield Case("mixture")
    for variant, tile in CUT_TILES.items():
        yield Case("transform", variant=variant, tile=tile)
    for variant in CUTS:
        yield Case("transform", variant=variant)
        yield Case("vjp", variant=variant)
    for variant in BATCH:
        yield Case("training-gradient", network="narrow", recipe=D2L, variant=variant)
    yield Case("training", network="narrow", recipe=D2L)


def of_native_optimizers() -> Iterator[Case]:
    for variant in GRADIENT_SCALES:
        yield Case("native-adam", variant=variant, dtypes=("float64",), only=FRAMEWORKS)
    yield Case("native-lbfgs", "photo", "narrow", D2L, dtypes=("float64",), only=FRAMEWORKS)
    yield Case("native-lbfgs", "photo", "narrow", TUTORIAL, dtypes=("float64",), only=FRAMEWORKS)


#: What a run makes a picture of, beside its optimizer.
OF_PICTURE = ("average_decay", "carries_moments")


def objective_of(recipe: Recipe) -> object:
    """All that the terms and the gradient of one image depend on."""
    prose = ("name", "source", "notes", "report")
    of_runs = ("clamped", "start", "optimizer", "schedule", "steps", "size", "style_size", "style_scale", "margin", *OF_PICTURE)
    return tuple(value for name, value in vars(recipe).items() if name not in (*prose, *of_runs))


def optimizer_of(recipe: Recipe) -> object:
    """All that Adam depends on; None where it is not the optimizer."""
    return (recipe.optimizer, recipe.schedule) if isinstance(recipe.optimizer, AdamSettings) else None


def run_of(recipe: Recipe) -> object:
    kept = tuple(getattr(recipe, name) for name in OF_PICTURE)
    return objective_of(recipe), recipe.optimizer, recipe.schedule, recipe.clamped, kept


def different(recipes: Iterable[Recipe], aspect: Callable[[Recipe], object]) -> list[Recipe]:
    """The first recipe of each kind, d2l before all others; none for the aspect None."""
    found: dict[object, Recipe] = {}
    for recipe in sorted(recipes, key=lambda recipe: recipe is not D2L):
        found.setdefault(aspect(recipe), recipe)
    found.pop(None, None)
    return list(found.values())


def short(recipe: Recipe, steps: int = SHORT_RUN) -> Recipe:
    """``recipe`` with a few steps, within which the learning rate decays.

    L-BFGS has :data:`LBFGS_EVALUATIONS`, or, with a line search, :data:`SEARCH_EVALUATIONS`, those of a pyramid's levels among
    them.
    """
    if isinstance(recipe.optimizer, LbfgsSettings):
        evaluations = SEARCH_EVALUATIONS if recipe.searches else LBFGS_EVALUATIONS
        return dataclasses.replace(recipe, steps=evaluations - sum(level.steps for level in recipe.pyramid))
    schedule = recipe.schedule
    if isinstance(schedule, StepDecay):
        schedule = StepDecay(SHORT_DECAY, schedule.factor)
    # Of several levels one shows all: that which is nearest to a half, for every scene has room for it.
    levels = sorted(recipe.pyramid, key=lambda level: abs(level.share - 0.5))[:1]
    pyramid = tuple(Level(level.share, steps) for level in levels)
    return dataclasses.replace(recipe, steps=steps, schedule=schedule, pyramid=pyramid)


def coarser(image: Array, share: float) -> Array:
    """What a level of a pyramid, a ``share`` of height and width, is given for the array (1, 3, H, W): every second pixel for a
    half.

    Nothing is resized here, so that the oracle and the backends are given the same numbers.
    """
    step = round(1 / share)
    return np.ascontiguousarray(image[:, :, ::step, ::step])


def select(cases: Iterable[Case], patterns: Sequence[str]) -> tuple[Case, ...]:
    """Cases whose name matches one of the shell patterns; all of them, if there are none.

    Raises:
        InputError: a pattern matches no case.
    """
    cases = tuple(cases)
    for pattern in patterns:
        if not any(fnmatch.fnmatchcase(case.name, pattern) for case in cases):
            hint = f"; did you mean {pattern + '/*'!r}?" if any(case.kind == pattern for case in cases) else ""
            raise InputError(f"no case is called {pattern!r}{hint or '; `isostyle conform cases` lists them'}")
    return tuple(case for case in cases if not patterns or any(fnmatch.fnmatchcase(case.name, pattern) for pattern in patterns))
