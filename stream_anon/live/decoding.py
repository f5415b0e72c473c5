"""Who decodes a camera whose frames are painted on a card, and what that costs in time."""

from __future__ import annotations

from typing import Final, Literal

from stream_anon.live.secret import scheme_of

Decoder = Literal["auto", "cpu", "nvdec", "dali"]

CARD: Final = {
    "h264": ("nvdec", "dali"), "hevc": ("nvdec", "dali"), "av1": ("nvdec",),
    "vp9": ("nvdec", "dali"), "vp8": ("nvdec", "dali"), "mpeg2video": ("nvdec",),
}  # fmt: skip
"""Codecs whose packets are handed on, and to whom."""

GROUP: Final = 2.5
"""Seconds of the longest group of pictures that DALI is given live. It shows nothing of a group
before its last packet is there, so the camera's stream runs up to this much later."""

CHANGED: Final = "change of form"
"""How the painting process's words begin where a picture is no longer like the first."""

LOSSY: Final = ("udp", "rtp", "srt")


def is_lossy(url: str, transport: str) -> bool:
    """Whether packets may be lost or changed on the way without anybody being told.

    Args:
        url: of the camera.
        transport: of RTSP, "tcp" or "udp".
    """
    scheme = scheme_of(url)
    return scheme in LOSSY or (scheme == "rtsp" and transport == "udp")


def decoder_of(device: str, wanted: Decoder, url: str, transport: str) -> str:
    """Who is to decode: "cpu" is the reader, all others the painting process.

    A card's decoder shows what it made of damage inside a slice and does not speak of it, so
    where damage is to be expected it decodes only if it is asked for by name.

    Args:
        device: the option.
        wanted: the camera's.
        url, transport: as of ``is_lossy``.
    """
    if device != "cuda" or (wanted == "auto" and is_lossy(url, transport)):
        return "cpu"
    return "nvdec" if wanted == "auto" else wanted


def delay_of(decoder: str) -> float:
    """Seconds that decoding adds to a camera's latency, at most."""
    return GROUP if decoder == "dali" else 0.0
