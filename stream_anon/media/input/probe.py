"""Opening a file safely and finding out what it is."""

from __future__ import annotations

import struct
from fractions import Fraction
from pathlib import Path
from typing import Any

import av

from stream_anon.errors import InputError
from stream_anon.media.extradata import scrubbed
from stream_anon.media.input.info import Chapter, Colour, Kind, MediaInfo, StreamInfo, VideoInfo
from stream_anon.media.packets import StreamTemplate
from stream_anon.media.pixel_formats import colour_matrix, nearest_layout

# Whatever else FFmpeg could open is refused: playlists that name other files, text that passes
# for a terminal recording, single frames.
_DEMUXERS = (
    "mov,mp4,matroska,webm,avi,mpegts,mpeg,mpegvideo,m4v,h264,hevc,obu,ivf,gif,flv,live_flv,asf,"
    "ogg,mxf,nut,dv,rm,wtv,yuv4mpegpipe,apng"
)
_OPTIONS = {"format_whitelist": _DEMUXERS, "protocol_whitelist": "file"}

_RAW = {"h264", "hevc", "mpegvideo", "m4v", "obu"}
_PROBE_PACKETS = 3000
_DEFAULT_RATE = Fraction(25)
_LIMITED = 1


def open_input(path: Path) -> Any:
    """An ``av.container.InputContainer``.

    Raises:
        InputError: the file is not there, may not be read, or is nothing that FFmpeg knows.
    """
    check_regular(path)
    try:
        with path.open("rb") as file:
            empty = not file.read(1)
    except OSError as error:
        raise InputError(f"{path}: {(error.strerror or str(error)).lower()}") from error
    if empty:
        raise InputError(f"{path}: the file is empty")
    return open_container(str(path.absolute()), str(path))


def open_container(file: Any, name: str) -> Any:
    """An ``av.container.InputContainer`` of one of the formats that are read.

    Args:
        file: path as text, or an object with ``read``.
        name: for messages.

    Raises:
        InputError: it is nothing that FFmpeg knows.
    """
    try:
        return av.open(file, container_options=dict(_OPTIONS), metadata_errors="replace")
    except (av.FFmpegError, ValueError) as error:
        # FFmpeg calls a format that is not on the list an invalid argument.
        why = "unknown format" if isinstance(error, av.ArgumentError) else reason(error)
        raise InputError(f"{name}: is no video file or is damaged ({why})") from error


def check_regular(path: Path) -> None:
    """Refuse what cannot be read twice: a pipe would wait for ever for a writer.

    Raises:
        InputError: it is a folder, a pipe, a socket or a device.
    """
    if path.is_dir():
        raise InputError(f"{path}: is a folder, not a video")
    if path.exists() and not path.is_file():
        raise InputError(f"{path}: is no regular file (a pipe, a socket or a device)")


def reason(error: BaseException) -> str:
    """FFmpeg's words for an error, without its number and without paths."""
    text = getattr(error, "strerror", None) or str(error)
    return " ".join(str(text).split()).rstrip(".").lower() or type(error).__name__


def has_timestamps(info: MediaInfo) -> bool:
    """False for elementary streams, whose time is counted from the rate."""
    return info.format not in _RAW


def probe(path: Path) -> MediaInfo:
    """Describe a file; the first frame of each video stream is decoded.

    Raises:
        InputError: the file cannot be opened or holds no video that can be decoded.
    """
    container = open_input(path)
    try:
        return describe(container, str(path), path, path.stat().st_size)
    finally:
        container.close()


def describe(container: Any, name: str, path: Path | None = None, size: int = 0) -> MediaInfo:
    """Describe an open container; it is read up to the first frame of each video stream.

    Args:
        container: ``av.container.InputContainer``.
        name: for messages.
        path, size: of the file, if it is one.

    Raises:
        InputError: it holds no video that can be decoded.
    """
    firsts, failure = _first_frames(container)
    start = container.start_time
    info = MediaInfo(
        path=path,
        format=container.format.name,
        size=size,
        start=0.0 if start is None else start / av.time_base,
        duration=None if not container.duration else container.duration / av.time_base,
        streams=tuple(_stream(s, firsts.get(s.index)) for s in container.streams),
        chapters=tuple(_chapter(c) for c in container.chapters()),
        metadata=dict(container.metadata),
    )
    if info.video:
        return info
    codecs = [s.codec for s in info.streams if s.kind == "video" and not s.attached_picture]
    if not codecs:
        raise InputError(f"{name}: holds no video")
    why = f", {failure}" if failure else ""
    raise InputError(f"{name}: no frame of the video could be decoded ({codecs[0]}{why})")


