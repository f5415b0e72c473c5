"""Whether this machine encodes on its GPU, and what of it.

An H100 and an H200 decode, but have no NVENC: there, and wherever it is missing, the CPU encodes.
"""

from __future__ import annotations

import ctypes
from functools import lru_cache
from typing import Any

import av

from stream_anon.config import VideoConfig
from stream_anon.errors import UsageError
from stream_anon.media.output.encoders import NVENC, Encoder, pixel_formats

_TEN_BITS = ("hevc", "av1")
_SIDE = 256
"""Of the frame that is tried; chips refuse much smaller ones."""


@lru_cache(maxsize=8)
def missing(codec: str = "h264") -> str | None:
    """What is missing to encode a codec by NVENC, or None."""
    encoder = NVENC.get(codec)
    if encoder is None:
        return f"NVENC has no {codec}"
    try:
        ctypes.CDLL("libnvidia-encode.so.1")
    except OSError:
        return "the driver's NVENC library (libnvidia-encode.so.1) is missing"
    try:
        context: Any = av.CodecContext.create(encoder.name, "w")
        context.width = context.height = _SIDE
        context.pix_fmt, context.framerate = "nv12", 25
        context.open()
    except (av.FFmpegError, OSError, RuntimeError, ValueError) as error:
        why = " ".join(str(getattr(error, "strerror", None) or error).split()).lower()
        return f"this GPU or its driver does not encode {codec} ({why})"
    return None


def chosen(codec: str, options: VideoConfig, on_gpu: bool) -> tuple[Encoder | None, str | None]:
    """NVENC's encoder of a codec, or None; and why not, where it was to be expected.

    Raises:
        UsageError: it is asked for by name and cannot be used.
    """
    wanted, encoder = options.encoder, NVENC.get(codec)
    if wanted == "nvenc" and not on_gpu:
        raise UsageError("video.encoder 'nvenc' encodes what lies on a GPU: --device cuda")
    if wanted == "cpu" or not on_gpu:
        return None, None
    preset = options.encoder_preset
    if wanted == "auto" and preset is not None and encoder and preset not in encoder.presets:
        return None, f"encoded on the CPU: '{preset}' is a preset of its encoder"
    words = missing(codec)
    if words is None:
        return encoder, None
    if wanted == "nvenc":
        raise UsageError(f"video.encoder 'nvenc' cannot be used: {words}")
    return None, f"encoded on the CPU: {words}"


def takes(encoder: Encoder, pix_fmt: str) -> bool:
    """Whether NVENC encodes such frames as they are: 4:2:0 of 8 bits, or of 10."""
    if pix_fmt == "yuv420p10le":
        return encoder.codec in _TEN_BITS and "p010le" in pixel_formats(encoder.name)
    return pix_fmt in ("yuv420p", "yuvj420p")
