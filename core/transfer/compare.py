"""The referee: how near pictures are to a painting's style and to a photograph's content, whoever made them.

It looks with the real VGG-16, whatever network painted, and with relative losses, so that two pure numbers come out: loudness
and size cancel. Style falls as content rises, so read them together."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from isostyle import registry
from isostyle.errors import InputError
from isostyle.images import arrays
from isostyle.images.decode import ImageLike, PictureIn, eight_bits, read
from isostyle.images.transparency import on_white, reflect
from isostyle.interface import Parameters, Targets
from isostyle.losses import content_loss, squared_norm
from isostyle.network import VGG16
from isostyle.published import D2L, alike
from isostyle.registry import Framework
from isostyle.tiles import TiledEngine
from isostyle.weights import store

#: What it looks at: Gram matrices and a content layer behind the ReLU, as Gatys et al. 2016 and Johnson et al. 2016 have them.
REFEREE = dataclasses.replace(
    D2L,
    name="referee",
    source="isostyle's own: what `isostyle compare` computes",
    notes=(),
    content_layers=alike("relu4_2"),
    style_layers=alike("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1"),
    gram_divisor="hw",
    content_reduction="relative",
    style_reduction="relative",
)
CONTENT_LAYER = REFEREE.content_layers[0][0]
#: Side of the tiles that large pictures are looked at in, in pixels.
TILE = 1024


@dataclass(frozen=True)
class Comparison:
    """What the referee says of a picture.

    ``style``: the mean over five layers of |G - A|^2 / |A|^2, with the picture's Gram matrices G and the painting's A. 0 is the
    painting itself. ``content``: |F - P|^2 / |P|^2, with the picture's map F and the photograph's P. 0 is the photograph
    itself. ``photograph``: the style figure that the photograph has.
    """

    style: float
    content: float
    photograph: float

    @property
    def left(self) -> float:
        """The share of the way from the photograph to the painting's style that the picture leaves."""
        return self.style / self.photograph if self.photograph else self.style


def compare(
    pictures: Sequence[ImageLike],
    *,
    content: ImageLike,
    style: ImageLike,
    backend: str = "auto",
    device: str = "auto",
    threads: int | None = None,
) -> list[Comparison]:
    """Judge ``pictures``, made from the photograph ``content`` in the style of the painting ``style``.

    Each picture is judged at its own size: the photograph is resized to it, and the painting so that the longer sides are
    equal. ``isostyle weights fetch vgg16 --source pip`` has to be run once.

    Args:
        pictures: files, or anything else that :func:`isostyle.stylize` takes.
        content: the photograph.
        style: the painting.
        backend, device, threads: as for :func:`isostyle.stylize`.

    Raises:
        InputError: a picture cannot be read, or is too small, or the weights of vgg16 are not here.
    """
    parameters = store.load(VGG16.name).cut(REFEREE.taps)
    framework = registry.start(backend, device, threads)
    with framework.own_state():
        return judged(referee(framework, parameters), pictures, content, style)


def judged(engine: TiledEngine, pictures: Sequence[ImageLike], content: ImageLike, style: ImageLike) -> list[Comparison]:
    """What ``engine`` says of ``pictures``; as :func:`compare`."""
    photograph, painting = read(content, "the content image"), eight_bits(read(style, "the style image").as_style)
    found, last = [], None
    for number, source in enumerate(pictures, start=1):
        opened = read(source, f"picture {number}")
        picture, is_opaque = visible(opened), opened.alpha is None
        if (picture.size, is_opaque) != last:  # pictures that are compared are mostly of one kind
            last = picture.size, is_opaque
            scale = max(picture.size) / max(painting.size)
            wanted = look(engine, painting, *(max(1, round(side * scale)) for side in (painting.height, painting.width)))
            # What a transparent photograph became without transparency lies on white.
            shown = on_white(photograph.eight_bits, photograph.alpha) if is_opaque else visible(photograph)
            before = look(engine, shown, picture.height, picture.width)
        own = look(engine, picture, picture.height, picture.width)
        likeness = content_loss(own.content[CONTENT_LAYER], before.content[CONTENT_LAYER], "relative")
        found.append(Comparison(style_figure(own, wanted), likeness, style_figure(before, wanted)))
    return found


def visible(picture: PictureIn) -> Image.Image:
    """A picture whose hidden pixels have the texture of the visible ones: maps and Gram matrices are of what is seen."""
    return eight_bits(reflect(picture.pixels, picture.alpha))


def referee(framework: Framework, parameters: Parameters) -> TiledEngine:
    """The real VGG-16 on a device."""
    return TiledEngine(framework.backend.prepare(VGG16, parameters, device=framework.device, dtype="float32"), VGG16, TILE)


def look(engine: TiledEngine, picture: Image.Image, height: int, width: int) -> Targets:
    """The map and the Gram matrices of a picture at a size. Raises InputError if that is too small for the deepest layer."""
    if min(height, width) < (least := VGG16.least_side(REFEREE.taps)):
        raise InputError(
            f"a picture would be judged at {height}x{width} pixels (height x width); the referee needs {least}x{least}"
        )
    image = arrays.to_array(arrays.resize(picture, height, width), "float32")
    return engine.targets(REFEREE, image, image)


def style_figure(own: Targets, wanted: Targets) -> float:
    """The mean over layers of |G - A|^2 / |A|^2."""
    pairs = [(own.style[layer], wanted.style[layer]) for layer, _ in REFEREE.style_layers]
    return float(np.mean([np.square(gram - target).sum() / squared_norm(target) for gram, target in pairs]))
