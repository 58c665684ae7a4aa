"""``isostyle.stylize``: the whole of a style transfer as one call; the command line is a thin layer over it."""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
from PIL import Image

from isostyle import recipe_text, registry, tiles
from isostyle._version import __version__
from isostyle.checks import require_count, require_seed
from isostyle.errors import FrameworkFailure, InputError, IsostyleError
from isostyle.images import arrays, decode, encode
from isostyle.images.decode import ImageLike, describe, read_picture
from isostyle.images.deep import Pixels, Rounded
from isostyle.images.encode import Finished
from isostyle.images.options import QUALITY, PictureOptions
from isostyle.interface import Array, Dtype, Engine, Precision
from isostyle.recipe import (
    NAMED_STARTS,
    AdamSettings,
    LbfgsSettings,
    Level,
    LineSearch,
    Pooling,
    Recipe,
    Size,
    Space,
    Taps,
)
from isostyle.registry import choose_device, failure
from isostyle.system import allocation, memory
from isostyle.system.files import reason, require_folder, sha256, write_atomically
from isostyle.system.versions import versions
from isostyle.tiles import TiledEngine
from isostyle.transfer import checkpoint as run_checkpoint
from isostyle.transfer import memory_plan
from isostyle.transfer.checkpoint import RunCheckpoint
from isostyle.transfer.descent import Diverged, Event, ExplodingLoss, climb
from isostyle.transfer.override import override
from isostyle.transfer.plan import Plan, changed_aspects, fit, plan, start_image
from isostyle.weights import store

MANIFEST_SCHEMA = "isostyle.manifest/1"
#: Evaluations between checkpoints.
CHECKPOINT_EVERY = 50
#: A total has exploded that is so many times the largest of so many first ones. (Adam's first steps, from a photograph whose
#: total is small, may well make it ten times as large.)
EXPLOSION, EXPLOSION_FROM = 1000, 10
#: How often a run that diverged is tried again, and the evaluations between states that it can go back to.
RETRIES, RETRY_EVERY = 5, 10
OnDivergence = Literal["stop", "retry"]


@dataclass(frozen=True)
class Result:
    """A stylized picture and how it came about."""

    #: RGB, 8 bits.
    picture: Image.Image
    #: The same before clipping and rounding, in the recipe's space, shape (1, 3, H, W).
    image: Array
    #: One row per evaluation: step, evaluation, learning_rate, content, style, tv, total, and every term by its name; with a
    #: line search also trial, which is 1 for what it tried and did not take.
    history: list[dict[str, float]]
    #: Settings, digests, versions, time, memory and losses, ready for JSON.
    manifest: dict[str, Any]
    #: Of ``image``.
    space: Space = "normalized"
    #: The content image's transparency, mode L, of the picture's size; None if it has none.
    alpha: Image.Image | None = None
    #: What was worth keeping of its EXIF.
    exif: bytes | None = None

    @property
    def finished(self) -> Finished:
        """The picture with all that a file of it may hold."""
        return Finished(self.picture, Rounded(self.image, self.space), self.alpha, self.exif)

    def save(
        self, path: str | os.PathLike[str], *, bits: int = 8, alpha: str = "keep", quality: int = QUALITY, strip: bool = False
    ) -> None:
        """Write the picture, whole or not at all, with sRGB's profile and the content image's EXIF (docs/pictures.md). A file
        that is there is overwritten, as PIL's ``save`` does.

        Args:
            path: its suffix says the format.
            bits: of a sample: 8, or 16 (PNG and TIFF).
            alpha: ``"keep"``, the content image's transparency, where the format can hold it; or ``"drop"``.
            quality: of JPEG, WebP and AVIF, 1 to 100.
            strip: without the EXIF.

        Raises:
            InputError: an argument cannot be used, or there is no such folder.
            OSError, ValueError: it cannot be written.
        """
        require_folder(Path(path))
        encode.save(self.finished, Path(path), PictureOptions(alpha, bits, quality, strip))


