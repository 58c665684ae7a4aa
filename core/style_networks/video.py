"""Videos through ffmpeg: its frames are piped out, changed, and piped into a new file; no frame is written to a disk.

ffmpeg is a program: the one in the PATH, or that of the package imageio-ffmpeg. Frames travel as raw 8-bit RGB, with alpha if
there is any, those of HDR of 16 bits, at a constant rate; the sound is copied as it is, but into a .webm, where it is Opus.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import IO

from PIL import Image

from isostyle.errors import InputError, IsostyleError
from isostyle.images.decode import MAX_PIXELS
from isostyle.style_networks import hdr, subtitles
from isostyle.style_networks.streams import COVER, Stream, streams_of
from isostyle.system.files import fresh_file
from isostyle.system.prefetch import ahead

#: Constant quality: of x264, and of VP9 about the same. Both are above what the eye sees in motion.
X264 = ("-c:v", "libx264", "-crf", "18", "-preset", "medium")
VP9 = ("-c:v", "libvpx-vp9", "-crf", "24", "-b:v", "0", "-row-mt", "1")
#: By suffix: the name of ffmpeg's muxer, and how the picture is coded. A .gif is a picture, its first.
CONTAINERS: dict[str, tuple[str, tuple[str, ...]]] = {
    ".mp4": ("mp4", (*X264, "-movflags", "+faststart")),
    ".m4v": ("mp4", (*X264, "-movflags", "+faststart")),
    ".mov": ("mov", (*X264, "-movflags", "+faststart")),
    ".mkv": ("matroska", X264),
    # It has no times of its own for frames that are shown in another order than they are coded in.
    ".avi": ("avi", (*X264, "-bf", "0")),
    ".webm": ("webm", VP9),
}
#: Frames a second. More is a clock's resolution that a file of a variable rate claims.
MOST_RATE = 240
#: Only what is in files: a playlist must not make ffmpeg open a connection.
QUIET = ("-hide_banner", "-nostdin", "-nostats")
FROM_FILES = ("-protocol_whitelist", "file,pipe")
FIRST_FRAME = ("-map", "0:V:0", "-frames:v", "1", "-pix_fmt", "yuv444p", "-f", "yuv4mpegpipe", "pipe:1")
#: From how many rows on BT.709 is meant where no matrix between RGB and YUV is named.
HD_HEIGHT = 720
#: What ffmpeg says of a codec that it does not know, ...
NO_DECODER = "no decoder found"
#: ... and of a file before it says what is wrong with it.
NO_CAUSE = ("misdetection possible",)
#: The decoders that look at the alpha of a codec that has it in a second picture.
LOOKING = {"vp8": "libvpx", "vp9": "libvpx-vp9"}
#: Conversions between RGB and YUV without short cuts.
EXACT = "flags=accurate_rnd+full_chroma_int+full_chroma_inp+bicubic"
#: Seconds that ffmpeg may take to finish a file once all frames are there: with the sound, `+faststart` writes it twice.
PATIENCE = 600


def is_video(path: Path) -> bool:
    """Whether a file's name says that it is a video."""
    return path.suffix.lower() in CONTAINERS


def find_ffmpeg() -> str:
    """The path of the program.

    Raises:
        InputError: there is none.
    """
    if (found := shutil.which("ffmpeg")) is not None:
        return found
    try:
        import imageio_ffmpeg

        return str(imageio_ffmpeg.get_ffmpeg_exe())
    except (ImportError, RuntimeError):
        raise InputError("videos need ffmpeg: install it, or pip install 'isostyle[video]'") from None


@dataclass(frozen=True)
class Video:
    """A video's first picture stream."""

    path: Path
    height: int
    width: int
    #: Frames a second.
    rate: Fraction
    #: Width of a pixel by its height.
    aspect: Fraction
    #: How many frames there will be, about; None if the file does not say how long it is.
    frames: int | None
    #: How its YUV is to be read, as ffmpeg's scale has it.
    matrix: str
    #: The picture, as ffmpeg tells of it.
    picture: Stream
    #: All that is in the file.
    streams: tuple[Stream, ...]
    #: How ffmpeg calls what its frames are decoded to, and Pillow.
    pixels: str = "rgb24"
    mode: str = "RGB"
    #: A decoder that is not ffmpeg's choice.
    decoder: tuple[str, ...] = ()


