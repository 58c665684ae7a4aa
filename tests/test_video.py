"""Videos: frames, rate, size and sound go through; broken ones are one sentence, and nothing is left behind."""

import json
import os
import signal
import struct
import subprocess
import sys
import time
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hdr_files import COLORS, HLG, PQ, make_hdr
from picture_files import HIDDEN, cut_out
from PIL import Image
from style_files import write_style
from test_cli import isostyle, names

from isostyle.errors import InputError, IsostyleError
from isostyle.style_networks import hdr, video

try:
    FFMPEG = video.find_ffmpeg()
except InputError as error:
    FFMPEG = None
    pytestmark = pytest.mark.skip(reason=str(error))

#: Of 256 values: what 4:2:0 and x264 leave of a color that fills half of a frame.
COLOR = 4


def make(
    path, size="64x48", rate="12", seconds=1, sound=False, coding=("-c:v", "libx264", "-pix_fmt", "yuv444p"), picture="testsrc2"
):
    """A generated video."""
    command = [
        FFMPEG,
        "-nostdin",
        "-v",
        "error",
        "-y",
        "-f",
        "lavfi",
        "-i",
        f"{picture}=size=320x240:rate={rate}:duration={seconds}",
    ]
    if sound:
        # In .avi, AAC's lead-in would shift the picture by a frame.
        codec = {".webm": "libopus", ".avi": "pcm_s16le"}.get(path.suffix, "aac")
        command += ["-f", "lavfi", "-i", f"sine=duration={seconds}", "-c:a", codec]
    subprocess.run([*command, "-vf", f"scale={size.replace('x', ':')}", *coding, str(path)], check=True)
    return path


