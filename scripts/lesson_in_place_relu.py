"""How far one in-place ReLU takes d2l's PyTorch tab from the other two: the numbers and pictures in docs/in-place-relu.md.

    python scripts/lesson_in_place_relu.py --write docs/in-place-relu.md

The recipes `d2l` and `d2l-torch-tab` differ in their layers only: before the ReLU, and after it but for the last. Pictures,
network, start and steps are the same; losses and gradients in float64, the runs in float32 as published.
"""

from __future__ import annotations

import math
from pathlib import Path

import click
import numpy as np
from tables import markdown, publish

import isostyle
from isostyle import registry
from isostyle.demo import inputs as demo
from isostyle.images import arrays
from isostyle.images.strip import strip
from isostyle.interface import Array
from isostyle.published import D2L, find
from isostyle.weights import store

HEIGHT = 300
DOCS = Path(__file__).resolve().parents[1] / "docs"


def evaluate(
    backend: str, network: str, image: Array, content: Array, style: Array
) -> dict[str, tuple[dict[str, float], Array]]:
    """Terms and gradient of ``image`` under both recipes."""
    chosen = store.load(network)
    framework = registry.load(backend)
    click.get_current_context().with_resource(registry.own_state(framework, "cpu"))
    engine = framework.prepare(chosen.network, chosen.parameters, device="cpu", dtype="float64")
    found = {}
    for recipe in (D2L, find("d2l-torch-tab")):
        evaluation = engine.objective(recipe, engine.targets(recipe, content, style))(engine.tensor(image))
        terms = {name: float(value) for name, value in evaluation.terms.items()}
        found[recipe.name] = terms, engine.array(evaluation.gradient)
    return found


def psnr(one: isostyle.Result, other: isostyle.Result) -> float:
    difference = np.asarray(one.picture, np.float64) - np.asarray(other.picture, np.float64)
    return 20 * math.log10(255 / math.sqrt(np.square(difference).mean()))


@click.command()
@click.option("--backend", default="torch", show_default=True)
@click.option("--network", default="compact", show_default=True)
@click.option("--write", type=click.Path(exists=True, path_type=Path), help="Put the tables between the marks in this file.")
def main(backend: str, network: str, write: Path | None) -> None:
    """Print the lesson's tables."""
    pair = demo.photograph(), demo.painting()
    content, style = (arrays.to_array(arrays.resize(picture, *D2L.size.fit(1, 1)), "float64") for picture in pair)
    start = content + 0.3 * arrays.noise(content.shape, 0, "float64")
    (mine, my_gradient), (theirs, their_gradient) = evaluate(backend, network, start, content, style).values()
    taps = zip((tap for tap in mine if tap != "tv"), (tap for tap in theirs if tap != "tv"), strict=True)
    rows = []
    for one, other in taps:
        name = one if one == other else f"{one}, {other}"
        rows.append([name, f"{mine[one]:.4g}", f"{theirs[other]:.4g}", f"{theirs[other] / mine[one]:.2f}"])
    table = markdown(["term", "`d2l`", "`d2l-torch-tab`", "ratio"], rows)
    cosine = float((my_gradient * their_gradient).sum() / np.linalg.norm(my_gradient) / np.linalg.norm(their_gradient))
    apart = float(np.linalg.norm(my_gradient - their_gradient) / np.linalg.norm(my_gradient))
    signs = float((np.sign(my_gradient) != np.sign(their_gradient)).mean())
    publish(
        f"{table}\n\nGradients of the total: cosine {cosine:.3f}, relative difference {apart:.2f}; {signs:.0%} of all "
        "components have another sign, which is all that Adam's first step looks at.",
        "evaluation",
        write,
    )

    results = {
        name: isostyle.stylize(*pair, recipe=name, backend=backend, network=network) for name in ("d2l", "d2l-torch-tab")
    }
    other = isostyle.stylize(*pair, recipe="d2l", backend=backend, network=network, seed=1, init="content+noise")
    rows = []
    for name, result in results.items():
        finals = evaluate(backend, network, result.image.astype(np.float64), content, style)
        rows.append([f"made with `{name}`", *(f"{finals[judge][0]['total']:.4g}" for judge in finals)])
    table = markdown(["after 500 steps", "total by `d2l`", "total by `d2l-torch-tab`"], rows)
    one, two = results.values()
    publish(
        f"{table}\n\nThe two pictures are {psnr(one, two):.1f} dB apart; two runs of `d2l` that start a little apart (from the "
        f"content image, and from it with noise) are {psnr(one, other):.1f} dB apart.",
        "pictures",
        write,
    )
    if write:
        strip([one.picture, two.picture], HEIGHT).save(write.with_suffix(".jpg"), quality=88)


if __name__ == "__main__":
    main()
