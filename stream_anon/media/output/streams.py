"""What is done to each stream and each piece of metadata, and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from stream_anon.config import VideoConfig
from stream_anon.errors import UsageError
from stream_anon.media.input.info import MediaInfo, StreamInfo
from stream_anon.media.output import nvenc
from stream_anon.media.output.encoders import ENCODERS, available, encoded_format, settings
from stream_anon.media.output.formats import (
    Container,
    check_photo_target,
    check_writable,
    container_for,
    drops_lead_in,
    fitting,
    holds,
)
from stream_anon.media.photo import SUFFIXES, PhotoTemplate
from stream_anon.media.pixel_formats import LAYOUTS

Action = Literal["redact", "copy", "drop"]

# Written by every muxer about itself, or about the coding and not about the scene.
_HARMLESS = frozenset(
    [
        "encoder",
        "major_brand",
        "minor_version",
        "compatible_brands",
        "language",
        "vendor_id",
        "duration",
        "bps",
        "number_of_bytes",
        "number_of_frames",
    ]
)
_DROPPED_SIDE_DATA = {
    "A53_CC": "closed captions",
    "SEI_UNREGISTERED": "user data (SEI)",
    "GOP_TIMECODE": "time code",
    "S12M_TIMECODE": "time code",
    "ICC_PROFILE": "ICC profile",
    "DYNAMIC_HDR_PLUS": "dynamic HDR10+ metadata",
    "DYNAMIC_HDR_VIVID": "dynamic HDR metadata",
    "DOVI_RPU_BUFFER": "Dolby Vision metadata",
    "DOVI_METADATA": "Dolby Vision metadata",
    "MASTERING_DISPLAY_METADATA": "mastering display metadata",
    "CONTENT_LIGHT_LEVEL": "content light level",
    "STEREO3D": "stereo arrangement",
    "SPHERICAL": "spherical projection",
}
_USUAL_DEPTH = 8
_USUAL_H264 = ("yuv420p", "yuvj420p", "gray")
_USUAL_HANDLERS = frozenset(["VideoHandler", "SoundHandler", "SubtitleHandler", "DataHandler"])


@dataclass(frozen=True, slots=True)
class StreamPlan:
    """What is done to one stream.

    Attributes:
        index: in the input.
        kind, codec: as of ``StreamInfo``.
        action: what is done.
        reason: why, in words.
        output_codec: codec of the result, None for a stream that is dropped.
        pix_fmt: in which a redacted stream is encoded.
        encoder: FFmpeg's name of what encodes it.
        on_gpu: its frames lie on a GPU, as NV12 or P010 where they can.
    """

    index: int
    kind: str
    codec: str
    action: Action
    reason: str
    output_codec: str | None = None
    pix_fmt: str | None = None
    encoder: str = ""
    on_gpu: bool = False


@dataclass(frozen=True, slots=True)
class MediaPlan:
    """What is done to a file.

    Attributes:
        target: the file to write.
        container: its format.
        streams: what is done to each stream of the input, in order.
        dropped: metadata and side data that are left out, by name, never by value.
        notes: what changes beside the faces, in words.
    """

    target: Path
    container: Container
    streams: tuple[StreamPlan, ...]
    dropped: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def copied(self) -> frozenset[int]:
        """Indices of the streams whose packets are copied."""
        return frozenset(s.index for s in self.streams if s.action == "copy")

    @property
    def redacted(self) -> frozenset[int]:
        """Indices of the streams whose frames are redacted."""
        return frozenset(s.index for s in self.streams if s.action == "redact")


def plan_streams(
    info: MediaInfo, target: Path, options: VideoConfig, on_gpu: bool = False
) -> MediaPlan:
    """Decide about every stream.

    Args:
        info: of the input.
        target: file to write; its suffix names the container.
        options: codec, audio, metadata.
        on_gpu: frames lie on a GPU, which may encode them.

    Raises:
        UsageError: the container cannot hold the codec or one of the streams, or NVENC is asked
            for and is not there.
        OutputError: the encoder is missing.
    """
    if info.photo is not None:
        return _plan_photo(info, info.photo, target, options)
    check_writable(target, info)
    container = container_for(target)
    codec = _codec(info, container, target, options)
    hardware, why = nvenc.chosen(codec, options, on_gpu)
    settings(hardware or codec, options.crf, options.encoder_preset)
    notes = [why] if why else []
    streams = []
    for stream in info.streams:
        planned = _plan(info, stream, container, codec, target, options)
        if planned.action == "redact" and stream.video is not None:
            pix_fmt, note = encoded_format(codec, stream.video)
            encoder = ENCODERS[codec]
            if hardware is not None and nvenc.takes(hardware, pix_fmt):
                encoder = hardware
            planned = replace(
                planned,
                output_codec=codec,
                pix_fmt=pix_fmt,
                encoder=encoder.name,
                on_gpu=on_gpu,
                reason=f"video, encoded as {encoder.name}",
            )
            if note:
                notes.append(f"stream {stream.index}: {note}")
            if codec == "h264" and pix_fmt not in _USUAL_H264:
                notes.append(f"stream {stream.index}: many players refuse h264 in {pix_fmt}")
            notes += _video_notes(info, stream, container)
        elif planned.action == "copy" and drops_lead_in(info, container):
            planned = replace(planned, reason=f"{planned.reason}, from time 0 on")
        streams.append(planned)
    if sum(s.action == "redact" for s in streams) > 1 and not container.copies:
        raise UsageError(f"{target}: {container.muxer} holds one video stream, the input has more")
    return MediaPlan(
        target=target,
        container=container,
        streams=tuple(streams),
        dropped=_dropped(info, options),
        notes=tuple(notes),
    )


def _plan_photo(
    info: MediaInfo, photo: PhotoTemplate, target: Path, options: VideoConfig
) -> MediaPlan:
    check_photo_target(target, info)
    kind = SUFFIXES[target.suffix.lower()]
    (stream,) = info.streams
    planned = StreamPlan(
        stream.index,
        stream.kind,
        stream.codec,
        "redact",
        f"a photo, written as {kind}",
        kind.lower(),
        stream.video.pix_fmt if stream.video else None,
    )
    dropped = photo.dropped if options.keep_metadata else (*photo.keepable, *photo.dropped)
    return MediaPlan(
        target=target,
        container=Container(kind.lower(), (), (kind.lower(),), copies=False, timed=False),
        streams=(planned,),
        dropped=tuple(f"file: {name}" for name in dropped),
        notes=photo.converted,
    )


def _codec(info: MediaInfo, container: Container, target: Path, options: VideoConfig) -> str:
    if options.codec == "auto":
        # Players that show HEVC, AV1 or VP9 in 10 bits often refuse H.264 in 10 bits.
        for stream in info.video:
            deep = stream.video is not None and LAYOUTS[stream.video.pix_fmt].depth > _USUAL_DEPTH
            if deep and stream.codec in container.codecs and available(stream.codec):
                return stream.codec
        return container.codecs[0]
    if options.codec not in container.codecs:
        others = ", ".join(container.codecs)
        raise UsageError(f"{target}: {container.muxer} cannot hold {options.codec}, only {others}")
    return options.codec


def _plan(
    info: MediaInfo,
    stream: StreamInfo,
    container: Container,
    codec: str,
    target: Path,
    options: VideoConfig,
) -> StreamPlan:
    def answer(action: Action, reason: str) -> StreamPlan:
        output = stream.codec if action == "copy" else None
        return StreamPlan(stream.index, stream.kind, stream.codec, action, reason, output)

    if stream.attached_picture:
        return answer("drop", "an attached picture may show a face")
    if stream.kind == "video":
        if stream.video is None:
            return answer("drop", "its frames cannot be decoded, so nobody can be hidden in them")
        return answer("redact", "video")
    if stream.codec == "unknown":
        return answer("drop", "nobody knows what is in it")
    if stream.kind in ("audio", "subtitle"):
        if stream.kind == "audio" and options.audio == "drop":
            return answer("drop", "sound was not wanted")
        if stream.kind == "subtitle" and options.subtitles == "drop":
            return answer("drop", "subtitles were not wanted")
        if not container.copies:
            if container.muxer == "gif":
                return answer("drop", "a gif holds frames only")
            raise UsageError(
                f"{target}: {container.muxer} holds frames only, the input has "
                f"{stream.kind} (stream {stream.index}, {stream.codec})"
            )
        if not holds(container.muxer, stream.codec):
            where = " or ".join(fitting(info, stream.codec)) or "another format"
            hint = ", or leave sound out" if stream.kind == "audio" else ""
            raise UsageError(
                f"{target}: {container.muxer} cannot hold stream {stream.index} of the input "
                f"({stream.kind}, {stream.codec}); write to {where}{hint}"
            )
        return answer("copy", "copied bit for bit")
    if stream.kind == "data":
        return answer("drop", "data may tell place, time or device")
    if stream.kind == "attachment":
        return answer("drop", "an attachment may hold an image")
    return answer("drop", "nobody knows what is in it")


def _video_notes(info: MediaInfo, stream: StreamInfo, container: Container) -> list[str]:
    notes: list[str] = []
    video = stream.video
    if video is None:
        return notes
    name = f"stream {stream.index}: {container.muxer}"
    if video.matrix is not None and not container.rotates:
        notes.append(f"{name} cannot store its rotation")
    if not container.timed or container.muxer == "avi":
        if not set(info.format.split(",")) & set(container.demuxers):
            notes.append(f"{name} stores no times: {float(video.rate):.6g} frames a second")
    elif container.unit is not None and (stream.time_base / container.unit).denominator != 1:
        notes.append(f"{name} stores times in units of {container.unit} s")
    return notes


def _dropped(info: MediaInfo, options: VideoConfig) -> tuple[str, ...]:
    names: list[str] = []
    if not options.keep_metadata:
        names += [f"file: {key}" for key in _telling(info.metadata)]
        if any(chapter.title for chapter in info.chapters):
            names.append("file: titles of chapters")
    for stream in info.streams:
        if not options.keep_metadata:
            names += [f"stream {stream.index}: {key}" for key in _telling(stream.metadata)]
            if stream.comments:
                names.append(f"stream {stream.index}: comments in the codec's header")
        if stream.video is not None:
            known = {
                _DROPPED_SIDE_DATA[n] for n in stream.video.side_data if n in _DROPPED_SIDE_DATA
            }
            names += [f"stream {stream.index}: {name}" for name in sorted(known)]
    return tuple(names)


def _telling(metadata: Mapping[str, str]) -> list[str]:
    """Keys of what is more than a remark of the muxer about itself."""
    out = []
    for key, value in sorted(metadata.items()):
        name = key.lower()
        if name in _HARMLESS or name.split("-")[0] in _HARMLESS or name.startswith("_statistics"):
            continue
        if name == "handler_name" and value in _USUAL_HANDLERS:
            continue
        out.append(key)
    return out
