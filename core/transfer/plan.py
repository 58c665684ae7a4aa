"""How large each picture is made."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from isostyle.errors import InputError
from isostyle.images import arrays
from isostyle.images.decode import MAX_PIXELS
from isostyle.images.deep import Pixels
from isostyle.network import Network
from isostyle.recipe import Recipe
from isostyle.sizes import Size
from isostyle.transfer.styles import is_style, roles_of_styles

#: A squeezed image is warned of when its aspect changes by more than this share, and by more than a pixel's rounding.
ASPECT_TOLERANCE = 0.02
#: Total variation, which is computed whatever its weight, needs neighbors along both axes.
VARIATION_SIDE = 2
#: A margin's share of a picture's shorter side, at the most: on a small picture it would be most of the work.
MARGIN_AT_MOST = 1 / 8


@dataclass(frozen=True)
class Resizing:
    """What is done to a picture; both are (height, width)."""

    #: It is resized to this,
    scaled: tuple[int, int]
    #: and this is cut out of its middle.
    final: tuple[int, int]
    #: Pixels by which that is continued on every side while it is painted.
    margin: int = 0

    @property
    def canvas(self) -> tuple[int, int]:
        """The size with the margin."""
        height, width = self.final
        return height + 2 * self.margin, width + 2 * self.margin


def plan(
    pictures: Mapping[str, Pixels], recipe: Recipe, network: Network, *, gpu: bool = False, share: float = 1.0
) -> dict[str, Resizing]:
    """How the recipe resizes each picture, at a level that is a ``share`` of height and width. A start picture gets the content
    image's size.

    Raises:
        InputError: a picture is, or would become, too small for the recipe's deepest layer, or far too large; or the recipe
            needs two of equal size, and these would not be.
    """
    found: dict[str, Resizing] = {}
    for role, picture in pictures.items():
        if role == "init" or (is_style(role) and recipe.style_size == "content"):
            scaled = final = found["content"].final
            factor = 1.0
        else:
            rule = recipe.style_size if is_style(role) and isinstance(recipe.style_size, Size) else recipe.size
            scaled, final = (sides(picture.height, picture.width, gpu=gpu) for sides in (rule.scaled, rule.fit))
            factor = share
        if is_style(role):
            factor *= recipe.style_scale
        scaled, final = times(scaled, factor), times(final, factor)
        margin = min(round(recipe.margin * share), int(min(final) * MARGIN_AT_MOST))
        found[role] = Resizing(scaled, final, margin)
        require_possible(role, picture, found[role], recipe, network)
    if recipe.style_size == "equal":
        # What its source asks for is so before anything is scaled.
        content, *styles = (fitted(pictures[role], recipe, gpu) for role in ("content", *roles_of_styles(pictures)))
        for style in styles:
            require_equal(content, style, recipe)
    return found


def fitted(picture: Pixels, recipe: Recipe, gpu: bool) -> tuple[int, int]:
    """What the recipe's rule makes of a picture's size."""
    return recipe.size.fit(picture.height, picture.width, gpu=gpu)


def require_equal(content: tuple[int, int], style: tuple[int, int], recipe: Recipe) -> None:
    """Raises InputError unless both sizes are the same."""
    if content != style:
        raise InputError(
            f"the recipe {recipe.name!r} takes two images of one size, and these would be {content[0]}x{content[1]} and "
            f"{style[0]}x{style[1]}; the recipe tutorial-square crops both, a size with height and width squeezes them"
        )


def times(size: tuple[int, int], factor: float) -> tuple[int, int]:
    """(height, width) ``factor`` times as large, in whole pixels."""
    height, width = size
    return max(1, round(height * factor)), max(1, round(width * factor))


def require_possible(role: str, picture: Pixels, resizing: Resizing, recipe: Recipe, network: Network) -> None:
    """Raises InputError if a picture is, or would become, too small or too large."""
    height, width = resizing.scaled
    if height * width > MAX_PIXELS:
        raise InputError(f"the size {height}x{width} is more than {MAX_PIXELS / 1e6:.0f} megapixels; choose a smaller one")
    deepest, least = network.cut(recipe.taps)[-1].name, network.least_side(recipe.taps)
    if least < VARIATION_SIDE:
        deepest, least = "total variation", VARIATION_SIDE
    for what, (height, width) in (("is", (picture.height, picture.width)), ("would be resized to", resizing.final)):
        if min(height, width) < least:
            shape = f"{height}x{width} pixels (height x width)"
            raise InputError(f"the {role} image {what} {shape}; {deepest} needs at least {least}x{least}")


def fit(picture: Pixels, resizing: Resizing) -> Pixels:
    """``picture``, resized and cropped."""
    return arrays.crop(arrays.resize(picture, *resizing.scaled), *resizing.final)


def changed_aspects(pictures: Mapping[str, Pixels], resizings: Mapping[str, Resizing]) -> list[str]:
    """At most two lines: which pictures are squeezed, and which are cropped."""
    squeezed: dict[tuple[int, int], list[str]] = defaultdict(list)
    cropped: dict[tuple[int, int], list[str]] = defaultdict(list)
    for role, picture in pictures.items():
        name = f"{role} {picture.height}x{picture.width}"
        height, width = resizings[role].scaled
        rounded = min(
            abs(width - picture.width * height / picture.height), abs(height - picture.height * width / picture.width)
        )
        if rounded > 1 and abs(width / height / (picture.width / picture.height) - 1) > ASPECT_TOLERANCE:
            squeezed[resizings[role].final].append(name)
        if resizings[role].final != (height, width):
            cropped[resizings[role].final].append(name)
    lines = []
    if squeezed:
        lines.append(f"aspect changed: {by_size(squeezed, 'squeezed to')} (height x width)")
    if cropped:
        lines.append(f"cropped: {by_size(cropped, 'to the')} in the middle")
    return lines


def by_size(names: Mapping[tuple[int, int], Sequence[str]], verb: str) -> str:
    """content 90x60 and style 70x50 squeezed to 300x450."""
    return " and ".join(f"{' and '.join(each)} {verb} {height}x{width}" for (height, width), each in names.items())


def enlarged(painting: Pixels, resizing: Resizing, recipe: Recipe) -> list[str]:
    """A line if the user makes a painting larger than it is, for the sake of its strokes."""
    height, width = resizing.scaled
    is_asked_for = recipe.style_scale != 1 or isinstance(recipe.style_size, Size)
    if not is_asked_for or height * width <= painting.height * painting.width:
        return []
    own = f"{painting.height}x{painting.width}"
    return [f"style {own} enlarged to {height}x{width} (height x width): it has no more detail than its {own} pixels"]
