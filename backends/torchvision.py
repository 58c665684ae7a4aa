"""torchvision's own VGG weights, where torchvision is installed; and what it takes to import it beside any torch."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

from isostyle.errors import InputError, IsostyleError

#: Operators that torchvision's Python files refer to when they are imported, by name and signature.
TORCHVISION_OPERATORS = ("nms", "qnms")
TORCHVISION_SIGNATURE = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
#: Declarations last as long as these objects.
TORCHVISION_LIBRARY: list[Any] = []
#: The folder of torch.hub's cache that weights are in, and the members of torchvision's enumerations of weights.
HUB_FOLDER = "checkpoints"
ENUMERATIONS = {"vgg19": "VGG19_Weights", "vgg16": "VGG16_Weights"}
MEMBER = "IMAGENET1K_V1"


def declare_operators() -> None:
    """Make torchvision's Python files importable.

    Its compiled operators load only beside the torch that they were built for (a CUDA build's do not beside a CPU build), and
    without them `import torchvision` fails, though VGG needs none. So their names are declared if they are missing.
    """
    import torch

    try:
        import torchvision  # noqa: F401
    except RuntimeError:
        for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
            del sys.modules[name]
        for operator in TORCHVISION_OPERATORS:
            TORCHVISION_LIBRARY.append(torch.library.Library("torchvision", "FRAGMENT"))
            TORCHVISION_LIBRARY[-1].define(operator + TORCHVISION_SIGNATURE)


def checkpoint(name: str, offline: bool) -> Path:
    """The file of torchvision's weights in torch.hub's cache; torchvision downloads it if it is not there.

    Raises:
        InputError: torchvision is not installed, or ``offline`` and the file is not in torch.hub's cache.
        IsostyleError: torchvision could not download it.
    """
    if importlib.util.find_spec("torch") is None or importlib.util.find_spec("torchvision") is None:
        raise InputError("torchvision is not installed: pip install 'isostyle[torch,zoo]'")
    declare_operators()
    import torch
    from torchvision import models

    weights = getattr(models, ENUMERATIONS[name])[MEMBER]
    path: Path = Path(torch.hub.get_dir()) / HUB_FOLDER / weights.url.rpartition("/")[2]
    if offline and not path.exists():
        raise InputError(f"offline: torch.hub's cache has no {path.name}; put it into {str(path.parent)!r}")
    try:
        weights.get_state_dict(progress=False, check_hash=True, map_location="cpu", weights_only=True)
    except Exception as error:  # urllib's, torch's and pickle's own kinds
        raise IsostyleError(f"torchvision could not load {path.name}: {' '.join(str(error).split())}") from error
    return path
