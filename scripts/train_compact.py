"""Make the compact network that ships with isostyle, from any folder of photographs.

    python scripts/train_compact.py train PHOTOS/ -o compact.pt
    python scripts/train_compact.py export compact.pt PHOTOS/ -o core/data/compact.safetensors

`train` solves a task that needs no labels: every photograph is its own class, and the network has to tell from a small,
flipped, recolored crop which photograph it was cut from (exemplar CNN, Dosovitskiy et al. 2014, arXiv:1406.6909). Crops grow
from 48 to 80 pixels as training goes on, because small ones are cheap and the first layers do not mind. Two auxiliary
classifiers, on blocks 3 and 4, bring the gradient to the middle of the 16 convolutions (Lee et al. 2014, arXiv:1409.5185).

`export` folds the batch normalization into the convolutions, and scales every layer so that the mean square of its
post-ReLU map, over the photographs, is what the published recipes were tuned for (`CALIBRATION`). A ReLU is homogeneous, so
that scaling changes no feature's shape, only how loud it is; without it, d2l's total variation term drowns the others.
"""

from __future__ import annotations

import hashlib
import json
import queue
import threading
import time
from pathlib import Path

import click
import numpy as np
import torch
from distill import CALIBRATION_STRIDE, VGG19_MEAN_SQUARES, calibrate, normalized, pictures_in
from PIL import Image
from safetensors.numpy import save_file
from torch import nn
from torch.nn import functional as F

from isostyle.network import COMPACT, RGB_MEAN, RGB_STD, Network

#: (steps, side of the crops after resizing in pixels), one row after another.
PHASES = ((3600, 48), (3200, 64), (2200, 80))
BATCH = 64
LEARNING_RATE = 0.05
WARM_UP = 200
MOMENTUM = 0.9
WEIGHT_DECAY = 5e-4
LABEL_SMOOTHING = 0.1
AUXILIARY_WEIGHT = 0.3
AUXILIARY_TAPS = ("relu3_4", "relu4_4")
#: Side of the square cut from the photograph, in pixels, before it is resized.
CROP = (56, 176)
GRAY_SHARE = 0.2
JITTER = 0.4

#: A quarter of VGG-19's loudness, at a quarter of the widths, gives pictures with the published weights and learning rates
#: unchanged.
CALIBRATION = tuple(value / 4 for value in VGG19_MEAN_SQUARES)


class Classifier(nn.Module):
    """The network with batch normalization, a classifier at its end and one at each auxiliary tap."""

    def __init__(self, network: Network, classes: int) -> None:
        super().__init__()
        self.layers = nn.ModuleDict()
        self.heads = nn.ModuleDict()
        for layer in network.layers:
            if layer.kind == "conv":
                convolution = nn.Conv2d(layer.in_channels, layer.out_channels, 3, padding=1, bias=False)
                nn.init.kaiming_normal_(convolution.weight, mode="fan_out")
                self.layers[layer.name] = nn.Sequential(convolution, nn.BatchNorm2d(layer.out_channels))
            elif layer.kind == "relu":
                self.layers[layer.name] = nn.ReLU(inplace=True)
            else:
                self.layers[layer.name] = nn.MaxPool2d(2)
            if layer.name in AUXILIARY_TAPS or layer.name == "pool5":
                self.heads[layer.name] = nn.Linear(layer.out_channels, classes)

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        """Logits of every head, the last one's last."""
        logits = []
        for name, layer in self.layers.items():
            x = layer(x)
            if name in self.heads:
                logits.append(self.heads[name](x.mean((2, 3))))
        return logits


def load_photographs(folder: Path) -> list[Image.Image]:
    """All pictures in a folder that are no smaller than the smallest crop; the others are named."""
    photographs = []
    for picture in pictures_in(folder):
        if min(picture.size) < CROP[0]:
            click.echo(f"left out: a picture of {picture.width}x{picture.height} pixels, fewer than {CROP[0]}", err=True)
            continue
        photographs.append(picture)
    if not photographs:
        raise click.ClickException(f"{folder} holds no photographs")
    return photographs


