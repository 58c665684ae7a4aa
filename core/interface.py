"""What a backend is: the protocols that core programs against, and that each framework implements in its own idiom.

NumPy arrays cross the border, tensors stay inside. Two phases: :meth:`Backend.prepare` puts a network on a device, and the
:class:`Engine` that it returns computes with it. A third party's backend implements these protocols and registers its class
under the entry-point group ``isostyle.backends``; docs/adding-a-backend.md walks through it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from isostyle.network import Network
    from isostyle.recipe import FirstPadding, GramDivisor, Pooling, Recipe, Taps
    from isostyle.transform_network import Stage, TransformNetwork

#: A framework's own tensor. Core uses only ``+ - * / **`` with tensors and Python numbers, ``-x``, ``abs()``, ``.sum()``,
#: ``.max()``, ``.clip(0, 1)`` and ``float()``; on maps and matrices also ``@``, ``.shape`` and ``.reshape(shape)``. NumPy,
#: torch, MXNet and Paddle all have these, with the same meaning, but no one protocol describes all four.
Tensor = Any
Array = NDArray[Any]
Dtype = Literal["float32", "float64"]
#: ``exact`` is what the conformance suite certifies: float32 or float64 throughout. ``fast`` may round more coarsely and add up
#: in another order; with Adam a run's final total, evaluated exactly, is within 2 % of the exact run's (docs/fast.md).
Precision = Literal["exact", "fast"]
#: Parameters by name: ``conv1_1.weight`` of shape (out, in, 3, 3) and ``conv1_1.bias`` of shape (out,).
Parameters = Mapping[str, NDArray[np.float32]]


@dataclass(frozen=True)
class Targets:
    """What an image is compared with, as NumPy arrays by tap: feature maps (1, C, H, W), and Gram matrices (C, C); or moments
    (C, C + 1), where the style reduction is ``wasserstein`` (:func:`isostyle.losses.moments`)."""

    content: Mapping[str, Array]
    style: Mapping[str, Array]


@dataclass(frozen=True)
class Evaluation:
    """Weighted loss terms (0-d tensors: ``content/TAP``, ``style/TAP``, ``tv`` and, last, ``total``) and the total's gradient,
    shape (1, 3, H, W)."""

    terms: Mapping[str, Tensor]
    gradient: Tensor


Objective = Callable[[Tensor], Evaluation]
"""Evaluates an image of shape (1, 3, H, W) in the recipe's space: the normalized one, or 0..1, normalized inside."""

Vjp = Callable[[Mapping[str, Tensor]], Tensor]
"""The vector-Jacobian product of feature maps F: from cotangents v, by tap and of the shape of its map, to the sum over taps of
v^T dF/dimage, shape (1, 3, H, W)."""

VjpParameters = Callable[[Tensor], dict[str, Tensor]]
"""The vector-Jacobian product of a transformed image: from a cotangent v of its shape to v^T dimage/dparameter, by name."""


class Engine(Protocol):
    """A network on a device, in one dtype, with frozen weights."""

    device: str

    def tensor(self, array: Array) -> Tensor:
        """A copy of ``array`` on the device, C-contiguous, in the engine's dtype."""

    def array(self, tensor: Tensor) -> Array:
        """A copy of ``tensor`` as NumPy, dtype kept; later changes of the tensor do not reach it."""

    def features(
        self, image: Tensor, taps: Iterable[str], pooling: Pooling = "max", padding: FirstPadding = "zeros"
    ) -> dict[str, Tensor]:
        """Feature maps (1, C, H, W) of a normalized image by tap; layers beyond the deepest tap are not computed.

        At a kink: the derivative of ReLU at 0 is 0. Of equal values in a max-pooling window, the first, row by row, gets the
        whole gradient.
        """

    def gram(self, feature: Tensor, divisor: GramDivisor) -> Tensor:
        """Gram matrix (C, C) of a feature map: :func:`isostyle.losses.gram`."""

    def targets(self, recipe: Recipe, content: Array, style: Array) -> Targets:
        """The targets of images of shape (1, 3, H, W) in the recipe's space, computed once and without gradients."""

    def vjp(self, recipe: Recipe, image: Tensor, taps: Taps) -> tuple[dict[str, Tensor], Vjp]:
        """The feature maps at ``taps`` of an image of the recipe's space, and their vector-Jacobian product.

        The weights in ``taps`` are ignored. The maps have no graph. The product may be asked for once, of some of the taps or
        all; what it needs lives as long as it does. :mod:`isostyle.tiles` builds a whole style transfer on this alone.
        """

    def objective(self, recipe: Recipe, targets: Targets) -> Objective:
        """The function that ``recipe`` minimizes."""


class Transform(Protocol):
    """An image transformation network on a device, in one dtype (:mod:`isostyle.transform_network`).

    Parameters are an argument of each call, since training makes new ones at each step.
    """

    device: str

    def tensor(self, array: Array) -> Tensor:
        """As :meth:`Engine.tensor`."""

    def array(self, tensor: Tensor) -> Array:
        """As :meth:`Engine.array`."""

    def apply(self, parameters: Mapping[str, Tensor], image: Tensor) -> Tensor:
        """The transformed image: normalized, of the shape of ``image``, (1, 3, H, W), without a graph."""

    def vjp(self, parameters: Mapping[str, Tensor], image: Tensor) -> tuple[Tensor, VjpParameters]:
        """The same, and its vector-Jacobian product with respect to the parameters, which may be asked for once.

        Only a backend with an engine is asked for it.
        """

    def convolve(self, parameters: Mapping[str, Tensor], stage: Stage, window: Tensor) -> Tensor:
        """Only the convolution of a stage: (1, in, h, w) to (1, out, ...), nothing padded, without a graph."""


class Backend(Protocol):
    """A framework, imported. ``isostyle.registry.load`` makes one."""

    name: str

    def __init__(self, threads: int) -> None: ...

    def version(self) -> str:
        """The framework's version, with its build where that says something."""

    def devices(self) -> list[str]:
        """The devices of this machine, as ``--device`` takes them: ``cuda``, ``cpu``, ..., the best first."""

    def own_state(self, device: str) -> AbstractContextManager[None]:
        """The state of the framework in which everything else here is called, on ``device``: with gradients, nothing cast by
        itself, the number of threads of this backend. At its end all is as the caller had it. Core enters it around its work,
        and leaves it before it calls the caller's functions.

        This method is optional, too: a framework without such a state needs none.
        """

    def prepare(
        self, network: Network, parameters: Parameters, *, device: str, dtype: Dtype, precision: Precision = "exact"
    ) -> Engine:
        """Put ``network`` on ``device``, one of :meth:`devices`. ``fast`` may be the same as ``exact``.

        This method is optional: a backend without it has style networks only, applies them, and trains none.
        """

    def transform(self, network: TransformNetwork, *, device: str, dtype: Dtype) -> Transform:
        """Make ``network`` ready on ``device``, one of :meth:`devices`.

        This method is optional: a backend without it has no style networks, and conforms in all else.
        """
