"""What a container's header is told: options, metadata, chapters."""

from __future__ import annotations

import math
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

from stream_anon.media.input.info import MediaInfo, StreamInfo

_LARGEST_TIMESCALE = (1 << 31) - 1


def container_options(muxer: str, info: MediaInfo, seekable: bool = True) -> dict[str, str]:
    """FFmpeg's options for a muxer."""
    if muxer in ("mp4", "mov"):
        # Edit lists, which carry first times that are not zero, count in this unit.
        scale = math.lcm(*(s.time_base.denominator for s in info.streams), 1000)
        # In fragments, for which nothing has to be filled in afterwards.
        pipe = "+frag_keyframe+delay_moov+default_base_moof"
        flags = "+faststart" if seekable else pipe
        options = {"movflags": f"{flags}+use_metadata_tags"}
        video = max((s.time_base.denominator for s in info.video), default=1000)
        options["movie_timescale"] = str(scale if scale <= _LARGEST_TIMESCALE else video)
        return options
    if muxer == "mpegts":
        return {"mpegts_copyts": "1"}
    return {}


def kept_metadata(stream: StreamInfo, everything: bool) -> Mapping[str, str]:
    """What of a stream's metadata goes to the output."""
    if everything:
        return stream.metadata
    return {"language": stream.language} if stream.language else {}


def chapters(info: MediaInfo, titles: bool) -> list[Any]:
    """The input's chapters on the output's time line, as PyAV takes them.

    Without their titles they are numbered: an MP4 stores no chapter that has none.
    """
    begin = Fraction(info.begin or 0.0).limit_denominator(1000)
    out: list[Any] = []
    for number, chapter in enumerate(info.chapters, start=1):
        start, end = chapter.start - begin, chapter.end - begin
        if info.end is not None:
            end = min(end, Fraction(info.end).limit_denominator(1000) - begin)
        if end <= 0 or start >= end:
            continue
        title = (titles and chapter.title) or f"Chapter {number}"
        out.append(
            {
                "id": number,
                "start": round(max(start, Fraction(0)) * 1000),
                "end": round(end * 1000),
                "time_base": Fraction(1, 1000),
                "metadata": {"title": title},
            }
        )
    return out