class Stopped(IsostyleError):
    """The run ended early: a loss exploded or was no longer finite, or the framework failed. ``result`` holds the last good
    picture, or is None if there was none yet; ``good`` is where the run stood then, if that was to be kept."""

    def __init__(self, cause: IsostyleError, result: Result | None, good: RunCheckpoint | None = None) -> None:
        super().__init__(str(cause))
        self.result, self.good = result, good


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
    size: Size | tuple[int, int] | int | None = None,
    steps: int | None = None,
    content_weight: float | None = None,
    style_weight: float | None = None,
    tv_weight: float | None = None,
    content_layers: Taps | Mapping[str, float] | None = None,
    style_layers: Taps | Mapping[str, float] | None = None,
    pooling: Pooling | None = None,
    optimizer: str | AdamSettings | LbfgsSettings | None = None,
    learning_rate: float | None = None,
    line_search: LineSearch | None = None,
    lbfgs_history: int | None = None,
    pyramid: bool | Sequence[Level | tuple[float, int]] | None = None,
    init: ImageLike | None = None,
    seed: int = 0,
    network: str = "compact",
    dtype: Dtype = "float32",
    precision: Precision = "exact",
    device: str = "auto",
    threads: int | None = None,
    tile: str | int = "auto",
    max_memory: str | int | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    checkpoint_every: int = CHECKPOINT_EVERY,
    on_divergence: OnDivergence = "stop",
    keep: Mapping[str, Any] | None = None,
    callback: Callable[[Event], None] | None = None,
    log: Callable[[str], None] | None = None,
) -> Result:
    """Paint ``content`` in the manner of ``style``.

    Args:
        content: a path, the bytes of a file, a PIL image, or an array of uint8, uint16 or floats in 0..1, shape (H, W),
            (H, W, 3) or (H, W, 4). Paths and bytes keep 16 bits a sample, and so do by_role (docs/pictures.md).
        style: likewise.
        backend: ``torch``, ``paddle``, ``mxnet``, a third party's, or ``auto``: the first that is installed.
        recipe: a published recipe's name, a ``.toml`` file, or a :class:`Recipe`; the next thirteen arguments override parts.
        size: (height, width) in pixels for both images, the length of the longer side, or a :class:`Size`.
        steps: updates of the image; L-BFGS makes whole blocks of them. With a line search, evaluations. Of a pyramid, those of
            the full size.
        content_weight: effective weight of the content terms in the total.
        style_weight: of the style terms (d2l: 1e4).
        tv_weight: of the total variation.
        content_layers: weights by layer, as ``{"conv4_4": 1.0}``.
        style_layers: likewise.
        pooling: ``"max"`` or ``"average"``.
        optimizer: ``"adam"`` or ``"lbfgs"``, with the numbers that they usually have, or settings of your own.
        learning_rate: of the first step.
        line_search: of L-BFGS: ``"none"``, or ``"strong-wolfe"``, which tries lengths until one is good.
        lbfgs_history: how many updates L-BFGS remembers.
        pyramid: from coarse to fine: levels as (share of height and width, evaluations), smallest first, or True for the usual
            ones; False for none. The optimizer becomes L-BFGS with a line search, and the full size has 40 evaluations if
            ``steps`` does not say otherwise, unless the optimizer is ``"adam"`` or settings, or the image is clamped.
        init: ``"content"``, ``"style"``, ``"noise"``, ``"uniform-noise"``, ``"content+noise"``, or a picture to start from.
        seed: of the noise; the same on every backend.
        network: ``"compact"``, ``"vgg19"`` or ``"vgg16"`` (see docs/weights.md), or a path of a ``.safetensors`` file.
        dtype: ``"float32"`` or ``"float64"``.
        precision: ``"exact"``, or ``"fast"``: whatever is fastest here, in float32; with Adam the final total is within 2 %
            (docs/fast.md).
        device: ``"auto"``, ``"cpu"``, ``"cuda"``, ``"cuda:1"``, ...
        threads: CPU threads; by default ``OMP_NUM_THREADS``, or all cores. A framework that this process has imported
            before may keep the number that it had (MXNet does).
        tile: ``"auto"``: the picture is computed in tiles, to the same numbers, if it does not fit into memory as a whole;
            ``"off"``; or the side of a tile in pixels (docs/large-pictures.md).
        max_memory: of the whole process, as ``"4GiB"`` or in bytes; by default nine tenths of what is free. A history of L-BFGS
            that does not fit is cut.
        checkpoint: a file from which :func:`resume` can go on; written every ``checkpoint_every`` evaluations, and when
            ``callback`` raises KeyboardInterrupt. It stays when the run is finished, until whoever called has saved the picture
            and removes it.
        checkpoint_every: evaluations.
        on_divergence: ``"stop"``, or ``"retry"``: if a loss explodes or is no longer finite, go on from the last good state at
            half the learning rate, up to five times.
        keep: what else to put into the checkpoint, for whoever goes on with it; plain JSON.
        callback: called with an :class:`Event` for each evaluation: the start's first, the finished picture's last; a line
            search's trials, too, which are no picture's of the run.
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
        content_layers=content_layers,
        style_layers=style_layers,
        pooling=pooling,
        optimizer=optimizer,
        learning_rate=learning_rate,
        line_search=line_search,
        lbfgs_history=lbfgs_history,
        pyramid=pyramid,
        start=None if init is None else init if isinstance(init, str) and init in NAMED_STARTS else "image",
    )
    if dtype not in ("float32", "float64"):
        raise InputError(f"the dtype must be float32 or float64, not {dtype!r}")
    if precision not in ("exact", "fast"):
        raise InputError(f"the precision must be exact or fast, not {precision!r}")
    if precision == "fast" and dtype != "float32":
        raise InputError("the precision 'fast' has no float64; leave one of the two out")
    require_seed(seed)
    require_count(checkpoint_every, "number of evaluations between checkpoints")
    inputs = {"content": content, "style": style}
    if settings.start == "image":
        if init is None:
            raise InputError("a recipe that starts from an image needs one: init")
        inputs["init"] = init
    job = Job(settings, inputs, network, seed, dtype, precision, backend, device, threads, tile, max_memory, on_divergence)
    saving = None if checkpoint is None else Saving(Path(checkpoint), checkpoint_every, keep or {})
    return carry_out(job, saving=saving, callback=callback, log=log)


def resume(
    checkpoint: str | os.PathLike[str],
    *,
    content: ImageLike | None = None,
    style: ImageLike | None = None,
    init: ImageLike | None = None,
    network: str | None = None,
    backend: str | None = None,
    device: str | None = None,
    threads: int | None = None,
    max_memory: str | int | None = None,
    callback: Callable[[Event], None] | None = None,
    log: Callable[[str], None] | None = None,
) -> Result:
    """Go on with a run from its checkpoint: to the same bits as if it had never stopped, with the same framework, version,
    device and number of threads; with another, within what the conformance suite allows.

    Args:
        checkpoint: what ``stylize(..., checkpoint=FILE)`` wrote, and goes on writing.
        content: where the content image is now, if it is elsewhere or was none that has a file. Its pixels must be the same.
        style: likewise.
        init: likewise.
        network: likewise; a path.
        backend: in place of the one that ran.
        device: likewise.
        threads: likewise.
        max_memory: as :func:`stylize` has it. The tiles are those that were chosen before.
        callback: as :func:`stylize` has it; called for the evaluations that are still to come.
        log: as :func:`stylize` has it.

    Raises:
        InputError: the checkpoint, a picture or an argument cannot be used. Nothing was computed.
        Stopped: as :func:`stylize`.
        Interrupted: as :func:`stylize`.
    """
    before = run_checkpoint.load(Path(checkpoint))
    was = before.settings
    given: dict[str, ImageLike | None] = {"content": content, "style": style, "init": init}
    inputs = {}
    for role, about in before.inputs.items():
        source = given.get(role) if given.get(role) is not None else about.get("path")
        if source is None:
            raise InputError(f"the {role} image of this run had no file; hand it over again (--{role} FILE)")
        inputs[role] = source
    job = Job(
        before.recipe,
        inputs,
        network or was["network"],
        was["seed"],
        was["dtype"],
        was["precision"],
        backend or was["backend"],
        device or (was["device"] if backend in (None, was["backend"]) else "auto"),
        threads or was["threads"],
        was["tile"] or "off",
        max_memory,
        was["on_divergence"],
    )
    saving = Saving(Path(checkpoint), was["checkpoint_every"], was["kept"])
    return carry_out(job, before=before, saving=saving, callback=callback, log=log)


@dataclass(frozen=True)
class Job:
    """What is to be computed, as :func:`stylize` describes it."""

    recipe: Recipe
    #: By role: content, style, init.
    inputs: Mapping[str, ImageLike]
    network: str
    seed: int
    dtype: Dtype
    precision: Precision
    backend: str
    device: str
    threads: int | None
    tile: str | int
    max_memory: str | int | None
    on_divergence: OnDivergence = "stop"


@dataclass(frozen=True)
class Saving:
    """Where checkpoints go, and how often."""

    path: Path
    every: int
    #: What else is to be kept there: where the command line puts its picture.
    keep: Mapping[str, Any]


def carry_out(
    job: Job,
    *,
    before: RunCheckpoint | None = None,
    saving: Saving | None = None,
    callback: Callable[[Event], None] | None = None,
    log: Callable[[str], None] | None = None,
) -> Result:
    """Do what :func:`stylize` was asked for, from the beginning or from where it stood ``before``."""
    if job.on_divergence not in ("stop", "retry"):
        raise InputError(f"on_divergence must be stop or retry, not {job.on_divergence!r}")
    for left in range(RETRIES, -1, -1):
        try:
            return attempt(job, before, saving, callback, log)
        except Stopped as error:
            if job.on_divergence == "stop" or left == 0 or not isinstance(error.__cause__, Diverged):
                raise
            before = error.good or before
            recipe = slower(before.recipe if before else job.recipe)
            diverged = [*(before.settings["diverged"] if before else []), str(error)]
            if before:
                before = dataclasses.replace(before, recipe=recipe, settings={**before.settings, "diverged": diverged})
            job = dataclasses.replace(job, recipe=recipe)
            if log:
                at = f"evaluation {before.history[-1]['evaluation']}" if before else "the beginning"
                rate = recipe.optimizer.learning_rate
                log(f"{str(error).partition(';')[0]}; once more from {at}, at the learning rate {rate:g}")
    raise AssertionError("the last attempt returns or raises")


def slower(recipe: Recipe) -> Recipe:
    """``recipe`` at half its learning rate."""
    settings = dataclasses.replace(recipe.optimizer, learning_rate=recipe.optimizer.learning_rate / 2)
    return recipe_text.named(dataclasses.replace(recipe, optimizer=settings), recipe)


def attempt(
    job: Job,
    before: RunCheckpoint | None,
    saving: Saving | None,
    callback: Callable[[Event], None] | None,
    log: Callable[[str], None] | None,
) -> Result:
    """As :func:`carry_out`, once."""
    settings, dtype, precision, seed = job.recipe, job.dtype, job.precision, job.seed
    tiles.parse_tile(job.tile)
    if job.max_memory is not None:
        memory.parse(job.max_memory)
    chosen = store.load(job.network)
    if before is not None and chosen.digest != before.settings["network_sha256"]:
        raise InputError(f"the network {job.network!r} is not the one that this run began with")
    # A name that the network does not have is an error before any picture is read.
    parameters = chosen.cut(settings.taps)
    inputs = job.inputs
    pictures: dict[str, Pixels] = {}
    described: dict[str, dict[str, Any]] = {}
    said: list[str] = []
    for role, source in inputs.items():
        found, digest = read_picture(source, f"the {role} image")
        pictures[role] = found.pixels
        described[role] = describe(source, found.pixels, digest)
        said += found.lines
        if role == "content":
            alpha, exif = found.alpha, found.exif
        del found
        if before is not None and described[role]["pixels_sha256"] != before.inputs[role]["pixels_sha256"]:
            name = repr(str(source)) if "path" in described[role] else f"the {role} image"
            raise InputError(f"{name} is not the {role} image that this run began with")

    # Sizes that cannot be are an error before a framework is loaded; some rules ask whether there is a GPU.
    plans = plan(pictures, settings, chosen.network)

    count = registry.default_threads() if job.threads is None else job.threads
    framework = registry.load(job.backend, count)
    place = choose_device(job.device, framework.devices(), framework.name)
    if place != "cpu":
        plans = plan(pictures, settings, chosen.network, gpu=True)
    model = memory_plan.Model(settings, chosen.network, framework.name, dtype, plans["content"].final, plans["style"].final)
    choice = memory_plan.choose(model, job.tile, job.max_memory, on_cpu=place == "cpu")
    settings = choice.recipe
    aspects = [*said, *changed_aspects(pictures, plans)]
    # Small, beside what is to come.
    alpha = None if alpha is None else arrays.crop(arrays.resize(alpha, *plans["content"].scaled), *plans["content"].final)
    stages: list[tuple[Recipe, dict[str, Plan]]] = []
    for share, recipe_of_level in settings.levels:
        try:
            plans_of_level = plan(pictures, settings, chosen.network, gpu=place != "cpu", share=share)
        except InputError as error:
            aspects.append(f"the level {share:g} of the pyramid is left out: {error}")
            continue
        stages.append((recipe_of_level, plans_of_level))

    def fit_all(stage: int) -> tuple[dict[str, Pixels], dict[str, Array]]:
        """The pictures of a level, and their arrays. Large pictures are let go as soon as they have become something else."""
        plans_of_level, last = stages[stage][1], stage == len(stages) - 1
        fitted = {role: fit(pictures.pop(role) if last else pictures[role], plans_of_level[role]) for role in list(pictures)}
        return fitted, {role: arrays.to_array(picture, dtype, settings.space) for role, picture in fitted.items()}

    fitted, by_role = fit_all(0)
    start = [] if before else [start_image(settings, by_role, fitted, seed, dtype)]
    fitted.clear()

    at = stages[0][1]["content"].final

    def content_and_style(stage: int) -> tuple[Array, Array]:
        """What a level is given when it begins."""
        nonlocal at
        at = stages[stage][1]["content"].final
        found = by_role if stage == 0 else fit_all(stage)[1]
        both = found["content"], found["style"]
        found.clear()
        return both

    levels = [(one, sizes["content"].final, partial(content_and_style, i)) for i, (one, sizes) in enumerate(stages)]
    if log:
        how = f"{place}, {count} thread{'s' * (count > 1)}, {dtype}{', fast' * (precision == 'fast')}"
        log(f"backend {framework.name} {framework.version()} on {how}")
        for line in (*aspects, *choice.lines):
            log(line)
        asked, made = (sum(counts) for counts in zip(*((one.steps, one.updates) for one, _ in stages), strict=True))
        if made != asked:
            log(f"{made} evaluations: the recipe's {asked}, up to a whole block of L-BFGS")
        if before:
            log(f"going on from evaluation {before.history[-1]['evaluation']}")

    def events() -> Iterator[Event]:
        """The run; what the framework raises is told apart from what the callback does."""
        try:
            engine: Engine = framework.prepare(chosen.network, parameters, device=place, dtype=dtype, precision=precision)
            position = before.position if before else None
            if choice.tile is None:
                yield from climb(engine, levels, start, position)
                return
            with allocation.large_blocks(kept=False):
                yield from climb(TiledEngine(engine, chosen.network, choice.tile), levels, start, position)
        except IsostyleError:
            raise
        except Exception as error:
            raise failure(framework.name, "size {}x{}".format(*at), error) from error

    computes = {
        "name": framework.name,
        "version": framework.version(),
        "device": place,
        "dtype": dtype,
        "precision": precision,
    }
    computers = list(before.backends) if before else []
    if {**computes, "threads": count} not in computers[-1:]:
        if before and log:
            log("another framework, version, device or number of threads than before: not to the same bits")
        computers.append({**computes, "threads": count})
    began, last, evaluations = time.monotonic(), None, 0
    earlier = before.seconds if before else 0.0
    history: list[dict[str, float]] = list(before.history) if before else []
    # By height where there are levels.
    first_totals: dict[float | None, list[float]] = {}
    for earlier_row in history:
        if not earlier_row.get("trial"):
            require_sane(earlier_row, first_totals.setdefault(earlier_row.get("height"), []))
    standing: Event | None = None
    problem: IsostyleError | KeyboardInterrupt | None = None

    diverged = before.settings["diverged"] if before else []
    good: RunCheckpoint | None = None

    def here() -> RunCheckpoint | None:
        """Where the run stands, if that can be known."""
        if standing is None or standing.position is None:
            return None
        kept = {
            "seed": seed,
            "network": job.network,
            "network_sha256": chosen.digest,
            "dtype": dtype,
            "precision": precision,
            "backend": framework.name,
            "device": place,
            "threads": count,
            "tile": choice.tile,
            "on_divergence": job.on_divergence,
            "diverged": diverged,
            "checkpoint_every": saving.every if saving else CHECKPOINT_EVERY,
            "kept": dict(saving.keep) if saving else {},
        }
        seconds = earlier + time.monotonic() - began
        # Absolute, for it may be resumed from another folder.
        found = {
            role: {**about, "path": os.path.abspath(about["path"])} if "path" in about else about
            for role, about in described.items()
        }
        return RunCheckpoint(settings, standing.position(), kept, found, list(history), computers, seconds)

    def save() -> None:
        """Write a checkpoint, if that is asked for."""
        if saving is None or (found := here()) is None:
            return
        try:
            write_atomically(saving.path, run_checkpoint.dump(found))
        except OSError as error:
            # A disk that is full now may not be so at the next one; the run is worth more.
            if log:
                log(f"the checkpoint {str(saving.path)!r} cannot be written: {reason(error)}")

    try:
        for event in events():
            evaluations, standing = event.evaluation, event
            counted = {"step": event.step, "evaluation": event.evaluation, "learning_rate": event.learning_rate}
            searched = {"trial": float(event.trial)} if settings.searches else {}
            if settings.pyramid:
                searched |= {"height": event.size[0], "width": event.size[1]}
            history.append({**counted, **searched, **event.losses, **event.terms})
            if not event.trial:
                require_sane(history[-1], first_totals.setdefault(history[-1].get("height"), []))
                last, row = event, history[-1]
            if log and event.note:
                log(event.note)
            if callback:
                callback(event)
            if saving and event.evaluation % saving.every == 0:
                save()
            if job.on_divergence == "retry" and event.evaluation % RETRY_EVERY == 0 and not event.trial:
                good = here()
            standing = None  # from here on it is no longer where the run stands
    except (Diverged, FrameworkFailure) as error:
        problem = error
    except KeyboardInterrupt as error:
        problem = error
        save()
    seconds = earlier + time.monotonic() - began

    result = None
    if last is not None:
        image = last.image()
        # Of this level: those of smaller pictures are not to be compared with it.
        first = next(each for each in history if all(each.get(side) == row.get(side) for side in ("height", "width")))
        manifest = {
            "schema": MANIFEST_SCHEMA,
            "isostyle": __version__,
            "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
            "recipe": {"digest": settings.digest, **settings.as_dict()},
            "network": {"name": chosen.network.name, "weights": job.network, "weights_sha256": chosen.digest},
            "inputs": {role: {**described[role], "resized_to": list(plans[role].final)} for role in inputs},
            "seed": seed,
            "backend": computes,
            "threads": count,
            # If it was interrupted and went on elsewhere.
            **({"backends": computers} if len(computers) > 1 else {}),
            "versions": versions(),
            **({"levels": [{"size": list(size), "steps": one.steps} for one, size, _ in levels]} if settings.pyramid else {}),
            # Of the picture: smaller than what was asked for if a run ends at a coarse level of its pyramid.
            "size": list(last.size),
            "steps_done": last.step,
            # The finished picture's is ours, and not one of those that its source counts.
            "evaluations": evaluations - (last.finished and last.note is None),
            "optimizer_ended": last.note if last.finished else None,
            **({"diverged": diverged} if diverged else {}),
            "stopped_by": None if problem is None else "interrupt" if isinstance(problem, KeyboardInterrupt) else str(problem),
            "seconds": round(seconds, 3),
            "tile": choice.tile,
            "estimated_memory_bytes": choice.estimate,
            "peak_memory_bytes": memory.peak(),
            "losses": {"first": first, "last": row},
        }
        picture = arrays.to_picture(image, settings.space)
        # Of the numbers, and of the 8-bit pixels that they become.
        digest = sha256(np.ascontiguousarray(image).data)
        manifest["result"] = {"image_sha256": digest, "pixels_sha256": decode.pixels_sha256(picture)}
        if alpha is not None and alpha.size != picture.size:
            alpha = arrays.resize(alpha, picture.height, picture.width)
        result = Result(picture, image, history, manifest, settings.space, alpha, exif)
    if isinstance(problem, KeyboardInterrupt):
        raise Interrupted(result) from problem
    if problem is not None:
        raise Stopped(problem, result, good) from problem
    assert result is not None  # a recipe has at least one step
    return result


def require_sane(row: Mapping[str, float], totals: list[float]) -> None:
    """Raises ExplodingLoss if the total of a history's row is far above ``totals``, the first ones at its size; it joins them
    if they are few."""
    total = row["total"]
    if len(totals) < EXPLOSION_FROM:
        totals.append(total)
    elif 0 < EXPLOSION * max(totals) < total:
        raise ExplodingLoss(total, max(totals), int(row["step"]))
