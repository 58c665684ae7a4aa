"""Peak memory and seconds of a style network on large pictures, and the numbers in core/style_networks/memory_plan.py.

    python scripts/style_memory.py [--backends torch] [--megapixels 6,24] [--tile auto]
    python scripts/style_memory.py --model [--write docs/style-networks.md]     # bytes for each byte of maps

The network is random and of the size of those that ship; memory and time do not depend on its numbers, nor on the picture's.
Each measurement has a process of its own. Memory is its largest resident size, less what it was when the network was ready.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import click
from tables import markdown, publish

ASPECT = 1.5
MEGA = 1e6
#: Sides of the pictures that --model computes whole, and of its tiles.
WHOLE_SIDES = (512, 1024)
TILE_SIDES = (256, 512)


def measure(backend: str, size: tuple[int, int], threads: int, tile: str, limit: str | None) -> dict[str, Any]:
    """One picture in this process; prints nothing."""
    import numpy as np
    from PIL import Image

    from isostyle.style_networks.apply import Applier
    from isostyle.style_networks.file import StyleNetwork
    from isostyle.style_networks.trainer import first_parameters
    from isostyle.system import allocation, memory
    from isostyle.transform_network import NARROW

    allocation.keep_freed_memory()  # as the program does
    style = StyleNetwork(NARROW, first_parameters(NARROW, 0), {"random": b""}, {}, [])
    Image.init()
    applier = Applier(style, backend=backend, threads=threads, tile=tile, max_memory=limit)
    applier(Image.new("RGB", (64, 64)))
    before = memory.resident()
    pixels = np.random.RandomState(0).randint(0, 256, (*size, 3), np.uint8)
    picture = Image.fromarray(pixels)
    del pixels
    began = time.perf_counter()
    made = applier(picture)
    return {
        "seconds": time.perf_counter() - began,
        "start": before,
        "peak": (memory.peak() or 0) - before,
        "pixels": size[0] * size[1],
        "tile": made.manifest["output"]["tile"],
        "estimate": made.manifest["output"]["estimated_memory_bytes"],
    }


def run(backend: str, size: tuple[int, int], options: list[str]) -> dict[str, Any]:
    """:func:`measure` in a process of its own."""
    command = [sys.executable, __file__, "--one", backend, *map(str, size), *options]
    answer = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    found: dict[str, Any] = json.loads(answer.stdout.splitlines()[-1])
    return found


@click.command()
@click.option("--backends", default="torch,mxnet,paddle,onnx", show_default=True)
@click.option("--megapixels", default="6,24", show_default=True)
@click.option("--threads", default=2, show_default=True)
@click.option("--tile", default="auto", show_default=True)
@click.option("--max-memory", default="3GiB", show_default=True, help="For --tile auto.")
@click.option("--model", is_flag=True, help="Measure what core/style_networks/memory_plan.py says of each backend.")
@click.option("--write", type=click.Path(exists=True, path_type=Path), help="Put the table between the marks in this file.")
@click.option("--one", nargs=3, hidden=True, help="Measure this backend, height and width in this process and print JSON.")
def main(
    backends: str,
    megapixels: str,
    threads: int,
    tile: str,
    max_memory: str,
    model: bool,
    write: Path | None,
    one: tuple[str, str, str] | None,
) -> None:
    """Measure each backend at each size and print a Markdown table."""
    limit = max_memory if tile == "auto" else None
    if one:
        click.echo(json.dumps(measure(one[0], (int(one[1]), int(one[2])), threads, tile, limit)))
        return
    options = ["--threads", str(threads)]
    if model:
        publish(model_table(backends.split(","), options), "style-memory-model", write)
        return
    options += ["--tile", tile, "--max-memory", max_memory]
    rows = []
    for backend in backends.split(","):
        for megapixel in megapixels.split(","):
            height = round((float(megapixel) * MEGA / ASPECT) ** 0.5)
            width = round(height * ASPECT)
            found = run(backend, (height, width), options)
            rows.append(
                [
                    backend,
                    f"{height}x{width}",
                    str(found["tile"] or "whole"),
                    f"{found['seconds']:.1f}",
                    f"{found['seconds'] / (found['pixels'] / MEGA):.2f}",
                    f"{found['peak'] / MEGA:.0f} MB",
                    f"{found['estimate'] / MEGA:.0f} MB",
                    f"{found['peak'] / found['pixels']:.0f}",
                ]
            )
    header = [
        "backend",
        "height x width",
        "tile",
        "seconds",
        "a megapixel",
        "peak beyond start-up",
        "estimated",
        "bytes a pixel",
    ]
    bound = f", at most {max_memory}" if limit else ""
    note = f"Channels 16, 32, 64, five blocks (as those that ship); float32, {threads} threads, `--tile {tile}`{bound}."
    click.echo(f"{note}\n\n{markdown(header, rows)}")


def model_table(backends: list[str], options: list[str]) -> str:
    """By backend: what a pixel more of a whole picture, and of a tile, costs, over the bytes of the maps that are counted."""
    from isostyle.style_networks.memory_plan import PILLOW_BYTES, WHOLE_BYTES, Demand, kept_values, most
    from isostyle.transform_network import NARROW

    rows = []
    for backend in backends:
        small, large = (run(backend, (side, side), [*options, "--tile", "off"]) for side in WHOLE_SIDES)
        a_pixel = (large["peak"] - small["peak"]) / (large["pixels"] - small["pixels"])
        one, other = (Demand(NARROW, backend, "float32").bytes((side, side), None) for side in WHOLE_SIDES)
        maps = ((other - one) / (large["pixels"] - small["pixels"]) - PILLOW_BYTES) / most(WHOLE_BYTES, backend)
        rest = large["peak"] - a_pixel * large["pixels"]
        side = 2 * TILE_SIDES[-1]
        fine, coarse = (run(backend, (side, side), [*options, "--tile", str(tile)]) for tile in TILE_SIDES)
        a_tile_pixel = (coarse["peak"] - fine["peak"]) / (TILE_SIDES[1] ** 2 - TILE_SIDES[0] ** 2)
        largest = 4 * max(NARROW.widths[1], NARROW.widths[0], NARROW.widths[2] / 4)
        beside = coarse["peak"] - a_tile_pixel * TILE_SIDES[1] ** 2 - (4 * kept_values(NARROW) + PILLOW_BYTES) * side**2
        rows.append(
            [
                backend,
                f"{a_pixel:.0f} B",
                f"{a_pixel / maps:.2f}",
                f"{rest / MEGA:.0f} MB",
                f"{a_tile_pixel:.0f} B",
                f"{a_tile_pixel / largest:.1f}",
                f"{beside / MEGA:.0f} MB",
            ]
        )
    header = ["backend", "a pixel, whole", "of its maps", "without any", "a pixel of a tile", "of its largest map", "beside"]
    return markdown(header, rows)


if __name__ == "__main__":
    main()
