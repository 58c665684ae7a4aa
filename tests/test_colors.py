"""The photograph's colors kept: the arithmetic against NumPy written in another way; runs, networks, the command line."""

import dataclasses
import json

import numpy as np
import pytest
from conftest import draw, run
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays as arrays_of
from picture_files import cut_out
from PIL import Image
from style_files import random_style, write_style
from test_video import COLOR, FFMPEG, frames_of, make

import isostyle
from isostyle import InputError
from isostyle.images import arrays, colors, decode
from isostyle.images.colors import CHOLESKY, HISTOGRAM, LUMINANCE, OF_RESULT, OF_STYLE, STYLE, Photograph
from isostyle.images.deep import Deep
from isostyle.style_networks import video
from isostyle.transfer import checkpoint

#: Half a step of 16 bits, and float32's rounding.
STEP = 0.6 / 65535
#: ITU-R BT.709, item 3: R, G, B to Y', Cb, Cr.
YCC = np.array([[0.2126, 0.7152, 0.0722], [-0.2126 / 1.8556, -0.7152 / 1.8556, 0.5], [0.5, -0.7152 / 1.5748, -0.0722 / 1.5748]])
QUICK = {"size": 48, "steps": 2, "pyramid": False}
steady = settings(max_examples=60, deadline=None, derandomize=True)
pairs = st.tuples(*2 * [arrays_of(np.uint16, (9, 7, 3))])
finite = st.floats(0.01, 0.99)


def waves(phase=0.0, size=(60, 80), least=20, most=235):
    """Colors that vary together and each by itself."""
    y, x = np.mgrid[: size[0], : size[1]]
    shade = np.sin(x / 9 + y / 13 + phase)
    channels = [shade + (0.3 + 0.2 * i) * np.sin(x / (5 + i) - y / 7 + i * phase) for i in range(3)]
    values = np.stack(channels, -1)
    low, high = values.min(), values.max()
    return (least + (most - least) * (values - low) / (high - low)).astype(np.uint8)


def ycc(samples):
    """Y', Cb, Cr of samples of 16 or 8 bits, (..., 3)."""
    samples = np.asarray(samples)
    return samples / np.iinfo(samples.dtype).max @ YCC.T


def chrominance(picture):
    return float(np.hypot(*np.moveaxis(ycc(picture)[..., 1:], -1, 0)).mean())


def kept(kind, made, photograph, alpha=None):
    """Samples (H, W, 3) of 16 bits in the colors of others."""
    return Photograph(kind, Deep(photograph), alpha).in_colors(Deep(made), *made.shape[:2]).rows(0, len(made))


def deep(eight):
    return eight.astype(np.uint16) * np.uint16(257)


# Luminance


def test_a_color_that_exists_has_the_luminance_of_one_and_the_chrominance_of_the_other():
    made, photograph = deep(waves(1, least=100, most=160)), deep(waves(2, least=110, most=150))
    found = ycc(kept(LUMINANCE, made, photograph))
    np.testing.assert_allclose(found[..., 0], ycc(made)[..., 0], atol=STEP)
    np.testing.assert_allclose(found[..., 1:], ycc(photograph)[..., 1:], atol=STEP)


@steady
@given(pairs)
def test_hue_and_mean_chrominance_stay_whatever_is_painted(given):
    made, photograph = given
    found, before = ycc(kept(LUMINANCE, made, photograph))[..., 1:], ycc(photograph)[..., 1:]
    # The cross product of the two is 0, the dot product is not negative.
    assert np.abs(found[..., 0] * before[..., 1] - found[..., 1] * before[..., 0]).max() < 2 * STEP
    assert (found * before).sum(-1).min() > -2 * STEP
    lengths = [np.linalg.norm(each, axis=-1).mean() for each in (found, before)]
    assert lengths[1] * (1 - colors.MOST_LOST) - 2 * STEP <= lengths[0] <= lengths[1] + 2 * STEP


@steady
@given(pairs)
def test_luminance_is_what_was_painted_where_the_color_exists(given):
    made, photograph = given
    luma, color = ycc(made)[..., 0], photograph / 65535 - ycc(photograph)[..., :1]
    exists = (luma >= -color.min(-1) + STEP) & (luma <= 1 - color.max(-1) - STEP)
    np.testing.assert_allclose(ycc(kept(LUMINANCE, made, photograph))[..., 0][exists], luma[exists], atol=2 * STEP)


