"""Draw the style images of the networks that ship with isostyle and learned from no painting; nothing but numbers goes in.

    python scripts/draw_styles.py FOLDER

writes glass.png, mosaic.png, ink.png, dots.png, marble.png, knife.png and kilim.png, in about two minutes.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import click
import numpy as np
from PIL import Image, ImageDraw

from isostyle.demo import painting

HEIGHT, WIDTH = 900, 1200
#: Drawn at so many times the size and then made smaller, for smooth edges.
FINER = 2
TALL, WIDE = HEIGHT * FINER, WIDTH * FINER
#: Where each pixel is, in picture heights: Y runs from 0 to 1, X from 0 to 1.33.
Y, X = np.mgrid[0:TALL, 0:WIDE].astype(np.float32) / TALL
Random = np.random.RandomState


def waves(random: Random, many: float, count: int = 10) -> np.ndarray:
    """Smooth random hills (TALL, WIDE), mean 0 and std 1, about so many down the picture."""
    hills = np.zeros((TALL, WIDE), np.float32)
    for _ in range(count):
        turn, rate = random.uniform(0, math.pi), 2 * math.pi * many * random.uniform(0.6, 1.2)
        hills += np.sin(rate * (math.cos(turn) * X + math.sin(turn) * Y) + random.uniform(0, 2 * math.pi))
    return hills * math.sqrt(2 / count)


def grain(random: Random, cells: int) -> np.ndarray:
    """Rough noise (TALL, WIDE) in about -1 to 1, so many cells down the picture."""
    return painting.value_noise(random, TALL, WIDE, cells, cells * WIDTH // HEIGHT)


def rgb(codes: str) -> np.ndarray:
    """Colors (N, 3), 0 to 255, of N hex codes with spaces between."""
    return np.array([tuple(bytes.fromhex(code)) for code in codes.split()], dtype=np.float64)


def ramp(codes: str, tone: np.ndarray) -> np.ndarray:
    """Colors (..., 3), 0 to 255, for tones (...), 0 to 1, along the hex codes."""
    colors = rgb(codes)
    places = np.linspace(0, 1, len(colors))
    return np.stack([np.interp(tone, places, colors[:, channel]) for channel in range(3)], axis=-1)


def finished(picture: np.ndarray) -> Image.Image:
    """The canvas (TALL, WIDE, 3), 0 to 255, at the picture's size."""
    whole = Image.fromarray(np.rint(picture.clip(0, 255)).astype(np.uint8))
    return whole.resize((WIDTH, HEIGHT), Image.Resampling.LANCZOS)


