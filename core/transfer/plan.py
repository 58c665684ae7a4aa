"""How large each picture is made, and from which image a run starts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from isostyle.errors import InputError
from isostyle.images import arrays
from isostyle.images.decode import MAX_PIXELS
from isostyle.images.deep import Pixels
from isostyle.interface import Array, Dtype
from isostyle.network import RGB_STD, Network
from isostyle.recipe import (
    START_NOISE_STD,
    Recipe,
)

#: A squeezed image is warned of when its aspect changes by more than this share, and by more than a pixel's rounding.
ASPECT_TOLERANCE = 0.02
#: Total variation, which is computed whatever its weight, needs neighbors along both axes.
VARIATION_SIDE = 2


@dataclass(frozen=True)
class Plan:
    """How large a picture is made; both are (height, width)."""

    #: It is resized to this,
    scaled: tuple[int, int]
    #: and this is cut out of its middle.
    final: tuple[int, int]


def plan(
    pictures: Mapping[str, Pixels], settings: Recipe, network: Network, *, gpu: bool = False, share: float = 1.0
) -> dict[str, Plan]:
    """How large the recipe makes each picture, at a level that is a ``share`` of height and width; a start picture gets the
    content image's size.

    Raises:
        InputError: a picture is, or would become, too small for the recipe's deepest tap, or far too large; or the recipe needs
            two of equal size, and these would not be.
    """
    deepest, least = network.cut(settings.taps)[-1].name, network.least_side(settings.taps)
    if least < VARIATION_SIDE:
        deepest, least = "total variation", VARIATION_SIDE
    plans: dict[str, Plan] = {}
    for role, picture in pictures.items():
        if role == "init" or (role == "style" and settings.style_size == "content"):
            plans[role] = Plan(plans["content"].final, plans["content"].final)
        else:
            whole = (rule(picture.height, picture.width, gpu=gpu) for rule in (settings.size.scaled, settings.size.fit))
            plans[role] = Plan(*((max(1, round(height * share)), max(1, round(width * share))) for height, width in whole))
        (tall, wide), final = plans[role].scaled, plans[role].final
        if tall * wide > MAX_PIXELS:
            raise InputError(f"the size {tall}x{wide} is more than {MAX_PIXELS / 1e6:.0f} megapixels; choose a smaller one")
        for what, (height, width) in (("is", (picture.height, picture.width)), ("would be resized to", final)):
            if min(height, width) < least:
                shape = f"{height}x{width} pixels (height x width)"
                raise InputError(f"the {role} image {what} {shape}; {deepest} needs at least {least}x{least}")
    content, style = (plans[role].final for role in ("content", "style"))
    if settings.style_size == "equal" and content != style:
        raise InputError(
            f"the recipe {settings.name!r} takes two images of one size, and these would be {content[0]}x{content[1]} and "
            f"{style[0]}x{style[1]}; --recipe tutorial-square crops both, --size 300x450 squeezes them"
        )
    return plans


def fit(picture: Pixels, planned: Plan) -> Pixels:
    """``picture``, resized and cropped."""
    return arrays.crop(arrays.resize(picture, *planned.scaled), *planned.final)


def changed_aspects(pictures: Mapping[str, Pixels], plans: dict[str, Plan]) -> list[str]:
    """At most two lines, which name the pictures that are squeezed, and those that are cropped."""
    squeezed, cropped = [], []
    for role, picture in pictures.items():
        name = f"{role} {picture.height}x{picture.width}"
        height, width = plans[role].scaled
        rounded = min(
            abs(width - picture.width * height / picture.height), abs(height - picture.height * width / picture.width)
        )
        if rounded > 1 and abs(width / height / (picture.width / picture.height) - 1) > ASPECT_TOLERANCE:
            squeezed.append(name)
        if plans[role].final != (height, width):
            cropped.append(name)
    height, width = plans["content"].final
    found = [f"aspect changed: {' and '.join(squeezed)} squeezed to {height}x{width} (height x width)"] if squeezed else []
    return [*found, *([f"cropped: {' and '.join(cropped)} to the {height}x{width} in the middle"] if cropped else [])]


def start_image(settings: Recipe, arrays: dict[str, Array], fitted: dict[str, Pixels], seed: int, dtype: Dtype) -> Array:
    """The image (1, 3, H, W), in the recipe's space, that the optimization starts from."""
    content = arrays["content"]
    if settings.start == "noise":
        return arrays.noise(content.shape, seed, dtype)
    if settings.start == "uniform-noise":
        return arrays.uniform_noise(content.shape, seed, dtype)
    if settings.start == "content+noise":
        deviation = np.array(RGB_STD if settings.space == "unit" else (1, 1, 1)).reshape(1, 3, 1, 1) * START_NOISE_STD
        noisy: Array = content + arrays.noise(content.shape, seed, dtype) * deviation.astype(dtype)
        return noisy
    if settings.start == "style":
        return arrays.to_array(arrays.resize(fitted["style"], *content.shape[2:]), dtype, settings.space)
    return arrays["init"] if settings.start == "image" else content
