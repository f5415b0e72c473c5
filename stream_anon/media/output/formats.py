"""What containers can hold, and which one a result goes into."""

from __future__ import annotations

import io
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from pathlib import Path

import av

from stream_anon.errors import UsageError
from stream_anon.media.input.info import MediaInfo
from stream_anon.media.photo import KINDS, SUFFIXES
from stream_anon.media.pixel_formats import layout_of


@dataclass(frozen=True, slots=True)
class Container:
    """An output format.

    Attributes:
        muxer: FFmpeg's name.
        demuxers: names under which FFmpeg reads such files.
        codecs: video codecs that players expect in it, the default first.
        copies: whether sound and subtitles fit in at all.
        timed: whether it stores a time for each frame.
        reorders: whether frames may be stored in another order than they are shown.
        rotates: whether it stores a display matrix.
        early: whether it stores times below zero, as sound that leads in has.
        unit: seconds; the time base that the muxer insists on, None where it takes any.
    """

    muxer: str
    demuxers: tuple[str, ...]
    codecs: tuple[str, ...]
    copies: bool = True
    timed: bool = True
    reorders: bool = True
    rotates: bool = False
    early: bool = False
    unit: Fraction | None = None


_ANY = ("h264", "hevc", "av1", "vp9")
_MS = Fraction(1, 1000)
_MP4 = Container("mp4", ("mov", "mp4"), _ANY, rotates=True, early=True)
_MOV = Container("mov", ("mov", "mp4"), ("h264", "hevc"), rotates=True, early=True)
_MKV = Container("matroska", ("matroska", "webm"), _ANY, rotates=True, unit=_MS)
_WEBM = Container("webm", ("matroska", "webm"), ("vp9", "av1"), rotates=True, unit=_MS)
_AVI = Container("avi", ("avi",), ("h264",), reorders=False)
_TS = Container("mpegts", ("mpegts",), ("h264", "hevc"), unit=Fraction(1, 90000))
_FLV = Container("flv", ("flv", "live_flv"), ("h264",), unit=_MS)
_H264 = Container("h264", ("h264",), ("h264",), copies=False, timed=False)
_HEVC = Container("hevc", ("hevc",), ("hevc",), copies=False, timed=False)
_GIF = Container("gif", ("gif",), ("gif",), copies=False, unit=Fraction(1, 100))

BY_SUFFIX: dict[str, Container] = {
    ".mp4": _MP4,
    ".m4v": _MP4,
    ".mov": _MOV,
    ".qt": _MOV,
    ".mkv": _MKV,
    ".webm": _WEBM,
    ".avi": _AVI,
    ".ts": _TS,
    ".mts": _TS,
    ".m2ts": _TS,
    ".flv": _FLV,
    ".h264": _H264,
    ".264": _H264,
    ".h265": _HEVC,
    ".265": _HEVC,
    ".hevc": _HEVC,
    ".gif": _GIF,
}

_READ_ONLY = frozenset(
    [".wmv", ".asf", ".mpg", ".mpeg", ".vob", ".mxf", ".ogv", ".3gp", ".dv", ".rm", ".nut"]
)
# The muxer would write anything as private data that no player finds.
_TS_COPIES = frozenset(
    [
        "mp2",
        "mp3",
        "aac",
        "aac_latm",
        "ac3",
        "eac3",
        "dts",
        "truehd",
        "opus",
        "dvb_subtitle",
        "dvb_teletext",
        "hdmv_pgs_subtitle",
        "hdmv_text_subtitle",
    ]
)


def container_for(target: Path) -> Container:
    """The format that a file name asks for.

    Raises:
        UsageError: the suffix is not known.
    """
    container = BY_SUFFIX.get(target.suffix.lower())
    if container is None:
        known = " ".join(BY_SUFFIX)
        raise UsageError(
            f"{target}: cannot tell the format from '{target.suffix}'; use one of {known}"
        )
    return container


