"""``isostyle.train``: a network for one style or many, from style images and a folder of photographs."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from PIL import Image

from isostyle import registry
from isostyle._version import __version__
from isostyle.checks import plain, require_count
from isostyle.errors import FrameworkFailure, InputError, Sent
from isostyle.images import arrays, decode
from isostyle.images.decode import ImageLike
from isostyle.interface import Array, Precision
from isostyle.registry import Framework
from isostyle.style_networks import checkpoint as training_state
from isostyle.style_networks.checkpoint import Checkpoint
from isostyle.style_networks.file import StyleNetwork, thumbnail
from isostyle.style_networks.photographs import CENTER, Cutter, cut, turns
from isostyle.style_networks.trainer import Trainer, TrainingEvent, TrainingRecipe, require_finite, steps_of
from isostyle.style_networks.training_inputs import HELD_OUT_SHARE, TrainingInputs, read_inputs, require_same
from isostyle.system.files import reason, write_atomically
from isostyle.system.versions import versions
from isostyle.transform_network import is_own

#: What can be done when memory does not suffice.
LESS_MEMORY = "try a smaller --crop, --batch or --style-size"
#: Every so many steps the held-out photographs are looked at, and a checkpoint is written.
EVERY = 200
#: Every so many steps the losses go into the file's history.
HISTORY_EVERY = 50


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


class TrainingInterrupted(Sent, KeyboardInterrupt):
    """Ctrl-C. ``style`` is the network as far as it was trained; a checkpoint was written if one was asked for."""

    def __init__(self, style: StyleNetwork, step: int) -> None:
        super().__init__()
        self.style, self.step = style, step


def train(
    style: ImageLike | Mapping[str, ImageLike],
    photographs: Path | str,
    *,
    recursive: bool = False,
    recipe: TrainingRecipe | None = None,
    name: str | None = None,
    start: str | os.PathLike[str] | StyleNetwork | None = None,
    add: bool = False,
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
        style: anything that :func:`isostyle.stylize` takes as a picture; a mapping of names to such pictures for a network of
            several styles.
        photographs: a folder. Files that are broken or too small for a crop are skipped and named. Up to ten are held out, to
            look at.
        recursive: photographs in folders inside that folder count, too.
        recipe: losses, network, optimizer, crops and steps; the default takes half an hour and more on two cores.
        name: what the style is called [default: the style image's file name].
        start: a style network of the same size whose parameters the training begins with: the name of one that ships, or a
            file. One that paints anything knows how to keep a photograph's shapes, which takes most of the steps to learn.
            [default: random numbers]
        add: leave all that the network ``start`` has as it is, and learn the new style's scales and shifts alone. What is
            returned has its styles and the new ones.
        backend: ``torch``, ``paddle``, ``mxnet``, or ``auto``.
        network: the loss network: ``compact``, ``vgg16``, ``vgg16-padded``, ``vgg19``, or a ``.safetensors`` file.
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
    every = plain(every)
    require_count(every, "number of steps between checkpoints")
    if precision not in ("exact", "fast"):
        raise InputError(f"the precision must be exact or fast, not {precision!r}")
    if resume and checkpoint is None:
        raise InputError("there is no checkpoint to resume from; name it")
    if add and start is None:
        raise InputError("there is no network to add a style to; name it: start")
    path, tell = None if checkpoint is None else Path(checkpoint), log or (lambda line: None)
    styles = named(style, name)
    inputs = read_inputs(recipe, styles, Path(photographs), network, start, add=add, recursive=recursive)
    before = checkpoint_of(path, inputs) if resume and path is not None else None
    framework = registry.start(backend, device, threads)
    for line in (*inputs.lines, str(framework)):
        tell(line)
    training = framework.inside(lambda: Training(inputs, framework, precision, before, path, tell))()
    return training.run(every, callback)


def named(style: ImageLike | Mapping[str, ImageLike], name: str | None) -> Mapping[str, ImageLike]:
    """Style images by the names of their styles.

    Raises:
        InputError: there is none, or ``name`` is to be that of several.
    """
    if not isinstance(style, Mapping):
        return {in_utf8(name or (Path(style).stem if isinstance(style, (str, Path)) else "style")): style}
    if not style or name is not None:
        raise InputError("a network of several styles needs a picture of each; each is called by its key, not by name")
    return {in_utf8(key): value for key, value in style.items()}


def in_utf8(name: str) -> str:
    """A question mark for each byte that is not UTF-8: old archives have such file names, JSON must not."""
    return name.encode("utf-8", "replace").decode()


def checkpoint_of(path: Path, inputs: TrainingInputs) -> Checkpoint:
    """The checkpoint from which a training with these inputs goes on.

    Raises:
        InputError: there is none, or it is of another training, or of more steps.
    """
    shapes = {name: array.shape for name, array in inputs.trained.items()}
    found = training_state.load(path, shapes)
    require_same(found.settings, inputs.settings, str(path))
    if found.step > inputs.recipe.steps:
        raise InputError(f"{str(path)!r} has {found.step} steps already; ask for more than {inputs.recipe.steps}")
    return found


class Training:
    """A training under way: its state, its history, and where both go."""

    def __init__(
        self,
        inputs: TrainingInputs,
        framework: Framework,
        precision: Precision,
        before: Checkpoint | None,
        checkpoint: Path | None,
        tell: Callable[[str], None],
    ) -> None:
        """``before``: what it goes on from. ``checkpoint``: the file that is written."""
        self.inputs, self.framework = inputs, framework
        self.checkpoint, self.tell = checkpoint, tell
        self.looked_at = self.look_at()
        self.trainer = self.trainer_of(precision)
        computes = {**framework.about, "threads": framework.threads, "precision": precision}
        #: What has computed it, one after another. Plain JSON.
        self.backends: list[dict[str, Any]] = [computes]
        self.history: list[dict[str, float]] = []
        if before is None:
            self.state = self.trainer.start(inputs.trained)
            return
        tell(f"going on from step {before.step}")
        self.state, self.history = self.trainer.restored(before.state, before.step), before.history
        self.backends = [*before.backends, *([computes] if computes not in before.backends[-1:] else [])]
        if len(self.backends) > len(before.backends):
            tell("another framework, version, device, number of threads or precision than before: not to the same bits")

    @property
    def step(self) -> int:
        """Updates so far."""
        return steps_of(self.state)

    def look_at(self) -> list[Array]:
        """What is looked at: the center of each held-out photograph that can be decoded, (1, 3, crop, crop). Say which
        photographs are used, and which are not."""
        inputs = self.inputs
        self.tell(f"{len(inputs.used)} photographs, {len(inputs.held_out)} held out, {len(inputs.skipped)} skipped")
        if not inputs.held_out:
            self.tell(f"fewer than {round(1 / HELD_OUT_SHARE)} photographs: none is held out to look at")
        for path, why in inputs.skipped.items():
            self.skip(path, why)
        found = []
        for path in inputs.held_out:
            try:
                found.append(cut(decode.read_rgb(path), CENTER, inputs.recipe.crop, inputs.recipe.zoom))
            except InputError as error:
                self.skip(path, str(error))
        return found

    def skip(self, path: Path, why: str) -> None:
        """Say that a photograph is not used."""
        self.tell(f"skipped {str(path)!r}: {why.removeprefix(repr(str(path))).lstrip()}")

    def trainer_of(self, precision: Precision) -> Trainer:
        """What makes the steps, with the style images and both networks on the device."""
        inputs, backend, device = self.inputs, self.framework.backend, self.framework.device
        losses, network = inputs.recipe.losses, inputs.loss_network
        engine = backend.prepare(network.network, network.cut(losses.taps), device=device, dtype="float32", precision=precision)
        transform = registry.transform(backend, inputs.recipe.network, device=device, dtype="float32")
        largest = max(style.size for style in inputs.styles.values())
        with self.framework.failures("a style image of {}x{}".format(*largest), LESS_MEMORY):
            pictures = (arrays.resize(style.picture, *style.size) for style in inputs.styles.values())
            styles = [arrays.to_array(picture, "float32") for picture in pictures]
            return Trainer(inputs.recipe, transform, engine, styles, inputs.fixed)

    def run(self, every: int, callback: Callable[[Progress], None] | None) -> StyleNetwork:
        """Make the steps that are left. Write a checkpoint after every so many, and where the training stops.

        Raises:
            InputError, NonFiniteTraining, FrameworkFailure, TrainingInterrupted: as :func:`train`.
        """
        first = self.step
        try:
            self.make_steps(every, callback)
        except KeyboardInterrupt as error:
            self.save()
            raise TrainingInterrupted(self.network(), self.step) from error
        except (InputError, FrameworkFailure):  # the photographs went away, or the memory
            if self.step > first:
                self.save()
            raise
        return self.network()

    def make_steps(self, every: int, callback: Callable[[Progress], None] | None) -> None:
        """The loop: crops of photographs, a step, a checkpoint now and then, the callback."""
        recipe = self.inputs.recipe
        at = f"{recipe.batch} photographs of {recipe.crop}x{recipe.crop}"
        crops = Cutter(self.inputs.used, recipe, self.skip).steps(self.step)
        while self.step < recipe.steps:
            photographs = next(crops)
            look = (self.step + 1) % every == 0 or self.step + 1 == recipe.steps
            with self.framework.failures(at, LESS_MEMORY), self.framework.own_state():
                turn = turns(recipe.seed, len(self.inputs.styles), self.step * recipe.batch, recipe.batch)
                event, seen = self.advance(photographs, turn, look)
            if look:
                self.save()
            if callback:
                samples = self.framework.inside(self.samples) if look and self.looked_at else None
                callback(Progress(event, recipe.steps, seen, samples))

    def advance(self, photographs: Sequence[Array], styles: Sequence[int], look: bool) -> tuple[TrainingEvent, float | None]:
        """Make one step: paint each photograph in the style of that number. If asked to ``look``, also find the median total of
        the held-out photographs after it.

        State and history change together, at the end: an interruption falls before or after a step.

        Raises:
            NonFiniteTraining: a loss, a gradient or a parameter is no longer finite; nothing has changed.
        """
        following, event = self.trainer.step(self.state, photographs, styles)
        row = {"step": event.step, "learning_rate": event.learning_rate, **event.terms}
        seen = None
        if look and self.looked_at:
            tensors = self.trainer.parameters(following)
            seen = median(self.trainer.losses(tensors, *each)["total"] for each in self.held_out())
            row["held_out"] = seen
            require_finite({"the median total of held-out photographs": seen}, event.step)
        rows = [row] if look or event.step % HISTORY_EVERY == 0 else []
        self.state, self.history = following, [*self.history, *rows]
        return event, seen

    def samples(self) -> list[tuple[Image.Image, Image.Image]]:
        """The held-out photographs as they go in and come out."""
        transform, tensors = self.trainer.transform, self.trainer.parameters(self.state)
        found = []
        for photograph, style in self.held_out():
            made = transform.apply(self.trainer.painting(tensors, style), transform.tensor(photograph))
            found.append((arrays.to_picture(photograph), arrays.to_picture(transform.array(made))))
        return found

    def held_out(self) -> list[tuple[Array, int]]:
        """What is looked at, each with the number of a style: every photograph, and every style."""
        styles, photographs = len(self.inputs.styles), len(self.looked_at)
        return [(self.looked_at[i % photographs], i % styles) for i in range(max(styles, photographs))]

    def arrays(self) -> dict[str, dict[str, Array]]:
        """The state as NumPy arrays, by parameter."""
        array = self.trainer.transform.array
        with self.framework.own_state():
            return {name: {key: array(value[key]) for key in training_state.TENSORS} for name, value in self.state.items()}

    def save(self) -> None:
        """Write the checkpoint, if there is to be one."""
        if self.checkpoint is None:
            return
        found = Checkpoint(self.step, self.arrays(), self.inputs.settings, self.history, self.backends)
        try:
            write_atomically(self.checkpoint, training_state.dump(found))
        except OSError as error:
            # A disk that is full now may have room at the next one; the training is worth more.
            self.tell(f"the checkpoint {str(self.checkpoint)!r} cannot be written: {reason(error)}")

    def network(self) -> StyleNetwork:
        """The network as far as it is trained."""
        inputs, settings = self.inputs, self.inputs.settings
        looked_at = len(self.looked_at)
        about = {
            "isostyle": __version__,
            "recipe": settings["recipe"],
            "steps": self.step,
            "styles": {name: {"sha256": style.digest, "size": list(style.size)} for name, style in inputs.styles.items()},
            "start": {"name": inputs.start, "parameters_sha256": inputs.first.digest, **earlier(inputs.first)},
            "loss_network": {"name": inputs.loss_network.network.name, "sha256": inputs.loss_network.digest},
            "photographs": {
                "used": len(inputs.used),
                "held_out": looked_at,
                # Those that were found broken before the first step; which others are met depends on how far it came.
                "skipped": len(inputs.skipped) + len(inputs.held_out) - looked_at,
                "sha256": settings["photographs_sha256"],
            },
            "backends": self.backends,
            "versions": versions(),
        }
        trained = {name: tensors["image"] for name, tensors in self.arrays().items()}
        styles = {name: thumbnail(style.picture) for name, style in inputs.styles.items()}
        made = StyleNetwork(inputs.recipe.network, {**inputs.fixed, **trained}, styles, about, self.history)
        return made if inputs.base is None else added(inputs.base, made)


def earlier(first: StyleNetwork) -> dict[str, Any]:
    """The training and the losses of the network that a training began with; nothing of random numbers."""
    return {"training": first.training, "history": list(first.history)} if first.training else {}


def added(base: StyleNetwork, made: StyleNetwork) -> StyleNetwork:
    """The styles of ``base`` and of ``made``, which has the same parameters but for its scales and shifts."""
    parameters = {
        name: np.concatenate([array, made.parameters[name]]) if is_own(name) else array
        for name, array in base.parameters.items()
    }
    this = {**made.training, "history": list(made.history)}
    training = {**base.training, "added": [*base.training.get("added", []), this]}
    return dataclasses.replace(base, parameters=parameters, styles={**base.styles, **made.styles}, training=training)
