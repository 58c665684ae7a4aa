"""The painting that `isostyle demo` uses as its style image: a harvest moon over an autumn valley, in oils.

`Composition` says what is where, how light it is, and which way the brush moves there; `paint` covers a canvas with strokes
along that plan, broad ones first, and at last shines a light from the upper left on the relief of the paint.
"""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Floats = NDArray[np.float64]
Floats32 = NDArray[np.float32]  # single precision where there is a lot of it: it halves the time and the memory
Pixels = NDArray[np.uint8]
Mask = NDArray[np.bool_]
Random = np.random.RandomState

# The palette: for each part of the picture, its colors from dark to light.
PALETTE = {
    "sky": ("#0b1240", "#16237a", "#1f4bb0", "#2b86bd", "#58b7b5", "#b9dcc0", "#f6e7b4", "#f3c558"),
    "moon": ("#d9481c", "#ef8322", "#f6b02c", "#fbd85f", "#fff3c4"),
    "mountains": ("#1a1c55", "#33308a", "#4d5cb4", "#8a79bd", "#d49bb0", "#f2c9a6"),
    "hills": ("#0d3a3f", "#17695e", "#3d8f62", "#8fae4c", "#d9b93f", "#f4de8d"),
    "field": ("#5a2a17", "#a34a1a", "#d07f1f", "#e9ae2f", "#f7d668", "#fff0b8"),
    "river": ("#12307c", "#1f66ad", "#3aa3b4", "#a5d6c4", "#fbe9a8", "#fff6d6"),
    "trees": ("#4a0f23", "#9c1f22", "#d63c1c", "#ee7a1d", "#f6b233", "#fbe07a"),
    "cypress": ("#07141d", "#0c2b2d", "#16483a", "#2f6b3c", "#6d8a35", "#c79a3a"),
}
PARTS = tuple(PALETTE)  # from back to front: strokes of one size are laid in this order
ACCENT_SHARE = 0.045  # of the strokes take their color from another part, which ties the picture together
TONE_SPREAD = 0.10  # std of the tone, from stroke to stroke and between the two paints on a brush

# Brushes, broadest first: (width, stroke length, coverage). Width and length are in pixels of a 900 x 600 picture;
# coverage is the area of the strokes over that of the picture.
BRUSHES = ((30.0, 140.0, 3.6), (17.0, 90.0, 2.4), (10.0, 58.0, 1.6), (6.0, 36.0, 0.8), (4.0, 22.0, 0.35))
FINE = 12.0  # brushes narrower than this go more often to the parts with detail
TRACE_STEPS = 7  # straight pieces in half a stroke
PLAN_SCALE = 0.5  # size of the plan over that of the picture, each way: the strokes are coarser than its pixels
SUPERSAMPLE = 2  # size of the canvas over that of the picture, each way: it smooths the edges of the strokes

# The composition. All places and sizes are in picture heights; x runs from 0 to 1.5, y from 0 at the top to 1.
MOON = (1.13, 0.21, 0.075)  # x, y, radius
STARS = ((0.06, 0.1), (0.12, 0.33), (0.47, 0.36), (0.85, 0.08), (1.4, 0.11), (1.37, 0.36), (0.6, 0.06))
STAR_RADIUS = 0.023
SWIRLS = ((0.66, 0.25, 0.10, 1), (0.90, 0.40, 0.055, -1), (0.42, 0.10, 0.06, -1))  # x, y, radius, turns
VANISHING_POINT = (1.0, 0.55)  # where the furrows and the river meet
HOUSES = ((0.84, 0.655, 0.025), (0.91, 0.645, 0.031), (0.965, 0.66, 0.021))  # x, foot, half width
FAR_TREES = ((0.6, 0.62, 0.05), (0.69, 0.645, 0.06), (0.765, 0.655, 0.034))  # x, y, radius
NEAR_TREES = ((1.165, 0.635, 0.035), (1.24, 0.625, 0.055), (1.35, 0.635, 0.075), (1.485, 0.625, 0.095))
CYPRESSES = ((0.37, 0.36, 0.93, 0.045), (0.23, 0.05, 1.02, 0.075))  # x, top, foot, half width


