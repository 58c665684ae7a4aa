"""Make a folder of input files: ``python -m isostyle.conformance.make_inputs FOLDER [--seed N]``.

No comparison runs this: inputs are files. The tests run it with other seeds, to look for false alarms.

A folder of inputs holds pictures (photo.png, painting.png), networks with few channels (narrow.safetensors, exact.safetensors),
arrays.npz (images, maps and gradients, float32) and published.json (every number of every recipe).
"""

from __future__ import annotations

import argparse
import io
import json
import math
from pathlib import Path

import numpy as np
from numpy.random import RandomState
from PIL import Image
from safetensors.numpy import save as save_tensors

from isostyle.conformance.inputs import EXACT, NARROW, STYLE, numbers
from isostyle.conformance.oracle import pictures as oracle
from isostyle.demo import inputs as demo
from isostyle.demo.painting import paint
from isostyle.interface import Array
from isostyle.network import Network
from isostyle.published import RECIPES

#: Of the files that ship: of the seeds 0 to 99 it keeps every ReLU and pooling decision of the five scenes that have gradients
#: furthest from flipping (410 eps of float32 at the least), so that float32 decides as float64 does on any processor.
SEED = 31
#: The std of the noise on a start image: `content+noise`, as isostyle's own start of that name has it.
NOISE = 0.3
#: Sizes, height x width. 45 and 51 are odd after 0, 1, 2 and 3 halvings; 16 leaves one pixel at conv5_1.
PHOTO, PICTURE, ODD, MINIMAL, SMALL, UPRIGHT, TIED = (48, 64), (72, 96), (45, 51), (16, 16), (32, 48), (48, 32), (12, 16)
#: Values of the scene `loud`: far beyond pictures, where a bound that somebody set shows.
LOUD = 300.0


