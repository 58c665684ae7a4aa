"""The pictures of a run: they are read once, and become arrays level by level.

A picture of 24 megapixels takes 72 MB or more, and its array 288 MB; so a picture goes as soon as it is an array, and an array
as soon as it is a tensor.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from PIL import Image

from isostyle.errors import InputError
from isostyle.images import arrays, colors
from isostyle.images.colors import OF_STYLE, KeepColors, Photograph
from isostyle.images.decode import ImageLike, describe, read_picture
from isostyle.images.deep import Pixels
from isostyle.images.gray import is_gray
from isostyle.interface import Array, Dtype
from isostyle.network import RGB_STD, Network
from isostyle.recipe import NOISE_STD, START_NOISE_STD, Recipe
from isostyle.transfer.plan import Resizing, fit, plan
from isostyle.transfer.styles import Weighted, is_style
from isostyle.transfer.verdict import roughness


@dataclass
class Pictures:
    """What was read, by role: content, style, further styles, and init if a run starts from an image."""

    #: Whoever has no more use for one takes it out.
    pixels: dict[str, Pixels] = field(default_factory=dict)
    #: What a manifest says of each: path and digest of its file if it has one, digest of its pixels, size.
    described: dict[str, dict[str, Any]] = field(default_factory=dict)
    #: Of the content image: its transparency, mode L, and its EXIF.
    alpha: Image.Image | None = None
    exif: bytes | None = None
    #: Of the roughest picture (:func:`isostyle.transfer.verdict.roughness`).
    roughness: float = 0.0
    #: Whether none has any color, or the photograph has none whose colors are kept. Then the result has none either: what an
    #: optimizer paints into channels of its own is noise.
    gray: bool = True
    #: The content image at the size of the result, if that gets its colors.
    photograph: Photograph | None = None
    #: What the user should know.
    lines: list[str] = field(default_factory=list)


def read_pictures(
    sources: Mapping[str, ImageLike],
    weights: Mapping[str, float],
    before: Mapping[str, Mapping[str, Any]] | None = None,
    keep_colors: KeepColors | None = None,
) -> Pictures:
    """Read the pictures of a run, whose style images have ``weights``; of one that goes on, they must be those that it had
    ``before``, as described then. If that is how the photograph's colors are kept, the paintings get them, at their full size.

    Raises:
        InputError: one cannot be read, or is another.
    """
    pictures = Pictures()
    for role, source in sources.items():
        found, digest = read_picture(source, f"the {role} image")
        pixels, alpha = found.pixels, None
        if role == "content":
            alpha = found.alpha
            pictures.alpha, pictures.exif = alpha, found.exif
        elif is_style(role):
            pixels = found.as_style
        about = describe(source, pixels, digest, alpha)
        if len(weights) > 1 and role in weights:
            about["weight"] = weights[role]
        pictures.pixels[role], pictures.described[role] = pixels, about
        if keep_colors is None or role == "content":
            pictures.gray = pictures.gray and is_gray(pixels)
        if role != "init":
            pictures.roughness = max(pictures.roughness, roughness(pixels))
        pictures.lines += found.lines
        del found  # its transparency is as large as the picture
        if before is not None and about["pixels_sha256"] != before[role]["pixels_sha256"]:
            name = repr(about["path"]) if "path" in about else f"the {role} image"
            raise InputError(f"{name} is not the {role} image that this run began with")
    if keep_colors in OF_STYLE:
        content = colors.spread(pictures.pixels["content"], pictures.alpha)
        for role in weights:
            pictures.pixels[role] = colors.recolored(pictures.pixels[role], content, keep_colors)
            pictures.roughness = max(pictures.roughness, roughness(pictures.pixels[role]))
    return pictures


@dataclass
class RunLevel:
    """A level of a run: its recipe, and how it resizes the pictures. A run without a pyramid has one."""

    recipe: Recipe
    resizings: Mapping[str, Resizing]
    #: By role. All levels share them; the last one takes them out.
    pixels: dict[str, Pixels]
    dtype: Dtype
    #: Of the style images, by role.
    weights: Mapping[str, float]
    last: bool = False
    #: Whether the run has come here.
    begun: bool = False
    #: By role, shape (1, 3, H, W), in the recipe's space: what :meth:`start` has made and :meth:`content_and_styles` will take.
    arrays: dict[str, Array] = field(default_factory=dict)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the picture that it makes."""
        return self.resizings["content"].final

    @property
    def canvas(self) -> tuple[int, int]:
        """Height and width of the image that is optimized, its margin included."""
        return self.resizings["content"].canvas

    def fit(self, role: str) -> Pixels:
        """A picture at the size that it has at this level."""
        return fit(self.pixels.pop(role) if self.last else self.pixels[role], self.resizings[role])

    def array(self, picture: Pixels, role: str) -> Array:
        """A picture with its margin in the recipe's space, shape (1, 3, H, W)."""
        return arrays.mirrored(arrays.to_array(picture, self.dtype, self.recipe.space), self.resizings[role].margin)

    def start(self, seed: int) -> Array:
        """The image (1, 3, H, W), in the recipe's space, that a run starts from if this is its first level."""
        fitted = {role: self.fit(role) for role in list(self.pixels)}
        self.arrays = {role: self.array(picture, role) for role, picture in fitted.items()}
        content, rule = self.arrays["content"], self.recipe.start
        if rule == "noise":
            noise: Array = arrays.noise(content.shape, seed, self.dtype) * NOISE_STD[self.recipe.space]
            return noise
        if rule == "uniform-noise":
            return arrays.uniform_noise(content.shape, seed, self.dtype)
        if rule == "content+noise":
            std = np.array(RGB_STD if self.recipe.space == "unit" else (1, 1, 1)).reshape(1, 3, 1, 1) * START_NOISE_STD
            noisy: Array = content + arrays.noise(content.shape, seed, self.dtype) * std.astype(self.dtype)
            return noisy
        if rule == "style":
            return self.array(arrays.resize(fitted["style"], *self.size), "content")
        return self.arrays["init"] if rule == "image" else content

    def content_and_styles(self) -> tuple[Array, list[Weighted]]:
        """The images, when the run comes to this level; they last no longer than the caller keeps them."""
        self.begun = True
        self.pixels.pop("init", None)
        found = self.arrays or {role: self.array(self.fit(role), role) for role in ("content", *self.weights)}
        self.arrays = {}
        return found["content"], [(found[role], weight) for role, weight in self.weights.items()]


def plan_levels(
    pixels: dict[str, Pixels], weights: Mapping[str, float], recipe: Recipe, network: Network, dtype: Dtype, *, gpu: bool
) -> tuple[list[RunLevel], list[str]]:
    """The levels of ``recipe``, and a line for each that is left out because a picture would be too small there."""
    levels, lines = [], []
    for share, recipe_of_level in recipe.levels:
        try:
            resizings = plan(pixels, recipe, network, gpu=gpu, share=share)
        except InputError as error:
            lines.append(f"the level {share:g} of the pyramid is left out: {error}")
            continue
        levels.append(RunLevel(recipe_of_level, resizings, pixels, dtype, weights, last=share == 1))
    return levels, lines
