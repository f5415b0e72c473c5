"""A file as a source of frames."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Generator, Iterator
from contextlib import closing
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av

from stream_anon.errors import InputError, UsageError
from stream_anon.media.extents import CompletenessCheck, cut_off
from stream_anon.media.frame import Frame
from stream_anon.media.input.base import Source
from stream_anon.media.input.decoder import StreamDecoder
from stream_anon.media.input.identity import Identity
from stream_anon.media.input.info import MediaInfo
from stream_anon.media.input.matroska import damaged_clusters
from stream_anon.media.input.probe import check_regular, has_timestamps, open_input, probe, reason
from stream_anon.media.packets import Packet
from stream_anon.media.splices import Splices

_COPYABLE = ("audio", "subtitle")
_INDEXED = {"mov", "matroska"}
_SEEK_MARGIN = 1
"""Seconds before the wanted time to seek to, for sound that is stored ahead of its frame."""
_SOUND_LAG = 10
"""Seconds by which sound may be stored behind its frames."""


class FileSource(Source):
    """A file, decoded on the CPU by PyAV, or by whatever ``make_decoder`` makes.

    Attributes:
        make_decoder: what decodes a stream; called like ``StreamDecoder``.

    Args:
        path: of the file.
        start: seconds from the beginning of the file; the first frame at or after it
            becomes time 0 of the result, as players expect of a cut. None keeps the time line.
        end: seconds from the beginning of the file; frames from there on are left out.
        motion: export the decoder's motion vectors, for ``Frame.motion``.
        copied: streams whose packets are yielded; None for all audio and subtitles.
        tolerant: damage at the very end, after which no frame comes to carry the mark,
            is counted in ``lost`` instead of raised.

    Raises:
        InputError: the file cannot be opened or holds no video.
        UsageError: ``start`` and ``end`` leave nothing.
    """

    make_decoder: Callable[..., StreamDecoder] = StreamDecoder

    def __init__(
        self,
        path: str | Path,
        *,
        start: float | None = None,
        end: float | None = None,
        motion: bool = False,
        copied: Collection[int] | None = None,
        tolerant: bool = False,
    ) -> None:
        self.path = Path(path)
        if end is not None and end <= (start or 0.0):
            raise UsageError(f"{self.path}: the end ({end} s) is not after the start ({start} s)")
        check_regular(self.path)
        try:
            self._identity = Identity(self.path)
        except OSError as error:
            raise InputError(f"{self.path}: {(error.strerror or str(error)).lower()}") from error
        try:
            self.info = replace(probe(self.path), begin=start, end=end)
            length = self.info.duration
            if start is not None and length is not None and start >= length:
                raise UsageError(
                    f"{self.path}: starts after its end ({start} s of {length:.3f} s)"
                )
        except BaseException:
            # Raised again: the descriptor that the hash reads from must not stay open.
            self._identity.close()
            raise
        self._motion = motion
        self._tolerant = tolerant
        self._copied = frozenset(
            copied
            if copied is not None
            else (s.index for s in self.info.streams if s.kind in _COPYABLE)
        )
        self._open: Any = None
        self._damaged: list[range] | None = None

    def select(self, copied: Collection[int]) -> None:
        """Choose the streams whose packets are yielded, from the next iteration on."""
        self._copied = frozenset(copied)

    def start_digest(self) -> None:
        """Begin to hash the file, beside reading it."""
        self._identity.start()

    def digest(self) -> tuple[int, str] | None:
        """Bytes and SHA-256 of the file as it was read; see ``Source.digest``."""
        return self._identity.digest()

    def close(self) -> None:
        """Let go of the file."""
        self._release()
        self._identity.close()

    def _release(self) -> None:
        if self._open is not None:
            self._open.close()
            self._open = None

    def __iter__(self) -> Iterator[Frame | Packet]:
        """Read from the beginning; see ``Source.__iter__``."""
        self._release()
        self.lost = self.repaired = self.spliced = 0
        if self.info.end is None and not self._tolerant:
            self._check_length()
        if self.info.begin is None and self.info.end is None:
            yield from self._read()
        else:
            yield from self._cut()
        self._identity.check()

    def _read(self, seek: Fraction | None = None) -> Generator[Frame | Packet]:
        """Everything, or from the last keyframe before ``seek`` (seconds on the time line)."""
        self._release()
        container = self._open = self._container()
        splices = Splices()
        decoders = {
            s.index: self.make_decoder(
                container.streams[s.index],
                s,
                str(self.path),
                counted=not has_timestamps(self.info),
                motion=self._motion,
            )
            for s in self.info.video
        }
        templates = {s.index: s.template for s in self.info.streams}
        streams = [s for s in container.streams if s.index in decoders or s.index in self._copied]
        try:
            if seek is not None:
                container.seek(math.floor(seek * av.time_base))
            completeness = CompletenessCheck(container, decoders)
            damaged = self._damaged_parts()
            for packet, begins in self._packets(container, streams, splices):
                completeness.saw(packet)
                decoder = decoders.get(packet.stream_index)
                if decoder is None:
                    yield Packet(packet.stream_index, packet, templates[packet.stream_index])
                else:
                    known = any(packet.pos in part for part in damaged)
                    yield from decoder.feed(packet, known, begins)
            for decoder in decoders.values():
                yield from decoder.feed(None)
                if decoder.broken and not self._tolerant:
                    raise InputError(f"{self.path}: the last frames cannot be decoded")
            missing = completeness.missing() if seek is None else None
            if missing and not self._tolerant:
                raise InputError(f"{self.path}: breaks off, {missing}")
        except av.FFmpegError as error:
            if not self._tolerant:
                text = f"{self.path}: breaks off while it is read ({reason(error)})"
                raise InputError(text) from error
            self.lost += 1
        finally:
            self.lost += sum(d.lost for d in decoders.values())
            self.repaired = sum(d.repaired for d in decoders.values()) + splices.moved
            self.spliced = splices.count
            for decoder in decoders.values():
                decoder.close()
            self.decoded_by = {n: decoder.decoded_by for n, decoder in decoders.items()}
            self.conceals = [n for n, decoder in decoders.items() if decoder.conceals]
            container.close()

    def _container(self) -> Any:
        """The file, opened anew."""
        try:
            return open_input(self.path)
        except InputError:
            # That it was replaced tells more than what is wrong with what is there now.
            self._identity.check()
            raise

    def _packets(
        self, container: Any, streams: list[Any], splices: Splices
    ) -> Iterator[tuple[Any, bool]]:
        """Packets on a time line that goes on, and whether another recording begins with them."""
        for packet in container.demux(streams):
            # An empty packet would drain a decoder for good.
            if packet.size:
                sparse = packet.stream.type not in ("video", "audio")
                yield from splices.pass_on(packet, sparse)
        yield from splices.rest()

    def _check_length(self) -> None:
        """Fail before the work begins where a file tells that it breaks off."""
        try:
            missing = cut_off(self.path, self.info.format)
        except OSError as error:
            raise InputError(f"{self.path}: {(error.strerror or str(error)).lower()}") from error
        if missing:
            raise InputError(f"{self.path}: breaks off, {missing}")

    def _damaged_parts(self) -> list[range]:
        """Bytes of the file that do not match a checksum of the file's own."""
        if self._damaged is None:
            matroska = "matroska" in self.info.format.split(",")
            try:
                self._damaged = damaged_clusters(self.path) if matroska else []
            except OSError as error:
                text = f"{self.path}: {(error.strerror or str(error)).lower()}"
                raise InputError(text) from error
        return self._damaged

    def _cut(self) -> Iterator[Frame | Packet]:
        """The part from ``begin`` to ``end``; a given ``begin`` becomes time 0."""
        start = _exact(self.info.start)
        begin = start + _exact(self.info.begin or 0.0)
        end = None if self.info.end is None else start + _exact(self.info.end)
        span = _Span(self.info, self._copied, begin, end)
        counts: dict[int, int] = {}
        waiting: list[Frame | Packet] = []
        shift: Fraction | None = Fraction(0) if self.info.begin is None else None
        with closing(self._from_keyframe(begin)) as items:
            for item in items:
                if span.passed(item):
                    break
                if not span.holds(item):
                    continue
                if shift is None:
                    waiting.append(item)
                    if isinstance(item, Frame) and item.stream == self.info.video[0].index:
                        shift = _time(item)
                else:
                    waiting = [item]
                if shift is not None:
                    for held in waiting:
                        yield from self._shifted(held, shift, counts)
        if not counts:
            raise InputError(f"{self.path}: has no frame between its start and end times")

    def _from_keyframe(self, begin: Fraction) -> Generator[Frame | Packet]:
        """Read from a keyframe before ``begin`` where that is safe, else from the beginning."""
        indexed = bool(_INDEXED & set(self.info.format.split(",")))
        if self.info.begin is None or not indexed or len(self.info.video) > 1:
            yield from self._read()
            return
        seek = max(begin - _SEEK_MARGIN, _exact(self.info.start))
        held: list[Frame | Packet] = []
        with closing(self._read(seek)) as items:
            for item in items:
                held.append(item)
                time = _time(item)
                if isinstance(item, Frame) and time is not None:
                    if time > begin:
                        break
                    yield from held
                    yield from items
                    return
        yield from self._read()

    def _shifted(
        self, item: Frame | Packet, shift: Fraction, counts: dict[int, int]
    ) -> Iterator[Frame | Packet]:
        time = _time(item)
        if time is None or time < shift:
            return
        units = round(shift / self.info.streams[item.stream].time_base)
        if isinstance(item, Frame):
            item.pts -= units
            item.index = counts.get(item.stream, 0)
            counts[item.stream] = item.index + 1
        else:
            packet = item.data
            if packet.pts is not None:
                packet.pts -= units
            if packet.dts is not None:
                packet.dts -= units
        yield item


