"""The levels of a run, from coarse to fine: one where there is no pyramid. Pictures become arrays here, level by level."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from isostyle.errors import InputError
from isostyle.images import arrays
from isostyle.images.arrays import Pixels
from isostyle.interface import Array, Dtype
from isostyle.network import RGB_STD, Network
from isostyle.recipe import START_NOISE_STD, Recipe
from isostyle.transfer.plan import Resizing, fit, plan


@dataclass
class RunLevel:
    """A level: its recipe, and how it resizes the pictures of the run."""

    recipe: Recipe
    resizings: Mapping[str, Resizing]
    #: By role. All levels share them; the last one takes them out, so that a large picture goes as soon as it is an array.
    pictures: dict[str, Pixels]
    dtype: Dtype
    last: bool = False
    #: Whether the run has come here.
    begun: bool = False
    #: By role, shape (1, 3, H, W), in the recipe's space: what :meth:`start` has made and :meth:`content_and_style` will take.
    arrays: dict[str, Array] = field(default_factory=dict)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the image that is optimized."""
        return self.resizings["content"].final

    def fit(self, role: str) -> Pixels:
        """A picture at the size that it has at this level."""
        return fit(self.pictures.pop(role) if self.last else self.pictures[role], self.resizings[role])

    def array(self, picture: Pixels) -> Array:
        return arrays.to_array(picture, self.dtype, self.recipe.space)

    def start(self, seed: int) -> Array:
        """The image (1, 3, H, W), in the recipe's space, that a run starts from if this is its first level."""
        fitted = {role: self.fit(role) for role in list(self.pictures)}
        self.arrays = {role: self.array(picture) for role, picture in fitted.items()}
        content, rule = self.arrays["content"], self.recipe.start
        if rule == "noise":
            return arrays.noise(content.shape, seed, self.dtype)
        if rule == "uniform-noise":
            return arrays.uniform_noise(content.shape, seed, self.dtype)
        if rule == "content+noise":
            std = np.array(RGB_STD if self.recipe.space == "unit" else (1, 1, 1)).reshape(1, 3, 1, 1) * START_NOISE_STD
            noisy: Array = content + arrays.noise(content.shape, seed, self.dtype) * std.astype(self.dtype)
            return noisy
        if rule == "style":
            return self.array(arrays.resize(fitted["style"], *content.shape[2:]))
        return self.arrays["init"] if rule == "image" else content

    def content_and_style(self) -> tuple[Array, Array]:
        """Both images, when the run comes to this level; they are kept no longer than the caller keeps them."""
        self.begun = True
        self.pictures.pop("init", None)
        found = self.arrays or {role: self.array(self.fit(role)) for role in ("content", "style")}
        self.arrays = {}
        return found["content"], found["style"]


def plan_levels(
    pictures: dict[str, Pixels], recipe: Recipe, network: Network, dtype: Dtype, *, gpu: bool
) -> tuple[list[RunLevel], list[str]]:
    """The levels of ``recipe``, and a line for each that is left out because a picture would be too small there."""
    levels, lines = [], []
    for share, recipe_of_level in recipe.levels:
        try:
            resizings = plan(pictures, recipe, network, gpu=gpu, share=share)
        except InputError as error:
            lines.append(f"the level {share:g} of the pyramid is left out: {error}")
            continue
        levels.append(RunLevel(recipe_of_level, resizings, pictures, dtype))
    levels[-1].last = True
    return levels, lines