def probe(ffmpeg: str, path: Path) -> Video:
    """Look at a video's first frame, whose header in YUV4MPEG2 says all that is needed.

    Raises:
        InputError: there is no such file, or ffmpeg finds no picture in it.
    """
    name = repr(str(path))
    if not path.is_file():  # a pipe would keep us waiting
        raise InputError(f"there is no file {name}")
    command = [ffmpeg, *QUIET, *FROM_FILES, "-i", url(path), *FIRST_FRAME]
    answer = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, start_new_session=True, check=False)
    told = answer.stderr.decode(errors="replace")
    first, _, rest = answer.stdout.partition(b"\n")
    header = first.decode("ascii", errors="replace").split(" ")
    if header[0] != "YUV4MPEG2" or not rest.startswith(b"FRAME"):
        raise InputError(f"{name} {why_not(told, has_header=header[0] == 'YUV4MPEG2')}")
    fields = {field[:1]: field[1:] for field in header[1:]}
    try:
        height, width = int(fields["H"]), int(fields["W"])
        rate = Fraction(fields["F"].replace(":", "/"))
        across, down = (int(side) for side in fields.get("A", "1:1").split(":"))
    except (KeyError, ValueError, ZeroDivisionError):
        raise InputError(f"{name} is a video whose size or rate ffmpeg does not say") from None
    if height * width > MAX_PIXELS:
        raise InputError(f"{name} has frames of more than {MAX_PIXELS / 1e6:.0f} megapixels")
    if not 0 < rate <= MOST_RATE:
        raise InputError(f"{name} has {float(rate):g} frames a second, a variable rate perhaps; make it constant first")
    length = re.search(r"Duration: (\d+):(\d\d):(\d\d(?:\.\d+)?)", told)
    seconds = 3600 * int(length[1]) + 60 * int(length[2]) + float(length[3]) if length else None
    frames = None if seconds is None else max(1, round(seconds * rate))
    aspect = Fraction(across, down) if across and down else Fraction(1)
    streams = streams_of(told)
    picture = next((stream for stream in streams if stream.is_picture), Stream(0, "Video", ""))
    found = Video(path, height, width, rate, aspect, frames, matrix_of(picture, height), picture, streams)
    if picture.transfer:
        return dataclasses.replace(found, pixels=hdr.SAMPLES)
    decoder = alpha_in(ffmpeg, picture)
    return found if decoder is None else dataclasses.replace(found, pixels="rgba", mode="RGBA", decoder=decoder)


def why_not(told: str, *, has_header: bool) -> str:
    """Why no first frame came out of a file, by what ffmpeg ``told``; ``has_header``: it had begun to write a picture."""
    streams = streams_of(told)
    pictures = [stream for stream in streams if stream.is_picture]
    if has_header:
        return "is a video without any frame"
    if "Input #0" in told and not pictures:
        others = ["sound"] if any(stream.kind == "Audio" for stream in streams) else []
        others += ["a cover"] if any(COVER in stream.about for stream in streams) else []
        return f"has no picture stream{', only ' if others else ''}{' and '.join(others)}"
    if pictures and NO_DECODER in told:
        codec = pictures[0].about.partition(",")[0].removeprefix("none ")
        return f"has pictures in a coding that this ffmpeg cannot decode: {codec}"
    return f"is not a video that ffmpeg can read: {first_complaint(told)}; it may be damaged"


def matrix_of(picture: Stream, height: int) -> str:
    """How YUV is to be read: ``auto``, as ffmpeg says in its line on the stream. Where it says nothing, HDR is BT.2020; players
    take HD for BT.709, and ffmpeg for BT.601."""
    if picture.names_matrix:
        return "auto"
    if picture.transfer:
        return "bt2020"
    return "bt709" if height >= HD_HEIGHT else "auto"