def value_noise(rng: Random, height: int, width: int, rows: int, columns: int) -> Floats32:
    """Smooth noise (height, width) in about -1 to 1: random values on rows x columns points, interpolated."""
    lattice = rng.uniform(-1, 1, (rows, columns)).astype(np.float32)
    return np.asarray(Image.fromarray(lattice).resize((width, height), Image.Resampling.BICUBIC), dtype=np.float32)


def mix_colors(part: str, tone: Floats) -> Floats:
    """Colors (..., 3), 0 to 255, for tones (...), 0 to 1, in one part's range of the palette."""
    stops = np.array([[int(code[i : i + 2], 16) for i in (1, 3, 5)] for code in PALETTE[part]], dtype=np.float64)
    places = np.arange(len(stops)) / (len(stops) - 1)
    return np.stack([np.interp(tone, places, stops[:, channel]) for channel in range(3)], axis=-1)


class Composition:
    """What to paint where, for each pixel of a small picture, from back to front: each part overwrites what it hides.

    All are (H, W): `part` indexes PARTS, `tone` runs from 0 dark to 1 light, `detail` is how much denser than elsewhere the
    fine strokes are, `cloud` and `grain` are coarse and fine noise; `flow` (H, W, 2) is the brush's unit direction (x, y).
    """

    def __init__(self, width: int, height: int, rng: Random) -> None:
        rows, columns = np.mgrid[0:height, 0:width] / height
        self.y: Floats = rows
        self.x: Floats = columns + 0.75 - 0.5 * width / height  # other formats crop or extend the sides
        self.cloud = value_noise(rng, height, width, 7, 10).astype(np.float64)
        self.grain = value_noise(rng, height, width, 30, 45).astype(np.float64)
        self.part = np.zeros((height, width), dtype=np.int64)
        self.tone, self.detail = np.zeros((height, width)), np.ones((height, width))
        self.flow = np.zeros((height, width, 2))
        self.add_sky()
        self.add_land()
        self.add_village()
        self.add_trees()

    def put(self, name: str, where: Mask, tone: Floats, flow: tuple[Floats, Floats], detail: int) -> None:
        """Give the pixels `where` to a part, with its tone, its flow (x, y; of any length) and its detail."""
        self.part[where], self.detail[where] = PARTS.index(name), detail
        self.tone[where] = np.clip(tone + 0.06 * self.grain, 0, 1)[where]
        direction = np.stack(flow, axis=-1)[where]
        self.flow[where] = direction / (np.linalg.norm(direction, axis=-1, keepdims=True) + 1e-9)

    def add_sky(self) -> None:
        """Sky, stars and moon. The sky is one phase field, whose level lines the brush follows, and whose sine makes bands of
        light. A bump in it makes rings; an angle added to it winds the bands into a spiral."""
        x, y = self.x, self.y
        from_moon = np.hypot(x - MOON[0], y - MOON[1])
        drift = 19 * (y - MOON[1]) + 1.6 * np.sin(4.2 * x + 0.6) + 0.9 * self.cloud
        phase = drift * (1 - np.exp(-((from_moon / 0.17) ** 4))) + 10 * np.exp(-((from_moon / 0.2) ** 2)) + 4
        halo = np.exp(-((from_moon / 0.12) ** 4))
        for star_x, star_y in STARS:
            near = np.exp(-((np.hypot(x - star_x, y - star_y) / (2.1 * STAR_RADIUS)) ** 2))
            phase, halo = phase + 3.5 * near, halo + near
        for swirl_x, swirl_y, radius, turns in SWIRLS:
            near = np.exp(-((np.hypot(x - swirl_x, y - swirl_y) / radius) ** 2) / 2)
            phase = phase + turns * np.arctan2(y - swirl_y, x - swirl_x) + 60 * radius * near
        wave = np.exp(1j * phase)  # the gradient is taken through this, where the angle's jump at +-pi does not show
        gradient_y, gradient_x = (np.imag(np.conj(wave) * gradient) for gradient in np.gradient(wave))
        bands = 0.29 + 0.2 * np.sin(phase) + 0.08 * self.cloud + 0.24 * np.clip((y - 0.28) / 0.25, 0, 1)
        self.put("sky", y > -1, bands + (0.8 - bands) * halo, (gradient_y, -gradient_x), 1)
        for center_x, center_y, radius in (MOON, *((*star, STAR_RADIUS) for star in STARS)):
            distance = np.hypot(x - center_x, y - center_y)
            self.put("moon", distance < radius, 1.1 - distance / radius, (center_y - y, x - center_x), 4)

    def add_land(self) -> None:
        """Mountains, hills, the plowed field, and the river between green banks that winds to the vanishing point."""
        x, y, cloud = self.x, self.y, self.cloud
        level = np.ones_like(x)
        mountains = 0.50 - 0.06 * np.sin(3.4 * x + 0.2) - 0.025 * np.sin(8.1 * x + 1) - 0.01 * np.sin(21 * x)
        hills = 0.60 + 0.03 * np.sin(4.4 * x + 2.4) + 0.012 * np.sin(11 * x)
        for name, ridge, steepness in (("mountains", mountains, 0.9), ("hills", hills, 0.1)):
            depth, gradient = y - ridge, np.gradient(ridge, axis=1) * len(ridge)
            fold = np.sin(38 * x + 30 * depth * steepness + 3 * cloud)
            tone = 0.8 - 5 * depth + 0.5 * gradient + 0.2 * cloud + 0.22 * fold
            self.put(name, depth > 0, tone, (level, gradient + steepness * fold + 0.5 * cloud), 1)
        right, down = x - VANISHING_POINT[0], y - VANISHING_POINT[1]
        field = y > 0.69 + 0.02 * np.sin(3 * x + 1)
        furrows = np.sin(7 * right / np.maximum(down, 0.03) + cloud)
        self.put("field", field, 0.53 + 0.29 * furrows + 0.15 * cloud, (right + 0.1 * cloud, down), 1)
        bank = np.abs(right - 1.1 * down * np.sin(9 * down + 0.4)) / (0.012 + 0.9 * np.maximum(down, 0) ** 1.6)
        ripples = 0.75 - 0.45 * bank + 0.25 * np.sin(70 * y + 3 * cloud)
        self.put("hills", (bank < 1.4) & (y > 0.63), 0.45 + 0.4 * cloud, (level, cloud - 0.6), 3)
        self.put("river", (bank < 1) & (y > 0.6), ripples, (level, 0.3 * cloud), 1)

    def add_village(self) -> None:
        """Gabled houses, bluer on the side away from the moon, with red roofs and a lit window each."""
        for center_x, foot, size in HOUSES:
            right, up = (self.x - center_x) / size, (foot - self.y) / size
            wall, roof = (np.abs(right) < 1) & (up > 0) & (up < 1.2), (up > 1) & (up < 2.2 - np.abs(right))
            shade = np.copysign(1.0, right)
            window = (np.abs(right + 0.45) < 0.22) & (np.abs(up - 0.55) < 0.3)
            self.put("mountains", wall, 0.65 + 0.3 * shade, (0 * up, 1 + up), 6)
            self.put("moon", window, 0.7 + 0 * up, (0 * up, 1 + up), 12)
            self.put("trees", roof, 0.35 + 0.15 * shade, (1 + 0 * up, shade), 6)

    def add_trees(self) -> None:
        """Autumn trees, built of clumps of leaves that are each lit from the moon, and the cypresses in front."""
        x, y, cloud, grain = self.x, self.y, self.cloud, self.grain
        for center_x, center_y, radius in FAR_TREES + NEAR_TREES:
            right, down = (x - center_x) / radius, (y - center_y) / radius
            shadow = np.hypot(0.8 * right + 0.3, 4 * (down - 1.2)) + 0.2 * grain < 1
            self.put("mountains", shadow, 0.2 + 0.2 * grain, (np.ones_like(x), 0.2 * cloud), 1)
            lit, ripeness = 0.25 * np.sign(MOON[0] - center_x), 0.16 * np.sin(60 * center_x)
            for clump in range(9):  # from the top at the back to the bottom in front
                height = 0.2 * clump - 0.9
                side = right - 0.75 * np.sin(2.4 * clump) * (1 - height**2) ** 0.5
                tone = 0.47 + ripeness - 0.12 * height - 0.5 * (down - height) + lit * side + 0.25 * grain
                leaves = np.hypot(side, down - height) + 0.15 * grain < 0.48
                self.put("trees", leaves, tone, (height + 0.4 - down + 0.3 * grain, side), 2)
        for center_x, top, foot, half_width in CYPRESSES:
            rise: Floats = np.clip((y - top) / (foot - top), 0, 1)  # 0 at the tip, 1 at the foot
            side = (x - center_x) / half_width - 0.35 * np.sin(9 * rise + 20 * center_x)
            outline = 1.9 * rise**0.75 * (1.04 - rise) ** 0.35 + 0.22 * grain * rise
            tone = 0.32 + 0.25 * np.sin(7 * side + 14 * rise + 2 * cloud) + 0.12 * side
            lean = 0.25 * side + 0.5 * np.cos(9 * rise) + 0.5 * grain
            self.put("cypress", (np.abs(side) < outline) & (y > top), tone, (lean, -1.0 - rise), 2)