def batches(
    photographs: list[Image.Image], seed: int, done: threading.Event
) -> queue.Queue[tuple[torch.Tensor, torch.Tensor] | Exception]:
    """Random crops and the numbers of their photographs, cut in a background thread."""
    random = np.random.default_rng(seed)
    ready: queue.Queue[tuple[torch.Tensor, torch.Tensor] | Exception] = queue.Queue(maxsize=4)

    def cut(photograph: Image.Image, side: int) -> np.ndarray:
        shorter = min(photograph.size)
        crop = random.uniform(CROP[0], min(CROP[1], shorter))
        left = random.uniform(0, photograph.width - crop)
        top = random.uniform(0, photograph.height - crop)
        box = (left, top, left + crop, top + crop)
        return np.asarray(photograph.resize((side, side), Image.Resampling.BILINEAR, box=box))

    def work() -> None:
        order: list[int] = []
        for steps, side in PHASES:
            for _ in range(steps):
                while len(order) < BATCH:
                    order += random.permutation(len(photographs)).tolist()
                chosen, order = order[:BATCH], order[BATCH:]
                crops = np.stack([cut(photographs[i], side) for i in chosen])
                images = recolor(torch.from_numpy(crops).permute(0, 3, 1, 2).float() / 255, random)
                item = (images.contiguous(memory_format=torch.channels_last), torch.tensor(chosen))
                while not done.is_set():
                    try:
                        ready.put(item, timeout=1)
                        break
                    except queue.Full:
                        continue
                if done.is_set():
                    return

    def guarded() -> None:
        try:
            work()
        except Exception as error:
            ready.put(error)  # or the training would wait for ever

    threading.Thread(target=guarded, daemon=True).start()
    return ready


def recolor(images: torch.Tensor, random: np.random.Generator) -> torch.Tensor:
    """Flip half of the images, jitter brightness, contrast and saturation of all, turn some gray, normalize."""

    def draw(low: float, high: float) -> torch.Tensor:
        return torch.from_numpy(random.uniform(low, high, (len(images), 1, 1, 1)).astype(np.float32))

    images = torch.where(draw(0, 1) < 0.5, images.flip(3), images)
    images = images * draw(1 - JITTER, 1 + JITTER)
    mean = images.mean((1, 2, 3), keepdim=True)
    images = mean + (images - mean) * draw(1 - JITTER, 1 + JITTER)
    gray = images.mean(1, keepdim=True)
    saturation = torch.where(draw(0, 1) < GRAY_SHARE, torch.zeros(()), draw(1 - JITTER, 1 + JITTER))
    images = (gray + (images - gray) * saturation).clamp(0, 1)
    return (images - torch.tensor(RGB_MEAN).view(1, 3, 1, 1)) / torch.tensor(RGB_STD).view(1, 3, 1, 1)


@click.group()
def main() -> None:
    """Train and export the compact network."""