def test_what_is_too_light_becomes_as_light_as_its_color_can_be_and_not_white():
    red, white = np.full((4, 4, 3), (200, 60, 40), np.uint8), np.full((4, 4, 3), 255, np.uint8)
    found = kept(LUMINANCE, deep(white), deep(red))
    assert found.max() == 65535
    np.testing.assert_allclose(ycc(found)[..., 1:], ycc(red)[..., 1:], atol=STEP)


def test_a_few_dark_strokes_fade_to_the_shade_of_a_color_and_many_get_lighter():
    photograph = np.full((40, 40, 3), (200, 60, 40), np.uint8)
    made = np.full((40, 40, 3), 100, np.uint8)
    made[0, :8] = 10
    few = kept(LUMINANCE, deep(made), deep(photograph))[0, 0]
    assert few.max() / 65535 < 0.2
    assert ycc(few)[0] == pytest.approx(10 / 255, abs=STEP)
    made[:] = 10
    many = kept(LUMINANCE, deep(made), deep(photograph))
    assert chrominance(many) == pytest.approx((1 - colors.MOST_LOST) * chrominance(photograph), rel=1e-3)


@pytest.mark.parametrize("strokes", [(0, 255), (0, 60), (200, 255), (90, 150)])
def test_chrominance_is_within_two_percent_of_a_photograph_s(photograph, strokes):
    made = waves(3, photograph.size[::-1], *strokes)
    found = Photograph(LUMINANCE, photograph).in_colors(Deep(deep(made)), photograph.height, photograph.width)
    eight = np.asarray(colors.in_eight_bits(found, photograph.size))
    assert chrominance(eight) == pytest.approx(chrominance(np.asarray(photograph)), rel=0.02)


# Histogram


def by_rank(made, photograph):
    """Each channel: the sample of one rank gets that of the other, by sorting."""
    found = np.empty_like(photograph)
    for channel in range(3):
        order = made[..., channel].ravel().argsort(kind="stable")
        found[..., channel].reshape(-1)[order] = np.sort(photograph[..., channel], axis=None)
    return found


def test_the_histograms_are_the_photograph_s_to_the_last_sample():
    random = np.random.RandomState(0)
    made = np.stack([random.permutation(65536)[:4800].reshape(60, 80) for _ in range(3)], -1).astype(np.uint16)
    photograph = deep(waves(2))
    found = kept(HISTOGRAM, made, photograph)
    np.testing.assert_array_equal(found, np.stack([by_rank(made, photograph)[..., i] for i in range(3)], -1))
    for channel in range(3):
        np.testing.assert_array_equal(*(np.sort(each[..., channel], axis=None) for each in (found, photograph)))


@steady
@given(pairs)
def test_equal_samples_stay_equal_in_order_and_the_means_are_the_photograph_s(given):
    made, photograph = given[0] % 5 * 1000, given[1]
    found = kept(HISTOGRAM, made, photograph)
    np.testing.assert_allclose(found.mean((0, 1)), photograph.mean((0, 1)), atol=0.5)
    for channel in range(3):
        values = [np.unique(found[..., channel][made[..., channel] == level]) for level in np.unique(made[..., channel])]
        assert all(len(each) == 1 for each in values)
        assert (np.diff(np.concatenate(values).astype(int)) >= 0).all()


@pytest.mark.parametrize("kind", OF_RESULT)
def test_a_gray_photograph_makes_a_gray_picture(kind):
    gray = deep(np.repeat(waves(1)[..., :1], 3, -1))
    assert np.ptp(kept(kind, deep(waves(2)), gray), axis=-1).max() == 0


# What is hidden


@pytest.mark.parametrize("kind", OF_RESULT)
def test_what_is_hidden_in_a_photograph_changes_nothing_that_is_seen(kind):
    alpha = np.zeros((60, 80), np.uint8)
    alpha[10:50, 20:] = 200
    photograph, made = deep(waves(1)), deep(waves(2, most=60))
    other = np.where(alpha[..., None] > 0, photograph, 65535 - photograph)
    one, two = (kept(kind, made, each, Image.fromarray(alpha))[alpha > 0] for each in (photograph, other))
    np.testing.assert_array_equal(one, two)
    without = kept(kind, made[10:50, 20:], np.ascontiguousarray(photograph[10:50, 20:]))
    np.testing.assert_array_equal(one.reshape(40, 60, 3), without)


