"""HDR as SDR: colors that SDR can show are those of SDR, and what is brighter keeps its order and its hue."""

import numpy as np
import pytest
from hdr_files import COLORS, HLG, PQ, codes_of, light_of

from isostyle.style_networks import hdr
from isostyle.style_networks.streams import streams_of
from isostyle.style_networks.video import matrix_of

#: Of 256 values: BT.2407's matrix has four digits, and the inverse that makes the colors, too.
ROUNDING = 1


def shown(light, transfer):
    """What a row of (n, 3) lights of BT.2020 becomes."""
    codes = np.rint(codes_of(light, transfer) * 255 * 256).astype("<u2")
    planes = codes.T[[1, 2, 0], None]  # green, blue, red
    return np.asarray(hdr.to_sdr(planes.tobytes(), 1, len(light), transfer))[0].astype(int)


@pytest.mark.parametrize("transfer", [PQ, HLG])
def test_what_sdr_can_show_looks_as_in_sdr(transfer):
    np.testing.assert_allclose(shown(light_of(COLORS), transfer), COLORS, atol=ROUNDING)


@pytest.mark.parametrize("transfer", [PQ, HLG])
def test_every_gray_up_to_the_knee_is_kept_and_brighter_ones_are_darker_in_order(transfer):
    gray = np.arange(256)
    found = shown(light_of(np.repeat(gray[:, None], 3, axis=1)), transfer)
    knee = int(255 * (hdr.KNEE_LIGHT / hdr.WHITE) ** (1 / 2.4))
    assert 170 < knee < 190
    np.testing.assert_allclose(found[:knee, 0], gray[:knee], atol=ROUNDING)
    assert (np.diff(found[:, 0]) >= 0).all()
    assert 225 <= found[255, 0] <= 235


@pytest.mark.parametrize("transfer", [PQ, HLG])
def test_a_thousand_candelas_are_white_and_three_hundred_are_not(transfer):
    found = shown(np.repeat([[1000.0], [300.0]], 3, axis=1), transfer)
    np.testing.assert_allclose(found[0], 255, atol=ROUNDING)
    assert (found[1] < 250).all()


def test_what_is_brighter_than_any_display_is_white():
    assert (shown(np.full((1, 3), 9000.0), PQ) == 255).all()


@pytest.mark.parametrize("transfer", [PQ, HLG])
def test_a_bright_color_keeps_its_hue(transfer):
    """The ratios of its light."""
    dim = light_of(np.array([[120, 90, 60]]))
    found = shown(np.concatenate([dim, 5 * dim]), transfer) / 255
    ratios = found**2.4 / (found**2.4).max(axis=1, keepdims=True)
    np.testing.assert_allclose(ratios[1], ratios[0], atol=0.02)
    assert found[1].max() < 1


@pytest.mark.parametrize("height", [1, 8, 19])
def test_rows_are_where_they_were(height):
    light = np.random.RandomState(0).rand(height * 7, 3) * 300
    codes = np.rint(codes_of(light, HLG) * 255 * 256).astype("<u2").reshape(height, 7, 3)
    found = np.asarray(hdr.to_sdr(np.moveaxis(codes, -1, 0)[[1, 2, 0]].tobytes(), height, 7, HLG))
    np.testing.assert_array_equal(found.reshape(-1, 3), shown(light, HLG))


@pytest.mark.parametrize(
    ("colors", "height", "transfer", "matrix"),
    [
        ("tv, bt2020nc/bt2020/smpte2084, progressive", 48, PQ, "auto"),
        ("tv, unknown/bt2020/smpte2084, progressive", 48, PQ, "bt2020"),
        ("pc, bt2020nc/bt2020/arib-std-b67", 1080, HLG, "auto"),
        ("tv, bt2020nc/bt2020/bt709", 1080, None, "auto"),
        ("tv, bt709, progressive", 1080, None, "auto"),
        ("tv, unknown/bt709/bt709", 1080, None, "bt709"),
        ("tv, progressive", 1080, None, "bt709"),
        ("tv, progressive", 480, None, "auto"),
        ("tv, smpte170m/bt470bg/bt709", 1080, None, "auto"),
    ],
)
def test_what_ffmpeg_says_of_colors_is_understood(colors, height, transfer, matrix):
    (found,) = streams_of(f"  Stream #0:0[0x1](und): Video: hevc (Main 10), yuv420p10le({colors}), 64x48, 12 fps\n")
    assert (found.transfer, matrix_of(found, height)) == (transfer, matrix)
