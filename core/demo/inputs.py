"""What `isostyle demo` starts from: a photograph that a dependency ships, and a painting that isostyle draws."""

from __future__ import annotations

from PIL import Image

from isostyle.demo.painting import paint
from isostyle.errors import InputError
from isostyle.images import decode

#: Rear Admiral Grace Hopper, photographed by James S. Davis for the United States Navy, 1984: public domain.
PORTRAIT = "grace_hopper.jpg"


def photograph() -> Image.Image:
    """The demo's content image. Raises InputError if matplotlib is not installed."""
    try:
        from matplotlib.cbook import get_sample_data
    except ImportError:
        raise InputError("the demo's photograph and plot need matplotlib: pip install 'isostyle[plot]'") from None
    return decode.read_rgb(str(get_sample_data(PORTRAIT, asfileobj=False)))


def painting() -> Image.Image:
    """The demo's style image."""
    return paint()
