"""What `isostyle run --dry-run` says."""

from __future__ import annotations

from collections.abc import Iterator

from isostyle.system.memory import text_of
from isostyle.transfer.estimate import Estimate, LevelEstimate

#: Above so many of them, seconds become minutes, and minutes hours.
MOST = 120


def as_text(found: Estimate, content: str, style: str, picture: str) -> str:
    """What would be done, as `isostyle recipes` says what a recipe is; the arguments are names."""
    lines = [f"{picture} would be made of {content} in the manner of {style}"]
    lines += [f"  {key:<16} {value}" for key, value in rows(found)]
    lines += [f"  * {line}" for line in found.lines]
    return "\n".join([*lines, "nothing was written"])


def rows(found: Estimate) -> Iterator[tuple[str, str]]:
    request, count = found.request, len(found.levels)
    yield "recipe", request.recipe.name
    for number, level in enumerate(found.levels, 1):
        yield f"level {number} of {count}" if count > 1 else "size", level_text(level)
    yield "optimizer", str(request.recipe.optimizer)
    yield "backend", f"{found.computer.removeprefix('backend ')}, {request.dtype}{', fast' * (request.precision == 'fast')}"
    yield "memory", memory_text(found)
    yield "tiles", tiles_text(found)
    yield "time", f"about {duration(found.seconds)}: an estimate, from two steps at each size"


def level_text(level: LevelEstimate) -> str:
    (height, width), (style_height, style_width) = level.content, level.style
    sizes = f"{height}x{width} (height x width), style {style_height}x{style_width}"
    plural = "s" * (level.evaluations > 1)
    return f"{sizes}: {level.evaluations} evaluation{plural} of {duration(level.step)}, {duration(level.seconds)} in all"


def memory_text(found: Estimate) -> str:
    """The plan's estimate, beside what it may be."""
    taken, limit = f"about {text_of(found.choice.estimate)} beyond the program's own", found.choice.limit
    if limit is not None:
        return f"{taken}, of the {text_of(limit)} that it may take"
    return taken if found.free is None else f"{taken}; {text_of(found.free)} are free"


def tiles_text(found: Estimate) -> str:
    if (tile := found.choice.tile) is None:
        return "none: both images as a whole"
    content, style = found.tiles
    return f"of at most {tile}x{tile} pixels: {content} for the content image, {style} for the style image"


def duration(seconds: float) -> str:
    if seconds < MOST:
        return f"{seconds:.2g} s" if seconds < 1 else f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < MOST * 60 else f"{seconds / 3600:.1f} h"
