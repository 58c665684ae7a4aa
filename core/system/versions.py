"""What computes beside the framework."""

from __future__ import annotations

import platform

import numpy as np
import PIL


def versions() -> dict[str, str]:
    """Version by name, for a manifest."""
    return {
        "python": platform.python_version(),
        "numpy": np.__version__,
        "pillow": PIL.__version__,
        "platform": platform.platform(),
    }
