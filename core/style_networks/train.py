"""``isostyle.train``: a network for one style, from a style image and a folder of photographs."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from PIL import Image

from isostyle import registry
from isostyle._version import __version__
from isostyle.checks import require_count
from isostyle.errors import FrameworkFailure, InputError, IsostyleError, shown
from isostyle.images import arrays
from isostyle.images.decode import ImageLike, read_picture, read_rgb
from isostyle.interface import Array, Precision
from isostyle.optim import State
from isostyle.recipe import LongSide
from isostyle.registry import choose_device, failure
from isostyle.style_networks import checkpoint as training_state
from isostyle.style_networks import file as style_network
from isostyle.style_networks.checkpoint import Checkpoint
from isostyle.style_networks.file import StyleNetwork, thumbnail
from isostyle.style_networks.photographs import Crop, Cutter, cut, scan
from isostyle.style_networks.trainer import Trainer, TrainingEvent, TrainingRecipe, first_parameters, require_finite, steps_of
from isostyle.system.files import reason, sha256, write_atomically
from isostyle.system.versions import versions
from isostyle.weights import store

#: What can be done when memory does not suffice.
LESS_MEMORY = "try a smaller --crop, --batch or --style-size"
#: Photographs that are kept out of the training, to look at: at most so many, and at most this share.
HELD_OUT, HELD_OUT_SHARE = 10, 0.1
#: Every so many steps the held-out photographs are looked at, and a checkpoint is written.
EVERY = 200
#: Every so many steps the losses go into the file's history.
HISTORY_EVERY = 50
CENTER = Crop(0, 0.5, 0.5, False)
#: What of a training's settings must be as it was when it goes on, beside the recipe, and what is said if it is not.
WHAT_STAYS = {
    "start_sha256": "another start",
    "style_sha256": "another style image",
    "loss_network_sha256": "another loss network",
    "photographs_sha256": "other photographs",
}


@dataclass(frozen=True)
class Progress:
    """What a callback is told after each step."""

    event: TrainingEvent
    #: Of how many.
    steps: int
    #: The median total of the held-out photographs, where they were looked at after this step.
    held_out: float | None
    #: Held-out photographs as they go in and come out, where there are any and they were looked at.
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
    start: str | os.PathLike[str] | StyleNetwork | None = None,
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
        recipe: losses, network, optimizer, crops and steps; the default takes some 20 minutes on two cores.
        name: what the style is called [default: the style image's file name].
        start: a style network of the same size whose parameters the training begins with: the name of one that ships, or a
            file. One that paints anything knows how to keep a photograph's shapes, which takes most of the steps to learn.
            [default: random numbers]
        backend: ``torch``, ``paddle``, ``mxnet``, or ``auto``.
        network: the loss network: ``compact``, ``vgg19``, ``vgg16``, or a ``.safetensors`` file.
        precision: of the loss network: ``exact`` or ``fast``.
        device: ``auto``, ``cpu``, ``cuda``, ...
        threads: CPU threads; by default ``OMP_NUM_THREADS``, or all cores.
        checkpoint: a file that is written every ``every`` steps and at the end, from which training can go on.
        every: also how often the held-out photographs are looked at.
        resume: go on from ``checkpoint``; the result is bit-identical to that of a training that was not interrupted (same
            backend, version, device and threads, and ``every``). More steps than before may be asked for.
        callback: called after each step.
        log: called with a line for each thing that a user should know.

    Returns:
        The trained network; its ``save`` writes the file.

    Raises:
        InputError: an argument cannot be used; the message is one sentence. Nothing was computed, unless the photographs
            cannot be read any more; then there is a checkpoint of the steps so far.
        NonFiniteTraining: a loss, a gradient or a parameter is no longer finite; the last checkpoint is good.
        FrameworkFailure: the framework failed, for want of memory most often; there is a checkpoint of the steps so far.
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
    chosen = store.load(network)
    parameters = chosen.cut(recipe.losses.taps)
    least = chosen.network.least_side(recipe.losses.taps)
    opened, digest = read_picture(style, "the style image")
    for line in opened.lines:
        tell(line)
    picture = opened.eight_bits
    height, width = LongSide(recipe.style_size).fit(picture.height, picture.width)
    if min(height, width, recipe.crop) < least:
        raise InputError(
            f"crops and style image need {least} pixels a side for the deepest layer, not {min(height, width, recipe.crop)}"
        )
    first = first_of(start, recipe)
    before = training_state.load(Path(checkpoint), recipe.network) if resume and checkpoint is not None else None
    folder = scan(Path(photographs), recipe.crop)
    held = held_out(len(folder.files), recipe.seed)
    used = tuple(path for i, path in enumerate(folder.files) if i not in held)
    settings = {
        "recipe": as_json(recipe),
        "start_sha256": first.digest,
        "style_sha256": digest or sha256(np.asarray(picture).tobytes()),
        "loss_network_sha256": chosen.digest,
        # Names and sizes: reading everything would take longer than many a training.
        "photographs_sha256": sha256(
            b"\n".join(b"%s %d" % (os.fsencode(path.relative_to(photographs)), path.stat().st_size) for path in folder.files)
        ),
    }
    if before is not None:
        require_same(before.settings, settings, str(checkpoint))
        if before.step > recipe.steps:
            raise InputError(f"{str(checkpoint)!r} has {before.step} steps already; ask for more than {recipe.steps}")

    count = registry.default_threads() if threads is None else threads
    framework = registry.load(backend, count)
    place = choose_device(device, framework.devices(), framework.name)
    computes = {
        "name": framework.name,
        "version": framework.version(),
        "device": place,
        "threads": count,
        "precision": precision,
    }
    tell(f"backend {framework.name} {framework.version()} on {place}, {count} thread{'s' * (count > 1)}")
    engine = framework.prepare(chosen.network, parameters, device=place, dtype="float32", precision=precision)
    transform = registry.transform(framework, recipe.network, device=place, dtype="float32")

    def skip(path: Path, why: str) -> None:
        tell(f"skipped {str(path)!r}: {why.removeprefix(repr(str(path))).lstrip()}")

    tell(f"{len(used)} photographs, {len(held)} held out, {len(folder.skipped)} skipped")
    if not held:
        tell(f"fewer than {round(1 / HELD_OUT_SHARE)} photographs: none is held out to look at")
    for path, why in folder.skipped.items():
        skip(path, why)
    looked_at = []
    for i in sorted(held):
        try:
            looked_at.append(cut(read_rgb(folder.files[i]), CENTER, recipe.crop))
        except InputError as error:
            skip(folder.files[i], str(error))

    with framework_failures(framework.name, f"a style image of {height}x{width}"):
        trainer = Trainer(recipe, transform, engine, arrays.to_array(arrays.resize(picture, height, width), "float32"))
    if before is None:
        session = Session(trainer, looked_at, trainer.start(first.parameters), [])
        backends = [computes]
    else:
        state = {
            key: {**{each: transform.tensor(array) for each, array in arrays.items()}, "step": before.step}
            for key, arrays in before.state.items()
        }
        session = Session(trainer, looked_at, state, list(before.history))
        tell(f"going on from step {before.step}")
        backends = list(before.backends)
        if computes not in backends[-1:]:
            backends.append(computes)
            tell("another framework, version, device, number of threads or precision than before: not to the same bits")

    def save() -> None:
        if checkpoint is None:
            return
        data = training_state.dump(Checkpoint(session.step, session.arrays(), settings, session.history, backends))
        try:
            write_atomically(Path(checkpoint), data)
        except OSError as error:
            # A disk that is full now may not be so at the next one; the training is worth more.
            tell(f"the checkpoint {str(checkpoint)!r} cannot be written: {reason(error)}")

    def network_so_far() -> StyleNetwork:
        about = {
            "isostyle": __version__,
            "recipe": as_json(recipe),
            "steps": session.step,
            "style": {"sha256": settings["style_sha256"], "size": [height, width]},
            "start": {"name": first.name, "parameters_sha256": first.digest},
            "loss_network": {"name": chosen.network.name, "sha256": chosen.digest},
            "photographs": {
                "used": len(used),
                "held_out": len(looked_at),
                # Those that were found broken before the first step. Which others are met, and when, is not the recipe's.
                "skipped": len(folder.skipped) + len(held) - len(looked_at),
                "sha256": settings["photographs_sha256"],
            },
            "backends": backends,
            "versions": versions(),
        }
        arrays = {key: each["image"] for key, each in session.arrays().items()}
        return StyleNetwork(
            recipe.network, arrays, encodable(name or style_name(style)), thumbnail(picture), about, session.history
        )

    began = session.step
    try:
        crops = Cutter(used, recipe.crop, recipe.batch, recipe.seed, skip).steps(session.step)
        while session.step < recipe.steps:
            look = (session.step + 1) % every == 0 or session.step + 1 == recipe.steps
            photographs_now = next(crops)
            with framework_failures(framework.name, f"{recipe.batch} photographs of {recipe.crop}x{recipe.crop}"):
                event, seen = session.advance(photographs_now, look)
            if look:
                save()
            if callback:
                callback(Progress(event, recipe.steps, seen, session.samples if look and looked_at else None))
    except KeyboardInterrupt as error:
        save()
        raise TrainingInterrupted(network_so_far(), session.step) from error
    except (InputError, FrameworkFailure):  # the photographs went away, or the memory
        if session.step > began:
            save()
        raise
    return network_so_far()


@contextlib.contextmanager
def framework_failures(framework: str, at: str) -> Iterator[None]:
    """What a framework raises while this lasts becomes one sentence.

    Raises:
        FrameworkFailure: instead of it.
    """
    try:
        yield
    except IsostyleError:
        raise
    except Exception as error:
        raise failure(framework, at, error, LESS_MEMORY) from error


class Session:
    """A training that goes on: its state, its history, and photographs that it is not trained on."""

    def __init__(
        self, trainer: Trainer, looked_at: Sequence[Array], state: dict[str, State], history: list[dict[str, float]]
    ) -> None:
        self.trainer, self.looked_at, self.state, self.history = trainer, looked_at, state, history

    @property
    def step(self) -> int:
        """Updates so far."""
        return steps_of(self.state)

    def advance(self, photographs: Sequence[Array], look: bool) -> tuple[TrainingEvent, float | None]:
        """One step, and if asked to ``look`` the median total of the photographs that are not trained on, after it.

        State and history change together, at the end: an interruption falls before or after a step.

        Raises:
            NonFiniteTraining: a loss, a gradient or a parameter is no longer finite; nothing has changed.
        """
        following, event = self.trainer.step(self.state, photographs)
        row = {"step": event.step, "learning_rate": event.learning_rate, **event.terms}
        seen = None
        if look and self.looked_at:
            tensors = self.trainer.parameters(following)
            seen = median(self.trainer.losses(tensors, each)["total"] for each in self.looked_at)
            row["held_out"] = seen
            require_finite({"the median total of held-out photographs": seen}, event.step)
        rows = [row] if look or event.step % HISTORY_EVERY == 0 else []
        self.state, self.history = following, [*self.history, *rows]
        return event, seen

    def arrays(self) -> dict[str, dict[str, Array]]:
        """The state as NumPy arrays, by parameter."""
        array = self.trainer.transform.array
        return {key: {each: array(value[each]) for each in training_state.TENSORS} for key, value in self.state.items()}

    def samples(self) -> list[tuple[Image.Image, Image.Image]]:
        """The photographs that are not trained on, as they go in and come out."""
        transform, tensors = self.trainer.transform, self.trainer.parameters(self.state)
        made = (transform.array(transform.apply(tensors, transform.tensor(each))) for each in self.looked_at)
        return [(arrays.to_picture(each), arrays.to_picture(one)) for each, one in zip(self.looked_at, made, strict=True)]


def first_of(start: str | os.PathLike[str] | StyleNetwork | None, recipe: TrainingRecipe) -> StyleNetwork:
    """What a training begins with.

    Raises:
        InputError: there is no such network, or it is of another size than the recipe's.
    """
    if start is None:
        return StyleNetwork(recipe.network, first_parameters(recipe.network, recipe.seed), "random", b"", {}, [])
    found = start if isinstance(start, StyleNetwork) else style_network.find(os.fspath(start))
    if found.network != recipe.network:
        sizes = [f"{'-'.join(map(str, one.widths))} and {one.blocks} blocks" for one in (found.network, recipe.network)]
        raise InputError(f"a training of {sizes[1]} cannot start from {found.name!r}, which has {sizes[0]}")
    return found


def held_out(photographs: int, seed: int) -> frozenset[int]:
    """The numbers of the photographs that are kept out of a training."""
    count = min(HELD_OUT, int(HELD_OUT_SHARE * photographs))
    return frozenset(int(i) for i in np.random.RandomState([seed, 0]).permutation(photographs)[:count])


def style_name(style: ImageLike) -> str:
    return Path(style).stem if isinstance(style, (str, Path)) else "style"


def encodable(name: str) -> str:
    """``name`` with a question mark for each byte that is not UTF-8: old archives have such file names, JSON must not."""
    return name.encode("utf-8", "replace").decode()


def as_json(recipe: TrainingRecipe) -> dict[str, Any]:
    """A recipe as plain JSON."""
    losses = {"digest": recipe.losses.digest, **recipe.losses.as_dict()}
    plain: dict[str, Any] = json.loads(json.dumps({**asdict(recipe), "losses": losses}))
    return plain


def require_same(before: Mapping[str, Any], now: Mapping[str, Any], name: str) -> None:
    """Raises InputError if a training cannot go on because something is not as it was; the number of steps may differ."""
    had, wanted = before.get("recipe"), now["recipe"]
    if difference := next(differences(had, wanted, ""), None):
        what, old, new = difference
        raise InputError(f"{name!r} was trained with {what} {shown(old)}, not {shown(new)}; take the same, or begin anew")
    for key, text in WHAT_STAYS.items():
        if before.get(key) != now[key]:
            raise InputError(f"{name!r} was trained with {text}; take the same, or begin anew")


def differences(had: Any, wanted: Any, place: str) -> Iterator[tuple[str, Any, Any]]:
    """The values of two tables that differ: what they are, and both; without the number of steps and digests of the rest."""
    if not (isinstance(had, dict) and isinstance(wanted, dict)):
        if had != wanted:
            yield place, had, wanted
        return
    for key in wanted:
        if (place, key) not in (("", "steps"), ("losses", "digest")):
            yield from differences(had.get(key), wanted[key], f"{place}.{key}" if place else key)