def digest_of_sound(path):
    """Of the coded packets, so that sound that was coded anew shows."""
    command = [FFMPEG, "-nostdin", "-v", "error", "-i", str(path), "-map", "0:a", "-c", "copy", "-f", "md5", "-"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def told_of(path):
    """What ffmpeg tells of a file."""
    return subprocess.run([FFMPEG, "-hide_banner", "-i", str(path)], capture_output=True, text=True, check=False).stderr


def frames_of(path):
    found = video.probe(FFMPEG, path)
    with video.Process(video.decoder(FFMPEG, found), stdout=subprocess.PIPE) as reader:
        return list(iter(lambda: reader.frame(found), None))


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_style(tmp_path / "wave.safetensors")
    return tmp_path


def convert(source, output, change=lambda frame: frame):
    return video.convert(FFMPEG, video.probe(FFMPEG, source), output, change, lambda count: None)


# Without a network


def test_a_video_s_size_rate_and_length_are_found(tmp_path):
    found = video.probe(FFMPEG, make(tmp_path / "a.mp4", "66x50", "30000/1001", 2))
    assert (found.height, found.width, found.rate) == (50, 66, Fraction(30000, 1001))
    assert abs(found.frames - 60) <= 1


@pytest.mark.parametrize("suffix", sorted(video.CONTAINERS))
def test_every_container_keeps_frames_rate_size_and_sound(tmp_path, suffix):
    coding = ("-c:v", "libvpx-vp9", "-deadline", "realtime") if suffix == ".webm" else ("-c:v", "libx264", "-bf", "0")
    source = make(tmp_path / f"a{suffix}", sound=True, coding=(*coding, "-pix_fmt", "yuv420p"))
    made = convert(source, tmp_path / f"b{suffix}")
    assert (made.frames, made.height, made.width, made.complaint) == (12, 48, 64, "")
    found = video.probe(FFMPEG, tmp_path / f"b{suffix}")
    assert (found.height, found.width, found.rate) == (48, 64, 12)
    assert len(frames_of(tmp_path / f"b{suffix}")) == 12
    assert digest_of_sound(source) == digest_of_sound(tmp_path / f"b{suffix}")
    assert names(tmp_path) == [f"a{suffix}", f"b{suffix}"]


@pytest.mark.parametrize(("size", "pixels"), [("63x48", "yuv444p"), ("64x47", "yuv444p"), ("64x48", "yuv420p")])
def test_odd_sizes_are_kept(tmp_path, size, pixels):
    width, height = map(int, size.split("x"))
    source = make(tmp_path / "a.mkv", size)
    convert(source, tmp_path / "b.mp4")
    found = video.probe(FFMPEG, tmp_path / "b.mp4")
    assert (found.height, found.width) == (height, width)
    assert pixels in told_of(tmp_path / "b.mp4")


def test_frames_come_in_order_and_colors_stay(tmp_path):
    """Each frame gets a color of its own; those of the file are the same, but for the coding."""
    source = make(tmp_path / "a.mp4")
    colors = [(20 * i, 255 - 20 * i, 128) for i in range(12)]
    waiting = iter(colors)
    convert(source, tmp_path / "b.mp4", lambda frame: Image.new("RGB", frame.size, next(waiting)))
    found = [np.asarray(frame).reshape(-1, 3).mean(axis=0) for frame in frames_of(tmp_path / "b.mp4")]
    np.testing.assert_allclose(found, colors, atol=COLOR)


def test_hd_that_says_nothing_of_its_colors_is_taken_for_bt709(tmp_path):
    """As players do; with ffmpeg's own BT.601 this green would come out 25 brighter."""
    path, coding = tmp_path / "a.mp4", ["-pix_fmt", "yuv420p", "-c:v", "libx264", "-crf", "1"]
    steps = "scale=out_color_matrix=bt709:out_range=tv,format=yuv420p,setparams=colorspace=unknown"
    color = ["-f", "lavfi", "-i", "color=c=0x00C828:size=1280x720:rate=5:duration=0.4"]
    subprocess.run([FFMPEG, "-nostdin", "-v", "error", *color, "-vf", steps, *coding, str(path)], check=True)
    assert video.probe(FFMPEG, path).matrix == "bt709"
    found = np.asarray(frames_of(path)[0])[360, 640].astype(int)
    assert np.abs(found - (0x00, 0xC8, 0x28)).max() <= COLOR


def test_sound_that_webm_cannot_hold_becomes_opus(tmp_path):
    source = make(tmp_path / "a.mp4", sound=True)
    made = convert(source, tmp_path / "b.webm")
    assert made.frames == 12
    assert "Audio: opus" in told_of(tmp_path / "b.webm")


def test_a_pixel_s_aspect_is_kept(tmp_path):
    source = make(tmp_path / "a.mp4", coding=("-c:v", "libx264", "-pix_fmt", "yuv420p", "-aspect", "16:9"))
    before = video.probe(FFMPEG, source).aspect
    convert(source, tmp_path / "b.mp4")
    assert before != 1
    assert video.probe(FFMPEG, tmp_path / "b.mp4").aspect == before


def test_a_file_s_name_is_no_option_and_no_protocol(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make(tmp_path / "a.mp4").rename(tmp_path / "-i:x %03d.mp4")
    convert(Path("-i:x %03d.mp4"), Path("-y.mp4"))
    assert len(frames_of(Path("-y.mp4"))) == 12


@pytest.mark.parametrize("suffix", sorted(video.CONTAINERS))
def test_the_output_says_that_its_colors_are_bt709(tmp_path, suffix):
    convert(make(tmp_path / "a.mkv"), tmp_path / f"b{suffix}")
    # Of matrix, primaries and transfer function ffmpeg prints one name if all three are the same.
    assert "yuv420p(tv, bt709" in told_of(tmp_path / f"b{suffix}")
    assert "bt709/" not in told_of(tmp_path / f"b{suffix}")


@pytest.mark.parametrize("transfer", [PQ, HLG])
def test_hdr_has_the_colors_that_the_same_picture_has_in_sdr(tmp_path, transfer):
    """Without tone-mapping the gray of 128 would be 106 or 114, and the green 92, 113, 78."""
    make_hdr(FFMPEG, tmp_path / "a.mkv", transfer)
    convert(tmp_path / "a.mkv", tmp_path / "b.mp4")
    for name in ("a.mkv", "b.mp4"):
        found = np.asarray(frames_of(tmp_path / name)[0])[24, 8::16].astype(int)
        np.testing.assert_allclose(found, COLORS, atol=COLOR)


def test_the_highest_code_of_hdr_is_what_ffmpeg_makes_of_it(tmp_path):
    """Not 65535, as one would think: that would make all light of PQ 2 % fainter."""
    brightest = np.full((1, 3), 255 * (10000 / 203) ** (1 / 2.4))
    found = video.probe(FFMPEG, make_hdr(FFMPEG, tmp_path / "a.mkv", PQ, brightest))
    with video.Process(video.decoder(FFMPEG, found), stdout=subprocess.PIPE) as reader:
        codes = np.frombuffer(reader.process.stdout.read(hdr.BYTES * found.height * found.width), "<u2")
    np.testing.assert_allclose(codes, hdr.HIGHEST, rtol=0, atol=32)


def test_hdr_is_not_hdr_any_more(tmp_path):
    make_hdr(FFMPEG, tmp_path / "a.mkv", PQ)
    convert(tmp_path / "a.mkv", tmp_path / "b.mp4")
    assert lost_of(tmp_path / "a.mkv", "b.mp4") == ["HDR (PQ), which is tone-mapped to SDR (BT.709)"]
    assert lost_of(tmp_path / "b.mp4", "c.mp4") == []


def lost_of(source, output):
    return video.changes(video.probe(FFMPEG, source), Path(output))


# Subtitles

#: As SubRip, and how ffmpeg writes it back.
LINES = "1\n00:00:00,200 --> 00:00:00,800\nGr\u00fc\u00dfe\n\n"


def with_subtitles(path, *tracks):
    """A video with tracks, each of a file and a codec; of all the language is German."""
    (path.parent / "a.srt").write_text(LINES, encoding="utf-8")
    picture = make(path.parent / "picture.mkv")
    given = [word for name, _ in tracks for word in ("-i", str(path.parent / name))]
    maps = [word for place in range(len(tracks)) for word in ("-map", str(place + 1))]
    codecs = [word for place, (_, codec) in enumerate(tracks) for word in (f"-c:s:{place}", codec)]
    coding = ("-c:v", "libvpx-vp9", "-deadline", "realtime") if path.suffix == ".webm" else ("-c:v", "copy")
    said = ("-metadata:s:s", "language=ger")
    command = [FFMPEG, "-nostdin", "-v", "error", "-y", "-i", str(picture), *given, "-map", "0", *maps, *coding, *codecs, *said]
    subprocess.run([*command, str(path)], check=True)
    return path


def subtitles_of(path, track=0):
    command = [FFMPEG, "-nostdin", "-v", "error", "-i", str(path), "-map", f"0:s:{track}", "-f", "srt", "-"]
    return subprocess.run(command, check=True, capture_output=True).stdout.decode().replace("\r\n", "\n")


@pytest.mark.parametrize("output", [".mkv", ".mp4", ".m4v", ".mov", ".webm"])
@pytest.mark.parametrize(("source", "codec"), [(".mkv", "srt"), (".mkv", "ass"), (".mp4", "mov_text"), (".webm", "webvtt")])
def test_subtitles_of_text_are_kept_with_their_times_and_language(tmp_path, source, codec, output):
    convert(with_subtitles(tmp_path / f"a{source}", ("a.srt", codec)), tmp_path / f"b{output}")
    assert lost_of(tmp_path / f"a{source}", f"b{output}") == []
    begins, ends = (stamp.strip() for stamp in subtitles_of(tmp_path / f"b{output}").splitlines()[1].split("-->"))
    assert (begins, ends) == ("00:00:00,200", "00:00:00,800")
    assert "Gr\u00fc\u00dfe" in subtitles_of(tmp_path / f"b{output}")
    (track,) = [line for line in told_of(tmp_path / f"b{output}").splitlines() if "Subtitle:" in line]
    assert "(ger)" in track


def write_pgs(path):
    """Two of a Blu-ray's subtitles, which are pictures (empty ones)."""
    data = b""
    for time_of in (9000, 72000):
        screen = struct.pack(">HHBHBBBB", 64, 48, 0x10, 0, 0x80, 0, 0, 0)
        for kind, body in ((0x16, screen), (0x17, b"\0"), (0x80, b"")):
            data += b"PG" + struct.pack(">IIBH", time_of, 0, kind, len(body)) + body
    path.write_bytes(data)


@pytest.fixture
def two_tracks(folder):
    """A video with subtitles that are pictures, and others that are text behind them."""
    write_pgs(folder / "p.sup")
    return with_subtitles(folder / "a.mkv", ("p.sup", "copy"), ("a.srt", "srt"))


def test_matroska_keeps_subtitles_that_are_pictures(two_tracks):
    convert(two_tracks, Path("b.mkv"))
    assert lost_of(two_tracks, "b.mkv") == []
    assert "Subtitle: hdmv_pgs_subtitle" in told_of("b.mkv")
    assert "Gr\u00fc\u00dfe" in subtitles_of("b.mkv", 1)


@pytest.mark.parametrize("suffix", [".mp4", ".webm"])
def test_subtitles_that_are_pictures_are_left_out_with_a_line_where_they_cannot_go(two_tracks, suffix):
    convert(two_tracks, Path(f"b{suffix}"))
    assert lost_of(two_tracks, f"b{suffix}") == [f"a subtitle track is left out, which {suffix} cannot hold: hdmv_pgs_subtitle"]
    assert "Gr\u00fc\u00dfe" in subtitles_of(f"b{suffix}")


def test_avi_holds_no_subtitles_and_a_line_says_so(two_tracks):
    convert(two_tracks, Path("b.avi"))
    line = "2 subtitle tracks are left out, which .avi cannot hold: hdmv_pgs_subtitle, subrip"
    assert lost_of(two_tracks, "b.avi") == [line]
    assert "Subtitle:" not in told_of("b.avi")


def test_subtitles_that_are_no_utf8_do_not_end_the_work_and_a_line_says_so(folder, any_style_backend, capsys):
    source = with_subtitles(folder / "a.mkv", ("a.srt", "srt"))
    source.write_bytes(source.read_bytes().replace("Gr\u00fc\u00dfe".encode(), b"Gr\xfc\xff\xdf\xffe"))
    assert isostyle("apply", "wave.safetensors", "a.mkv", "-o", "b.mp4", "--threads", "2", "--backend", any_style_backend) == 0
    assert "a.mkv: some of its subtitles cannot be read, and are left out; are they UTF-8?" in capsys.readouterr().err
    assert len(frames_of(folder / "b.mp4")) == 12


# Transparency


@pytest.mark.parametrize(
    ("name", "coding", "is_lost"),
    [
        ("a.webm", "-c:v libvpx-vp9 -deadline realtime -pix_fmt yuva420p", True),
        ("a.mov", "-c:v prores_ks -profile:v 4444 -pix_fmt yuva444p10le", True),
        ("a.mov", "-c:v qtrle -pix_fmt argb", True),
        ("a.webm", "-c:v libvpx-vp9 -deadline realtime -pix_fmt yuv420p", False),
        ("a.mov", "-c:v prores_ks -profile:v 4444 -pix_fmt yuv444p10le", False),
        ("a.mov", "-c:v qtrle -pix_fmt rgb24", False),
    ],
)
def test_transparency_that_is_lost_is_said(tmp_path, name, coding, is_lost):
    make(tmp_path / name, coding=coding.split())
    assert lost_of(tmp_path / name, "b.mp4") == (
        ["its alpha channel (transparency), which is laid on white"] if is_lost else []
    )


# Errors


@pytest.mark.parametrize("data", [b"", b"no video", b"half"], ids=["empty", "text", "half"])
def test_a_broken_video_is_one_sentence(tmp_path, data):
    path = make(tmp_path / "a.mp4")
    path.write_bytes(path.read_bytes()[:2000] if data == b"half" else data)
    with pytest.raises(InputError, match=r"a.mp4' is not a video that ffmpeg can read: ffmpeg says '"):
        video.probe(FFMPEG, path)


def ffmpeg(line):
    subprocess.run([FFMPEG, "-nostdin", "-v", "error", *line.split()], check=True)


def sound_alone(folder):
    ffmpeg(f"-f lavfi -i sine=duration=1 -c:a aac {folder}/a.mp4")


def sound_and_a_cover(folder):
    Image.new("RGB", (32, 32), "red").save(folder / "cover.png")
    streams = "-map 0 -map 1 -c:a aac -c:v copy -disposition:v:0 attached_pic"
    ffmpeg(f"-f lavfi -i sine=duration=1 -i {folder}/cover.png {streams} {folder}/a.mp4")


def no_frames(folder):
    ffmpeg(f"-ss 9 -i {make(folder / 'whole.mp4')} -c copy {folder}/a.mp4")


def nothing_at_all(folder):
    ffmpeg(f"-f lavfi -i testsrc2 -frames:v 0 -c:v libx264 {folder}/a.mp4")


def another_codec(folder):
    path = make(folder / "a.mp4")
    path.write_bytes(path.read_bytes().replace(b"avc1", b"zzzz"))


def noise_for_frames(folder):
    path = make(folder / "a.mp4")
    before, head, rest = path.read_bytes().partition(b"mdat")
    frames, moov, index = rest.rpartition(b"moov")
    path.write_bytes(before + head + b"U" * (len(frames) - 4) + frames[-4:] + moov + index)


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (sound_alone, "has no picture stream, only sound"),
        (sound_and_a_cover, "has no picture stream, only sound and a cover"),
        (no_frames, "is a video without any frame"),
        (nothing_at_all, "has no picture stream"),
        (another_codec, "has pictures in a coding that this ffmpeg cannot decode: (zzzz / 0x7A7A7A7A)"),
        (noise_for_frames, "is not a video that ffmpeg can read: ffmpeg says 'Invalid NAL unit size"),
    ],
)
def test_why_a_file_is_no_video_is_said_and_not_what_ffmpeg_said_last(tmp_path, build, words):
    build(tmp_path)
    with pytest.raises(InputError) as raised:
        video.probe(FFMPEG, tmp_path / "a.mp4")
    assert str(raised.value).startswith(f"{str(tmp_path / 'a.mp4')!r} {words}")
    assert "trailing '?'" not in str(raised.value)


