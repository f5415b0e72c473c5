"""Frames of the original beside the same frames of the output, with bounded memory.

Two decoders run side by side, one stream at a time. Read from the beginning, frames are paired by
order, which no time stamp can disturb, and a frame without a counterpart is an error. Where only a
few moments of a long file are looked at, both files are read from a keyframe before the moment,
and frames are paired by their time.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Generator, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import zip_longest
from pathlib import Path

import av

from stream_anon.errors import InputError, StreamAnonError, VerificationError
from stream_anon.media.frame import Frame
from stream_anon.media.input.base import Source
from stream_anon.media.input.decoder import StreamDecoder
from stream_anon.media.input.files import describe_file, open_file
from stream_anon.media.input.info import MediaInfo
from stream_anon.media.input.probe import has_timestamps, open_input, reason

INDEXED = frozenset({"mov", "matroska"})
"""Demuxers that find a keyframe before any moment."""

BACK = (0.0, 0.25, 2.0)
"""Seconds before a moment behind which there is no frame any more, where one is looked for."""

FARTHEST = 2000
"""Frames that are read for one moment before it is given up."""


@dataclass(frozen=True, slots=True)
class Pair:
    """One moment in both files.

    Attributes:
        stream: of the original.
        index: of the frame in presentation order; None where the file was not read up to it.
        seconds: presentation time in the output.
        original, output: the frames.
        quarter_turns: quarter turns, counter-clockwise, that make them upright.
    """

    stream: int
    index: int | None
    seconds: float
    original: Frame
    output: Frame
    quarter_turns: int


class Pairs:
    """Two files, frame by frame.

    Args:
        original, output: the files.
        streams: video streams of the original that are in the output, in its order.
        start, end: seconds of the original that the output holds; None for all.
        tolerant: damage at the original's very end is no error.

    Raises:
        InputError: a file cannot be read.
        VerificationError: the output has not as many video streams.
    """

    def __init__(
        self,
        original: Path,
        output: Path,
        streams: Collection[int],
        *,
        start: float | None = None,
        end: float | None = None,
        tolerant: bool = False,
    ) -> None:
        self._original, self._output = original, output
        self._start, self._end, self._tolerant = start, end, tolerant
        self._info, self._made = describe_file(original), describe_file(output)
        made = (stream.index for stream in self._made.video)
        self._streams = dict(zip(sorted(streams), made, strict=False))
        if not len(streams) == len(self._streams) == len(self._made.video):
            raise VerificationError(
                f"{output.name}: holds {len(self._made.video)} video streams, not {len(streams)}"
            )
        self._shift: Fraction | None = None if start is not None else Fraction(0)

    @property
    def streams(self) -> list[int]:
        """Streams of the original that are compared."""
        return list(self._streams)

    def length(self, stream: int) -> float | None:
        """Seconds of a stream in the output; None when nobody knows."""
        made = self._made.streams[self._streams[stream]]
        return made.duration or self._made.duration

    def quarter_turns(self, stream: int) -> int:
        """Quarter turns, counter-clockwise, that make a stream's frames upright."""
        video = self._info.streams[stream].video
        return round(video.rotation / 90) % 4 if video is not None else 0

    @property
    def indexed(self) -> bool:
        """Whether both files can be read from the middle."""
        return all(
            INDEXED & set(info.format.split(",")) and has_timestamps(info)
            for info in (self._info, self._made)
        )

    def all(self, stream: int) -> Iterator[Pair]:
        """Every pair of a stream.

        Raises:
            InputError, FrameFault: a file breaks while it is read.
            VerificationError: a frame has no counterpart, or one of another size.
        """
        options = {"start": self._start, "end": self._end, "tolerant": self._tolerant}
        original = open_file(self._original, copied=(), **options)  # type: ignore[arg-type]
        output = open_file(self._output, copied=())
        quarter_turns = self.quarter_turns(stream)
        with original, output:
            frames = zip_longest(
                _of(original, stream), _of(output, self._streams[stream]), fillvalue=None
            )
            for index, (before, after) in enumerate(frames):
                if before is None or after is None:
                    where = f"{self._output.name}: frame {index} of stream {stream}"
                    lacking = "output" if after is None else "original"
                    raise VerificationError(f"{where} is not in the {lacking}")
                yield self._pair(stream, index, before, after, quarter_turns)

    def at(self, stream: int, moment: float) -> Pair | None:
        """The first pair at or after a moment of the output, or at its end one shortly before.

        Args:
            stream: of the original.
            moment: seconds from the output's beginning.

        Returns:
            None where the files cannot be brought together there.

        Raises:
            InputError: a file cannot be read there.
        """
        for back in BACK:
            pair = self._first(stream, max(0.0, moment - back))
            if pair is not None or back >= moment:
                return pair
        return None

    def _first(self, stream: int, moment: float) -> Pair | None:
        """The first pair at or after a moment; arguments and errors as of ``at``."""
        try:
            if self._shift is None:
                self._shift = self._cut()
            made = self._made.streams[self._streams[stream]]
            slack = max(made.time_base, self._info.streams[stream].time_base) / 2
            wanted = Fraction(moment) + Fraction(self._made.start).limit_denominator(av.time_base)
            first = _from(self._original, self._info, stream, wanted + self._shift - slack)
            second = _from(self._output, self._made, self._streams[stream], wanted - slack)
            with closing(first), closing(second):
                before, after = next(first, None), next(second, None)
                for _ in range(FARTHEST):
                    if before is None or after is None:
                        return None
                    apart = before.pts * before.time_base - self._shift
                    apart -= after.pts * after.time_base
                    if abs(apart) <= slack and not (before.corrupt or after.corrupt):
                        return self._pair(stream, None, before, after, self.quarter_turns(stream))
                    if apart <= slack:
                        before = next(first, None)
                    if apart >= -slack:
                        after = next(second, None)
        except av.FFmpegError as error:
            raise InputError(f"{self._output.name}: cannot be read ({reason(error)})") from error
        return None

    def index(self, pair: Pair) -> int | None:
        """A pair's frame, counted in presentation order without decoding; None if unreadable."""
        if pair.index is not None:
            return pair.index
        output = self._streams[pair.stream]
        try:
            with open_input(self._output) as container:
                packets = container.demux(container.streams[output])
                return sum(1 for p in packets if p.pts is not None and p.pts < pair.output.pts)
        except (av.FFmpegError, StreamAnonError):
            return None

    def _pair(self, stream: int, index: int | None, a: Frame, b: Frame, quarter_turns: int) -> Pair:
        if (a.width, a.height) != (b.width, b.height):
            raise VerificationError(
                f"{self._output.name}: stream {stream} is {b.width}x{b.height}, the original "
                f"{a.width}x{a.height}"
            )
        return Pair(stream, index, b.seconds, a, b, quarter_turns)

    def _cut(self) -> Fraction:
        """Time in the original that became 0 in the output, as ``FileSource`` cuts."""
        first = self._info.video[0].index
        begin = Fraction(self._info.start).limit_denominator(av.time_base)
        begin += Fraction(self._start or 0.0).limit_denominator(av.time_base)
        with closing(_from(self._original, self._info, first, begin)) as frames:
            frame = next(frames, None)
        if frame is None:
            raise InputError(f"{self._original}: has no frame at its start time")
        return frame.pts * frame.time_base


def _of(source: Source, stream: int) -> Iterator[Frame]:
    return (frame for frame in source.frames() if frame.stream == stream)


def _from(path: Path, info: MediaInfo, stream: int, time: Fraction) -> Generator[Frame]:
    """Frames of one stream from a time on, read from the keyframe before it."""
    with open_input(path) as container:
        described = replace(info.streams[stream])
        decoder = StreamDecoder(
            container.streams[stream], described, str(path), counted=False, motion=False
        )
        target = container.streams[stream]
        container.seek(math.floor(max(time, Fraction(0)) / target.time_base), stream=target)
        for packet in container.demux(target):
            # The last, empty one drains the decoder.
            for frame in decoder.feed(packet if packet.size else None):
                if frame.pts * frame.time_base >= time:
                    yield frame
