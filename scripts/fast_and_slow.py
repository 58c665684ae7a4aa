"""A style network beside the optimization of one picture: how near it comes, and how much sooner.

    python scripts/fast_and_slow.py quality NETWORK STYLE PHOTOGRAPHS [--sheet FILE] [--write docs/style-networks.md]
    python scripts/fast_and_slow.py speed NETWORK... --style STYLE... --picture PICTURE [--write docs/style-networks.md]

NETWORK is what `isostyle train STYLE PHOTOGRAPHS` wrote. Both methods minimize the same total: the losses of the network's own
training recipe, with the style image at the size that it was trained with. The slow one begins with the photograph, and has the
recipe's own optimizer and schedule (`isostyle run --init content`). Totals are of the float pictures, before they are rounded.

`quality` takes the photographs that were held out of the training, cut as they were there. `speed` resizes PICTURE to
1024x680, lets each NETWORK paint it (its STYLE is the --style at its place), and then optimizes it until its total is no
higher. A pass of the paper's network is timed beside, with random numbers.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

import click
from PIL import Image
from tables import markdown, publish

from isostyle import recipe_text, registry
from isostyle.images import arrays, decode
from isostyle.interface import Array
from isostyle.recipe import LongSide, Recipe
from isostyle.style_networks import file as style_network
from isostyle.style_networks.apply import Applier
from isostyle.style_networks.file import StyleNetwork
from isostyle.style_networks.photographs import CENTER, cut, scan
from isostyle.style_networks.trainer import Trainer, TrainingRecipe, first_parameters
from isostyle.style_networks.training_inputs import held_out
from isostyle.system import allocation
from isostyle.transfer import descent
from isostyle.transfer.descent import Event
from isostyle.transform_network import JOHNSON
from isostyle.weights import store

#: Steps of the slow method that are reported; the last is the published end.
STEPS = (0, 50, 100, 500)
#: Width and height of the picture that `speed` paints.
SIZE = (1024, 680)
#: Passes that are timed; the first of all, which plans convolutions, is not.
PASSES = 7
#: Of a sheet's pictures, and of the white between them.
SHOWN, GAP = 5, 4


class Contest:
    """A network and the slow method, with one objective."""

    def __init__(self, network: StyleNetwork, style: str, backend: str, threads: int) -> None:
        trained: dict[str, Any] = dict(network.training["recipe"])
        losses = recipe_text.from_dict({key: value for key, value in trained["losses"].items() if key != "digest"})
        self.recipe = TrainingRecipe(losses=losses, network=network.network, **{key: trained[key] for key in ("crop", "seed")})
        self.slow: Recipe = dataclasses.replace(losses, start="content", steps=STEPS[-1])
        self.network = network
        self.framework = registry.load(backend, threads)
        click.get_current_context().with_resource(registry.own_state(self.framework, "cpu"))
        loss_network = store.load(network.training["loss_network"]["name"])
        parameters = loss_network.cut(losses.taps)
        engine = self.framework.prepare(loss_network.network, parameters, device="cpu", dtype="float32", precision="exact")
        self.transform = self.framework.transform(network.network, device="cpu", dtype="float32")
        picture = decode.read_rgb(Path(style))
        size = LongSide(trained["style_size"]).fit(picture.height, picture.width)
        self.trainer = Trainer(self.recipe, self.transform, engine, [arrays.to_array(arrays.resize(picture, *size), "float32")])
        self.tensors = {key: self.transform.tensor(array) for key, array in network.parameters.items()}

    def painted(self, photograph: Array) -> tuple[float, Array]:
        """The network's total and picture."""
        terms = self.trainer.losses(self.tensors, photograph)
        made = self.transform.apply(self.trainer.painting(self.tensors, 0), self.transform.tensor(photograph))
        return terms["total"], self.transform.array(made)

    def optimized(self, photograph: Array) -> Iterator[Event]:
        engine = self.trainer.engine
        return descent.run(engine, self.slow, self.trainer.targets(engine.tensor(photograph), 0), photograph)


@click.group()
def main() -> None:
    """Compare a style network with the optimization of one picture."""
    allocation.keep_freed_memory()  # as the program does


backend_option = click.option("--backend", default="torch", show_default=True)
threads_option = click.option("--threads", default=2, show_default=True)
write_option = click.option("--write", type=click.Path(exists=True, path_type=Path), help="Put the table into this file.")


