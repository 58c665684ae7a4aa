"""Do the frameworks make the same picture? The table in the README.

    python scripts/agreement.py CONTENT STYLE [--write README.md]

Two experiments with the recipe `d2l` (300x450, compact network): the published 500 steps in float32 from the content image, of
which the final losses are compared; and ten steps in float64 from the content image plus noise, of which the pictures are.
Each run has a process of its own.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import click
import numpy as np
from tables import markdown, publish

#: Float64, ten steps: differences are in units of this.
LEARNING_RATE = 0.3


def run(content: str, style: str, backend: str, output: Path, *options: str) -> dict[str, float]:
    """The losses of the finished picture; the picture itself goes to ``output``, its float values to ``output``.npy."""
    command = [sys.executable, __file__, content, style, "--one", backend, "--output", str(output), *options]
    answer = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    losses: dict[str, float] = json.loads(answer.stdout)
    return losses


def one(content: str, style: str, backend: str, output: Path, double: bool, steps: int | None) -> None:
    import isostyle

    options = {"dtype": "float64", "init": "content+noise", "steps": 10} if double else {"steps": steps}
    result = isostyle.stylize(content, style, backend=backend, recipe="d2l", **options)
    result.picture.save(output)
    np.save(f"{output}.npy", result.image)
    click.echo(json.dumps({name: result.history[-1][name] for name in ("content", "style", "tv", "total")}))


@click.command()
@click.argument("content")
@click.argument("style")
@click.option("--backends", default="torch,mxnet,paddle", show_default=True)
@click.option("--steps", type=int, help="Steps of the float32 run [default: as published, 500].")
@click.option("--pictures", type=click.Path(path_type=Path), help="Keep the pictures in this folder.")
@click.option("--write", type=click.Path(exists=True, path_type=Path), help="Put the table between the marks in this file.")
@click.option("--one", "single", hidden=True)
@click.option("--output", type=click.Path(path_type=Path), hidden=True)
@click.option("--double", is_flag=True, hidden=True)
def main(
    content: str,
    style: str,
    backends: str,
    steps: int | None,
    pictures: Path | None,
    write: Path | None,
    single: str | None,
    output: Path | None,
    double: bool,
) -> None:
    """Run each backend and print a Markdown table."""
    if single:
        assert output is not None
        one(content, style, single, output, double, steps)
        return
    names = backends.split(",")
    with tempfile.TemporaryDirectory() as temporary:
        folder = pictures or Path(temporary)
        folder.mkdir(exist_ok=True)
        extra = ["--steps", str(steps)] if steps else []
        finals = {name: run(content, style, name, folder / f"{name}.png", *extra) for name in names}
        for name in names:
            run(content, style, name, folder / f"{name}-float64.png", "--double")
        images = {name: np.load(folder / f"{name}-float64.png.npy") for name in names}
    rows = []
    for name in names:
        losses = finals[name]
        away = losses["total"] / finals[names[0]]["total"] - 1
        apart = np.abs(images[name] - images[names[0]]).max() / LEARNING_RATE
        rows.append(
            [name, *(f"{losses[term]:.4f}" for term in ("content", "style", "tv", "total")), f"{away:+.2%}", f"{apart:.1e}"]
        )
    header = ["backend", "content", "style", "TV", "total", f"total against {names[0]}",
              f"float64, 10 steps: furthest pixel from {names[0]}'s, in learning rates"]  # fmt: skip
    note = f"`d2l`, 300x450, compact network, {Path(content).name} and {Path(style).name}; float32, {steps or 500} steps."
    publish(f"{note}\n\n{markdown(header, rows)}", "agreement", write)


if __name__ == "__main__":
    main()
