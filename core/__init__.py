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
    from isostyle.api import Interrupted, Result, Stopped, resume, stylize
    from isostyle.applying import Applier, apply
    from isostyle.published import RECIPES
    from isostyle.recipe import AsIs, ExactSize, LongSide, Recipe, ShortSide, Square
    from isostyle.rerunning import Rerun, rerun
    from isostyle.run import Event
    from isostyle.trainer import TrainingRecipe
    from isostyle.training import train

__all__ = [
    "RECIPES",
    "Applier",
    "AsIs",
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
    "rerun",
    "resume",
    "stylize",
    "train",
]

_HOME = {
    **dict.fromkeys(("Applier", "apply"), "isostyle.applying"),
    **dict.fromkeys(("Interrupted", "Result", "Stopped", "resume", "stylize"), "isostyle.api"),
    "RECIPES": "isostyle.published",
    **dict.fromkeys(("AsIs", "ExactSize", "LongSide", "Recipe", "ShortSide", "Square"), "isostyle.recipe"),
    **dict.fromkeys(("Rerun", "rerun"), "isostyle.rerunning"),
    "Event": "isostyle.run",
    "TrainingRecipe": "isostyle.trainer",
    "train": "isostyle.training",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'isostyle' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
