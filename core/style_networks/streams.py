"""What is in a video's file, by the lines that ffmpeg prints before it begins."""

from __future__ import annotations

import re
from dataclasses import dataclass

from isostyle.style_networks import hdr

#: A stream's first line: its number, its kind, and all the rest.
STREAM = re.compile(r"^ *Stream #0:(\d+).*?: (Video|Audio|Subtitle|Data|Attachment): (.*)")
#: What ffmpeg says of a stream that is a picture to show while sound is played.
COVER = "(attached pic)"
#: What it calls the matrices between RGB and YUV. Three names with slashes are matrix, primaries and transfer function.
MATRICES = re.compile(r"\b(?<!/)(bt709|bt470bg|smpte170m|smpte240m|bt2020n?c?|fcc|ycgco|gbr|rgb)\b")
#: What it calls samples with alpha; VP8 and VP9 have it in a second picture, which a tag tells of.
ALPHA = re.compile(r", (yuva|ayuv|vuya|gbrap|rgba|bgra|argb|abgr|ya\d)")
ALPHA_TAG = re.compile(r"^ *alpha_mode *: *1$", re.I | re.M)


@dataclass(frozen=True)
class Stream:
    """One of a file's streams."""

    number: int
    #: Video, Audio, Subtitle, Data or Attachment.
    kind: str
    #: Codec, samples, colors, size and rate, in ffmpeg's words.
    about: str
    #: The lines below, with its tags.
    tags: str = ""

    @property
    def is_picture(self) -> bool:
        return self.kind == "Video" and COVER not in self.about

    @property
    def codec(self) -> str:
        return self.about.split(" ")[0].rstrip(",")

    @property
    def has_alpha(self) -> bool:
        return bool(ALPHA.search(self.about) or ALPHA_TAG.search(self.tags))

    @property
    def names_matrix(self) -> bool:
        return bool(MATRICES.search(self.about))

    @property
    def transfer(self) -> str | None:
        """The transfer function of HDR; None if it is SDR."""
        return next((name for name in hdr.NAMES if f"/{name}" in self.about), None)


def streams_of(told: str) -> tuple[Stream, ...]:
    """The input's streams."""
    found: list[Stream] = []
    # What comes behind them is about the output.
    for line in told.partition("Stream mapping:")[0].splitlines():
        if begun := STREAM.match(line):
            found.append(Stream(int(begun[1]), begun[2], begun[3]))
        elif found:
            last = found.pop()
            found.append(Stream(last.number, last.kind, last.about, f"{last.tags}{line}\n"))
    return tuple(found)
