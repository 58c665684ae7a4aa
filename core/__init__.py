"""Neural style transfer, written once as a specification and run by PyTorch, Apache MXNet and PaddlePaddle alike.

>>> import isostyle
>>> result = isostyle.stylize("photo.jpg", "painting.jpg", backend="torch")  # doctest: +SKIP
>>> result.picture.save("out.png")  # doctest: +SKIP

Importing isostyle imports no framework, and not even NumPy; names are loaded when they are first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from isostyle._version import __version__
from isostyle.errors import InputError, IsostyleError

if TYPE_CHECKING:
    from isostyle.published import RECIPES
    from isostyle.recipe import Recipe
    from isostyle.sizes import AsIs, ExactSize, LongSide, ShortSide, Square
    from isostyle.style_networks.apply import Applier, apply
    from isostyle.style_networks.train import train
    from isostyle.style_networks.trainer import TrainingRecipe
    from isostyle.transfer.compare import Comparison, compare
    from isostyle.transfer.descent import Event
    from isostyle.transfer.estimate import Estimate, estimate
    from isostyle.transfer.rerun import Rerun, rerun
    from isostyle.transfer.result import Interrupted, Result, Stopped
    from isostyle.transfer.stylize import resume, stylize

__all__ = [
    "RECIPES",
    "Applier",
    "AsIs",
    "Comparison",
    "Estimate",
    "Event",
    "ExactSize",
    "InputError",
    "Interrupted",
    "IsostyleError",
    "LongSide",
    "Recipe",
    "Rerun",
    "Result",
    "ShortSide",
    "Square",
    "Stopped",
    "TrainingRecipe",
    "__version__",
    "apply",
    "compare",
    "estimate",
    "rerun",
    "resume",
    "stylize",
    "train",
]

_HOME = {
    **dict.fromkeys(("Applier", "apply"), "isostyle.style_networks.apply"),
    **dict.fromkeys(("Interrupted", "Result", "Stopped"), "isostyle.transfer.result"),
    **dict.fromkeys(("resume", "stylize"), "isostyle.transfer.stylize"),
    "RECIPES": "isostyle.published",
    "Recipe": "isostyle.recipe",
    **dict.fromkeys(("AsIs", "ExactSize", "LongSide", "ShortSide", "Square"), "isostyle.sizes"),
    **dict.fromkeys(("Rerun", "rerun"), "isostyle.transfer.rerun"),
    **dict.fromkeys(("Comparison", "compare"), "isostyle.transfer.compare"),
    **dict.fromkeys(("Estimate", "estimate"), "isostyle.transfer.estimate"),
    "Event": "isostyle.transfer.descent",
    "TrainingRecipe": "isostyle.style_networks.trainer",
    "train": "isostyle.style_networks.train",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'isostyle' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
