"""``isostyle.stylize`` and ``isostyle.resume``: a whole style transfer as one call, which the command line makes, too."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from isostyle.images.colors import KeepColors
from isostyle.images.decode import ImageLike
from isostyle.interface import Dtype, Precision
from isostyle.recipe import AdamSettings, LbfgsSettings, Level, LineSearch, Pooling, Recipe, StyleSize, Taps
from isostyle.sizes import Size
from isostyle.transfer.checkpoint import load
from isostyle.transfer.descent import Event
from isostyle.transfer.request import CHECKPOINT_EVERY, KEPT, OnDivergence, Saving, request_again, request_for, saving_for
from isostyle.transfer.result import Interrupted, Result, Stopped
from isostyle.transfer.run import carry_out
from isostyle.transfer.styles import StyleLike

__all__ = ["Interrupted", "Result", "Stopped", "resume", "stylize"]


def stylize(
    content: ImageLike,
    style: StyleLike,
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
    style_size: StyleSize | Size | tuple[int, int] | int | None = None,
    style_scale: float | None = None,
    init: ImageLike | None = None,
    keep_colors: KeepColors | None = None,
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
    """Paint ``content`` in the manner of ``style``, or of several.

    Args:
        content: a path, the bytes of a file, a binary file object (read from where it stands), a PIL image, or an array of
            uint8, uint16 or floats in 0..1, shape (H, W), (H, W, 3) or (H, W, 4). A tensor of torch, Paddle or MXNet may also
            be (C, H, W) or (1, C, H, W). All but PIL images keep 16 bits a sample (docs/pictures.md).
        style: likewise; or a list of several, each an image or a pair of one and its weight
            (:mod:`isostyle.transfer.styles`).
        backend: ``torch``, ``paddle``, ``mxnet``, a third party's, or ``auto``: the first that is installed.
        recipe: a published recipe's name, a ``.toml`` file, or a :class:`Recipe`. The next sixteen arguments override parts.
        size: (height, width) in pixels for both images, the length of the longer side, or a :class:`Size`.
        steps: updates of the image; L-BFGS makes whole blocks of them. With a line search, evaluations. Of a pyramid, those at
            the full size.
        content_weight: effective weight of the content terms in the total.
        style_weight: of the style terms (d2l: 1e4).
        tv_weight: of the total variation.
        content_layers: weights by layer, as ``{"conv4_4": 1.0}``.
        style_layers: likewise.
        pooling: ``"max"`` or ``"average"``.
        optimizer: ``"adam"`` or ``"lbfgs"`` with the usual numbers, or settings of your own.
        learning_rate: of the first step.
        line_search: of L-BFGS: ``"none"``, or ``"strong-wolfe"``, which tries step lengths until one is good.
        lbfgs_history: how many updates L-BFGS remembers.
        pyramid: from coarse to fine: levels as (share of height and width, evaluations), smallest first; True for the usual
            ones; False for none. The optimizer becomes L-BFGS with a line search, and the full size gets 40 evaluations unless
            ``steps`` says otherwise. It stays if it is ``"adam"`` or settings, or if the image is clamped.
        style_size: of the style image alone, as ``size`` has it: strokes grow with it. Or ``"own"``, as the content image's;
            ``"content"``, exactly that; ``"equal"``, or refused.
        style_scale: times the size that the recipe gives the style image, 0.25 to 4; not together with a ``style_size`` of
            pixels.
        init: ``"content"``, ``"style"``, ``"noise"``, ``"uniform-noise"``, ``"content+noise"``, or a picture to start from.
        keep_colors: the photograph's: ``"luminance"`` puts its chrominance, ``"histogram"`` the histograms of its channels into
            the result (not into ``Result.image``, which is what was optimized); ``"style"`` and ``"style-cholesky"`` give the
            painting its mean and covariance first (:mod:`isostyle.images.colors`, docs/controls.md).
        seed: of the noise; the same on every backend.
        network: ``"compact"``, ``"vgg16"``, ``"vgg16-padded"`` or ``"vgg19"`` (docs/weights.md), or the path of a
            ``.safetensors`` file.
        dtype: ``"float32"`` or ``"float64"``.
        precision: ``"exact"``, or ``"fast"``: whatever is fastest here, in float32. With Adam the final total is within 2 %
            (docs/fast.md).
        device: ``"auto"``, ``"cpu"``, ``"cuda"``, ``"cuda:1"``, ...
        threads: CPU threads; by default ``OMP_NUM_THREADS``, or all cores. A framework that this process has imported before
            may keep the number that it had (MXNet does).
        tile: ``"auto"``: compute the picture in tiles, to the same numbers, if it does not fit into memory as a whole;
            ``"off"``; or the side of a tile in pixels (docs/large-pictures.md).
        max_memory: of the whole process, as ``"4GiB"`` or in bytes; by default nine tenths of what is free. A history of L-BFGS
            that does not fit is cut.
        checkpoint: a file from which :func:`resume` can go on. It is written every ``checkpoint_every`` evaluations, and when
            ``callback`` raises KeyboardInterrupt. It stays when the run is finished: the caller saves the picture, then removes
            it.
        checkpoint_every: evaluations.
        on_divergence: ``"stop"``; or ``"retry"``: if a loss explodes or is no longer finite, go back to the last good state at
            half the learning rate, up to five times.
        keep: what else to put into the checkpoint, as plain JSON.
        callback: called with an :class:`Event` for each evaluation: first the start's, last the finished picture's, and those
            of a line search's trials, too.
        log: called with a line for each thing that a user should know (the backend that runs, a changed aspect).

    Raises:
        InputError: an argument cannot be used; the message is one sentence. Nothing was computed.
        Stopped: a loss exploded or was no longer finite, or the framework failed; the exception carries the last good picture.
        Interrupted: Ctrl-C; the exception carries the last picture.
    """
    request = request_for(
        content,
        style,
        recipe=recipe,
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
        style_size=style_size,
        style_scale=style_scale,
        init=init,
        network=network,
        seed=seed,
        dtype=dtype,
        precision=precision,
        backend=backend,
        device=device,
        threads=threads,
        tile=tile,
        max_memory=max_memory,
        on_divergence=on_divergence,
        keep_colors=keep_colors,
    )
    saving = saving_for(checkpoint, checkpoint_every, keep)
    return carry_out(request, saving=saving, callback=callback, log=log)


def resume(
    checkpoint: str | os.PathLike[str],
    *,
    content: ImageLike | None = None,
    style: StyleLike | None = None,
    init: ImageLike | None = None,
    network: str | None = None,
    backend: str | None = None,
    device: str | None = None,
    threads: int | None = None,
    max_memory: str | int | None = None,
    callback: Callable[[Event], None] | None = None,
    log: Callable[[str], None] | None = None,
) -> Result:
    """Go on with a run from its checkpoint. The bits are the same as if it had never stopped, if framework, version, device and
    number of threads are; with others, the result is within what the conformance suite allows.

    Args:
        checkpoint: what ``stylize(..., checkpoint=FILE)`` wrote; it is written on.
        content: where the content image is now, if it was moved, or had no file. Its pixels must be the same.
        style: likewise.
        init: likewise.
        network: where the weights are now: a path.
        backend: in place of the one that ran.
        device: likewise.
        threads: likewise.
        max_memory: as :func:`stylize` has it. The tiles are those that were chosen before.
        callback: as :func:`stylize` has it; called for the evaluations that are still to come.
        log: as :func:`stylize` has it.

    Raises:
        InputError: the checkpoint, a picture or an argument cannot be used. Nothing was computed.
        Stopped, Interrupted: as :func:`stylize`.
    """
    before = load(Path(checkpoint))
    was = {name: before.settings[name] for name in KEPT}
    request = request_again(
        before.recipe,
        before.inputs,
        was,
        content=content,
        style=style,
        init=init,
        network=network,
        backend=backend,
        device=device,
        threads=threads,
        max_memory=max_memory,
    )
    saving = Saving(Path(checkpoint), before.settings["checkpoint_every"], before.settings["kept"])
    return carry_out(request, before=before, saving=saving, callback=callback, log=log)
