"""What one convolution costs in each framework, directly and by Winograd's algorithm: the tables in docs/fast.md.

    python scripts/convolutions.py [--backends torch,mxnet,paddle] [--write docs/fast.md]

The convolutions are VGG-19's at 300x450. `by hand`: tiles of 6x6 gathered by slices, transformed, multiplied and put together
in the framework's own operations: F(4x4, 3x3) of Lavin and Gray 2016. `NNPACK` is torch's own. Also: what the matrix product of
`isostyle bench` reaches, and the page faults of a step of the recipe `d2l`, with memory that is kept and without.
Each framework and setting has a process of its own.
"""

from __future__ import annotations

import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import numpy as np
from tables import markdown, publish

from isostyle import registry
from isostyle.conformance.bench.published_way import PRODUCTS
from isostyle.conformance.bench.report import PRODUCT_OPERATIONS
from isostyle.interface import Backend
from isostyle.published import find
from isostyle.system import allocation
from isostyle.weights import store

#: Channels, height and width of a convolution in each block.
SHAPES = ((64, 300, 450), (128, 150, 225), (256, 75, 112), (512, 37, 56))
#: A tile of the output, and the points at which its polynomials are evaluated; the last is infinity.
TILE, POINTS = 4, (0, 1, -1, 2, -2)
REPEATS = 7


