"""Style networks with random numbers, for tests of what uses them."""

from __future__ import annotations

import dataclasses

import numpy as np

from isostyle.style_networks import file as style_network
from isostyle.style_networks.file import StyleNetwork
from isostyle.style_networks.trainer import first_parameters
from isostyle.transform_network import NARROW, TransformNetwork

#: Widths that all differ, so that a swapped axis shows, and two blocks.
SMALL = TransformNetwork((5, 7, 11), 2)
RESIDUAL = dataclasses.replace(NARROW, residual=True)


def random_style(network=SMALL, seed=3):
    """Scales and shifts that all differ, and an output of the spread of a normalized picture."""
    random = np.random.RandomState(seed)
    parameters = {}
    for name, array in first_parameters(network, seed).items():
        kind = name.rpartition(".")[2]
        moved = 10 * array if name == "out.weight" else array
        parameters[name] = moved if kind == "weight" else (moved + 0.3 * random.standard_normal(array.shape)).astype(np.float32)
    return StyleNetwork(network, parameters, "random", b"", {"recipe": {"losses": {"name": "d2l"}}, "steps": 7}, [])


def write_style(path, network=SMALL, seed=3):
    path.write_bytes(style_network.dump(random_style(network, seed)))
    return path
