"""``isostyle.train``: a network for one style, from a style image and a folder of photographs."""

from __future__ import annotations

import json
import platform
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import PIL
from PIL import Image

from isostyle import images, registry, training_state, weights
from isostyle._version import __version__
from isostyle.api import choose_device, read_picture
from isostyle.errors import InputError, shown
from isostyle.files import sha256, write_atomically
from isostyle.images import ImageLike
from isostyle.interface import Array, Precision, Tensor
from isostyle.photographs import Crop, Cutter, cut, scan
from isostyle.recipe import LongSide, require_count
from isostyle.style_network import StyleNetwork, thumbnail
from isostyle.trainer import Trainer, TrainingEvent, TrainingRecipe, first_parameters, steps_of
from isostyle.training_state import Checkpoint

#: Photographs that are kept out of the training, to look at: at most so many, and at most this share.
HELD_OUT, HELD_OUT_SHARE = 10, 0.1
#: Every so many steps the held-out photographs are looked at, and a checkpoint is written.
EVERY = 200
#: Every so many steps the losses go into the file's history.
HISTORY_EVERY = 50
CENTRE = Crop(0, 0.5, 0.5, False)


@dataclass(frozen=True)
class Progress:
    """What a callback is told after each step."""

    event: TrainingEvent
    #: Of how many.
    steps: int
    #: The median total of the held-out photographs, where they were looked at after this step.
    held_out: float | None
    #: Held-out photographs as they go in and come out, where they were looked at.
    samples: Callable[[], list[tuple[Image.Image, Image.Image]]] | None


class TrainingInterrupted(KeyboardInterrupt):
    """Ctrl-C. ``style`` is the network as far as it was trained; a checkpoint was written if one was asked for."""

    def __init__(self, style: StyleNetwork, step: int) -> None:
        super().__init__()
        self.style, self.step = style, step