def _first_frames(container: Any) -> tuple[dict[int, Any], str | None]:
    """The first decoded frame of each video stream, and why one failed."""
    wanted = {s.index: s for s in container.streams.video if s.codec_context and not _is_still(s)}
    found: dict[int, Any] = {}
    failure: str | None = None
    for stream in wanted.values():
        # One thread: nothing is decoded ahead of the frame that is wanted.
        stream.codec_context.thread_count = 1
    packets = 0
    for packet in _packets(container, list(wanted.values())):
        stream = packet.stream
        packets += 1
        if stream.index in found:
            continue
        try:
            av_frames = stream.codec_context.decode(packet)
        except av.FFmpegError as error:
            failure = reason(error)
            continue
        if av_frames:
            found[stream.index] = av_frames[0]
        if len(found) == len(wanted) or packets > _PROBE_PACKETS:
            break
    for index, stream in wanted.items():
        if index in found:
            continue
        try:
            av_frames = stream.codec_context.decode(None)
        except av.FFmpegError as error:
            failure = reason(error)
            continue
        if av_frames:
            found[index] = av_frames[0]
    return found, failure


def _packets(container: Any, streams: list[Any]) -> Any:
    if not streams:
        return
    try:
        for packet in container.demux(streams):
            if packet.size:
                yield packet
    except av.FFmpegError:
        # What was found so far tells enough; reading on meets the error again and reports it.
        return


def _is_still(stream: Any) -> bool:
    stills = av.stream.Disposition.attached_pic | av.stream.Disposition.timed_thumbnails
    return bool(stream.disposition & stills)


def _kind(name: str) -> Kind:
    known: tuple[Kind, ...] = ("video", "audio", "subtitle", "data", "attachment")
    return next((kind for kind in known if kind == name), "unknown")


def _stream(stream: Any, first: Any) -> StreamInfo:
    context = stream.codec_context
    codec = context.codec.canonical_name if context is not None else None
    if codec is None and stream.type == "data":
        codec = stream.name
    names = [d.name for d in av.stream.Disposition if stream.disposition & d]
    time_base = stream.time_base or Fraction(1, av.time_base)
    return StreamInfo(
        index=stream.index,
        kind=_kind(stream.type),
        codec=codec or "unknown",
        time_base=time_base,
        start=stream.start_time,
        duration=None if stream.duration is None else float(stream.duration * time_base),
        frames=stream.frames,
        language=stream.metadata.get("language"),
        dispositions=tuple(str(name) for name in names),
        disposition=int(stream.disposition),
        metadata=dict(stream.metadata),
        comments=context is not None
        and scrubbed(codec or "", context.extradata) != context.extradata,
        video=None if first is None else _video(stream, first),
        template=_template(stream),
    )


def _template(stream: Any) -> StreamTemplate | None:
    if stream.type not in ("audio", "subtitle") or stream.codec_context is None:
        return None
    try:
        return StreamTemplate(stream)
    except (av.FFmpegError, ValueError):
        # Parameters that make no sense: the stream may be dropped, and is never copied.
        return None


def _video(stream: Any, av_frame: Any) -> VideoInfo:
    context = stream.codec_context
    aspect = stream.sample_aspect_ratio
    side_data = {data.type.name: data for data in av_frame.side_data}
    matrix = None
    if "DISPLAYMATRIX" in side_data:
        matrix = struct.unpack("=9i", bytes(side_data["DISPLAYMATRIX"])[:36])
    return VideoInfo(
        width=av_frame.width,
        height=av_frame.height,
        pix_fmt="yuv420p" if context.codec.name == "gif" else nearest_layout(av_frame.format),
        coded_pix_fmt=av_frame.format.name,
        rate=frame_rate(stream),
        sample_aspect=aspect if aspect else None,
        rotation=av_frame.rotation,
        matrix=matrix,
        colour=_colour(av_frame),
        interlaced=av_frame.interlaced_frame,
        field_order=int(context.field_order),
        first_pts=av_frame.pts,
        side_data=tuple(sorted(side_data)),
    )


def _colour(av_frame: Any) -> Colour:
    """Tags of the frames as they are patched and encoded."""
    primaries, transfer = int(av_frame.color_primaries), int(av_frame.color_trc)
    if av_frame.format.is_rgb or av_frame.format.has_palette:
        # Converted when they are decoded. Tagged as RGB, they would be shown in wrong colours.
        return Colour(primaries, transfer, colour_matrix(-1, av_frame.height), _LIMITED)
    return Colour(primaries, transfer, int(av_frame.colorspace), int(av_frame.color_range))


def frame_rate(stream: Any) -> Fraction:
    """Frames a second, from what the container and the codec say; 25 when neither does."""
    rates = [stream.average_rate, stream.guessed_rate, stream.base_rate]
    if stream.container.format.name in _RAW:
        # The demuxer's own default comes first there, what the codec says second.
        rates[:2] = [stream.guessed_rate, stream.average_rate]
    for rate in rates:
        if rate and 0 < rate <= 1000:
            return Fraction(rate)
    return _DEFAULT_RATE


def _chapter(chapter: dict[str, Any]) -> Chapter:
    base = Fraction(chapter["time_base"])
    return Chapter(
        start=chapter["start"] * base,
        end=chapter["end"] * base,
        title=chapter["metadata"].get("title", ""),
    )