def prime(plan: Composition, width: int, height: int) -> Pixels:
    """A canvas (height, width, 3) toned with a dim copy of the plan, so that no gap between strokes is bare."""
    ground = np.zeros((*plan.tone.shape, 3))
    for number, name in enumerate(PARTS):
        where = plan.part == number
        ground[where] = mix_colors(name, 0.8 * plan.tone[where])
    return np.array(Image.fromarray(ground.astype(np.uint8)).resize((width, height), Image.Resampling.BICUBIC))


def trace(plan: Composition, starts: Floats, step: float) -> tuple[Floats, NDArray[np.int64]]:
    """Follow the flow from each start (N, 2), x and y in plan pixels, by `step` at a time: the paths (N, TRACE_STEPS + 1, 2),
    and how many of its points each may use: a stroke ends soon after it leaves the part of the picture where it began."""
    limit = np.array(plan.tone.shape[::-1]) - 1
    paths, here = [starts], starts
    column, row = starts.astype(int).T
    home, heading = plan.part[row, column], plan.flow[row, column]
    inside, usable = np.ones(len(starts), dtype=bool), np.full(len(starts), 2)
    for _ in range(TRACE_STEPS):
        flow = plan.flow[row, column]
        flow = flow * np.where((flow * heading).sum(axis=1, keepdims=True) < 0, -1.0, 1.0)  # never turn back
        heading = 0.25 * heading + 0.75 * flow  # a brush has some inertia: no kinks
        here = here + step * heading / (np.linalg.norm(heading, axis=1, keepdims=True) + 1e-9)
        paths.append(here)
        column, row = np.clip(here, 0, limit).astype(int).T
        inside &= plan.part[row, column] == home
        usable += inside
    return np.stack(paths, axis=1), np.minimum(usable, TRACE_STEPS + 1)


