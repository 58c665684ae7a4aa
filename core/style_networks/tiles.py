"""Style networks on pictures larger than memory: the output by tiles, equal to the whole picture's up to rounding.

Instance normalization needs the mean and variance of a whole map before one pixel of the next is known. So one stage follows
another, each tile by tile: a first pass over its convolution's tiles adds up the statistics, and then the map is known. Maps at
half and at a quarter of the picture's size are kept whole, as NumPy arrays. Those at full size (``down1``, ``up2``) would take
most of the memory and are never kept: once their statistics are known, the next stage computes again the piece that a tile of
its own needs.

One index for each axis (:func:`needed`) says what a tile needs of its input. It combines stride, reflection at the picture's
borders, and repeated and dropped pixels. So tiles have no borders of their own, and a backend only convolves without padding
(:meth:`isostyle.interface.Transform.convolve`).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from isostyle.interface import Array, Tensor, Transform
from isostyle.transform_network import EPSILON, PICTURE, Stage, TransformNetwork

#: Rows and columns of a map to its values there, (1, C, rows, columns).
Source = Callable[[slice, slice], Array]
#: Takes the output's values at these rows and columns, (1, 3, rows, columns).
Sink = Callable[[slice, slice, Array], None]
Size = tuple[int, int]


# Geometry


def needed(outputs: slice, stage: Stage, length: int) -> NDArray[np.intp]:
    """Along one axis: which places of a stage's input its convolution reads for a range of outputs, in order.

    ``length``: of the axis that is convolved, so of the restored one where the stage restores a size.
    """
    first = outputs.start * stage.stride - stage.padding
    last = (outputs.stop - 1) * stage.stride + stage.padding
    places: NDArray[np.intp] = np.abs(np.arange(first, last + 1, dtype=np.intp))  # reflection at the beginning ...
    places = np.minimum(places, 2 * (length - 1) - places, dtype=np.intp)  # ... and at the end
    if stage.restores is not None:
        places //= 2  # repeated pixels
    return places


def window(source: Source, stage: Stage, size: Size, rows: slice, columns: slice) -> Array:
    """What a stage's convolution reads for these outputs. ``size``: height and width of what is convolved."""
    down, across = needed(rows, stage, size[0]), needed(columns, stage, size[1])
    top, left = int(down.min()), int(across.min())
    block = source(slice(top, int(down.max()) + 1), slice(left, int(across.max()) + 1))
    return gathered(gathered(block, down - top, 2), across - left, 3)


def gathered(block: Array, places: NDArray[np.intp], axis: int) -> Array:
    """The values at these places of an axis; ``block`` itself if they are all of it, in order."""
    if len(places) == block.shape[axis] and np.array_equal(places, np.arange(len(places))):
        return block
    return block.take(places, axis)