@pytest.mark.parametrize("which", ["reader", "writer"])
def test_an_ffmpeg_that_is_killed_leaves_nothing(tmp_path, monkeypatch, which):
    source = make(tmp_path / "a.mp4", "320x240", seconds=4)
    started = []
    begin = subprocess.Popen

    def watched(*arguments, **options):
        started.append(begin(*arguments, **options))
        return started[-1]

    found = video.probe(FFMPEG, source)
    monkeypatch.setattr(subprocess, "Popen", watched)

    def kill(count):
        if count == 2:
            started[0 if which == "reader" else 1].kill()

    with pytest.raises(IsostyleError, match="cannot be read to its end" if which == "reader" else "cannot be written"):
        video.convert(FFMPEG, found, tmp_path / "b.mp4", lambda frame: frame, kill)
    assert names(tmp_path) == ["a.mp4"]
    assert all(process.poll() is not None for process in started)


def test_an_error_in_between_ends_ffmpeg_and_leaves_nothing(tmp_path):
    source = make(tmp_path / "a.mp4", "320x240", seconds=4)

    def fail(frame):
        raise IsostyleError("no")

    with pytest.raises(IsostyleError, match="no"):
        convert(source, tmp_path / "b.mp4", fail)
    assert names(tmp_path) == ["a.mp4"]