def lay_stroke(canvas: Pixels, relief: Floats32, path: Floats, width: float, colors: Floats, rng: Random) -> None:
    """Lay one stroke along `path` (N, 2), `width` wide, both in canvas pixels, on the canvas (H, W, 3) and on its
    relief (H, W), the height of the paint. `colors` (2, 3) are the two paints on the brush, which mix streakily."""
    length = float(np.linalg.norm(np.diff(path, axis=0), axis=1).sum())
    along, across = max(8, int(length / 0.75)), max(6, int(width / 0.75))  # samples, close enough to leave no holes
    u = np.arange(along, dtype=np.float32) / (along - 1)  # 0 where the brush touches down, 1 where it lifts off
    v = np.arange(across, dtype=np.float32)[:, None] * (2 / (across - 1)) - 1  # -1 to 1 across the brush
    knots = np.arange(len(path)) / (len(path) - 1)
    lines = (*path.T, *np.gradient(path, axis=0).T)
    spine_x, spine_y, tangent_x, tangent_y = (np.interp(u, knots, line).astype(np.float32) for line in lines)
    half = 0.5 * width * np.minimum(1, np.minimum(0.6 + 4 * u, 0.4 + 2 * (1 - u)))
    half /= np.hypot(tangent_x, tangent_y) + 1e-6
    column = (spine_x - v * (half * tangent_y)).astype(np.int32)
    row = (spine_y + v * (half * tangent_x)).astype(np.int32)

    streaks = value_noise(rng, across, along, max(4, int(width / 3)), 4)  # a row of noise for each tuft of bristles
    load = streaks[::-1]  # how much paint a tuft holds: the same noise upside down, which saves time, unseen
    edge = v**2 * v**2
    ragged = 0.07 + 0.06 * load  # each tuft touches down and runs dry at its own place
    wet = (u > ragged) & (u < 1 - 2 * ragged) & (load > 0.75 * u**2 + 0.3 * edge - 1.25)
    wet &= (row >= 0) & (row < canvas.shape[0]) & (column >= 0) & (column < canvas.shape[1])
    spot = (row * canvas.shape[1] + column)[wet]
    blend = np.clip(0.5 + 0.45 * v + 0.55 * streaks, 0, 1)[wet][:, None]
    first, second = colors.astype(np.float32)
    fresh = (first + (second - first) * blend) * (0.89 + 0.13 * load[wet][:, None])
    flat_canvas, flat_relief = canvas.reshape(-1, 3), relief.reshape(-1)
    flat_canvas[spot] = np.clip(fresh + 0.12 * flat_canvas[spot], 0, 255)  # wet in wet: some paint below comes up
    ridges = (1 + 0.7 * streaks + 0.5 * load + 0.7 * edge)[wet]  # paint also piles up at both edges of a stroke
    flat_relief[spot] = 0.35 * flat_relief[spot] + ridges * (width / 12) ** 0.5