def photograph(height: int, width: int) -> Image.Image:
    """matplotlib's sample portrait (Rear Admiral Grace Hopper, United States Navy, public domain), cut to the aspect."""
    picture = demo.photograph()
    wide = min(picture.width, picture.height * width // height)
    high = wide * height // width
    left = (picture.width - wide) // 2
    return picture.crop((left, 0, left + wide, high)).resize((width, height), Image.Resampling.BILINEAR)


def painting(height: int, width: int) -> Image.Image:
    """The demo's painting, drawn by isostyle."""
    return paint(3 * width, 3 * height).resize((width, height), Image.Resampling.BILINEAR)


def narrow_parameters(random: RandomState, network: Network = NARROW) -> dict[str, Array]:
    """He-normal weights, and biases that are not small."""
    found = {}
    for layer in network.convolutions:
        shape = (layer.out_channels, layer.in_channels, 3, 3)
        std = np.sqrt(2 / (9 * layer.in_channels))
        found[f"{layer.name}.weight"] = (random.standard_normal(shape) * std).astype(np.float32)
        found[f"{layer.name}.bias"] = (random.standard_normal(layer.out_channels) * 0.1).astype(np.float32)
    return found


def exact_parameters(random: RandomState) -> dict[str, Array]:
    """Weights in -1, -1/2, 0, 1/2, 1, most of them 0, and biases that are multiples of 1/2."""
    found = {}
    for layer in EXACT.convolutions:
        shape = (layer.out_channels, layer.in_channels, 3, 3)
        found[f"{layer.name}.weight"] = (random.randint(-2, 3, shape) * (random.uniform(size=shape) < 0.4) / 2).astype(
            np.float32
        )
        found[f"{layer.name}.bias"] = (random.randint(-2, 3, layer.out_channels) / 2).astype(np.float32)
    return found


def style_parameters(random: RandomState) -> dict[str, Array]:
    """He-normal kernels; biases and shifts of 0 and scales of 1, give or take 0.3, so that one that is left out shows.

    No more than that: a channel whose ReLU lets everything pass has a shift that the next normalization takes away. Its
    gradient is 0, and what Adam makes of it is rounding's.
    """
    found = {}
    for name, shape in STYLE.parameter_shapes.items():
        kind = name.rpartition(".")[2]
        if kind == "weight":
            values = random.standard_normal(shape) * np.sqrt(2 / math.prod(shape[1:]))
        else:
            values = random.uniform(-0.3, 0.3, shape) + (kind == "scale")
        found[name] = values.astype(np.float32)
    return found


def weights_file(network: Network, parameters: dict[str, Array]) -> bytes:
    metadata = {"network": network.name, "depths": json.dumps(network.depths), "widths": json.dumps(network.widths)}
    return save_tensors({name: np.ascontiguousarray(array) for name, array in parameters.items()}, metadata)


def arrays(random: RandomState, photo: Image.Image, painted: Image.Image) -> dict[str, Array]:
    """Scenes (``NAME/content``, ``NAME/style``, ``NAME/image``) and what single operations are given."""

    def normal(shape: tuple[int, ...], std: float = 1.0) -> Array:
        return random.standard_normal(shape) * std

    def picture(source: Image.Image, height: int, width: int) -> Array:
        return oracle.normalize(np.asarray(source.resize((width, height), Image.Resampling.BILINEAR)))

    def whole(height: int, width: int) -> Array:
        return random.randint(-3, 4, (1, 3, height, width)).astype(np.float64)

    found: dict[str, Array] = {}

    def scene(name: str, content: Array, style: Array, image: Array) -> None:
        found.update({f"{name}/content": content, f"{name}/style": style, f"{name}/image": image})

    for name, (height, width) in (("photo", PHOTO), ("picture", PICTURE), ("odd", ODD), ("minimal", MINIMAL)):
        content = picture(photo, height, width)
        scene(name, content, picture(painted, max(16, height - 3), max(16, width - 9)), content + normal(content.shape, NOISE))
    shape = (1, 3, *SMALL)
    # (`large`, a scene of more than a million values, is `photo` repeated; see cases.)
    scene("noise", normal(shape), normal((1, 3, 40, 32)), normal(shape))
    shape = (1, 3, *UPRIGHT)
    scene("loud", LOUD * normal(shape), LOUD * normal((1, 3, 40, 32)), LOUD * normal(shape))
    shape = (1, 3, *SMALL)
    content, style = picture(photo, *SMALL), picture(painted, *SMALL)
    scene("content", content, style, content)
    board = np.indices(SMALL).sum(axis=0) % 2
    scene("flat", content, style, np.full(shape, 0.25))
    scene("checkerboard", content, style, np.broadcast_to(np.where(board, 2.0, -1.5), shape))
    black, white = (0 - oracle.MEAN) / oracle.STD, (1 - oracle.MEAN) / oracle.STD
    brighter = content > np.median(content)
    scene("saturated", content, style, np.where(brighter, white[None, :, None, None], black[None, :, None, None]))
    # Whole numbers, for the exact network: ties in every pooling window, neighbors that are equal, and both at odd sizes.
    tiles = np.broadcast_to(np.indices(TIED).sum(axis=0) % 2, (1, 3, *TIED)).astype(np.float64)
    scene("tied", whole(*TIED), whole(11, 14), tiles * 2 - 1)
    scene("tied-flat", whole(*TIED), whole(11, 14), np.ones((1, 3, *TIED)))
    scene("tied-odd", whole(11, 15), whole(*TIED), whole(11, 15).clip(-1, 1))

    found["map"] = normal((1, 5, 17, 13))
    found["wide map"] = normal((1, 16, 60, 75), 2.0) + 0.5
    found["gradients"] = normal((30, 1, 3, 4, 5))
    found["outside"] = normal((1, 3, 9, 7), 1.5)  # some of it beyond black and white
    # A style network, what its stages are given, and cotangents of its output.
    found.update({f"style-network/{name}": array for name, array in style_parameters(random).items()})
    found["stage"] = normal((1, max(STYLE.widths), 15, 14))
    found["cotangent"] = normal((1, 3, *ODD))
    return {name: np.ascontiguousarray(array, dtype=np.float32) for name, array in found.items()}


def make(folder: Path, seed: int, photo: Image.Image | None = None, painted: Image.Image | None = None) -> None:
    """Write every input file to ``folder``; the two pictures are made, too, unless they are given."""
    random = RandomState(seed)
    folder.mkdir(parents=True, exist_ok=True)
    photo, painted = photo or photograph(120, 152), painted or painting(96, 128)
    photo.save(folder / "photo.png")
    painted.save(folder / "painting.png")
    (folder / "narrow.safetensors").write_bytes(weights_file(NARROW, narrow_parameters(random)))
    (folder / "exact.safetensors").write_bytes(weights_file(EXACT, exact_parameters(random)))
    file = io.BytesIO()
    np.savez_compressed(file, **arrays(random, photo, painted))  # type: ignore[arg-type]
    (folder / "arrays.npz").write_bytes(file.getvalue())
    published = {name: numbers(recipe) for name, recipe in RECIPES.items()}
    (folder / "published.json").write_text(json.dumps(published, indent=1) + "\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Make the input files of the conformance suite.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seed", type=int, default=SEED)
    arguments = parser.parse_args()
    make(arguments.folder, arguments.seed)