def tiles(size: Size, side: int) -> Iterator[tuple[slice, slice]]:
    """A map in equal parts of at most ``side`` x ``side`` pixels, row by row."""

    def parts(length: int) -> list[slice]:
        count = -(-length // side)
        return [slice(length * i // count, length * (i + 1) // count) for i in range(count)]

    yield from itertools.product(*(parts(length) for length in size))


# Computation


class Statistics:
    """Mean and variance of each channel of a map that comes in pieces, in float64.

    Each piece's are computed in two passes, and merged: Chan, Golub and LeVeque 1983, "Algorithms for Computing the Sample
    Variance", equation 1.5.
    """

    def __init__(self, channels: int) -> None:
        self.count = 0
        self.mean, self.squares = np.zeros(channels), np.zeros(channels)

    def add(self, piece: Array) -> None:
        """``piece``: (1, C, h, w)."""
        size = math.prod(piece.shape[2:])
        for channel, values in enumerate(piece[0]):  # one at a time: float64 takes twice the memory
            row = values.ravel().astype(np.float64)
            mean = row.mean()
            row -= mean
            apart = mean - self.mean[channel]
            self.squares[channel] += row @ row + apart**2 * self.count * size / (self.count + size)
            self.mean[channel] += apart * size / (self.count + size)
        self.count += size

    @property
    def variance(self) -> NDArray[np.float64]:
        """Over the number of values, as instance normalization has it."""
        found: NDArray[np.float64] = self.squares / self.count
        return found


@dataclass(frozen=True)
class Finish:
    """What follows a convolution, in place: instance normalization, adding, ReLU."""

    stage: Stage
    statistics: Statistics
    scale: Array
    shift: Array | None

    def __call__(self, piece: Array, added: Array | None = None) -> Array:
        def by_channel(values: Array) -> Array:
            return np.asarray(values.reshape(1, -1, 1, 1), piece.dtype)

        piece -= by_channel(self.statistics.mean)
        piece *= by_channel(self.scale / np.sqrt(self.statistics.variance + EPSILON))
        if self.shift is not None:
            piece += by_channel(self.shift)
        if added is not None:
            piece += added
        if self.stage.relu:
            np.maximum(piece, 0, out=piece)
        return piece


class TiledTransform:
    """An image transformation network that computes tile by tile."""

    def __init__(self, transform: Transform, network: TransformNetwork, tile: int) -> None:
        """``tile``: the longest side of a tile of a map at full size, in pixels; of smaller maps, which have more channels,
        half of it."""
        self.transform = transform
        self.network = network
        self.tile = tile

    def apply(self, parameters: Mapping[str, Tensor], image: Array) -> Array:
        """As :meth:`isostyle.interface.Transform.apply`, with NumPy arrays."""
        found: list[Array] = []

        def write(rows: slice, columns: slice, piece: Array) -> None:
            if not found:
                found.append(np.empty(image.shape, piece.dtype))
            found[0][:, :, rows, columns] = piece

        size = image.shape[2], image.shape[3]
        self.run(parameters, size, lambda rows, columns: image[:, :, rows, columns], write)
        return found[0]

    def run(
        self,
        parameters: Mapping[str, Tensor],
        size: Size,
        read: Source,
        write: Sink,
        progress: Callable[[float], None] | None = None,
    ) -> None:
        """Transform a picture of ``size`` (height, width) that nobody holds as an array.

        Args:
            read: the normalized picture's pixels.
            write: told the normalized output's.
            progress: told the share of the work that is done, after each tile.

        Raises:
            InputError: the picture is too small.
        """
        given = self.network.sizes(*size)
        costs = self.costs(given, size)
        done, total = 0.0, math.fsum(costs.values())
        stages = self.network.stages
        #: Maps that a later stage adds.
        kept: dict[str, Source] = {PICTURE: read}
        source = read
        for number, stage in enumerate(stages):
            convolved, made = self.sizes_of(stage, given)
            convolution = self.convolution(parameters, stage, source, convolved)
            whole: Array | None = None
            statistics = Statistics(stage.out_channels)
            places = list(tiles(made, self.tile if made == size else max(1, self.tile // 2)))
            for rows, columns in places:
                piece = convolution(rows, columns)
                if not stage.norm:
                    write(rows, columns, piece if stage.adds is None else piece + kept[stage.adds](rows, columns))
                else:
                    statistics.add(piece)
                    if made != size:
                        whole = np.empty((1, stage.out_channels, *made), piece.dtype) if whole is None else whole
                        whole[:, :, rows, columns] = piece
                del piece
                done += costs[stage.name] / len(places)
                if progress:
                    progress(done / total)
            if not stage.norm:
                return
            shift = parameters.get(f"{stage.name}.shift")
            array = self.transform.array
            scale = array(parameters[f"{stage.name}.scale"])
            finish = Finish(stage, statistics, scale, None if shift is None else array(shift))
            added = None if stage.adds is None else kept[stage.adds]
            if whole is None:
                source = again(convolution, finish, added)
            else:
                finish(whole, None if added is None else added(slice(None), slice(None)))
                source = piece_of(whole)
            kept[stage.name] = source
            kept = {name: x for name, x in kept.items() if any(later.adds == name for later in stages[number + 1 :])}

    def convolution(self, parameters: Mapping[str, Tensor], stage: Stage, source: Source, size: Size) -> Source:
        """Outputs of a stage's convolution, from its input; ``size`` is that of what is convolved."""

        def convolution(rows: slice, columns: slice) -> Array:
            x = self.transform.tensor(window(source, stage, size, rows, columns))
            return self.transform.array(self.transform.convolve(parameters, stage, x))

        return convolution

    def sizes_of(self, stage: Stage, given: Mapping[str, Size]) -> tuple[Size, Size]:
        """Height and width of what a stage convolves, and of what it makes."""
        height, width = given[stage.name if stage.restores is None else stage.restores]
        return (height, width), (-(-height // stage.stride), -(-width // stage.stride))

    def costs(self, given: Mapping[str, Size], size: Size) -> dict[str, float]:
        """Multiplications of each stage, with those of the stage before where its map is computed again."""
        costs, before = {}, 0.0
        for stage in self.network.stages:
            _, made = self.sizes_of(stage, given)
            own = float(math.prod(made) * stage.in_channels * stage.out_channels * stage.kernel**2)
            costs[stage.name] = own + before
            before = own if made == size else 0.0
        return costs


def again(convolution: Source, finish: Finish, added: Source | None) -> Source:
    """A map that is computed when it is asked for."""

    def computed(rows: slice, columns: slice) -> Array:
        return finish(convolution(rows, columns), None if added is None else added(rows, columns))

    return computed


def piece_of(whole: Array) -> Source:
    """A map that is kept."""
    return lambda rows, columns: whole[:, :, rows, columns]