@pytest.mark.parametrize("kind", OF_RESULT)
def test_a_frame_that_is_hidden_as_a_whole_is_colored_as_if_it_were_not(kind):
    found = kept(kind, deep(waves(2)), deep(waves(1)), Image.new("L", (80, 60), 0))
    np.testing.assert_array_equal(found, kept(kind, deep(waves(2)), deep(waves(1))))


def test_the_spread_is_that_of_the_visible_pixels():
    given = cut_out((0, 255, 90))
    read = decode.read(given)
    seen = np.asarray(given)[np.asarray(given)[..., 3] > 0][:, :3] / 255
    found = colors.spread(read.pixels, read.alpha)
    np.testing.assert_allclose(found.mean, seen.mean(0), rtol=1e-12)
    np.testing.assert_allclose(found.covariance, np.cov(seen.T, bias=True), atol=1e-12)


# The painting


def whole(samples):
    return np.asarray(samples, np.float64).reshape(-1, 3) / np.iinfo(np.asarray(samples).dtype).max


def oracle(painting, photograph, kind):
    """The mapped pixels (N, 3) of a painting, from singular values or QR of the pixels themselves, and no covariance."""
    ours, theirs, other = whole(painting), whole(photograph), whole(photograph).mean(0)
    ours, theirs = ours - ours.mean(0), theirs - other
    if kind == STYLE:
        _, one, first = np.linalg.svd(ours / len(ours) ** 0.5, full_matrices=False)
        _, two, second = np.linalg.svd(theirs / len(theirs) ** 0.5, full_matrices=False)
        return ours @ (first.T / one @ first) @ (second.T * two @ second) + other
    one, two = (np.linalg.qr(each / len(each) ** 0.5, mode="r") for each in (ours, theirs))
    upper = [np.sign(np.diag(each))[:, None] * each for each in (one, two)]
    return ours @ np.linalg.solve(upper[0], upper[1]) + other


@pytest.mark.parametrize("kind", OF_STYLE)
def test_a_painting_is_recolored_by_the_paper_s_maps(kind):
    painting, photograph = waves(1), waves(2, (50, 70), 60, 180)
    expected = oracle(painting, photograph, kind)
    assert expected.min() > 0
    assert expected.max() < 1
    found = colors.recolored(Image.fromarray(painting), colors.spread(Image.fromarray(photograph)), kind)
    np.testing.assert_allclose(whole(found.samples), expected, atol=STEP)


@steady
@given(arrays_of(np.float64, (2, 40, 3), elements=finite))
@pytest.mark.parametrize("kind", OF_STYLE)
def test_mean_and_covariance_are_the_photograph_s_before_clipping(kind, given):
    painting, photograph = (np.rint(each * 65535).astype(np.uint16).reshape(8, 5, 3) for each in given)
    ours, theirs = (colors.spread(Deep(each)) for each in (painting, photograph))
    matrix, offset = colors.linear_map(ours, theirs, kind)
    mapped = whole(painting) @ matrix.T + offset
    assert np.isfinite(mapped).all()
    np.testing.assert_allclose(mapped.mean(0), theirs.mean, atol=1e-6)
    if np.linalg.eigvalsh(ours.covariance)[0] > colors.LEAST_VARIANCE:
        np.testing.assert_allclose(np.cov(mapped.T, bias=True), theirs.covariance, atol=1e-6)


def test_the_usual_map_knows_no_order_of_the_channels_and_cholesky_s_does():
    painting, photograph, order = waves(1), waves(2), [2, 0, 1]

    def mapped(kind, channels):
        spreads = [colors.spread(Image.fromarray(np.ascontiguousarray(each[..., channels]))) for each in (painting, photograph)]
        return colors.linear_map(*spreads, kind)[0]

    for kind, is_same in ((STYLE, True), (CHOLESKY, False)):
        plain, turned = mapped(kind, [0, 1, 2]), mapped(kind, order)
        assert np.allclose(turned, plain[np.ix_(order, order)]) is is_same
    assert np.allclose(mapped(CHOLESKY, [0, 1, 2])[np.triu_indices(3, 1)], 0)