@main.command()
@click.argument("photos", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True)
@click.option("--seed", default=0, show_default=True)
@click.option("--threads", default=2, show_default=True)
def train(photos: Path, output: Path, seed: int, threads: int) -> None:
    """Train on the folder PHOTOS; about an hour and a half on two cores."""
    torch.manual_seed(seed)
    torch.set_num_threads(threads)
    photographs = load_photographs(photos)
    model = Classifier(COMPACT, len(photographs)).to(memory_format=torch.channels_last)
    total = sum(steps for steps, _ in PHASES)
    decayed = [p for p in model.parameters() if p.ndim > 1]
    plain = [p for p in model.parameters() if p.ndim == 1]
    optimizer = torch.optim.SGD(
        [{"params": decayed, "weight_decay": WEIGHT_DECAY}, {"params": plain, "weight_decay": 0.0}],
        lr=LEARNING_RATE,
        momentum=MOMENTUM,
        nesterov=True,
    )
    cosine = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, total - WARM_UP)
    schedule = torch.optim.lr_scheduler.SequentialLR(
        optimizer, [torch.optim.lr_scheduler.LinearLR(optimizer, 0.05, total_iters=WARM_UP), cosine], [WARM_UP]
    )
    done = threading.Event()
    ready = batches(photographs, seed, done)
    started, accuracy = time.monotonic(), 0.0
    for step in range(1, total + 1):
        item = ready.get()
        if isinstance(item, Exception):
            raise item
        images, labels = item
        *auxiliary, logits = model(images)
        loss = F.cross_entropy(logits, labels, label_smoothing=LABEL_SMOOTHING)
        for other in auxiliary:
            loss = loss + AUXILIARY_WEIGHT * F.cross_entropy(other, labels, label_smoothing=LABEL_SMOOTHING)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        # Every crop is new to the network when it is scored, so the running mean is an honest accuracy.
        hit = (logits.argmax(1) == labels).float().mean().item()
        accuracy = hit if step == 1 else 0.98 * accuracy + 0.02 * hit
        if step % 50 == 0 or step == total:
            minutes = (time.monotonic() - started) / 60
            click.echo(f"step {step}/{total}  loss {loss.item():.3f}  accuracy {accuracy:.3f}  {minutes:.1f} min")
        if step % 600 == 0 or step == total:
            history = {
                "step": step,
                "steps": total,
                "accuracy": round(accuracy, 4),
                "classes": len(photographs),
                "minutes": round((time.monotonic() - started) / 60, 1),
                "seed": seed,
            }
            torch.save({"model": model.state_dict(), "history": history}, output)
    done.set()


def fold(state: dict[str, torch.Tensor], epsilon: float = 1e-5) -> dict[str, torch.Tensor]:
    """Fold every batch normalization into the convolution before it."""
    folded = {}
    for layer in COMPACT.convolutions:
        weight = state[f"layers.{layer.name}.0.weight"].double()
        norm = {
            key: state[f"layers.{layer.name}.1.{key}"].double() for key in ("weight", "bias", "running_mean", "running_var")
        }
        gain = norm["weight"] / (norm["running_var"] + epsilon).sqrt()
        folded[f"{layer.name}.weight"] = weight * gain.view(-1, 1, 1, 1)
        folded[f"{layer.name}.bias"] = norm["bias"] - norm["running_mean"] * gain
    return folded


@main.command()
@click.argument("checkpoint", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("photos", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True)
@click.option("--loudness", default=1.0, show_default=True, help="Factor on every calibration target, to try others.")
def export(checkpoint: Path, photos: Path, output: Path, loudness: float) -> None:
    """Fold, calibrate on the folder PHOTOS, and write a safetensors file."""
    saved = torch.load(checkpoint, weights_only=True)
    weights = fold(saved["model"])
    images = normalized([np.asarray(photograph) for photograph in load_photographs(photos)[::CALIBRATION_STRIDE]])
    targets = tuple(loudness * value for value in CALIBRATION)
    with torch.no_grad():
        factors = calibrate(COMPACT, weights, images, targets)
    for name, factor in factors.items():
        target = targets[int(name[4]) - 1]
        click.echo(f"{name}: mean square {target / factor**2:.4g}, scaled to {target:.4g}")
    metadata = {
        "network": COMPACT.name,
        "depths": json.dumps(COMPACT.depths),
        "widths": json.dumps(COMPACT.widths),
        "calibration": json.dumps(targets),
        "training": json.dumps(saved["history"]),
        "license": "non-commercial research (trained on ImageNet sample photographs)",
    }
    # safetensors writes a strided array's memory as it lies, and these are channels-last: uncopied, the network is scrambled.
    arrays = {name: np.ascontiguousarray(value.float().numpy()) for name, value in weights.items()}
    save_file(arrays, output, metadata=metadata)
    click.echo(f"{output}: {output.stat().st_size} bytes, SHA-256 {hashlib.sha256(output.read_bytes()).hexdigest()}")


if __name__ == "__main__":
    main()
