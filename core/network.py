"""VGG networks as tables of named layers.

Source: Simonyan and Zisserman 2014, "Very Deep Convolutional Networks", configurations D (VGG-16) and E (VGG-19).
Every convolution is 3x3, stride 1, zero padding 1; every pool is 2x2, stride 2, and drops an odd last row or column.

A layer's name says where it stands: ``conv4_2`` is the second convolution of block 4, *before* its ReLU; ``relu4_2`` is
the same map *after* it; ``pool4`` ends the block. The index of a layer, the one that ``features[i]`` takes in torchvision,
gluon and paddle.vision, follows from the table and is written down nowhere.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from isostyle.errors import InputError

KERNEL = 3
PADDING = 1
POOL = 2
#: What pooling ``average-doubled`` multiplies averages by (crowsonkb's style-transfer-pytorch, `pooling_scales`).
AVERAGE_SCALE = 2.0

#: Convolutions in each block (Simonyan and Zisserman 2014, table 1).
VGG19_DEPTHS = (2, 2, 4, 4, 4)
VGG16_DEPTHS = (2, 2, 3, 3, 3)
#: Channels of the convolutions of each block in the paper, and in the network that ships with isostyle: a quarter.
VGG_WIDTHS = (64, 128, 256, 512, 512)
COMPACT_WIDTHS = (16, 48, 96, 192, 192)

#: What the networks expect of their input: RGB in 0..1, minus the mean, divided by the std (ImageNet's, torchvision).
RGB_MEAN = (0.485, 0.456, 0.406)
RGB_STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Layer:
    """One entry of the table. ``in_channels`` equals ``out_channels`` for a ReLU and a pool."""

    name: str
    kind: Literal["conv", "relu", "pool"]
    index: int
    in_channels: int
    out_channels: int
    #: How many times the image's height and width were halved before this layer's *output*.
    halvings: int


@dataclass(frozen=True)
class Network:
    """A VGG: how many convolutions each block has, and how wide they are."""

    name: str
    depths: tuple[int, ...]
    widths: tuple[int, ...]

    @cached_property
    def layers(self) -> tuple[Layer, ...]:
        """All layers in order; ``layers[i].index == i``."""
        table: list[Layer] = []
        channels = 3
        for block, (depth, width) in enumerate(zip(self.depths, self.widths, strict=True), start=1):
            for convolution in range(1, depth + 1):
                place = f"{block}_{convolution}"
                table.append(Layer(f"conv{place}", "conv", len(table), channels, width, block - 1))
                table.append(Layer(f"relu{place}", "relu", len(table), width, width, block - 1))
                channels = width
            table.append(Layer(f"pool{block}", "pool", len(table), width, width, block))
        return tuple(table)

    @property
    def convolutions(self) -> tuple[Layer, ...]:
        return tuple(layer for layer in self.layers if layer.kind == "conv")

    @property
    def parameter_shapes(self) -> dict[str, tuple[int, ...]]:
        """The shape of every parameter by name: ``conv1_1.weight``, (out, in, 3, 3), and ``conv1_1.bias``, (out,), in order."""
        shapes: dict[str, tuple[int, ...]] = {}
        for layer in self.convolutions:
            shapes[f"{layer.name}.weight"] = (layer.out_channels, layer.in_channels, KERNEL, KERNEL)
            shapes[f"{layer.name}.bias"] = (layer.out_channels,)
        return shapes

    def layer(self, tap: str) -> Layer:
        """The layer called ``tap``.

        Raises:
            InputError: no layer has that name; the message suggests the nearest one.
        """
        names = {layer.name: layer for layer in self.layers}
        if tap not in names:
            near = difflib.get_close_matches(tap, names, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            if self.depths == VGG16_DEPTHS and tap in {layer.name for layer in VGG19.layers}:
                hint = f"; {VGG16_PADDED.name} is the same network with all layers of VGG-19"
            raise InputError(f"the network {self.name!r} has no layer {tap!r}{hint}")
        return names[tap]

    def cut(self, taps: Iterable[str]) -> tuple[Layer, ...]:
        """The layers up to the deepest of ``taps``: all that has to be computed for them."""
        return self.layers[: max(self.layer(tap).index for tap in taps) + 1]

    def least_side(self, taps: Iterable[str]) -> int:
        """The smallest height or width, in pixels, that leaves a map of one pixel at the deepest of ``taps``."""
        return int(POOL ** max(layer.halvings for layer in self.cut(taps)))


VGG19 = Network("vgg19", VGG19_DEPTHS, VGG_WIDTHS)
VGG16 = Network("vgg16", VGG16_DEPTHS, VGG_WIDTHS)
#: VGG-16 in VGG-19's table: the convolutions that it lacks are identities, behind which every map is what it was before. So
#: recipes that name VGG-19's layers run on it unchanged.
VGG16_PADDED = Network("vgg16-padded", VGG19_DEPTHS, VGG_WIDTHS)
COMPACT = Network("compact", VGG19_DEPTHS, COMPACT_WIDTHS)