FLAT = {
    "constant": np.full((30, 40, 3), (90, 30, 200), np.uint8),
    "black": np.zeros((30, 40, 3), np.uint8),
    "gray": np.repeat(waves(1, (30, 40))[..., :1], 3, -1),
    "one pixel of color": np.where(np.arange(1200).reshape(30, 40, 1) == 77, np.uint8((255, 0, 0)), np.uint8(100)),
    "colors": waves(1, (30, 40)),
}


@pytest.mark.parametrize("kind", colors.KINDS)
@pytest.mark.parametrize("one", FLAT)
@pytest.mark.parametrize("other", FLAT)
def test_no_picture_is_too_flat(kind, one, other):
    """Warnings are errors: nothing is divided by 0, and NaN is cast to nothing."""
    if kind in OF_RESULT:
        found = kept(kind, deep(FLAT[one]), deep(FLAT[other]))
    else:
        found = colors.recolored(Image.fromarray(FLAT[one]), colors.spread(Image.fromarray(FLAT[other])), kind).samples
    if len(np.unique(FLAT[other].reshape(-1, 3), axis=0)) == 1:
        assert np.abs(found.mean((0, 1)) / 257 - FLAT[other][0, 0]).max() < (1 if kind != LUMINANCE else 256)


@pytest.mark.parametrize("kind", OF_STYLE)
def test_what_rounding_left_in_a_gray_painting_does_not_become_color(kind):
    gray = np.repeat(waves(1)[..., :1], 3, -1)
    gray[::7, ::5, 0] += 1
    photograph = colors.spread(Image.fromarray(waves(2)))
    found = whole(colors.recolored(Image.fromarray(gray), photograph, kind).samples)
    off = np.linalg.svd(found - found.mean(0))[1][1:] / len(found) ** 0.5
    spreads = np.sqrt(np.linalg.eigvalsh(photograph.covariance))
    assert off.max() < 0.25 * spreads[1]


def test_a_painting_of_8_bits_becomes_one_of_16():
    found = colors.recolored(Image.fromarray(waves(1)), colors.spread(Image.fromarray(waves(2))), STYLE)
    assert len(np.unique(found.samples)) > 1000


# Runs


@pytest.fixture(scope="module")
def photo():
    return Image.fromarray(waves(0.5, (90, 120)))


@pytest.fixture(scope="module")
def oil():
    return Image.fromarray(waves(4, (70, 64), 0, 130)[..., [2, 0, 1]])


@pytest.mark.parametrize("kind", OF_RESULT)
def test_a_run_puts_the_colors_into_its_result_and_not_into_what_it_optimizes(backend, photo, oil, kind, tmp_path):
    plain = isostyle.stylize(photo, oil, backend=backend.name, **QUICK)
    result = isostyle.stylize(photo, oil, keep_colors=kind, backend=backend.name, **QUICK)
    assert result.image.tobytes() == plain.image.tobytes()
    small = arrays.resize(photo, *result.picture.size[::-1])
    expected = kept(kind, arrays.rounded(plain.image), deep(np.asarray(small)))
    assert np.abs(np.asarray(result.picture) - expected / 257).max() <= 0.5
    result.save(tmp_path / "out.png", bits=16)
    np.testing.assert_array_equal(decode.read(tmp_path / "out.png").pixels.samples, expected)
    assert result.manifest["keep_colors"] == kind
    assert plain.manifest["keep_colors"] is None
    assert result.manifest["result"]["pixels_sha256"] == decode.pixels_sha256(result.picture)


@pytest.mark.parametrize("kind", OF_STYLE)
@pytest.mark.parametrize("pyramid", [False, [(0.75, 2)]], ids=["one size", "a pyramid"])
def test_a_run_recolors_its_painting_once_at_its_full_size(any_backend, photo, oil, kind, pyramid):
    how = {**QUICK, "size": 64, "pyramid": pyramid, "backend": any_backend}
    by_hand = colors.recolored(oil, colors.spread(photo), kind).samples
    found = isostyle.stylize(photo, oil, keep_colors=kind, **how)
    assert found.image.tobytes() == isostyle.stylize(photo, by_hand, **how).image.tobytes()
    assert found.manifest["inputs"]["style"]["pixels_sha256"] == decode.pixels_sha256(oil)


