"""What packets are written to: servers, receivers, folders."""

from __future__ import annotations

import contextlib
import io
import re
import time
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

import av

from stream_anon.errors import OutputError
from stream_anon.live.clock import TIME_BASE
from stream_anon.live.protocol import lacking
from stream_anon.live.secret import redacted, scheme_of
from stream_anon.media.input.probe import reason

Options = dict[str, str]
HLS_SECONDS = 2.0
HLS_LISTED = 6
FRAGMENTED = "frag_keyframe+empty_moov+default_base_moof"


class Template:
    """What a muxer needs to know of the stream, read off its first keyframe.

    Args:
        keyframe: H.264 in Annex B with its parameter sets.
        rate: frames a second.

    Raises:
        OutputError: it holds no picture.
    """

    def __init__(self, keyframe: bytes, rate: float) -> None:
        try:
            self._container = av.open(
                io.BytesIO(keyframe), format="h264", options={"framerate": f"{rate:g}"}
            )
            self._stream = self._container.streams.video[0]
        except (av.FFmpegError, IndexError, ValueError) as error:
            raise OutputError(f"a keyframe cannot be read ({reason(error)})") from error
        if not self._stream.codec_context.width:
            self._container.close()
            raise OutputError("a keyframe says nothing of the picture's size")

    def add_to(self, container: Any) -> Any:
        """A stream of this kind in an ``av.container.OutputContainer``."""
        stream = container.add_stream_from_template(self._stream)
        stream.time_base = TIME_BASE
        return stream

    def close(self) -> None:
        """Let go of it."""
        self._container.close()


class Target(ABC):
    """One output that is open."""

    @abstractmethod
    def write(self, data: bytes, pts: int, duration: int, key: bool) -> None:
        """Write a frame; times are ticks and grow.

        Raises:
            OutputError: it cannot be written.
        """

    @abstractmethod
    def close(self) -> None:
        """End it properly.

        Raises:
            OutputError: it cannot be ended.
        """

    def abandon(self) -> None:
        """Let go of it, whatever state it is in."""
        with contextlib.suppress(OutputError):
            self.close()


class Muxed(Target):
    """A container that FFmpeg writes, to a server or a file.

    Args:
        place: as FFmpeg takes it.
        muxer: FFmpeg's name of the format.
        options: for it.
        template: of the stream.
        shown: the place for messages.
        secrets: texts that no message may hold.

    Raises:
        OutputError: it cannot be opened.
    """

    def __init__(
        self,
        place: str,
        muxer: str,
        options: Options,
        template: Template,
        shown: str,
        secrets: tuple[str, ...] = (),
    ) -> None:
        self._place, self._shown, self._secrets = place, shown, secrets
        self._first: int | None = None
        self._container: Any = None
        try:
            self._container = av.open(place, "w", format=muxer, options=options)
            self._stream = template.add_to(self._container)
            # Now, not with the first packet: what is wrong with the place shows here.
            self._container.start_encoding()
        except (av.FFmpegError, OSError, ValueError) as error:
            self.abandon()
            raise self._error(error) from None

    def write(self, data: bytes, pts: int, duration: int, key: bool) -> None:
        """See ``Target.write``; the first frame is at time 0."""
        if self._first is None:
            self._first = pts
        packet = av.Packet(data)
        packet.stream = self._stream
        packet.time_base = TIME_BASE
        packet.pts = packet.dts = pts - self._first
        packet.duration, packet.is_keyframe = duration, key
        try:
            self._container.mux_one(packet)
        except (av.FFmpegError, OSError, ValueError) as error:
            raise self._error(error) from None

    def close(self) -> None:
        """See ``Target.close``."""
        container, self._container = self._container, None
        if container is None:
            return
        try:
            container.close()
        except (av.FFmpegError, OSError, ValueError) as error:
            raise self._error(error) from None

    def _error(self, error: BaseException) -> OutputError:
        why = lacking(error, self._place) or redacted(reason(error), self._secrets)
        return OutputError(f"{self._shown}: {why}")


def open_url(
    url: str,
    shown: str,
    transport: str,
    timeout: float,
    template: Template,
    secrets: tuple[str, ...],
    tls: Options,
) -> Muxed:
    """Publish to a server, or send to whoever listens.

    Raises:
        OutputError: it cannot be opened.
    """
    scheme = scheme_of(url)
    if scheme in ("rtsp", "rtsps"):
        options = {"rtsp_transport": "tcp" if scheme == "rtsps" else transport}
        options["pkt_size"] = "1400"
        if scheme == "rtsps":
            options |= tls
        return Muxed(url, "rtsp", options, template, shown, secrets)
    if scheme in ("rtmp", "rtmps"):
        options = {"flvflags": "no_duration_filesize"}
        return Muxed(url, "flv", options, template, shown, secrets)
    options = {"mpegts_flags": "resend_headers", "flush_packets": "1"}
    # What is meant for the protocol and not for the format stands in the address: PyAV hands
    # options of an output to the format alone.
    if scheme == "udp":
        url = _with(url, "pkt_size", "1316")
    if scheme == "tcp":
        url = _with(url, "timeout", str(round(timeout * 1e6)))
    return Muxed(url, "mpegts", options, template, shown, secrets)


def _with(url: str, name: str, value: str) -> str:
    """An address with an option, unless it names it already."""
    if f"{name}=" in url:
        return url
    return f"{url}{'&' if '?' in url else '?'}{name}={value}"


def open_hls(folder: Path, seconds: float | None, template: Template) -> Muxed:
    """A folder with ``index.m3u8`` and fragmented MP4, old segments removed.

    A folder that holds a playlist already is gone on with, after a discontinuity.

    Raises:
        OutputError: it cannot be written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _tidy(folder)
    except OSError as error:
        raise OutputError(f"{folder}: {(error.strerror or str(error)).lower()}") from error
    start = str(int(time.time()))
    options = {
        "hls_time": f"{seconds or HLS_SECONDS:g}",
        "hls_list_size": str(HLS_LISTED),
        "hls_segment_type": "fmp4",
        "hls_fmp4_init_filename": f"init-{start}.mp4",
        "hls_segment_filename": str(folder / "segment-%d.m4s"),
        "hls_start_number_source": "epoch",
        "hls_flags": "delete_segments+append_list+independent_segments+temp_file",
    }
    return Muxed(str(folder / "index.m3u8"), "hls", options, template, str(folder))


def _tidy(folder: Path) -> None:
    """Remove what earlier runs left and the playlist does not name."""
    playlist = folder / "index.m3u8"
    named = playlist.read_text(encoding="utf-8", errors="replace") if playlist.exists() else ""
    for path in folder.iterdir():
        ours = re.fullmatch(r"(init-\d+\.mp4|segment-\d+\.m4s)(\.tmp)?", path.name)
        if ours and path.name not in named:
            path.unlink(missing_ok=True)