# The command


def test_apply_paints_a_video_with_its_sound(folder, any_style_backend, capsys):
    source = make(folder / "a.mp4", "62x47", sound=True)
    assert isostyle("apply", "wave.safetensors", "a.mp4", "-o", "b.mp4", "--threads", "2", "--backend", any_style_backend) == 0
    assert len(frames_of(folder / "b.mp4")) == 12
    assert digest_of_sound(source) == digest_of_sound(folder / "b.mp4")
    about = json.loads((folder / "b.json").read_text())
    assert about["output"]["frames"] == 12
    assert about["output"]["file_sha256"] == video_digest(folder / "b.mp4")
    assert "47x62 (height x width), 12 frames a second, yuv444p, for its sides are not even" in capsys.readouterr().err


def test_apply_says_what_of_a_video_is_lost(folder, any_style_backend, capsys):
    make_hdr(FFMPEG, folder / "a.mkv", HLG)
    assert isostyle("apply", "wave.safetensors", "a.mkv", "-o", "b.mp4", "--threads", "2", "--backend", any_style_backend) == 0
    assert "a.mkv: HDR (HLG), which is tone-mapped to SDR (BT.709)\n" in capsys.readouterr().err


def video_digest(path):
    from isostyle.system.files import file_sha256

    return file_sha256(path)


