"""From frames to a file: encoding, joining, and time stamps that are wrong on purpose."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np

from tests.torture.images import Pixels
from tests.torture.scene import Frame, TrueFace

CLOCK = 90_000
"""Ticks of MPEG-TS in a second."""

Truth = tuple[tuple[TrueFace, ...], ...]


@dataclass(frozen=True)
class Clip:
    """A file and the faces that can be seen in it.

    Attributes:
        kind: of clip, as in ``clips.KINDS``.
        seed: it was made from.
        path: of the file.
        truth: for each frame, in presentation order, its faces.
        options: of ``stream_anon.redact`` that belong to the kind (``end``).
        kept: number of frames, from the first, that the output has; None is all.
        quarter_turns: quarter turns, counter-clockwise, that make the frames upright.
    """

    kind: str
    seed: int
    path: Path
    truth: Truth
    options: dict[str, Any] = field(default_factory=dict)
    kept: int | None = None
    quarter_turns: int = 0

    @property
    def faces(self) -> int:
        """True faces in all frames that the output has."""
        return sum(len(faces) for faces in self.truth[: self.kept])


@dataclass
class Take:
    """Frames and how they are to be written.

    Attributes:
        frames: in presentation order, all of one size.
        rate: frames per second, nominal.
        suffix: of the file: mp4, mkv, ts.
        times: presentation time of frame n in seconds; None is n / rate. MP4 and Matroska want
            them to grow; MPEG-TS takes any.
        more: further recordings, whose bytes are appended (MPEG-TS only).
    """

    frames: Iterable[Frame]
    rate: float = 25.0
    suffix: str = "mp4"
    times: Callable[[int], float | None] | None = None
    pix_fmt: str = "yuv420p"
    interlaced: bool = False
    quarter_turns: int = 0
    """Quarter turns, counter-clockwise, by which a player turns the frames."""
    crf: int = 18
    more: list[Take] = field(default_factory=list)
    options: dict[str, Any] = field(default_factory=dict)
    kept: int | None = None
    gop: int = 0
    offset: int = 0
    """Ticks that are added to every time of an MPEG-TS, modulo 2**33."""


def shoot(take: Take, kind: str, seed: int, folder: Path) -> Clip:
    """Write a take, and what is appended to it, as one file."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{kind}-{seed}.{take.suffix}"
    truth = list(_write(take, path))
    for number, part in enumerate(take.more):
        piece = folder / f"{kind}-{seed}-{number}.part.ts"
        truth += _write(part, piece)
        with path.open("ab") as whole:
            whole.write(piece.read_bytes())
        piece.unlink()
    return Clip(kind, seed, path, tuple(truth), take.options, take.kept, take.quarter_turns)


def _write(take: Take, path: Path) -> Iterator[tuple[TrueFace, ...]]:
    patched = take.suffix == "ts" and (take.times is not None or take.offset)
    rate = Fraction(take.rate).limit_denominator(1001)
    base = Fraction(1, CLOCK)
    frames = iter(take.frames)
    first = next(frames)
    height, width = first.pixels.shape[:2]
    # Without B frames the order of packets is that of the frames, whatever their times.
    options = {"preset": "superfast", "crf": str(take.crf), "bf": "0", "threads": "1"}
    if take.gop:
        options["g"] = str(take.gop)
    muxing = {"mpegts_copyts": "1", "muxdelay": "0"} if take.suffix == "ts" else {}
    form = "mpegts" if take.suffix == "ts" else None
    with av.open(str(path), "w", format=form, container_options=muxing) as container:
        stream: Any = container.add_stream(
            "libx264", rate=rate, options=options, width=width, height=height,
            pix_fmt=take.pix_fmt, time_base=base,
        )
        if take.quarter_turns:
            stream.set_display_rotation(90 * take.quarter_turns)
        # BT.601, limited range: what the conversions here do.
        context = stream.codec_context
        context.color_primaries = context.color_trc = context.colorspace = 6
        context.color_range = 1
        if take.interlaced:
            context.flags |= 1 << 18
            context.field_order = 2
        for number, one in enumerate(_again(first, frames)):
            image = _image(one.pixels, take.pix_fmt)
            image.time_base = base
            seconds: float | None = number / take.rate
            if take.times is not None and not patched:
                seconds = take.times(number)
            image.pts = round(((seconds or 0.0) + (1.0 if take.suffix == "ts" else 0.0)) * CLOCK)
            container.mux(stream.encode(image))
            yield one.faces
        container.mux(stream.encode(None))
    if patched:
        path.write_bytes(_retimed(path.read_bytes(), take))


def _image(pixels: Pixels, pix_fmt: str) -> av.VideoFrame:
    if pix_fmt != "yuv420p":
        return av.VideoFrame.from_ndarray(pixels, format="rgb24").reformat(format=pix_fmt)
    # Several times faster than the general way, to the same BT.601.
    return av.VideoFrame.from_ndarray(cv2.cvtColor(pixels, cv2.COLOR_RGB2YUV_I420), "yuv420p")


def _again(first: Frame, rest: Iterator[Frame]) -> Iterator[Frame]:
    yield first
    yield from rest


def _retimed(data: bytes, take: Take) -> bytes:
    """The transport stream with the times of its video's packets replaced.

    ISO/IEC 13818-1, 2.4.3.6: five bytes of PTS after the PES header's flags. A packet without B
    frames has no DTS; a time of None clears the flag and leaves stuffing in the time's place.
    """
    packets = bytearray(data)
    count = 0
    for start in range(0, len(packets), 188):
        begins, control = packets[start + 1] & 0x40, packets[start + 3]
        at = start + 4
        if control & 0x20:
            at += 1 + packets[at]
        if not begins or not control & 0x10 or at + 14 > start + 188:
            continue
        if bytes(packets[at : at + 3]) != b"\0\0\1" or not 0xE0 <= packets[at + 3] <= 0xEF:
            continue
        old = _read_time(packets[at + 9 : at + 14])
        seconds = (old / CLOCK) - 1.0
        if take.times is not None:
            new = take.times(count)
        else:
            new = seconds
        count += 1
        flags = packets[at + 7] >> 6
        if new is None:
            packets[at + 7] &= 0x3F
            for k in range(9, 9 + packets[at + 8]):
                packets[at + k] = 0xFF
            continue
        ticks = (round((new + 1.0) * CLOCK) + take.offset) % (1 << 33)
        packets[at + 9 : at + 14] = _time_bytes(flags, ticks)
        if flags == 3:
            packets[at + 14 : at + 19] = _time_bytes(1, ticks)
    return bytes(packets)


def _read_time(five: bytes | bytearray) -> int:
    return (
        (five[0] >> 1 & 7) << 30 | five[1] << 22 | five[2] >> 1 << 15 | five[3] << 7 | five[4] >> 1
    )


def _time_bytes(prefix: int, ticks: int) -> bytes:
    return bytes(
        [
            prefix << 4 | (ticks >> 30 & 7) << 1 | 1,
            ticks >> 22 & 255,
            (ticks >> 15 & 127) << 1 | 1,
            ticks >> 7 & 255,
            (ticks & 127) << 1 | 1,
        ]
    )


def decoded(path: Path) -> Iterator[np.ndarray]:
    """The frames of a file's first video stream as (h, w, 3) uint8 RGB, in order.

    Raises:
        av.FFmpegError: the file cannot be read.
    """
    with av.open(str(path)) as container:
        for frame in container.decode(container.streams.video[0]):
            yield frame.to_ndarray(format="rgb24")
