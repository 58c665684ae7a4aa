"""The drawings of the page: loss curves of short runs as inline SVG, and their pictures as data URIs.

None of a trace's texts reaches matplotlib. An array that cannot be drawn is a note that says why.
"""

from __future__ import annotations

import base64
import io
import itertools
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from isostyle.conformance.cases import FLOATS
from isostyle.conformance.compare import Comparison, first_dtype
from isostyle.conformance.kinds.kind import of_dtype
from isostyle.conformance.kinds.run import CURVE
from isostyle.conformance.tolerances import EPS
from isostyle.conformance.trace import Trace
from isostyle.images import arrays
from isostyle.interface import Array
from isostyle.network import RGB_MEAN, RGB_STD

if TYPE_CHECKING:
    from markupsafe import Markup

#: The scene whose runs are drawn; of a recipe that has none of it, another one.
SCENE = "picture@compact"
#: The dtype whose pictures are shown: in float64 nothing is left to see.
PICTURE_DTYPE = "float32"
#: Color-blind safe (Okabe and Ito 2008), for the backends in their order; with the markers, 42 can be told apart.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
MARKERS = "os^Dv<>"
ORACLE_COLOR = "#999999"
#: Text and axes are drawn in this color, which then becomes that of the page's text, light or dark.
INK = "#010203"
#: Length of a dash, in line widths. Every backend draws its own stretch of each period, so that equal curves all show.
DASH = 2.5
#: Relative differences below these are drawn on them, 0 among them, which a logarithmic axis has no place for.
FLOORS = {"float32": 1e-10, "float64": 1e-17}
#: Numbers beyond this can be compared, but not drawn.
DRAWABLE = 1e100
#: Sizes that a stranger's trace may have and a page should not.
MAX_LOSSES, MAX_PIXELS, MAX_RUNS = 10_000, 1_000_000, 12
#: A picture is shown as many whole times larger as brings its width closest to this, so that all its pixels are alike.
SHOWN_WIDTH = 192
#: A difference is amplified by the power of ten that brings this share of its values to half of the range of a picture.
AMPLIFIED_SHARE, MAX_EXPONENT = 0.999, 18
SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
#: What an SVG file has and inline SVG does not need.
NOT_INLINE = re.compile(r"<metadata>.*?</metadata>|<style.*?</style>| xmlns(:\w+)?=\"[^\"]*\"|(?<= )xlink:(?=href=)", re.DOTALL)
SVG_IDS = re.compile(r'(?<= id=")|(?<=url\(#)|(?<=href="#)')


class Undrawable(Exception):
    """Why an array cannot be drawn."""