def train(
    style: ImageLike,
    photographs: Path | str,
    *,
    recipe: TrainingRecipe | None = None,
    name: str | None = None,
    backend: str = "auto",
    network: str = "compact",
    precision: Precision = "exact",
    device: str = "auto",
    threads: int | None = None,
    checkpoint: Path | str | None = None,
    every: int = EVERY,
    resume: bool = False,
    callback: Callable[[Progress], None] | None = None,
    log: Callable[[str], None] | None = None,
) -> StyleNetwork:
    """Train an image transformation network to paint in the manner of ``style``.

    Args:
        style: a path, a PIL image or an array.
        photographs: a folder; those in folders inside it count, too. Files that are broken or smaller than a crop are skipped
            and named. Up to ten are held out of the training, to look at.
        recipe: losses, network, optimiser, crops and steps; the default takes some 20 minutes on two cores.
        name: what the style is called [default: the style image's file name].
        backend: ``torch``, ``paddle``, ``mxnet``, or ``auto``.
        network: the loss network: ``compact``, ``vgg19``, ``vgg16``, or a ``.safetensors`` file.
        precision: of the loss network: ``exact`` or ``fast``.
        device: ``auto``, ``cpu``, ``cuda``, ...
        threads: CPU threads; by default ``OMP_NUM_THREADS``, or all cores.
        checkpoint: a file that is written every ``every`` steps and at the end, from which training can go on.
        every: also how often the held-out photographs are looked at.
        resume: go on from ``checkpoint``; the result is bit-identical to that of a training that was not interrupted (same
            backend, version, device and threads). More steps than before may be asked for.
        callback: called after each step.
        log: called with a line for each thing that a user should know.

    Returns:
        The trained network: :func:`isostyle.style_network.dump` makes a file of it.

    Raises:
        InputError: an argument cannot be used; the message is one sentence. Nothing was computed.
        NonFiniteTraining: a loss or a gradient is no longer finite; the last checkpoint is good.
        TrainingInterrupted: Ctrl-C.
    """
    recipe = TrainingRecipe() if recipe is None else recipe
    recipe.check()
    require_count(every, "number of steps between checkpoints")
    if precision not in ("exact", "fast"):
        raise InputError(f"the precision must be exact or fast, not {precision!r}")
    if resume and checkpoint is None:
        raise InputError("there is no checkpoint to resume from; name it")
    tell = log or (lambda line: None)
    chosen = weights.load(network)
    parameters = chosen.cut(recipe.losses.taps)
    least = chosen.network.least_side(recipe.losses.taps)
    picture, digest = read_picture(style, "the style image")
    height, width = LongSide(recipe.style_size).fit(picture.height, picture.width)
    if min(height, width, recipe.crop) < least:
        raise InputError(
            f"crops and style image need {least} pixels a side for the deepest layer, not {min(height, width, recipe.crop)}"
        )
    before = training_state.load(Path(checkpoint), recipe.network) if resume and checkpoint is not None else None
    folder = scan(Path(photographs), recipe.crop)
    held = held_out(len(folder.files), recipe.seed)
    used = tuple(path for i, path in enumerate(folder.files) if i not in held)
    settings = {
        "recipe": as_json(recipe),
        "style_sha256": digest or sha256(np.asarray(picture).tobytes()),
        "loss_network_sha256": chosen.digest,
        # Names and sizes: reading everything would take longer than many a training.
        "photographs_sha256": sha256(
            "\n".join(f"{path.relative_to(photographs)} {path.stat().st_size}" for path in folder.files).encode()
        ),
    }
    if before is not None:
        require_same(before.settings, settings, str(checkpoint))
        if before.step > recipe.steps:
            raise InputError(f"{str(checkpoint)!r} has {before.step} steps already; ask for more than {recipe.steps}")

    count = registry.default_threads() if threads is None else threads
    framework = registry.load(backend, count)
    place = choose_device(device, framework.devices(), framework.name)
    tell(f"backend {framework.name} {framework.version()} on {place}, {count} thread{'s' * (count > 1)}")
    tell(f"{len(used)} photographs, {len(held)} held out, {len(folder.skipped)} skipped")
    for path, why in folder.skipped.items():
        tell(f"skipped {str(path)!r}: {why}")
    skipped = dict(folder.skipped)

    def skip(path: Path, why: str) -> None:
        skipped[path] = why
        tell(f"skipped {str(path)!r}: {why}")

    engine = framework.prepare(chosen.network, parameters, device=place, dtype="float32", precision=precision)
    transform = framework.transform(recipe.network, device=place, dtype="float32")
    trainer = Trainer(recipe, transform, engine, images.to_array(images.resize(picture, height, width), "float32"))
    if before is None:
        state, history = trainer.start(first_parameters(recipe.network, recipe.seed)), []
    else:
        history = list(before.history)
        state = {
            key: {**{each: transform.tensor(array) for each, array in arrays.items()}, "step": before.step}
            for key, arrays in before.state.items()
        }
        tell(f"going on from step {before.step}")
    looked_at = []
    for i in sorted(held):
        try:
            looked_at.append(cut(images.read(folder.files[i]), CENTRE, recipe.crop))
        except InputError as error:
            skip(folder.files[i], str(error))

    def arrays_of(tensors: Mapping[str, Tensor]) -> dict[str, Array]:
        return {key: transform.array(tensor) for key, tensor in tensors.items()}

    def save() -> None:
        if checkpoint is not None:
            arrays = {
                key: {each: transform.array(value[each]) for each in training_state.TENSORS} for key, value in state.items()
            }
            write_atomically(Path(checkpoint), training_state.dump(Checkpoint(steps_of(state), arrays, settings, history)))

    def finished() -> StyleNetwork:
        about = {
            "isostyle": __version__,
            "recipe": as_json(recipe),
            "steps": steps_of(state),
            "style": {
                "name": str(style) if isinstance(style, (str, Path)) else None,
                "sha256": settings["style_sha256"],
                "size": [height, width],
            },
            "loss_network": {"name": chosen.network.name, "sha256": chosen.digest},
            "photographs": {
                "used": len(used),
                "held_out": len(looked_at),
                "skipped": len(skipped),
                "sha256": settings["photographs_sha256"],
            },
            "backend": {
                "name": framework.name,
                "version": framework.version(),
                "device": place,
                "threads": count,
                "precision": precision,
            },
            "versions": {"python": platform.python_version(), "numpy": np.__version__, "pillow": PIL.__version__},
        }
        parameters = arrays_of(trainer.parameters(state))
        return StyleNetwork(recipe.network, parameters, name or style_name(style), thumbnail(picture), about, history)

    def samples() -> list[tuple[Image.Image, Image.Image]]:
        tensors = trainer.parameters(state)
        made = (transform.array(transform.apply(tensors, transform.tensor(each))) for each in looked_at)
        return [(images.to_picture(each), images.to_picture(one)) for each, one in zip(looked_at, made, strict=True)]

    try:
        # One by one, and not all with a loop over the generator: at the end nothing is cut that nobody needs.
        crops = Cutter(used, recipe.crop, recipe.batch, recipe.seed, skip).steps(steps_of(state))
        while (step := steps_of(state) + 1) <= recipe.steps:
            state, event = trainer.step(state, next(crops))
            look = step % every == 0 or step == recipe.steps
            seen = None
            if look and looked_at:
                tensors = trainer.parameters(state)
                seen = median(trainer.losses(tensors, each)["total"] for each in looked_at)
            if look or event.step % HISTORY_EVERY == 0:
                row = {"step": event.step, "learning_rate": event.learning_rate, **event.terms}
                history.append(row if seen is None else {**row, "held_out": seen})
            if look:
                save()
            if callback:
                callback(Progress(event, recipe.steps, seen, samples if look else None))
    except KeyboardInterrupt as error:
        save()
        raise TrainingInterrupted(finished(), steps_of(state)) from error
    return finished()


def held_out(photographs: int, seed: int) -> frozenset[int]:
    """The numbers of the photographs that are kept out of a training."""
    count = min(HELD_OUT, int(HELD_OUT_SHARE * photographs))
    return frozenset(int(i) for i in np.random.RandomState([seed, 0]).permutation(photographs)[:count])


def style_name(style: ImageLike) -> str:
    return Path(style).stem if isinstance(style, (str, Path)) else "style"


def as_json(recipe: TrainingRecipe) -> dict[str, Any]:
    """A recipe as plain JSON."""
    losses = {"digest": recipe.losses.digest, **recipe.losses.as_dict()}
    return {**asdict(recipe), "losses": losses}


def require_same(before: Mapping[str, Any], now: Mapping[str, Any], name: str) -> None:
    """Raises InputError if a training cannot go on because something is not as it was; the number of steps may differ."""
    for key, value in now.items():
        old = before.get(key)
        if key == "recipe":
            for part, wanted in value.items():
                had = old.get(part) if isinstance(old, dict) else None
                if part != "steps" and had != json.loads(json.dumps(wanted)):
                    raise InputError(
                        f"{name!r} was trained with {part} {shown(had)}, not {shown(wanted)}; leave it, or begin anew"
                    )
        elif old != value:
            what = key.removesuffix("_sha256").replace("_", " ")
            raise InputError(f"{name!r} was trained with another {what}; take the same, or begin anew with --force")