def check_writable(target: Path, info: MediaInfo) -> None:
    """Say what to do where a file name asks for a format that is read only.

    Raises:
        UsageError: it does.
    """
    if target.suffix.lower() in _READ_ONLY:
        fits = default_suffix(info)[0]
        raise UsageError(f"{target}: {target.suffix} cannot be written; for this input, use {fits}")


def check_photo_target(target: Path, info: MediaInfo) -> None:
    """Say what to do where a name asks for a format that cannot hold a photo.

    Raises:
        UsageError: it does.
    """
    kind = SUFFIXES.get(target.suffix.lower())
    if kind is None:
        known = " ".join(SUFFIXES)
        raise UsageError(f"{target}: a photo is written to one of {known}")
    video = info.video[0].video
    if video is None:
        raise UsageError(f"{target}: the input holds no picture")
    layout = layout_of(video.pix_fmt)
    if layout.depth > 8 and kind in ("JPEG", "WEBP"):
        raise UsageError(f"{target}: {kind} holds 8 bits a sample, the input has more; use .png")
    if layout.alpha and kind == "JPEG":
        raise UsageError(f"{target}: JPEG holds no opacity, the input has it; use .png")


@lru_cache(maxsize=128)
def holds(muxer: str, codec: str) -> bool:
    """Whether a container can hold a copied stream.

    Args:
        muxer: as of ``Container``.
        codec: FFmpeg's short name, as of ``StreamInfo``.
    """
    if muxer == "mpegts":
        return codec in _TS_COPIES
    with av.open(io.BytesIO(), "w", format=muxer) as container:
        try:
            container.add_mux_stream(codec)
        except ValueError:
            return False
    return True


def fitting(info: MediaInfo, codec: str) -> list[str]:
    """Suffixes of files that can hold a copied stream: the input's own first, if it can be."""
    names = set(info.format.split(","))
    own = [s for s, c in BY_SUFFIX.items() if names & set(c.demuxers)]
    own = [info.suffix] if info.suffix in own else own[:1]
    return [s for s in dict.fromkeys([*own, ".mkv", ".avi"]) if holds(BY_SUFFIX[s].muxer, codec)]


def drops_lead_in(info: MediaInfo, container: Container) -> bool:
    """Whether sound from before time 0 is left out.

    Encoders need a little sound to get going. Some containers tell players not to play it;
    in others it would push everything else to a later time.
    """
    same = set(info.format.split(",")) & set(container.demuxers)
    return not container.early and not same


def default_suffix(info: MediaInfo) -> tuple[str, str | None]:
    """The suffix of the result when no name is given.

    Returns:
        The suffix with its dot, and the reason where it is not that of the input.
    """
    suffix = info.suffix
    if info.photo is not None:
        if SUFFIXES.get(suffix) == info.photo.kind:
            return suffix, None
        return KINDS[info.photo.kind], f"the file holds {info.photo.kind}"
    names = set(info.format.split(","))
    if "gif" in names:
        return ".mp4", "a gif holds 256 colours; ask for a name in .gif to get one"
    container = BY_SUFFIX.get(suffix)
    if container is None or not names & set(container.demuxers):
        # The name says nothing or something else than the content.
        same = next((s for s, c in BY_SUFFIX.items() if names & set(c.demuxers)), None)
        container = BY_SUFFIX[same] if same else None
        suffix = same or suffix
    copied = [s.codec for s in info.streams if s.kind in ("audio", "subtitle")]
    if container is not None and all(holds(container.muxer, c) for c in copied):
        if suffix == info.suffix:
            return suffix, None
        return suffix, f"the file holds {info.format.split(',')[0]}"
    for other in (".mp4", ".mkv", ".avi"):
        if all(holds(BY_SUFFIX[other].muxer, c) for c in copied):
            return other, f"{suffix or 'a file without suffix'} cannot be written with its streams"
    return ".mkv", f"{suffix or 'a file without suffix'} cannot be written"