@dataclass(frozen=True)
class Plot:
    """The loss curves of a run in one dtype."""

    dtype: str
    drawing: Markup | None
    #: The largest relative difference of each backend.
    largest: tuple[str, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Picture:
    """A finished picture, and its amplified difference from the oracle's, as data URIs."""

    name: str
    #: On the page, in CSS pixels.
    width: int = 0
    height: int = 0
    source: str = ""
    difference: str = ""
    amplification: str = ""
    note: str = ""


@dataclass(frozen=True)
class Run:
    """A short run of one recipe."""

    recipe: str
    case: str
    plots: tuple[Plot, ...]
    pictures: tuple[Picture, ...]


def runs(comparison: Comparison) -> Iterator[Run]:
    """One compared run of each recipe."""
    chosen: dict[str, str] = {}
    for verdict in comparison.verdicts:
        kind, _, rest = verdict.case.partition("/")
        recipe, _, scene = rest.partition("/")
        if kind == verdict.kind == "run" and (recipe not in chosen or scene == SCENE):
            chosen[recipe] = verdict.case
    for number, (recipe, case) in enumerate(itertools.islice(chosen.items(), MAX_RUNS)):
        judged = {verdict.backend for verdict in comparison.verdicts if verdict.case == case}
        mine = [(i, trace) for i, trace in enumerate(comparison.traces) if trace.name in judged]
        plots = tuple(curves(comparison, mine, case, dtype, f"run{number}-{dtype}") for dtype in FLOATS)
        yield Run(recipe, case, plots, tuple(pictures(comparison.reference, [trace for _, trace in mine], case)))


def numbers(trace: Trace, dtype: str, case: str, point: str, shape: tuple[int, ...] | None = None) -> Array:
    """An array in float64, NaN where a number is beyond what can be drawn.

    Raises:
        Undrawable: it is not there, holds no numbers, or has another shape.
    """
    if (error := trace.said(dtype, case, "error")) is not None:
        raise Undrawable(f"raised {error}")
    array = trace.points.get((dtype, case), {}).get(point)
    if array is None:
        raise Undrawable(f"has no {point!r} of this run")
    if array.dtype.kind not in "fiu":
        raise Undrawable(f"has {array.dtype} for {point!r}, and no numbers")
    if shape is not None and array.shape != shape:
        raise Undrawable(f"has {point!r} of shape {array.shape}, and should have {shape}")
    with np.errstate(all="ignore"):
        wide = array.astype(np.float64)
        return np.where(np.abs(wide) < DRAWABLE, wide, np.nan)


def curves(comparison: Comparison, traces: Sequence[tuple[int, Trace]], case: str, dtype: str, prefix: str) -> Plot:
    """The losses of the oracle and of each trace. ``traces`` come with their places among all, which choose their colors."""
    oracle = comparison.reference
    try:
        expected = numbers(oracle, first_dtype(oracle, case), case, "totals")
        if expected.ndim != 1 or not 0 < expected.size <= MAX_LOSSES or not np.isfinite(expected).any():
            raise Undrawable("has losses that make no curve")
    except Undrawable as error:
        return Plot(dtype, None, (), (f"{oracle.name} {error}",))
    found, largest, notes = {}, [], []
    for i, trace in traces:
        try:
            found[i] = numbers(trace, dtype, case, "totals", expected.shape)
        except Undrawable as error:
            notes.append(f"{trace.name} {error}")
            continue
        if missing := int(np.isnan(found[i]).sum()):
            notes.append(f"{trace.name}: {missing} of {expected.size} losses are not finite")
        apart = relative(found[i], expected)
        if np.isfinite(apart).any():
            largest.append(f"{trace.name} {np.nanmax(apart):.1e}")
    return Plot(dtype, draw(expected, found, len(comparison.traces), dtype, prefix), tuple(largest), tuple(notes))


def relative(found: Array, expected: Array) -> Array:
    """|found - expected| / |expected|, NaN where there is no such number."""
    with np.errstate(all="ignore"):
        apart = np.abs(found - expected) / np.abs(expected)
    return np.where(np.isfinite(apart), apart, np.nan)


def look(i: int, count: int) -> dict[str, Any]:
    """How the line of backend number ``i`` of ``count`` is drawn; -1 is the oracle."""
    if i < 0:
        return {"color": ORACLE_COLOR, "linewidth": 5, "solid_capstyle": "round"}
    dashes = (-i * DASH, (DASH, (count - 1) * DASH)) if count > 1 else "-"
    return {
        "color": COLORS[i % len(COLORS)],
        "marker": MARKERS[i % len(MARKERS)],
        "linewidth": 1.8,
        "markersize": 5,
        "linestyle": dashes,
        "markevery": (i, count),
    }


def draw(expected: Array, found: Mapping[int, Array], count: int, dtype: str, prefix: str) -> Markup:
    """The losses, and under them how far they are off, relative to the oracle's."""
    from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator

    with style():
        figure = new_figure(4.4, 3.7)
        above, below = figure.subplots(2, 1, sharex=True, height_ratios=[1.15, 1])
        figure.subplots_adjust(left=0.14, right=0.985, bottom=0.12, top=0.975, hspace=0.12)
        steps = np.arange(expected.size)
        above.plot(steps, expected, **look(-1, count))
        for i, losses in found.items():
            # Under the dashes a thin whole line, for a curve that lies alone.
            above.plot(steps, losses, color=look(i, count)["color"], linewidth=0.8, alpha=0.6)
            above.plot(steps, losses, **look(i, count))
        # The oracle's range: a broken backend leaves the plot, and does not flatten the others.
        low, high = min(0.0, float(np.nanmin(expected))), float(np.nanmax(expected))
        above.set_ylim(low, low + (1.08 * (high - low) or 1.0))
        above.set_ylabel("loss")
        above.yaxis.set_major_locator(MaxNLocator(5))
        above.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        floor = FLOORS[dtype]
        tolerance = of_dtype(CURVE, dtype).bound(EPS[dtype], expected, {})
        top = 30 * tolerance
        for i, losses in found.items():
            apart = np.maximum(relative(losses, expected), floor)
            top = max(top, 10 * float(np.nanmax(apart, initial=floor)))
            below.plot(steps, apart, **{**look(i, count), "linestyle": "-", "linewidth": 1.1, "markevery": 1})
        below.axhline(tolerance, color=INK, linewidth=1, linestyle=(0, (1, 2)))
        below.annotate("tolerance", (1, tolerance), (-3, 3), ("axes fraction", "data"), "offset points", ha="right", color=INK)
        below.set_yscale("log")
        below.set_ylim(floor / 3, top)
        below.yaxis.set_major_locator(LogLocator(numticks=5))
        below.yaxis.set_major_formatter(FuncFormatter(lambda value, _: power_of_ten(round(math.log10(value)))))
        below.set(xlabel="step", ylabel="relative difference")
        below.xaxis.set_major_locator(MaxNLocator(integer=True))
        for axes in (above, below):
            axes.minorticks_off()
            axes.patch.set_visible(False)
            axes.grid(color=INK, alpha=0.12, linewidth=0.8)
            axes.set_axisbelow(True)
            axes.spines[["top", "right"]].set_visible(False)
        figure.align_ylabels()
        return inline(figure, prefix)


@cache
def key(i: int, count: int) -> Markup:
    """A piece of the line of backend number ``i``, for the legend, which is HTML."""
    with style():
        figure = new_figure(0.5, 0.16)
        axes = figure.add_axes((0, 0, 1, 1))
        axes.plot([0, 0.5, 1], [0, 0, 0], **{**look(i, count), "linestyle": "-", "markevery": [1]})
        axes.set(xlim=(-0.1, 1.1), ylim=(-1, 1))
        axes.set_axis_off()
        return inline(figure, f"key{i}")


def style() -> Any:
    """Matplotlib's settings for inline SVG, whatever the user's own are."""
    import matplotlib

    return matplotlib.rc_context(
        {
            "svg.hashsalt": "isostyle",
            "svg.fonttype": "none",
            "text.usetex": False,
            "font.size": 9,
            "text.color": INK,
            "axes.edgecolor": INK,
            "axes.labelcolor": INK,
            "xtick.color": INK,
            "ytick.color": INK,
        }
    )


def new_figure(width: float, height: float) -> Any:
    # Figure itself, not pyplot: no global state, and no window system is asked for.
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height))
    figure.patch.set_visible(False)
    return figure


