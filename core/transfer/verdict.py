"""Whether what a run has made is worth keeping: a lower total than at its start, and a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from isostyle.images import arrays
from isostyle.images.deep import Pixels
from isostyle.transfer.descent import Diverged
from isostyle.transfer.history import History

#: Updates that a run has to have made before it is a failure: Adam's first ones, from a photograph, may well raise the total.
JUDGED_FROM = 50
#: But not to so many times what it was. (The tutorial's came to 2e4 times, from the style image, whose style loss is 0.)
EXPLODED = 1e6
#: A run that lowered its total by a smaller share has hardly moved.
LEAST_GAIN = 0.05
#: A picture is noise if it is rougher than this, and than so many times its inputs. Independent samples, evenly spread, have
#: 1/3, black or white ones 1/2; photographs and paintings have 0.01 to 0.1.
NOISE, ROUGHER = 0.2, 2
#: Roughness is measured in the middle, this many pixels wide and high.
LOOKED_AT = 1024


class Worthless(Diverged):
    """A run came to its end, and made something worse than it began with."""


@dataclass(frozen=True)
class Gain:
    """What a run did at one size: how many updates, and its first and last total."""

    steps: int
    first: float
    last: float

    @classmethod
    def of(cls, rows: Sequence[Mapping[str, float]]) -> Gain:
        first, last = rows[0], rows[-1]
        return cls(int(last["step"] - first["step"]), first["total"], last["total"])

    @property
    def share(self) -> float:
        return self.last / self.first


def roughness(picture: Pixels) -> float:
    """How much neighboring samples, of 0..1, differ on average."""
    middle = arrays.crop(picture, min(picture.height, LOOKED_AT), min(picture.width, LOOKED_AT))
    image = arrays.to_array(middle, "float32", "unit")
    steps = [np.abs(np.diff(image, axis=axis)).ravel() for axis in (2, 3)]
    return float(np.concatenate(steps).mean())


def judge(history: History, picture: Pixels, roughness_before: float) -> str | None:
    """Judge a finished run by its history, the picture that it made, and the roughness of the pictures that went in.

    Returns what should be said of a run that hardly moved, or is too short to be judged; None of others.

    Raises:
        Worthless: the total is above where it began, or the picture is noise.
    """
    levels = [gain for gain in map(Gain.of, history.levels()) if gain.steps and gain.first > 0]
    if not levels:
        return None
    for level in levels:
        if level.share > (1 if level.steps >= JUDGED_FROM else EXPLODED):
            raise Worthless(
                f"the total ended at {level.last:.4g}, {level.share:.3g} times where it began; try a smaller learning rate, "
                "L-BFGS with a line search, or another recipe"
            )
    steps, share = sum(level.steps for level in levels), levels[-1].share
    if steps < JUDGED_FROM:
        return f"after {steps} steps the total is {share:.3g} times where it began; try more" if share > 1 else None
    if roughness(picture) > max(NOISE, ROUGHER * roughness_before):
        raise Worthless("the picture ended as noise; start from the content image, or try other weights or another recipe")
    if all(1 - level.share < LEAST_GAIN for level in levels):
        return (
            f"the picture has hardly moved: the total fell by {1 - share:.1%}; try more steps, a larger learning rate or style "
            "weight, or another recipe"
        )
    return None
