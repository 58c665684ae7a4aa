"""Style networks with random numbers, for tests of what uses them, and what they are trained with."""

from __future__ import annotations

import dataclasses

import numpy as np
from PIL import Image

from isostyle.style_networks import file as style_network
from isostyle.style_networks.file import StyleNetwork
from isostyle.style_networks.trainer import TrainingRecipe, first_parameters
from isostyle.transform_network import NARROW, TransformNetwork

#: Widths that all differ, so that a swapped axis shows, and two blocks.
SMALL = TransformNetwork((5, 7, 11), 2)
#: A training of a second.
TINY = TrainingRecipe(network=TransformNetwork((2, 3, 4), 1), steps=4, batch=2, crop=32, style_size=40)
RESIDUAL = dataclasses.replace(NARROW, residual=True)


def random_style(network=SMALL, seed=3, styles=("random",)):
    """Scales and shifts that all differ, and an output of the spread of a normalized picture."""
    random = np.random.RandomState(seed)
    parameters = {}
    for name, array in first_parameters(network, seed, len(styles)).items():
        kind = name.rpartition(".")[2]
        moved = 10 * array if name == "out.weight" else array
        parameters[name] = moved if kind == "weight" else (moved + 0.3 * random.standard_normal(array.shape)).astype(np.float32)
    return StyleNetwork(
        network, parameters, dict.fromkeys(styles, b""), {"recipe": {"losses": {"name": "d2l"}}, "steps": 7}, []
    )


def write_style(path, network=SMALL, seed=3, styles=()):
    """One style is called as the file."""
    path.write_bytes(style_network.dump(random_style(network, seed, styles or (path.stem,))))
    return path


def write_photographs(folder):
    """Twenty, of 40x44 pixels."""
    folder.mkdir()
    for i in range(20):
        random = np.random.RandomState(i)
        coarse = Image.fromarray(random.randint(0, 256, (5, 6, 3), np.uint8))
        coarse.resize((44, 40), Image.Resampling.BICUBIC).save(folder / f"{i:02d}.{'png' if i % 2 else 'jpg'}")
    return folder