def test_apply_paints_each_frame_as_a_picture(folder, any_style_backend):
    """A still one: its frame, painted as a picture, and the video's are the same but for the coding."""
    make(folder / "a.mp4", picture="smptebars")
    frames_of(folder / "a.mp4")[0].save(folder / "frame.png")
    for name, output in (("frame.png", "painted.png"), ("a.mp4", "b.mp4")):
        arguments = ["wave.safetensors", name, "-o", output, "--threads", "2", "--backend", any_style_backend]
        assert isostyle("apply", *arguments, "--quiet") == 0
    painted = np.asarray(Image.open(folder / "painted.png")).astype(float)
    found = np.asarray(frames_of(folder / "b.mp4")[5]).astype(float)
    # 4:2:0 halves the colors' resolution: compared as means over 8x8 pixels.
    difference = (painted - found).reshape(6, 8, 8, 8, 3).mean(axis=(1, 3))
    assert np.abs(difference).max() <= 3 * COLOR


def test_a_video_among_pictures_and_a_broken_one(folder, any_style_backend, capsys):
    make(folder / "a.mp4")
    (folder / "c.mp4").write_bytes(b"no video")
    Image.new("RGB", (30, 20), "red").save(folder / "d.png")
    assert (
        isostyle("apply", "wave.safetensors", "*.mp4", "d.png", "-o", "out", "--threads", "2", "--backend", any_style_backend)
        == 1
    )
    assert names(folder / "out") == ["a.mp4", "d.png", "manifest.json"]
    assert "FAILED c.mp4: 'c.mp4' is not a video" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["c.mp4"], "is not a video that ffmpeg can read"),
        (["a.mp4", "-o", "b.png"], "is no video's name; a video becomes .mp4"),
    ],
    ids=["broken", "suffix"],
)
def test_a_video_that_cannot_be_used_is_one_sentence(folder, any_style_backend, capsys, arguments, said):
    (folder / "c.mp4").write_bytes(b"no video")
    make(folder / "a.mp4")
    before = names(folder)
    assert isostyle("apply", "wave.safetensors", *arguments, "--threads", "2", "--backend", any_style_backend) == 2
    assert said in capsys.readouterr().err
    assert names(folder) == before


