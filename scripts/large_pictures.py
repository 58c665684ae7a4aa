"""Peak memory and seconds a step of large pictures: the tables in docs/large-pictures.md, and the numbers of memory_plan.py.

    python scripts/large_pictures.py CONTENT STYLE [--backends torch] [--megapixels 6,12,24] [--write docs/large-pictures.md]
    python scripts/large_pictures.py CONTENT STYLE --tile 768       # the same tile for all: what each pixel more costs
    python scripts/large_pictures.py CONTENT STYLE --model          # bytes for each byte of maps, in pictures computed whole

CONTENT and STYLE are resized to each size (aspect 3:2). Each measurement has a process of its own. Memory is its largest
resident size, less what it was when the framework had just been imported; a copy is the picture in float32. A step is the
median of the times between two events: a step of the optimizer with one evaluation.
"""

from __future__ import annotations

import itertools
import json
import statistics
import subprocess
import sys
import time
from typing import Any

import click
from tables import markdown, publish

RECIPE = "d2l"
ASPECT = 1.5
#: Sides of the square pictures that --model computes whole, and in tiles of about the same size.
MODEL_SIDES = (512, 1024)
MEGA = 1e6


def sides(megapixels: float) -> tuple[int, int]:
    """(height, width)."""
    height = round((megapixels * MEGA / ASPECT) ** 0.5)
    return height, round(height * ASPECT)


def measure(
    content: str, style: str, backend: str, size: tuple[int, int], steps: int, threads: int, tile: str, limit: str | None
) -> dict[str, Any]:
    """One run in this process; prints nothing."""
    from PIL import Image

    import isostyle
    from isostyle import registry
    from isostyle.system import allocation, memory

    allocation.keep_freed_memory()  # as the command line does
    registry.load(backend, threads)
    Image.init()
    imported = memory.resident()
    height, width = size
    pictures = [Image.open(path).convert("RGB").resize((width, height)) for path in (content, style)]
    times: list[float] = []
    result = isostyle.stylize(
        *pictures,
        backend=backend,
        recipe=RECIPE,
        size=isostyle.AsIs(),
        steps=steps,
        threads=threads,
        tile=tile,
        max_memory=limit,
        callback=lambda event: times.append(time.perf_counter()),
    )
    seconds = [after - before for before, after in itertools.pairwise(times)]
    whole = memory.peak() or 0
    return {
        "seconds": statistics.median(seconds),
        "imported": imported,
        "whole": whole,
        "peak": whole - imported,
        "copy": 12 * height * width,
        "tile": result.manifest["tile"],
        "estimate": result.manifest["estimated_memory_bytes"],
        "total": result.manifest["losses"]["last"]["total"],
    }


def run(content: str, style: str, backend: str, size: tuple[int, int], options: list[str]) -> dict[str, Any]:
    """:func:`measure` in a process of its own."""
    command = [sys.executable, __file__, content, style, "--one", backend, *map(str, size), *options]
    answer = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    found: dict[str, Any] = json.loads(answer.stdout.splitlines()[-1])
    return found


@click.command()
@click.argument("content")
@click.argument("style")
@click.option("--backends", default="torch,mxnet,paddle", show_default=True)
@click.option("--megapixels", default="6,12,24", show_default=True)
@click.option("--steps", default="2,2,5", show_default=True, help="At each of these sizes; one number is for all.")
@click.option("--threads", default=2, show_default=True)
@click.option("--tile", default="auto", show_default=True)
@click.option("--max-memory", default="6GB", show_default=True, help="For --tile auto.")
@click.option("--model", is_flag=True, help="Measure what core/transfer/memory_plan.py says of each backend.")
@click.option("--write", type=click.Path(exists=True), help="Put the table between the marks in this file.")
@click.option("--one", nargs=3, hidden=True, help="Measure this backend, height and width in this process and print JSON.")
def main(
    content: str,
    style: str,
    backends: str,
    megapixels: str,
    steps: str,
    threads: int,
    tile: str,
    max_memory: str,
    model: bool,
    write: str | None,
    one: tuple[str, str, str] | None,
) -> None:
    """Measure each backend at each size and print a Markdown table."""
    from pathlib import Path

    limit = max_memory if tile == "auto" else None
    if one:
        size = int(one[1]), int(one[2])
        click.echo(json.dumps(measure(content, style, one[0], size, int(steps), threads, tile, limit)))
        return
    options = ["--threads", str(threads)]
    if model:
        publish(model_table(content, style, backends.split(","), options), "memory-model", write and Path(write))
        return
    options += ["--tile", tile, "--max-memory", max_memory]
    sizes = [sides(float(size)) for size in megapixels.split(",")]
    counts = steps.split(",") if "," in steps else [steps] * len(sizes)
    rows = []
    for backend in backends.split(","):
        found = []
        for size, count in zip(sizes, counts, strict=True):
            found.append(run(content, style, backend, size, [*options, "--steps", count]))
            rows.append(row(backend, *size, found[-1]))
            click.echo(" | ".join(rows[-1]), err=True)
        if len(found) > 1:
            first, last = found[0], found[-1]
            growth = (last["peak"] - first["peak"]) / (last["copy"] - first["copy"])
            click.echo(f"{backend}: from the first size to the last, {growth:.1f} copies for each copy", err=True)
    header = [
        "backend",
        "height x width",
        "tile",
        "seconds a step",
        "a megapixel",
        "peak memory",
        "of it, imported framework",
        "estimated beyond that",
        "beyond that, in copies",
    ]
    bound = f", at most {max_memory}" if limit else ""
    adam = f"{', '.join(counts)} steps of Adam"
    note = f"`{RECIPE}`, compact network, float32, {adam}, {threads} threads, `--tile {tile}`{bound}."
    publish(f"{note}\n\n{markdown(header, rows)}", "large-pictures", write and Path(write))


def row(backend: str, height: int, width: int, found: dict[str, Any]) -> list[str]:
    def mega(count: float) -> str:
        return f"{count / MEGA:.0f} MB"

    return [
        backend,
        f"{height}x{width}",
        str(found["tile"] or "whole"),
        f"{found['seconds']:.1f}",
        f"{found['seconds'] / (height * width / MEGA):.2f}",
        mega(found["whole"]),
        mega(found["imported"]),
        mega(found["estimate"]),
        f"{found['peak'] / found['copy']:.1f}",
    ]


def model_table(content: str, style: str, backends: list[str], options: list[str]) -> str:
    """By backend: what a pixel more costs, over the bytes of its maps, and what is left for no pixels."""
    from isostyle.network import COMPACT
    from isostyle.published import find
    from isostyle.transfer.memory_plan import maps_of

    maps = 4 * maps_of(COMPACT, find(RECIPE).taps)
    rows = []
    for backend in backends:
        small, large = (
            run(content, style, backend, (side, side), [*options, "--steps", "2", "--tile", "off"]) for side in MODEL_SIDES
        )
        a_pixel = (large["peak"] - small["peak"]) / ((large["copy"] - small["copy"]) / 12)
        rest = large["peak"] - a_pixel * large["copy"] / 12
        rows.append([backend, f"{a_pixel:.0f} B", f"{maps:.0f} B", f"{a_pixel / maps:.2f}", f"{rest / MEGA:.0f} MB"])
    return markdown(["backend", "a pixel", "its maps", "ratio", "without any pixel"], rows)


if __name__ == "__main__":
    main()
