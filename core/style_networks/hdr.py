"""HDR video as SDR: the light that a display of BT.2100 makes, tone-mapped to what one of BT.709 makes.

Light is in cd/m2, of the red, green and blue of BT.2020 or of BT.709. What SDR can show looks as it would in SDR; what is
brighter is compressed, with its hue. ffmpeg's own filters are not taken: many an ffmpeg lacks zscale, and that raises each
channel of HLG to a power by itself, which makes colors too strong.
"""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import NDArray
from PIL import Image

#: ffmpeg's names of the transfer functions of BT.2100, and what people call them.
PQ, HLG = "smpte2084", "arib-std-b67"
NAMES = {PQ: "PQ", HLG: "HLG"}
#: How ffmpeg hands over a frame: planes of green, blue and red. The highest code of YUV becomes 255 times 256.
SAMPLES, BYTES = "gbrp16le", 6
RGB = [2, 0, 1]
CODES, HIGHEST = 65536, 255 * 256
#: White of SDR in HDR (BT.2408, table 1); what the display of HLG can show (BT.2100, table 5), and most films in PQ have.
WHITE, PEAK = 203.0, 1000.0
#: Of PQ (BT.2100, table 4): m1, m2, c1, c2, c3, and the light of its highest code.
M1, M2, C1, C2, C3 = 2610 / 16384, 2523 / 4096 * 128, 3424 / 4096, 2413 / 4096 * 32, 2392 / 4096 * 32
PQ_PEAK = 10000.0
#: Of HLG (BT.2100, table 5): a, b, c, and the exponent of luminance that is a display's.
A, B, C = 0.17883277, 0.28466892, 0.55991073
SYSTEM_GAMMA = 1.2
#: Luminance of BT.2020; from its colors to those of BT.709 (BT.2407, section 2); a display's gamma (BT.1886).
LUMINANCE = np.array([0.2627, 0.6780, 0.0593], np.float32)
TO_BT709 = np.array([[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]], np.float32)
GAMMA = 2.4
#: Rows that are computed at once, so that they stay in a processor's cache.
STRIP = 8

Floats = NDArray[np.floating]


def pq_light(code: Floats) -> Floats:
    """PQ's electro-optical transfer function."""
    root = code ** (1 / M2)
    light: Floats = PQ_PEAK * (np.maximum(root - C1, 0) / (C2 - C3 * root)) ** (1 / M1)
    return light


def pq_code(light: Floats) -> Floats:
    """The inverse of :func:`pq_light`."""
    power = (light / PQ_PEAK) ** M1
    return ((C1 + C2 * power) / (1 + C3 * power)) ** M2


def hlg_scene(code: Floats) -> Floats:
    """HLG's inverse opto-electronic transfer function: light of the scene, in 0..1."""
    return np.where(code <= 0.5, code**2 / 3, (np.exp((code - C) / A) + B) / 12)


@functools.cache
def table(transfer: str) -> Floats:
    """What each code of 16 bits means: light of PQ, light of the scene of HLG."""
    codes = np.minimum(np.arange(CODES) / HIGHEST, 1)
    return (pq_light(codes) if transfer == PQ else hlg_scene(codes)).astype(np.float32)


#: Of the tone curve, in codes of PQ as shares of PEAK's: white, and the knee below which light stays (BT.2390, section 5.4.1).
PEAK_CODE = float(pq_code(np.array(PEAK)))
MOST = float(pq_code(np.array(WHITE))) / PEAK_CODE
KNEE = 1.5 * MOST - 0.5
KNEE_LIGHT = float(pq_light(np.array(KNEE * PEAK_CODE)))
#: The SDR of 8 bits of each root of a share of WHITE: roots are as fine in the dark as a display's codes.
OF_ROOT = np.rint(255 * np.linspace(0, 1, CODES) ** (2 / GAMMA)).astype(np.uint8)


def compressed(light: Floats) -> Floats:
    """Light above the knee on BT.2390's spline, which ends with PEAK at WHITE."""
    share = np.minimum(pq_code(light) / PEAK_CODE, 1)
    t = (share - KNEE) / (1 - KNEE)
    spline = (2 * t**3 - 3 * t**2 + 1) * KNEE + (t**3 - 2 * t**2 + t) * (1 - KNEE) + (3 * t**2 - 2 * t**3) * MOST
    return pq_light(spline * PEAK_CODE)


def to_sdr(data: bytes, height: int, width: int, transfer: str) -> Image.Image:
    """A frame in :data:`SAMPLES` as RGB of 8 bits."""
    codes = np.frombuffer(data, "<u2").reshape(3, height, width)
    made = np.empty((height, width, 3), np.uint8)
    for top in range(0, height, STRIP):
        rows = slice(top, top + STRIP)
        made[rows] = np.moveaxis(sdr(codes[RGB, rows], transfer), 0, -1)
    return Image.fromarray(made)


def sdr(codes: NDArray[np.uint16], transfer: str) -> NDArray[np.uint8]:
    """Codes of HDR, (3, rows, columns), as those of SDR."""
    light = table(transfer)[codes]
    if transfer == HLG:
        luminance = np.tensordot(LUMINANCE, light, 1)
        light *= PEAK * luminance ** (SYSTEM_GAMMA - 1)
    light = np.tensordot(TO_BT709, light, 1)
    brightest = light.max(axis=0)
    over = brightest > KNEE_LIGHT
    light[:, over] *= compressed(brightest[over]) / brightest[over]
    roots = np.sqrt(np.clip(light / WHITE, 0, 1, dtype=np.float32))
    made: NDArray[np.uint8] = OF_ROOT[np.rint((CODES - 1) * roots).astype(np.uint16)]
    return made
