"""HDR made by the standards' formulas, for the tests: the way there, where isostyle has the way back."""

import subprocess

import numpy as np

PQ, HLG = "smpte2084", "arib-std-b67"
#: Of SDR, below what tone-mapping changes: grays, skin, and colors as strong as BT.709 has them.
COLORS = np.array(
    [[128, 128, 128], [30, 30, 30], [0, 0, 0], [170, 135, 110], [170, 60, 40], [40, 150, 60], [50, 70, 170]], float
)
#: From BT.709 to BT.2020 (BT.2087).
TO_BT2020 = np.array([[0.6274, 0.3293, 0.0433], [0.0691, 0.9195, 0.0114], [0.0164, 0.0880, 0.8956]])
LUMINANCE = np.array([0.2627, 0.6780, 0.0593])


def light_of(colors):
    """Of an SDR display whose white has 203 cd/m2, in BT.2020's colors."""
    return 203 * (np.asarray(colors) / 255) ** 2.4 @ TO_BT2020.T


def codes_of(light, transfer):
    """Light of (..., 3) as codes in 0..1 (BT.2100)."""
    if transfer == PQ:
        power = (light / 10000) ** (2610 / 16384)
        return ((3424 / 4096 + 2413 / 128 * power) / (1 + 2392 / 128 * power)) ** (2523 / 32)
    luminance = np.maximum(light @ LUMINANCE, 1e-9)[..., None]
    scene = light / 1000 * (luminance / 1000) ** (1 / 1.2 - 1)
    a = 0.17883277
    b, c = 1 - 4 * a, 0.5 - a * np.log(4 * a)
    return np.where(scene <= 1 / 12, np.sqrt(3 * scene), a * np.log(np.maximum(12 * scene - b, 1e-9)) + c)


def yuv_of(codes):
    """Codes of RGB as planes of YUV, 10 bits, of limited range (BT.2100)."""
    red, _, blue = np.moveaxis(codes, -1, 0)
    luma = codes @ LUMINANCE
    planes = [64 + 876 * luma, 512 + 896 * (blue - luma) / 1.8814, 512 + 896 * (red - luma) / 1.4746]
    return np.rint(np.stack(planes)).astype("<u2")


def make_hdr(ffmpeg, path, transfer, colors=COLORS):
    """A video of three frames, stripes of 16 pixels of each color."""
    planes = yuv_of(np.tile(np.repeat(codes_of(light_of(colors), transfer), 16, axis=0), (48, 1, 1)))
    _, height, width = planes.shape
    given = f"-f rawvideo -pix_fmt yuv444p10le -s {width}x{height} -framerate 5 -i pipe:0".split()
    said = f"setparams=range=tv:colorspace=bt2020nc:color_primaries=bt2020:color_trc={transfer}"
    # An old ffmpeg writes what the options say, a new one what the frames say.
    options = f"-color_range tv -colorspace bt2020nc -color_primaries bt2020 -color_trc {transfer}".split()
    command = [ffmpeg, "-v", "error", "-y", *given, "-vf", said, *options, "-c:v", "ffv1", str(path)]
    subprocess.run(command, input=3 * planes.tobytes(), check=True)
    return path
