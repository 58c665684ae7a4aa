"""The image transformation network as a table of named stages: any picture, one pass; one style or many.

Source: Johnson, Alahi and Fei-Fei 2016, "Perceptual Losses for Real-Time Style Transfer and Super-Resolution", section 3.1 and
supplementary material, table 1; instance normalization after each convolution but the last (Ulyanov, Vedaldi and Lempitsky
2016). ``down1`` to ``down3`` halve the picture twice. Residual blocks (``block1_1``, ``block1_2``, ...) add what they find to
what they were given. ``up1``, ``up2`` and ``out`` enlarge it again.

The kernels, the strides and the number of blocks are the paper's. Three things are not. Every convolution pads by reflection,
so that any picture keeps its size; the paper pads once, by 40, and its blocks eat the margin away. Enlarging repeats pixels
before a convolution of stride 1; transposed convolutions leave checkerboards (Odena, Dumoulin and Olah 2016). The last stage is
linear and makes a normalized image; the paper scales a tanh.

With ``skips``, a network also adds the map of ``down2`` to that of ``up1``, and ``down1``'s to ``up2``'s, as U-Net and LinkNet
do (Ronneberger, Fischer and Brox 2015; Chaurasia and Culurciello 2017). It has a picture's fine shapes at once; the paper's
network learns in 40000 steps to carry them through maps of a quarter of the size.

With ``residual``, it makes a change and not a picture: the last stage adds the picture itself, as Kim, Lee and Lee 2016 do for
super-resolution ("Accurate Image Super-Resolution Using Very Deep Convolutional Networks"). Training then begins with the
photograph, as a style transfer does. Its light and contrast, which instance normalization takes from every map, come through.
Without it pictures are dimmer, and their losses lower.

One network paints in many styles (Dumoulin, Shlens and Kudlur 2017, "A Learned Representation for Artistic Style"): kernels and
the last bias are shared, and each style has scales and shifts of its own, a row of each matrix. To paint in one is to take its
row; to mix styles, to add rows up, each times its weight. A network of one style is one with one row.

A convolution of stride 2 makes a side of ceil(n / 2) from n. ``up1`` repeats each pixel and drops the last row or column where
the map that ``down3`` halved was odd; ``up2`` likewise. So the output has the input's size.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isostyle.checks import PlainNumbers
from isostyle.errors import InputError, shown

#: Of all convolutions but the first and the last.
INNER_KERNEL = 3
#: Of the first and the last, at most: reflection needs a picture that is larger than half of it.
MOST_KERNEL = 9
#: Instance normalization divides by sqrt(variance + this). The frameworks' default is 1e-5; a power of two near it is the same
#: number in float32, in which Paddle keeps it, and in float64.
EPSILON = 2.0**-17
#: Of a kernel's three rows (or columns) at an enlarged map, two meet one row of the map: which are added up to the first and to
#: the second of two, for the odd places of the enlarged map, and for the even ones.
FOLD = (((1.0, 1.0, 0.0), (0.0, 0.0, 1.0)), ((1.0, 0.0, 0.0), (0.0, 1.0, 1.0)))
#: What the last stage adds if it adds the picture.
PICTURE = "picture"
#: The parameters of which each style has its own; the others are shared.
OWN = (".scale", ".shift")
#: More than this is a slip of the keyboard, or a file that is not to be believed.
MOST_CHANNELS, MOST_BLOCKS = 1024, 64
#: Reflecting needs one pixel more than it adds; at a quarter of the size, where a side has ceil(n / 4), it adds one.
LEAST_SIDE = 5


@dataclass(frozen=True)
class Stage:
    """What a stage does of these, in this order: repeat pixels, pad by reflection, convolve, normalize, add, ReLU."""

    name: str
    in_channels: int
    out_channels: int
    kernel: int
    stride: int = 1
    #: The stage whose input's size this one restores by repeating each pixel; None if it does not.
    restores: str | None = None
    #: Whether instance normalization follows, with a scale; the convolution then has no bias, which would cancel.
    norm: bool = True
    #: Whether a ReLU ends it. Without one, the normalization has no shift: up to the next normalization all is linear, so a
    #: constant would cancel there, and Adam would make steps of what rounding leaves of its gradient.
    relu: bool = True
    #: The stage whose output is added, or :data:`PICTURE`; None if nothing is.
    adds: str | None = None

    @property
    def padding(self) -> int:
        return self.kernel // 2

    @property
    def vectors(self) -> tuple[str, ...]:
        """The parameters beside the kernels."""
        return ("bias",) if not self.norm else ("scale", "shift") if self.relu else ("scale",)


@dataclass(frozen=True)
class TransformNetwork(PlainNumbers):
    """An image transformation network: channels at full, half and quarter size, and how many residual blocks it has."""

    widths: tuple[int, int, int]
    blocks: int
    #: Of the first and the last convolution.
    outer_kernel: int = MOST_KERNEL
    #: Whether maps on the way down are added on the way up.
    skips: bool = False
    #: Whether the picture is added to what the last stage makes.
    residual: bool = False

    def check(self) -> None:
        """Raises InputError if there are too few or too many channels or blocks, or the outer kernel is even or too large."""
        if len(self.widths) != 3 or not all(1 <= width <= MOST_CHANNELS for width in self.widths):
            raise InputError(f"a style network has three numbers of channels in 1..{MOST_CHANNELS}, not {shown(self.widths)}")
        if not 0 <= self.blocks <= MOST_BLOCKS:
            raise InputError(f"a style network has 0 to {MOST_BLOCKS} residual blocks, not {shown(self.blocks)}")
        if self.outer_kernel % 2 != 1 or not 1 <= self.outer_kernel <= MOST_KERNEL:
            raise InputError(f"a style network's outer kernels are odd, at most {MOST_KERNEL}, not {shown(self.outer_kernel)}")

    @cached_property
    def stages(self) -> tuple[Stage, ...]:
        """All stages in order."""
        full, half, quarter = self.widths
        table = [
            Stage("down1", 3, full, self.outer_kernel),
            Stage("down2", full, half, INNER_KERNEL, stride=2),
            Stage("down3", half, quarter, INNER_KERNEL, stride=2),
        ]
        for block in range(1, self.blocks + 1):
            before = table[-1].name
            table.append(Stage(f"block{block}_1", quarter, quarter, INNER_KERNEL))
            table.append(Stage(f"block{block}_2", quarter, quarter, INNER_KERNEL, relu=False, adds=before))
        table.append(Stage("up1", quarter, half, INNER_KERNEL, restores="down3", adds="down2" if self.skips else None))
        table.append(Stage("up2", half, full, INNER_KERNEL, restores="down2", adds="down1" if self.skips else None))
        adds = PICTURE if self.residual else None
        table.append(Stage("out", full, 3, self.outer_kernel, norm=False, relu=False, adds=adds))
        return tuple(table)

    @cached_property
    def added(self) -> frozenset[str]:
        """The stages whose outputs are added later on, and the picture if it is. No other map outlives the next stage."""
        return frozenset(stage.adds for stage in self.stages if stage.adds is not None)

    @property
    def parameter_shapes(self) -> dict[str, tuple[int, ...]]:
        """The shape of every parameter by name, in order: ``down1.weight``, (out, in, k, k), ``down1.scale`` and
        ``down1.shift``, (out,); ``block1_2.scale`` alone; ``out.bias``."""
        shapes: dict[str, tuple[int, ...]] = {}
        for stage in self.stages:
            shapes[f"{stage.name}.weight"] = (stage.out_channels, stage.in_channels, stage.kernel, stage.kernel)
            for kind in stage.vectors:
                shapes[f"{stage.name}.{kind}"] = (stage.out_channels,)
        return shapes

    def shapes(self, styles: int) -> dict[str, tuple[int, ...]]:
        """The shapes of all parameters for so many styles: of scales and shifts, (styles, out), a row for each."""
        return {name: (styles, *shape) if is_own(name) else shape for name, shape in self.parameter_shapes.items()}

    def sizes(self, height: int, width: int) -> dict[str, tuple[int, int]]:
        """Height and width of the *input* of every stage, for a picture of the given size; the output has the picture's.

        Raises:
            InputError: the picture is too small.
        """
        if min(height, width) < LEAST_SIDE:
            raise InputError(
                f"a picture of {height}x{width} pixels is too small for a style network: each side needs {LEAST_SIDE}"
            )
        sizes: dict[str, tuple[int, int]] = {}
        size = (height, width)
        for stage in self.stages:
            sizes[stage.name] = size
            if stage.restores is not None:
                size = sizes[stage.restores]
            size = -(-size[0] // stage.stride), -(-size[1] // stage.stride)
        return sizes


def is_own(name: str) -> bool:
    """Whether each style has a row of its own of the parameter called ``name``."""
    return name.endswith(OWN)


def mixed(parameters: Mapping[str, NDArray[Any]], weights: Sequence[float]) -> dict[str, NDArray[Any]]:
    """The parameters that paint in a mixture of styles, float64 where they are mixed: Dumoulin et al. 2017, section 3.3.

    ``parameters``: of :meth:`TransformNetwork.shapes`. ``weights``: one for each style; 1 for one and 0 for the others is that
    style.
    """
    row = np.asarray(weights, np.float64)
    return {name: row @ array if is_own(name) else array for name, array in parameters.items()}


#: The paper's.
JOHNSON = TransformNetwork((32, 64, 128), 5)
#: Of the style networks that ship with isostyle, and the default of `isostyle train`: half of the paper's channels.
NARROW = TransformNetwork((16, 32, 64), 5, outer_kernel=5)
