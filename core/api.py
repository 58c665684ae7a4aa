"""``isostyle.stylize``: the whole of a style transfer as one call; the command line is a thin layer over it."""

from __future__ import annotations

import dataclasses
import operator
import os
import platform
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
import PIL
from PIL import Image

from isostyle import images, registry, weights
from isostyle._version import __version__
from isostyle.errors import InputError, IsostyleError
from isostyle.files import read_input, sha256
from isostyle.images import ImageLike
from isostyle.interface import Array, Dtype
from isostyle.network import Network
from isostyle.recipe import NAMED_STARTS, START_NOISE_STD, ExactSize, LongSide, Recipe, find
from isostyle.run import Event, NonFiniteLoss, run

MANIFEST_SCHEMA = "isostyle.manifest/1"
#: A squeezed image is warned of when its aspect changes by more than this share; rounding to whole pixels changes it by less.
ASPECT_TOLERANCE = 0.02
#: Seeds that NumPy's generator takes.
SEEDS = range(2**32)


@dataclass(frozen=True)
class Result:
    """A stylised picture and how it came about."""

    #: RGB, 8 bits.
    picture: Image.Image
    #: The same before clipping and rounding: normalised, shape (1, 3, H, W).
    image: Array
    #: One row per step: step, learning_rate, content, style, tv, total, and every term by its name.
    history: list[dict[str, float]]
    #: Settings, digests, versions, time, memory and losses, ready for JSON.
    manifest: dict[str, Any]


class FrameworkFailure(IsostyleError):
    """A framework raised an error of its own: out of memory, most often."""


class Stopped(IsostyleError):
    """The run ended early: a loss was no longer finite, or the framework failed. ``result`` holds the last good picture, or is
    None if there was none yet."""

    def __init__(self, cause: IsostyleError, result: Result | None) -> None:
        super().__init__(str(cause))
        self.result = result


class Interrupted(KeyboardInterrupt):
    """Ctrl-C. ``result`` holds the last picture, or is None if there was none yet."""

    def __init__(self, result: Result | None) -> None:
        super().__init__()
        self.result = result