def inline(figure: Any, prefix: str) -> Markup:
    """The figure as an element of the page. Its identifiers begin with ``prefix``, so that no two figures share one."""
    from markupsafe import Markup

    file = io.BytesIO()
    figure.savefig(file, format="svg", metadata={"Date": None})
    text = file.getvalue().decode()
    text = NOT_INLINE.sub("", text[text.index("<svg") :])
    return Markup(SVG_IDS.sub(f"{prefix}-", text).replace(INK, "currentColor"))


def power_of_ten(exponent: int) -> str:
    return "10" + str(exponent).translate(SUPERSCRIPT)


def pictures(oracle: Trace, traces: Sequence[Trace], case: str) -> Iterator[Picture]:
    """The oracle's finished picture, and each trace's."""
    try:
        expected = numbers(oracle, first_dtype(oracle, case), case, "image")
        if expected.ndim != 4 or expected.shape[:2] != (1, 3) or not 0 < expected[0, 0].size <= MAX_PIXELS:
            raise Undrawable(f"has an 'image' of shape {expected.shape}, which makes no picture")
        require_finite(expected)
    except Undrawable as error:
        yield Picture(oracle.name, note=f"{oracle.name} {error}.")
        return
    size = shown_size(*expected.shape[2:])
    yield Picture(oracle.name, *size, data_uri(arrays.to_picture(expected)), note="float64")
    for trace in traces:
        try:
            found = numbers(trace, PICTURE_DTYPE, case, "image", expected.shape)
            require_finite(found)
        except Undrawable as error:
            yield Picture(trace.name, note=f"{trace.name} {error}.")
            continue
        yield beside(trace.name, found, expected, size)


def shown_size(height: int, width: int) -> tuple[int, int]:
    """(width, height) on the page."""
    times = max(1, round(SHOWN_WIDTH / width))
    return times * width, times * height


def require_finite(image: Array) -> None:
    if missing := int(np.isnan(image).sum()):
        raise Undrawable(f"has an 'image' with {missing} of {image.size} values that are not finite")


def beside(name: str, found: Array, expected: Array, shown: tuple[int, int]) -> Picture:
    """A picture beside its difference from the expected one."""
    difference = zero_to_one(found) - zero_to_one(expected)
    size = np.abs(difference)
    typical = float(np.quantile(size, AMPLIFIED_SHARE)) or float(size.max())
    exponent = min(max(math.floor(math.log10(0.5 / typical)), 0), MAX_EXPONENT) if typical else 0
    amplified = (0.5 + 10.0**exponent * difference).clip(0, 1)
    picture, other = arrays.to_picture(found), arrays.to_picture(expected)
    changed = int(np.count_nonzero(np.asarray(picture) != np.asarray(other)))
    largest = float(np.abs(found - expected).max())
    note = (
        f"At most {255 * size.max():.2g} steps of 1/255 apart, {largest:.2g} in normalized floats; "
        f"{changed or 'none'} of {found.size} values differ{'s' * (changed == 1)} once rounded to 8 bits."
    )
    return Picture(
        name,
        *shown,
        data_uri(picture),
        data_uri(Image.fromarray(np.rint(255 * amplified).astype(np.uint8))),
        power_of_ten(exponent) if exponent else "1",
        note,
    )


def zero_to_one(image: Array) -> Array:
    """What images.to_picture rounds: (H, W, 3)."""
    pixels: Array = image[0].transpose(1, 2, 0) * np.array(RGB_STD) + np.array(RGB_MEAN)
    return pixels.clip(0, 1)


def data_uri(picture: Image.Image) -> str:
    file = io.BytesIO()
    picture.save(file, "PNG")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()