def changes(video: Video, output: Path) -> list[str]:
    """What of a video is not in ``output`` as it was, a line each."""
    lines = []
    if video.picture.transfer:
        lines.append(f"HDR ({hdr.NAMES[video.picture.transfer]}), which is tone-mapped to SDR (BT.709)")
    if video.picture.has_alpha:
        lines.append("its alpha channel (transparency), which is laid on white")
    if codecs := subtitles.lost(video.streams, CONTAINERS[output.suffix.lower()][0]):
        tracks = "a subtitle track is" if len(codecs) == 1 else f"{len(codecs)} subtitle tracks are"
        lines.append(f"{tracks} left out, which {output.suffix.lower()} cannot hold: {', '.join(codecs)}")
    return lines


def alpha_in(ffmpeg: str, picture: Stream) -> tuple[str, ...] | None:
    """The options with which the alpha of a video's picture is decoded; None if it has none, or nothing that decodes it."""
    if not picture.has_alpha:
        return None
    name = LOOKING.get(picture.codec)
    if name is None:
        return ()
    command = [ffmpeg, *QUIET, "-decoders"]
    known = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, start_new_session=True, check=False).stdout
    return ("-c:v", name) if name.encode() in known.split() else None


def url(path: Path) -> str:
    """A path as ffmpeg takes it: never an option or another protocol, whatever the file is called."""
    return f"file:{path.resolve()}"


@dataclass(frozen=True)
class Converted:
    """What :func:`convert` wrote."""

    frames: int
    height: int
    width: int
    #: What ffmpeg complained of while it read; empty if it did not.
    complaint: str
    #: Whether some lines of its subtitles could not be read.
    lost_subtitles: bool


def convert(
    ffmpeg: str,
    video: Video,
    output: Path,
    change: Callable[[Image.Image], Image.Image],
    progress: Callable[[int], None],
) -> Converted:
    """Write a video with every frame changed, to ``output``, which is there whole at the end or not at all.

    Args:
        change: one frame to another, RGB and all of one size; of a video with alpha it is given RGBA.
        progress: told how many frames are done.

    Raises:
        InputError: ffmpeg finds no frame.
        IsostyleError: ffmpeg cannot read on, or cannot write.
    """
    place = Path(os.path.realpath(output))
    with contextlib.ExitStack() as stack:
        file = stack.enter_context(fresh_file(place))
        reader = stack.enter_context(Process(decoder(ffmpeg, video), stdout=subprocess.PIPE))
        frames = stack.enter_context(contextlib.closing(ahead(itertools.repeat(lambda: reader.frame(video)))))
        writer: Process | None = None
        count, size = 0, (video.height, video.width)
        for waiting in frames:
            if (frame := waiting.result()) is None:
                break
            made = change(frame)
            if writer is None:
                size = made.height, made.width
                writer = stack.enter_context(Process(encoder(ffmpeg, video, size, file, output), stdin=subprocess.PIPE))
            try:
                writer.stdin.write(made.tobytes())
            except OSError:
                raise writer.failure(f"{str(output)!r} cannot be written") from None
            count += 1
            progress(count)
        if not reader.ends() or writer is None:
            error = reader.failure(f"{str(video.path)!r} cannot be read to its end")
            raise InputError(str(error)) if writer is None else error
        if not writer.ends():
            raise writer.failure(f"{str(output)!r} cannot be written")
        os.replace(file, place)
        return Converted(count, *size, last_line(reader.complaints(), ""), subtitles.UNREADABLE in writer.complaints())


def decoder(ffmpeg: str, video: Video) -> list[str]:
    """Frames of one size at one rate, to the standard output."""
    steps = f"scale={video.width}:{video.height}:in_color_matrix={video.matrix}:{EXACT},format={video.pixels}"
    return [
        *(ffmpeg, *QUIET, "-v", "error", *FROM_FILES, *video.decoder, "-i", url(video.path)),
        *("-map", "0:V:0", "-vf", steps, "-r", str(video.rate), "-f", "rawvideo", "-pix_fmt", video.pixels, "pipe:1"),
    ]


