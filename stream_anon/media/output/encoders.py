"""Video encoders: which one for a codec, at which settings, in which pixel format."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import av

from stream_anon.errors import OutputError, UsageError
from stream_anon.media.input.info import VideoInfo
from stream_anon.media.pixel_formats import LAYOUTS, Layout

Options = dict[str, str]

_PRESETS_X26 = (
    "ultrafast",
    "superfast",
    "veryfast",
    "faster",
    "fast",
    "medium",
    "slow",
    "slower",
    "veryslow",
    "placebo",
)


def _x264(crf: float, preset: str) -> Options:
    # No closed captions, no user data: both would be carried over from the decoder.
    return {"crf": f"{crf:g}", "preset": preset, "a53cc": "0", "udu_sei": "0"}


def _x265(crf: float, preset: str) -> Options:
    return {
        "crf": f"{crf:g}",
        "preset": preset,
        "a53cc": "0",
        "udu_sei": "0",
        "x265-params": "log-level=none",
    }


def _svt(crf: float, preset: str) -> Options:
    return {"crf": f"{crf:g}", "preset": preset}


def _vp9(crf: float, preset: str) -> Options:
    return {"crf": f"{crf:g}", "b": "0", "cpu-used": preset, "row-mt": "1", "deadline": "good"}


def _nvenc(crf: float, preset: str) -> Options:
    # Constant quality; what a decoder carried along beside the planes is not passed on.
    return {**_av1_nvenc(crf, preset), "udu_sei": "0"}


def _av1_nvenc(crf: float, preset: str) -> Options:
    return {
        "preset": preset, "rc": "vbr", "cq": f"{crf:g}", "b": "0", "forced-idr": "1",
        "a53cc": "0", "s12m_tc": "0", "extra_sei": "0",
    }  # fmt: skip


def _gif(crf: float, preset: str) -> Options:
    return {}


@dataclass(frozen=True, slots=True)
class Encoder:
    """How a codec is encoded.

    Attributes:
        codec: "h264", "hevc", "av1", "vp9" or "gif".
        name: FFmpeg's encoder.
        crf, most_crf: default and largest quality number.
        preset, presets: default and allowed speeds; none for an encoder without.
        options: builds FFmpeg's options.
        hardware: it runs on a GPU, and takes frames that lie there.
        whole_blocks: subsampled frames must have sides that are whole chroma blocks.
        reorders: stores frames in another order than they are shown unless told not to.
    """

    codec: str
    name: str
    crf: float
    most_crf: int
    preset: str
    presets: tuple[str, ...]
    options: Callable[[float, str], Options]
    whole_blocks: bool = False
    reorders: bool = False
    hardware: bool = False


_LEVELS_SVT = tuple(str(n) for n in range(14))
_LEVELS_VP9 = tuple(str(n) for n in range(-8, 9))

ENCODERS: dict[str, Encoder] = {
    e.codec: e
    for e in (
        Encoder("h264", "libx264", 18, 51, "veryfast", _PRESETS_X26, _x264, True, True),
        Encoder("hevc", "libx265", 20, 51, "veryfast", _PRESETS_X26, _x265, True, True),
        Encoder("av1", "libsvtav1", 24, 63, "8", _LEVELS_SVT, _svt),
        Encoder("vp9", "libvpx-vp9", 20, 63, "6", _LEVELS_VP9, _vp9),
        Encoder("gif", "gif", 0, 63, "", (), _gif),
    )
}

_PRESETS_NVENC = tuple(f"p{n}" for n in range(1, 8))

NVENC: dict[str, Encoder] = {
    e.codec: e
    for e in (
        Encoder("h264", "h264_nvenc", 19, 51, "p4", _PRESETS_NVENC, _nvenc, True, True, True),
        Encoder("hevc", "hevc_nvenc", 21, 51, "p4", _PRESETS_NVENC, _nvenc, True, True, True),
        Encoder("av1", "av1_nvenc", 24, 51, "p4", _PRESETS_NVENC, _av1_nvenc, True, True, True),
    )
}
"""Of the same codecs, on a GPU. The quality numbers are the encoders' own, not those of x264."""