class _Span:
    """Which items lie between two times, and when none can follow.

    Args:
        info: of the input.
        copied: streams that are copied.
        begin, end: seconds on the time line; no end is None.
    """

    def __init__(
        self, info: MediaInfo, copied: Collection[int], begin: Fraction, end: Fraction | None
    ) -> None:
        self._begin, self._end = begin, end
        video = {s.index for s in info.video}
        # Subtitles may be silent for minutes: nobody waits for them.
        sound = {s.index for s in info.streams if s.kind == "audio" and s.index in copied}
        self._open_video, self._open = video, video | sound

    def holds(self, item: Frame | Packet) -> bool:
        """Whether an item is kept."""
        time = _time(item)
        return time is not None and time >= self._begin and (self._end is None or time < self._end)

    def passed(self, item: Frame | Packet) -> bool:
        """Whether everything is over with this item."""
        time = _time(item)
        if self._end is None or time is None or time < self._end:
            return False
        self._open = self._open - {item.stream}
        late = time > self._end + _SOUND_LAG
        return not self._open or (late and not self._open & self._open_video)


def _exact(seconds: float) -> Fraction:
    """The decimal number that somebody wrote, which the float only comes near."""
    return Fraction(seconds).limit_denominator(av.time_base)


def _time(item: Frame | Packet) -> Fraction | None:
    """Presentation time in seconds."""
    if isinstance(item, Frame):
        return item.pts * item.time_base
    stamp = item.data.pts if item.data.pts is not None else item.data.dts
    return None if stamp is None else stamp * Fraction(item.data.time_base)
