"""What `isostyle bench` found: operations counted, medians, ratios, fits; tables in plain text or Markdown, made from the JSON.

A report is a tree of JSON values, schema :data:`SCHEMA`; `cells` holds one entry a process, with every time that it took,
`losses` one a backend and network.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from isostyle.conformance.bench.published_way import LEFT, RIGHT
from isostyle.network import KERNEL, Network
from isostyle.recipe import Recipe

SCHEMA = "isostyle.bench/1"
MEBIBYTE = 2**20
#: Of the matrices LEFT by RIGHT: a multiplication and an addition for each term of each sum.
PRODUCT_OPERATIONS = 2 * LEFT[0] * LEFT[1] * RIGHT[1]
#: Which way is divided by which, under what heading: a ratio above 1 says how much faster the second is.
RATIOS = (
    ("published / fast", "published", "fast"),
    ("published / exact", "published", "exact"),
    ("published N / fast", "published-n", "fast"),
)
#: The ways that are held against their convolutions alone.
HELD = ("exact", "fast")
NOTHING = "-"

Report = Mapping[str, Any]


@dataclass(frozen=True)
class Table:
    """A table with the sentences that stand before it."""

    text: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    #: Sentences that stand behind it.
    remarks: Sequence[str] = ()


def failed(report: Report) -> bool:
    """Whether a process failed."""
    return bool(report["problems"]) or any("problem" in found for found in report["losses"])


def operations(network: Network, recipe: Recipe, height: int, width: int) -> int:
    """Floating-point operations that one evaluation of ``recipe`` and its gradient need, for a picture of that size, in pixels.

    Of the convolutions, 2 * 9 * C_in * C_out * H * W forward and as many for the gradient with respect to their input; of the
    Gram matrices, 2 * C**2 * H * W forward and as many back. What comes to less than a percent of it (ReLUs, pools, losses,
    Adam) is left out, and so are the gradients of the weights, which the published way computes, and nobody needs.
    """
    total = 0
    grams = {tap for tap, _ in recipe.style_layers}
    for layer in network.cut({tap for tap, _ in (*recipe.content_layers, *recipe.style_layers)}):
        pixels = (height >> layer.halvings) * (width >> layer.halvings)
        if layer.kind == "conv":
            total += 2 * 2 * KERNEL**2 * layer.in_channels * layer.out_channels * pixels
        if layer.name in grams:
            total += 2 * 2 * layer.out_channels**2 * pixels
    return total


@dataclass(frozen=True)
class Row:
    """One way of one backend with one network at one size: all rounds together."""

    network: str
    backend: str
    way: str
    height: int
    width: int
    version: str
    #: Seconds a step: quartiles.
    low: float
    median: float
    high: float
    first_loss: float
    #: Operations a second of a step, and as a share of a matrix product's; None where nobody says how to multiply.
    gflops: float
    share: float | None
    #: How many times longer a step takes than its convolutions alone; None where nobody says how to time them.
    of_convolutions: float | None
    #: Bytes.
    peak: int
    imported: int


def rows(report: Report) -> list[Row]:
    """In the order in which they were asked for; a way that failed in every round has no row."""
    groups: dict[tuple[str, str, str, int, int], list[Mapping[str, Any]]] = {}
    for cell in report["cells"]:
        key = (cell["network"], cell["backend"], cell["way"], cell["height"], cell["width"])
        if "problem" not in cell:
            groups.setdefault(key, []).append(cell)
    found = []
    for (network, backend, way, height, width), cells in groups.items():
        seconds = [value for cell in cells for value in cell["steps_s"]]
        low, median, high = statistics.quantiles(seconds, n=4, method="inclusive")
        gflops = report["operations"][network][f"{height}x{width}"] / median / 1e9
        products = [value for cell in cells for value in cell["product_s"]]
        share = gflops / (PRODUCT_OPERATIONS / statistics.median(products) / 1e9) if products else None
        alone = [value for cell in cells for value in cell["convolutions_s"]]
        found.append(
            Row(
                network,
                backend,
                way,
                height,
                width,
                cells[0]["version"],
                low,
                median,
                high,
                statistics.median(cell["first_loss_s"] for cell in cells),
                gflops,
                share,
                median / statistics.median(alone) if alone else None,
                max(cell["peak_bytes"] for cell in cells),
                max(cell["imported_bytes"] for cell in cells),
            )
        )
    return found


def exponent(sizes: Sequence[float], values: Sequence[float]) -> float:
    """The a of the least-squares line log(value) = a log(size) + b; nan where a value is not positive, or all sizes are one."""
    if min(values) <= 0 or len(set(sizes)) < 2:
        return math.nan
    found, _ = statistics.linear_regression([math.log(size) for size in sizes], [math.log(value) for value in values])
    return found


def heading(way: str, threads: int) -> str:
    return f"published, {counted(threads, 'thread')}" if way == "published-n" else way


def counted(number: int, what: str) -> str:
    return f"{number} {what}{'s' * (number != 1)}"


def tables(report: Report) -> list[Table]:
    """All that was measured, as tables."""
    found = rows(report)
    height, width = report["size"]
    main = [row for row in found if (row.height, row.width) == (height, width)]
    tables = [steps_table(report, main), cost_table(report, main)]
    if report["sizes"]:
        tables.append(sizes_table(report, found))
    if report["losses"]:
        tables.append(loss_table(report))
    return tables


def steps_table(report: Report, found: Iterable[Row]) -> Table:
    threads, ways = report["threads"], report["ways"]
    height, width = report["size"]
    by_backend: dict[tuple[str, str], dict[str, Row]] = {}
    for row in found:
        by_backend.setdefault((row.network, row.backend), {})[row.way] = row
    body = []
    for (network, backend), cells in by_backend.items():
        line = [network, backend, next(iter(cells.values())).version]
        line += [seconds(cells[way]) if way in cells else NOTHING for way in ways]
        for _, slow, fast in RATIOS:
            known = slow in cells and fast in cells
            line.append(f"{cells[slow].median / cells[fast].median:.2f}x" if known else NOTHING)
        for way in HELD:
            longer = cells[way].of_convolutions if way in cells else None
            line.append(NOTHING if longer is None else f"{longer:.2f}x")
        body.append(line)
    random = [name for name, network in report["networks"].items() if network["random"]]
    text = (
        f"Seconds a step (forward, backward, Adam) of `{report['recipe']}` at {height}x{width}, float32: medians over "
        f"{counted(report['rounds'], 'round')}, quartiles in brackets. `published`: as tutorials write it, with the threads "
        f"that the framework takes by itself; `exact`, `fast`: isostyle, {counted(threads, 'thread')}; `/ convolutions`: "
        "against its convolutions alone, in the same process."
        + "".join(f" `{name}` has random weights." for name in random)
        + f" {report['machine']}, Python {report['python']}."
    )
    ratios = [name.replace(" N ", f", {counted(threads, 'thread')} ") for name, _, _ in RATIOS]
    ratios += [f"{way} / convolutions" for way in HELD]
    remarks = [f"FAILED {problem}" for problem in report["problems"]]
    return Table(text, ["network", "backend", "version", *(heading(way, threads) for way in ways), *ratios], body, remarks)


def seconds(row: Row) -> str:
    return f"{row.median:.3f} ({row.low:.3f} to {row.high:.3f})"


def cost_table(report: Report, found: Iterable[Row]) -> Table:
    threads = report["threads"]
    body = [
        [
            row.network,
            row.backend,
            heading(row.way, threads),
            f"{row.first_loss:.2f}",
            f"{row.gflops:.1f}",
            NOTHING if row.share is None else f"{row.share:.0%}",
            f"{row.peak / MEBIBYTE:.0f} MiB",
            f"{row.imported / MEBIBYTE:.0f} MiB",
        ]
        for row in found
    ]
    counts = ", ".join(
        f"{name} {report['operations'][name]['x'.join(map(str, report['size']))] / 1e9:.1f}" for name in report["networks"]
    )
    text = (
        f"A step needs these GFLOP: {counts}. `of a product`: the share of what a matrix product of the same framework, "
        f"{'x'.join(map(str, LEFT))} by {'x'.join(map(str, RIGHT))}, reaches in the same process. `first loss`: seconds until "
        "it is there, once the framework is imported and the pictures are read (network, targets, first step, compilation)."
    )
    header = ["network", "backend", "way", "first loss", "GFLOP/s", "of a product", "peak memory", "of it, imported"]
    return Table(text, header, body)


def sizes_table(report: Report, found: Iterable[Row]) -> Table:
    sizes = [tuple(size) for size in report["sizes"]]
    groups: dict[tuple[str, str, str], dict[tuple[int, ...], Row]] = {}
    for row in found:
        if (row.height, row.width) in sizes:
            groups.setdefault((row.network, row.backend, row.way), {})[row.height, row.width] = row
    body = []
    for (network, backend, way), cells in groups.items():
        line = [network, backend, heading(way, report["threads"])]
        for size in sizes:
            line.append(f"{cells[size].median:.3f} s, {cells[size].peak / MEBIBYTE:.0f} MiB" if size in cells else NOTHING)
        pixels = [height * width for height, width in cells]
        line.append(f"{exponent(pixels, [row.median for row in cells.values()]):.2f}")
        line.append(f"{exponent(pixels, [row.peak - row.imported for row in cells.values()]):.2f}")
        body.append(line)
    text = (
        "Seconds a step and peak memory against the size of the picture. The exponents are those of fits in pixels: 1 is "
        "proportional; memory without what the imported framework takes."
    )
    names = [f"{height}x{width}" for height, width in sizes]
    return Table(text, ["network", "backend", "way", *names, "exponent, time", "exponent, memory"], body)


def loss_table(report: Report) -> Table:
    threads = report["threads"]
    body, remarks = [], []
    for found in report["losses"]:
        place = f"{found['network']}, {found['backend']}"
        if "problem" in found:
            remarks.append(f"FAILED {place}: {found['problem']}")
            continue
        mine = found["ours"]
        reached = mine["seconds"]
        line = [found["network"], found["backend"], f"{found['target']:.4f}"]
        line += [f"{found[way]['seconds']:.1f} s" for way in ("published", "published-n")]
        line.append(NOTHING if reached is None else f"{reached:.1f} s")
        line += [
            NOTHING if reached is None else f"{found[way]['seconds'] / reached:.1f}x" for way in ("published", "published-n")
        ]
        line.append(", ".join(f"{count} at {size}" for size, count in mine["evaluations"].items()))
        body.append(line)
        if reached is None:
            remarks.append(f"{place}: ours ended at a total of {mine['total']:.4f}, above the target")
        extrapolated = [way for way in ("published", "published-n") if found[way]["extrapolated_from"]]
        if extrapolated:
            done = found[extrapolated[0]]["extrapolated_from"]
            remarks.append(
                f"{place}: the published times are EXTRAPOLATED from {counted(done, 'step')} to "
                f"{report['published_steps']}; the target was given, and is not what they reached"
            )
    text = (
        f"Seconds from the start of the process (imports and compilation included) to the total loss that "
        f"{report['published_steps']} published steps reach, by the exact objective at full size. Ours: coarse to fine with "
        "L-BFGS, `fast`; its evaluations by size."
    )
    ratio = ["published / ours", f"published, {counted(threads, 'thread')} / ours"]
    header = ["network", "backend", "target", "published", heading("published-n", threads), "ours", *ratio, "ours evaluated"]
    return Table(text, header, body, remarks)


def as_markdown(report: Report) -> str:
    parts = []
    for table in tables(report):
        parts += [table.text, markdown(table.header, table.rows), *table.remarks]
    return "\n\n".join(parts)


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table."""
    first, *others = ("| " + " | ".join(line) + " |" for line in (header, *rows))
    return "\n".join([first, "|" + "---|" * len(header), *others])


def as_text(report: Report) -> str:
    parts = []
    for table in tables(report):
        lines = [table.header, *table.rows]
        widths = [max(len(line[i]) for line in lines) for i in range(len(table.header))]
        aligned = ["  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip() for line in lines]
        parts += [table.text.replace("`", ""), "\n".join(aligned), *table.remarks]
    return "\n\n".join(parts)