def encoder(ffmpeg: str, video: Video, size: tuple[int, int], file: Path, output: Path) -> list[str]:
    """Frames from the standard input, and the sound and subtitles of the source, into a file."""
    height, width = size
    muxer, codec = CONTAINERS[output.suffix.lower()]
    # WebM takes no other sound than that of WebM.
    sound = "libopus" if muxer == "webm" and video.path.suffix.lower() != ".webm" else "copy"
    # 4:2:0 has a color for each two by two pixels, so it needs even sides.
    pixels = pixel_format(size)
    # What frames say of their colors is more to ffmpeg than the options below, and those of a pipe say that nothing is known.
    said = "setparams=color_primaries=bt709:color_trc=bt709"
    steps = f"scale=out_color_matrix=bt709:out_range=tv:{EXACT},format={pixels},setsar={video.aspect},{said}"
    return [
        *(ffmpeg, *QUIET, "-v", "error", "-y"),
        *("-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}", "-framerate", str(video.rate), "-i", "pipe:0"),
        *(*FROM_FILES, "-i", url(video.path)),
        *("-map", "0:v:0", "-map", "1:a?", "-c:a", sound, *subtitles.options(video.streams, muxer)),
        *("-map_metadata", "1", "-vf", steps, *codec),
        *("-colorspace", "bt709", "-color_primaries", "bt709", "-color_trc", "bt709", "-color_range", "tv"),
        *("-f", muxer, url(file)),
    ]


def pixel_format(size: tuple[int, int]) -> str:
    """What a video of (height, width) is coded in: 4:2:0, which every player has, needs even sides; others become 4:4:4."""
    return "yuv444p" if size[0] % 2 or size[1] % 2 else "yuv420p"


class Process:
    """ffmpeg at one end of a pipe. As a context manager it ends the process, however its use ends."""

    def __init__(self, command: list[str], *, stdin: int = subprocess.DEVNULL, stdout: int = subprocess.DEVNULL) -> None:
        self.errors = tempfile.TemporaryFile()  # noqa: SIM115 (__exit__ closes it)
        # A session of its own: Ctrl-C reaches isostyle alone, which then ends its processes itself.
        self.process = subprocess.Popen(command, stdin=stdin, stdout=stdout, stderr=self.errors, start_new_session=True)

    def __enter__(self) -> Process:
        return self

    def __exit__(self, *error: object) -> None:
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()
        self.errors.close()

    @property
    def stdin(self) -> IO[bytes]:
        assert self.process.stdin is not None
        return self.process.stdin

    def frame(self, video: Video) -> Image.Image | None:
        """The next frame; None behind the last one, or what there is of it."""
        assert self.process.stdout is not None
        transfer = video.picture.transfer
        size = (hdr.BYTES if transfer else len(video.mode)) * video.height * video.width
        data = self.process.stdout.read(size)
        if len(data) < size:
            return None
        if transfer:
            return hdr.to_sdr(data, video.height, video.width, transfer)
        return Image.frombytes(video.mode, (video.width, video.height), data)

    def ends(self) -> bool:
        """Wait until the process has done its work, and say whether it succeeded."""
        if self.process.stdin is not None:
            with contextlib.suppress(OSError):
                self.process.stdin.close()
        try:
            return self.process.wait(PATIENCE) == 0
        except subprocess.TimeoutExpired:
            return False

    def complaints(self) -> str:
        """What it has printed to its standard error."""
        self.errors.seek(0)
        return self.errors.read().decode(errors="replace")

    def failure(self, what: str) -> IsostyleError:
        """An error that says ``what`` failed, and why."""
        self.ends()
        return IsostyleError(f"{what}: {last_line(self.complaints())}")


def first_complaint(told: str) -> str:
    """What one part of ffmpeg said first, which is the cause; what follows is that others could not go on."""
    lines = [line for line in told.splitlines() if line.startswith("[") and not any(word in line for word in NO_CAUSE)]
    return last_line(lines[0] if lines else told)


def last_line(text: str, otherwise: str = "ffmpeg does not say why") -> str:
    """What ffmpeg said last, without the addresses that it begins lines with."""
    lines = [line for line in (re.sub(r"^\[[^]]* @ 0x[0-9a-f]+\] ", "", line).strip() for line in text.splitlines()) if line]
    return f"ffmpeg says {lines[-1]!r}" if lines else otherwise