_BY_NAME = {e.name: e for e in (*ENCODERS.values(), *NVENC.values())}


def named(name: str) -> Encoder:
    """The encoder that FFmpeg calls so.

    Raises:
        KeyError: it is not one of these.
    """
    return _BY_NAME[name]


def settings(codec: str | Encoder, crf: float | None, preset: str | None) -> Options:
    """FFmpeg's options for an encoder, or for a codec's own.

    Raises:
        UsageError: the quality or speed is not one of the encoder's.
    """
    encoder = ENCODERS[codec] if isinstance(codec, str) else codec
    codec = encoder.codec
    if crf is not None and crf > encoder.most_crf:
        raise UsageError(f"crf {crf:g} is above {encoder.most_crf}, the most that {codec} takes")
    if preset is not None and preset not in encoder.presets:
        known = " ".join(encoder.presets) or "none"
        raise UsageError(f"'{preset}' is no preset of {codec}; it has: {known}")
    return encoder.options(
        encoder.crf if crf is None else crf, encoder.preset if preset is None else preset
    )


@lru_cache(maxsize=16)
def pixel_formats(name: str) -> tuple[str, ...]:
    """What an encoder takes.

    Raises:
        OutputError: this build of FFmpeg does not have it.
    """
    try:
        formats = av.Codec(name, "w").video_formats
    except (av.FFmpegError, ValueError) as error:
        raise OutputError(f"the encoder {name} is missing from this build of FFmpeg") from error
    return tuple(f.name for f in formats or ())


def available(codec: str) -> bool:
    """Whether this build of FFmpeg can encode a codec."""
    try:
        return codec in ENCODERS and bool(pixel_formats(ENCODERS[codec].name))
    except OutputError:
        return False


def encoded_format(codec: str, video: VideoInfo) -> tuple[str, str | None]:
    """The pixel format in which a stream is encoded.

    Returns:
        Its name, and a sentence about what changes where it is not the stream's own.
    """
    encoder = ENCODERS[codec]
    if codec == "gif":
        return "pal8", "a palette of 256 colours is chosen for each frame"
    own = LAYOUTS[video.pix_fmt]
    accepted = [LAYOUTS[f] for f in pixel_formats(encoder.name) if f in LAYOUTS]
    fitting = [f for f in accepted if not encoder.whole_blocks or _whole(f, video)]
    best = min(fitting or accepted, key=lambda f: _loss(own, f))
    if best.name == own.name:
        return best.name, None
    return best.name, f"{own.name} is encoded as {best.name}: {_difference(own, best, video)}"


def _whole(layout: Layout, video: VideoInfo) -> bool:
    return not (video.width % (1 << layout.sub_x) or video.height % (1 << layout.sub_y))


def _loss(own: Layout, other: Layout) -> tuple[int, ...]:
    """What is lost first, then what is wasted."""
    return (
        int(own.chroma and not other.chroma),
        max(0, own.depth - other.depth),
        max(0, other.sub_x - own.sub_x) + max(0, other.sub_y - own.sub_y) if own.chroma else 0,
        int(own.alpha and not other.alpha),
        int(own.full != other.full),
        int(other.chroma and not own.chroma),
        int(other.alpha and not own.alpha),
        abs(own.depth - other.depth),
        own.sub_x - other.sub_x + own.sub_y - other.sub_y if own.chroma else -other.sub_x,
        int(other.alpha),
    )


def _difference(own: Layout, other: Layout, video: VideoInfo) -> str:
    parts = []
    if other.depth < own.depth:
        parts.append(f"{own.depth} bits are rounded to {other.depth}")
    if own.alpha and not other.alpha:
        parts.append("opacity is left out")
    if own.chroma and (other.sub_x > own.sub_x or other.sub_y > own.sub_y):
        parts.append("colour loses resolution")
    elif own.chroma and (other.sub_x, other.sub_y) != (own.sub_x, own.sub_y):
        odd = video.width % 2 or video.height % 2
        parts.append("the codec has no odd sizes otherwise" if odd else "nothing is lost")
    return " and ".join(parts) or "nothing is lost"