def glass(seed: int = 3, panes: int = 420) -> Image.Image:
    """Stained glass: Voronoi cells in a few strong colors, brighter toward their middle, held by dark lead."""
    random = Random(seed)
    # Jittered hexagonal rows: cells of like size, none of them regular.
    columns = int(math.sqrt(panes * WIDE / TALL))
    rows = panes // columns
    down, right = np.meshgrid(np.arange(-1, rows + 1) + 0.5, np.arange(-1, columns + 1) + 0.5, indexing="ij")
    right = right + 0.5 * (np.arange(len(right)) % 2)[:, None]
    points = np.stack([down.ravel() * TALL / rows, right.ravel() * WIDE / columns], axis=1)
    points += random.uniform(-0.42, 0.42, points.shape) * TALL / rows
    palette = rgb("b21820 123c96 ecb01e 14784a e8e2c4 601e6e de6218 2896be")
    # Colors follow slow waves, so that neighbors often share one, as in a drawn window.
    wave = np.sin(points[:, 0] / 170) + np.cos(points[:, 1] / 210) + 0.9 * random.uniform(-1, 1, len(points))
    order = np.argsort(np.argsort(wave))
    colors = palette[(order * len(palette) // len(points) + random.randint(0, 2, len(points))) % len(palette)]
    colors = colors * random.uniform(0.8, 1.15, (len(points), 1))
    picture, x = np.empty((TALL, WIDE, 3)), np.arange(WIDE)
    for top in range(0, TALL, 100):  # in strips, each with the panes near it: all distances at once would fill the memory
        y = np.arange(top, min(top + 100, TALL))[:, None]
        near = np.flatnonzero((points[:, 0] > top - 200) & (points[:, 0] < top + 300))
        distance = np.hypot(y[..., None] - points[near, 0], x[:, None] - points[near, 1])
        first, second = np.moveaxis(np.partition(distance, 1, axis=-1)[..., :2], -1, 0)
        cell = near[np.argmin(distance, axis=-1)]
        light = (1.12 - 0.35 * (first / 60) ** 2) * (1 + 0.05 * np.sin(0.11 * x + 0.07 * y + cell))
        bare = np.clip((second - first - 7) / 4, 0, 1)[..., None]
        picture[top : top + 100] = bare * colors[cell] * light[..., None] + (1 - bare) * rgb("181416")
    return finished(picture * (1 + 0.05 * waves(random, 60) + 0.06 * grain(random, 150))[..., None])


def settle(points: np.ndarray, angle: np.ndarray, side: int) -> np.ndarray:
    """Move each point (N, 2), row and column, to the middle of the pixels that are nearest to it, measured by squares that
    turn with the angle (TALL, WIDE): the squares fall into rows (Hausner, Simulating decorative mosaics, 2001)."""
    nearest, owner = np.full((TALL, WIDE), np.inf, np.float32), np.zeros((TALL, WIDE), np.int32)
    y, x, reach = np.arange(TALL)[:, None], np.arange(WIDE), int(1.3 * side)
    for number, (row, column) in enumerate(points.astype(int)):
        tall, wide = slice(max(row - reach, 0), row + reach), slice(max(column - reach, 0), column + reach)
        turn, dy, dx = float(angle[row, column]), y[tall] - row, x[wide] - column
        along, across = dx * math.cos(turn) + dy * math.sin(turn), dy * math.cos(turn) - dx * math.sin(turn)
        distance = np.maximum(np.abs(along), np.abs(across))
        closer = distance < nearest[tall, wide]
        nearest[tall, wide][closer], owner[tall, wide][closer] = distance[closer], number
    count = np.maximum(np.bincount(owner.ravel(), minlength=len(points)), 1)
    sums = [np.bincount(owner.ravel(), np.broadcast_to(axis, owner.shape).ravel(), len(points)) for axis in (y, x)]
    return np.stack(sums, axis=1) / count[:, None]


def mosaic(seed: int = 5, side: int = 28) -> Image.Image:
    """A Roman mosaic: tesserae along overlapping rings of stone colors, in dark grout."""
    random = Random(seed)
    sea, fire = (
        rgb("14365e 1f5f8f f0e3c2 2f93a6 14365e 8cc4b8 f0e3c2 1f5f8f"),
        rgb("7a1f1c b8432a f3e2bd dd9a3e 7a1f1c e8bb5a f3e2bd b8432a"),
    )
    leaf, night = (
        rgb("1f4a3c f0e3c2 5d8a4a c9b85a 1f4a3c f0e3c2 8fae6a 5d8a4a"),
        rgb("2a2228 e8bb5a b8432a f3e2bd 2a2228 dd9a3e f0e3c2 7a1f1c"),
    )
    inward, circle = Y * TALL + 150 * np.sin(X * TALL / 260) + 4000, np.zeros((TALL, WIDE), int)
    for number in range(1, 31):  # each circle hides what is behind it
        top, left, radius = random.uniform(0, TALL), random.uniform(0, WIDE), random.uniform(5, 13) * 1.5 * side
        depth = radius - np.hypot(Y * TALL - top, X * TALL - left)
        inward, circle = np.where(depth > 0, depth, inward), np.where(depth > 0, number, circle)
    down, right = np.gradient(inward)
    angle = np.arctan2(right, -down)
    points = random.uniform(0, 1, (TALL * WIDE // side**2, 2)) * (TALL, WIDE)
    for _ in range(12):
        points = settle(points, angle, side)
    canvas = Image.new("RGB", (WIDE, TALL), "#4a3e36")
    pen = ImageDraw.Draw(canvas)
    for row, column in points:
        place = int(row), int(column)
        turns = angle[place] + math.pi * np.array([0.25, 0.75, 1.25, 1.75]) + 0.06 * random.normal(size=4)
        corners = 0.62 * side * random.uniform(0.9, 1.08, 4)[:, None] * np.stack([np.cos(turns), np.sin(turns)], axis=1)
        palette = (sea, fire, leaf, night)[circle[place] % 4]
        color = palette[int(inward[place] / (1.5 * side)) % len(palette)] * random.uniform(0.82, 1.12) + 6 * random.normal(
            size=3
        )
        for size, light in ((1.0, 0.82), (0.78, 1.0)):  # the face is a little up and to the left on its shaded stone
            corner = corners * size + (column, row) - (1 - size) * 6
            pen.polygon([tuple(point) for point in corner], fill=tuple((color * light).clip(0, 255).astype(int)))
    return finished(np.asarray(canvas) * (1 + 0.07 * grain(random, 500))[..., None])


def ink(seed: int = 5) -> Image.Image:
    """Pen on cream paper: strokes that bend round the forms, thicker where it is darker, and crossed there by more."""
    random = Random(seed)
    hills = waves(random, 1.7) + 0.25 * waves(random, 4)
    down, right = np.gradient(hills)
    light = right + down + 0.4 * np.std(right + down) * waves(random, 6)
    tone = 0.44 + 0.3 * light / np.std(light)
    wobble = 0.0009 * waves(random, 14) + 0.0003 * waves(random, 60)
    black = np.zeros((TALL, WIDE), np.float32)
    for turn, lightest in ((0.35, 1.45), (1.5, 0.66), (0.95, 0.4), (2.3, 0.16)):
        across = (math.sin(turn) * X + math.cos(turn) * Y + 0.042 * hills + wobble) / 0.0095
        line = np.floor(across)
        along = ((math.cos(turn) * X - math.sin(turn) * Y) / 0.13 + 0.618 * line) % 1  # each line is a row of strokes
        taper = np.clip(9 * along * (1 - along), 0, 1)
        thick = np.clip((lightest - tone) * 0.26, 0, 0.27) * taper * (1 + 0.12 * waves(random, 25))
        black = np.maximum(black, np.clip((thick - np.abs(across - line - 0.5)) * 10 + 0.5, 0, 1) * (thick > 0.02))
    paper = ramp("dcc79c f8eed6", 0.65 + 0.2 * grain(random, 6) + 0.15 * grain(random, 300))
    return finished(paper + black[..., None] * (rgb("1d1a24") - paper))


def dots(seed: int = 4) -> Image.Image:
    """Pointillism: round dabs of pure color, areas of warm and of cool ones, a few of the other kind strewn in each."""
    random = Random(seed)
    bend = waves(random, 0.9)
    light = np.clip(0.5 + 0.42 * np.sin(3.2 * bend + 7 * Y + 2 * waves(random, 0.7)) + 0.1 * waves(random, 5), 0, 1)
    warmth = np.sin(1.5 * bend + 5 * X + 1.2 * waves(random, 1))
    warm, cool = "4a1147 9c1d4f e0341f f77a1a fbbd2a fde78f", "11164f 2334a6 1d6fd0 16a3b5 5cc48c d3e8a0"
    canvas = Image.new("RGB", (WIDE, TALL), "#f0e4c8")
    pen = ImageDraw.Draw(canvas)
    for spacing, radius in ((26, 20), (19, 13), (24, 12)):
        places = np.stack([axis.ravel() for axis in np.mgrid[0:TALL:spacing, 0:WIDE:spacing]], axis=1)
        places = random.permutation(places + random.uniform(-0.6, 0.6, places.shape) * spacing)
        row, column = places.clip(0, (TALL - 1, WIDE - 1)).astype(int).T
        count = len(row)
        tone = np.clip(light[row, column] + 0.12 * random.normal(size=count), 0, 1)
        is_warm = (warmth[row, column] + 0.3 * random.normal(size=count) > 0) ^ (random.uniform(0, 1, count) < 0.13)
        colors = np.where(is_warm[:, None], ramp(warm, tone), ramp(cool, tone)) + 8 * random.normal(size=(count, 3))
        halves = radius * random.uniform(0.75, 1.15, (count, 1)) * random.uniform(0.88, 1.12, (count, 2))
        for x, y, (tall, wide), color in zip(column, row, halves, colors.clip(0, 255).astype(int), strict=True):
            pen.ellipse((x - wide, y - tall, x + wide, y + tall), fill=tuple(color))
    return finished(np.asarray(canvas))


def marble(seed: int = 6, drops: int = 90) -> Image.Image:
    """Marbled paper: drops of ink push each other aside, then a stylus and combs drag them (Lu and others, Mathematical
    marbling, 2012). Each pixel is traced back through all of that, the last first, to the drop that it came from."""
    random = Random(seed)
    inks = rgb("14254a 1f5f93 f4e8cc b3202c e2a334 f4e8cc 10685f 14254a ea7a45 7fb6b0")
    y, x = Y, X
    for _ in range(9):  # the stylus, which stirs
        top, left, size = random.uniform(0, 1), random.uniform(0, 1.33), random.uniform(0.06, 0.16)
        dy, dx = y - top, x - left
        turn = 3.5 * int(random.choice([-1, 1])) * np.exp(-(dy**2 + dx**2) / size**2)
        y, x = top + dy * np.cos(turn) - dx * np.sin(turn), left + dx * np.cos(turn) + dy * np.sin(turn)
    y = y + 0.05 * (np.exp(-6 * np.abs(x / 0.045 % 1 - 0.5)) - 0.3)  # a fine comb down
    x = x + 0.26 * (np.abs(y / 0.22 % 2 - 1) - 0.5)  # a coarse one, to and fro
    y = y + 0.1 * np.sin(2 * math.pi * x / 0.3)
    places = np.stack([y.ravel(), x.ravel()])
    ink_of, open_still = np.zeros(y.size, int), np.arange(y.size)
    for drop in range(drops):
        center = np.array([[random.uniform(-0.15, 1.15)], [random.uniform(-0.15, 1.5)]], dtype=np.float32)
        area = float(random.choice([0.05, 0.09, 0.13])) ** 2
        away = places - center
        far = (away**2).sum(axis=0) / area
        inside = far < 1
        ink_of[open_still[inside]] = drop * 3 + (far[inside] * 5).astype(int)  # five drops in one place: five rings
        open_still, away, far = open_still[~inside], away[:, ~inside], far[~inside]
        places = center + away * np.sqrt(1 - 1 / far)
    ink_of[open_still] = places[0] * 31 + 2 * np.sin(9 * places[1])  # before the drops there were stripes
    return finished(inks[ink_of % len(inks)].reshape(TALL, WIDE, 3) * (1 + 0.04 * grain(random, 300))[..., None])


def knife(seed: int = 8) -> Image.Image:
    """Thick paint: a garden, laid with a palette knife in short flat slabs that catch the light."""
    random = Random(seed)
    codes = "16241c 1f4a36 4b7a3c a3b04a f0e6a0 fff6ea f6b8c4 e0588a 9c2a6e 4a1f5a 241536"
    tone = np.clip(0.5 + 0.5 * np.sin(1.6 * waves(random, 1.2) + 9 * Y - 3 * X), 0, 1)
    angle = 0.5 * waves(random, 0.8) + 0.7
    canvas, relief = ramp(codes, tone).astype(np.uint8), np.zeros((TALL, WIDE), dtype=np.float32)
    for width, count in ((150, 900), (105, 1300), (70, 1100), (36, 450)):
        for row, column in (random.uniform(0, 1, (count, 2)) * (TALL, WIDE)).astype(int):
            turn = angle[row, column] + random.normal() * 0.3 + random.choice([0, 1.4])
            reach = width * random.uniform(0.5, 1.1) * np.array([np.cos(turn), np.sin(turn)])
            path = np.array([column, row]) + np.linspace(-1, 1, 5)[:, None] * reach
            tones = np.clip(tone[row, column] + 0.09 * random.normal() + 0.08 * random.normal(size=2), 0, 1)
            painting.lay_stroke(canvas, relief, path, width * random.uniform(0.7, 1.2), ramp(codes, tones), random)
    painting.light_relief(canvas, relief)
    return finished(canvas)


def kilim(seed: int = 1, knot: int = 16) -> Image.Image:
    """A woven carpet: stepped diamonds in bands, each knot of its own shade."""
    random = Random(seed)
    rows, columns = -(-TALL // knot), -(-WIDE // knot)
    down, right = np.mgrid[0:rows, 0:columns]
    wool = rgb("8f1d22 1d2b52 efe2c2 d08a2c 1f5a55 5a1620 c9502e e9c98a")
    colors, top = np.zeros((rows, columns, 3)), 0
    while top < rows:
        tall = int(random.choice([3, 5, 15, 21, 27]))
        half = tall // 2 + 1
        diamond = np.abs(down - top - tall // 2) + np.abs(right % (2 * half) - half)
        order = random.permutation(len(wool))
        colors[top : top + tall] = wool[order[diamond // 2 % len(wool)]][top : top + tall]
        top += tall
    colors = colors * random.uniform(0.85, 1.12, (rows, columns, 1)) * random.uniform(0.9, 1.1, (rows, 1, 1))
    y, x = Y * TALL / knot, X * TALL / knot
    dy, dx = y % 1 - 0.5, x % 1 - 0.5
    thread = 1.1 - 1.6 * (dy**2 + 0.6 * dx**2) + 0.12 * np.sin(14 * (dy + np.abs(dx)))
    return finished(colors[y.astype(int), x.astype(int)] * (thread + 0.08 * grain(random, 400))[..., None])


STYLES: dict[str, Callable[[], Image.Image]] = {
    draw.__name__: draw for draw in (glass, mosaic, ink, dots, marble, knife, kilim)
}


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
def main(folder: Path) -> None:
    """Write a picture for each style into FOLDER."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, draw in STYLES.items():
        draw().save(folder / f"{name}.png")
        click.echo(f"wrote {folder / name}.png")


if __name__ == "__main__":
    main()
