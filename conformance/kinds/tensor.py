"""``tensor``: arrays go in and come out as copies, whatever their strides."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from isostyle.conformance.cases import Case
from isostyle.conformance.kinds.kind import ENGINE, Kind, Points
from isostyle.conformance.tolerances import EXACT

if TYPE_CHECKING:
    from isostyle.conformance.subjects import Subject

#: The layer at which features of strided and plain arrays are compared.
TAP = "conv2_1"


def probe(subject: Subject, case: Case, dtype: str) -> Points:
    engine = subject.engine("narrow", dtype)
    given = subject.inputs.arrays["outside"]
    image = given.astype(dtype)
    turned = np.ascontiguousarray(image[0].transpose(1, 2, 0)).transpose(2, 0, 1)[None]  # (H, W, 3), seen as (1, 3, H, W)
    mirrored = np.ascontiguousarray(image[..., ::-1])[..., ::-1]
    found = {name: engine.array(engine.tensor(x)) for name, x in (("plain", image), ("turned", turned), ("mirrored", mirrored))}
    overwritten = image.copy()
    tensor = engine.tensor(overwritten)
    overwritten[:] = 0
    found["after its array was overwritten"] = engine.array(tensor)
    taken = np.asarray(engine.array(tensor))
    if taken.flags.writeable:
        taken[:] = 0
    found["after its copy was overwritten"] = engine.array(tensor)
    other = "float64" if dtype == "float32" else "float32"
    found["given in the other dtype"] = engine.array(engine.tensor(given.astype(other)))
    # Kernels for other layouts give other bits; a tensor's layout must not depend on its array's.
    for name, x in (("turned", turned), ("mirrored", mirrored)):
        strided, plain = (engine.array(engine.features(engine.tensor(y), [TAP])[TAP]) for y in (x, image))
        found[f"features, {name} less plain"] = strided - plain
    return found


TENSOR = Kind("tensor", probe, (EXACT,), parts=(ENGINE,))
