"""One video stream's packets in, its pictures out: time, damage and changes of form."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import av
import numpy as np
from av.video.reformatter import ColorRange, Colorspace, Interpolation, VideoReformatter
from numpy.typing import NDArray

from stream_anon.errors import PictureFault
from stream_anon.video.info import StreamInfo, VideoInfo
from stream_anon.video.planes import LAYOUTS, colour_matrix
from stream_anon.video.yuv_picture import Scaler, YuvPicture

log = logging.getLogger(__name__)

_EXPORT_MVS = 1 << 28
_B_PICTURE = 3
_LARGE = 2600 * 1500
_OWN_THREADS = ("libdav1d",)
_BT709 = 1
_SMPTE170M = 6


class Timeline:
    """Gives every picture of a stream a time that grows.

    Args:
        time_base: seconds per unit.
        rate: pictures a second, for streams and pictures without times of their own.
        counted: the stream has no times at all: they are counted from the rate.
    """

    def __init__(self, time_base: Fraction, rate: Fraction, counted: bool) -> None:
        self._step = 1 / (rate * time_base)
        self._counted = counted
        self._last: int | None = None
        self._count = 0
        self.repaired = 0

    def next(self, pts: int | None, duration: int) -> int:
        """The time of the next picture.

        Args:
            pts: as decoded, or None.
            duration: of the picture before it, 0 when not known; in the same unit.
        """
        if self._counted:
            pts = round(self._count * self._step)
        elif pts is None:
            self.repaired += 1
            pts = 0 if self._last is None else self._last + (duration or max(1, round(self._step)))
        elif self._last is not None and pts <= self._last:
            self.repaired += 1
            pts = self._last + 1
        self._count += 1
        self._last = pts
        return pts


class StreamDecoder:
    """Decodes one stream of an open container.

    Args:
        stream: ``av.VideoStream``.
        info: what was found when the file was probed; pictures must stay like it.
        name: of the file, for messages.
        counted: see ``Timeline``.
        motion: export motion vectors.
    """

    def __init__(
        self, stream: Any, info: StreamInfo, name: str, *, counted: bool, motion: bool
    ) -> None:
        if info.video is None:
            raise ValueError(f"stream {info.index} is no video")
        self._info = info
        self._video: VideoInfo = info.video
        self._context = stream.codec_context
        self._context.thread_type = "AUTO"
        large = self._video.width * self._video.height > _LARGE
        if not large and self._context.codec.name not in _OWN_THREADS:
            # With a thread for each picture, PyAV loses errors that arrive together with an
            # earlier picture; with a thread for each slice, FFmpeg's h264 decoder does not mark
            # damage. Only very large pictures need either.
            self._context.thread_count = 1
        if motion:
            self._context.flags2 |= _EXPORT_MVS
        self._motion = motion
        self._name = name
        self._timeline = Timeline(info.time_base, self._video.rate, counted)
        self._scaler = Scaler()
        self._converter = VideoReformatter()
        self._index = 0
        self._duration = 0
        self._since_reference = 1
        # Damage goes on in what is predicted from it, up to a keyframe after this time.
        self._damaged = False
        self._damaged_until: int | None = None
        self._pending = False
        self.lost = 0
        """Packets that gave no picture because they could not be decoded."""

    @property
    def repaired(self) -> int:
        """Pictures whose time was missing or did not grow."""
        return self._timeline.repaired

    @property
    def broken(self) -> bool:
        """A packet could not be decoded, and no picture has come since to carry the mark."""
        return self._pending

    def feed(self, packet: Any) -> Iterator[YuvPicture]:
        """Decode a packet; None drains the decoder.

        Raises:
            PictureFault: the size or pixel format changed.
        """
        try:
            frames = self._context.decode(packet)
        except av.FFmpegError as error:
            log.debug("%s: stream %d: %s", self._name, self._info.index, error)
            self.lost += 1
            self._pending = True
            self._damage(None if packet is None else packet.pts)
            return
        for frame in frames:
            yield self._picture(frame)

    def _picture(self, frame: Any) -> YuvPicture:
        self._check(frame)
        pts = self._timeline.next(frame.pts, self._duration)
        self._duration = frame.duration or 0
        if frame.is_corrupt:
            self._damage(frame.pts)
        elif self._damaged and frame.key_frame and self._after_damage(frame.pts):
            self._damaged = False
        self._pending = False
        vectors = self._vectors(frame) if self._motion else None
        frame = self._convert(frame)
        picture = YuvPicture(
            frame,
            stream=self._info.index,
            index=self._index,
            pts=pts,
            time_base=self._info.time_base,
            scaler=self._scaler,
            vectors=vectors,
            corrupt=self._damaged,
        )
        self._index += 1
        return picture

    def _damage(self, pts: int | None) -> None:
        if pts is not None:
            until = self._damaged_until
            self._damaged_until = pts if until is None else max(until, pts)
        self._damaged = True

    def _after_damage(self, pts: int | None) -> bool:
        return pts is None or self._damaged_until is None or pts > self._damaged_until

    def _check(self, frame: Any) -> None:
        video = self._video
        if (frame.width, frame.height) != (video.width, video.height):
            raise PictureFault(
                f"{self._name}: picture {self._index} of stream {self._info.index} is "
                f"{frame.width}x{frame.height}, the first was {video.width}x{video.height}"
            )
        if frame.format.name != video.coded_pix_fmt:
            raise PictureFault(
                f"{self._name}: picture {self._index} of stream {self._info.index} is in "
                f"{frame.format.name}, the first was in {video.coded_pix_fmt}"
            )

    def _convert(self, frame: Any) -> Any:
        target = self._video.pix_fmt
        if frame.format.name == target and target in LAYOUTS:
            return frame
        if not frame.format.is_rgb and not frame.format.has_palette:
            return self._converter.reformat(
                frame, format=target, interpolation=Interpolation.BICUBIC, threads=1
            )
        matrix = colour_matrix(-1, frame.height)
        out = self._converter.reformat(
            frame,
            format=target,
            dst_colorspace=Colorspace.ITU709 if matrix == _BT709 else Colorspace.ITU601,
            dst_color_range=ColorRange.MPEG,
            interpolation=Interpolation.BICUBIC | Interpolation.ACCURATE_RND,
            threads=1,
        )
        out.colorspace = matrix
        out.color_range = int(ColorRange.MPEG)
        return out

    def _vectors(self, frame: Any) -> NDArray[np.float32] | None:
        distance = self._since_reference
        between = frame.pict_type == _B_PICTURE
        self._since_reference = distance + 1 if between else 1
        # Which picture a vector points to is not exported. For a P-picture it is the last one
        # that is no B-picture; for a B-picture it may be almost any, even one to come, and
        # MPEG-4 exports zeros for blocks in direct mode.
        if between:
            return None
        data = next((d for d in frame.side_data if d.type.name == "MOTION_VECTORS"), None)
        if data is None:
            return None
        raw = data.to_ndarray()
        raw = raw[(raw["source"] < 0) & (raw["motion_scale"] > 0)]
        scale = -1.0 / (raw["motion_scale"].astype(np.float32) * distance)
        out = np.empty((len(raw), 5), np.float32)
        out[:, 0], out[:, 1] = raw["dst_x"], raw["dst_y"]
        out[:, 2], out[:, 3] = raw["motion_x"] * scale, raw["motion_y"] * scale
        out[:, 4] = raw["w"].astype(np.float32) * raw["h"]
        return out