def test_without_ffmpeg_a_video_is_one_sentence(folder, monkeypatch, capsys):
    (folder / "a.mp4").write_bytes(b"not looked at")
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    assert isostyle("apply", "wave.safetensors", "a.mp4") == 2
    assert "videos need ffmpeg: install it, or pip install 'isostyle[video]'" in capsys.readouterr().err


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["Ctrl-C", "SIGTERM"])
@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="processes are looked for in /proc, which is Linux's")
def test_a_signal_ends_ffmpeg_too_and_leaves_nothing(folder, any_style_backend, number, code):
    make(folder / "a.mp4", "320x240", seconds=60)
    command = [
        sys.executable,
        "-m",
        "isostyle",
        "apply",
        "wave.safetensors",
        "a.mp4",
        "-o",
        "b.mp4",
        "--backend",
        any_style_backend,
    ]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        deadline = time.monotonic() + 120
        while not list(folder.glob(".isostyle-*")) and time.monotonic() < deadline:
            time.sleep(0.05)
        time.sleep(1)
        process.send_signal(number)
        process.communicate(timeout=120)
    assert process.returncode == code
    assert names(folder) == ["a.mp4", "wave.safetensors"]
    assert not [one for one in os.listdir("/proc") if one.isdigit() and str(folder) in command_of(one)]


