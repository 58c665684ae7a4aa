"""The style networks of pytorch/examples (``mosaic.pth``, ...): their ``TransformerNet``, in this project's table.

Source: github.com/pytorch/examples, fast_neural_style/neural_style/transformer_net.py (the layers and their names) and
neural_style.py (RGB in 0..255 goes in and comes out). No line of it is here.

It is :data:`isostyle.transform_network.JOHNSON` but for what can be folded into the numbers, in float64, rounded once:

- A constant in each channel, before an instance normalization, cancels there; reflection keeps it constant to the edge. So do
  the biases of all convolutions but the last, and the shift of a residual block's second normalization: what stands behind it
  is linear up to the next one.
- It divides by sqrt(variance + 1e-5), this project by sqrt(variance + EPSILON). Kernels times c = sqrt(EPSILON / 1e-5) make a
  variance c^2 times as large, and the quotient is the same.
- It takes 255 rgb. Here x = (rgb - RGB_MEAN) / RGB_STD: kernels times 255 RGB_STD; the rest is a constant, and cancels. What it
  makes is normalized likewise by the last stage.

Where a side is a multiple of 4, the pictures are the same, too. Elsewhere its own are up to three pixels larger: it keeps the
row or column that ``up1`` and ``up2`` drop.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from isostyle.errors import InputError, IsostyleError
from isostyle.interface import Array, Parameters
from isostyle.network import RGB_MEAN, RGB_STD, VGG19
from isostyle.system.files import reason
from isostyle.transform_network import EPSILON, JOHNSON
from isostyle.weights import convert
from isostyle.weights.formats.index import MAX_START, format_of, index_of
from isostyle.weights.formats.stored import FLOATS, Index
from isostyle.weights.sources import Held

#: What is said of where such a network is from.
ORIGIN = "pytorch/examples, fast_neural_style"
#: torch.nn.InstanceNorm2d's default; and what white is.
THEIR_EPSILON, RANGE = 1e-5, 255.0
#: The convolution of a stage, and its normalization.
LAYERS = {
    **{f"down{i}": (f"conv{i}", f"in{i}") for i in (1, 2, 3)},
    **{f"block{block}_{i}": (f"res{block}.conv{i}", f"res{block}.in{i}") for block in range(1, 6) for i in (1, 2)},
    "up1": ("deconv1", "in4"),
    "up2": ("deconv2", "in5"),
    "out": ("deconv3", ""),
}
#: Of torch.nn.DataParallel.
PREFIX = "module."
#: Of files of 2017: InstanceNorm2d counted, and nothing here used it.
COUNTED = ("running_mean", "running_var")


def is_pytorch(data: bytes) -> bool:
    """Whether a file begins as PyTorch's do."""
    return (format_of(data[:MAX_START]) or "").startswith("pytorch")


def read(data: bytes, name: str) -> Parameters:
    """The parameters of :data:`isostyle.transform_network.JOHNSON` that compute what the network in ``data`` does, the bytes of
    a PyTorch file called ``name``. Raises InputError if it is another network, damaged, or would have to run something."""
    source = Held(data, name)
    try:
        _, index = index_of(source)
        places = places_in(index, source.name)
        return rounded(folded(convert.load(index, places, source)))
    except (IsostyleError, MemoryError):
        raise
    except Exception as error:  # a damaged file makes the libraries that read it raise nearly anything
        raise InputError(f"{source.name} is damaged, or no file of PyTorch's: {reason(error)[:200]}") from error


def names() -> dict[str, str]:
    """What TransformerNet calls each parameter."""
    kinds = {"weight": "{0}.conv2d.weight", "bias": "{0}.conv2d.bias", "scale": "{1}.weight", "shift": "{1}.bias"}
    found = {}
    for parameter in JOHNSON.parameter_shapes:
        stage, _, kind = parameter.partition(".")
        found[parameter] = kinds[kind].format(*LAYERS[stage])
    return found


def ignored() -> set[str]:
    """The names in a state dictionary of what changes no picture."""
    biases = {f"{convolution}.conv2d.bias" for convolution, _ in LAYERS.values()}
    norms = [norm for _, norm in LAYERS.values() if norm]
    return biases | {f"{norm}.{kind}" for norm in norms for kind in ("bias", *COUNTED)}


def places_in(index: Index, name: str) -> dict[str, str]:
    """The tensor's name for each parameter. Raises InputError, with the first thing that is wrong, if it is another network."""
    bare = {own.removeprefix(PREFIX): own for own in index}
    if any(convert.PREFIX.sub("", own, 1) in convert.names_in(VGG19) for own in bare):
        raise InputError(f"{name} holds a VGG's weights, which losses are computed with; they are no style network")
    wanted, no = names(), f"{name} is no style network of {ORIGIN}"
    for parameter, shape in JOHNSON.parameter_shapes.items():
        own = wanted[parameter]
        if own not in bare:
            raise InputError(f"{no}: it lacks {own!r}")
        stored = index[bare[own]]
        if stored.shape != shape:
            raise InputError(f"{no}: {own!r} has the shape {stored.shape}, not {shape}")
        if stored.dtype not in FLOATS:
            raise InputError(f"{no}: {own!r} is {stored.dtype}, and no floating-point number")
    if others := sorted(set(bare) - set(wanted.values()) - ignored()):
        raise InputError(f"{no}: it holds {others[0]!r}, too")
    return {parameter: bare[own] for parameter, own in wanted.items()}


def folded(theirs: Mapping[str, Array]) -> dict[str, Array]:
    """The same network for this project's images and EPSILON, in float64."""
    found = {name: np.array(array, np.float64) for name, array in theirs.items()}
    mean, std = RANGE * np.array(RGB_MEAN), RANGE * np.array(RGB_STD)
    for stage in JOHNSON.stages:
        if stage.norm:
            found[f"{stage.name}.weight"] *= np.sqrt(EPSILON / THEIR_EPSILON)
    found["down1.weight"] *= std[:, None, None]
    found["out.weight"] /= std[:, None, None, None]
    found["out.bias"] = (found["out.bias"] - mean) / std
    return found


def rounded(parameters: Mapping[str, Array]) -> Parameters:
    """As float32; what is too large becomes infinite, and is refused as such."""
    with np.errstate(over="ignore"):
        return {name: array.astype(np.float32) for name, array in parameters.items()}