@main.command()
@click.argument("network")
@click.argument("style")
@click.argument("photographs", type=click.Path(path_type=Path))
@backend_option
@threads_option
@click.option("--sheet", type=click.Path(path_type=Path), help="Save a picture: photographs, the network's, the slow method's.")
@write_option
def quality(
    network: str, style: str, photographs: Path, backend: str, threads: int, sheet: Path | None, write: Path | None
) -> None:
    """Totals on the photographs that were held out of the training."""
    contest = Contest(style_network.find(network), style, backend, threads)
    files = scan(photographs, contest.recipe.crop).files
    rows, columns = [], []
    for i in sorted(held_out(len(files), contest.recipe.seed)):
        photograph = cut(decode.read_rgb(files[i]), CENTER, contest.recipe.crop)
        total, painted = contest.painted(photograph)
        totals = {}
        for event in contest.optimized(photograph):
            totals[event.step] = event.losses["total"]
            last = event
        rows.append([total, *(totals[step] for step in STEPS)])
        columns.append([arrays.to_picture(each) for each in (photograph, painted, last.image())])
        click.echo(f"{files[i].name}: {'  '.join(f'{value:.3g}' for value in rows[-1])}", err=True)
    if sheet:
        save_sheet(columns[:SHOWN], sheet)
    medians = [median(values) for values in zip(*rows, strict=True)]
    header = [f"median total of {len(rows)} held-out photographs", "network", *(f"slow, step {step}" for step in STEPS)]
    publish(markdown(header, [[Path(network).stem, *(f"{value:.3g}" for value in medians)]]), "style-quality", write)


def save_sheet(columns: list[list[Image.Image]], path: Path) -> None:
    """A column for each photograph."""
    width, height = columns[0][0].size
    sheet = Image.new("RGB", (len(columns) * (width + GAP) - GAP, len(columns[0]) * (height + GAP) - GAP), "white")
    for x, column in enumerate(columns):
        for y, picture in enumerate(column):
            sheet.paste(picture, (x * (width + GAP), y * (height + GAP)))
    sheet.save(path, quality=92)


@main.command()
@click.argument("networks", nargs=-1, required=True)
@click.option("--style", "styles", required=True, multiple=True, help="One for each NETWORK.")
@click.option("--picture", required=True, type=click.Path(exists=True, path_type=Path))
@backend_option
@threads_option
@write_option
def speed(
    networks: tuple[str, ...], styles: tuple[str, ...], picture: Path, backend: str, threads: int, write: Path | None
) -> None:
    """Seconds of one pass, and of the slow method to the same total."""
    if len(networks) != len(styles):
        raise click.UsageError(f"{len(networks)} networks need as many --style, not {len(styles)}")
    photograph = arrays.resize(decode.read_rgb(picture), SIZE[1], SIZE[0])
    rows = []
    for name, style in zip(networks, styles, strict=True):
        network = style_network.find(name)
        contest = Contest(network, style, backend, threads)
        one_pass = seconds_of_a_pass(network, photograph, backend, threads)
        array = arrays.to_array(photograph, "float32")
        total, _ = contest.painted(array)
        began = time.perf_counter()
        event = next(event for event in contest.optimized(array) if event.losses["total"] <= total or event.finished)
        slow = time.perf_counter() - began
        widths = ", ".join(map(str, network.network.widths))
        reached = f"{slow:.1f} s, {event.step} steps" if event.losses["total"] <= total else f"not in {event.step} steps"
        rows.append([Path(name).stem, widths, f"{one_pass:.2f} s", f"{total:.3g}", reached, f"{slow / one_pass:.0f}x"])
    paper = StyleNetwork(JOHNSON, first_parameters(JOHNSON, 0), {"paper": b""}, {}, [])
    widths = ", ".join(map(str, JOHNSON.widths))
    rows.append(["of the paper", widths, f"{seconds_of_a_pass(paper, photograph, backend, threads):.2f} s", "", "", ""])
    header = ["network", "channels", "one pass", "its total", "slow method to that total", "ratio"]
    note = f"{SIZE[0]}x{SIZE[1]}, {backend}, float32, {threads} threads; a pass is the median of {PASSES}."
    publish(f"{note}\n\n{markdown(header, rows)}", "style-speed", write)


def seconds_of_a_pass(network: StyleNetwork, photograph: Image.Image, backend: str, threads: int) -> float:
    """From a PIL image to a PIL image: the median of some, after one that does not count."""
    applier = Applier(network, backend=backend, threads=threads)
    seconds = []
    for _ in range(1 + PASSES):
        began = time.perf_counter()
        applier(photograph)
        seconds.append(time.perf_counter() - began)
    return median(seconds[1:])


if __name__ == "__main__":
    main()
