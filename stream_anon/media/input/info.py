"""What a media file is: plain facts about its container and streams."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Literal

from stream_anon.media.packets import StreamTemplate
from stream_anon.media.photo import PhotoTemplate

Kind = Literal["video", "audio", "subtitle", "data", "attachment", "unknown"]


@dataclass(frozen=True, slots=True)
class Colour:
    """Tags as FFmpeg numbers them (ITU-T H.273); 2 is unspecified, for ``range`` 0.

    Attributes:
        primaries, transfer, matrix: AVColorPrimaries, AVColorTransferCharacteristic, AVColorSpace.
        range: AVColorRange: 1 limited, 2 full.
    """

    primaries: int = 2
    transfer: int = 2
    matrix: int = 2
    range: int = 0


@dataclass(frozen=True, slots=True)
class VideoInfo:
    """What is special to a video stream, taken from its first frame.

    Attributes:
        width, height: of the decoded frame, before rotation.
        pix_fmt: format in which frames are patched; see ``pixel_formats.LAYOUTS``.
        coded_pix_fmt: format that the decoder delivers.
        rate: average frames a second.
        sample_aspect: width of a sample by its height, None when not told.
        rotation: degrees counter-clockwise at which players show it.
        matrix: display matrix, nine integers in FFmpeg's layout, or None.
        colour: tags.
        interlaced: frames are woven of two fields.
        field_order: AVFieldOrder: 0 unknown, 1 progressive, 2 top first, 3 bottom first.
        first_pts: of the first frame, in the stream's time base; None when the file has none.
        side_data: names of what the first frame carries beside its planes.
    """

    width: int
    height: int
    pix_fmt: str
    coded_pix_fmt: str
    rate: Fraction
    sample_aspect: Fraction | None
    rotation: int
    matrix: tuple[int, ...] | None
    colour: Colour
    interlaced: bool
    field_order: int
    first_pts: int | None
    side_data: tuple[str, ...] = ()

    @property
    def quarter_turns(self) -> int:
        """Quarter turns, counter-clockwise, 0 to 3, that make the frames upright."""
        return round(self.rotation / 90) % 4


@dataclass(frozen=True, slots=True)
class StreamInfo:
    """One stream.

    Attributes:
        index: in its container.
        kind: what it holds.
        codec: FFmpeg's short name, "unknown" when it has none.
        time_base: seconds per unit of its timestamps.
        start: first timestamp in that unit, None when not told.
        duration: seconds, None when not told.
        frames: frames or packets as the container counts them, 0 when it does not.
        language: ISO 639 code, None when not told.
        dispositions: names such as "default", "forced", "attached_pic".
        disposition: the same as FFmpeg's bits.
        metadata: as stored, by key.
        comments: the codec's private data hold more than decoding needs.
        video: for video streams that can be decoded.
        template: of a stream whose packets can be copied: what a sink needs to write them.
    """

    index: int
    kind: Kind
    codec: str
    time_base: Fraction
    start: int | None
    duration: float | None
    frames: int
    language: str | None
    dispositions: tuple[str, ...]
    disposition: int
    metadata: Mapping[str, str] = field(default_factory=dict)
    comments: bool = False
    video: VideoInfo | None = None
    template: StreamTemplate | None = field(default=None, compare=False, repr=False)

    @property
    def attached_picture(self) -> bool:
        """A still such as a cover, not a stream of frames."""
        return "attached_pic" in self.dispositions or "timed_thumbnails" in self.dispositions


@dataclass(frozen=True, slots=True)
class Chapter:
    """A named span.

    Attributes:
        start, end: seconds.
        title: may be empty.
    """

    start: Fraction
    end: Fraction
    title: str


@dataclass(frozen=True, slots=True)
class MediaInfo:
    """What a source reads.

    Attributes:
        path: where it lies; None for what is no file, such as a camera or a pipe.
        format: FFmpeg's name of the demuxer, such as "mov,mp4,m4a,3gp,3g2,mj2".
        size: bytes.
        start: seconds at which its time line begins.
        duration: seconds, None when not told.
        streams: all of them, in the container's order.
        chapters: in order of time.
        metadata: of the file as a whole.
        begin, end: seconds from the start at which reading begins and ends, None for all.
        photo: of a single image, what a sink needs to write it as it was; None for a video.
    """

    path: Path | None
    format: str
    size: int
    start: float
    duration: float | None
    streams: tuple[StreamInfo, ...]
    chapters: tuple[Chapter, ...] = ()
    metadata: Mapping[str, str] = field(default_factory=dict)
    begin: float | None = None
    end: float | None = None
    photo: PhotoTemplate | None = field(default=None, repr=False)

    @property
    def suffix(self) -> str:
        """Of the file's name, with its dot, in small letters; empty for what is no file."""
        return "" if self.path is None else self.path.suffix.lower()

    @property
    def video(self) -> tuple[StreamInfo, ...]:
        """Streams of frames that can be decoded; stills are none."""
        return tuple(s for s in self.streams if s.video is not None)

    @property
    def frames(self) -> int | None:
        """Frames expected over all video streams, an estimate; None when nobody knows."""
        total = 0
        for stream in self.video:
            if stream.video is None:
                continue
            seconds = stream.duration or self.duration
            count = stream.frames or (round(seconds * stream.video.rate) if seconds else 0)
            if not count:
                return None
            if seconds and (self.begin is not None or self.end is not None):
                kept = min(self.end or seconds, seconds) - (self.begin or 0.0)
                count = round(count * max(kept, 0.0) / seconds)
            total += count
        return total

    def rate(self, stream: int) -> float:
        """Average frames a second of a video stream.

        Raises:
            KeyError: the stream is not one.
        """
        video = self.streams[stream].video
        if video is None:
            raise KeyError(stream)
        return float(video.rate)
