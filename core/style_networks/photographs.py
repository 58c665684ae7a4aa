"""A folder of photographs to train on: which of them can be used, and the crops of every step, cut in the background."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from isostyle.errors import InputError
from isostyle.images import arrays, decode, folders
from isostyle.images.folders import Contents
from isostyle.interface import Array
from isostyle.sizes import ShortSide
from isostyle.style_networks.trainer import TrainingRecipe
from isostyle.system.prefetch import ahead

#: A photograph whose shorter side has less than this share of a crop's pixels is left out: enlarged, it is all blur.
LEAST_SHARE = 0.5


@dataclass(frozen=True)
class Folder:
    """Photographs that are large enough, in the order of their names, and the files that were skipped with the reason."""

    files: tuple[Path, ...]
    skipped: dict[Path, str]
    #: What the user should know.
    lines: tuple[str, ...] = ()


@dataclass(frozen=True)
class Crop:
    """Where a crop lies: the number of its photograph, how far down and to the right in 0..1, whether it is mirrored, and how
    near it comes: 0 shows the photograph's whole shorter side, 1 the smallest part of it."""

    photograph: int
    down: float
    right: float
    mirrored: bool
    near: float


#: Where held-out photographs are looked at.
CENTER = Crop(0, 0.5, 0.5, False, 0.5)


def scan(folder: Path, crop: int, *, recursive: bool = False) -> Folder:
    """The photographs of ``folder`` that are large enough for a ``crop`` of so many pixels a side, by their headers; with
    ``recursive``, also those of the folders in it.

    Files whose names are no picture's (a README, a video) are named in a line; what is hidden is not.

    Raises:
        InputError: there is no such folder, or it cannot be read, or none is large enough.
    """
    usable, skipped, chosen = [], {}, []
    found = pictures_in(folder, recursive=recursive)
    for path, _ in found.files:
        try:
            header = decode.header(path)
        except InputError as error:
            skipped[path] = str(error)  # a folder of thousands always has one
            continue
        (width, height), which = header.size, header.which
        if which:
            chosen.append(f"{path.relative_to(folder)}: {which}")
        if min(height, width) < LEAST_SHARE * crop:
            skipped[path] = f"{height}x{width} pixels are too few for a crop of {crop}"
        else:
            usable.append(path)
    if not usable:
        text = f"; {len(skipped)} were skipped, the first because {next(iter(skipped.values()))}" if skipped else ""
        raise InputError(f"{str(folder)!r} holds no photograph that is large enough for a crop of {crop} pixels{text}")
    lines = [line] if (line := found.line(repr(str(folder)))) else []
    if chosen:
        more = "; ..." if len(chosen) > folders.NAMED else ""
        named = "; ".join(map(folders.readable, chosen[: folders.NAMED]))
        lines.append(f"{len(chosen)} of the photographs hold several pictures, of which one was taken ({named}{more})")
    return Folder(tuple(usable), skipped, tuple(lines))


def pictures_in(folder: Path, *, recursive: bool) -> Contents:
    """What is called a picture in ``folder``, and with ``recursive`` in the folders in it; nothing is opened.

    Raises:
        InputError: there is no such folder, or it cannot be read, or holds no picture.
    """
    if not folder.is_dir():
        raise InputError(f"there is no folder {str(folder)!r} of photographs")
    found = folders.look_into(folder, recursive=recursive)
    if not found.files:
        raise folders.nothing(found, folder, f"{str(folder)!r} holds no photograph")
    return found


def places(seed: int, photographs: int, first: int, count: int) -> list[Crop]:
    """The crops numbered ``first``, ``first`` + 1, ... of a training.

    Each photograph comes once in an epoch. The answer depends on its arguments alone, so a training that was interrupted goes
    on as if it had not been.
    """
    found = []
    for number in range(first, first + count):
        epoch, place = divmod(number, photographs)
        order = np.random.RandomState([seed, 1, epoch]).permutation(photographs)
        down, right, mirrored, near = np.random.RandomState([seed, 2, number]).uniform(size=4)
        found.append(Crop(int(order[place]), float(down), float(right), bool(mirrored < 0.5), float(near)))
    return found


def turns(seed: int, styles: int, first: int, count: int) -> list[int]:
    """The numbers of the styles that the photographs ``first``, ``first`` + 1, ... of a training are painted in. Each style has
    its turn once in an epoch; as of :func:`places`, the answer depends on the arguments alone."""
    found = []
    for number in range(first, first + count):
        epoch, place = divmod(number, styles)
        found.append(int(np.random.RandomState([seed, 3, epoch]).permutation(styles)[place]))
    return found


def cut(picture: Image.Image, crop: Crop, side: int, zoom: float) -> Array:
    """A crop of a photograph, ``side`` x ``side`` pixels, as a normalized array of shape (1, 3, side, side). It shows 1 /
    ``zoom`` of the photograph's shorter side at least."""
    picture = arrays.fitted(picture, ShortSide(round(side * zoom**crop.near)))
    top, left = round(crop.down * (picture.height - side)), round(crop.right * (picture.width - side))
    piece = picture.crop((left, top, left + side, top + side))
    return arrays.to_array(ImageOps.mirror(piece) if crop.mirrored else piece, "float32")


class Cutter:
    """The crops of each step, cut by a thread while the step before is computed."""

    def __init__(self, files: tuple[Path, ...], recipe: TrainingRecipe, skip: Callable[[Path, str], None]) -> None:
        """``skip`` is told of a photograph whose header was good and whose picture is not; the next one takes its place."""
        self.files, self.recipe, self.skip = files, recipe, skip
        self.broken: set[Path] = set()

    def steps(self, first: int) -> Iterator[list[Array]]:
        """The crops of step ``first``, of the next, and so on without end."""
        for crops in ahead(partial(self.step, step) for step in itertools.count(first)):
            yield crops.result()

    def step(self, step: int) -> list[Array]:
        recipe = self.recipe
        numbers = range(step * recipe.batch, (step + 1) * recipe.batch)
        crops = places(recipe.seed, len(self.files), numbers.start, recipe.batch)
        return [self.crop(crop) + self.noise(number) for crop, number in zip(crops, numbers, strict=True)]

    def crop(self, crop: Crop) -> Array:
        return cut(self.photograph(crop.photograph), crop, self.recipe.crop, self.recipe.zoom)

    def noise(self, number: int) -> Array:
        """What is added to the crop of that number: normal, another one for each."""
        random, side = np.random.RandomState([self.recipe.seed, 4, number]), self.recipe.crop
        return (self.recipe.noise * random.standard_normal((1, 3, side, side))).astype(np.float32)

    def photograph(self, number: int) -> Image.Image:
        """The photograph of that number, or the next one that can be decoded.

        Raises:
            InputError: none can.
        """
        for i in range(len(self.files)):
            path = self.files[(number + i) % len(self.files)]
            try:
                return decode.read_rgb(path)
            except InputError as error:
                if path not in self.broken:
                    self.broken.add(path)
                    self.skip(path, str(error))
        raise InputError("none of the photographs can be decoded any more")