def command_of(process):
    try:
        with open(f"/proc/{process}/cmdline") as stream:
            return stream.read()
    except OSError:
        return ""


# Alpha


def moving(path, *frames, coding):
    """A video of RGBA pictures."""
    size = "x".join(map(str, frames[0].size))
    given = ["-f", "rawvideo", "-pix_fmt", "rgba", "-s", size, "-framerate", "5", "-i", "pipe:0"]
    data = b"".join(frame.tobytes() for frame in frames)
    subprocess.run([FFMPEG, "-v", "error", "-y", *given, *coding, str(path)], input=data, check=True)
    return path


CODINGS = {"png.mov": ("-c:v", "png"), "vp9.webm": ("-c:v", "libvpx-vp9", "-pix_fmt", "yuva420p", "-crf", "5")}


@pytest.mark.parametrize("name", CODINGS)
def test_a_video_s_alpha_is_read(tmp_path, name):
    frame = cut_out((0, 0, 0))
    (found,) = frames_of(moving(tmp_path / name, frame, coding=CODINGS[name]))
    assert abs(np.asarray(found.getchannel("A")).astype(int) - np.asarray(frame.getchannel("A"))).max() <= 8


def test_a_video_without_alpha_is_read_as_before(tmp_path):
    found = video.probe(FFMPEG, make(tmp_path / "a.mp4"))
    assert (found.pixels, found.mode, found.decoder) == ("rgb24", "RGB", ())


def test_hidden_colors_of_a_video_are_white_and_reach_nothing(folder, any_style_backend):
    """One of its frames is hidden as a whole."""
    nothing = Image.new("RGBA", (80, 60), (0, 200, 0, 0))
    seen = []
    for name, hidden in (("a.mov", HIDDEN[0]), ("b.mov", HIDDEN[1])):
        moving(folder / name, cut_out(hidden), nothing, cut_out(hidden), coding=CODINGS["png.mov"])
        output = f"{name[0]}.mp4"
        command = ["apply", "wave.safetensors", name, "-o", output, "--threads", "1", "--backend", any_style_backend]
        assert isostyle(*command) == 0
        seen.append(frames_of(folder / output))
    assert [frame.tobytes() for frame in seen[0]] == [frame.tobytes() for frame in seen[1]]
    assert np.asarray(seen[0][1]).min() >= 250
    assert np.asarray(seen[0][0])[:10, :10].min() >= 250
    assert json.loads((folder / "a.json").read_text())["output"]["frames"] == 3