def stylize(
    content: ImageLike,
    style: ImageLike,
    *,
    backend: str = "auto",
    recipe: str | Recipe = "isostyle",
    size: ExactSize | LongSide | tuple[int, int] | int | None = None,
    steps: int | None = None,
    content_weight: float | None = None,
    style_weight: float | None = None,
    tv_weight: float | None = None,
    learning_rate: float | None = None,
    init: ImageLike | None = None,
    seed: int = 0,
    network: str = "compact",
    dtype: Dtype = "float32",
    device: str = "auto",
    threads: int | None = None,
    callback: Callable[[Event], None] | None = None,
    log: Callable[[str], None] | None = None,
) -> Result:
    """Paint ``content`` in the manner of ``style``.

    Args:
        content: a path, a PIL image, or an array of uint8 or of floats in 0..1, shape (H, W) or (H, W, 3).
        style: likewise.
        backend: ``torch``, ``paddle``, ``mxnet``, a third party's, or ``auto``: the first that is installed.
        recipe: a published recipe's name, or a :class:`Recipe`; the next six arguments override parts of it.
        size: (height, width) in pixels for both images, or the length of the longer side.
        steps: updates of the image.
        content_weight: effective weight of the content terms in the total.
        style_weight: of the style terms (d2l: 1e4).
        tv_weight: of the total variation.
        learning_rate: of the first step.
        init: ``"content"``, ``"noise"``, ``"content+noise"``, or a picture to start from.
        seed: of the noise; the same on every backend.
        network: ``"compact"``, ``"vgg19"`` or ``"vgg16"`` (see docs/weights.md), or a path of a ``.safetensors`` file.
        dtype: ``"float32"`` or ``"float64"``.
        device: ``"auto"``, ``"cpu"``, ``"cuda"``, ``"cuda:1"``, ...
        threads: CPU threads; by default ``OMP_NUM_THREADS``, or all cores. A framework that this process has imported
            before may keep the number that it had (MXNet does).
        callback: called with an :class:`Event` for each of the ``steps`` + 1 pictures, the start's first.
        log: called with a line for each thing that a user should know (the backend that runs, a changed aspect).

    Raises:
        InputError: an argument cannot be used; the message is one sentence. Nothing was computed.
        Stopped: a loss became non-finite, or the framework failed; the exception carries the last good picture.
        Interrupted: Ctrl-C; the exception carries the last picture.
    """
    settings = override(
        recipe,
        size=size,
        steps=steps,
        content_weight=content_weight,
        style_weight=style_weight,
        tv_weight=tv_weight,
        learning_rate=learning_rate,
        start=None if init is None else init if isinstance(init, str) and init in NAMED_STARTS else "image",
    )
    if dtype not in ("float32", "float64"):
        raise InputError(f"the dtype must be float32 or float64, not {dtype!r}")
    if not isinstance(seed, int) or seed not in SEEDS:
        raise InputError(f"the seed must be a whole number in 0..{SEEDS[-1]}, not {seed!r}")
    chosen = weights.load(network)
    inputs = {"content": content, "style": style}
    if settings.start == "image":
        if init is None:
            raise InputError("a recipe that starts from an image needs one: init")
        inputs["init"] = init
    read = {role: read_picture(source, f"the {role} image") for role, source in inputs.items()}
    pictures = {role: picture for role, (picture, _) in read.items()}
    fitted = fit(pictures, settings, chosen.network)
    arrays = {role: images.to_array(picture, dtype) for role, picture in fitted.items()}
    start = start_image(settings, arrays, seed, dtype)

    count = registry.default_threads() if threads is None else threads
    framework = registry.load(backend, count)
    place = choose_device(device, framework.devices(), framework.name)
    if log:
        log(f"backend {framework.name} {framework.version()} on {place}, {count} thread{'s' * (count > 1)}, {dtype}")
        for line in changed_aspects(pictures, fitted, settings):
            log(line)

    def events() -> Iterator[Event]:
        """The run; what the framework raises is told apart from what the callback does."""
        try:
            engine = framework.prepare(chosen.network, chosen.parameters, device=place, dtype=dtype)
            yield from run(engine, settings, engine.targets(settings, arrays["content"], arrays["style"]), start)
        except IsostyleError:
            raise
        except Exception as error:
            height, width = start.shape[2:]
            text = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise FrameworkFailure(f"{framework.name} failed at size {height}x{width}: {text}") from error

    began, last, history = time.monotonic(), None, []
    problem: IsostyleError | KeyboardInterrupt | None = None
    try:
        for event in events():
            last = event
            history.append({"step": event.step, "learning_rate": event.learning_rate, **event.losses, **event.terms})
            if callback:
                callback(event)
    except (NonFiniteLoss, FrameworkFailure, KeyboardInterrupt) as error:
        problem = error
    seconds = time.monotonic() - began

    result = None
    if last is not None:
        image = last.image()
        manifest = {
            "schema": MANIFEST_SCHEMA,
            "isostyle": __version__,
            "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
            "recipe": {"digest": settings.digest, **settings.as_dict()},
            "network": {"name": chosen.network.name, "weights_sha256": chosen.digest},
            "inputs": {role: describe(inputs[role], *read[role], fitted[role]) for role in inputs},
            "seed": seed,
            "backend": {"name": framework.name, "version": framework.version(), "device": place, "dtype": dtype},
            "threads": count,
            "versions": {
                "python": platform.python_version(),
                "numpy": np.__version__,
                "pillow": PIL.__version__,
                "platform": platform.platform(),
            },
            "steps_done": last.step,
            "stopped_by": None if problem is None else "interrupt" if isinstance(problem, KeyboardInterrupt) else str(problem),
            "seconds": round(seconds, 3),
            "peak_memory_bytes": peak_memory(),
            "losses": {"first": history[0], "last": history[-1]},
        }
        result = Result(images.to_picture(image), image, history, manifest)
    if isinstance(problem, KeyboardInterrupt):
        raise Interrupted(result) from problem
    if problem is not None:
        raise Stopped(problem, result) from problem
    assert result is not None  # a recipe has at least one step
    return result


