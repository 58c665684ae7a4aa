"""Resident memory of a process in which pictures of many sizes go through a style network, one after another.

    python scripts/many_sizes.py [--backends torch] [--pictures 2000] [--max-memory 1GB] [--csv sizes.csv] [--plot sizes.png]

No two pictures in a row are of one size, and there are more sizes than any cache of a framework holds. Memory must level off:
the printed table compares what was resident at the half with what was at the end. Each backend has a process of its own.
"""

from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path

import click
from tables import markdown

#: Sides of the pictures, in pixels.
SIDES = 150, 400
#: What is printed of a curve: the highest of so many pictures, since memory goes up and down with every size.
WINDOW = 100
MEGA = 1e6


def measure(backend: str, pictures: int, limit: str | None, program: bool) -> None:
    """In this process: print the resident size before the first picture and after each, in bytes, and the peak."""
    import numpy as np

    from isostyle.style_networks.apply import Applier
    from isostyle.system import allocation, memory

    if program:
        allocation.keep_freed_memory()
    random = np.random.RandomState(0)
    applier = Applier("wave", backend=backend, threads=1, max_memory=limit)
    print(memory.resident(), flush=True)
    for _ in range(pictures):
        height, width = random.randint(*SIDES, 2)
        applier(random.randint(0, 256, (height, width, 3), np.uint8))
        print(memory.resident(), flush=True)
    print(memory.peak())


def curve(backend: str, options: list[str]) -> tuple[list[float], float]:
    """:func:`measure` in a process of its own, in megabytes."""
    answer = subprocess.run(
        [sys.executable, __file__, "--one", backend, *options], check=True, stdout=subprocess.PIPE, text=True
    )
    *found, peak = (int(line) / MEGA for line in answer.stdout.split())
    return found, peak


@click.command()
@click.option("--backends", default="torch,mxnet,paddle", show_default=True)
@click.option("--pictures", default=2000, show_default=True)
@click.option("--max-memory", help="Of the whole process, as 1GB.")
@click.option("--program", is_flag=True, help="Keep freed memory, as the command line does; a library does not.")
@click.option(
    "--csv", "table", type=click.Path(path_type=Path), help="Write a row for each picture: megabytes of each backend."
)
@click.option("--plot", type=click.Path(path_type=Path), help="Draw the curves.")
@click.option("--one", hidden=True)
def main(
    backends: str,
    pictures: int,
    max_memory: str | None,
    program: bool,
    table: Path | None,
    plot: Path | None,
    one: str | None,
) -> None:
    """Measure each backend, and print a Markdown table."""
    if one:
        measure(one, pictures, max_memory, program)
        return
    options = ["--pictures", str(pictures), *(["--max-memory", max_memory] if max_memory else []), *["--program"] * program]
    curves, rows = {}, []
    for backend in backends.split(","):
        found, peak = curve(backend, options)
        curves[backend] = found
        half, end = (max(found[:stop][-WINDOW:]) for stop in (len(found) // 2, len(found)))
        rows.append([backend, *(f"{value:.0f} MB" for value in (found[0], half, end, end - half, peak))])
    header = ["backend", "before", f"after {pictures // 2}", f"after {pictures}", "growth", "peak"]
    click.echo(markdown(header, rows))
    if table:
        with table.open("w", newline="") as file:
            csv.writer(file).writerows([["picture", *curves], *zip(range(pictures + 1), *curves.values(), strict=True)])
    if plot:
        draw(curves, plot)


def draw(curves: dict[str, list[float]], path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 3), layout="constrained")
    for backend, values in curves.items():
        axes.plot(values, label=backend, linewidth=0.8)
    axes.set(xlabel="pictures, each of another size", ylabel="resident, MB", ylim=(0, None))
    axes.legend(loc="lower right")
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    main()