def light_relief(canvas: Pixels, relief: Floats32) -> None:
    """Shade the canvas in place as if lit from the upper left: the ridges of the paint catch the light."""
    facing = np.zeros_like(relief)
    facing[1:, 1:] = np.tanh(0.7 * (2 * relief[1:, 1:] - relief[:-1, 1:] - relief[1:, :-1]))
    for channel in range(3):
        lit = canvas[..., channel] * (1 + 0.22 * facing) + 16 * np.maximum(facing, 0)
        canvas[..., channel] = np.clip(lit, 0, 255)


def paint(width: int = 900, height: int = 600, seed: int = 7) -> Image.Image:
    """Paint the picture, `width` x `height` pixels, RGB. The same seed gives the same picture."""
    rng = np.random.RandomState(seed)
    plan = Composition(max(2, round(width * PLAN_SCALE)), max(2, round(height * PLAN_SCALE)), rng)
    canvas = prime(plan, width * SUPERSAMPLE, height * SUPERSAMPLE)
    relief = np.zeros(canvas.shape[:2], dtype=np.float32)
    zoom = SUPERSAMPLE / PLAN_SCALE  # from plan to canvas pixels
    scale = PLAN_SCALE * (width * height / (900 * 600)) ** 0.5  # from brush to plan pixels
    for brush, length, coverage in BRUSHES:
        count = round(coverage * 900 * 600 / (brush * length))
        density = plan.detail.ravel() if brush < FINE else np.ones(plan.detail.size)
        row, column = np.divmod(rng.choice(density.size, count, p=density / density.sum()), plan.tone.shape[1])
        starts = np.stack([column, row], axis=1) + rng.uniform(0, 1, (count, 2))
        ahead, ahead_points = trace(plan, starts, 0.5 * length * scale / TRACE_STEPS)
        behind, behind_points = trace(plan, starts, -0.5 * length * scale / TRACE_STEPS)
        part, tone, detail = (plane[row, column] for plane in (plan.part, plan.tone, plan.detail))
        accent = rng.uniform(0, 1, count) < ACCENT_SHARE / detail  # a small thing would not survive them
        for i in np.argsort(part, kind="stable"):
            name = PARTS[rng.randint(len(PARTS)) if accent[i] else part[i]]
            tones = tone[i] + TONE_SPREAD * (rng.normal() + rng.normal(size=2))
            path = np.concatenate([behind[i, behind_points[i] - 1 : 0 : -1], ahead[i, : ahead_points[i]]])
            size = brush * scale * rng.uniform(0.75, 1.2)
            lay_stroke(canvas, relief, path * zoom, size * zoom, mix_colors(name, np.clip(tones, 0, 1)), rng)
    light_relief(canvas, relief)
    return Image.fromarray(canvas).resize((width, height), Image.Resampling.LANCZOS)
