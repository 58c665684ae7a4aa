"""The inputs of the cases: images, pictures, weights and published numbers, read from a folder of files.

Inputs are files (conformance/data), never seeds, so that every interpreter sees the same bits in every year.
:mod:`.make_inputs` made them.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from importlib import resources
from importlib.resources.abc import Traversable

import numpy as np
from PIL import Image

from isostyle.conformance.cases import (
    BATCH,
    CROPS,
    CUTS,
    FULL_WIDTH,
    GRADIENT_SCALES,
    LARGE,
    LBFGS_EVALUATIONS,
    MIXTURE,
    NOISES,
    OWN_RATE,
    RESIZES,
    ROLES,
    SCHEMA,
    SEARCH_EVALUATIONS,
    SHORT_DECAY,
    SHORT_RUN,
    STYLE_IMAGES,
    TRAINING_OPTIMIZER,
    TRAINING_STEPS,
    WIDE,
    Case,
)
from isostyle.interface import Array
from isostyle.network import RGB_MEAN, RGB_STD, VGG19, VGG19_DEPTHS, Network
from isostyle.recipe import Recipe, Space
from isostyle.system.files import sha256
from isostyle.transform_network import TransformNetwork
from isostyle.weights import store
from isostyle.weights.store import Weights

#: VGG-19 with few channels, all counts different, so that swapped axes show.
NARROW = Network("narrow", VGG19_DEPTHS, (4, 6, 8, 10, 12))
#: Three blocks whose weights and biases are small multiples of 1/2: on images of small whole numbers no sum is rounded, in
#: float32 or float64, in whatever order it is added up. So ties are ties everywhere, and features must agree bit by bit.
EXACT = Network("exact", (2, 2, 2), (4, 6, 5))
#: An image transformation network, all its counts of channels different, too.
STYLE = TransformNetwork((4, 6, 8), 2)


@dataclass(frozen=True)
class Inputs:
    """A folder of input files, read once."""

    folder: Traversable
    #: Networks of the user's by the names that cases call them by: what :func:`isostyle.weights.store.load` takes.
    own: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def arrays(self) -> Mapping[str, Array]:
        """float32 arrays by name; those of a scene are ``SCENE/content``, ``SCENE/style`` and ``SCENE/image``, (1, 3, H, W)."""
        with np.load(io.BytesIO(self.bytes("arrays.npz")), allow_pickle=False) as file:
            return dict(file)

    @cached_property
    def published(self) -> Mapping[str, Mapping[str, float | str]]:
        """Every number of every recipe, as published; see :func:`numbers`."""
        found: dict[str, dict[str, float | str]] = json.loads(self.bytes("published.json"))
        return found

    @cached_property
    def file_digests(self) -> list[str]:
        """SHA-256 of the files that any case may depend on."""
        return [sha256(self.bytes(name)) for name in ("arrays.npz", "photo.png", "painting.png", "published.json")]

    @cached_property
    def networks(self) -> dict[str, Weights]:
        return {}

    def scene(self, name: str, space: Space = "normalized") -> tuple[Array, Array, Array]:
        """content, style and image in ``space``, float32, (1, 3, H, W).

        ``large`` is the scene ``photo``, repeated; ``wide`` is a part of that.
        """
        source, times = ("photo", LARGE) if name in ("large", "wide") else (name, (1, 1))
        found = [np.tile(self.arrays[f"{source}/{role}"], (1, 1, *times)) for role in ROLES]
        if name == "wide":
            found = [array[:, :, : WIDE[0], : WIDE[1]] for array in found]
        if space == "unit":
            mean, std = (np.array(values).reshape(1, 3, 1, 1) for values in (RGB_MEAN, RGB_STD))
            # Rounded once more, so that all who are given these images are given the same numbers.
            found = [(array.astype(np.float64) * std + mean).astype(np.float32) for array in found]
        content, style, image = found
        return content, style, image

    def bytes(self, name: str) -> bytes:
        return self.folder.joinpath(name).read_bytes()

    def picture(self, name: str) -> Image.Image:
        return Image.open(io.BytesIO(self.bytes(f"{name}.png"))).convert("RGB")

    def network(self, name: str) -> Weights:
        """The weights of a case's network.

        ``narrow`` and ``exact`` come from this folder; ``compact`` is the shipped one; ``vgg19`` is made of its numbers;
        ``negated`` is narrow with every sign changed; and there are the user's ``own``.
        """
        if name not in self.networks:
            self.networks[name] = self.weights(name)
        return self.networks[name]

    def weights(self, name: str) -> Weights:
        if name == "compact" or name in self.own:
            return store.load(self.own.get(name, name))
        if name == "vgg19":
            return full_width(self.network("compact"))
        if name == "negated":
            return negated(self.network("narrow"))
        return store.parse(self.bytes(f"{name}.safetensors"), f"{name}.safetensors")

    def cut(self, variant: str) -> tuple[Array, Array]:
        """The middle of a photograph, normalized, and a cotangent of its size: both (1, 3, H, W)."""
        height, width = CUTS[variant]
        found = []
        for name in ("odd/content", "cotangent"):
            whole = self.arrays[name]
            down, right = (whole.shape[2] - height) // 2, (whole.shape[3] - width) // 2
            found.append(whole[:, :, down : down + height, right : right + width])
        return found[0], found[1]

    def style_network(self, variant: str | None) -> tuple[TransformNetwork, dict[str, Array]]:
        """A style network and its parameters.

        It is the folder's own, with few channels; for a cut in :data:`~.cases.FULL_WIDTH`, the one there, whose parameters
        repeat the folder's.
        """
        prefix = "style-network/"
        found = {name.removeprefix(prefix): array for name, array in self.arrays.items() if name.startswith(prefix)}
        if variant in FULL_WIDTH:
            return FULL_WIDTH[variant], widened(found, FULL_WIDTH[variant])
        return STYLE, found

    def styles(self) -> dict[str, Array]:
        """The parameters of the folder's style network for two styles. The second has the first's scales and shifts in reverse
        order."""
        found = self.style_network(None)[1]
        return {
            name: np.stack([array, array[::-1]]) if array.ndim == 1 and name != "out.bias" else array
            for name, array in found.items()
        }

    def digest(self, case: Case) -> str:
        """SHA-256 of all that ``case`` depends on."""
        text: dict[str, object] = {
            "schema": SCHEMA,
            "case": [case.name, case.dtypes, case.only],
            "inputs": self.file_digests,
            "sizes": [
                SHORT_RUN,
                SHORT_DECAY,
                LBFGS_EVALUATIONS,
                SEARCH_EVALUATIONS,
                GRADIENT_SCALES,
                RESIZES,
                CROPS,
                NOISES,
                LARGE,
                WIDE,
                CUTS,
                str(FULL_WIDTH),
                STYLE_IMAGES,
                MIXTURE,
                BATCH,
                TRAINING_STEPS,
                str(TRAINING_OPTIMIZER),
                OWN_RATE,
            ],
        }
        if case.recipe:
            text["recipe"] = case.recipe.digest
        if case.network:
            text["network"] = self.network(case.network).digest
        return hashlib.sha256(json.dumps(text, sort_keys=True).encode()).hexdigest()


def shipped_inputs(own: Mapping[str, str] | None = None) -> Inputs:
    """The input files that are part of the package, and networks of the user's ``own``."""
    return Inputs(resources.files("isostyle.conformance").joinpath("data"), own or {})


