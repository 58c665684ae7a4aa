"""``normalize``, ``denormalize``, ``round-trip``, ``resize``, ``crop``, ``noise``: pictures to arrays and back, and noise."""

from __future__ import annotations

from typing import TYPE_CHECKING

from isostyle.conformance.cases import CROPS, NOISES, RESIZES, Case
from isostyle.conformance.kinds.kind import Kind, Points
from isostyle.conformance.tolerances import EXACT, Tolerance, constant, largest, largest_scaled, times

if TYPE_CHECKING:
    from isostyle.conformance.subjects import Subject

NORMALIZED = Tolerance(
    "normalized picture", largest_scaled, times(2), "largest, over 1 + its size", "one rounding to the dtype"
)
RESIZED = Tolerance(
    "resized picture",
    largest,
    constant(1.25),
    "steps of 1/255",
    "1.25: Pillow rounds to 8 bits after each axis (half a step each) and has weights of 22 bits; without antialiasing it is "
    "70",
)

NOISE = Tolerance(
    "noise", largest_scaled, times(4), "largest, over 1 + its size", "a logarithm, a root and two products, then one rounding"
)


def normalize(subject: Subject, case: Case, dtype: str) -> Points:
    return {name: subject.normalize(name, dtype) for name in ("photo", "painting")}


def denormalize(subject: Subject, case: Case, dtype: str) -> Points:
    arrays = subject.inputs.arrays
    return {name: subject.denormalize(arrays[name].astype(dtype)) for name in ("outside", "picture/image")}


def round_trip(subject: Subject, case: Case, dtype: str) -> Points:
    """A picture that is only loaded and saved is the same picture."""
    return {name: subject.denormalize(subject.normalize(name, "float32")) for name in ("photo", "painting")}


def resize(subject: Subject, case: Case, dtype: str) -> Points:
    return {"photo": subject.resize("photo", *RESIZES[case.variant or ""])}


def crop(subject: Subject, case: Case, dtype: str) -> Points:
    return {"photo": subject.crop("photo", *CROPS[case.variant or ""])}


def noise(subject: Subject, case: Case, dtype: str) -> Points:
    """What a run starts from with ``init noise`` and ``uniform-noise``, of each seed."""
    return {f"{kind}/{seed}": array for seed in NOISES for kind, array in subject.noise(seed, dtype).items()}


NORMALIZE = Kind("normalize", normalize, (NORMALIZED,))
DENORMALIZE = Kind("denormalize", denormalize, (EXACT,), holds="uint8")
ROUND_TRIP = Kind("round-trip", round_trip, (EXACT,), holds="uint8")
RESIZE = Kind("resize", resize, (RESIZED,), holds="uint8")
CROP = Kind("crop", crop, (EXACT,), holds="uint8")
NOISE_FROM_SEEDS = Kind("noise", noise, (NOISE,))