@pytest.mark.parametrize("kind", colors.KINDS)
def test_alpha_stays_and_what_it_hides_changes_nothing(any_backend, oil, kind):
    pictures = [cut_out(hidden) for hidden in ((255, 255, 255), (0, 255, 90))]
    one, two = (isostyle.stylize(each, oil, keep_colors=kind, backend=any_backend, **QUICK) for each in pictures)
    assert one.picture.tobytes() == two.picture.tobytes()
    assert one.alpha.tobytes() == isostyle.stylize(pictures[0], oil, backend=any_backend, **QUICK).alpha.tobytes()


@pytest.mark.parametrize("kind", colors.KINDS)
def test_the_colors_of_a_gray_photograph_are_gray_whatever_the_painting_is(any_backend, photo, oil, kind):
    lines = []
    result = isostyle.stylize(photo.convert("L"), oil, keep_colors=kind, backend=any_backend, log=lines.append, **QUICK)
    assert np.ptp(np.asarray(result.picture), axis=-1).max() == 0
    assert "the photograph is gray, and so is the result" in lines


@pytest.mark.parametrize("kind", colors.KINDS)
def test_a_constant_photograph_and_a_constant_painting_run(any_backend, kind):
    pictures = [Image.new("RGB", (60, 48), color) for color in ((200, 60, 40), (10, 90, 30))]
    result = isostyle.stylize(*pictures, keep_colors=kind, backend=any_backend, **QUICK)
    assert np.isfinite(result.image).all()


@pytest.mark.parametrize("kind", colors.KINDS)
def test_a_run_that_goes_on_keeps_the_same_colors(any_backend, tmp_path, kind):
    for name, phase in (("photo.png", 0.0), ("oil.png", 1.5)):
        draw(tmp_path / name, phase)
    given = {"backend": any_backend, "keep_colors": kind, "size": 64, "steps": 4, "pyramid": [(0.75, 3)]}
    whole = isostyle.stylize(tmp_path / "photo.png", tmp_path / "oil.png", **given)

    def stop(event):
        if event.evaluation == 2:
            raise KeyboardInterrupt

    with pytest.raises(isostyle.Interrupted) as stopped:
        isostyle.stylize(tmp_path / "photo.png", tmp_path / "oil.png", checkpoint=tmp_path / "c", callback=stop, **given)
    coarse = stopped.value.result  # at a coarse level
    assert coarse.picture.size < whole.picture.size
    assert coarse.picture.tobytes() != arrays.to_picture(coarse.image).tobytes() or kind in OF_STYLE
    assert isostyle.resume(tmp_path / "c").picture.tobytes() == whole.picture.tobytes()


def test_a_checkpoint_from_before_tells_of_no_colors_and_is_gone_on_with(any_backend, photo, oil, tmp_path):
    def stop(event):
        raise KeyboardInterrupt

    with pytest.raises(isostyle.Interrupted):
        isostyle.stylize(photo, oil, checkpoint=tmp_path / "c", callback=stop, backend=any_backend, **QUICK)
    found = checkpoint.load(tmp_path / "c")
    settings = {name: value for name, value in found.settings.items() if name != "keep_colors"}
    (tmp_path / "c").write_bytes(checkpoint.dump(dataclasses.replace(found, settings=settings)))
    result = isostyle.resume(tmp_path / "c", content=photo, style=oil)
    assert result.manifest["keep_colors"] is None


def test_a_coarse_level_is_shown_in_the_colors_of_the_photograph_at_its_size(photo):
    made = deep(waves(2, (45, 60)))
    found = Photograph(LUMINANCE, photo).in_colors(Deep(made), 45, 60).rows(0, 45)
    np.testing.assert_array_equal(found, kept(LUMINANCE, made, deep(np.asarray(arrays.resize(photo, 45, 60)))))


@pytest.mark.parametrize("kind", ["lab", "", 3, "Luminance"])
def test_an_unknown_kind_is_refused(any_backend, photo, oil, kind):
    with pytest.raises(InputError, match="colors are kept by luminance, histogram, style or style-cholesky, not by"):
        isostyle.stylize(photo, oil, keep_colors=kind, backend=any_backend)
    with pytest.raises(InputError, match="colors are kept by luminance, histogram, style or style-cholesky, not by"):
        isostyle.Applier(random_style(), keep_colors=kind, backend=any_backend)