def transforms() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A^T, G and B^T, by Cook's and Toom's rule, of A^T [(G g G^T) * (B^T d B)] A (Lavin and Gray 2016, equation 8)."""

    def powers(count: int) -> np.ndarray:
        finite = [[float(point) ** power for power in range(count)] for point in POINTS]
        return np.array([*finite, [0.0] * (count - 1) + [1.0]])

    return powers(TILE).T, powers(3), np.linalg.inv(powers(TILE + 2)).T


def by_hand(x: Any, kernels: Any, gather: Any, scatter: Any, f: Any) -> Any:
    """The convolution of x (1, C, H, W). ``kernels``: transformed, (36, C_out, C); ``f``: the framework's functions."""
    _, channels, height, width = x.shape
    side, down, across = TILE + 2, -(-height // TILE), -(-width // TILE)
    padded = f.pad(x, down * TILE + 1 - height, across * TILE + 1 - width)
    ends = TILE * (down - 1) + 1, TILE * (across - 1) + 1
    patches = f.stack([padded[0, :, i : i + ends[0] : TILE, j : j + ends[1] : TILE] for i in range(side) for j in range(side)])
    inside = f.matmul(gather, patches.reshape((side * side, channels * down * across)))
    products = f.bmm(kernels, inside.reshape((side * side, channels, down * across)))
    out = kernels.shape[1]
    tiles = f.matmul(scatter, products.reshape((side * side, out * down * across))).reshape((TILE, TILE, out, down, across))
    whole = f.transpose(tiles, (2, 3, 0, 4, 1)).reshape((1, out, down * TILE, across * TILE))
    return whole[:, :, :height, :width]


class Torch:
    def __init__(self) -> None:
        import torch

        self.tensor, self.bmm, self.stack, self.matmul = torch.tensor, torch.bmm, torch.stack, torch.matmul
        self.transpose = torch.permute
        self.wait = lambda y: y
        self.pad = lambda x, down, right: torch.nn.functional.pad(x, (1, right, 1, down))
        self.direct = lambda x, weight: torch.nn.functional.conv2d(x, weight, padding=1)
        if torch.backends.nnpack.is_available():
            self.nnpack = lambda x, weight: torch._nnpack_spatial_convolution(x, weight, None, 1)


class Mxnet:
    def __init__(self) -> None:
        from mxnet import np as mx
        from mxnet import npx

        self.tensor, self.bmm, self.stack, self.matmul = mx.array, npx.batch_dot, mx.stack, mx.dot
        self.transpose = mx.transpose
        self.wait = lambda y: y.wait_to_read()
        self.pad = lambda x, down, right: mx.pad(x, ((0, 0), (0, 0), (1, down), (1, right)))
        self.direct = lambda x, weight: npx.convolution(
            x, weight, kernel=(3, 3), pad=(1, 1), num_filter=weight.shape[0], no_bias=True
        )


class Paddle:
    def __init__(self) -> None:
        import paddle

        self.tensor, self.bmm, self.stack, self.matmul = paddle.to_tensor, paddle.bmm, paddle.stack, paddle.matmul
        self.transpose = paddle.transpose
        self.wait = lambda y: y
        self.pad = lambda x, down, right: paddle.nn.functional.pad(x, [1, right, 1, down])
        self.direct = lambda x, weight: paddle.nn.functional.conv2d(x, weight, padding=1)


def milliseconds(compute: Callable[[], Any], wait: Callable[[Any], object] = float) -> float:
    times = []
    for _ in range(REPEATS + 2):
        began = time.perf_counter()
        wait(compute())
        times.append(time.perf_counter() - began)
    return 1000 * statistics.median(times[2:])


def measure(backend: str, threads: int, keep: bool) -> dict[str, Any]:
    """In this process; prints nothing."""
    if keep:
        allocation.keep_freed_memory()
    framework = registry.load(backend, threads)
    with registry.own_state(framework, "cpu"):
        return measured(framework, backend)


def measured(framework: Backend, backend: str) -> dict[str, Any]:
    """:func:`measure`, in the framework's own state."""
    f: Any = {"torch": Torch, "mxnet": Mxnet, "paddle": Paddle}[backend]()
    generator = np.random.default_rng(0)

    def random(*shape: int) -> np.ndarray:
        return generator.standard_normal(shape).astype(np.float32)

    found: dict[str, Any] = {"product": 1e-6 * PRODUCT_OPERATIONS / milliseconds(PRODUCTS[backend]())}
    chosen = store.load("compact")
    engine = framework.prepare(chosen.network, chosen.parameters, device="cpu", dtype="float32")
    picture = random(1, 3, 300, 450)
    objective = engine.objective(find("d2l"), engine.targets(find("d2l"), picture, picture))
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        float(objective(engine.tensor(picture)).terms["total"])
        found["faults"] = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
    back, kernel, forth = transforms()
    gather, scatter = (f.tensor(np.kron(matrix, matrix).astype(np.float32)) for matrix in (forth, back))
    for channels, height, width in SHAPES:
        weight, x = random(channels, channels, 3, 3) / channels, f.tensor(random(1, channels, height, width))
        transformed = np.einsum("ai,koij,bj->abko", kernel, weight, kernel).reshape(-1, channels, channels)
        kernels, plain = f.tensor(transformed.astype(np.float32)), f.tensor(weight)
        ways = {"direct": lambda: f.direct(x, plain), "by hand": lambda: by_hand(x, kernels, gather, scatter, f)}  # noqa: B023
        if hasattr(f, "nnpack"):
            ways["NNPACK"] = lambda: f.nnpack(x, plain)  # noqa: B023
        expected, got = (engine.array(ways[way]()) for way in ("direct", "by hand"))
        if not np.allclose(expected, got, atol=1e-4 * np.abs(expected).max()):
            raise AssertionError("the two ways do not agree")
        found[str(channels)] = {way: milliseconds(compute, f.wait) for way, compute in ways.items()}
    return found


@click.command()
@click.option("--backends", default="torch,mxnet,paddle", show_default=True)
@click.option("--threads", default=2, show_default=True)
@click.option("--write", type=click.Path(exists=True, path_type=Path), help="Put the tables between the marks in this file.")
@click.option("--one", nargs=2, hidden=True, help="Measure this backend, and 'keep' or not, in this process; print JSON.")
def main(backends: str, threads: int, write: Path | None, one: tuple[str, str] | None) -> None:
    """Measure each framework and print Markdown tables."""
    if one:
        click.echo(json.dumps(measure(one[0], threads, one[1] == "keep")))
        return
    rows, settings = [], []
    for backend in backends.split(","):
        # 0 is what an MKL without the variable does.
        variables: list[dict[str, str]] = [{}, {"MKL_DEBUG_CPU_TYPE": "0"}] if backend == "paddle" else [{}]
        for variable in variables:
            for keep in ("keep", "give back"):
                command = [sys.executable, __file__, "--threads", str(threads), "--one", backend, keep]
                answer = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env={**os.environ, **variable})
                found = json.loads(answer.stdout.splitlines()[-1])
                name = " ".join([backend, *(f"{key}={value}" for key, value in variable.items())])
                direct = [f"{found[str(channels)]['direct']:.0f}" for channels, _, _ in SHAPES]
                settings.append([name, keep, f"{found['product']:.0f}", str(found["faults"]), *direct])
                if keep == "keep" and not variable:
                    for way in found["64"]:
                        rows.append([backend, way, *(f"{found[str(channels)][way]:.0f}" for channels, _, _ in SHAPES)])
    shapes = [f"{channels} x {height}x{width}" for channels, height, width in SHAPES]
    first = markdown(
        ["framework", "freed memory", "product, GFLOP/s", "page faults a step", *(f"{s}, ms" for s in shapes)], settings
    )
    second = markdown(["framework", "3x3 convolution", *(f"{shape}, ms" for shape in shapes)], rows)
    publish(f"{first}\n\n{second}", "convolutions", write)


if __name__ == "__main__":
    main()