def override(
    base: str | Recipe,
    *,
    size: ExactSize | LongSide | tuple[int, int] | int | None = None,
    learning_rate: float | None = None,
    **changes: Any,
) -> Recipe:
    """A recipe with some of its values replaced; those that are None stay.

    Raises:
        InputError: there is no such recipe, or a value is out of range.
    """
    found = find(base) if isinstance(base, str) else base
    changes = {name: value for name, value in changes.items() if value is not None}
    if isinstance(size, ExactSize | LongSide):
        changes["size"] = size
    elif size is not None:
        try:
            sides = [operator.index(side) for side in (size if isinstance(size, Sequence) else [size])]
            changes["size"] = LongSide(*sides) if len(sides) == 1 else ExactSize(*sides)
        except TypeError:
            raise InputError(f"the size must be (height, width), or one number for the longer side, not {size!r}") from None
    if learning_rate is not None:
        changes["optimiser"] = dataclasses.replace(found.optimiser, learning_rate=learning_rate)
    return dataclasses.replace(found, **changes)


def read_picture(source: ImageLike, what: str) -> tuple[Image.Image, str | None]:
    """A picture, and the SHA-256 of its file if it has one; the file is read once, so the two belong together."""
    if isinstance(source, str | os.PathLike):
        data = read_input(Path(source))
        return images.decode(data, repr(str(source))), sha256(data)
    return images.read(source, what), None


def fit(pictures: dict[str, Image.Image], settings: Recipe, network: Network) -> dict[str, Image.Image]:
    """Resize each picture as the recipe says; a start picture is given the content's size.

    Raises:
        InputError: a picture is, or would become, too small for the recipe's deepest tap, or far too large.
    """
    least = network.least_side(settings.taps)
    deepest = network.cut(settings.taps)[-1].name
    fitted = {}
    for role, picture in pictures.items():
        owner = pictures["content"] if role == "init" else picture
        height, width = settings.size.fit(owner.height, owner.width)
        if height * width > images.MAX_PIXELS:
            raise InputError(
                f"the size {height}x{width} is more than {images.MAX_PIXELS / 1e6:.0f} megapixels; choose a smaller one"
            )
        for what, shorter in (("is", min(picture.size)), ("would be resized to", min(height, width))):
            if shorter < least:
                shape = f"{picture.height}x{picture.width}" if what == "is" else f"{height}x{width}"
                raise InputError(
                    f"the {role} image {what} {shape} pixels (height x width); {deepest} needs at least {least}x{least}"
                )
        fitted[role] = images.resize(picture, height, width)
    return fitted


def changed_aspects(pictures: dict[str, Image.Image], fitted: dict[str, Image.Image], settings: Recipe) -> list[str]:
    """At most one line, which names the pictures that were squeezed; under a rule that keeps aspects only a start can be."""
    squeezed = [
        f"{role} {picture.height}x{picture.width}"
        for role, picture in pictures.items()
        if (isinstance(settings.size, ExactSize) or role == "init")
        and abs(fitted[role].width / fitted[role].height / (picture.width / picture.height) - 1) > ASPECT_TOLERANCE
    ]
    size = f"{fitted['content'].height}x{fitted['content'].width}"
    return [f"aspect changed: {' and '.join(squeezed)} squeezed to {size} (height x width)"] if squeezed else []


def start_image(settings: Recipe, arrays: dict[str, Array], seed: int, dtype: Dtype) -> Array:
    """The normalised image (1, 3, H, W) that the optimisation starts from."""
    content = arrays["content"]
    if settings.start == "noise":
        return images.noise(content.shape, seed, dtype)
    if settings.start == "content+noise":
        noisy: Array = content + images.noise(content.shape, seed, dtype) * np.asarray(START_NOISE_STD, dtype)
        return noisy
    return arrays["init"] if settings.start == "image" else content


def choose_device(wanted: str, devices: list[str], backend: str) -> str:
    """``auto`` is the best of ``devices``, but for Apple's mps, which has no float64 and is not tested."""
    if wanted == "auto":
        return next(device for device in devices if device != "mps")
    if wanted not in devices:
        raise InputError(f"backend {backend!r} has no device {wanted!r} here; it has {', '.join(devices)}")
    return wanted


def describe(source: ImageLike, picture: Image.Image, digest: str | None, fitted: Image.Image) -> dict[str, Any]:
    """What a manifest says of an input: its file if it has one, the digest of its decoded pixels, and its sizes."""
    return {
        **({"path": str(source), "file_sha256": digest} if digest else {}),
        "pixels_sha256": sha256(picture.tobytes()),
        "size": [picture.height, picture.width],
        "resized_to": [fitted.height, fitted.width],
    }


def peak_memory() -> int | None:
    """Largest resident size that this process has had, in bytes; None where the system does not tell (Windows)."""
    try:
        import resource
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