# Style networks


@pytest.mark.parametrize("kind", OF_RESULT)
@pytest.mark.parametrize("tile", ["off", 32])
def test_a_network_s_picture_gets_the_colors_as_a_whole(style_backend, photo, kind, tile):
    how = {"backend": style_backend.name, "threads": 2, "tile": tile}
    plain = isostyle.apply(random_style(), photo, bits=16, **how)
    made = isostyle.apply(random_style(), photo, keep_colors=kind, bits=16, **how)
    expected = kept(kind, plain.finished.deep.samples, deep(np.asarray(photo)))
    np.testing.assert_array_equal(made.finished.deep.samples, expected)
    assert np.abs(np.asarray(made.picture) - expected / 257).max() <= 0.5
    assert made.manifest["keep_colors"] == kind
    eight = isostyle.apply(random_style(), photo, keep_colors=kind, **how)
    assert eight.picture.tobytes() == made.picture.tobytes()
    assert eight.finished.deep is None


def test_a_network_s_picture_has_the_chrominance_of_the_photograph(any_style_backend, photograph):
    made = isostyle.apply(random_style(), photograph, keep_colors=LUMINANCE, backend=any_style_backend, threads=2).picture
    assert chrominance(np.asarray(made)) == pytest.approx(chrominance(np.asarray(photograph)), rel=0.02)


@pytest.mark.parametrize("kind", OF_RESULT)
def test_without_strength_the_photograph_keeps_its_own_colors(any_style_backend, photo, kind):
    made = isostyle.apply(random_style(), photo, keep_colors=kind, strength=0, backend=any_style_backend, threads=2)
    assert np.abs(np.asarray(made.picture).astype(int) - np.asarray(photo)).max() <= 1


def test_larger_strokes_and_a_shrunk_picture_get_the_colors_too(any_style_backend, photo):
    made = isostyle.apply(
        random_style(), photo, keep_colors=LUMINANCE, stroke_size=2, long_side=80, backend=any_style_backend, threads=2
    ).picture
    assert made.size == (80, 60)
    assert chrominance(np.asarray(made)) == pytest.approx(chrominance(np.asarray(photo)), rel=0.05)


@pytest.mark.parametrize("kind", OF_STYLE)
def test_a_trained_network_refuses_what_recolors_a_painting(any_style_backend, kind):
    with pytest.raises(InputError, match="a trained network has none any more; luminance and histogram work here"):
        isostyle.Applier(random_style(), keep_colors=kind, backend=any_style_backend)


# The command line


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, phase in (("photo.png", 0.0), ("oil.png", 1.5)):
        draw(name, phase)
    write_style(tmp_path / "wave.safetensors")
    return tmp_path


FLAGS = ["--size", "48", "--pyramid", "none", "--threads", "2"]


def opened(name):
    with Image.open(name) as picture:
        return picture.convert("RGB").tobytes()


@pytest.mark.parametrize("kind", colors.KINDS)
def test_run_its_stages_and_rerun_keep_colors(folder, any_backend, capsys, kind):
    how = ["run", "photo.png", "oil.png", "--backend", any_backend, *FLAGS]
    assert run([*how, "-o", "out.png", "--steps", "3", "--save-every", "2", "--keep-colors", kind], capsys)[0] == 0
    stages = {}

    def see(event):
        plain = arrays.to_picture(event.image())
        stages[event.step] = plain, colors.shown_in(event.image(), "normalized", photograph=event.photograph)[0]

    given = {**QUICK, "steps": 3, "threads": 2, "backend": any_backend}
    result = isostyle.stylize("photo.png", "oil.png", keep_colors=kind, callback=see, **given)
    assert opened("out.png") == result.picture.tobytes()
    plain, stage = stages[2]
    assert opened("out-0002.png") == stage.tobytes()
    assert (stage.tobytes() != plain.tobytes()) is (kind in OF_RESULT)
    code, out, _ = run(["rerun", "out.json", "-o", "again.png"], capsys)
    assert code == 0
    assert "bit-identical" in out
    assert opened("again.png") == opened("out.png")


