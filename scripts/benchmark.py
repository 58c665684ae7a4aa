"""Seconds a step and peak memory of each backend: the table in the README.

    python scripts/benchmark.py CONTENT STYLE [--write README.md]

The published recipe `d2l` (300x450, compact network, float32) runs in a process of its own for each backend, in turn, several
rounds; a step is the median over all rounds of the time between two events, after a few to warm up. Memory is the process's
largest resident size, and beside it what it was when the framework had just been imported.
"""

from __future__ import annotations

import json
import platform
import statistics
import subprocess
import sys
import time
from pathlib import Path

import click
from tables import markdown, publish

WARM_UP = 3
MEBIBYTE = 2**20


def measure(content: str, style: str, backend: str, steps: int, threads: int) -> dict[str, object]:
    """One run in this process; prints nothing."""
    import isostyle
    from isostyle import api, registry

    version = registry.load(backend, threads).version()
    imported = api.peak_memory() or 0
    times: list[float] = []
    result = isostyle.stylize(content, style, backend=backend, recipe="d2l", steps=steps + WARM_UP, threads=threads,
                              callback=lambda event: times.append(time.perf_counter()))  # fmt: skip
    seconds = [later - earlier for earlier, later in zip(times[WARM_UP:], times[WARM_UP + 1 :], strict=False)]
    return {"version": version, "seconds": seconds, "imported": imported, "peak": result.manifest["peak_memory_bytes"]}


def processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    widest = next((flag for flag in ("amx_tile", "avx512f", "avx2") if any(flag in line for line in lines)), "")
    return f"{names[0] if names else platform.machine()}{', ' + widest if widest else ''}"


@click.command()
@click.argument("content")
@click.argument("style")
@click.option("--backends", default="torch,mxnet,paddle", show_default=True)
@click.option("--steps", default=20, show_default=True, type=click.IntRange(2), help="Timed steps in each round.")
@click.option("--rounds", default=3, show_default=True)
@click.option("--threads", default=2, show_default=True)
@click.option("--write", type=click.Path(exists=True, path_type=Path), help="Put the table between the marks in this file.")
@click.option("--one", hidden=True, help="Measure this backend in this process and print JSON.")
def main(
    content: str, style: str, backends: str, steps: int, rounds: int, threads: int, write: Path | None, one: str | None
) -> None:
    """Measure each backend and print a Markdown table."""
    if one:
        click.echo(json.dumps(measure(content, style, one, steps, threads)))
        return
    found: dict[str, list[dict[str, object]]] = {name: [] for name in backends.split(",")}
    for _ in range(rounds):
        for name in found:
            command = [
                sys.executable,
                __file__,
                content,
                style,
                "--one",
                name,
                "--steps",
                str(steps),
                "--threads",
                str(threads),
            ]
            answer = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
            found[name].append(json.loads(answer.stdout))
    rows = []
    for name, runs in found.items():
        seconds = [value for run in runs for value in run["seconds"]]
        low, _, high = statistics.quantiles(seconds, n=4)
        rows.append((name, runs[0]["version"], statistics.median(seconds), low, high,
                     max(run["peak"] for run in runs) / MEBIBYTE, max(run["imported"] for run in runs) / MEBIBYTE))  # fmt: skip
    fastest = min(row[2] for row in rows)
    note = (
        f"`d2l`, 300x450, compact network, float32, {threads} threads, {rounds} rounds of {steps} steps; {processor()}, "
        f"Python {platform.python_version()}. Quartiles in brackets."
    )
    header = ["backend", "version", "seconds a step", "against the fastest", "peak memory", "of it, imported framework"]
    body = [
        [
            name,
            str(version),
            f"{median:.3f} ({low:.3f} to {high:.3f})",
            f"{median / fastest:.2f}x",
            f"{peak:.0f} MiB",
            f"{imported:.0f} MiB",
        ]
        for name, version, median, low, high, peak, imported in rows
    ]
    publish(f"{note}\n\n{markdown(header, body)}", "benchmark", write)


if __name__ == "__main__":
    main()
