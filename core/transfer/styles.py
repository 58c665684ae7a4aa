r"""Several style images in one run: their roles, their weights, and the targets that they make together.

Their Gram matrices are averaged, each with its image's weight. A term for each image would move the picture in the same
direction, for

.. math:: \sum_i w_i |G - A_i|^2 = |G - \bar A|^2 + c, \quad \bar A = \sum_i w_i A_i, \quad \sum_i w_i = 1

where c does not depend on the picture; and it would cost as many times as much. (Relative losses are divided by the size of the
average, and not each by its own.)
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np

from isostyle.checks import POSITIVE, require_number
from isostyle.errors import InputError
from isostyle.images.decode import ImageLike
from isostyle.interface import Array, Engine, Targets
from isostyle.recipe import Recipe

#: The role of the first style image; of the others, with a number behind it: ``style 2``.
STYLE = "style"
#: A style image; or several, each alone (with the weight 1) or with its weight.
StyleLike: TypeAlias = ImageLike | Sequence[ImageLike | tuple[ImageLike, float]]
#: A style image, (1, 3, H, W), and its weight.
Weighted: TypeAlias = tuple[Array, float]


def by_role(style: StyleLike) -> tuple[dict[str, ImageLike], dict[str, float]]:
    """The style images, and their weights, each by its role. Raises InputError if there is none."""
    given = [each if isinstance(each, tuple) else (each, 1.0) for each in (style if isinstance(style, list) else [style])]
    if not given:
        raise InputError("a run needs a style image, and the list of them is empty")
    images: dict[str, ImageLike] = {}
    weights: dict[str, float] = {}
    for number, (image, weight) in enumerate(given, 1):
        role = STYLE if number == 1 else f"{STYLE} {number}"
        images[role], weights[role] = image, weight
    return images, weights


def is_style(role: str) -> bool:
    """Whether it is the role of a style image."""
    return role.partition(" ")[0] == STYLE


def roles_of_styles(roles: Iterable[str]) -> list[str]:
    return [role for role in roles if is_style(role)]


def weights_of(described: Mapping[str, Mapping[str, Any]]) -> dict[str, float]:
    """The weights of style images, as a checkpoint or a manifest describes them; one alone has none there."""
    return {role: described[role].get("weight", 1.0) for role in roles_of_styles(described)}


def require_weights(weights: Mapping[str, float]) -> None:
    """Raises InputError unless each is above 0."""
    for role, weight in weights.items():
        require_number(weight, f"weight of the {role} image", POSITIVE)


def average(targets: Sequence[Mapping[str, Array]], weights: Sequence[float]) -> dict[str, Array]:
    """The weighted average of style targets, by tap; weights count relatively to each other."""
    shares = [weight / sum(weights) for weight in weights]
    found = {}
    for tap, first in targets[0].items():
        total = sum((share * each[tap].astype(np.float64) for share, each in zip(shares, targets, strict=True)))
        found[tap] = np.asarray(total, first.dtype)
    return found


def targets_of(engine: Engine, recipe: Recipe, content: Array, styles: Sequence[Weighted]) -> Targets:
    """What an image is pulled toward, by one style image or by several: all images (1, 3, H, W), in the recipe's space."""
    (first, _), *others = styles
    targets = engine.targets(recipe, content, first)
    if not others:
        return targets
    found = [targets.style, *(engine.targets(recipe, image, image).style for image, _ in others)]
    return dataclasses.replace(targets, style=average(found, [weight for _, weight in styles]))