def test_a_manifest_from_before_tells_of_no_colors_and_is_repeated(folder, any_backend, capsys):
    assert (
        run(["run", "photo.png", "oil.png", "-o", "out.png", "--steps", "2", "--backend", any_backend, *FLAGS], capsys)[0] == 0
    )
    told = json.loads((folder / "out.json").read_text())
    del told["keep_colors"]
    (folder / "out.json").write_text(json.dumps(told))
    assert run(["rerun", "out.json"], capsys)[1].startswith("bit-identical")


def test_a_batch_keeps_colors_and_makes_a_picture_anew_if_they_change(folder, any_backend, capsys):
    pictures = ["batch", "--content", "photo.png", "--style", "oil.png", "-o", "out"]
    how = ["--steps", "2", "--backend", any_backend, *FLAGS, "--keep-colors"]
    assert run([*pictures, "--", *how, "luminance"], capsys)[0] == 0
    assert json.loads((folder / "out" / "photo-oil.json").read_text())["keep_colors"] == "luminance"
    assert "was there" in run([*pictures, "--", *how, "luminance"], capsys)[1]
    assert run([*pictures, "--force", "--", *how, "style"], capsys)[0] == 0
    code, out, _ = run([*pictures, "--", *how, "histogram"], capsys)
    assert code == 1
    assert "exists already" in out


def test_a_table_of_a_batch_has_a_column_for_it(folder, any_backend, capsys):
    (folder / "runs.csv").write_text("content,style,keep_colors\nphoto.png,oil.png,histogram\n")
    assert run(["batch", "runs.csv", "-o", "out", "--", "--steps", "2", "--backend", any_backend, *FLAGS], capsys)[0] == 0
    assert json.loads((folder / "out" / "photo-oil.json").read_text())["keep_colors"] == "histogram"


@pytest.mark.parametrize("kind", OF_RESULT)
def test_apply_keeps_colors(folder, any_style_backend, capsys, kind):
    how = ["apply", "wave.safetensors", "photo.png", "-o", "out.png", "--keep-colors", kind, "--backend", any_style_backend]
    assert run([*how, "--threads", "2"], capsys)[0] == 0
    expected = isostyle.apply("wave.safetensors", "photo.png", keep_colors=kind, backend=any_style_backend, threads=2)
    assert opened("out.png") == expected.picture.tobytes()
    assert json.loads((folder / "out.json").read_text())["keep_colors"] == kind


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["apply", "wave.safetensors", "photo.png", "--keep-colors", "style"], "luminance and histogram work here"),
        (["apply", "wave.safetensors", "photo.png", "--keep-colors", "lab"], "'lab' is not one of 'luminance', 'histogram'"),
        (["run", "photo.png", "oil.png", "--keep-colors", "lab"], "'lab' is not one of 'luminance', 'histogram'"),
        (
            ["batch", "--content", "photo.png", "--style", "oil.png", "--", "--keep-colors", "lab"],
            "'lab' is not one of 'luminance', 'histogram'",
        ),
    ],
)
def test_what_cannot_be_kept_is_one_sentence_and_nothing_is_written(folder, any_style_backend, capsys, arguments, words):
    before = sorted(folder.iterdir())
    code, _, err = run(arguments, capsys)
    assert code == 2
    assert words in err
    assert sorted(folder.iterdir()) == before


@pytest.mark.skipif(FFMPEG is None, reason="there is no ffmpeg")
def test_the_frames_of_a_video_keep_their_colors(folder, any_style_backend, capsys):
    """Each has one color, which coding leaves as it is; without it, the network would paint its own."""
    frames = [Image.new("RGB", (64, 48), color) for color in [(200, 90, 60), (60, 90, 200), (90, 160, 60)]]
    waiting = iter(frames)
    source = video.probe(FFMPEG, make(folder / "a.mkv", rate="3"))
    video.convert(FFMPEG, source, folder / "b.mkv", lambda frame: next(waiting), lambda count: None)
    how = ["apply", "wave.safetensors", "b.mkv", "-o", "c.mkv", "--keep-colors", "histogram"]
    assert run([*how, "--backend", any_style_backend, "--threads", "2"], capsys)[0] == 0
    found = [np.asarray(frame).reshape(-1, 3) for frame in frames_of(folder / "c.mkv")]
    for pixels, frame in zip(found, frames, strict=True):
        assert np.abs(pixels - np.array(frame.getpixel((0, 0)))).max() <= COLOR
    assert json.loads((folder / "c.json").read_text())["keep_colors"] == "histogram"
