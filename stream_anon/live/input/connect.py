"""Opening a live address: the options that FFmpeg needs for each kind of it."""

from __future__ import annotations

from typing import Any

import av

from stream_anon.errors import InputError
from stream_anon.live.protocol import lacking
from stream_anon.live.secret import TLS, redacted, scheme_of
from stream_anon.media.input.probe import reason

Options = dict[str, str]


def options(url: str, transport: str, timeout: float) -> tuple[str | None, Options]:
    """FFmpeg's demuxer, where it must be named, and its options.

    Args:
        url: the address.
        transport: of RTSP, "tcp" or "udp".
        timeout: seconds without data after which reading fails.
    """
    scheme = scheme_of(url)
    micros = str(round(timeout * 1e6))
    if scheme in ("rtsp", "rtsps"):
        # Nothing is probed: the description says what the stream is, and the first frame how
        # large. No `nobuffer`: it throws the first frames away.
        found = {"timeout": micros, "analyzeduration": "0", "probesize": "32"}
        if scheme == "rtsp":
            found["rtsp_transport"] = transport
        found |= {"max_delay": "200000", "reorder_queue_size": "64", "user_agent": "stream-anon"}
        return None, found
    found = {"analyzeduration": "1000000", "probesize": "500000"}
    if scheme in ("tcp", "udp", "srt"):
        if scheme == "tcp":
            found |= {"timeout": micros, "listen_timeout": str(round(timeout * 1e3))}
        if scheme == "udp":
            found |= {"timeout": micros, "fifo_size": "8192", "overrun_nonfatal": "1"}
        return "mpegts", found
    if scheme == "v4l2":
        return "v4l2", {}
    if scheme in ("http", "https", "rtmp", "rtmps"):
        found["rw_timeout"] = micros
    return None, found


def place(url: str) -> str:
    """What FFmpeg is to open: files and devices by their path."""
    for scheme in ("file://", "v4l2://"):
        if url.lower().startswith(scheme):
            return url[len(scheme) :]
    return url


def connect(
    url: str,
    shown: str,
    transport: str,
    timeout: float,
    secrets: tuple[str, ...] = (),
    tls: Options | None = None,
) -> Any:
    """An ``av.container.InputContainer`` with at least one video stream.

    Raises:
        InputError: it cannot be opened within ``timeout``, or holds no video. The text is free of
            credentials.
    """
    kind, chosen = options(url, transport, timeout)
    if scheme_of(url) in TLS:
        chosen |= tls or {}
    try:
        container = av.open(
            place(url), format=kind, options=chosen, timeout=(timeout, timeout),
            metadata_errors="replace",
        )  # fmt: skip
    except (av.FFmpegError, OSError, ValueError) as error:
        why = lacking(error, url) or redacted(reason(error), secrets)
        raise InputError(f"{shown}: {why}") from None
    if not container.streams.video:
        container.close()
        raise InputError(f"{shown}: holds no video")
    return container
