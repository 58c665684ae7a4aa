"""Seconds a step and peak memory of each backend: the table in the README.

    python scripts/benchmark.py CONTENT STYLE [--write README.md]

The published recipe `d2l` (300x450, float32) runs with the compact network, and with VGG-19 at its full width and random
weights, which take as long as trained ones. Each backend has a process of its own, in turn, several rounds; a step is the
median over all rounds of the time between two events, after a few to warm up. Memory is the process's largest resident size,
and beside it what it was when the framework had just been imported.
"""

from __future__ import annotations

import json
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import click
from tables import markdown, publish

WARM_UP = 3
MEBIBYTE = 2**20
#: VGG-19 takes twelve times as long a step as the compact network, and fewer steps tell as much.
STEPS_SHARE = {"compact": 1.0, "vgg19": 0.3}


def measure(content: str, style: str, backend: str, network: str, steps: int, threads: int) -> dict[str, object]:
    """One run in this process; prints nothing."""
    import isostyle
    from isostyle import memory, registry

    version = registry.load(backend, threads).version()
    imported = memory.peak() or 0
    times: list[float] = []
    result = isostyle.stylize(content, style, backend=backend, network=network, recipe="d2l", steps=steps + WARM_UP,
                              threads=threads, callback=lambda event: times.append(time.perf_counter()))  # fmt: skip
    seconds = [later - earlier for earlier, later in zip(times[WARM_UP:], times[WARM_UP + 1 :], strict=False)]
    return {"version": version, "seconds": seconds, "imported": imported, "peak": result.manifest["peak_memory_bytes"]}


def random_vgg19(folder: Path) -> Path:
    """A file of VGG-19's own table, with weights of no meaning."""
    from isostyle import weights
    from isostyle.conformance.cases import shipped_inputs

    made = shipped_inputs().network("vgg19")
    path = folder / "vgg19.safetensors"
    path.write_bytes(weights.dump(made.network, made.parameters, {}))
    return path


def processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    widest = next((flag for flag in ("amx_tile", "avx512f", "avx2") if any(flag in line for line in lines)), "")
    return f"{names[0] if names else platform.machine()}{', ' + widest if widest else ''}"


@click.command()
@click.argument("content")
@click.argument("style")
@click.option("--backends", default="torch,mxnet,paddle", show_default=True)
@click.option("--networks", default="compact,vgg19", show_default=True)
@click.option("--steps", default=20, show_default=True, type=click.IntRange(2), help="Timed steps in each round.")
@click.option("--rounds", default=3, show_default=True)
@click.option("--threads", default=2, show_default=True)
@click.option("--write", type=click.Path(exists=True, path_type=Path), help="Put the table between the marks in this file.")
@click.option("--one", nargs=2, hidden=True, help="Measure this backend with this network in this process and print JSON.")
def main(
    content: str,
    style: str,
    backends: str,
    networks: str,
    steps: int,
    rounds: int,
    threads: int,
    write: Path | None,
    one: tuple[str, str] | None,
) -> None:
    """Measure each backend and print a Markdown table."""
    if one:
        click.echo(json.dumps(measure(content, style, *one, steps, threads)))
        return
    rows: list[list[str]] = []
    with tempfile.TemporaryDirectory() as folder:
        for network in networks.split(","):
            place = str(random_vgg19(Path(folder))) if network == "vgg19" else network
            count = max(2, round(steps * STEPS_SHARE.get(network, 1.0)))
            rows += compare(content, style, backends.split(","), network, place, count, rounds, threads)
    note = (
        f"`d2l`, 300x450, float32, {threads} threads, {rounds} rounds; `vgg19` with random weights; {processor()}, "
        f"Python {platform.python_version()}. Quartiles in brackets."
    )
    header = [
        "network",
        "backend",
        "version",
        "seconds a step",
        "against the fastest",
        "peak memory",
        "of it, imported framework",
    ]
    publish(f"{note}\n\n{markdown(header, rows)}", "benchmark", write)


def compare(
    content: str, style: str, backends: list[str], network: str, place: str, steps: int, rounds: int, threads: int
) -> list[list[str]]:
    """A row for each backend."""
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in backends}
    for _ in range(rounds):
        for name in found:
            options = ["--one", name, place, "--steps", str(steps), "--threads", str(threads)]
            answer = subprocess.run(
                [sys.executable, __file__, content, style, *options], check=True, stdout=subprocess.PIPE, text=True
            )
            found[name].append(json.loads(answer.stdout))
    seconds = {name: [value for run in runs for value in run["seconds"]] for name, runs in found.items()}
    fastest = min(statistics.median(values) for values in seconds.values())
    rows = []
    for name, runs in found.items():
        low, median, high = statistics.quantiles(seconds[name], n=4)
        rows.append(
            [
                network,
                name,
                runs[0]["version"],
                f"{median:.3f} ({low:.3f} to {high:.3f})",
                f"{median / fastest:.2f}x",
                f"{max(run['peak'] for run in runs) / MEBIBYTE:.0f} MiB",
                f"{max(run['imported'] for run in runs) / MEBIBYTE:.0f} MiB",
            ]
        )
    return rows


if __name__ == "__main__":
    main()
