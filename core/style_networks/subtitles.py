"""Subtitles: which of a video's tracks the container of its output holds, and as what."""

from __future__ import annotations

from collections.abc import Sequence

from isostyle.style_networks.streams import Stream

#: Codecs of text, by ffmpeg's names. Others are pictures, or text that ffmpeg cannot read.
TEXT = ("subrip", "ass", "ssa", "mov_text", "webvtt", "text")
#: What ffmpeg's muxers take as it is, and what text becomes otherwise. AVI has no place for any.
TAKEN: dict[str, tuple[tuple[str, ...], str | None]] = {
    "mp4": (("mov_text",), "mov_text"),
    "mov": (("mov_text",), "mov_text"),
    "matroska": (("subrip", "ass", "ssa", "webvtt", "hdmv_pgs_subtitle", "dvd_subtitle", "dvb_subtitle"), "subrip"),
    "webm": (("webvtt",), "webvtt"),
    "avi": ((), None),
}
#: A line that is no UTF-8 must not end the work: without this, two thirds of such lines do.
IN_SPITE_OF_ERRORS = ("-max_error_rate", "1")
#: What ffmpeg says of them.
UNREADABLE = "Invalid UTF-8 in decoded subtitles"


def coder_of(track: Stream, muxer: str) -> str | None:
    """How ffmpeg is to code a track; None if the container cannot hold it."""
    taken, text = TAKEN[muxer]
    if track.codec in taken:
        return "copy"
    return text if track.codec in TEXT else None


def tracks(streams: Sequence[Stream]) -> list[Stream]:
    return [stream for stream in streams if stream.kind == "Subtitle"]


def options(streams: Sequence[Stream], muxer: str) -> list[str]:
    """Options for ffmpeg that take along what the container can hold; the file is its second input."""
    found = [(track, coder) for track in tracks(streams) if (coder := coder_of(track, muxer))]
    maps = [word for track, _ in found for word in ("-map", f"1:{track.number}")]
    coders = [word for place, (_, coder) in enumerate(found) for word in (f"-c:s:{place}", coder)]
    return [*maps, *coders, *(IN_SPITE_OF_ERRORS if any(coder != "copy" for _, coder in found) else ())]


def lost(streams: Sequence[Stream], muxer: str) -> list[str]:
    """The codecs of the tracks that the container cannot hold."""
    return [track.codec for track in tracks(streams) if coder_of(track, muxer) is None]