def negated(narrow: Weights) -> Weights:
    return Weights(narrow.network, {name: -array for name, array in narrow.parameters.items()}, f"negative of {narrow.digest}")


def full_width(compact: Weights) -> Weights:
    """VGG-19 at full width: compact's weights repeated along both axes, no two copies alike, and scaled for the larger sums.

    80 MB that need no file: the factors are multiples of 1/8, so the product is the same number on every machine.
    """
    parameters = {}
    for layer in VGG19.convolutions:
        weight, bias = (compact.parameters[f"{layer.name}.{kind}"] for kind in ("weight", "bias"))
        out, into = np.arange(layer.out_channels), np.arange(layer.in_channels)
        factor = ((out[:, None] * 31 + into * 17 + 5) % 11 - 5) / 8
        repeated = weight[out % len(weight)][:, into % weight.shape[1]]
        parameters[f"{layer.name}.weight"] = (repeated * factor[:, :, None, None]).astype(np.float32)
        parameters[f"{layer.name}.bias"] = bias[out % len(bias)]
    return Weights(VGG19, parameters, f"full width of {compact.digest}")


def widened(found: Mapping[str, Array], network: TransformNetwork) -> dict[str, Array]:
    """Parameters of a wider and deeper style network, as :func:`full_width` makes them; its blocks repeat the given ones."""
    blocks = sum(name.endswith("_1.weight") for name in found)
    parameters = {}
    for name, shape in network.parameter_shapes.items():
        given = found[re.sub(r"\d+(?=_)", lambda number: str((int(number[0]) - 1) % blocks + 1), name)]
        places = [np.arange(length) for length in shape]
        repeated = given[np.ix_(*(place % length for place, length in zip(places, given.shape, strict=True)))]
        if len(shape) > 1:
            factor = ((places[0][:, None] * 31 + places[1] * 17 + 5) % 11 - 5) / 8
            repeated = repeated * factor[:, :, None, None]
        parameters[name] = repeated.astype(np.float32)
    return parameters


def numbers(recipe: Recipe) -> dict[str, float | str]:
    """Every number of ``recipe``, flat: ``style_layers/conv1_1``, ``optimizer/beta1``, ``gram_divisor``, ..."""
    found: dict[str, float | str] = {}
    for name, value in recipe.as_dict().items():
        if name in ("name", "source", "notes"):
            continue
        if name in ("content_layers", "style_layers"):
            found.update({f"{name}/{tap}": weight for tap, weight in value})
        elif name == "pyramid":
            found.update({f"{name}/{level['share']}": level["steps"] for level in value})
        elif name == "report":
            found.update({f"{name}/{key}": value[key] for key in ("first", "every")})
            found.update({f"{name}/{shown}": factor for shown, factor in value["values"]})
        elif isinstance(value, dict):
            found.update({f"{name}/{key}": entry for key, entry in value.items() if entry is not None})
        else:
            found[name] = " ".join(value) if isinstance(value, list) else value
    return {name: str(value).lower() if isinstance(value, bool) else value for name, value in found.items()}


def specification_digest(digests: Mapping[str, str]) -> str:
    """One digest for all cases, from theirs."""
    return hashlib.sha256(json.dumps(dict(digests), sort_keys=True).encode()).hexdigest()
